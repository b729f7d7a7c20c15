//! What is left of a run: nothing, however it ends.
//!
//! Seen from outside through `/proc`, so on Linux only.

#![cfg(target_os = "linux")]

mod common;

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use common::processes::MarkedRun;
use common::{FORKSPEC, compile, files, folder, path, root};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, geteuid};
use rstest::rstest;
use serde_json::Value;

/// Many plays for each line of output: a run that is ended at its first lines is in the middle of its work.
const LONG: &str = "2000";

fn words(isolation: &str) -> Vec<&str> {
    // Those that begin with an f have several clients at once, so that there are several handlers.
    let mut words = vec!["run", "--repeat", LONG, "termination/f"];
    if isolation != "any" {
        words.extend(["--isolation", isolation]);
    }
    words
}

/// Kills the runner as soon as a play has come to a certain point; asserts that it was alive until then.
fn kill_at(run: &mut MarkedRun, point: usize) {
    let reached = match point {
        // A stage is there.
        0 => run.until(|run| !run.processes().is_empty()),
        // So many programs of the subject's are running at this moment.
        programs => run.until(|run| run.programs().len() >= programs),
    };
    assert!(reached, "point {point} was not reached");
    run.note_namespaces();
    run.child.kill().expect("it can be killed");
    let status = run.child.wait().expect("it can be waited for");
    assert_eq!(status.signal(), Some(9), "the run was over before point {point}: {status}");
}

#[test]
fn a_killed_runner_leaves_nothing_behind() {
    let mut namespaces = 0;
    for point in [0, 1, 2, 3, 0, 1, 2, 3, 1, 2] {
        let mut run = MarkedRun::start(&words("any"));
        kill_at(&mut run, point);
        run.assert_gone(&format!("killed at point {point}"));
        namespaces += run.namespaces();
    }
    // If no namespace was ever seen, nothing was shown about namespaces; plain processes have none.
    let (_, report) = common::report(&["startup/server-listens"]);
    assert!(namespaces > 0 || report["environment"]["isolation"] == "none");
}

#[test]
fn a_killed_runner_leaves_plain_processes_neither() {
    for point in [1, 2, 1, 2, 0, 1, 2, 1, 2, 3] {
        let mut run = MarkedRun::start(&words("none"));
        kill_at(&mut run, point);
        run.assert_gone(&format!("killed at point {point}, without namespaces"));
    }
}

#[rstest]
#[case::to_the_runner(false, Signal::SIGINT)]
#[case::to_the_group_as_a_terminal_does(true, Signal::SIGINT)]
#[case::terminated(false, Signal::SIGTERM)]
fn an_interrupted_run_reports_what_it_has(#[case] to_group: bool, #[case] signal: Signal) {
    let folder = folder();
    let file = path(&folder.path().join("report.json"));
    let report = format!("json={file}");
    let mut run = MarkedRun::start(&[
        "run",
        "--repeat",
        "20",
        "--report",
        "terminal",
        "--report",
        &report,
        "crash",
        "termination",
    ]);
    let mut out = BufReader::new(run.child.stdout.take().expect("it is piped"));
    let mut text = String::new();
    // The header, and the first scenario's result.
    for _ in 0..2 {
        assert!(out.read_line(&mut text).expect("it can be read") > 0, "it ended early: {text}");
    }
    match to_group {
        true => killpg(run.pid(), signal),
        false => kill(run.pid(), signal),
    }
    .expect("it can be interrupted");
    out.read_to_string(&mut text).expect("it can be read");
    let status = run.child.wait().expect("it can be waited for");
    assert_eq!(status.code(), Some(130), "{text}");
    assert!(text.contains("\nInterrupted: "), "{text}");
    assert!(text.contains("not decided"), "{text}");

    let document: Value =
        serde_json::from_slice(&std::fs::read(&file).expect("the report is there")).expect("it is whole");
    let played = document["scenarios"].as_array().expect("a list");
    let all = files(&root().join("scenarios"), "toml").len();
    assert!((1..all).contains(&played.len()), "{} of {all} scenarios", played.len());
    for scenario in played {
        let word = scenario["verdict"].as_str();
        assert!(matches!(word, Some("pass" | "skip")), "what was cut off is no verdict: {scenario:#}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("it is there").count(), 1, "a temporary file is left");
    run.assert_gone("interrupted");
}

#[test]
fn a_second_interrupt_ends_the_runner_at_once() {
    // Stopped, the stages answer nothing: the runner would wait for them.
    let mut run = MarkedRun::start(&words("any"));
    assert!(run.until(|run| run.programs().len() >= 2));
    run.note_namespaces();
    for pid in run.processes() {
        let _ = kill(Pid::from_raw(pid), Signal::SIGSTOP);
    }
    kill(run.pid(), Signal::SIGINT).expect("it can be interrupted");
    // The first one has been handled when it is pending no more.
    let runner = run.child.id();
    let handled = |_: &mut MarkedRun| {
        let status = std::fs::read_to_string(format!("/proc/{runner}/status")).unwrap_or_default();
        status
            .lines()
            .filter(|line| line.starts_with("SigPnd") || line.starts_with("ShdPnd"))
            .all(|line| line.ends_with("0000000000000000"))
    };
    assert!(run.until(handled));
    kill(run.pid(), Signal::SIGINT).expect("it can be interrupted");
    let mut ended = None;
    assert!(run.until(|run| {
        ended = run.child.try_wait().expect("it can be asked");
        ended.is_some()
    }));
    assert_eq!(ended.and_then(|status| status.code()), Some(130));
    if run.namespaces() == 0 {
        // Without namespaces the stages clear up themselves, when they see that the runner has ended.
        for pid in run.processes() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGCONT);
        }
    }
    run.assert_gone("interrupted twice");
}

