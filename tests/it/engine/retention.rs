//! Goal: the rules keep what they say they keep. Method: a second implementation, written from
//! `docs/retention.md` alone, slow and without sorting or counting cleverly, is compared over
//! random series and policies; `DRUMLIN_ORACLE_CASES` sets how many, `DRUMLIN_TEST_SEED` the first
//! seed.

use drumlin::retention::{DatedSnapshot, Decay, Decision, Doubt, Period, Policy, plan};
use jiff::tz::TimeZone;

const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;
const YEAR: i64 = 31_557_600;
/// 2026-03-01T00:00:00Z.
const START: i64 = 1_772_323_200;

/// Numbers that look random.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % end
    }

    fn between(&mut self, from: i64, to: i64) -> i64 {
        from + i64::try_from(self.below((to - from).unsigned_abs())).unwrap()
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(3) == 0).then(|| make(self))
    }
}

/// A series by one rhythm, with gaps, bursts, tags, protections and doubts, in no order.
fn series(dice: &mut Dice) -> Vec<DatedSnapshot> {
    let rhythms = [60, 675, 1_000, HOUR, 5 * HOUR, DAY, DAY + 61, 7 * DAY, 31 * DAY];
    let rhythm = rhythms[dice.below(rhythms.len() as u64) as usize];
    let mut time_s = START + dice.between(-30 * YEAR, 30 * YEAR);
    let mut items = Vec::new();
    for sequence in 1..=dice.below(90) {
        time_s += match dice.below(12) {
            0 => 0,
            1 => dice.between(0, 90 * DAY),
            2 => dice.between(0, 200),
            _ => rhythm + dice.between(0, rhythm / 7 + 1),
        };
        let tags = (0..3).filter(|_| dice.below(9) == 0).map(|tag| format!("t{tag}")).collect();
        let doubt = [Some(Doubt::Ahead), Some(Doubt::Behind), None][dice.below(60).min(2) as usize];
        items.push(DatedSnapshot {
            time_s,
            sequence,
            tags,
            is_protected: dice.below(25) == 0,
            doubt,
            source: 0,
        });
    }
    for at in (1..items.len()).rev() {
        items.swap(at, dice.below(at as u64 + 1) as usize);
    }
    items
}

fn policy(dice: &mut Dice) -> Policy {
    let count = |dice: &mut Dice| u32::try_from(1 + dice.below(12)).unwrap();
    Policy {
        last: dice.maybe(count),
        periods: [0; 5].map(|_| dice.maybe(count)),
        within_s: dice.maybe(|dice| dice.between(HOUR, 400 * DAY)),
        tags: dice.maybe(|dice| vec![format!("t{}", dice.below(4))]).unwrap_or_default(),
        decay: dice.maybe(|dice| Decay {
            horizon_s: dice.between(HOUR, 6 * YEAR),
            parts: u32::try_from(1 + dice.below(30)).unwrap(),
        }),
    }
}

fn zone(dice: &mut Dice) -> TimeZone {
    let names = [
        "UTC0",
        "CET-1CEST,M3.5.0,M10.5.0/3",
        "EST5EDT,M3.2.0,M11.1.0",
        "<+0545>-5:45",
        "AEST-10AEDT,M10.1.0,M4.1.0/3",
    ];
    TimeZone::posix(names[dice.below(names.len() as u64) as usize]).unwrap()
}

/// Returns what a calendar on the wall calls the hour, day, week, month or year of a moment.
fn label(period: Period, time_s: i64, zone: &TimeZone) -> String {
    let local = jiff::Timestamp::from_second(time_s).unwrap().to_zoned(zone.clone());
    let form = match period {
        // The hour that comes twice when clocks are set back has two offsets.
        Period::Hour => "%Y-%m-%d %H %z",
        Period::Day => "%Y-%m-%d",
        Period::Week => "%G week %V",
        Period::Month => "%Y-%m",
        Period::Year => "%Y",
    };
    local.strftime(form).to_string()
}

