//! Programs that are wrong before any scenario is: they are told apart, and the message names the cause.

mod common;

use std::fs;
use std::net::TcpListener;
use std::process::Stdio;

use common::{
    FORKSPEC, both, compile, executable, folder, forkspec, only, output, path, reference, report, root, status, stderr,
    stdout, text,
};
use rstest::rstest;
use serde_json::Value;

/// A server that listens on the port that it is compiled with, and serves nobody.
const LISTENER: &str = r#"
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
int main(void) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(PORT)};
  int s = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(s, (struct sockaddr *)&a, sizeof a) < 0) return 1;
  if (listen(s, 16) < 0) return 2;
  for (;;) pause();
}
"#;

const PAUSER: &str = "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n";

/// A client that dies of its own fault once it is spoken to.
const CRASHER: &str = r#"
#include <stdio.h>
#include <stdlib.h>
int main(void) {
  char line[100];
  if (fgets(line, sizeof line, stdin)) abort();
  return 0;
}
"#;

fn listener(port: u16) -> String {
    LISTENER.replace("PORT", &port.to_string())
}

/// Fails `startup/server-listens` with this server; returns what was observed.
fn observed(server: &str) -> String {
    let (code, document) = report(&["--server", server, "startup/server-listens"]);
    let scenario = only(&document);
    assert_eq!((code, text(&scenario["verdict"])), (1, "fail"), "{scenario:#}");
    let size = document.to_string().len();
    assert!(size < 1 << 20, "the report has {size} bytes");
    text(&scenario["failure"]["observed"]).to_owned()
}

#[rstest]
#[case::at_once("exit 0", "it exited with status 0")]
#[case::with_a_status("exit 7", "it exited with status 7")]
#[case::by_a_signal("kill -SEGV $$", "SIGSEGV")]
#[case::with_a_message("echo 'no such luck' >&2; exit 1", "it said \"no such luck\"")]
#[case::with_bytes_that_are_no_text("printf 'caf\\351 \\033[31m\\n' >&2; exit 1", "caf\\xe9 \\x1b[31m")]
fn a_server_that_ends_is_said_to_have_ended(#[case] script: &str, #[case] wanted: &str) {
    let folder = folder();
    let server = executable(folder.path(), "server", &format!("#!/bin/sh\n{script}\n"));
    let observed = observed(&server);
    assert!(observed.contains(wanted), "{wanted:?} is not said: {observed}");
    assert!(!observed.chars().any(char::is_control), "{observed:?}");
}

/// So that fifty of them that go round and round do not keep the runner from seeing and ending it.
#[test]
fn programs_give_way_to_the_runner() {
    let folder = folder();
    let server = executable(folder.path(), "server", "#!/bin/sh\nnice >&2\nexit 1\n");
    let own = std::process::Command::new("nice").output().expect("nice can be started");
    let own: i32 = stdout(&own).trim().parse().expect("nice prints a number");
    let wanted = format!("it said \"{}\"", (own + 5).min(19));
    assert!(observed(&server).contains(&wanted), "{wanted}");
}

#[test]
fn a_server_that_never_listens_is_said_not_to() {
    let folder = folder();
    let observed = observed(&compile(folder.path(), "server", PAUSER));
    assert!(observed.contains("nothing listens on port 9877"), "{observed}");
}

/// The daytime server of UNPv1 §4.6, which answers with the time whatever its client says. Its port is its argument.
const DAYTIME: &str = r#"
#include <arpa/inet.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
int main(int argc, char **argv) {
  struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(argc > 1 ? atoi(argv[1]) : 9877) };
  int on = 1, listenfd = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(listenfd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  bind(listenfd, (struct sockaddr *)&addr, sizeof addr);
  listen(listenfd, 10);
  for (;;) {
    int connfd = accept(listenfd, NULL, NULL);
    if (write(connfd, "noon\r\n", 6) < 0) return 1;
    close(connfd);
  }
}
"#;

