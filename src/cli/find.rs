//! `drumlin find`: finds names in all snapshots.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::context::Context;
use super::entry_view::{EntryView, long_line};
use super::exit::Exit;
use super::failure::Failure;
use super::filter::SnapshotFilter;
use super::json_views::shown;
use super::snapshot_spec::{SnapArg, SnapshotSpec, parse_time, parse_time_from};
use crate::browse::{self, Criteria, NamePatterns, PatternOptions, Search};
use crate::connect::Purpose;
use crate::connect::host::here;
use crate::format::entry::{EntryKind, Timestamp};
use crate::format::snapshot::Snapshot;
use crate::id::ChunkId;
use crate::jobs::patterns::from_printed;
use crate::monitor::Monitor;
use crate::repo::{DirEntry, Reader, Repository, Trees};
use crate::retention::parse_span;
use crate::settings::values::parse_size;
use crate::text;
use crate::ui::output::{BufferedStdout, JsonList};

/// Find files by name in all snapshots
///
/// Each version of a file is shown once, from the newest snapshot that has it. Patterns are globs:
/// `*` and `?` match anything but `/`, `[a-z]` one of these, `{a,b}` a or b, `**` any folders. A
/// pattern without `/` must match a whole name; one with `/` matches a whole path, from any folder
/// on unless it begins with `/`. Type names as they are printed: `\xe9` is a byte that is no text.
#[derive(Args)]
pub(super) struct FindArgs {
    /// Patterns to look for; any of them may match
    #[arg(value_name = "PATTERN", required = true)]
    patterns: Vec<OsString>,

    /// Treat patterns as regular expressions
    ///
    /// They match anywhere in a name; with --path or with / in them, anywhere in a path. A byte
    /// that is no text is (?-u:\xe9).
    #[arg(long)]
    regex: bool,

    /// Match whole paths, with or without / in the pattern
    #[arg(long)]
    path: bool,

    /// Ignore upper and lower case
    #[arg(long, short = 'i')]
    ignore_case: bool,

    /// Only these kinds, separated by commas: f, d, l, p, s, c, b
    ///
    /// f files, d folders, l symbolic links, p pipes, s sockets, c and b devices.
    #[arg(long = "type", value_name = "KINDS", value_delimiter = ',', value_parser = parse_kind)]
    kinds: Vec<EntryKind>,

    /// Only files larger than this: 500k, 4MiB, 2G
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    larger_than: Option<u64>,

    /// Only files smaller than this
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    smaller_than: Option<u64>,

    /// Only files changed after this: 2026-03-01, or 3d ago
    ///
    /// 2026-03-01 (after that day), 2026-03-01T12:30, or a span before now such as 3d or 1y6m.
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    newer_than: Option<Timestamp>,

    /// Only files changed before this
    ///
    /// A day means before it begins.
    #[arg(long, value_name = "TIME", value_parser = parse_moment_from)]
    older_than: Option<Timestamp>,

    /// Look in this snapshot only, or below a path in it
    #[arg(long, value_name = "SNAP[:PATH]", conflicts_with = "latest")]
    snapshot: Option<SnapArg>,

    #[command(flatten)]
    filter: SnapshotFilter,

    /// Show kind, permissions, owner, size and time
    #[arg(long, short = 'l')]
    long: bool,
}

fn parse_kind(letter: &str) -> Result<EntryKind, String> {
    Ok(match letter {
        "f" => EntryKind::File,
        "d" => EntryKind::Dir,
        "l" => EntryKind::Symlink,
        "p" => EntryKind::Fifo,
        "s" => EntryKind::Socket,
        "c" => EntryKind::CharDevice,
        "b" => EntryKind::BlockDevice,
        _ => return Err(format!("`{letter}` is not one of f, d, l, p, s, c, b")),
    })
}

/// Parses a time (of a day its last moment), or a span before now.
fn parse_moment(text: &str) -> Result<Timestamp, String> {
    moment_of(text, parse_time)
}

/// Parses a time (of a day its first moment), or a span before now.
fn parse_moment_from(text: &str) -> Result<Timestamp, String> {
    moment_of(text, parse_time_from)
}

fn moment_of(text: &str, parse: fn(&str) -> Option<Timestamp>) -> Result<Timestamp, String> {
    if let Ok(span_s) = parse_span(text) {
        let now = text::now();
        return Ok(Timestamp { seconds: now.seconds - span_s, ..now });
    }
    parse(text).ok_or_else(|| {
        format!("`{text}` is neither a date or time such as 2026-03-01 nor a span such as 3d")
    })
}

