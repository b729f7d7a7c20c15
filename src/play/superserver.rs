//! The superserver: listens and accepts in the server's stead, and executes it for each connection (UNPv1 §13.5).

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};

use nix::poll::PollFlags;
use nix::sys::socket::{AddressFamily, Backlog, SockaddrStorage, bind, listen, setsockopt, sockopt};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::peer::tcp_socket;
use super::program::Program;
use super::room::Room;
use super::scene::Scene;
use crate::scenario::Limits;
use crate::stage::{Console, Spawn, spawn};

/// It and what it started.
#[derive(Debug)]
pub struct Superserver {
    /// One for IPv4 and, where there is IPv6, one for that: the executed program gets a socket of its client's family.
    listeners: Vec<TcpListener>,
    /// The program that its processes belong to.
    pub program: String,
    words: Vec<String>,
    limits: Limits,
    children: Vec<Pid>,
}

const ANY_IPV4: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const ANY_IPV6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// A listening socket of the runner's that never makes it wait: on `[::]` for both IPv6 and IPv4 where there is IPv6.
pub fn listening_socket(port: u16, room: Room) -> nix::Result<TcpListener> {
    open(ANY_IPV6, port, false, room).or_else(|_| open(ANY_IPV4, port, false, room))
}

fn open(address: IpAddr, port: u16, alone: bool, room: Room) -> nix::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let descriptor = tcp_socket(family)?;
    setsockopt(&descriptor, sockopt::ReuseAddr, &true)?;
    if address.is_ipv6() {
        setsockopt(&descriptor, sockopt::Ipv6V6Only, &alone)?;
    }
    room.furnish(&descriptor)?;
    let address = SockaddrStorage::from(SocketAddr::new(address, port));
    bind(std::os::fd::AsRawFd::as_raw_fd(&descriptor), &address)?;
    listen(&descriptor, Backlog::MAXCONN)?;
    Ok(TcpListener::from(descriptor))
}

impl Superserver {
    /// Begins to listen.
    pub fn new(port: u16, program: &str, words: Vec<String>, limits: Limits) -> nix::Result<Superserver> {
        let first = open(ANY_IPV4, port, false, Room::Usual)?;
        // With port 0 the kernel has chosen one, and both families share it.
        let port = first.local_addr().map_or(port, |address| address.port());
        let listeners = std::iter::once(first).chain(open(ANY_IPV6, port, true, Room::Usual)).collect();
        Ok(Superserver { listeners, program: program.to_owned(), words, limits, children: Vec::new() })
    }

    /// The port that it listens on.
    pub fn port(&self) -> io::Result<u16> {
        Ok(self.listeners[0].local_addr()?.port())
    }

    /// What to wait for on it.
    pub fn interests(&self) -> impl Iterator<Item = (std::os::fd::BorrowedFd<'_>, PollFlags)> {
        self.listeners.iter().map(|listener| (listener.as_fd(), PollFlags::POLLIN))
    }
}

impl Scene {
    /// Accepts and executes what can be without waiting, and reaps. Returns whether anything moved.
    pub fn superserve(&mut self) -> bool {
        let Some(mut superserver) = self.superserver.take() else { return false };
        let mut connections = Vec::new();
        for listener in &superserver.listeners {
            loop {
                match listener.accept() {
                    Ok((stream, _)) => {
                        // Where accept hands down the listening socket's flags, the program must not get a socket that
                        // does not block.
                        let _ = stream.set_nonblocking(false);
                        connections.push(OwnedFd::from(stream));
                    }
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    // A client that has left already is no client (UNPv1 §5.11), and with none the call would block.
                    Err(_) => break,
                }
            }
        }
        let mut moved = !connections.is_empty();
        for connection in connections {
            self.execute(&mut superserver, connection);
        }
        superserver.children.retain(|child| {
            let status = waitpid(*child, Some(WaitPidFlag::WNOHANG));
            moved |= status != Ok(WaitStatus::StillAlive);
            status == Ok(WaitStatus::StillAlive)
        });
        self.superserver = Some(superserver);
        moved
    }

    fn execute(&mut self, superserver: &mut Superserver, connection: OwnedFd) {
        let numbered = superserver.words.iter().any(|word| word.contains("{fd}"));
        let console =
            if numbered { Console::Descriptor(connection.as_fd()) } else { Console::Socket(connection.as_fd()) };
        let words: Vec<String> =
            superserver.words.iter().map(|word| word.replace("{fd}", &crate::stage::HANDED_OVER.to_string())).collect();
        let request = Spawn {
            program: &words[0],
            words: &words,
            name: &superserver.program,
            limits: superserver.limits,
            console,
        };
        match spawn(&request) {
            Ok(spawned) => {
                self.note(format!("{} is executed for a connection as process {}", superserver.program, spawned.pid));
                superserver.children.push(spawned.pid);
                if let Some(program) = self.programs.get_mut(&superserver.program) {
                    program.hear(spawned.stdout, spawned.stderr);
                }
            }
            Err(error) => self.note(format!("{} is not executed: {error}", superserver.program)),
        }
    }

    /// Begins to serve: the program has no process of its own until a client comes.
    pub fn start_superserver(&mut self, name: &str, words: Vec<String>, limits: Limits) -> io::Result<()> {
        let superserver = Superserver::new(self.request.port, name, words, limits)?;
        self.request.port = superserver.port()?;
        self.note(format!("the runner listens on port {} and executes {name} for each connection", self.request.port));
        self.programs.insert(name.to_owned(), Program::without_process());
        self.superserver = Some(superserver);
        Ok(())
    }
}
