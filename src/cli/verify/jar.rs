//! The cookies of one pretended browser.

use http::header::SET_COOKIE;
use url::Url;

use super::client::Answer;
use crate::base::clock::{Clock, Timestamp};
use crate::http::{SameSite, SetCookie};

/// A cookie as a site set it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) secure: bool,
    pub(super) http_only: bool,
    pub(super) same_site: Option<SameSite>,
    pub(super) domain: Option<String>,
    /// In how many seconds it ends; `None`: with the browser.
    pub(super) age: Option<u64>,
    path: String,
}

/// Keeps cookies, and sends them where they belong.
#[derive(Clone, Debug, Default)]
pub(super) struct Jar {
    kept: Vec<Kept>,
    /// Every cookie that ever came, the last of a name.
    seen: Vec<Kept>,
}

impl Jar {
    /// Takes what an answer sets and removes what it takes back.
    pub(super) fn keep(&mut self, answer: &Answer) {
        let now = Clock::system().now();
        for line in answer.headers.get_all(SET_COOKIE) {
            let Ok(cookie) = SetCookie::parse(line.as_bytes()) else { continue };
            let kept = Kept::of(&cookie, &answer.url, now);
            self.kept.retain(|other| other.name != kept.name);
            if kept.age == Some(0) {
                continue;
            }
            self.seen.retain(|other| other.name != kept.name);
            self.seen.push(kept.clone());
            self.kept.push(kept);
        }
    }

    /// Puts a cookie in that no answer set.
    pub(super) fn plant(&mut self, cookie: &Kept, value: &str) {
        self.kept.retain(|other| other.name != cookie.name);
        self.kept.push(Kept { value: value.to_owned(), ..cookie.clone() });
    }

    /// This jar without the cookie of that name.
    pub(super) fn without(&self, name: &str) -> Self {
        let kept = self.kept.iter().filter(|cookie| cookie.name != name).cloned().collect();
        Self { kept, seen: Vec::new() }
    }

    /// The cookie of that name.
    pub(super) fn find(&self, name: &str) -> Option<&Kept> {
        self.kept.iter().find(|cookie| cookie.name == name)
    }

    /// What is sent now.
    pub(super) fn kept(&self) -> &[Kept] {
        &self.kept
    }

    /// What was set at any time.
    pub(super) fn seen(&self) -> &[Kept] {
        &self.seen
    }

    /// The `Cookie` line for a request.
    pub(super) fn header(&self, url: &Url) -> Option<String> {
        let fitting = self.kept.iter().filter(|cookie| is_under(url.path(), &cookie.path));
        fitting
            .map(|cookie| format!("{}={}", cookie.name, cookie.value))
            .reduce(|all, one| format!("{all}; {one}"))
    }
}

impl Kept {
    fn of(cookie: &SetCookie<'_>, url: &Url, now: Timestamp) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let until = |end: Timestamp| end.since(now).as_secs();
        Self {
            name: text(cookie.name),
            value: text(cookie.value),
            secure: cookie.secure,
            http_only: cookie.http_only,
            same_site: cookie.same_site,
            domain: cookie.domain.map(text),
            age: cookie.max_age.or(cookie.expires.map(until)),
            path: cookie.path.map_or_else(|| folder(url.path()), text),
        }
    }
}

/// RFC 6265 §5.1.4: the folder of the address.
fn folder(path: &str) -> String {
    match path.rsplit_once('/') {
        Some(("", _)) | None => "/".to_owned(),
        Some((folder, _)) => folder.to_owned(),
    }
}

/// RFC 6265 §5.1.4: whether a cookie's path matches.
fn is_under(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.is_empty() || folder.ends_with('/') || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};

    use super::*;

    fn answer(lines: &[&str]) -> Answer {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(SET_COOKIE, line.parse().unwrap());
        }
        let url = Url::parse("https://app.test/shop/cart").unwrap();
        Answer { url, status: StatusCode::OK, headers, body: String::new() }
    }

    #[test]
    fn cookies_go_where_they_belong_until_they_are_taken_back() {
        let mut jar = Jar::default();
        jar.keep(&answer(&["a=1; Path=/", "b=2", "c=3; Path=/other"]));
        let sent =
            |jar: &Jar, path: &str| jar.header(&Url::parse(&format!("https://app.test{path}")).unwrap());
        assert_eq!(sent(&jar, "/shop/x").as_deref(), Some("a=1; b=2"));
        assert_eq!(sent(&jar, "/shopping").as_deref(), Some("a=1"));
        jar.keep(&answer(&["a=; Max-Age=0; Path=/", "b=; Expires=Thu, 01 Jan 1970 00:00:00 GMT"]));
        assert_eq!(sent(&jar, "/shop/x"), None);
        assert_eq!(jar.seen().len(), 3);
    }
}
