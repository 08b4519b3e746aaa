//! The signed value that a cookie carries: `id.timestamp.signature`.

use std::time::Duration;

use crate::base::base64url;
use crate::base::clock::Timestamp;
use crate::base::secret::Secret;
use crate::base::signed::{Signer, Verified};

/// How far in the future a timestamp may lie: proxies' clocks differ.
const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// Id and signature are 32 bytes each, the timestamp eight at most.
const LONGEST: usize = 43 + 1 + 11 + 1 + 43;

/// What a value vouches for: 32 random bytes.
pub(super) type Id = Secret<[u8; 32]>;

/// What a value of ours says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Vouched {
    /// What it vouches for.
    pub(super) id: Id,
    /// Under which secret it does.
    pub(super) under: Verified,
}

/// Why a value is no proof of anything. It has cost no more than one HMAC a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueFault {
    /// Not of the form, or not in its canonical form.
    Malformed,
    /// The signature is not ours, or made for another cookie or host.
    Forged,
    /// Signed by us, but from the future or older than any session can be.
    Aged,
}

/// Signs and checks values for one cookie name.
#[derive(Debug)]
pub(super) struct SignedValues {
    signer: Signer,
    cookie_name: String,
    longest_life: Duration,
}

impl SignedValues {
    /// `longest_life` is the longest absolute timeout.
    pub(super) fn new(signer: Signer, cookie_name: String, longest_life: Duration) -> Self {
        Self { signer, cookie_name, longest_life }
    }

    /// A value for `id`, good for `host` (lower case, without port; or the cookie's domain).
    pub(super) fn issue(&self, id: &Id, host: &str, now: Timestamp) -> Secret<String> {
        let id = Secret::new(base64url::encode(id.expose()));
        let timestamp = timestamp_text(now.seconds());
        let signature = self.signer.tag(&self.fields(host, id.expose().as_bytes(), timestamp.as_bytes()));
        Secret::new(format!("{}.{timestamp}.{}", id.expose(), base64url::encode(signature)))
    }

    /// What `value` vouches for.
    ///
    /// # Errors
    /// The first thing that is wrong with it, in the order form, signature, age.
    pub(super) fn read(&self, value: &[u8], host: &str, now: Timestamp) -> Result<Vouched, ValueFault> {
        let (id_text, timestamp_text, signature) = split(value).ok_or(ValueFault::Malformed)?;
        let id = Secret::new(base64url::decode_array(id_text).ok_or(ValueFault::Malformed)?);
        let seconds = timestamp_seconds(timestamp_text).ok_or(ValueFault::Malformed)?;
        let signature: [u8; 32] = base64url::decode_array(signature).ok_or(ValueFault::Malformed)?;
        let fields = self.fields(host, id_text, timestamp_text);
        let under = self.signer.verify(&fields, &signature).ok_or(ValueFault::Forged)?;
        let issued = Timestamp::from_seconds(seconds);
        if issued > now.plus(CLOCK_SKEW) || now.since(issued) > self.longest_life {
            return Err(ValueFault::Aged);
        }
        Ok(Vouched { id, under })
    }

    fn fields<'a>(&'a self, host: &'a str, id: &'a [u8], timestamp: &'a [u8]) -> [&'a [u8]; 4] {
        [self.cookie_name.as_bytes(), host.as_bytes(), id, timestamp]
    }
}

fn split(value: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    if value.len() > LONGEST {
        return None;
    }
    let mut parts = value.split(|byte| *byte == b'.');
    let three = (parts.next()?, parts.next()?, parts.next()?);
    parts.next().is_none().then_some(three)
}

/// Base64url of the big-endian bytes without leading zeros.
fn timestamp_text(seconds: i64) -> String {
    let bytes = seconds.to_be_bytes();
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    base64url::encode(&bytes[zeros..])
}

fn timestamp_seconds(text: &[u8]) -> Option<i64> {
    let bytes = base64url::decode(text)?;
    if bytes.first().is_none_or(|first| *first == 0) || bytes.len() > 8 {
        return None;
    }
    let number = bytes.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    i64::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::signed::{Purpose, Secrets};

    const NOW: Timestamp = Timestamp::from_seconds(1_763_800_000);
    const DAY: Duration = Duration::from_secs(86_400);

    fn values(name: &str) -> SignedValues {
        let current = Secret::new(b"0123456789abcdef0123456789abcdef".to_vec());
        let secrets = Secrets { current, previous: Vec::new() };
        SignedValues::new(Signer::derive(&secrets, Purpose::SessionCookie), name.to_owned(), DAY)
    }

    fn issued() -> String {
        values("session").issue(&Secret::new([7; 32]), "app.test", NOW).expose().clone()
    }

    #[test]
    fn a_value_reads_back_for_its_host_and_name_only() {
        let value = issued();
        let read = |name: &str, host| values(name).read(value.as_bytes(), host, NOW);
        let vouched = Vouched { id: Secret::new([7; 32]), under: Verified::Current };
        assert_eq!(read("session", "app.test"), Ok(vouched));
        assert_eq!(read("session", "other.test"), Err(ValueFault::Forged));
        assert_eq!(read("other", "app.test"), Err(ValueFault::Forged));
    }

    #[test]
    fn every_single_bit_change_is_refused() {
        let value = issued();
        for at in 0..value.len() {
            for bit in 0..8 {
                let mut changed = value.clone().into_bytes();
                changed[at] ^= 1 << bit;
                assert!(values("session").read(&changed, "app.test", NOW).is_err(), "byte {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn anything_but_three_canonical_parts_is_malformed() {
        let value = issued();
        let (id, rest) = value.split_once('.').unwrap();
        let signature = rest.split_once('.').unwrap().1;
        let cases = [
            String::new(),
            id.to_owned(),
            format!("{value}."),
            format!("{value}.x"),
            format!("{value}="),
            format!(" {value}"),
            format!("\"{value}\""),
            format!("{id}..{signature}"),
            format!("{id}.AGkh.{signature}"),
            format!("{id}.{}.{signature}", "A".repeat(12)),
            "ü".repeat(50),
            "A".repeat(100_000),
        ];
        for case in cases {
            let read = values("session").read(case.as_bytes(), "app.test", NOW);
            assert_eq!(read, Err(ValueFault::Malformed), "{case:.120}");
        }
    }

    #[test]
    fn a_value_is_good_from_a_minute_before_its_issue_to_the_longest_life_after() {
        let value = issued();
        let read = |now| values("session").read(value.as_bytes(), "app.test", now).map(drop);
        let second = Duration::from_secs(1);
        assert_eq!(read(NOW.minus(CLOCK_SKEW)), Ok(()));
        assert_eq!(read(NOW.minus(CLOCK_SKEW + second)), Err(ValueFault::Aged));
        assert_eq!(read(NOW.plus(DAY)), Ok(()));
        assert_eq!(read(NOW.plus(DAY + second)), Err(ValueFault::Aged));
    }

    #[test]
    fn a_timestamp_has_one_form() {
        assert_eq!(timestamp_text(1_763_800_000), "aSFzwA");
        assert_eq!(timestamp_seconds(b"aSFzwA"), Some(1_763_800_000));
        assert_eq!(timestamp_seconds(b""), None);
        assert_eq!(timestamp_seconds(b"AGkhc8A"), None, "a leading zero");
        assert_eq!(timestamp_seconds(b"__________8"), None, "beyond what is counted");
    }
}
