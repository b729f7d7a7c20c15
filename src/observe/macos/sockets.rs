//! TCP sockets, owned or not, through sysctl `net.inet.tcp.pcblist_n`.

use std::io;

use super::{kernel, records};
use crate::observe::{Pair, Socket};
use crate::tcp::TcpState;

/// The sockets of the machine.
#[derive(Debug)]
pub struct SocketTable {
    _opened: (),
}

impl SocketTable {
    /// Opens the table; fails where the kernel does not show it.
    pub fn open() -> io::Result<SocketTable> {
        kernel::connections().map(|_| SocketTable { _opened: () })
    }

    /// All TCP sockets, IPv4 and IPv6. IPv4 addresses that IPv6 sockets carry are shown as IPv4.
    pub fn list(&mut self) -> io::Result<Vec<Socket>> {
        Ok(records::sockets(&kernel::connections()?))
    }

    /// The state of one end of a connection.
    pub fn state(&mut self, pair: Pair) -> io::Result<TcpState> {
        let found = self.list()?.into_iter().find(|socket| socket.pair == pair);
        Ok(found.map_or(TcpState::Gone, |socket| socket.state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn both_ends_of_a_connection_are_listed_with_their_owner() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let pair = Pair { local: client.local_addr().unwrap(), remote: client.peer_addr().unwrap() };
        let mut table = SocketTable::open().unwrap();
        let of = |table: &mut SocketTable, pair: Pair| {
            table.list().unwrap().into_iter().find(|socket| socket.pair == pair).unwrap()
        };
        assert_eq!(of(&mut table, pair.reversed()).inode, 0, "it is not accepted yet");
        let (_server, _) = listener.accept().unwrap();
        for pair in [pair, pair.reversed()] {
            assert_eq!(of(&mut table, pair).state, TcpState::Established);
            assert_ne!(of(&mut table, pair).inode, 0);
        }
        let nobody = Pair { remote: "127.0.0.1:1".parse().unwrap(), ..pair.reversed() };
        assert_eq!(table.state(nobody).unwrap(), TcpState::Gone);
    }
}
