//! Sessions, through the running proxy.

use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde_json::Value;
use url::form_urlencoded;

use super::super::socket::{Socket, Told};
use super::reach::ReachError;
use crate::base::handle::Handle;
use crate::session::Report;

/// The proxy that owns the sessions.
#[derive(Debug)]
pub(super) struct Proxy {
    socket: Socket,
}

impl Proxy {
    pub(super) fn at(socket: PathBuf) -> Self {
        Self { socket: Socket::at(socket) }
    }

    pub(super) fn list(&self, user: Option<&str>, limit: usize) -> Result<Vec<Report>, ReachError> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("limit", &limit.to_string());
        if let Some(user) = user {
            query.append_pair("user", user);
        }
        self.read(self.ask("GET", &format!("?{}", query.finish()))?)
    }

    pub(super) fn find(&self, handle: &Handle) -> Result<Option<Report>, ReachError> {
        let told = self.ask("GET", &format!("/{handle}"))?;
        told.map(|json| self.read(Some(json))).transpose()
    }

    pub(super) fn count(&self) -> Result<usize, ReachError> {
        self.number(self.ask("GET", "/count")?.as_ref(), "count")
    }

    pub(super) fn end(&self, handle: &Handle) -> Result<bool, ReachError> {
        match self.ask("DELETE", &format!("/{handle}"))? {
            None => Ok(false),
            told => self.number(told.as_ref(), "revoked").map(|revoked| revoked > 0),
        }
    }

    pub(super) fn end_user(&self, user: &str) -> Result<usize, ReachError> {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("user", user).finish();
        self.number(self.ask("DELETE", &format!("?{query}"))?.as_ref(), "revoked")
    }

    pub(super) fn end_all(&self) -> Result<usize, ReachError> {
        self.number(self.ask("DELETE", "?all=true")?.as_ref(), "revoked")
    }

    /// What it says; `None` where there is no such session.
    fn ask(&self, method: &str, about: &str) -> Result<Option<Value>, ReachError> {
        match self.socket.ask(method, &format!("/sessions{about}"))? {
            Told::Json(json) => Ok(Some(json)),
            Told::NotThere => Ok(None),
            Told::StoreAway => Err(ReachError::ProxysStore),
        }
    }

    fn read<T: DeserializeOwned>(&self, told: Option<Value>) -> Result<T, ReachError> {
        let json = told.ok_or_else(|| self.socket.stranger())?;
        Ok(self.socket.read(json)?)
    }

    fn number(&self, told: Option<&Value>, name: &str) -> Result<usize, ReachError> {
        let number = told.and_then(|json| json[name].as_u64());
        let number = number.and_then(|number| usize::try_from(number).ok());
        Ok(number.ok_or_else(|| self.socket.stranger())?)
    }
}
