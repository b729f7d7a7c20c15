//! Starting programs, and knowing that they have started.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockaddrStorage, bind, setsockopt, sockopt};

use super::expect::not_listening;
use super::peer::tcp_socket;
use super::program::Program;
use super::quiet::QUIET;
use super::scene::{Scene, View};
use super::steps::{Stop, Topic, miss, skip, trouble};
use super::watch::{Finding, Manner, START_PATIENCE, Waited};
use crate::observe::{End, Process, ProcessTable, Socket};
use crate::scenario::{Role, Start, Timing, show};
use crate::stage::{Console, Launch, Spawn, SpawnError, spawn};

/// How long a server that keeps a processor busy is given to listen, if it is known not to.
const QUIET_SPIN: Duration = Duration::from_millis(30);
/// What a server can do with fewer free descriptors than these is its own affair.
const FEWEST_DESCRIPTORS: u64 = 4;

impl Scene {
    /// Starts a program. One that needs more descriptors for itself than the scenario leaves it, as a runtime system may,
    /// does not show what it does about its clients'.
    pub fn start_within_limits(&mut self, start: &Start) -> Result<(), Stop> {
        let done = self.start(start);
        let Some(limit) = start.limits.descriptors else { return done };
        match done {
            // The probe has seen that it starts without the limit.
            Err(Stop::Miss(_)) if self.request.ordinary.is_some() => skip(format!(
                "{} starts, but not with the {limit} descriptors that this scenario leaves it",
                start.name
            )),
            Ok(()) => {
                let view = self.look()?;
                let process = self.programs.get(&start.name).and_then(|program| view.process(program.pid));
                let taken = process.map(|process| self.processes.descriptors(process)).transpose()?;
                let taken = taken.map_or(0, |table| table.len() as u64);
                if limit >= taken + FEWEST_DESCRIPTORS {
                    return Ok(());
                }
                skip(format!("{} has {taken} descriptors open before its first client, too many for this", start.name))
            }
            done => done,
        }
    }

