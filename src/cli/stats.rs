//! `drumlin stats`: shows stored sizes and savings.

use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::json_views::SnapshotView;
use super::series_filter::SeriesFilter;
use super::snapshot_spec::{SnapArg, SnapshotSpec, warn_of_list};
use crate::connect::Purpose;
use crate::connect::host::here;
use crate::format::snapshot::Snapshot;
use crate::maintain::stats::{self, RepositoryFigures, SnapshotFigures};
use crate::monitor::Monitor;
use crate::repo::{Reader, Repository, snapshots};
use crate::text;

/// Show sizes, and what deduplication and compression saved
#[derive(Args)]
pub(super) struct StatsArgs {
    /// Only this snapshot
    #[arg(value_name = "SNAP")]
    snap: Option<SnapArg>,

    #[command(flatten)]
    series_filter: SeriesFilter,
}

#[derive(Serialize)]
struct RepositoryStatsView {
    snapshots: u64,
    forgotten: u64,
    files: u64,
    dirs: u64,
    bytes: u64,
    chunks_indexed: u64,
    chunks: u64,
    unique_bytes: u64,
    inline_bytes: u64,
    nodes: u64,
    stored_bytes: u64,
    dedup_ratio: Option<f64>,
    compression_ratio: Option<f64>,
    total_ratio: Option<f64>,
    usage: Vec<ClassUsageView>,
}

