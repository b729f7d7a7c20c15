//! The defect catalogue: the mistakes that scenarios exist for, each with its cause and its remedy.

use std::sync::OnceLock;

use serde::Deserialize;

include!(concat!(env!("OUT_DIR"), "/defects.rs"));

/// A named mistake.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Defect {
    /// Its id; the name of its file.
    #[serde(skip)]
    pub id: String,
    /// One sentence: what is wrong.
    pub title: String,
    /// The program at fault: `server` or `client`.
    pub blames: String,
    /// The section of the book.
    pub reference: String,
    /// How it shows to an observer of bytes, connections and ends. A scenario's own defect is named only for a miss that
    /// shows so; left out: it shows otherwise, in tables of processes, descriptors and sockets.
    #[serde(default = "otherwise")]
    pub shows: Vec<Sign>,
    /// What stands under a failure: the cause and the call that mends it.
    pub why: String,
    /// What it is and why it matters.
    pub about: String,
    /// How to see it by hand.
    pub see: String,
    /// The remedy in C.
    pub remedy: String,
}

/// How something shows from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sign {
    /// The server has ended.
    Dead,
    /// No process has accepted the connection.
    Unserved,
    /// Nothing more came, and the connection is open.
    Silence,
    /// A FIN came too early.
    Fin,
    /// A RST came.
    Reset,
    /// Other bytes came.
    Bytes,
    /// Bytes came where none were due.
    Excess,
    /// The connection was refused, or not answered.
    Refused,
    /// The other side does not close.
    Open,
    /// A program ended before it had printed everything.
    Ends,
    /// A program does not end.
    Hangs,
    /// A program exited with another status.
    Status,
    /// A program was ended by a signal.
    Signal,
    /// In a table of processes, descriptors or sockets.
    State,
    /// Who should be looked at is not there.
    Absent,
}

fn otherwise() -> Vec<Sign> {
    vec![Sign::State]
}

/// Every defect, by id.
pub fn all() -> &'static [Defect] {
    static ALL: OnceLock<Vec<Defect>> = OnceLock::new();
    ALL.get_or_init(|| DEFECTS.iter().filter_map(|(id, text)| read(id, text).ok()).collect())
}

/// The defect with this id. Reads that one only.
pub fn find(id: &str) -> Option<Defect> {
    let (id, text) = DEFECTS.iter().find(|(known, _)| *known == id)?;
    read(id, text).ok()
}

fn read(id: &str, text: &str) -> Result<Defect, toml::de::Error> {
    let mut defect: Defect = toml::from_str(text)?;
    defect.id = id.to_owned();
    Ok(defect)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_can_be_read() {
        for (id, text) in DEFECTS {
            let defect = read(id, text).unwrap_or_else(|error| panic!("{id}: {error}"));
            assert!(matches!(defect.blames.as_str(), "server" | "client"), "{id} blames {}", defect.blames);
        }
    }
}
