//! `drumlin diff`: compares two snapshots.

use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::context::Context;
use super::entry_view::kind_name;
use super::exit::Exit;
use super::failure::Failure;
use super::json_views::{exact, lossy, shown};
use super::series_filter::SeriesFilter;
use super::snapshot_spec::{SnapArg, SnapshotSpec};
use crate::browse::{self, Change, ChangeKind, Diff, WindowLimits};
use crate::connect::Purpose;
use crate::connect::host::here;
use crate::format::entry::EntryKind;
use crate::monitor::Monitor;
use crate::repo::{DirEntry, Reader, Trees};
use crate::text;
use crate::ui::output::{BufferedStdout, JsonList};

/// Show what changed between two snapshots, or two paths in them
///
/// One line per change: + added, - removed, M content modified, U only metadata changed (in
/// brackets which), T type changed, R moved. Folders of which only the time differs are left out;
/// --json has them. The exit code is always 0.
#[derive(Args)]
pub(super) struct DiffArgs {
    /// The older side: SNAP[:PATH], for example latest~1:/etc
    #[arg(value_name = "A")]
    left: SnapArg,

    /// The newer side: SNAP[:PATH]
    #[arg(value_name = "B")]
    right: SnapArg,

    #[command(flatten)]
    series_filter: SeriesFilter,
}

/// A change.
#[derive(Serialize)]
struct ChangeView {
    change: &'static str,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_hex: Option<String>,
    differs: Vec<&'static str>,
    before: Option<SideView>,
    after: Option<SideView>,
}

/// One side of a change.
#[derive(Serialize)]
struct SideView {
    kind: &'static str,
    size: u64,
    mtime: Option<String>,
}

impl SideView {
    fn new(found: &DirEntry) -> Self {
        Self {
            kind: kind_name(found.entry.kind),
            size: found.entry.size,
            mtime: text::rfc3339(found.entry.mtime),
        }
    }
}

impl ChangeView {
    fn new(change: &Change) -> Self {
        let from = match &change.kind {
            ChangeKind::Renamed { from } => Some(from),
            _ => None,
        };
        Self {
            change: letter_and_name(&change.kind).1,
            path: lossy(&change.path),
            path_hex: exact(&change.path),
            from: from.map(|from| lossy(from)),
            from_hex: from.and_then(|from| exact(from)),
            differs: change.fields.names(),
            before: change.before.as_ref().map(SideView::new),
            after: change.after.as_ref().map(SideView::new),
        }
    }
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &DiffArgs) -> Result<Exit, Failure> {
    let here = here()?;
    let parse =
        |text| Ok::<_, Failure>(SnapshotSpec::parse(text, &here)?.among(&args.series_filter));
    let wanted = [parse(&args.left)?, parse(&args.right)?];
    let repository = ctx.connector.open(Purpose::Look)?;
    let trees = Trees::new(Reader::for_lookup(&repository)?);
    let mut ids = Vec::new();
    let mut places = Vec::new();
    for one in &wanted {
        let snapshot = one.resolve_by(&ctx.ui, &repository, &trees)?;
        places.push(browse::find(&trees, &snapshot, one.path.as_deref().unwrap_or(b"/"))?);
        ids.push(snapshot.id.to_hex());
    }
    let is_root = |place: &browse::ResolvedPath| place.entry.is_none();
    if places.iter().any(is_root) && places.iter().any(|place| place.tree.is_none()) {
        return Err(Failure::usage("a whole snapshot and a single file cannot be compared")
            .hint("name a path on both sides"));
    }
    let mut out = if ctx.ui.json {
        let fields = [("left", ids[0].clone().into()), ("right", ids[1].clone().into())];
        DiffOutput::Json(JsonList::begin(&fields, "changes")?)
    } else {
        DiffOutput::Text(BufferedStdout::open()?)
    };
    let compared = ctx.run("comparing", |monitor| {
        let diff = Diff::new(&trees, [&places[0], &places[1]], WindowLimits::default(), monitor);
        tell(&mut out, diff, monitor)
    })?;
    let (summary, unread) = compared.0;
    ctx.ui.detail(&format!("{} read", text::counted(trees.nodes_read(), "node")));
    match out {
        DiffOutput::Json(list) => list.finish(&[("summary", summary.to_json())])?,
        DiffOutput::Text(out) => {
            out.finish()?;
            let part = if unread.is_empty() { "" } else { ", in what could be read" };
            ctx.ui.say(&format!("{}{part}", summary.to_text()))?;
        }
    }
    for (path, error) in &unread {
        ctx.ui.loss(&format!("{}: {}", shown(path), error.text()));
    }
    Ok(if unread.is_empty() { Exit::Done } else { Exit::Damage })
}

enum DiffOutput {
    Json(JsonList),
    Text(BufferedStdout),
}

/// Unreadable directories with their errors.
type UnreadDirs = Vec<(Vec<u8>, Failure)>;

