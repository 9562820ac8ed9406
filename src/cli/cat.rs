//! `drumlin cat`: writes a file's content to standard output.

use clap::Args;

use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::series_filter::SeriesFilter;
use super::snapshot_spec::{SnapArg, SnapshotSpec};
use crate::browse;
use crate::connect::Purpose;
use crate::connect::host::here;
use crate::ui::output::BufferedStdout;

/// Write the content of a file in a snapshot to standard output
#[derive(Args)]
pub(super) struct CatArgs {
    /// The file, as SNAP:PATH
    ///
    /// An id or its first digits, latest, latest~2 (two before it), or APP@2026-03-01. A PATH that
    /// does not begin with / starts at the current folder.
    #[arg(value_name = "SNAP:PATH")]
    snap: SnapArg,

    #[command(flatten)]
    series_filter: SeriesFilter,
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &CatArgs) -> Result<Exit, Failure> {
    let wanted = SnapshotSpec::parse(&args.snap, &here()?)?.among(&args.series_filter);
    let Some(path) = &wanted.path else {
        return Err(Failure::usage("no file is named")
            .hint("write SNAP:PATH, for example latest:/etc/hosts"));
    };
    let repository = ctx.connector.open(Purpose::Look)?;
    let (snapshot, trees) = wanted.open(&ctx.ui, &repository)?;
    let place = browse::find(&trees, &snapshot, path)?;
    let mut out = BufferedStdout::open()?;
    ctx.run("reading", |monitor| browse::cat(&trees, &place, out.writer(), monitor))?;
    out.finish()?;
    Ok(Exit::Done)
}
