//! What each step does.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, setsockopt, socket, sockopt};
use nix::unistd::Pid;

use super::expect::{Subject, expected, manner, not_listening, wants_view};
use super::peer::Peer;
use super::program::{Baseline, Program};
use super::scene::{Scene, View};
use super::superserver::listening_socket;
use super::verdict::Outcome;
use super::watch::{Finding, Manner, PATIENCE, START_PATIENCE, Waited};
use crate::observe::{End, ProcessTable, Socket};
use crate::scenario::{
    Action, Check, CheckKind, Form, Payload, Role, Scarce, SignalKind, Span, Start, Target, Timing, show,
};
use crate::stage::{Console, Launch, Spawn, SpawnError, set_limit, spawn};
use crate::tcp::TcpState;

/// The book's smallest backlog is 5 (UNPv1 §4.5); so many connections fit into any.
const SMALL_BACKLOG: usize = 4;

/// Something that had to be observed and was not.
#[derive(Debug, Clone)]
pub struct Miss {
    /// Where it is stated, if not by the step as a whole.
    pub span: Option<Span>,
    /// What had to be observed.
    pub expected: String,
    /// What was observed instead.
    pub observed: String,
    /// What it was about.
    pub topic: Topic,
}

/// What a miss was about.
#[derive(Debug, Clone)]
pub enum Topic {
    /// Starting a program.
    Start,
    /// Connecting to the server.
    Connect,
    /// A client's connecting to the runner.
    Accept,
    /// Sending or typing something.
    Send,
    /// Finding the process that handles a connection.
    Handler,
    /// A visit: connect, a line, its echo, close.
    Visit,
    /// A check of an `expect` step.
    Check(CheckKind, Subject),
    /// What one more ordinary client leaves behind.
    Leftover(Leftover),
    /// A process that crashed.
    Crash,
}

/// What can be left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leftover {
    /// Zombies.
    Zombies,
    /// Descriptors.
    Descriptors,
}

/// Why a play ends before its last step.
#[derive(Debug)]
pub enum Stop {
    /// An expectation did not hold.
    Miss(Box<Miss>),
    /// Anything else.
    Outcome(Outcome),
}

impl From<Outcome> for Stop {
    fn from(outcome: Outcome) -> Stop {
        Stop::Outcome(outcome)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::Outcome(error.into())
    }
}

fn miss<T>(topic: Topic, expected: impl Into<String>, observed: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Miss(Box::new(Miss { span: None, expected: expected.into(), observed: observed.into(), topic })))
}

/// Something the runner cannot do here, whatever the subject does.
fn trouble<T>(why: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Outcome(Outcome::Error(why.into())))
}

impl Scene {
    /// Does one step.
    pub fn act(&mut self, action: &Action) -> Result<(), Stop> {
        match action {
            Action::Start(start) => self.start(start),
            Action::Connect { peers, address } => {
                let to = self.destination(address.as_deref())?;
                for (index, name) in peers.iter().enumerate() {
                    if index >= SMALL_BACKLOG {
                        self.let_accept()?;
                    }
                    self.connect(name, to)?;
                }
                Ok(())
            }
            Action::Listen { name } => self.listen(name),
            Action::Accept { peers, on } => peers.iter().try_for_each(|name| self.accept(name, on)),
            Action::Type { programs, text } => self.type_text(programs, text),
            Action::EndInput { programs } => self.end_input(programs),
            Action::Send { peers, data, wait } => self.send(peers, data, *wait),
            Action::Close { peers } => self.each_peer(peers, "closes", |peer| {
                peer.close();
                Ok(())
            }),
            Action::HalfClose { peers } => self.each_peer(peers, "half-closes: a FIN goes out", Peer::half_close),
            Action::Reset { peers } => self.each_peer(peers, "closes with a RST", Peer::reset),
            Action::StopReading { peers } => self.each_peer(peers, "stops reading", |peer| {
                peer.reading = false;
                Ok(())
            }),
            Action::ResumeReading { peers } => self.each_peer(peers, "reads again", |peer| {
                peer.reading = true;
                Ok(())
            }),
            Action::Visits { count } => self.visits(*count),
            Action::Signal { targets, signal } => targets.iter().try_for_each(|target| self.signal(target, *signal)),
            Action::Exhaust { program, of } => self.exhaust(program, *of),
            Action::Relieve { program } => self.relieve(program),
            Action::Settle => {
                if let Some(why) = self.settle()? {
                    self.note(format!("not seen at rest: {why}"));
                }
                Ok(())
            }
            Action::Baseline { program } => self.baseline(program),
            Action::Expect { targets, checks, timing } => self.expect(targets, checks, *timing),
        }
    }

