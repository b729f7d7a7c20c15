//! Bytes that a scenario sends, types or expects, written as text, as hexadecimal or as a count.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Bytes, as a scenario states them; made when they are first wanted, and then kept.
#[derive(Debug, Clone)]
pub struct Payload {
    form: Form,
    made: OnceLock<Arc<Vec<u8>>>,
}

/// Long payloads that were made already: what is sent is mostly what is expected back.
static MADE: Mutex<Vec<(Form, Arc<Vec<u8>>)>> = Mutex::new(Vec::new());

/// How a scenario states bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// The bytes themselves.
    Bytes(Vec<u8>),
    /// So many bytes of a fixed sequence in which all 256 values occur and no two stretches are alike.
    Pattern(usize),
    /// So many numbered lines, `line 1`, `line 2`, …, each filled up to so many bytes.
    Lines(usize, usize),
}

impl From<Form> for Payload {
    fn from(form: Form) -> Payload {
        Payload { form, made: OnceLock::new() }
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Payload) -> bool {
        self.form == other.form
    }
}

/// The most bytes that one payload may have: 64 MiB.
pub const LARGEST: usize = 64 << 20;

impl Payload {
    /// The bytes. Equal payloads share them: there can be very many.
    pub fn bytes(&self) -> &Arc<Vec<u8>> {
        self.made.get_or_init(|| match &self.form {
            Form::Bytes(bytes) => Arc::new(bytes.clone()),
            Form::Pattern(length) => self.form.once(|| pattern(*length)),
            Form::Lines(count, width) => self.form.once(|| lines(*count, *width)),
        })
    }

    /// How many bytes there are, about: lines are counted without being made.
    pub fn len(&self) -> usize {
        match &self.form {
            Form::Bytes(bytes) => bytes.len(),
            Form::Pattern(length) => *length,
            Form::Lines(count, width) => count * "line 1000\n".len().max(*width),
        }
    }

    /// Whether there are no bytes: as an expectation, that nothing comes.
    pub fn is_empty(&self) -> bool {
        match &self.form {
            Form::Bytes(bytes) => bytes.is_empty(),
            Form::Pattern(count) | Form::Lines(count, _) => *count == 0,
        }
    }

    /// What it is, in a few words.
    pub fn describe(&self) -> String {
        match &self.form {
            Form::Bytes(bytes) => show(bytes),
            Form::Pattern(length) => format!("{length} bytes, as they were sent"),
            Form::Lines(count, 0) => format!("{count} numbered lines"),
            Form::Lines(count, width) => format!("{count} numbered lines of {width} bytes"),
        }
    }
}

impl Form {
    /// The bytes that were made of it before, or else now.
    fn once(&self, make: impl FnOnce() -> Vec<u8>) -> Arc<Vec<u8>> {
        let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bytes)) = made.iter().find(|(form, _)| form == self) {
            return bytes.clone();
        }
        let bytes = Arc::new(make());
        made.push((self.clone(), bytes.clone()));
        bytes
    }
}

/// `line 1`, `line 2`, …: the number is counted up in place, because a million of them are wanted in no time.
fn lines(count: usize, width: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(count * "line 1000000\n".len().max(width));
    let mut digits = vec![b'0'];
    for _ in 0..count {
        let begin = bytes.len();
        let nines = digits.iter().rev().take_while(|digit| **digit == b'9').count();
        let last = digits.len() - nines;
        digits[last..].fill(b'0');
        match last.checked_sub(1) {
            Some(place) => digits[place] += 1,
            None => digits.insert(0, b'1'),
        }
        bytes.extend_from_slice(b"line ");
        bytes.extend_from_slice(&digits);
        let filler = ", and more of it".bytes().cycle();
        bytes.extend(filler.take((begin + width).saturating_sub(bytes.len() + 1)));
        bytes.push(b'\n');
    }
    bytes
}

/// The sequence of splitmix64, eight bytes a step: cheap, and no period within 64 MiB.
fn pattern(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length.next_multiple_of(8)];
    let mut state: u64 = 0;
    for step in bytes.chunks_exact_mut(8) {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        step.copy_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Bytes as a person can read them: quoted, escaped, and cut in the middle when they are many.
pub fn show(bytes: &[u8]) -> String {
    const HEAD: usize = 48;
    const TAIL: usize = 16;
    if bytes.len() <= HEAD + TAIL {
        return format!("\"{}\"", bytes.escape_ascii()).replace("\\'", "'");
    }
    let (head, tail) = (&bytes[..HEAD], &bytes[bytes.len() - TAIL..]);
    let left_out = bytes.len() - HEAD - TAIL;
    format!("\"{}…\" ({left_out} bytes left out) \"…{}\"", head.escape_ascii(), tail.escape_ascii()).replace("\\'", "'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_has_every_byte_value_and_is_the_same_each_time() {
        let bytes = pattern(8192);
        assert_eq!(bytes.len(), 8192);
        assert!((0..=255u8).all(|value| bytes.contains(&value)));
        assert_eq!(bytes, **Payload::from(Form::Pattern(8192)).bytes());
    }

    #[test]
    fn lines_are_numbered() {
        assert_eq!(**Payload::from(Form::Lines(2, 0)).bytes(), b"line 1\nline 2\n");
        assert_eq!(**Payload::from(Form::Lines(2, 12)).bytes(), b"line 1, and\nline 2, and\n");
        let expected: String = (1..=1234).map(|number| format!("line {number}\n")).collect();
        assert_eq!(**Payload::from(Form::Lines(1234, 0)).bytes(), expected.as_bytes());
    }

    #[test]
    fn shown_bytes_are_escaped_and_bounded() {
        assert_eq!(show(b"it's\xff\n"), r#""it's\xff\n""#);
        let long = show(&[b'x'; 100_000]);
        assert!(long.len() < 200, "{long}");
        assert!(long.contains("99936 bytes"), "{long}");
    }
}
