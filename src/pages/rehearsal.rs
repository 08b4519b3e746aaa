//! Every page in every state: what the operator's templates are tried with before they are used.

use std::path::Path;
use std::time::Duration;

use minijinja::{Environment, Value, context};

use super::fault::PagesError;
use super::forms::{LoginPage, LoginProblem, LogoutPage, RememberBox};
use super::markup::{Tag, tags};
use super::session::{OwnSession, SessionPage};
use super::templates::{Template, misfit, render};
use super::unsent::{UNSENT_FIELD, UnsentPage};
use super::{Framing, problem};
use crate::base::clock::Timestamp;
use crate::http::Problem;

/// What stands where somebody from outside could put anything.
pub(super) const HARMLESS: &str = "HARMLESS";

/// What somebody would put there.
pub(super) const HOSTILE: [&str; 7] = [
    "\"><svg onload=alert(1)>",
    "</script><script>alert(1)</script>",
    "javascript:alert(1)",
    "{{ 7*7 }}{% raw %}",
    "' onclick='alert(1)",
    "0;url=\"'//evil.example/'\"",
    "&quot;&#x3e;<!--",
];

/// A page in one state.
pub(super) struct Scene {
    pub(super) template: Template,
    pub(super) values: Value,
    /// The fields without which its form is worth nothing.
    fields: &'static [&'static str],
}

/// Every page in every state, with `text` wherever somebody from outside could put it.
pub(super) fn scenes(text: &str, prefix: &str) -> Vec<Scene> {
    let mut scenes = logins(text);
    let somebody = LogoutPage { csrf_token: text, user: Some(text) };
    let nobody = LogoutPage { csrf_token: "", user: None };
    let target = format!("/{text}");
    let (left, token, return_to) = (Duration::from_secs(900), text, text);
    let unsent =
        UnsentPage { target: &target, bytes: 1, left, token, csrf_token: text, return_to, failed: false };
    let failed = UnsentPage { failed: true, ..unsent };
    let address = context! { address => format!("/{text}") };
    scenes.extend([
        Scene { fields: &["csrf_token"], ..Scene::new(Template::Logout, somebody.values()) },
        Scene::new(Template::Logout, nobody.values()),
        Scene::new(Template::Frame, address.clone()),
        Scene::new(Template::Continue, address),
        Scene::new(Template::Session, session(text, Some(text)).values()),
        Scene::new(Template::Session, session(text, None).values()),
        Scene { fields: &[UNSENT_FIELD, "csrf_token"], ..Scene::new(Template::Unsent, unsent.values()) },
        Scene { fields: &[UNSENT_FIELD, "csrf_token"], ..Scene::new(Template::Unsent, failed.values()) },
    ]);
    for problem in Problem::ALL {
        for framing in [Framing::Refused, Framing::Allowed] {
            let values = problem::values(problem, text, prefix, framing);
            scenes.push(Scene::new(Template::Problem, values));
        }
    }
    for origin in [Some(text), None] {
        let values = problem::cross_site(origin, text, prefix, Framing::Refused);
        scenes.push(Scene::new(Template::Problem, values));
    }
    scenes
}

fn logins(text: &str) -> Vec<Scene> {
    let (csrf_token, return_to, username) = (text, text, text);
    let plain = LoginPage { csrf_token, return_to, username, ..LoginPage::default() };
    let with = |problem| LoginPage { problem: Some(problem), remember: RememberBox::Ticked, ..plain };
    [
        LoginPage { username: "", ..plain },
        LoginPage { signed_out: true, remember: RememberBox::Empty, ..plain },
        with(LoginProblem::WrongCredentials),
        with(LoginProblem::Expired),
        with(LoginProblem::TooManyAttempts { wait: 60 }),
        with(LoginProblem::Busy),
        with(LoginProblem::StoreUnavailable),
        with(LoginProblem::TooManySessions),
    ]
    .map(|page| Scene {
        fields: &["csrf_token", "username", "password"],
        ..Scene::new(Template::Login, page.values())
    })
    .into()
}

fn session<'a>(text: &'a str, detail: Option<&'a str>) -> SessionPage<'a> {
    let now = Timestamp::from_seconds(1_763_800_000);
    let groups = if detail.is_some() { vec![text, text] } else { Vec::new() };
    let own = OwnSession {
        handle: text,
        current: detail.is_some(),
        logged_in_at: now,
        last_seen_at: now,
        address: text,
        device: text,
        user_agent: detail,
    };
    let other = OwnSession { current: false, ..own };
    SessionPage {
        now,
        user: text,
        name: detail,
        email: detail,
        groups,
        logged_in_at: now,
        last_seen_at: now,
        idle_expires_at: now,
        expires_at: now,
        csrf_token: text,
        sessions: if detail.is_some() { vec![own, other] } else { vec![own] },
        more: detail.is_some(),
    }
}

impl Scene {
    fn new(template: Template, values: Value) -> Self {
        Self { template, values, fields: &[] }
    }
}

/// Renders every page in every state; says what is wrong with the templates of `folder`, each thing once.
pub(super) fn rehearse(templates: &Environment<'_>, folder: &Path, prefix: &str) -> Vec<PagesError> {
    let hostile: Vec<Vec<Scene>> = HOSTILE.iter().map(|text| scenes(text, prefix)).collect();
    let mut faults: Vec<PagesError> = Vec::new();
    for (at, scene) in scenes(HARMLESS, prefix).iter().enumerate() {
        let others = hostile.iter().map(|scenes| &scenes[at]);
        let Err(fault) = play(templates, folder, scene, others) else { continue };
        if !faults.iter().any(|known| known.to_string() == fault.to_string()) {
            faults.push(fault);
        }
    }
    faults
}

/// One page: it has the fields that its form needs, and what comes from outside changes its text and nothing else.
fn play<'a>(
    templates: &Environment<'_>,
    folder: &Path,
    scene: &Scene,
    hostile: impl Iterator<Item = &'a Scene>,
) -> Result<(), PagesError> {
    let tags_of = |scene: &Scene| {
        let html = render(templates, scene.template, &scene.values);
        html.map(|html| tags(&html)).map_err(|error| misfit(folder, scene.template, &error))
    };
    let path = || folder.join(scene.template.name());
    let expected = tags_of(scene)?;
    if let Some(field) = scene.fields.iter().find(|field| !has_field(&expected, field)) {
        return Err(PagesError::LacksField { path: path(), field });
    }
    for other in hostile {
        let found = tags_of(other)?;
        if !expected.iter().map(Tag::shape).eq(found.iter().map(Tag::shape)) {
            return Err(PagesError::Unescaped { path: path() });
        }
    }
    Ok(())
}

fn has_field(tags: &[Tag], name: &str) -> bool {
    // The token has to be the one that was handed out.
    let is_right = |tag: &Tag| name != "csrf_token" || tag.attribute("value") == Some(HARMLESS);
    tags.iter().any(|tag| tag.name == "input" && tag.attribute("name") == Some(name) && is_right(tag))
}
