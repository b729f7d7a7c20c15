//! `forkspec explain`

use anstyle::Style;

use super::args::ExplainArgs;
use super::out::{put, putln};
use super::run::{manifest, suite};
use super::{Exit, complain};
use crate::catalogue::{self, Defect};
use crate::scenario::{Scenario, Suite, suggest};

const BOLD: Style = Style::new().bold();

pub fn main(args: &ExplainArgs) -> Exit {
    let Some(name) = &args.name else {
        for defect in catalogue::all() {
            putln!("{:<34} {}", defect.id, defect.title);
        }
        return Exit::Conforms;
    };
    if let Some(defect) = catalogue::find(name) {
        show_defect(&defect);
        return Exit::Conforms;
    }
    let suite = match own_suite(args).and_then(|own| Ok((own, suite(&[])?))) {
        Ok((mut own, standard)) => {
            own.scenarios.extend(standard.scenarios);
            own
        }
        Err(exit) => return exit,
    };
    if let Some(scenario) = suite.scenarios.iter().find(|scenario| scenario.id == *name) {
        show_scenario(scenario);
        return Exit::Conforms;
    }
    let defects = catalogue::all().iter().map(|defect| defect.id.as_str());
    let known: Vec<&str> = defects.chain(suite.scenarios.iter().map(|scenario| scenario.id.as_str())).collect();
    let help = match crate::scenario::nearest(name, known.iter().copied()) {
        Some(_) => suggest(name, known),
        None => "`forkspec explain` lists the defects, `forkspec list` the scenarios".into(),
    };
    complain(format!("nothing is called `{name}`; {help}"));
    Exit::NothingMatched
}

/// The suite that a run would play here.
fn own_suite(args: &ExplainArgs) -> Result<Suite, Exit> {
    let own = if args.scenarios.is_empty() { manifest()?.scenarios } else { args.scenarios.clone() };
    if own.is_empty() { Ok(Suite::default()) } else { suite(&own) }
}

fn show_defect(defect: &Defect) {
    putln!("{BOLD}{}{BOLD:#}", defect.id);
    putln!("{}  ({}, {})\n", defect.title, defect.blames, defect.reference);
    for (head, text) in [
        ("Why it fails", &defect.why),
        ("What it is", &defect.about),
        ("How to see it", &defect.see),
        ("The remedy", &defect.remedy),
    ] {
        putln!("{BOLD}{head}{BOLD:#}");
        for line in text.trim_matches('\n').lines() {
            putln!("  {line}");
        }
        put!("\n");
    }
}

fn show_scenario(scenario: &Scenario) {
    putln!("{BOLD}{}{BOLD:#}", scenario.id);
    putln!("{}  ({}, {})\n", scenario.title, scenario.level, scenario.reference);
    putln!("{}\n", scenario.about);
    putln!("{BOLD}Steps{BOLD:#}");
    for (number, step) in scenario.steps.iter().enumerate() {
        putln!("  {:>2}  {}", number + 1, &scenario.source.text[step.span.clone()]);
    }
    let defect = &scenario.defect;
    match crate::catalogue::find(defect) {
        Some(_) => putln!("\nIt exists for the defect {BOLD}{defect}{BOLD:#}; see `forkspec explain {defect}`."),
        None => putln!("\nIt exists for the defect {BOLD}{defect}{BOLD:#}, which is none of the catalogue's."),
    }
}
