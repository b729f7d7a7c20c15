//! What the kernel of macOS answers, as bytes. Everything here is a pure function of them, so it is compiled and tested
//! on every system.

use std::mem::offset_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::layouts::{
    InSockInfo, ProcBsdInfo, ProcFdInfo, ProcTaskInfo, SocketFdInfo, TcpSockInfo, VnodeFdInfoWithPath, XInpGen,
    XInpcbN, XSockbufN, XSocketN, XTcpcbN,
};
use crate::observe::{End, Pair, Socket, Timer};
use crate::tcp::TcpState;

/// SIDL is 1, SRUN 2, SSLEEP 3 (sys/proc.h). All that lives and is not stopped has SRUN: threads sleep, not processes.
const SSTOP: u32 = 4;
const SZOMB: u32 = 5;
/// INI_IPV6 (sys/proc_info.h), INP_IPV6 (netinet/in_pcb.h).
const IPV6: u8 = 0x2;
/// SS_NOFDREF (sys/socketvar.h): no descriptor refers to the socket. It was not accepted yet, or was closed.
const NO_DESCRIPTOR: u16 = 0x0001;
/// SOCKINFO_IN: an internet socket that is not TCP's (sys/proc_info.h)
const SOCKINFO_IN: i32 = 1;
/// SOCKINFO_TCP (sys/proc_info.h)
const SOCKINFO_TCP: i32 = 2;
/// XSO_… (sys/socketvar.h)
const XSO_SOCKET: u32 = 0x001;
const XSO_RCVBUF: u32 = 0x002;
const XSO_SNDBUF: u32 = 0x004;
const XSO_INPCB: u32 = 0x010;
const XSO_TCPCB: u32 = 0x020;
/// PROX_FDTYPE_… (sys/proc_info.h)
pub const FD_VNODE: u32 = 1;
pub const FD_SOCKET: u32 = 2;

/// Reads fields; past the end there is nothing.
#[derive(Clone, Copy)]
struct Bytes<'b>(&'b [u8]);

impl Bytes<'_> {
    fn array<const N: usize>(self, at: usize) -> Option<[u8; N]> {
        self.0.get(at..at.checked_add(N)?)?.try_into().ok()
    }

    fn u8(self, at: usize) -> Option<u8> {
        self.array::<1>(at).map(|[byte]| byte)
    }

    fn u16(self, at: usize) -> Option<u16> {
        self.array(at).map(u16::from_ne_bytes)
    }

    fn u32(self, at: usize) -> Option<u32> {
        self.array(at).map(u32::from_ne_bytes)
    }

    fn i32(self, at: usize) -> Option<i32> {
        self.array(at).map(i32::from_ne_bytes)
    }

    fn u64(self, at: usize) -> Option<u64> {
        self.array(at).map(u64::from_ne_bytes)
    }

    /// A port, in network order wherever it stands.
    fn port(self, at: usize) -> Option<u16> {
        self.array(at).map(u16::from_be_bytes)
    }

    /// An address: sixteen bytes, of which the last four are the IPv4 address (struct in4in6_addr).
    fn address(self, at: usize, six: bool) -> Option<IpAddr> {
        let octets: [u8; 16] = self.array(at)?;
        if six {
            return Some(Ipv6Addr::from(octets).to_canonical());
        }
        let [.., a, b, c, d] = octets;
        Some(Ipv4Addr::new(a, b, c, d).into())
    }

    /// Text up to the first NUL byte.
    fn text(self, at: usize, most: usize) -> Option<String> {
        let bytes = self.0.get(at..)?;
        let bytes = &bytes[..bytes.len().min(most)];
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        Some(String::from_utf8_lossy(&bytes[..end]).into_owned())
    }
}

/// A process, as struct proc_bsdinfo has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BsdProcess {
    /// Its id.
    pub pid: i32,
    /// Its parent's.
    pub parent: i32,
    /// Its user.
    pub user: u32,
    /// The name of its program.
    pub name: String,
    /// When it was started, in microseconds.
    pub started: u64,
    /// Stopped by a signal.
    pub stopped: bool,
    /// How it ended, if it is a zombie.
    pub zombie: Option<End>,
}

/// Reads a struct proc_bsdinfo.
pub fn bsd_process(bytes: &[u8]) -> Option<BsdProcess> {
    let bytes = Bytes(bytes);
    let status = bytes.u32(offset_of!(ProcBsdInfo, status))?;
    let seconds = bytes.u64(offset_of!(ProcBsdInfo, start_tvsec))?;
    let micros = bytes.u64(offset_of!(ProcBsdInfo, start_tvusec))?;
    let ended = bytes.i32(offset_of!(ProcBsdInfo, xstatus))?;
    Some(BsdProcess {
        pid: bytes.i32(offset_of!(ProcBsdInfo, pid))?,
        parent: bytes.i32(offset_of!(ProcBsdInfo, ppid))?,
        user: bytes.u32(offset_of!(ProcBsdInfo, uid))?,
        name: bytes.text(offset_of!(ProcBsdInfo, comm), 16)?,
        started: seconds.wrapping_mul(1_000_000).wrapping_add(micros),
        stopped: status == SSTOP,
        zombie: (status == SZOMB).then(|| End::from_wait_status(ended)),
    })
}

