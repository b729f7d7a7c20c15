//! The records of macOS' kernel, as Apple's published headers have them: bsd/sys/proc_info.h (`proc_info(2)`, natural
//! alignment), bsd/sys/socketvar.h, bsd/netinet/in_pcb.h and bsd/netinet/tcp_var.h (`net.inet.tcp.pcblist_n`, under
//! `#pragma pack(4)`). Each is stated field by field up to the last one that is read; records may grow at their end.

use std::mem::offset_of;

/// struct proc_bsdinfo (sys/proc_info.h), whole.
#[repr(C)]
pub struct ProcBsdInfo {
    pub flags: u32,
    pub status: u32,
    pub xstatus: u32,
    pub pid: u32,
    pub ppid: u32,
    pub uid: u32,
    pub gid: u32,
    pub ruid: u32,
    pub rgid: u32,
    pub svuid: u32,
    pub svgid: u32,
    pub reserved: u32,
    pub comm: [u8; 16],
    pub name: [u8; 32],
    pub nfiles: u32,
    pub pgid: u32,
    pub pjobc: u32,
    pub tdev: u32,
    pub tpgid: u32,
    pub nice: i32,
    pub start_tvsec: u64,
    pub start_tvusec: u64,
}

/// struct proc_taskinfo (sys/proc_info.h), whole.
#[repr(C)]
pub struct ProcTaskInfo {
    pub sizes_and_times: [u64; 6],
    pub policy: i32,
    pub faults: i32,
    pub pageins: i32,
    pub cow_faults: i32,
    pub messages_sent: i32,
    pub messages_received: i32,
    pub syscalls_mach: i32,
    pub syscalls_unix: i32,
    pub csw: i32,
    pub threadnum: i32,
    pub numrunning: i32,
    pub priority: i32,
}

/// struct proc_fdinfo (sys/proc_info.h), whole.
#[repr(C)]
pub struct ProcFdInfo {
    pub fd: i32,
    pub fdtype: u32,
}

/// struct proc_fileinfo (sys/proc_info.h), whole: what every answer about a descriptor begins with.
#[repr(C)]
pub struct ProcFileInfo {
    pub openflags: u32,
    pub status: u32,
    pub offset: i64,
    pub kind: i32,
    pub guardflags: u32,
}

/// struct vinfo_stat (sys/proc_info.h), whole.
#[repr(C)]
pub struct VinfoStat {
    pub dev: u32,
    pub mode: u16,
    pub nlink: u16,
    pub ino: u64,
    pub uid: u32,
    pub gid: u32,
    pub times: [i64; 8],
    pub size: i64,
    pub blocks: i64,
    pub blksize: i32,
    pub flags: u32,
    pub generation: u32,
    pub rdev: u32,
    pub spare: [i64; 2],
}

/// struct sockbuf_info (sys/proc_info.h), whole.
#[repr(C)]
pub struct SockbufInfo {
    pub cc: u32,
    pub hiwat: u32,
    pub mbcnt: u32,
    pub mbmax: u32,
    pub lowat: u32,
    pub flags: i16,
    pub timeo: i16,
}

/// struct in_sockinfo (sys/proc_info.h), whole. The ports are in network order in the first two bytes of an int.
#[repr(C)]
pub struct InSockInfo {
    pub fport: i32,
    pub lport: i32,
    pub gencnt: u64,
    pub flags: u32,
    pub flow: u32,
    pub vflag: u8,
    pub ttl: u8,
    pub reserved: u32,
    pub faddr: [u32; 4],
    pub laddr: [u32; 4],
    pub tos: u8,
    pub hlim: u8,
    pub cksum: i32,
    pub ifindex: u16,
    pub hops: i16,
}

/// struct tcp_sockinfo (sys/proc_info.h), whole.
#[repr(C)]
pub struct TcpSockInfo {
    pub ini: InSockInfo,
    pub state: i32,
    pub timer: [i32; 4],
    pub mss: i32,
    pub flags: u32,
    pub reserved: u32,
    pub tp: u64,
}

/// struct socket_fdinfo (sys/proc_info.h), with struct socket_info in it: up to the part of TCP. In the kernel's the
/// union of all protocols follows, whose largest member is that of Unix domain sockets.
#[repr(C)]
pub struct SocketFdInfo {
    pub file: ProcFileInfo,
    pub stat: VinfoStat,
    pub so: u64,
    pub pcb: u64,
    pub kind_of_socket: i32,
    pub protocol: i32,
    pub family: i32,
    pub options: i16,
    pub linger: i16,
    pub state: i16,
    pub qlen: i16,
    pub incqlen: i16,
    pub qlimit: i16,
    pub timeo: i16,
    pub error: u16,
    pub oobmark: u32,
    pub rcv: SockbufInfo,
    pub snd: SockbufInfo,
    pub kind: i32,
    pub reserved: u32,
    pub tcp: TcpSockInfo,
}

