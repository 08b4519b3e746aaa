//! `foregate password`, and asking for passwords.

use std::io::{self, BufRead, IsTerminal};

use anyhow::{Context, bail};

use super::Exit;
use super::output::{complain, say};
use crate::auth::{LONGEST_PASSWORD, hash_password};
use crate::base::secret::Secret;

/// Shorter ones are taken, with a word of advice (NIST SP 800-63B-4 asks for 15 where it is the only factor).
const ADVISED_LENGTH: usize = 15;

pub(super) fn password() -> Exit {
    match ask().and_then(|password| Ok(hash_password(&password)?)) {
        Ok(hash) => say(hash),
        Err(error) => complain(format_args!("{error:#}")),
    }
}

/// A new password: asked for twice on a terminal, else one line of standard input.
pub(super) fn ask() -> anyhow::Result<Secret<String>> {
    let password = if io::stdin().is_terminal() { from_terminal()? } else { from_line()? };
    if password.expose().is_empty() {
        bail!("the password is empty");
    }
    if password.expose().len() > LONGEST_PASSWORD {
        bail!("the password is longer than {LONGEST_PASSWORD} bytes");
    }
    Ok(password)
}

/// A password that somebody has: asked for once on a terminal, else one line of standard input.
pub(super) fn known() -> anyhow::Result<Secret<String>> {
    if io::stdin().is_terminal() {
        return Ok(Secret::new(rpassword::prompt_password("Password: ")?));
    }
    from_line()
}

fn from_terminal() -> anyhow::Result<Secret<String>> {
    let password = Secret::new(rpassword::prompt_password("Password: ")?);
    if password.expose().chars().count() < ADVISED_LENGTH {
        super::output::warn(format_args!("{ADVISED_LENGTH} characters or more are advised"));
    }
    let again = Secret::new(rpassword::prompt_password("Again: ")?);
    if password != again {
        bail!("the two differ");
    }
    Ok(password)
}

fn from_line() -> anyhow::Result<Secret<String>> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).context("cannot read a password from standard input")?;
    let end = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(end);
    Ok(Secret::new(line))
}
