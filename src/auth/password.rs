//! Passwords: hashed with argon2id (RFC 9106), or with bcrypt where a file from elsewhere has them so; off the
//! threads that serve requests and behind them, and only so many at once.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use argon2::{Algorithm, Argon2, Params, Version};
use password_hash::phc::PasswordHash;
use password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::{Semaphore, oneshot};

use super::AuthError;
use crate::base::priority::stand_back;
use crate::base::secret::Secret;

/// Longer ones are refused before any work; nobody types them (in bytes).
pub const LONGEST_PASSWORD: usize = 1024;

/// bcrypt counts no more of a password (in bytes).
pub(super) const LONGEST_FOR_BCRYPT: usize = 72;

/// 19 MiB, two passes, one lane: the OWASP Password Storage Cheat Sheet's choice.
const COST: (u32, u32, u32) = (19_456, 2, 1);

/// Passwords that may wait for each one that is being checked.
const WAITING_PER_PERMIT: usize = 16;

/// The longest that one waits.
const PATIENCE: Duration = Duration::from_secs(5);

/// How far checking passwords stands back behind everything else, on the scale of nice(1): a flood of logins does not
/// slow down those who are signed in, and a login that competes with them is slower, not starved.
const NICE: i32 = 10;

const NOBODYS_SALT: &[u8; 16] = b"nobody's salt...";

/// Hashes a new password; takes tens of milliseconds.
///
/// # Errors
/// Where the operating system has no memory or randomness to give.
pub fn hash_password(password: &Secret<String>) -> Result<String, password_hash::Error> {
    let hash: PasswordHash = hasher(standard_params()).hash_password(password.expose().as_bytes())?;
    Ok(hash.to_string())
}

fn standard_params() -> Params {
    Params::new(COST.0, COST.1, COST.2, None).expect("the constants are within argon2's bounds")
}

fn hasher(params: Params) -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// The hash of a user's password.
#[derive(Clone, Debug)]
pub(super) enum StoredHash {
    /// argon2id, and what it costs.
    Argon2(Arc<PasswordHash>, Params),
    /// bcrypt in its usual form, and its cost.
    Bcrypt(Arc<str>, u32),
}

/// What it costs to check a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cost {
    /// Memory, passes and lanes.
    Argon2(Params),
    /// The logarithm of the rounds.
    Bcrypt(u32),
}

impl Cost {
    /// What new hashes cost.
    pub(super) fn standard() -> Self {
        Self::Argon2(standard_params())
    }
}

impl StoredHash {
    /// What it costs to check a password against it.
    pub(super) fn cost(&self) -> Cost {
        match self {
            Self::Argon2(_, params) => Cost::Argon2(params.clone()),
            Self::Bcrypt(_, cost) => Cost::Bcrypt(*cost),
        }
    }
}

/// What a password is held against.
#[derive(Clone, Debug)]
pub(super) enum Check {
    /// A user's hash.
    Against(StoredHash),
    /// Nobody's: the same work as with a hash of this cost, for nothing.
    Pretend(Cost),
}

/// Checks passwords, so many at once; the others wait, and beyond that nobody does.
#[derive(Debug)]
pub struct PasswordQueue {
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    most_waiting: usize,
}

impl PasswordQueue {
    /// For `concurrency` passwords at once; `None`: one per core.
    pub fn new(concurrency: Option<NonZeroUsize>) -> Self {
        let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let permits = concurrency.unwrap_or_else(cores).get();
        Self {
            permits: Arc::new(Semaphore::new(permits)),
            waiting: AtomicUsize::new(0),
            most_waiting: permits.saturating_mul(WAITING_PER_PERMIT),
        }
    }

    /// Whether the password is the one that was hashed.
    pub(super) async fn verify(&self, password: Secret<String>, check: Check) -> Result<bool, AuthError> {
        let waiter = self.queue_up()?;
        let permit = tokio::time::timeout(PATIENCE, Arc::clone(&self.permits).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else { return Err(AuthError::Busy) };
        drop(waiter);
        // The permit goes along: whoever gives up waiting does not make room for more work than there is.
        let (answer, hashed) = oneshot::channel();
        let hash = move || {
            stand_back(NICE, "checking a password");
            let is_right = compare(&password, check);
            drop(permit);
            let _ = answer.send(is_right);
        };
        // A thread cannot come forward again, so each password has one of its own; it takes microseconds to start.
        thread::Builder::new().name("password".to_owned()).spawn(hash).map_err(|_| AuthError::Unavailable)?;
        hashed.await.map_err(|_| AuthError::Unavailable)
    }

    fn queue_up(&self) -> Result<Waiter<'_>, AuthError> {
        let waiter = Waiter(&self.waiting);
        let ahead = self.waiting.fetch_add(1, Ordering::SeqCst);
        if ahead >= self.most_waiting { Err(AuthError::Busy) } else { Ok(waiter) }
    }
}

