//! Applications that authenticate a connection instead of a request (NTLM, Negotiate): who authenticates is alone on
//! that connection, and nobody ever rides on somebody else's (security.md, DG-10).

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Request;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::client::TlsStream;

use crate::support::client::{Answer, Jar, parse};
use crate::support::proxy::{ALICE, BOB, HOST, Proxy, proxy};
use crate::support::settle::eventually;
use crate::support::upstream::{Received, Upstream, answer, upstream};

/// Greets whoever authenticated the connection by `NTLM 1` and then `NTLM NAME`, or by `Negotiate NAME` at once.
fn greeter() -> impl Fn(&Received) -> Vec<u8> + Send + Sync + 'static {
    let known = Mutex::new(HashMap::<usize, String>::new());
    move |request| {
        let mut known = known.lock().unwrap();
        let asking = |challenge: &str| answer("401 Unauthorized", &[("WWW-Authenticate", challenge)], "");
        let credentials = request.header("authorization").unwrap_or_default();
        let begun = known.contains_key(&request.connection);
        match credentials.split_once(' ') {
            Some(("NTLM", "1")) => {
                known.insert(request.connection, String::new());
                return asking("NTLM 2");
            }
            Some(("NTLM", name)) if begun => drop(known.insert(request.connection, name.to_owned())),
            Some(("Negotiate", name)) => drop(known.insert(request.connection, name.to_owned())),
            _ => {}
        }
        match known.get(&request.connection).filter(|name| !name.is_empty()) {
            Some(name) => answer("200 OK", &[], name),
            None => answer(
                "401 Unauthorized",
                &[("WWW-Authenticate", "Negotiate"), ("WWW-Authenticate", "NTLM")],
                "",
            ),
        }
    }
}

/// One connection of a client.
struct Line<S>(S);

impl<S: AsyncRead + AsyncWrite + Unpin> Line<S> {
    /// `headers` are whole lines.
    async fn ask(&mut self, headers: &str) -> Answer {
        let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n{headers}\r\n");
        self.0.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.unwrap());
        }
        let mut answer = parse(std::str::from_utf8(&head).unwrap());
        let mut body = vec![0; answer.header("content-length").unwrap_or("0").parse().unwrap()];
        self.0.read_exact(&mut body).await.unwrap();
        answer.body = String::from_utf8(body).unwrap();
        answer
    }

    async fn authenticate(&mut self, name: &str, headers: &str) {
        let challenges = self.ask(headers).await;
        assert_eq!(challenges.all("www-authenticate"), ["Negotiate", "NTLM"], "{challenges:#?}");
        let begun = self.ask(&format!("{headers}Authorization: NTLM 1\r\n")).await;
        assert_eq!((begun.status, begun.header("www-authenticate")), (401, Some("NTLM 2")));
        let known = self.ask(&format!("{headers}Authorization: NTLM {name}\r\n")).await;
        assert_eq!((known.status, known.body.as_str()), (200, name));
    }
}

async fn line(proxy: &Proxy) -> Line<TlsStream<TcpStream>> {
    Line(proxy.client().connect(b"http/1.1").await)
}

fn public(upstream: &Upstream) -> Proxy {
    proxy(upstream).route("/", "access = \"public\"").start()
}

#[tokio::test]
async fn who_authenticates_a_connection_is_alone_on_it_and_takes_it_along() {
    let upstream = Upstream::answering(greeter()).await;
    let proxy = public(&upstream);
    let (mut alice, mut bob) = (line(&proxy).await, line(&proxy).await);
    alice.authenticate("alice", "").await;
    assert_eq!(bob.ask("").await.status, 401, "bob is nobody yet");
    assert_eq!(alice.ask("").await.body, "alice", "and alice is known without saying it again");
    bob.authenticate("bob", "").await;
    for _ in 0..3 {
        assert_eq!(alice.ask("").await.body, "alice");
        assert_eq!(bob.ask("").await.body, "bob");
        assert_eq!(line(&proxy).await.ask("").await.status, 401);
    }
    drop((alice, bob));
    eventually("their connections end with theirs", async || upstream.open() == 0).await;
    assert_eq!(line(&proxy).await.ask("").await.status, 401);
}

