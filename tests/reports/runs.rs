//! One run, and what all reports say of it.

use std::path::Path;

use serde_json::Value;

use crate::common::{both, compile, folder, forkspec, path, status};

/// What reports say.
pub struct Told {
    /// The exit status.
    pub code: i32,
    /// The JSON report.
    pub json: Value,
    /// The JUnit report.
    pub junit: String,
    /// The TAP report.
    pub tap: String,
}

/// Plays with all reports but GitHub's.
pub fn tell(words: &[&str], server: Option<&str>) -> Told {
    let folder = folder();
    let file = |name: &str| path(&folder.path().join(name));
    let mut command = forkspec();
    command.arg("run").args(["json", "junit", "tap"].map(|format| format!("--report={format}={}", file(format))));
    command.args(server.map(|server| format!("--server={server}"))).args(words);
    let output = command.output().expect("it can be started");
    let read = |name| std::fs::read_to_string(file(name)).unwrap_or_else(|error| panic!("{error}\n{}", both(&output)));
    let json = serde_json::from_str(&read("json")).expect("it is JSON");
    Told { code: status(&output), json, junit: read("junit"), tap: read("tap") }
}

/// The command of a server that never answers, and that prints what could command a terminal, a parser of XML or TAP, a
/// reader of Markdown, or the runner of GitHub. So does its name.
pub fn hostile(folder: &Path) -> String {
    format!("'{}' {{port}}", compile(folder, "##[error]pwned", HOSTILE))
}

const HOSTILE: &str = r###"
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
int main(int argc, char **argv) {
  const char *says =
    "]]></failure><testcase/>\x1b[2J<img src=x>|`@everyone`\n"
    "::stop-commands::mine\n"
    "::error::pwned\n"
    "not ok 7 - pwned\n"
    "  ...\n"
    "##[error]pwned\n";
  struct sockaddr_in a = {0};
  int on = 1, s = socket(AF_INET, SOCK_STREAM, 0);
  if (write(1, says, strlen(says)) < 0 || write(2, says, strlen(says)) < 0) return 2;
  a.sin_family = AF_INET;
  a.sin_port = htons(argc > 1 ? atoi(argv[1]) : 9877);
  setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(s, (struct sockaddr *)&a, sizeof a) < 0 || listen(s, 16) < 0) return 1;
  for (;;) pause();
}
"###;
