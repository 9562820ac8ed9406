//! State machine of what was said.
//!
//! It is pure: the same memory, event and time give the same message. Callers may report a trouble
//! as often as they look at it; only its beginning and its end are told. One step gives at most one
//! message, whatever ended and began with it.

use serde::{Deserialize, Serialize};

use super::clean;
use super::message::Facts;
use super::trouble::{Event, Moment, OpenTrouble, Trouble, TroubleKind};
use crate::settings::notify::When;

/// Most open troubles that are remembered. Settings name fewer targets than that.
const OPEN_MAX: usize = 256;
/// Most bytes of a remembered cause.
const WHY_MAX_BYTES: usize = 300;

/// The memory of a writer: what was said. It is part of the state that the writer stores whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Told {
    /// Number of the next message.
    pub next: u64,
    /// Troubles that were told and have not ended.
    pub open: Vec<OpenTrouble>,
    /// The last run that was reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run: Option<String>,
    /// The last slot that was reported as missed, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_missed_s: Option<i64>,
    /// The last slot of a digest, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_digest_s: Option<i64>,
}

/// An event as the caller reports it.
#[derive(Clone, Debug)]
pub struct Happening {
    /// The event.
    pub what: Happened,
    /// Its details.
    pub facts: Facts,
}

/// The kinds of event that a caller reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    /// Nothing: only reminders may be due.
    Look,
    /// A run ended. Attempts that will be repeated are not reported.
    RunEnded {
        /// Id of the run; a second report of it is ignored.
        run: String,
        /// How it ended.
        outcome: Outcome,
    },
    /// A trouble exists.
    Holds {
        /// The trouble.
        trouble: Trouble,
        /// Its beginning, in seconds since 1970.
        since_s: i64,
    },
    /// A trouble does not exist, or no longer.
    Ended(Trouble),
    /// Slots passed without a run, up to this one, in seconds since 1970.
    Missed(i64),
    /// A digest is due. Its slot, in seconds since 1970.
    Digest(i64),
    /// Several of these that were seen at once: one message tells them, the gravest first. A missed
    /// slot and a digest are told by messages of their own.
    Together(Vec<Happened>),
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A complete snapshot exists, maybe an older one that is still right.
    Good,
    /// A snapshot exists, but lacks files.
    Partial,
    /// There is none, and the slot was given up.
    Failed,
}

/// The rules of a writer.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Name of the writer, of which no other has the same state.
    pub writer: String,
    /// The app that messages are about, if the writer has one.
    pub app: Option<String>,
    /// Names of repositories and channels. Troubles of others are forgotten: their targets were
    /// removed from the settings.
    pub targets: Vec<String>,
    /// Interval of reminders in seconds; none are sent if it is missing.
    pub remind_s: Option<i64>,
    /// Whether nothing is said.
    pub is_muted: bool,
}

/// The result of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The message to prepare before the state is written.
    pub notice: Option<Notice>,
    /// The new memory.
    pub told: Told,
}

/// A message without its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Name of the writer.
    pub writer: String,
    /// Its number among those of the writer.
    pub ordinal: u64,
    /// The least that a channel must want to get it.
    pub when: When,
    /// What it is about.
    pub event: Event,
    /// Whether it repeats what was said before.
    pub is_reminder: bool,
    /// The app, if it is about one.
    pub app: Option<String>,
    /// The repository or channel, if it is about one.
    pub target: Option<String>,
    /// When it was decided, in seconds since 1970.
    pub time_s: i64,
    /// Beginning of the trouble, or the slot, in seconds since 1970.
    pub since_s: Option<i64>,
    /// Troubles that ended.
    pub ended: Vec<OpenTrouble>,
    /// Troubles that last, without the one that it is about.
    pub open: Vec<OpenTrouble>,
    /// Details.
    pub facts: Facts,
}

