//! A table being read.

use toml::Spanned;
use toml::de::DeTable;

use super::Value;
use super::document::{Document, Place, Shape};
use super::fault::{Complaint, Severity};
use super::found::{Found, Item};
use super::kind;
use super::misfit::{misfit, no_list};
use super::nearest::nearest;
use super::overlay::Variable;
use super::setting::Told;

/// A table, present or not: one that is left out reads as an empty one. It remembers which keys were asked for,
/// and refuses the others when its reader is done.
pub struct Section<'d> {
    document: &'d Document<'d>,
    table: Option<&'d DeTable<'d>>,
    /// What the empty key stands for: the item itself, where this is one of a list.
    item: Option<Found<'d>>,
    path: String,
    /// Where faults of keys that are not there point to: the section's header.
    offset: usize,
    known: Vec<&'static str>,
}

impl<'d> Section<'d> {
    pub(super) fn root(document: &'d Document<'d>, table: &'d DeTable<'d>) -> Self {
        Self { document, table: Some(table), item: None, path: String::new(), offset: 0, known: Vec::new() }
    }

    /// The value of `key`; `default` where it is left out, and as a stand-in where it does not fit.
    pub fn value<T: PartialEq>(
        &mut self,
        key: &'static str,
        kind: impl Fn(&Value<'_>) -> Result<T, Complaint>,
        default: T,
    ) -> T {
        let Some((found, value)) = self.taken(key, kind) else { return default };
        if value != default {
            self.tell(key, found, Told::Plainly);
        }
        value
    }

    /// The value of `key`; `None` where it is left out, and as a stand-in where it does not fit.
    pub fn optional<T: PartialEq>(
        &mut self,
        key: &'static str,
        kind: impl Fn(&Value<'_>) -> Result<T, Complaint>,
    ) -> Option<T> {
        let (found, value) = self.taken(key, kind)?;
        self.tell(key, found, Told::Plainly);
        Some(value)
    }

    /// The same for a secret: that there is one is told, and no more.
    pub fn hidden<T>(
        &mut self,
        key: &'static str,
        kind: impl Fn(&Value<'_>) -> Result<T, Complaint>,
    ) -> Option<T> {
        let found = self.ask(key)?;
        self.tell(key, found, Told::Hidden);
        self.noted(self.path_of(key), found.place(), found.read(kind))
    }

    /// What a variable says that the secret `key` is.
    pub fn hidden_variable(&mut self, key: &'static str) -> Option<String> {
        matches!(self.find(key), Some(Found::Variable(_))).then(|| self.hidden(key, kind::text)).flatten()
    }

    /// The value of `key`, whose absence is a fault; `example` shows what could stand there.
    pub fn required<T>(
        &mut self,
        key: &'static str,
        kind: impl Fn(&Value<'_>) -> Result<T, Complaint>,
        example: &str,
    ) -> Option<T> {
        if !self.has(key) {
            self.error(key, "is missing", format!("write {key} = {example}"));
        }
        let found = self.ask(key)?;
        self.tell(key, found, Told::Plainly);
        self.noted(self.path_of(key), found.place(), found.read(kind))
    }

    /// The items of the list `key`, each of which is a fault by itself, and no two of which are the same;
    /// `default` where it is left out, and as a stand-in where an item does not fit.
    pub fn list<T: PartialEq>(
        &mut self,
        key: &'static str,
        kind: impl Fn(&Value<'_>) -> Result<T, Complaint>,
        default: Vec<T>,
    ) -> Vec<T> {
        let Some(found) = self.ask(key) else { return default };
        let path = self.path_of(key);
        let Some(read) = self.noted(path.clone(), found.place(), found.each(kind)) else { return default };
        let (mut items, length) = (Vec::new(), read.len());
        for (index, Item { place, outcome }) in read.into_iter().enumerate() {
            let item = match outcome {
                Ok(item) if items.contains(&item) => {
                    Err(Complaint::new("is in the list twice", "keep one of the two"))
                }
                outcome => outcome,
            };
            items.extend(self.noted(format!("{path}[{index}]"), place, item));
        }
        if items.len() < length {
            return default;
        }
        if items != default {
            self.tell(key, found, Told::Plainly);
        }
        items
    }

    /// The items of the list `key`, of which some may be values and others sections: each is read as what its
    /// empty key holds.
    pub fn items<T>(&mut self, key: &'static str, mut read: impl FnMut(&mut Section<'_>) -> T) -> Vec<T> {
        let path = self.path_of(key);
        let Some(variable) = self.document.overlay().above(&path) else {
            let array = self.array(key, Shape::Items).unwrap_or_default();
            return self.each_item(&path, array.iter().map(Found::File), read);
        };
        self.ask_file(key, Shape::Items);
        let place = Place::Variable(variable.name.clone());
        let items = self.noted(path.clone(), place, variable.items()).unwrap_or_default();
        self.each_item(&path, items.iter().map(Found::Variable), &mut read)
    }

    fn each_item<'i, T>(
        &'i self,
        path: &str,
        items: impl Iterator<Item = Found<'i>>,
        mut read: impl FnMut(&mut Section<'_>) -> T,
    ) -> Vec<T> {
        let read_one = |(index, found): (usize, Found<'i>)| {
            let offset = match found {
                Found::File(value) => value.span().start,
                Found::Variable(_) => self.offset,
            };
            let item: Section<'i> = self.within(format!("{path}[{index}]"), None, offset);
            Section { item: Some(found), ..item }.read_by(&mut read)
        };
        items.enumerate().map(read_one).collect()
    }

    /// The section `key` of this one.
    pub fn table<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Section<'_>) -> T) -> T {
        let path = self.path_of(key);
        let (table, offset) = match self.ask_file(key, Shape::Section) {
            Some(value) => (self.as_table(path.clone(), value), value.span().start),
            None => (None, self.offset),
        };
        self.within(path, table, offset).read_by(read)
    }

    /// The sections of the array `key`, each headed by `[[key]]`.
    pub fn tables<T>(&mut self, key: &'static str, mut read: impl FnMut(&mut Section<'_>) -> T) -> Vec<T> {
        let Some(array) = self.array(key, Shape::Sections) else { return Vec::new() };
        let mut read_all = Vec::new();
        for (index, value) in array.iter().enumerate() {
            let path = format!("{}[{index}]", self.path_of(key));
            if let Some(table) = self.as_table(path.clone(), value) {
                let section = self.within(path, Some(table), value.span().start);
                read_all.push(section.read_by(&mut read));
            }
        }
        read_all
    }

    /// The sections beneath `key`, each under a name of its own, in the file's order and then
    /// those that variables alone know.
    pub fn named<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&str, &mut Section<'_>) -> T,
    ) -> Vec<T> {
        let path = self.path_of(key);
        let table = self.ask_file(key, Shape::Section).and_then(|value| self.as_table(path.clone(), value));
        let mut entries: Vec<_> = table.into_iter().flatten().collect();
        entries.sort_by_key(|(name, value)| value.span().start.min(name.span().start));
        let mut read_all = Vec::new();
        for (name, value) in &entries {
            let path = join(&path, name.get_ref());
            if name.get_ref().is_empty() {
                let complaint = Complaint::new("has an empty name", "give it one");
                self.document.report(Severity::Error, Place::Offset(name.span().start), path, complaint);
            } else if let Some(table) = self.as_table(path.clone(), value) {
                self.document.ask(path.clone(), Shape::Section);
                let section = self.within(path, Some(table), value.span().start);
                read_all.push(section.read_by(|section| read(name.get_ref(), section)));
            }
        }
        for name in self.document.overlay().names(&path) {
            if entries.iter().any(|(known, _)| known.get_ref().to_lowercase() == name) {
                continue;
            }
            let section = self.within(join(&path, name), None, self.offset);
            read_all.push(section.read_by(|section| read(name, section)));
        }
        read_all
    }

    /// Whether `key` is there, or anything beneath it.
    pub fn has(&self, key: &str) -> bool {
        self.find(key).is_some() || self.document.overlay().is_beneath(&self.path_of(key))
    }

    /// The texts that stand in the file itself under `key`, one or a list of them, whatever a variable says.
    pub fn written(&self, key: &str) -> impl Iterator<Item = &'d str> {
        let value = self.in_file(key).map(Spanned::get_ref);
        let items = value.and_then(Value::as_array).into_iter().flatten().map(Spanned::get_ref);
        value.into_iter().chain(items).filter_map(Value::as_str)
    }

