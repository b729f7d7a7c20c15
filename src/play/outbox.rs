//! Bytes on their way out: to a peer's socket or a program's standard input.

use nix::errno::Errno;

/// What is still to be written.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    written: usize,
    /// Bytes that were ever queued.
    pub total: usize,
}

impl Outbox {
    /// Adds to what is to be written.
    pub fn queue(&mut self, bytes: &[u8]) {
        if self.is_empty() {
            self.clear();
        }
        self.bytes.extend_from_slice(bytes);
        self.total += bytes.len();
    }

    /// Whether all is with the kernel.
    pub fn is_empty(&self) -> bool {
        self.written == self.bytes.len()
    }

    /// How much is still to be written, and of how much.
    pub fn left(&self) -> (usize, usize) {
        (self.bytes.len() - self.written, self.bytes.len())
    }

    /// Gives up what is left.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.written = 0;
    }

    /// Writes what can be without waiting. Returns whether anything was written; an error means that nobody will ever
    /// read the rest.
    pub fn write(&mut self, mut write: impl FnMut(&[u8]) -> nix::Result<usize>) -> nix::Result<bool> {
        let before = self.written;
        while !self.is_empty() {
            match write(&self.bytes[self.written..]) {
                Ok(count) => self.written += count,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break,
                Err(errno) => return Err(errno),
            }
        }
        Ok(self.written > before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_writes_and_interruptions_lose_nothing() {
        let mut outbox = Outbox::default();
        outbox.queue(b"hello, world");
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
        outbox.queue(b"more");
        assert_eq!(outbox.write(|_| Err(Errno::EPIPE)), Err(Errno::EPIPE));
    }
}