/// Returns the message for an event, if there is one, and the memory after it.
///
/// A clock that was set back makes a reminder late by at most one interval; one that was set
/// forward makes it early. Neither repeats or loses an event.
pub fn step(told: &Told, happening: &Happening, rules: &Rules, now_s: i64) -> Step {
    let mut told = told.clone();
    told.tidy(rules, now_s);
    let change = told.apply(&happening.what, &happening.facts, now_s);
    if rules.is_muted {
        // Once it is no longer muted, the app tells what is wrong then.
        told.open.clear();
        return Step { notice: None, told };
    }
    let Some(subject) = choose(&told, &change, rules, now_s) else {
        return Step { notice: None, told };
    };
    let ordinal = told.next;
    told.next = told.next.saturating_add(1);
    if subject.when == When::Changed {
        // Every channel gets it, and it lists all that is open.
        told.open.iter_mut().for_each(|open| open.told_s = now_s);
    }
    let is_other = |open: &&OpenTrouble| {
        subject.event != Event::Trouble(open.trouble.kind) || subject.target != open.trouble.target
    };
    let notice = Notice {
        writer: rules.writer.clone(),
        ordinal,
        when: subject.when,
        event: subject.event,
        is_reminder: subject.is_reminder,
        app: rules.app.clone(),
        target: subject.target.clone(),
        time_s: now_s,
        since_s: subject.since_s,
        ended: change.ended,
        open: told.open.iter().filter(is_other).cloned().collect(),
        facts: happening.facts.clone(),
    };
    Step { notice: Some(notice), told }
}

/// What an event changed.
#[derive(Default)]
struct Change {
    begun: Vec<OpenTrouble>,
    /// A trouble that a run showed again.
    again: Option<OpenTrouble>,
    ended: Vec<OpenTrouble>,
    moment: Option<Moment>,
    /// Slot of the moment.
    slot_s: Option<i64>,
}

impl Change {
    fn add(&mut self, mut other: Self) {
        self.begun.append(&mut other.begun);
        self.again = self.again.take().or(other.again);
        self.ended.append(&mut other.ended);
        if self.moment.is_none() {
            (self.moment, self.slot_s) = (other.moment, other.slot_s);
        }
    }
}

impl Told {
    /// Forgets targets that were removed, and brings times that a clock made later than now back.
    fn tidy(&mut self, rules: &Rules, now_s: i64) {
        self.open.truncate(OPEN_MAX);
        self.open.retain(|open| {
            open.trouble.target.as_ref().is_none_or(|target| rules.targets.contains(target))
        });
        for open in &mut self.open {
            open.told_s = open.told_s.min(now_s);
            open.since_s = open.since_s.min(now_s);
        }
    }

    fn apply(&mut self, what: &Happened, facts: &Facts, now_s: i64) -> Change {
        let mut change = Change::default();
        let why = facts.errors.first().map(|why| clean::line(why, WHY_MAX_BYTES));
        let begin = |trouble: Trouble, since_s: i64| OpenTrouble {
            trouble,
            since_s: since_s.min(now_s),
            told_s: now_s,
            why: why.clone(),
        };
        match what {
            Happened::Look => {}
            Happened::Together(all) => {
                for one in all {
                    change.add(self.apply(one, facts, now_s));
                }
            }
            Happened::RunEnded { run, outcome } if self.last_run.as_ref() != Some(run) => {
                self.last_run = Some(run.clone());
                let since_s = facts.started_s.unwrap_or(now_s);
                let trouble = |kind| begin(Trouble::of_app(kind), since_s);
                match outcome {
                    Outcome::Good => change.moment = Some(Moment::Done),
                    Outcome::Partial => self.begin(trouble(TroubleKind::Partial), &mut change),
                    Outcome::Failed => self.begin(trouble(TroubleKind::Failed), &mut change),
                }
                let ends = ended_by(*outcome);
                self.end(&mut change, |open| open.target.is_none() && ends.contains(&open.kind));
            }
            Happened::Holds { trouble, since_s } => {
                self.begin(begin(trouble.clone(), *since_s), &mut change);
                // Looking at it is no run that showed it again.
                change.again = None;
            }
            Happened::Ended(trouble) => self.end(&mut change, |open| open == trouble),
            Happened::Missed(slot_s) if self.last_missed_s != Some(*slot_s) => {
                self.last_missed_s = Some(*slot_s);
                change.moment = Some(Moment::Missed);
                change.slot_s = Some(*slot_s);
            }
            Happened::Digest(slot_s) if self.last_digest_s != Some(*slot_s) => {
                self.last_digest_s = Some(*slot_s);
                change.moment = Some(Moment::Digest);
                change.slot_s = Some(*slot_s);
            }
            Happened::RunEnded { .. } | Happened::Missed(_) | Happened::Digest(_) => {}
        }
        change
    }

