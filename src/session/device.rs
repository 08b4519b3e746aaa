//! A device in words. They are the table's own: of what a client wrote nothing is ever repeated.

/// What a browser writes into its user agent, and what people call it. Most of them claim to be others as well, so
/// the first that fits counts.
const BROWSERS: [(&str, &str); 18] = [
    ("EdgA/", "Edge"),
    ("EdgiOS/", "Edge"),
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("OPT/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Vivaldi/", "Vivaldi"),
    ("YaBrowser/", "Yandex Browser"),
    ("DuckDuckGo/", "DuckDuckGo"),
    ("FxiOS/", "Firefox"),
    ("Firefox/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chromium/", "Chromium"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
    ("Wget/", "Wget"),
    ("python-requests/", "Python"),
];

/// The same for systems. An iPad may call itself a Mac.
const SYSTEMS: [(&str, &str); 7] = [
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Macintosh", "Mac"),
    ("Linux", "Linux"),
];

/// What calls itself `user_agent`, in words.
pub(super) fn words(user_agent: &str) -> String {
    match (named(&BROWSERS, user_agent), named(&SYSTEMS, user_agent)) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(browser), None) => browser.to_owned(),
        (None, Some(system)) => format!("Unknown browser on {system}"),
        (None, None) => "Unknown device".to_owned(),
    }
}

fn named(table: &[(&str, &'static str)], user_agent: &str) -> Option<&'static str> {
    table.iter().find(|(mark, _)| user_agent.contains(mark)).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line a case: the words, a bar, the user agent.
    const CASES: &str = include_str!("../../tests/fixtures/devices.txt");

    #[test]
    fn browsers_in_use_are_told_in_words() {
        let cases = CASES.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let mut seen = 0;
        for case in cases {
            let (expected, user_agent) = case.split_once(" | ").unwrap_or((case.trim_end_matches(" |"), ""));
            assert_eq!(words(user_agent), expected, "{user_agent}");
            seen += 1;
        }
        assert!(seen > 20, "{seen}");
    }

    #[test]
    fn nothing_that_a_client_wrote_is_repeated() {
        for user_agent in ["<script>Firefox/1", "\u{1b}[31mLinux", "\u{202e}", "Mozilla/5.0 (X; evil)"] {
            let told = words(user_agent);
            assert!(told.chars().all(|c| c.is_ascii_alphanumeric() || c == ' '), "{told}");
        }
    }
}
