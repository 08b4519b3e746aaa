//! The record that lies in the store: JSON that an operator can read and nobody else can write.
//!
//! `{"seen":1763800000,` … `,"mac":"…"}`: `seen` stands first and has a fixed width, so that a use is recorded
//! in place; the tag covers the handle and every byte between the two members.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::id::{SessionId, VerifierKey};
use super::opened::{Opened, Ordered, Previous};
use super::{Lifetimes, Remember, Session};
use crate::base::base64url;
use crate::base::clock::Timestamp;
use crate::base::handle::Handle;
use crate::base::identity::{Account, Identity};
use crate::base::signed::Signer;

const SEEN: &[u8] = b"{\"seen\":";
const SEEN_DIGITS: usize = 10;
const MAC: &[u8] = b",\"mac\":\"";
const MAC_LENGTH: usize = 43;
const END: &[u8] = b"\"}";

/// Where in a record the digits of `seen` stand.
pub(super) const SEEN_OFFSET: usize = SEEN.len();

/// The format that this program writes.
const VERSION: u32 = 1;

/// Seals sessions into records and opens them again.
#[derive(Debug)]
pub(super) struct Records {
    signer: Signer,
    lifetimes: Lifetimes,
}

/// What a login adds to the identity.
#[derive(Clone, Debug)]
pub(super) struct LoginFacts {
    /// When it happened.
    pub(super) at: Timestamp,
    /// The client's address.
    pub(super) address: String,
    /// What the client called itself.
    pub(super) user_agent: Option<String>,
    /// Whether the user asked to stay signed in.
    pub(super) remember: Remember,
}

/// Why bytes from the store are no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RecordFault {
    /// It does not have a record's form.
    #[error("the record is garbage")]
    Garbage,
    /// Somebody else wrote it, or wrote it for another session.
    #[error("the record's tag does not fit")]
    Forged,
    /// A newer program wrote it, and says that this one cannot read it.
    #[error("the record's version is newer than this program can read")]
    TooNew,
}

/// The members between `seen` and `mac`, in the order in which they are written.
#[derive(Serialize, Deserialize)]
struct Members {
    v: u32,
    /// The oldest version whose readers understand it.
    reader: u32,
    provider: String,
    subject: String,
    user: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    groups: Vec<String>,
    logged_in_at: i64,
    factors: Vec<String>,
    expires_at: i64,
    address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
    remember: bool,
    key: String,
    /// When the present key came, where it is not the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    rotated_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev: Option<Prev>,
}

/// The verifier before the present one.
#[derive(Serialize, Deserialize)]
struct Prev {
    key: String,
    /// The present id, sealed for who bears the one before.
    next: String,
    /// It counts until then; no end where the present one has not been used yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<i64>,
}

impl Records {
    /// Records under `signer`, for sessions of these `lifetimes`.
    pub(super) fn new(signer: Signer, lifetimes: Lifetimes) -> Self {
        Self { signer, lifetimes }
    }

    /// The record of a session that begins with this login.
    pub(super) fn seal(&self, id: &SessionId, identity: &Identity, login: &LoginFacts) -> Vec<u8> {
        let members = Members {
            v: VERSION,
            reader: VERSION,
            provider: identity.account.provider.clone(),
            subject: identity.account.subject.clone(),
            user: identity.user.clone(),
            email: identity.email.clone(),
            name: identity.name.clone(),
            groups: identity.groups.clone(),
            logged_in_at: login.at.seconds(),
            factors: vec!["password".to_owned()],
            expires_at: login.at.plus(self.lifetimes.of(login.remember).absolute).seconds(),
            address: login.address.clone(),
            user_agent: login.user_agent.clone(),
            remember: login.remember == Remember::Yes,
            key: id.key().text(),
            rotated_at: None,
            prev: None,
        };
        let json = serde_json::to_vec(&members).expect("strings and numbers are always JSON");
        self.tagged(&id.handle(), &seen_digits(login.at), &json)
    }

    /// The record after `previous` gave way to its successor at `at`: tagged anew, members that this program does not
    /// know kept.
    ///
    /// # Errors
    /// Where `record` is none.
    pub(super) fn rotated(
        &self,
        record: &[u8],
        previous: &SessionId,
        next: &Successor,
        at: Timestamp,
    ) -> Result<Vec<u8>, RecordFault> {
        let prev = Prev { key: previous.key().text(), next: base64url::encode(&next.sealed), until: None };
        self.changed(&previous.handle(), record, |members| {
            members.insert("key".to_owned(), next.id.key().text().into());
            members.insert("rotated_at".to_owned(), at.seconds().into());
            members.insert("prev".to_owned(), serde_json::to_value(prev).expect("three members are JSON"));
        })
    }

