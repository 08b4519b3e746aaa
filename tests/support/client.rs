//! Clients that send exactly the bytes that they are given, and read what comes back.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::TLS12;
use rustls::{ALL_VERSIONS, ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::authority::Pair;
use super::proxy::HOST;
use super::tickets;

/// No answer of a test takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

const BY_TLS12: &[&SupportedProtocolVersion] = &[&TLS12];

/// A client of one proxy.
#[derive(Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    roots: Arc<RootCertStore>,
    identity: Option<Pair>,
    versions: &'static [&'static SupportedProtocolVersion],
    from: Ipv4Addr,
    /// One for all of its connections, where it is to resume sessions: rustls resumes none of another's.
    memory: Option<Arc<ClientConfig>>,
}

/// An answer, taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: u16,
    /// Its headers, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// Its content.
    pub(crate) body: String,
}

impl Answer {
    /// The one value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.all(name).into_iter();
        let value = values.next();
        assert!(values.next().is_none(), "{name} came more than once: {self:#?}");
        value
    }

    /// All values of a header.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str()).collect()
    }

    /// The value of a hidden field in a form.
    pub(crate) fn field(&self, name: &str) -> String {
        let marker = format!("name=\"{name}\" value=\"");
        let (_, rest) = self.body.split_once(&marker).unwrap_or_else(|| panic!("no field {name}: {self:#?}"));
        rest.split('"').next().unwrap().to_owned()
    }
}

/// A browser's cookies: name and value.
#[derive(Clone, Debug, Default)]
pub(crate) struct Jar(pub(crate) Vec<(String, String)>);

impl Jar {
    /// Takes what an answer sets.
    pub(crate) fn take(&mut self, answer: &Answer) {
        for line in answer.all("set-cookie") {
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            self.0.retain(|(other, _)| other != name);
            if !line.contains("Max-Age=0") {
                self.0.push((name.to_owned(), value.to_owned()));
            }
        }
    }

    /// The `Cookie` header's value.
    pub(crate) fn header(&self) -> String {
        self.0.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    /// The value of a cookie.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The session cookie's value.
    pub(crate) fn session(&self) -> &str {
        self.value("__Host-session").expect("a session cookie")
    }
}

impl Client {
    /// Trusts the certificate in `certificate` alone.
    pub(crate) fn new(address: SocketAddr, certificate: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
        let (versions, from) = (ALL_VERSIONS, Ipv4Addr::LOCALHOST);
        Self { address, roots: Arc::new(roots), identity: None, versions, from, memory: None }
    }

    /// The same, with a certificate of its own.
    pub(crate) fn who_is(&self, identity: &Pair) -> Self {
        Self { identity: Some(identity.clone()), ..self.clone() }
    }

    /// The same, with an address of its own.
    pub(crate) fn at(&self, from: Ipv4Addr) -> Self {
        Self { from, ..self.clone() }
    }

    /// The same, by TLS 1.2.
    pub(crate) fn by_tls12(&self) -> Self {
        Self { versions: BY_TLS12, ..self.clone() }
    }

    /// The same, which would resume any TLS session with any host; over HTTP/1.1.
    pub(crate) fn remembering(&self) -> Self {
        let mut config = self.config(b"http/1.1");
        config.resumption = tickets::everywhere();
        Self { memory: Some(Arc::new(config)), ..self.clone() }
    }

    /// How it speaks TLS, and `alpn` within.
    pub(crate) fn config(&self, alpn: &[u8]) -> ClientConfig {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_root_certificates(Arc::clone(&self.roots));
        let mut config = match &self.identity {
            None => config.with_no_client_auth(),
            Some(Pair { cert, key }) => {
                let chain = vec![CertificateDer::from_pem_file(cert).unwrap()];
                config.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap()).unwrap()
            }
        };
        config.alpn_protocols = vec![alpn.to_vec()];
        config
    }

