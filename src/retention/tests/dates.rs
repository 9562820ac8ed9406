//! Judgement of dates of snapshots.

use super::{DAY, HOUR, START};
use crate::retention::trust::{self, DateClaim, LATE_S, TOLERANCE_S};
use crate::retention::{DateVerdict, Doubt};

fn claim(time_s: i64, stored_s: i64, sequence: u64) -> DateClaim {
    DateClaim {
        series: 0,
        time_s,
        ended_s: time_s,
        stored_s: Some(stored_s),
        sequence,
        hash: [sequence as u8; 32],
        previous: None,
    }
}

/// Returns the doubt about each date.
fn judge(claims: &[DateClaim], now_s: i64) -> Vec<Option<Doubt>> {
    trust::judge(claims, now_s).into_iter().map(DateVerdict::doubt).collect()
}

/// Daily snapshots, stored a minute later, each naming its predecessor.
fn honest(days: i64) -> Vec<DateClaim> {
    let day = |day: i64| DateClaim {
        previous: (day > 0).then_some([day as u8; 32]),
        ..claim(START + day * DAY, START + day * DAY + 60, day as u64 + 1)
    };
    (0..days).map(day).collect()
}

#[test]
fn honest_dates_are_believed() {
    let now = START + 100 * DAY;
    assert!(judge(&honest(50), now).iter().all(Option::is_none));
    // Copied without times, in any order, and continued.
    let mut copied = honest(50);
    for (at, claim) in copied.iter_mut().enumerate() {
        claim.stored_s = Some(START + 60 * DAY + ((at as i64 * 37) % 50) * HOUR);
    }
    let last = claim(START + 63 * DAY, START + 63 * DAY + 60, 51);
    copied.push(DateClaim { previous: Some([50; 32]), ..last });
    assert_eq!(judge(&copied, now).iter().flatten().count(), 0);
    // No store times, clocks off by minutes, two at once.
    let mut plain = honest(10);
    plain.iter_mut().for_each(|claim| claim.stored_s = None);
    plain[5].time_s = plain[4].time_s - 600;
    plain[6].sequence = plain[5].sequence;
    assert!(judge(&plain, now).iter().all(Option::is_none));
    // A first backup that took ten days.
    assert_eq!(judge(&[claim(START, START + 10 * DAY, 1)], now), [None]);
}

#[test]
fn forged_dates_are_found_and_honest_ones_stay_believed() {
    let now = START + 100 * DAY;
    let mut claims = honest(50);
    let arrived = START + 49 * DAY + 2 * HOUR;
    // In the future; spread over the past; with numbers that fit their dates; in a separate chain.
    claims.push(claim(now + 400 * DAY, arrived, 51));
    claims.push(claim(arrived + 3 * DAY, arrived, 52));
    for day in 0..45 {
        claims.push(DateClaim {
            hash: [200; 32],
            ..claim(START + day * DAY + 2 * HOUR, arrived, day as u64 + 1)
        });
    }
    let doubts = judge(&claims, now);
    assert!(doubts[..50].iter().all(Option::is_none), "{doubts:?}");
    assert_eq!(&doubts[50..52], [Some(Doubt::Ahead); 2]);
    assert!(doubts[52..].iter().all(|doubt| *doubt == Some(Doubt::Behind)), "{doubts:?}");
    // Even when only one honest snapshot is left that the forged one would displace from its year.
    let two = [claim(START, START + 60, 1), claim(START + HOUR / 2, arrived, 2)];
    assert_eq!(judge(&two, now), [None, Some(Doubt::Behind)]);
    // Without the store's times: the future by the host's clock, the past by the numbers.
    claims.iter_mut().for_each(|claim| claim.stored_s = None);
    claims.truncate(54);
    claims[53].sequence = 60;
    let doubts = judge(&claims, now);
    assert_eq!((doubts[50], doubts[53]), (Some(Doubt::Ahead), Some(Doubt::Behind)));
}

#[test]
fn one_wrong_clock_is_not_the_others_fault() {
    // The host's clock was 30 days ahead for one backup; 60 days later no other snapshot is
    // suspected.
    let mut claims = honest(90);
    claims[20].time_s += 30 * DAY;
    let doubts = judge(&claims, START + 100 * DAY);
    assert_eq!(doubts.iter().flatten().count(), 1);
    assert_eq!(doubts[20], Some(Doubt::Ahead));
    assert_eq!((TOLERANCE_S, LATE_S), (HOUR, 2 * DAY), "docs/retention.md tells both");
}

