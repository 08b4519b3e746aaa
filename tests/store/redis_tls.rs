//! Redis by TLS: who is let in on either side, and what the others get.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use foregate::base::clock::{Clock, Stopwatch};
use foregate::base::random::Random;
use foregate::base::secret::Secret;
use foregate::config::{CertificateFiles, ClientTls, RedisAddress, RedisUrl, StoreUrl};
use foregate::store::{self, Store, Trouble, Unavailable};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{AMPLE, Sample, config, open, open_redis, redis_by};
use crate::support::authority::{Authority, Pair};
use crate::support::redis::{RedisServer, documented_user};

const PASSWORD: &str = "of-the-acl-user";

/// A Redis that wants certificates, with a user who may do what docs/operating.md says that it has to.
pub(super) struct SecureRedis {
    authority: Authority,
    client: Pair,
    server: RedisServer,
}

impl SecureRedis {
    pub(super) fn start() -> Self {
        let authority = Authority::new();
        let pair = authority.issue("localhost");
        Self::showing(authority, &pair)
    }

    fn showing(authority: Authority, pair: &Pair) -> Self {
        let server =
            RedisServer::builder().tls(&authority, pair).only_user(&documented_user(PASSWORD)).start();
        let client = authority.issue("client.test");
        Self { authority, client, server }
    }

    /// With everything that it asks for.
    pub(super) fn url(&self) -> RedisUrl {
        self.url_with(&self.authority.bundle(), Some(&self.client))
    }

    fn url_with(&self, ca: &Path, client: Option<&Pair>) -> RedisUrl {
        secure_url(self.server.tls_port(), ca, client)
    }
}

fn secure_url(port: u16, ca: &Path, client: Option<&Pair>) -> RedisUrl {
    let files = |pair: &Pair| CertificateFiles { cert: pair.cert.clone(), key: pair.key.clone() };
    let files = ClientTls { ca: Some(ca.to_owned()), certificate: client.map(files) };
    let (user, password) = (Some("foregate".to_owned()), Some(Secret::new(PASSWORD.to_owned())));
    RedisUrl { user, password, ..redis_by(RedisAddress::Tls { host: "localhost".to_owned(), port, files }) }
}

/// Waits long enough for a handshake, and not for a peer that never answers.
fn hasty(url: RedisUrl) -> Arc<dyn Store> {
    open(StoreUrl::Redis(url), AMPLE, Duration::from_secs(1))
}

/// Why nothing is loaded: the kind, and all that the error says.
async fn refusal(store: &dyn Store) -> (Trouble, String) {
    let trouble = store.load(&Sample::new(1).handle).await.unwrap_err();
    (trouble.kind, full_text(&trouble))
}

fn full_text(trouble: &Unavailable) -> String {
    let source = trouble.source().unwrap();
    let text = format!("{source}");
    assert!(!format!("{text} {trouble:?} {source:?}").contains(PASSWORD));
    text
}

#[tokio::test]
async fn a_server_that_is_not_to_be_trusted_is_unavailable_and_says_why() {
    let stranger = Authority::new();
    let good = SecureRedis::start();
    let wrong_authority = hasty(good.url_with(&stranger.bundle(), Some(&good.client)));
    let (kind, text) = refusal(&*wrong_authority).await;
    assert!(kind == Trouble::Tls && text.contains("invalid peer certificate"), "{kind}: {text}");

    let authority = Authority::new();
    let pair = authority.issue("other.test");
    let elsewhere = SecureRedis::showing(authority, &pair);
    let (kind, text) = refusal(&*hasty(elsewhere.url())).await;
    assert!(kind == Trouble::Tls && text.contains("not valid for name \"localhost\""), "{kind}: {text}");

    let authority = Authority::new();
    let pair = authority.issue_expired("localhost");
    let expired = SecureRedis::showing(authority, &pair);
    let (kind, text) = refusal(&*hasty(expired.url())).await;
    assert!(kind == Trouble::Tls && text.contains("certificate expired"), "{kind}: {text}");
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_lets_nobody_in_without_a_good_one() {
    let (server, stranger) = (SecureRedis::start(), Authority::new());
    let (bundle, forged) = (server.authority.bundle(), stranger.issue("client.test"));
    for client in [None, Some(&forged)] {
        let (kind, text) = refusal(&*hasty(server.url_with(&bundle, client))).await;
        // By TLS 1.3 it hangs up after the handshake; what it says then may be lost on the way.
        assert!(matches!(kind, Trouble::Tls | Trouble::Connection), "{kind}: {text}");
    }
}

#[tokio::test]
async fn a_server_without_tls_gets_no_command_and_no_password() {
    let (server, authority) = (RedisServer::start(), Authority::new());
    let monitor = server.monitor();
    let store = hasty(secure_url(server.port(), &authority.bundle(), None));
    let (kind, text) = refusal(&*store).await;
    assert_eq!(kind, Trouble::Tls, "{text}");
    assert!(store.create(&Sample::new(1).session()).await.is_err());
    assert_eq!(monitor.commands(), Vec::<String>::new());
}

#[tokio::test]
async fn an_answer_in_plain_text_ends_the_handshake() {
    let authority = Authority::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let talking = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        client.write_all(b"+OK\r\n+PONG\r\n").await.unwrap();
        let mut received = Vec::new();
        let _ = client.read_to_end(&mut received).await;
        received
    });
    let (kind, text) = refusal(&*hasty(secure_url(port, &authority.bundle(), None))).await;
    assert!(kind == Trouble::Tls && text.contains("no TLS with localhost"), "{kind}: {text}");
    let received = String::from_utf8_lossy(&talking.await.unwrap()).into_owned();
    assert!(!received.contains(PASSWORD) && !received.contains("AUTH"), "{received}");
}

