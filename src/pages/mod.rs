//! What people see: a struct in, HTML out. Rank 5.
//!
//! No page needs a script or carries one, and none has an inline style; each says so in its
//! Content-Security-Policy.

mod assets;
mod demo;
mod escape;
mod fault;
mod forms;
mod markup;
mod page;
mod problem;
mod rehearsal;
mod session;
mod templates;
#[cfg(test)]
mod testing;
mod unsent;

use minijinja::{Value, context};

pub use assets::{Asset, AssetKind};
pub use demo::{DemoPage, Header};
pub use fault::PagesError;
pub use forms::{LoginPage, LoginProblem, LogoutPage, RememberBox};
pub use page::{Framing, Leads, Page};
pub use session::{OwnSession, SessionPage};
pub use unsent::{UNSENT_FIELD, UnsentPage};

use crate::base::request_id::RequestId;
use crate::config;
use crate::http::{Problem, Sender};
use assets::Assets;
use templates::{Common, Template, Templates};

/// Renders the proxy's own pages.
#[derive(Debug)]
pub struct Pages {
    templates: Templates,
    assets: Assets,
    prefix: String,
}

impl Pages {
    /// Pages under `prefix`, as `login` wants them to look. The operator's templates are rendered with everything
    /// that can come before they are used.
    ///
    /// # Errors
    /// With all that is wrong with the operator's files.
    pub fn new(prefix: &str, login: &config::Login) -> Result<Self, Vec<PagesError>> {
        let assets = Assets::read(login)?;
        let common = Common { prefix, title: &login.title, assets: &assets };
        let templates = Templates::new(&common, login.templates.as_deref())?;
        Ok(Self { templates, assets, prefix: prefix.to_owned() })
    }

    /// The login form.
    pub fn login(&self, login: &LoginPage<'_>) -> Page {
        self.render(Template::Login, &login.values(), Framing::Refused)
    }

    /// The question before logging out, or the news that nobody is signed in.
    pub fn logout(&self, logout: &LogoutPage<'_>) -> Page {
        self.render(Template::Logout, &logout.values(), Framing::Refused)
    }

    /// Who somebody is here, and for how long.
    pub fn session(&self, session: &SessionPage<'_>) -> Page {
        self.render(Template::Session, &session.values(), Framing::Refused)
    }

    /// The offer to send a form after all; its target is an address on this host.
    pub fn unsent(&self, unsent: &UnsentPage<'_>) -> Page {
        debug_assert!(is_on_this_host(unsent.target), "{}", unsent.target);
        let page = self.render(Template::Unsent, &unsent.values(), Framing::Refused);
        Page { leads: Leads::Anywhere, ..page }
    }

    /// What went wrong, and what to do about it.
    pub fn problem(&self, problem: Problem, id: RequestId, framing: Framing) -> Page {
        let values = problem::values(problem, &id.to_string(), &self.prefix, framing);
        self.render(Template::Problem, &values, framing)
    }

    /// That another site's page sent something, which one, and how whoever runs this site can allow it.
    pub fn cross_site(&self, sender: &Sender, id: RequestId, framing: Framing) -> Page {
        let origin = sender.origin().map(ToString::to_string);
        let values = problem::cross_site(origin.as_deref(), &id.to_string(), &self.prefix, framing);
        self.render(Template::Problem, &values, framing)
    }

    /// The small page in a frame, which leads out of it to the login at `address`, an address on this host.
    pub fn login_outside_frame(&self, address: &str) -> Page {
        debug_assert!(is_on_this_host(address), "{address}");
        self.render(Template::Frame, &context! { address }, Framing::Allowed)
    }

    /// The small page that goes to `address`, an address on this host, once more. A `#fragment` is lost on the way:
    /// no server hears of it, and a refresh that names no address is, where there is one, a jump within the page.
    pub fn come_again(&self, address: &str) -> Page {
        debug_assert!(is_on_this_host(address), "{address}");
        self.render(Template::Continue, &context! { address }, Framing::Refused)
    }

    /// The asset of this name.
    pub fn asset(&self, name: &str) -> Option<&Asset> {
        self.assets.find(name)
    }

