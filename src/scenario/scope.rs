//! The names that steps make, in the order in which they make them.

use std::collections::{BTreeMap, BTreeSet};

use super::action::{Span, Target};
use super::mistake::{Mistake, nearest, suggest};
use super::value::Kind;

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// A program that was started.
    Program,
    /// A peer that was connected or accepted.
    Peer,
    /// A listening socket of the runner's.
    Listener,
}

impl Meaning {
    fn describe(self) -> &'static str {
        match self {
            Meaning::Program => "a program",
            Meaning::Peer => "a peer",
            Meaning::Listener => "a listening socket of the runner's",
        }
    }
}

/// The names known at a step.
#[derive(Debug, Default)]
pub struct Scope {
    names: BTreeMap<String, Meaning>,
    baselines: BTreeSet<String>,
}

impl Scope {
    /// Makes a name known to later steps.
    pub fn add(&mut self, name: &str, meaning: Meaning) {
        self.names.insert(name.to_owned(), meaning);
    }

    /// Notes that a program's baseline is taken.
    pub fn add_baseline(&mut self, program: &str) {
        self.baselines.insert(program.to_owned());
    }

    /// Whether there is a baseline that a check on this target can mean.
    pub fn has_baseline(&self, target: &Target) -> bool {
        matches!(target, Target::Program(name) if self.baselines.contains(name))
    }

    /// What a name is already, if it is anything.
    pub fn taken(&self, name: &str) -> Option<&'static str> {
        self.names.get(name).map(|meaning| meaning.describe())
    }

    /// Checks that a name is what a key of this kind wants.
    pub fn resolve(&self, kind: Kind, name: &str, span: Span) -> Result<(), Mistake> {
        if kind == Kind::Sockets && name == "listener" {
            return Ok(());
        }
        let (base, suffix) = name.split_once('.').map_or((name, None), |(base, suffix)| (base, Some(suffix)));
        let takes_suffix = matches!(kind, Kind::Processes | Kind::Targets);
        let wanted: &[Meaning] = match (kind, suffix) {
            (Kind::Listener, None) => &[Meaning::Listener],
            (Kind::Program | Kind::Programs | Kind::Processes, None) => &[Meaning::Program],
            (Kind::Peers | Kind::Sockets, None) => &[Meaning::Peer],
            (Kind::Targets, None) => &[Meaning::Program, Meaning::Peer],
            (_, Some("handler")) if takes_suffix => &[Meaning::Peer, Meaning::Program],
            (_, Some("children")) if takes_suffix => &[Meaning::Program],
            (_, Some(suffix)) => {
                let help = if takes_suffix { suggest(suffix, ["handler", "children"]) } else { "leave it out".into() };
                return Err(Mistake::new(format!("`.{suffix}` means nothing here"), span).help(help));
            }
            _ => &[],
        };
        match self.names.get(base) {
            Some(meaning) if wanted.contains(meaning) => Ok(()),
            Some(meaning) => Err(Mistake::new(format!("`{base}` is {}", meaning.describe()), span)
                .label(format!("wants {}", kind.describe()))),
            None => {
                let known: Vec<&str> = self
                    .names
                    .iter()
                    .filter(|(_, meaning)| wanted.contains(meaning))
                    .map(|(name, _)| name.as_str())
                    .collect();
                let help = match (nearest(base, known.iter().copied()), wanted) {
                    (Some(_), _) => suggest(base, known),
                    (None, wanted) if wanted.contains(&Meaning::Program) && matches!(base, "server" | "client") => {
                        format!("an earlier step has to start it: {{ start = \"{base}\" }}")
                    }
                    (None, [Meaning::Program]) => {
                        format!("an earlier step has to `start` it: {{ start = \"{base}\" }}")
                    }
                    (None, [Meaning::Listener]) => format!("an earlier step has to make it: {{ listen = \"{base}\" }}"),
                    _ => format!("an earlier step has to make it: {{ connect = \"{base}\" }}"),
                };
                Err(Mistake::new(format!("nothing is called `{base}` at this step"), span).help(help))
            }
        }
    }

    /// What a valid name of a target means.
    pub fn target(&self, name: &str) -> Target {
        match name.split_once('.') {
            Some((peer, "handler")) => Target::Handler(peer.to_owned()),
            Some((program, _)) => Target::Children(program.to_owned()),
            None if self.names.get(name) == Some(&Meaning::Program) => Target::Program(name.to_owned()),
            None => Target::Peer(name.to_owned()),
        }
    }
}
