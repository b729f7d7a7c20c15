//! The formats of reports, and where they go.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::run::Run;

use super::json;

/// A format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For a person at a terminal.
    Terminal,
    /// One JSON document.
    Json,
}

/// A report that is wanted: `FORMAT` or `FORMAT=PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The format.
    pub format: Format,
    /// The file; `None` for standard output.
    pub path: Option<PathBuf>,
}

/// Why a report was not written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The file could not be written.
    #[error("the report {path} could not be written: {source}", path = .0.display(), source = .1)]
    Io(PathBuf, std::io::Error),
    /// The document could not be made.
    #[error("the report could not be made: {0}")]
    Json(#[from] serde_json::Error),
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Wanted, String> {
        let (name, path) = text.split_once('=').map_or((text, None), |(name, path)| (name, Some(PathBuf::from(path))));
        let format = match name {
            "terminal" => Format::Terminal,
            "json" => Format::Json,
            other => {
                return Err(format!(
                    "`{other}` is no format; {}",
                    crate::scenario::suggest(other, ["terminal", "json"])
                ));
            }
        };
        match &path {
            Some(path) if path.as_os_str().is_empty() => Err(format!("`{text}` names no file")),
            Some(_) if format == Format::Terminal => Err("the terminal report goes to standard output only".into()),
            _ => Ok(Wanted { format, path }),
        }
    }
}

impl Wanted {
    /// Writes the report of a finished run, unless it is the terminal's, which is written as the run goes.
    pub fn write(&self, run: &Run) -> Result<(), ReportError> {
        if self.format == Format::Terminal {
            return Ok(());
        }
        self.write_json(&json::Document::of(run))
    }

    /// Writes a JSON document.
    pub fn write_json(&self, document: &impl serde::Serialize) -> Result<(), ReportError> {
        let mut bytes = serde_json::to_vec_pretty(document)?;
        bytes.push(b'\n');
        match &self.path {
            Some(path) => replace(path, &bytes).map_err(|error| ReportError::Io(path.clone(), error)),
            None => {
                std::io::stdout().write_all(&bytes).map_err(|error| ReportError::Io("(standard output)".into(), error))
            }
        }
    }

    /// Whether it goes to standard output.
    pub fn on_stdout(&self) -> bool {
        self.path.is_none()
    }
}

/// Writes a file whole or not at all: beside it first, then by rename. What is no regular file (`/dev/stdout`, a
/// pipe) is written directly.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if std::fs::metadata(path).is_ok_and(|data| !data.is_file()) {
        return std::fs::OpenOptions::new().write(true).open(path)?.write_all(bytes);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    file.persist(path)?;
    Ok(())
}
