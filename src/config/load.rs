//! From a file's path to a checked [`Config`], or to everything that is wrong with it.

use std::path::{Path, PathBuf};

use super::context::Context;
use super::reader::{
    Complaint, Document, Fault, Faults, Origin, Overlay, Reading, Section, Setting, Severity, kind,
};
use super::route::{self, Surroundings};
use super::{Config, Environment, Mode};
use super::{
    auth, cookies, csrf, headers, hsts, identity, log, login, server, session, tls, upstream, well_known,
};

const MODES: [(&str, Mode); 2] = [("production", Mode::Production), ("development", Mode::Development)];

/// A configuration that may be run.
#[derive(Debug)]
pub struct Loaded {
    /// What the file says.
    pub config: Config,
    /// What somebody should know about it, in the file's order.
    pub warnings: Vec<Fault>,
    /// What is not a default, in the file's order and then the variables'.
    pub settings: Vec<Setting>,
}

/// The file to read: `--config`, else `$FOREGATE_CONFIG`, else the first there is of `./proxy.toml` and
/// `/etc/foregate/proxy.toml`; `None` where there is neither.
pub fn find(flag: Option<&Path>, environment: &Environment) -> Option<PathBuf> {
    let named = flag.map(Path::to_owned).or_else(|| environment.get("FOREGATE_CONFIG").map(PathBuf::from));
    named.or_else(|| {
        ["proxy.toml", "/etc/foregate/proxy.toml"].into_iter().map(PathBuf::from).find(|path| path.exists())
    })
}

/// Reads and checks the file at `path`, and the secrets that it names.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn load(path: &Path, environment: &Environment) -> Result<Loaded, Faults> {
    let bytes = std::fs::read(path).map_err(|error| {
        let what = format!("cannot be read: {error}");
        unreadable(path, (1, 1), Complaint::new(what, "check the path and its permissions"))
    })?;
    let text = str::from_utf8(&bytes).map_err(|error| {
        let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        let last = valid.rsplit('\n').next().unwrap_or_default();
        let position = (valid.matches('\n').count() + 1, last.chars().count() + 1);
        unreadable(path, position, Complaint::new("is not UTF-8", "save it as UTF-8"))
    })?;
    read(path, text, environment)
}

fn unreadable(path: &Path, (line, column): (usize, usize), complaint: Complaint) -> Faults {
    let key = "file".to_owned();
    let origin = Origin::File { path: path.to_owned(), line, column };
    Fault { severity: Severity::Error, origin, key, complaint }.into()
}

pub(super) fn read(path: &Path, text: &str, environment: &Environment) -> Result<Loaded, Faults> {
    let reading = reading(path, text, environment)?;
    Ok(Loaded { config: reading.value, warnings: reading.warnings, settings: reading.settings })
}

fn reading(path: &Path, text: &str, environment: &Environment) -> Result<Reading<Config>, Faults> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut overlay = Overlay::of(environment.iter());
    well_known::fill(&mut overlay, environment);
    let document = Document::parse(path, text).with_overlay(overlay);
    document.read(|root| sections(root, folder, environment))
}

/// The paths of the keys that are asked for where this stands in a file.
#[cfg(test)]
pub(super) fn keys(text: &str, environment: &Environment) -> Vec<String> {
    reading(Path::new("f"), text, environment).unwrap_or_else(|faults| panic!("{faults}")).keys
}

