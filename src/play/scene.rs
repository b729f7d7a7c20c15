//! Everything that is on the stage, and one look at it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags};

use super::delays::{Delays, Mark};
use super::known::{Identity, Known};
use super::peer::{Ended, Peer};
use super::program::Program;
use super::quiet::Quiet;
use super::superserver::Superserver;
use crate::observe::{Descriptor, DescriptorKind, EndWatch, Pair, Process, ProcessTable, Socket, SocketTable, wait};
use crate::scenario::Role;
use crate::stage::{Record, Request, Surroundings};
use crate::tcp::TcpState;

/// Where records go as things happen.
pub type Teller = Box<dyn Fn(&Record)>;

/// The stage while a scenario is played.
pub struct Scene {
    /// What the runner asked for.
    pub request: Request,
    /// The programs that were started, by name.
    pub programs: BTreeMap<String, Program>,
    /// The peers, by name.
    pub peers: BTreeMap<String, Peer>,
    /// The runner in inetd's place, if the server is launched so.
    pub superserver: Option<Superserver>,
    /// The runner's own listening sockets, by name.
    pub listeners: BTreeMap<String, TcpListener>,
    /// The handlers of peers' connections that have been found.
    pub handlers: BTreeMap<String, Identity>,
    /// All processes of the subject that were ever seen.
    pub known: HashMap<Identity, Known>,
    /// Where the stage's processes can be seen.
    pub processes: ProcessTable,
    sockets: SocketTable,
    /// Connections that no client of the subject has made: the runner's own, and those that were there before.
    not_clients: HashSet<Pair>,
    /// How many there were before.
    before: usize,
    /// Where what is read goes through.
    pub scratch: Vec<u8>,
    init: i32,
    player: i32,
    since: Instant,
    /// When data moved last.
    pub last_traffic: Mark,
    /// When a client was seen to connect last: until then it was starting.
    pub last_start: Mark,
    /// How long programs have waited for a processor.
    pub delays: Delays,
    /// The time since something moved that shows.
    pub quiet: Quiet,
    /// A program that is played is known to keep a processor busy with nothing to do.
    pub spins: bool,
    /// The stage was seen at rest, and the runner has done nothing since: it still is.
    pub at_rest: bool,
    teller: Teller,
    waits: bool,
    /// A program is starting.
    pub starting: bool,
    /// The step that is being done, counted from 0; what is waited for before it still belongs to the one before.
    pub step: usize,
}

/// So much a client may print for each of its lines and on its own.
const PROMPTS: usize = 64 << 10;

/// One look at the stage.
#[derive(Debug, Clone)]
pub struct View {
    /// The subject's processes, in the order of their start.
    pub processes: Vec<Process>,
    /// The sockets of the stage's network.
    pub sockets: Vec<Socket>,
}

/// Whether a connection is in its listening socket's queue: one that was accepted and closed has left these states.
pub fn waits_for_accept(socket: &Socket) -> bool {
    socket.inode == 0 && matches!(socket.state, TcpState::Established | TcpState::CloseWait)
}

impl View {
    /// How many children of a process live.
    pub fn live_children(&self, parent: i32) -> usize {
        self.processes.iter().filter(|child| child.parent == parent && !child.is_zombie()).count()
    }

    /// The process with this id.
    pub fn process(&self, pid: i32) -> Option<&Process> {
        self.processes.iter().find(|process| process.pid == pid)
    }

    /// Whether a process is another one, or was made by it, or by one that was.
    pub fn descends(&self, pid: i32, from: i32) -> bool {
        let parent = |pid: &i32| self.process(*pid).map(|process| process.parent);
        // No chain of parents is longer than the table.
        std::iter::successors(Some(pid), parent).take(self.processes.len() + 1).any(|pid| pid == from)
    }

    /// The sockets that listen on this port; 0: on any.
    pub fn listeners(&self, port: u16) -> impl Iterator<Item = &Socket> {
        let is_meant = move |socket: &Socket| port == 0 || socket.pair.local.port() == port;
        self.sockets.iter().filter(move |socket| socket.state == TcpState::Listen && is_meant(socket))
    }