#[tokio::test]
async fn who_authenticates_unasked_leaves_no_connection_behind() {
    let upstream = Upstream::answering(greeter()).await;
    let proxy = public(&upstream);
    let mut alice = line(&proxy).await;
    assert_eq!(alice.ask("Authorization: Negotiate alice\r\n").await.body, "alice");
    assert_eq!(line(&proxy).await.ask("").await.status, 401);
    assert_eq!(alice.ask("Authorization: Negotiate alice\r\n").await.body, "alice");
}

#[tokio::test]
async fn the_next_user_of_a_browser_is_somebody_else() {
    let upstream = Upstream::answering(greeter()).await;
    let proxy = proxy(&upstream).start();
    let cookie = |jar: &Jar| format!("Cookie: {}\r\n", jar.header());
    let (alice, bob) = (cookie(&proxy.logged_in(ALICE).await), cookie(&proxy.logged_in(BOB).await));
    let mut browser = line(&proxy).await;
    browser.authenticate("alice", &alice).await;
    assert_eq!(browser.ask(&bob).await.status, 401);
    assert_eq!(browser.ask(&alice).await.status, 401, "her connection is closed");
}

#[tokio::test]
async fn a_proxys_connection_is_many_clients_and_nobodys_own() {
    let upstream = Upstream::answering(greeter()).await;
    let keys = "plain = [\"127.0.0.1:0\"]\ntrusted_proxies = [\"127.0.0.1\"]";
    let proxy = proxy(&upstream).route("/", "access = \"public\"").server(keys).start();
    let mut line = Line(TcpStream::connect(proxy.plain.unwrap()).await.unwrap());
    let https = "X-Forwarded-Proto: https\r\n";
    assert_eq!(line.ask(&format!("{https}Authorization: NTLM 1\r\n")).await.status, 401);
    assert_eq!(line.ask(&format!("{https}Authorization: NTLM alice\r\n")).await.status, 401);
    assert_eq!(line.ask(&format!("{https}Authorization: Negotiate alice\r\n")).await.body, "alice");
    assert_eq!(line.ask(https).await.status, 401);
}

#[tokio::test]
async fn over_http2_a_clients_exchanges_take_turns_on_its_connection() {
    let gate = Arc::new(Semaphore::new(3));
    let upstream = Upstream::answering_when(greeter(), Arc::clone(&gate)).await;
    let proxy = public(&upstream);
    let (client, driver) = h2::client::handshake(proxy.client().connect(b"h2").await).await.unwrap();
    let driver = tokio::spawn(driver);
    let ask = async |credentials: &str| {
        let request = Request::get(format!("https://{HOST}/"));
        let request =
            if credentials.is_empty() { request } else { request.header("authorization", credentials) };
        let mut ready = client.clone().ready().await.unwrap();
        let (answer, _) = ready.send_request(request.body(()).unwrap(), true).unwrap();
        let (head, mut body) = answer.await.unwrap().into_parts();
        let body = body.data().await.map_or(Bytes::new(), Result::unwrap);
        (head.status.as_u16(), String::from_utf8(body.to_vec()).unwrap())
    };
    for (credentials, status) in [("", 401), ("NTLM 1", 401), ("NTLM alice", 200)] {
        assert_eq!(ask(credentials).await.0, status, "{credentials}");
    }
    let before = upstream.received().len();
    let three = async { tokio::join!(ask(""), ask(""), ask("")) };
    let one_at_a_time = async {
        for number in 1..=3 {
            eventually("the next comes", async || upstream.received().len() >= before + number).await;
            assert_eq!(upstream.received().len(), before + number, "one at a time");
            gate.add_permits(1);
        }
    };
    let ((one, two, three), ()) = tokio::join!(three, one_at_a_time);
    for answer in [one, two, three] {
        assert_eq!(answer, (200, "alice".to_owned()));
    }
    assert_eq!(upstream.connections(), 1);
    gate.add_permits(1);
    assert_eq!(line(&proxy).await.ask("").await.status, 401);
    driver.abort();
}

