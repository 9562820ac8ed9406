//! Inputs and outputs of retention rules.

use super::rhythm::Moment;
use super::trust::Doubt;

/// What a policy needs to know of a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatedSnapshot {
    /// When it says that it was taken, in seconds since 1970.
    pub time_s: i64,
    /// Its place in its host's chain.
    pub sequence: u64,
    /// Its tags.
    pub tags: Vec<String>,
    /// Whether it is protected.
    pub is_protected: bool,
    /// What contradicts its date.
    pub doubt: Option<Doubt>,
    /// Of what it is, as a number: those of one host, app and paths have one. No rule looks at it.
    pub source: usize,
}

impl DatedSnapshot {
    /// Returns when it was taken, and of what.
    pub fn moment(&self) -> Moment {
        Moment { source: self.source, time_s: self.time_s }
    }
}

/// Why a snapshot is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// It is protected.
    Protected,
    /// Its date cannot be right.
    Doubt(Doubt),
    /// Nobody asked for it to go.
    Unasked,
    /// It is the newest of its series.
    Newest,
    /// It is the `n`th newest, from 1.
    Last(u32),
    /// It is the newest of the `n`th last hour, day, …, from 1.
    Period(Period, u32),
    /// It is young enough.
    Within,
    /// It has the policy's tag number `n`, from 0.
    Tag(usize),
    /// It is the oldest of a span of so many seconds.
    Decay(i64),
}

/// Why a rule does not keep a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss {
    /// There are so many newer ones.
    Last(u32),
    /// There is a newer one of the same hour, day, ….
    SamePeriod(Period),
    /// There are snapshots of so many newer hours, days, ….
    Period(Period, u32),
    /// It is more than so many seconds older than the newest.
    Within(i64),
    /// It has none of the tags.
    Tags,
    /// There is an older one in the same span of so many seconds.
    SameSpan(i64),
    /// It is older than so many seconds.
    Horizon(i64),
}

/// What becomes of a snapshot: it is kept if there is a reason to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Why it is kept; nothing if it goes.
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

/// A stretch of the calendar.
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

    /// Returns the word that names its rule.
    pub fn rule(self) -> &'static str {
        ["hourly", "daily", "weekly", "monthly", "yearly"][self as usize]
    }
}
