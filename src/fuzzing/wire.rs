//! HTTP/1.1 as an application reads it that goes by the letter of RFC 9112. Knows nothing of the crate, so that
//! `tests/differential.rs` reads by the same letter.

/// What a request looked like when it arrived. Text is Latin-1: a character a byte.
#[derive(Clone, Debug)]
pub(super) struct Received {
    pub(super) method: String,
    pub(super) target: String,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Received {
    /// The values of a header, by its name in lower case.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        let same = self.headers.iter().filter(|(other, _)| other == name);
        same.map(|(_, value)| value.as_str()).collect()
    }
}

/// The request that `bytes` begin with and its length; `None` where it is not whole yet.
pub(super) fn read(bytes: &[u8]) -> Result<Option<(Received, usize)>, &'static str> {
    let Some(end) = find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let head = latin1(&bytes[..end]);
    let mut lines = head.split("\r\n");
    let [method, target, "HTTP/1.1"] = lines.next().unwrap_or_default().split(' ').collect::<Vec<_>>()[..]
    else {
        return Err("the request line has not three parts");
    };
    if !is_token(method) || target.is_empty() || target.bytes().any(|byte| byte.is_ascii_control()) {
        return Err("the request line is malformed");
    }
    let headers = lines.map(header).collect::<Option<Vec<_>>>().ok_or("a header is malformed")?;
    let mut request =
        Received { method: method.to_owned(), target: target.to_owned(), headers, body: Vec::new() };
    let rest = &bytes[end + 4..];
    let length = match (&request.all("content-length")[..], &request.all("transfer-encoding")[..]) {
        ([], []) => Some(0),
        ([length], []) => {
            let length = number(length, 10).ok_or("the length is no number")?;
            rest.get(..length).map(|body| {
                request.body = body.to_vec();
                length
            })
        }
        ([], ["chunked"]) => chunks(rest, &mut request.body)?,
        _ => return Err("it is framed in two ways"),
    };
    Ok(length.map(|length| (request, end + 4 + length)))
}

fn header(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    let value = value.trim_matches([' ', '\t']);
    let is_text = value.bytes().all(|byte| byte == b'\t' || !byte.is_ascii_control());
    (is_token(name) && is_text).then(|| (name.to_ascii_lowercase(), value.to_owned()))
}

/// A number of digits alone.
fn number(text: &str, radix: u32) -> Option<usize> {
    let is_plain = text.chars().all(|digit| digit.is_digit(radix));
    usize::from_str_radix(text, radix).ok().filter(|_| is_plain)
}

/// The length of a chunked body; `None` where it is not whole yet. Extensions and trailers are none of the proxy's.
fn chunks(bytes: &[u8], body: &mut Vec<u8>) -> Result<Option<usize>, &'static str> {
    let mut rest = bytes;
    loop {
        let Some(end) = find(rest, b"\r\n") else { return Ok(None) };
        let size = number(&latin1(&rest[..end]), 16).ok_or("a chunk has no size")?;
        let Some((chunk, after)) = rest[end + 2..].split_at_checked(size) else { return Ok(None) };
        body.extend_from_slice(chunk);
        match after {
            [b'\r', b'\n', after @ ..] => rest = after,
            [] | [b'\r'] => return Ok(None),
            _ => return Err("a chunk does not end"),
        }
        if size == 0 {
            return Ok(Some(bytes.len() - rest.len()));
        }
    }
}

fn is_token(text: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_token)
}

fn find(bytes: &[u8], sought: &[u8]) -> Option<usize> {
    bytes.windows(sought.len()).position(|window| window == sought)
}

/// A character a byte.
pub(super) fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}
