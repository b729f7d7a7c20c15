//! Records put together by hand, field after field as Apple's headers have them, and what is read from them.

use std::net::SocketAddr;

use rstest::rstest;

use super::super::layouts::{SOCKET_FD_INFO, VNODE_FD_INFO};
use super::*;

/// Bytes on their way to be a record.
#[derive(Default)]
struct Record(Vec<u8>);

impl Record {
    fn put(mut self, bytes: &[u8]) -> Record {
        self.0.extend_from_slice(bytes);
        self
    }

    fn int(self, number: i32) -> Record {
        self.put(&number.to_ne_bytes())
    }

    fn short(self, number: u16) -> Record {
        self.put(&number.to_ne_bytes())
    }

    fn quad(self, number: u64) -> Record {
        self.put(&number.to_ne_bytes())
    }

    fn port(self, address: SocketAddr) -> Record {
        self.put(&address.port().to_be_bytes())
    }

    fn ip(self, address: SocketAddr) -> Record {
        match address.ip() {
            IpAddr::V4(ip) => self.put(&[0; 12]).put(&ip.octets()),
            IpAddr::V6(ip) => self.put(&ip.octets()),
        }
    }

    fn zeros(self, count: usize) -> Record {
        self.put(&vec![0; count])
    }

    /// Puts the length in front, and zeros behind up to a multiple of eight.
    fn framed(self) -> Vec<u8> {
        let length = self.0.len() + 4;
        Record::default().int(length as i32).put(&self.0).zeros(length.next_multiple_of(8) - length).0
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn pair(local: &str, remote: &str) -> Pair {
    Pair { local: address(local), remote: address(remote) }
}

fn generation(count: i32) -> Vec<u8> {
    Record::default().int(24).int(count).quad(7).quad(8).0
}

fn inpcb(pair: Pair) -> Vec<u8> {
    let six = pair.local.is_ipv6();
    Record::default()
        .int(0x10)
        .quad(0xdead)
        .port(pair.remote)
        .port(pair.local)
        .quad(0xbeef)
        .quad(3)
        .int(0)
        .int(0)
        .put(&[if six { 2 } else { 1 }, 64, 6, 0])
        .ip(pair.remote)
        .ip(pair.local)
        .zeros(24)
        .framed()
}

fn socket(so: u64, state: u16, qlen: u16) -> Vec<u8> {
    Record::default()
        .int(0x01)
        .quad(so)
        .short(1)
        .short(0)
        .int(4)
        .short(0)
        .short(state)
        .quad(0xfeed)
        .int(6)
        .int(2)
        .short(qlen)
        .short(0)
        .short(128)
        .short(0)
        .short(0)
        .short(0)
        .zeros(20)
        .framed()
}

fn buffer(kind: i32, count: i32) -> Vec<u8> {
    Record::default().int(kind).int(count).zeros(20).framed()
}

fn statistics() -> Vec<u8> {
    Record::default().int(0x08).zeros(128).framed()
}

fn tcpcb(state: i32) -> Vec<u8> {
    Record::default().int(0x20).quad(0).int(0).zeros(16).int(state).zeros(164).framed()
}

fn one(pair: Pair, so: u64, so_state: u16, qlen: u16, unread: i32, unsent: i32, state: i32) -> Vec<u8> {
    let (rcv, snd) = if so == 0 { (0, 0) } else { (0x02, 0x04) };
    [inpcb(pair), socket(so, so_state, qlen), buffer(rcv, unread), buffer(snd, unsent), statistics(), tcpcb(state)]
        .concat()
}

fn list(sockets: &[Vec<u8>]) -> Vec<u8> {
    let count = sockets.len() as i32;
    [generation(count), sockets.concat(), generation(count)].concat()
}

fn connection() -> Pair {
    pair("127.0.0.1:9877", "127.0.0.1:50123")
}

fn listener() -> Pair {
    pair("0.0.0.0:9877", "0.0.0.0:0")
}

#[test]
fn a_record_has_the_length_that_the_kernel_of_macos_15_gives_it() {
    assert_eq!(inpcb(connection()).len(), 104);
    assert_eq!(tcpcb(4).len(), 208, "204, rounded up");
}

#[test]
fn a_list_shows_every_socket() {
    let found = sockets(&list(&[
        one(listener(), 0x51, 0x0002, 3, 0, 0, 1),
        one(connection(), 0x52, 0x0002, 0, 17, 4, 4),
        one(connection().reversed(), 0x53, 0x0001, 0, 0, 0, 9),
    ]));
    assert_eq!(found.len(), 3);
    assert_eq!((found[0].pair, found[0].state, found[0].unread), (listener(), TcpState::Listen, 3));
    assert_eq!((found[1].pair, found[1].state), (connection(), TcpState::Established));
    assert_eq!((found[1].unread, found[1].unsent), (17, 4));
    assert_eq!((found[2].state, found[2].inode), (TcpState::FinWait2, 0), "no descriptor refers to it");
    assert!(found[0].inode != 0 && found[1].inode != 0 && found[0].inode != found[1].inode);
}

#[rstest]
#[case(0, None)]
#[case(1, Some(TcpState::Listen))]
#[case(2, Some(TcpState::SynSent))]
#[case(3, Some(TcpState::SynRecv))]
#[case(4, Some(TcpState::Established))]
#[case(5, Some(TcpState::CloseWait))]
#[case(6, Some(TcpState::FinWait1))]
#[case(7, Some(TcpState::Closing))]
#[case(8, Some(TcpState::LastAck))]
#[case(9, Some(TcpState::FinWait2))]
#[case(10, Some(TcpState::TimeWait))]
#[case(11, None)]
#[case(-1, None)]
fn states_have_the_numbers_of_tcp_fsm(#[case] number: i32, #[case] state: Option<TcpState>) {
    let found = sockets(&list(&[one(connection(), 0x52, 2, 0, 0, 0, number)]));
    assert_eq!(found.first().map(|socket| socket.state), state);
}

#[test]
fn a_connection_in_time_wait_without_a_socket_belongs_to_nobody() {
    let found = sockets(&list(&[one(connection(), 0, 0, 0, 0, 0, 10)]));
    assert_eq!((found[0].state, found[0].inode), (TcpState::TimeWait, 0));
}

#[test]
fn ipv6_addresses_are_shown_and_mapped_ones_as_ipv4() {
    let six = pair("[::1]:9877", "[::1]:40000");
    let mapped = pair("[::ffff:127.0.0.1]:9877", "[::ffff:127.0.0.1]:40001");
    let found = sockets(&list(&[one(six, 1, 2, 0, 0, 0, 4), one(mapped, 2, 2, 0, 0, 0, 4)]));
    assert_eq!(found[0].pair, six);
    assert_eq!(found[1].pair, pair("127.0.0.1:9877", "127.0.0.1:40001"));
}

#[test]
fn kinds_that_are_not_known_and_longer_records_are_no_obstacle() {
    let mut longer = inpcb(connection());
    longer.extend([0xff; 16]);
    longer[..4].copy_from_slice(&120u32.to_ne_bytes());
    let strange = Record::default().int(0x1000).zeros(37).framed();
    let rest = [socket(0x52, 2, 0), buffer(2, 5), strange.clone(), buffer(4, 0), statistics(), tcpcb(4)].concat();
    let found = sockets(&list(&[[strange, longer, rest].concat()]));
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].pair, found[0].unread), (connection(), 5));
}

