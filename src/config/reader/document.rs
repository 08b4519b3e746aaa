//! A file: its text, its tables, its faults.

use std::cell::RefCell;
use std::path::Path;

use toml::de::DeTable;

use super::fault::{Complaint, Fault, Faults, Origin, Severity};
use super::nearest::nearest;
use super::overlay::{Overlay, variable_of};
use super::section::Section;
use super::setting::{Setting, Told};
use super::syntax;

/// What the parser says of a key that is given twice. The first one stands, so reading on is sound then.
const DUPLICATE: &str = "duplicate key";

/// A TOML file on its way to what it means.
pub struct Document<'t> {
    path: &'t Path,
    text: &'t str,
    root: DeTable<'t>,
    overlay: Overlay,
    faults: RefCell<Vec<(Place, Fault)>>,
    settings: RefCell<Vec<(Place, Setting)>>,
    asked: RefCell<Vec<(String, Shape)>>,
    is_toml: bool,
}

/// What was read, and what is to be said of it.
#[derive(Debug)]
pub struct Reading<T> {
    /// What the reader made of the file.
    pub value: T,
    /// What somebody should know, in the file's order.
    pub warnings: Vec<Fault>,
    /// What is not its key's default, in the file's order.
    pub settings: Vec<Setting>,
    /// The dotted paths of all keys that the reader knows, in its order.
    pub keys: Vec<String>,
}

/// Where something stands; the file goes before the environment.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// At a byte of the text.
    Offset(usize),
    /// In a variable.
    Variable(String),
}

/// What is asked for under a key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// What a variable can say.
    Value,
    /// A list whose items may be sections; a variable can say the others.
    Items,
    /// A section.
    Section,
    /// An array of sections.
    Sections,
}

impl<'t> Document<'t> {
    /// Takes `text` apart. What is no TOML is reported by [`Document::read`], every place of it. `path` names the
    /// file in faults and is not opened.
    pub fn parse(path: &'t Path, text: &'t str) -> Self {
        let (root, errors) = DeTable::parse_recoverable(text);
        let document = Self {
            path,
            text,
            root: root.into_inner(),
            overlay: Overlay::default(),
            faults: RefCell::default(),
            settings: RefCell::default(),
            asked: RefCell::default(),
            is_toml: errors.iter().all(|error| error.message() == DUPLICATE),
        };
        for error in &errors {
            document.report_syntax(error);
        }
        document
    }

    /// The same, where variables have a say.
    #[must_use]
    pub fn with_overlay(self, overlay: Overlay) -> Self {
        Self { overlay, ..self }
    }