    /// The record after the present verifier was used: the one before counts until `until`.
    ///
    /// # Errors
    /// Where `record` is none.
    pub(super) fn settled(
        &self,
        handle: &Handle,
        record: &[u8],
        until: Timestamp,
    ) -> Result<Vec<u8>, RecordFault> {
        self.changed(handle, record, |members| {
            if let Some(Value::Object(prev)) = members.get_mut("prev") {
                prev.insert("until".to_owned(), until.seconds().into());
            }
        })
    }

    /// The record without the verifier before the present one.
    ///
    /// # Errors
    /// Where `record` is none.
    pub(super) fn without_previous(&self, handle: &Handle, record: &[u8]) -> Result<Vec<u8>, RecordFault> {
        self.changed(handle, record, |members| {
            members.remove("prev");
        })
    }

    fn changed(
        &self,
        handle: &Handle,
        record: &[u8],
        change: impl FnOnce(&mut Map<String, Value>),
    ) -> Result<Vec<u8>, RecordFault> {
        let inner = self.verified(handle, record)?.inner;
        let json = [b"{", inner, b"}"].concat();
        let mut members = serde_json::from_slice(&json).map_err(|_| RecordFault::Garbage)?;
        change(&mut members);
        let json = serde_json::to_vec(&members).expect("what was JSON still is");
        let digits = &record[SEEN_OFFSET..SEEN_OFFSET + SEEN_DIGITS];
        Ok(self.tagged(handle, digits, &json))
    }

    /// `json` as a record of ours.
    pub(super) fn tagged(&self, handle: &Handle, seen: &[u8], json: &[u8]) -> Vec<u8> {
        let inner = &json[1..json.len() - 1];
        let mac = base64url::encode(self.signer.tag(&[handle.to_string().as_bytes(), inner]));
        [SEEN, seen, b",", inner, MAC, mac.as_bytes(), END].concat()
    }

    fn verified<'a>(&self, handle: &Handle, record: &'a [u8]) -> Result<Parts<'a>, RecordFault> {
        let parts = split(record).ok_or(RecordFault::Garbage)?;
        let mac: [u8; 32] = base64url::decode_array(parts.mac).ok_or(RecordFault::Garbage)?;
        let tag = self.signer.verify(&[handle.to_string().as_bytes(), parts.inner], &mac);
        tag.map(|_| parts).ok_or(RecordFault::Forged)
    }

    /// Opens the record that lies under `handle`. Whether the session is still alive, and the bearer's
    /// verifier the right one, is for the caller to judge.
    pub(super) fn open(&self, handle: &Handle, record: &[u8], now: Timestamp) -> Result<Opened, RecordFault> {
        let Parts { seen, inner, .. } = self.verified(handle, record)?;
        let members = read_members(inner)?;
        let key = VerifierKey::parse(&members.key).ok_or(RecordFault::Garbage)?;
        let previous = members.prev.as_ref().map(previous).transpose()?;
        let rotated_at = Timestamp::from_seconds(members.rotated_at.unwrap_or(members.logged_in_at));
        // Another proxy's clock may be ahead of ours; what counts is that it was no later than now.
        let session = Arc::new(self.session(*handle, seen.min(now), members));
        Ok(Opened { session, key, rotated_at, previous, ordered: Ordered::default() })
    }

    fn session(&self, handle: Handle, seen: Timestamp, members: Members) -> Session {
        let remember = if members.remember { Remember::Yes } else { Remember::No };
        Session {
            handle,
            identity: Identity {
                account: Account { provider: members.provider, subject: members.subject },
                user: members.user,
                name: members.name,
                email: members.email,
                groups: members.groups,
            },
            logged_in_at: Timestamp::from_seconds(members.logged_in_at),
            last_seen_at: seen,
            address: members.address,
            user_agent: members.user_agent,
            remember,
            idle_timeout: self.lifetimes.of(remember).idle,
            ends_at: Timestamp::from_seconds(members.expires_at),
        }
    }
}

/// An id that takes another's place.
#[derive(Debug)]
pub(super) struct Successor {
    pub(super) id: SessionId,
    /// The same, for who bears the other.
    pub(super) sealed: Vec<u8>,
}

