//! How much may be under way to an endpoint of the runner's.

use std::os::fd::{AsFd, OwnedFd};

use nix::sys::socket::{getsockopt, setsockopt, sockopt};

use crate::stage::{allow_window, announce_segments};

const SMALL_WINDOW: usize = 4096;
const WIDE_WINDOW: usize = 256 << 10;
const SMALL_BUFFER: usize = 64 << 10;
const SMALL_SEGMENT: u32 = 536;

/// How much may be under way to a socket that is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// As much as the kernel sees fit.
    Usual,
    /// Some kilobytes. The other side's send buffer grows with the segments that are announced to it, so these are as
    /// small as every IPv4 host must accept (RFC 9293 §3.7.1).
    Little,
}

impl Room {
    /// To be called before listen or connect: accepted sockets inherit what is set, and the handshake announces it
    /// (UNPv1 §7.5, §7.9).
    pub fn furnish(self, descriptor: &OwnedFd) -> nix::Result<()> {
        if self == Room::Little {
            setsockopt(descriptor, sockopt::RcvBuf, &SMALL_WINDOW)?;
            setsockopt(descriptor, sockopt::SndBuf, &SMALL_BUFFER)?;
            announce_segments(descriptor, SMALL_SEGMENT)?;
        }
        Ok(())
    }

    /// Lets more be under way to a socket that had little room: it is read again, and what was held up comes soon.
    pub fn widen(socket: &impl AsFd) -> nix::Result<()> {
        // The kernel doubles what it is asked for (socket(7)).
        if getsockopt(socket, sockopt::RcvBuf)? <= SMALL_WINDOW * 2 {
            setsockopt(socket, sockopt::RcvBuf, &WIDE_WINDOW)?;
            allow_window(socket, WIDE_WINDOW)?;
        }
        Ok(())
    }
}
