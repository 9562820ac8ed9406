//! Key `cycle`: a schedule and a retention policy in the words of tape rotation.
//!
//! s3napback and tapes before it have full backups and differences to them. Here every snapshot
//! holds everything and costs what changed, so a cycle is only how often, and how many.

use super::error::SettingsError;
use super::section::Section;
use crate::retention::Policy;

/// Most differences, and most full backups.
const COUNT_MAX: u32 = 10_000;

/// `cycle = { every = "1d", diffs = 7, fulls = 2 }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CycleSettings {
    /// The interval, as `schedule` has it: `1d`.
    pub every: String,
    /// Differences to each full backup.
    pub diffs: u32,
    /// Full backups.
    pub fulls: u32,
}

impl CycleSettings {
    /// Returns the schedule that it means.
    pub fn schedule(&self) -> String {
        format!("every {}", self.every)
    }

    /// Returns the number of snapshots that are kept.
    pub fn last(&self) -> u32 {
        self.diffs.max(1) * self.fulls
    }

    /// Returns the retention policy that it means.
    pub(super) fn policy(&self) -> Policy {
        Policy { last: Some(self.last()), ..Policy::default() }
    }
}

/// Reads a cycle. `parse_line` checks a line of a schedule.
pub(super) fn read_cycle(
    section: &mut Section<'_>,
    parse_line: impl Fn(&str) -> Result<String, String>,
) -> Result<Option<CycleSettings>, SettingsError> {
    let Some(value) = section.value("cycle") else {
        return Ok(None);
    };
    if let Some(other) = ["keep", "schedule"].into_iter().find(|key| section.has(key)) {
        let why = format!("`{other}` is there, too, and `cycle` means both it and more: keep one");
        return Err(section.refuse("cycle", value, why));
    }
    let mut table = section.section("cycle")?.expect("the key is there");
    let every = table
        .parsed("every", |text| parse_line(&format!("every {text}")).map(|_| text.to_owned()))?;
    let count = |least: u32| {
        move |text: &str| match text.parse::<u32>() {
            Ok(count) if (least..=COUNT_MAX).contains(&count) => Ok(count),
            _ => Err(format!("`{text}` is not a number from {least} to {COUNT_MAX}")),
        }
    };
    let (diffs, fulls) = (table.parsed("diffs", count(0))?, table.parsed("fulls", count(1))?);
    let (Some(every), Some(diffs), Some(fulls)) = (every, diffs, fulls) else {
        return Err(table.refuse_here("needs `every`, `diffs` and `fulls`"));
    };
    table.finish()?;
    Ok(Some(CycleSettings { every, diffs, fulls }))
}
