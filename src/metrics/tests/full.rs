//! Values in which nothing is missing, with names that are hard to write.
//!
//! The tests of real servers use this file too.

use std::collections::BTreeMap;
use std::time::Duration;

use super::values::{
    App, Behind, Cost, Daemon, Drill, Dump, LastRun, Process, Repository, Requests, SourceSize,
    Status, Target, Values,
};

/// A name with everything that the text format escapes, and more.
pub(super) const HARD: &str = "a\"b\\c\nd\\n{e=\"f\"} # \r\t\u{1}\u{7f}é🗄\u{202e}";

fn map<T, const N: usize>(entries: [(&str, T); N]) -> BTreeMap<String, T> {
    entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Returns values with every metric. `now_s` is the time of the report.
pub(super) fn full(now_s: i64) -> Values {
    Values {
        process: Process {
            version: "1.2.3".to_owned(),
            gathered_s: now_s,
            daemon: Some(Daemon { started_s: now_s - 5_000, is_reload_failed: false }),
        },
        apps: map([("wiki", wiki(now_s)), (HARD, App::default()), ("", App::default())]),
        repositories: map([("box", the_box(now_s)), (HARD, Repository::default())]),
        notification_failures: map([("email", 2), ("webhook", 0), (HARD, 1)]),
    }
}

fn wiki(now_s: i64) -> App {
    App {
        is_enabled: true,
        is_running: true,
        is_overdue: false,
        max_age_s: Some(176_400),
        next_run_s: Some(now_s + 3_600),
        failures_in_a_row: 1,
        missed_runs: 2,
        runs: BTreeMap::from([(Status::Done, u64::MAX), (Status::Failed, 3)]),
        last_run: Some(LastRun {
            ended_s: now_s - 7_200,
            duration: Duration::from_millis(61_250),
            status: Status::Partial,
            read_bytes: 1_000_000,
            unread_files: 4,
        }),
        source: Some(SourceSize { bytes: 5_000_000_000, files: 12_345 }),
        targets: map([("box", target(now_s)), ("usb", Target::default())]),
        dumps: map([(
            "mariadb/wiki",
            Dump { bytes: 300_000_000, duration: Duration::from_secs(12), rows: Some(1_600_000) },
        )]),
        hook_failures: map([("before", 1), ("after", 0)]),
    }
}

fn target(now_s: i64) -> Target {
    Target {
        last_success_s: Some(now_s - 7_200),
        last_snapshot_s: Some(now_s - 7_260),
        added_bytes: Some(5_500_000),
        added_bytes_total: 123_456_789_012,
        snapshots: Some(31),
        behind: Some(Behind { snapshots: 2, since_s: now_s - 90_000 }),
        absent_allowed_s: 2_592_000,
        drill: Some(Drill {
            last_success_s: Some(now_s - 864_000),
            duration: Some(Duration::from_millis(90_500)),
            is_failed: true,
        }),
    }
}

fn the_box(now_s: i64) -> Repository {
    Repository {
        is_reachable: Some(true),
        bytes: Some(80_000_000_000),
        requests: Requests { list: 1, stat: 2, read: 3, create: 4, remove: 5 },
        uploaded_bytes: 6,
        downloaded_bytes: 7,
        last_check_s: Some(now_s - 86_400),
        damaged: 1,
        verified_ratio: Some(0.125),
        last_prune_s: Some(now_s - 172_800),
        monthly_cost: Some(Cost { currency: "EUR".to_owned(), amount: 1.84 }),
    }
}