/// Returns whether a snapshot stays, by looking at each of the others.
fn stays(items: &[DatedSnapshot], at: usize, policy: &Policy, labels: &[[String; 5]]) -> bool {
    let own = &items[at];
    if own.doubt.is_some() || own.is_protected {
        return true;
    }
    let place = |at: usize| (items[at].time_s, items[at].sequence, at);
    let sure = || (0..items.len()).filter(|other| items[*other].doubt.is_none());
    let newer: Vec<usize> = sure().filter(|other| place(*other) > place(at)).collect();
    let newest_s = sure().map(|other| items[other].time_s).max().unwrap();
    let is_last = policy.last.is_some_and(|last| newer.len() < last as usize);
    let of_period = |(period, count): (Period, Option<u32>)| {
        let own = &labels[at][period as usize];
        let mut newer: Vec<&String> =
            newer.iter().map(|other| &labels[*other][period as usize]).collect();
        newer.sort();
        newer.dedup();
        count.is_some_and(|count| !newer.contains(&own) && newer.len() < count as usize)
    };
    newer.is_empty()
        || is_last
        || Period::ALL.into_iter().zip(policy.periods).any(of_period)
        || policy.within_s.is_some_and(|within_s| newest_s - own.time_s <= within_s)
        || own.tags.iter().any(|tag| policy.tags.contains(tag))
        || policy.decay.is_some_and(|decay| survives(items, at, decay, newest_s))
}

/// Decay: of each span of time that counts the oldest stays, until the whole of its longest span is
/// beyond the horizon.
fn survives(items: &[DatedSnapshot], at: usize, decay: Decay, newest_s: i64) -> bool {
    let (time_s, parts) = (items[at].time_s, i64::from(decay.parts));
    let begin = |span_s: i64| time_s.div_euclid(span_s) * span_s;
    let spans: Vec<i64> =
        (0..40).map(|n| 675 << n).filter(|span_s| span_s * parts <= decay.horizon_s).collect();
    let ends_s = spans.last().map_or(time_s, |longest_s| begin(*longest_s) + longest_s);
    if newest_s - ends_s > decay.horizon_s {
        return false;
    }
    // A span counts when all of it is so many times older than it is long, and all the shorter ones
    // in it count too.
    let counts = |span_s: &i64| newest_s - (begin(*span_s) + span_s) >= span_s * parts;
    let counting: Vec<i64> = spans.iter().copied().take_while(counts).collect();
    let Some(span_s) = counting.last().copied() else {
        return true;
    };
    let place = |at: usize| (items[at].time_s, items[at].sequence, at);
    let is_older_there = |other: usize| {
        items[other].doubt.is_none()
            && place(other) < place(at)
            && items[other].time_s >= begin(span_s)
    };
    !(0..items.len()).any(is_older_there)
}

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap())
}

#[test]
fn a_second_implementation_keeps_the_same() {
    let first = number("DRUMLIN_TEST_SEED", 1);
    let (mut decided, mut kept) = (0, 0);
    for seed in first..first + number("DRUMLIN_ORACLE_CASES", 1_500) {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let (items, policy, zone) = (series(&mut dice), policy(&mut dice), zone(&mut dice));
        let found: Vec<bool> = plan(&items, &policy, &zone).iter().map(Decision::is_kept).collect();
        let labels: Vec<_> = items
            .iter()
            .map(|item| Period::ALL.map(|period| label(period, item.time_s, &zone)))
            .collect();
        let wanted: Vec<bool> =
            (0..items.len()).map(|at| stays(&items, at, &policy, &labels)).collect();
        for at in 0..items.len() {
            assert_eq!(
                found[at], wanted[at],
                "seed {seed}: {:?} by {policy}, {zone:?}: {items:#?}",
                items[at]
            );
        }
        decided += found.len();
        kept += found.iter().filter(|kept| **kept).count();
    }
    println!("{decided} decisions, {kept} stay, from seed {first}");
    assert!(
        decided > 1_000 && kept > decided / 10 && kept < decided * 9 / 10,
        "{kept} of {decided} say little"
    );
}
