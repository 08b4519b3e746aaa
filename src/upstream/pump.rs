//! One direction of a tunnel.

use std::io;
use std::ops::Range;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::progress::Progress;
use crate::http::websocket::Frames;
use crate::session::Uses;

/// All that is ever held back for a receiver that is slower than its sender.
const BUFFER: usize = 16 * 1024;

/// Copies bytes from one end to the other, and knows where a frame ends.
pub(super) struct Pump<R, W> {
    from: R,
    to: W,
    buffer: Box<[u8]>,
    unwritten: Range<usize>,
    frames: Frames,
    progress: Progress,
    phase: Phase,
    uses: Option<Uses>,
}

#[derive(PartialEq, Eq)]
enum Phase {
    Open,
    Ended,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Pump<R, W> {
    pub(super) fn new(from: R, to: W, progress: Progress) -> Self {
        let buffer = vec![0; BUFFER].into_boxed_slice();
        Self {
            from,
            to,
            buffer,
            unwritten: 0..0,
            frames: Frames::default(),
            progress,
            phase: Phase::Open,
            uses: None,
        }
    }

    /// Data that passes from now on is a use of a session.
    pub(super) fn noting(self, uses: Option<Uses>) -> Self {
        Self { uses, ..self }
    }

    /// Copies to the end and passes that on as well; the other direction goes on without this one. May be
    /// dropped at any time: nothing is lost, and [`Pump::close`] goes on from there.
    pub(super) async fn run(&mut self) -> io::Result<()> {
        while self.fill().await? {
            while !self.unwritten.is_empty() {
                self.write(self.unwritten.len()).await?;
            }
            self.to.flush().await?;
        }
        self.end().await
    }

    /// Copies the rest of the frame under way, and ends with `last`.
    pub(super) async fn close(&mut self, last: &[u8]) -> io::Result<()> {
        if self.phase == Phase::Ended {
            return Ok(());
        }
        while !self.frames.at_edge() && self.fill().await? {
            let mut ahead = self.frames;
            let rest = ahead.step(&self.buffer[self.unwritten.clone()]);
            self.write(rest).await?;
        }
        if self.frames.at_edge() {
            self.to.write_all(last).await?;
        }
        self.end().await
    }

    /// Reads what still comes, and forgets it.
    pub(super) async fn drain(&mut self) -> io::Result<()> {
        while self.from.read(&mut self.buffer).await? > 0 {}
        Ok(())
    }

    /// Sees to it that there is something to write; `false` at the end.
    async fn fill(&mut self) -> io::Result<bool> {
        if self.unwritten.is_empty() {
            let length = self.from.read(&mut self.buffer).await?;
            self.progress.note();
            self.unwritten = 0..length;
        }
        Ok(!self.unwritten.is_empty())
    }

    /// Writes some of the next `most` bytes.
    async fn write(&mut self, most: usize) -> io::Result<()> {
        let start = self.unwritten.start;
        let written = self.to.write(&self.buffer[start..start + most]).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.progress.note();
        self.frames.pass(&self.buffer[start..start + written]);
        self.unwritten.start += written;
        if let Some(uses) = &mut self.uses
            && self.frames.take_data()
        {
            uses.note();
        }
        Ok(())
    }

    async fn end(&mut self) -> io::Result<()> {
        self.phase = Phase::Ended;
        self.to.shutdown().await
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::DuplexStream;

    use super::*;

    fn pump(size: usize) -> (DuplexStream, Pump<DuplexStream, DuplexStream>, DuplexStream) {
        let ((sender, from), (to, receiver)) = (tokio::io::duplex(size), tokio::io::duplex(size));
        (sender, Pump::new(from, to, Progress::start()), receiver)
    }

    #[tokio::test]
    async fn a_close_frame_stands_at_the_edge_of_a_frame() {
        for (sent, expected) in [
            (b"\x81\x03abc".as_slice(), b"\x81\x03abcCLOSE".as_slice()),
            (b"\x81\x03a", b"\x81\x03abcCLOSE"),
            (b"\x81", b"\x81\x03abcCLOSE"),
            (b"", b"CLOSE"),
        ] {
            let (mut sender, mut pump, mut receiver) = pump(64);
            sender.write_all(sent).await.unwrap();
            tokio::select! {
                biased;
                _ = pump.run() => panic!("nothing has ended"),
                () = tokio::task::yield_now() => {}
            }
            let rest = &b"\x81\x03abc\x81\x03xyz"[sent.len()..];
            sender.write_all(rest).await.unwrap();
            pump.close(b"CLOSE").await.unwrap();
            let mut all = Vec::new();
            receiver.read_to_end(&mut all).await.unwrap();
            assert_eq!(all, expected, "after {sent:?}");
        }
    }

    #[tokio::test]
    async fn a_receiver_that_does_not_read_holds_the_sender_back() {
        let (mut sender, mut pump, mut receiver) = pump(1024);
        let mut accepted = 0;
        let sending = async {
            loop {
                accepted += sender.write(&[0; 512]).await.unwrap();
            }
        };
        let patience = std::time::Duration::from_millis(200);
        tokio::select! {
            () = sending => {}
            _ = pump.run() => {}
            () = tokio::time::sleep(patience) => {}
        }
        assert!(accepted <= BUFFER + 2 * 1024, "{accepted} bytes are held");
        drop(sender);
        let mut all = Vec::new();
        let (copied, read) = tokio::join!(pump.run(), receiver.read_to_end(&mut all));
        copied.unwrap();
        assert_eq!((read.unwrap(), all.len()), (accepted, accepted));
    }
}
