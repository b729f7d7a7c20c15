//! The language of scenario files: what can be written, and what is wrong with what was written.

mod action;
mod checks;
mod fields;
mod headers;
mod mistake;
mod needs;
mod order;
mod parse;
mod payload;
mod reference;
mod schema;
mod scope;
mod suite;
mod value;
mod verbs;

pub use action::{
    Action, Check, CheckKind, Closed, CountOrBaseline, ExitStatus, Level, Limits, Model, Role, Scarce, Scenario,
    SignalKind, SocketName, Source, Span, Start, Step, Target, Timing,
};
pub use mistake::{Located, Mistake, Mistakes, nearest, suggest};
pub use needs::{Need, NotApplicable, Platform, applies, needs, starts};
pub use parse::parse;
pub use payload::{Form, Payload, show};
pub use reference::reference_page;
pub use schema::scenario_schema;
pub use suite::{Filter, Suite, SuiteError, standard};
