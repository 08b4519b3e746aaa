//! What is tried again and what never is; how servers are reached; what is taken for an answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::UnixListener;

use crate::support::proxy::{Proxy, proxy};
use crate::support::upstream::{Upstream, answer, upstream};

fn proxy_to(upstream: &Upstream, servers: &str, keys: &str) -> Proxy {
    let section = format!(
        "[upstream.many]\nservers = [{servers}]\nbalance = \"round-robin\"\n{keys}\n\
         [[route]]\npath = \"/many\"\nupstream = \"many\"\naccess = \"public\""
    );
    proxy(upstream).section(&section).start()
}

fn url(upstream: &Upstream) -> String {
    format!("\"http://{}\"", upstream.address())
}

/// A server that answers the first request of a connection, reads the next and hangs up; and how many such there
/// were.
async fn fickle() -> (Upstream, Arc<AtomicUsize>) {
    let cut = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&cut);
    let server = Upstream::talking(move |_, mut line| {
        let counted = Arc::clone(&counted);
        async move {
            line.send(answer("200 OK", &[], "once")).await;
            if !line.read(1).await.is_empty() {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    (server, cut)
}

#[tokio::test]
async fn on_a_stale_connection_what_may_be_repeated_is_and_what_may_not_is_not() {
    for (head, body, keys, repeated) in [
        ("GET /many", "", "", true),
        ("DELETE /many", "", "", true),
        ("GET /many", "", "retries = 0", false),
        ("PUT /many", "body", "", false),
        ("POST /many", "", "", false),
        ("POST /many", "body", "retries = 10", false),
    ] {
        let (server, cut) = fickle().await;
        let proxy = proxy_to(&server, &url(&server), keys);
        assert_eq!(proxy.client().send("GET /many", "").await.status, 200);
        let status = proxy.client().send(head, body).await.status;
        assert_eq!(status, if repeated { 200 } else { 502 }, "{head} {keys}");
        assert_eq!(cut.load(Ordering::SeqCst), 1, "{head}");
        assert_eq!(server.received().len(), if repeated { 2 } else { 1 }, "{head} {keys}");
    }
}

/// Its kept connection is closed, and the next one as well, as it comes: the third attempt is another server's.
#[tokio::test]
async fn a_server_that_goes_down_costs_no_get_where_there_is_another() {
    for (keys, status) in [("", 200), ("retries = 0", 502)] {
        let dying = Upstream::talking(|request, mut line| async move {
            if request.connection == 0 {
                line.send(answer("200 OK", &[], "once")).await;
                line.read(1).await;
            }
        })
        .await;
        let other = upstream().await;
        let proxy = proxy_to(&dying, &format!("{}, {}", url(&dying), url(&other)), keys);
        for _ in 0..2 {
            assert_eq!(proxy.client().send("GET /many", "").await.status, 200);
        }
        assert_eq!((dying.received().len(), other.received().len()), (1, 1));
        assert_eq!(proxy.client().send("GET /many", "").await.status, status, "{keys}");
        let seen = if status == 200 { (2, 2) } else { (1, 1) };
        assert_eq!((dying.received().len(), other.received().len()), seen, "{keys}");
    }
}

#[tokio::test]
async fn what_a_server_has_read_on_a_new_connection_goes_to_no_other() {
    let deaf = Upstream::talking(|_, _| async {}).await;
    let other = upstream().await;
    let proxy = proxy_to(&deaf, &format!("{}, {}", url(&deaf), url(&other)), "retries = 5");
    assert_eq!(proxy.client().send("GET /many", "").await.status, 502);
    assert_eq!((deaf.received().len(), other.received().len()), (1, 0));
}

#[tokio::test]
async fn so_many_servers_are_tried_as_retries_allow() {
    let server = upstream().await;
    let dead: Vec<String> = (0..3)
        .map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap())
        .map(|nobody| format!("\"http://{nobody}\""))
        .collect();
    let servers = format!("{}, {}", dead.join(", "), url(&server));
    for (retries, status) in [(0, 502), (2, 502), (3, 200)] {
        let proxy = proxy_to(&server, &servers, &format!("retries = {retries}"));
        assert_eq!(proxy.client().send("POST /many", "body").await.status, status, "{retries}");
    }
    assert_eq!(server.received().len(), 1);
    assert_eq!(server.only().body, b"body");
}

#[tokio::test]
async fn a_name_with_several_addresses_is_reached_at_the_one_that_answers() {
    // The name has an IPv6 address as well on most machines, and nobody listens there.
    let server = upstream().await;
    let url = format!("\"http://localhost:{}\"", server.address().port());
    let proxy = proxy_to(&server, &url, "retries = 0");
    assert_eq!(proxy.client().send("GET /many", "").await.status, 200);
}

#[tokio::test]
async fn a_server_may_listen_on_a_socket_in_the_file_system() {
    let server = upstream().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let address = server.address();
    let relaying = tokio::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((mut near, _)) = listener.accept().await {
            connections.spawn(async move {
                let mut far = tokio::net::TcpStream::connect(address).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    let proxy = proxy_to(&server, &format!("\"unix:{}\"", path.display()), "host = \"rewrite\"");
    for _ in 0..3 {
        assert_eq!(proxy.client().send("POST /many", "body").await.body, "hello");
    }
    assert_eq!(server.connections(), 1, "it is kept");
    assert_eq!(server.last().header("host").as_deref(), Some("localhost"));
    relaying.abort();
}

#[tokio::test]
async fn folded_lines_and_spaces_before_colons_are_taken_from_lenient_upstreams_alone() {
    let old = Upstream::talking(|_, mut line| async move {
        line.send("HTTP/1.1 200 OK\r\nX-Spaced : yes\r\nX-Folded: one\r\n two\r\nContent-Length: 0\r\n\r\n")
            .await;
    })
    .await;
    let strict = proxy_to(&old, &url(&old), "");
    assert_eq!(strict.client().send("GET /many", "").await.status, 502);
    let lenient = proxy_to(&old, &url(&old), "lenient = true");
    let answer = lenient.client().send("GET /many", "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-spaced"), Some("yes"));
    let folded = answer.header("x-folded").unwrap();
    assert_eq!(folded.split_whitespace().collect::<Vec<_>>(), ["one", "two"]);
}