    fn start(&mut self, start: &Start) -> Result<(), Stop> {
        let command = match start.role {
            Role::Server => self.request.server.clone(),
            Role::Client => self.request.client.clone(),
        };
        if !self.request.isolation.has_own_network() && start.role == Role::Server && self.server().is_none() {
            self.port_is_free()?;
        }
        let words = self.words(&command, start.args.as_deref());
        if start.role == Role::Server && self.request.launch == Launch::Inetd {
            return match self.start_superserver(&start.name, words, start.limits) {
                Ok(()) => Ok(()),
                Err(error) => trouble(format!("the runner cannot listen on port {}: {error}", self.request.port)),
            };
        }
        let console = match (start.role, start.terminal) {
            (_, true) => Console::Terminal,
            (Role::Server, false) => Console::Null,
            (Role::Client, false) => Console::Pipe,
        };
        let mut limits = start.limits;
        if let Some(own) = limits.processes {
            limits.processes = Some(own + self.processes_of_this_user()?);
        }
        let spawned = spawn(&Spawn { program: &command[0], words: &words, name: &start.name, limits, console });
        let spawned = match spawned {
            Ok(spawned) => spawned,
            Err(SpawnError::Exec(errno)) => {
                let hint = if errno == Errno::ENOEXEC { " (is it a script without a #! line?)" } else { "" };
                return miss(
                    Topic::Start,
                    format!("{} starts", start.name),
                    format!("it cannot be executed: {errno}{hint}"),
                );
            }
            Err(error) => return trouble(format!("starting {}: {error}", start.name)),
        };
        self.note(format!("{} starts as process {}: {}", start.name, spawned.pid, shell_words::join(&words)));
        let mut program =
            Program::new(start.role, spawned.pid, spawned.stdin, spawned.stdout, spawned.stderr, start.terminal);
        program.number = self.programs.len();
        self.programs.insert(start.name.clone(), program);
        if start.until_listening { self.until_listening(&start.name) } else { Ok(()) }
    }

    /// RLIMIT_NPROC counts all processes and threads of a user, and in a user namespace those inside it: the runner's
    /// own on this stage, and the programs that were started before.
    fn processes_of_this_user(&self) -> Result<u64, Stop> {
        const OWN: u64 = 4;
        if nix::unistd::Uid::effective().is_root() || !self.request.isolation.has_own_users() || self.request.root {
            let why = "the limit of processes (RLIMIT_NPROC) does not bind root, nor the runner's user without a user namespace";
            return Err(Stop::Outcome(Outcome::Skip(why.into())));
        }
        let threads: u64 = self.list_processes()?.iter().map(|process| process.threads).sum();
        Ok(OWN + threads)
    }

    /// The words of a command: with other arguments, everything from the first word with a placeholder on goes.
    fn words(&self, command: &[String], args: Option<&[String]>) -> Vec<String> {
        let kept = match args {
            None => command.len(),
            Some(_) => command
                .iter()
                .position(|word| word.contains("{host}") || word.contains("{port}"))
                .unwrap_or(command.len()),
        };
        let fill = |word: &String| {
            word.replace("{port}", &self.request.port.to_string()).replace("{host}", &self.address().ip().to_string())
        };
        command[..kept].iter().chain(args.unwrap_or_default()).map(fill).collect()
    }

