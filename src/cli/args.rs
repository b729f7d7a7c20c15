//! The options.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::report::Wanted;
use crate::run::Shard;
use crate::scenario::{Level, Model};
use crate::stage::{Isolation, Launch};
use crate::subject::{Manifest, Port};

/// Plays scenarios against a concurrent TCP server and its client, and says what does not conform, and why.
#[derive(Debug, Parser)]
#[command(name = "forkspec", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; `run` if left out.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The options of `run`.
    #[command(flatten)]
    pub run: RunArgs,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Play scenarios and judge
    Run(RunArgs),
    /// List the scenarios
    List(ListArgs),
    /// Check scenario files without playing them
    Check(CheckArgs),
    /// Explain a defect or a scenario; without a name, list the defects
    Explain(ExplainArgs),
    /// Write a commented scenario to start from
    New(NewArgs),
    /// Play a suite against fixtures, and say what it catches
    Matrix(MatrixArgs),
    /// Join the JSON reports of all shards into one, in every format
    Merge(MergeArgs),
    /// Print a line for each of many JSON reports: what a class has come to
    Table(TableArgs),
    /// Print a JSON Schema, or the reference page of the scenario language
    Schema(SchemaArgs),
    /// Run one of the reference programs
    #[command(disable_help_flag = true)]
    Reference {
        /// The program and its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
    /// Print a completion script for a shell
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Which scenarios.
#[derive(Debug, Default, Args)]
pub struct SuiteArgs {
    /// Ids, beginnings of ids (`termination`), or globs (`*/five-*`)
    #[arg(value_name = "FILTER")]
    pub filter: Vec<String>,
    /// Files or folders of scenarios, instead of the standard suite
    #[arg(long, value_name = "DIR")]
    pub scenarios: Vec<PathBuf>,
    /// Only scenarios of this level; can be given several times
    #[arg(long)]
    pub level: Vec<Level>,
}

impl SuiteArgs {
    /// What the command line does not say is what `forkspec.toml` says.
    pub fn complete(&mut self, manifest: &Manifest) {
        if self.scenarios.is_empty() {
            self.scenarios.clone_from(&manifest.scenarios);
        }
        if self.filter.is_empty() {
            self.filter.clone_from(&manifest.filter);
        }
        if self.level.is_empty() {
            self.level.clone_from(&manifest.level);
        }
    }
}

/// The most scenarios that can be played at a time.
pub const MOST_JOBS: u16 = 64;

/// How scenarios are played.
#[derive(Debug, Default, Args)]
pub struct PlayArgs {
    /// How many scenarios are played at a time, beside those that only wait; 1: strictly one after another [default: the
    /// number of processors and one more]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(MOST_JOBS)))]
    pub jobs: Option<u16>,
    /// Play each scenario so often; verdicts that differ, but for a skip, are an error
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub repeat: u32,
    /// How to keep stages apart, instead of as well as can be
    #[arg(long, value_name = "MODE")]
    pub isolation: Option<Isolation>,
}

/// The options of `run`.
#[derive(Debug, Default, Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub suite: SuiteArgs,
    /// The server's command; {port} is replaced. Left out: the reference server
    #[arg(long, value_name = "CMD")]
    pub server: Option<String>,
    /// The client's command; {host} and {port} are replaced. Left out: the reference client
    #[arg(long, value_name = "CMD")]
    pub client: Option<String>,
    /// The port that the server listens on, or `auto`: the one that it is seen to listen on [default: 9877]
    #[arg(long, value_name = "N")]
    pub port: Option<Port>,
    /// How the server is started; `inetd`: with the connected socket on descriptors 0, 1 and 2, or as number {fd}
    #[arg(long, value_name = "HOW")]
    pub launch: Option<Launch>,
    /// How the server handles its clients, instead of finding out
    #[arg(long)]
    pub model: Option<Model>,
    /// Let a failed `should` make the run fail too
    #[arg(long)]
    pub strict: bool,
    #[command(flatten)]
    pub play: PlayArgs,
    /// A report: `terminal`, or `json`, `junit`, `tap`, `github`, to a file with `=PATH`; can be given several times
    #[arg(long, value_name = "FORMAT[=PATH]")]
    pub report: Vec<Wanted>,
    /// Play one of N equal parts, for several machines: `1/3` is the first of three. `forkspec merge` joins their reports
    #[arg(long, value_name = "K/N")]
    pub shard: Option<Shard>,
}

/// The options of `merge`.
#[derive(Debug, Args)]
pub struct MergeArgs {
    /// The JSON reports of all shards, in any order
    #[arg(required = true, value_name = "REPORT.json")]
    pub reports: Vec<PathBuf>,
    /// A report: `terminal`, or `json`, `junit`, `tap`, `github`, to a file with `=PATH`; can be given several times
    #[arg(long, value_name = "FORMAT[=PATH]")]
    pub report: Vec<Wanted>,
    /// Let a failed `should` count too, as it does anyway if the runs were strict
    #[arg(long)]
    pub strict: bool,
}

/// The options of `table`.
#[derive(Debug, Args)]
pub struct TableArgs {
    /// JSON reports, of a program each
    #[arg(required = true, value_name = "REPORT.json")]
    pub reports: Vec<PathBuf>,
    /// Print comma-separated values, for a spreadsheet
    #[arg(long)]
    pub csv: bool,
}

/// The options of `list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub suite: SuiteArgs,
}

/// The options of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Scenario files, or folders of them
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
}

/// The options of `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// A defect or a scenario
    pub name: Option<String>,
    /// Files or folders of scenarios, besides the standard suite
    #[arg(long, value_name = "DIR")]
    pub scenarios: Vec<PathBuf>,
}

/// The options of `new`.
#[derive(Debug, Args)]
pub struct NewArgs {
    /// The behaviour in words, below a chapter: `crash/client-is-killed`
    pub name: String,
    /// The folder of the suite
    #[arg(long = "in", value_name = "DIR", default_value = "scenarios")]
    pub folder: PathBuf,
}

/// The options of `matrix`.
#[derive(Debug, Args)]
pub struct MatrixArgs {
    /// Fixture manifests, or folders of them
    #[arg(required = true, value_name = "DIR")]
    pub fixtures: Vec<PathBuf>,
    /// Files or folders of scenarios, instead of the standard suite
    #[arg(long, value_name = "DIR")]
    pub scenarios: Vec<PathBuf>,
    /// Only these scenarios: ids, beginnings of ids, or globs
    #[arg(long, value_name = "FILTER")]
    pub only: Vec<String>,
    /// Only the scenarios that must fail, by the manifests
    #[arg(long)]
    pub declared: bool,
    #[command(flatten)]
    pub play: PlayArgs,
    /// `json` or `json=PATH`, besides the table
    #[arg(long, value_name = "FORMAT[=PATH]")]
    pub report: Vec<Wanted>,
    /// Play one of N equal parts of the fixtures, for several machines: `1/3` is the first of three
    #[arg(long, value_name = "K/N")]
    pub shard: Option<Shard>,
}

/// The options of `schema`.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// What to print
    #[arg(default_value = "scenario")]
    pub what: SchemaKind,
}

/// What `schema` can print.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum SchemaKind {
    /// The JSON Schema of scenario files
    Scenario,
    /// The JSON Schema of the JSON report
    Report,
    /// The reference page of the scenario language, in Markdown
    Language,
}
