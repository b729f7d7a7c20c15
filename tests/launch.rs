//! How programs are started: at a terminal, as inetd does, on whatever port they choose.
//!
//! On Linux only: elsewhere nobody has played these subjects.

#![cfg(target_os = "linux")]

mod common;

use std::fs;

use common::{FORKSPEC, compile, folder, only, path, reference, report, text};
use rstest::rstest;

/// A server that lets the system choose its port.
const ANY_PORT: &str = r"
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>
int main(void)
{
    char buffer[512];
    ssize_t n;
    int listening = socket(AF_INET, SOCK_STREAM, 0);
    signal(SIGCHLD, SIG_IGN);
    listen(listening, 16);
    for (;;) {
        int connected = accept(listening, 0, 0);
        if (fork() == 0) {
            close(listening);
            while ((n = read(connected, buffer, sizeof buffer)) > 0)
                if (write(connected, buffer, n) != n)
                    return 1;
            return 0;
        }
        close(connected);
    }
}
";

const AT_A_TERMINAL: &str = r#"
title = "Control-D ends the input"
reference = "UNPv1 §5.7"
level = "must"
tests = "both"
defect = "client-exits-nonzero"
steps = [
  { start = "server" },
  { start = "client", stdin = "terminal" },
  { type = "hello\n", into = "client" },
  { expect = "client", stdout = "hello\n", running = true },
  { end_input = "client" },
  { expect = "client", exits = 0 },
]
"#;

#[test]
fn control_d_ends_the_input_of_a_program_at_a_terminal() {
    let folder = folder();
    let file = folder.path().join("control-d.toml");
    fs::write(&file, AT_A_TERMINAL).unwrap();
    let (code, report) = report(&["--scenarios", &path(&file)]);
    assert_eq!((code, text(&only(&report)["verdict"])), (0, "pass"), "{report:#}");
}

#[rstest]
#[case::on_the_standard_descriptors("cat")]
#[case::by_number("reference")]
fn a_server_is_executed_for_each_connection(#[case] server: &str) {
    let numbered = format!("{} {{fd}}", reference("inetd").trim_end_matches(" {port}"));
    let server = if server == "cat" { "cat" } else { &numbered };
    let (code, report) = report(&["--launch", "inetd", "--server", server, "echo", "identity/executed"]);
    assert_eq!(code, 0, "{report:#}");
    let passed = |chapter: &str| {
        let all = report["scenarios"].as_array().unwrap().iter();
        let mine: Vec<_> = all.filter(|scenario| text(&scenario["id"]).starts_with(chapter)).collect();
        (mine.iter().filter(|scenario| scenario["verdict"] == "pass").count(), mine.len())
    };
    let (echoed, echoes) = passed("echo/");
    assert!(echoed >= 15 && echoed + 4 >= echoes, "{echoed} of {echoes}: {report:#}");
    // cat does not ask who its client is; the reference does, for both families.
    assert_eq!(passed("identity/"), (if server == "cat" { 0 } else { 2 }, 2), "{report:#}");
}

#[test]
fn the_port_can_be_the_one_that_is_seen() {
    let folder = folder();
    let server = compile(folder.path(), "any-port", ANY_PORT);
    let (code, report) =
        report(&["--port", "auto", "--server", &server, "echo/one-mebibyte", "termination/child-is-reaped"]);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(report["summary"]["pass"], 2, "{report:#}");
}

#[test]
fn of_several_ports_the_one_for_everybody_is_taken_each_time() {
    let folder = folder();
    let administration = "
    struct sockaddr_in own = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    int other = socket(AF_INET, SOCK_STREAM, 0);
    bind(other, (struct sockaddr *)&own, sizeof own);
    listen(other, 16);
    signal(SIGCHLD, SIG_IGN);";
    let source = ANY_PORT.replace("    signal(SIGCHLD, SIG_IGN);", administration);
    let server = compile(folder.path(), "two-ports", &source);
    let (code, report) = report(&["--port", "auto", "--server", &server, "echo/", "concurrency/three-clients"]);
    assert_eq!(code, 0, "{report:#}");
}

/// A scenario of a report.
fn scenario<'r>(report: &'r serde_json::Value, id: &str) -> &'r serde_json::Value {
    let mut scenarios = report["scenarios"].as_array().expect("a list of scenarios").iter();
    scenarios.find(|scenario| scenario["id"] == id).unwrap_or_else(|| panic!("no {id}: {report:#}"))
}

