//! Messages as they are stored and sent.

use serde::{Deserialize, Serialize};

use super::trouble::Event;
use crate::settings::notify::When;

/// A message that is ready to be sent, without secrets and control characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Identifies it to the outbox and, where the protocol can, to the receiver.
    pub id: String,
    /// The least that a channel must want to get it.
    pub when: When,
    /// What it is about.
    pub event: Event,
    /// Whether it repeats what was said before.
    #[serde(default)]
    pub is_reminder: bool,
    /// The app, if it is about one.
    #[serde(default)]
    pub app: Option<String>,
    /// The machine that sends it.
    pub host: String,
    /// The repository or channel, if it is about one.
    #[serde(default)]
    pub target: Option<String>,
    /// When it was decided, in seconds since 1970.
    pub time_s: i64,
    /// Beginning of what it is about.
    #[serde(default)]
    pub since_s: Option<i64>,
    /// One line.
    pub subject: String,
    /// The text, at most 10 KiB.
    pub body: String,
    /// Details for programs.
    #[serde(default)]
    pub facts: Facts,
}

/// Most bytes of a message's text.
pub(super) const BODY_MAX_BYTES: usize = 10 << 10;

/// Details of a run, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// Status of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Id of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Scheduled time, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot_s: Option<i64>,
    /// Beginning of the run, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_s: Option<i64>,
    /// Seconds that it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// The snapshot that was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// Bytes of the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_bytes: Option<u64>,
    /// Bytes that the repository grew by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub added_bytes: Option<u64>,
    /// Slots that passed without a run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missed: Option<u64>,
    /// Problems with single files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem_count: Option<u64>,
    /// When the last good snapshot was confirmed, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_good_s: Option<i64>,
    /// When the next run is due, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_s: Option<i64>,
    /// The error and its causes, outermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
    /// What the user can do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Further lines of text, such as paths that could not be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
}
