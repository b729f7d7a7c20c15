//! Connections and what goes over them.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use super::expect::Subject;
use super::peer::Peer;
use super::program::Program;
use super::quiet::QUIET;
use super::room::Room;
use super::scene::Scene;
use super::start::last_words;
use super::steps::{Stop, Topic, miss, skip, trouble};
use super::superserver::listening_socket;
use super::watch::{Finding, Manner, PATIENCE, START_PATIENCE, Waited};
use super::wording::expected;
use crate::observe::Socket;
use crate::scenario::{CheckKind, Form, Payload, Role, Timing, show};
use crate::tcp::TcpState;

/// The book's smallest backlog is 5 (UNPv1 §4.5); so many connections fit into any.
const SMALL_BACKLOG: u32 = 4;

/// The clients of a `visits` step, who come one after another, take no longer than this all together.
const LONGEST_VISITS: Duration = Duration::from_secs(20);

impl Scene {
    pub fn destination(&self, address: Option<&str>) -> Result<SocketAddr, Stop> {
        let Some(text) = address else { return Ok(self.address()) };
        match text.parse() {
            Ok(ip) => Ok(SocketAddr::new(ip, self.request.port)),
            Err(_) => trouble(format!("`{text}` is not an address")),
        }
    }

    /// Lets the server accept before its backlog can be full: a handshake that finds it so is repeated after a second.
    /// A server that does not accept, because it is stopped, shows that by being at rest.
    /// Returns whether it accepts.
    pub fn let_accept(&mut self) -> Result<bool, Stop> {
        let port = self.request.port;
        let waits = |socket: &Socket| {
            socket.state == TcpState::Listen
                && socket.pair.local.port() == port
                && socket.unread >= SMALL_BACKLOG.min(socket.unsent.max(1))
        };
        if !self.list_sockets()?.iter().any(waits) {
            return Ok(true);
        }
        let waited = self.watch(Manner::Arrives, Timing::Within(QUIET), true, |_, view| {
            let full = view.is_some_and(|view| view.sockets.iter().any(waits));
            Ok(if full { Finding::NotYet("the backlog is filling".into()) } else { Finding::Holds })
        })?;
        Ok(waited == Waited::Held)
    }

    /// Nobody listens: is somebody about to, as a worker that takes the place of one that was killed?
    fn until_somebody_listens(&mut self, to: SocketAddr) -> Result<bool, Stop> {
        let waited = self.watch(Manner::Arrives, Timing::Natural, true, |_, view| {
            let listens = view.is_some_and(|view| view.listeners(to.port()).next().is_some());
            Ok(if listens { Finding::Holds } else { Finding::NotYet("nothing listens".into()) })
        })?;
        Ok(waited == Waited::Held)
    }