    /// On the machine's own network the port can be somebody else's: then nothing can be said about the subject.
    fn port_is_free(&mut self) -> Result<(), Stop> {
        let port = self.request.port;
        let address = SockaddrStorage::from(SocketAddr::from(([0, 0, 0, 0], port)));
        let trial = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).and_then(|trial| {
            setsockopt(&trial, sockopt::ReuseAddr, &true)?;
            bind(std::os::fd::AsRawFd::as_raw_fd(&trial), &address)
        });
        match trial {
            Ok(()) => Ok(()),
            Err(Errno::EADDRINUSE) => {
                let listening = |socket: &crate::observe::Socket| socket.pair.local.port() == port && socket.inode != 0;
                let inode = self.list_sockets()?.into_iter().find(listening).map(|socket| socket.inode);
                let owner = inode.and_then(owner_on_the_machine).map_or(String::new(), |owner| format!(" by {owner}"));
                trouble(format!(
                    "port {port} is taken{owner}; end that program, or choose another port with --port and {{port}}"
                ))
            }
            Err(errno) => trouble(format!("port {port}: {errno}")),
        }
    }

    fn until_listening(&mut self, name: &str) -> Result<(), Stop> {
        let port = self.request.port;
        let owned = name.to_owned();
        let waited = self.watch(Manner::Settles, Timing::Within(START_PATIENCE), true, |scene, view| {
            let Some(view) = view else { return Ok(Finding::NotYet(String::new())) };
            let sockets = scene.listeners_of(view, &owned);
            let wanted = |socket: &&&Socket| port == 0 || socket.pair.local.port() == port;
            let here = sockets.iter().find(wanted).map(|socket| (*socket).clone());
            let elsewhere = not_listening(port, &sockets);
            let Some(program) = scene.programs.get(&owned) else { return Ok(Finding::Never("no such program".into())) };
            match (here, program.end) {
                (Some(socket), None) => {
                    scene.request.port = socket.pair.local.port();
                    Ok(scene.stays(view, &owned, socket.inode))
                }
                // It may have left the work to a process that it has made.
                (_, Some(End::Exited(0))) if !scene.family(view, &owned).is_empty() => {
                    Ok(Finding::NotYet("it exited with status 0".into()))
                }
                (_, Some(end)) => Ok(Finding::Never(format!("it {end}{}", last_words(program)))),
                (None, None) => Ok(Finding::NotYet(elsewhere)),
            }
        })?;
        match waited {
            Waited::Held => {
                self.note(format!("{name} listens on port {}", self.request.port));
                Ok(())
            }
            Waited::Failed(observed) if port == 0 => miss(Topic::Start, format!("{name} listens on a port"), observed),
            Waited::Failed(observed) => miss(Topic::Start, format!("{name} listens on port {port}"), observed),
        }
    }

    /// A server that listens has started once it sleeps. If it is not alone, it may be about to leave the place to a
    /// process that it has made, as daemons do: that is decided at rest.
    fn stays(&self, view: &View, name: &str, listener: u64) -> Finding {
        let family = self.family(view, name);
        match family.as_slice() {
            [alone] if alone.state == 'S' && self.holds(alone, listener) => Finding::Settled,
            _ => Finding::Holds,
        }
    }

    fn destination(&self, address: Option<&str>) -> Result<SocketAddr, Stop> {
        let Some(text) = address else { return Ok(self.address()) };
        match text.parse() {
            Ok(ip) => Ok(SocketAddr::new(ip, self.request.port)),
            Err(_) => trouble(format!("`{text}` is not an address")),
        }
    }

    /// Lets the server accept before its backlog can be full: a handshake that finds it so is repeated after a second.
    /// A server that does not accept, because it is stopped, shows that by being at rest.
    fn let_accept(&mut self) -> Result<(), Stop> {
        let port = self.request.port;
        let waits = |socket: &Socket| {
            socket.state == TcpState::Listen
                && socket.pair.local.port() == port
                && socket.unread as usize >= SMALL_BACKLOG
        };
        if !self.list_sockets()?.iter().any(waits) {
            return Ok(());
        }
        self.watch(Manner::Arrives, Timing::Natural, true, |_, view| {
            let full = view.is_some_and(|view| view.sockets.iter().any(waits));
            Ok(if full { Finding::NotYet("the backlog is filling".into()) } else { Finding::Holds })
        })?;
        Ok(())
    }

    fn connect(&mut self, name: &str, to: SocketAddr) -> Result<(), Stop> {
        match Peer::connect(to, PATIENCE) {
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
                        format!("no answer in {} s: the server's backlog is full", PATIENCE.as_secs())
                    }
                    _ => error.to_string(),
                };
                miss(Topic::Connect, format!("{name} connects to {to}"), observed)
            }
        }
    }

    fn listen(&mut self, name: &str) -> Result<(), Stop> {
        if !self.request.isolation.has_own_network() {
            self.port_is_free()?;
        }
        let opened = listening_socket(self.request.port).map_err(io::Error::from);
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

    fn accept(&mut self, name: &str, on: &str) -> Result<(), Stop> {
        let waited = self.watch(Manner::Arrives, Timing::Within(START_PATIENCE), true, |scene, _| {
            let Some(listener) = scene.listeners.get(on) else { return Ok(Finding::Never("no such socket".into())) };
            match Peer::accept(listener)? {
                Some(peer) => {
                    scene.note(format!("{name} is accepted: {}", peer.pair));
                    scene.add_peer(name, peer);
                    Ok(Finding::Holds)
                }
                None => {
                    let client = scene.programs.iter().find(|(_, program)| program.role == Role::Client);
                    let ended = client.and_then(|(_, program)| Some((program.end?, last_words(program))));
                    Ok(match ended {
                        Some((end, words)) => {
                            Finding::Never(format!("no connection came, and the client {end}{words}"))
                        }
                        None => Finding::NotYet("no connection came".into()),
                    })
                }
            }
        })?;
        match waited {
            Waited::Held => Ok(()),
            Waited::Failed(observed) => miss(Topic::Accept, "the client connects", observed),
        }
    }

    fn type_text(&mut self, programs: &[String], text: &Payload) -> Result<(), Stop> {
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

    fn end_input(&mut self, programs: &[String]) -> Result<(), Stop> {
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

    fn send(&mut self, peers: &[String], data: &Payload, wait: bool) -> Result<(), Stop> {
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

    fn each_peer(
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

    fn visits(&mut self, count: u64) -> Result<(), Stop> {
        let to = self.address();
        for number in 1..=count {
            self.visit(&format!("visitor {number} of {count}"), to)?;
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
        let line = format!("{name}\n").into_bytes();
        let peer = match Peer::connect(to, PATIENCE) {
            Ok(peer) => peer,
            Err(error) => return miss(Topic::Visit, format!("{name} connects to {to}"), error.to_string()),
        };
        self.add_peer(name, peer);
        if let Some(peer) = self.peers.get_mut(name) {
            peer.outbox.queue(&line);
        }
        let payload = Payload::from(Form::Bytes(line));
        let check = CheckKind::Receives(payload);
        let subject = Subject::Peer(name.to_owned());
        let waited =
            self.watch(Manner::Arrives, Timing::Natural, false, |scene, _| scene.find_quietly(&check, &subject))?;
        if let Waited::Failed(observed) = waited {
            return miss(Topic::Visit, expected(&check, &subject), observed);
        }
        Ok(())
    }

    /// Closes, and waits until the server's end is closed by everybody that had it open.
    fn leave(&mut self, name: &str) -> Result<(), Stop> {
        let pair = self.peers.get(name).map(|peer| peer.pair);
        self.peers.remove(name);
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
                miss(Topic::Visit, format!("the server ends {name}'s connection when it has closed"), observed)
            }
        }
    }

    fn find_quietly(&mut self, check: &CheckKind, subject: &Subject) -> Result<Finding, Outcome> {
        self.find(check, subject, None)
    }

    fn signal(&mut self, target: &Target, kind: SignalKind) -> Result<(), Stop> {
        let subjects = match self.subjects(target)? {
            Ok(subjects) => subjects,
            Err(observed) => return miss(Topic::Handler, format!("a process that is {target}"), observed),
        };
        let signal = match kind {
            SignalKind::Kill(signal) => signal,
            SignalKind::Stop => Signal::SIGSTOP,
            SignalKind::Continue => Signal::SIGCONT,
        };
        for subject in subjects {
            self.signal_one(&subject, signal)?;
        }
        Ok(())
    }

    fn signal_one(&mut self, subject: &Subject, signal: Signal) -> Result<(), Stop> {
        let pid = match subject {
            Subject::Program(name) => {
                self.programs.get(name).filter(|program| program.end.is_none()).map(|program| program.pid)
            }
            Subject::Process(identity, _) => self.known.get(identity).filter(|known| !known.gone).map(|_| identity.0),
            Subject::Peer(_) => None,
        };
        let Some(pid) = pid else {
            return miss(Topic::Handler, format!("{} runs", subject.label()), "it has ended already");
        };
        let ends = !matches!(signal, Signal::SIGSTOP | Signal::SIGCONT);
        if ends {
            for known in self.known.iter_mut().filter(|((known, _), _)| *known == pid).map(|(_, known)| known) {
                known.end_was_asked_for = true;
            }
            if let Subject::Program(name) = subject
                && let Some(program) = self.programs.get_mut(name)
            {
                program.end_was_asked_for = true;
            }
        }
        if let Err(errno) = kill(Pid::from_raw(pid), signal) {
            return trouble(format!("sending {signal} to process {pid}: {errno}"));
        }
        self.note(format!("{} gets {signal}", subject.label()));
        let done = |scene: &Scene, view: &View| match (signal, view.process(pid)) {
            (_, None) => true,
            (Signal::SIGKILL, Some(process)) => process.is_zombie(),
            (Signal::SIGSTOP, Some(process)) => process.is_zombie() || scene.processes.has_stopped(process),
            _ => true,
        };
        let waited = self.watch(Manner::Arrives, Timing::Natural, true, |scene, view| {
            let took_effect = view.is_some_and(|view| done(scene, view));
            Ok(if took_effect { Finding::Holds } else { Finding::NotYet("no effect".into()) })
        })?;
        match waited {
            Waited::Held => Ok(()),
            Waited::Failed(why) => trouble(format!("{signal} has not reached process {pid}: {why}")),
        }
    }

    /// The soft limit of descriptors is the number that no new descriptor may reach: the lowest one that is free.
    fn exhaust(&mut self, name: &str, of: Scarce) -> Result<(), Stop> {
        self.settle()?;
        let view = self.look()?;
        let process = self.programs.get(name).and_then(|program| view.process(program.pid));
        let Some(process) = process else { return miss(Topic::Handler, format!("{name} runs"), "it has ended") };
        let soft = match of {
            Scarce::Descriptors => {
                let taken: Vec<i32> =
                    self.processes.descriptors(process)?.iter().map(|descriptor| descriptor.number).collect();
                (0..).find(|number| !taken.contains(number)).unwrap_or_default() as u64
            }
            Scarce::Processes => {
                self.processes_of_this_user()?;
                1
            }
        };
        let old = set_limit(process.pid, of, soft)?;
        if let Some(program) = self.programs.get_mut(name) {
            program.limits.push((of, old));
        }
        self.note(match of {
            Scarce::Descriptors => format!("{name} can have no descriptor from number {soft} on"),
            Scarce::Processes => format!("{name} can make no process"),
        });
        Ok(())
    }

    fn relieve(&mut self, name: &str) -> Result<(), Stop> {
        if let Some(program) = self.programs.get_mut(name) {
            for (of, soft) in std::mem::take(&mut program.limits).into_iter().rev() {
                // It may have ended because of the limit; the next step will show it.
                let _ = set_limit(program.pid, of, soft);
            }
        }
        self.note(format!("{name} has its limits back"));
        Ok(())
    }

    fn baseline(&mut self, name: &str) -> Result<(), Stop> {
        self.settle()?;
        let view = self.look()?;
        let Some(program) = self.programs.get(name) else { return Ok(()) };
        let Some(process) = view.process(program.pid) else {
            let observed = program.end.map_or_else(|| "it has ended".to_owned(), |end| format!("it {end}"));
            return miss(Topic::Handler, format!("{name} runs"), observed);
        };
        let descriptors = self.processes.descriptors(process)?.len();
        let children = view.processes.iter().filter(|child| child.parent == process.pid && !child.is_zombie()).count();
        if let Some(program) = self.programs.get_mut(name) {
            program.baseline = Some(Baseline { descriptors, children });
        }
        self.note(format!("baseline of {name}: {descriptors} descriptors, {children} children"));
        Ok(())
    }

    fn expect(&mut self, targets: &[Target], checks: &[Check], timing: Timing) -> Result<(), Stop> {
        let mut all = Vec::new();
        for target in targets {
            let subjects = match self.subjects(target)? {
                Ok(subjects) => subjects,
                Err(observed) => return miss(Topic::Handler, format!("a process that is {target}"), observed),
            };
            all.extend(
                subjects.into_iter().flat_map(|subject| checks.iter().map(move |check| (check, subject.clone()))),
            );
        }
        // Neighbours that are looked at in the same manner are looked at together.
        for group in all.chunk_by(|(one, _), (other, _)| groups(one, other)) {
            self.expect_all(group, timing)?;
        }
        Ok(())
    }

    fn expect_all(&mut self, group: &[(&Check, Subject)], timing: Timing) -> Result<(), Stop> {
        let how = manner(&group[0].0.kind);
        let wants_view = group.iter().any(|(check, subject)| wants_view(&check.kind, subject));
        let mut failing = 0;
        let waited = self.watch(how, timing, wants_view, |scene, view| {
            for (index, (check, subject)) in group.iter().enumerate() {
                let finding = scene.find(&check.kind, subject, view)?;
                if finding != Finding::Holds {
                    failing = index;
                    return Ok(finding);
                }
            }
            Ok(Finding::Holds)
        })?;
        let Waited::Failed(observed) = waited else { return Ok(()) };
        let (check, subject) = &group[failing];
        Err(Stop::Miss(Box::new(Miss {
            span: Some(check.span.clone()),
            expected: expected(&check.kind, subject),
            observed,
            topic: Topic::Check(check.kind.clone(), subject.clone()),
        })))
    }
}

/// What settles can be taken in one look; what arrives is taken out as it comes, one after another.
fn groups(one: &Check, other: &Check) -> bool {
    manner(&one.kind) == Manner::Settles && manner(&other.kind) == Manner::Settles
}

/// What a program that has ended said last, as an addition to a sentence.
fn last_words(program: &Program) -> String {
    let said = program.stderr.kept().trim_ascii_end();
    match said.rsplit(|byte| *byte == b'\n').next() {
        Some(line) if !line.is_empty() => format!("; it said {}", show(line)),
        _ => String::new(),
    }
}

/// The process of the machine that has a socket open, if it can be seen.
fn owner_on_the_machine(inode: u64) -> Option<String> {
    let processes = ProcessTable::Own.list().ok()?;
    let holder = processes.into_iter().find(|process| {
        let table = ProcessTable::Own.descriptors(process).unwrap_or_default();
        table.iter().any(|descriptor| descriptor.kind == crate::observe::DescriptorKind::Socket(inode))
    })?;
    Some(format!("process {} ({})", holder.pid, holder.name))
}
