//! `forkspec run`

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::args::{MOST_JOBS, RunArgs, SuiteArgs};
use super::out::{self, put, warnln};
use super::reports::Reports;
use super::{Exit, complain, interrupt};
use crate::report::document::{Document, Scenario, Subject};
use crate::report::github::Fence;
use crate::report::terminal;
use crate::run::{Plan, RunError, Settings, run};
use crate::scenario::{Filter, Role, Suite, SuiteError, standard};
use crate::stage::{Isolation, Launch};
use crate::subject::{CommandError, Manifest, Part, client_command, reference, split};

/// The port of the book's programs (UNPv1 figure 5.1, SERV_PORT).
const PORT: u16 = 9877;
/// After this time a run shows how far it is.
const PROGRESS_AFTER: Duration = Duration::from_secs(1);

pub fn main(args: RunArgs) -> Exit {
    match prepare(args) {
        Ok(prepared) => prepared.play(),
        Err(exit) => exit,
    }
}

/// Everything that a run needs, checked.
struct Prepared {
    plan: Plan,
    settings: Settings,
    reports: Reports,
    strict: bool,
}

fn prepare(mut args: RunArgs) -> Result<Prepared, Exit> {
    let manifest = manifest()?;
    args.suite.complete(&manifest);
    if args.report.is_empty() {
        args.report = manifest.report.iter().map(|text| text.parse()).collect::<Result<_, String>>().map_err(usage)?;
    }
    let reports = Reports::new(args.report)?;
    let fence = reports.fence();
    let server = program(args.server.as_deref(), manifest.server.as_ref(), fence)?;
    let client = program(args.client.as_deref(), manifest.client.as_ref(), fence)?;
    let mut judged: BTreeSet<Role> = BTreeSet::new();
    judged.extend(server.is_some().then_some(Role::Server));
    judged.extend(client.is_some().then_some(Role::Client));
    let given = judged.clone();
    if judged.is_empty() {
        if manifest != Manifest::default() {
            warnln!("warning: forkspec.toml names no program, so the reference programs are judged");
        }
        judged = BTreeSet::from([Role::Server, Role::Client]);
    }
    let port = args.port.or(manifest.port).map_or(PORT, |port| port.0);
    let takes_descriptor = server.as_ref().is_some_and(|words| words.iter().any(|word| word.contains("{fd}")));
    let launch = match args.launch.or(manifest.launch) {
        Some(launch) => launch,
        None if takes_descriptor => Launch::Inetd,
        None => Launch::Listen,
    };
    if launch == Launch::Listen && takes_descriptor {
        return Err(usage("{fd} in the server's command is for `--launch inetd`"));
    }
    let server = match (server, launch) {
        (None, Launch::Inetd) => Some(reference("inetd", &["{fd}"]).map_err(usage)?),
        (server, _) => server,
    };
    let settings = Settings {
        server: or_reference(server, "server", &["{port}"])?,
        client: or_reference(client.map(client_command), "client", &["{host}", "{port}"])?,
        judged,
        given,
        launch,
        port,
        model: args.model.or(manifest.server.as_ref().filter(|_| args.server.is_none()).and_then(|part| part.model)),
        jobs: args
            .play
            .jobs
            .map(usize::from)
            .or(manifest.jobs.map(|jobs| usize::from(jobs.get())))
            .unwrap_or_else(default_jobs),
        repeat: args.play.repeat,
        isolation: args.play.isolation.or(manifest.isolation),
        waiting,
    };
    let (suite, filter) = load(&args.suite)?;
    let plan = Plan::new(suite, &settings.judged, |scenario| filter.wants(scenario));
    if plan.scenarios.is_empty() {
        complain("no scenario matches; `forkspec list` shows what there is");
        return Err(Exit::NothingMatched);
    }
    // A part of something may be nothing; it has passed.
    let plan = match args.shard {
        Some(shard) => plan.shard(shard),
        None => plan,
    };
    Ok(Prepared { plan, settings, reports, strict: args.strict || manifest.strict })
}

/// What `forkspec.toml` says, if there is one here.
pub fn manifest() -> Result<Manifest, Exit> {
    let manifest = Manifest::of(Path::new(".")).map_err(usage)?;
    match manifest.jobs {
        Some(jobs) if jobs.get() > MOST_JOBS => Err(usage(format!("forkspec.toml: `jobs` is 1 to {MOST_JOBS}"))),
        _ => Ok(manifest),
    }
}

fn usage(error: impl std::fmt::Display) -> Exit {
    complain(error);
    Exit::Usage
}

/// Tells of a wait that another run causes.
pub fn waiting(port: u16) {
    warnln!("port {port} of this machine is another forkspec's: waiting until it is done");
}

/// The number of processors and one more: a play waits now and then, and leaves its processor idle.
pub fn default_jobs() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from) + 1
}

