//! The formats of reports, and where they go.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use nix::unistd::{AccessFlags, access};

use super::document::Document;
use super::github::{self, Place};
use super::{json, junit, tap};

/// A format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For a person at a terminal.
    Terminal,
    /// One JSON document.
    Json,
    /// JUnit's XML.
    Junit,
    /// The Test Anything Protocol.
    Tap,
    /// Workflow commands of GitHub Actions.
    Github,
}

impl Format {
    /// The formats and their names on the command line.
    const ALL: [(&str, Format); 5] = [
        ("terminal", Format::Terminal),
        ("json", Format::Json),
        ("junit", Format::Junit),
        ("tap", Format::Tap),
        ("github", Format::Github),
    ];
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
    Io(PathBuf, io::Error),
    /// There is no such folder.
    #[error("the report {path} cannot be written: there is no folder {folder}", path = .0.display(), folder = .1.display())]
    NoFolder(PathBuf, PathBuf),
    /// The JSON document could not be made.
    #[error("the report could not be made: {0}")]
    Json(#[from] serde_json::Error),
    /// The XML document could not be made.
    #[error("the report could not be made: {0}")]
    Junit(#[from] quick_junit::SerializeError),
    /// There is no unguessable word to be had.
    #[error("the report could not be made: no randomness: {0}")]
    Token(io::Error),
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Wanted, String> {
        let (name, path) = text.split_once('=').map_or((text, None), |(name, path)| (name, Some(PathBuf::from(path))));
        let Some((_, format)) = Format::ALL.into_iter().find(|(known, _)| *known == name) else {
            let known = Format::ALL.map(|(name, _)| name);
            return Err(format!("`{name}` is no format; {}", crate::scenario::suggest(name, known)));
        };
        match &path {
            Some(path) if path.as_os_str().is_empty() => Err(format!("`{text}` names no file")),
            Some(_) if format == Format::Terminal => Err("the terminal report goes to standard output only".into()),
            _ => Ok(Wanted { format, path }),
        }
    }
}

impl Wanted {
    /// Finds out beforehand whether the report can be written, as far as that can be known.
    pub fn check(&self) -> Result<(), ReportError> {
        let Some(path) = &self.path else { return Ok(()) };
        let failed = |error: io::Error| ReportError::Io(path.clone(), error);
        match std::fs::metadata(path) {
            Ok(data) if data.is_dir() => return Err(failed(io::ErrorKind::IsADirectory.into())),
            Ok(data) if !data.is_file() => return Ok(()),
            _ => {}
        }
        let folder = folder(path);
        if !folder.is_dir() {
            return Err(ReportError::NoFolder(path.clone(), folder.to_owned()));
        }
        access(folder, AccessFlags::W_OK).map_err(|error| failed(error.into()))
    }

    /// The file, as the only name it has: links followed, `.` and `..` taken out.
    pub fn file(&self) -> Option<PathBuf> {
        let path = self.path.as_ref()?;
        let named = path.file_name().unwrap_or_default();
        Some(real(path).or_else(|| Some(folder(path).canonicalize().ok()?.join(named))).unwrap_or_else(|| path.clone()))
    }

    /// Writes the report, unless it is the terminal's, which is written as the run goes.
    pub fn write(&self, document: &Document, place: &Place) -> Result<(), ReportError> {
        match self.format {
            Format::Terminal => Ok(()),
            Format::Json => self.write_json(document),
            Format::Junit => self.put(&junit::render(document)?),
            Format::Tap => self.put(&tap::render(document)),
            Format::Github => {
                self.put(&github::render(document, place).map_err(ReportError::Token)?)?;
                place.summary.as_deref().map_or(Ok(()), |path| append(path, &github::summary(document)))
            }
        }
    }

    /// Writes a JSON document.
    pub fn write_json(&self, document: &impl serde::Serialize) -> Result<(), ReportError> {
        self.put(&json::render(document)?)
    }

    fn put(&self, text: &str) -> Result<(), ReportError> {
        match &self.path {
            Some(path) => replace(path, text.as_bytes()).map_err(|error| ReportError::Io(path.clone(), error)),
            None => {
                let mut out = io::stdout();
                let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
                written.map_err(|error| ReportError::Io("(standard output)".into(), error))
            }
        }
    }

    /// Whether it goes to standard output.
    pub fn on_stdout(&self) -> bool {
        self.path.is_none()
    }
}

fn append(path: &Path, text: &str) -> Result<(), ReportError> {
    let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| ReportError::Io(path.to_owned(), error))
}

/// Writes a file whole or not at all: beside it first, then by rename. What is no regular file (`/dev/stdout`, a
/// pipe) is written directly.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if std::fs::metadata(path).is_ok_and(|data| !data.is_file()) {
        return std::fs::OpenOptions::new().write(true).open(path)?.write_all(bytes);
    }
    // A link stays one: its file is replaced.
    let path = &real(path).unwrap_or_else(|| path.to_owned());
    let mut file = tempfile::NamedTempFile::new_in(folder(path))?;
    file.write_all(bytes)?;
    file.as_file().set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    file.persist(path)?;
    Ok(())
}

/// A file that is there, without links in its path.
fn real(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok()
}

/// The folder of a file.
fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
