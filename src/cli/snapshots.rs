//! `drumlin snapshots`: lists snapshots.

use clap::Args;
use serde::Serialize;

use super::context::Context;
use super::failure::{Exit, Failure};
use super::views::SnapshotView;
use crate::format::snapshot::Snapshot;
use crate::repo::snapshots;
use crate::ui::table::{Align, Table};
use crate::ui::text;

/// Lists snapshots, oldest first
#[derive(Args)]
pub struct SnapshotsArgs {
    /// Only those of this app
    #[arg(long, value_name = "NAME")]
    app: Option<String>,

    /// Only those of this host
    #[arg(long, value_name = "NAME")]
    host: Option<String>,

    /// Only those with this tag; given several times, with all of them
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,

    /// Only the newest N of them
    #[arg(long, value_name = "N")]
    latest: Option<usize>,
}

impl SnapshotsArgs {
    fn fits(&self, snapshot: &Snapshot) -> bool {
        self.app.as_ref().is_none_or(|app| snapshot.app == *app)
            && self.host.as_ref().is_none_or(|host| snapshot.host == *host)
            && self.tags.iter().all(|tag| snapshot.tags.contains(tag))
    }
}

#[derive(Serialize)]
struct ListView {
    snapshots: Vec<SnapshotView>,
    damaged: Vec<DamagedView>,
}

#[derive(Serialize)]
struct DamagedView {
    id: String,
    error: String,
}

/// Runs the command.
pub fn run(ctx: &Context, args: &SnapshotsArgs) -> Result<Exit, Failure> {
    let repository = ctx.open()?;
    let (mut good, mut damaged) = (Vec::new(), Vec::new());
    for (id, snapshot) in snapshots::list_all(&repository)? {
        match snapshot {
            Ok(snapshot) => good.push(snapshot),
            Err(error) => damaged.push(DamagedView { id: id.to_hex(), error: Failure::from(error).text() }),
        }
    }
    good.retain(|snapshot| args.fits(snapshot));
    good.drain(..good.len().saturating_sub(args.latest.unwrap_or(usize::MAX)));
    // A listing that hides snapshots must not look like a whole one.
    let exit = if damaged.is_empty() { Exit::Done } else { Exit::Damage };
    if ctx.ui.json {
        ctx.ui.print_json(&ListView { snapshots: good.iter().map(SnapshotView::new).collect(), damaged })?;
        return Ok(exit);
    }
    for DamagedView { id, error } in &damaged {
        ctx.ui.warn(&format!("snapshot {} cannot be read: {error}", &id[..8]));
    }
    if good.is_empty() {
        ctx.ui.say("no snapshots")?;
        return Ok(exit);
    }
    ctx.ui.print(&table(&good).lines().join("\n"))?;
    Ok(exit)
}

fn table(snapshots: &[Snapshot]) -> Table {
    let has_app = snapshots.iter().any(|snapshot| !snapshot.app.is_empty());
    let has_tags = snapshots.iter().any(|snapshot| !snapshot.tags.is_empty());
    let mut columns = vec![("id", Align::Left), ("time", Align::Left), ("host", Align::Left)];
    columns.extend(has_app.then_some(("app", Align::Left)));
    columns.extend(has_tags.then_some(("tags", Align::Left)));
    columns.extend([("files", Align::Right), ("size", Align::Right), ("added", Align::Right), ("paths", Align::Left)]);
    let mut table = Table::new(&columns);
    for snapshot in snapshots {
        let word = |text: &str| text::printable(text.as_bytes());
        let paths: Vec<String> = snapshot.sources.iter().map(|path| text::printable(path)).collect();
        let mut cells = vec![snapshot.id.short(), text::local_time(snapshot.started), word(&snapshot.host)];
        cells.extend(has_app.then(|| word(&snapshot.app)));
        cells.extend(has_tags.then(|| word(&snapshot.tags.join(","))));
        cells.extend([
            text::count(snapshot.stats.totals.files),
            text::size(snapshot.stats.totals.bytes),
            text::size(snapshot.stats.bytes_stored),
            paths.join(" "),
        ]);
        table.row(cells);
    }
    table
}