/// Prints every change; returns the sums and unreadable directories.
fn tell(
    out: &mut DiffOutput,
    diff: Diff<'_>,
    monitor: &Monitor,
) -> Result<(Summary, UnreadDirs), Failure> {
    let (mut summary, mut unread) = (Summary::default(), UnreadDirs::new());
    for change in diff {
        if monitor.is_cancelled() {
            return Err(Failure::interrupted());
        }
        let change = match change {
            Ok(change) => change,
            Err((path, error)) if error.is_damage() => {
                unread.push((path, error.into()));
                continue;
            }
            Err((_, error)) => return Err(error.into()),
        };
        summary.add(&change);
        match out {
            DiffOutput::Json(list) => list.item(&ChangeView::new(&change))?,
            DiffOutput::Text(_) if is_time_of_folder(&change) => {}
            DiffOutput::Text(out) => writeln!(out, "{}", line(&change))?,
        }
    }
    Ok((summary, unread))
}

fn is_time_of_folder(change: &Change) -> bool {
    change.kind == ChangeKind::Metadata && change.fields.is_time_of_dir(change.after.as_ref())
}

fn letter_and_name(kind: &ChangeKind) -> (char, &'static str) {
    match kind {
        ChangeKind::Added => ('+', "added"),
        ChangeKind::Removed => ('-', "removed"),
        ChangeKind::Modified => ('M', "modified"),
        ChangeKind::Metadata => ('U', "metadata"),
        ChangeKind::Type => ('T', "type"),
        ChangeKind::Renamed { .. } => ('R', "renamed"),
    }
}

fn line(change: &Change) -> String {
    let named = |path: &[u8], found: &Option<DirEntry>| {
        let is_dir =
            path != b"/" && found.as_ref().is_some_and(|found| found.entry.kind == EntryKind::Dir);
        format!("{}{}", text::printable(path), if is_dir { "/" } else { "" })
    };
    let path = match &change.kind {
        ChangeKind::Renamed { from } => {
            format!("{} -> {}", named(from, &change.before), named(&change.path, &change.after))
        }
        ChangeKind::Removed => named(&change.path, &change.before),
        _ => named(&change.path, &change.after),
    };
    let more = match (&change.kind, &change.before, &change.after) {
        (ChangeKind::Metadata, ..) => format!(" ({})", change.fields.names().join(", ")),
        (ChangeKind::Type, Some(before), Some(after)) => {
            format!(" ({} -> {})", kind_name(before.entry.kind), kind_name(after.entry.kind))
        }
        _ => String::new(),
    };
    format!("{}  {path}{more}", letter_and_name(&change.kind).0)
}

/// Sums over all changes; folders and links count as entries, with no bytes of their own.
#[derive(Default)]
struct Summary {
    added: u64,
    added_bytes: u64,
    removed: u64,
    removed_bytes: u64,
    modified: u64,
    modified_bytes_before: u64,
    modified_bytes: u64,
    metadata: u64,
    type_changed: u64,
    renamed: u64,
}

impl Summary {
    fn add(&mut self, change: &Change) {
        let is_file = |found: &&DirEntry| found.entry.kind == EntryKind::File;
        let size = |found: &Option<DirEntry>| {
            found.as_ref().filter(is_file).map_or(0, |found| found.entry.size)
        };
        let (before, after) = (size(&change.before), size(&change.after));
        let add = |sum: &mut u64, bytes: u64| *sum = sum.saturating_add(bytes);
        match &change.kind {
            ChangeKind::Added => {
                self.added += 1;
                add(&mut self.added_bytes, after);
            }
            ChangeKind::Removed => {
                self.removed += 1;
                add(&mut self.removed_bytes, before);
            }
            ChangeKind::Modified => {
                self.modified += 1;
                add(&mut self.modified_bytes_before, before);
                add(&mut self.modified_bytes, after);
            }
            ChangeKind::Metadata if is_time_of_folder(change) => {}
            ChangeKind::Metadata => self.metadata += 1,
            ChangeKind::Type => self.type_changed += 1,
            ChangeKind::Renamed { .. } => self.renamed += 1,
        }
    }

    fn to_json(&self) -> serde_json::Value {
        json!({
            "added": self.added,
            "added_bytes": self.added_bytes,
            "removed": self.removed,
            "removed_bytes": self.removed_bytes,
            "modified": self.modified,
            "modified_bytes_before": self.modified_bytes_before,
            "modified_bytes": self.modified_bytes,
            "metadata": self.metadata,
            "type_changed": self.type_changed,
            "renamed": self.renamed,
        })
    }

    fn to_text(&self) -> String {
        let sized = |number: u64, word: &str, bytes: u64| {
            format!("{} {word} ({})", text::count(number), text::size(bytes))
        };
        let modified = format!(
            "{} modified ({}, were {})",
            text::count(self.modified),
            text::size(self.modified_bytes),
            text::size(self.modified_bytes_before)
        );
        let parts = [
            (self.added, sized(self.added, "added", self.added_bytes)),
            (self.removed, sized(self.removed, "removed", self.removed_bytes)),
            (self.modified, modified),
            (self.renamed, format!("{} moved", text::count(self.renamed))),
            (self.type_changed, format!("{} of another kind", text::count(self.type_changed))),
            (self.metadata, format!("{} with other metadata only", text::count(self.metadata))),
        ];
        let parts: Vec<String> =
            parts.into_iter().filter(|(number, _)| *number > 0).map(|(_, part)| part).collect();
        if parts.is_empty() { "no differences".to_owned() } else { parts.join(", ") }
    }
}
