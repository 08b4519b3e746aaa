//! An application that remembers what it read, and takes no liberty for granted.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::wire::{Received, read};
use crate::base::lock::lock;

/// The status of its answers, by which they are told from the proxy's own.
pub(super) const SEEN: u16 = 299;

/// What came, in the order in which it came: requests, and bytes that are none.
type Seen = Arc<Mutex<Vec<Result<Received, String>>>>;

/// The application; it runs as long as the runtime that it was started in.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) address: SocketAddr,
    seen: Seen,
}

impl Recorder {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port can be had");
        let address = listener.local_addr().expect("it is bound");
        let seen = Seen::default();
        let records = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, Arc::clone(&records)));
            }
        });
        Self { address, seen }
    }

    /// All that came since this was last asked.
    pub(super) fn take(&self) -> Vec<Result<Received, String>> {
        std::mem::take(&mut lock(&self.seen))
    }
}

async fn converse(mut stream: TcpStream, seen: Seen) {
    let mut bytes = Vec::new();
    while let Ok(1..) = stream.read_buf(&mut bytes).await {
        loop {
            match read(&bytes) {
                Ok(None) => break,
                Ok(Some((request, length))) => {
                    bytes.drain(..length);
                    lock(&seen).push(Ok(request));
                    let answer = format!("HTTP/1.1 {SEEN} Seen\r\nContent-Length: 0\r\n\r\n");
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
                Err(why) => {
                    let found = format!("{why}: {:?}", String::from_utf8_lossy(&bytes));
                    return lock(&seen).push(Err(found));
                }
            }
        }
    }
}
