//! The command line: one file per subcommand.

mod args;
mod check;
mod explain;
mod interrupt;
mod list;
mod matrix;
mod merge;
mod new;
mod out;
mod reports;
mod run;
mod schema;
mod table;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, ValueEnum};

use args::{Cli, Command};
use out::warnln;

/// How the command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The subject conforms.
    Conforms = 0,
    /// It does not.
    DoesNotConform = 1,
    /// The command line or a scenario file is invalid.
    Usage = 2,
    /// The environment cannot run it, or something could not be judged.
    Environment = 3,
    /// No scenario matches.
    NothingMatched = 4,
    /// Interrupted by Ctrl-C.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Runs the command.
pub fn main() -> ExitCode {
    // The stage and the reference programs are started by the hundred: they do not wait for the parser of options.
    let mut words = std::env::args_os().skip(1);
    match words.next().as_deref().and_then(std::ffi::OsStr::to_str) {
        Some("stage") => stage(words.next()),
        Some("reference") => reference(&words.collect::<Vec<_>>()),
        _ => {
            let exit = dispatch(Cli::parse());
            let Some(failure) = out::failure() else { return exit.into() };
            complain(format_args!("standard output: {failure}"));
            // What was found out nobody has read.
            Exit::Environment.into()
        }
    }
}

fn dispatch(cli: Cli) -> Exit {
    match cli.command.unwrap_or(Command::Run(cli.run)) {
        Command::Run(args) => run::main(args),
        Command::List(args) => list::main(args),
        Command::Check(args) => check::main(&args),
        Command::Explain(args) => explain::main(&args),
        Command::New(args) => new::main(&args),
        Command::Merge(args) => merge::main(args),
        Command::Matrix(args) => matrix::main(&args),
        Command::Table(args) => table::main(&args),
        Command::Schema(args) => schema::main(&args),
        // Handled before the parser; here for `--help`.
        Command::Reference { words } => {
            let _ = reference(&words);
            Exit::Usage
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "forkspec", &mut script);
            out::to_stdout(format_args!("{}", String::from_utf8_lossy(&script)));
            Exit::Conforms
        }
    }
}

/// `forkspec stage ISOLATION`: started by the runner for each of its jobs.
fn stage(isolation: Option<OsString>) -> ExitCode {
    let isolation = isolation.and_then(|word| crate::stage::Isolation::from_str(word.to_str()?, false).ok());
    let Some(isolation) = isolation else {
        complain("`forkspec stage` is started by forkspec itself");
        return Exit::Usage.into();
    };
    crate::stage::enter(isolation, |request, surroundings| crate::play::play(request, surroundings, crate::stage::tell))
}

/// `forkspec reference NAME …`: one of the reference programs.
fn reference(words: &[OsString]) -> ExitCode {
    let programs = forkspec_servers::programs();
    let found = words.first().and_then(|name| programs.iter().find(|program| name == program.name));
    match found {
        Some(program) => (program.run)(&words[1..]),
        None => {
            warnln!("usage: forkspec reference PROGRAM [ARGUMENTS]\n");
            for program in programs {
                warnln!("  {:<12} {}", program.name, program.about);
                warnln!("  {:<12} {}", "", program.usage);
            }
            Exit::Usage.into()
        }
    }
}

/// Says on standard error what is wrong with the command line or a file.
fn complain(message: impl std::fmt::Display) {
    warnln!("{style}error{style:#}: {message}", style = anstyle::AnsiColor::Red.on_default().bold());
}
