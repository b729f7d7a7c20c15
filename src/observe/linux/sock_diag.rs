//! The table of TCP sockets, through NETLINK_SOCK_DIAG (sock_diag(7), linux/inet_diag.h).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

use crate::observe::{Pair, Socket, Timer};
use crate::tcp::TcpState;

const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// The older request, which asks for both families at once.
const TCPDIAG_GETSOCK: u16 = 18;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// NLM_F_REQUEST | NLM_F_DUMP
const DUMP: u16 = ONE | 0x300;
/// NLM_F_REQUEST
const ONE: u16 = 0x1;
const HEADER: usize = 16;
/// Every state from ESTABLISHED (1) to NEW_SYN_RECV (12). Sockets that are only bound are left out: to find them the
/// kernel walks a table of 65,536 chains.
const STATES: u32 = (1 << 13) - 2;
/// sizeof(struct inet_diag_req_v2)
const REQUEST: usize = 56;
/// sizeof(struct inet_diag_req), of which the last 8 bytes are the states and a word of no meaning here
const OLDER_REQUEST: usize = 60;
/// sizeof(struct inet_diag_msg)
const MESSAGE: usize = 72;

/// The sockets of the network namespace in which it was opened.
pub struct SocketTable {
    netlink: OwnedFd,
    buffer: Vec<u8>,
    /// The kernel does not know the request for both families.
    asks_by_family: bool,
}

