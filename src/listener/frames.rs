//! The frames of an HTTP/2 connection, counted: a client may say so much, and more where it is sent something, but not for
//! ever what asks for nothing (security.md, DS-5). The library answers every such frame and counts none. Of requests that
//! are given up as soon as they are made, those that come together are refused together, before any work is done for them.

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
    /// It begins a message, or ends one.
    Head,
    /// It carries more of a message.
    Content,
    /// It gives a request up.
    GivesUp,
    /// Anything else: a ping, a setting, a window, a priority, what nobody knows, and frames of a message with nothing in
    /// them.
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
        const RST_STREAM: u8 = 3;
        const CONTINUATION: u8 = 9;
        const END: u8 = 1;
        let (kind, ends) = (self.head[3], self.head[4] & END != 0);
        match kind {
            HEADERS if self.left > 0 || ends => Purpose::Head,
            DATA if self.left > 0 || ends => Purpose::Content,
            CONTINUATION if self.left > 0 => Purpose::Content,
            RST_STREAM => Purpose::GivesUp,
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

/// How many requests a client may give up before they are answered. Which are, nobody tells here: of those that are given
/// up as many may be answered as there were answers, and as there are streams at a time.
#[derive(Debug)]
struct Patience {
    limits: ResetLimits,
    left: u32,
    /// The last second that it was renewed for.
    second: u64,
    answered: u32,
}

/// Bounds on resets.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResetLimits {
    /// Requests that are given up before they are answered, a second.
    pub(super) each_second: u32,
    /// Requests that are under way at a time.
    pub(super) streams: u32,
}

impl Patience {
    fn new(limits: ResetLimits) -> Self {
        Self { limits, left: limits.each_second, second: 0, answered: 0 }
    }

    fn answer(&mut self) {
        self.answered = (self.answered + 1).min(self.limits.streams);
    }

    /// Whether one more may be given up, so many seconds after the beginning.
    fn spend(&mut self, second: u64) -> bool {
        if let Some(answered) = self.answered.checked_sub(1) {
            self.answered = answered;
            return true;
        }
        if second != self.second {
            (self.second, self.left) = (second, self.limits.each_second);
        }
        let left = self.left.checked_sub(1);
        self.left = left.unwrap_or(0);
        left.is_some()
    }
}

/// A connection that breaks where its client talks too much, or gives up too much.
#[derive(Debug)]
pub(super) struct Policed<S> {
    stream: S,
    theirs: Frames,
    ours: Frames,
    budget: Budget,
    patience: Patience,
}

impl<S> Policed<S> {
    pub(super) fn new(stream: S, limits: ResetLimits) -> Self {
        let (theirs, ours) = (Frames::after(PREFACE), Frames::default());
        Self { stream, theirs, ours, budget: Budget::new(), patience: Patience::new(limits) }
    }

    fn came(&mut self, bytes: &[u8]) -> io::Result<()> {
        let second = self.budget.started.elapsed().as_secs();
        let (budget, patience, mut within) = (&mut self.budget, &mut self.patience, true);
        self.theirs.follow(bytes, |purpose| {
            within &= match purpose {
                Purpose::Head | Purpose::Content => true,
                Purpose::GivesUp => budget.spend(second) && patience.spend(second),
                Purpose::Talk => budget.spend(second),
            };
        });
        if within { Ok(()) } else { Err(io::Error::other("a flood of frames that ask for nothing")) }
    }

    fn went(&mut self, bytes: &[u8]) {
        let (budget, patience) = (&mut self.budget, &mut self.patience);
        self.ours.follow(bytes, |purpose| match purpose {
            Purpose::Head => {
                budget.raise(FOR_EACH_OF_OURS);
                patience.answer();
            }
            Purpose::Content => budget.raise(FOR_EACH_OF_OURS),
            Purpose::GivesUp | Purpose::Talk => {}
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
        use Purpose::{Content, GivesUp, Head, Talk};
        let frames = [
            (frame(4, 0, &[0; 6]), Talk),
            (frame(1, 4, b"block"), Head),
            (frame(0, 0, b"\0\0\0\x04\0\0\0\0\0"), Content),
            (frame(3, 0, &[0; 4]), GivesUp),
            (frame(0, 0, b""), Talk),
            (frame(0, 1, b""), Content),
            (frame(6, 0, &[0; 8]), Talk),
            (frame(9, 0, b""), Talk),
            (frame(9, 4, b"rest"), Content),
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

    const LIMITS: ResetLimits = ResetLimits { each_second: 5, streams: 3 };

    #[test]
    fn so_many_requests_are_given_up_in_a_second_and_as_many_more_as_were_answered() {
        let mut patience = Patience::new(LIMITS);
        let mut given_up = |second| (0..100).filter(|_| patience.spend(second)).count();
        assert_eq!((given_up(0), given_up(0), given_up(7)), (5, 0, 5));
        (0..2).for_each(|_| patience.answer());
        assert_eq!((0..100).filter(|_| patience.spend(7)).count(), 2);
        (0..100).for_each(|_| patience.answer());
        assert_eq!((0..100).filter(|_| patience.spend(8)).count(), 5 + 3, "no more are under way at a time");
    }

    #[test]
    fn what_gives_up_too_much_is_refused_as_a_whole() {
        let mut connection = Policed::new((), LIMITS);
        connection.came(&[b'P'; PREFACE]).unwrap();
        let pair = [frame(1, 5, b"block"), frame(3, 0, &[0; 4])].concat();
        connection.came(&pair.repeat(5)).unwrap();
        connection.went(&frame(1, 4, b"block"));
        connection.came(&pair).unwrap();
        assert!(connection.came(&pair).is_err());
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
        let mut connection = Policed::new((), LIMITS);
        connection.came(&[b'P'; PREFACE]).unwrap();
        let (event, window) = (frame(0, 0, b"data: 1\n\n"), frame(8, 0, &[0, 0, 0, 9]));
        for _ in 0..50_000 {
            connection.went(&event);
            connection.came(&[window.clone(), window.clone()].concat()).unwrap();
        }
        assert!((0..50_000).any(|_| connection.came(&window).is_err()));
    }
}
