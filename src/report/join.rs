//! From the reports of all shards to the report that one machine would have written.

use std::ops::Add;
use std::path::{Path, PathBuf};

use super::document::{Document, Summary};
use crate::run::{Share, hash_of_ids};

/// A report that was read, and where it was.
#[derive(Debug, Clone)]
pub struct Part {
    /// The file.
    pub path: PathBuf,
    /// What it says.
    pub document: Document,
}

/// Why reports cannot be joined.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// There is none.
    #[error("there is no report to join")]
    None,
    /// One is whole by itself.
    #[error("{path} is no shard; only reports of runs with `--shard K/N` can be joined", path = .0.display())]
    Whole(PathBuf),
    /// One says of itself what cannot be.
    #[error("{path} says that it is shard {index} of {of}, and there is no such shard", path = .0.display(), index = .1, of = .2)]
    NoSuchShard(PathBuf, u32, u32),
    /// They do not belong together.
    #[error("{first} and {second} do not belong together: {what}", first = .0.display(), second = .1.display(), what = .2)]
    Strangers(PathBuf, PathBuf, String),
    /// One part is there twice.
    #[error("shard {index} of {of} is there twice: {first} and {second}", index = .0, of = .1, first = .2.display(), second = .3.display())]
    Twice(u32, u32, PathBuf, PathBuf),
    /// Parts are lost.
    #[error("{}", missing(.0, *.1))]
    Missing(Vec<u32>, u32),
    /// All parts are there, and yet the scenarios are not those that were dealt out.
    #[error(
        "{there} scenarios are in the reports, and not the {selected} that were dealt out: a report was altered or cut"
    )]
    Altered {
        /// So many are there.
        there: usize,
        /// So many were selected.
        selected: usize,
    },
}

fn missing(shards: &[u32], of: u32) -> String {
    let names: Vec<String> = shards.iter().map(|index| format!("{index}/{of}")).collect();
    match &names[..] {
        [name] => format!("shard {name} is missing: no report of `--shard {name}` was given"),
        _ => format!("shards {} are missing: no reports of them were given", names.join(", ")),
    }
}

/// Joins the reports of all shards. One report that is no shard is taken as it is.
pub fn join(parts: Vec<Part>) -> Result<Document, JoinError> {
    if let [part] = &parts[..]
        && part.document.shard.is_none()
    {
        return Ok(joined(parts));
    }
    let mut shares: Vec<(&Share, &Path)> = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let share = part.document.shard.as_ref().ok_or_else(|| JoinError::Whole(part.path.clone()))?;
        if !(1..=share.of).contains(&share.index) {
            return Err(JoinError::NoSuchShard(part.path.clone(), share.index, share.of));
        }
        for earlier in &parts[..index] {
            if let Some(what) = difference(&earlier.document, &part.document) {
                return Err(JoinError::Strangers(earlier.path.clone(), part.path.clone(), what));
            }
        }
        if let Some((_, path)) = shares.iter().find(|(other, _)| other.index == share.index) {
            return Err(JoinError::Twice(share.index, share.of, path.to_path_buf(), part.path.clone()));
        }
        shares.push((share, &part.path));
    }
    let (share, _) = *shares.first().ok_or(JoinError::None)?;
    if shares.len() < share.of as usize {
        // The first ones tell enough; a report may say that there are billions.
        let lost = (1..=share.of).filter(|index| !shares.iter().any(|(share, _)| share.index == *index)).take(100);
        return Err(JoinError::Missing(lost.collect(), share.of));
    }
    let (selected, ids) = (share.selected, share.ids.clone());
    let document = joined(parts);
    let there = document.scenarios.len();
    let same = hash_of_ids(document.scenarios.iter().map(|scenario| scenario.id.as_str())) == ids;
    // Of an interrupted run scenarios are missing, and the report says so.
    if there > selected || (!document.interrupted && !same) {
        return Err(JoinError::Altered { there, selected });
    }
    Ok(document)
}

/// What shows that two reports are not of the same run; the verdicts of different programs or suites are not added up.
fn difference(one: &Document, other: &Document) -> Option<String> {
    let command = |words: &[String]| shell_words::join(words);
    let share = |document: &Document| document.shard.clone();
    let (mine, its) = (share(one)?, share(other)?);
    let model = |document: &Document| document.subject.server.model.map(|model| model.to_string());
    let seen = |document: &Document| model(document).or(model(one)).or(model(other)).unwrap_or_default();
    let facts = [
        ("they are by forkspec", one.forkspec.clone(), other.forkspec.clone()),
        ("the server is", command(&one.subject.server.command), command(&other.subject.server.command)),
        ("the client is", command(&one.subject.client.command), command(&other.subject.client.command)),
        ("the programs given are", format!("{:?}", one.subject.given), format!("{:?}", other.subject.given)),
        // A model that was not seen contradicts none.
        ("the server's model is", seen(one), seen(other)),
        ("the system is", one.environment.os.clone(), other.environment.os.clone()),
        ("the number of shards is", mine.of.to_string(), its.of.to_string()),
        ("the number of scenarios is", mine.selected.to_string(), its.selected.to_string()),
        ("the scenarios have the hash", mine.ids, its.ids),
        ("the texts of the scenarios have the hash", mine.suite, its.suite),
    ];
    let (what, mine, its) = facts.into_iter().find(|(_, mine, its)| mine != its)?;
    Some(format!("{what} {mine} in one, {its} in the other"))
}

/// One document of several that belong together.
fn joined(parts: Vec<Part>) -> Document {
    let mut documents = parts.into_iter().map(|part| part.document);
    let mut whole = documents.next().expect("a report was given");
    for part in documents {
        whole.scenarios.extend(part.scenarios);
        whole.summary.duration_ms += part.summary.duration_ms;
        whole.strict |= part.strict;
        whole.interrupted |= part.interrupted;
        whole.subject.server.model = whole.subject.server.model.or(part.subject.server.model);
        whole.subject.server.declared |= part.subject.server.declared;
        let waited = [whole.environment.waited_ms, part.environment.waited_ms].into_iter().flatten().reduce(f64::add);
        // The least that one of the machines could do.
        if part.environment.isolation > whole.environment.isolation {
            whole.environment = part.environment;
        }
        whole.environment.waited_ms = waited;
    }
    whole.shard = None;
    whole.scenarios.sort_by(|one, other| one.id.cmp(&other.id));
    whole.summary = Summary::of(&whole.scenarios, whole.summary.duration_ms);
    whole
}
