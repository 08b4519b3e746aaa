//! What variables of the environment say of a file's keys.

use std::collections::BTreeMap;

use super::Value;
use super::fault::Complaint;

/// What the names of variables for single keys start with.
const PREFIX: &str = "FOREGATE__";

/// What stands between the levels of a key in such a name.
const BETWEEN: &str = "__";

/// The name of the variable for the key at `path`.
pub(super) fn variable_of(path: &str) -> String {
    format!("{PREFIX}{}", path.to_uppercase().replace('.', BETWEEN))
}

/// A variable that stands for a key.
#[derive(Clone)]
pub struct Variable {
    /// Its name in the environment.
    pub name: String,
    /// What it says, or what is wrong with it.
    pub text: Result<String, Complaint>,
}

impl Variable {
    /// One that says `text`. A variable that is set but empty is taken for a slip.
    pub fn new(name: impl Into<String>, text: &str) -> Self {
        let empty = || Complaint::new("is set, but empty", "give it a value, or unset it");
        let text = if text.is_empty() { Err(empty()) } else { Ok(text.to_owned()) };
        Self { name: name.into(), text }
    }

    /// What `kind` makes of it: of its text, else of the number or the truth value that its text can be read as.
    /// Where it takes neither, it is told what is wrong with the value, rather than with its type.
    pub(super) fn read<T>(&self, kind: impl Fn(&Value<'_>) -> Result<T, Complaint>) -> Result<T, Complaint> {
        let text = self.text.as_ref().map_err(Clone::clone)?;
        let mut misfits = Vec::new();
        for value in readings(text) {
            match kind(&value) {
                Err(Complaint { expected: Some(expected), .. }) => misfits.push(expected),
                outcome => return outcome,
            }
        }
        let expected = misfits.first().expect("a text is always read as a text");
        Err(Complaint::new(format!("{text:?} is not {expected}"), format!("write {expected}")))
    }

    /// The items of a list: what stands between commas.
    pub(super) fn items(&self) -> Result<Vec<Self>, Complaint> {
        let text = self.text.as_ref().map_err(Clone::clone)?;
        Ok(text.split(',').map(|item| Self::new(self.name.clone(), item.trim())).collect())
    }
}

/// What a text can mean, the likeliest first.
fn readings(text: &str) -> impl Iterator<Item = Value<'_>> {
    let number = Value::parse(text).ok().map(toml::Spanned::into_inner).filter(Value::is_integer);
    let truth = match text.to_ascii_lowercase().as_str() {
        "true" | "1" => Some(Value::Boolean(true)),
        "false" | "0" => Some(Value::Boolean(false)),
        _ => None,
    };
    [Some(Value::String(text.into())), number, truth].into_iter().flatten()
}

/// Variables by the dotted path of their key in lower case.
#[derive(Clone, Default)]
pub struct Overlay {
    /// Those that beat the file.
    pub(super) above: BTreeMap<String, Variable>,
    /// Those that only fill what the file leaves unset.
    pub(super) beneath: BTreeMap<String, Variable>,
}