/// Starts a process that hides: twice forked, in a session of its own, deaf to every signal that can be ignored.
/// Then, and only then, it becomes the server.
const HIDER: &str = r#"
#include <signal.h>
#include <unistd.h>
int main(int argc, char **argv) {
  if (argc < 2) return 2;
  int ready[2];
  char byte;
  if (pipe(ready) < 0) return 2;
  if (fork() == 0) {
    setsid();
    if (fork() > 0) _exit(0);
    for (int n = 1; n < 65; n++) signal(n, SIG_IGN);
    for (int fd = 0; fd < 3; fd++) close(fd);
    if (write(ready[1], "x", 1) != 1) _exit(1);
    close(ready[1]);
    for (;;) pause();
  }
  close(ready[1]);
  if (read(ready[0], &byte, 1) != 1) return 3;
  close(ready[0]);
  execv(argv[1], argv + 1);
  return 4;
}
"#;

#[rstest]
#[case("user-namespace")]
#[case("shared-proc")]
#[case("root")]
#[case("none")]
fn a_process_that_hides_is_gone_after_the_run(#[case] isolation: &str) {
    if isolation == "root" && !geteuid().is_root() {
        return;
    }
    let folder = folder();
    let hider = compile(folder.path(), "hider", HIDER);
    let server = format!("{hider} {FORKSPEC} reference server {{port}}");
    let words = ["run", "--isolation", isolation, "--server", &server, "startup", "termination/child-is-reaped"];
    let mut run = MarkedRun::start(&words);
    let mut text = String::new();
    run.child.stdout.take().expect("it is piped").read_to_string(&mut text).expect("it can be read");
    let mut error = String::new();
    run.child.stderr.take().expect("it is piped").read_to_string(&mut error).expect("it can be read");
    let status = run.child.wait().expect("it can be waited for");
    if status.code() == Some(3) && isolation != "none" && error.contains("cannot run it") {
        return;
    }
    // It becomes the server only when it has heard from the process that hides.
    assert!(text.contains("PASS  startup/idle-server-sleeps"), "no process has hidden itself: {text}{error}");
    // At the runner's end, not some time after it.
    assert_eq!(run.processes(), Vec::<i32>::new(), "{text}");
    run.assert_gone(isolation);
}

/// Makes files that must not be there yet, and removes one that is: `$1` is a name.
const SCRIBBLER: &str = r#"
set -eC
for place in . "$HOME" /tmp; do
  echo "process $$" > "$place/$1"
done
rm "$HOME/precious"
shift
exec "$@"
"#;

#[test]
fn what_a_program_writes_is_its_own_and_gone_after_the_run() {
    // Neither in the other nor below /tmp: each is a case of its own.
    let elsewhere = || tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary folder");
    let (folder, home) = (elsewhere(), elsewhere());
    let script = path(&folder.path().join("scribbler.sh"));
    std::fs::write(&script, SCRIBBLER).expect("it can be written");
    std::fs::write(home.path().join("precious"), "the only copy").expect("it can be written");
    let name = format!("forkspec-test-{}", std::process::id());
    let server = format!("sh {script} {name} {FORKSPEC} reference server {{port}}");
    let words = ["run", "--server", &server, "--report", "json", "startup/server-listens", "termination", "crash"];
    let run = common::forkspec()
        .current_dir(folder.path())
        .env("HOME", home.path())
        .args(words)
        .output()
        .expect("it can be executed");
    let report: Value = serde_json::from_slice(&run.stdout).expect("it is JSON");
    if report["environment"]["isolation"] == "none" {
        // Plain processes share all files, and the second one finds the first one's.
        return;
    }
    assert_eq!(run.status.code(), Some(0), "{}", common::both(&run));
    let entries = |folder: &Path| std::fs::read_dir(folder).expect("it can be read").count();
    assert_eq!((entries(folder.path()), entries(home.path())), (1, 1), "{}", common::both(&run));
    assert!(!Path::new("/tmp").join(&name).exists(), "in /tmp");
}