    /// The socket of this end of a connection.
    pub fn socket(&self, pair: Pair) -> Option<&Socket> {
        self.sockets.iter().find(|socket| socket.pair == pair)
    }

    /// The state of this end of a connection.
    pub fn state(&self, pair: Pair) -> TcpState {
        self.socket(pair).map_or(TcpState::Gone, |socket| socket.state)
    }
}

impl Scene {
    /// An empty stage.
    pub fn new(request: Request, surroundings: Surroundings, teller: Teller) -> io::Result<Scene> {
        let mut sockets = SocketTable::open()?;
        let delays = Delays::default();
        let not_clients: HashSet<Pair> = sockets.list()?.into_iter().map(|socket| socket.pair).collect();
        Ok(Scene {
            spins: request.spins,
            request,
            programs: BTreeMap::new(),
            peers: BTreeMap::new(),
            superserver: None,
            listeners: BTreeMap::new(),
            handlers: BTreeMap::new(),
            known: HashMap::new(),
            processes: surroundings.processes,
            sockets,
            before: not_clients.len(),
            not_clients,
            scratch: vec![0; 64 << 10],
            init: surroundings.init,
            player: nix::unistd::getpid().as_raw(),
            since: Instant::now(),
            last_traffic: delays.mark(),
            last_start: delays.mark(),
            delays,
            quiet: Quiet::new(),
            at_rest: false,
            teller,
            waits: false,
            starting: false,
            step: 0,
        })
    }

    /// Puts something on the timeline.
    pub fn note(&mut self, text: impl AsRef<str>) {
        (self.teller)(&Record::Event { at: self.since.elapsed(), text: text.as_ref().to_owned() });
    }

    /// Lets the runner know, once, that this play waits and that another one may use the time.
    pub fn let_others_play(&mut self, busy: bool) {
        if !self.waits {
            self.waits = true;
            (self.teller)(&Record::Yields { busy });
        }
    }

    /// Something has moved that shows: what was seen of tasks that go round in circles counts no more.
    pub fn stir(&mut self) {
        self.quiet = Quiet::new();
        self.at_rest = false;
    }

    /// Tells the runner that this play has waited for what another one has left.
    pub fn waited(&mut self, time: Duration) {
        (self.teller)(&Record::Waited(time));
    }

