//! What follows from the configuration: a reload builds another, and requests under way finish in the one that they
//! began with.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::lasting::Lasting;
use super::{StartError, World, session_secrets};
use crate::admin::AdminParts;
use crate::auth::{Attempts, LocalUsers, PasswordQueue};
use crate::base::signed::Secrets;
use crate::config::{Config, LocalAuth};
use crate::endpoints::{self, Endpoints, LoginRounds};
use crate::gateway::{self, CookieGuard, Gateway, Routes};
use crate::http::HeadLimits;
use crate::pages::Pages;
use crate::policy::{ClearSiteData, CookiePolicy, CrossSite, OwnCookies, ResponseHeaders, StrictTransport};
use crate::session::{
    Directory, FormTokens, KnownBrowsers, Sessions, Toucher, UnsentForms, UnsentParts, Watchman,
};
use crate::telemetry::{AccessLog, Audit, Event, Facts};
use crate::upstream::{self, BodyLimits, IdentityWriter, Upstreams};

/// How often the users' file is looked at; a change takes effect within ten seconds.
const USERS_EVERY: Duration = Duration::from_secs(3);

/// What follows from the configuration, and does not work yet.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) gateway: Arc<Gateway>,
    sessions: Directory,
    upstreams: Arc<Upstreams>,
    helpers: Helpers,
}

/// Who works beside the requests.
#[derive(Debug)]
struct Helpers {
    toucher: Toucher,
    watchman: Watchman,
    users: Option<Arc<LocalUsers>>,
}

/// A site whose helpers work.
#[derive(Debug)]
pub(super) struct Working {
    pub(super) upstreams: Arc<Upstreams>,
    retired: CancellationToken,
}

impl Site {
    /// As configured, with the upstreams of the site `before` that are as they were; `public_port` is where https is
    /// for the public.
    pub(super) fn build(
        config: &Config,
        public_port: u16,
        lasting: &Lasting,
        before: Option<&Upstreams>,
    ) -> Result<Self, StartError> {
        let World { clock, random, .. } = &lasting.world;
        let secrets = session_secrets(config, &lasting.world)?;
        let (sessions, toucher) = Sessions::new(&config.session, &secrets, lasting.surroundings());
        let sessions = Arc::new(sessions);
        let own_cookies = OwnCookies::new(&config.session.cookie.name);
        let cookies = Arc::new(CookiePolicy::new(config.cookies.clone(), own_cookies));
        let (watchman, directory) = (sessions.watchman(), sessions.directory().clone());
        let users = config.auth.local.as_ref().map(|local| local_users(local, config)).transpose()?;
        let pages = Arc::new(Pages::new(&config.server.prefix, &config.login).map_err(StartError::Pages)?);
        let upstreams = Arc::new(upstreams(config, lasting, &sessions, Arc::clone(&cookies), before)?);
        let browsers = Arc::new(KnownBrowsers::new(&secrets, clock.clone(), *random));
        let unsent = unsent_forms(config, &secrets, lasting, &browsers);
        let endpoints = Endpoints::new(endpoints::Parts {
            prefix: config.server.prefix.clone(),
            default_redirect: config.login.default_redirect.clone(),
            remember_me: config.login.remember_me,
            sessions: Arc::clone(&sessions),
            forms: FormTokens::new(&secrets, clock.clone(), *random),
            users: users.clone(),
            attempts: Attempts::new(&config.login, &secrets, Arc::clone(&lasting.store), clock.clone()),
            browsers,
            unsent: unsent.clone(),
            pages: Arc::clone(&pages),
            rounds: LoginRounds::new(clock.clone(), *random),
            clock: clock.clone(),
            cookies: Arc::clone(&cookies),
            clear_site_data: ClearSiteData::new(&config.session.clear_site_data),
            audit: lasting.audit.clone(),
            metrics: Arc::clone(&lasting.metrics),
        });
        let gateway = Gateway::new(gateway::Parts {
            routes: Routes::new(&config.routes),
            endpoints,
            sessions,
            unsent,
            upstreams: Arc::clone(&upstreams),
            cookies: CookieGuard {
                policy: cookies,
                findings: lasting.findings.clone(),
                metrics: Arc::clone(&lasting.metrics),
                clock: clock.clone(),
            },
            cross_site: CrossSite::new(&config.csrf),
            findings: lasting.findings.clone(),
            traces: lasting.traces.clone(),
            pages,
            hsts: StrictTransport::new(&config.hsts),
            headers: ResponseHeaders::new(&config.headers),
            access_log: access_log(config, &lasting.world),
            audit: lasting.audit.clone(),
            metrics: Arc::clone(&lasting.metrics),
            random: *random,
            activity: config.session.activity,
            prefix: config.server.prefix.clone(),
            head_limits: head_limits(config),
            trusted_proxies: config.server.trusted_proxies.clone(),
            clock: clock.clone(),
            mode: config.mode,
            public_port,
            client_auth: config.tls.client_auth.clone(),
        });
        let helpers = Helpers { toucher, watchman, users };
        Ok(Self { gateway: Arc::new(gateway), sessions: directory, upstreams, helpers })
    }

