//! The processes of one run, seen from outside, and whether they are gone.
//!
//! A run is recognised in two ways: its processes inherit an environment variable, and the command itself is started
//! under a name of its own, which stages and reference programs show in their command lines. The second one is seen by
//! users who may not read the environment of a process that has shut itself off.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::{AMBIENT, FORKSPEC, root};

/// What is to vanish has to vanish in this time; it takes milliseconds.
const BOUND: Duration = Duration::from_secs(60);
const MARK: &str = "FORKSPEC_TEST_MARK";

/// A run of the command of which nothing may be left. When it goes out of scope its processes are ended.
pub struct MarkedRun {
    /// The command's own process, in a process group of its own.
    pub child: Child,
    /// Its TMPDIR.
    pub temporary: TempDir,
    mark: String,
    _place: TempDir,
    namespaces: BTreeSet<PathBuf>,
}

impl MarkedRun {
    /// Starts the command with these words, its standard output piped.
    pub fn start(words: &[&str]) -> MarkedRun {
        // The name is unique: no other test, and no other run of this one, has it.
        let place =
            tempfile::Builder::new().prefix("marked-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let mark = place.path().file_name().expect("it has a name").to_string_lossy().into_owned();
        let program = place.path().join("forkspec");
        fs::hard_link(FORKSPEC, &program)
            .or_else(|_| fs::copy(FORKSPEC, &program).map(drop))
            .expect("the command can be copied");
        let temporary = super::folder();
        let mut command = Command::new(&program);
        AMBIENT.iter().for_each(|name| {
            command.env_remove(name);
        });
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command
            .args(words)
            .current_dir(root())
            .env(MARK, &mark)
            .env("TMPDIR", temporary.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command can be started");
        MarkedRun { child, temporary, mark, _place: place, namespaces: BTreeSet::new() }
    }

    /// The program that was started: a word for commands of subjects that the run starts.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    /// Its processes, but for zombies and for the command itself.
    pub fn processes(&self) -> Vec<i32> {
        let own = self.child.id() as i32;
        all().into_iter().filter(|pid| *pid != own && self.owns(*pid) && !is_zombie(*pid)).collect()
    }

    /// Those that a stage has started as the subject's programs.
    pub fn programs(&self) -> Vec<i32> {
        let named = |pid: &i32| contains(&format!("/proc/{pid}/environ"), b"FORKSPEC_PROGRAM=");
        self.processes().into_iter().filter(named).collect()
    }

    fn owns(&self, pid: i32) -> bool {
        ["environ", "cmdline"].iter().any(|file| contains(&format!("/proc/{pid}/{file}"), self.mark.as_bytes()))
    }

    /// Remembers the network namespaces that its processes have now.
    pub fn note_namespaces(&mut self) {
        let own = namespace(std::process::id() as i32);
        let found = self.processes().into_iter().filter_map(namespace);
        self.namespaces.extend(found.filter(|found| Some(found) != own.as_ref()));
    }

    /// The network namespaces that were noted.
    pub fn namespaces(&self) -> usize {
        self.namespaces.len()
    }

    /// Whoever is in one of those namespaces.
    fn inhabitants(&self) -> Vec<i32> {
        let noted = |pid: &i32| namespace(*pid).is_some_and(|own| self.namespaces.contains(&own));
        all().into_iter().filter(noted).collect()
    }

    /// Looks until a condition holds, for a bounded time. Returns whether it does.
    pub fn until(&mut self, mut holds: impl FnMut(&mut MarkedRun) -> bool) -> bool {
        let since = Instant::now();
        while since.elapsed() < BOUND {
            if holds(self) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        false
    }

    /// Asserts that nothing is left: no process, no namespace of the run, no temporary file.
    pub fn assert_gone(&mut self, what: &str) {
        let gone = self.until(|run| run.processes().is_empty());
        let left: Vec<String> = self.processes().into_iter().map(describe).collect();
        assert!(gone, "{what}: processes are left: {left:#?}");
        // Of a process that is just ending nothing tells whose it is, but its namespace does.
        let deserted = self.until(|run| run.inhabitants().is_empty());
        let inhabitants: Vec<String> = self.inhabitants().into_iter().map(describe).collect();
        assert!(deserted, "{what}: namespaces are inhabited: {inhabitants:#?}");
        let files: Vec<_> =
            fs::read_dir(self.temporary.path()).expect("it is there").flatten().map(|entry| entry.path()).collect();
        assert!(files.is_empty(), "{what}: files are left: {files:?}");
    }
}

impl Drop for MarkedRun {
    fn drop(&mut self) {
        let _ = killpg(self.pid(), Signal::SIGKILL);
        let _ = self.child.wait();
        let since = Instant::now();
        while since.elapsed() < BOUND {
            let left = self.processes();
            if left.is_empty() {
                break;
            }
            for pid in left {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn all() -> Vec<i32> {
    let entries = fs::read_dir("/proc").expect("these tests need /proc");
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn contains(file: &str, wanted: &[u8]) -> bool {
    fs::read(Path::new(file)).is_ok_and(|content| content.windows(wanted.len()).any(|window| window == wanted))
}

fn is_zombie(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
}

fn namespace(pid: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/net")).ok()
}

fn describe(pid: i32) -> String {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    format!(
        "{} [{}]",
        String::from_utf8_lossy(&words).replace('\0', " "),
        stat.split(' ').take(6).collect::<Vec<_>>().join(" ")
    )
}
