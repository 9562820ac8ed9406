//! `drumlin history`: every version of one path.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use clap::Args;
use serde::Serialize;

use super::context::Context;
use super::entry_view::kind_name;
use super::exit::Exit;
use super::failure::Failure;
use super::filter::SnapshotFilter;
use super::json_views::{exact, lossy};
use super::snapshot_spec::normal_path;
use crate::browse::{self, History, PathSeries, Version, VersionStep};
use crate::connect::Purpose;
use crate::connect::host::here;
use crate::format::entry::EntryKind;
use crate::format::snapshot::Snapshot;
use crate::repo::{Error, Reader, Trees};
use crate::text;
use crate::ui::table::{Align, TextTable};

/// Show every version of a path over all snapshots
///
/// That is: when it appeared, changed and vanished, for each host and app. A snapshot whose sources
/// do not include the path says nothing about it.
#[derive(Args)]
pub(super) struct HistoryArgs {
    /// The path, without a snapshot
    ///
    /// A path that does not begin with / starts at the current folder.
    #[arg(value_name = "PATH")]
    path: OsString,

    #[command(flatten)]
    filter: SnapshotFilter,
}

#[derive(Serialize)]
struct HistoryView {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    versions: Vec<VersionView>,
    unread: Vec<String>,
    uncompared: Vec<String>,
}

#[derive(Serialize)]
struct VersionView {
    host: String,
    app: String,
    change: &'static str,
    differs: Vec<&'static str>,
    kind: Option<&'static str>,
    size: Option<u64>,
    mtime: Option<String>,
    mode: Option<String>,
    snapshots: u64,
    first: SeenView,
    last: SeenView,
}

/// A snapshot that holds a version.
#[derive(Serialize)]
struct SeenView {
    snapshot: String,
    started: Option<String>,
}

impl SeenView {
    fn new(snapshot: &Snapshot) -> Self {
        Self { snapshot: snapshot.id.to_hex(), started: text::rfc3339(snapshot.started) }
    }
}

impl VersionView {
    fn new(series: &PathSeries, version: &Version, snapshots: &[Snapshot]) -> Self {
        let found = version.found.as_deref();
        Self {
            host: series.host.clone(),
            app: series.app.clone(),
            change: match version.step {
                VersionStep::Appeared => "appeared",
                VersionStep::Modified => "modified",
                VersionStep::Metadata => "metadata",
                VersionStep::Type => "type",
                VersionStep::Vanished => "vanished",
            },
            differs: version.fields.names(),
            kind: found.map(|found| kind_name(found.entry.kind)),
            size: found.map(browse::len_bytes),
            mtime: found.and_then(|found| text::rfc3339(found.entry.mtime)),
            mode: found.map(|found| format!("{:04o}", found.entry.mode)),
            snapshots: version.snapshots,
            first: SeenView::new(&snapshots[version.first]),
            last: SeenView::new(&snapshots[version.last]),
        }
    }
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &HistoryArgs) -> Result<Exit, Failure> {
    let path = normal_path(&text::bytes_of_typed(args.path.as_bytes()), &here()?);
    if path == b"/" {
        return Err(Failure::usage("the root has no history of its own")
            .hint("`drumlin diff` compares whole snapshots"));
    }
    let repository = ctx.connector.open(Purpose::Look)?;
    let (snapshots, mut exit) = args.filter.load(ctx, &repository)?;
    let trees = Trees::new(Reader::for_lookup(&repository)?);
    let looked =
        ctx.run("looking", |monitor| browse::history(&trees, &snapshots, &path, monitor))?;
    let mut history = looked.0;
    ctx.ui.detail(&format!("{} read", text::counted(trees.nodes_read(), "node")));
    let unread = tell_unread(ctx, &snapshots, std::mem::take(&mut history.unread));
    let uncompared = tell_uncompared(ctx, &snapshots, std::mem::take(&mut history.uncompared));
    if !unread.is_empty() || !uncompared.is_empty() {
        exit = Exit::Damage;
    }
    if history.series.is_empty() && exit == Exit::Done {
        return Err(never_there(&path, snapshots.len()));
    }
    if ctx.ui.json {
        let of_series = |series: &PathSeries| -> Vec<VersionView> {
            series
                .versions
                .iter()
                .map(|version| VersionView::new(series, version, &snapshots))
                .collect()
        };
        let versions = history.series.iter().flat_map(of_series).collect();
        ctx.ui.print_json(&HistoryView {
            path: lossy(&path),
            path_hex: exact(&path),
            versions,
            unread,
            uncompared,
        })?;
        return Ok(exit);
    }
    show(ctx, &history, &snapshots, &path)?;
    Ok(exit)
}