/// A record, taken apart.
struct Parts<'a> {
    seen: Timestamp,
    inner: &'a [u8],
    mac: &'a [u8],
}

fn previous(prev: &Prev) -> Result<Previous, RecordFault> {
    let key = VerifierKey::parse(&prev.key).ok_or(RecordFault::Garbage)?;
    let next = base64url::decode(prev.next.as_bytes()).ok_or(RecordFault::Garbage)?;
    Ok(Previous { key, next, until: prev.until.map(Timestamp::from_seconds) })
}

/// The ten digits of a use at `at`.
pub(super) fn seen_digits(at: Timestamp) -> [u8; SEEN_DIGITS] {
    let seconds = u64::try_from(at.seconds()).unwrap_or(0);
    std::array::from_fn(|place| {
        let power = u32::try_from(SEEN_DIGITS - 1 - place).expect("ten digits");
        b'0' + u8::try_from(seconds / 10_u64.pow(power) % 10).expect("one digit")
    })
}

fn split(record: &[u8]) -> Option<Parts<'_>> {
    let rest = record.strip_prefix(SEEN)?;
    let (digits, rest) = rest.split_at_checked(SEEN_DIGITS)?;
    let rest = rest.strip_prefix(b",")?.strip_suffix(END)?;
    let (rest, mac) = rest.split_at_checked(rest.len().checked_sub(MAC_LENGTH)?)?;
    let inner = rest.strip_suffix(MAC)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let seconds = digits.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    Some(Parts { seen: Timestamp::from_seconds(seconds), inner, mac })
}

