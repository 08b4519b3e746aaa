//! Variables that deployments of session-backed applications set already, each of which stands for a key here. They
//! fill what the file and `FOREGATE__` leave unset.

use super::context::Context;
use super::reader::{Complaint, Overlay, Section, Variable};
use super::{Environment, StoreUrl};

/// The session secret's variable unless the file names another place.
pub(super) const SECRET_KEY: &str = "SECRET_KEY";

const TYPE: &str = "SESSION_TYPE";
const SIGNER: &str = "SESSION_USE_SIGNER";
const HOURS: &str = "PERMANENT_SESSION_LIFETIME_HOURS";
const SAME_SITE: &str = "SESSION_COOKIE_SAMESITE";

/// Each variable and its key.
pub(super) const KEYS: [(&str, &str); 10] = [
    (SECRET_KEY, "session.secret"),
    ("REDIS_URL", "session.store.url"),
    ("SESSION_COOKIE_NAME", "session.cookie.name"),
    ("SESSION_COOKIE_SECURE", "session.cookie.secure"),
    ("SESSION_COOKIE_HTTPONLY", "session.cookie.http_only"),
    (SAME_SITE, "session.cookie.same_site"),
    ("SESSION_COOKIE_DOMAIN", "session.cookie.domain"),
    ("SESSION_COOKIE_PATH", "session.cookie.path"),
    ("SESSION_PERMANENT", "session.cookie.persistent"),
    (HOURS, "session.idle_timeout"),
];

/// Adds those that are set.
pub(super) fn fill(overlay: &mut Overlay, environment: &Environment) {
    for (name, path) in KEYS {
        let Some(text) = environment.get(name) else { continue };
        overlay.fill(path, variable(name, text));
    }
}

fn variable(name: &str, text: &str) -> Variable {
    let variable = Variable::new(name, text);
    match name {
        // As frameworks write it: "Lax".
        SAME_SITE => Variable { text: variable.text.map(|text| text.to_lowercase()), ..variable },
        HOURS => Variable { text: variable.text.and_then(|text| hours(&text)), ..variable },
        _ => variable,
    }
}

fn hours(text: &str) -> Result<String, Complaint> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(format!("{text}h"));
    }
    Err(Complaint::new(format!("{text:?} is not a number of hours"), "write a whole number, such as 24"))
}

/// What stands for no key of its own, but must not contradict where sessions lie.
pub(super) fn check_type(store: &Section<'_>, url: &StoreUrl, context: Context<'_>) {
    if let Some(text) = context.environment.get(TYPE)
        && store.sound("url")
        && let Err(complaint) = agrees(text, url)
    {
        store.blame(TYPE, "url", complaint);
    }
}

/// Cookies are always signed.
pub(super) fn check_signer(session: &Section<'_>, context: Context<'_>) {
    if let Some(text) = context.environment.get(SIGNER)
        && !matches!(text.to_lowercase().as_str(), "true" | "1")
    {
        let what = "is not true, but session cookies are always signed";
        session.blame(SIGNER, "secret", Complaint::new(what, "set it to true, or unset it"));
    }
}

