//! Expectations: what each check wants, and what one look says about it.

use nix::sys::signal::Signal;

use super::capture::{Capture, Comparison};
use super::known::{Identity, Known};
use super::peer::Ended;
use super::scene::{Scene, View, waits_for_accept};
use super::verdict::Outcome;
use super::watch::{Finding, Manner};
use super::wording::plural;
use crate::observe::{DescriptorKind, End, Pair, Process, Socket};
use crate::scenario::{CheckKind, Closed, CountOrBaseline, ExitStatus, Model, Payload, Role, SocketName, Target, show};
use crate::tcp::TcpState;

/// Who a check is about, once names are looked up.
#[derive(Debug, Clone)]
pub enum Subject {
    /// A peer.
    Peer(String),
    /// A program and the process that was started.
    Program(String),
    /// A process, with the words for it.
    Process(Identity, String),
}

impl Subject {
    /// As a message calls it.
    pub fn label(&self) -> &str {
        match self {
            Subject::Peer(name) | Subject::Program(name) | Subject::Process(_, name) => name,
        }
    }
}

/// When a check counts, if the step does not say.
pub fn manner(check: &CheckKind, subject: &Subject) -> Manner {
    match check {
        CheckKind::Receives(payload) | CheckKind::Stdout(payload) | CheckKind::Stderr(payload)
            if payload.is_empty() =>
        {
            Manner::Lasts
        }
        CheckKind::Closed(Closed::No) | CheckKind::Running(true) => Manner::Lasts,
        // A client that is about to close still has it.
        CheckKind::Socket(states) | CheckKind::FarSocket(states)
            if states.contains(&TcpState::Established) && matches!(subject, Subject::Program(_)) =>
        {
            Manner::Settles
        }
        // One that never rests is asleep for a moment, too.
        CheckKind::State(letters) if letters.iter().any(|letter| matches!(letter, 'S' | 'D')) => Manner::Settles,
        CheckKind::AsleepIn(_)
        | CheckKind::Blocked(_)
        | CheckKind::Parent(_)
        | CheckKind::Children(_)
        | CheckKind::Zombies(_)
        | CheckKind::Descriptors(_)
        | CheckKind::Holds(_)
        | CheckKind::Lacks(_)
        | CheckKind::Listening(_)
        | CheckKind::ListensOn(_) => Manner::Settles,
        _ => Manner::Arrives,
    }
}

/// Whether a check looks at processes or sockets.
pub fn wants_view(check: &CheckKind, subject: &Subject) -> bool {
    match check {
        CheckKind::Receives(_)
        | CheckKind::Closed(_)
        | CheckKind::Blocked(_)
        | CheckKind::Stdout(_)
        | CheckKind::Stderr(_)
        | CheckKind::Says(_)
        | CheckKind::Names(_) => false,
        CheckKind::Exits(_) | CheckKind::DiesOf(_) => matches!(subject, Subject::Process(..)),
        _ => true,
    }
}

impl Scene {
    /// Looks up who a target is. A handler is found while its connection is there; `Err` says why there is none.
    pub fn subjects(&mut self, target: &Target) -> Result<Result<Vec<Subject>, String>, Outcome> {
        Ok(Ok(match target {
            Target::Peer(name) => vec![Subject::Peer(name.clone())],
            Target::Program(name) => vec![Subject::Program(name.clone())],
            Target::Handler(peer) => match self.handler(peer)? {
                Ok(identity) => vec![Subject::Process(identity, format!("{target} ({})", identity.0))],
                Err(why) => return Ok(Err(why)),
            },
            Target::Children(name) => {
                self.settle()?;
                let view = self.look()?;
                let Some(program) = self.programs.get(name) else { return Ok(Ok(Vec::new())) };
                let child = |process: &&Process| process.parent == program.pid;
                view.processes
                    .iter()
                    .filter(child)
                    .map(|process| Subject::Process((process.pid, process.started), format!("child {}", process.pid)))
                    .collect()
            }
        }))
    }

