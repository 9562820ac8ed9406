//! Goal: every slot is run once, or counted as missed and told, and none is run twice. Method: an
//! app lives through parts of a year in which its computer sleeps, dies before and after its state
//! is written, has a wrong clock, and gets other schedules. The slots come from the plain model;
//! the judge notes which of them were begun and which were told.
//!
//! `DRUMLIN_SEEDS` sets how many lives are tried, `DRUMLIN_TEST_SEED` the first of them.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::plain::{Plain, below, pick, slots, walk};
use super::{DAY, HOUR, MINUTE, at, number, say, spread, zone};
use crate::schedule::due::decide;
use crate::schedule::{CLOCK_MIN_S, Clock, Due, FirstRun, Habits, Past, Schedule, due, parse};

/// Zones and years: see `walk.rs`. In these six, clocks change in every way.
const PLACES: usize = 6;
/// Schedules for each place.
const SCHEDULES: u64 = 24;
/// Time before and after the year that clocks may show.
const MARGIN_S: i64 = 25 * DAY;
/// Longest rest of a schedule, so that there is a slot before each time.
const REST_MAX_S: i64 = 40 * DAY;
const SEEDS: u64 = 3_000;
/// Looks of the daemon in one life.
const LOOKS: u64 = 80;

/// A zone, and schedules with their slots by the plain model.
struct Place {
    name: &'static str,
    start_s: i64,
    end_s: i64,
    schedules: Vec<Planned>,
}

struct Planned {
    texts: Vec<String>,
    schedule: Schedule,
    slots: Vec<i64>,
}

impl Place {
    fn new(name: &'static str, year: i64) -> Self {
        let [start_s, end_s] = [year, year + 1].map(|year| at(&format!("{year}-01-01T00:00Z")));
        let minutes = walk(&zone(name), start_s - MARGIN_S - REST_MAX_S, end_s + MARGIN_S);
        let planned = |seed| {
            let mut random = SmallRng::seed_from_u64(seed);
            let lines: Vec<Plain> = (0..random.random_range(1..3))
                .map(|_| Plain::random(&mut random, &spread()))
                .collect();
            let texts: Vec<String> = lines.iter().map(|line| line.text.clone()).collect();
            let schedule = parse(&texts, zone(name), &spread()).expect("it is right");
            Planned { texts, schedule, slots: slots(&lines, &minutes) }
        };
        let is_frequent = |planned: &Planned| {
            let is_there = planned.slots.first().is_some_and(|s| *s < start_s - MARGIN_S);
            is_there && planned.schedule.interval_s().is_some_and(|s| s < REST_MAX_S)
        };
        let schedules = (1..).map(planned).filter(is_frequent).take(SCHEDULES as usize).collect();
        Self { name, start_s, end_s, schedules }
    }
}

/// Counts of what happened, so that a campaign in which nothing happens is noticed.
type Tally = BTreeMap<&'static str, u64>;

#[test]
fn every_slot_is_run_once_or_told_and_never_run_twice() {
    let (first, count) = (number("DRUMLIN_TEST_SEED", 1), number("DRUMLIN_SEEDS", SEEDS));
    let places: Vec<Place> =
        super::walk::YEARS[..PLACES].iter().map(|(name, year)| Place::new(name, *year)).collect();
    let mut tally = Tally::new();
    for seed in first..first + count {
        Life::new(&places, seed).live(&mut tally);
    }
    say(&format!("{count} lives: {tally:?}"));
    let expected = [
        "begun",
        "missed",
        "died",
        "died before",
        "set back",
        "slightly set back",
        "reloaded",
        "too late",
        "wrong clock",
        "first",
        "waited",
    ];
    for what in expected.iter().filter(|_| count >= 500) {
        assert!(tally.contains_key(what), "`{what}` never happened: {tally:?}");
    }
}

/// The life of an app: what its disk holds, and what the judge knows.
struct Life<'a> {
    place: &'a Place,
    seed: u64,
    random: SmallRng,
    planned: &'a Planned,
    habits: Habits,
    /// True time, and by how much the clock is wrong.
    true_s: i64,
    wrong_s: i64,
    /// The state file; each write is whole or did not happen.
    disk: Past,
    judge: Judge,
}