fn agrees(text: &str, url: &StoreUrl) -> Result<(), Complaint> {
    let is = match url {
        StoreUrl::Memory => "memory",
        StoreUrl::File(_) => "file",
        StoreUrl::Redis(_) => "redis",
    };
    match text {
        _ if text == is => Ok(()),
        "memory" | "file" | "redis" => Err(Complaint::new(
            format!("is {text:?}, but sessions lie in {is:?}"),
            "unset it, or write another session.store.url",
        )),
        _ => Err(Complaint::new(
            format!("{text:?} is not one of \"redis\", \"memory\", \"file\""),
            format!("unset it, or set it to {is:?}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::load::read;
    use super::super::{Config, Fault};
    use super::*;

    const LEAST: &str = "[[tls.certificate]]\ncert = \"a\"\nkey = \"a\"\n\
        [upstream.app]\nservers = [\"http://app\"]\n[[route]]\nupstream = \"app\"\n";
    const SECRET: (&str, &str) = (SECRET_KEY, "0123456789abcdef0123456789abcdef");

    /// What a file that starts with `text` comes to, and the lines of its warnings.
    fn loaded(text: &str, variables: &[(&str, &str)]) -> Result<(Config, Vec<String>), Vec<String>> {
        let environment = Environment::from_pairs([&[SECRET], variables].concat());
        let lines = |faults: &[Fault]| faults.iter().map(ToString::to_string).collect::<Vec<_>>();
        match read(Path::new("f"), &format!("{text}\n{LEAST}"), &environment) {
            Ok(loaded) => Ok((loaded.config, lines(&loaded.warnings))),
            Err(faults) => Err(lines(faults.as_slice())),
        }
    }

    #[test]
    fn usual_variables_fill_what_is_left_unset() {
        let (config, warnings) = loaded(
            "",
            &[
                ("REDIS_URL", "redis://:hunter2@cache:6380/1"),
                ("SESSION_TYPE", "redis"),
                ("SESSION_USE_SIGNER", "True"),
                ("SESSION_COOKIE_NAME", "sid"),
                ("SESSION_COOKIE_SECURE", "True"),
                ("SESSION_COOKIE_HTTPONLY", "1"),
                ("SESSION_COOKIE_SAMESITE", "Strict"),
                ("SESSION_COOKIE_DOMAIN", "example.com"),
                ("SESSION_COOKIE_PATH", "/"),
                ("SESSION_PERMANENT", "true"),
                ("PERMANENT_SESSION_LIFETIME_HOURS", "12"),
            ],
        )
        .unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        let session = config.session;
        assert!(matches!(session.store.url, StoreUrl::Redis(_)));
        assert_eq!((session.cookie.name.as_str(), session.cookie.persistent), ("sid", true));
        assert_eq!(session.cookie.same_site, super::super::SameSite::Strict);
        assert_eq!(session.cookie.domain.as_deref(), Some("example.com"));
        assert_eq!(session.idle_timeout.as_secs(), 12 * 3_600);
    }

    #[test]
    fn the_environment_beats_the_file_which_beats_the_usual_variable_which_beats_the_default() {
        let key = "FOREGATE__SESSION__IDLE_TIMEOUT";
        let usual = ("PERMANENT_SESSION_LIFETIME_HOURS", "3");
        let file = "session.idle_timeout = \"2h\"";
        for (text, variables, hours) in [
            (file, &[(key, "1h"), usual][..], 1),
            (file, &[usual][..], 2),
            ("", &[usual][..], 3),
            ("", &[][..], 24),
        ] {
            let (config, warnings) = loaded(text, variables).unwrap();
            assert_eq!(config.session.idle_timeout.as_secs(), hours * 3_600);
            assert_eq!(warnings.len(), usize::from(hours < 3), "{warnings:?}");
        }
    }

    #[test]
    fn which_of_two_counted_is_told_without_a_secret() {
        let file = "session = { secret = { env = \"OTHER\" }, store.url = \"redis://cache/0\" }";
        let variables =
            [("OTHER", "hunter2hunter2hunter2hunter2hunter2"), ("REDIS_URL", "redis://:hunter3@b/0")];
        let (_, warnings) = loaded(file, &variables).unwrap();
        assert_eq!(
            warnings,
            [
                "f:1:22: warning: session.secret: SECRET_KEY says otherwise, which does not count \
                 (unset it, or leave this out)",
                "f:1:53: warning: session.store.url: REDIS_URL says otherwise, which does not count \
                 (unset it, or leave this out)",
            ]
        );
        let same = [("OTHER", SECRET.1), ("REDIS_URL", "redis://cache:6379/0")];
        assert!(loaded(file, &same).unwrap().1.is_empty());
    }

    #[test]
    fn a_usual_variable_that_cannot_be_meant_is_refused_by_its_name() {
        for (name, text, line) in [
            ("SECRET_KEY", "", "session.secret: is set, but empty (give it a value, or unset it)"),
            (
                "PERMANENT_SESSION_LIFETIME_HOURS",
                "1.5",
                "session.idle_timeout: \"1.5\" is not a number of hours (write a whole number, such as 24)",
            ),
            (
                "SESSION_TYPE",
                "redis",
                "session.store.url: is \"redis\", but sessions lie in \"file\" \
                 (unset it, or write another session.store.url)",
            ),
            (
                "SESSION_TYPE",
                "filesystem",
                "session.store.url: \"filesystem\" is not one of \"redis\", \"memory\", \"file\" \
                 (unset it, or set it to \"file\")",
            ),
            (
                "SESSION_USE_SIGNER",
                "False",
                "session.secret: is not true, but session cookies are always signed \
                 (set it to true, or unset it)",
            ),
        ] {
            assert_eq!(loaded("", &[(name, text)]).unwrap_err(), [format!("{name}: error: {line}")]);
        }
    }
}
