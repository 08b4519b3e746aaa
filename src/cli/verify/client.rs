//! A browser's half of HTTP, towards one site alone: a connection a request, everything bounded.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, COOKIE, HOST, LOCATION, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Version};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use url::Url;

use super::jar::Jar;
use crate::outgoing::{TlsClient, TlsError};

/// At most ten requests a second.
const PACE: Duration = Duration::from_millis(100);

/// How long a site may take for an answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// The longest page that is read.
const LONGEST: usize = 2 * 1024 * 1024;

/// How many redirects are followed.
const HOPS: usize = 8;

const NAME: HeaderValue = HeaderValue::from_static(concat!("foregate-verify/", env!("CARGO_PKG_VERSION")));

/// A site has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// There is no connection.
    #[error("no connection to {0}: {1}")]
    Connect(String, #[source] io::Error),
    /// There is no TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// What comes is no HTTP.
    #[error("the answer cannot be read: {0}")]
    Http(#[from] hyper::Error),
    /// The answer breaks off, or is too long.
    #[error("the answer's body cannot be read: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    /// Nothing comes.
    #[error("no answer within {} seconds", PATIENCE.as_secs())]
    Silent,
    /// A redirect leads to where nothing is sent.
    #[error("it leads to {0}, which is another site")]
    Elsewhere(String),
    /// Redirects without end.
    #[error("more than {HOPS} redirects")]
    Loop,
    /// A request that cannot be written.
    #[error("the request cannot be written: {0}")]
    Request(#[from] http::Error),
}

/// What a site answered.
#[derive(Debug)]
pub(super) struct Answer {
    /// Where.
    pub(super) url: Url,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

/// A request to be sent.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: String,
}

/// Sends requests to one site.
#[derive(Debug)]
pub(super) struct Client {
    site: Url,
    address: Option<IpAddr>,
    tls: TlsClient,
    pace: Interval,
}

impl Ask {
    /// A page navigation, as a browser makes it that somebody typed the address into.
    pub(super) fn page(url: &Url) -> Self {
        let ask =
            Self { method: Method::GET, url: url.clone(), headers: HeaderMap::new(), body: String::new() };
        ask.header("accept", "text/html,application/xhtml+xml,*/*;q=0.8")
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document")
            .header("sec-fetch-site", "none")
    }

    /// A form's sending by a page of `origin`.
    pub(super) fn form(url: &Url, fields: &[(String, String)], sender: Sender) -> Self {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let own = url.origin().ascii_serialization();
        let (origin, site) = match sender {
            Sender::Own => (own.as_str(), "same-origin"),
            Sender::Foreign => ("https://attacker.example", "cross-site"),
        };
        let ask = Self { method: Method::POST, body, ..Self::page(url) };
        let ask = ask.header("origin", origin).header("sec-fetch-site", site);
        // Some frameworks look at nothing else (Django, by TLS).
        ask.header("referer", &format!("{origin}/"))
            .header(CONTENT_TYPE.as_str(), "application/x-www-form-urlencoded")
    }

    /// With one header more, or another.
    pub(super) fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
        self
    }
}

/// Whose page sends a form.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sender {
    Own,
    Foreign,
}

impl Answer {
    /// Where it redirects to, as a browser understands it.
    pub(super) fn redirect(&self) -> Option<Url> {
        let location = self.headers.get(LOCATION).filter(|_| self.status.is_redirection())?;
        self.url.join(&String::from_utf8_lossy(location.as_bytes())).ok()
    }

    /// The values of a header, joined as a list.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        let values = self.headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        values.map(String::from).reduce(|all, one| format!("{all}, {one}"))
    }
}

impl Client {
    /// Towards `site`, at `address` where that is given.
    pub(super) fn new(site: &Url, address: Option<IpAddr>, tls: TlsClient) -> Self {
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { site: site.clone(), address, tls, pace }
    }

    /// Whether `url` is of the site, by https.
    pub(super) fn is_own(&self, url: &Url) -> bool {
        url.origin() == self.site.origin()
    }