impl SocketTable {
    /// Opens the table of the caller's network namespace.
    pub fn open() -> io::Result<SocketTable> {
        let netlink =
            socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkSockDiag)?;
        Ok(SocketTable { netlink, buffer: vec![0; 32 << 10], asks_by_family: false })
    }

    /// All TCP sockets, IPv4 and IPv6. IPv4 addresses that IPv6 sockets carry are shown as IPv4.
    pub fn list(&mut self) -> io::Result<Vec<Socket>> {
        let mut sockets = Vec::new();
        if self.asks_by_family {
            self.dump(&Request::new(false, true).0, &mut sockets)?;
            self.dump(&Request::new(true, true).0, &mut sockets)?;
        } else if self.dump(&both_families(), &mut sockets).is_err() {
            self.asks_by_family = true;
            return self.list();
        }
        Ok(sockets)
    }

    /// The state of one end of a connection.
    pub fn state(&mut self, pair: Pair) -> io::Result<TcpState> {
        let mut request = Request::new(pair.local.ip().is_ipv6(), false);
        request.name(pair);
        send(self.netlink.as_raw_fd(), &request.0, MsgFlags::empty())?;
        let length = recv(self.netlink.as_raw_fd(), &mut self.buffer, MsgFlags::empty())?;
        let answer = &self.buffer[..length];
        if length < HEADER || u16::from_ne_bytes([answer[4], answer[5]]) == NLMSG_ERROR {
            return Ok(TcpState::Gone);
        }
        // Where there is no such connection the kernel answers with the socket that listens on the port.
        let found = parse(&answer[HEADER..]).filter(|socket| socket.pair == pair);
        Ok(found.map_or(TcpState::Gone, |socket| socket.state))
    }

    fn dump(&mut self, request: &[u8], sockets: &mut Vec<Socket>) -> io::Result<()> {
        send(self.netlink.as_raw_fd(), request, MsgFlags::empty())?;
        loop {
            let length = recv(self.netlink.as_raw_fd(), &mut self.buffer, MsgFlags::empty())?;
            let mut rest = &self.buffer[..length];
            while rest.len() >= HEADER {
                let size = u32_at(rest, 0) as usize;
                let kind = u16::from_ne_bytes([rest[4], rest[5]]);
                let body = rest.get(HEADER..size).ok_or_else(|| io::Error::other("a truncated netlink message"))?;
                match kind {
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => {
                        return Err(io::Error::from_raw_os_error(-(u32_at(body, 0) as i32)));
                    }
                    _ => sockets.extend(parse(body)),
                }
                rest = rest.get(size.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }
}

/// A netlink header and a struct inet_diag_req: family, two lengths, extensions; then the sockets as in [`Request`];
/// then the states. It has no family to be of, so one walk through the kernel's tables gives both.
fn both_families() -> [u8; HEADER + OLDER_REQUEST] {
    let mut bytes = [0u8; HEADER + OLDER_REQUEST];
    bytes[0..4].copy_from_slice(&((HEADER + OLDER_REQUEST) as u32).to_ne_bytes());
    bytes[4..6].copy_from_slice(&TCPDIAG_GETSOCK.to_ne_bytes());
    bytes[6..8].copy_from_slice(&DUMP.to_ne_bytes());
    bytes[HEADER + 52..HEADER + 56].copy_from_slice(&STATES.to_ne_bytes());
    bytes
}

/// A netlink header (NLM_F_REQUEST, or with NLM_F_DUMP) and a struct inet_diag_req_v2: family, protocol, extensions,
/// padding, states; then sport, dport (network order), src[16], dst[16], interface, cookie.
struct Request([u8; HEADER + REQUEST]);

impl Request {
    fn new(six: bool, dump: bool) -> Request {
        let family = if six { libc::AF_INET6 } else { libc::AF_INET };
        let mut bytes = [0u8; HEADER + REQUEST];
        bytes[0..4].copy_from_slice(&((HEADER + REQUEST) as u32).to_ne_bytes());
        bytes[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        bytes[6..8].copy_from_slice(&if dump { DUMP } else { ONE }.to_ne_bytes());
        bytes[HEADER] = family as u8;
        bytes[HEADER + 1] = libc::IPPROTO_TCP as u8;
        bytes[HEADER + 4..HEADER + 8].copy_from_slice(&STATES.to_ne_bytes());
        Request(bytes)
    }

    fn name(&mut self, pair: Pair) {
        let id = &mut self.0[HEADER + 8..];
        id[0..2].copy_from_slice(&pair.local.port().to_be_bytes());
        id[2..4].copy_from_slice(&pair.remote.port().to_be_bytes());
        for (address, at) in [(pair.local, 4), (pair.remote, 20)] {
            match address.ip() {
                IpAddr::V4(ip) => id[at..at + 4].copy_from_slice(&ip.octets()),
                IpAddr::V6(ip) => id[at..at + 16].copy_from_slice(&ip.octets()),
            }
        }
        // INET_DIAG_NOCOOKIE
        id[40..48].fill(0xff);
    }
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[offset..offset + 4]);
    u32::from_ne_bytes(word)
}

/// struct inet_diag_msg: family, state, timer, retrans; then sport, dport (network order), src[16], dst[16], if,
/// cookie[2]; then expires, rqueue, wqueue, uid, inode.
fn parse(message: &[u8]) -> Option<Socket> {
    if message.len() < MESSAGE {
        return None;
    }
    let address = |at: usize, port: usize| {
        let port = u16::from_be_bytes([message[port], message[port + 1]]);
        let ip = if i32::from(message[0]) == libc::AF_INET {
            IpAddr::from(Ipv4Addr::new(message[at], message[at + 1], message[at + 2], message[at + 3]))
        } else {
            let mut octets = [0; 16];
            octets.copy_from_slice(&message[at..at + 16]);
            Ipv6Addr::from(octets).to_canonical()
        };
        SocketAddr::new(ip, port)
    };
    let expires = u32_at(message, 52);
    Some(Socket {
        pair: Pair { local: address(8, 4), remote: address(24, 6) },
        state: state(message[1])?,
        timer: match message[2] {
            0 => Timer::Off,
            2 => Timer::Keepalive(expires),
            3 => Timer::TimeWait,
            4 => Timer::Probe,
            _ => Timer::Retransmit,
        },
        unread: u32_at(message, 56),
        unsent: u32_at(message, 60),
        inode: u64::from(u32_at(message, 68)),
    })
}

/// The numbers of the kernel's enum (net/tcp_states.h); 7 is CLOSE, a socket that is not connected.
fn state(number: u8) -> Option<TcpState> {
    Some(match number {
        1 => TcpState::Established,
        2 => TcpState::SynSent,
        3 | 12 => TcpState::SynRecv,
        4 => TcpState::FinWait1,
        5 => TcpState::FinWait2,
        6 => TcpState::TimeWait,
        8 => TcpState::CloseWait,
        9 => TcpState::LastAck,
        10 => TcpState::Listen,
        11 => TcpState::Closing,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn one_request_gives_what_one_for_each_family_gives() {
        let four = TcpListener::bind("127.0.0.1:0").unwrap();
        let six = TcpListener::bind("[::1]:0");
        let mut table = SocketTable::open().unwrap();
        let mut listening = |by_family: bool| {
            table.asks_by_family = by_family;
            let mut list = table.list().unwrap();
            assert_eq!(table.asks_by_family, by_family, "this kernel knows the request");
            list.retain(|socket| socket.state == TcpState::Listen);
            list.iter().map(|socket| socket.pair.local).collect::<std::collections::BTreeSet<_>>()
        };
        let (once, twice) = (listening(false), listening(true));
        // Other tests open and close sockets meanwhile.
        for own in [four.local_addr().ok(), six.as_ref().ok().and_then(|six| six.local_addr().ok())].iter().flatten() {
            assert!(once.contains(own) && twice.contains(own), "{own}: {once:?}, {twice:?}");
        }
    }

    #[test]
    fn both_ends_of_a_connection_are_listed_with_inodes() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (_server, _) = listener.accept().unwrap();
        let sockets = SocketTable::open().unwrap().list().unwrap();
        let pair = Pair { local: client.local_addr().unwrap(), remote: client.peer_addr().unwrap() };
        for pair in [pair, pair.reversed()] {
            let end = sockets.iter().find(|socket| socket.pair == pair).unwrap();
            assert_eq!(end.state, TcpState::Established);
            assert_ne!(end.inode, 0);
        }
        let mut table = SocketTable::open().unwrap();
        assert_eq!(table.state(pair).unwrap(), TcpState::Established);
        let nobody = Pair { remote: "127.0.0.1:1".parse().unwrap(), ..pair.reversed() };
        assert_eq!(table.state(nobody).unwrap(), TcpState::Gone);
        let listening = |socket: &&Socket| socket.pair.local == listener.local_addr().unwrap();
        assert!(sockets.iter().filter(listening).any(|socket| socket.state == TcpState::Listen));
    }
}
