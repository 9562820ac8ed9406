//! Options that choose snapshots.

use clap::Args;

use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::series_filter::{HEADING, SeriesFilter};
use super::snapshot_spec::warn_of_list;
use crate::format::snapshot::Snapshot;
use crate::repo::Repository;
use crate::repo::snapshots;

/// Filter by series and number.
#[derive(Args)]
pub(super) struct SnapshotFilter {
    #[command(flatten)]
    series_filter: SeriesFilter,

    /// Only the newest N snapshots
    #[arg(long, value_name = "N", help_heading = HEADING)]
    latest: Option<usize>,
}

impl SnapshotFilter {
    /// Returns the filter without `--latest`.
    pub(super) fn series_filter(&self) -> &SeriesFilter {
        &self.series_filter
    }

    /// Returns whether a snapshot passes the filter without `--latest`.
    pub(super) fn fits(&self, snapshot: &Snapshot) -> bool {
        self.series_filter.fits(snapshot)
    }

    /// Applies `--latest` to a list, oldest first.
    pub(super) fn keep_newest<T>(&self, list: &mut Vec<T>) {
        list.drain(..list.len().saturating_sub(self.latest.unwrap_or(usize::MAX)));
    }

    /// Loads the snapshots that pass the filter, oldest first, and warns of damaged ones.
    pub(super) fn load(
        &self,
        ctx: &Context,
        repository: &Repository,
    ) -> Result<(Vec<Snapshot>, Exit), Failure> {
        let (mut good, mut exit) = (Vec::new(), Exit::Done);
        let listing = snapshots::overview(repository)?;
        warn_of_list(&ctx.ui, repository, &listing)?;
        for (id, snapshot) in listing.snapshots {
            match snapshot {
                Ok(snapshot) => good.push(snapshot),
                Err(error) => {
                    ctx.ui.loss(&format!(
                        "snapshot {} is left out: {}",
                        id.short(),
                        Failure::from(error).text()
                    ));
                    exit = Exit::Damage;
                }
            }
        }
        good.retain(|snapshot| self.fits(snapshot));
        self.keep_newest(&mut good);
        Ok((good, exit))
    }
}