#[test]
fn what_a_snapshot_puts_before_itself_was_there_before_it() {
    let now = START + 100 * DAY;
    // Three honest attempts within minutes, then one by a clock that is 400 days slow; it names its
    // predecessor.
    let mut claims: Vec<DateClaim> =
        (0..3).map(|at| claim(START + at * 300, START + at * 300 + 5, at as u64 + 1)).collect();
    claims.push(DateClaim {
        previous: Some([3; 32]),
        ..claim(START + 900 - 400 * DAY, START + 905, 4)
    });
    assert_eq!(judge(&claims, now), [None, None, None, Some(Doubt::Behind)]);
    // Later snapshots are not affected either.
    claims.push(claim(START + 1200, START + 1205, 5));
    assert_eq!(judge(&claims, now)[4], None);
    // A fast clock makes no other snapshot doubtful.
    let mut ahead = honest(10);
    ahead[4].time_s += 300 * DAY;
    ahead[4].ended_s += 300 * DAY;
    assert_eq!(judge(&ahead, now).iter().flatten().count(), 1);
}

#[test]
fn a_backup_that_takes_days_is_not_suspected() {
    let now = START + 100 * DAY;
    let long = |number: u64| DateClaim {
        ended_s: START + 13 * DAY,
        ..claim(START + 10 * DAY, START + 13 * DAY + 60, number)
    };
    // Alone in its series since the others, or while backups ran that began later and ended sooner.
    let mut claims = honest(10);
    claims.push(long(11));
    assert_eq!(judge(&claims, now).iter().flatten().count(), 0);
    let mut beside = honest(13);
    beside.push(long(14));
    assert_eq!(judge(&beside, now).iter().flatten().count(), 0);
    // It counts at its end then, because others existed after its beginning.
    assert_eq!(trust::judge(&beside, now)[13], DateVerdict::Sure(START + 13 * DAY));
    // Stating a beginning long ago gains nothing.
    beside.push(DateClaim { ended_s: START + 14 * DAY, ..claim(START, START + 14 * DAY, 15) });
    assert_eq!(trust::judge(&beside, now)[14], DateVerdict::Sure(START + 14 * DAY));
}

#[test]
fn a_mirror_is_not_suspected() {
    let now = START + 400 * DAY;
    // Copied once, thinned out before, so that few name each other, in the order of their ids, and
    // continued in place.
    let mut copied: Vec<DateClaim> = honest(60).into_iter().step_by(3).collect();
    for (at, claim) in copied.iter_mut().enumerate() {
        claim.stored_s = Some(START + 60 * DAY + (at as i64 * 7) % 20 * 300);
    }
    copied.push(claim(START + 61 * DAY, START + 61 * DAY + 60, 61));
    copied.push(claim(START + 62 * DAY, START + 62 * DAY + 60, 62));
    assert_eq!(judge(&copied, now).iter().flatten().count(), 0);
    // Copied every week, in any order: the newest of each week are nearly as old as their copies.
    let mut weekly = honest(70);
    for (at, claim) in weekly.iter_mut().enumerate() {
        claim.stored_s = Some(START + (at as i64 / 7 + 1) * 7 * DAY + (at as i64 * 5) % 7 * 60);
        claim.previous = None;
    }
    assert_eq!(judge(&weekly, now).iter().flatten().count(), 0);
}

#[test]
fn dates_at_their_limits_are_believed_and_a_second_more_is_not() {
    let now = START + 100 * DAY;
    let ahead = |by_s| judge(&[claim(now + by_s, now, 1)], now)[0];
    assert_eq!([ahead(TOLERANCE_S), ahead(TOLERANCE_S + 1)], [None, Some(Doubt::Ahead)]);
    // Earlier than one before it, in a series whose order is by numbers alone.
    let behind = |by_s| {
        let mut two = [claim(START, 0, 1), claim(START - by_s, 0, 2)];
        two.iter_mut().for_each(|claim| claim.stored_s = None);
        judge(&two, now)[1]
    };
    assert_eq!([behind(TOLERANCE_S), behind(TOLERANCE_S + 1)], [None, Some(Doubt::Behind)]);
    // Stored late, in a series whose others were stored in time.
    let late = |by_s| {
        let mut all = honest(5);
        let time_s = START + 10 * DAY;
        all.push(DateClaim { previous: Some([4; 32]), ..claim(time_s, time_s + by_s, 6) });
        judge(&all, now)[5]
    };
    assert_eq!([late(LATE_S), late(LATE_S + 1)], [None, Some(Doubt::Behind)]);
}
