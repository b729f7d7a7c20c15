//! The values of one step, by key, as the verb table promised them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::action::{CountOrBaseline, ExitStatus, Limits};
use super::payload::Payload;
use super::value::Value;
use crate::tcp::TcpState;

/// The values of one step by their keys. Each accessor takes a value out; `None` where the key was left out.
#[derive(Debug, Default)]
pub struct Fields {
    values: BTreeMap<&'static str, Value>,
}

macro_rules! accessor {
    ($name:ident, $variant:ident, $kind:ty) => {
        #[doc = concat!("Takes out a value of the kind `", stringify!($variant), "`.")]
        pub fn $name(&mut self, key: &str) -> Option<$kind> {
            match self.values.remove(key)? {
                Value::$variant(value) => Some(value),
                other => unreachable!("the verb table promises another kind for `{key}` than {other:?}"),
            }
        }
    };
}

impl Fields {
    /// Puts a value in.
    pub fn insert(&mut self, key: &'static str, value: Value) {
        self.values.insert(key, value);
    }

    accessor!(names, Names, Vec<String>);
    accessor!(payload, Payload, Payload);
    accessor!(time, Time, Duration);
    accessor!(flag, Flag, bool);
    accessor!(count, Count, u64);
    accessor!(words, Words, Vec<String>);
    accessor!(limits, Limits, Limits);
    accessor!(count_or_baseline, CountOrBaseline, CountOrBaseline);
    accessor!(exit_status, ExitStatus, ExitStatus);

    /// Takes out the only name of a key.
    pub fn name(&mut self, key: &str) -> Option<String> {
        self.names(key)?.pop()
    }

    /// Takes out the only word of a key.
    pub fn word(&mut self, key: &str) -> Option<String> {
        self.words(key)?.pop()
    }

    /// Takes out TCP states.
    pub fn states(&mut self, key: &str) -> Option<Vec<TcpState>> {
        let words = self.words(key)?;
        Some(TcpState::ALL.into_iter().filter(|state| words.iter().any(|word| word == state.name())).collect())
    }
}