/// A scenario of one's own can be about a server that echoes nothing.
#[rstest]
#[case::another_service("service   = 'other'\n", "noon", 0, "pass")]
#[case::another_service_that_fails("service   = 'other'\n", "midnight", 1, "fail")]
#[case::taken_for_an_echo_server("", "noon", 1, "fail")]
fn a_server_can_be_no_echo_server(
    #[case] service: &str,
    #[case] time: &str,
    #[case] wanted: i32,
    #[case] verdict: &str,
) {
    let folder = folder();
    let server = compile(folder.path(), "daytime", DAYTIME);
    let suite = folder.path().join("own");
    fs::create_dir(&suite).expect("it can be made");
    let scenario = format!(
        "title     = 'The time comes, and then the end'\nreference = 'UNPv1 §4.6'\nlevel     = 'must'\n\
         tests     = 'server'\ndefect    = 'tells-no-time'\n{service}steps = [\n  {{ start = \"server\" }},\n  \
         {{ connect = \"c1\" }},\n  {{ expect = \"c1\", receives = \"{time}\\r\\n\", closed = \"fin\" }},\n]\n"
    );
    fs::write(suite.join("daytime.toml"), scenario).expect("it can be written");
    let command = format!("{server} {{port}}");
    let (code, document) = report(&["--server", &command, "--scenarios", &path(&suite)]);
    assert_eq!(code, wanted, "{document:#}");
    let played = only(&document);
    assert_eq!(text(&played["verdict"]), verdict, "{played:#}");
    if service.is_empty() {
        assert!(text(&played["failure"]["expected"]).starts_with("one more client receives"), "{played:#}");
    } else {
        assert!(played["failure"]["defect"].is_null(), "blamed for what an echo server does wrong: {played:#}");
    }
}

#[test]
fn a_server_on_another_port_is_told_which() {
    let folder = folder();
    let observed = observed(&compile(folder.path(), "server", &listener(9878)));
    assert!(observed.contains("9878"), "{observed}");
}

#[test]
fn a_text_file_is_no_program() {
    let folder = folder();
    let observed = observed(&executable(folder.path(), "server", "int main(void) { return 0; }\n"));
    assert!(observed.contains("it cannot be executed") && observed.contains("#!"), "{observed}");
}

/// It prints as fast as it can, on both outputs, and never anything else.
#[test]
fn output_without_end_is_bounded() {
    let folder = folder();
    let server = executable(folder.path(), "server", "#!/bin/sh\nyes 'noise' >&2 &\nexec yes 'more noise'\n");
    let observed = observed(&server);
    assert!(observed.contains("nothing listens on port 9877"), "{observed}");
    let shown = output(&["--server", &server, "startup/server-listens"]);
    assert_eq!(status(&shown), 1, "{}", both(&shown));
    assert!(both(&shown).len() < 1 << 16, "{} bytes on the screen", both(&shown).len());
}

/// What a subject says or is called cannot change the terminal of whoever looks: a terminal that wants colours, as one
/// that does not gets no escape codes at all.
fn assert_harmless(server: &str) -> String {
    let words = ["--server", server, "startup/server-listens"];
    let output = forkspec().args(words).env("CLICOLOR_FORCE", "1").output().expect("it can be started");
    let shown = both(&output);
    assert_eq!(status(&output), 1, "{shown}");
    assert!(shown.contains("\u{1b}["), "no colours: nothing is shown");
    // None of these is a code that the report itself uses.
    for code in ["\u{1b}[45m", "\u{1b}[2J", "\u{1b}]", "\u{7}", "\r"] {
        assert!(!shown.contains(code), "{code:?} is in\n{}", shown.escape_debug());
    }
    shown
}

#[test]
fn what_a_program_says_is_escaped() {
    let folder = folder();
    let script = "#!/bin/sh\nprintf 'caf\\351\\n\\033]0;owned\\007\\r\\n' >&2\nprintf 'x\\033[2Jx\\n'\nexit 3\n";
    let shown = assert_harmless(&executable(folder.path(), "server", script));
    assert!(shown.contains("caf\\xe9"), "{shown}");
}

/// Only on Linux can a program change the name that ps shows for it so freely.
#[cfg(target_os = "linux")]
#[test]
fn what_a_program_is_called_is_escaped() {
    let folder = folder();
    let source = PAUSER
        .replace("<unistd.h>", "<unistd.h>\n#include <sys/prctl.h>")
        .replace("{ for", "{ prctl(PR_SET_NAME, \"\\033[2Jx\"); for");
    let server = compile(folder.path(), "\u{1b}[45mserver", &source);
    assert_harmless(&format!("'{server}' '\u{1b}[2J'"));
}

