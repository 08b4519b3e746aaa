//! The templates: the built-in ones, and the operator's in their place.

use std::fmt;
use std::fs;
use std::path::Path;

use minijinja::{AutoEscape, Environment, Error, UndefinedBehavior, Value};

use super::assets::{Assets, read};
use super::escape;
use super::fault::PagesError;
use super::rehearsal::rehearse;

const KEY: &str = "login.templates";

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Template {
    /// What all the others stand in.
    Base,
    Login,
    Logout,
    Session,
    Unsent,
    Problem,
    Frame,
    Continue,
}

impl Template {
    pub(super) const ALL: [Self; 8] = [
        Self::Base,
        Self::Login,
        Self::Logout,
        Self::Session,
        Self::Unsent,
        Self::Problem,
        Self::Frame,
        Self::Continue,
    ];

    pub(super) const fn name(self) -> &'static str {
        self.parts().0
    }

    const fn built_in(self) -> &'static str {
        self.parts().1
    }

    /// What an operator may call a file.
    pub(super) fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    fn called(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|template| template.name() == name)
    }

    const fn parts(self) -> (&'static str, &'static str) {
        match self {
            Self::Base => ("base.html", include_str!("templates/base.html")),
            Self::Login => ("login.html", include_str!("templates/login.html")),
            Self::Logout => ("logout.html", include_str!("templates/logout.html")),
            Self::Session => ("session.html", include_str!("templates/session.html")),
            Self::Unsent => ("unsent.html", include_str!("templates/unsent.html")),
            Self::Problem => ("problem.html", include_str!("templates/problem.html")),
            Self::Frame => ("frame.html", include_str!("templates/frame.html")),
            Self::Continue => ("continue.html", include_str!("templates/continue.html")),
        }
    }
}

/// What pages are rendered from.
pub(super) struct Templates {
    built_in: Environment<'static>,
    own: Option<Environment<'static>>,
}

impl fmt::Debug for Templates {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Templates").field("own", &self.own.is_some()).finish_non_exhaustive()
    }
}

/// What every template may refer to.
pub(super) struct Common<'a> {
    pub(super) prefix: &'a str,
    pub(super) title: &'a str,
    pub(super) assets: &'a Assets,
}

impl Templates {
    /// The built-in templates, with those of `folder` in their place.
    pub(super) fn new(common: &Common<'_>, folder: Option<&Path>) -> Result<Self, Vec<PagesError>> {
        let mut built_in = environment(common);
        for template in Template::ALL {
            let added = built_in.add_template(template.name(), template.built_in());
            added.expect("the built-in templates are tested");
        }
        let own = folder.map(|folder| replaced(built_in.clone(), folder, common)).transpose()?;
        Ok(Self { built_in, own })
    }

    pub(super) fn render(&self, template: Template, values: &Value) -> String {
        if let Some(own) = &self.own {
            match render(own, template, values) {
                Ok(html) => return html,
                // What the rehearsal did not meet: a built-in page is better than none.
                Err(error) => tracing::error!("{KEY}: a built-in page is shown instead: {error}"),
            }
        }
        render(&self.built_in, template, values).expect("a test renders every template with its own values")
    }
}

pub(super) fn render(
    environment: &Environment<'_>,
    template: Template,
    values: &Value,
) -> Result<String, Error> {
    environment.get_template(template.name())?.render(values)
}

fn environment(common: &Common<'_>) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_formatter(escape::formatter);
    environment.remove_filter("safe");
    let address = |name: &str| format!("{}/assets/{name}", common.prefix);
    let stylesheets: Vec<String> =
        common.assets.stylesheets.iter().map(|sheet| address(&sheet.name)).collect();
    environment.add_global("stylesheets", stylesheets);
    environment.add_global("logo", common.assets.logo.as_ref().map(|logo| address(&logo.name)));
    environment.add_global("prefix", common.prefix);
    environment.add_global("title", common.title);
    environment
}

/// `environment` with the templates of `folder`, each of which has been rendered with everything that can come.
fn replaced(
    mut environment: Environment<'static>,
    folder: &Path,
    common: &Common<'_>,
) -> Result<Environment<'static>, Vec<PagesError>> {
    let mut faults = Vec::new();
    for found in sources(folder).map_err(|fault| vec![fault])? {
        let added = found.and_then(|(template, source)| {
            environment
                .add_template_owned(template.name(), source)
                .map_err(|error| misfit(folder, template, &error))
        });
        faults.extend(added.err());
    }
    if faults.is_empty() {
        faults = rehearse(&environment, folder, common.prefix);
    }
    if faults.is_empty() { Ok(environment) } else { Err(faults) }
}

