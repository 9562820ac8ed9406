//! `drumlin ls`: lists files of a snapshot.

use clap::Args;

use super::context::Context;
use super::entry_view::{EntryView, long_line};
use super::exit::Exit;
use super::failure::Failure;
use super::json_views::shown;
use super::series_filter::SeriesFilter;
use super::snapshot_spec::{SnapArg, SnapshotSpec};
use crate::browse::{self, TreeWalk};
use crate::connect::Purpose;
use crate::connect::host::here;
use crate::format::entry::EntryKind;
use crate::format::snapshot::Snapshot;
use crate::monitor::Monitor;
use crate::repo::DirEntry;
use crate::text;
use crate::ui::output::{BufferedStdout, JsonList};

/// List files in a snapshot
#[derive(Args)]
pub(super) struct LsArgs {
    /// The snapshot, or a path in it: SNAP[:PATH]
    ///
    /// An id or its first digits, latest, latest~2 (two before it), or APP@2026-03-01. A PATH that
    /// does not begin with / starts at the current folder.
    #[arg(value_name = "SNAP[:PATH]")]
    snap: SnapArg,

    #[command(flatten)]
    series_filter: SeriesFilter,

    /// Show kind, permissions, owner, size and time
    #[arg(long, short = 'l')]
    long: bool,

    /// List folders recursively
    #[arg(long, short = 'R')]
    recursive: bool,
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &LsArgs) -> Result<Exit, Failure> {
    let wanted = SnapshotSpec::parse(&args.snap, &here()?)?.among(&args.series_filter);
    let repository = ctx.connector.open(Purpose::Look)?;
    let (snapshot, trees) = wanted.open(&ctx.ui, &repository)?;
    let place = browse::find(&trees, &snapshot, wanted.path.as_deref().unwrap_or(b"/"))?;
    let mut out = LsOutput::begin(ctx, args, &snapshot)?;
    let mut exit = Exit::Done;
    match (&place.tree, &place.entry) {
        (Some(tree), _) => {
            let walked = ctx.run("listing", |monitor| {
                list(&mut out, TreeWalk::new(&trees, tree, &place.path, args.recursive), monitor)
            })?;
            for (path, error) in walked.0 {
                ctx.ui.loss(&format!("{}: {}", shown(&path), error.text()));
                exit = Exit::Damage;
            }
        }
        (None, Some(found)) => out.entry(&place.path, found)?,
        (None, None) => {}
    }
    out.finish()?;
    Ok(exit)
}

/// Prints every entry; returns unreadable directories.
fn list(
    out: &mut LsOutput,
    walk: TreeWalk,
    monitor: &Monitor,
) -> Result<Vec<(Vec<u8>, Failure)>, Failure> {
    let mut unread = Vec::new();
    for (path, found) in walk {
        if monitor.is_cancelled() {
            return Err(Failure::interrupted());
        }
        match found {
            Ok(found) => out.entry(&path, &found)?,
            Err(error) if error.is_damage() => unread.push((path, error.into())),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(unread)
}

/// Output, entry by entry.
enum LsOutput {
    Json(JsonList),
    Text { out: BufferedStdout, long: bool },
}

impl LsOutput {
    fn begin(ctx: &Context, args: &LsArgs, snapshot: &Snapshot) -> Result<Self, Failure> {
        if ctx.ui.json {
            let snapshot = ("snapshot", snapshot.id.to_hex().into());
            return Ok(Self::Json(JsonList::begin(&[snapshot], "entries")?));
        }
        Ok(Self::Text { out: BufferedStdout::open()?, long: args.long })
    }

    fn entry(&mut self, path: &[u8], found: &DirEntry) -> Result<(), Failure> {
        match self {
            Self::Json(list) => list.item(&EntryView::new(path, found))?,
            Self::Text { out, long: true } => {
                writeln!(out, "{}", long_line(&text::printable(path), found))?
            }
            Self::Text { out, long: false } => {
                let slash = if found.entry.kind == EntryKind::Dir { "/" } else { "" };
                writeln!(out, "{}{slash}", text::printable(path))?;
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<(), Failure> {
        match self {
            Self::Json(list) => Ok(list.finish(&[])?),
            Self::Text { out, .. } => Ok(out.finish()?),
        }
    }
}
