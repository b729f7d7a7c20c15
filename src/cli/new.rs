//! `forkspec new`

use std::fs::OpenOptions;
use std::io::Write;

use super::args::NewArgs;
use super::out::putln;
use super::{Exit, complain};

/// A scenario to start from. It is valid as it stands, and plays.
const TEMPLATE: &str = r##"# What is observed of a program that conforms, in one sentence.
title     = "A line that a client sends comes back"
# Where it is written: a section of UNPv1, an RFC, your own assignment.
reference = "UNPv1 §5.3"
# must: fails the run. should: fails it with --strict. may: is only said.
level     = "must"
# The program that is judged: server, client or both.
tests     = "server"
# The mistake that it exists for; `forkspec explain` lists them. Write a program with this mistake and see the
# scenario fail: a check that cannot fail is useless.
defect    = "echo-altered"
# Leave this out if it applies to every server; handlers and children restrict it by themselves.
# models  = ["fork", "prefork", "thread", "event"]
# service = "other"                      # it is no echo server
about     = """
What it does and why, for a reader who sees it fail."""

# One step on one line. `forkspec schema language` has every verb and every check.
steps = [
  # The server has started when it listens on the port.
  { start = "server" },
  # Peers are the runner's own clients. "c1..c5" makes five.
  { connect = "c1" },
  { send = "hello\n", from = "c1" },
  # What arrives is waited for; nothing is timed. It fails as soon as nothing more can happen.
  { expect = "c1", receives = "hello\n" },
  { close = "c1" },
  # Counts are taken when everything has come to rest.
  { expect = "server", zombies = 0, listening = true },
]
"##;

pub fn main(args: &NewArgs) -> Exit {
    let name = args.name.trim_end_matches(".toml");
    let plain =
        |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if !name.split('/').all(plain) {
        complain(format!(
            "`{name}` cannot be a scenario's name: write the behaviour in words, chapter/words-and-hyphens"
        ));
        return Exit::Usage;
    }
    let path = args.folder.join(format!("{name}.toml"));
    let written = path
        .parent()
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| OpenOptions::new().write(true).create_new(true).open(&path))
        .and_then(|mut file| file.write_all(TEMPLATE.as_bytes()));
    if let Err(error) = written {
        complain(format!("{}: {error}", path.display()));
        return Exit::Usage;
    }
    let folder = args.folder.display();
    putln!("{} is written. To play it: forkspec run --scenarios {folder} {name}", path.display());
    Exit::Conforms
}

#[cfg(test)]
mod tests {
    use super::TEMPLATE;
    use crate::scenario::{Source, parse};

    #[test]
    fn the_template_is_valid() {
        let source = Source { path: "new.toml".into(), text: TEMPLATE.into(), embedded: false };
        assert!(parse("new", source).is_ok());
    }
}
