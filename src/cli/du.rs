//! `drumlin du`: shows the sizes of folders of a snapshot.

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::context::Context;
use super::entry_view::{TotalsView, kind_name};
use super::exit::Exit;
use super::failure::{Failure, ended};
use super::json_views::{exact, lossy, shown};
use super::series_filter::SeriesFilter;
use super::snapshot_spec::{SnapArg, SnapshotSpec};
use crate::browse::{self, DiskUsage, DiskUsages};
use crate::connect::Purpose;
use crate::connect::host::here;
use crate::format::entry::EntryKind;
use crate::format::node::Totals;
use crate::monitor::Monitor;
use crate::text;
use crate::ui::output::{BufferedStdout, JsonList, OutputError};
use crate::ui::table::{Align, TextTable};

/// Show the size of each folder in a snapshot
///
/// Sizes are those of the files, not of what the repository stores for them; `drumlin stats` shows
/// that.
#[derive(Args)]
pub(super) struct DuArgs {
    /// The snapshot, or a path in it: SNAP[:PATH]
    ///
    /// An id or its first digits, latest, latest~2 (two before it), or APP@2026-03-01. A PATH that
    /// does not begin with / starts at the current folder.
    #[arg(value_name = "SNAP[:PATH]")]
    snap: SnapArg,

    #[command(flatten)]
    series_filter: SeriesFilter,

    /// Show folders down to this many levels below PATH
    #[arg(long, short = 'd', value_name = "N", default_value_t = 1)]
    depth: usize,

    /// Show files, too
    #[arg(long, short = 'a')]
    all: bool,

    /// Sort by size (largest first) or by path
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
struct EntryUsageView {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    kind: &'static str,
    #[serde(flatten)]
    totals: TotalsView,
}

impl EntryUsageView {
    fn new(path: &[u8], line: &UsageRow) -> Self {
        Self {
            path: lossy(path),
            path_hex: exact(path),
            kind: kind_name(line.kind),
            totals: TotalsView::new(line.totals),
        }
    }
}

/// A row of the output. It refers to the row of its parent: whole paths of deeply nested
/// directories would take memory quadratic in the depth.
struct UsageRow {
    above: Option<usize>,
    name: Box<[u8]>,
    kind: EntryKind,
    totals: Totals,
}

/// The rows, each after its parent's.
struct UsageRows {
    lines: Vec<UsageRow>,
    /// The current directories of the walk: positions of their rows, and lengths of their paths.
    way: Vec<(usize, usize)>,
}

impl UsageRows {
    /// Makes the row of the path itself.
    fn new(path: &[u8], kind: EntryKind, totals: Totals) -> Self {
        Self {
            lines: vec![UsageRow { above: None, name: path.into(), kind, totals }],
            way: vec![(0, path.len())],
        }
    }

    fn add(&mut self, usage: &DiskUsage) {
        let parent_len = usage.path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        while self.way.len() > 1 && self.way.last().is_some_and(|(_, len)| *len > parent_len) {
            self.way.pop();
        }
        let above = self.way.last().map(|(at, _)| *at);
        if usage.kind == EntryKind::Dir {
            self.way.push((self.lines.len(), usage.path.len()));
        }
        let DiskUsage { kind, totals, .. } = *usage;
        self.lines.push(UsageRow {
            above,
            name: usage.path[parent_len + 1..].into(),
            kind,
            totals,
        });
    }

    fn path(&self, at: usize) -> Vec<u8> {
        let mut names = Vec::new();
        let mut next = Some(at);
        while let Some(line) = next.map(|at| &self.lines[at]) {
            names.push(&line.name[..]);
            next = line.above;
        }
        names.reverse();
        let path = names.join(&b'/');
        if path.is_empty() { b"/".to_vec() } else { path }
    }

    /// Returns the positions of the rows in an order; rows of equal size stay in the order of the
    /// walk.
    fn sorted(&self, order: Order) -> Vec<usize> {
        let mut places: Vec<usize> = (0..self.lines.len()).collect();
        if order == Order::Size {
            places.sort_by_key(|at| std::cmp::Reverse(self.lines[*at].totals.bytes));
        }
        places
    }
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &DuArgs) -> Result<Exit, Failure> {
    let wanted = SnapshotSpec::parse(&args.snap, &here()?)?.among(&args.series_filter);
    let repository = ctx.connector.open(Purpose::Look)?;
    let (snapshot, trees) = wanted.open(&ctx.ui, &repository)?;
    let place = browse::find(&trees, &snapshot, wanted.path.as_deref().unwrap_or(b"/"))?;
    let kind = place.entry.as_ref().map_or(EntryKind::Dir, |found| found.entry.kind);
    let mut lines = UsageRows::new(&place.path, kind, place.totals);
    let below = DiskUsages::new(&trees, &place, args.depth);
    let (unread, _) =
        ctx.run("adding up", |monitor| collect(below, args.all, &mut lines, monitor))?;
    let order = lines.sorted(args.sort);
    if ctx.ui.json {
        let mut list = JsonList::begin(&[("snapshot", snapshot.id.to_hex().into())], "entries")?;
        order.iter().try_for_each(|at| {
            list.item(&EntryUsageView::new(&lines.path(*at), &lines.lines[*at]))
        })?;
        list.finish(&[])?;
    } else {
        ended(Exit::Done, print(&lines, &order).map_err(Failure::from))?;
    }
    for (path, error) in &unread {
        ctx.ui.loss(&format!("{}: {}", shown(path), error.text()));
    }
    Ok(if unread.is_empty() { Exit::Done } else { Exit::Damage })
}

/// Collects the rows; returns unreadable directories.
fn collect(
    below: DiskUsages,
    with_files: bool,
    lines: &mut UsageRows,
    monitor: &Monitor,
) -> Result<Vec<(Vec<u8>, Failure)>, Failure> {
    let mut unread = Vec::new();
    for usage in below {
        if monitor.is_cancelled() {
            return Err(Failure::interrupted());
        }
        match usage {
            Ok(usage) if with_files || usage.kind == EntryKind::Dir => lines.add(&usage),
            Ok(_) => {}
            Err((path, error)) if error.is_damage() => unread.push((path, error.into())),
            Err((_, error)) => return Err(error.into()),
        }
    }
    Ok(unread)
}

/// Prints the table; makes each path only when it is written, since paths can be long.
fn print(lines: &UsageRows, order: &[usize]) -> Result<(), OutputError> {
    let mut table = TextTable::new(&[
        ("size", Align::Right),
        ("files", Align::Right),
        ("folders", Align::Right),
    ]);
    for at in order {
        let Totals { files, dirs, bytes } = lines.lines[*at].totals;
        table.row(vec![text::size(bytes), text::count(files), text::count(dirs)]);
    }
    let rows = table.lines();
    let mut out = BufferedStdout::open()?;
    writeln!(out, "{}  path", rows[0])?;
    for (at, row) in order.iter().zip(&rows[1..]) {
        let path = lines.path(*at);
        let slash = if lines.lines[*at].kind == EntryKind::Dir && path != b"/" { "/" } else { "" };
        writeln!(out, "{row}  {}{slash}", text::printable(&path))?;
    }
    out.finish()
}
