//! `forkspec matrix`

use std::collections::BTreeSet;
use std::path::PathBuf;

use anstyle::{AnsiColor, Style};
use serde_json::json;

use super::args::MatrixArgs;
use super::out::{put, putln, warnln};
use super::run::{default_jobs, or_reference, refuse_idle_words, suite, waiting};
use super::{Exit, complain, interrupt};
use crate::matrix::{Fixture, Grid, Row};
use crate::play::plural;
use crate::report::{Format, Wanted};
use crate::run::{Plan, Settings, run};
use crate::scenario::{Filter, Role, Suite, nearest, standard};

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const DIM: Style = Style::new().dimmed();

pub fn main(args: &MatrixArgs) -> Exit {
    match play(args) {
        Ok(grid) => finish(args, &grid),
        Err(exit) => exit,
    }
}

fn play(args: &MatrixArgs) -> Result<Grid, Exit> {
    let usage = |error: &dyn std::fmt::Display| {
        complain(error);
        Exit::Usage
    };
    for wanted in &args.report {
        if wanted.format != Format::Json {
            return Err(usage(&"a matrix has its table and `--report json[=PATH]`, and no other report"));
        }
        wanted.check().map_err(|error| {
            complain(error);
            Exit::Environment
        })?;
    }
    let mut fixtures = Fixture::load(&args.fixtures).map_err(|error| usage(&error))?;
    fixtures.sort_by(|one, other| one.id.cmp(&other.id));
    if let Some(shard) = args.shard {
        fixtures = shard.part(fixtures);
    }
    let suite = suite(&args.scenarios)?;
    let filter = Filter::new(&args.only, &[]).map_err(|error| usage(&error))?;
    refuse_idle_words(&filter, &suite)?;
    if fixtures.is_empty() && args.shard.is_none() {
        complain("no fixture is there: a fixture is a manifest, NAME.toml, beside its program");
        return Err(Exit::NothingMatched);
    }
    // Of one's own suite the standard one's names are no slips.
    let others =
        if args.scenarios.is_empty() { Suite::default() } else { standard().map_err(|error| usage(&error))? };
    warn_of_slips(&fixtures, [&suite, &others]);
    let interrupted = interrupt::flag();
    let shown = !args.report.iter().any(Wanted::on_stdout);
    let wanted = |suite: &Suite| {
        suite.scenarios.iter().filter(|scenario| filter.wants(scenario)).map(|scenario| scenario.id.clone()).collect()
    };
    let mut grid = Grid { scenarios: wanted(&suite), fixtures: Vec::new() };
    if grid.scenarios.is_empty() {
        complain("no scenario matches; `forkspec list` shows what there is");
        return Err(Exit::NothingMatched);
    }
    for fixture in &fixtures {
        let row = match fixture.command(&cache()).map_err(|error| usage(&error))? {
            Err(why) => Row::unavailable(fixture, &why.0),
            Ok(command) => {
                let settings = settings(fixture, command, args)?;
                let mut runs = Vec::new();
                // What the scheduler decides is played once: that its verdicts differ says nothing.
                for (open, repeat) in [(false, args.play.repeat), (true, 1)] {
                    let plan = Plan::new(suite.clone(), &settings.judged, |scenario| {
                        filter.wants(scenario)
                            && fixture.may_fail(&scenario.id) == open
                            && (!args.declared || fixture.must_fail(&scenario.id))
                    });
                    if plan.scenarios.is_empty() {
                        continue;
                    }
                    let settings = Settings { repeat, ..settings.clone() };
                    let run = run(&plan, &settings, interrupted, |_, _| {}).map_err(|error| {
                        complain(error);
                        Exit::Environment
                    })?;
                    if run.interrupted {
                        return Err(Exit::Interrupted);
                    }
                    runs.push(run);
                }
                match runs.as_slice() {
                    [] => Row::unavailable(fixture, "no scenario judges it"),
                    runs => Row::of(fixture, runs),
                }
            }
        };
        if shown {
            show(&row);
        }
        grid.fixtures.push(row);
    }
    Ok(grid)
}