type Found = Result<(Template, String), PagesError>;

/// The templates in `folder`. What is hidden is none: editors and container platforms put such files there.
fn sources(folder: &Path) -> Result<Vec<Found>, PagesError> {
    let unreadable = |source| PagesError::Unreadable { key: KEY, path: folder.to_owned(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        paths.push(entry.map_err(unreadable)?.path());
    }
    paths.sort();
    let is_hidden =
        |path: &Path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    Ok(paths.iter().filter(|path| !is_hidden(path)).map(|path| source(path)).collect())
}

fn source(path: &Path) -> Found {
    let known = path.file_name().and_then(|name| name.to_str()).and_then(Template::called);
    let template = known.ok_or_else(|| PagesError::UnknownTemplate { path: path.to_owned() })?;
    let source = String::from_utf8(read(KEY, path)?).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.split(|byte| *byte == b'\n').count();
        PagesError::Template { path: path.to_owned(), line, what: "not UTF-8".to_owned() }
    })?;
    Ok((template, source))
}

/// What an engine's error is in the operator's folder; a page's error may lie in what it extends.
pub(super) fn misfit(folder: &Path, template: Template, error: &Error) -> PagesError {
    let name = error.name().unwrap_or(template.name());
    let what = error
        .detail()
        .map_or_else(|| error.kind().to_string(), |detail| format!("{}: {detail}", error.kind()));
    PagesError::Template { path: folder.join(name), line: error.line().unwrap_or(1), what }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::pages::rehearsal::{HARMLESS, scenes};
    use crate::pages::testing::look;

    const FORM: &str = "<form method=post><input type=hidden name=csrf_token value=\"{{ csrf_token }}\">\
                        <input name=username value='{{ username }}'><input name=password type=password></form>";

    /// The faults of a folder with these files, without the folder's name.
    fn faults(files: &[(&str, &str)]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let outcome = with(folder.path());
        let prefix = format!("{}/", folder.path().display());
        let faults = outcome.err().unwrap_or_default();
        faults.iter().map(|fault| fault.to_string().replace(&prefix, "")).collect()
    }

    fn with(folder: &Path) -> Result<Templates, Vec<PagesError>> {
        let assets = Assets::read(&look("Sign in")).unwrap();
        Templates::new(&Common { prefix: "/p", title: "Sign in", assets: &assets }, Some(folder))
    }

    #[test]
    fn what_is_not_replaced_stays_built_in() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("problem.html"), "<h1>Oh! {{ heading }} {{ request_id }}</h1>").unwrap();
        fs::create_dir(folder.path().join("..data")).unwrap();
        let templates = with(folder.path()).unwrap();
        let html = |template| {
            let scene = scenes(HARMLESS, "/p").into_iter().find(|scene| scene.template == template).unwrap();
            templates.render(template, &scene.values)
        };
        assert_eq!(html(Template::Problem), "<h1>Oh! Please sign in HARMLESS</h1>");
        assert!(html(Template::Login).starts_with("<!doctype html>"));
    }

    #[test]
    fn a_folder_holds_templates_and_nothing_else() {
        let told = faults(&[("logn.html", ""), ("notes.txt", "")]);
        let known = "base.html, login.html, logout.html, session.html, unsent.html, problem.html, frame.html, continue.html";
        assert_eq!(
            told,
            ["logn.html", "notes.txt"]
                .map(|name| format!("login.templates: {name} replaces no page (known here: {known})"))
        );
        let nowhere = with(&PathBuf::from("/nowhere")).unwrap_err();
        assert!(
            nowhere[0].to_string().starts_with("login.templates: /nowhere cannot be read: "),
            "{nowhere:?}"
        );
    }

    #[test]
    fn a_fault_names_its_file_and_line_and_each_is_told_once() {
        for (text, told) in [
            ("<p>\n{% if %}", "problem.html:2: error: syntax error: "),
            ("<p>\n\n{{ headnig }}", "problem.html:3: error: undefined value"),
            ("{% if status == 503 %}\n{{ text.a.b }}{% endif %}", "problem.html:2: error: undefined value"),
            ("{{ heading|safe }}", "problem.html:1: error: unknown filter: filter safe is unknown"),
            ("{% extends 'bas.html' %}", "problem.html:1: error: template not found"),
        ] {
            let told_of = faults(&[("problem.html", text)]);
            assert!(told_of.len() == 1 && told_of[0].starts_with(told), "{text}: {told_of:?}");
            assert!(told_of[0].ends_with("(docs/templates.md has each template's variables)"), "{told_of:?}");
        }
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("base.html"), b"a\n\xff").unwrap();
        let bytes = with(folder.path()).unwrap_err()[0].to_string();
        assert!(bytes.contains("base.html:2: error: not UTF-8"), "{bytes}");
        let base = faults(&[("base.html", "<main>\n{{ nothing }}{% block main %}{% endblock %}")]);
        assert!(
            base.iter().all(|fault| fault.starts_with("base.html:2: error: undefined value")),
            "{base:?}"
        );
        assert_eq!(base.len(), 1);
    }

    #[test]
    fn text_from_outside_stays_text_in_every_template() {
        for text in ["<a href={{ text }}{{ request_id }}>x</a>", "<p {{ request_id }}>"] {
            let told = faults(&[("problem.html", text)]);
            assert!(
                told.len() == 1 && told[0].starts_with("problem.html:1: error: text from outside"),
                "{told:?}"
            );
        }
        for text in
            ["{% autoescape false %}{{ request_id }}{% endautoescape %}", "<a title='{{ request_id }}'>"]
        {
            assert_eq!(faults(&[("problem.html", text)]), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn a_form_that_nobody_could_send_is_refused() {
        assert_eq!(faults(&[("login.html", FORM)]), Vec::<String>::new());
        for (field, lacking) in [
            ("csrf_token", FORM.replace("name=csrf_token", "name=csrf")),
            ("csrf_token", FORM.replace("{{ csrf_token }}", "")),
            ("username", FORM.replace("name=username", "id=username")),
            ("password", FORM.replace("<input name=password", "<p name=password")),
        ] {
            let told = faults(&[("login.html", &lacking)]);
            let expected = format!(
                "login.html:1: error: lacks <input name=\"{field}\">, so nobody could use its form (add it)"
            );
            assert_eq!(told, [expected]);
        }
        let told = faults(&[("logout.html", "<p>{{ user }}</p>")]);
        assert!(told[0].contains("csrf_token"), "{told:?}");
    }

    #[test]
    fn a_page_that_no_rehearsal_met_is_the_built_in_one() {
        let folder = tempfile::tempdir().unwrap();
        let text = "{% if request_id == 'unheard' %}{{ of }}{% endif %}<p>own";
        fs::write(folder.path().join("problem.html"), text).unwrap();
        let templates = with(folder.path()).unwrap();
        let html = |id| {
            let values = crate::pages::problem::values(
                crate::http::Problem::Busy,
                id,
                "/p",
                crate::pages::Framing::Refused,
            );
            templates.render(Template::Problem, &values)
        };
        assert_eq!(html("any"), "<p>own");
        assert!(html("unheard").contains("Very busy"));
    }

    #[test]
    fn the_document_names_every_template_and_every_variable() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/templates.md");
        let document = fs::read_to_string(path).unwrap();
        let variables = |template: Template| -> Vec<String> {
            let head = format!("## `{}`\n", template.name());
            let section = document.split_once(&head).unwrap_or_else(|| panic!("{head}")).1;
            let rows = section.lines().take_while(|line| !line.starts_with("## "));
            rows.filter_map(|row| Some(row.strip_prefix("| `")?.split_once('`')?.0.to_owned())).collect()
        };
        for scene in scenes(HARMLESS, "/p") {
            let mut given: Vec<String> =
                scene.values.try_iter().unwrap().map(|key| key.to_string()).collect();
            let mut told = variables(scene.template);
            given.sort();
            told.sort();
            assert_eq!(told, given, "{:?}", scene.template);
        }
        let assets = Assets::read(&look("")).unwrap();
        let environment = environment(&Common { prefix: "", title: "", assets: &assets });
        let ours = |name: &&str| ["stylesheets", "logo", "prefix", "title"].contains(name);
        let mut common: Vec<&str> = environment.globals().map(|(name, _)| name).filter(ours).collect();
        common.sort_unstable();
        let mut told = variables(Template::Base);
        told.sort();
        assert_eq!(told, common);
    }
}