#[tokio::test]
async fn renewed_files_count_from_the_next_connection_on() {
    let (mut redis, stranger) = (SecureRedis::start(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("trusted.pem");
    fs::copy(redis.authority.bundle(), &bundle).unwrap();
    let store = open_redis(redis.url_with(&bundle, Some(&redis.client)));
    let handle = Sample::new(1).handle;
    for _ in 0..4 {
        assert_eq!(
            store.load(&handle).await.unwrap().record,
            None,
            "look-ups take turns on several connections"
        );
    }

    fs::copy(stranger.bundle(), &bundle).unwrap();
    assert_eq!(store.load(&handle).await.unwrap().record, None);
    redis.server.restart();
    let (kind, text) = refusal(&*store).await;
    assert!(kind == Trouble::Tls && text.contains("invalid peer certificate"), "{kind}: {text}");

    fs::remove_file(&bundle).unwrap();
    wait_until(|answer| answer.is_err_and(|text| text.contains("trusted.pem")), &*store).await;
    fs::copy(redis.authority.bundle(), &bundle).unwrap();
    wait_until(|answer| answer.is_ok(), &*store).await;
}

async fn wait_until(is_so: impl Fn(Result<(), String>) -> bool, store: &dyn Store) {
    let waited = Stopwatch::start();
    loop {
        let answer = store.load(&Sample::new(1).handle).await;
        if is_so(answer.map(|_| ()).map_err(|trouble| full_text(&trouble))) {
            return;
        }
        assert!(waited.elapsed() < AMPLE, "it does not come to that");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn files_that_cannot_be_used_are_told_before_anything_is_connected() {
    let authority = Authority::new();
    let (one, other) = (authority.issue("one.test"), authority.issue("other.test"));
    let (bundle, missing) = (authority.bundle(), Path::new("missing.pem"));
    let mixed = Pair { cert: one.cert.clone(), key: other.key.clone() };
    let swapped = Pair { cert: one.key.clone(), key: one.cert.clone() };
    for (ca, client, says) in [
        (missing, None, "cannot read missing.pem"),
        (one.key.as_path(), None, "BEGIN CERTIFICATE"),
        (bundle.as_path(), Some(&mixed), "does not fit the key in"),
        (bundle.as_path(), Some(&swapped), "BEGIN CERTIFICATE"),
    ] {
        let config = config(StoreUrl::Redis(secure_url(6379, ca, client)), AMPLE, AMPLE);
        let refused = store::check(&config).unwrap_err().to_string();
        assert!(refused.contains(says), "{refused}");
        let opened = store::open(&config, Clock::system(), Random::system(), None);
        assert_eq!(opened.unwrap_err().to_string(), refused);
    }
}

#[tokio::test]
async fn a_socket_that_is_not_there_is_no_connection() {
    let store = hasty(redis_by(RedisAddress::Unix("/nonexistent/redis.sock".into())));
    assert_eq!(store.load(&Sample::new(1).handle).await.unwrap_err().kind, Trouble::Connection);
}
