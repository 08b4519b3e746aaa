//! Those who lay siege: each kind by itself does nothing that a client may not do.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::task::AbortOnDropHandle;

use foregate::base::clock::Stopwatch;

use super::{LARGE, PIECE, Target};
use crate::support::proxy::HOST;

/// For thousands of handshakes on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(300);

/// How long a flooder rests whose connection was closed.
const BREATH: Duration = Duration::from_millis(200);

/// Threads that attackers have.
const THREADS: usize = 2;

/// How many there are of each kind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Force {
    /// Who connects, asks once at most, and stays. Every second speaks HTTP/2.
    pub(super) idle: usize,
    /// Who sends a byte of a head a second.
    pub(super) slow_heads: usize,
    /// Who asks for much and takes five kilobytes of it a second. Every second speaks HTTP/2.
    pub(super) slow_readers: usize,
    /// Who sends a body that nobody takes, by HTTP/2: by HTTP/1.1 less of it lies here.
    pub(super) uploaders: usize,
    /// Who gives up request after request, until the connection is closed, and comes again.
    pub(super) flooders: usize,
}

impl Force {
    /// Bytes that they may cost in all: the formula of docs/operating.md, "Limits".
    pub(super) fn memory(self) -> usize {
        const KIB: usize = 1024;
        let bodies = self.slow_readers + self.uploaders;
        let connections = self.idle + self.slow_heads + bodies + self.flooders;
        connections * 64 * KIB + bodies * 512 * KIB + (32 << 20)
    }
}

/// What they have done so far.
#[derive(Debug, Default)]
pub(super) struct Deeds {
    pub(super) idle: AtomicUsize,
    pub(super) heads: AtomicUsize,
    pub(super) heads_cut_off: AtomicUsize,
    pub(super) readers: AtomicUsize,
    pub(super) uploaders: AtomicUsize,
    pub(super) resets: AtomicUsize,
    pub(super) floods_cut_off: AtomicUsize,
}

/// One more who is at it, while this lives.
struct AtIt<'a>(&'a AtomicUsize);

impl<'a> AtIt<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for AtIt<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Others who have the processors busy, and do nothing to the proxy: what a siege is held against.
pub(super) struct Crowd {
    goes_home: Arc<AtomicBool>,
    people: Vec<std::thread::JoinHandle<()>>,
}

impl Crowd {
    /// As many as attackers have threads, as patient as they.
    pub(super) fn gather() -> Self {
        let goes_home = Arc::<AtomicBool>::default();
        let people = (0..THREADS).map(|_| {
            let goes_home = Arc::clone(&goes_home);
            std::thread::spawn(move || {
                rustix::process::nice(19).unwrap();
                while !goes_home.load(Ordering::Relaxed) {
                    std::hint::black_box([0_u8; 1024].iter().map(|byte| u32::from(*byte)).sum::<u32>());
                }
            })
        });
        Self { people: people.collect(), goes_home }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.goes_home.store(true, Ordering::Relaxed);
        for person in self.people.drain(..) {
            person.join().unwrap();
        }
    }
}

/// A siege; raised when dropped.
pub(super) struct Siege {
    pub(super) deeds: Arc<Deeds>,
    runtime: Option<Runtime>,
}

/// One who lays siege.
#[derive(Clone)]
struct Attacker {
    target: Target,
    from: Ipv4Addr,
    deeds: Arc<Deeds>,
}

