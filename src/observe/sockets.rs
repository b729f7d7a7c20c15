//! TCP sockets, as netstat would show them.

use std::fmt;
use std::net::SocketAddr;

use crate::tcp::TcpState;

/// One end of a connection, or a listening socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Socket {
    /// Both addresses, this end's first.
    pub pair: Pair,
    /// Its state.
    pub state: TcpState,
    /// The timer that runs for it.
    pub timer: Timer,
    /// Its inode; 0 when no process owns it (not accepted yet, orphaned, TIME_WAIT).
    pub inode: u64,
    /// Bytes received and not read; for a listening socket, connections not accepted.
    pub unread: u32,
    /// Bytes sent and not acknowledged; for a listening socket, the backlog.
    pub unsent: u32,
}

/// The addresses of the two ends: with the protocol, the 4-tuple that names a connection (UNPv1 §2.9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pair {
    /// This end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
}

impl Pair {
    /// The same connection, seen from the other end.
    pub fn reversed(self) -> Pair {
        Pair { local: self.remote, remote: self.local }
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} → {}", self.local, self.remote)
    }
}

/// The timer of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    /// None.
    Off,
    /// What was sent is sent again if no acknowledgment comes.
    Retransmit,
    /// Keepalive or FIN_WAIT_2, with the time left in milliseconds.
    Keepalive(u32),
    /// TIME_WAIT.
    TimeWait,
    /// Probes a closed window.
    Probe,
}
