//! Whether a file is still the one that was read.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

/// What changes when a file does: also where it is replaced as a whole, or a link to it is led elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileVersion {
    length: u64,
    modified: Option<SystemTime>,
    inode: u64,
}

impl FileVersion {
    /// Of the file that is at `path` now.
    ///
    /// # Errors
    /// Where the file system says nothing of it.
    pub fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        Ok(Self { length: metadata.len(), modified: metadata.modified().ok(), inode: metadata.ino() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_replaced_by_one_of_the_same_length_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("link"), folder.path().join("other"));
        fs::write(&path, "one").unwrap();
        fs::write(&other, "two").unwrap();
        let before = FileVersion::of(&path).unwrap();
        assert_eq!(FileVersion::of(&path).unwrap(), before);
        fs::rename(&other, &path).unwrap();
        assert_ne!(FileVersion::of(&path).unwrap(), before);
        fs::remove_file(&path).unwrap();
        assert!(FileVersion::of(&path).is_err());
    }
}
