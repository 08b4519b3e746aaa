//! The ids that a request's cookies vouch for, before the store is asked.

use super::id::SessionId;
use super::value::{ValueFault, Vouched};
use crate::base::signed::Verified;

/// So many cookies of one name are looked at; more are somebody's attempt to make us work.
pub(super) const COOKIES_CHECKED: usize = 4;

/// What the cookies of one name carry.
#[derive(Debug)]
pub(super) struct Carried {
    /// The ids, each once.
    pub(super) presented: Vec<Presented>,
    /// What is wrong with the values that vouch for none.
    pub(super) faults: Vec<ValueFault>,
}

/// An id that a cookie vouches for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Presented {
    /// The id.
    pub(super) id: SessionId,
    /// Under which secret it is signed.
    pub(super) under: Verified,
}

impl Carried {
    /// What `read` makes of the first few `values`.
    pub(super) fn read<'a>(
        values: impl Iterator<Item = &'a [u8]>,
        read: impl Fn(&[u8]) -> Result<Vouched, ValueFault>,
    ) -> Self {
        let mut carried = Self { presented: Vec::new(), faults: Vec::new() };
        for value in values.take(COOKIES_CHECKED) {
            match read(value) {
                Ok(vouched) => carried.add(vouched),
                Err(fault) => carried.faults.push(fault),
            }
        }
        carried
    }

    /// Two values for one id are one; the newer signature stands for both.
    fn add(&mut self, vouched: Vouched) {
        let id = SessionId::from_bytes(vouched.id);
        match self.presented.iter_mut().find(|other| other.id == id) {
            Some(other) if vouched.under == Verified::Current => other.under = Verified::Current,
            Some(_) => {}
            None => self.presented.push(Presented { id, under: vouched.under }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::secret::Secret;

    fn read(values: &[&str]) -> Carried {
        Carried::read(values.iter().map(|value| value.as_bytes()), |value| match value {
            [id, key @ (b'c' | b'p')] => Ok(Vouched {
                id: Secret::new([*id; 32]),
                under: if *key == b'c' { Verified::Current } else { Verified::Previous },
            }),
            _ => Err(ValueFault::Malformed),
        })
    }

    fn presented(id: u8, under: Verified) -> Presented {
        Presented { id: SessionId::from_bytes(Secret::new([id; 32])), under }
    }

    #[test]
    fn one_id_under_two_secrets_is_one_under_the_current() {
        let (a, b) = (presented(b'a', Verified::Current), presented(b'b', Verified::Previous));
        for values in [["ac", "ap", "bp", "bp"], ["ap", "ac", "bp", "x"], ["ap", "x", "bp", "ac"]] {
            let carried = read(&values);
            assert_eq!(carried.presented.iter().collect::<Vec<_>>(), [&a, &b], "{values:?}");
        }
    }

    #[test]
    fn beyond_four_nothing_is_looked_at() {
        let carried = read(&["x", "x", "x", "ac", "bc", "x"]);
        assert_eq!(carried.presented, [presented(b'a', Verified::Current)]);
        assert_eq!(carried.faults, [ValueFault::Malformed; 3]);
    }
}