/// The threads of a process and how many of them run: reads a struct proc_taskinfo.
pub fn threads(bytes: &[u8]) -> Option<(u64, u64)> {
    let count = |at: usize| Bytes(bytes).i32(at).map(|count| u64::try_from(count).unwrap_or(0));
    Some((count(offset_of!(ProcTaskInfo, threadnum))?, count(offset_of!(ProcTaskInfo, numrunning))?))
}

/// The numbers and types of descriptors: reads struct proc_fdinfo after struct proc_fdinfo.
pub fn descriptor_types(bytes: &[u8]) -> impl Iterator<Item = (i32, u32)> {
    bytes.chunks_exact(size_of::<ProcFdInfo>()).filter_map(|record| {
        let record = Bytes(record);
        Some((record.i32(offset_of!(ProcFdInfo, fd))?, record.u32(offset_of!(ProcFdInfo, fdtype))?))
    })
}

/// What a descriptor of a type refers to, for messages (PROX_FDTYPE_… of sys/proc_info.h).
pub fn words_for_type(fdtype: u32) -> String {
    match fdtype {
        FD_VNODE => "a file".into(),
        FD_SOCKET => "a socket without a connection".into(),
        3 => "shared memory".into(),
        4 => "a semaphore".into(),
        5 => "a kqueue".into(),
        6 => "a pipe".into(),
        other => format!("a descriptor of type {other}"),
    }
}

/// The path of a file: reads a struct vnode_fdinfowithpath.
pub fn path_of_file(bytes: &[u8]) -> Option<String> {
    Bytes(bytes).text(offset_of!(VnodeFdInfoWithPath, path), 1024).filter(|path| !path.is_empty())
}

/// The identity of the TCP socket that a descriptor refers to: reads a struct socket_fdinfo. `None` for other sockets
/// and for one that neither listens nor is connected.
pub fn identity_of_socket(bytes: &[u8]) -> Option<u64> {
    const TCP: usize = offset_of!(SocketFdInfo, tcp);
    const INI: usize = TCP + offset_of!(TcpSockInfo, ini);
    let bytes = Bytes(bytes);
    if bytes.i32(offset_of!(SocketFdInfo, kind))? != SOCKINFO_TCP {
        return None;
    }
    let six = bytes.u8(INI + offset_of!(InSockInfo, vflag))? & IPV6 != 0;
    let address = |address: usize, port: usize| {
        Some(SocketAddr::new(bytes.address(INI + address, six)?, bytes.port(INI + port)?))
    };
    let pair = Pair {
        local: address(offset_of!(InSockInfo, laddr), offset_of!(InSockInfo, lport))?,
        remote: address(offset_of!(InSockInfo, faddr), offset_of!(InSockInfo, fport))?,
    };
    let state = state(bytes.i32(TCP + offset_of!(TcpSockInfo, state))?)?;
    Some(identity(pair, state == TcpState::Listen))
}

/// Whether a descriptor refers to an internet socket that is not TCP's: reads a struct socket_fdinfo.
pub fn is_datagram_socket(bytes: &[u8]) -> bool {
    Bytes(bytes).i32(offset_of!(SocketFdInfo, kind)) == Some(SOCKINFO_IN)
}

/// What stands for a socket's inode, which macOS has none of: its addresses, scrambled (FNV-1a). The handles that the
/// two lists carry need not be the same ones. Never 0.
fn identity(pair: Pair, listening: bool) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut add = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    for address in [pair.local, pair.remote] {
        match address.ip() {
            IpAddr::V4(ip) => ip.octets().into_iter().for_each(&mut add),
            IpAddr::V6(ip) => ip.octets().into_iter().for_each(&mut add),
        }
        address.port().to_be_bytes().into_iter().for_each(&mut add);
    }
    add(u8::from(listening));
    hash.max(1)
}

/// The states of netinet/tcp_fsm.h (TCPS_…) and of sys/proc_info.h (TSI_S_…); 0 is CLOSED.
fn state(number: i32) -> Option<TcpState> {
    Some(match number {
        1 => TcpState::Listen,
        2 => TcpState::SynSent,
        3 => TcpState::SynRecv,
        4 => TcpState::Established,
        5 => TcpState::CloseWait,
        6 => TcpState::FinWait1,
        7 => TcpState::Closing,
        8 => TcpState::LastAck,
        9 => TcpState::FinWait2,
        10 => TcpState::TimeWait,
        _ => return None,
    })
}

