//! `drumlin du`: how much is in a folder of a snapshot.

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::context::{Context, Purpose, here};
use super::entries::{TotalsView, kind_name};
use super::failure::{Exit, Failure};
use super::filter::Narrow;
use super::snap::{SnapArg, SnapPath};
use super::views::{exact, lossy, shown};
use crate::browse::{self, Usage, Usages};
use crate::format::entry::EntryKind;
use crate::monitor::Monitor;
use crate::ui::output::JsonList;
use crate::ui::table::{Align, Table};
use crate::ui::text;

/// Shows how much is in a folder of a snapshot, and in each folder in it
///
/// Sizes are those of the files, not of what the repository needs for them; `drumlin stats` tells that.
#[derive(Args)]
pub struct DuArgs {
    /// SNAP[:PATH]; SNAP is an id or the start of one, latest, latest~2 (two before it), or APP@2026-03-01.
    /// A PATH that does not begin with / is taken from the current folder
    #[arg(value_name = "SNAP[:PATH]")]
    snap: SnapArg,

    #[command(flatten)]
    narrow: Narrow,

    /// Levels of folders to show below PATH
    #[arg(long, short = 'd', value_name = "N", default_value_t = 1)]
    depth: usize,

    /// Show files too
    #[arg(long, short = 'a')]
    all: bool,

    /// Order: the largest first, or by path
    #[arg(long, value_name = "ORDER", value_enum, default_value = "size")]
    sort: Order,
}

/// Order of the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Order {
    Size,
    Name,
}

#[derive(Serialize)]
struct UsageView {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    kind: &'static str,
    #[serde(flatten)]
    totals: TotalsView,
}

impl UsageView {
    fn new(usage: &Usage) -> Self {
        Self {
            path: lossy(&usage.path),
            path_hex: exact(&usage.path),
            kind: kind_name(usage.kind),
            totals: TotalsView::new(usage.totals),
        }
    }
}

/// Runs the command.
pub fn run(ctx: &Context, args: &DuArgs) -> Result<Exit, Failure> {
    let wanted = SnapPath::parse(&args.snap, &here()?)?.among(&args.narrow);
    let repository = ctx.open(Purpose::Look)?;
    let (snapshot, trees) = wanted.open(&ctx.ui, &repository)?;
    let place = browse::find(&trees, &snapshot, wanted.path.as_deref().unwrap_or(b"/"))?;
    let path = if place.path.is_empty() { b"/".to_vec() } else { place.path.clone() };
    let kind = place.entry.as_ref().map_or(EntryKind::Dir, |found| found.entry.kind);
    let mut usages = vec![Usage { path, kind, totals: place.totals }];
    let below = Usages::new(&trees, &place, args.depth);
    let (unread, _) = ctx.run("adding up", |monitor| collect(below, args.all, &mut usages, monitor))?;
    if args.sort == Order::Size {
        usages.sort_by(|a, b| b.totals.bytes.cmp(&a.totals.bytes).then_with(|| a.path.cmp(&b.path)));
    }
    if ctx.ui.json {
        let mut list = JsonList::begin(&[("snapshot", snapshot.id.to_hex().into())], "entries")?;
        usages.iter().try_for_each(|usage| list.item(&UsageView::new(usage)))?;
        list.finish(&[])?;
    } else {
        ctx.ui.print(&table(&usages).lines().join("\n"))?;
    }
    for (path, error) in &unread {
        ctx.ui.warn(&format!("{}: {}", shown(path), error.text()));
    }
    Ok(if unread.is_empty() { Exit::Done } else { Exit::Damage })
}

/// Adds what is to be shown; returns the folders that cannot be read.
fn collect(
    below: Usages,
    with_files: bool,
    usages: &mut Vec<Usage>,
    monitor: &Monitor,
) -> Result<Vec<(Vec<u8>, Failure)>, Failure> {
    let mut unread = Vec::new();
    for usage in below {
        if monitor.is_cancelled() {
            return Err(Failure::interrupted());
        }
        match usage {
            Ok(usage) if with_files || usage.kind == EntryKind::Dir => usages.push(usage),
            Ok(_) => {}
            Err((path, error)) if error.is_damage() => unread.push((path, error.into())),
            Err((_, error)) => return Err(error.into()),
        }
    }
    Ok(unread)
}

fn table(usages: &[Usage]) -> Table {
    let mut table =
        Table::new(&[("size", Align::Right), ("files", Align::Right), ("folders", Align::Right), ("path", Align::Left)]);
    for usage in usages {
        let slash = if usage.kind == EntryKind::Dir && usage.path != b"/" { "/" } else { "" };
        table.row(vec![
            text::size(usage.totals.bytes),
            text::count(usage.totals.files),
            text::count(usage.totals.dirs),
            format!("{}{slash}", text::printable(&usage.path)),
        ]);
    }
    table
}