#[test]
fn what_is_cut_off_is_not_there_and_breaks_nothing() {
    let whole = list(&[one(listener(), 0x51, 2, 3, 0, 0, 1), one(connection(), 0x52, 2, 0, 0, 0, 4)]);
    let mut counts = Vec::new();
    for length in 0..=whole.len() {
        counts.push(sockets(&whole[..length]).len());
    }
    assert!(counts.is_sorted(), "more bytes never show less");
    assert_eq!((counts[0], counts[whole.len()]), (0, 2));
}

#[test]
fn lengths_that_cannot_be_true_end_the_list() {
    for length in [0u32, 1, 7, 8, u32::MAX, u32::MAX - 3] {
        let mut bytes = list(&[one(connection(), 0x52, 2, 0, 0, 0, 4)]);
        bytes[24..28].copy_from_slice(&length.to_ne_bytes());
        assert!(sockets(&bytes).len() <= 1, "length {length}");
        bytes[..4].copy_from_slice(&length.to_ne_bytes());
        assert!(sockets(&bytes).len() <= 1, "header of length {length}");
    }
}

fn fd_socket(kind: i32, pair: Pair, state: i32) -> Vec<u8> {
    let file = Record::default().int(3).int(0).quad(0).int(0).int(0);
    let stat = file.zeros(136);
    let head = stat.quad(0xaaaa).quad(0xbbbb).int(1).int(6).int(if pair.local.is_ipv6() { 30 } else { 2 });
    let shorts = (0..8).fold(head, |record, _| record.short(0));
    let buffers = shorts.int(0).zeros(24).zeros(24);
    let ini = buffers
        .int(kind)
        .int(0)
        .port(pair.remote)
        .zeros(2)
        .port(pair.local)
        .zeros(2)
        .quad(9)
        .int(0)
        .int(0)
        .put(&[if pair.local.is_ipv6() { 2 } else { 1 }, 64, 0, 0])
        .int(0)
        .ip(pair.remote)
        .ip(pair.local)
        .zeros(16);
    let tcp = ini.int(state).zeros(36);
    let missing = SOCKET_FD_INFO - tcp.0.len();
    tcp.zeros(missing).0
}

