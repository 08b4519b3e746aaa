//! Authentication that holds for a whole connection instead of one request (RFC 4559 §6): whoever sends the next request
//! on it is taken for the one who authenticated.

use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue};

/// What servers are known to keep for a connection. `Proxy-Authorization` never goes upstream, so that nobody answers a
/// challenge to a proxy.
const SCHEMES: [&str; 3] = ["ntlm", "negotiate", "nego2"];

/// Whether an answer asks for it.
pub fn is_asked_for(headers: &HeaderMap) -> bool {
    headers.get_all(WWW_AUTHENTICATE).iter().any(names_one)
}

/// Whether a request tries it.
pub fn is_tried(headers: &HeaderMap) -> bool {
    headers.get_all(AUTHORIZATION).iter().any(names_one)
}

/// Takes the lines that ask for it out of an answer.
pub fn remove_challenges(headers: &mut HeaderMap) {
    let asked: Vec<HeaderValue> = headers.get_all(WWW_AUTHENTICATE).iter().cloned().collect();
    headers.remove(WWW_AUTHENTICATE);
    for line in asked.into_iter().filter(|line| !names_one(line)) {
        headers.append(WWW_AUTHENTICATE, line);
    }
}

/// Whether a scheme of them begins any item of the list. A comma within quotes may make one of what is none, which costs
/// a connection and nobody's identity.
fn names_one(line: &HeaderValue) -> bool {
    let items = line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let mut schemes = items.filter_map(|item| item.split(u8::is_ascii_whitespace).next());
    schemes.any(|scheme| SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(lines: &[&'static str]) -> HeaderMap {
        lines.iter().map(|line| (WWW_AUTHENTICATE, HeaderValue::from_static(line))).collect()
    }

    #[test]
    fn what_holds_for_a_connection_is_known_in_every_spelling() {
        for line in [
            "NTLM",
            "ntlm TlRMTVNTUAAB",
            "Negotiate",
            "NEGOTIATE YII=",
            "Basic realm=\"x\", NTLM",
            ",\tNego2",
        ] {
            assert!(is_asked_for(&asking(&["Basic realm=\"x\"", line])), "{line}");
            let tried = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(line))]);
            assert!(is_tried(&tried), "{line}");
        }
        for line in ["Basic realm=\"NTLM\"", "Bearer", "Digest qop=\"auth\"", "NTLMv3", ""] {
            assert!(!is_asked_for(&asking(&[line])), "{line}");
        }
    }

    #[test]
    fn other_challenges_stay() {
        let mut headers = asking(&["Negotiate", "Basic realm=\"x\"", "NTLM", "Bearer"]);
        remove_challenges(&mut headers);
        let left: Vec<_> = headers.get_all(WWW_AUTHENTICATE).iter().collect();
        assert_eq!(left, ["Basic realm=\"x\"", "Bearer"]);
    }
}
