//! A wire that can be cut: between a client and a server, at a chosen request.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Passes bytes on to a local port; ends when dropped.
pub(crate) struct Relay {
    port: u16,
    cut_at: Arc<Mutex<Option<Vec<u8>>>>,
    flows: watch::Sender<bool>,
    delay: Arc<Mutex<Duration>>,
    task: JoinHandle<()>,
}

impl Relay {
    pub(crate) async fn to(server: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (cut_at, (flows, open), delay) = (Arc::default(), watch::channel(true), Arc::default());
        let how = How { server, cut_at: Arc::clone(&cut_at), flows: open, delay: Arc::clone(&delay) };
        let task = tokio::spawn(accept(listener, how));
        Self { port, cut_at, flows, delay, task }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Cuts the next connection that carries `request`, once: the server gets the request and answers, and the
    /// answer is lost.
    pub(crate) fn lose_the_answer_to(&self, request: &str) {
        *self.cut_at.lock().unwrap() = Some(request.as_bytes().to_vec());
    }

    /// Passes nothing on any more, and closes nothing: as a firewall that drops packets.
    pub(crate) fn stall(&self) {
        self.flows.send_replace(false);
    }

    /// Takes so long over each answer from now on.
    pub(crate) fn delay(&self, delay: Duration) {
        *self.delay.lock().unwrap() = delay;
    }

    /// Passes on what has been held back, and what comes.
    pub(crate) fn go_on(&self) {
        self.flows.send_replace(true);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How bytes are passed on.
#[derive(Clone)]
struct How {
    server: u16,
    cut_at: Arc<Mutex<Option<Vec<u8>>>>,
    flows: watch::Receiver<bool>,
    delay: Arc<Mutex<Duration>>,
}

async fn accept(listener: TcpListener, how: How) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        connections.spawn(pass_on(client, how.clone()));
    }
}

async fn pass_on(mut client: TcpStream, mut how: How) {
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, how.server)).await.unwrap();
    let (mut asked, mut answered) = ([0; 16 * 1024], [0; 16 * 1024]);
    let mut cut = false;
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(length @ 1..) = read else { return };
                if how.flows.wait_for(|flows| *flows).await.is_err() { return }
                cut |= how.cut_at.lock().unwrap().take_if(|text| {
                    asked[..length].windows(text.len()).any(|window| window == text.as_slice())
                }).is_some();
                if server.write_all(&asked[..length]).await.is_err() { return }
            }
            read = server.read(&mut answered) => {
                let Ok(length @ 1..) = read else { return };
                if how.flows.wait_for(|flows| *flows).await.is_err() { return }
                let delay = *how.delay.lock().unwrap();
                tokio::time::sleep(delay).await;
                if cut || client.write_all(&answered[..length]).await.is_err() { return }
            }
        }
    }
}
