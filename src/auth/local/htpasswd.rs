//! htpasswd files: `NAME:HASH` a line, as Apache's `htpasswd -B` writes them. Of the hashes only bcrypt's is taken:
//! the others are too quick to compute.

use std::collections::BTreeMap;
use std::path::Path;

use bcrypt::HashParts;

use super::file::{User, check_name};
use crate::auth::password::StoredHash;
use crate::config::reader::{Complaint, Fault, Faults, Origin, Severity};

/// bcrypt's own least, and a login of a second or so.
const COSTS: std::ops::RangeInclusive<u32> = 4..=14;

/// What begins a hash of each kind, and what it is called.
const KINDS: [(&str, &str); 11] = [
    ("$apr1$", "Apache's MD5 (apr1)"),
    ("$1$", "MD5 (crypt)"),
    ("{SHA}", "SHA-1 without salt ({SHA})"),
    ("{SSHA}", "SHA-1 ({SSHA})"),
    ("{PLAIN}", "a password in clear text ({PLAIN})"),
    ("$5$", "SHA-256 (crypt)"),
    ("$6$", "SHA-512 (crypt)"),
    ("$2x$", "the faulty bcrypt of before 2011 ($2x$)"),
    ("$2$", "the first bcrypt ($2$)"),
    ("$argon2", "argon2, which stands in a users.toml"),
    ("$", "a hash of a kind that is not known here"),
];

const BCRYPT: [&str; 3] = ["$2a$", "$2b$", "$2y$"];

/// Length of what crypt made with DES, before there was a `$`.
const DES_LENGTH: usize = 13;

/// What is wrong with a line, and where in it.
struct Flaw<'t> {
    /// From 1, in characters.
    column: usize,
    /// Whose line it is, where that is known: what is no name may be a password.
    name: Option<&'t str>,
    complaint: Complaint,
}

/// The users in `text`; `path` is for the faults' lines.
///
/// # Errors
/// Everything that is wrong with it, a fault a line.
pub(super) fn parse(path: &Path, text: &str) -> Result<BTreeMap<String, User>, Faults> {
    let mut users = BTreeMap::new();
    let mut faults = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        match read_line(line, &users) {
            Ok((name, user)) => {
                users.insert(name.to_owned(), user);
            }
            Err(Flaw { column, name, complaint }) => faults.push(Fault {
                severity: Severity::Error,
                origin: Origin::File { path: path.to_owned(), line: index + 1, column },
                key: name.unwrap_or("user").to_owned(),
                complaint,
            }),
        }
    }
    Faults::of(faults).map_or(Ok(users), Err)
}

