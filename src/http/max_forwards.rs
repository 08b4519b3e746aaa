//! `Max-Forwards`: how far an `OPTIONS` may go (RFC 9110 §7.6.2). `TRACE`, the other method that it is for, is not
//! served.

use http::{HeaderMap, HeaderValue, Method, header};

/// Where a request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// At the upstream.
    Upstream,
    /// Here: it has been forwarded as often as it may.
    Here,
}

/// `Max-Forwards` is more than one, or no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a malformed Max-Forwards header")]
pub struct BadMaxForwards;

/// Counts this hop.
///
/// # Errors
/// Where nobody knows how far the request may go.
pub fn count_hop(method: &Method, headers: &mut HeaderMap) -> Result<Destination, BadMaxForwards> {
    if *method != Method::OPTIONS {
        return Ok(Destination::Upstream);
    }
    let mut lines = headers.get_all(header::MAX_FORWARDS).iter();
    let Some(line) = lines.next() else { return Ok(Destination::Upstream) };
    let is_number = !line.is_empty() && line.as_bytes().iter().all(u8::is_ascii_digit);
    if !is_number || lines.next().is_some() {
        return Err(BadMaxForwards);
    }
    // More than can be counted is as good as the most that can.
    let left = line.to_str().ok().and_then(|digits| digits.parse().ok()).unwrap_or(u32::MAX);
    let Some(left) = left.checked_sub(1) else { return Ok(Destination::Here) };
    headers.insert(header::MAX_FORWARDS, HeaderValue::from(left));
    Ok(Destination::Upstream)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(method: &Method, lines: &[&'static str]) -> Result<String, BadMaxForwards> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::MAX_FORWARDS, HeaderValue::from_static(line));
        }
        let destination = count_hop(method, &mut headers)?;
        let left = headers.get(header::MAX_FORWARDS).map_or("", |left| left.to_str().unwrap());
        Ok(format!("{destination:?} {left}"))
    }

    #[test]
    fn each_hop_is_counted_and_the_last_answers() {
        for (line, expected) in [
            ("0", "Here 0"),
            ("000", "Here 000"),
            ("1", "Upstream 0"),
            ("10", "Upstream 9"),
            ("99999999999999999999", "Upstream 4294967294"),
        ] {
            assert_eq!(counted(&Method::OPTIONS, &[line]).as_deref(), Ok(expected), "{line}");
        }
        assert_eq!(counted(&Method::OPTIONS, &[]).as_deref(), Ok("Upstream "));
        assert_eq!(counted(&Method::GET, &["0"]).as_deref(), Ok("Upstream 0"), "it is for OPTIONS alone");
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for lines in [&[""] as &[_], &["-1"], &["+1"], &["1, 0"], &["1", "0"], &["0x1"]] {
            assert_eq!(counted(&Method::OPTIONS, lines), Err(BadMaxForwards), "{lines:?}");
        }
    }
}
