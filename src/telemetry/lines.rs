//! Lines on their way out: a bounded queue and one thread that writes. A slow, full or closed destination costs
//! lines, which are counted, and never blocks or breaks a request.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use crate::base::lock::lock;

/// Lines that may wait to be written.
const QUEUE: usize = 8192;

/// How long the end of the process waits for a destination that takes no more.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Where lines go. Clones share one queue.
#[derive(Clone, Debug)]
pub struct Lines(Arc<Queue>);

#[derive(Debug)]
struct Queue {
    lines: SyncSender<Message>,
    lost: Arc<AtomicU64>,
}

enum Message {
    Line(Vec<u8>),
    Reopen,
    Flush(SyncSender<()>),
}

/// Where lines end up.
trait Destination: Write + Send + 'static {
    /// Begins anew at the same place, where that is a file which somebody may have moved away.
    ///
    /// # Errors
    /// Where it cannot be opened: it goes on as it was.
    fn reopen(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Destination for io::Stderr {}
impl Destination for io::Sink {}
impl Destination for Captured {}

/// The end of a file.
struct LogFile {
    path: PathBuf,
    file: File,
}

impl LogFile {
    fn open(path: &Path) -> io::Result<File> {
        use std::os::unix::fs::OpenOptionsExt;
        OpenOptions::new().create(true).append(true).mode(0o600).open(path)
    }
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Destination for LogFile {
    fn reopen(&mut self) -> io::Result<()> {
        self.file = Self::open(&self.path)?;
        Ok(())
    }
}

impl Lines {
    /// To standard error.
    ///
    /// # Errors
    /// Where no thread can be had.
    pub fn stderr() -> io::Result<Self> {
        Self::to(io::stderr())
    }

    /// To the end of a file, made where it does not exist (0600).
    ///
    /// # Errors
    /// Where it cannot be opened, or no thread can be had.
    pub fn file(path: &Path) -> io::Result<Self> {
        Self::to(LogFile { path: path.to_owned(), file: LogFile::open(path)? })
    }

    /// To nobody.
    ///
    /// # Errors
    /// Where no thread can be had.
    pub fn nowhere() -> io::Result<Self> {
        Self::to(io::sink())
    }

    /// Into memory, for tests.
    ///
    /// # Panics
    /// Where no thread can be had.
    pub fn captured() -> (Self, Captured) {
        let captured = Captured::default();
        (Self::to(captured.clone()).expect("a thread can be had"), captured)
    }

    fn to(destination: impl Destination) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&lost);
        // It ends with its last sender; one whose destination hangs is left behind at the end of the process.
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_all(&receiver, destination, &counted))?;
        Ok(Self(Arc::new(Queue { lines: sender, lost })))
    }

    /// Queues one line, given without its newline.
    pub fn write(&self, mut line: Vec<u8>) {
        line.push(b'\n');
        if self.0.lines.try_send(Message::Line(line)).is_err() {
            self.0.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Begins anew at the same place, after all that was queued so far: whoever keeps logs may have moved the file away.
    pub fn reopen(&self) {
        if self.0.lines.try_send(Message::Reopen).is_err() {
            tracing::warn!("a log is not opened anew: its queue is full");
        }
    }

    /// Waits, for a while at most, until all that was queued is written.
    pub fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if self.0.lines.try_send(Message::Flush(done)).is_ok() {
            let _ = wait.recv_timeout(LAST_WORDS);
        }
    }
}

fn write_all(lines: &Receiver<Message>, mut destination: impl Destination, lost: &AtomicU64) {
    while let Ok(message) = lines.recv() {
        match message {
            Message::Line(line) => {
                if destination.write_all(&line).is_err() {
                    lost.fetch_add(1, Ordering::Relaxed);
                }
            }
            Message::Reopen => {
                if let Err(error) = destination.reopen() {
                    tracing::error!(%error, "a log cannot be opened anew: it goes on where it was");
                }
            }
            Message::Flush(done) => {
                let _ = destination.flush();
                let _ = done.send(());
            }
        }
        report_lost(&mut destination, lost);
    }
}

fn report_lost(destination: &mut impl Write, lost: &AtomicU64) {
    let count = lost.swap(0, Ordering::Relaxed);
    if count > 0 && writeln!(destination, "{{\"event\":\"lines_lost\",\"count\":{count}}}").is_err() {
        lost.fetch_add(count, Ordering::Relaxed);
    }
}

/// Lines that were captured in memory.
#[derive(Clone, Debug, Default)]
pub struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    /// All that was written so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&lock(&self.0)).into_owned()
    }

    /// All that was written since this was last asked.
    #[cfg(any(test, fuzzing))]
    pub fn take(&self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut *lock(&self.0))).into_owned()
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_in_order() {
        let (lines, captured) = Lines::captured();
        for line in ["one", "two"] {
            lines.write(line.into());
        }
        lines.flush();
        assert_eq!(captured.text(), "one\ntwo\n");
    }

    #[test]
    fn a_file_that_was_moved_away_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("audit.log"), folder.path().join("audit.log.1"));
        let lines = Lines::file(&path).unwrap();
        lines.write(b"one".to_vec());
        lines.flush();
        std::fs::rename(&path, &moved).unwrap();
        lines.write(b"two".to_vec());
        lines.reopen();
        lines.write(b"three".to_vec());
        lines.flush();
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "one\ntwo\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "three\n");
    }

    #[test]
    fn a_destination_that_fails_costs_lines_and_nothing_else() {
        struct Full;
        impl Destination for Full {}
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Err(io::ErrorKind::StorageFull.into())
            }
        }
        let lines = Lines::to(Full).unwrap();
        for _ in 0..3 * QUEUE {
            lines.write(b"line".to_vec());
        }
        lines.flush();
        assert!(lines.0.lost.load(Ordering::Relaxed) > 0);
    }

    #[test]
    fn lost_lines_are_counted_in_the_log_itself() {
        let (captured, lost) = (Captured::default(), AtomicU64::new(7));
        report_lost(&mut captured.clone(), &lost);
        report_lost(&mut captured.clone(), &lost);
        assert_eq!(captured.text(), "{\"event\":\"lines_lost\",\"count\":7}\n");
    }
}