    /// One look: whether a check holds.
    pub fn find(&mut self, check: &CheckKind, subject: &Subject, view: Option<&View>) -> Result<Finding, Outcome> {
        let empty = View { processes: Vec::new(), sockets: Vec::new() };
        let view = view.unwrap_or(&empty);
        match (check, subject) {
            (CheckKind::Receives(payload), Subject::Peer(name)) => Ok(self.receives(name, payload)),
            (CheckKind::Closed(how), Subject::Peer(name)) => Ok(self.closed(name, *how)),
            (CheckKind::Blocked(wanted), Subject::Peer(name)) => {
                let (held_up, observed) = self.held_up(name)?;
                Ok(if held_up == *wanted { Finding::Holds } else { Finding::NotYet(observed) })
            }
            (CheckKind::Socket(states), _) => Ok(self.socket(subject, states, view, false)),
            (CheckKind::FarSocket(states), _) => Ok(self.socket(subject, states, view, true)),
            (CheckKind::FarOwner(program), _) => Ok(self.far_owner(subject, program, view)),
            (CheckKind::Stdout(payload), Subject::Program(name)) => Ok(self.prints(name, payload, true)),
            (CheckKind::Stderr(payload), Subject::Program(name)) => Ok(self.prints(name, payload, false)),
            (CheckKind::Says(texts), Subject::Program(name)) => {
                let finding = self.says(name, |said| texts.iter().any(|text| said.contains(&text.to_lowercase())));
                Ok(finding)
            }
            (CheckKind::Names(peer), Subject::Program(name)) => {
                let Some(local) = self.pair(peer).map(|pair| pair.local) else {
                    return Ok(Finding::Never("no such peer".into()));
                };
                let (ip, port) = (local.ip().to_string(), local.port().to_string());
                Ok(self.says(name, |said| said.contains(&ip) && said.contains(&port)))
            }
            (CheckKind::Exits(_) | CheckKind::DiesOf(_) | CheckKind::Running(_), _) => self.ends(check, subject),
            (CheckKind::Listening(wanted), Subject::Program(name)) => Ok(self.listening(name, *wanted, view)),
            (CheckKind::ListensOn(addresses), Subject::Program(name)) => Ok(self.listens_on(name, addresses, view)),
            _ => self.process_check(check, subject, view),
        }
    }

    fn receives(&mut self, name: &str, payload: &Payload) -> Finding {
        let Some(peer) = self.peers.get_mut(name) else { return Finding::Never("no such peer".into()) };
        let ended = peer.ended;
        let finding = take(&mut peer.inbox, payload);
        match (finding, ended) {
            (Finding::NotYet(observed), Some(Ended::Fin)) => Finding::Never(format!("{observed}, then a FIN")),
            (Finding::NotYet(observed), Some(Ended::Reset)) => Finding::Never(format!("{observed}, then a RST")),
            (finding, _) => {
                if finding == Finding::Holds && !payload.is_empty() {
                    self.note(format!("{name} receives {}", payload.describe()));
                }
                finding
            }
        }
    }

    fn closed(&self, name: &str, wanted: Closed) -> Finding {
        let Some(peer) = self.peers.get(name) else { return Finding::Never("no such peer".into()) };
        match (wanted, peer.ended) {
            (Closed::Fin, Some(Ended::Fin))
            | (Closed::Reset, Some(Ended::Reset))
            | (Closed::Any, Some(_))
            | (Closed::No, None) => Finding::Holds,
            (_, None) => Finding::NotYet("the connection is open".into()),
            (_, Some(Ended::Fin)) => Finding::Never("a FIN came".into()),
            (_, Some(Ended::Reset)) => Finding::Never("a RST came".into()),
        }
    }

    fn pair_of(&self, subject: &Subject) -> Option<Pair> {
        match subject {
            Subject::Peer(name) | Subject::Program(name) => self.pair(name),
            Subject::Process(..) => None,
        }
    }

