//! Goal: each event is told once, in every history. Messages, folders and servers for the other
//! tests of notifications.
//!
//! Method: histories of seeds. `DRUMLIN_SEEDS` sets how many are tried, `DRUMLIN_TEST_SEED` the
//! first of them.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::item::id_of;
use super::message::{Facts, Message};
use super::trouble::{Event, TroubleKind};
use crate::settings::notify::When;

pub(crate) mod memory;
pub(crate) mod servers;
mod simulation;

/// Returns a message about an app that failed.
pub(super) fn message() -> Message {
    let facts = Facts {
        run: Some("r1".to_owned()),
        slot_s: Some(1_799_999_000),
        seconds: Some(75),
        errors: vec!["cannot dump wiki".to_owned(), "access denied".to_owned()],
        ..Facts::default()
    };
    Message {
        id: id_of("app/wiki", 0, "failed"),
        when: When::Changed,
        event: Event::Trouble(TroubleKind::Failed),
        is_reminder: false,
        app: Some("wiki".to_owned()),
        host: "vault".to_owned(),
        target: None,
        time_s: 1_800_000_000,
        since_s: Some(1_799_999_000),
        subject: "wiki: backup failed (vault)".to_owned(),
        body: "wiki on vault: backup failed.\n\nerror: \"access\" denied\n".to_owned(),
        facts,
    }
}

/// Returns a message with a number, and a subject that names both.
pub(super) fn message_with(writer: &str, ordinal: u64, time_s: i64) -> Message {
    let (id, subject) = (id_of(writer, ordinal, "test"), format!("{writer} {ordinal}"));
    Message { id, subject, time_s, ..message() }
}

#[test]
fn every_event_is_told_once_in_every_history() {
    let (first, count) = (number("DRUMLIN_TEST_SEED", 1), number("DRUMLIN_SEEDS", 2_000));
    let mut totals = simulation::Totals::default();
    for seed in first..first + count {
        let live = AssertUnwindSafe(|| simulation::live(seed, &mut totals));
        if let Err(panic) = catch_unwind(live) {
            eprintln!("DRUMLIN_TEST_SEED={seed} DRUMLIN_SEEDS=1 shows it");
            resume_unwind(panic);
        }
    }
    eprintln!("{count} histories: {totals:?}");
    // The histories hold what the test is about.
    if count >= 1_000 {
        assert!(totals.deaths > count && totals.repeated > 0 && totals.told > 5 * count);
    }
}

/// Returns a number of the environment, or the usual one.
fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().map_or(usual, |text| text.parse().expect("it is a number"))
}