#[test]
fn a_port_that_somebody_else_has_is_not_the_subjects_fault() {
    let folder = folder();
    let other = TcpListener::bind(("0.0.0.0", 0)).expect("a port");
    let port = other.local_addr().expect("it has one").port();
    let server = compile(folder.path(), "server", &listener(port));
    let port = port.to_string();
    let (code, document) =
        report(&["--isolation", "none", "--server", &server, "--port", &port, "startup/server-listens"]);
    let scenario = only(&document);
    assert_eq!((code, text(&scenario["verdict"])), (3, "error"), "{scenario:#}");
    let reason = text(&scenario["reason"]);
    assert!(reason.contains(&format!("port {port} is taken by process {} ", std::process::id())), "{reason}");
}

#[test]
fn a_client_that_crashes_is_said_to_have_crashed() {
    let folder = folder();
    // With a port of its own, where the network is shared with the other tests.
    let client = compile(folder.path(), "client", CRASHER) + " {host} {port}";
    let (code, document) = report(&["--client", &client, "echo/one-line-through-the-client"]);
    let scenario = only(&document);
    assert_eq!((code, text(&scenario["verdict"])), (1, "fail"), "{scenario:#}");
    assert!(scenario.to_string().contains("SIGABRT"), "{scenario:#}");
}

/// A reference server that has its port for good: where the network is shared, others get a fresh one for each play.
fn on_port(model: &str, port: u16) -> String {
    reference(model).replace("{port}", &port.to_string())
}

/// Runs the command in a folder with this manifest.
fn with_manifest(manifest: &str, words: &[&str]) -> (std::process::Output, tempfile::TempDir) {
    let folder = folder();
    fs::write(folder.path().join("forkspec.toml"), manifest).expect("it can be written");
    fs::write(folder.path().join("pauser.c"), PAUSER).expect("it can be written");
    let output = forkspec().current_dir(folder.path()).args(words).output().expect("it can be started");
    (output, folder)
}

#[test]
fn a_manifest_holds_the_options() {
    let manifest = format!(
        "filter = [\"startup/server-listens\"]\nreport = [\"json\"]\nport = 4321\njobs = 1\n\
         [server]\ncommand = '{}'\nmodel = 'thread'\n[client]\ncommand = '{FORKSPEC} reference client {{host}} 4321'\n",
        on_port("server", 4321)
    );
    let (output, _folder) = with_manifest(&manifest, &[]);
    assert_eq!(status(&output), 0, "{}", both(&output));
    let document: Value = serde_json::from_slice(&output.stdout).expect("a JSON report");
    assert_eq!(text(&only(&document)["id"]), "startup/server-listens");
    assert_eq!(document["subject"]["server"]["model"], "thread");
    assert!(only(&document).to_string().contains("listens on port 4321"), "{document:#}");
}

#[test]
fn the_command_line_wins_over_the_manifest() {
    let manifest = "filter = [\"echo\"]\nport = 4321\nreport = [\"carrier-pigeon=x\", \"json\"]\n[server]\ncommand = './no-such-program'\n";
    let words = ["--server", &on_port("event", 4322), "--port", "4322", "--report", "json", "startup/server-listens"];
    let (output, _folder) = with_manifest(manifest, &words);
    assert_eq!(status(&output), 0, "{}", both(&output));
    let document: Value = serde_json::from_slice(&output.stdout).expect("a JSON report");
    assert_eq!(document["subject"]["server"]["model"], "event");
    assert!(only(&document).to_string().contains("listens on port 4322"), "{document:#}");
}

/// On the machine's own network two servers with one port of their own would be taken for each other.
#[test]
fn runs_on_one_port_of_the_machine_take_turns() {
    let server = on_port("server", 4323);
    let words =
        ["--isolation", "none", "--server", &server, "--port", "4323", "startup/server-listens", "echo/one-line"];
    let runs: Vec<_> = (0..3)
        .map(|_| {
            let mut run = std::process::Command::new(FORKSPEC);
            run.args(["run"]).args(words).stdout(Stdio::piped()).stderr(Stdio::piped());
            run.spawn().expect("it can be executed")
        })
        .collect();
    for run in runs {
        let output = run.wait_with_output().expect("it ends");
        assert_eq!(status(&output), 0, "{}", both(&output));
    }
}

