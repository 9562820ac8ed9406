//! Goal: what the program says and gives back is what stood on the disk, whatever was done to the
//! files, snapshot after snapshot.
//!
//! Method: random histories. A history is a few rounds of operations on a folder (`world`), a
//! backup with random options, and some checks of its results against a plain model: all names with
//! their bytes and attributes, as the system told them (`disk`), less what the options leave out by
//! a second implementation of their few forms (`rules`). The real program runs, and its JSON is
//! read; nothing of it is used to find out what it should say.
//!
//! `DRUMLIN_ORACLE_HISTORIES` sets how many histories there are, `DRUMLIN_TEST_SEED` plays one of
//! them again and tells what happens in it. `make oracle-long` plays 10,000, `make mutants` sees
//! that faults of many kinds are found.

mod archive; // `restore --to-tar`, `--to-zip`
mod changes; // `diff`
mod collect; // `forget`, `prune`, `check`
mod dice; // seeded random numbers
mod disk; // names and content on the disk
mod history; // one history
mod listing; // `ls -R`
mod mounted; // `mount`
mod mutants; // the list of `make mutants`
mod names; // names, sizes and times of files
mod restore_empty; // `restore` into an empty folder
mod restore_over; // `restore` over existing files
mod rules; // exclude options
mod sums; // sums of reports, `du`, `stats`
mod versions; // `find`, `history`
mod world; // operations on the source

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

/// Histories of one run in CI, all parts together.
const HISTORIES: u64 = 80;
/// Tests that share them, so that they run beside each other.
const PARTS: u64 = 4;
/// Differences after which a part stops.
const ENOUGH: usize = 5;

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|error| panic!("{name}={text}: {error}")))
}

/// Plays the histories of one part; fails with the seeds of those in which something differs.
fn play(part: u64) {
    if let Some(seed) = number("DRUMLIN_TEST_SEED") {
        if seed % PARTS == part {
            history::play(seed, true);
        }
        return;
    }
    let all = number("DRUMLIN_ORACLE_HISTORIES").unwrap_or(HISTORIES);
    let (mut failed, mut sums) = (Vec::new(), history::Sums::default());
    for seed in (1..=all).filter(|seed| seed % PARTS == part) {
        match catch_unwind(AssertUnwindSafe(|| history::play(seed, false))) {
            Ok(done) => sums.add(done),
            Err(_) => failed.push(seed),
        }
        if failed.len() == ENOUGH {
            break;
        }
    }
    println!("{sums:?}");
    assert!(
        failed.is_empty(),
        "differences in the histories {failed:?}: DRUMLIN_TEST_SEED={} plays one again",
        failed[0]
    );
    assert!(thread::panicking() || sums.are_many(), "{sums:?} say little");
}

#[test]
fn every_fourth_history() {
    play(0);
}

#[test]
fn every_fourth_history_and_one() {
    play(1);
}

#[test]
fn every_fourth_history_and_two() {
    play(2);
}

#[test]
fn every_fourth_history_and_three() {
    play(3);
}