    /// Starts a program, once.
    pub fn start_once(&mut self, start: &Start) -> Result<(), Stop> {
        let command = match start.role {
            Role::Server => self.request.server.clone(),
            Role::Client => self.request.client.clone(),
        };
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
            Err(SpawnError::Exec(errno)) if !self.request.judged.contains(&start.role) => {
                return trouble(format!("the reference {} cannot be executed: {errno}", start.role));
            }
            Err(SpawnError::Exec(Errno::EACCES)) if is_out_of_reach(&command[0]) => {
                return trouble(format!(
                    "{} is in a folder that the stage cannot enter: it is another user's, and even root has no privileges there",
                    command[0]
                ));
            }
            Err(SpawnError::Exec(errno)) => {
                let hint = match errno {
                    Errno::ENOEXEC => " (is it a script without a #! line?)",
                    Errno::ENOENT if std::path::Path::new(&command[0]).exists() => {
                        " (the file is there, but not the interpreter of its #! line: is a carriage return at its end?)"
                    }
                    _ => "",
                };
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
    pub fn processes_of_this_user(&self) -> Result<u64, Stop> {
        const OWN: u64 = 4;
        if nix::unistd::Uid::effective().is_root() || !self.request.isolation.has_own_users() || self.request.root {
            let why = "the limit of processes (RLIMIT_NPROC) does not bind root, nor the runner's user without a user namespace";
            return skip(why);
        }
        let threads: u64 = self.list_processes()?.iter().map(|process| process.threads).sum();
        Ok(OWN + threads)
    }

    /// The words of a command, perhaps with other arguments.
    pub fn words(&self, command: &[String], args: Option<&[String]>) -> Vec<String> {
        let fill = |word: String| {
            word.replace("{port}", &self.request.port.to_string()).replace("{host}", &self.address().ip().to_string())
        };
        let words = args.map_or_else(|| command.to_vec(), |args| with_arguments(command, args));
        words.into_iter().map(fill).collect()
    }

    /// On the machine's own network the port can be somebody else's: then nothing can be said about the subject. `false`:
    /// nobody has it, and still nobody can bind it, because of what an earlier scenario has left there.
    pub fn port_is_free(&mut self) -> Result<bool, Stop> {
        let port = self.request.port;
        let address = SockaddrStorage::from(SocketAddr::from(([0, 0, 0, 0], port)));
        let trial = tcp_socket(AddressFamily::Inet).and_then(|trial| {
            setsockopt(&trial, sockopt::ReuseAddr, &true)?;
            bind(std::os::fd::AsRawFd::as_raw_fd(&trial), &address)
        });
        match trial {
            Ok(()) => Ok(true),
            Err(Errno::EADDRINUSE) => {
                let listening = |socket: &crate::observe::Socket| socket.pair.local.port() == port && socket.inode != 0;
                let inode = self.list_sockets()?.into_iter().find(listening).map(|socket| socket.inode);
                if inode.is_none() && self.lingering()? > 0 {
                    return Ok(false);
                }
                let owner = inode.and_then(owner_on_the_machine).map_or(String::new(), |owner| format!(" by {owner}"));
                trouble(format!(
                    "port {port} is taken{owner}; end that program, or choose another port with --port and {{port}}"
                ))
            }
            Err(errno) => trouble(format!("port {port}: {errno}")),
        }
    }

    pub fn until_listening(&mut self, name: &str) -> Result<(), Stop> {
        let port = self.request.port;
        let owned = name.to_owned();
        let patience = match (self.request.never_listens, self.spins) {
            (false, _) => START_PATIENCE,
            (true, false) => QUIET,
            (true, true) => QUIET_SPIN,
        };
        self.starting = !self.request.never_listens;
        let waited = self.watch(Manner::Settles, Timing::Within(patience), true, |scene, view| {
            let Some(view) = view else { return Ok(Finding::NotYet(String::new())) };
            let sockets = scene.listeners_of(view, &owned);
            let wanted = |socket: &&&Socket| port == 0 || socket.pair.local.port() == port;
            // Of several: one for everybody before one for this host alone, and the lowest port.
            let order = |socket: &&&Socket| (!socket.pair.local.ip().is_unspecified(), socket.pair.local.port());
            let here = sockets.iter().filter(wanted).min_by_key(order).map(|socket| (*socket).clone());
            let elsewhere = not_listening(port, &sockets);
            let Some(program) = scene.programs.get(&owned) else { return Ok(Finding::Never("no such program".into())) };
            match (here, program.end) {
                (Some(socket), None) => {
                    scene.request.port = socket.pair.local.port();
                    Ok(scene.stays(view, &owned, program.pid, socket.inode))
                }
                // It may have left the work to a process that it has made, and that shows in a moment.
                (_, Some(End::Exited(0))) => Ok(Finding::NotYet("it exited with status 0".into())),
                (_, Some(end)) => Ok(Finding::Never(format!("it {end}{}", last_words(program)))),
                (None, None) => Ok(Finding::NotYet(elsewhere)),
            }
        })?;
        self.starting = false;
        match waited {
            Waited::Held => {
                if let Some(program) = self.programs.get_mut(name) {
                    program.has_started = true;
                }
                self.note(format!("{name} listens on port {}", self.request.port));
                let view = self.look()?;
                self.pass_over_wrapper(name, &view);
                if let Some(program) = self.programs.get_mut(name) {
                    program.threads = view.process(program.pid).map(|process| process.threads);
                }
                Ok(())
            }
            Waited::Failed(observed) if self.is_stuck(name)? => {
                trouble(format!("{observed}: the machine keeps it waiting, and that is no fault of {name}'s"))
            }
            Waited::Failed(observed) if port == 0 => miss(Topic::Start, format!("{name} listens on a port"), observed),
            Waited::Failed(observed) => miss(Topic::Start, format!("{name} listens on port {port}"), observed),
        }
    }

    /// Whether a process of a program waits for the machine, as for its disk (state D).
    fn is_stuck(&mut self, name: &str) -> io::Result<bool> {
        let view = self.look()?;
        Ok(self.family(&view, name).iter().any(|process| process.state == 'D'))
    }

    /// A server that listens has started once it sleeps, or spins as it always does. If it is not alone, or not the
    /// process `pid` that was started, that one may leave the place to a process that it has made, or has just done so,
    /// as daemons do: that is decided at rest.
    fn stays(&self, view: &View, name: &str, pid: i32, listener: u64) -> Finding {
        let family = self.family(view, name);
        let is_ready = |process: &Process| process.state == 'S' || (process.state == 'R' && self.request.spins);
        match family.as_slice() {
            [alone] if alone.pid == pid && is_ready(alone) && self.holds(alone, listener) => Finding::Settled,
            _ => Finding::Holds,
        }
    }
}

/// What a program that has ended said last, as an addition to a sentence.
pub fn last_words(program: &Program) -> String {
    let said = program.stderr.kept().trim_ascii_end();
    match said.rsplit(|byte| *byte == b'\n').next() {
        Some(line) if !line.is_empty() => format!("; it said {}", show(line)),
        _ => String::new(),
    }
}

/// The process of the machine that has a socket open, if it can be seen.
fn owner_on_the_machine(inode: u64) -> Option<String> {
    let machine = ProcessTable::machine().ok()?;
    let holder = machine.list().ok()?.into_iter().find(|process| {
        let table = machine.descriptors(process).unwrap_or_default();
        table.iter().any(|descriptor| descriptor.kind == crate::observe::DescriptorKind::Socket(inode))
    })?;
    Some(format!("process {} ({})", holder.pid, holder.name))
}

/// Whether a file cannot even be looked at.
fn is_out_of_reach(file: &str) -> bool {
    std::fs::metadata(file).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

/// A command with these arguments, an address and a port at the most, instead of its own: everything from the first word
/// with a placeholder on goes. Where options stand between the placeholders (`-h {host} -p {port}`), the arguments take
/// the places; and without arguments the option of the first placeholder goes as well.
fn with_arguments(command: &[String], args: &[String]) -> Vec<String> {
    let has_placeholder = |word: &String| word.contains("{host}") || word.contains("{port}");
    let Some(first) = command.iter().position(has_placeholder) else { return [command, args].concat() };
    let (kept, own) = command.split_at(first);
    let is_option = |word: &String| word.starts_with('-');
    let (takes_options, bare) = match kept {
        [program @ .., option] if !program.is_empty() && is_option(option) => (true, program),
        _ => (own.iter().any(is_option), kept),
    };
    match args {
        [] => bare.to_vec(),
        [host, port @ ..] if takes_options => {
            let port = port.first().map_or("{port}", String::as_str);
            let place = |word: &String| word.replace("{port}", port).replace("{host}", host);
            kept.iter().cloned().chain(own.iter().map(place)).collect()
        }
        _ => [kept, args].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::in_places("cli {host} {port}", "1.2.3.4 7", "cli 1.2.3.4 7")]
    #[case::the_port_is_the_usual_one("cli {host}", "1.2.3.4 7", "cli 1.2.3.4 7")]
    #[case::nothing("cli {host} {port}", "", "cli")]
    #[case::an_interpreter("python3 -u cli.py {host} {port}", "1.2.3.4 7", "python3 -u cli.py 1.2.3.4 7")]
    #[case::nothing_for_an_interpreter("python3 -u cli.py {host}", "", "python3 -u cli.py")]
    #[case::options("cli -h {host} -p {port}", "1.2.3.4 7", "cli -h 1.2.3.4 -p 7")]
    #[case::options_in_one_word("cli --host={host} --port={port}", "1.2.3.4 7", "cli --host=1.2.3.4 --port=7")]
    #[case::an_option_for_the_port("cli {host} -p {port}", "1.2.3.4 7", "cli 1.2.3.4 -p 7")]
    #[case::no_options("cli -v -h {host} -p {port}", "", "cli -v")]
    #[case::the_port_stays("cli -h {host} -p {port}", "1.2.3.4", "cli -h 1.2.3.4 -p {port}")]
    fn arguments_take_the_place_of_the_commands_own(#[case] command: &str, #[case] args: &str, #[case] words: &str) {
        let split = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(with_arguments(&split(command), &split(args)), split(words));
    }
}