    /// Whether the other side does not take in what a peer has sent. With much memory all of it fits into the buffers.
    fn held_up(&mut self, name: &str) -> Result<(bool, String), Outcome> {
        let Some(peer) = self.peers.get(name) else { return Ok((false, "there is no such peer".into())) };
        let ((left, all), far, has_ended) = (peer.outbox.left(), peer.pair.reversed(), peer.ended.is_some());
        if left > 0 {
            return Ok((true, format!("{left} of {all} bytes are still to be sent")));
        }
        let unread = self.list_sockets()?.iter().find(|socket| socket.pair == far).map_or(0, |socket| socket.unread);
        let observed = match unread {
            _ if has_ended => "the other side has ended the connection".to_owned(),
            0 => format!("all {all} bytes went out, and the other side has read them"),
            _ => format!("all {all} bytes went out, and {unread} of them are not read"),
        };
        Ok((unread > 0, observed))
    }

    fn socket(&self, subject: &Subject, states: &[TcpState], view: &View, far: bool) -> Finding {
        let Some(pair) = self.pair_of(subject) else {
            let ended =
                matches!(subject, Subject::Program(name) if self.programs.get(name).is_some_and(|p| p.end.is_some()));
            let observed = "it has made no connection to the port".to_owned();
            return if ended {
                Finding::Never(format!("{observed}, and has ended"))
            } else {
                Finding::NotYet(observed)
            };
        };
        let pair = if far { pair.reversed() } else { pair };
        let state = view.state(pair);
        if states.contains(&state) { Finding::Holds } else { Finding::NotYet(format!("{pair} is {state}")) }
    }

    fn far_owner(&self, subject: &Subject, program: &str, view: &View) -> Finding {
        let Some(pair) = self.pair_of(subject) else {
            return Finding::NotYet("it has made no connection to the port".into());
        };
        let family = self.family(view, program);
        match view.socket(pair.reversed()) {
            Some(socket) if family.iter().any(|process| self.holds(process, socket.inode)) => Finding::Holds,
            Some(socket) if waits_for_accept(socket) => {
                Finding::NotYet("no process owns it: it was not accepted".into())
            }
            Some(socket) if socket.inode == 0 => {
                Finding::NotYet(format!("no process owns it any more, and it is in {}", socket.state))
            }
            Some(_) => Finding::NotYet(format!("no process of {program} has it open")),
            None => Finding::NotYet("there is no such socket".into()),
        }
    }

    fn prints(&mut self, name: &str, payload: &Payload, stdout: bool) -> Finding {
        let Some(program) = self.programs.get_mut(name) else { return Finding::Never("no such program".into()) };
        let capture = if stdout { &mut program.stdout } else { &mut program.stderr };
        let finding = take(capture, payload);
        match (finding, capture.ended, program.end) {
            (Finding::NotYet(observed), true, Some(end)) => Finding::Never(format!("{observed}, and it {end}")),
            // The end of its output comes first when a program ends; how it ended says more.
            (Finding::NotYet(observed), true, None) => Finding::NotYet(format!("{observed}, then the end")),
            (finding, ..) => {
                if finding == Finding::Holds && !payload.is_empty() {
                    self.note(format!("{name} prints {}", payload.describe()));
                }
                finding
            }
        }
    }

    fn says(&self, name: &str, wanted: impl Fn(&str) -> bool) -> Finding {
        let Some(program) = self.programs.get(name) else { return Finding::Never("no such program".into()) };
        let said = |capture: &Capture| String::from_utf8_lossy(capture.kept()).to_lowercase();
        let (out, err) = (said(&program.stdout), said(&program.stderr));
        if wanted(&out) || wanted(&err) {
            return Finding::Holds;
        }
        let observed = match program.stderr.kept() {
            [] => "nothing on standard error".to_owned(),
            bytes => format!("on standard error {}", show(bytes)),
        };
        if program.stdout.ended && program.stderr.ended { Finding::Never(observed) } else { Finding::NotYet(observed) }
    }

