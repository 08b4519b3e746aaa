//! What hyper's parser lets through and nobody behind it may see (RFC 9112 §3.2, §6).

use http::uri::Scheme;
use http::{HeaderMap, Method, Version, header, request};

/// Why a request's head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// `CONNECT`, which would make a tunnel, and `TRACE`, which would echo cookies; a case for 405, the rest
    /// for 400.
    #[error("CONNECT and TRACE are not served")]
    RefusedMethod,
    /// `GET admin`: an authority where a path belongs.
    #[error("a target in authority form")]
    AuthorityForm,
    /// `GET *`
    #[error("the target * with another method than OPTIONS")]
    Asterisk,
    /// An absolute target that is neither http nor https.
    #[error("a target of a foreign scheme")]
    Scheme,
    /// A header's name that is no token: HTTP/1 cannot write it.
    #[error("a header's name that is no token")]
    HeaderName,
    /// Anything but one `chunked`, or any at all in HTTP/1.0.
    #[error("a transfer coding other than chunked")]
    TransferCoding,
    /// More than one, or not digits alone.
    #[error("a malformed Content-Length")]
    ContentLength,
    /// Anything but one `100-continue`; a case for 417.
    #[error("an expectation other than 100-continue")]
    Expectation,
}

/// Judges the request line and the framing before anything else looks at the request.
///
/// # Errors
/// With the first thing that is wrong.
pub fn check(parts: &request::Parts) -> Result<(), Malformed> {
    check_method(&parts.method)?;
    check_target(parts)?;
    if !are_tokens(&parts.headers) {
        return Err(Malformed::HeaderName);
    }
    check_transfer_coding(parts.version, &parts.headers)?;
    check_content_length(&parts.headers)?;
    check_expectation(&parts.headers)
}

/// Whether all names are tokens (RFC 9110 §5.1): of what the parser of HTTP/2 takes for names, quotes are in none.
pub fn are_tokens(headers: &HeaderMap) -> bool {
    headers.keys().all(|name| !name.as_str().contains('"'))
}

fn check_method(method: &Method) -> Result<(), Malformed> {
    if matches!(*method, Method::CONNECT | Method::TRACE) { Err(Malformed::RefusedMethod) } else { Ok(()) }
}

fn check_target(parts: &request::Parts) -> Result<(), Malformed> {
    let uri = &parts.uri;
    if uri.scheme().is_some_and(|scheme| *scheme != Scheme::HTTP && *scheme != Scheme::HTTPS) {
        return Err(Malformed::Scheme);
    }
    match uri.path() {
        "" => Err(Malformed::AuthorityForm),
        "*" if parts.method != Method::OPTIONS => Err(Malformed::Asterisk),
        _ => Ok(()),
    }
}

fn check_transfer_coding(version: Version, headers: &HeaderMap) -> Result<(), Malformed> {
    let mut lines = headers.get_all(header::TRANSFER_ENCODING).iter();
    let Some(line) = lines.next() else { return Ok(()) };
    let is_chunked = line.as_bytes().eq_ignore_ascii_case(b"chunked");
    if is_chunked && lines.next().is_none() && version == Version::HTTP_11 {
        Ok(())
    } else {
        Err(Malformed::TransferCoding)
    }
}

fn check_content_length(headers: &HeaderMap) -> Result<(), Malformed> {
    let mut lines = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(line) = lines.next() else { return Ok(()) };
    let is_number = !line.is_empty() && line.as_bytes().iter().all(u8::is_ascii_digit);
    if is_number && lines.next().is_none() { Ok(()) } else { Err(Malformed::ContentLength) }
}