fn read_line<'t>(line: &'t str, users: &BTreeMap<String, User>) -> Result<(&'t str, User), Flaw<'t>> {
    let at_start = |name, complaint| Flaw { column: 1, name, complaint };
    let Some((name, hash)) = line.split_once(':') else {
        let complaint = Complaint::new("no colon stands between name and hash", "write NAME:HASH");
        return Err(at_start(None, complaint));
    };
    check_name(name).map_err(|complaint| at_start(None, complaint))?;
    if users.contains_key(name) {
        return Err(at_start(Some(name), Complaint::new("is there twice", "keep one of the two")));
    }
    let column = name.chars().count() + 2;
    let password = read_hash(name, hash.trim_end());
    let password = password.map_err(|complaint| Flaw { column, name: Some(name), complaint })?;
    Ok((name, user(password)))
}

fn user(password: StoredHash) -> User {
    User { password, email: None, name: None, groups: Vec::new(), disabled: false }
}

fn read_hash(name: &str, hash: &str) -> Result<StoredHash, Complaint> {
    let remedy = || format!("`htpasswd -B FILE {name}` makes a bcrypt one");
    if !BCRYPT.iter().any(|start| hash.starts_with(start)) {
        return Err(Complaint::new(refused(hash), remedy()));
    }
    let Ok(parts) = hash.parse::<HashParts>() else {
        return Err(Complaint::new("is a bcrypt hash that is cut short or garbled", remedy()));
    };
    let cost = parts.get_cost();
    if !COSTS.contains(&cost) {
        let what = format!("costs {cost}, where {} to {} are taken", COSTS.start(), COSTS.end());
        return Err(Complaint::new(what, format!("`htpasswd -B -C 12 FILE {name}` makes another")));
    }
    Ok(StoredHash::Bcrypt(hash.into(), cost))
}

/// What stands there instead of bcrypt, by its name.
fn refused(hash: &str) -> String {
    let kind = KINDS.iter().find(|(start, _)| hash.starts_with(start)).map(|(_, kind)| *kind);
    let is_crypt = |byte: u8| byte.is_ascii_alphanumeric() || b"./".contains(&byte);
    match kind {
        Some(kind) => format!("is {kind}, not bcrypt"),
        None if hash.is_empty() => "has no password".to_owned(),
        None if hash.len() == DES_LENGTH && hash.bytes().all(is_crypt) => {
            "is DES (crypt), not bcrypt".to_owned()
        }
        None => "is a password in clear text, not bcrypt".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `htpasswd -B` writes it.
    const HASH: &str = "$2y$05$abcdefghijklmnopqrstuuidFhfDZGjd4MKbhrHXQQrcYS1IRYxwe";

    fn faults(text: &str) -> Vec<String> {
        let faults = parse(Path::new("people"), text).unwrap_err();
        faults.as_slice().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_line_is_a_user_without_groups() {
        let (a, b) = (HASH.replace("$2y", "$2a"), HASH.replace("$2y$05", "$2b$14"));
        let users = parse(Path::new("people"), &format!("# people\r\n\nalice:{HASH}\r\nbob:{a}\né x:{b} \n"));
        let users = users.unwrap();
        assert_eq!(users.keys().collect::<Vec<_>>(), ["alice", "bob", "é x"]);
        assert!(matches!(&users["alice"].password, StoredHash::Bcrypt(hash, 5) if **hash == *HASH));
        assert!(matches!(&users["é x"].password, StoredHash::Bcrypt(_, 14)));
        assert!(users["alice"].groups.is_empty() && !users["alice"].disabled);
    }

    #[test]
    fn every_other_hash_is_refused_by_its_name_and_never_shown() {
        for (hash, says) in [
            ("$apr1$Qn0jdJEl$lYNjmhx1H4A1f6zNM1o8J.", "is Apache's MD5 (apr1), not bcrypt"),
            ("$1$Qn0jdJEl$8KNQ5Rf6Qw3oCwQm0OZ8d1", "is MD5 (crypt), not bcrypt"),
            ("{SHA}4Yq0vuEnAeX1lLRqVYCgJvUwLVk=", "is SHA-1 without salt ({SHA}), not bcrypt"),
            ("{SSHA}9mCQ2wGnUPlpS3YEXAMPLE", "is SHA-1 ({SSHA}), not bcrypt"),
            ("{PLAIN}tiger", "is a password in clear text ({PLAIN}), not bcrypt"),
            ("$5$saltsalt$x", "is SHA-256 (crypt), not bcrypt"),
            ("$6$saltsalt$x", "is SHA-512 (crypt), not bcrypt"),
            ("$2x$05$abcdefghijkl", "is the faulty bcrypt of before 2011 ($2x$), not bcrypt"),
            ("$argon2id$v=19$m=8,t=1,p=1$x$x", "is argon2, which stands in a users.toml, not bcrypt"),
            ("$y$j9T$x", "is a hash of a kind that is not known here, not bcrypt"),
            ("rEK1ecacw.7.c", "is DES (crypt), not bcrypt"),
            ("tiger", "is a password in clear text, not bcrypt"),
            ("", "has no password"),
            (&HASH[..59], "is a bcrypt hash that is cut short or garbled"),
            (&HASH.replace("05", "xx"), "is a bcrypt hash that is cut short or garbled"),
            (&format!("{HASH}:extra"), "is a bcrypt hash that is cut short or garbled"),
            (&HASH.replace("$05$", "$15$"), "costs 15, where 4 to 14 are taken"),
            (&HASH.replace("$05$", "$03$"), "costs 3, where 4 to 14 are taken"),
        ] {
            let faults = faults(&format!("\nalice:{hash}\n"));
            let start = format!("people:2:7: error: alice: {says} (`htpasswd -B");
            assert!(faults.len() == 1 && faults[0].starts_with(&start), "{faults:#?}");
            assert!(faults[0].contains(" FILE alice` makes "), "{faults:#?}");
            assert!(hash.len() < 8 || !faults[0].contains(&hash[7..]), "{faults:#?}");
        }
    }

    #[test]
    fn every_line_that_is_wrong_is_told() {
        let text = format!("alice:{HASH}\nalice:{HASH}\nhunter2\n:{HASH}\na,b:{HASH}\n é:x\nbob:x\n");
        assert_eq!(
            faults(&text),
            [
                "people:2:1: error: alice: is there twice (keep one of the two)",
                "people:3:1: error: user: no colon stands between name and hash (write NAME:HASH)",
                "people:4:1: error: user: the name is empty (choose another name)",
                "people:5:1: error: user: the name holds a colon, a comma or a control character (choose \
                 another name)",
                "people:6:1: error: user: the name begins or ends with white space (choose another name)",
                "people:7:5: error: bob: is a password in clear text, not bcrypt (`htpasswd -B FILE bob` makes \
                 a bcrypt one)",
            ]
        );
    }
}