#[tokio::test]
async fn a_client_stays_with_the_server_that_knows_it() {
    let servers = [Upstream::answering(greeter()).await, Upstream::answering(greeter()).await];
    let section = format!(
        "[upstream.two]\nservers = [\"http://{}\", \"http://{}\"]\nbalance = \"round-robin\"",
        servers[0].address(),
        servers[1].address()
    );
    let proxy = proxy(&servers[0])
        .section(&format!("{section}\n[[route]]\nupstream = \"two\"\naccess = \"public\""))
        .route("/other", "")
        .start();
    let mut alice = line(&proxy).await;
    alice.authenticate("alice", "").await;
    for _ in 0..5 {
        assert_eq!(line(&proxy).await.ask("").await.status, 401);
        assert_eq!(alice.ask("").await.body, "alice");
    }
}

/// A server that all requests share a connection to takes nobody's word for all of them.
#[tokio::test]
async fn nobody_authenticates_a_connection_that_all_share() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            assert!(!request.headers().contains_key("authorization"), "{request:?}");
            let answer = http::Response::builder()
                .status(401)
                .header("www-authenticate", "Negotiate")
                .header("www-authenticate", "Basic realm=\"x\"");
            let _ = respond.send_response(answer.body(()).unwrap(), true);
        }
    });
    let plain = upstream().await;
    let section = format!(
        "[upstream.new]\nservers = [\"h2c://{address}\"]\n[[route]]\nupstream = \"new\"\naccess = \"public\""
    );
    let proxy = proxy(&plain).route("/other", "").section(&section).start();
    let mut alice = line(&proxy).await;
    for credentials in ["", "Authorization: Negotiate alice\r\n", "Authorization: NTLM 1\r\n"] {
        let answer = alice.ask(credentials).await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Basic realm=\"x\"")));
    }
    serving.abort();
}

fn bounded(upstream: &Upstream, keys: &str) -> Proxy {
    let section = format!(
        "[upstream.bounded]\nservers = [\"http://{}\"]\n{keys}\n\
         [[route]]\nupstream = \"bounded\"\naccess = \"public\"",
        upstream.address()
    );
    proxy(upstream).route("/elsewhere", "").section(&section).start()
}

#[tokio::test]
async fn of_those_that_idle_as_many_are_kept_as_connections_may_be() {
    let upstream = Upstream::answering(greeter()).await;
    let proxy = bounded(&upstream, "connections = 2");
    let mut clients = [line(&proxy).await, line(&proxy).await, line(&proxy).await];
    for (client, name) in clients.iter_mut().zip(["alice", "bob", "carol"]) {
        client.authenticate(name, "").await;
    }
    eventually("one of them is closed", async || upstream.open() == 2).await;
    let [alice, bob, carol] = &mut clients;
    assert_eq!(bob.ask("").await.body, "bob");
    assert_eq!(carol.ask("").await.body, "carol");
    assert_eq!(alice.ask("").await.status, 401, "nobody asked on hers for longest");
    alice.authenticate("alice", "").await;
}

#[tokio::test]
async fn they_end_at_their_age_like_all_others() {
    let upstream = Upstream::answering(greeter()).await;
    let proxy = bounded(&upstream, "connection_age = \"3s\"");
    let mut alice = line(&proxy).await;
    alice.authenticate("alice", "").await;
    let asked = tokio::sync::Mutex::new(alice);
    eventually("hers ends", async || asked.lock().await.ask("").await.status == 401).await;
    asked.lock().await.authenticate("alice", "").await;
}
