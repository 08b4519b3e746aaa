//! What people see: a struct in, HTML out. Rank 5.
//!
//! No page needs a script or carries one, and none has an inline style; each says so in its
//! Content-Security-Policy.

mod assets;
mod demo;
mod escape;
mod page;
mod problem;
#[cfg(test)]
mod testing;

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, context};
use serde::Serialize;

pub use assets::Asset;
pub use demo::{DemoPage, Header};
pub use page::{Framing, Page};

use crate::base::request_id::RequestId;
use crate::http::Problem;
use assets::STYLESHEET;

const TEMPLATES: [(&str, &str); 6] = [
    ("base.html", include_str!("templates/base.html")),
    ("login.html", include_str!("templates/login.html")),
    ("logout.html", include_str!("templates/logout.html")),
    ("problem.html", include_str!("templates/problem.html")),
    ("frame.html", include_str!("templates/frame.html")),
    ("continue.html", include_str!("templates/continue.html")),
];

/// Renders the proxy's own pages.
#[derive(Debug)]
pub struct Pages {
    templates: Environment<'static>,
    prefix: String,
    title: String,
}

/// The login form.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoginPage<'a> {
    /// Proves that the form is ours.
    pub csrf_token: &'a str,
    /// Where the login leads, as the form was asked for it.
    pub return_to: &'a str,
    /// What was typed before.
    pub username: &'a str,
    /// What went wrong.
    pub problem: Option<LoginProblem>,
    /// Whether somebody has just signed out.
    pub signed_out: bool,
    /// The wish to stay signed in.
    pub remember: RememberBox,
}

/// The box to tick for staying signed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RememberBox {
    /// Nobody can.
    #[default]
    Hidden,
    /// Not ticked.
    Empty,
    /// Ticked.
    Ticked,
}

/// Why the login form is shown once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoginProblem {
    /// The user or the password is wrong; which, nobody is told.
    WrongCredentials,
    /// The form was not the browser's own, or too old.
    Expired,
    /// Too many log in at once.
    Busy,
    /// Sessions cannot be kept at the moment.
    StoreUnavailable,
    /// The account has as many sessions as it may.
    TooManySessions,
}

/// The question before logging out.
#[derive(Clone, Copy, Debug)]
pub struct LogoutPage<'a> {
    /// Proves that the form is ours.
    pub csrf_token: &'a str,
    /// Who is signed in; `None` where nobody is.
    pub user: Option<&'a str>,
}

impl Pages {
    /// Pages under `prefix`; `title` stands above the login form.
    pub fn new(prefix: &str, title: &str) -> Self {
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        templates.set_auto_escape_callback(|_| AutoEscape::Html);
        templates.set_formatter(escape::formatter);
        for (name, source) in TEMPLATES {
            templates.add_template(name, source).expect("the built-in templates are tested");
        }
        templates.add_global("stylesheet", format!("{prefix}/assets/{}", STYLESHEET.name()));
        templates.add_global("prefix", prefix);
        Self { templates, prefix: prefix.to_owned(), title: title.to_owned() }
    }

    /// The login form.
    pub fn login(&self, login: &LoginPage<'_>) -> Page {
        let LoginPage { csrf_token, return_to, username, problem, signed_out, remember } = *login;
        let (title, problem, remember) = (&self.title, problem.map(Serde), Serde(remember));
        self.render(
            "login.html",
            context! { title, csrf_token, return_to, username, problem, signed_out, remember },
            Framing::Refused,
        )
    }

    /// The question before logging out, or the news that nobody is signed in.
    pub fn logout(&self, logout: &LogoutPage<'_>) -> Page {
        let LogoutPage { csrf_token, user } = *logout;
        self.render("logout.html", context! { csrf_token, user }, Framing::Refused)
    }

    /// What went wrong, and what to do about it.
    pub fn problem(&self, problem: Problem, id: RequestId) -> Page {
        let advice = problem::advice(problem);
        let page = context! {
            status => problem.status().as_u16(),
            heading => advice.heading,
            text => advice.text,
            action => advice.action.map(|action| Serde(action.link(&self.prefix))),
            request_id => id.to_string(),
        };
        self.render("problem.html", page, Framing::Refused)
    }

    /// The small page in a frame, which leads out of it to the login at `address`, an address on this host.
    pub fn login_outside_frame(&self, address: &str) -> Page {
        debug_assert!(is_on_this_host(address), "{address}");
        self.render("frame.html", context! { address }, Framing::Allowed)
    }

    /// The small page that goes to `address`, an address on this host, once more.
    pub fn come_again(&self, address: &str) -> Page {
        debug_assert!(is_on_this_host(address), "{address}");
        self.render("continue.html", context! { address }, Framing::Refused)
    }

