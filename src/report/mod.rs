//! Reports: each is made of the document of a finished run, and of nothing else.

mod describe;
pub mod document;
mod format;
pub mod github;
mod join;
pub mod json;
mod junit;
pub mod table;
mod tap;
pub mod terminal;
mod text;

pub use document::Document;
pub use format::{Format, ReportError, Wanted};
pub use join::{JoinError, Part, join};