impl Siege {
    /// Everybody sets out. They would be on other machines: here they have what processor time nobody else wants.
    pub(super) fn lay(target: &Target, force: Force) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .on_thread_start(|| {
                rustix::process::nice(19).unwrap();
            })
            .enable_all()
            .build()
            .unwrap();
        let deeds = Arc::<Deeds>::default();
        let attacker = |number: usize| {
            // An address has no more than some 28,000 ports.
            let from = Ipv4Addr::new(127, 0, 1, u8::try_from(number % 16).unwrap());
            Attacker { target: target.clone(), from, deeds: Arc::clone(&deeds) }
        };
        // As many handshakes as can be under way in a moment, so that none waits until its time is over.
        let gate = Arc::new(tokio::sync::Semaphore::new(64));
        for number in 0..force.idle {
            let (attacker, gate) = (attacker(number), Arc::clone(&gate));
            runtime.spawn(async move { attacker.stay(number, &gate).await });
        }
        // Nobody keeps step with anybody.
        let spread = |time: Duration, number: usize, all: usize| {
            time * u32::try_from(number).unwrap() / u32::try_from(all).unwrap()
        };
        for number in 0..force.slow_heads {
            let delay = spread(Duration::from_secs(10), number, force.slow_heads);
            runtime.spawn(attacker(number).begin_heads(delay));
        }
        for number in 0..force.slow_readers {
            runtime.spawn(attacker(number).read_slowly(number));
        }
        for number in 0..force.uploaders {
            runtime.spawn(attacker(number).send_in_vain());
        }
        for number in 0..force.flooders {
            runtime.spawn(attacker(number).flood(spread(BREATH, number, force.flooders)));
        }
        Self { deeds, runtime: Some(runtime) }
    }
}

