//! `forkspec merge`

use std::path::{Path, PathBuf};

use super::args::MergeArgs;
use super::reports::Reports;
use super::{Exit, complain};
use crate::report::{Document, Part, join, json};

pub fn main(args: MergeArgs) -> Exit {
    match merge(&args.reports, args.strict) {
        Err(exit) => exit,
        Ok(document) => match Reports::new(args.report) {
            Err(exit) => exit,
            Ok(reports) => {
                reports.print(&document);
                reports.write(&document)
            }
        },
    }
}

fn merge(paths: &[PathBuf], strict: bool) -> Result<Document, Exit> {
    let (parts, all) = read_all(paths);
    if !all {
        return Err(Exit::Usage);
    }
    let mut document = join(parts).map_err(|error| {
        complain(error);
        Exit::Usage
    })?;
    document.strict |= strict;
    Ok(document)
}

/// Reads reports, and whether all of them could be read: every file that cannot be is named, not only the first.
pub fn read_all(paths: &[PathBuf]) -> (Vec<Part>, bool) {
    let mut parts = Vec::new();
    for path in paths {
        match read(path) {
            Ok(document) => parts.push(Part { path: path.clone(), document }),
            Err(error) => complain(error),
        }
    }
    let all = parts.len() == paths.len();
    (parts, all)
}

fn read(path: &Path) -> Result<Document, String> {
    let text = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    json::read(&text).map_err(|error| format!("{} is no JSON report of forkspec: {error}", path.display()))
}
