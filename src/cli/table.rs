//! `forkspec table`

use super::args::TableArgs;
use super::out::put;
use super::{Exit, complain, merge};
use crate::report::table::{Row, csv, text};

pub fn main(args: &TableArgs) -> Exit {
    let (parts, all) = merge::read_all(&args.reports);
    let rows: Vec<Row> = parts.iter().map(|part| Row::of(&part.path, &part.document)).collect();
    match if args.csv { csv(&rows) } else { Ok(text(&rows)) } {
        Ok(table) => put!("{table}"),
        Err(error) => {
            complain(error);
            return Exit::Environment;
        }
    }
    if all { Exit::Conforms } else { Exit::Usage }
}
