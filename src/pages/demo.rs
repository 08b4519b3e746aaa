//! The page of the demo's application, which shows what an application receives.

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, context};
use serde::Serialize;

use super::escape;

const TEMPLATE: &str = include_str!("templates/demo.html");
const STYLE: &str = include_str!("assets/style.css");

/// What the demo's application received, and what stands before it.
#[derive(Clone, Debug, Serialize)]
pub struct DemoPage {
    /// Where the proxy's own pages are.
    pub prefix: String,
    /// The session cookie's name.
    pub cookie: String,
    /// The address that the browser used, scheme and host.
    pub site: String,
    /// `GET /path`
    pub request: String,
    /// Who the proxy says it is from.
    pub user: Option<String>,
    /// All headers.
    pub headers: Vec<Header>,
}

/// A header as it arrived.
#[derive(Clone, Debug, Serialize)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Where it comes from, where that is worth a word.
    pub note: Option<&'static str>,
}

impl DemoPage {
    /// The document; it brings its own style, as the application is not the proxy.
    pub fn html(&self) -> String {
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        templates.set_auto_escape_callback(|_| AutoEscape::Html);
        templates.set_formatter(escape::formatter);
        templates.add_template("demo.html", TEMPLATE).expect("the template is tested");
        let style = Value::from_safe_string(STYLE.to_owned());
        let page = context! { style, ..Value::from(Serde(self)) };
        let template = templates.get_template("demo.html").expect("it was added");
        template.render(page).expect("the template is rendered by a test")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &str) -> String {
        let header = |note| Header { name: text.to_owned(), value: text.to_owned(), note };
        let headers = vec![header(Some("set by Foregate")), header(None)];
        let text = text.to_owned();
        let (prefix, cookie, site) = (text.clone(), text.clone(), text.clone());
        DemoPage { prefix, cookie, site, request: format!("GET /{text}"), user: Some(text), headers }.html()
    }

    #[test]
    fn what_arrived_is_shown_as_text() {
        let harmless = page("HARMLESS");
        for text in ["<b>", "\"><svg onload=alert(1)>", "</style><script>", "{{ 7*7 }}", "</table>"] {
            assert_eq!(page(text), harmless.replace("HARMLESS", &escape::escaped(text)), "{text}");
        }
        assert_eq!(harmless.matches("set by Foregate").count(), 1);
    }

    #[test]
    fn who_is_signed_in_can_sign_out_and_who_is_not_can_sign_in() {
        let page = |user: Option<&str>| {
            let [prefix, cookie, site, request] =
                ["/sso", "__Host-id", "https://localhost:8443", "GET /"].map(str::to_owned);
            DemoPage { prefix, cookie, site, request, user: user.map(str::to_owned), headers: Vec::new() }
                .html()
        };
        let (nobody, somebody) = (page(None), page(Some("alice")));
        assert!(nobody.contains("\"/sso/login") && !nobody.contains("\"/sso/logout"), "{nobody}");
        assert!(somebody.contains("\"/sso/logout") && !somebody.contains("\"/sso/login"), "{somebody}");
        assert!(somebody.contains("__Host-id=") && !somebody.contains("_foregate"), "{somebody}");
    }
}
