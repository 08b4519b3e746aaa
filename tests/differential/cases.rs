//! What is sent: the attack lists, and mutations of them. A seed that does not change makes the same ones each time.

use crate::inbound::{http2, unescaped};

use super::HOST;

/// How many mutations are made of the lists.
const MUTATIONS: usize = 2_000;

/// How many requests over HTTP/2 say what two of the list say.
const PAIRS: usize = 150;

/// What parsers have stumbled over.
const HOSTILE: [&[u8]; 32] = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b";",
    b",",
    b"\"",
    b"%2f",
    b"%00",
    b"%0d%0a",
    b"%2e%2e/",
    b"../",
    b"//",
    b"\\",
    b"?",
    b"#",
    b"\xe9",
    b"\xc0\xaf",
    b"0\r\n\r\n",
    b"\r\nContent-Length: 3\r\n",
    b"\r\nTransfer-Encoding: chunked\r\n",
    b"\r\nHost: evil.test\r\n",
    b"\r\nConnection: close, X-Forwarded-For\r\n",
    b"\r\nX-Remote-User: root\r\n",
    b"\r\nX_Remote_User: root\r\n",
    b"\r\nX-Request-Id: 1\r\n",
    b"\r\nCookie: a=b; __Host-session=x\r\n",
    b"\r\nExpect: 100-continue\r\n",
    b"GET /private HTTP/1.1\r\nHost: app.test\r\n\r\n",
];

/// All that one client sends.
#[derive(Clone, Debug)]
pub(super) enum Case {
    /// In the clear.
    Http1(Vec<u8>),
    /// Over TLS.
    Http2(Vec<u8>),
}

/// The lists, and what is made of them.
pub(super) fn all() -> Vec<Case> {
    let listed: Vec<Vec<u8>> = [ordinary(), smuggled(), targets(), hosts(), forwarded(), aliases()].concat();
    let mut chance = Chance(0x5eed_f0e1_2d3c_4b5a);
    let made: Vec<Vec<u8>> = (0..MUTATIONS).map(|_| mutation(&listed, &mut chance)).collect();
    let first = [listed, made].concat().into_iter().map(|request| Case::Http1(followed(&request)));
    first.chain(http2_requests(&mut chance)).collect()
}

/// With a canary on the same connection, which it ends.
fn followed(request: &[u8]) -> Vec<u8> {
    let canary = format!("GET /canary HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    [request, canary.as_bytes()].concat()
}

fn get(target: &[u8], headers: &str) -> Vec<u8> {
    [b"GET ", target, format!(" HTTP/1.1\r\nHost: {HOST}\r\n{headers}\r\n").as_bytes()].concat()
}

fn lines(fixture: &str) -> impl Iterator<Item = &str> {
    fixture.lines().filter(|line| !line.is_empty() && !line.starts_with("# ") && *line != "#")
}

/// Where `<hh>` stands for a byte.
fn angled(text: &str) -> Vec<u8> {
    let is_hex = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut parts = text.split('<');
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        match part.split_once('>').filter(|(hex, _)| is_hex(hex)) {
            Some((hex, rest)) => {
                bytes.push(u8::from_str_radix(hex, 16).unwrap());
                bytes.extend_from_slice(rest.as_bytes());
            }
            None => bytes.extend_from_slice(format!("<{part}").as_bytes()),
        }
    }
    bytes
}

/// What nobody minds: the ground that mutations start from.
fn ordinary() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND", "QUERY"] {
        let start = format!("{method} /a/b.c;d=e?f=g&h=%2F HTTP/1.1\r\nHost: {HOST}\r\nAccept: */*\r\n");
        for rest in [
            "\r\n",
            "Content-Length: 5\r\n\r\nhello",
            "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nX: y\r\n\r\n",
        ] {
            all.push(format!("{start}{rest}").into_bytes());
        }
    }
    all
}

fn smuggled() -> Vec<Vec<u8>> {
    let start = format!("POST /x HTTP/1.1\\r\\nHost: {HOST}\\r\\n");
    let attacks = lines(include_str!("../fixtures/smuggling.txt")).filter(|line| !line.starts_with("  → "));
    let attacks = attacks.map(|line| line.split_once(' ').unwrap().1);
    attacks.map(|attack| unescaped(&attack.replacen('~', &start, 1))).collect()
}

fn targets() -> Vec<Vec<u8>> {
    let paths = lines(include_str!("../fixtures/paths.txt")).map(|line| line.split(" → ").next().unwrap());
    let attacks = lines(include_str!("../fixtures/path_attacks.txt"));
    let ambiguous = include_str!("../fixtures/ambiguous_paths.txt");
    let ambiguous = lines(ambiguous).map(|line| line.split(' ').next().unwrap());
    paths.chain(attacks).chain(ambiguous).map(|target| get(&angled(target), "")).collect()
}

fn hosts() -> Vec<Vec<u8>> {
    let hosts = include_str!("../fixtures/bad_hosts.txt").lines();
    hosts.map(|host| format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes()).collect()
}

fn forwarded() -> Vec<Vec<u8>> {
    let cases = lines(include_str!("../fixtures/forwarding.txt")).filter(|line| !line.starts_with("  → "));
    cases.map(|case| get(b"/x", &format!("{}\r\n", case.replace(" | ", "\r\n")))).collect()
}

fn aliases() -> Vec<Vec<u8>> {
    let names = lines(include_str!("../fixtures/header_aliases.txt"));
    let names = names.map(|line| line.rsplit_once(' ').unwrap().0);
    names.map(|name| get(b"/x", &format!("{name}: root\r\n"))).collect()
}

fn http2_requests(chance: &mut Chance) -> Vec<Case> {
    let mut listed = vec!["x: a > hello", "-:method | :method: GET"];
    listed.extend(lines(include_str!("../fixtures/http2_requests.txt")));
    let mut pair = || [*chance.one_of(&listed), *chance.one_of(&listed)];
    let pairs: Vec<[&str; 2]> = (0..PAIRS).map(|_| pair()).collect();
    let pairs =
        pairs.iter().map(|[first, second]| format!("{} | {second}", first.split(" > ").next().unwrap()));
    // Nobody is left to wait for: the connection ends once what came on it is answered.
    let leaving = http2::frame(http2::GOAWAY, 0, 0, &[0; 8]);
    let all = listed.into_iter().map(ToOwned::to_owned).chain(pairs);
    all.map(|line| Case::Http2([http2::opening(), http2::request(&line), leaving.clone()].concat())).collect()
}

/// Numbers by chance, the same ones each time (xorshift).
struct Chance(u64);

impl Chance {
    /// Below `end`.
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap()
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// One to three changes to a listed request.
fn mutation(listed: &[Vec<u8>], chance: &mut Chance) -> Vec<u8> {
    let mut request = chance.one_of(listed).clone();
    for _ in 0..=chance.below(3) {
        let at = chance.below(request.len());
        let end = (at + 1 + chance.below(8)).min(request.len());
        match chance.below(6) {
            0..=2 => drop(request.splice(at..at, chance.one_of(&HOSTILE).iter().copied())),
            3 => drop(request.splice(at..end, chance.one_of(&HOSTILE).iter().copied())),
            4 => drop(request.drain(at..end)),
            _ => {
                let other = chance.one_of(listed);
                let from = chance.below(other.len());
                request.truncate(at);
                request.extend_from_slice(&other[from..]);
            }
        }
        if request.is_empty() {
            request = chance.one_of(listed).clone();
        }
    }
    request
}