const DAEMON: &str = include_str!("../fixtures/correct/daemon.c");

#[test]
fn the_port_of_a_daemon_is_seen_however_soon_its_first_process_leaves() {
    let folder = folder();
    let server = compile(folder.path(), "daemon", DAEMON);
    let (code, report) =
        report(&["--port", "auto", "--repeat", "10", "--server", &format!("{server} 4711"), "startup/server-listens"]);
    assert_eq!((code, &report["summary"]["pass"]), (0, &1.into()), "{report:#}");
}

#[test]
fn what_becomes_of_a_second_daemon_is_told_elsewhere() {
    let folder = folder();
    let listen = "    int listenfd = listen_on(argc > 1 ? atoi(argv[1]) : 9877);\n";
    let source = DAEMON.replace(listen, "    int listenfd;\n");
    let source = source.replace(
        "    become_daemon();\n",
        "    become_daemon();\n    listenfd = listen_on(argc > 1 ? atoi(argv[1]) : 9877);\n",
    );
    let server = format!("{} {{port}}", compile(folder.path(), "silent-daemon", &source));
    let (code, report) = report(&["--server", &server, "startup/"]);
    assert_eq!((code, &report["summary"]["fail"]), (0, &0.into()), "{report:#}");
    let second = scenario(&report, "startup/second-server-is-refused-the-port");
    assert!(text(&second["reason"]).contains("what becomes of server2"), "{second:#}");
}

#[test]
fn a_server_that_is_told_where_to_listen_is_not_asked_for_more() {
    let folder = folder();
    let source = DAEMON.replace("INADDR_ANY", "INADDR_LOOPBACK");
    let server = format!("{} {{port}}", compile(folder.path(), "told", &source));
    for (command, words) in
        [(format!("{server} {{host}}"), "was told to listen"), (server, "listens on 127.0.0.1 only")]
    {
        let (_, report) = report(&["--server", &command, "*local-address"]);
        assert!(report.to_string().contains(words), "{report:#}");
        assert_eq!(scenario(&report, "identity/second-local-address")["verdict"], "skip", "{report:#}");
    }
}

#[test]
fn the_echo_services_own_port_can_be_had() {
    let folder = folder();
    let server = compile(folder.path(), "daemon", DAEMON);
    let (code, report) = report(&["--port", "7", "--server", &format!("{server} 7"), "startup/server-listens"]);
    let isolated = report["environment"]["isolation"] != "none";
    assert!(!isolated || code == 0, "{report:#}");
}

#[test]
fn a_worker_that_is_made_for_the_first_client_is_no_handler_of_one() {
    let folder = folder();
    let source = include_str!("../fixtures/correct/late-worker.c");
    let server = format!("{} {{port}}", compile(folder.path(), "late-worker", source));
    let (code, report) = report(&["--server", &server, "--strict", "crash/killed", "termination/five"]);
    assert_eq!(report["subject"]["server"]["model"], "prefork");
    assert_eq!(code, 0, "{report:#}");
}

/// A shell that starts a program and waits for it.
fn in_a_shell(command: &str) -> String {
    format!("sh -c '{command}; exit $?'")
}

#[rstest]
#[case::that_forks("server", "fork")]
#[case::that_has_workers("prefork", "prefork")]
#[case::with_threads("thread", "thread")]
#[case::that_polls("event", "event")]
fn a_shell_that_waits_is_not_taken_for_the_server(#[case] name: &str, #[case] model: &str) {
    let server = in_a_shell(&reference(name));
    let (status, report) = report(&["--server", &server, "--strict", "startup", "crash", "descriptors"]);
    assert_eq!(report["subject"]["server"]["model"], model);
    assert_eq!(status, 0, "{report:#}");
}

#[test]
fn a_client_is_killed_whatever_waits_for_it() {
    let client = in_a_shell(&format!("{FORKSPEC} reference client {{host}} {{port}}"));
    let (status, report) = report(&["--server", &reference("server"), "--client", &client, "crash/client-is-killed"]);
    assert_eq!((status, &only(&report)["verdict"]), (0, &"pass".into()), "{report:#}");
}
