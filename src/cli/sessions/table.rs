//! Sessions for people to read. Nothing that a client sent reaches a terminal other than as text.

use super::super::table::{self, Column, Room, minute};
use crate::session::Report;
use crate::telemetry::plain;

const COLUMNS: [Column; 4] = [("HANDLE", 22), ("USER", 16), ("LAST USED (UTC)", 16), ("DEVICE", 20)];

/// A line each; none where there are none.
pub(super) fn table(reports: &[Report], room: Room) -> String {
    let used: Vec<String> = reports.iter().map(|report| minute(&report.last_seen_at)).collect();
    let rows: Vec<[&str; 4]> = reports
        .iter()
        .zip(&used)
        .map(|(report, used)| [&*report.handle, &*report.user, &**used, &*report.device])
        .collect();
    table::table(COLUMNS, &rows, room)
}

/// All that is known of one.
pub(super) fn details(report: &Report) -> String {
    let groups = report.groups.join(", ");
    let lines: [(&str, Option<&str>); 14] = [
        ("handle", Some(&report.handle)),
        ("user", Some(&report.user)),
        ("name", report.name.as_deref()),
        ("e-mail", report.email.as_deref()),
        ("groups", Some(&groups)),
        ("provider", Some(&report.provider)),
        ("signed in", Some(&report.logged_in_at)),
        ("last used", Some(&report.last_seen_at)),
        ("ends if not used", Some(&report.idle_expires_at)),
        ("ends in any case", Some(&report.expires_at)),
        ("remembered", Some(if report.remember { "yes" } else { "no" })),
        ("address", Some(&report.address)),
        ("device", Some(&report.device)),
        ("user agent", report.user_agent.as_deref()),
    ];
    let known = lines.iter().filter_map(|(name, value)| Some((name, value.filter(|text| !text.is_empty())?)));
    known.map(|(name, value)| format!("{name:16}  {}\n", plain(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::testing::session_of;

    fn report(user: &str, agent: &str) -> Report {
        let mut session = session_of(user, &["staff", "admins"]);
        session.user_agent = Some(agent.to_owned());
        Report::from(&session)
    }

    const SAMSUNG: &str = "Mozilla/5.0 (Linux; Android 10; K) SamsungBrowser/28.0";

    #[test]
    fn a_table_fits_a_terminal_and_is_whole_elsewhere() {
        let reports = [report("alice", SAMSUNG), report(&"x".repeat(300), "")];
        let on_terminal = table(&reports, Room::Terminal);
        assert!(on_terminal.lines().all(|line| line.chars().count() <= 80), "{on_terminal}");
        let lines: Vec<&str> = on_terminal.lines().collect();
        assert_eq!(lines[0], "HANDLE                  USER              LAST USED (UTC)   DEVICE");
        assert_eq!(
            lines[1],
            "AAAAAAAAAAAAAAAAAAAAAA  alice             1970-01-01 00:00  Samsung Internet on…"
        );
        assert!(lines[2].contains("  xxxxxxxxxxxxxxx…  1970"), "{on_terminal}");
        let elsewhere = table(&reports, Room::Unlimited);
        assert!(elsewhere.contains(&"x".repeat(300)) && elsewhere.contains("on Android"), "{elsewhere}");
        assert_eq!(table(&[], Room::Terminal), "");
    }

    #[test]
    fn nothing_that_a_client_sent_moves_a_cursor() {
        let hostile = "\u{1b}]0;title\u{7}\u{9b}2J\r\n\u{202e}";
        let report = report(hostile, hostile);
        for text in [table(std::slice::from_ref(&report), Room::Unlimited), details(&report)] {
            assert!(text.chars().all(|c| c == '\n' || !c.is_control() && c != '\u{202e}'), "{text:?}");
        }
        assert_eq!(table(std::slice::from_ref(&report), Room::Terminal).lines().count(), 2);
        assert!(
            details(&report).contains("\nuser agent        \\u{1b}]0;title\\u{7}"),
            "{}",
            details(&report)
        );
    }

    #[test]
    fn details_leave_out_what_is_not_known() {
        let mut report = report("alice", "");
        report.user_agent = None;
        let details = details(&report);
        assert!(details.contains("groups            staff, admins\n"), "{details}");
        assert!(!details.contains("e-mail") && !details.contains("user agent"), "{details}");
    }
}
