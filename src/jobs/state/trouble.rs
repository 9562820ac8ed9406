//! Troubles that runs of an app met, and that last beyond them.

use serde::{Deserialize, Serialize};

/// An alarm that nobody has acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// Its kind.
    pub kind: AlarmKind,
    /// The change in words.
    pub what: String,
    /// When it was first seen, in seconds since 1970.
    pub since_s: i64,
}

/// Kind of an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlarmKind {
    /// Much of the source is gone.
    Shrunk,
    /// Unusually much of it changed.
    ChangedTooMuch,
}

/// Trouble of a repository that made a run fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// What it holds is damaged or missing.
    Damage,
    /// It shows an older state than this machine remembers.
    RolledBack,
}

impl Alarm {
    /// Notes an alarm among others of an app, of which each kind is there once.
    pub fn note(self, others: &mut Vec<Self>) {
        match others.iter_mut().find(|other| other.kind == self.kind) {
            Some(known) => known.what = self.what,
            None => others.push(self),
        }
    }
}