#[derive(Serialize)]
struct FoundView {
    snapshot: String,
    #[serde(flatten)]
    entry: EntryView,
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &FindArgs) -> Result<Exit, Failure> {
    let options =
        PatternOptions { regex: args.regex, whole_path: args.path, ignore_case: args.ignore_case };
    // Regular expressions have their own syntax for bytes.
    let typed = |pattern: &OsString| {
        if args.regex { pattern.as_bytes().to_vec() } else { from_printed(pattern.as_bytes()) }
    };
    let patterns =
        NamePatterns::new(&args.patterns.iter().map(typed).collect::<Vec<_>>(), options)?;
    let criteria = Criteria {
        kinds: (!args.kinds.is_empty()).then(|| args.kinds.clone()),
        larger_than: args.larger_than,
        smaller_than: args.smaller_than,
        newer_than: args.newer_than,
        older_than: args.older_than,
    };
    let repository = ctx.connector.open(Purpose::Look)?;
    let trees = Trees::new(Reader::for_lookup(&repository)?);
    let (places, exit) = places(ctx, args, &repository, &trees)?;
    let mut out = FindOutput::begin(ctx, args.long)?;
    let searched = ctx.run("searching", |monitor| {
        let mut search = Search::new(&trees, patterns, criteria);
        let mut unread = Vec::new();
        for (snapshot, tree, path) in &places {
            search.enter(tree, path);
            unread.extend(in_one(&mut search, snapshot, &mut out, monitor)?);
        }
        Ok::<_, Failure>(unread)
    })?;
    ctx.ui.detail(&format!("{} read", text::counted(trees.nodes_read(), "node")));
    let unread = searched.0;
    if out.finish()? == 0 {
        ctx.ui.say(if unread.is_empty() {
            "nothing found"
        } else {
            "nothing found, in what could be read"
        })?;
    }
    for (path, error) in &unread {
        ctx.ui.loss(&format!("{}: {}", shown(path), error.text()));
    }
    Ok(if unread.is_empty() { exit } else { Exit::Damage })
}

/// A snapshot, and the tree and path at which the search starts.
type Start = (Snapshot, ChunkId, Vec<u8>);

/// Returns the starts of the search, the newest snapshot first.
fn places(
    ctx: &Context,
    args: &FindArgs,
    repository: &Arc<Repository>,
    trees: &Trees,
) -> Result<(Vec<Start>, Exit), Failure> {
    let Some(text) = &args.snapshot else {
        let (snapshots, exit) = args.filter.load(ctx, repository)?;
        let newest_first = snapshots.into_iter().rev();
        return Ok((
            newest_first
                .map(|snapshot| (snapshot.root, snapshot))
                .map(|(root, one)| (one, root, Vec::new()))
                .collect(),
            exit,
        ));
    };
    let wanted = SnapshotSpec::parse(text, &here()?)?.among(args.filter.series_filter());
    let snapshot = wanted.resolve_by(&ctx.ui, repository, trees)?;
    let place = browse::find(trees, &snapshot, wanted.path.as_deref().unwrap_or(b"/"))?;
    let tree = place.tree.ok_or_else(|| {
        Failure::usage("a file has nothing below it").hint("name a folder behind the colon")
    })?;
    Ok((vec![(snapshot, tree, place.path)], Exit::Done))
}

/// Prints the matches of one snapshot; returns unreadable directories.
fn in_one(
    search: &mut Search,
    snapshot: &Snapshot,
    out: &mut FindOutput,
    monitor: &Monitor,
) -> Result<Vec<(Vec<u8>, Failure)>, Failure> {
    let mut unread = Vec::new();
    while let Some(step) = search.step(monitor) {
        match step {
            Ok((path, found)) => out.entry(snapshot, &path, &found)?,
            Err((path, error)) if error.is_damage() => unread.push((path, error.into())),
            Err((_, error)) => return Err(error.into()),
        }
    }
    Ok(unread)
}

/// Output of matches, entry by entry.
enum FindOutput {
    Json(JsonList),
    Text { out: BufferedStdout, long: bool, count: u64 },
}

impl FindOutput {
    fn begin(ctx: &Context, long: bool) -> Result<Self, Failure> {
        if ctx.ui.json {
            return Ok(Self::Json(JsonList::begin(&[], "entries")?));
        }
        Ok(Self::Text { out: BufferedStdout::open()?, long, count: 0 })
    }

    fn entry(&mut self, snapshot: &Snapshot, path: &[u8], found: &DirEntry) -> Result<(), Failure> {
        match self {
            Self::Json(list) => list.item(&FoundView {
                snapshot: snapshot.id.to_hex(),
                entry: EntryView::new(path, found),
            })?,
            Self::Text { out, long, count } => {
                *count += 1;
                let slash = if found.entry.kind == EntryKind::Dir { "/" } else { "" };
                let place = format!("{}:{}", snapshot.id.short(), text::printable(path));
                if *long {
                    writeln!(out, "{}", long_line(&place, found))?
                } else {
                    writeln!(out, "{place}{slash}")?
                }
            }
        }
        Ok(())
    }

    /// Ends the output; returns the number of entries in text output.
    fn finish(self) -> Result<u64, Failure> {
        match self {
            Self::Json(list) => {
                list.finish(&[])?;
                Ok(0)
            }
            Self::Text { out, count, .. } => {
                out.finish()?;
                Ok(count)
            }
        }
    }
}
