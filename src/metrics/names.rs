//! The table of metrics: names, labels, help texts.
//!
//! A name that ends in `_total` is a counter, any other a gauge. A time that is past is 0 if the
//! thing never happened, so that alerts can tell *never* from *nobody reports*; other unknown
//! values are left out. There are no ages: they would stop growing when the program stops.

/// A metric: one name, with a series for each combination of its labels.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// Names of its labels, in the order in which they are written.
    pub labels: &'static [&'static str],
    /// A sentence on its meaning, on one line and without backslashes.
    pub help: &'static str,
}

impl Family {
    /// Returns its type in the text format.
    pub fn kind(&self) -> &'static str {
        if self.name.ends_with("_total") { "counter" } else { "gauge" }
    }
}

const fn family(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, labels, help }
}

const APP: &[&str] = &["app"];
const APP_STATUS: &[&str] = &["app", "status"];
const TARGET: &[&str] = &["app", "repository"];
const SOURCE: &[&str] = &["app", "source"];
const REPOSITORY: &[&str] = &["repository"];

/// All metrics, in the order in which they are written.
pub const FAMILIES: &[Family] = &[
    family("drumlin_build_info", &["version"], "The version of the program; always 1."),
    family("drumlin_metrics_timestamp_seconds", &[], "When these values were gathered."),
    family("drumlin_start_timestamp_seconds", &[], "When the daemon was started."),
    family(
        "drumlin_config_reload_failed",
        &[],
        "Whether the daemon keeps an older configuration because the new one is broken.",
    ),
    family("drumlin_app_enabled", APP, "Whether the app is enabled."),
    family("drumlin_max_age_seconds", APP, "The age that the newest good snapshot may have."),
    family("drumlin_next_run_timestamp_seconds", APP, "When the next run is due."),
    family(
        "drumlin_last_run_timestamp_seconds",
        APP,
        "When the last run ended; 0 if there was none.",
    ),
    family("drumlin_last_run_duration_seconds", APP, "How long the last run took."),
    family(
        "drumlin_last_run_status",
        APP_STATUS,
        "1 for the status of the last run, 0 for all others.",
    ),
    family("drumlin_runs_total", APP_STATUS, "Runs by status."),
    family("drumlin_running", APP, "Whether a run is under way."),
    family(
        "drumlin_overdue",
        APP,
        "Whether the newest good snapshot is older than it may be, by the app's own machine.",
    ),
    family(
        "drumlin_consecutive_failures",
        APP,
        "Scheduled times given up since the last good run.",
    ),
    family("drumlin_missed_runs_total", APP, "Scheduled times that passed without a run."),
    family("drumlin_source_bytes", APP, "Size of the source by the newest snapshot."),
    family("drumlin_source_files", APP, "Files and dumps of the source by the newest snapshot."),
    family("drumlin_read_bytes", APP, "Bytes that the last run read from the source."),
    family("drumlin_unread_files", APP, "Files that the last run could not read."),
    family(
        "drumlin_last_success_timestamp_seconds",
        TARGET,
        "When the newest state was last confirmed to be in the repository, unchanged runs included; 0 if never.",
    ),
    family(
        "drumlin_last_snapshot_timestamp_seconds",
        TARGET,
        "Time of the newest snapshot in the repository; 0 if there is none.",
    ),
    family("drumlin_added_bytes", TARGET, "Bytes that the last run stored."),
    family("drumlin_added_bytes_total", TARGET, "Bytes that all runs stored."),
    family("drumlin_snapshots", TARGET, "Snapshots of the app in the repository."),
    family(
        "drumlin_behind_snapshots",
        TARGET,
        "Snapshots that the repository lacks and another one has.",
    ),
    family(
        "drumlin_behind_since_timestamp_seconds",
        TARGET,
        "Since when the repository lacks snapshots; left out if it lacks none.",
    ),
    family("drumlin_absent_allowed_seconds", TARGET, "How long the repository may be away."),
    family("drumlin_dump_bytes", SOURCE, "Size of the last dump."),
    family("drumlin_dump_duration_seconds", SOURCE, "How long the last dump took."),
    family("drumlin_dump_rows", SOURCE, "Rows in the last dump."),
    family("drumlin_hook_failures_total", &["app", "event"], "Hooks that failed."),
    family(
        "drumlin_notification_failures_total",
        &["channel"],
        "Messages that could not be delivered, each try counted.",
    ),
    family(
        "drumlin_drill_last_success_timestamp_seconds",
        TARGET,
        "When a drill last proved that the app can be restored; 0 if never.",
    ),
    family("drumlin_drill_duration_seconds", TARGET, "How long the last drill took."),
    family(
        "drumlin_drill_failed",
        TARGET,
        "Whether the last drill found a difference or could not be tried.",
    ),
    family(
        "drumlin_repository_reachable",
        REPOSITORY,
        "Whether the repository answered when it was last asked.",
    ),
    family("drumlin_repository_bytes", REPOSITORY, "Bytes that the repository holds."),
    family(
        "drumlin_requests_total",
        &["repository", "operation"],
        "Requests to the store, failed and repeated ones included.",
    ),
    family(
        "drumlin_transferred_bytes_total",
        &["repository", "direction"],
        "Bytes sent to the store (up) and read from it (down).",
    ),
    family(
        "drumlin_last_check_timestamp_seconds",
        REPOSITORY,
        "When a check last ended; 0 if never.",
    ),
    family("drumlin_damaged", REPOSITORY, "Objects known to be damaged or missing."),
    family(
        "drumlin_verified_ratio",
        REPOSITORY,
        "Share of the stored bytes that checks have read and found right.",
    ),
    family(
        "drumlin_last_prune_timestamp_seconds",
        REPOSITORY,
        "When a prune last ended; 0 if never.",
    ),
    family("drumlin_monthly_cost", &["repository", "currency"], "Estimated cost of one month."),
];
