//! What is wrong with a scenario file: every mistake has a place.

use std::fmt;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};

use super::action::{Source, Span};

/// One mistake in a file.
#[derive(Debug, Clone)]
pub struct Mistake {
    /// What is wrong.
    pub message: String,
    /// Where.
    pub span: Span,
    /// What to say at the place itself.
    pub label: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Mistake {
    /// A mistake at a place.
    pub fn new(message: impl Into<String>, span: Span) -> Mistake {
        Mistake { message: message.into(), span, label: "here".into(), help: None }
    }

    /// Says something at the place itself.
    pub fn label(mut self, label: impl Into<String>) -> Mistake {
        self.label = label.into();
        self
    }

    /// Says what to do.
    pub fn help(mut self, help: impl Into<String>) -> Mistake {
        self.help = Some(help.into());
        self
    }
}

/// All the mistakes of one file.
#[derive(Debug, Clone)]
pub struct Mistakes {
    /// The file.
    pub source: Source,
    /// The mistakes, in the order of their places.
    pub list: Vec<Mistake>,
}

impl Mistakes {
    /// The mistakes as diagnostics that miette can draw.
    pub fn diagnostics(&self) -> impl Iterator<Item = Located> + '_ {
        let source = Arc::new(NamedSource::new(&self.source.path, self.source.text.clone()));
        self.list.iter().map(move |mistake| Located {
            message: mistake.message.clone(),
            help: mistake.help.clone(),
            label: mistake.label.clone(),
            span: mistake.span.clone(),
            source: Arc::clone(&source),
        })
    }
}

/// A message with its place in a text: a mistake in a scenario file, or an expectation that did not hold.
#[derive(Debug, Clone)]
pub struct Located {
    /// The message; empty for none.
    pub message: String,
    /// A remedy.
    pub help: Option<String>,
    /// What stands at the place; may have several lines.
    pub label: String,
    /// The place.
    pub span: Span,
    /// The text.
    pub source: Arc<NamedSource<String>>,
}

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Located {}

impl Diagnostic for Located {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&*self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = LabeledSpan::new_with_span(Some(self.label.clone()), self.span.clone());
        Some(Box::new(std::iter::once(label)))
    }
}

/// The nearest of `known` to a word that is not among them, if it is near enough to be a slip.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(word, name), name))
        .filter(|(distance, name)| *distance <= 1 + name.len().min(word.len()) / 4)
        .min()
        .map(|(_, name)| name)
}

/// The help for an unknown word: the nearest one, or all there are.
pub fn suggest<'a>(word: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match nearest(word, known.clone()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => {
            let all: Vec<String> = known.into_iter().map(|name| format!("`{name}`")).collect();
            if all.is_empty() { "there is none so far".into() } else { format!("there is {}", all.join(", ")) }
        }
    }
}
