//! Descriptors of processes (pidfd_open(2)): they tell of an end even when the parent has reaped it.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::observe::End;

/// A process, for as long as this value lives: its number cannot come to mean another one.
#[derive(Debug)]
pub struct PidFd {
    descriptor: OwnedFd,
}

/// struct pidfd_info as of Linux 6.15 (linux/pidfd.h), the first 64 bytes.
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup: u64,
    ids: [u32; 11],
    exit_code: i32,
}

/// PIDFD_GET_INFO: _IOWR(0xFF, 11, 64 bytes)
const PIDFD_GET_INFO: u64 = 3 << 30 | (size_of::<PidfdInfo>() as u64) << 16 | 0xff << 8 | 11;
const PIDFD_INFO_EXIT: u64 = 1 << 3;

impl PidFd {
    /// Opens a process by its id.
    pub fn open(pid: i32) -> io::Result<PidFd> {
        PidFd::open_with(pid, 0)
    }

    /// Opens a thread by its id (Linux 6.9): the descriptors of its process can be had when the main thread has ended.
    pub fn of_thread(task: i32) -> io::Result<PidFd> {
        PidFd::open_with(task, libc::PIDFD_THREAD)
    }

    fn open_with(id: i32, flags: u32) -> io::Result<PidFd> {
        // SAFETY: pidfd_open takes two integers and returns a new descriptor or -1.
        let number = unsafe { libc::syscall(libc::SYS_pidfd_open, id, flags) };
        if number < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor for us; nobody else owns it. It is close-on-exec.
        Ok(PidFd { descriptor: unsafe { OwnedFd::from_raw_fd(number as RawFd) } })
    }

    /// Whether the process has ended, reaped or not.
    pub fn has_ended(&self) -> bool {
        let mut fds = [PollFd::new(self.descriptor.as_fd(), PollFlags::POLLIN)];
        matches!(poll(&mut fds, PollTimeout::ZERO), Ok(1..))
    }

    /// How it ended, once it has been reaped; `None` before, or where the kernel (below 6.15) does not tell.
    pub fn end(&self) -> Option<End> {
        let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..PidfdInfo::default() };
        // SAFETY: the request's size is that of `info`, which the kernel fills in and does not keep.
        let result = unsafe { libc::ioctl(self.descriptor.as_raw_fd(), PIDFD_GET_INFO as _, &raw mut info) };
        (result == 0 && info.mask & PIDFD_INFO_EXIT != 0).then(|| End::from_wait_status(info.exit_code))
    }

    /// A copy of one of the process's own descriptors (pidfd_getfd(2)).
    pub fn descriptor(&self, number: i32) -> io::Result<OwnedFd> {
        // SAFETY: pidfd_getfd takes three integers and returns a new descriptor or -1.
        let copy = unsafe { libc::syscall(libc::SYS_pidfd_getfd, self.descriptor.as_raw_fd(), number, 0) };
        if copy < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
        Ok(unsafe { OwnedFd::from_raw_fd(copy as RawFd) })
    }
}

impl AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
