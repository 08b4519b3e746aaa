//! TLS as a foreign implementation sees it: what is resumed, what is agreed on, what is refused.

use std::fs;
use std::process::{Command, Stdio};

use rustls::crypto::SupportedKxGroup;
use rustls::{NamedGroup, ProtocolVersion};

use crate::support::proxy::{HOST, Proxy, proxy};
use crate::support::upstream::{Upstream, upstream};

/// What `openssl s_client` tells of one request and its answer.
async fn openssl(proxy: &Proxy, options: &[&str]) -> String {
    let request = proxy.folder().join("request");
    fs::write(&request, format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n")).unwrap();
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &proxy.https.to_string(), "-servername", HOST, "-ign_eof"]);
    command.args(["-verify_return_error", "-CAfile", proxy.certificate.to_str().unwrap()]).args(options);
    command.current_dir(proxy.folder()).stdin(Stdio::from(fs::File::open(request).unwrap()));
    let ended = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned()
}

async fn serving() -> (Upstream, Proxy) {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).route("/", "access = \"public\"").start();
    (upstream, proxy)
}

#[tokio::test]
async fn openssl_resumes_its_sessions_and_may_send_nothing_early() {
    let (_upstream, proxy) = serving().await;
    for (version, label) in [("-tls1_3", "TLSv1.3"), ("-tls1_2", "TLSv1.2")] {
        let first = openssl(&proxy, &[version, "-sess_out", "session.pem"]).await;
        assert!(first.contains(&format!("New, {label}")) && is_answered(&first), "{first}");
        let tells_of_early_data = first.contains("Max Early Data: 0\n");
        assert_eq!(tells_of_early_data, version == "-tls1_3", "TLS 1.2 knows of none: {first}");
        let again = openssl(&proxy, &[version, "-sess_in", "session.pem"]).await;
        assert!(again.contains(&format!("Reused, {label}")) && is_answered(&again), "{again}");
    }
    let (_upstream, other) = serving().await;
    for (version, label) in [("-tls1_3", "TLSv1.3"), ("-tls1_2", "TLSv1.2")] {
        openssl(&proxy, &[version, "-sess_out", "session.pem"]).await;
        fs::copy(proxy.folder().join("session.pem"), other.folder().join("session.pem")).unwrap();
        let elsewhere = openssl(&other, &[version, "-sess_in", "session.pem"]).await;
        assert!(
            elsewhere.contains(&format!("New, {label}")),
            "tickets are this process's alone: {elsewhere}"
        );
    }
}

/// Whether the application has answered.
fn is_answered(told: &str) -> bool {
    told.contains("HTTP/1.1 200 OK") && told.contains("hello")
}

#[tokio::test]
async fn suites_without_forward_secrecy_and_versions_before_1_2_are_refused() {
    let (_upstream, proxy) = serving().await;
    let good = openssl(&proxy, &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"]).await;
    assert!(is_answered(&good), "{good}");
    for options in [
        ["-tls1_2", "-cipher", "kRSA:@SECLEVEL=0"],
        ["-tls1_2", "-cipher", "DHE:@SECLEVEL=0"],
        ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA384:@SECLEVEL=0"],
        ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
    ] {
        let refused = openssl(&proxy, &options).await;
        assert!(refused.contains(" alert ") && !is_answered(&refused), "{options:?}: {refused}");
    }
}

#[tokio::test]
async fn who_can_agrees_on_keys_that_no_quantum_computer_finds() {
    let (_upstream, proxy) = serving().await;
    let stream = proxy.client().connect(b"http/1.1").await;
    let (_, session) = stream.get_ref();
    assert_eq!(session.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    let group = session.negotiated_key_exchange_group().map(SupportedKxGroup::name);
    assert_eq!(group, Some(NamedGroup::X25519MLKEM768));
}
