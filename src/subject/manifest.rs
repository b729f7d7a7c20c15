//! `forkspec.toml`: the options of a run, kept beside the programs.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::scenario::{Level, Model};
use crate::stage::{Isolation, Launch};

use super::port::Port;

/// The file's name.
const NAME: &str = "forkspec.toml";

/// What a manifest can hold; flags on the command line win.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The server.
    pub server: Option<Part>,
    /// The client.
    pub client: Option<Part>,
    /// The port that the server listens on.
    pub port: Option<Port>,
    /// How the server is started.
    pub launch: Option<Launch>,
    /// Files and folders of scenarios, instead of the standard suite.
    #[serde(default)]
    pub scenarios: Vec<PathBuf>,
    /// Which scenarios are played, by id, beginning of id, or glob.
    #[serde(default)]
    pub filter: Vec<String>,
    /// The levels that are played.
    #[serde(default)]
    pub level: Vec<Level>,
    /// Whether a failed `should` makes the run fail.
    #[serde(default)]
    pub strict: bool,
    /// How many scenarios are played at a time.
    pub jobs: Option<std::num::NonZeroU16>,
    /// How stages are kept apart.
    pub isolation: Option<Isolation>,
    /// Reports, as `--report` takes them.
    #[serde(default)]
    pub report: Vec<String>,
}

/// One program in a manifest.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Its command.
    pub command: String,
    /// A command that builds it before the run.
    pub build: Option<String>,
    /// How it handles clients, if it is a server and the probe shall not find out.
    pub model: Option<Model>,
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It cannot be read.
    #[error("{path}: {source}", path = .0.display(), source = .1)]
    Io(PathBuf, std::io::Error),
    /// It is not what a manifest can be.
    #[error("{path}: {source}", path = .0.display(), source = .1)]
    Invalid(PathBuf, Box<toml::de::Error>),
}

impl Manifest {
    /// Reads the manifest of a folder; an empty one if there is none.
    pub fn of(folder: &Path) -> Result<Manifest, ManifestError> {
        let path = folder.join(NAME);
        match std::fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text).map_err(|error| ManifestError::Invalid(NAME.into(), Box::new(error))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Manifest::default()),
            Err(error) => Err(ManifestError::Io(path, error)),
        }
    }
}