    /// Whether the value of `key` is a table.
    pub fn has_table(&self, key: &str) -> bool {
        matches!(self.find(key), Some(Found::File(value)) if value.get_ref().is_table())
    }

    /// Whether nothing is wrong with `key` and what is beneath it, as far as it was read: for checks over several
    /// keys, which a stand-in would mislead.
    pub fn sound(&self, key: &str) -> bool {
        self.document.sound(&self.path_of(key))
    }

    /// Reports an error of `key`, unless one is known already.
    pub fn error(&self, key: &str, what: impl Into<String>, remedy: impl Into<String>) {
        self.report(Severity::Error, key, Complaint::new(what, remedy));
    }

    /// Reports an error of what stands in the file itself under `key`, whatever a variable says.
    pub fn error_in_file(&self, key: &str, what: impl Into<String>, remedy: impl Into<String>) {
        self.report_in_file(Severity::Error, key, Complaint::new(what, remedy));
    }

    /// Reports that what stands in the file itself under `key` may not be meant so, whatever a variable says.
    pub fn warn_in_file(&self, key: &str, what: impl Into<String>, remedy: impl Into<String>) {
        self.report_in_file(Severity::Warning, key, Complaint::new(what, remedy));
    }

    /// Reports that `key` may not be meant so.
    pub fn warn(&self, key: &str, what: impl Into<String>, remedy: impl Into<String>) {
        self.report(Severity::Warning, key, Complaint::new(what, remedy));
    }

