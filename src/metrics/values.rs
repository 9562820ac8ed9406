//! Values of metrics, as plain structs.
//!
//! Whatever has a name is in a map, so no series can be there twice and the order is always the
//! same. All times are seconds since 1970 by the clock of the machine that reports.
//!
//! Counters go on through the ends of processes: they are kept in the state folder. A counter is
//! there with 0 before it counts anything (each hook and each channel that is configured), because
//! Prometheus does not see the first step of a series that begins with 1.

use std::collections::BTreeMap;
use std::time::Duration;

/// Everything that is reported.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Values {
    /// The program itself.
    pub process: Process,
    /// Apps by name.
    pub apps: BTreeMap<String, App>,
    /// Repositories by name.
    pub repositories: BTreeMap<String, Repository>,
    /// Messages that could not be delivered, each try counted, by channel (`email`, `webhook`, …).
    pub notification_failures: BTreeMap<String, u64>,
}

impl Values {
    /// Returns one app with the repositories that it uses, which is the content of a group of a
    /// Pushgateway. An unknown app has none of both.
    ///
    /// The daemon is left out: a group is written when a run has ended, and its age says nothing
    /// about the daemon.
    #[must_use]
    pub fn of_app(&self, name: &str) -> Self {
        let mut part = self.clone();
        part.process.daemon = None;
        part.apps.retain(|app, _| app == name);
        let targets = part.apps.get(name).map(|app| &app.targets);
        part.repositories.retain(|repository, _| {
            targets.is_some_and(|targets| targets.contains_key(repository))
        });
        part
    }
}

/// The program that reports.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Process {
    /// Version of the program.
    pub version: String,
    /// When the values were gathered. A daemon gathers them in the loop that starts runs, not when
    /// it is asked, so that an old time shows that the loop hangs.
    pub gathered_s: i64,
    /// The daemon, if it reports. A single run leaves it out: nobody expects that one to live on.
    pub daemon: Option<Daemon>,
}

/// A running daemon.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Daemon {
    /// When it was started.
    pub started_s: i64,
    /// Whether the configuration on disk is broken, so that an older one is in force.
    pub is_reload_failed: bool,
}

/// An app.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct App {
    /// Whether it is enabled. Alerts ignore an app that is not.
    pub is_enabled: bool,
    /// Whether a run is under way.
    pub is_running: bool,
    /// Whether its newest good snapshot is older than `max_age_s`, or it is that old without one.
    pub is_overdue: bool,
    /// Largest age of the newest good snapshot; `None` if nothing is scheduled or demanded.
    pub max_age_s: Option<u64>,
    /// When the next run is due; `None` if nothing is scheduled.
    pub next_run_s: Option<i64>,
    /// Slots given up since the last good run. Tries within a slot are not counted.
    pub failures_in_a_row: u64,
    /// Slots that passed without a run.
    pub missed_runs: u64,
    /// Runs by status; a status that is not there counts as 0.
    pub runs: BTreeMap<Status, u64>,
    /// The last run that ended; `None` before the first.
    pub last_run: Option<LastRun>,
    /// Size of the source by the newest snapshot; `None` before the first.
    pub source: Option<SourceSize>,
    /// Repositories of the app by name.
    pub targets: BTreeMap<String, Target>,
    /// Dumps of the last run that made any, by the name of their source.
    pub dumps: BTreeMap<String, Dump>,
    /// Failures of hooks by event (`before`, `after`, …).
    pub hook_failures: BTreeMap<String, u64>,
}

/// Outcome of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// A snapshot was made.
    Done,
    /// Nothing had changed, so the last snapshot still describes everything.
    Unchanged,
    /// A snapshot was made, and some files are missing in it.
    Partial,
    /// No snapshot was made.
    Failed,
    /// A hook asked to try later.
    Skipped,
    /// The time passed without a run.
    Missed,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Done, Self::Unchanged, Self::Partial, Self::Failed, Self::Skipped, Self::Missed];

    /// Returns the name that labels and JSON use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Unchanged => "unchanged",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Missed => "missed",
        }
    }
}

/// A run that ended.
#[derive(Clone, Debug, PartialEq)]
pub struct LastRun {
    /// When it ended.
    pub ended_s: i64,
    /// How long it took.
    pub duration: Duration,
    /// How it ended.
    pub status: Status,
    /// Bytes read from the source; those of unchanged files are not read.
    pub read_bytes: u64,
    /// Files that could not be read.
    pub unread_files: u64,
}

/// Size of an app's source.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SourceSize {
    /// Bytes of all files and dumps.
    pub bytes: u64,
    /// Number of files and dumps.
    pub files: u64,
}

/// A repository of an app.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Target {
    /// When it was last confirmed that the newest state is there, by a run without changes too;
    /// `None` if never.
    pub last_success_s: Option<i64>,
    /// Time of the newest snapshot there; `None` if there is none.
    pub last_snapshot_s: Option<i64>,
    /// Bytes that the last run stored there; `None` before the first.
    pub added_bytes: Option<u64>,
    /// Bytes that all runs stored there.
    pub added_bytes_total: u64,
    /// Number of the app's snapshots there; `None` if it was never seen.
    pub snapshots: Option<u64>,
    /// What it lacks; `None` if it has everything.
    pub behind: Option<Behind>,
    /// How long the repository may be away (`absent`).
    pub absent_allowed_s: u64,
    /// Drills of the app from there; `None` if none are configured.
    pub drill: Option<Drill>,
}

/// The lag of a target.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Behind {
    /// Snapshots that it lacks.
    pub snapshots: u64,
    /// Since when.
    pub since_s: i64,
}

/// Drills of an app from one repository.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drill {
    /// When a drill last proved that the app can be restored; `None` if never.
    pub last_success_s: Option<i64>,
    /// How long the last drill took that ended, which is the time to expect of a restore.
    pub duration: Option<Duration>,
    /// Whether the last drill found a difference or could not be tried.
    pub is_failed: bool,
}

/// A dump.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dump {
    /// Its size.
    pub bytes: u64,
    /// How long it took.
    pub duration: Duration,
    /// Rows in it; `None` if it is no table of rows.
    pub rows: Option<u64>,
}

/// A repository.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Repository {
    /// Whether it answered when it was last asked; `None` if it never was.
    pub is_reachable: Option<bool>,
    /// Bytes that it holds; `None` if unknown.
    pub bytes: Option<u64>,
    /// Requests to its store.
    pub requests: Requests,
    /// Bytes sent to its store.
    pub uploaded_bytes: u64,
    /// Bytes read from its store.
    pub downloaded_bytes: u64,
    /// When a check last ended, whatever it found; `None` if never.
    pub last_check_s: Option<i64>,
    /// Objects known to be damaged or missing.
    pub damaged: u64,
    /// Share of the stored bytes that checks have read and found right, between 0 and 1; `None` if
    /// unknown.
    pub verified_ratio: Option<f64>,
    /// When a prune last ended; `None` if never.
    pub last_prune_s: Option<i64>,
    /// Estimated cost of one month; `None` if prices are unknown.
    pub monthly_cost: Option<Cost>,
}

/// Requests to a store by operation, failed and repeated ones included.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Requests {
    /// Listings of names.
    pub list: u64,
    /// Questions for the size of an object.
    pub stat: u64,
    /// Reads.
    pub read: u64,
    /// Objects created.
    pub create: u64,
    /// Objects removed.
    pub remove: u64,
}

/// An amount of money.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cost {
    /// The currency's code, such as `EUR`.
    pub currency: String,
    /// The amount in whole units, with decimals.
    pub amount: f64,
}
