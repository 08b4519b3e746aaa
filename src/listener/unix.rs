//! A listening socket in the file system, for this user alone.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

use super::Neighbours;

/// A socket that could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {}: {source}{}", path.display(), way_out(source))]
pub struct BindSocketError {
    /// Where.
    pub path: PathBuf,
    /// Why not.
    pub source: io::Error,
}

fn way_out(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => " (another foregate listens there: stop it, or choose another path)",
        io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound => {
            " (its folder must exist and be writable by the user that foregate runs as)"
        }
        _ => "",
    }
}

/// A bound socket; its file goes with it.
#[derive(Debug)]
pub struct LocalSocket {
    pub(super) socket: UnixListener,
    path: PathBuf,
    inode: u64,
}

impl Drop for LocalSocket {
    fn drop(&mut self) {
        // Another process may have taken its place. A file that somebody has removed already needs no removing.
        if fs::metadata(&self.path).is_ok_and(|file| file.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Binds `path`, readable and writable by this user alone (0600) from its first moment. A file that a dead
/// process has left is replaced, and so is a welcome neighbour's, which goes on with those whom it serves.
///
/// # Errors
/// Where another process listens there that is no welcome neighbour, or the file system refuses.
pub fn bind_local(path: &Path, neighbours: Neighbours) -> Result<LocalSocket, BindSocketError> {
    listen(path, neighbours).map_err(|source| BindSocketError { path: path.to_owned(), source })
}

fn listen(path: &Path, neighbours: Neighbours) -> io::Result<LocalSocket> {
    if neighbours == Neighbours::Refused && std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    // Bound in a folder that is ours alone and moved when its permissions are right, over whatever is left there.
    let private = tempfile::Builder::new().prefix(".fg").tempdir_in(folder)?;
    let hidden = private.path().join("s");
    let socket = UnixListener::bind(&hidden)?;
    fs::set_permissions(&hidden, Permissions::from_mode(0o600))?;
    fs::rename(&hidden, path)?;
    let inode = fs::metadata(path)?.ino();
    Ok(LocalSocket { socket, path: path.to_owned(), inode })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_is_private_replaces_a_stale_one_and_goes_with_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("foregate.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let bound = bind_local(&path, Neighbours::Refused).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let taken = bind_local(&path, Neighbours::Refused).unwrap_err();
        assert!(taken.to_string().contains("another foregate listens there"), "{taken}");
        let successor = bind_local(&path, Neighbours::Welcome).unwrap();
        drop(bound);
        assert!(path.exists(), "it is the successor's");
        drop(successor);
        assert!(!path.exists());
        let nowhere = bind_local(Path::new("/nowhere/at/all.sock"), Neighbours::Refused).unwrap_err();
        assert!(nowhere.to_string().contains("its folder must exist"), "{nowhere}");
    }
}