/// What an observer with a list of slots has seen since the clock was last set back by more than a
/// day.
#[derive(Default)]
struct Judge {
    begun: BTreeSet<i64>,
    /// All slots up to here are settled in some way.
    settled_s: Option<i64>,
    /// Slots of the schedule in force are accounted for up to here.
    accounted_s: i64,
    /// The schedule is in force since then, by the clock of that time.
    since_s: i64,
}

impl<'a> Life<'a> {
    fn new(places: &'a [Place], seed: u64) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        let place = &places[random.random_range(0..places.len())];
        let planned = &place.schedules[random.random_range(0..place.schedules.len())];
        let first_run = pick(&mut random, [FirstRun::Now, FirstRun::Now, FirstRun::Scheduled]);
        let catch_up_s = pick(&mut random, [None, None, Some(0), Some(HOUR), Some(DAY)]);
        let mut true_s = place.start_s + below(&mut random, place.end_s - place.start_s);
        // Many lives begin shortly before a change of the clock.
        let start = jiff::Timestamp::from_second(true_s).expect("a year of this century");
        if let Some(change) =
            zone(place.name).following(start).next().filter(|_| !seed.is_multiple_of(3))
            && change.timestamp().as_second() < place.end_s
        {
            true_s = change.timestamp().as_second() - below(&mut random, 2 * DAY);
        }
        let disk = Past { settled_s: None, since_s: Some(true_s) };
        let judge = Judge { since_s: true_s, ..Judge::default() };
        let habits = Habits { first_run, catch_up_s };
        Self { place, seed, random, planned, habits, true_s, wrong_s: 0, disk, judge }
    }

    fn live(mut self, tally: &mut Tally) {
        let pace_s = pick(&mut self.random, [5 * MINUTE, HOUR, 6 * HOUR, DAY, 4 * DAY]);
        for _ in 0..LOOKS {
            self.true_s += match self.random.random_range(0..10) {
                0 => 30,
                1 => 20 * below(&mut self.random, pace_s),
                2 => self.seconds_to_next_slot(),
                _ => 1 + below(&mut self.random, pace_s),
            };
            if self.random.random_range(0..12) == 0 {
                self.set_clock();
            }
            if self.random.random_range(0..25) == 0 {
                self.reload(tally);
            }
            let range = self.place.start_s - MARGIN_S..self.place.end_s + MARGIN_S;
            if !range.contains(&self.true_s) {
                return;
            }
            if !range.contains(&self.clock_s()) {
                self.wrong_s = 0;
            }
            self.look(tally);
        }
    }

    fn clock_s(&self) -> i64 {
        self.true_s + self.wrong_s
    }

    /// Slots are due in the very second in which they come.
    fn seconds_to_next_slot(&self) -> i64 {
        let at = self.planned.slots.partition_point(|slot_s| *slot_s <= self.clock_s());
        self.planned.slots.get(at).map_or(0, |slot_s| (slot_s - self.clock_s()).min(30 * DAY))
    }

    fn set_clock(&mut self) {
        let far_s = pick(&mut self.random, [MINUTE, 2 * HOUR, DAY, 3 * DAY, 20 * DAY]);
        let step_s = below(&mut self.random, 2 * far_s) - far_s;
        self.wrong_s = pick(&mut self.random, [0, self.wrong_s + step_s, self.wrong_s + step_s]);
    }

    fn reload(&mut self, tally: &mut Tally) {
        let schedules = &self.place.schedules;
        self.planned = &schedules[self.random.random_range(0..schedules.len())];
        self.disk.since_s = Some(self.clock_s());
        self.judge.since_s = self.clock_s();
        self.judge.accounted_s = self.judge.settled_s.unwrap_or(0);
        *tally.entry("reloaded").or_default() += 1;
    }

