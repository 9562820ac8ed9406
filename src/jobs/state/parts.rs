//! Parts of the report of a run: its status, its dumps, its hooks.

use serde::{Deserialize, Serialize};

/// How a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    /// There is a new snapshot.
    Done,
    /// Nothing has changed since the last one.
    Unchanged,
    /// There is a snapshot, but files are missing in it.
    Partial,
    /// There is none.
    #[default]
    Failed,
    /// The hook `before` asked to leave it out.
    Skipped,
}

impl RunStatus {
    /// Returns its name in JSON and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Unchanged => "unchanged",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }

    /// Returns whether the repository holds all that could be read.
    pub fn is_good(self) -> bool {
        matches!(self, Self::Done | Self::Unchanged)
    }
}

/// One dump of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SourceRun {
    /// Its place in the snapshot.
    pub source: String,
    /// Its kind.
    pub kind: String,
    /// Its length.
    pub bytes: u64,
    /// Its rows, where they can be counted.
    pub rows: Option<u64>,
    /// How long it took, the storing of it included.
    pub seconds: f64,
}

/// One hook of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HookRecord {
    /// `before`, `after`, `failed` or `finally`.
    pub event: String,
    /// Its exit code; `None` if it was stopped or could not be started.
    pub code: Option<i32>,
    /// How long it took.
    pub seconds: f64,
}

impl Eq for SourceRun {}
impl Eq for HookRecord {}