/// HTTP knows one expectation (RFC 9110 §10.1.1).
fn check_expectation(headers: &HeaderMap) -> Result<(), Malformed> {
    let mut lines = headers.get_all(header::EXPECT).iter();
    let Some(line) = lines.next() else { return Ok(()) };
    let is_known = line.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if is_known && lines.next().is_none() { Ok(()) } else { Err(Malformed::Expectation) }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn asked(method: &str, target: &str) -> Result<(), Malformed> {
        let (parts, ()) = Request::builder().method(method).uri(target).body(()).unwrap().into_parts();
        check(&parts)
    }

    fn framed(version: Version, name: &str, values: &[&[u8]]) -> Result<(), Malformed> {
        let mut request = Request::builder().version(version);
        for value in values {
            request = request.header(name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        check(&parts)
    }

    #[test]
    fn tunnels_and_echoes_are_not_served_but_any_other_method_is() {
        assert_eq!(asked("CONNECT", "app.test:443"), Err(Malformed::RefusedMethod));
        assert_eq!(asked("TRACE", "/"), Err(Malformed::RefusedMethod));
        for method in ["GET", "POST", "PROPFIND", "QUERY", "get", "trace"] {
            assert_eq!(asked(method, "/"), Ok(()), "{method}");
        }
    }

    #[test]
    fn the_target_is_a_path_or_an_http_url() {
        for target in ["/", "/a?b", "http://app.test", "https://app.test/x"] {
            assert_eq!(asked("GET", target), Ok(()), "{target}");
        }
        assert_eq!(asked("GET", "admin"), Err(Malformed::AuthorityForm));
        assert_eq!(asked("GET", "admin:80"), Err(Malformed::AuthorityForm));
        assert_eq!(asked("GET", "ftp://app.test/x"), Err(Malformed::Scheme));
        assert_eq!(asked("GET", "*"), Err(Malformed::Asterisk));
        assert_eq!(asked("OPTIONS", "*"), Ok(()));
    }

    #[test]
    fn the_only_transfer_coding_is_one_chunked() {
        let coded = |values: &[&[u8]]| framed(Version::HTTP_11, "transfer-encoding", values);
        assert_eq!(coded(&[b"chunked"]), Ok(()));
        assert_eq!(coded(&[b"Chunked"]), Ok(()));
        for value in [
            b"chunked, chunked".as_slice(),
            b"gzip, chunked",
            b"chunked, gzip",
            b"identity",
            b"xchunked",
            b", chunked",
            b"chunked,",
            b"chunked;a=b",
            b"\"chunked\"",
            b"\xa0chunked",
            b"chunked ",
            b"",
        ] {
            assert_eq!(coded(&[value]), Err(Malformed::TransferCoding), "{value:?}");
        }
        for lines in
            [[b"chunked".as_slice(), b"identity"], [b"identity", b"chunked"], [b"chunked", b"chunked"]]
        {
            assert_eq!(coded(&lines), Err(Malformed::TransferCoding), "{lines:?}");
        }
        for version in [Version::HTTP_10, Version::HTTP_2] {
            let coded = framed(version, "transfer-encoding", &[b"chunked"]);
            assert_eq!(coded, Err(Malformed::TransferCoding), "{version:?}");
        }
    }

    #[test]
    fn a_content_length_is_one_line_of_digits() {
        let long = |values: &[&[u8]]| framed(Version::HTTP_11, "content-length", values);
        assert_eq!(long(&[b"0"]), Ok(()));
        for value in [b"".as_slice(), b"+5", b"-1", b"5, 5", b"0x5", b"5 ", b"5_0", b"\xb2"] {
            assert_eq!(long(&[value]), Err(Malformed::ContentLength), "{value:?}");
        }
        assert_eq!(long(&[b"5", b"5"]), Err(Malformed::ContentLength));
    }

    #[test]
    fn the_only_expectation_is_100_continue() {
        let expected = |values: &[&[u8]]| framed(Version::HTTP_11, "expect", values);
        assert_eq!(expected(&[b"100-Continue"]), Ok(()));
        for value in [b"".as_slice(), b"y 100-continue", b"x", b"100-continue, x", b"100-continue;a"] {
            assert_eq!(expected(&[value]), Err(Malformed::Expectation), "{value:?}");
        }
        assert_eq!(expected(&[b"100-continue", b"x"]), Err(Malformed::Expectation));
    }
}
