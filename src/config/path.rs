//! Request paths as the configuration writes them.

use super::reader::Complaint;

/// The proxy's own path: segments of unreserved characters (RFC 3986 §2.3), since it stands in addresses that the
/// proxy itself writes.
pub(super) fn own(text: &str) -> Result<String, Complaint> {
    let path = below_root(text)?;
    match path.chars().find(|character| !is_unreserved(*character)) {
        None => Ok(path),
        Some(foreign) => Err(Complaint::new(
            format!("{text:?} holds {foreign:?}"),
            "only letters, digits and -._~/ can stand there",
        )),
    }
}

/// A path below the root, written plainly and without a slash at its end. Requests are compared with it decoded,
/// so that each of its spellings is the same path.
pub(super) fn below_root(text: &str) -> Result<String, Complaint> {
    let complain = |what: &str, remedy: String| Err(Complaint::new(format!("{text:?} {what}"), remedy));
    let Some(segments) = text.strip_prefix('/') else {
        return complain("does not start with a slash", format!("write {:?}", format!("/{text}")));
    };
    if let Some(shorter) = segments.strip_suffix('/').filter(|rest| !rest.is_empty() && !rest.ends_with('/'))
    {
        return complain("ends with a slash", format!("write {:?}", format!("/{shorter}")));
    }
    if segments.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        return complain("has an empty or a dot segment", "write it without".to_owned());
    }
    if let Some(foreign) = segments.chars().find(|character| is_syntax(*character)) {
        let remedy = "write the path plainly: without escapes, parameters and query".to_owned();
        return complain(&format!("holds {foreign:?}"), remedy);
    }
    Ok(text.to_owned())
}

/// Whether `path` is `prefix` or lies beneath it. Case does not count: some applications do not see it.
pub(super) fn is_within(path: &str, prefix: &str) -> bool {
    path.split_at_checked(prefix.len()).is_some_and(|(start, rest)| {
        start.eq_ignore_ascii_case(prefix) && (rest.is_empty() || rest.starts_with('/'))
    })
}

fn is_unreserved(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-._~/".contains(character)
}

/// Characters that a path cannot hold as they are, or that are no part of it.
fn is_syntax(character: char) -> bool {
    character.is_control() || "%;?#\\".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_spelling() {
        for text in ["/a", "/a/b", "/~me/a.b-c_d", "/.well-known", "/..."] {
            assert_eq!(own(text).as_deref(), Ok(text));
        }
        for text in ["/a b", "/é", "/a+b@c", "/(x)"] {
            assert_eq!(below_root(text).as_deref(), Ok(text));
            assert!(own(text).unwrap_err().remedy.starts_with("only letters"), "{text}");
        }
    }

    #[test]
    fn any_other_path_is_refused_with_the_way_out() {
        for (text, remedy) in [
            ("a", "write \"/a\""),
            ("/admin/", "write \"/admin\""),
            ("/", "write it without"),
            ("//", "write it without"),
            ("/a//b", "write it without"),
            ("/a/../b", "write it without"),
            ("/a/.", "write it without"),
            ("/a%2fb", "write the path plainly"),
            ("/a;b", "write the path plainly"),
            ("/a?b", "write the path plainly"),
            ("/a#b", "write the path plainly"),
            ("/a\\b", "write the path plainly"),
            ("/a\u{7}", "write the path plainly"),
        ] {
            let complaint = below_root(text).unwrap_err();
            assert!(complaint.remedy.starts_with(remedy), "{text}: {complaint}");
        }
    }

    #[test]
    fn a_path_lies_beneath_whole_segments_only() {
        assert!(is_within("/_foregate", "/_foregate"));
        assert!(is_within("/_ForeGate/login", "/_foregate"));
        assert!(!is_within("/_foregate2", "/_foregate"));
        assert!(!is_within("/é", "/_"));
    }
}
