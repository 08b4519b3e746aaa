//! What a handshake may be made of (security.md, DS-14).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::HandshakeKind;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{PATIENCE, all};
use crate::support::authority::Authority;
use crate::support::client::{Jar, parse};
use crate::support::proxy::{HOST, Proxy, proxy};
use crate::support::upstream::upstream;

/// Passes one connection on, its first record cut into many of `size` bytes, each in a packet of its own.
async fn cutting(server: SocketAddr, size: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut server = TcpStream::connect(server).await.unwrap();
        server.set_nodelay(true).unwrap();
        let mut head = [0; 5];
        client.read_exact(&mut head).await.unwrap();
        let mut hello = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
        client.read_exact(&mut hello).await.unwrap();
        for piece in hello.chunks(size) {
            let length = u16::try_from(piece.len()).unwrap().to_be_bytes();
            let record = [&head[..3], &length, piece].concat();
            if server.write_all(&record).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
        let _ = copy_bidirectional(&mut client, &mut server).await;
    });
    address
}

/// The status that `host` answers with on a connection for it whose hello was cut into pieces.
async fn cut(proxy: &Proxy, host: &str, size: usize) -> io::Result<u16> {
    let stream = TcpStream::connect(cutting(proxy.https, size).await).await?;
    let mut stream =
        timeout(PATIENCE, proxy.client().over(stream, host)).await.expect("a verdict in time")?;
    stream
        .write_all(format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())
        .await?;
    let text = all(&mut stream).await;
    if text.is_empty() { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(parse(&text).status) }
}

#[tokio::test]
async fn a_hello_in_pieces_is_held_to_the_same_rules() {
    let (upstream, authority) = (upstream().await, Authority::new());
    let keys = format!(
        "[tls.client_auth]\nmode = \"required\"\nhosts = [\"localhost\"]\nca = {:?}",
        authority.bundle()
    );
    let proxy = proxy(&upstream).route("/", "access = \"public\"").section(&keys).start();
    for size in [3, 16, 100, 1_000] {
        if let Ok(status) = cut(&proxy, HOST, size).await {
            assert_eq!(status, 200, "{size}");
        }
        assert!(cut(&proxy, "localhost", size).await.is_err(), "no certificate was shown: {size}");
    }
    assert_eq!(cut(&proxy, HOST, 100).await.unwrap(), 200, "pieces are no fault");
    assert!(upstream.received().iter().all(|request| request.header("host").as_deref() == Some(HOST)));
}

/// A hello by hand: TLS 1.2, and a name of so many bytes.
fn hello(name: usize) -> Vec<u8> {
    let two = |length: usize| u16::try_from(length).unwrap().to_be_bytes();
    let list = [&[0], two(name).as_slice(), &vec![b'a'; name]].concat();
    let extension = [[0, 0].as_slice(), &two(list.len() + 2), &two(list.len()), &list].concat();
    let fixed = [[3, 3].as_slice(), &[7; 32], &[0, 0, 2, 0x13, 0x01, 1, 0]].concat();
    let body = [fixed.as_slice(), &two(extension.len()), &extension].concat();
    let message = [[1, 0].as_slice(), &two(body.len()), &body].concat();
    let record = |piece: &[u8]| [[22, 3, 1].as_slice(), &two(piece.len()), piece].concat();
    message.chunks(16_000).flat_map(record).collect()
}

#[tokio::test]
async fn a_name_or_a_hello_that_is_none_costs_a_connection() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).route("/", "access = \"public\"").start();
    let mut cut_short = hello(10);
    cut_short.truncate(30);
    cut_short[4] = 25;
    for (what, bytes) in [
        ("a name of 16 KB", hello(16_000)),
        ("a name of 60 KB", hello(60_000)),
        ("a name of no bytes", hello(0)),
        ("a name that is no host's", hello(300)),
        ("a hello that ends early", cut_short),
        ("a record of no bytes, over and over", [22, 3, 1, 0, 0].repeat(10_000)),
        ("alerts", [21, 3, 3, 0, 2, 1, 100].repeat(10_000)),
    ] {
        let mut stream = TcpStream::connect(proxy.https).await.unwrap();
        let _ = stream.write_all(&bytes).await;
        let _ = stream.shutdown().await;
        let mut end = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut end)).await.unwrap_or_else(|_| panic!("{what}"));
        assert_eq!(proxy.client().get("/", &Jar::default()).await.status, 200, "{what}");
    }
    assert_eq!(upstream.received().len(), 7);
}

#[tokio::test]
async fn a_session_is_resumed_and_nothing_is_taken_before_its_handshake_ends() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).route("/", "access = \"public\"").start();
    let mut config = proxy.client().config(b"http/1.1");
    config.enable_early_data = true;
    let connector = TlsConnector::from(Arc::new(config));
    let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let stream = TcpStream::connect(proxy.https).await.unwrap();
        let name = ServerName::try_from(HOST).unwrap();
        let none_before = |session: &mut rustls::ClientConnection| assert!(session.early_data().is_none());
        let mut stream = connector.connect_with(name, stream, none_before).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(parse(&all(&mut stream).await).status, 200);
        let (_, session) = stream.get_ref();
        let kind = session.handshake_kind().unwrap();
        let full = matches!(kind, HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest);
        assert_eq!(full, expected == HandshakeKind::Full, "{kind:?}");
    }
}

#[tokio::test]
async fn fresh_keys_over_and_over_are_cut_off() {
    let upstream = upstream().await;
    let proxy = proxy(&upstream).route("/", "access = \"public\"").start();
    let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    for (times, is_served) in [(10, true), (1_000, false)] {
        let mut stream = proxy.client().connect(b"http/1.1").await;
        for _ in 0..times {
            stream.get_mut().1.refresh_traffic_keys().unwrap();
            // It may be cut off by now.
            let _ = stream.flush().await;
        }
        let _ = stream.write_all(request.as_bytes()).await;
        assert_eq!(all(&mut stream).await.contains(" 200 OK"), is_served, "{times}");
    }
}
