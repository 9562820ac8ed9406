//! Words for events.

use serde::{Deserialize, Serialize};

/// A trouble that lasts until it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TroubleKind {
    // The order is that of gravity: the first open one names a reminder.
    /// Stored data is damaged or missing.
    Damage,
    /// A repository shows an older state than this machine remembers.
    RolledBack,
    /// No good snapshot for longer than the user allows.
    Overdue,
    /// A slot was given up.
    Failed,
    /// A drill could not bring the backup back.
    DrillFailed,
    /// Snapshots are made, but lack files that could not be read.
    Partial,
    /// Much of the source is gone.
    Shrunk,
    /// Unusually much of the source changed.
    ChangedTooMuch,
    /// A repository has been away for longer than the user allows.
    Behind,
    /// A scheduled prune of a repository failed.
    PruneFailed,
    /// A scheduled check of a repository failed before it could say how the repository is.
    CheckFailed,
    /// An app of labels has no containers any more, or its labels are not valid.
    LeftOut,
    /// A new configuration is refused; the old one stays in force.
    ReloadFailed,
    /// A channel gave up a message.
    Undelivered,
}

/// An event that does not last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Moment {
    /// Slots passed without a run.
    Missed,
    /// Troubles ended.
    Recovered,
    /// A run ended well, and nothing changed by that.
    Done,
    /// A digest is due.
    Digest,
    /// The user tries the channels.
    Test,
}

/// The event that a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Event {
    /// A trouble that begins or lasts.
    Trouble(TroubleKind),
    /// Anything else.
    Moment(Moment),
}

/// How grave an event is, for channels with priorities and colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// A backup may be missing.
    Error,
    /// Not as it should be.
    Warning,
    /// Well, or well again.
    Good,
    /// Neither.
    Info,
}

impl TroubleKind {
    /// All kinds, gravest first.
    pub const ALL: [Self; 14] = [
        Self::Damage,
        Self::RolledBack,
        Self::Overdue,
        Self::Failed,
        Self::DrillFailed,
        Self::Partial,
        Self::Shrunk,
        Self::ChangedTooMuch,
        Self::Behind,
        Self::PruneFailed,
        Self::CheckFailed,
        Self::LeftOut,
        Self::ReloadFailed,
        Self::Undelivered,
    ];

    /// Returns the stable name used in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Damage => "damage",
            Self::RolledBack => "rolled-back",
            Self::Overdue => "overdue",
            Self::Failed => "failed",
            Self::DrillFailed => "drill-failed",
            Self::Partial => "partial",
            Self::Shrunk => "shrunk",
            Self::ChangedTooMuch => "changed-too-much",
            Self::Behind => "behind",
            Self::PruneFailed => "prune-failed",
            Self::CheckFailed => "check-failed",
            Self::LeftOut => "left-out",
            Self::ReloadFailed => "reload-failed",
            Self::Undelivered => "undelivered",
        }
    }
}

impl Event {
    /// Returns the stable name used in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trouble(kind) => kind.name(),
            Self::Moment(Moment::Missed) => "missed",
            Self::Moment(Moment::Recovered) => "recovered",
            Self::Moment(Moment::Done) => "done",
            Self::Moment(Moment::Digest) => "digest",
            Self::Moment(Moment::Test) => "test",
        }
    }

    /// Returns how grave it is.
    pub fn severity(self) -> Severity {
        use TroubleKind::{Damage, DrillFailed, Failed, Overdue, RolledBack};
        match self {
            Self::Trouble(Damage | RolledBack | Overdue | Failed | DrillFailed) => Severity::Error,
            Self::Trouble(_) | Self::Moment(Moment::Missed) => Severity::Warning,
            Self::Moment(Moment::Recovered | Moment::Done) => Severity::Good,
            Self::Moment(Moment::Digest | Moment::Test) => Severity::Info,
        }
    }
}

/// A trouble and the repository, channel or app that has it, if it is not the writer's own app.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Trouble {
    /// The kind.
    pub kind: TroubleKind,
    /// Name of a repository, of a channel, or of an app that is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

impl Trouble {
    /// Returns a trouble of the whole app.
    pub fn of_app(kind: TroubleKind) -> Self {
        Self { kind, target: None }
    }

    /// Returns a trouble of a repository or channel.
    pub fn of_target(kind: TroubleKind, target: &str) -> Self {
        Self { kind, target: Some(target.to_owned()) }
    }
}

/// A trouble that was told and has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenTrouble {
    /// The trouble.
    #[serde(flatten)]
    pub trouble: Trouble,
    /// Its beginning, in seconds since 1970.
    pub since_s: i64,
    /// When it was last mentioned to all channels.
    pub told_s: i64,
    /// The first line of its cause, without secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_stored_form() {
        let moments =
            [Moment::Missed, Moment::Recovered, Moment::Done, Moment::Digest, Moment::Test];
        let events =
            TroubleKind::ALL.map(Event::Trouble).into_iter().chain(moments.map(Event::Moment));
        for event in events {
            let stored = serde_json::to_string(&event).unwrap();
            assert_eq!(stored, format!("\"{}\"", event.name()));
            assert_eq!(serde_json::from_str::<Event>(&stored).unwrap(), event);
        }
        assert!(TroubleKind::ALL.is_sorted());
    }
}