/// Warns of snapshots that cannot be read; returns their ids.
fn tell_unread(ctx: &Context, snapshots: &[Snapshot], unread: Vec<(usize, Error)>) -> Vec<String> {
    let tell = |(at, error): (usize, Error)| {
        let id = snapshots[at].id;
        ctx.ui.loss(&format!(
            "snapshot {} is left out: {}",
            id.short(),
            Failure::from(error).text()
        ));
        id.to_hex()
    };
    unread.into_iter().map(tell).collect()
}

/// Warns of snapshots whose version cannot be compared with the one before; returns their ids.
fn tell_uncompared(
    ctx: &Context,
    snapshots: &[Snapshot],
    uncompared: Vec<(usize, Error)>,
) -> Vec<String> {
    let tell = |(at, error): (usize, Error)| {
        let id = snapshots[at].id;
        let why = Failure::from(error).text();
        ctx.ui.loss(&format!(
            "the version in snapshot {} cannot be compared with the one before: {why}",
            id.short()
        ));
        id.to_hex()
    };
    uncompared.into_iter().map(tell).collect()
}

fn never_there(path: &[u8], snapshot_count: usize) -> Failure {
    let (shown, count) = (text::printable(path), text::counted(snapshot_count as u64, "snapshot"));
    Failure::new(Exit::Error, format!("there is no '{shown}' in any of {count}"))
        .hint("paths are stored absolute; `drumlin find NAME` looks for a name in all folders")
}

/// Prints a table for each series, and how to restore a version.
fn show(
    ctx: &Context,
    history: &History,
    snapshots: &[Snapshot],
    path: &[u8],
) -> Result<(), Failure> {
    let mut parts = Vec::new();
    for series in &history.series {
        let app = if series.app.is_empty() {
            String::new()
        } else {
            format!("{} on ", text::printable(series.app.as_bytes()))
        };
        let heading =
            format!("{app}{}, {}", text::printable(series.host.as_bytes()), text::printable(path));
        parts.push([vec![heading], table(series, snapshots).lines()].concat().join("\n"));
    }
    if !parts.is_empty() {
        ctx.ui.print(&parts.join("\n\n"))?;
    }
    if let Some(hint) = hint(history, snapshots, path) {
        ctx.ui.say(&hint)?;
    }
    Ok(())
}

fn table(series: &PathSeries, snapshots: &[Snapshot]) -> TextTable {
    let mut table = TextTable::new(&[
        ("what", Align::Left),
        ("size", Align::Right),
        ("changed", Align::Left),
        ("snapshots", Align::Right),
        ("first", Align::Left),
        ("last", Align::Left),
    ]);
    let seen = |at: usize| {
        format!("{} {}", snapshots[at].id.short(), text::local_time(snapshots[at].started))
    };
    for version in &series.versions {
        let found = version.found.as_deref();
        table.row(vec![
            what(version),
            found.map_or_else(String::new, |found| text::size(browse::len_bytes(found))),
            found.map_or_else(String::new, |found| text::local_time(found.entry.mtime)),
            text::count(version.snapshots),
            seen(version.first),
            seen(version.last),
        ]);
    }
    table
}

fn what(version: &Version) -> String {
    match (version.step, &version.found) {
        (VersionStep::Metadata, _) => format!("other {}", version.fields.names().join(", ")),
        (VersionStep::Type, Some(found)) => format!("became {}", kind_name(found.entry.kind)),
        (VersionStep::Modified | VersionStep::Type, _) => "modified".to_owned(),
        (VersionStep::Appeared, _) => "appeared".to_owned(),
        (VersionStep::Vanished, _) => "vanished".to_owned(),
    }
}

/// Returns the text about restoring the most likely version: the newest one that is not current.
fn hint(history: &History, snapshots: &[Snapshot], path: &[u8]) -> Option<String> {
    let [series] = &history.series[..] else {
        return None;
    };
    let mut held = series.versions.iter().rev().filter(|version| version.found.is_some());
    let newest = held.next()?;
    let is_gone = series.versions.last().is_some_and(|version| version.found.is_none());
    let wanted = if is_gone { newest } else { held.next().unwrap_or(newest) };
    // A path that is not UTF-8 cannot be typed as shown.
    let path =
        std::str::from_utf8(path).ok().filter(|path| text::printable(path.as_bytes()) == *path)?;
    let place = text::shell_word(&format!("{}:{path}", snapshots[wanted.last].id.short()));
    let kind = wanted.found.as_ref()?.entry.kind;
    let cat =
        if kind == EntryKind::File { format!("\n  drumlin cat {place}") } else { String::new() };
    Some(format!("\nTo get one back, for example:\n  drumlin restore {place} --target DIR{cat}"))
}
