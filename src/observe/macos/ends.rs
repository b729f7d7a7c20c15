//! The ends of processes, through kqueue(2).

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::{null, null_mut};

use crate::observe::End;

/// Tells of the end of a process that need not be a child.
#[derive(Debug)]
pub struct EndWatch {
    queue: OwnedFd,
    end: Cell<Option<End>>,
}

impl EndWatch {
    /// Begins to watch a process. One that has ended already cannot be watched.
    pub fn open(pid: i32) -> io::Result<EndWatch> {
        // SAFETY: takes nothing and returns a new descriptor or -1.
        let number = unsafe { libc::kqueue() };
        if number < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor for us. It is not inherited by fork.
        let queue = unsafe { OwnedFd::from_raw_fd(number) };
        let watch = EndWatch { queue, end: Cell::new(None) };
        // How it ended is told to its parent, and to who may signal it.
        watch
            .register(pid, libc::NOTE_EXIT | libc::NOTE_EXITSTATUS)
            .or_else(|_| watch.register(pid, libc::NOTE_EXIT))?;
        Ok(watch)
    }

    fn register(&self, pid: i32, what: u32) -> io::Result<()> {
        let wanted = libc::kevent {
            ident: pid as usize,
            filter: libc::EVFILT_PROC,
            flags: libc::EV_ADD,
            fflags: what,
            data: 0,
            udata: null_mut(),
        };
        // SAFETY: one change is read, and no event is written.
        let answer = unsafe { libc::kevent(self.queue.as_raw_fd(), &raw const wanted, 1, null_mut(), 0, null()) };
        if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// How it ended, once it has; `None` before.
    pub fn end(&self) -> Option<End> {
        if self.end.get().is_none() {
            self.end.set(self.fetch());
        }
        self.end.get()
    }

    fn fetch(&self) -> Option<End> {
        let mut event = libc::kevent { ident: 0, filter: 0, flags: 0, fflags: 0, data: 0, udata: null_mut() };
        let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: at most one event is written into `event`.
        let count = unsafe { libc::kevent(self.queue.as_raw_fd(), null(), 0, &raw mut event, 1, &raw const at_once) };
        let told = count == 1 && event.filter == libc::EVFILT_PROC && event.fflags & libc::NOTE_EXIT != 0;
        told.then(|| match event.fflags & libc::NOTE_EXITSTATUS {
            0 => End::Unknown,
            _ => End::from_wait_status(event.data as i32),
        })
    }
}

impl AsFd for EndWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_child_is_told_even_when_it_has_been_reaped() {
        let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let watch = EndWatch::open(child.id() as i32).unwrap();
        assert_eq!(watch.end(), None);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(watch.end(), Some(End::Signalled(9)));
        assert_eq!(watch.end(), Some(End::Signalled(9)), "it is remembered");
    }
}
