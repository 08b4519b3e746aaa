//! A store for those who only look.

use std::sync::Arc;

use super::{
    Answer, Bucket, Cursor, Fetch, Loaded, Member, NewSession, Parcel, Part, Place, Removed, Replaced, Store,
    Taken, Touch, Transition, Trouble, Unavailable,
};
use crate::base::clock::Timestamp;
use crate::base::handle::Handle;

/// Loads what another store has, and is unavailable for everything else: whoever has it changes nothing.
#[derive(Debug)]
pub(super) struct Reading {
    /// `None`: nothing can be loaded, either.
    pub(super) store: Option<Arc<dyn Store>>,
}

fn closed<'a, T: Send + 'a>() -> Answer<'a, T> {
    Box::pin(std::future::ready(Err(Unavailable { kind: Trouble::ReadOnly, source: None })))
}

impl Store for Reading {
    fn load<'a>(&'a self, handle: &'a Handle) -> Answer<'a, Loaded> {
        self.store.as_ref().map_or_else(closed, |store| store.load(handle))
    }

    fn create<'a>(&'a self, _: &'a NewSession<'a>) -> Answer<'a, ()> {
        closed()
    }

    fn touch<'a>(&'a self, _: &'a Handle, _: Touch) -> Answer<'a, bool> {
        closed()
    }

    fn replace<'a>(&'a self, _: &'a Handle, _: Transition<'a>) -> Answer<'a, Replaced> {
        closed()
    }

    fn remove<'a>(&'a self, _: &'a Handle, _: &'a str) -> Answer<'a, Removed> {
        closed()
    }

    fn members<'a>(&'a self, _: &'a str) -> Answer<'a, Vec<Member>> {
        closed()
    }

    fn survey(&self, _: Cursor) -> Answer<'_, Part> {
        closed()
    }

    fn take<'a>(&'a self, _: &'a Bucket, _: Timestamp) -> Answer<'a, Taken> {
        closed()
    }

    fn give_back<'a>(&'a self, _: &'a Bucket, _: Place, _: Timestamp) -> Answer<'a, ()> {
        closed()
    }

    fn deposit<'a>(&'a self, _: &'a Parcel<'a>) -> Answer<'a, ()> {
        closed()
    }

    fn fetch<'a>(&'a self, _: &'a Handle, _: Fetch) -> Answer<'a, Option<Vec<u8>>> {
        closed()
    }

    fn ping(&self) -> Answer<'_, ()> {
        closed()
    }
}