    /// The daemon looks at the clock, and dies now and then.
    fn look(&mut self, tally: &mut Tally) {
        let mut note = |what| *tally.entry(what).or_default() += 1;
        if self.random.random_range(0..40) == 0 {
            let early_s = below(&mut self.random, CLOCK_MIN_S);
            let due = due(early_s, &self.planned.schedule, &self.disk, &self.habits);
            assert_eq!((due.run_s, due.settled_s), (None, self.disk.settled_s));
            assert_eq!(due.clock, Clock::Wrong);
            note("wrong clock");
        }
        let now_s = self.clock_s();
        let due = decide(now_s, &self.planned.schedule, &self.disk, &self.habits);
        if self.random.random_range(0..10) == 0 {
            // It dies before the state is written: nobody knows that it looked.
            return note("died before");
        }
        let is_new = self.disk.settled_s.is_none();
        self.disk.settled_s = due.settled_s;
        let verdict = self.judge.hear(now_s, is_new, &due, &self.habits, self.planned);
        match verdict {
            Ok(happened) => happened.into_iter().for_each(&mut note),
            Err(wrong) => panic!(
                "{wrong}\nat {now_s}: {due:?}, {:?}, {:?} in {}\n\
                 DRUMLIN_TEST_SEED={} DRUMLIN_SEEDS=1 repeats it",
                self.habits, self.planned.texts, self.place.name, self.seed
            ),
        }
        if due.run_s.is_some() && self.random.random_range(0..10) == 0 {
            // It dies in the run: the slot has begun, and the next start says so.
            note("died");
        }
    }
}

impl Judge {
    /// Notes a decision that was written, and returns what happened, or what is wrong.
    fn hear(
        &mut self,
        now_s: i64,
        is_new: bool,
        due: &Due,
        habits: &Habits,
        planned: &Planned,
    ) -> Result<Vec<&'static str>, String> {
        let slots = &planned.slots;
        let newest_s = slots[slots.partition_point(|slot_s| *slot_s <= now_s) - 1];
        let ahead_s = self.settled_s.map_or(0, |before_s| before_s - now_s);
        if ahead_s > DAY {
            let is_said = due.clock == Clock::SetBack { by_s: ahead_s };
            ensure(is_said && due.run_s.is_none(), "it was set back by more than a day")?;
            self.begun.retain(|slot_s| *slot_s <= now_s);
            (self.settled_s, self.accounted_s) = (Some(now_s), now_s);
            return Ok(vec!["set back"]);
        }
        ensure(due.clock == Clock::Plausible, "it was not set back")?;
        // What was changed in the future was changed at an unknown time.
        let since_s = if self.since_s > now_s { 0 } else { self.since_s };
        let from_s = self.accounted_s.max(since_s);
        let first = slots.partition_point(|slot_s| *slot_s <= from_s);
        let owed: Vec<i64> =
            slots[first..].iter().copied().take_while(|slot_s| *slot_s <= now_s).collect();
        let is_late = habits.catch_up_s.is_some_and(|max_s| now_s - newest_s > max_s);
        let mut happened = Vec::new();
        if ahead_s > 0 {
            happened.push("slightly set back");
        }
        match due.run_s {
            Some(run_s) => {
                ensure(run_s == newest_s, "it is not the newest slot")?;
                ensure(self.begun.insert(run_s), "it was begun before")?;
                ensure(!is_late || is_new, "it is too late")?;
                let is_older = self.settled_s.is_none_or(|before_s| before_s < run_s);
                ensure(is_older, "it was told before, or is older than one that was")?;
                happened.push(if is_new { "first" } else { "begun" });
            }
            None => {
                let is_excused = owed.is_empty() || is_late || is_new;
                ensure(is_excused, "a slot is due and was not run")?;
                let waits = habits.first_run == FirstRun::Scheduled;
                ensure(!is_new || waits, "a new app is due at once")?;
                happened.extend((!owed.is_empty() && is_late).then_some("too late"));
                happened.extend(is_new.then_some("waited"));
            }
        }
        // A new app owes nothing: its first slot is the first run.
        let told = owed.iter().filter(|slot_s| Some(**slot_s) != due.run_s && !is_new).count();
        let is_told = due.missed.slots == told as u64 && due.missed.is_exact;
        ensure(is_told, &format!("{told} slots are missed"))?;
        happened.extend((told > 0).then_some("missed"));
        self.accounted_s = self.accounted_s.max(now_s);
        self.settled_s = self.settled_s.max(Some(newest_s));
        Ok(happened)
    }
}

fn ensure(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.to_owned()) }
}
