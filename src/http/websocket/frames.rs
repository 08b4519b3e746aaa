//! Where one WebSocket frame ends and the next may begin.

/// The longest head: two bytes, a length of eight, a mask of four.
const LONGEST_HEAD: usize = 14;

/// Follows the frames of one direction (RFC 6455 §5.2). Looks at lengths and opcodes alone: what is in a frame, and
/// whether it is sound, is between the two ends.
#[derive(Clone, Copy, Debug, Default)]
pub struct Frames {
    head: [u8; LONGEST_HEAD],
    seen: usize,
    payload_left: u64,
    data: bool,
}

impl Frames {
    /// Follows `bytes` to the next edge of a frame, or to their end; returns how many that are.
    pub fn step(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while taken < bytes.len() {
            if self.payload_left == 0 {
                self.head[self.seen] = bytes[taken];
                self.seen += 1;
                taken += 1;
                self.data |= self.is_of_data();
                let Some(length) = self.payload_length() else { continue };
                (self.seen, self.payload_left) = (0, length);
            } else {
                let here = self.payload_left.min((bytes.len() - taken) as u64);
                self.payload_left -= here;
                self.data |= self.is_of_data();
                taken += usize::try_from(here).expect("no more than there are bytes");
            }
            if self.payload_left == 0 {
                break;
            }
        }
        taken
    }

    /// Follows all of `bytes`.
    pub fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = &bytes[self.step(bytes)..];
        }
    }

    /// Whether bytes of data frames have passed since this was last asked: of continuations, text and binary ones, and
    /// not of pings.
    pub fn take_data(&mut self) -> bool {
        std::mem::take(&mut self.data)
    }

    const fn is_of_data(&self) -> bool {
        self.head[0] & 0x0f <= 2
    }

    /// Whether a frame of somebody else's may come next.
    pub const fn at_edge(&self) -> bool {
        self.seen == 0 && self.payload_left == 0
    }

    /// The length of the payload, once the head is whole.
    fn payload_length(&self) -> Option<u64> {
        if self.seen < 2 {
            return None;
        }
        let short = self.head[1] & 0x7f;
        let extended = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if self.head[1] & 0x80 == 0 { 0 } else { 4 };
        if self.seen < 2 + extended + mask {
            return None;
        }
        let long = self.head[2..2 + extended].iter().fold(0, |length, byte| length << 8 | u64::from(*byte));
        Some(if extended == 0 { short.into() } else { long })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(masked: u8, length: usize) -> Vec<u8> {
        let mut frame = vec![0x82];
        match length {
            0..126 => frame.push(masked | u8::try_from(length).unwrap()),
            126..65_536 => {
                frame.push(masked | 0x7e);
                frame.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                frame.push(masked | 0x7f);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(std::iter::repeat_n(0xff, length + if masked == 0 { 0 } else { 4 }));
        frame
    }

    #[test]
    fn a_frame_ends_where_its_length_says_however_it_is_cut() {
        for masked in [0, 0x80] {
            for length in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
                let frame = frame(masked, length);
                let two = [frame.as_slice(), &frame].concat();
                for piece in [1, 2, 3, 7, 4096, two.len()] {
                    let (mut frames, mut at, mut edges) = (Frames::default(), 0, Vec::new());
                    while at < two.len() {
                        at += frames.step(&two[at..two.len().min(at + piece)]);
                        if frames.at_edge() {
                            edges.push(at);
                        }
                    }
                    assert_eq!(edges, [frame.len(), two.len()], "{length} bytes in pieces of {piece}");
                }
            }
        }
    }

    #[test]
    fn data_is_told_from_pings_pongs_and_closes() {
        for opcode in 0..16 {
            let mut frames = Frames::default();
            for byte in [0x80 | opcode, 0x81, 1, 2, 3, 4, b'x'] {
                frames.pass(&[byte]);
                assert_eq!(frames.take_data(), opcode <= 2, "opcode {opcode}");
            }
            frames.pass(&[]);
            assert!(!frames.take_data());
        }
    }

    #[test]
    fn a_length_that_nobody_can_send_is_followed_all_the_same() {
        let mut frames = Frames::default();
        frames.pass(&[0x82, 127, 255, 255, 255, 255, 255, 255, 255, 255]);
        frames.pass(&[0; 1000]);
        assert!(!frames.at_edge());
    }
}
