//! The page of the demo's application, which shows what an application receives.

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, context};
use serde::Serialize;

use super::escape;

const TEMPLATE: &str = include_str!("templates/demo.html");
const STYLE: &str = include_str!("assets/style.css");

/// What the demo's application received.
#[derive(Clone, Debug, Serialize)]
pub struct DemoPage {
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

    #[test]
    fn the_page_shows_what_arrived_as_text() {
        let header =
            |name: &str, value: &str, note| Header { name: name.to_owned(), value: value.to_owned(), note };
        let page = DemoPage {
            request: "GET /<script>".to_owned(),
            user: Some("alice".to_owned()),
            headers: vec![
                header("X-Forwarded-User", "<b>", Some("set by Foregate")),
                header("Accept", "*/*", None),
            ],
        };
        let html = page.html();
        assert!(
            html.contains("&lt;b&gt;") && html.contains("set by Foregate") && html.contains("alice"),
            "{html}"
        );
        assert!(!html.contains("<script"));
    }
}
