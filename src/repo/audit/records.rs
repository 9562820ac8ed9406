//! Audit of collectors' records: whether all are there.
//!
//! Spec: `format-spec/13-commit.md`, section 2.2.

use std::collections::{BTreeMap, HashSet};
use std::ops::RangeInclusive;

use super::{Fault, Findings};
use crate::format::generation::RecordContent;
use crate::repo::error::{Error, Result};
use crate::repo::gc::records::read_whole;
use crate::repo::objects::layout;
use crate::repo::open::Repository;
use crate::store::{Class, Key};

/// Reads and verifies every record of collectors, and reports missing ones.
///
/// Only verified records decide which ones must exist, because a store without a key can add names
/// with any number.
pub fn generations(repository: &Repository) -> Result<Findings> {
    let mut findings = Findings::default();
    let mut listed: BTreeMap<u64, HashSet<&str>> = BTreeMap::new();
    let (mut highest, mut oldest) = (0, (0, 1));
    for object in repository.store().list(Class::Collector, "")? {
        let key = Key::new(Class::Collector, object.name.clone());
        let Some((number, word)) = layout::generation_of(&key.name) else {
            findings.foreign.push(key.to_string());
            continue;
        };
        // A damaged record is reported as such, and not also as missing.
        listed.entry(number).or_default().insert(word);
        let record = findings.note(&key, read_whole(repository, number, word, object.len_bytes))?;
        let Some(record) = record else { continue };
        highest = highest.max(number);
        if let RecordContent::Condemned(condemned) = record.content {
            oldest = oldest.max((number, condemned.oldest.max(1)));
        }
    }
    // Generations before the last are closed.
    let is_whole = |number: u64, words: &HashSet<&str>| {
        let is_closed = words.contains("verdict") || (number == highest && !words.contains("done"));
        words.contains("condemned") && is_closed
    };
    for (first, last) in gaps(&listed, oldest.1..=highest, is_whole) {
        let (object, what) = match first == last {
            true => (format!("gc/{first}"), format!("a record of generation {first}")),
            false => {
                (format!("gc/{first}-{last}"), format!("records of generations {first} to {last}"))
            }
        };
        let error = Error::RolledBack { location: repository.location().to_owned(), what };
        findings.faults.push(Fault { object, error });
    }
    Ok(findings)
}

/// Returns the first and the last number of each gap in `range`, in which no number is listed or
/// whole.
///
/// Takes time in proportion to the listed numbers, however long the range is.
fn gaps<T>(
    listed: &BTreeMap<u64, T>,
    range: RangeInclusive<u64>,
    is_whole: impl Fn(u64, &T) -> bool,
) -> Vec<(u64, u64)> {
    let (mut next, end) = range.into_inner();
    let mut gaps = Vec::new();
    let whole = listed
        .iter()
        .filter(|(number, words)| is_whole(**number, words))
        .map(|(number, _)| *number);
    for number in whole.take_while(|number| *number <= end) {
        if next < number {
            gaps.push((next, number - 1));
        }
        next = next.max(number.saturating_add(1));
    }
    if next <= end {
        gaps.push((next, end));
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_one_however_long_it_is() {
        let of = |listed: &[(u64, bool)], range| {
            gaps(&listed.iter().copied().collect(), range, |_, is_whole| *is_whole)
        };
        assert_eq!(of(&[], RangeInclusive::new(1, 0)), []);
        assert_eq!(of(&[(1, true), (2, true), (3, true)], 1..=3), []);
        assert_eq!(
            of(&[(2, true), (5, true), (7, false), (8, true)], 1..=8),
            [(1, 1), (3, 4), (6, 7)]
        );
        assert_eq!(
            of(&[(1, true), (1 << 60, true), (1 << 61, true)], 4..=1 << 60),
            [(4, (1 << 60) - 1)]
        );
        assert_eq!(of(&[], 7..=1 << 62), [(7, 1 << 62)]);
    }
}
