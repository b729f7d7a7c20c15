//! What can be done for the processes of a stage with POSIX alone.

use std::ffi::CStr;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl, open};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::stat::Mode;

/// Where `/dev/fd` shows no descriptors, so many numbers are tried.
const MOST_TRIED: libc::rlim_t = 65_536;

/// Closes what the stage has inherited.
pub fn close_inherited() {
    for number in open_from(3) {
        // SAFETY: this process has opened no descriptor above 2 that it keeps, so none that something here owns is closed.
        unsafe { libc::close(number) };
    }
}

/// Marks all descriptors from this one on to be closed when a program is executed.
pub fn close_on_exec_from(first: u32) {
    for number in open_from(first as RawFd) {
        // SAFETY: borrowed for this call only. If it is not open the call says so.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        let _ = fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
    }
}

/// The numbers of open descriptors, and perhaps of some that are not open.
fn open_from(first: RawFd) -> Vec<RawFd> {
    let listed: Vec<RawFd> = fs::read_dir("/dev/fd")
        .map(|entries| entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
        .unwrap_or_default();
    // The descriptor by which the folder was read is among them; without it there is no such folder.
    if listed.iter().any(|number| *number > 2) {
        return listed.into_iter().filter(|number| *number >= first).collect();
    }
    let most = getrlimit(Resource::RLIMIT_NOFILE).map_or(MOST_TRIED, |(soft, _)| soft.min(MOST_TRIED));
    (first..most as RawFd).collect()
}

/// Nothing kills a process here when its parent ends: each has a lifeline that it watches, or an end in sight.
pub fn die_with_parent() {}

/// Nothing has to be hidden: the descriptors of a process are not files here.
pub fn hide_from_debuggers() {}

/// Orphans are handed to the first process of the machine; those of a stage are known by other signs.
pub fn adopt_orphans() {}

/// The process that orphans are handed to.
pub fn adopter() -> i32 {
    1
}

/// There are no capabilities to be lost.
pub fn drop_privileges() {}

/// Opens the other end of a terminal.
pub fn slave_of(master: &impl AsRawFd) -> nix::Result<OwnedFd> {
    // SAFETY: the player has one thread, and the name is used before the next call could change it.
    let name = unsafe { libc::ptsname(master.as_raw_fd()) };
    if name.is_null() {
        return Err(Errno::last());
    }
    // SAFETY: not null, so a string that ends with a NUL byte.
    let name = unsafe { CStr::from_ptr(name) };
    open(name, OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC, Mode::empty())
}

/// Has a socket announce segments of this size in its handshake, before it listens or connects (UNPv1 §7.9).
#[cfg(target_os = "macos")]
pub fn announce_segments(descriptor: &OwnedFd, size: u32) -> nix::Result<()> {
    nix::sys::socket::setsockopt(descriptor, nix::sys::socket::sockopt::TcpMaxSeg, &size)
}

/// Nothing is played on the other systems.
#[cfg(not(target_os = "macos"))]
pub fn announce_segments(_: &OwnedFd, _: u32) -> nix::Result<()> {
    Err(Errno::ENOSYS)
}

/// The receive buffer alone sets the window here.
pub fn allow_window(_: &impl AsFd, _: usize) -> nix::Result<()> {
    Ok(())
}

/// Waits until what was written to a terminal's master can be read at the other end: nothing here relies on that.
pub fn deliver_input(_: &impl AsRawFd) {}