    /// What `read` makes of the file; or all faults. A file that is no TOML is not read further: what a torn table
    /// lacks says nothing.
    ///
    /// # Errors
    /// Where anything was reported as an error.
    pub fn read<T>(self, read: impl FnOnce(&mut Section<'_>) -> T) -> Result<Reading<T>, Faults> {
        let value = self.is_toml.then(|| Section::root(&self, &self.root).read_by(read));
        if value.is_some() {
            self.refuse_unknown_variables();
        }
        let warnings = in_order(self.faults.into_inner());
        let is_sound = warnings.iter().all(|fault: &Fault| fault.severity == Severity::Warning);
        let Some(value) = value.filter(|_| is_sound) else { return Err(Faults(warnings)) };
        let is_key = |shape: &Shape| matches!(shape, Shape::Value | Shape::Items);
        let asked = self.asked.into_inner().into_iter();
        let keys = asked.filter(|(_, shape)| is_key(shape)).map(|(path, _)| path).collect();
        Ok(Reading { value, warnings, settings: in_order(self.settings.into_inner()), keys })
    }

    /// Notes that somebody asks for `path`.
    pub(super) fn ask(&self, path: String, shape: Shape) {
        self.asked.borrow_mut().push((path, shape));
    }

    /// Notes that `key` is set to what is no default.
    pub(super) fn set(&self, key: String, place: Place, text: String) {
        let origin = self.origin(&place);
        self.settings.borrow_mut().push((place, Setting { key, text, origin }));
    }

    /// What stands in a range of bytes, as it may be told.
    pub(super) fn told(&self, span: std::ops::Range<usize>, told: Told) -> String {
        told.text(self.text.get(span).unwrap_or_default())
    }

    pub(super) fn overlay(&self) -> &Overlay {
        &self.overlay
    }

    fn refuse_unknown_variables(&self) {
        for (path, variable) in &self.overlay.above {
            if let Some(complaint) = self.complaint_of_path(path) {
                let place = Place::Variable(variable.name.clone());
                self.report(Severity::Error, place, path.clone(), complaint);
            }
        }
    }

    /// What is wrong with setting `path` by a variable.
    fn complaint_of_path(&self, path: &str) -> Option<Complaint> {
        let asked = self.asked.borrow();
        let beneath = |parent: &str| {
            path.strip_prefix(&parent.to_lowercase())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let is = |shape| asked.iter().any(|(known, at)| *at == shape && known.to_lowercase() == path);
        if is(Shape::Value) || is(Shape::Items) {
            return None;
        }
        if asked.iter().any(|(known, at)| matches!(at, Shape::Items | Shape::Sections) && beneath(known)) {
            return Some(Complaint::new("cannot be set by a variable", "write it in the file"));
        }
        if is(Shape::Section) {
            return Some(Complaint::new("is a section", "set its keys, each by a variable of its own"));
        }
        let is_value = |at| matches!(at, Shape::Value | Shape::Items);
        let values = asked.iter().filter(|(known, at)| is_value(*at) && !known.contains('['));
        let remedy = match nearest(path, values.map(|(known, _)| known.as_str())) {
            Some(known) => format!("did you mean {}?", variable_of(known)),
            None => "docs/configuration.md lists the keys and their variables".to_owned(),
        };
        Some(Complaint::new("unknown key", remedy))
    }

    /// Notes a fault of `key`. Only the first error of a key and what is beneath it
    /// counts: others follow from it.
    pub(super) fn report(&self, severity: Severity, place: Place, key: String, complaint: Complaint) {
        if severity == Severity::Error && !self.sound(&key) {
            return;
        }
        self.note(severity, place, key, complaint);
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
            return self.note(Severity::Error, Place::Offset(span.start), key, complaint);
        }
        let line = self.line_start(span.start);
        let is_there = |place: &Place| matches!(place, Place::Offset(at) if self.line_start(*at) == line);
        if self.faults.borrow().iter().any(|(place, _)| is_there(place)) {
            return;
        }
        let complaint = syntax::complaint(error.message());
        self.note(Severity::Error, Place::Offset(span.start), "syntax".to_owned(), complaint);
    }

    fn note(&self, severity: Severity, place: Place, key: String, complaint: Complaint) {
        let origin = self.origin(&place);
        self.faults.borrow_mut().push((place, Fault { severity, origin, key, complaint }));
    }

    fn origin(&self, place: &Place) -> Origin {
        match place {
            Place::Offset(offset) => {
                let (line, column) = self.position(*offset);
                Origin::File { path: self.path.to_owned(), line, column }
            }
            Place::Variable(name) => Origin::Variable(name.clone()),
        }
    }

    fn position(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = &before[self.line_start(offset)..];
        (before.matches('\n').count() + 1, line.chars().count() + 1)
    }

    fn line_start(&self, offset: usize) -> usize {
        let before = self.text.get(..offset).unwrap_or(self.text);
        before.rfind('\n').map_or(0, |newline| newline + 1)
    }
}

fn in_order<T>(mut noted: Vec<(Place, T)>) -> Vec<T> {
    noted.sort_by(|(one, _), (other, _)| one.cmp(other));
    noted.into_iter().map(|(_, item)| item).collect()
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
