//! `[session]`, `[login]`, `[auth]`: who gets in, and for how long.

use std::collections::HashSet;
use std::time::Duration;

use super::front::private_file;
use super::{Check, Remedy, is_this_machine, line, must, should};
use crate::base::duration;
use crate::base::rate::Rate;
use crate::config::{
    Config, Login, OnOutage, RedisAddress, RedisEndpoint, SameSite, Session, SessionCookie, SessionSecret,
    Store, StoreUrl,
};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// Random bytes, and their hexadecimal digits, have more different ones than this; words that somebody made up
/// have fewer.
const FEWEST_BYTES: usize = 11;

/// The longest lives that need no reason: (key, what it is, the longest).
type Life = (&'static str, Duration, Duration);

pub(super) fn lines(config: &Config) -> Vec<Check> {
    let session = &config.session;
    let mut lines = vec![secret(session), previous_secrets(session)];
    lines.extend(lives(session));
    lines.extend(cookie(&session.cookie));
    lines.extend(store(&session.store));
    lines.extend(attempts(&config.login));
    lines.extend(config.auth.local.iter().filter_map(|local| private_file("auth.local.users", &local.users)));
    lines
}

fn secret(session: &Session) -> Check {
    let SessionSecret::Given(secret) = &session.secret else {
        let remedy =
            must("set SECRET_KEY, or secret = { file = \"PATH\" }, to what `foregate secret` prints");
        return line("session.secret", "made by the program itself", Some(remedy));
    };
    let bytes = secret.expose();
    let different = bytes.iter().collect::<HashSet<_>>().len();
    let seen = format!("{} bytes, {different} different ones", bytes.len());
    let made_up = different < FEWEST_BYTES;
    line("session.secret", seen, made_up.then(|| must("put there what `foregate secret` prints")))
}

fn previous_secrets(session: &Session) -> Check {
    let count = session.previous_secrets.len();
    let remedy = "take them out once `cookie_verdicts_total{verdict=\"old_key\"}` rises no more";
    line("session.previous_secrets", count.to_string(), (count > 0).then(|| should(remedy)))
}

fn lives(session: &Session) -> Vec<Check> {
    let lives: [Life; 7] = [
        ("session.idle_timeout", session.idle_timeout, DAY),
        ("session.absolute_timeout", session.absolute_timeout, 30 * DAY),
        ("session.remember_idle_timeout", session.remember_idle_timeout, 30 * DAY),
        ("session.remember_absolute_timeout", session.remember_absolute_timeout, 90 * DAY),
        ("session.rotate_every", session.rotate_every, DAY),
        ("session.rotate_grace", session.rotate_grace, 5 * MINUTE),
        ("session.cache.max_age", session.cache.max_age, MINUTE),
    ];
    let judged = lives.map(|(key, life, longest)| {
        let remedy = format!("make it {} at most, or know why not", duration::format(longest));
        line(key, duration::format(life), (life > longest).then(|| should(remedy)))
    });
    judged.into()
}

fn cookie(cookie: &SessionCookie) -> Vec<Check> {
    let prefixed = ["__Host-", "__Secure-"].iter().any(|prefix| cookie.name.starts_with(prefix));
    let name = must("write \"auto\": the prefix __Host- keeps others from planting one");
    let http_only = must("leave it out: any script in a page could take the session");
    let same_site = match cookie.same_site {
        SameSite::Strict => ("strict", None),
        SameSite::Lax => ("lax", None),
        SameSite::None => ("none", Some(must("write \"lax\": other sites' requests carry the session"))),
    };
    let domain = cookie.domain.as_ref();
    let shared = should("leave it out: every host beneath it gets the session, and can plant one");
    let persistent = should("leave it out: the session outlives the browser, for whoever opens it next");
    vec![
        line("session.cookie.name", &cookie.name, (!prefixed).then_some(name)),
        line(
            "session.cookie.http_only",
            cookie.http_only.to_string(),
            (!cookie.http_only).then_some(http_only),
        ),
        line("session.cookie.same_site", same_site.0, same_site.1),
        line(
            "session.cookie.domain",
            domain.map_or("none: this host alone", String::as_str),
            domain.map(|_| shared),
        ),
        line(
            "session.cookie.persistent",
            cookie.persistent.to_string(),
            cookie.persistent.then_some(persistent),
        ),
    ]
}

fn store(store: &Store) -> Vec<Check> {
    let (seen, remedy) = place(&store.url);
    let mut lines = vec![line("session.store.url", seen, remedy)];
    if let StoreUrl::Redis(redis) = &store.url {
        let user = redis.user.as_deref();
        let (password, own) = (
            must("give Redis a password, and name it: password = { file = \"PATH\" }"),
            should("give the proxy an ACL user of its own, who may do nothing else (docs/operating.md)"),
        );
        let told = if redis.password.is_some() { "set" } else { "none" };
        lines.extend([
            line("session.store.password", told, redis.password.is_none().then_some(password)),
            line("session.store.user", user.unwrap_or("the default one"), user.is_none().then_some(own)),
        ]);
    }
    let serves = store.on_outage == OnOutage::ServeCached;
    let grace = duration::format(store.outage_grace);
    let seen = if serves { format!("sessions go on for {grace}") } else { "requests wait".to_owned() };
    let long = should("make it 5m at most: nobody can be thrown out meanwhile");
    let too_long = serves && store.outage_grace > 5 * MINUTE;
    lines.push(line("session.store.outage_grace", seen, too_long.then_some(long)));
    lines
}

fn place(url: &StoreUrl) -> (String, Option<Remedy>) {
    let redis = match url {
        StoreUrl::Memory => {
            let remedy =
                must("write \"file:sessions.redb\" or rediss://…: everybody is logged out by a restart");
            return ("memory:".to_owned(), Some(remedy));
        }
        StoreUrl::File(path) => {
            let remedy = should("name a Redis where there is more than one proxy: a file is for one alone");
            return (format!("file:{}", path.display()), Some(remedy));
        }
        StoreUrl::Redis(redis) => redis,
    };
    let far = |hosts: &[RedisEndpoint]| hosts.iter().any(|endpoint| !is_this_machine(&endpoint.host));
    let (seen, in_the_clear) = match &redis.address {
        RedisAddress::Tcp { host, port } => (format!("redis://{host}:{port}"), !is_this_machine(host)),
        RedisAddress::Tls { host, port, .. } => (format!("rediss://{host}:{port}"), false),
        RedisAddress::Unix(path) => (format!("redis+unix://{}", path.display()), false),
        RedisAddress::Sentinel(known) => {
            ("sentinels".to_owned(), known.tls.is_none() && far(&known.sentinels))
        }
        RedisAddress::Cluster(known) => ("a Cluster".to_owned(), known.tls.is_none() && far(&known.nodes)),
    };
    let remedy = "write rediss: in place of redis: passwords and sessions cross the network in the clear";
    (seen, in_the_clear.then(|| must(remedy)))
}

/// So many in an hour are a guess at nobody's password.
fn attempts(login: &Login) -> [Check; 2] {
    [
        ("login.attempts_per_client", login.attempts_per_client, 6_000, "20/m"),
        ("login.attempts_per_user", login.attempts_per_user, 1_200, "5/m"),
    ]
    .map(|(key, rate, most, usual)| {
        let Some(rate) = rate else {
            return line(key, "off", Some(must(format!("write {usual:?}: passwords can be guessed"))));
        };
        let hourly = hourly(rate);
        let remedy = should(format!("write {usual:?}, or no more than {most}/h"));
        line(key, format!("{hourly} an hour"), (hourly > most).then_some(remedy))
    })
}

fn hourly(rate: Rate) -> u128 {
    Duration::from_secs(3_600).as_micros() / rate.interval().as_micros().max(1)
}