    fn render(&self, template: Template, values: &Value, framing: Framing) -> Page {
        Page { html: self.templates.render(template, values), framing, leads: Leads::Here }
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

    use super::markup::{Tag, tags};
    use super::rehearsal::{HARMLESS, HOSTILE, scenes};
    use super::testing::look;
    use super::*;
    use crate::base::random::Random;

    fn pages() -> Pages {
        Pages::new("/_foregate", &look("Sign in")).unwrap()
    }

    fn id() -> RequestId {
        RequestId::new(Random::system())
    }

    /// Every page in every state, with `text` wherever somebody from outside could put it.
    fn all(text: &str) -> Vec<(String, String)> {
        let pages = Pages::new("/_foregate", &look(text)).unwrap();
        scenes(text, "/_foregate")
            .into_iter()
            .enumerate()
            .map(|(at, scene)| {
                (format!("{:?} {at}", scene.template), pages.templates.render(scene.template, &scene.values))
            })
            .collect()
    }

    #[test]
    fn what_comes_from_outside_is_only_ever_text() {
        for text in HOSTILE {
            for ((name, harmless), (_, html)) in all(HARMLESS).iter().zip(all(text)) {
                assert_eq!(html, harmless.replace(HARMLESS, &escape::escaped(text)), "{name}");
                let (expected, found) = (tags(harmless), tags(&html));
                assert!(expected.iter().map(Tag::shape).eq(found.iter().map(Tag::shape)), "{name}");
            }
        }
    }

    #[test]
    fn no_page_has_a_script_or_an_inline_style() {
        for (name, html) in all(HARMLESS) {
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
        for (name, html) in all(HARMLESS) {
            assert!(html.starts_with("<!doctype html>\n<html lang=\"en\">"), "{name}: {html}");
            assert!(html.contains("<title>") && !html.contains("<title></title>"), "{name}");
            for once in ["h1", "main", "title"] {
                assert_eq!(tags(&html).iter().filter(|tag| tag.name == once).count(), 1, "{name}: {once}");
            }
        }
    }

    #[test]
    fn forms_go_where_they_came_from_end_sessions_or_are_sent_after_all() {
        for (name, html) in all(HARMLESS) {
            for tag in tags(&html) {
                let action = tag.attribute("action").or(tag.attribute("formaction"));
                assert!(
                    matches!(action, None | Some("/_foregate/session/revoke" | "/HARMLESS")),
                    "{name}: {tag:?}"
                );
                assert!(tag.name != "form" || tag.attribute("method") == Some("post"), "{name}");
            }
        }
    }

    #[test]
    fn what_is_referred_to_exists_once_and_every_field_has_a_label() {
        for (name, html) in all(HARMLESS) {
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
        for problem in [
            LoginProblem::Expired,
            LoginProblem::TooManyAttempts { wait: 12 },
            LoginProblem::Busy,
            LoginProblem::StoreUnavailable,
        ] {
            let page = LoginPage { username: "alice", problem: Some(problem), ..LoginPage::default() };
            let html = pages().login(&page).html;
            assert!(html.contains("role=\"alert\"") && !html.contains("aria-invalid"), "{problem:?}");
        }
    }

    #[test]
    fn who_has_to_wait_is_told_how_long() {
        for (wait, words) in [
            (1, "wait a second,"),
            (12, "wait 12 seconds,"),
            (90, "wait 90 seconds,"),
            (91, "wait 2 minutes,"),
        ] {
            let problem = Some(LoginProblem::TooManyAttempts { wait });
            assert!(pages().login(&LoginPage { problem, ..LoginPage::default() }).html.contains(words));
        }
    }

    #[test]
    fn a_problem_page_says_which_request_it_is_about() {
        let id = id();
        for problem in Problem::ALL {
            let html = pages().problem(problem, id, Framing::Refused).html;
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
    fn what_would_not_open_in_a_frame_leads_out_of_it() {
        for (problem, out) in
            [(Problem::Forbidden, Some("_top")), (Problem::NoRoute, Some("_top")), (Problem::Busy, None)]
        {
            let target = |framing| {
                let tags = tags(&pages().problem(problem, id(), framing).html);
                let link = tags.iter().find(|tag| tag.name == "a").unwrap();
                link.attribute("target").map(str::to_owned)
            };
            assert_eq!(target(Framing::Allowed).as_deref(), out, "{problem:?}");
            assert_eq!(target(Framing::Refused), None, "{problem:?}");
        }
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

    #[test]
    fn a_logo_and_a_stylesheet_dress_every_page() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).unwrap();
            Some(folder.path().join(name))
        };
        let (logo, stylesheet) = (file("a.svg", "<svg/>"), file("b.css", "h1 { color: red }"));
        let pages = Pages::new("/p", &config::Login { logo, stylesheet, ..look("Intranet") }).unwrap();
        for page in [pages.login(&LoginPage::default()), pages.problem(Problem::Busy, id(), Framing::Refused)]
        {
            let tags = tags(&page.html);
            let sheets: Vec<_> = tags.iter().filter(|tag| tag.name == "link").collect();
            let addresses: Vec<_> = sheets.iter().map(|tag| tag.attribute("href").unwrap()).collect();
            assert!(
                addresses[0].contains("/style.") && addresses[1].starts_with("/p/assets/brand."),
                "{addresses:?}"
            );
            let logo = tags.iter().find(|tag| tag.name == "img").unwrap();
            assert_eq!(logo.attribute("alt"), Some("Intranet"));
            let name = logo.attribute("src").unwrap().strip_prefix("/p/assets/").unwrap();
            assert_eq!(pages.asset(name).unwrap().bytes, "<svg/>");
        }
    }

    #[test]
    fn every_fault_of_the_operators_files_is_told() {
        let missing = |name: &str| Some(std::path::Path::new("/nowhere").join(name));
        let login = config::Login { logo: missing("a.gif"), stylesheet: missing("b.css"), ..look("") };
        let faults = Pages::new("/p", &login).unwrap_err();
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert!(told[0].starts_with("login.stylesheet: /nowhere/b.css cannot be read: "), "{told:?}");
        assert!(told[1].starts_with("login.logo: /nowhere/a.gif is no picture (name one"), "{told:?}");
    }
}