    pub fn connect(&mut self, name: &str, to: SocketAddr, room: Room, patience: Duration) -> Result<(), Stop> {
        let connected = match Peer::connect(to, room, patience) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused && self.until_somebody_listens(to)? => {
                Peer::connect(to, room, patience)
            }
            connected => connected,
        };
        match connected {
            Ok(peer) => {
                self.note(format!("{name} connects: {}", peer.pair));
                self.add_peer(name, peer);
                Ok(())
            }
            Err(error) => {
                self.look()?;
                let observed = match error.kind() {
                    ErrorKind::ConnectionRefused => "connection refused: nothing listens there".into(),
                    ErrorKind::TimedOut => {
                        format!("no answer in {} ms: the server's backlog is full", patience.as_millis())
                    }
                    _ => error.to_string(),
                };
                miss(Topic::Connect, format!("{name} connects to {to}"), observed)
            }
        }
    }

    pub fn listen(&mut self, name: &str, narrow: bool) -> Result<(), Stop> {
        if !self.request.isolation.has_own_network() {
            self.have_port()?;
        }
        let room = if narrow { Room::Little } else { Room::Usual };
        let opened = listening_socket(self.request.port, room).map_err(io::Error::from);
        match opened.and_then(|listener| Ok((listener.local_addr()?.port(), listener))) {
            Ok((port, listener)) => {
                self.request.port = port;
                self.note(format!("{name} listens on port {port}"));
                self.listeners.insert(name.to_owned(), listener);
                Ok(())
            }
            Err(error) => trouble(format!("{name} cannot listen on port {}: {error}", self.request.port)),
        }
    }

    pub fn accept(&mut self, name: &str, on: &str) -> Result<(), Stop> {
        self.starting = true;
        let waited = self.watch(Manner::Arrives, Timing::Within(START_PATIENCE), true, |scene, _| {
            let Some(listener) = scene.listeners.get(on) else { return Ok(Finding::Never("no such socket".into())) };
            match Peer::accept(listener)? {
                Some(peer) => {
                    scene.note(format!("{name} is accepted: {}", peer.pair));
                    scene.add_peer(name, peer);
                    Ok(Finding::Holds)
                }
                None => {
                    let clients = scene.programs.values().filter(|program| program.role == Role::Client);
                    // It is the one that was started last that is awaited.
                    let client = clients.max_by_key(|program| program.number);
                    let ended = client.and_then(|program| Some((program.end?, last_words(program))));
                    Ok(match ended {
                        Some((end, words)) => {
                            Finding::Never(format!("no connection came, and the client {end}{words}"))
                        }
                        None => Finding::NotYet("no connection came".into()),
                    })
                }
            }
        })?;
        self.starting = false;
        match waited {
            Waited::Held => Ok(()),
            Waited::Failed(observed) => miss(Topic::Accept, "the client connects", observed),
        }
    }

    pub fn type_text(&mut self, programs: &[String], text: &Payload) -> Result<(), Stop> {
        for name in programs {
            if let Some(program) = self.programs.get_mut(name) {
                program.typing.queue(text.bytes());
            }
            self.note(format!("{name} is typed {}", show(text.bytes())));
            // A pipe or a terminal takes some; the rest goes as the program reads it.
            self.pump();
        }
        Ok(())
    }

    pub fn end_input(&mut self, programs: &[String]) -> Result<(), Stop> {
        for name in programs {
            let owned = name.clone();
            let waited = self.watch(Manner::Arrives, Timing::Natural, false, |scene, _| {
                let typed = scene.programs.get(&owned).is_none_or(Program::has_typed_all);
                Ok(if typed { Finding::Holds } else { Finding::NotYet("it does not read what was typed".into()) })
            })?;
            if let Waited::Failed(observed) = waited {
                return miss(Topic::Send, format!("{name} reads its standard input to the end"), observed);
            }
            if let Some(program) = self.programs.get_mut(name) {
                program.end_input();
            }
            self.note(format!("{name}'s standard input ends"));
        }
        Ok(())
    }

    pub fn send(&mut self, peers: &[String], data: &Payload, wait: bool) -> Result<(), Stop> {
        let bytes = data.bytes();
        for name in peers {
            if let Some(peer) = self.peers.get_mut(name) {
                peer.outbox.queue(bytes);
                peer.turn(&mut self.scratch);
            }
            self.note(format!("{name} sends {}", show(bytes)));
        }
        if !wait {
            return Ok(());
        }
        for name in peers {
            let owned = name.clone();
            let waited = self.watch(Manner::Arrives, Timing::Natural, false, |scene, _| {
                let Some(peer) = scene.peers.get(&owned) else { return Ok(Finding::Never("no such peer".into())) };
                let (left, all) = peer.outbox.left();
                Ok(if left == 0 {
                    Finding::Holds
                } else {
                    Finding::NotYet(format!("{left} of {all} bytes do not go out"))
                })
            })?;
            if let Waited::Failed(observed) = waited {
                return miss(Topic::Send, format!("{name} can send {} bytes", bytes.len()), observed);
            }
        }
        Ok(())
    }

    pub fn each_peer(
        &mut self,
        names: &[String],
        what: &str,
        act: impl Fn(&mut Peer) -> io::Result<()>,
    ) -> Result<(), Stop> {
        for name in names {
            // What the kernel has for us already arrived before the step.
            if let Some(peer) = self.peers.get_mut(name) {
                peer.turn(&mut self.scratch);
                act(peer)?;
            }
        }
        match names {
            [one] => self.note(format!("{one} {what}")),
            [first, .., last] => self.note(format!("{first} … {last}, each of {}, {what}", names.len())),
            [] => {}
        }
        Ok(())
    }

    pub fn visits(&mut self, count: u64) -> Result<(), Stop> {
        let (to, beginning) = (self.address(), self.delays.mark());
        for number in 1..=count {
            self.visit(&format!("visitor {number} of {count}"), to)?;
            if number < count && self.delays.counted(&beginning) >= LONGEST_VISITS {
                let longest = LONGEST_VISITS.as_secs();
                return skip(format!(
                    "{number} of {count} clients have been served in {longest} s: so slow a server is not judged by this"
                ));
            }
        }
        self.note(format!("{count} clients have come and gone, one after another"));
        Ok(())
    }

    /// One client: connects, sends a line, reads its echo, closes, and is gone from the server.
    pub fn visit(&mut self, name: &str, to: SocketAddr) -> Result<(), Stop> {
        self.call(name, to)?;
        self.leave(name)
    }

    /// Connects, sends a line and reads its echo.
    pub fn call(&mut self, name: &str, to: SocketAddr) -> Result<(), Stop> {
        let line = Payload::from(Form::Bytes(format!("{name}\n").into_bytes()));
        self.reach(name, to)?;
        if let Some(peer) = self.peers.get_mut(name) {
            peer.outbox.queue(line.bytes());
        }
        let check = CheckKind::Receives(line);
        let subject = Subject::Peer(name.to_owned());
        let waited =
            self.watch(Manner::Arrives, Timing::Natural, false, |scene, _| scene.find(&check, &subject, None))?;
        if let Waited::Failed(observed) = waited {
            let expected = expected(&check, &subject);
            return miss(Topic::Check(check, subject), expected, observed);
        }
        Ok(())
    }

    /// Connects.
    pub fn reach(&mut self, name: &str, to: SocketAddr) -> Result<(), Stop> {
        match Peer::connect(to, Room::Usual, PATIENCE) {
            Ok(peer) => {
                self.add_peer(name, peer);
                Ok(())
            }
            Err(error) => miss(Topic::Connect, format!("{name} connects to {to}"), error.to_string()),
        }
    }

    /// Closes, and waits until the server's end is closed by everybody that had it open.
    pub fn leave(&mut self, name: &str) -> Result<(), Stop> {
        let pair = self.peers.get(name).map(|peer| peer.pair);
        self.peers.remove(name);
        self.stir();
        let waited = self.watch(Manner::Arrives, Timing::Natural, false, |scene, _| {
            let Some(pair) = pair else { return Ok(Finding::Never("nothing can be seen".into())) };
            Ok(match scene.socket_state(pair.reversed())? {
                TcpState::Gone => Finding::Holds,
                state => Finding::NotYet(format!("the server's end is in {state}")),
            })
        })?;
        match waited {
            Waited::Held => Ok(()),
            Waited::Failed(observed) => {
                miss(Topic::Leave, format!("the server ends {name}'s connection when it has closed"), observed)
            }
        }
    }
}
