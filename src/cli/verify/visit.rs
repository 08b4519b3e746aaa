//! The visit: what is tried, in which order, and what every step can rely on.

use std::time::Duration;

use url::Url;

use super::super::check::Check;
use super::client::{Answer, Ask, Client, Sender, Trouble};
use super::findings::{fail, pass, skip};
use super::form::{self, Form, Names};
use super::jar::Jar;
use super::{VerifyArgs, abuse, cookies, headers, session, transport};
use crate::base::secret::Secret;

/// Who signs in.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) user: String,
    pub(super) password: Secret<String>,
}

/// A visit to a site.
#[derive(Debug)]
pub(super) struct Visit<'a> {
    pub(super) client: Client,
    pub(super) site: &'a Url,
    args: &'a VerifyArgs,
    names: Names,
    account: Option<Account>,
}

/// A login form, where it was found.
#[derive(Clone, Debug)]
pub(super) struct Door {
    pub(super) url: Url,
    pub(super) form: Form,
    pub(super) target: Url,
}

/// Why nobody is signed in.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoDoor {
    #[error(
        "no login form is found (say --login-path, and --password-field where it has no field of that type)"
    )]
    None,
    #[error("the form on {0} has no field for the user's name that can be told (say --user-field)")]
    NoUser(Url),
    #[error("the form on {0} would send the password in the address")]
    ByGet(Url),
    #[error("the login: {0}")]
    Trouble(#[from] Trouble),
}

impl<'a> Visit<'a> {
    pub(super) fn new(client: Client, args: &'a VerifyArgs, account: Option<Account>) -> Self {
        let names = Names { user: args.user_field.clone(), password: args.password_field.clone() };
        Self { client, site: &args.url, args, names, account }
    }

    /// Everything.
    ///
    /// # Errors
    /// Where nobody answers.
    pub(super) async fn go(mut self) -> Result<Vec<Check>, Trouble> {
        let mut stranger = Jar::default();
        let first = match self.client.send(Ask::page(self.site), &mut stranger).await {
            Ok(first) => first,
            Err(Trouble::Tls(error)) => {
                let fix = "a certificate that clients trust, for this name (or --ca FILE)";
                return Ok(vec![fail("tls.certificate", error.to_string(), fix)]);
            }
            Err(trouble) => return Err(trouble),
        };
        let mut checks = vec![pass("tls.certificate", "trusted, and for this name")];
        checks.push(transport::versions(&self.client, self.site).await);
        checks.extend(transport::hsts(&first));
        checks.extend(transport::plain(&mut self.client, self.site, self.args.http.as_ref()).await);
        let landing = self.client.visit(self.site, &mut stranger).await.unwrap_or(first);
        checks.extend(headers::page(&landing));
        if self.account.is_none() {
            checks.extend(cookies::all(stranger.seen(), None));
            checks.extend(session::IDS.map(|id| skip(id, "nobody signs in: say --user")));
            return Ok(checks);
        }
        if self.shows_private(&landing) {
            let why = "everybody sees this page: give the address of one that only signed-in users may see";
            checks.extend(cookies::all(stranger.seen(), None));
            checks.extend(session::IDS.map(|id| skip(id, why)));
            return Ok(checks);
        }
        checks.extend(session::all(&mut self).await);
        if self.args.intrusive {
            checks.push(abuse::limit(&mut self).await);
        } else {
            checks.push(skip("login.limit", "not tried without --intrusive: it may lock the user out"));
        }
        Ok(checks)
    }

    /// Whose name the login takes; empty where nobody signs in.
    pub(super) fn user(&self) -> &str {
        self.account.as_ref().map_or("", |account| &account.user)
    }

    /// How long a session is to be left alone.
    pub(super) fn idle(&self) -> Option<Duration> {
        self.args.idle
    }

    /// Whether an answer is the private page, not a login form or an error.
    pub(super) fn shows_private(&self, answer: &Answer) -> bool {
        answer.status.is_success() && form::login_form(&answer.body, &self.names).is_none()
    }

    /// Whether the jar's cookies open the private page. The jar stays as it is.
    pub(super) async fn is_in(&mut self, jar: &Jar) -> Result<bool, Trouble> {
        match self.client.visit(self.site, &mut jar.clone()).await {
            Ok(answer) => Ok(self.shows_private(&answer)),
            Err(Trouble::Elsewhere(_)) => Ok(false),
            Err(trouble) => Err(trouble),
        }
    }

    /// The login form, by where the private page leads or where one is told.
    pub(super) async fn door(&mut self, jar: &mut Jar) -> Result<Door, NoDoor> {
        let told = self.args.login_path.as_deref().unwrap_or("");
        let start = self.site.join(told).unwrap_or_else(|_| self.site.clone());
        self.door_at(&start, jar).await
    }

    /// The login form on a page.
    pub(super) async fn door_at(&mut self, url: &Url, jar: &mut Jar) -> Result<Door, NoDoor> {
        let page = self.client.visit(url, jar).await?;
        let form = form::login_form(&page.body, &self.names).ok_or(NoDoor::None)?;
        let target = form.target(&page.url).ok_or(NoDoor::None)?;
        if !form.is_post {
            return Err(NoDoor::ByGet(page.url));
        }
        Ok(Door { url: page.url, form, target })
    }

    /// What the form sends for our user, with the right password or another.
    pub(super) fn filled(&self, door: &Door, wrong: Option<&str>) -> Result<Vec<(String, String)>, NoDoor> {
        let password = self.account.as_ref().map_or("", |account| account.password.expose());
        let filled = door.form.filled(&self.names, self.user(), wrong.unwrap_or(password));
        filled.ok_or_else(|| NoDoor::NoUser(door.url.clone()))
    }

    /// Signs in by the form; the answer to it, before any redirect is followed.
    pub(super) async fn sign_in(&mut self, jar: &mut Jar) -> Result<Answer, NoDoor> {
        let door = self.door(jar).await?;
        let fields = self.filled(&door, None)?;
        Ok(self.client.send(Ask::form(&door.target, &fields, Sender::Own), jar).await?)
    }

    /// Where one logs out: where one is told, what a page says, else the login's address with another word.
    pub(super) fn way_out(&self, page: &Answer, door: &Url) -> Option<Url> {
        if let Some(told) = &self.args.logout_path {
            return self.site.join(told).ok();
        }
        let said = form::links(&page.body).into_iter().find(|link| is_logout(link));
        let by_form =
            || form::forms(&page.body).into_iter().find(|form| form.is_about(is_logout))?.target(&page.url);
        let linked = said.and_then(|link| page.url.join(&link).ok()).or_else(by_form);
        linked.filter(|url| self.client.is_own(url)).or_else(|| {
            let mut guess = door.clone();
            guess.set_query(None);
            let path = door.path().replace("login", "logout").replace("signin", "signout");
            guess.set_path(&path);
            (path != door.path()).then_some(guess)
        })
    }
}

fn is_logout(address: &str) -> bool {
    let address = address.to_ascii_lowercase().replace(['-', '_'], "");
    ["logout", "signout", "logoff"].iter().any(|word| address.contains(word))
}