    fn begin(&mut self, new: OpenTrouble, change: &mut Change) {
        if let Some(open) = self.open.iter_mut().find(|open| open.trouble == new.trouble) {
            open.why = new.why.or(open.why.take());
            change.again = Some(open.clone());
        } else if self.open.len() < OPEN_MAX {
            change.begun.push(new.clone());
            self.open.push(new);
            self.open.sort_by(|a, b| a.trouble.cmp(&b.trouble));
        }
    }

    fn end(&mut self, change: &mut Change, is_ended: impl Fn(&Trouble) -> bool) {
        let ended = self.open.extract_if(.., |open| is_ended(&open.trouble));
        change.ended.extend(ended);
    }
}

/// Returns the troubles of an app that a run ends.
///
/// A partial snapshot is not good, so it does not end that the app is overdue.
fn ended_by(outcome: Outcome) -> &'static [TroubleKind] {
    match outcome {
        Outcome::Good => &[TroubleKind::Failed, TroubleKind::Partial, TroubleKind::Overdue],
        Outcome::Partial => &[TroubleKind::Failed],
        Outcome::Failed => &[],
    }
}

/// What a message is about, and for whom.
struct Subject {
    event: Event,
    target: Option<String>,
    since_s: Option<i64>,
    when: When,
    is_reminder: bool,
}

impl Subject {
    fn of_moment(moment: Moment, when: When, since_s: Option<i64>) -> Self {
        Self { event: Event::Moment(moment), target: None, since_s, when, is_reminder: false }
    }

    fn of_trouble(open: &OpenTrouble, when: When, is_reminder: bool) -> Self {
        Self {
            event: Event::Trouble(open.trouble.kind),
            target: open.trouble.target.clone(),
            since_s: Some(open.since_s),
            when,
            is_reminder,
        }
    }
}

/// Returns what is said about a change: one thing, the most important.
fn choose(told: &Told, change: &Change, rules: &Rules, now_s: i64) -> Option<Subject> {
    if let Some(begun) = change.begun.iter().min_by_key(|begun| &begun.trouble) {
        return Some(Subject::of_trouble(begun, When::Changed, false));
    }
    if let Some(first) = change.ended.iter().min_by_key(|ended| &ended.trouble) {
        let mut subject = Subject::of_moment(Moment::Recovered, When::Changed, Some(first.since_s));
        subject.target = first.trouble.target.clone();
        return Some(subject);
    }
    if let Some(moment @ (Moment::Missed | Moment::Digest)) = change.moment {
        return Some(Subject::of_moment(moment, When::Changed, change.slot_s));
    }
    if let Some(open) = due_reminder(told, change, rules, now_s) {
        return Some(Subject::of_trouble(open, When::Changed, true));
    }
    if let Some(again) = &change.again {
        let is_failed = again.trouble.kind == TroubleKind::Failed;
        let when = if is_failed { When::Failed } else { When::Always };
        return Some(Subject::of_trouble(again, when, true));
    }
    change.moment.map(|moment| Subject::of_moment(moment, When::Always, None))
}

/// Returns the gravest open trouble if a reminder is due. One message reminds of all.
fn due_reminder<'a>(
    told: &'a Told,
    change: &Change,
    rules: &Rules,
    now_s: i64,
) -> Option<&'a OpenTrouble> {
    let interval_s = rules.remind_s?.max(1);
    // A daily run that fails comes a little before the daily reminder: it takes its place, so that
    // nobody gets both.
    let wait_s = if change.again.is_some() { interval_s - interval_s / 8 } else { interval_s };
    let is_due = |open: &OpenTrouble| now_s.saturating_sub(open.told_s) >= wait_s;
    let shown = change.again.as_ref().map(|again| &again.trouble);
    told.open
        .iter()
        .any(is_due)
        .then(|| told.open.iter().find(|open| Some(&open.trouble) == shown).or(told.open.first()))
        .flatten()
}

#[cfg(test)]
mod tests;
