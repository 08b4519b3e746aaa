//! An application that records what it receives, byte for byte, and answers what it is told.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// What a request looked like when it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// `GET /path HTTP/1.1`
    pub(crate) line: String,
    /// Names as they were spelled.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    /// The body, unframed.
    pub(crate) body: Vec<u8>,
    /// Header lines after a chunked body.
    pub(crate) trailers: Vec<String>,
    /// Which connection it came on.
    pub(crate) connection: usize,
}

impl Received {
    /// The target of the request line.
    pub(crate) fn target(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }

    /// The values of a header, by its name in lower case.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        let same = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        same.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }

    /// The one value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let all = self.all(name);
        assert!(all.len() <= 1, "{name} came {} times", all.len());
        all.into_iter().next()
    }
}

/// The whole answer to every request, head and body.
type Script = Arc<dyn Fn(&Received) -> Vec<u8> + Send + Sync>;

/// The application.
pub(crate) struct Upstream {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Received>>>,
    connections: Arc<AtomicUsize>,
    open: Arc<()>,
    accepting: JoinHandle<()>,
}

/// An application that answers `200 hello`.
pub(crate) async fn upstream() -> Upstream {
    Upstream::answering(|_| answer("200 OK", &[("Content-Type", "text/plain")], "hello")).await
}

/// A whole answer with its length.
pub(crate) fn answer(status: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    (text + "\r\n" + body).into_bytes()
}

impl Upstream {
    /// An application with answers of its own.
    pub(crate) async fn answering(script: impl Fn(&Received) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let open = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        Self::answering_when(script, open).await
    }

    /// As [`Upstream::answering`], but each answer waits for a permit of `gate`.
    pub(crate) async fn answering_when(
        script: impl Fn(&Received) -> Vec<u8> + Send + Sync + 'static,
        gate: Arc<Semaphore>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        let (records, script) = (Arc::clone(&seen), Arc::new(script) as Script);
        let open = Arc::new(());
        let held = Arc::clone(&open);
        let accepting = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                counted.fetch_add(1, Ordering::SeqCst);
                let (gate, held) = (Arc::clone(&gate), Arc::clone(&held));
                let (records, script) = (Arc::clone(&records), Arc::clone(&script));
                connections.spawn(async move {
                    converse(stream, connection, records, (script, gate)).await;
                    drop(held);
                });
            }
        });
        Self { address, seen, connections, open, accepting }
    }

    /// An application that reads the head of one request a connection, and is told what to do from there on.
    pub(crate) async fn talking<F>(talk: impl Fn(Received, Line) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let made = Arc::new(AtomicUsize::new(0));
        let (records, talk, counted) = (Arc::clone(&seen), Arc::new(talk), Arc::clone(&made));
        let accepting = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                counted.fetch_add(1, Ordering::SeqCst);
                let (records, talk) = (Arc::clone(&records), Arc::clone(&talk));
                connections.spawn(async move {
                    let mut line = Line { stream, buffer: Vec::new() };
                    let Some(request) = read_head(&mut line.stream, &mut line.buffer, connection).await
                    else {
                        return;
                    };
                    records.lock().unwrap().push(request.clone());
                    talk(request, line).await;
                });
            }
        });
        Self { address, seen, connections: made, open: Arc::default(), accepting }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections were made to it.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// How many of them are open, of an application that answers.
    pub(crate) fn open(&self) -> usize {
        Arc::strong_count(&self.open) - 2
    }

    /// All that it received.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.seen.lock().unwrap().clone()
    }

    /// The one request that it received.
    pub(crate) fn only(&self) -> Received {
        let mut all = self.received();
        assert_eq!(all.len(), 1, "the upstream received {all:#?}");
        all.remove(0)
    }

    /// The latest request that it received.
    pub(crate) fn last(&self) -> Received {
        self.received().pop().expect("the upstream received a request")
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// The application's end of a connection, after the head of a request.
pub(crate) struct Line {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
}

impl Line {
    /// Sends bytes; `false` where nobody takes them any more.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok()
    }

    /// The next `length` bytes; fewer where the connection ends.
    pub(crate) async fn read(&mut self, length: usize) -> Vec<u8> {
        while self.buffer.len() < length && read_more(&mut self.stream, &mut self.buffer).await.is_some() {}
        let length = length.min(self.buffer.len());
        self.buffer.drain(..length).collect()
    }

    /// What has come so far, once nothing more does for a while.
    pub(crate) async fn come_so_far(&mut self) -> Vec<u8> {
        let more = async { while read_more(&mut self.stream, &mut self.buffer).await.is_some() {} };
        let _ = tokio::time::timeout(Duration::from_millis(150), more).await;
        std::mem::take(&mut self.buffer)
    }

    /// Reads and forgets until the connection ends; returns how many bytes came.
    pub(crate) async fn ended(&mut self) -> usize {
        self.skip(usize::MAX).await
    }

    /// Reads and forgets until `length` bytes have come, or the connection ends; returns how many it were.
    pub(crate) async fn skip(&mut self, length: usize) -> usize {
        let mut came = std::mem::take(&mut self.buffer).len();
        let mut piece = vec![0; 64 * 1024];
        while came < length {
            let Ok(read @ 1..) = self.stream.read(&mut piece).await else { break };
            came += read;
        }
        came
    }
}

