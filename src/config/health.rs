//! `[upstream.*.health]`: when a server is left out.

use std::time::Duration;

use super::reader::{Complaint, Section, Value, kind};

/// When a server is left out, and when it is taken in again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// What its checks ask for; `None`: there are no checks.
    pub path: Option<String>,
    /// From the end of one check to the next.
    pub interval: Duration,
    /// How long a check may take, connecting included.
    pub timeout: Duration,
    /// So many failed checks in a row, and it is out.
    pub unhealthy_after: u32,
    /// So many good ones in a row, and it is back.
    pub healthy_after: u32,
    /// So many failed requests in a row, and it is out for a while.
    pub eject_after: u32,
    /// For so long.
    pub eject_for: Duration,
}

pub(super) fn read(section: &mut Section<'_>) -> Health {
    let times = || kind::number(1..=1000);
    Health {
        path: section.value("path", path, None),
        interval: section.value("interval", kind::positive_duration, Duration::from_secs(5)),
        timeout: section.value("timeout", kind::positive_duration, Duration::from_secs(2)),
        unhealthy_after: section.value("unhealthy_after", times(), 2),
        healthy_after: section.value("healthy_after", times(), 2),
        eject_after: section.value("eject_after", times(), 5),
        eject_for: section.value("eject_for", kind::positive_duration, Duration::from_secs(10)),
    }
}

/// `"off"`, or the path and query of a request.
fn path(value: &Value<'_>) -> Result<Option<String>, Complaint> {
    kind::text_as(|text| {
        if text == "off" {
            return Ok(None);
        }
        let is_one = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_one && !text.contains('#') && text.parse::<http::Uri>().is_ok() {
            return Ok(Some(text.to_owned()));
        }
        Err(Complaint::new(format!("{text:?} is not the path of a request"), "write one such as \"/health\""))
    })(value)
}
