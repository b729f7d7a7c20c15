//! Bytes on their way out: to a peer's socket or a program's standard input.

use std::collections::VecDeque;
use std::sync::Arc;

use nix::errno::Errno;

/// What is still to be written.
#[derive(Debug, Default)]
pub struct Outbox {
    pieces: VecDeque<Arc<Vec<u8>>>,
    /// How much of the first piece was written.
    written: usize,
    /// How much is still to be written,
    left: usize,
    /// and of how much, since there was nothing to be written.
    all: usize,
    /// Bytes that were ever queued by a step.
    pub total: usize,
}

impl Outbox {
    /// Adds to what is to be written.
    pub fn queue(&mut self, bytes: &Arc<Vec<u8>>) {
        self.send_back(bytes.clone());
        self.total += bytes.len();
    }

    /// Adds an echo: what came from the other side does not count as sent by a step.
    pub fn send_back(&mut self, bytes: Arc<Vec<u8>>) {
        if self.is_empty() {
            self.clear();
        }
        self.left += bytes.len();
        self.all += bytes.len();
        self.pieces.push_back(bytes);
    }

    /// Whether all is with the kernel.
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// How much is still to be written, and of how much.
    pub fn left(&self) -> (usize, usize) {
        (self.left, self.all)
    }

    /// Gives up what is left.
    pub fn clear(&mut self) {
        self.pieces.clear();
        (self.written, self.left, self.all) = (0, 0, 0);
    }

    /// Writes what can be without waiting. Returns whether anything was written; an error means that nobody will ever
    /// read the rest.
    pub fn write(&mut self, mut write: impl FnMut(&[u8]) -> nix::Result<usize>) -> nix::Result<bool> {
        let before = self.left;
        while let Some(piece) = self.pieces.front() {
            if self.written == piece.len() {
                self.pieces.pop_front();
                self.written = 0;
                continue;
            }
            match write(&piece[self.written..]) {
                Ok(count) => {
                    self.written += count;
                    self.left -= count;
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break,
                Err(errno) => return Err(errno),
            }
        }
        Ok(self.left < before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_writes_and_interruptions_lose_nothing() {
        let mut outbox = Outbox::default();
        let text = |text: &str| Arc::new(text.as_bytes().to_vec());
        outbox.queue(&text("hello, "));
        outbox.queue(&text("world"));
        assert_eq!(outbox.left(), (12, 12));
        let mut written = Vec::new();
        let mut turn = 0;
        while !outbox.is_empty() {
            let moved = outbox.write(|bytes| {
                turn += 1;
                match turn % 3 {
                    0 => Err(Errno::EAGAIN),
                    1 => Err(Errno::EINTR),
                    _ => {
                        written.extend_from_slice(&bytes[..bytes.len().min(5)]);
                        Ok(bytes.len().min(5))
                    }
                }
            });
            assert!(moved.is_ok());
        }
        assert_eq!(written, b"hello, world");
        assert_eq!(outbox.write(|_| Err(Errno::EPIPE)), Ok(false), "nothing is left to write");
        outbox.queue(&text("more"));
        assert_eq!((outbox.left(), outbox.total), ((4, 4), 16));
        assert_eq!(outbox.write(|_| Err(Errno::EPIPE)), Err(Errno::EPIPE));
    }
}