/// struct vnode_fdinfowithpath (sys/proc_info.h), whole; `fsid` is two ints.
#[repr(C)]
pub struct VnodeFdInfoWithPath {
    pub file: ProcFileInfo,
    pub stat: VinfoStat,
    pub kind: i32,
    pub pad: i32,
    pub fsid: [i32; 2],
    pub path: [u8; 1024],
}

/// struct xsocket_n (sys/socketvar.h), up to the lengths of its queues.
#[repr(C, packed(4))]
pub struct XSocketN {
    pub len: u32,
    pub kind: u32,
    pub so: u64,
    pub kind_of_socket: i16,
    pub options: u32,
    pub linger: i16,
    pub state: i16,
    pub pcb: u64,
    pub protocol: i32,
    pub family: i32,
    pub qlen: i16,
    pub incqlen: i16,
    pub qlimit: i16,
}

/// struct xsockbuf_n (sys/socketvar.h), up to the count of bytes.
#[repr(C, packed(4))]
pub struct XSockbufN {
    pub len: u32,
    pub kind: u32,
    pub cc: u32,
}

/// struct xinpcb_n (netinet/in_pcb.h), up to the addresses; `inp_gen_t` has 64 bits.
#[repr(C, packed(4))]
pub struct XInpcbN {
    pub len: u32,
    pub kind: u32,
    pub inpp: u64,
    pub fport: u16,
    pub lport: u16,
    pub ppcb: u64,
    pub gencnt: u64,
    pub flags: i32,
    pub flow: u32,
    pub vflag: u8,
    pub ttl: u8,
    pub protocol: u8,
    pub faddr: [u32; 4],
    pub laddr: [u32; 4],
}

/// struct xtcpcb_n (netinet/tcp_var.h), up to the state.
#[repr(C, packed(4))]
pub struct XTcpcbN {
    pub len: u32,
    pub kind: u32,
    pub segq: u64,
    pub dupacks: i32,
    pub timer: [i32; 4],
    pub state: i32,
}

/// struct xinpgen (netinet/in_pcb.h), whole: the list begins and ends with one.
#[repr(C, packed(4))]
pub struct XInpGen {
    pub len: u32,
    pub count: u32,
    pub generation: u64,
    pub socket_generation: u64,
}

// The sizes that Apple's compiler gives these structures, where they are whole, and places of fields elsewhere.
const _: () = {
    assert!(size_of::<ProcBsdInfo>() == 136);
    assert!(size_of::<ProcTaskInfo>() == 96);
    assert!(size_of::<ProcFdInfo>() == 8);
    assert!(size_of::<ProcFileInfo>() == 24);
    assert!(size_of::<VinfoStat>() == 136);
    assert!(size_of::<SockbufInfo>() == 24);
    assert!(size_of::<InSockInfo>() == 80);
    assert!(size_of::<TcpSockInfo>() == 120);
    assert!(size_of::<VnodeFdInfoWithPath>() == 1200);
    assert!(size_of::<XInpGen>() == 24);
    assert!(offset_of!(SocketFdInfo, tcp) == 24 + 240);
    assert!(offset_of!(XSocketN, state) == 26);
    assert!(offset_of!(XSocketN, qlen) == 44);
    assert!(offset_of!(XInpcbN, vflag) == 44);
    assert!(offset_of!(XInpcbN, faddr) == 48);
    assert!(offset_of!(XInpcbN, laddr) == 64);
    assert!(offset_of!(XTcpcbN, state) == 36);
    assert!(SOCKET_FD_INFO >= size_of::<SocketFdInfo>());
};

/// sizeof(struct socket_fdinfo): 24 for the file, 240 for the socket, 528 for the union (two addresses of 255 bytes and
/// two handles, to the next multiple of 8). The kernel refuses a buffer that is smaller.
pub const SOCKET_FD_INFO: usize = 24 + 240 + 528;
/// sizeof(struct vnode_fdinfowithpath).
pub const VNODE_FD_INFO: usize = size_of::<VnodeFdInfoWithPath>();