/// A place in the queue.
struct Waiter<'a>(&'a AtomicUsize);

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn compare(password: &Secret<String>, check: Check) -> bool {
    let password = password.expose().as_bytes();
    match check {
        Check::Against(StoredHash::Argon2(hash, _)) => {
            Argon2::default().verify_password(password, &*hash).is_ok()
        }
        Check::Against(StoredHash::Bcrypt(hash, _)) => bcrypt::verify(password, &hash).unwrap_or(false),
        Check::Pretend(Cost::Argon2(params)) => {
            let wasted: Result<PasswordHash, _> =
                hasher(params).hash_password_with_salt(password, NOBODYS_SALT);
            std::hint::black_box(wasted).is_ok_and(|_| false)
        }
        Check::Pretend(Cost::Bcrypt(cost)) => {
            let wasted = bcrypt::hash_with_salt(password, cost, *NOBODYS_SALT);
            std::hint::black_box(wasted).is_ok_and(|_| false)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cheap() -> Params {
        Params::new(8, 1, 1, None).unwrap()
    }

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    fn hash_of(password: &str) -> Check {
        let hash = hasher(cheap()).hash_password_with_salt(password.as_bytes(), b"saltsaltsaltsalt");
        Check::Against(StoredHash::Argon2(Arc::new(hash.unwrap()), cheap()))
    }

    fn bcrypt_of(password: &str) -> Check {
        let hash = bcrypt::hash_with_salt(password, 4, *b"saltsaltsaltsalt").unwrap();
        Check::Against(StoredHash::Bcrypt(hash.to_string().into(), 4))
    }

    #[test]
    fn a_hash_says_how_it_was_made() {
        let hash = hash_password(&secret("tiger")).unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_ne!(hash, hash_password(&secret("tiger")).unwrap(), "each has a salt of its own");
    }

    #[tokio::test]
    async fn a_password_counts_exactly_as_it_was_given() {
        let queue = PasswordQueue::new(None);
        let long = "ä".repeat(LONGEST_PASSWORD / 2);
        for (hashed, given, is_right) in [
            ("tiger", "tiger", true),
            ("tiger", "tiger ", false),
            ("tiger", "Tiger", false),
            (&long, &long, true),
            (&long, &long[..long.len() - 2], false),
        ] {
            assert_eq!(queue.verify(secret(given), hash_of(hashed)).await, Ok(is_right));
        }
        for cost in [Cost::Argon2(cheap()), Cost::Bcrypt(4)] {
            assert_eq!(queue.verify(secret("tiger"), Check::Pretend(cost)).await, Ok(false));
        }
    }

    #[tokio::test]
    async fn bcrypt_hashes_count_up_to_their_last_byte() {
        let queue = PasswordQueue::new(None);
        let longest = "x".repeat(LONGEST_FOR_BCRYPT);
        for (hashed, given, is_right) in [
            ("tiger", "tiger", true),
            ("tiger", "Tiger", false),
            (&longest, &longest, true),
            (&longest, &longest[1..], false),
        ] {
            assert_eq!(queue.verify(secret(given), bcrypt_of(hashed)).await, Ok(is_right), "{given}");
        }
    }

    #[tokio::test]
    async fn beyond_the_queue_nobody_waits() {
        let queue = Arc::new(PasswordQueue::new(NonZeroUsize::new(1)));
        let all_taken = Arc::clone(&queue.permits).acquire_owned().await.unwrap();
        let attempts: Vec<_> = (0..100)
            .map(|_| {
                let queue = Arc::clone(&queue);
                tokio::spawn(async move { queue.verify(secret("x"), hash_of("x")).await })
            })
            .collect();
        while queue.waiting.load(Ordering::SeqCst) < WAITING_PER_PERMIT {
            tokio::task::yield_now().await;
        }
        drop(all_taken);
        let mut right = 0;
        let mut busy = 0;
        for attempt in attempts {
            match attempt.await.unwrap() {
                Ok(true) => right += 1,
                Err(AuthError::Busy) => busy += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((right, busy), (WAITING_PER_PERMIT, 100 - WAITING_PER_PERMIT));
        assert_eq!(queue.waiting.load(Ordering::SeqCst), 0);
    }
}
