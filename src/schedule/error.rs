//! Errors of schedules that users write.

use super::rule::Rule;

/// Longest part of a line that is shown, in characters.
const SHOWN_MAX: usize = 60;

/// A line that is not a schedule. The caller adds the file and its line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{line}` is not a schedule: {why}")]
pub struct ScheduleError {
    /// The line, harmless to a terminal, and cut if it is long.
    pub line: String,
    /// The word that is wrong, and why.
    pub why: String,
    /// What to write instead.
    pub hint: String,
}

impl ScheduleError {
    /// Returns the error of a line.
    pub(super) fn new(line: &str, wrong: Wrong) -> Self {
        Self { line: shown(line), why: wrong.why, hint: wrong.hint }
    }
}

/// The parsed form of a line, or what is wrong with it.
pub(super) type RuleResult<T = Rule> = Result<T, Wrong>;

/// What is wrong with a line that the caller knows.
#[derive(Debug)]
pub(super) struct Wrong {
    pub why: String,
    pub hint: String,
}

/// Returns what is wrong with a line.
pub(super) fn wrong(why: impl Into<String>, hint: impl Into<String>) -> Wrong {
    Wrong { why: why.into(), hint: hint.into() }
}

/// Returns the beginning of a text that a user wrote, without control characters.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_MAX).is_some() {
        shown.push('…');
    }
    shown
}
