//! What tests of several pages share.

use crate::config::Login;

/// A configuration that changes nothing but the title.
pub(super) fn look(title: &str) -> Login {
    Login {
        title: title.to_owned(),
        logo: None,
        stylesheet: None,
        templates: None,
        default_redirect: "/".to_owned(),
        providers: Vec::new(),
        remember_me: true,
        attempts_per_client: None,
        attempts_per_user: None,
        hash_concurrency: None,
    }
}
