//! What is wrong with the operator's own pages.

use std::io;
use std::path::PathBuf;

use super::templates::Template;
use crate::base::size;

/// The largest logo, stylesheet or template: every visitor waits for them.
pub(super) const MOST_BYTES: u64 = 256 * 1024;

/// Why pages cannot be shown as the operator wants them.
#[derive(Debug, thiserror::Error)]
pub enum PagesError {
    /// A file or a folder cannot be read.
    #[error("{key}: {} cannot be read: {source} (it must exist and be readable)", path.display())]
    Unreadable {
        /// Where the configuration names it.
        key: &'static str,
        /// Where it should be.
        path: PathBuf,
        /// Why it cannot be read.
        source: io::Error,
    },
    /// Every visitor would wait for it.
    #[error("{key}: {} is larger than {} (make it smaller)", path.display(), size::format(MOST_BYTES))]
    TooLarge {
        /// Where the configuration names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// The logo is of no kind that every browser shows.
    #[error("login.logo: {} is no picture (name one that ends in .svg, .png, .jpg or .webp)", path.display())]
    NoPicture {
        /// The file.
        path: PathBuf,
    },
    /// A file among the templates that no page is made of.
    #[error("login.templates: {} replaces no page (known here: {})", path.display(), Template::names())]
    UnknownTemplate {
        /// The file.
        path: PathBuf,
    },
    /// A template that cannot be rendered.
    #[error("{}:{line}: error: {what} (docs/templates.md has each template's variables)", path.display())]
    Template {
        /// The file.
        path: PathBuf,
        /// The line in it.
        line: usize,
        /// What is wrong there.
        what: String,
    },
    /// A form that nobody could send.
    #[error("{}:1: error: lacks <input name={field:?}>, so nobody could use its form (add it)", path.display())]
    LacksField {
        /// The file.
        path: PathBuf,
        /// The field's name.
        field: &'static str,
    },
    /// What a visitor types would become a part of the page.
    #[error("{}:1: error: text from outside would become markup (put attributes' values in quotes)", path.display())]
    Unescaped {
        /// The file.
        path: PathBuf,
    },
}