    /// A TLS connection that agreed on `alpn`.
    pub(crate) async fn connect(&self, alpn: &[u8]) -> TlsStream<TcpStream> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((self.from, 0).into()).unwrap();
        let stream = socket.connect(self.address).await.unwrap();
        let name = ServerName::try_from(HOST).unwrap();
        TlsConnector::from(Arc::new(self.config(alpn))).connect(name, stream).await.unwrap()
    }

    /// TLS over a connection that is there, for the host `name`.
    pub(crate) async fn over(&self, stream: TcpStream, name: &str) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let config = self.memory.clone().unwrap_or_else(|| Arc::new(self.config(b"http/1.1")));
        TlsConnector::from(config).connect(name, stream).await
    }

    /// Sends bytes on a connection of their own; returns all that comes back until it is closed.
    pub(crate) async fn raw(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect(b"http/1.1").await;
        // A server that has seen enough may close while we still write.
        let _ = stream.write_all(bytes.as_ref()).await;
        let mut answer = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer));
        let _ = read.await.expect("the connection is closed in time");
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Sends one request by HTTP/1.1; `head` is the request line and headers without Host and Connection.
    pub(crate) async fn send(&self, head: &str, body: &str) -> Answer {
        let (line, headers) = head.split_once('\n').unwrap_or((head, ""));
        let mut text = format!("{line} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n");
        for header in headers.lines().filter(|header| !header.trim().is_empty()) {
            text.push_str(&format!("{}\r\n", header.trim()));
        }
        if !body.is_empty() {
            text.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        parse(&self.raw(text + "\r\n" + body).await)
    }

    /// A script's GET.
    pub(crate) async fn get(&self, path: &str, jar: &Jar) -> Answer {
        self.send(&format!("GET {path}\nCookie: {}\nAccept: application/json", jar.header()), "").await
    }

    /// A person's GET.
    pub(crate) async fn visit(&self, path: &str, jar: &Jar) -> Answer {
        let head =
            format!("GET {path}\nCookie: {}\nAccept: text/html\nSec-Fetch-Mode: navigate", jar.header());
        self.send(&head, "").await
    }

    /// Posts form fields.
    pub(crate) async fn post(&self, path: &str, jar: &Jar, fields: &[(&str, &str)]) -> Answer {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let head = format!(
            "POST {path}\nCookie: {}\nContent-Type: application/x-www-form-urlencoded\nOrigin: https://{HOST}",
            jar.header()
        );
        self.send(&head, &body).await
    }

    /// Opens the form and sends it.
    pub(crate) async fn log_in(
        &self,
        jar: &mut Jar,
        (user, password): (&str, &str),
        return_to: &str,
    ) -> Answer {
        let fields = [("username", user), ("password", password), ("return_to", return_to)];
        self.fill_in(jar, &fields).await
    }

    /// Logs in from a browser that calls itself `agent`.
    pub(crate) async fn log_in_from(
        &self,
        agent: &str,
        jar: &mut Jar,
        (user, password): (&str, &str),
    ) -> Answer {
        let form = self.visit("/_foregate/login", jar).await;
        jar.take(&form);
        let token = form.field("csrf_token");
        let fields = [("username", user), ("password", password), ("csrf_token", &token)];
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let head = format!(
            "POST /_foregate/login\nCookie: {}\nUser-Agent: {agent}\nOrigin: https://{HOST}",
            jar.header()
        );
        let begun = self.send(&head, &body).await;
        jar.take(&begun);
        begun
    }

    /// Logs in and asks to stay signed in.
    pub(crate) async fn log_in_to_stay(&self, jar: &mut Jar, (user, password): (&str, &str)) -> Answer {
        let fields = [("username", user), ("password", password), ("remember", "1")];
        self.fill_in(jar, &fields).await
    }

    async fn fill_in(&self, jar: &mut Jar, fields: &[(&str, &str)]) -> Answer {
        let form = self.visit("/_foregate/login?again=1", jar).await;
        assert_eq!(form.status, 200, "{form:#?}");
        jar.take(&form);
        let token = form.field("csrf_token");
        let fields = [fields, &[("csrf_token", &token)]].concat();
        let answer = self.post("/_foregate/login", jar, &fields).await;
        jar.take(&answer);
        answer
    }

    /// Asks and confirms.
    pub(crate) async fn log_out(&self, jar: &mut Jar) -> Answer {
        let question = self.visit("/_foregate/logout", jar).await;
        assert_eq!(question.status, 200, "{question:#?}");
        let token = question.field("csrf_token");
        let answer = self.post("/_foregate/logout", jar, &[("csrf_token", &token)]).await;
        jar.take(&answer);
        answer
    }

    /// Sends one request by HTTP/2, headers as they are given, with `trailers` after the body.
    pub(crate) async fn send_h2(
        &self,
        request: http::Request<()>,
        body: &'static [u8],
        trailers: Option<http::HeaderMap>,
    ) -> Result<Answer, h2::Error> {
        let (client, connection) = h2::client::handshake(self.connect(b"h2").await).await?;
        let driver = tokio::spawn(connection);
        let sent = exchange(client, request, body, trailers);
        let answer = tokio::time::timeout(PATIENCE, sent).await.expect("an answer in time");
        driver.abort();
        answer
    }
}

async fn exchange(
    client: h2::client::SendRequest<bytes::Bytes>,
    request: http::Request<()>,
    body: &'static [u8],
    trailers: Option<http::HeaderMap>,
) -> Result<Answer, h2::Error> {
    let is_whole = body.is_empty() && trailers.is_none();
    let (response, mut stream) = client.ready().await?.send_request(request, is_whole)?;
    if !is_whole {
        stream.send_data(body.into(), trailers.is_none())?;
        if let Some(trailers) = trailers {
            stream.send_trailers(trailers)?;
        }
    }
    let (head, mut content) = response.await?.into_parts();
    let mut text = Vec::new();
    while let Some(piece) = content.data().await {
        let piece = piece?;
        content.flow_control().release_capacity(piece.len())?;
        text.extend_from_slice(&piece);
    }
    let headers = head
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    let body = String::from_utf8_lossy(&text).into_owned();
    Ok(Answer { status: head.status.as_u16(), headers: headers.collect(), body })
}

/// One request as it is given, on a connection that goes on afterwards; its answer has a length.
pub(crate) async fn ask_on(
    stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin),
    request: &str,
) -> Answer {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        text.push(stream.read_u8().await.expect("the connection goes on"));
    }
    let mut answer = parse(&String::from_utf8(text).unwrap());
    let mut body = vec![0; answer.header("content-length").unwrap().parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    answer.body = String::from_utf8(body).unwrap();
    answer
}

/// Takes the first answer in `text` apart.
pub(crate) fn parse(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(':').unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let chunked = headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let body = if chunked { unchunk(body) } else { body.to_owned() };
    Answer { status, headers, body }
}

fn unchunk(mut text: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = text.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        whole.push_str(&rest[..size]);
        text = &rest[size + 2..];
        if size == 0 {
            break;
        }
    }
    whole
}
