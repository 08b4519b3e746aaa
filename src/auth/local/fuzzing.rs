//! What holds of every text that is read as an htpasswd file. See [`crate::fuzzing`].

use std::path::Path;

use super::htpasswd;

/// A user for each line, none of whom has a name that a list could not hold; and where one is at fault, no line shows
/// what may be a password.
pub fn htpasswd(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let lines = || text.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    let faults = match htpasswd::parse(Path::new("p"), text) {
        Err(faults) => faults,
        Ok(users) => {
            assert_eq!(users.len(), lines().count());
            assert!(users.keys().all(|name| !name.is_empty() && !name.contains([':', ',', '\n'])));
            return;
        }
    };
    let told: Vec<String> = faults.as_slice().iter().map(ToString::to_string).collect();
    assert!(told.iter().all(|line| !line.contains(char::is_control)), "{told:?}");
    let halves = || lines().filter_map(|line| line.split_once(':'));
    for (_, password) in halves() {
        let is_one_word = password.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let is_told_elsewhere = halves().any(|(name, _)| name.contains(password));
        if password.len() >= 24 && is_one_word && !is_told_elsewhere {
            assert!(!told.iter().any(|line| line.contains(password)), "{told:?}");
        }
    }
}
