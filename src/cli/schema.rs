//! `forkspec schema`

use super::Exit;
use super::args::{SchemaArgs, SchemaKind};
use crate::report::json;
use crate::scenario::{reference_page, scenario_schema};

pub fn main(args: &SchemaArgs) -> Exit {
    match args.what {
        SchemaKind::Scenario => print!("{}", pretty(&scenario_schema())),
        SchemaKind::Report => print!("{}", pretty(&json::schema())),
        SchemaKind::Language => print!("{}", reference_page()),
    }
    Exit::Conforms
}

fn pretty(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}
