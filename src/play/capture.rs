//! Bytes that came in and were not asked for yet: bounded, whatever a program prints.

use crate::scenario::show;

/// How many more unread bytes are kept than the runner has sent and typed. An echo is no longer than what is echoed; the
/// rest is for messages. What comes beyond is read, so that the writer need not wait, and dropped.
pub const SPARE: usize = 1 << 20;
/// How many more bytes are read at all: a flood that has no end is left to stand.
const FLOOD: usize = 16 << 20;

/// What came from a peer's socket or from a program.
#[derive(Debug, Default)]
pub struct Capture {
    bytes: Vec<u8>,
    allowed: usize,
    received: usize,
    dropped: usize,
    taken: usize,
    /// Nothing more can come.
    pub ended: bool,
}

/// How what came compares with what is expected next.
#[derive(Debug, PartialEq, Eq)]
pub enum Comparison {
    /// It is there.
    There,
    /// Its beginning is there, or nothing.
    Short(String),
    /// Something else came.
    Different(String),
}

impl Capture {
    /// Lets it keep what the runner has sent so far, in bytes, and a little more.
    pub fn allow(&mut self, sent: usize) {
        self.allowed = sent;
    }

    /// The most bytes that are kept unread.
    pub fn most(&self) -> usize {
        self.allowed + SPARE
    }

    /// Whether more is read.
    pub fn has_room(&self) -> bool {
        self.received < self.allowed + FLOOD
    }

    /// Whether something was dropped.
    pub fn is_cut(&self) -> bool {
        self.dropped > 0
    }

    /// Takes in bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.taken > SPARE {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        let room = self.most().saturating_sub(self.unread().len()).min(bytes.len());
        self.received += bytes.len();
        self.dropped += bytes.len() - room;
        self.bytes.extend_from_slice(&bytes[..room]);
    }

    /// How many bytes have come in all.
    pub fn received(&self) -> usize {
        self.received
    }

    /// What came and was not asked for yet.
    pub fn unread(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    /// Whether what came is the beginning of what is expected. Of much that is still coming only the last part is
    /// compared at each look; all of it is when it is complete or cannot become so.
    fn is_beginning_of(&self, expected: &[u8]) -> bool {
        const LATELY: usize = 256 << 10;
        let unread = self.unread();
        let from = if self.ended { 0 } else { unread.len().saturating_sub(LATELY) };
        expected.get(from..unread.len()).is_some_and(|part| part == &unread[from..])
    }

    /// Everything that is still kept, asked for or not.
    pub fn kept(&self) -> &[u8] {
        &self.bytes
    }

    /// Takes expected bytes out if they are there.
    pub fn take(&mut self, expected: &[u8]) -> Comparison {
        let unread = self.unread();
        if unread.len() >= expected.len() && unread.starts_with(expected) {
            self.taken += expected.len();
            return Comparison::There;
        }
        if self.is_beginning_of(expected) {
            return Comparison::Short(match unread.len() {
                0 => "nothing".to_owned(),
                some if expected.len() > 64 => format!("the first {some} of {} bytes", expected.len()),
                _ => format!("only {}", show(unread)),
            });
        }
        let same = unread.iter().zip(expected).take_while(|(came, wanted)| came == wanted).count();
        let place = match same {
            0 => String::new(),
            _ => format!(", different from byte {} on", same + 1),
        };
        // Near the difference, so that it is in sight.
        let from = if expected.len() > 64 { same.saturating_sub(16) } else { 0 };
        let lead = if from > 0 { format!("({from} bytes as expected left out) ") } else { String::new() };
        Comparison::Different(format!("{lead}{}{place}", show(&unread[from..])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_taken_in_order_and_only_once() {
        let mut capture = Capture::default();
        capture.push(b"one\ntwo\n");
        assert_eq!(capture.take(b"one\n"), Comparison::There);
        assert_eq!(capture.take(b"two\nthree\n"), Comparison::Short("only \"two\\n\"".into()));
        assert!(matches!(capture.take(b"one\n"), Comparison::Different(_)));
        assert_eq!(capture.take(b"two\n"), Comparison::There);
        assert!(capture.unread().is_empty());
    }

    #[test]
    fn there_is_an_end_to_what_is_kept() {
        let mut capture = Capture::default();
        capture.push(&[b'x'; SPARE]);
        assert!(!capture.is_cut());
        while capture.has_room() {
            capture.push(&[b'x'; SPARE / 4]);
        }
        assert_eq!(capture.unread().len(), SPARE);
        assert!(capture.is_cut());
        capture.allow(1);
        assert!(capture.has_room());
    }
}