    /// Whether a process has ended: `None`, it has not; `Some(None)`, the kernel does not tell how.
    fn end_of(&self, subject: &Subject) -> Option<Option<End>> {
        match subject {
            Subject::Program(name) => self.programs.get(name)?.end.map(Some),
            Subject::Process(identity, _) => {
                let started = self.programs.values().find(|program| program.pid == identity.0);
                if let Some(end) = started.and_then(|program| program.end) {
                    return Some(Some(end));
                }
                let known = self.known.get(identity)?;
                (known.gone || known.was_zombie).then_some(known.end)
            }
            Subject::Peer(_) => None,
        }
    }

    fn ends(&self, check: &CheckKind, subject: &Subject) -> Result<Finding, Outcome> {
        let end = match (check, self.end_of(subject)) {
            (CheckKind::Running(true), None) | (CheckKind::Running(false), Some(_)) => return Ok(Finding::Holds),
            (_, None) => return Ok(Finding::NotYet("it runs".into())),
            (CheckKind::Running(_), Some(end)) => {
                return Ok(Finding::Never(end.map_or_else(|| "it has ended".into(), |end| format!("it {end}"))));
            }
            (_, Some(None | Some(End::Unknown))) => {
                let who = subject.label();
                return Err(Outcome::Skip(format!(
                    "{who} was reaped at once, and this kernel does not tell how it ended (Linux 6.15 does)"
                )));
            }
            (_, Some(Some(end))) => end,
        };
        let holds = match (check, end) {
            (CheckKind::Exits(ExitStatus::Code(code)), End::Exited(status)) => status == *code,
            (CheckKind::Exits(ExitStatus::NonZero), End::Exited(status)) => status != 0,
            (CheckKind::Exits(_), End::Signalled(number)) => {
                number == Signal::SIGTERM as i32 && self.has_ended_itself(subject)
            }
            (CheckKind::DiesOf(signal), End::Signalled(number)) => number == *signal as i32,
            _ => false,
        };
        Ok(if holds { Finding::Holds } else { Finding::Never(format!("it {end}")) })
    }

    /// Whether a client of two processes got its signal from the other one: that is how the book's ends (UNPv1 §16.2).
    fn has_ended_itself(&self, subject: &Subject) -> bool {
        let Subject::Program(name) = subject else { return false };
        let Some(client) = self.programs.get(name).filter(|program| program.role == Role::Client) else { return false };
        let is_other = |(identity, known): (&Identity, &Known)| known.program == *name && identity.0 != client.pid;
        !client.end_was_asked_for && self.known.iter().any(is_other)
    }

    fn listening(&self, name: &str, wanted: bool, view: &View) -> Finding {
        if self.superserver.as_ref().is_some_and(|superserver| superserver.program == name) {
            return if wanted { Finding::Holds } else { Finding::Never("the runner listens in its place".into()) };
        }
        let port = self.request.port;
        let sockets = self.listeners_of(view, name);
        let listens = sockets.iter().any(|socket| socket.pair.local.port() == port);
        match (wanted, listens) {
            (true, true) | (false, false) => Finding::Holds,
            (false, true) => Finding::NotYet(format!("it listens on port {port}")),
            (true, false) => Finding::NotYet(not_listening(port, &sockets)),
        }
    }

    fn listens_on(&self, name: &str, addresses: &[String], view: &View) -> Finding {
        let port = self.request.port;
        let written = |socket: &&Socket| match socket.pair.local.ip() {
            ip if ip.is_unspecified() => "*".to_owned(),
            ip => ip.to_string(),
        };
        let sockets = self.listeners_of(view, name);
        let mut found: Vec<String> =
            sockets.iter().filter(|socket| socket.pair.local.port() == port).map(written).collect();
        found.sort();
        found.dedup();
        let mut wanted = addresses.to_vec();
        wanted.sort();
        if found == wanted {
            return Finding::Holds;
        }
        Finding::NotYet(if found.is_empty() {
            not_listening(port, &sockets)
        } else {
            format!("it listens on {}", found.join(", "))
        })
    }

