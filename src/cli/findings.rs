//! `foregate findings`

use clap::Args;

use super::output::{complain, print, say, warn};
use super::socket::{Socket, SocketError, Told};
use super::table::{Column, Room, table};
use super::{ConfigFlag, Exit};
use crate::config::{AdminSocket, Environment};
use crate::telemetry::{FindingReport, pretty};

#[derive(Debug, Args)]
pub(super) struct FindingsArgs {
    /// Of this policy alone
    #[arg(long, value_parser = ["cookies", "csrf"])]
    policy: Option<String>,
    /// Print all that is known, as JSON
    #[arg(long)]
    json: bool,
}

const COLUMNS: [Column; 5] =
    [("APPLICATION", 12), ("ABOUT", 16), ("CHANGE", 28), ("OUTCOME", 8), ("TIMES", 8)];

pub(super) fn findings(args: &FindingsArgs, flag: &ConfigFlag, environment: &Environment) -> Exit {
    let config = match flag.load(environment) {
        Ok(loaded) => loaded.config,
        Err(exit) => return exit,
    };
    let socket = match config.server.admin_socket {
        AdminSocket::At(path) | AdminSocket::Chosen(path) => Socket::at(path),
        AdminSocket::Off => {
            return complain("server.admin_socket is off, and only the running proxy knows (set it)");
        }
    };
    match list(&socket, args.policy.as_deref()) {
        Ok(found) if args.json => say(pretty(&found)),
        Ok(found) => show(&found),
        Err(error) => {
            warn(error);
            Exit::Unreachable
        }
    }
}

fn list(socket: &Socket, policy: Option<&str>) -> Result<Vec<FindingReport>, SocketError> {
    let query = policy.map(|policy| format!("?policy={policy}")).unwrap_or_default();
    match socket.ask("GET", &format!("/findings{query}"))? {
        Told::Json(json) => socket.read(json),
        Told::NotThere | Told::StoreAway => Err(socket.stranger()),
    }
}

fn show(found: &[FindingReport]) -> Exit {
    if found.is_empty() {
        warn("nothing was found since the proxy started");
    }
    print(lines(found, Room::of_output()).as_bytes())
}

fn lines(found: &[FindingReport], room: Room) -> String {
    let counts: Vec<String> = found.iter().map(|finding| finding.count.to_string()).collect();
    let rows: Vec<[&str; 5]> = found
        .iter()
        .zip(&counts)
        .map(|(it, count)| [&*it.application, &*it.subject, &*it.change, &*it.outcome, &**count])
        .collect();
    table(COLUMNS, &rows, room)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(subject: &str) -> FindingReport {
        FindingReport {
            policy: "cookies".to_owned(),
            application: "shop".to_owned(),
            subject: subject.to_owned(),
            change: "dropped: does not hold what its prefix promises".to_owned(),
            outcome: "reported".to_owned(),
            count: 12,
            first_seen_at: "2026-11-23T01:16:33Z".to_owned(),
            last_seen_at: "2026-11-23T01:16:33Z".to_owned(),
        }
    }

    #[test]
    fn a_table_fits_a_terminal_and_is_whole_elsewhere() {
        let found = [finding("__Host-basket"), finding(&"x".repeat(300))];
        let on_terminal = lines(&found, Room::Terminal);
        assert!(on_terminal.lines().all(|line| line.chars().count() <= 80), "{on_terminal}");
        let rows: Vec<&str> = on_terminal.lines().collect();
        assert_eq!(rows[0], "APPLICATION  ABOUT             CHANGE                        OUTCOME   TIMES");
        assert_eq!(rows[1], "shop         __Host-basket     dropped: does not hold what…  reported  12");
        let elsewhere = lines(&found, Room::Unlimited);
        assert!(elsewhere.contains(&"x".repeat(300)) && elsewhere.contains("promises"), "{elsewhere}");
        assert_eq!(lines(&[], Room::Terminal), "");
    }

    #[test]
    fn a_cookies_name_moves_no_cursor() {
        let text = lines(&[finding("\u{1b}]0;title\u{7}\u{9b}2J\r\n\u{202e}")], Room::Unlimited);
        assert!(text.chars().all(|c| c == '\n' || !c.is_control() && c != '\u{202e}'), "{text:?}");
        assert_eq!(text.lines().count(), 2);
    }
}
