//! Which master counts: the one that more than half of the sentinels name. A minority may be cut off from the
//! others, or lie.

use std::collections::{BTreeMap, BTreeSet};

use deadpool_redis::redis::{ErrorKind, RedisError, RedisResult, ServerErrorKind};

use crate::config::RedisEndpoint;

/// What a sentinel says.
#[derive(Clone, Debug)]
pub(super) struct Ballot {
    /// Its own id.
    pub(super) id: String,
    /// The master; `None` where it knows none of that name.
    pub(super) master: Option<RedisEndpoint>,
    /// The other sentinels that it knows, by their ids.
    pub(super) others: BTreeMap<String, RedisEndpoint>,
}

/// What comes of all that is said.
#[derive(Debug)]
pub(super) enum Outcome {
    Elected(RedisEndpoint),
    /// Not everybody has been heard.
    Open,
    Nobody(RedisError),
}

/// The sentinels that the URL names, and those that a majority of them knows besides.
#[derive(Debug)]
pub(super) struct Election {
    named: Vec<RedisEndpoint>,
    /// What each said last; an error where it has been silent for too long.
    ballots: BTreeMap<RedisEndpoint, RedisResult<Ballot>>,
}

impl Election {
    pub(super) fn among(named: Vec<RedisEndpoint>) -> Self {
        Self { named, ballots: BTreeMap::new() }
    }

    /// What somebody says of whom nobody knows any more does not count.
    pub(super) fn cast(&mut self, sentinel: RedisEndpoint, ballot: RedisResult<Ballot>) {
        self.ballots.insert(sentinel, ballot);
        let seats = self.seats();
        self.ballots.retain(|sentinel, _| seats.contains(sentinel));
    }

    /// All sentinels that have to be asked.
    pub(super) fn seats(&self) -> BTreeSet<RedisEndpoint> {
        self.named.iter().cloned().chain(self.known_besides().into_values()).collect()
    }

    pub(super) fn outcome(&self) -> Outcome {
        let mut votes = BTreeMap::<_, usize>::new();
        for master in self.voters().filter_map(|ballot| ballot.master.as_ref()) {
            *votes.entry(master).or_default() += 1;
        }
        if let Some((master, _)) = votes.into_iter().find(|(_, votes)| *votes > self.size() / 2) {
            return Outcome::Elected(master.clone());
        }
        if self.seats().iter().any(|seat| !self.ballots.contains_key(seat)) {
            return Outcome::Open;
        }
        Outcome::Nobody(self.reason())
    }

    /// Those who are heard: whoever the URL names, and of the others those who are who they are known as.
    fn voters(&self) -> impl Iterator<Item = &Ballot> {
        let besides = self.known_besides();
        let others = besides
            .into_iter()
            .filter_map(|(id, seat)| self.ballots.get(&seat)?.as_ref().ok().filter(|ballot| ballot.id == id));
        self.named_ballots().chain(others)
    }

    /// How many sentinels there are, heard or not. One that the URL names and that is away may be known by another
    /// address, and is not counted twice.
    fn size(&self) -> usize {
        let answering: BTreeSet<_> = self.named_ballots().map(|ballot| &ballot.id).collect();
        self.named.len().max(answering.len() + self.known_besides().len())
    }

    /// Sentinels that the URL does not name: a majority of those that it does has to know them. What a liar adds is
    /// nobody.
    fn known_besides(&self) -> BTreeMap<String, RedisEndpoint> {
        let mut known = BTreeMap::<_, usize>::new();
        for other in self.named_ballots().flat_map(|ballot| &ballot.others) {
            *known.entry(other).or_default() += 1;
        }
        let is_named = |id: &String, seat: &RedisEndpoint| {
            self.named.contains(seat) || self.named_ballots().any(|ballot| ballot.id == *id)
        };
        let majority = known.into_iter().filter(|(_, votes)| *votes > self.named.len() / 2);
        majority
            .filter(|((id, seat), _)| !is_named(id, seat))
            .map(|((id, seat), _)| (id.clone(), seat.clone()))
            .collect()
    }

    fn named_ballots(&self) -> impl Iterator<Item = &Ballot> {
        self.named.iter().filter_map(|seat| self.ballots.get(seat)?.as_ref().ok())
    }