/// A program's command: the flag's, or the manifest's after its build.
fn program(flag: Option<&str>, part: Option<&Part>, fence: Option<&Fence>) -> Result<Option<Vec<String>>, Exit> {
    if let Some(text) = flag {
        return split(text).map(Some).map_err(usage);
    }
    let Some(part) = part else { return Ok(None) };
    if let Some(text) = &part.build {
        build(text, fence)?;
    }
    split(&part.command).map(Some).map_err(usage)
}

fn build(text: &str, fence: Option<&Fence>) -> Result<(), Exit> {
    let words = split(text).map_err(usage)?;
    // What it prints belongs beside the report, not in it.
    let output = std::process::Command::new(&words[0]).args(&words[1..]).stdin(std::process::Stdio::null()).output();
    let output = output.map_err(|error| {
        complain(format!("`{text}`: {error}"));
        Exit::Environment
    })?;
    if output.status.success() {
        return Ok(());
    }
    let (before, after) = fence.map(|fence| (fence.open(), fence.close())).unwrap_or_default();
    let said = [before.as_bytes(), &output.stdout, &output.stderr, after.as_bytes()].concat();
    let _ = std::io::stderr().write_all(&said);
    complain(format!("the build failed ({}): {text}", output.status));
    Err(Exit::Environment)
}

/// A command, or that of the reference program.
pub fn or_reference(command: Option<Vec<String>>, name: &str, args: &[&str]) -> Result<Vec<String>, Exit> {
    match command {
        Some(words) => Ok(words),
        None => reference(name, args).map_err(|error: CommandError| {
            complain(error);
            Exit::Environment
        }),
    }
}

/// Reads the suite and the filter that the options name.
pub fn load(args: &SuiteArgs) -> Result<(Suite, Filter), Exit> {
    let filter = Filter::new(&args.filter, &args.level).map_err(|error| usage(format!("not a glob: {error}")))?;
    let suite = suite(&args.scenarios)?;
    refuse_idle_words(&filter, &suite)?;
    Ok((suite, filter))
}

/// Every word that is given has to mean a scenario.
pub fn refuse_idle_words(filter: &Filter, suite: &Suite) -> Result<(), Exit> {
    let Some(word) = filter.idle_word(&suite.scenarios) else { return Ok(()) };
    complain(format_args!("no scenario matches `{word}`; `forkspec list` shows what there is"));
    Err(Exit::NothingMatched)
}

/// Reads a suite; mistakes in its files are shown.
pub fn suite(paths: &[PathBuf]) -> Result<Suite, Exit> {
    let suite = if paths.is_empty() { standard() } else { Suite::load(paths) };
    suite.map_err(|error| {
        if let SuiteError::Invalid(all) = &error {
            let colour = anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
            out::to_stderr(format_args!("{}", terminal::mistakes(all, colour)));
        }
        usage(error)
    })
}

impl Prepared {
    fn play(self) -> Exit {
        let interrupted = interrupt::flag();
        let on_terminal = self.reports.on_terminal();
        let mut terminal = self.reports.terminal();
        let mut progress = Progress::new(self.plan.scenarios.len() as u64);
        let (before, after) = self.reports.fence().map(|fence| (fence.open(), fence.close())).unwrap_or_default();
        let mut head_shown = false;
        let result = run(&self.plan, &self.settings, interrupted, |setting, played| {
            if on_terminal {
                let mut head = String::new();
                if !head_shown {
                    head = before.clone();
                    head += &terminal.head(&Subject::of(&setting.info), setting.isolation());
                    head_shown = true;
                }
                progress.suspend(|| put!("{head}{}", terminal.played(&Scenario::of(played))));
            }
            progress.step();
        });
        progress.finish();
        let run = match result {
            Ok(run) => run,
            Err(error) => {
                complain(&error);
                if let RunError::Refused(refused) = &error
                    && refused.iter().all(|(isolation, _)| *isolation != Isolation::None)
                {
                    complain("`--isolation none` plays without namespaces, one scenario at a time");
                }
                return Exit::Environment;
            }
        };
        let document = Document::of(&run, self.strict);
        if on_terminal && head_shown {
            put!("{}{after}", terminal.foot(&document));
        } else {
            self.reports.print(&document);
        }
        self.reports.write(&document)
    }
}

/// A line that says how far a long run is; only on a terminal.
struct Progress {
    since: Instant,
    total: u64,
    done: u64,
    bar: Option<ProgressBar>,
}

impl Progress {
    fn new(total: u64) -> Progress {
        Progress { since: Instant::now(), total, done: 0, bar: None }
    }

    fn step(&mut self) {
        self.done += 1;
        if self.bar.is_none() && self.since.elapsed() >= PROGRESS_AFTER {
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} scenarios, {elapsed}");
            self.bar =
                Some(ProgressBar::new(self.total).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())));
        }
        if let Some(bar) = &self.bar {
            bar.set_position(self.done);
        }
    }

    fn suspend(&self, show: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(show),
            None => show(),
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