/// A scenario that a manifest names may be another suite's; a slip is likelier.
fn warn_of_slips(fixtures: &[Fixture], suites: [&Suite; 2]) {
    let ids: BTreeSet<&str> = suites.iter().flat_map(|suite| &suite.scenarios).map(|one| &*one.id).collect();
    for fixture in fixtures {
        for name in fixture.fails.iter().chain(&fixture.may_fail) {
            if ids.iter().any(|id| name.matches(id)) {
                continue;
            }
            let help = nearest(name.as_str(), ids.iter().copied());
            let help = help.map(|id| format!("; did you mean `{id}`?")).unwrap_or_default();
            warnln!("warning: fixture `{}` names `{name}`, which is no scenario{help}", fixture.id);
        }
    }
}

fn settings(fixture: &Fixture, command: Vec<String>, args: &MatrixArgs) -> Result<Settings, Exit> {
    let judged = BTreeSet::from([fixture.role]);
    let (server, client) = match fixture.role {
        Role::Server => (Some(command), None),
        Role::Client => (None, Some(command)),
    };
    Ok(Settings {
        server: or_reference(server, "server", &["{port}"])?,
        client: or_reference(client, "client", &["{host}", "{port}"])?,
        given: judged.clone(),
        judged,
        launch: fixture.launch,
        port: 9877,
        model: fixture.model.filter(|_| fixture.role == Role::Server),
        jobs: args.play.jobs.map_or_else(default_jobs, usize::from),
        repeat: args.play.repeat,
        isolation: args.play.isolation,
        waiting,
    })
}

/// Where compiled fixtures are kept.
fn cache() -> PathBuf {
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    named("FORKSPEC_CACHE")
        .or_else(|| named("XDG_CACHE_HOME").map(|folder| folder.join("forkspec")))
        .or_else(|| named("HOME").map(|folder| folder.join(".cache/forkspec")))
        .unwrap_or_else(|| PathBuf::from("target/forkspec-fixtures"))
}

fn show(row: &Row) {
    let (style, word) = match (&row.unavailable, row.problems.is_empty()) {
        (Some(_), _) => (DIM, "SKIP"),
        (None, true) => (GOOD, "GOOD"),
        (None, false) => (BAD, "BAD"),
    };
    let cells: String = row
        .cells
        .iter()
        .map(|cell| match cell.verdict {
            "pass" => '.',
            "fail" => 'F',
            "skip" => 's',
            _ => 'E',
        })
        .collect();
    putln!("{style}{word}{style:#} {:<34} {DIM}{}{DIM:#} {cells}", row.id, row.defect.as_deref().unwrap_or("correct"));
    if let Some(why) = &row.unavailable {
        putln!("       {why}");
    }
    row.problems.iter().for_each(|problem| putln!("       {problem}"));
}

fn finish(args: &MatrixArgs, grid: &Grid) -> Exit {
    let document = json!({
        "scenarios": grid.scenarios,
        "fixtures": grid.fixtures,
        "uncaught": grid.uncaught(),
        "caught_by_one": grid.caught_once(),
        "catches_nothing": grid.idle(),
    });
    for wanted in &args.report {
        if let Err(error) = wanted.write_json(&document) {
            complain(error);
            return Exit::Environment;
        }
    }
    if !args.report.iter().any(Wanted::on_stdout) {
        summary(grid);
    }
    if grid.has_problems() { Exit::DoesNotConform } else { Exit::Conforms }
}

fn summary(grid: &Grid) {
    let list = |head: &str, items: Vec<String>| {
        if !items.is_empty() {
            put!("\n{head}\n");
            items.iter().for_each(|item| putln!("  {item}"));
        }
    };
    list("No scenario catches these:", grid.uncaught().into_iter().map(str::to_owned).collect());
    let once = grid.caught_once().into_iter().map(|(fixture, scenario)| format!("{fixture:<34} {scenario}"));
    list("One scenario alone catches these:", once.collect());
    let idle = grid.idle();
    // Of a suite that is hardly used here, the list would only say so at length.
    if idle.len() * 2 < grid.scenarios.len() {
        list("These scenarios catch nothing here:", idle.into_iter().map(str::to_owned).collect());
    }
    let bad = grid.fixtures.iter().filter(|row| !row.problems.is_empty()).count();
    let skipped = grid.fixtures.iter().filter(|row| row.unavailable.is_some()).count();
    putln!(
        "\n{} × {}: {bad} not as declared, {skipped} not available here",
        plural(grid.fixtures.len() as u64, "fixture", "fixtures"),
        plural(grid.scenarios.len() as u64, "scenario", "scenarios"),
    );
}
