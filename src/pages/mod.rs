//! What people see: a struct in, HTML out. Rank 5.
//!
//! No page needs a script or carries one, and none has an inline style; each says so in its
//! Content-Security-Policy.

mod assets;
mod demo;
mod escape;
mod page;
mod problem;

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

    /// The small page in a frame, which leads out of it to the login at `address`.
    pub fn login_outside_frame(&self, address: &str) -> Page {
        self.render("frame.html", context! { address }, Framing::Allowed)
    }

    /// The small page that goes to `address`, an address on this host, once more.
    pub fn come_again(&self, address: &str) -> Page {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;

    const HOSTILE: [&str; 5] =
        ["\"><svg onload=alert(1)>", "</script><script>", "javascript:alert(1)", "{{ 7*7 }}", "' onclick='x"];

    fn pages() -> Pages {
        Pages::new("/_foregate", "Sign in")
    }

    /// Every page, with `text` wherever somebody from outside could put it.
    fn all(text: &str) -> Vec<(&'static str, String)> {
        let pages = Pages::new("/_foregate", text);
        let login = |problem, signed_out| {
            let (csrf_token, return_to, username) = (text, text, text);
            let remember = RememberBox::Ticked;
            let page = LoginPage { csrf_token, return_to, username, problem, signed_out, remember };
            pages.login(&page).html
        };
        let mut all = vec![
            ("login", login(None, false)),
            ("signed out", login(None, true)),
            ("wrong", login(Some(LoginProblem::WrongCredentials), false)),
            ("expired", login(Some(LoginProblem::Expired), false)),
            ("busy", login(Some(LoginProblem::Busy), false)),
            ("store", login(Some(LoginProblem::StoreUnavailable), false)),
            ("logout", pages.logout(&LogoutPage { csrf_token: text, user: Some(text) }).html),
            ("nobody", pages.logout(&LogoutPage { csrf_token: "", user: None }).html),
            ("frame", pages.login_outside_frame(text).html),
            ("continue", pages.come_again(text).html),
        ];
        let id = RequestId::new(Random::system());
        all.extend(Problem::ALL.map(|problem| ("problem", pages.problem(problem, id).html)));
        all
    }

    #[test]
    fn what_comes_from_outside_is_only_ever_text() {
        for text in HOSTILE {
            for (name, html) in all(text) {
                assert!(!html.contains(text) || !text.contains(['<', '"', '\'']), "{name}: {html}");
                assert!(
                    !html.contains("<svg") && !html.contains("<script") && !html.contains(">49<"),
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn no_page_has_a_script_or_an_inline_style() {
        for (name, html) in all("text") {
            for forbidden in ["<script", "<style", " style=", " onload=", " onclick=", "javascript:"] {
                assert!(!html.contains(forbidden), "{name}: {forbidden}");
            }
        }
    }

    #[test]
    fn every_page_has_a_language_a_title_and_one_heading() {
        for (name, html) in all("text") {
            assert!(html.starts_with("<!doctype html>\n<html lang=\"en\">"), "{name}: {html}");
            assert_eq!(html.matches("<h1").count(), 1, "{name}");
            assert!(html.contains("<title>") && !html.contains("<title></title>"), "{name}");
            assert_eq!(html.matches("<main").count(), 1, "{name}");
        }
    }

    #[test]
    fn forms_go_where_they_came_from_and_what_they_refer_to_exists() {
        for (name, html) in all("text") {
            for form in html.split("<form").skip(1) {
                let tag = form.split('>').next().unwrap();
                assert!(tag.contains("method=\"post\"") && !tag.contains("action"), "{name}: {tag}");
            }
            for attribute in ["aria-describedby=\"", "for=\"", "aria-labelledby=\""] {
                for id in html.split(attribute).skip(1).map(|rest| rest.split('"').next().unwrap()) {
                    assert!(html.contains(&format!("id=\"{id}\"")), "{name}: {attribute}{id}");
                }
            }
        }
    }

    #[test]
    fn after_a_failure_the_name_is_refilled_the_password_is_not_and_the_error_is_announced() {
        let problem = Some(LoginProblem::WrongCredentials);
        let html = pages().login(&LoginPage { username: "alice", problem, ..LoginPage::default() }).html;
        assert!(html.contains("value=\"alice\""), "{html}");
        assert!(html.contains("role=\"alert\""), "{html}");
        let password = html.split("id=\"password\"").nth(1).unwrap().split('>').next().unwrap();
        assert!(password.contains("autofocus") && password.contains("aria-invalid=\"true\""), "{password}");
        assert!(!password.contains("value="), "{password}");
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
