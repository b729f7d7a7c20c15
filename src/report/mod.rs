//! Reports: each reads a finished run, and nothing else.

mod format;
pub mod json;
pub mod terminal;

pub use format::{Format, ReportError, Wanted};