#[rstest]
#[case(listener(), 1)]
#[case(connection(), 4)]
#[case(pair("[::1]:9877", "[::1]:40000"), 5)]
fn both_lists_give_a_socket_the_same_identity(#[case] pair: Pair, #[case] state: i32) {
    let listed = sockets(&list(&[one(pair, 0x52, 2, 0, 0, 0, state)]));
    assert_eq!(identity_of_socket(&fd_socket(SOCKINFO_TCP, pair, state)), Some(listed[0].inode));
}

#[rstest]
#[case::udp(SOCKINFO_IN, true)]
#[case::tcp(SOCKINFO_TCP, false)]
#[case::unix_domain(3, false)]
fn a_datagram_socket_is_known(#[case] kind: i32, #[case] datagrams: bool) {
    assert_eq!(is_datagram_socket(&fd_socket(kind, connection(), 0)), datagrams);
}

#[test]
fn only_tcp_sockets_that_listen_or_are_connected_have_an_identity() {
    assert_eq!(identity_of_socket(&fd_socket(3, connection(), 4)), None, "a Unix domain socket");
    assert_eq!(identity_of_socket(&fd_socket(SOCKINFO_TCP, connection(), 0)), None, "closed");
    let whole = fd_socket(SOCKINFO_TCP, connection(), 4);
    assert!((0..whole.len()).all(|length| {
        let found = identity_of_socket(&whole[..length]);
        found.is_none() || found == identity_of_socket(&whole)
    }));
}

fn process(status: i32, xstatus: i32) -> Vec<u8> {
    let ids = Record::default().int(0x10).int(status).int(xstatus).int(4711).int(4242);
    let users = ids.int(501).int(20).int(501).int(20).int(501).int(20).int(0);
    users
        .put(b"myserver\0garbage")
        .zeros(32)
        .int(5)
        .int(4711)
        .int(0)
        .int(-1)
        .int(0)
        .int(0)
        .quad(1_700_000_000)
        .quad(123)
        .0
}

#[test]
fn a_process_is_read() {
    let bytes = process(2, 0);
    assert_eq!(bytes.len(), 136);
    let found = bsd_process(&bytes).unwrap();
    assert_eq!((found.pid, found.parent, found.user, found.name.as_str()), (4711, 4242, 501, "myserver"));
    assert_eq!(found.started, 1_700_000_000_000_123);
    assert_eq!((found.stopped, found.zombie), (false, None));
    assert!(bsd_process(&process(4, 0)).unwrap().stopped);
    assert!((0..136).all(|length| bsd_process(&bytes[..length]).is_none()));
}

#[rstest]
#[case(0, End::Exited(0))]
#[case(3 << 8, End::Exited(3))]
#[case(9, End::Signalled(9))]
fn a_zombie_tells_how_it_ended(#[case] status: i32, #[case] end: End) {
    assert_eq!(bsd_process(&process(5, status)).unwrap().zombie, Some(end));
}

#[test]
fn threads_are_counted() {
    let task = Record::default().zeros(48).zeros(36).int(4).int(1).int(31).0;
    assert_eq!(task.len(), 96);
    assert_eq!(threads(&task), Some((4, 1)));
    assert_eq!(threads(&task[..80]), None);
}

#[test]
fn descriptors_are_listed_and_half_a_record_is_none() {
    let bytes = Record::default().int(0).int(1).int(3).int(2).int(9).0;
    assert_eq!(descriptor_types(&bytes).collect::<Vec<_>>(), [(0, FD_VNODE), (3, FD_SOCKET)]);
}

#[test]
fn every_type_of_descriptor_has_words() {
    assert_eq!(words_for_type(FD_VNODE), "a file");
    assert_eq!(words_for_type(5), "a kqueue");
    assert_eq!(words_for_type(11), "a descriptor of type 11");
}

#[test]
fn a_file_has_its_path() {
    let mut bytes = Record::default().zeros(24 + 136 + 16).put(b"/dev/ttys004").0;
    bytes.resize(VNODE_FD_INFO, 0);
    assert_eq!(path_of_file(&bytes).as_deref(), Some("/dev/ttys004"));
    assert_eq!(path_of_file(&bytes[..100]), None);
    assert_eq!(path_of_file(&[0; VNODE_FD_INFO]), None);
}

#[test]
fn words_and_environment_are_told_apart() {
    let bytes =
        Record::default().int(2).put(b"/bin/server\0\0\0\0\0server\09877\0HOME=/\0FORKSPEC_PROGRAM=s\0\0ptr=1\0").0;
    let (words, environment) = words_and_environment(&bytes).unwrap();
    assert_eq!(words, ["server", "9877"]);
    assert_eq!(environment, ["HOME=/", "FORKSPEC_PROGRAM=s"]);
    for length in 0..bytes.len() {
        let _ = words_and_environment(&bytes[..length]);
    }
    assert_eq!(words_and_environment(&(-1i32).to_ne_bytes()), None);
}
