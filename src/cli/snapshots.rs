//! `drumlin snapshots`: lists snapshots.

use clap::Args;
use serde::Serialize;

use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::filter::SnapshotFilter;
use super::json_views::SnapshotView;
use super::snapshot_spec::warn_of_list;
use crate::connect::Purpose;
use crate::format::entry::Timestamp;
use crate::format::snapshot::Snapshot;
use crate::format::tombstone::Tombstone;
use crate::id::SnapshotId;
use crate::repo::Error;
use crate::repo::snapshots::trash::TRASH_WINDOW_S;
use crate::repo::snapshots::{self, Listing};
use crate::text;
use crate::ui::table::{Align, TextTable};

/// List snapshots, oldest first
#[derive(Args)]
pub(super) struct SnapshotsArgs {
    #[command(flatten)]
    filter: SnapshotFilter,

    /// List the trash instead
    ///
    /// It shows who forgot each snapshot, why, and until when `drumlin undelete` brings it back.
    #[arg(long)]
    forgotten: bool,
}

#[derive(Serialize)]
struct ListView<T> {
    snapshots: Vec<T>,
    damaged: Vec<DamagedView>,
}

#[derive(Serialize)]
struct SavedView {
    #[serde(flatten)]
    snapshot: SnapshotView,
    protected: bool,
}

#[derive(Serialize)]
struct ForgottenView {
    #[serde(flatten)]
    snapshot: SnapshotView,
    forgotten: Option<String>,
    forgotten_by: String,
    reason: String,
    until: Option<String>,
}

#[derive(Serialize)]
struct DamagedView {
    id: String,
    error: String,
}

impl DamagedView {
    fn new(id: SnapshotId, error: Error) -> Self {
        Self { id: id.to_hex(), error: Failure::from(error).text() }
    }
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &SnapshotsArgs) -> Result<Exit, Failure> {
    let repository = ctx.connector.open(Purpose::Work)?;
    let mut listing = if args.forgotten {
        snapshots::listing(&repository)?
    } else {
        snapshots::overview(&repository)?
    };
    for (id, error) in std::mem::take(&mut listing.faults) {
        let why = Failure::from(error).text();
        ctx.ui.loss(&format!(
            "snapshot {} counts as not forgotten, because its tombstone is damaged or not \
                genuine: {why}",
            id.short()
        ));
    }
    warn_of_list(&ctx.ui, &repository, &listing)?;
    if args.forgotten { list_forgotten(ctx, args, listing) } else { list(ctx, args, listing) }
}

fn list(ctx: &Context, args: &SnapshotsArgs, listing: Listing) -> Result<Exit, Failure> {
    let (mut good, mut damaged) = (Vec::new(), Vec::new());
    for (id, snapshot) in listing.snapshots {
        match snapshot {
            Ok(snapshot) => good.push(snapshot),
            Err(error) => damaged.push(DamagedView::new(id, error)),
        }
    }
    good.retain(|snapshot| args.filter.fits(snapshot));
    args.filter.keep_newest(&mut good);
    let is_protected = |snapshot: &Snapshot| listing.protected.contains(&snapshot.id);
    let view = |snapshot: &Snapshot| SavedView {
        snapshot: SnapshotView::new(snapshot),
        protected: is_protected(snapshot),
    };
    let exit = finish(ctx, damaged, || good.iter().map(view).collect())?;
    if good.is_empty() {
        ctx.ui.say("no snapshots")?;
    } else if !ctx.ui.json {
        ctx.ui.print(&table(&good, is_protected).lines().join("\n"))?;
    }
    Ok(exit)
}