    /// The time since the stage was ready.
    pub fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }

    /// Where the server is to be reached.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), self.request.port)
    }

    /// The id of the process that orphans are handed to.
    pub fn init(&self) -> i32 {
        self.init
    }

    /// Adds a peer.
    pub fn add_peer(&mut self, name: &str, peer: Peer) {
        self.not_clients.insert(peer.pair);
        self.peers.insert(name.to_owned(), peer);
        self.stir();
    }

    /// How many connections the runner has made or accepted so far.
    pub fn connections(&self) -> usize {
        self.not_clients.len() - self.before
    }

    /// Whether a peer was ever answered: one that is gone left because it was.
    pub fn has_answered(&self) -> bool {
        self.connections() > self.peers.len() || self.peers.values().any(|peer| peer.inbox.received() > 0)
    }

    /// The program that judges servers: the first one of that role.
    pub fn server(&self) -> Option<(&String, &Program)> {
        let servers = self.programs.iter().filter(|(_, program)| program.role == Role::Server);
        servers.min_by_key(|(_, program)| program.number)
    }

    /// Reads and sends everything that can be without waiting. Returns whether anything moved.
    pub fn pump(&mut self) -> bool {
        let mut moved = self.superserve();
        let mut traffic = moved;
        let sent = self.sent();
        let mut notes = Vec::new();
        for (name, peer) in &mut self.peers {
            let before = peer.ended;
            peer.inbox.allow(sent);
            let turned = peer.turn(&mut self.scratch);
            moved |= turned;
            // More than was sent is no answer to anything.
            let asked = if peer.asks && peer.outbox.total > 0 { peer.outbox.total } else { sent };
            traffic |= turned && peer.inbox.received() <= asked;
            if before.is_none() && peer.ended.is_some() {
                peer.ended_in = Some(self.step);
            }
            match (before, peer.ended) {
                (None, Some(Ended::Fin)) => notes.push(format!("{name} reads the end of file: a FIN has come")),
                (None, Some(Ended::Reset)) => notes.push(format!("{name} gets ECONNRESET: a RST has come")),
                _ => {}
            }
        }
        for (name, program) in &mut self.programs {
            let before = program.end;
            program.stdout.allow(sent);
            program.stderr.allow(sent);
            let data = |program: &Program| (program.stdout.received(), program.typing.left());
            let data_before = data(program);
            moved |= program.turn(&mut self.scratch);
            // What a server prints is no answer to anybody, and neither is a complaint.
            traffic |= data(program) != data_before
                && program.role == Role::Client
                && program.stdout.received() <= 4 * sent + PROMPTS;
            if let (None, Some(end)) = (before, program.end) {
                program.ended_in = Some(self.step);
                notes.push(format!("{name} ({}) {end}", program.pid));
            }
        }
        for note in notes {
            self.note(note);
        }
        if traffic {
            self.last_traffic = self.delays.mark();
            self.stir();
        }
        moved | traffic
    }

    /// How many bytes the runner has sent and typed: no echo is longer.
    fn sent(&self) -> usize {
        let peers = self.peers.values().map(|peer| peer.outbox.total);
        peers.chain(self.programs.values().map(|program| program.typing.total)).sum()
    }

    /// Waits until something can be read or sent or a process ends, at most for this time.
    pub fn wait(&mut self, at_most: Duration) {
        let mut fds: Vec<PollFd<'_>> = Vec::new();
        fds.extend(self.peers.values().filter_map(Peer::interest).map(|(fd, flags)| PollFd::new(fd, flags)));
        fds.extend(self.programs.values().flat_map(Program::interests).map(|(fd, flags)| PollFd::new(fd, flags)));
        fds.extend(self.superserver.iter().flat_map(Superserver::interests).map(|(fd, flags)| PollFd::new(fd, flags)));
        let first = fds.len();
        let live = self.known.iter().filter(|(_, known)| !known.gone && !known.ending);
        let (identities, watches): (Vec<Identity>, Vec<&EndWatch>) =
            live.filter_map(|(identity, known)| Some((*identity, known.watch.as_ref()?))).unzip();
        fds.extend(watches.into_iter().map(|watch| PollFd::new(watch.as_fd(), PollFlags::POLLIN)));
        wait(&mut fds, at_most);
        let ready: Vec<bool> = fds[first..].iter().map(|fd| fd.any().unwrap_or_default()).collect();
        drop(fds);
        for (identity, _) in identities.iter().zip(ready).filter(|(_, ready)| *ready) {
            if let Some(known) = self.known.get_mut(identity) {
                known.ending = true;
            }
        }
    }

    /// Looks at processes and sockets, and notes what is new.
    pub fn look(&mut self) -> io::Result<View> {
        let processes = self.list_processes()?;
        let sockets = self.sockets.list()?;
        let view = View { processes, sockets };
        self.meet(&view.processes);
        self.follow_daemons(&view);
        self.find_client_connections(&view);
        self.find_clients_left(&view);
        Ok(view)
    }

    /// The subject's processes at this moment.
    pub fn list_processes(&self) -> io::Result<Vec<Process>> {
        let mut list = self.processes.list()?;
        list.retain(|process| process.pid != self.init && process.pid != self.player);
        Ok(list)
    }

    /// The sockets at this moment.
    pub fn list_sockets(&mut self) -> io::Result<Vec<Socket>> {
        let mut sockets = self.sockets.list()?;
        if !self.request.isolation.has_own_network() {
            // The machine's other connections are not our business.
            let port = self.request.port;
            sockets.retain(|socket| socket.pair.local.port() == port || socket.pair.remote.port() == port);
        }
        Ok(sockets)
    }

    /// The state of one end of a connection at this moment.
    pub fn socket_state(&mut self, pair: Pair) -> io::Result<TcpState> {
        self.sockets.state(pair)
    }

    /// The processes that have a socket open, in the order of their start.
    pub fn owners<'v>(&self, view: &'v View, inode: u64) -> Vec<&'v Process> {
        if inode == 0 {
            return Vec::new();
        }
        view.processes.iter().filter(|process| self.holds(process, inode)).collect()
    }

    /// The processes that have this end of a connection open.
    pub fn owners_of_end<'v>(&self, view: &'v View, pair: Pair) -> Vec<&'v Process> {
        view.socket(pair).map(|socket| self.owners(view, socket.inode)).unwrap_or_default()
    }

    /// Whether a task of a process sleeps in a call of one of these families.
    pub fn sleeps_in(&self, process: &Process, calls: &[&str]) -> bool {
        self.processes.asleep_in(process).iter().any(|family| calls.contains(&family.as_str()))
    }

    /// Whether a process sleeps in reading from a socket.
    pub fn reads_socket(&self, process: &Process, inode: u64) -> bool {
        let numbers = self.processes.reads_from(process);
        let table = self.processes.descriptors(process).unwrap_or_default();
        let is_it = |one: &Descriptor| numbers.contains(&one.number) && one.kind == DescriptorKind::Socket(inode);
        table.iter().any(is_it)
    }

    /// Whether a process has a socket open.
    pub fn holds(&self, process: &Process, inode: u64) -> bool {
        let table = self.processes.descriptors(process).unwrap_or_default();
        table.iter().any(|descriptor| descriptor.kind == DescriptorKind::Socket(inode))
    }

    /// The listening sockets of a program on any port.
    pub fn listeners_of<'v>(&self, view: &'v View, program: &str) -> Vec<&'v Socket> {
        let family = self.family(view, program);
        let listening = view.sockets.iter().filter(|socket| socket.state == TcpState::Listen);
        listening.filter(|socket| family.iter().any(|process| self.holds(process, socket.inode))).collect()
    }

    /// Notices when a client is left by the other side.
    fn find_clients_left(&mut self, view: &View) {
        let silence = self.delays.counted(&self.last_traffic);
        for program in self.programs.values_mut().filter(|program| program.silence.is_none()) {
            if program.pair.is_some_and(|pair| view.state(pair) == TcpState::CloseWait) {
                program.silence = Some(silence);
            }
        }
    }

    /// A client's connection stays known when its owner has gone: TIME_WAIT belongs to nobody.
    fn find_client_connections(&mut self, view: &View) {
        let port = self.request.port;
        let to_port = |socket: &&Socket| socket.pair.remote.port() == port && socket.state != TcpState::Listen;
        let foreign: Vec<&Socket> = view
            .sockets
            .iter()
            .filter(to_port)
            .filter(|socket| !self.not_clients.contains(&socket.pair))
            .filter(|socket| !self.programs.values().any(|program| program.pair == Some(socket.pair)))
            .collect();
        if foreign.is_empty() {
            return;
        }
        let mut notes = Vec::new();
        let waiting: Vec<String> = self
            .programs
            .iter()
            .filter(|(_, program)| program.role == Role::Client && program.pair.is_none())
            .map(|(name, _)| name.clone())
            .collect();
        for socket in foreign {
            let owner = waiting
                .iter()
                .find(|name| self.family(view, name).iter().any(|process| self.holds(process, socket.inode)));
            // Nobody owns it any more, and one client only can have made it.
            let owner = owner.or(if waiting.len() == 1 && socket.inode == 0 { waiting.first() } else { None });
            if let Some(program) = owner.and_then(|name| self.programs.get_mut(name))
                && program.pair.is_none()
            {
                program.pair = Some(socket.pair);
                self.last_start = self.delays.mark();
                notes.push(format!("{} has a connection: {}", owner.map_or("", |name| name), socket.pair));
            }
        }
        for note in notes {
            self.note(note);
        }
    }
}
