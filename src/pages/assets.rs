//! What pages are dressed in.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::fault::{MOST_BYTES, PagesError};
use crate::config;

const STYLE: &[u8] = include_bytes!("assets/style.css");

/// A file that the proxy serves itself.
#[derive(Clone, Debug)]
pub struct Asset {
    /// Its name, in which its content's hash stands: a changed file has another name, so that browsers may keep
    /// it for ever.
    pub name: String,
    /// What it is.
    pub kind: AssetKind,
    /// Its content.
    pub bytes: Bytes,
}

/// What an asset is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssetKind {
    /// A stylesheet.
    Css,
    /// A drawing, which could hold scripts.
    Svg,
    /// A picture.
    Png,
    /// A picture.
    Jpeg,
    /// A picture.
    Webp,
}

/// What the pages refer to.
#[derive(Debug)]
pub(super) struct Assets {
    pub(super) stylesheets: Vec<Asset>,
    pub(super) logo: Option<Asset>,
}

impl Asset {
    fn new(stem: &str, kind: AssetKind, bytes: Bytes) -> Self {
        let mut name = format!("{stem}.");
        for byte in &Sha256::digest(&bytes)[..8] {
            write!(name, "{byte:02x}").expect("a string takes all that is written");
        }
        Self { name: name + "." + kind.extension(), kind, bytes }
    }
}

impl AssetKind {
    const PICTURES: [Self; 4] = [Self::Svg, Self::Png, Self::Jpeg, Self::Webp];

    /// Its media type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Css => "text/css; charset=utf-8",
            Self::Svg => "image/svg+xml",
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Webp => "image/webp",
        }
    }

    const fn extension(self) -> &'static str {
        match self {
            Self::Css => "css",
            Self::Svg => "svg",
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::Webp => "webp",
        }
    }

    fn of_picture(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        let extension = if extension == "jpeg" { "jpg" } else { &extension };
        Self::PICTURES.into_iter().find(|kind| kind.extension() == extension)
    }
}

impl Assets {
    /// The built-in stylesheet, and what the operator adds.
    pub(super) fn read(login: &config::Login) -> Result<Self, Vec<PagesError>> {
        let brand = login.stylesheet.as_deref().map(stylesheet).transpose();
        let logo = login.logo.as_deref().map(logo).transpose();
        match (brand, logo) {
            (Ok(brand), Ok(logo)) => {
                let built_in = Asset::new("style", AssetKind::Css, Bytes::from_static(STYLE));
                Ok(Self { stylesheets: [built_in].into_iter().chain(brand).collect(), logo })
            }
            (brand, logo) => Err(brand.err().into_iter().chain(logo.err()).collect()),
        }
    }

    pub(super) fn find(&self, name: &str) -> Option<&Asset> {
        self.stylesheets.iter().chain(&self.logo).find(|asset| asset.name == name)
    }
}

fn stylesheet(path: &Path) -> Result<Asset, PagesError> {
    Ok(Asset::new("brand", AssetKind::Css, read("login.stylesheet", path)?.into()))
}

fn logo(path: &Path) -> Result<Asset, PagesError> {
    let kind = AssetKind::of_picture(path).ok_or_else(|| PagesError::NoPicture { path: path.to_owned() })?;
    Ok(Asset::new("logo", kind, read("login.logo", path)?.into()))
}

/// The file's content, where it is a file and small enough for every visitor to wait for.
pub(super) fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, PagesError> {
    let unreadable = |source| PagesError::Unreadable { key, path: path.to_owned(), source };
    // A pipe would be waited for.
    if !path.metadata().map_err(unreadable)?.is_file() {
        return Err(unreadable(io::Error::other("it is not a file")));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(PagesError::TooLarge { key, path: path.to_owned() });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// WCAG 2.2, success criterion 1.4.3, level AA.
    const READABLE: f64 = 4.5;

    const TEXT_ON_GROUND: [(&str, &str); 10] = [
        ("text", "card"),
        ("text", "ground"),
        ("quiet", "card"),
        ("quiet", "ground"),
        ("accent", "card"),
        ("on-accent", "accent"),
        ("on-accent", "accent-strong"),
        ("alert", "alert-ground"),
        ("good", "good-ground"),
        ("good", "card"),
    ];

    #[test]
    fn text_is_readable_in_the_light_and_in_the_dark() {
        let style = str::from_utf8(STYLE).unwrap();
        let schemes: Vec<&str> = style.split(":root {").skip(1).collect();
        assert_eq!(schemes.len(), 2);
        for scheme in schemes {
            for (text, ground) in TEXT_ON_GROUND {
                let contrast = contrast(luminance(scheme, text), luminance(scheme, ground));
                assert!(contrast >= READABLE, "{text} on {ground}: {contrast:.2}");
            }
        }
    }

    fn contrast(one: f64, other: f64) -> f64 {
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    /// WCAG's relative luminance of a colour that `scheme` defines.
    fn luminance(scheme: &str, colour: &str) -> f64 {
        let digits = scheme.split(&format!("--{colour}: #")).nth(1).expect(colour);
        let channel = |at: usize| {
            let share = f64::from(u8::from_str_radix(&digits[at..at + 2], 16).unwrap()) / 255.0;
            if share <= 0.04045 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(0) + 0.7152 * channel(2) + 0.0722 * channel(4)
    }

    #[test]
    fn a_file_is_read_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("brand.css");
        let most = usize::try_from(MOST_BYTES).unwrap();
        std::fs::write(&path, vec![b' '; most]).unwrap();
        assert_eq!(read("login.stylesheet", &path).unwrap().len(), most);
        std::fs::write(&path, vec![b' '; most + 1]).unwrap();
        let fault = read("login.stylesheet", &path).unwrap_err().to_string();
        assert!(fault.starts_with("login.stylesheet: ") && fault.contains("larger than 256KiB"), "{fault}");
        let fault = read("login.logo", folder.path()).unwrap_err().to_string();
        assert!(fault.contains("it is not a file"), "{fault}");
    }

    #[test]
    fn a_picture_is_known_by_its_ending() {
        for (name, kind) in [
            ("a.svg", Some(AssetKind::Svg)),
            ("a.PNG", Some(AssetKind::Png)),
            ("a.jpeg", Some(AssetKind::Jpeg)),
            ("a.b.jpg", Some(AssetKind::Jpeg)),
            ("a.webp", Some(AssetKind::Webp)),
            ("a.css", None),
            ("a.gif", None),
            ("svg", None),
        ] {
            assert_eq!(AssetKind::of_picture(Path::new(name)), kind, "{name}");
        }
    }
}
