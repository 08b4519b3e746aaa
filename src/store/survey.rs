//! What a Redis tells of how it is set up, for whoever asks whether it is fit to keep sessions.

use std::collections::HashMap;

/// What a Redis tells of itself, and what it lets the proxy and strangers do. Of several servers it is the one that
/// has the first key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// `INFO`'s fields; `None` where the proxy's user may not ask, which it need not.
    pub info: Option<Info>,
    /// Whether it does what somebody asks who has not logged in.
    pub serves_strangers: bool,
    /// What the proxy's user may do, and needs not.
    pub excess: Vec<&'static str>,
}

/// The fields of `INFO`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info(HashMap<String, String>);

impl Info {
    /// From lines of `field:value`.
    pub fn parse(text: &str) -> Self {
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        Self(fields.map(|(field, value)| (field.to_owned(), value.trim().to_owned())).collect())
    }

    /// A field's value; empty where there is none.
    pub fn field(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// A field's value where it is a number; zero where it is none.
    pub fn number(&self, name: &str) -> u64 {
        self.field(name).parse().unwrap_or(0)
    }

    /// What it tells of its replicas: `state=online,…,lag=0`.
    pub fn replicas(&self) -> Vec<&str> {
        let all = self.0.iter().filter(|(field, _)| {
            field.strip_prefix("slave").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
        });
        all.map(|(_, value)| value.as_str()).collect()
    }
}
