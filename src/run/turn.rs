//! Turns on a port of the machine's own network, where two runs at a time would take each other's servers for their own.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);
/// A wait that takes longer is told.
const TOLD_AFTER: Duration = Duration::from_secs(1);

/// A run's turn on a port; over when it is dropped, or its process ends.
#[derive(Debug)]
pub struct Turn {
    _locked: Option<Flock<File>>,
}

impl Turn {
    /// Waits until no other forkspec of this machine plays on the port, or until the run is interrupted. `told` is called
    /// once if that takes a second. Where no lock can be had there is none.
    pub fn on(port: u16, interrupted: &AtomicBool, told: fn(u16)) -> Turn {
        let path = std::env::temp_dir().join(format!("forkspec-port-{port}.lock"));
        let Ok(mut file) = open(&path) else { return Turn { _locked: None } };
        let since = Instant::now();
        let mut told = Some(told);
        loop {
            file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(locked) => return Turn { _locked: Some(locked) },
                Err((file, Errno::EWOULDBLOCK)) if !interrupted.load(Ordering::Relaxed) => file,
                Err(_) => return Turn { _locked: None },
            };
            std::thread::sleep(PAUSE);
            if since.elapsed() > TOLD_AFTER
                && let Some(told) = told.take()
            {
                told(port);
            }
        }
    }
}

/// Another user may have made the file: to read it is enough.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => options.write(true).create(true).open(path),
        opened => opened,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A port of its own for each test.
    fn turn(port: u16, interrupted: bool) -> Turn {
        Turn::on(port, &AtomicBool::new(interrupted), |_| {})
    }

    #[test]
    fn one_run_at_a_time_plays_on_a_port() {
        let first = turn(1, false);
        assert!(first._locked.is_some());
        assert!(turn(2, true)._locked.is_some(), "another port is free");
        assert!(turn(1, true)._locked.is_none(), "who is interrupted waits no longer");
        let second = std::thread::spawn(|| (turn(1, false)._locked.is_some(), Instant::now()));
        let before = Instant::now();
        drop(first);
        let (has_it, since) = second.join().expect("it does not panic");
        assert!(has_it && since >= before, "the second waits for the first");
    }
}
