//! `forkspec schema`

use super::Exit;
use super::args::{SchemaArgs, SchemaKind};
use super::out::put;
use crate::report::json;
use crate::scenario::{reference_page, scenario_schema};

pub fn main(args: &SchemaArgs) -> Exit {
    match args.what {
        SchemaKind::Scenario => put!("{}", pretty(&scenario_schema())),
        SchemaKind::Report => put!("{}", pretty(&json::schema())),
        SchemaKind::Language => put!("{}", reference_page()),
    }
    Exit::Conforms
}

fn pretty(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}
