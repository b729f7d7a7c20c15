//! `forkspec check`

use super::Exit;
use super::args::CheckArgs;
use super::out::{putln, warnln};
use super::run::suite;
use crate::catalogue;
use crate::play::plural;

pub fn main(args: &CheckArgs) -> Exit {
    let suite = match suite(&args.files) {
        Ok(suite) => suite,
        Err(exit) => return exit,
    };
    for scenario in suite.scenarios.iter().filter(|scenario| catalogue::find(&scenario.defect).is_none()) {
        // A suite may have defects of its own; a slip is likelier.
        warnln!("warning: {}: the catalogue has no defect `{}`", scenario.source.path, scenario.defect);
    }
    putln!("{} valid", plural(suite.scenarios.len() as u64, "scenario is", "scenarios are"));
    Exit::Conforms
}
