//! A file: its text, its tables, its faults.

use std::cell::RefCell;
use std::path::Path;

use toml::de::DeTable;

use super::fault::{Complaint, Fault, Faults, Severity};
use super::section::Section;
use super::syntax;

/// What the parser says of a key that is given twice. The first one stands, so reading on is sound then.
const DUPLICATE: &str = "duplicate key";

/// A TOML file on its way to what it means.
pub struct Document<'t> {
    path: &'t Path,
    text: &'t str,
    root: DeTable<'t>,
    faults: RefCell<Vec<(usize, Fault)>>,
    is_toml: bool,
}

impl<'t> Document<'t> {
    /// Takes `text` apart. What is no TOML is reported by [`Document::read`], every place of it. `path` names the
    /// file in faults and is not opened.
    pub fn parse(path: &'t Path, text: &'t str) -> Self {
        let (root, errors) = DeTable::parse_recoverable(text);
        let is_toml = errors.iter().all(|error| error.message() == DUPLICATE);
        let root = root.into_inner();
        let document = Self { path, text, root, faults: RefCell::default(), is_toml };
        for error in &errors {
            document.report_syntax(error);
        }
        document
    }

    /// What `read` makes of the file, and the warnings; or all faults. A file that is no TOML is not read further:
    /// what a torn table lacks says nothing.
    ///
    /// # Errors
    /// Where anything was reported as an error.
    pub fn read<T>(self, read: impl FnOnce(&mut Section<'_>) -> T) -> Result<(T, Vec<Fault>), Faults> {
        let value = self.is_toml.then(|| Section::root(&self, &self.root).read_by(read));
        let mut faults = self.faults.into_inner();
        faults.sort_by_key(|(offset, _)| *offset);
        let faults: Vec<Fault> = faults.into_iter().map(|(_, fault)| fault).collect();
        match value {
            Some(value) if faults.iter().all(|fault| fault.severity == Severity::Warning) => {
                Ok((value, faults))
            }
            _ => Err(Faults(faults)),
        }
    }

    /// Notes a fault of `key` at a byte of the text. Only the first error of a key and what is beneath it
    /// counts: others follow from it.
    pub(super) fn report(&self, severity: Severity, offset: usize, key: String, complaint: Complaint) {
        if severity == Severity::Error && !self.sound(&key) {
            return;
        }
        self.note(severity, offset, key, complaint);
    }

    /// Whether no error was reported for `key` and what is beneath it.
    pub(super) fn sound(&self, key: &str) -> bool {
        !self.faults.borrow().iter().any(|(_, fault)| {
            fault.severity == Severity::Error
                && fault
                    .key
                    .strip_prefix(key)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }

    /// Syntax faults have no path, so each counts, but only the first of a line: the parser stumbles on.
    fn report_syntax(&self, error: &toml::de::Error) {
        let span = error.span().unwrap_or_default();
        if error.message() == DUPLICATE {
            let key = self.text.get(span.clone()).unwrap_or_default().to_owned();
            let complaint = Complaint::new("is given twice", "keep one of the two");
            return self.note(Severity::Error, span.start, key, complaint);
        }
        let (line, _) = self.position(span.start);
        if self.faults.borrow().iter().any(|(_, fault)| fault.line == line) {
            return;
        }
        let complaint = syntax::complaint(error.message());
        self.note(Severity::Error, span.start, "syntax".to_owned(), complaint);
    }

    fn note(&self, severity: Severity, offset: usize, key: String, complaint: Complaint) {
        let (line, column) = self.position(offset);
        let fault = Fault { severity, file: self.path.to_owned(), line, column, key, complaint };
        self.faults.borrow_mut().push((offset, fault));
    }

    fn position(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::kind;
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        let read = |root: &mut Section<'_>| {
            root.optional("a", kind::boolean);
            root.table("t", |table| table.optional("a", kind::boolean));
        };
        match Document::parse(Path::new("f"), text).read(read) {
            Ok(_) => Vec::new(),
            Err(faults) => faults.as_slice().iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn what_is_no_toml_is_told_line_by_line_and_not_read_further() {
        assert_eq!(
            lines("a = 1\na = 2\nb = yes or no\n[t\n"),
            [
                "f:2:1: error: a: is given twice (keep one of the two)",
                "f:3:5: error: syntax: string values must be quoted (put it in straight quotes: \"…\")",
                "f:4:3: error: syntax: unclosed table (end the header with ])",
            ]
        );
    }

    #[test]
    fn a_key_given_twice_hides_no_other_fault() {
        assert_eq!(
            lines("a = true\na = true\n[t]\na = 1\na = 2\n"),
            [
                "f:2:1: error: a: is given twice (keep one of the two)",
                "f:4:5: error: t.a: a number stands where true or false is expected (write one of them, without quotes)",
                "f:5:1: error: a: is given twice (keep one of the two)",
            ]
        );
    }

    #[test]
    fn columns_count_characters() {
        assert_eq!(
            lines("t = { \"é\" = 1, a = 1 }\n"),
            [
                "f:1:7: error: t.\"é\": unknown key (known here: a)",
                "f:1:20: error: t.a: a number stands where true or false is expected (write one of them, without quotes)",
            ]
        );
    }
}
