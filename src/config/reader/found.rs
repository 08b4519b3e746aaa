//! Where a key's value was found.

use toml::Spanned;

use super::Value;
use super::document::Place;
use super::fault::Complaint;
use super::misfit::no_list;
use super::overlay::Variable;

/// A value that somebody gave.
#[derive(Clone, Copy)]
pub(super) enum Found<'d> {
    /// In the file.
    File(&'d Spanned<Value<'d>>),
    /// In the environment.
    Variable(&'d Variable),
}

/// An item of a list.
pub(super) struct Item<T> {
    pub(super) place: Place,
    pub(super) outcome: Result<T, Complaint>,
}

impl Found<'_> {
    pub(super) fn place(self) -> Place {
        match self {
            Self::File(value) => Place::Offset(value.span().start),
            Self::Variable(variable) => Place::Variable(variable.name.clone()),
        }
    }

    /// What `kind` makes of it.
    pub(super) fn read<T>(self, kind: impl Fn(&Value<'_>) -> Result<T, Complaint>) -> Result<T, Complaint> {
        match self {
            Self::File(value) => kind(value.get_ref()),
            Self::Variable(variable) => variable.read(kind),
        }
    }

    /// What `kind` makes of each of its items.
    pub(super) fn each<T>(
        self,
        kind: impl Fn(&Value<'_>) -> Result<T, Complaint>,
    ) -> Result<Vec<Item<T>>, Complaint> {
        match self {
            Self::File(value) => {
                let array = value.get_ref().as_array().ok_or_else(|| no_list(value.get_ref()))?;
                Ok(array.iter().map(|item| Found::File(item).item(&kind)).collect())
            }
            Self::Variable(variable) => {
                let items = variable.items()?;
                Ok(items.iter().map(|item| Found::Variable(item).item(&kind)).collect())
            }
        }
    }

    fn item<T>(self, kind: impl Fn(&Value<'_>) -> Result<T, Complaint>) -> Item<T> {
        Item { place: self.place(), outcome: self.read(kind) }
    }
}
