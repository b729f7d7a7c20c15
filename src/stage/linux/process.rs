//! What Linux does for the processes of a stage.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::socket::{setsockopt, sockopt};

use super::descriptors::close_from;

/// Closes what the stage has inherited.
pub fn close_inherited() {
    // SAFETY: no descriptor above 2 has been opened by this process, so none that something here owns is closed.
    unsafe { close_from(3, 0) };
}

/// Marks all descriptors from this one on to be closed when a program is executed.
pub fn close_on_exec_from(first: u32) {
    // SAFETY: marks descriptors for closing; none is closed under an owner.
    unsafe { close_from(first, libc::CLOSE_RANGE_CLOEXEC) };
}

/// Has the kernel kill this process when its parent ends.
pub fn die_with_parent() {
    let _ = prctl::set_pdeathsig(Signal::SIGKILL);
}

/// A subject of the same user must not get at our descriptors through /proc: it could forge a result.
pub fn hide_from_debuggers() {
    let _ = prctl::set_dumpable(false);
}

/// Has orphans among the descendants of this process handed to it.
pub fn adopt_orphans() {
    let _ = prctl::set_child_subreaper(true);
}

/// The process that orphans of a plain stage are handed to: the parent of the caller, which is the player.
pub fn adopter() -> i32 {
    nix::unistd::getppid().as_raw()
}

/// Lets no file that is executed give privileges (PR_SET_NO_NEW_PRIVS). Empties the bounding set, so that not even root's program has capabilities; refused without CAP_SETPCAP, and
/// then there are none to lose.
pub fn drop_privileges() {
    let _ = prctl::set_no_new_privs();
    for capability in 0..64 {
        // SAFETY: takes integers only.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } != 0 {
            break;
        }
    }
}

/// Opens the other end without a path, which another mount namespace may show as another device (TIOCGPTPEER).
pub fn slave_of(master: &impl AsRawFd) -> nix::Result<OwnedFd> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the request takes flags and returns a new descriptor or -1.
    let number = Errno::result(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) })?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Has a socket announce segments of this size in its handshake, before it listens or connects (UNPv1 §7.9).
pub fn announce_segments(descriptor: &OwnedFd, size: u32) -> nix::Result<()> {
    setsockopt(descriptor, sockopt::TcpMaxSeg, &size)
}

/// Lets a connected socket announce a receive window of up to so many bytes: what its receive buffer held when it connected
/// is the limit otherwise (tcp(7), TCP_WINDOW_CLAMP).
pub fn allow_window(socket: &impl AsFd, size: usize) -> nix::Result<()> {
    let size = libc::c_int::try_from(size).unwrap_or(libc::c_int::MAX);
    let length = size_of_val(&size) as libc::socklen_t;
    let value = (&raw const size).cast();
    let number = socket.as_fd().as_raw_fd();
    // SAFETY: the option takes an int, and `value` points to one for as long as the call lasts.
    let done = unsafe { libc::setsockopt(number, libc::IPPROTO_TCP, libc::TCP_WINDOW_CLAMP, value, length) };
    Errno::result(done).map(drop)
}

/// Waits until what was written to a terminal's master can be read at the other end. The kernel passes it on in a worker
/// of its own, which no process shows; a poll at the other end waits for that (`tty_buffer_flush_work`).
pub fn deliver_input(master: &impl AsRawFd) {
    // Nobody can read there any more, or the poll is interrupted: then there is nothing to wait for, or another look.
    let Ok(slave) = slave_of(master) else { return };
    let _ = poll(&mut [PollFd::new(slave.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO);
}