fn list_forgotten(ctx: &Context, args: &SnapshotsArgs, listing: Listing) -> Result<Exit, Failure> {
    let (mut good, mut damaged) = (Vec::new(), Vec::new());
    for one in listing.forgotten {
        let until = one.ends(TRASH_WINDOW_S);
        match one.snapshot {
            Ok(snapshot) => good.push((snapshot, one.tombstone, until)),
            Err(error) => damaged.push(DamagedView::new(one.tombstone.snapshot, error)),
        }
    }
    good.retain(|(snapshot, ..)| args.filter.fits(snapshot));
    args.filter.keep_newest(&mut good);
    let view = |(snapshot, tombstone, until): &(Snapshot, Tombstone, Timestamp)| ForgottenView {
        snapshot: SnapshotView::new(snapshot),
        forgotten: text::rfc3339(tombstone.forgotten),
        forgotten_by: format!("{}@{}", tombstone.user, tombstone.host),
        reason: tombstone.reason.clone(),
        until: text::rfc3339(*until),
    };
    let exit = finish(ctx, damaged, || good.iter().map(view).collect())?;
    if good.is_empty() {
        ctx.ui.say("nothing is in the trash")?;
    } else if !ctx.ui.json {
        ctx.ui.print(&trash_table(&good).lines().join("\n"))?;
    }
    Ok(exit)
}

/// Prints the JSON document, or warns of damaged snapshots; returns the exit code.
fn finish<T: Serialize>(
    ctx: &Context,
    damaged: Vec<DamagedView>,
    views: impl FnOnce() -> Vec<T>,
) -> Result<Exit, Failure> {
    // An incomplete listing must not look complete.
    let exit = if damaged.is_empty() { Exit::Done } else { Exit::Damage };
    if ctx.ui.json {
        ctx.ui.print_json(&ListView { snapshots: views(), damaged })?;
        return Ok(exit);
    }
    for DamagedView { id, error } in &damaged {
        ctx.ui.loss(&format!("snapshot {} cannot be read: {error}", &id[..8]));
    }
    Ok(exit)
}

fn trash_table(forgotten: &[(Snapshot, Tombstone, Timestamp)]) -> TextTable {
    let left = |name| (name, Align::Left);
    let mut table =
        TextTable::new(&["id", "time", "host", "paths", "forgotten", "until", "why"].map(left));
    for (snapshot, tombstone, until) in forgotten {
        let paths: Vec<String> =
            snapshot.sources.iter().map(|path| text::printable(path)).collect();
        table.row(vec![
            snapshot.id.short(),
            text::local_time(snapshot.started),
            text::printable(snapshot.host.as_bytes()),
            paths.join(" "),
            text::local_time(tombstone.forgotten),
            text::local_time(*until),
            text::printable(tombstone.reason.as_bytes()),
        ]);
    }
    table
}

fn table(snapshots: &[Snapshot], is_protected: impl Fn(&Snapshot) -> bool) -> TextTable {
    let has_protected = snapshots.iter().any(&is_protected);
    let has_app = snapshots.iter().any(|snapshot| !snapshot.app.is_empty());
    let has_tags = snapshots.iter().any(|snapshot| !snapshot.tags.is_empty());
    let mut columns = vec![("id", Align::Left), ("time", Align::Left), ("host", Align::Left)];
    columns.extend(has_app.then_some(("app", Align::Left)));
    columns.extend(has_tags.then_some(("tags", Align::Left)));
    columns.extend(has_protected.then_some(("kept", Align::Left)));
    columns.extend([
        ("files", Align::Right),
        ("size", Align::Right),
        ("added", Align::Right),
        ("paths", Align::Left),
    ]);
    let mut table = TextTable::new(&columns);
    for snapshot in snapshots {
        let word = |text: &str| text::printable(text.as_bytes());
        let paths: Vec<String> =
            snapshot.sources.iter().map(|path| text::printable(path)).collect();
        let mut cells =
            vec![snapshot.id.short(), text::local_time(snapshot.started), word(&snapshot.host)];
        cells.extend(has_app.then(|| word(&snapshot.app)));
        cells.extend(has_tags.then(|| word(&snapshot.tags.join(","))));
        let kept = if is_protected(snapshot) { "protected" } else { "" };
        cells.extend(has_protected.then(|| kept.to_owned()));
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