    fn reason(&self) -> RedisError {
        if let Some(error) = self.ballots.values().find_map(|ballot| ballot.as_ref().err()) {
            return error.clone();
        }
        if self.voters().all(|ballot| ballot.master.is_none()) {
            return (ErrorKind::MasterNameNotFoundBySentinel, "the sentinels know no master of that name")
                .into();
        }
        let kind = ErrorKind::Server(ServerErrorKind::MasterDown);
        (kind, "no majority of the sentinels names a master").into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::redis::trouble::overdue;

    /// Sentinel `n` listens on port `n`, and its id is `n`.
    fn at(port: u16) -> RedisEndpoint {
        RedisEndpoint { host: "10.0.0.1".to_owned(), port }
    }

    fn election(named: &[u16]) -> Election {
        Election::among(named.iter().copied().map(at).collect())
    }

    fn ballot(id: u16, master: u16, others: &[u16]) -> Ballot {
        let others = others.iter().map(|n| (n.to_string(), at(*n))).collect();
        Ballot { id: id.to_string(), master: Some(at(master)), others }
    }

    fn elected(election: &Election) -> Option<u16> {
        match election.outcome() {
            Outcome::Elected(master) => Some(master.port),
            Outcome::Open | Outcome::Nobody(_) => None,
        }
    }

    #[test]
    fn a_majority_of_those_named_decides_and_need_not_wait_for_the_rest() {
        let mut election = election(&[1, 2, 3]);
        assert!(matches!(election.outcome(), Outcome::Open));
        election.cast(at(1), Ok(ballot(1, 7000, &[2, 3])));
        assert!(matches!(election.outcome(), Outcome::Open));
        election.cast(at(2), Ok(ballot(2, 7000, &[1, 3])));
        assert_eq!(elected(&election), Some(7000));
        election.cast(at(3), Ok(ballot(3, 7001, &[1, 2])));
        assert_eq!(elected(&election), Some(7000));
        election.cast(at(1), Ok(ballot(1, 7001, &[2, 3])));
        assert_eq!(elected(&election), Some(7001));
    }

    #[test]
    fn a_minority_is_not_believed_whoever_it_brings_along() {
        let mut election = election(&[1, 2, 3]);
        election.cast(at(1), Ok(ballot(1, 666, &[11, 12, 13, 14])));
        for accomplice in 11..=14 {
            election.cast(at(accomplice), Ok(ballot(accomplice, 666, &[])));
        }
        election.cast(at(2), Ok(ballot(2, 7000, &[1, 3])));
        assert!(matches!(election.outcome(), Outcome::Open));
        election.cast(at(3), Err(overdue()));
        assert!(matches!(election.outcome(), Outcome::Nobody(_)));
        election.cast(at(3), Ok(ballot(3, 7000, &[1, 2])));
        assert_eq!(elected(&election), Some(7000));
        assert_eq!(election.seats().len(), 3);
    }

    #[test]
    fn who_is_forgotten_by_the_majority_has_no_vote_left() {
        let mut election = election(&[1]);
        election.cast(at(1), Ok(ballot(1, 7000, &[2, 3])));
        election.cast(at(2), Ok(ballot(2, 7000, &[])));
        assert_eq!(elected(&election), Some(7000));
        election.cast(at(1), Ok(ballot(1, 7001, &[])));
        assert_eq!(elected(&election), Some(7001));
        election.cast(at(1), Ok(ballot(1, 7000, &[2, 3])));
        assert_eq!(elected(&election), None, "the second is asked anew");
    }

    #[test]
    fn who_takes_anothers_id_takes_no_vote() {
        let mut election = election(&[1, 2, 3]);
        election.cast(at(1), Ok(ballot(2, 666, &[])));
        election.cast(at(2), Ok(ballot(2, 7000, &[1, 3])));
        election.cast(at(3), Ok(ballot(3, 7000, &[1, 2])));
        assert_eq!(elected(&election), Some(7000));
    }

    #[test]
    fn one_that_is_named_leads_to_the_others() {
        let mut election = election(&[1]);
        election.cast(at(1), Ok(ballot(1, 7000, &[2, 3])));
        assert!(matches!(election.outcome(), Outcome::Open));
        assert_eq!(election.seats(), BTreeSet::from([at(1), at(2), at(3)]));
        election.cast(at(2), Ok(ballot(9, 7000, &[])));
        assert_eq!(elected(&election), None, "it is not who it is known as");
        election.cast(at(3), Ok(ballot(3, 7000, &[1, 2])));
        assert_eq!(elected(&election), Some(7000));
    }

    #[test]
    fn one_that_is_away_and_known_by_another_address_is_not_counted_twice() {
        let mut election = election(&[1, 2, 3]);
        let others = BTreeMap::from([("3".to_owned(), at(30))]);
        for n in [1, 2] {
            let ballot = Ballot { id: n.to_string(), master: Some(at(7000)), others: others.clone() };
            election.cast(at(n), Ok(ballot));
        }
        election.cast(at(3), Err(overdue()));
        assert_eq!(elected(&election), Some(7000));
    }

    #[test]
    fn where_nobody_is_elected_it_is_said_why() {
        let mut election = election(&[1, 2]);
        election.cast(at(1), Ok(ballot(1, 7000, &[2])));
        election.cast(at(2), Ok(ballot(2, 7001, &[1])));
        let reason = |election: &Election| match election.outcome() {
            Outcome::Nobody(error) => error.to_string(),
            other => panic!("{other:?}"),
        };
        assert!(reason(&election).contains("no majority"));
        election.cast(at(2), Err((ErrorKind::AuthenticationFailed, "wrong password").into()));
        assert!(reason(&election).contains("wrong password"));
        for n in [1, 2] {
            election.cast(at(n), Ok(Ballot { id: n.to_string(), master: None, others: BTreeMap::new() }));
        }
        assert!(reason(&election).contains("no master of that name"));
    }
}
