//! JSON documents that several commands share. Every field is described in `docs/json.md`.

use serde::Serialize;

use crate::format::node::Totals;
use crate::format::snapshot::{Consistency, Snapshot, SnapshotStats};
use crate::monitor::{Monitor, Problem};
use crate::store::Action;
use crate::store::layers::count::CallCounts;
use crate::text;

/// A snapshot.
#[derive(Serialize)]
pub(super) struct SnapshotView {
    id: String,
    host: String,
    user: String,
    app: String,
    tags: Vec<String>,
    sources: Vec<String>,
    started: Option<String>,
    ended: Option<String>,
    sequence: u64,
    parent: Option<String>,
    instead_of: Option<String>,
    program: String,
    consistency: &'static str,
    root: String,
    problem_count: u64,
    stats: StatsView,
}

impl SnapshotView {
    /// Makes the view of a snapshot.
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        Self {
            id: snapshot.id.to_hex(),
            host: snapshot.host.clone(),
            user: snapshot.user.clone(),
            app: snapshot.app.clone(),
            tags: snapshot.tags.clone(),
            sources: snapshot.sources.iter().map(|source| lossy(source)).collect(),
            started: text::rfc3339(snapshot.started),
            ended: text::rfc3339(snapshot.ended),
            sequence: snapshot.sequence,
            parent: snapshot.parent.map(|id| id.to_hex()),
            instead_of: snapshot.instead_of().map(|id| id.to_hex()),
            program: snapshot.program.clone(),
            consistency: match snapshot.consistency {
                Consistency::Live => "live",
                Consistency::FileSystemSnapshot => "file-system-snapshot",
                Consistency::Dump => "dump",
            },
            root: snapshot.root.to_hex(),
            problem_count: snapshot.problem_count,
            stats: StatsView::new(&snapshot.stats),
        }
    }
}

/// Statistics of a backup.
#[derive(Serialize)]
pub(super) struct StatsView {
    files: u64,
    dirs: u64,
    bytes: u64,
    files_new: u64,
    files_changed: u64,
    files_unchanged: u64,
    bytes_read: u64,
    chunks_new: u64,
    bytes_new_raw: u64,
    bytes_stored: u64,
}

impl StatsView {
    /// Makes the view of a backup's statistics.
    pub(super) fn new(stats: &SnapshotStats) -> Self {
        let Totals { files, dirs, bytes } = stats.totals;
        Self {
            files,
            dirs,
            bytes,
            files_new: stats.files_new,
            files_changed: stats.files_changed,
            files_unchanged: stats.files_unchanged,
            bytes_read: stats.bytes_read,
            chunks_new: stats.chunks_new,
            bytes_new_raw: stats.bytes_new_raw,
            bytes_stored: stats.bytes_stored,
        }
    }
}

/// Request counters.
#[derive(Serialize)]
pub(super) struct RequestsView {
    calls: u64,
    list: u64,
    stat: u64,
    read: u64,
    create: u64,
    remove: u64,
    bytes_up: u64,
    bytes_down: u64,
}

impl RequestsView {
    /// Makes the view of counts.
    pub(super) fn new(counts: &CallCounts) -> Self {
        let calls = |action| counts.of_action(action).calls;
        Self {
            calls: counts.total().calls,
            list: calls(Action::List),
            stat: calls(Action::Stat),
            read: calls(Action::Read),
            create: calls(Action::Create),
            remove: calls(Action::Remove),
            bytes_up: counts.of_action(Action::Create).bytes,
            bytes_down: counts.of_action(Action::Read).bytes,
        }
    }
}

/// A problem with one path.
#[derive(Serialize)]
pub(super) struct ProblemView {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    kind: &'static str,
    message: String,
}

impl ProblemView {
    /// Makes the view of a problem.
    pub(super) fn new(problem: &Problem) -> Self {
        Self {
            path: lossy(&problem.path),
            path_hex: exact(&problem.path),
            kind: problem.kind.name(),
            message: problem.message.clone(),
        }
    }

    /// Makes the views of all recorded problems.
    pub(super) fn all(monitor: &Monitor) -> Vec<Self> {
        monitor.problems().iter().map(Self::new).collect()
    }
}

/// Returns a path as text; bytes that are not UTF-8 become U+FFFD.
pub(super) fn lossy(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

/// Returns the hex digits of a path that is not UTF-8, for scripts.
pub(super) fn exact(path: &[u8]) -> Option<String> {
    std::str::from_utf8(path).is_err().then(|| crate::id::encode_hex(path))
}

/// Returns a path for people; the empty path of the root becomes `/`.
pub(super) fn shown(path: &[u8]) -> String {
    text::printable(if path.is_empty() { b"/" } else { path })
}