    /// The asset of this name.
    pub fn asset(&self, name: &str) -> Option<&'static Asset> {
        assets::find(name)
    }

    fn render(&self, template: &str, page: minijinja::Value, framing: Framing) -> Page {
        let html = self
            .templates
            .get_template(template)
            .and_then(|template| template.render(page))
            .expect("every template is rendered with its own struct by a test");
        Page { html, framing }
    }
}

/// Escaping keeps an address within its attribute; that it is no `javascript:` and no other site's is its maker's
/// promise.
fn is_on_this_host(address: &str) -> bool {
    address.starts_with('/') && !address.starts_with("//") && !address.starts_with("/\\")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::testing::tags;
    use super::*;
    use crate::base::random::Random;

    const HARMLESS: &str = "HARMLESS";
    const HOSTILE: [&str; 7] = [
        "\"><svg onload=alert(1)>",
        "</script><script>alert(1)</script>",
        "javascript:alert(1)",
        "{{ 7*7 }}{% raw %}",
        "' onclick='alert(1)",
        "0;url=\"'//evil.example/'\"",
        "&quot;&#x3e;<!--",
    ];

    fn pages() -> Pages {
        Pages::new("/_foregate", "Sign in")
    }

    fn id() -> RequestId {
        RequestId::new(Random::system())
    }

    /// Every page, with `text` wherever somebody from outside could put it.
    fn all(text: &str, id: RequestId) -> Vec<(String, String)> {
        let pages = Pages::new("/_foregate", text);
        let login = |problem, signed_out| {
            let (csrf_token, return_to, username) = (text, text, text);
            let remember = RememberBox::Ticked;
            let page = LoginPage { csrf_token, return_to, username, problem, signed_out, remember };
            pages.login(&page)
        };
        let on_this_host = format!("/{text}");
        let mut all = vec![
            ("login".to_owned(), login(None, false)),
            ("signed out".to_owned(), login(None, true)),
            ("logout".to_owned(), pages.logout(&LogoutPage { csrf_token: text, user: Some(text) })),
            ("nobody".to_owned(), pages.logout(&LogoutPage { csrf_token: "", user: None })),
            ("frame".to_owned(), pages.login_outside_frame(&on_this_host)),
            ("continue".to_owned(), pages.come_again(&on_this_host)),
        ];
        for problem in [
            LoginProblem::WrongCredentials,
            LoginProblem::Expired,
            LoginProblem::Busy,
            LoginProblem::StoreUnavailable,
            LoginProblem::TooManySessions,
        ] {
            all.push((format!("{problem:?}"), login(Some(problem), false)));
        }
        all.extend(Problem::ALL.map(|problem| (format!("{problem:?}"), pages.problem(problem, id))));
        all.into_iter().map(|(name, page)| (name, page.html)).collect()
    }

    #[test]
    fn what_comes_from_outside_is_only_ever_text() {
        let id = id();
        for text in HOSTILE {
            for ((name, harmless), (_, html)) in all(HARMLESS, id).iter().zip(all(text, id)) {
                assert_eq!(html, harmless.replace(HARMLESS, &escape::escaped(text)), "{name}");
                let (expected, found) = (tags(harmless), tags(&html));
                assert!(
                    expected.iter().map(testing::Tag::shape).eq(found.iter().map(testing::Tag::shape)),
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn no_page_has_a_script_or_an_inline_style() {
        for (name, html) in all(HARMLESS, id()) {
            for tag in tags(&html) {
                assert!(
                    !["script", "style", "base", "iframe"].contains(&tag.name.as_str()),
                    "{name}: {tag:?}"
                );
                for (attribute, value) in &tag.attributes {
                    assert!(!attribute.starts_with("on") && attribute != "style", "{name}: {tag:?}");
                    assert!(!value.starts_with("javascript:"), "{name}: {tag:?}");
                }
            }
        }
    }

    #[test]
    fn every_page_has_a_language_a_title_and_one_heading() {
        for (name, html) in all(HARMLESS, id()) {
            assert!(html.starts_with("<!doctype html>\n<html lang=\"en\">"), "{name}: {html}");
            assert!(html.contains("<title>") && !html.contains("<title></title>"), "{name}");
            for once in ["h1", "main", "title"] {
                assert_eq!(tags(&html).iter().filter(|tag| tag.name == once).count(), 1, "{name}: {once}");
            }
        }
    }

    #[test]
    fn forms_go_where_they_came_from() {
        for (name, html) in all(HARMLESS, id()) {
            for tag in tags(&html) {
                assert_eq!(tag.attribute("action").or(tag.attribute("formaction")), None, "{name}");
                assert!(tag.name != "form" || tag.attribute("method") == Some("post"), "{name}");
            }
        }
    }

    #[test]
    fn what_is_referred_to_exists_once_and_every_field_has_a_label() {
        for (name, html) in all(HARMLESS, id()) {
            let tags = tags(&html);
            let ids: Vec<&str> = tags.iter().filter_map(|tag| tag.attribute("id")).collect();
            assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len(), "{name}: {ids:?}");
            for tag in &tags {
                for reference in ["for", "aria-describedby", "aria-labelledby"] {
                    assert!(tag.attribute(reference).is_none_or(|id| ids.contains(&id)), "{name}: {tag:?}");
                }
                let is_field = tag.name == "input" && tag.attribute("type") != Some("hidden");
                let is_labelled = |field| tags.iter().any(|tag| tag.attribute("for") == Some(field));
                assert!(!is_field || tag.attribute("id").is_some_and(is_labelled), "{name}: {tag:?}");
            }
        }
    }

    #[test]
    fn after_a_failure_the_name_is_refilled_the_password_is_not_and_the_error_is_announced() {
        let problem = Some(LoginProblem::WrongCredentials);
        let tags =
            tags(&pages().login(&LoginPage { username: "alice", problem, ..LoginPage::default() }).html);
        let by_id = |id| tags.iter().find(|tag| tag.attribute("id") == Some(id)).unwrap();
        let (username, password) = (by_id("username"), by_id("password"));
        assert_eq!(username.attribute("value"), Some("alice"));
        assert_eq!((password.attribute("value"), password.attribute("autofocus")), (None, Some("")));
        for field in [username, password] {
            assert_eq!(field.attribute("aria-invalid"), Some("true"));
            assert_eq!(field.attribute("aria-describedby"), Some("problem"));
        }
        assert_eq!(by_id("problem").attribute("role"), Some("alert"));
    }

    #[test]
    fn what_is_nobodys_typing_error_blames_no_field() {
        for problem in [LoginProblem::Expired, LoginProblem::Busy, LoginProblem::StoreUnavailable] {
            let page = LoginPage { username: "alice", problem: Some(problem), ..LoginPage::default() };
            let html = pages().login(&page).html;
            assert!(html.contains("role=\"alert\"") && !html.contains("aria-invalid"), "{problem:?}");
        }
    }

    #[test]
    fn a_problem_page_says_which_request_it_is_about() {
        let id = id();
        for problem in Problem::ALL {
            let html = pages().problem(problem, id).html;
            assert!(html.contains(&id.to_string()), "{problem:?}");
            assert!(html.contains(problem.status().as_str()), "{problem:?}");
        }
    }

    #[test]
    fn the_page_that_comes_again_does_so_by_itself_and_by_a_link() {
        let tags = tags(&pages().come_again("/a;b?c='d'&e=\"").html);
        let refresh = tags.iter().find(|tag| tag.attribute("http-equiv") == Some("refresh")).unwrap();
        assert_eq!(refresh.attribute("content"), Some("0;url=/a;b?c=&#39;d&#39;&amp;e=&quot;"));
        let link = tags.iter().find(|tag| tag.name == "a").unwrap();
        assert_eq!(link.attribute("href"), Some("/a;b?c=&#39;d&#39;&amp;e=&quot;"));
    }

    #[test]
    fn the_login_leads_out_of_a_frame() {
        let tags = tags(&pages().login_outside_frame("/_foregate/login").html);
        let link = tags.iter().find(|tag| tag.name == "a").unwrap();
        assert_eq!(
            (link.attribute("href"), link.attribute("target")),
            (Some("/_foregate/login"), Some("_top"))
        );
    }

    #[test]
    fn the_box_for_staying_signed_in_is_there_where_it_is_offered() {
        let html = |remember| pages().login(&LoginPage { remember, ..LoginPage::default() }).html;
        assert!(!html(RememberBox::Hidden).contains("remember"));
        let tag = |remember| {
            let html = html(remember);
            assert!(html.contains("Keep me signed in on this device</label>"), "{html}");
            html.split("id=\"remember\"").nth(1).unwrap().split('>').next().unwrap().to_owned()
        };
        let empty = tag(RememberBox::Empty);
        assert!(empty.contains("type=\"checkbox\"") && empty.contains("value=\"1\""), "{empty}");
        assert!(!empty.contains("checked"), "{empty}");
        assert!(tag(RememberBox::Ticked).contains(" checked"));
    }

    #[test]
    fn the_stylesheets_name_changes_with_its_content() {
        let pages = pages();
        let html = pages.login(&LoginPage::default()).html;
        let name = html.split("/_foregate/assets/").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!(name.len(), "style..css".len() + 16, "{name}");
        assert!(pages.asset(name).is_some());
        assert!(pages.asset("style.css").is_none() && pages.asset("../mod.rs").is_none());
    }
}
