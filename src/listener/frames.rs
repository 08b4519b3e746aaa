//! The frames of an HTTP/2 connection, counted: a client may say so much, and more where it is sent something, but not for
//! ever what asks for nothing (security.md, DS-5). The library answers every such frame and counts none.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::base::clock::Stopwatch;

/// What a client sends before its first frame (RFC 9113 §3.4).
const PREFACE: usize = 24;

/// The head of a frame (§4.1).
const HEAD: usize = 9;

/// Frames that ask for nothing and may come at once.
const AT_ONCE: u32 = 2_000;

/// How many more may come each second.
const EACH_SECOND: u32 = 100;

/// How many may come for each frame of an answer: windows are opened, and some clients ask how long a frame took.
const FOR_EACH_OF_OURS: u32 = 4;

/// Follows the frames of one direction.
#[derive(Debug, Default)]
struct Frames {
    head: [u8; HEAD],
    seen: usize,
    left: usize,
}

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// It carries some of a message.
    Message,
    /// Anything else: a ping, a setting, a window, a priority, a reset, what nobody knows, and frames of a message with
    /// nothing in them.
    Talk,
}

impl Frames {
    fn after(preface: usize) -> Self {
        Self { left: preface, ..Self::default() }
    }

    /// Follows `bytes`; tells of each frame that begins in them.
    fn follow(&mut self, mut bytes: &[u8], mut tell: impl FnMut(Purpose)) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let here = self.left.min(bytes.len());
                self.left -= here;
                bytes = &bytes[here..];
                continue;
            }
            self.head[self.seen] = bytes[0];
            self.seen += 1;
            bytes = &bytes[1..];
            if self.seen == HEAD {
                let [high, middle, low, ..] = self.head;
                self.left = u32::from_be_bytes([0, high, middle, low]) as usize;
                self.seen = 0;
                tell(self.purpose());
            }
        }
    }

    /// Of the frame whose head has just been seen. An end is something to say, even with nothing before it.
    fn purpose(&self) -> Purpose {
        const DATA: u8 = 0;
        const HEADERS: u8 = 1;
        const CONTINUATION: u8 = 9;
        const END: u8 = 1;
        let (kind, ends) = (self.head[3], self.head[4] & END != 0);
        match kind {
            DATA | HEADERS if self.left > 0 || ends => Purpose::Message,
            CONTINUATION if self.left > 0 => Purpose::Message,
            _ => Purpose::Talk,
        }
    }
}

/// How much more a client may talk.
#[derive(Debug)]
struct Budget {
    left: u32,
    started: Stopwatch,
    /// The last second that it was raised for.
    second: u64,
}

impl Budget {
    fn new() -> Self {
        Self { left: AT_ONCE, started: Stopwatch::start(), second: 0 }
    }

    fn raise(&mut self, by: u32) {
        self.left = self.left.saturating_add(by).min(AT_ONCE);
    }

    /// Whether so many seconds after the beginning there was something left to spend.
    fn spend(&mut self, second: u64) -> bool {
        let passed = second.saturating_sub(self.second);
        self.second = second;
        self.raise(u32::try_from(passed).unwrap_or(u32::MAX).saturating_mul(EACH_SECOND));
        let left = self.left.checked_sub(1);
        self.left = left.unwrap_or(0);
        left.is_some()
    }
}

/// A connection that breaks where its client talks too much.
#[derive(Debug)]
pub(super) struct Policed<S> {
    stream: S,
    theirs: Frames,
    ours: Frames,
    budget: Budget,
}

impl<S> Policed<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, theirs: Frames::after(PREFACE), ours: Frames::default(), budget: Budget::new() }
    }

    fn came(&mut self, bytes: &[u8]) -> io::Result<()> {
        let second = self.budget.started.elapsed().as_secs();
        let (budget, mut within) = (&mut self.budget, true);
        self.theirs.follow(bytes, |purpose| {
            within &= purpose == Purpose::Message || budget.spend(second);
        });
        if within { Ok(()) } else { Err(io::Error::other("a flood of frames that ask for nothing")) }
    }

    fn went(&mut self, bytes: &[u8]) {
        let budget = &mut self.budget;
        self.ours.follow(bytes, |purpose| {
            if purpose == Purpose::Message {
                budget.raise(FOR_EACH_OF_OURS);
            }
        });
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Policed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.came(&buffer.filled()[before..])?;
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Policed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        if let Poll::Ready(Ok(written)) = &polled {
            self.went(&bytes[..*written]);
        }
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        if let Poll::Ready(Ok(written)) = &polled {
            let mut left = *written;
            for slice in slices {
                let here = left.min(slice.len());
                self.went(&slice[..here]);
                left -= here;
            }
        }
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        [&[0, 0, length, kind, flags, 0, 0, 0, 1], payload].concat()
    }

    #[test]
    fn a_frame_is_known_by_its_head_however_the_bytes_are_cut() {
        use Purpose::{Message, Talk};
        let frames = [
            (frame(4, 0, &[0; 6]), Talk),
            (frame(1, 4, b"block"), Message),
            (frame(0, 0, b"\0\0\0\x04\0\0\0\0\0"), Message),
            (frame(0, 0, b""), Talk),
            (frame(0, 1, b""), Message),
            (frame(6, 0, &[0; 8]), Talk),
            (frame(9, 0, b""), Talk),
            (frame(9, 4, b"rest"), Message),
            (frame(200, 1, b"?"), Talk),
        ];
        let bytes =
            [vec![b'P'; PREFACE], frames.iter().flat_map(|(frame, _)| frame.clone()).collect()].concat();
        let expected: Vec<_> = frames.iter().map(|(_, purpose)| *purpose).collect();
        for size in [1, 2, 7, 9, 10, 64, bytes.len()] {
            let (mut follower, mut told) = (Frames::after(PREFACE), Vec::new());
            bytes.chunks(size).for_each(|piece| follower.follow(piece, |purpose| told.push(purpose)));
            assert_eq!(told, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn talk_is_bounded_and_time_and_answers_allow_for_more() {
        let mut budget = Budget::new();
        assert_eq!((0..100_000).filter(|_| budget.spend(0)).count(), AT_ONCE as usize);
        assert_eq!((0..1_000).filter(|_| budget.spend(3)).count(), 3 * EACH_SECOND as usize);
        budget.raise(FOR_EACH_OF_OURS);
        assert_eq!((0..1_000).filter(|_| budget.spend(3)).count(), FOR_EACH_OF_OURS as usize);
        assert_eq!((0..100_000).filter(|_| budget.spend(u64::MAX)).count(), AT_ONCE as usize);
    }

    #[test]
    fn who_opens_windows_for_what_it_is_sent_may_do_so_for_ever() {
        let mut connection = Policed::new(());
        connection.came(&[b'P'; PREFACE]).unwrap();
        let (event, window) = (frame(0, 0, b"data: 1\n\n"), frame(8, 0, &[0, 0, 0, 9]));
        for _ in 0..50_000 {
            connection.went(&event);
            connection.came(&[window.clone(), window.clone()].concat()).unwrap();
        }
        assert!((0..50_000).any(|_| connection.came(&window).is_err()));
    }
}