async fn converse(
    mut stream: TcpStream,
    connection: usize,
    records: Arc<Mutex<Vec<Received>>>,
    (script, gate): (Script, Arc<Semaphore>),
) {
    let mut buffer = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut buffer, connection).await {
        let reply = script(&request);
        records.lock().unwrap().push(request);
        let Ok(permit) = gate.acquire().await else { return };
        permit.forget();
        if stream.write_all(&reply).await.is_err() {
            return;
        }
    }
}

async fn read_head(stream: &mut TcpStream, buffer: &mut Vec<u8>, connection: usize) -> Option<Received> {
    let head = read_until(stream, buffer, b"\r\n\r\n").await?;
    let mut lines = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let line = String::from_utf8_lossy(lines.next()?).into_owned();
    let headers = lines.filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = String::from_utf8_lossy(&line[..colon]).into_owned();
        Some((name, line[colon + 1..].trim_ascii().to_vec()))
    });
    Some(Received { line, headers: headers.collect(), body: Vec::new(), trailers: Vec::new(), connection })
}

async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>, connection: usize) -> Option<Received> {
    let mut request = read_head(stream, buffer, connection).await?;
    if request.header("transfer-encoding").is_some() {
        read_chunks(stream, buffer, &mut request).await?;
    } else if let Some(length) = request.header("content-length") {
        request.body = read_exactly(stream, buffer, length.parse().ok()?).await?;
    }
    Some(request)
}

async fn read_chunks(stream: &mut TcpStream, buffer: &mut Vec<u8>, request: &mut Received) -> Option<()> {
    loop {
        let line = read_until(stream, buffer, b"\r\n").await?;
        let size = usize::from_str_radix(std::str::from_utf8(&line).ok()?.trim(), 16).ok()?;
        if size == 0 {
            break;
        }
        request.body.extend(read_exactly(stream, buffer, size).await?);
        read_until(stream, buffer, b"\r\n").await?;
    }
    loop {
        let line = read_until(stream, buffer, b"\r\n").await?;
        if line == b"\r\n" {
            return Some(());
        }
        request.trailers.push(String::from_utf8_lossy(&line).trim().to_owned());
    }
}

/// Bytes up to and including `end`.
async fn read_until(stream: &mut TcpStream, buffer: &mut Vec<u8>, end: &[u8]) -> Option<Vec<u8>> {
    loop {
        if let Some(at) = buffer.windows(end.len()).position(|window| window == end) {
            return Some(buffer.drain(..at + end.len()).collect());
        }
        read_more(stream, buffer).await?;
    }
}

async fn read_exactly(stream: &mut TcpStream, buffer: &mut Vec<u8>, length: usize) -> Option<Vec<u8>> {
    while buffer.len() < length {
        read_more(stream, buffer).await?;
    }
    Some(buffer.drain(..length).collect())
}

async fn read_more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    match stream.read_buf(buffer).await {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(()),
    }
}
