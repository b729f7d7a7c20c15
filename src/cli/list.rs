//! `forkspec list`

use super::args::ListArgs;
use super::out::putln;
use super::run::{load, manifest};
use super::{Exit, complain};

pub fn main(mut args: ListArgs) -> Exit {
    match manifest() {
        Ok(manifest) => args.suite.complete(&manifest),
        Err(exit) => return exit,
    }
    let (suite, filter) = match load(&args.suite) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let mut found = false;
    for scenario in suite.scenarios.iter().filter(|scenario| filter.wants(scenario)) {
        found = true;
        putln!("{:<58} {:<7} {}", scenario.id, scenario.level, scenario.title);
    }
    if found {
        return Exit::Conforms;
    }
    complain("no scenario matches");
    Exit::NothingMatched
}