    /// Sends one request with the jar's cookies, and keeps those that come.
    ///
    /// # Errors
    /// Where there is no answer, or the request is for another site.
    pub(super) async fn send(&mut self, ask: Ask, jar: &mut Jar) -> Result<Answer, Trouble> {
        if !self.is_own(&ask.url) {
            return Err(Trouble::Elsewhere(ask.url.origin().ascii_serialization()));
        }
        let answer = self.exchange(ask, jar).await?;
        jar.keep(&answer);
        Ok(answer)
    }

    /// A page, after every redirect within the site.
    ///
    /// # Errors
    /// See [`Client::send`].
    pub(super) async fn visit(&mut self, url: &Url, jar: &mut Jar) -> Result<Answer, Trouble> {
        let answer = self.send(Ask::page(url), jar).await?;
        self.follow(answer, jar).await
    }

    /// What `answer` leads to.
    ///
    /// # Errors
    /// See [`Client::send`].
    pub(super) async fn follow(&mut self, mut answer: Answer, jar: &mut Jar) -> Result<Answer, Trouble> {
        for _ in 0..HOPS {
            let Some(next) = answer.redirect() else { return Ok(answer) };
            answer = self.send(Ask::page(&next), jar).await?;
        }
        Err(Trouble::Loop)
    }

    /// A page by http, from which nothing is kept and to which nothing is given.
    ///
    /// # Errors
    /// Where there is no answer.
    pub(super) async fn plain(&mut self, url: &Url) -> Result<Answer, Trouble> {
        self.exchange(Ask::page(url), &Jar::default()).await
    }

    async fn exchange(&mut self, ask: Ask, jar: &Jar) -> Result<Answer, Trouble> {
        self.pace.tick().await;
        timeout(PATIENCE, self.converse(ask, jar)).await.unwrap_or(Err(Trouble::Silent))
    }

    async fn converse(&self, ask: Ask, jar: &Jar) -> Result<Answer, Trouble> {
        let stream = self.connect(&ask.url).await?;
        if ask.url.scheme() == "http" {
            return speak(stream, ask, jar).await;
        }
        let host = ask.url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let stream = self.tls.connect(host, stream).await?;
        speak(stream, ask, jar).await
    }

    /// A connection to where `url` is.
    ///
    /// # Errors
    /// Where there is none.
    pub(super) async fn connect(&self, url: &Url) -> Result<TcpStream, Trouble> {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let port = url.port_or_known_default().unwrap_or(443);
        let connecting = async {
            match self.address {
                Some(address) => TcpStream::connect(SocketAddr::new(address, port)).await,
                None => TcpStream::connect((host, port)).await,
            }
        };
        let connected = timeout(PATIENCE, connecting).await.map_err(|_| Trouble::Silent)?;
        connected.map_err(|error| Trouble::Connect(format!("{host}:{port}"), error))
    }
}

async fn speak<S>(stream: S, ask: Ask, jar: &Jar) -> Result<Answer, Trouble>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let url = ask.url.clone();
    let request = written(ask, jar)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let exchange = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, LONGEST).collect().await.map_err(Trouble::Body)?.to_bytes();
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(Answer { url, status: head.status, headers: head.headers, body })
    };
    // What ends the connection ends the exchange, too, by an error of its own.
    let driving = async {
        let _ = connection.await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = exchange => answer,
        () = driving => Err(Trouble::Silent),
    }
}

fn written(ask: Ask, jar: &Jar) -> Result<Request<Full<Bytes>>, Trouble> {
    let target = &ask.url[url::Position::BeforePath..url::Position::AfterQuery];
    let authority = &ask.url[url::Position::BeforeHost..url::Position::AfterPort];
    let mut request = Request::builder().method(ask.method).uri(target).version(Version::HTTP_11);
    request = request.header(HOST, authority).header(USER_AGENT, NAME);
    if let Some(cookies) = jar.header(&ask.url) {
        request = request.header(COOKIE, cookies);
    }
    let mut request = request.body(Full::new(Bytes::from(ask.body)))?;
    request.headers_mut().extend(ask.headers);
    Ok(request)
}
