//! Tables for people. Nothing that a client or an application sent reaches a terminal other than as text.

use std::io::{self, IsTerminal};

use crate::telemetry::plain;

/// How much of a line there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// A terminal's 80 columns: what is longer is cut.
    Terminal,
    /// As much as is needed.
    Unlimited,
}

impl Room {
    /// What standard output has.
    pub(super) fn of_output() -> Self {
        if io::stdout().is_terminal() { Self::Terminal } else { Self::Unlimited }
    }
}

/// What stands above a column, and how wide it may be on a terminal: 80 with two spaces between them.
pub(super) type Column = (&'static str, usize);

/// A line for each row, and the columns' names above; nothing where there is no row.
pub(super) fn table<const N: usize>(columns: [Column; N], rows: &[[&str; N]], room: Room) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let head = columns.map(|(name, _)| name.to_owned());
    let rows = rows.iter().map(|row| cells(row, columns, room));
    let lines: Vec<[String; N]> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| lines.iter().map(|line| length(&line[column])).max().unwrap_or(0);
    let widths = std::array::from_fn(width);
    lines.iter().map(|line| padded(line, widths)).collect()
}

fn cells<const N: usize>(row: &[&str; N], columns: [Column; N], room: Room) -> [String; N] {
    std::array::from_fn(|column| match room {
        Room::Unlimited => plain(row[column]),
        Room::Terminal => cut(plain(row[column]), columns[column].1),
    })
}

fn padded<const N: usize>(cells: &[String; N], widths: [usize; N]) -> String {
    let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
    padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
}

fn length(text: &str) -> usize {
    text.chars().count()
}

fn cut(text: String, width: usize) -> String {
    if length(&text) <= width {
        return text;
    }
    text.chars().take(width - 1).chain(['…']).collect()
}

/// RFC 3339 to the minute, for people.
pub(super) fn minute(time: &str) -> String {
    time.get(..16).unwrap_or(time).replace('T', " ")
}
