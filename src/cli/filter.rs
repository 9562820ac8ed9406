//! Options that choose snapshots.

use clap::Args;

use super::context::Context;
use super::failure::{Exit, Failure};
use crate::format::snapshot::Snapshot;
use crate::repo::{Repository, snapshots};

/// Which snapshots are meant; all, if nothing is said.
#[derive(Args)]
pub struct SnapshotFilter {
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

impl SnapshotFilter {
    /// Returns whether a snapshot is meant, but for `--latest`.
    pub fn fits(&self, snapshot: &Snapshot) -> bool {
        self.app.as_ref().is_none_or(|app| snapshot.app == *app)
            && self.host.as_ref().is_none_or(|host| snapshot.host == *host)
            && self.tags.iter().all(|tag| snapshot.tags.contains(tag))
    }

    /// Leaves what `--latest` leaves of a list whose newest is the last.
    pub fn keep_newest<T>(&self, list: &mut Vec<T>) {
        list.drain(..list.len().saturating_sub(self.latest.unwrap_or(usize::MAX)));
    }

    /// Loads the snapshots that are meant, oldest first, and warns of damaged ones: what they hold cannot be told.
    pub fn load(&self, ctx: &Context, repository: &Repository) -> Result<(Vec<Snapshot>, Exit), Failure> {
        let (mut good, mut exit) = (Vec::new(), Exit::Done);
        for (id, snapshot) in snapshots::list_all(repository)? {
            match snapshot {
                Ok(snapshot) => good.push(snapshot),
                Err(error) => {
                    ctx.ui.warn(&format!("snapshot {} is left out: {}", id.short(), Failure::from(error).text()));
                    exit = Exit::Damage;
                }
            }
        }
        good.retain(|snapshot| self.fits(snapshot));
        self.keep_newest(&mut good);
        Ok((good, exit))
    }
}