    /// Reports an error of a variable that has a bearing on `key`.
    pub fn blame(&self, variable: &str, key: &str, complaint: Complaint) {
        let place = Place::Variable(variable.to_owned());
        self.document.report(Severity::Error, place, self.path_of(key), complaint);
    }

    /// Warns that `key` is not what a variable says that would only fill in.
    pub fn warn_of_rival(&self, key: &str, variable: &str) {
        let what = format!("{variable} says otherwise, which does not count");
        self.warn(key, what, "unset it, or leave this out");
    }

    /// The dotted path of `key` in the file; that of the section itself where it is empty.
    pub fn path_of(&self, key: &str) -> String {
        if key.is_empty() { self.path.clone() } else { join(&self.path, key) }
    }

    pub(super) fn read_by<T>(mut self, read: impl FnOnce(&mut Section<'_>) -> T) -> T {
        let value = read(&mut self);
        self.refuse_unknown();
        value
    }

    fn refuse_unknown(&self) {
        let unknown =
            self.table.into_iter().flatten().filter(|(key, _)| !self.known.contains(&&**key.get_ref()));
        for (key, _) in unknown {
            let remedy = match nearest(key.get_ref(), self.known.iter().copied()) {
                Some(known) => format!("did you mean {known:?}?"),
                None => format!("known here: {}", self.known.join(", ")),
            };
            let complaint = Complaint::new("unknown key", remedy);
            let path = join(&self.path, key.get_ref());
            self.document.report(Severity::Error, Place::Offset(key.span().start), path, complaint);
        }
    }

    /// What `kind` makes of `key`, and where that was found; a variable that would only fill in and says otherwise
    /// is warned of.
    fn taken<T: PartialEq>(
        &mut self,
        key: &'static str,
        kind: impl Fn(&Value<'_>) -> Result<T, Complaint>,
    ) -> Option<(Found<'d>, T)> {
        let found = self.ask(key)?;
        let value = self.noted(self.path_of(key), found.place(), found.read(&kind))?;
        if let Some(rival) = self.rival(key, found)
            && rival.read(kind).as_ref() != Ok(&value)
        {
            self.warn_of_rival(key, &rival.name);
        }
        Some((found, value))
    }

    /// The variable that would have filled in.
    fn rival(&self, key: &str, found: Found<'_>) -> Option<&'d Variable> {
        let beneath = self.document.overlay().beneath(&self.path_of(key))?;
        (!matches!(found, Found::Variable(variable) if variable.name == beneath.name)).then_some(beneath)
    }

    fn tell(&self, key: &str, found: Found<'_>, told: Told) {
        let text = match found {
            Found::File(value) => self.document.told(value.span(), told),
            Found::Variable(variable) => told.text(variable.text.as_deref().unwrap_or_default()),
        };
        self.document.set(self.path_of(key), found.place(), text);
    }

    fn find(&self, key: &str) -> Option<Found<'d>> {
        if key.is_empty() {
            return self.item;
        }
        let (path, overlay) = (self.path_of(key), self.document.overlay());
        let above = overlay.above(&path).map(Found::Variable);
        let file = || self.in_file(key).map(Found::File);
        above.or_else(file).or_else(|| overlay.beneath(&path).map(Found::Variable))
    }

    fn in_file(&self, key: &str) -> Option<&'d Spanned<Value<'d>>> {
        match self.item {
            Some(Found::File(item)) if key.is_empty() => Some(item),
            _ => self.table?.get(key),
        }
    }

    fn ask(&mut self, key: &'static str) -> Option<Found<'d>> {
        self.known.push(key);
        self.document.ask(self.path_of(key), Shape::Value);
        self.find(key)
    }

    fn ask_file(&mut self, key: &'static str, shape: Shape) -> Option<&'d Spanned<Value<'d>>> {
        self.known.push(key);
        self.document.ask(self.path_of(key), shape);
        self.in_file(key)
    }

    fn array(&mut self, key: &'static str, shape: Shape) -> Option<&'d [Spanned<Value<'d>>]> {
        let value = self.ask_file(key, shape)?;
        let array = value.get_ref().as_array().map(|array| &array[..]);
        let complaint = || match shape {
            Shape::Sections => {
                misfit(value.get_ref(), "an array of sections", "head it with two brackets: [[…]]")
            }
            _ => no_list(value.get_ref()),
        };
        self.noted(self.path_of(key), Place::Offset(value.span().start), array.ok_or_else(complaint))
    }

    fn as_table(&self, path: String, value: &'d Spanned<Value<'d>>) -> Option<&'d DeTable<'d>> {
        let table = value.get_ref().as_table();
        let remedy = "its keys stand beneath a header in brackets";
        let place = Place::Offset(value.span().start);
        self.noted(path, place, table.ok_or_else(|| misfit(value.get_ref(), "a section", remedy)))
    }

    fn within(&self, path: String, table: Option<&'d DeTable<'d>>, offset: usize) -> Self {
        Self { document: self.document, table, item: None, path, offset, known: Vec::new() }
    }

    fn noted<T>(&self, path: String, place: Place, outcome: Result<T, Complaint>) -> Option<T> {
        outcome.map_err(|complaint| self.document.report(Severity::Error, place, path, complaint)).ok()
    }

    fn report(&self, severity: Severity, key: &str, complaint: Complaint) {
        let place = self.find(key).map_or(Place::Offset(self.offset), Found::place);
        self.document.report(severity, place, self.path_of(key), complaint);
    }

    fn report_in_file(&self, severity: Severity, key: &str, complaint: Complaint) {
        let offset = self.in_file(key).map_or(self.offset, |value| value.span().start);
        self.document.report(severity, Place::Offset(offset), self.path_of(key), complaint);
    }
}

fn join(path: &str, key: &str) -> String {
    let bare = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    let key = if bare && !key.is_empty() { key.to_owned() } else { format!("{key:?}") };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::kind;
    use super::*;

    fn faults<T>(text: &str, read: impl FnOnce(&mut Section<'_>) -> T) -> Vec<String> {
        match Document::parse(Path::new("f"), text).read(read) {
            Ok(reading) => reading.warnings.iter().map(ToString::to_string).collect(),
            Err(faults) => faults.as_slice().iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn every_fault_is_one_line_in_the_files_order() {
        let text = "b = 1\na = true\n[c]\nd = \"\"\n";
        let lines = faults(text, |root| {
            root.table("c", |c| c.optional("d", kind::text));
            root.optional("a", kind::text);
            root.optional("b", kind::boolean);
        });
        assert_eq!(
            lines,
            [
                "f:1:5: error: b: a number stands where true or false is expected (write one of them, without quotes)",
                "f:2:5: error: a: true or false stands where text is expected (put it in quotes)",
                "f:4:5: error: c.d: is empty (write something, or leave the key out)",
            ]
        );
    }

    #[test]
    fn an_unknown_key_meets_the_nearest_known_one_or_all_of_them() {
        let text = "enabeld = true\n\"é\" = 1\n";
        let lines = faults(text, |root| {
            root.value("enabled", kind::boolean, true);
            root.optional("other", kind::text)
        });
        assert_eq!(
            lines,
            [
                "f:1:1: error: enabeld: unknown key (did you mean \"enabled\"?)",
                "f:2:1: error: \"é\": unknown key (known here: enabled, other)",
            ]
        );
    }

    #[test]
    fn each_item_of_a_list_is_a_fault_by_itself() {
        let lines = faults("list = [\"a\", 2, \"\", \"a\"]", |root| root.list("list", kind::text, vec![]));
        assert_eq!(
            lines,
            [
                "f:1:14: error: list[1]: a number stands where text is expected (put it in quotes)",
                "f:1:17: error: list[2]: is empty (write something, or leave the key out)",
                "f:1:21: error: list[3]: is in the list twice (keep one of the two)",
            ]
        );
    }

    #[test]
    fn an_item_may_be_a_value_or_a_section() {
        let lines = faults("list = [\"a\", { b = 1 }, 2, { c = \"d\" }]", |root| {
            root.items("list", |item| {
                if item.has_table("") {
                    item.table("", |table| table.optional("c", kind::text));
                } else {
                    item.optional("", kind::text);
                }
            });
        });
        assert_eq!(
            lines,
            [
                "f:1:16: error: list[1].b: unknown key (known here: c)",
                "f:1:25: error: list[2]: a number stands where text is expected (put it in quotes)",
            ]
        );
    }

    #[test]
    fn an_absent_section_reads_as_an_empty_one() {
        let lines =
            faults("", |root| root.table("a", |a| a.table("b", |b| b.required("c", kind::text, "\"x\""))));
        assert_eq!(lines, ["f:1:1: error: a.b.c: is missing (write c = \"x\")"]);
    }

    #[test]
    fn what_follows_from_an_error_is_not_reported() {
        let lines = faults("list = [1]\nlists = []", |root| {
            root.list("list", kind::text, vec![]);
            root.error("list", "is empty", "fill it");
            root.list("lists", kind::text, vec![]);
            root.error("lists", "is empty", "fill it");
        });
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[1], "f:2:9: error: lists: is empty (fill it)");
    }

    #[test]
    fn named_sections_keep_the_files_order() {
        let text = "[u.z]\n[u.a]\n[u.\"m n\"]\nx = 1\n";
        let mut names = Vec::new();
        let lines = faults(text, |root| root.named("u", |name, _| names.push(name.to_owned())));
        assert_eq!(names, ["z", "a", "m n"]);
        assert_eq!(lines, ["f:4:1: error: u.\"m n\".x: unknown key (known here: )"]);
    }

    #[test]
    fn a_section_of_another_shape_is_refused() {
        let lines = faults("a = 1\nc = [1]\n[b]\n", |root| {
            root.table("a", |_| ());
            root.tables("b", |_| ());
            root.tables("c", |_| ());
        });
        assert_eq!(lines.len(), 3, "{lines:?}");
    }
}