#[derive(Serialize)]
struct ClassUsageView {
    class: &'static str,
    objects: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct SnapshotStatsView {
    snapshot: SnapshotView,
    chunks: u64,
    unique_bytes: u64,
    inline_bytes: u64,
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &StatsArgs) -> Result<Exit, Failure> {
    let wanted = args.snap.as_ref().map(|text| SnapshotSpec::parse(text, &here()?)).transpose()?;
    if wanted.is_none() && !args.series_filter.is_empty() {
        let why = "--host, --app and --tag choose a snapshot, and none is named";
        return Err(Failure::usage(why).hint("name one: `drumlin stats latest --host NAME`"));
    }
    let repository = ctx.connector.open(Purpose::Work)?;
    let threads = ctx.global.threads();
    if let Some(wanted) = wanted {
        let (snapshot, reader) =
            wanted.among(&args.series_filter).open_with(&ctx.ui, &repository, Reader::tolerant)?;
        let (figures, _) = ctx
            .run("counting", |monitor| stats::of_snapshot(&reader, &snapshot, threads, monitor))?;
        return tell_snapshot(ctx, &figures);
    }
    let all = sound_snapshots(ctx, &repository)?;
    let listing = snapshots::listing(&repository)?;
    warn_of_list(&ctx.ui, &repository, &listing)?;
    let forgotten = listing.forgotten.len() as u64;
    let reader = Reader::tolerant(&repository)?;
    let count =
        |monitor: &Arc<Monitor>| stats::of_repository(&reader, &all, forgotten, threads, monitor);
    let (figures, _) = ctx.run("counting", count)?;
    tell_repository(ctx, &figures)
}

/// Returns the readable snapshots; warns of the others, which are missing from the figures.
fn sound_snapshots(ctx: &Context, repository: &Repository) -> Result<Vec<Snapshot>, Failure> {
    let mut sound = Vec::new();
    for (id, snapshot) in snapshots::list_all(repository)? {
        match snapshot {
            Ok(snapshot) => sound.push(snapshot),
            Err(error) => ctx.ui.damage(&format!(
                "snapshot {} is not counted: {}",
                id.short(),
                Failure::from(error).text()
            )),
        }
    }
    Ok(sound)
}

fn tell_snapshot(ctx: &Context, figures: &SnapshotFigures) -> Result<Exit, Failure> {
    let SnapshotFigures { snapshot, chunks, unique_bytes, inline_bytes } = figures;
    if ctx.ui.json {
        let (chunks, unique_bytes, inline_bytes) = (*chunks, *unique_bytes, *inline_bytes);
        let view = SnapshotStatsView {
            snapshot: SnapshotView::new(snapshot),
            chunks,
            unique_bytes,
            inline_bytes,
        };
        ctx.ui.print_json(&view)?;
        return Ok(Exit::Done);
    }
    let totals = snapshot.stats.totals;
    ctx.ui.print(&format!(
        "snapshot {}\n  files    {} in {}, {}\n  content  {} without repetitions, in {}{}",
        snapshot.id.short(),
        text::count(totals.files),
        text::counted(totals.dirs, "folder"),
        text::size(totals.bytes),
        text::size(*unique_bytes),
        text::counted(*chunks, "chunk"),
        in_trees(*inline_bytes),
    ))?;
    Ok(Exit::Done)
}

/// Returns the text about content that is inline in trees, if any.
fn in_trees(inline_bytes: u64) -> String {
    if inline_bytes == 0 {
        String::new()
    } else {
        format!(" and, of small files, {} in trees", text::size(inline_bytes))
    }
}

fn tell_repository(ctx: &Context, figures: &RepositoryFigures) -> Result<Exit, Failure> {
    if ctx.ui.json {
        ctx.ui.print_json(&view(figures))?;
        return Ok(Exit::Done);
    }
    // Ratios near 1 are left out: one snapshot has few repetitions, and a few files more overhead
    // than content.
    let times = |ratio: Option<f64>| {
        ratio
            .filter(|ratio| *ratio >= 1.005)
            .map_or_else(String::new, |ratio| format!("  ({ratio:.2} times smaller)"))
    };
    let bytes = figures.totals.bytes;
    let mut lines = vec![
        format!(
            "{} of {}",
            text::counted(figures.snapshots, "snapshot"),
            text::counted(figures.totals.files, "file")
        ),
        format!("  as full copies       {:>10}", text::size(bytes)),
        format!(
            "  without repetitions  {:>10}{}",
            text::size(figures.unique_bytes),
            times(figures.dedup_ratio())
        ),
        format!(
            "  stored content       {:>10}{}",
            text::size(figures.stored_bytes_of("data")),
            times(figures.compression_ratio())
        ),
        format!(
            "  stored altogether    {:>10}{}",
            text::size(figures.stored_bytes()),
            times(figures.total_ratio())
        ),
        String::new(),
        format!(
            "  {} of content{}, {} of trees",
            text::counted(figures.chunks, "chunk"),
            in_trees(figures.inline_bytes),
            text::counted(figures.nodes, "node")
        ),
    ];
    if figures.forgotten > 0 {
        lines.push(format!(
            "  {} in the trash, not counted above",
            text::counted(figures.forgotten, "snapshot")
        ));
    }
    let used = figures.usage.iter().filter(|usage| usage.objects > 0);
    lines.extend(used.map(|usage| {
        format!(
            "  {:<10} {:>8}  {:>10}",
            usage.folder,
            text::counted(usage.objects, "object"),
            text::size(usage.bytes)
        )
    }));
    ctx.ui.print(&lines.join("\n"))?;
    Ok(Exit::Done)
}

fn view(figures: &RepositoryFigures) -> RepositoryStatsView {
    RepositoryStatsView {
        snapshots: figures.snapshots,
        forgotten: figures.forgotten,
        files: figures.totals.files,
        dirs: figures.totals.dirs,
        bytes: figures.totals.bytes,
        chunks_indexed: figures.chunks_indexed,
        chunks: figures.chunks,
        unique_bytes: figures.unique_bytes,
        inline_bytes: figures.inline_bytes,
        nodes: figures.nodes,
        stored_bytes: figures.stored_bytes(),
        dedup_ratio: figures.dedup_ratio(),
        compression_ratio: figures.compression_ratio(),
        total_ratio: figures.total_ratio(),
        usage: figures
            .usage
            .iter()
            .map(|usage| ClassUsageView {
                class: usage.folder,
                objects: usage.objects,
                bytes: usage.bytes,
            })
            .collect(),
    }
}