    fn process_check(&self, check: &CheckKind, subject: &Subject, view: &View) -> Result<Finding, Outcome> {
        let found = match subject {
            Subject::Program(name) => self.programs.get(name).and_then(|program| view.process(program.pid)),
            Subject::Process((pid, started), _) => view.process(*pid).filter(|process| process.started == *started),
            Subject::Peer(_) => None,
        };
        if let CheckKind::Zombies(count) = check {
            return Ok(self.zombies(subject.label(), *count, view));
        }
        let Some(process) = found else {
            let how = self.end_of(subject).flatten().map_or_else(|| "it has ended".into(), |end| format!("it {end}"));
            return Ok(Finding::Never(how));
        };
        Ok(match check {
            // D is a moment of something that goes on, but for a parent that waits for what it has made with vfork.
            CheckKind::State(letters) if process.state == 'D' && letters.contains(&'S') => {
                match self.processes.has_stopped(process) {
                    true => Finding::Holds,
                    false => Finding::NotYet("it is in state D".into()),
                }
            }
            CheckKind::State(letters) if letters.contains(&process.state) => Finding::Holds,
            CheckKind::State(_) => Finding::NotYet(format!("it is in state {}", process.state)),
            CheckKind::AsleepIn(calls) => {
                let partners =
                    if matches!(subject, Subject::Process(..)) { self.partners(view, process) } else { Vec::new() };
                let all = partners.into_iter().chain([process]);
                let asleep: Vec<String> = all.flat_map(|process| self.processes.asleep_in(process)).collect();
                match asleep.iter().any(|call| calls.contains(call)) {
                    true => Finding::Holds,
                    false if asleep.is_empty() => Finding::NotYet("it is not asleep".into()),
                    false => Finding::NotYet(format!("it is asleep in {}", asleep.join(", "))),
                }
            }
            CheckKind::Parent(program) => match self.programs.get(program) {
                Some(program) if program.pid == process.parent => Finding::Holds,
                _ if process.parent == self.init() => Finding::NotYet("it is an orphan: its parent has ended".into()),
                _ => Finding::NotYet(format!("its parent is process {}", process.parent)),
            },
            CheckKind::Children(wanted) => self.children(subject.label(), *wanted, process, view),
            CheckKind::Descriptors(wanted) => self.descriptors(subject.label(), *wanted, process, view)?,
            CheckKind::Holds(names) => self.has_sockets(process, names, true, view),
            CheckKind::Lacks(names) => self.has_sockets(process, names, false, view),
            _ => Finding::Never(format!("{} is none for this check", subject.label())),
        })
    }

    /// Zombies whose parent is one of the program's processes; those that init will reap are nobody's fault.
    fn zombies(&self, program: &str, wanted: u64, view: &View) -> Finding {
        let family: Vec<i32> = self.family(view, program).iter().map(|process| process.pid).collect();
        let zombies = view.processes.iter().filter(|process| process.is_zombie() && family.contains(&process.parent));
        match zombies.count() as u64 {
            count if count == wanted => Finding::Holds,
            0 => Finding::NotYet("no zombie".into()),
            count => Finding::NotYet(plural(count, "zombie", "zombies")),
        }
    }

    fn children(&self, name: &str, wanted: CountOrBaseline, process: &Process, view: &View) -> Finding {
        if self.request.model == Some(Model::Prefork) && wanted == CountOrBaseline::Baseline {
            // How many it keeps in reserve is its own affair.
            return Finding::Holds;
        }
        let serves_itself = matches!(self.request.model, Some(Model::Thread | Model::Event | Model::Iterative));
        if process.state == 'T' && serves_itself {
            // What it has made beside its threads it would end itself, if it were not stopped.
            return Finding::Holds;
        }
        let count = view.live_children(process.pid);
        let wanted = match (wanted, self.programs.get(name).and_then(|program| program.baseline.as_ref())) {
            (CountOrBaseline::Count(count), _) => count as usize..=count as usize,
            (_, None) => 0..=0,
            (_, Some(baseline)) => {
                // What it makes once, with its first client, serves none of them.
                let helpers = self.request.ordinary.map_or(0, |ordinary| ordinary.helpers as usize);
                let later = if baseline.before_clients { helpers } else { 0 };
                baseline.children..=baseline.children + later
            }
        };
        if wanted.contains(&count) {
            Finding::Holds
        } else {
            Finding::NotYet(plural(count as u64, "live child", "live children"))
        }
    }