fn read_members(inner: &[u8]) -> Result<Members, RecordFault> {
    #[derive(Deserialize)]
    struct Version {
        reader: u32,
    }
    let json = [b"{", inner, b"}"].concat();
    let version: Version = serde_json::from_slice(&json).map_err(|_| RecordFault::Garbage)?;
    if version.reader > VERSION {
        return Err(RecordFault::TooNew);
    }
    serde_json::from_slice(&json).map_err(|_| RecordFault::Garbage)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Lifetime;
    use super::super::opened::Standing;
    use super::*;
    use crate::base::random::Random;
    use crate::base::secret::Secret;
    use crate::base::signed::{Purpose, Secrets};

    const NOW: Timestamp = Timestamp::from_seconds(1_763_800_000);

    const HOUR: Duration = Duration::from_secs(3_600);
    const DAY: Duration = Duration::from_secs(86_400);
    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn records() -> Records {
        let lifetimes = Lifetimes {
            ordinary: Lifetime { idle: HOUR, absolute: DAY },
            remembered: Lifetime { idle: 2 * DAY, absolute: 9 * DAY },
        };
        Records::new(signer(&[SECRET]), lifetimes)
    }

    /// The first secret signs.
    fn signer(secrets: &[&[u8]]) -> Signer {
        let mut secrets = secrets.iter().map(|secret| Secret::new(secret.to_vec()));
        let current = secrets.next().unwrap();
        Signer::derive(&Secrets { current, previous: secrets.collect() }, Purpose::Record)
    }

    fn alice() -> Identity {
        Identity {
            account: Account::local("alice"),
            user: "alice".to_owned(),
            name: Some("Alice \"A.\" Ärmel".to_owned()),
            email: None,
            groups: vec!["staff".to_owned(), "admins".to_owned()],
        }
    }

    fn sealed(id: &SessionId) -> Vec<u8> {
        sealed_by_a_login(id, Remember::No)
    }

    fn sealed_by_a_login(id: &SessionId, remember: Remember) -> Vec<u8> {
        let login = LoginFacts { at: NOW, address: "192.0.2.7".to_owned(), user_agent: None, remember };
        records().seal(id, &alice(), &login)
    }

    #[test]
    fn a_record_opens_as_it_was_sealed_and_is_plain_json() {
        let id = SessionId::new(Random::system());
        let record = sealed(&id);
        let opened = records().open(&id.handle(), &record, NOW).unwrap();
        assert_eq!(opened.session.identity, alice());
        assert_eq!(opened.session.last_seen_at, NOW);
        assert_eq!((opened.session.idle_timeout, opened.session.ends_at), (HOUR, NOW.plus(DAY)));
        assert!(matches!(opened.standing(&id, NOW), Some(Standing::Present)));
        let json: serde_json::Value = serde_json::from_slice(&record).unwrap();
        assert_eq!(json["seen"], 1_763_800_000);
        assert_eq!(json["user"], "alice");
        assert!(record.starts_with(b"{\"seen\":1763800000,"));
    }

    #[test]
    fn a_remembered_session_has_timeouts_of_its_own() {
        let id = SessionId::new(Random::system());
        let record = sealed_by_a_login(&id, Remember::Yes);
        let session = records().open(&id.handle(), &record, NOW).unwrap().session;
        assert_eq!(session.remember, Remember::Yes);
        assert_eq!((session.idle_timeout, session.ends_at), (2 * DAY, NOW.plus(9 * DAY)));
        let text = String::from_utf8(record).unwrap();
        assert!(text.contains(",\"remember\":true,"), "{text}");
    }

    #[test]
    fn a_record_sealed_under_a_previous_secret_still_opens() {
        let id = SessionId::new(Random::system());
        let open = |secrets: &[&[u8]]| {
            let records = Records { signer: signer(secrets), ..records() };
            records.open(&id.handle(), &sealed(&id), NOW).map(drop)
        };
        assert_eq!(open(&[b"new", SECRET]), Ok(()));
        assert_eq!(open(&[b"new"]), Err(RecordFault::Forged));
    }

    #[test]
    fn a_record_holds_no_credential() {
        let id = SessionId::new(Random::system());
        let record = String::from_utf8(sealed(&id)).unwrap();
        let text = base64url::encode(id.bytes().expose());
        assert!(!record.contains(&text));
        assert!(!record.contains(&text[..21]) && !record.contains(&text[22..]));
    }

    #[test]
    fn a_change_of_any_byte_but_seen_is_noticed() {
        let id = SessionId::new(Random::system());
        let record = sealed(&id);
        for at in (0..record.len()).filter(|at| !(SEEN_OFFSET..SEEN_OFFSET + SEEN_DIGITS).contains(at)) {
            for flip in [1, 0x20, 0x80] {
                let mut changed = record.clone();
                changed[at] ^= flip;
                assert!(records().open(&id.handle(), &changed, NOW).is_err(), "byte {at} ^ {flip:#x}");
            }
        }
    }

    #[test]
    fn a_record_of_another_session_or_secret_is_forged() {
        let (one, other) = (SessionId::new(Random::system()), SessionId::new(Random::system()));
        let fault = |records: Records| records.open(&other.handle(), &sealed(&one), NOW).unwrap_err();
        assert_eq!(fault(records()), RecordFault::Forged);
        assert_eq!(fault(Records { signer: signer(&[&[9; 32]]), ..records() }), RecordFault::Forged);
    }

    #[test]
    fn garbage_of_every_kind_is_refused() {
        let handle = SessionId::new(Random::system()).handle();
        let cases: [&[u8]; 7] = [
            b"",
            b"{}",
            b"null",
            b"{\"seen\":17638000xx,\"v\":1}",
            b"{\"seen\":1763800000,\"mac\":\"\"}",
            b"\xff\xfe\x00",
            &b"{".repeat(100_000),
        ];
        for case in cases {
            let fault = records().open(&handle, case, NOW).unwrap_err();
            assert_eq!(
                fault,
                RecordFault::Garbage,
                "{:?}",
                String::from_utf8_lossy(&case[..case.len().min(40)])
            );
        }
    }

    #[test]
    fn a_use_by_a_proxy_whose_clock_is_ahead_was_now() {
        let id = SessionId::new(Random::system());
        let mut record = sealed(&id);
        record[SEEN_OFFSET..SEEN_OFFSET + SEEN_DIGITS].copy_from_slice(b"9999999999");
        let session = records().open(&id.handle(), &record, NOW).unwrap().session;
        assert_eq!(session.last_seen_at, NOW);
    }

    #[test]
    fn a_record_for_newer_readers_is_told_from_a_forged_one() {
        let id = SessionId::new(Random::system());
        let inner = br#""v":9,"reader":9,"shape":"unknown""#;
        let mac = base64url::encode(records().signer.tag(&[id.handle().to_string().as_bytes(), inner]));
        let record = [SEEN, b"1763800000,", inner, MAC, mac.as_bytes(), END].concat();
        assert_eq!(records().open(&id.handle(), &record, NOW).unwrap_err(), RecordFault::TooNew);
    }

    #[test]
    fn seen_has_ten_digits() {
        assert_eq!(&seen_digits(NOW), b"1763800000");
        assert_eq!(&seen_digits(Timestamp::from_seconds(7)), b"0000000007");
    }
}
