//! What the demo is set up with: a certificate, two users, a configuration, and what to say about it.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::application::Front;
use crate::app::App;
use crate::auth::hash_password;
use crate::base::clock::Timestamp;
use crate::base::random::Random;
use crate::base::secret::Secret;
use crate::config::CertificateFiles;
use crate::listener::{fingerprint, self_signed};

/// Where http is redirected from, unless something else listens there.
const HTTP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// From the folder that the demo was started from.
const CURL: &str = "curl -s --cacert certs/localhost.crt";

/// Letters and digits that nobody takes for one another; 32 of them, so that a byte chooses evenly.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Everything but the address of the application.
#[derive(Debug)]
pub(super) struct Stage {
    listen: SocketAddr,
    http: Option<SocketAddr>,
    certificate: CertificateFiles,
    fingerprint: String,
    users: [User; 2],
}

#[derive(Debug)]
struct User {
    login: &'static str,
    name: &'static str,
    groups: &'static [&'static str],
    password: Secret<String>,
}

impl Stage {
    /// With a certificate under `certs/` in `here` and passwords made anew.
    pub(super) fn set(
        listen: SocketAddr,
        here: &Path,
        now: Timestamp,
        random: Random,
    ) -> anyhow::Result<Self> {
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let certificate = self_signed(&here.join("certs"), &names, now)
            .context("the demo keeps its certificate in the folder it is started from")?;
        let user = |login, name, groups| User { login, name, groups, password: password(random) };
        Ok(Self {
            listen,
            // Whoever lets the system choose a port does not want a fixed one beside it.
            http: (listen.port() != 0 && TcpListener::bind(HTTP).is_ok()).then_some(HTTP),
            fingerprint: fingerprint(&certificate.cert)?,
            certificate,
            users: [
                user("alice", "Alice Example", &["staff", "admins"]),
                user("bob", "Bob Example", &["staff"]),
            ],
        })
    }

    /// Writes the configuration and the users into `folder`; returns the configuration's path.
    pub(super) fn write(&self, folder: &Path, application: SocketAddr) -> anyhow::Result<PathBuf> {
        let mut users = String::new();
        for user in &self.users {
            let hash = hash_password(&user.password)?;
            let groups = user.groups.join("\", \"");
            write!(
                users,
                "[users.{}]\nname = \"{}\"\nemail = \"{}@example.com\"\ngroups = [\"{groups}\"]\npassword = \"{hash}\"\n\n",
                user.login, user.name, user.login,
            )?;
        }
        fs::write(folder.join("users.toml"), users).context("cannot write the demo's users")?;
        let path = folder.join("proxy.toml");
        fs::write(&path, self.configuration(application)).context("cannot write the demo's configuration")?;
        Ok(path)
    }

    fn configuration(&self, application: SocketAddr) -> String {
        let http = self.http.map(|address| format!("\"{address}\"")).unwrap_or_default();
        let quoted = |path: &Path| toml_edit::Value::from(path.to_string_lossy().into_owned());
        let (cert, key) = (quoted(&self.certificate.cert), quoted(&self.certificate.key));
        format!(
            r#"# The demo's configuration: what `foregate run` would read.
mode = "development"

[server]
https = ["{listen}"]
http = [{http}]
admin = "off"
admin_socket = "off"

[[tls.certificate]]
cert = {cert}
key = {key}

[session.store]
url = "memory:"

[login]
title = "Sign in to the demo"

[auth.local]
users = "users.toml"

[upstream.demo]
servers = ["http://{application}"]

[[route]]
path = "/"
upstream = "demo"

[[route]]
path = "/admin"
upstream = "demo"
groups = ["admins"]

[[route]]
path = "/public"
upstream = "demo"
access = "public"

[log]
level = "warn"
"#,
            listen = self.listen,
        )
    }

    /// What the terminal shows, on one screen of 80 by 24; writes the tour that it names into `folder`.
    pub(super) fn script(&self, app: &App, folder: &Path, front: &Front) -> anyhow::Result<String> {
        let port = app.https_addresses().first().context("the demo listens")?.port();
        let site = format!("https://localhost:{port}");
        let tour = folder.join("tour");
        fs::write(&tour, self.tour(&site, folder, front)).context("cannot write the demo's tour")?;
        let http = match self.http {
            Some(address) => format!("http://localhost:{} leads there", address.port()),
            None => "no http: port 8080 is not ours".to_owned(),
        };
        let [alice, bob] = &self.users;
        Ok(format!(
            "Foregate stands in front of an application that knows nothing of logins.

  open    {site}/   ({http})
          Your browser will warn: the certificate was made just now, by nobody
          it knows. Its SHA-256:
  {fingerprint}
  users   alice  {alice}   (groups staff, admins)
          bob    {bob}   (group staff: /admin is not for him)
  config  {config}

In another terminal, from this folder: nobody is let in without a login, who
they are cannot be claimed, and a tour signs alice in and out.

  {CURL} -i {site}/
  {CURL} -H 'X-Forwarded-User: alice' {site}/public
  sh {tour}

Ctrl-C ends the demo and removes what it wrote, but for certs/.",
            fingerprint = self.fingerprint,
            alice = alice.password.expose(),
            bob = bob.password.expose(),
            config = folder.join("proxy.toml").display(),
            tour = tour.display(),
        ))
    }

    /// A login by curl takes the form's token along, which makes its lines too long for a screen.
    fn tour(&self, site: &str, folder: &Path, Front { prefix, cookie }: &Front) -> String {
        let jar = folder.join("cookies.txt");
        format!(
            r#"# Signs alice in, asks the application what it receives, and signs her out.
jar='{jar}'
token() {{ {CURL} -b "$jar" -c "$jar" "{site}{prefix}/$1" | sed -n 's/.*name="csrf_token" value="\([^"]*\)".*/\1/p'; }}
say() {{ printf '\n--- %s\n' "$1"; }}

say 'alice signs in: see the cookie {cookie} and its attributes'
{CURL} -i -b "$jar" -c "$jar" -d username=alice -d password={password} -d "csrf_token=$(token login)" {site}{prefix}/login
say 'what the application receives: who she is, and no cookie'
{CURL} -b "$jar" {site}/
say 'alice signs out, and keeps a copy of the cookie'
cp "$jar" "$jar.copy"
{CURL} -i -b "$jar" -c "$jar" -d "csrf_token=$(token logout)" {site}{prefix}/logout
say 'the copy is worth nothing'
{CURL} -i -b "$jar.copy" {site}/
"#,
            jar = jar.display(),
            password = self.users[0].password.expose(),
        )
    }
}

/// 60 bits in three groups.
fn password(random: Random) -> Secret<String> {
    let letters: [u8; 12] = random.bytes();
    let letter = |byte: &u8| char::from(LETTERS[usize::from(byte % 32)]);
    let groups = letters.chunks(4).map(|group| group.iter().map(letter).collect::<String>());
    Secret::new(groups.collect::<Vec<_>>().join("-"))
}