impl Siege {
    /// Waits until everybody is where they wanted to be.
    pub(super) async fn is_complete(&self, force: Force) {
        let watch = Stopwatch::start();
        let there = || {
            let deeds = &self.deeds;
            let kinds = [
                (&deeds.idle, force.idle),
                (&deeds.heads, force.slow_heads),
                (&deeds.readers, force.slow_readers),
                (&deeds.uploaders, force.uploaders),
            ];
            // Those whose head is cut off begin anew: at any moment some are between two.
            kinds.iter().all(|(there, all)| there.load(Ordering::Relaxed) >= *all - *all / 20)
                && deeds.idle.load(Ordering::Relaxed) == force.idle
                && deeds.resets.load(Ordering::Relaxed) > 0
        };
        while !there() {
            assert!(watch.elapsed() < PATIENCE, "{:?}", self.deeds);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Siege {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

/// What all TLS connections of a protocol share. Nobody resumes a session: each handshake costs what it can cost.
pub(super) fn connector(mut config: ClientConfig, protocol: &str) -> TlsConnector {
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    config.resumption = Resumption::disabled();
    TlsConnector::from(Arc::new(config))
}

impl Target {
    /// A TLS connection from an address, with a receive buffer of a size where one is given.
    pub(super) async fn connect(
        &self,
        tls: &TlsConnector,
        from: Ipv4Addr,
        buffer: Option<u32>,
    ) -> io::Result<TlsStream<TcpStream>> {
        let socket = TcpSocket::new_v4()?;
        if let Some(size) = buffer {
            socket.set_recv_buffer_size(size)?;
        }
        socket.bind((from, 0).into())?;
        let stream = socket.connect(self.address).await?;
        tls.connect(ServerName::try_from(HOST).unwrap(), stream).await
    }
}

impl Attacker {
    async fn stay(self, number: usize, gate: &tokio::sync::Semaphore) {
        let permit = gate.acquire().await.unwrap();
        if number.is_multiple_of(2) {
            let Ok(mut stream) = self.target.connect(&self.target.http1, self.from, None).await else {
                return;
            };
            let head = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
            if stream.write_all(head.as_bytes()).await.is_err() || stream.read(&mut [0; 1024]).await.is_err()
            {
                return;
            }
            drop(permit);
            self.deeds.idle.fetch_add(1, Ordering::Relaxed);
            let _ = stream.read(&mut [0; 1]).await;
        } else {
            let Ok(stream) = self.target.connect(&self.target.http2, self.from, None).await else { return };
            let Ok((_requests, connection)) = h2::client::handshake(stream).await else { return };
            drop(permit);
            self.deeds.idle.fetch_add(1, Ordering::Relaxed);
            let _ = connection.await;
        }
        self.deeds.idle.fetch_sub(1, Ordering::Relaxed);
    }

    async fn begin_heads(self, delay: Duration) {
        tokio::time::sleep(delay).await;
        loop {
            let _ = self.begin_a_head().await;
        }
    }

    /// Ends when the proxy has had enough.
    async fn begin_a_head(&self) -> io::Result<()> {
        let mut stream = self.target.connect(&self.target.http1, self.from, None).await?;
        stream.write_all(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nX-Long: ").as_bytes()).await?;
        let _at_it = AtIt::begin(&self.deeds.heads);
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if let Err(error) = stream.write_all(b"a").await {
                self.deeds.heads_cut_off.fetch_add(1, Ordering::Relaxed);
                return Err(error);
            }
        }
    }

    async fn read_slowly(self, number: usize) {
        loop {
            let _ = if number.is_multiple_of(2) { self.read_http1().await } else { self.read_http2().await };
            tokio::time::sleep(BREATH).await;
        }
    }

    async fn read_http1(&self) -> io::Result<()> {
        let mut stream = self.target.connect(&self.target.http1, self.from, Some(4096)).await?;
        stream.write_all(format!("GET {LARGE} HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes()).await?;
        let _reading = AtIt::begin(&self.deeds.readers);
        while stream.read(&mut [0; 512]).await? > 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    async fn read_http2(&self) -> io::Result<()> {
        let stream = self.target.connect(&self.target.http2, self.from, Some(4096)).await?;
        let (requests, connection) = h2::client::handshake(stream).await.map_err(io::Error::other)?;
        tokio::spawn(connection);
        let request = http::Request::get(format!("https://{HOST}{LARGE}")).body(()).unwrap();
        let mut requests = requests.ready().await.map_err(io::Error::other)?;
        let (answer, _) = requests.send_request(request, true).map_err(io::Error::other)?;
        let mut body = answer.await.map_err(io::Error::other)?.into_body();
        let _reading = AtIt::begin(&self.deeds.readers);
        let mut taken = 0;
        while let Some(piece) = body.data().await {
            taken += piece.map_err(io::Error::other)?.len();
            while taken > 0 {
                tokio::time::sleep(Duration::from_millis(100)).await;
                let some = taken.min(512);
                body.flow_control().release_capacity(some).map_err(io::Error::other)?;
                taken -= some;
            }
        }
        Ok(())
    }

    /// The application takes nothing: what is sent stays on the way.
    async fn send_in_vain(self) {
        loop {
            let _ = self.send_body().await;
            tokio::time::sleep(BREATH).await;
        }
    }

    async fn send_body(&self) -> io::Result<()> {
        let stream = self.target.connect(&self.target.http2, self.from, None).await?;
        let (requests, connection) = h2::client::handshake(stream).await.map_err(io::Error::other)?;
        let _driver = AbortOnDropHandle::new(tokio::spawn(connection));
        let request = http::Request::post(format!("https://{HOST}{LARGE}")).body(()).unwrap();
        let mut requests = requests.ready().await.map_err(io::Error::other)?;
        let (_answer, mut body) = requests.send_request(request, false).map_err(io::Error::other)?;
        let _at_it = AtIt::begin(&self.deeds.uploaders);
        loop {
            body.reserve_capacity(PIECE.len());
            let capacity = std::future::poll_fn(|context| body.poll_capacity(context)).await;
            let Some(room) = capacity else { return Ok(()) };
            let length = room.map_err(io::Error::other)?.min(PIECE.len());
            body.send_data(PIECE[..length].into(), false).map_err(io::Error::other)?;
        }
    }

    async fn flood(self, delay: Duration) {
        tokio::time::sleep(delay).await;
        loop {
            let _ = self.flood_once().await;
            tokio::time::sleep(BREATH).await;
        }
    }

    /// Ends when the proxy closes the connection.
    async fn flood_once(&self) -> io::Result<()> {
        let stream = self.target.connect(&self.target.http2, self.from, None).await?;
        let (mut requests, connection) = h2::client::handshake(stream).await.map_err(io::Error::other)?;
        let _driver = AbortOnDropHandle::new(tokio::spawn(connection));
        for number in 0_u64.. {
            let Ok(ready) = requests.ready().await else {
                self.deeds.floods_cut_off.fetch_add(usize::from(number > 0), Ordering::Relaxed);
                break;
            };
            requests = ready;
            let request = http::Request::get(format!("https://{HOST}/")).body(()).unwrap();
            let (_, mut stream) = requests.send_request(request, true).map_err(io::Error::other)?;
            stream.send_reset(h2::Reason::CANCEL);
            self.deeds.resets.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}