impl Overlay {
    /// The variables for single keys among these, which beat the file.
    pub fn of<'e>(variables: impl Iterator<Item = (&'e str, &'e str)>) -> Self {
        let of_key = |(name, text): (&'e str, &'e str)| {
            let path = name.strip_prefix(PREFIX)?.to_lowercase().replace(BETWEEN, ".");
            Some((path, Variable::new(name, text)))
        };
        Self { above: variables.filter_map(of_key).collect(), beneath: BTreeMap::new() }
    }

    /// Lets a variable fill in where nothing else says what `path` is.
    pub fn fill(&mut self, path: &str, variable: Variable) {
        self.beneath.insert(path.to_owned(), variable);
    }

    /// The variable that beats the file at `path`.
    pub(super) fn above(&self, path: &str) -> Option<&Variable> {
        self.above.get(&path.to_lowercase())
    }

    /// The variable that fills in where the file has nothing at `path`.
    pub(super) fn beneath(&self, path: &str) -> Option<&Variable> {
        self.beneath.get(&path.to_lowercase())
    }

    /// Whether any variable sets what is beneath `path`.
    pub(super) fn is_beneath(&self, path: &str) -> bool {
        let prefix = format!("{}.", path.to_lowercase());
        self.above.keys().any(|key| key.starts_with(&prefix))
    }

    /// The names right beneath `path` that variables have keys of.
    pub(super) fn names(&self, path: &str) -> Vec<&str> {
        let prefix = format!("{}.", path.to_lowercase());
        let names = self.above.keys().filter_map(|key| key.strip_prefix(&prefix)?.split_once('.'));
        let mut names: Vec<&str> = names.map(|(name, _)| name).collect();
        names.dedup();
        names
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Document, Reading, Section, kind};
    use super::*;

    fn reading<T>(
        text: &str,
        variables: &[(&str, &str)],
        read: impl FnOnce(&mut Section<'_>) -> T,
    ) -> Result<Reading<T>, Vec<String>> {
        let overlay = Overlay::of(variables.iter().copied());
        let document = Document::parse(Path::new("f"), text).with_overlay(overlay);
        document.read(read).map_err(|faults| faults.as_slice().iter().map(ToString::to_string).collect())
    }

    /// What is read there, or the one line of its fault.
    fn one<T>(variable: (&str, &str), read: impl FnOnce(&mut Section<'_>) -> T) -> Result<T, String> {
        reading("", &[variable], read).map(|reading| reading.value).map_err(|mut lines| lines.remove(0))
    }

    #[test]
    fn a_variable_beats_the_file_and_is_told_as_the_origin() {
        let found = reading("[a]\nb = \"file\"\n", &[("FOREGATE__A__B", "variable")], |root| {
            root.table("a", |a| a.value("b", kind::text, String::new()))
        })
        .unwrap();
        assert_eq!(found.value, "variable");
        assert_eq!(found.settings[0].text, "variable");
        assert_eq!(found.settings[0].origin.to_string(), "FOREGATE__A__B");
    }

    #[test]
    fn a_variable_is_a_text_a_number_or_a_truth_value_whatever_the_key_takes() {
        assert_eq!(one(("FOREGATE__A", "1"), |root| root.optional("a", kind::text)), Ok(Some("1".into())));
        assert_eq!(one(("FOREGATE__A", "1"), |root| root.optional("a", kind::number(0..=9))), Ok(Some(1)));
        for (text, meant) in [("1", true), ("TRUE", true), ("True", true), ("0", false), ("false", false)] {
            assert_eq!(one(("FOREGATE__A", text), |root| root.optional("a", kind::boolean)), Ok(Some(meant)));
        }
        let list = one(("FOREGATE__A", "x, y"), |root| root.list("a", kind::text, vec![]));
        assert_eq!(list, Ok(vec!["x".to_owned(), "y".to_owned()]));
    }

    #[test]
    fn a_variables_fault_is_about_its_value_and_names_it() {
        let number = |root: &mut Section<'_>| root.optional("a", kind::number(0..=9));
        for (text, line) in [
            ("10", "FOREGATE__A: error: a: 10 is out of range (write one from 0 to 9)"),
            ("", "FOREGATE__A: error: a: is set, but empty (give it a value, or unset it)"),
        ] {
            assert_eq!(one(("FOREGATE__A", text), number), Err(line.to_owned()));
        }
        let list = one(("FOREGATE__A", "x,,y"), |root| root.list("a", kind::text, vec![]));
        assert_eq!(
            list.unwrap_err(),
            "FOREGATE__A: error: a[1]: is set, but empty (give it a value, or unset it)"
        );
    }

    #[test]
    fn a_variable_that_no_key_has_meets_the_nearest_one() {
        let read = |root: &mut Section<'_>| {
            root.table("session", |session| session.optional("idle_timeout", kind::text));
            root.tables("route", |route| route.optional("path", kind::text));
        };
        for (name, line) in [
            (
                "FOREGATE__SESSION__IDLE_TIMOUT",
                "session.idle_timout: unknown key (did you mean FOREGATE__SESSION__IDLE_TIMEOUT?)",
            ),
            ("FOREGATE__X", "x: unknown key (docs/configuration.md lists the keys and their variables)"),
            ("FOREGATE__SESSION", "session: is a section (set its keys, each by a variable of its own)"),
            ("FOREGATE__ROUTE__PATH", "route.path: cannot be set by a variable (write it in the file)"),
        ] {
            assert_eq!(one((name, "x"), read), Err(format!("{name}: error: {line}")));
        }
    }

    #[test]
    fn variables_name_sections_that_the_file_lacks_and_find_those_that_it_has() {
        let variables = [("FOREGATE__U__APP__A", "x"), ("FOREGATE__U__MORE__A", "y")];
        let found = reading("[u.App]\n", &variables, |root| {
            root.named("u", |name, u| (name.to_owned(), u.optional("a", kind::text).unwrap()))
        });
        let expected = [("App", "x"), ("more", "y")].map(|(name, a)| (name.to_owned(), a.to_owned()));
        assert_eq!(found.unwrap().value, expected);
    }

    #[test]
    fn faults_of_variables_come_after_the_files() {
        let lines = reading("a = 1\n", &[("FOREGATE__B", "x")], |root| {
            root.optional("b", kind::boolean);
            root.optional("a", kind::text)
        });
        let lines = lines.unwrap_err();
        assert!(lines[0].starts_with("f:1:5: error: a:"), "{lines:?}");
        assert!(lines[1].starts_with("FOREGATE__B: error: b: \"x\" is not true or false"), "{lines:?}");
    }

    #[test]
    fn what_only_fills_in_is_warned_of_where_the_file_says_otherwise() {
        let filled = |text: &str, says: &str| {
            let mut overlay = Overlay::default();
            overlay.fill("a", Variable::new("USUAL", says));
            let document = Document::parse(Path::new("f"), text).with_overlay(overlay);
            document.read(|root| root.value("a", kind::boolean, false)).unwrap()
        };
        assert!(filled("", "1").value);
        assert_eq!(filled("", "1").settings[0].origin.to_string(), "USUAL");
        assert!(filled("a = true", "1").warnings.is_empty());
        let told: Vec<_> = filled("a = true", "0").warnings.iter().map(ToString::to_string).collect();
        let line =
            "f:1:5: warning: a: USUAL says otherwise, which does not count (unset it, or leave this out)";
        assert_eq!(told, [line]);
    }
}
