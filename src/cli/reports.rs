//! The reports of a run: which are wanted, whether they can be written, and what the command comes to.

use std::collections::BTreeSet;

use super::out::put;
use super::{Exit, complain};
use crate::report::document::{Conclusion, Document};
use crate::report::github::{Fence, Place};
use crate::report::terminal::Terminal;
use crate::report::{Format, Wanted};

/// The reports that are wanted.
pub struct Reports {
    wanted: Vec<Wanted>,
    place: Place,
    fence: Option<Fence>,
}

impl Reports {
    /// Checks them before anything is played. Without one on standard output, the terminal's is.
    pub fn new(mut wanted: Vec<Wanted>) -> Result<Reports, Exit> {
        let usage = |message: String| {
            complain(message);
            Exit::Usage
        };
        if !wanted.iter().any(Wanted::on_stdout) {
            wanted.push(Wanted { format: Format::Terminal, path: None });
        }
        if wanted.iter().filter(|wanted| wanted.on_stdout()).count() > 1 {
            let hint = "give one a file: --report json=PATH";
            return Err(usage(format!("two reports cannot both go to standard output; {hint}")));
        }
        for one in &wanted {
            one.check().map_err(|error| {
                complain(error);
                Exit::Environment
            })?;
        }
        let mut files = BTreeSet::new();
        for one in &wanted {
            if let (Some(path), Some(file)) = (&one.path, one.file())
                && !files.insert(file)
            {
                return Err(usage(format!("two reports cannot both go to {}", path.display())));
            }
        }
        let github = wanted.iter().any(|wanted| wanted.format == Format::Github);
        let fence = github.then(Fence::new).transpose().map_err(|error| {
            complain(format!("no unguessable word is to be had: {error}"));
            Exit::Environment
        })?;
        Ok(Reports { wanted, place: Place::here(), fence })
    }

    /// Whether the terminal's report is wanted.
    pub fn on_terminal(&self) -> bool {
        self.wanted.iter().any(|wanted| wanted.format == Format::Terminal)
    }

    /// The terminal's report, with colours if the terminal has them.
    pub fn terminal(&self) -> Terminal {
        Terminal::new(anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never)
    }

    /// Prints the terminal's report of a finished run, if it is wanted.
    pub fn print(&self, document: &Document) {
        if self.on_terminal() {
            let (before, after) = self.fence().map(|fence| (fence.open(), fence.close())).unwrap_or_default();
            put!("{before}{}{after}", self.terminal().whole(document));
        }
    }

    /// What keeps GitHub from obeying what is printed, where it is GitHub that reads it.
    pub fn fence(&self) -> Option<&Fence> {
        self.fence.as_ref()
    }

    /// Writes all reports but the terminal's; one that cannot be written does not keep back the others.
    pub fn write(&self, document: &Document) -> Exit {
        let mut written = true;
        for wanted in &self.wanted {
            if let Err(error) = wanted.write(document, &self.place) {
                complain(error);
                written = false;
            }
        }
        match document.conclusion() {
            _ if document.interrupted => Exit::Interrupted,
            Conclusion::DoesNotConform => Exit::DoesNotConform,
            Conclusion::NotDecided => Exit::Environment,
            _ if !written => Exit::Environment,
            Conclusion::Conforms | Conclusion::NothingJudged => Exit::Conforms,
        }
    }
}
