//! The stage's loopback interface, through rtnetlink (rtnetlink(7)).

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

const NLMSG_ERROR: u16 = 2;
const RTM_NEWLINK: u16 = 16;
const RTM_NEWROUTE: u16 = 24;
/// NLM_F_REQUEST | NLM_F_ACK
const REQUEST: u16 = 0x1 | 0x4;
/// NLM_F_CREATE | NLM_F_REPLACE
const REPLACE: u16 = 0x400 | 0x100;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_PREFSRC: u16 = 7;
const RTA_METRICS: u16 = 8;
const RTAX_LOCK: u16 = 1;
const RTAX_RTO_MIN: u16 = 13;
const RTAX_QUICKACK: u16 = 15;
/// The shortest wait before a segment is sent again, in milliseconds.
const RTO_MIN: u32 = 20;
const LOOPBACK: [u8; 4] = [127, 0, 0, 1];

/// Brings the loopback interface up. Segments on it are acknowledged at once: a delayed acknowledgment would keep
/// connections in FIN_WAIT_1 for 40 ms (RFC 9293 §3.8.6.3 allows the delay, and does not ask for it). What is lost, as a
/// FIN can be that arrives while the other end is being closed, is sent again after 20 ms instead of 200 (RFC 6298 §2.4).
pub fn bring_up() -> Result<(), String> {
    let netlink = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)
        .map_err(|errno| format!("rtnetlink: {errno}"))?;
    // In a new namespace the loopback interface is the first one; IFF_UP is 1.
    let index: u32 = 1;
    let mut link = vec![libc::AF_UNSPEC as u8, 0, 0, 0];
    link.extend(index.to_ne_bytes());
    link.extend([1u32.to_ne_bytes(), 1u32.to_ne_bytes()].concat());
    ask(&netlink, RTM_NEWLINK, REQUEST, &link)
        .map_err(|error| format!("bringing up the loopback interface: {error}"))?;
    small_buffers();
    // A server may want a port that is root's elsewhere, as the echo service's own (RFC 862). Refused: then it cannot.
    let _ = std::fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
    for prefix in [8u8, 32] {
        // Refused or unknown: then some states take longer to come about.
        let _ = ask(&netlink, RTM_NEWROUTE, REQUEST | REPLACE, &quick_route(prefix, index));
    }
    Ok(())
}

/// Limits what fits into the buffers of a connection to half a mebibyte at each end, so that a scenario can fill
/// them with little data. Refused: then it takes more.
fn small_buffers() {
    for (name, sizes) in [("tcp_rmem", "4096 131072 524288"), ("tcp_wmem", "4096 16384 524288")] {
        let _ = std::fs::write(format!("/proc/sys/net/ipv4/{name}"), sizes);
    }
}

/// struct rtmsg and its attributes: the kernel's own route for 127.0.0.0/8 or 127.0.0.1, with metrics of ours.
fn quick_route(prefix: u8, index: u32) -> Vec<u8> {
    const TABLE_LOCAL: u8 = 255;
    const PROTO_KERNEL: u8 = 2;
    const SCOPE_HOST: u8 = 254;
    const TYPE_LOCAL: u8 = 2;
    let network = if prefix == 8 { [127, 0, 0, 0] } else { LOOPBACK };
    let mut route = vec![libc::AF_INET as u8, prefix, 0, 0, TABLE_LOCAL, PROTO_KERNEL, SCOPE_HOST, TYPE_LOCAL];
    route.extend(0u32.to_ne_bytes());
    route.extend(attribute(RTA_DST, &network));
    route.extend(attribute(RTA_OIF, &index.to_ne_bytes()));
    route.extend(attribute(RTA_PREFSRC, &LOOPBACK));
    // The kernel heeds RTAX_RTO_MIN only where it is locked.
    let metrics = [(RTAX_LOCK, 1 << RTAX_RTO_MIN), (RTAX_RTO_MIN, RTO_MIN), (RTAX_QUICKACK, 1)];
    let metrics = metrics.map(|(kind, value)| attribute(kind, &value.to_ne_bytes())).concat();
    route.extend(attribute(RTA_METRICS, &metrics));
    route
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = (4 + value.len()) as u16;
    [&length.to_ne_bytes(), &kind.to_ne_bytes(), value].concat()
}

fn ask(netlink: &OwnedFd, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
    let mut message = ((16 + body.len()) as u32).to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(body);
    send(netlink.as_raw_fd(), &message, MsgFlags::empty())?;
    let mut answer = [0u8; 1024];
    let length = recv(netlink.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    if length < 20 || u16::from_ne_bytes([answer[4], answer[5]]) != NLMSG_ERROR {
        return Err(io::Error::other("an unexpected answer"));
    }
    match i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]) {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(-error)),
    }
}
