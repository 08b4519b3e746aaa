//! A walk over the masters of a Cluster, in the words of a cursor.

use std::fmt;

use crate::config::RedisEndpoint;

/// Where a walk is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Walk {
    /// How many walks there were before, whose slots changed their owners meanwhile.
    pub(super) before: u32,
    /// Who owned what when it began.
    pub(super) owners: u64,
    /// Where to go on at the first of `left`; empty: at the beginning.
    pub(super) place: String,
    /// The masters that are left.
    pub(super) left: Vec<RedisEndpoint>,
}

impl Walk {
    /// What [`Walk`]'s text says; `None` where it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut words = text.splitn(4, ' ');
        let (before, owners) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let left = words.next()?.split(',').map(endpoint).collect::<Option<Vec<_>>>()?;
        // A place has words of its own.
        Some(Self { before, owners, place: words.next()?.to_owned(), left })
    }

    /// One step further: to `place`, or to the next master. Says whether there is anything left.
    pub(super) fn goes_on(&mut self, place: Option<String>) -> bool {
        if place.is_none() {
            self.left.remove(0);
        }
        self.place = place.unwrap_or_default();
        !self.left.is_empty()
    }
}

impl fmt::Display for Walk {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left: Vec<String> = self.left.iter().map(ToString::to_string).collect();
        write!(out, "{} {} {} {}", self.before, self.owners, left.join(","), self.place)
    }
}

fn endpoint(text: &str) -> Option<RedisEndpoint> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Some(RedisEndpoint { host, port: port.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: &str, port: u16) -> RedisEndpoint {
        RedisEndpoint { host: host.to_owned(), port }
    }

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let mut walk = Walk {
            before: 2,
            owners: u64::MAX,
            place: String::new(),
            left: vec![at("a.test", 1), at("::1", 7000)],
        };
        assert_eq!(Walk::parse(&walk.to_string()), Some(walk.clone()));
        assert!(walk.goes_on(Some("a mark 17".to_owned())));
        assert_eq!(Walk::parse(&walk.to_string()), Some(walk.clone()));
        assert!(walk.goes_on(None));
        assert_eq!((walk.place.as_str(), &*walk.left), ("", &[at("::1", 7000)][..]));
        assert!(!walk.goes_on(None));
        for text in ["", "0", "0 1", "0 1 a:1", "x 1 a:1 ", "0 1 a ", "0 1  "] {
            assert_eq!(Walk::parse(text), None, "{text}");
        }
    }
}
