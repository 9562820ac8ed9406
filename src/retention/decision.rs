//! Inputs and outputs of retention rules.

use super::rhythm::Moment;
use super::trust::Doubt;

/// The facts about a snapshot on which a policy decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatedSnapshot {
    /// Its stated time, in seconds since 1970.
    pub time_s: i64,
    /// Its number in its host's chain.
    pub sequence: u64,
    /// Its tags.
    pub tags: Vec<String>,
    /// Whether it is protected.
    pub is_protected: bool,
    /// Why its date is not trusted.
    pub doubt: Option<Doubt>,
    /// Number of its source: one host, app and set of paths. No rule uses it.
    pub source: usize,
}

impl DatedSnapshot {
    /// Returns its time and source.
    pub fn moment(&self) -> Moment {
        Moment { source: self.source, time_s: self.time_s }
    }
}

/// Why a snapshot is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// It is protected.
    Protected,
    /// Its date is not trusted.
    Doubt(Doubt),
    /// Other snapshots were named.
    Unasked,
    /// It is the newest of its series.
    Newest,
    /// It is the `n`th newest, from 1.
    Last(u32),
    /// It is the newest of the `n`th last hour, day, …, from 1.
    Period(Period, u32),
    /// It is recent enough.
    Within,
    /// It has the policy's tag number `n`, from 0.
    Tag(usize),
    /// It is the oldest of a span of this many seconds.
    Decay(i64),
}

/// Why a rule does not keep a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss {
    /// There are this many newer ones.
    Last(u32),
    /// There is a newer one of the same hour, day, ….
    SamePeriod(Period),
    /// There are snapshots of this many newer hours, days, ….
    Period(Period, u32),
    /// It is more than this many seconds older than the newest.
    Within(i64),
    /// It has none of the tags.
    Tags,
    /// There is an older one in the same span of this many seconds.
    SameSpan(i64),
    /// It is older than this many seconds.
    Horizon(i64),
}

/// The decision about a snapshot: it is kept if there is a reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Why it is kept; empty if it goes.
    pub keeps: Vec<Keep>,
    /// Why each of the policy's rules does not keep it.
    pub misses: Vec<Miss>,
}

impl Decision {
    /// Returns the decision about a snapshot that stays because others were named.
    pub fn unasked() -> Self {
        Self { keeps: vec![Keep::Unasked], misses: Vec::new() }
    }

    /// Returns whether the snapshot stays.
    pub fn is_kept(&self) -> bool {
        !self.keeps.is_empty()
    }
}

/// A calendar period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A week from Monday to Sunday.
    Week,
    /// A month.
    Month,
    /// A year.
    Year,
}

impl Period {
    /// All of them, shortest first.
    pub const ALL: [Self; 5] = [Self::Hour, Self::Day, Self::Week, Self::Month, Self::Year];

    /// Returns its noun.
    pub fn noun(self) -> &'static str {
        ["hour", "day", "week", "month", "year"][self as usize]
    }

    /// Returns the name of its rule.
    pub fn rule(self) -> &'static str {
        ["hourly", "daily", "weekly", "monthly", "yearly"][self as usize]
    }
}
