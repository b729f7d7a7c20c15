//! What takes a minute by its nature. Plain processes share the machine's network: what one scenario leaves on the port
//! must not fail the next one. And a server that answers each client, but slowly, is neither accused nor waited for
//! without end.

mod common;

use std::net::TcpListener;

use common::{both, compile, folder, forkspec, stdout};

/// A fork server without SO_REUSEADDR, on a port of its own, which thinks for so many microseconds about each answer.
const STUBBORN: &str = r"
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
static void reap(int number) { (void)number; while (waitpid(-1, 0, WNOHANG) > 0); }
int main(void)
{
    char buffer[512];
    ssize_t n;
    struct sockaddr_in own = { 0 };
    struct sigaction action = { 0 };
    int listening = socket(AF_INET, SOCK_STREAM, 0);
    own.sin_family = AF_INET;
    own.sin_addr.s_addr = htonl(INADDR_ANY);
    own.sin_port = htons(PORT);
    if (bind(listening, (struct sockaddr *)&own, sizeof own) != 0)
        return 1;
    listen(listening, 128);
    action.sa_handler = reap;
    action.sa_flags = SA_RESTART;
    sigaction(SIGCHLD, &action, 0);
    for (;;) {
        int connected = accept(listening, 0, 0);
        if (connected < 0)
            continue;
        if (fork() == 0) {
            close(listening);
            while ((n = read(connected, buffer, sizeof buffer)) > 0) {
                usleep(THINKS);
                if (write(connected, buffer, n) != n)
                    return 1;
            }
            return 0;
        }
        close(connected);
    }
}
";

/// The first scenario has a handler killed: the server's end is closed first and waits in TIME_WAIT.
#[test]
#[ignore = "takes the minute that TIME_WAIT lasts"]
fn a_server_without_so_reuseaddr_is_started_again_when_its_port_is_free() {
    let folder = folder();
    let port = TcpListener::bind(("0.0.0.0", 0)).expect("a port").local_addr().expect("it has one").port();
    let server = compile(folder.path(), "server", &STUBBORN.replace("PORT", &port.to_string()).replace("THINKS", "0"));
    let port = port.to_string();
    let scenarios = ["crash/killed-handler-ends-its-connection-only", "startup/server-listens"];
    let output = forkspec()
        .args(["run", "--isolation", "none", "--server", &server, "--port", &port])
        .args(scenarios)
        .timeout(std::time::Duration::from_secs(200))
        .output()
        .expect("the command can be started");
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{}", both(&output));
    assert!(text.contains("2 passed"), "{text}");
    assert!(text.contains("s of waiting for connections of earlier scenarios in TIME_WAIT"), "{text}");
}

/// Three hundred times 300 ms are more than the time that the scenario takes at most.
#[test]
#[ignore = "takes the time that three hundred clients may take"]
fn a_server_too_slow_for_three_hundred_clients_is_not_judged() {
    let folder = folder();
    let server = compile(folder.path(), "server", &STUBBORN.replace("PORT", "9877").replace("THINKS", "300000"));
    let output = forkspec()
        .args(["run", "--server", &server, "concurrency/three-hundred-quick-clients"])
        .timeout(std::time::Duration::from_secs(200))
        .output()
        .expect("the command can be started");
    let text = both(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("clients have been served in 20 s: so slow a server is not judged by this"), "{text}");
}