fn sections(root: &mut Section<'_>, folder: &Path, environment: &Environment) -> Config {
    let mode = root.value("mode", kind::one_of(&MODES), Mode::Production);
    // Where it is misspelled, what production refuses is not the fault.
    let mode = if root.sound("mode") { mode } else { Mode::Development };
    let context = Context { mode, folder, environment };
    let server = root.table("server", |section| server::read(section, context));
    let tls = root.table("tls", |section| tls::read(section, &server, context));
    let hsts = root.table("hsts", hsts::read);
    let session = root.table("session", |section| session::read(section, &server, context));
    let login = root.table("login", |section| login::read(section, &server, context));
    let auth = root.table("auth", |section| auth::read(section, &login, context));
    let identity = root.table("identity", identity::read);
    let upstreams = root.named("upstream", |name, section| upstream::read(name, section, context));
    let csrf = root.table("csrf", csrf::read);
    let headers = root.table("headers", headers::read);
    let around =
        Surroundings { server: &server, login: &login, upstreams: &upstreams, csrf: csrf.mode, context };
    let routes = route::read_all(root, around);
    let cookies = root.table("cookies", |section| cookies::read(section, &session.cookie, context));
    let log = root.table("log", |section| log::read(section, context));
    let folder = folder.to_owned();
    Config {
        mode,
        server,
        tls,
        hsts,
        session,
        login,
        auth,
        identity,
        upstreams,
        routes,
        csrf,
        headers,
        cookies,
        log,
        folder,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tempfile::TempDir;

    use super::super::{
        AuditTarget, HostPattern, PolicyMode, RedisAddress, SameSite, SessionSecret, StoreUrl,
    };
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn fixtures() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/config")
    }

    /// Each stands alone in the file, and a variable says something else.
    #[test]
    fn no_variable_makes_an_inline_secret_pass_in_production() {
        let secret = "hunter2 hunter2 hunter2 hunter2 hunter2";
        for (line, variable, says) in [
            ("session.secret = \"SECRET\"", "FOREGATE__SESSION__SECRET", "f:1:18: error: session.secret"),
            (
                "session.previous_secrets = [\"SECRET\"]",
                "FOREGATE__SESSION__PREVIOUS_SECRETS",
                "f:1:28: error: session.previous_secrets",
            ),
            (
                "session.store.password = \"SECRET\"",
                "FOREGATE__SESSION__STORE__PASSWORD",
                "f:1:26: error: session.store.password",
            ),
            (
                "session.previous_secrets = [{ env = \"SECRET_KEY\" }, \"SECRET\"]",
                "FOREGATE__SESSION__PREVIOUS_SECRETS",
                "f:1:28: error: session.previous_secrets",
            ),
        ] {
            let text = format!("{}\n", line.replace("SECRET", secret));
            let variables = [
                (variable, "0123456789abcdef0123456789abcdef"),
                ("FOREGATE__SESSION__STORE__URL", "redis://cache"),
            ];
            let faults = read(Path::new("f"), &text, &Environment::from_pairs(variables)).unwrap_err();
            let told = faults.to_string();
            let expected = format!("{says}: stands in the configuration, which production refuses");
            assert!(told.contains(&expected) && !told.contains("hunter2"), "{line}: {told}");
            let faults = read(Path::new("f"), "", &Environment::from_pairs(variables)).unwrap_err();
            assert!(!faults.to_string().contains("which production refuses"), "{variable} alone: {faults}");
        }
    }

    #[test]
    fn no_variable_hides_a_password_in_the_stores_url() {
        let text = "session.store.url = \"redis://:hunter2@cache\"\n";
        let variables = Environment::from_pairs([("FOREGATE__SESSION__STORE__URL", "redis://:x@other")]);
        let told = read(Path::new("f"), text, &variables).unwrap_err().to_string();
        assert!(told.contains("f:1:21: warning: session.store.url: holds a password"), "{told}");
        let told = read(Path::new("f"), "", &variables).unwrap_err().to_string();
        assert!(!told.contains("holds a password"), "{told}");
    }

    fn environment() -> Environment {
        Environment::from_pairs([
            ("SECRET_KEY", SECRET),
            ("OTHER_KEY", SECRET),
            ("PREVIOUS_KEY", "fedcba9876543210fedcba9876543210"),
            ("REDIS_PASSWORD", "from outside"),
            ("WIKI_CREDENTIALS", "proxy:from outside"),
            ("EMPTY", ""),
        ])
    }

    fn load_fixture(name: &str) -> Result<Loaded, Faults> {
        load(&fixtures().join(name), &environment())
    }

    fn lines(outcome: Result<Loaded, Faults>) -> Vec<String> {
        let faults = match outcome {
            Ok(loaded) => loaded.warnings,
            Err(faults) => faults.as_slice().to_vec(),
        };
        faults.iter().map(Fault::to_string).collect()
    }

    /// What `NAME.env` sets for `NAME.toml`, a variable a line; without one, the secrets that the fixtures name.
    fn environment_of(path: &Path) -> Environment {
        match std::fs::read_to_string(path.with_extension("env")) {
            Ok(text) => Environment::from_pairs(text.lines().map(|line| line.split_once('=').unwrap())),
            Err(_) => environment(),
        }
    }

    /// The lines of each `NAME.toml` in the fixtures' folder are those of `NAME.expected`; no file, no line. Each
    /// line ends with the way out.
    #[test]
    fn every_fault_of_a_file_is_told_with_its_place_and_the_way_out() {
        let folder = format!("{}/", fixtures().display());
        let mut broken = 0;
        for entry in std::fs::read_dir(fixtures()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "toml") {
                continue;
            }
            let expected = std::fs::read_to_string(path.with_extension("expected")).unwrap_or_default();
            let found = lines(load(&path, &environment_of(&path))).join("\n").replace(&folder, "");
            assert_eq!(found, expected.trim_end(), "{}", path.display());
            assert!(found.lines().all(|line| line.ends_with(')') && !line.ends_with("()")), "{found}");
            broken += usize::from(found.contains(": error: "));
        }
        assert!(broken >= 20, "{broken} broken ones");
    }

    #[test]
    fn the_least_that_production_needs_has_every_default() {
        let loaded = load_fixture("minimal.toml").unwrap();
        let config = loaded.config;
        assert_eq!(config.mode, Mode::Production);
        assert_eq!(config.folder, fixtures());
        assert_eq!(config.tls.certificates[0].cert, fixtures().join("certs/example.crt"));
        assert_eq!((config.server.https.len(), config.server.http.len()), (1, 1));
        assert!(matches!(config.session.secret, SessionSecret::Given(_)));
        assert_eq!(config.session.cookie.name, "__Host-session");
        let StoreUrl::File(sessions) = config.session.store.url else { panic!("a file is the default") };
        assert_eq!(sessions, fixtures().join("sessions.redb"));
        assert_eq!(config.auth.local.unwrap().users, fixtures().join("users.toml"));
        assert_eq!(config.identity.headers.user.unwrap(), "x-forwarded-user");
        assert_eq!(config.upstreams[0].connect_timeout, Duration::from_secs(2));
        assert_eq!(config.routes[0].host, HostPattern::Any);
        assert_eq!(config.log.audit, AuditTarget::Log);
    }

    #[test]
    fn every_key_that_is_alive_is_taken() {
        let config = load_fixture("complete.toml").unwrap().config;
        assert_eq!(config.server.public_port, Some(443));
        assert_eq!(config.server.prefix, "/sso");
        assert_eq!(config.session.previous_secrets.len(), 1);
        assert_eq!(config.session.remember_idle_timeout, Duration::from_secs(7 * 86_400));
        assert_eq!(config.session.remember_absolute_timeout, Duration::from_secs(30 * 86_400));
        assert!(!config.login.remember_me);
        assert_eq!(config.session.cookie.same_site, SameSite::Strict);
        assert_eq!(config.session.cookie.domain.as_deref(), Some("example.com"));
        let StoreUrl::Redis(redis) = config.session.store.url else { panic!("the file names a Redis") };
        assert_eq!((redis.database, redis.user.as_deref()), (3, Some("proxy")));
        let RedisAddress::Tls { host, port, files } = redis.address else { panic!("the file names TLS") };
        assert_eq!((host.as_str(), port), ("cache.example.com", 6380));
        assert_eq!(files.ca.unwrap(), fixtures().join("redis-ca.pem"));
        assert_eq!(files.certificate.unwrap().key, Path::new("/etc/foregate/redis.key"));
        assert_eq!(redis.password.unwrap().expose(), "from outside");
        assert_eq!(config.identity.headers.email, None);
        assert_eq!(config.upstreams[1].tls.ca.as_deref(), Some(fixtures().join("app-ca.pem").as_path()));
        let names: Vec<&str> = config.upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
        assert_eq!(names, ["wiki", "app"]);
        assert_eq!(config.routes[0].host, HostPattern::Subdomains(".example.com".to_owned()));
        assert_eq!((config.cookies.mode, config.cookies.same_site), (PolicyMode::Report, SameSite::Strict));
        assert_eq!(config.cookies.rules[0].max_age, Some(Duration::from_secs(8 * 3_600)));
        assert!(config.cookies.rules[0].host_prefix && config.cookies.rules[1].drop);
        let passing = &config.routes[0].passing;
        assert_eq!(passing.basic_credentials.as_ref().unwrap().expose(), b"proxy:from outside");
        assert_eq!(config.log.audit, AuditTarget::File(fixtures().join("audit.jsonl")));
    }

    #[test]
    fn lists_of_secrets_and_of_numbers_may_stand_in_variables() {
        let previous = ["fedcba9876543210fedcba9876543210", "fedcba9876543210fedcba9876543211"];
        let environment = Environment::from_pairs([
            ("SECRET_KEY", SECRET),
            ("FOREGATE__SESSION__PREVIOUS_SECRETS", &previous.join(", ")),
            ("FOREGATE__UPSTREAM__APP__SERVERS", "http://one,http://two"),
            ("FOREGATE__UPSTREAM__APP__WEIGHTS", "3,3"),
        ]);
        let loaded = load(&fixtures().join("minimal.toml"), &environment).unwrap();
        let secrets = loaded.config.session.previous_secrets.iter().map(|secret| secret.expose().as_slice());
        assert!(secrets.eq(previous.map(str::as_bytes)));
        assert_eq!(loaded.config.upstreams[0].weights, [3, 3]);
        let told = format!("{:?}", loaded.settings);
        assert!(told.contains("upstream.app.weights[1]") && !told.contains("fedcba"), "{told}");
    }

    #[test]
    fn no_secret_is_ever_told() {
        for name in ["production.toml", "secrets.toml", "session.toml"] {
            let told = lines(load_fixture(name)).concat();
            assert!(!told.contains("hunter2") && !told.contains("0123456789"), "{told}");
        }
        let shown = format!("{:?}", load_fixture("complete.toml").unwrap());
        assert!(
            !shown.contains(SECRET) && !shown.contains("fedcba") && !shown.contains("from outside"),
            "{shown}"
        );
    }

    #[test]
    fn no_mangled_file_makes_the_loader_panic() {
        let text = std::fs::read_to_string(fixtures().join("complete.toml")).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let cut = (0..text.len()).filter_map(|end| text.get(..end)).map(str::to_owned);
        let doubled = (0..lines.len()).map(|at| [&lines[..=at], &lines[at..]].concat().join("\n"));
        let removed = (0..lines.len()).map(|at| [&lines[..at], &lines[at + 1..]].concat().join("\n"));
        let swapped =
            ["=", "[", "]", "\"", ".", "{", "}", "'", "\n", "1", "true"].into_iter().flat_map(|from| {
                ["", "=", "[[", "]]", "\"", "\0", "é", "\r", "{", "1e9", "\u{feff}"]
                    .map(|to| text.replace(from, to))
            });
        for mangled in cut.chain(doubled).chain(removed).chain(swapped) {
            if let Err(faults) = read(Path::new("proxy.toml"), &mangled, &environment()) {
                assert!(faults.to_string().starts_with("proxy.toml:"), "{faults}");
            }
        }
    }

    #[test]
    fn a_file_that_is_not_there_or_no_text_is_a_fault_like_any_other() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("proxy.toml");
        let shown = path.display();
        let missing = lines(load(&path, &environment())).remove(0);
        assert!(missing.starts_with(&format!("{shown}:1:1: error: file: cannot be read: ")), "{missing}");
        std::fs::write(&path, b"mode = 1\n# \xff").unwrap();
        let binary = lines(load(&path, &environment())).remove(0);
        assert_eq!(binary, format!("{shown}:2:3: error: file: is not UTF-8 (save it as UTF-8)"));
    }

    #[test]
    fn a_named_file_goes_before_the_usual_ones() {
        let environment = Environment::from_pairs([("FOREGATE_CONFIG", "/srv/proxy.toml")]);
        let flag = Path::new("here.toml");
        assert_eq!(find(Some(flag), &environment).as_deref(), Some(flag));
        assert_eq!(find(None, &environment).as_deref(), Some(Path::new("/srv/proxy.toml")));
    }
}
