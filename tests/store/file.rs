//! The file of sessions: what it keeps, and what it says when it cannot be used.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use foregate::base::clock::Clock;
use foregate::base::random::Random;
use foregate::config::{self, StoreUrl};
use foregate::store::{self, FileError, OpenError};

use super::{AMPLE, Sample, open_file, record, touch};

fn config(path: &Path) -> config::Store {
    super::config(StoreUrl::File(path.to_owned()), AMPLE, AMPLE)
}

/// Why the file at `path` cannot be opened.
fn refusal(path: &Path) -> FileError {
    of_file(store::open(&config(path), Clock::system(), Random::system(), None).unwrap_err())
}

fn of_file(error: OpenError) -> FileError {
    match error {
        OpenError::File(error) => error,
        OpenError::Tls(error) => panic!("a file needs no TLS: {error}"),
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn what_was_done_is_there_when_the_file_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.redb");
    let (used, removed) = (Sample::new(1), Sample::new(2));
    let store = open_file(&path);
    for sample in [&used, &removed] {
        store.create(&sample.session()).await.unwrap();
    }
    assert!(store.remove(&removed.handle, &removed.account).await.unwrap().existed);
    assert!(store.touch(&used.handle, touch(1_700_000_060, used.ends_at)).await.unwrap());
    drop(store);
    let store = open_file(&path);
    assert_eq!(store.load(&used.handle).await.unwrap().record, Some(record(1_700_000_060, 1)));
    assert_eq!(store.load(&removed.handle).await.unwrap().record, None);
}

#[tokio::test]
async fn a_file_and_its_folder_are_made_for_the_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/sessions.redb");
    let _store = open_file(&path);
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    let files: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
    assert_eq!(files.len(), 1, "{files:?}");
}

#[tokio::test]
async fn a_file_serves_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.redb");
    let store = open_file(&path);
    let refused = refusal(&path);
    assert!(matches!(refused, FileError::InUse { .. }), "{refused:?}");
    let told = refused.to_string();
    assert!(told.contains(path.to_str().unwrap()) && told.contains("another foregate"), "{told}");
    assert!(told.contains("redis://"), "the way out is told: {told}");
    drop(store);
    open_file(&path);
}

#[tokio::test]
async fn a_damaged_file_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.redb");
    let store = open_file(&path);
    for n in 0..200 {
        store.create(&Sample::new(n).session()).await.unwrap();
    }
    drop(store);
    let whole = fs::read(&path).unwrap();
    let mut damaged = vec![b"{\"sessions\": []}".to_vec(), Vec::new(), vec![0; whole.len()]];
    damaged.extend([1, 2, 3].map(|part| whole[..whole.len() * part / 4].to_vec()));
    damaged.push(whole.iter().map(|byte| byte.rotate_left(1)).collect());
    for bytes in damaged {
        fs::write(&path, &bytes).unwrap();
        let refused = refusal(&path);
        assert!(matches!(refused, FileError::Damaged { .. }), "{refused:?}");
        let told = refused.to_string();
        assert!(told.contains(path.to_str().unwrap()) && told.contains("move it away"), "{told}");
        assert_eq!(fs::read(&path).unwrap().len(), bytes.len(), "it is left as it is");
    }
}

/// Whatever byte is changed: the file is refused, or what it says is still right.
#[tokio::test]
async fn a_changed_byte_is_noticed_or_means_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.redb");
    let store = open_file(&path);
    for n in 0..100 {
        store.create(&Sample::new(n).session()).await.unwrap();
    }
    drop(store);
    let whole = fs::read(&path).unwrap();
    let header = (0..512).step_by(3);
    for at in header.chain((512..whole.len()).step_by(1031)) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x20;
        fs::write(&path, &bytes).unwrap();
        match store::open(&config(&path), Clock::system(), Random::system(), None) {
            Err(refused) => {
                assert!(matches!(of_file(refused), FileError::Damaged { .. }), "byte {at}");
            }
            Ok(store) => {
                for n in 0..100 {
                    let sample = Sample::new(n);
                    assert_eq!(
                        store.load(&sample.handle).await.unwrap().record,
                        Some(sample.record),
                        "byte {at}"
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let no_folder = folder.path().join("file");
    fs::write(&no_folder, "").unwrap();
    for path in [no_folder.join("sessions.redb"), folder.path().to_owned(), "/proc/none/sessions.redb".into()]
    {
        let refused = refusal(&path);
        assert!(matches!(refused, FileError::Unusable { .. }), "{refused:?}");
        assert!(refused.to_string().contains(path.to_str().unwrap()), "{refused}");
        assert!(store::check(&config(&path)).is_err(), "{}", path.display());
    }
}

#[tokio::test]
async fn a_check_makes_nothing_and_locks_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/sessions.redb");
    store::check(&config(&path)).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let _store = open_file(&path);
    store::check(&config(&path)).unwrap();
}
