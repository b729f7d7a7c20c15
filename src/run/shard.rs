//! Parts of a suite, for several machines that each play one.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scenario::Scenario;

/// One of several equal parts: `K/N` on the command line, K counted from 1.
///
/// The scenarios are dealt out in the order of their ids, like cards: the one with the rank r is in shard r mod N. So the
/// shards differ by one scenario at most, a chapter of long ones is spread over all of them, and nothing but the set of
/// ids decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: u32,
    of: u32,
}

impl Shard {
    /// Whether it has what stands at this place of the whole, counted from 0.
    pub fn has(self, rank: usize) -> bool {
        rank % self.of as usize == self.index as usize - 1
    }

    /// Its part of a list.
    pub fn part<T>(self, list: Vec<T>) -> Vec<T> {
        list.into_iter().enumerate().filter_map(|(rank, one)| self.has(rank).then_some(one)).collect()
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Shard, String> {
        let number = |word: &str| word.parse().ok().filter(|_| word.bytes().all(|byte| byte.is_ascii_digit()));
        let numbers = text.split_once('/').and_then(|(index, of)| Some((number(index)?, number(of)?)));
        match numbers {
            Some((index, of)) if (1..=of).contains(&index) => Ok(Shard { index, of }),
            Some((_, 0)) => Err("there is no part of zero parts; `1/3` is the first of three".into()),
            Some((index, of)) => Err(format!("there is no part {index} of {of}: they are 1/{of} to {of}/{of}")),
            None => Err("a part is K/N in numbers: `1/3` is the first of three".into()),
        }
    }
}

/// Which part of the scenarios a run has played, and of what: enough to notice that another part is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Share {
    /// Which part, counted from 1.
    pub index: u32,
    /// Of how many.
    pub of: u32,
    /// How many scenarios all parts have together.
    pub selected: usize,
    /// A hash of the ids of all of them.
    pub ids: String,
    /// A hash of the ids and texts of all of them.
    pub suite: String,
}

impl Share {
    /// The share of a shard in these scenarios, which are in the order of their ids.
    pub fn of<'a>(shard: Shard, scenarios: impl Iterator<Item = &'a Scenario> + Clone) -> Share {
        Share {
            index: shard.index,
            of: shard.of,
            selected: scenarios.clone().count(),
            ids: hash_of_ids(scenarios.clone().map(|scenario| scenario.id.as_str())),
            suite: hash(scenarios.flat_map(|scenario| [scenario.id.as_str(), &scenario.source.text])),
        }
    }
}

/// The hash of ids that a [`Share`] has.
pub fn hash_of_ids<'a>(ids: impl Iterator<Item = &'a str>) -> String {
    hash(ids)
}

/// FNV-1a, 64 bits: the same on every machine and with every version of the compiler, which the standard library does not
/// promise of its own. Against slips, not against forgery.
fn hash<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let bytes = texts.flat_map(|text| text.bytes().chain([0]));
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_share_everything_out_evenly() {
        for of in 1..=7 {
            let list: Vec<usize> = (0..23).collect();
            let parts: Vec<Vec<usize>> = (1..=of).map(|index| Shard { index, of }.part(list.clone())).collect();
            let sizes: Vec<usize> = parts.iter().map(Vec::len).collect();
            assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{sizes:?}");
            let mut all: Vec<usize> = parts.concat();
            all.sort();
            assert_eq!(all, list);
        }
    }

    #[test]
    fn only_parts_that_exist_are_taken() {
        assert_eq!("2/3".parse(), Ok(Shard { index: 2, of: 3 }));
        for wrong in
            ["0/3", "4/3", "a/b", "1/0", "0/0", "1", "1/", "/1", "", "-1/3", "+1/3", " 1/3", "1/3/3", "1/99999999999"]
        {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_hash_is_the_published_one_and_knows_where_texts_end() {
        assert_eq!(hash(std::iter::empty()), "cbf29ce484222325");
        assert_eq!(hash(["a"].into_iter()), "089be207b544f1e4");
        assert_ne!(hash(["ab", "c"].into_iter()), hash(["a", "bc"].into_iter()));
    }
}