    /// What the admin listener tells of it.
    pub(super) fn admin_parts(&self, lasting: &Lasting, stopping: CancellationToken) -> AdminParts {
        AdminParts {
            store: Arc::clone(&lasting.store),
            sessions: self.sessions.clone(),
            findings: lasting.findings.clone(),
            traces: lasting.traces.clone(),
            random: lasting.world.random,
            metrics: Arc::clone(&lasting.metrics),
            upstreams: Arc::clone(&self.upstreams),
            stopping,
            reload_refused: None,
        }
    }

    /// Its helpers begin to work, until `quiet`.
    pub(super) fn start(self, tasks: &TaskTracker, quiet: &CancellationToken, audit: &Audit) -> Working {
        let Helpers { toucher, watchman, users } = self.helpers;
        let retired = quiet.child_token();
        // It ends by itself once nobody uses this site's sessions any more.
        tasks.spawn(toucher.run(quiet.clone()));
        tasks.spawn(watchman.run(retired.clone()));
        let (upstreams, until) = (Arc::clone(&self.upstreams), retired.clone());
        tasks.spawn(async move { upstreams.sweep(until).await });
        let (upstreams, until) = (Arc::clone(&self.upstreams), retired.clone());
        tasks.spawn(async move { upstreams.watch(until).await });
        if let Some(users) = users {
            tasks.spawn(watch_users(users, audit.clone(), retired.clone()));
        }
        Working { upstreams: self.upstreams, retired }
    }
}

impl Working {
    /// Another site is in its place; requests that began here finish here.
    pub(super) fn retire(self, successor: &Upstreams) {
        self.retired.cancel();
        self.upstreams.forget_servers_unknown_to(successor);
    }
}

fn upstreams(
    config: &Config,
    lasting: &Lasting,
    sessions: &Sessions,
    cookies: Arc<CookiePolicy>,
    before: Option<&Upstreams>,
) -> Result<Upstreams, StartError> {
    let limits = &config.server.limits;
    let parts = upstream::Parts {
        identity: IdentityWriter::new(config.identity.headers.clone()),
        cookies,
        body_limits: BodyLimits { bytes: limits.body_bytes, silence: limits.body_idle_timeout },
        drivers: lasting.drivers.clone(),
        tunnels: lasting.tunnels.clone(),
        live: sessions.live(),
        activity: config.session.activity,
        audit: lasting.audit.clone(),
        metrics: Arc::clone(&lasting.metrics),
    };
    Ok(Upstreams::new(&config.upstreams, before, parts)?)
}

fn local_users(local: &LocalAuth, config: &Config) -> Result<Arc<LocalUsers>, StartError> {
    let users = LocalUsers::open(local, PasswordQueue::new(config.login.hash_concurrency))?;
    if users.is_empty() {
        tracing::warn!(file = %local.users.display(), "no users yet: foregate users add NAME");
    }
    Ok(Arc::new(users))
}

fn unsent_forms(
    config: &Config,
    secrets: &Secrets,
    lasting: &Lasting,
    browsers: &Arc<KnownBrowsers>,
) -> Option<Arc<UnsentForms>> {
    // A session that several hosts share may be another user's than the one who logged in last on this host.
    if config.session.cookie.domain.is_some() {
        return None;
    }
    let most_bytes = Some(config.csrf.keep_body).filter(|bytes| *bytes > 0)?;
    let World { clock, random, .. } = &lasting.world;
    let (store, browsers) = (Arc::clone(&lasting.store), Arc::clone(browsers));
    let (tasks, clock, random) = (lasting.tasks.clone(), clock.clone(), *random);
    let parts = UnsentParts { store, browsers, most_bytes, tasks, clock, random };
    Some(Arc::new(UnsentForms::new(secrets, parts)))
}

fn access_log(config: &Config, world: &World) -> AccessLog {
    let lines = config.log.access.then(|| world.logs.main.clone());
    AccessLog::new(lines, world.logs.format, world.clock.clone())
}

fn head_limits(config: &Config) -> HeadLimits {
    let limits = &config.server.limits;
    HeadLimits {
        uri_bytes: limits.uri_bytes,
        header_bytes: limits.header_bytes,
        header_count: limits.header_count,
    }
}

/// Reads the users' file again when it changes.
async fn watch_users(users: Arc<LocalUsers>, audit: Audit, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(USERS_EVERY)).await.is_some() {
        let users = Arc::clone(&users);
        let looked = tokio::task::spawn_blocking(move || users.reload_if_changed()).await;
        match looked {
            Ok(Ok(true)) => {
                tracing::info!("the users' file was read again");
                audit.record(Event::UserChanged, &Facts { reason: Some("file"), ..Facts::default() });
            }
            Ok(Ok(false)) => {}
            Ok(Err(error)) => tracing::error!("the users' file is left as it was before: {error}"),
            Err(error) => tracing::error!(%error, "the users' file could not be looked at"),
        }
    }
}