#[test]
fn a_manifest_builds_before_the_run() {
    // A port of its own: what others have left on it would be waited for, where the network is the machine's.
    let manifest = "filter = ['startup/server-listens']\nport = 4324\n[server]\ncommand = './pauser'\nbuild = 'cc -o pauser pauser.c'\n";
    let (output, folder) = with_manifest(manifest, &[]);
    assert_eq!(status(&output), 1, "the build makes a program that never listens: {}", both(&output));
    assert!(folder.path().join("pauser").exists());
    assert!(stdout(&output).contains("nothing listens on port 4324"), "{}", both(&output));
}

#[rstest]
#[case::build_fails("[server]\ncommand = './x'\nbuild = 'cc -o x no-such-file.c'\n", 3, &["no-such-file.c", "the build failed", "cc -o x no-such-file.c"])]
#[case::no_compiler("[server]\ncommand = './x'\nbuild = './no-such-compiler'\n", 2, &["`./no-such-compiler`: there is no such file"])]
#[case::unknown_key("port = 9877\nprot = 1\n", 2, &["forkspec.toml", "line 2", "prot"])]
#[case::unknown_key_of_a_program("[server]\ncomand = './x'\n", 2, &["forkspec.toml", "line 2", "comand"])]
#[case::no_command("[client]\nbuild = 'true'\n", 2, &["forkspec.toml", "command"])]
#[case::wrong_kind("port = 'many'\n", 2, &["forkspec.toml", "line 1"])]
#[case::port_zero("port = 0\n", 2, &["forkspec.toml", "port"])]
#[case::jobs_zero("jobs = 0\n", 2, &["forkspec.toml", "jobs"])]
#[case::more_jobs_than_can_be("jobs = 65\n", 2, &["forkspec.toml", "`jobs` is 1 to 64"])]
#[case::unknown_model("[server]\ncommand = 'true'\nmodel = 'frok'\n", 2, &["forkspec.toml", "frok"])]
#[case::unknown_report("report = ['jsno']\n", 2, &["did you mean `json`?"])]
#[case::broken("[server\n", 2, &["forkspec.toml", "line 1"])]
fn a_manifest_that_cannot_be_meant_is_refused(#[case] manifest: &str, #[case] code: i32, #[case] wanted: &[&str]) {
    let (output, _folder) = with_manifest(manifest, &["startup"]);
    assert_eq!(status(&output), code, "{}", both(&output));
    assert_eq!(stdout(&output), "");
    wanted
        .iter()
        .for_each(|wanted| assert!(stderr(&output).contains(wanted), "{wanted:?} is not said:\n{}", stderr(&output)));
}

#[test]
fn what_is_listed_and_explained_is_what_would_be_played() {
    let folder = folder();
    let suite = path(&root().join("scenarios/crash"));
    let manifest = format!("scenarios = ['{suite}']\nfilter = ['client-is-killed']\n");
    fs::write(folder.path().join("forkspec.toml"), manifest).expect("it can be written");
    let said = |words: &[&str]| {
        let output = forkspec().current_dir(folder.path()).args(words).output().expect("it can be started");
        assert_eq!(status(&output), 0, "{}", both(&output));
        output
    };
    let listed = stdout(&said(&["list"]));
    assert!(listed.lines().all(|line| line.starts_with("client-is-killed")) && !listed.is_empty(), "{listed}");
    assert!(stdout(&said(&["explain", "client-is-killed"])).contains("Steps"));
    assert!(stdout(&said(&["explain", "echo/empty-line"])).contains("Steps"), "the standard suite is explained too");
    let played = said(&["--report", "json"]);
    assert!(stderr(&played).contains("forkspec.toml names no program"), "{}", both(&played));
}

#[test]
fn a_client_that_does_not_say_where_gets_the_address_as_its_last_word() {
    let folder = folder();
    // Its connections stay on the port in TIME_WAIT, where the network is the machine's: the port is nobody else's.
    let script = format!("#!/bin/sh\nexec {FORKSPEC} reference client \"$1\" 4325\n");
    let client = executable(folder.path(), "client", &script);
    let (code, document) = report(&["--client", &client, "--port", "4325", "echo/one-line-through-the-client"]);
    assert_eq!(code, 0, "{document:#}");
    assert!(root().join("scenarios/echo/one-line-through-the-client.toml").exists());
    assert_eq!(
        document["subject"]["client"]["command"],
        serde_json::json!([path(folder.path().join("client").as_path()), "{host}"])
    );
}
