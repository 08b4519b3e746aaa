//! What holds of every cookie and every record, whoever wrote them. See [`crate::fuzzing`].

use std::time::Duration;

use super::id::SessionId;
use super::record::{LoginFacts, Records, SEEN_OFFSET, seen_digits};
use super::value::SignedValues;
use super::{Lifetime, Lifetimes, Remember};
use crate::base::clock::Timestamp;
use crate::base::identity::{Account, Identity};
use crate::base::secret::Secret;
use crate::base::signed::{Purpose, Secrets, Signer};

const NOW: Timestamp = Timestamp::from_seconds(1_763_800_000);
const DAY: Duration = Duration::from_secs(86_400);

/// A value vouches for an id only as it was issued, byte for byte. The input is a value, and a change to a good one.
pub fn session_cookie(data: &[u8]) {
    let values = SignedValues::new(signer(Purpose::SessionCookie), "__Host-session".to_owned(), DAY);
    let id = Secret::new([7; 32]);
    let issued = values.issue(&id, "app.test", NOW);
    assert!(values.read(issued.expose().as_bytes(), "app.test", NOW).is_ok_and(|vouched| vouched.id == id));
    for value in [data.to_vec(), spliced(issued.expose().as_bytes(), data)] {
        let is_issued = value == issued.expose().as_bytes();
        assert_eq!(values.read(&value, "app.test", NOW).is_ok(), is_issued);
        assert!(values.read(&value, "other.test", NOW).is_err());
    }
}

/// A record opens only as it was sealed, but for its latest use; one with our tag and whatever members keeps who it is
/// for. The input is a record, a change to a good one, and members.
pub fn record(data: &[u8]) {
    let lifetime = Lifetime { idle: DAY, absolute: DAY };
    let records =
        Records::new(signer(Purpose::Record), Lifetimes { ordinary: lifetime, remembered: lifetime });
    let id = SessionId::from_bytes(Secret::new([7; 32]));
    let login =
        LoginFacts { at: NOW, address: "192.0.2.7".to_owned(), user_agent: None, remember: Remember::No };
    let sealed = records.seal(&id, &alice(), &login);
    assert!(records.open(&id.handle(), &sealed, NOW).is_ok());
    for record in [data.to_vec(), spliced(&sealed, data)] {
        let is_ours = without_seen(&record) == without_seen(&sealed);
        assert!(is_ours || records.open(&id.handle(), &record, NOW).is_err());
    }
    let tagged = records.tagged(&id.handle(), &seen_digits(NOW), &[b"{", data, b"}"].concat());
    let Ok(opened) = records.open(&id.handle(), &tagged, NOW) else { return };
    let changes =
        [records.settled(&id.handle(), &tagged, NOW), records.without_previous(&id.handle(), &tagged)];
    for changed in changes.into_iter().flatten() {
        let again = records.open(&id.handle(), &changed, NOW).expect("what we wrote can be read");
        assert_eq!(again.session.identity, opened.session.identity);
        assert_eq!(again.session.ends_at, opened.session.ends_at);
    }
}

/// `text` with something else in the place of a few of its bytes: the first byte of the change says where, the second
/// how many.
fn spliced(text: &[u8], change: &[u8]) -> Vec<u8> {
    let [at, length, new @ ..] = change else { return text.to_vec() };
    let at = usize::from(*at).min(text.len());
    let after = (at + usize::from(*length)).min(text.len());
    [&text[..at], new, &text[after..]].concat()
}

fn without_seen(record: &[u8]) -> Option<(&[u8], &[u8])> {
    let (start, rest) = record.split_at_checked(SEEN_OFFSET)?;
    Some((start, rest.get(seen_digits(NOW).len()..)?))
}

fn signer(purpose: Purpose) -> Signer {
    let current = Secret::new(b"0123456789abcdef0123456789abcdef".to_vec());
    Signer::derive(&Secrets { current, previous: Vec::new() }, purpose)
}

fn alice() -> Identity {
    Identity {
        account: Account::local("alice"),
        user: "alice".to_owned(),
        name: None,
        email: None,
        groups: vec!["staff".to_owned()],
    }
}
