//! Rest: nothing can happen any more unless the runner acts.
//!
//! The proof needs two samples of all tasks with equal context-switch counters, each showing every task unable to
//! run by itself, and between them a table of sockets in which nothing is under way, and nothing to read for the
//! runner. No task ran between the samples, none can be woken by another one, and none by the network. Whatever
//! cannot be seen counts as movement, so the answer "at rest" is never early.

use std::collections::HashMap;
use std::fmt;

use super::sockets::{Pair, Socket, Timer};
use crate::tcp::TcpState;

/// All tasks of the stage, unable to run by themselves, with their context-switch counters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stillness {
    /// For each task: its id and its two counters.
    pub tasks: Vec<(i32, u64, u64)>,
}

/// Why the stage is not at rest, or cannot be known to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restless(pub String);

impl fmt::Display for Restless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A keepalive timer that fires later than this is none as far as a scenario goes: 60 s, the longest deadline.
const FAR_AWAY_MS: u32 = 60_000;

/// Whether anything is under way between sockets. The caller passes all sockets of the stage's network.
pub fn sockets_at_rest(sockets: &[Socket]) -> Result<(), Restless> {
    let ends: HashMap<Pair, &Socket> = sockets.iter().map(|socket| (socket.pair, socket)).collect();
    for socket in sockets {
        let far = ends.get(&socket.pair.reversed());
        let under_way = match (socket.state, socket.timer) {
            (TcpState::SynSent | TcpState::SynRecv | TcpState::FinWait1 | TcpState::Closing | TcpState::LastAck, _) => {
                "is in a passing state"
            }
            (_, Timer::Retransmit) => "waits for an acknowledgment",
            // The window is closed because the other end does not read what it has: whoever wants to read there has been
            // woken already, so more of it wakes nobody. Anything else than that is movement.
            (_, Timer::Probe) if far.is_none_or(|far| far.unread == 0) => "probes a closed window",
            (TcpState::Established | TcpState::CloseWait, Timer::Keepalive(left)) if left < FAR_AWAY_MS => {
                "has a keepalive timer"
            }
            // A RST has no timer: until it arrives, one end is there and the other is not.
            (TcpState::Established | TcpState::CloseWait, _) if far.is_none() => {
                "has lost its other end and does not know yet"
            }
            _ => continue,
        };
        return Err(Restless(format!("{} in {} {under_way}", socket.pair, socket.state)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn socket(local: u16, remote: u16, state: TcpState, timer: Timer) -> Socket {
        let address = |port| format!("127.0.0.1:{port}").parse().unwrap();
        let pair = Pair { local: address(local), remote: address(remote) };
        Socket { pair, state, timer, inode: 1, unread: 0, unsent: 0 }
    }

    #[rstest]
    #[case(TcpState::Established, Timer::Off, true)]
    #[case(TcpState::Established, Timer::Retransmit, false)]
    #[case(TcpState::Established, Timer::Probe, false)]
    #[case(TcpState::Established, Timer::Keepalive(7_200_000), true)]
    #[case(TcpState::Established, Timer::Keepalive(900), false)]
    #[case(TcpState::FinWait1, Timer::Off, false)]
    #[case(TcpState::LastAck, Timer::Retransmit, false)]
    #[case(TcpState::FinWait2, Timer::Keepalive(900), true)]
    #[case(TcpState::TimeWait, Timer::TimeWait, true)]
    #[case(TcpState::SynSent, Timer::Retransmit, false)]
    #[case(TcpState::CloseWait, Timer::Off, true)]
    fn a_socket_is_at_rest_when_nothing_is_under_way(
        #[case] state: TcpState,
        #[case] timer: Timer,
        #[case] rest: bool,
    ) {
        let sockets = [socket(1, 2, state, timer), socket(2, 1, TcpState::Established, Timer::Off)];
        assert_eq!(sockets_at_rest(&sockets).is_ok(), rest);
    }

    #[test]
    fn a_closed_window_is_at_rest_while_the_other_end_does_not_read() {
        let mut sockets =
            [socket(1, 2, TcpState::Established, Timer::Probe), socket(2, 1, TcpState::Established, Timer::Off)];
        assert!(sockets_at_rest(&sockets).is_err());
        sockets[1].unread = 4096;
        assert!(sockets_at_rest(&sockets).is_ok());
    }

    #[test]
    fn a_lone_end_means_that_a_reset_is_under_way() {
        assert!(sockets_at_rest(&[socket(1, 2, TcpState::Established, Timer::Off)]).is_err());
        assert!(sockets_at_rest(&[socket(1, 2, TcpState::TimeWait, Timer::TimeWait)]).is_ok());
    }
}
