//! A wire between the proxy and an origin that remembers what the proxy sent.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::wire::{Received, read};

/// What was sent, a connection an element.
type Wires = Arc<Mutex<Vec<Vec<u8>>>>;

/// The wire; it is cut when dropped.
pub(super) struct Tap {
    port: u16,
    wires: Wires,
    task: JoinHandle<()>,
}

impl Tap {
    pub(super) async fn before(origin: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let wires = Wires::default();
        let all = Arc::clone(&wires);
        let task = tokio::spawn(async move {
            let mut passing = JoinSet::new();
            while let Ok((proxy, _)) = listener.accept().await {
                // Where the origin takes no connection the proxy's is dropped.
                let Ok(origin) = TcpStream::connect((Ipv4Addr::LOCALHOST, origin)).await else { continue };
                let number = {
                    let mut wires = all.lock().unwrap();
                    wires.push(Vec::new());
                    wires.len() - 1
                };
                passing.spawn(pass(proxy, origin, Arc::clone(&all), number));
            }
        });
        Self { port, wires, task }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The whole requests that the proxy sent; one whose client has gone may be cut short, and is the last of its
    /// connection.
    pub(super) fn sent(&self) -> Vec<Received> {
        let mut all = Vec::new();
        for wire in self.wires.lock().unwrap().iter() {
            let mut rest = wire.as_slice();
            while let Some((request, length)) = whole(rest) {
                all.push(request);
                rest = &rest[length..];
            }
        }
        all
    }
}

fn whole(bytes: &[u8]) -> Option<(Received, usize)> {
    read(bytes).unwrap_or_else(|why| panic!("{why}: {:?}", String::from_utf8_lossy(bytes)))
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(proxy: TcpStream, origin: TcpStream, wires: Wires, number: usize) {
    let ((from_proxy, to_proxy), (from_origin, to_origin)) = (proxy.into_split(), origin.into_split());
    let there = copy(from_proxy, to_origin, |bytes| wires.lock().unwrap()[number].extend_from_slice(bytes));
    tokio::join!(there, copy(from_origin, to_proxy, |_| {}));
}

async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut note: impl FnMut(&[u8])) {
    let mut piece = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        note(&piece[..length]);
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}