/// What the list says about one socket, in several records.
#[derive(Default)]
struct Collected {
    pair: Option<Pair>,
    has_descriptor: bool,
    queue: u32,
    unread: u32,
    unsent: u32,
}

/// All TCP sockets: reads the answer of sysctl `net.inet.tcp.pcblist_n`. Each is a row of records that begins with its
/// XSO_INPCB and ends with its XSO_TCPCB; a record's length is rounded up to a multiple of eight. Kinds that are not
/// known are left out, and what is cut off is not there.
pub fn sockets(list: &[u8]) -> Vec<Socket> {
    let mut sockets = Vec::new();
    let mut one = Collected::default();
    let mut rest = list.get(first_record(list)..).unwrap_or_default();
    // What is shorter than the first two fields is no record.
    while let (Some(length), Some(kind)) = (Bytes(rest).u32(0), Bytes(rest).u32(4)) {
        let length = length as usize;
        let Some(record) = rest.get(..length).filter(|record| record.len() >= 8).map(Bytes) else { break };
        // The list ends with another struct xinpgen, which has no kind: its second field is a count.
        if length == size_of::<XInpGen>() && rest.len() <= size_of::<XInpGen>().next_multiple_of(8) {
            break;
        }
        match kind {
            XSO_INPCB => one = Collected { pair: pair_of(record), ..Collected::default() },
            XSO_SOCKET => {
                one.has_descriptor = has_descriptor(record);
                one.queue = u32::from(record.u16(offset_of!(XSocketN, qlen)).unwrap_or(0));
            }
            XSO_RCVBUF => one.unread = record.u32(offset_of!(XSockbufN, cc)).unwrap_or(0),
            XSO_SNDBUF => one.unsent = record.u32(offset_of!(XSockbufN, cc)).unwrap_or(0),
            XSO_TCPCB => sockets.extend(record.i32(offset_of!(XTcpcbN, state)).and_then(|number| one.finish(number))),
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(8)..).unwrap_or_default();
    }
    sockets
}

/// Where the records begin: behind the struct xinpgen, which says how long it is.
fn first_record(list: &[u8]) -> usize {
    Bytes(list).u32(offset_of!(XInpGen, len)).map_or(usize::MAX, |length| (length as usize).next_multiple_of(8))
}

fn has_descriptor(record: Bytes<'_>) -> bool {
    // A connection in TIME_WAIT may have lost its socket: then nothing but length and kind is filled in.
    let there = record.u64(offset_of!(XSocketN, so)).is_some_and(|so| so != 0);
    there && record.u16(offset_of!(XSocketN, state)).is_some_and(|state| state & NO_DESCRIPTOR == 0)
}

fn pair_of(record: Bytes<'_>) -> Option<Pair> {
    let six = record.u8(offset_of!(XInpcbN, vflag))? & IPV6 != 0;
    let address =
        |address: usize, port: usize| Some(SocketAddr::new(record.address(address, six)?, record.port(port)?));
    Some(Pair {
        local: address(offset_of!(XInpcbN, laddr), offset_of!(XInpcbN, lport))?,
        remote: address(offset_of!(XInpcbN, faddr), offset_of!(XInpcbN, fport))?,
    })
}

impl Collected {
    fn finish(&self, number: i32) -> Option<Socket> {
        let (pair, state) = (self.pair?, state(number)?);
        let listening = state == TcpState::Listen;
        Some(Socket {
            pair,
            state,
            // Timers are in the list, but nothing here asks for rest.
            timer: Timer::Off,
            inode: if self.has_descriptor { identity(pair, listening) } else { 0 },
            unread: if listening { self.queue } else { self.unread },
            unsent: self.unsent,
        })
    }
}

/// The words and the environment of a process: reads the answer of sysctl `kern.procargs2`. That is a count of words;
/// the path of the file, padded with NUL bytes; the words; the environment, up to an empty string.
pub fn words_and_environment(bytes: &[u8]) -> Option<(Vec<String>, Vec<String>)> {
    let count = usize::try_from(Bytes(bytes).i32(0)?).ok()?;
    let rest = bytes.get(4..)?;
    let path = rest.iter().position(|byte| *byte == 0)?;
    let padding = rest[path..].iter().position(|byte| *byte != 0)?;
    let mut strings =
        rest[path + padding..].split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned());
    let words = strings.by_ref().take(count).collect();
    Some((words, strings.take_while(|text| !text.is_empty()).collect()))
}

#[cfg(test)]
#[path = "records_tests.rs"]
mod tests;