    fn descriptors(
        &self,
        name: &str,
        wanted: CountOrBaseline,
        process: &Process,
        view: &View,
    ) -> Result<Finding, Outcome> {
        let Ok(table) = self.processes.descriptors(process) else {
            return Ok(Finding::NotYet(format!("process {} is ending", process.pid)));
        };
        let baseline =
            self.programs.get(name).and_then(|program| program.baseline.as_ref()).map(|baseline| baseline.descriptors);
        let wanted = match wanted {
            CountOrBaseline::Count(count) => count as usize,
            CountOrBaseline::Baseline => baseline.unwrap_or_default(),
        };
        if table.len() == wanted {
            return Ok(Finding::Holds);
        }
        let newest: Vec<String> = table
            .iter()
            .rev()
            .take(3)
            .map(|descriptor| {
                let what = match &descriptor.kind {
                    DescriptorKind::Other(link) => link.clone(),
                    DescriptorKind::Socket(inode) => match view.sockets.iter().find(|socket| socket.inode == *inode) {
                        Some(socket) if socket.state == TcpState::Listen => {
                            format!("listening on {}", socket.pair.local)
                        }
                        Some(socket) => format!("{} {}", socket.pair, socket.state),
                        None => "a socket without a connection".to_owned(),
                    },
                };
                format!("{} is {what}", descriptor.number)
            })
            .collect();
        let was = if baseline == Some(wanted) { format!(", {wanted} at the baseline") } else { String::new() };
        Ok(Finding::NotYet(format!("{} descriptors{was}; the highest: {}", table.len(), newest.join(", "))))
    }

    fn has_sockets(&self, process: &Process, names: &[SocketName], wanted: bool, view: &View) -> Finding {
        for name in names {
            let (socket, what): (Option<&Socket>, String) = match name {
                SocketName::Listener => {
                    let port = self.request.port;
                    let here = |socket: &&Socket| socket.state == TcpState::Listen && socket.pair.local.port() == port;
                    let held = view.sockets.iter().filter(here).find(|socket| self.holds(process, socket.inode));
                    (held, "the listening socket".into())
                }
                SocketName::Connection(peer) => {
                    let pair = self.peers.get(peer).map(|peer| peer.pair.reversed());
                    (pair.and_then(|pair| view.socket(pair)), format!("{peer}'s connection"))
                }
            };
            let holds = socket.is_some_and(|socket| self.holds(process, socket.inode));
            if holds != wanted {
                let state = socket.map_or(String::new(), |socket| format!(" ({})", socket.state));
                let verb = if holds { "has" } else { "does not have" };
                return Finding::NotYet(format!("process {} {verb} {what} open{state}", process.pid));
            }
        }
        Finding::Holds
    }
}

fn take(capture: &mut Capture, payload: &Payload) -> Finding {
    if payload.is_empty() {
        return match capture.unread() {
            [] => Finding::Holds,
            bytes => Finding::Never(show(bytes)),
        };
    }
    let full = capture.is_cut();
    match capture.take(payload.bytes()) {
        Comparison::There => Finding::Holds,
        Comparison::Short(observed) if full => Finding::Never(format!(
            "{observed}, and then no more is read: {} bytes have come that nobody asked for",
            capture.most()
        )),
        Comparison::Short(observed) => Finding::NotYet(observed),
        Comparison::Different(observed) => Finding::Never(observed),
    }
}

/// Why nobody can connect.
pub fn not_listening(port: u16, elsewhere: &[&Socket]) -> String {
    let others: Vec<String> = elsewhere.iter().map(|socket| socket.pair.local.to_string()).collect();
    match others.as_slice() {
        [] => format!("nothing listens on port {port}"),
        others => format!("nothing listens on port {port}; it listens on {}", others.join(", ")),
    }
}
