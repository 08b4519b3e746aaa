//! Reads a TOML file and collects what is wrong with it, so that ten faults give ten lines.
//!
//! A file is a [`Document`]; reading one hands out its root [`Section`]. A section is read key by key, each with
//! its [`kind`]: the getter reports a value that does not fit and goes on with a stand-in, which nobody sees, for
//! [`Document::read`] gives nothing out where there was an error. A section's keys that nobody asked for are
//! refused when its reader returns, so that what is known is said once, by reading it.
//!
//! ```ignore
//! fn hsts(section: &mut Section<'_>) -> Hsts {
//!     Hsts {
//!         enabled: section.value("enabled", kind::boolean, true),
//!         max_age: section.value("max_age", kind::duration, YEAR),
//!     }
//! }
//! let hsts = Document::parse(path, &text).read(|root| root.table("hsts", hsts))?.value;
//! ```
//!
//! Variables of the environment may say what a file's keys are, by an [`Overlay`]; a reader does not notice.

mod document;
mod fault;
mod found;
pub mod kind;
mod misfit;
mod nearest;
mod overlay;
mod section;
mod setting;
mod syntax;

pub use document::{Document, Reading};
pub use fault::{Complaint, Fault, Faults, Origin, Severity};
pub use overlay::{Overlay, Variable};
pub use section::Section;
pub use setting::Setting;

/// A value as it stands in the file.
pub type Value<'a> = toml::de::DeValue<'a>;