/// Tries to write where nothing of a program's may be, and then serves. What could be written it says, and does not serve.
const INTRUDER: &str = r#"
# This may go to a layer.
(: >>"$1/here") 2>/dev/null
for place in /proc/sys/kernel/core_pattern /proc/sysrq-trigger /dev/kmsg "$2"; do
  if (: >>"$place") 2>/dev/null; then
    echo "$place can be written to" >&2
    exit 1
  fi
done
shift 2
exec "$@"
"#;

#[test]
fn a_program_can_write_to_nothing_but_its_own_layers() {
    // Below none of the folders that have a layer: the working directory and the home are others.
    let elsewhere = || tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary folder");
    let (folder, home, target) = (elsewhere(), elsewhere(), elsewhere());
    let script = path(&folder.path().join("intruder.sh"));
    std::fs::write(&script, INTRUDER).expect("it can be written");
    // The terminal of the test, if it has one.
    let terminal = nix::unistd::ttyname(std::io::stdin()).unwrap_or_else(|_| "/dev/console".into());
    let target_path = path(target.path());
    let server = format!("sh {script} {target_path} {} {FORKSPEC} reference server {{port}}", terminal.display());
    let words = ["run", "--server", &server, "--report", "json", "startup/server-listens"];
    let run = common::forkspec()
        .current_dir(folder.path())
        .env("HOME", home.path())
        .args(words)
        .output()
        .expect("it can be executed");
    let report: Value = serde_json::from_slice(&run.stdout).expect("it is JSON");
    if report["environment"]["isolation"] == "none" {
        return;
    }
    assert_eq!(run.status.code(), Some(0), "{report:#}");
    assert_eq!(std::fs::read_dir(target.path()).expect("it can be read").count(), 0, "{report:#}");
}

/// Writes results into everything of the runner's that it can open, and serves nobody.
const FORGER: &str = r#"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(void)
{
    const char line[] = "{\"Played\":\"Pass\"}\n\"Cleared\"\n";
    DIR *all = opendir("/proc");
    signal(SIGPIPE, SIG_IGN);
    for (struct dirent *process; all && (process = readdir(all));) {
        char folder[64], place[128], name[16] = "";
        snprintf(place, sizeof place, "/proc/%.20s/comm", process->d_name);
        FILE *comm = fopen(place, "r");
        int ours = comm && fgets(name, sizeof name, comm) && strcmp(name, "forkspec\n") == 0;
        if (comm)
            fclose(comm);
        if (!ours)
            continue;
        snprintf(folder, sizeof folder, "/proc/%.20s/fd", process->d_name);
        DIR *descriptors = opendir(folder);
        for (struct dirent *one; descriptors && (one = readdir(descriptors));) {
            snprintf(place, sizeof place, "%s/%.20s", folder, one->d_name);
            int fd = open(place, O_WRONLY | O_NONBLOCK);
            for (int times = 0; fd >= 0 && times < 200; times++)
                if (write(fd, line, strlen(line)) < 0)
                    break;
        }
    }
    for (;;)
        pause();
}
"#;

/// The report of a run with this isolation, if it can be had here.
fn isolated(isolation: &str, server: &str) -> Option<Value> {
    let words = ["run", "--report", "json", "--isolation", isolation, "--server", server, "startup/server-listens"];
    let run = common::forkspec().args(words).output().expect("it can be executed");
    let refused = run.status.code() == Some(3) && common::stderr(&run).contains("cannot run it");
    (!refused).then(|| serde_json::from_slice(&run.stdout).unwrap_or_else(|_| panic!("{}", common::both(&run))))
}

#[rstest]
#[case("user-namespace")]
#[case("none")]
fn a_result_cannot_be_forged(#[case] isolation: &str) {
    // As an ordinary user: root may write to everybody's pipes, and loses its privileges in a namespace only.
    if isolation == "none" && geteuid().is_root() {
        return;
    }
    let folder = folder();
    let server = compile(folder.path(), "forger", FORGER);
    let Some(report) = isolated(isolation, &server) else { return };
    assert_eq!((&report["summary"]["pass"], &report["summary"]["fail"]), (&0.into(), &1.into()), "{report:#}");
}

#[test]
fn a_player_that_is_stopped_goes_on() {
    let folder = folder();
    let script = path(&folder.path().join("stopper.sh"));
    std::fs::write(&script, "kill -STOP $PPID\nexec \"$@\"\n").expect("it can be written");
    let server = format!("sh {script} {FORKSPEC} reference server {{port}}");
    let Some(report) = isolated("user-namespace", &server) else { return };
    assert_eq!(report["summary"]["pass"], 1, "{report:#}");
}
