//! Resolution of named snapshots to forget or protect.

use std::sync::Arc;

use super::args::ForgetArgs;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::snapshot_spec::{Candidates, SnapshotSpec, is_by_id};
use crate::connect::host::here;
use crate::format::snapshot::Snapshot;
use crate::id::SnapshotId;
use crate::repo::snapshots::Listing;
use crate::repo::{Error, Reader, Repository, Trees};
use crate::text;

/// The named snapshots, each once.
pub(super) struct NamedSnapshots {
    /// Snapshots that can be read.
    pub good: Vec<Snapshot>,
    /// Those that cannot.
    pub unreadable: Vec<SnapshotId>,
}

impl NamedSnapshots {
    /// Returns all of them.
    pub(super) fn ids(&self) -> Vec<SnapshotId> {
        self.good
            .iter()
            .map(|snapshot| snapshot.id)
            .chain(self.unreadable.iter().copied())
            .collect()
    }
}

/// Parses the names of the command line.
pub(super) fn parse(args: &ForgetArgs) -> Result<Vec<SnapshotSpec>, Failure> {
    let here = here()?;
    let parse = |text| {
        let name = SnapshotSpec::parse(text, &here)?.among(&args.which.series_filter);
        if name.path.is_some() && !name.snapshot.starts_with("latest") {
            let why = "whole snapshots are forgotten, not paths of them";
            return Err(Failure::usage(why)
                .hint("leave the path out; `latest:/PATH` is the newest snapshot that holds it"));
        }
        Ok(name)
    };
    args.snaps.iter().map(|text| parse(text)).collect()
}

/// Finds the named snapshots. One in the trash is skipped, unless it is to be protected, which
/// fails.
pub(super) fn resolve_all(
    ctx: &Context,
    repository: &Arc<Repository>,
    listing: &Listing,
    names: &[SnapshotSpec],
    is_for_protection: bool,
) -> Result<NamedSnapshots, Failure> {
    let mut named = NamedSnapshots { good: Vec::new(), unreadable: Vec::new() };
    if names.is_empty() {
        return Ok(named);
    }
    let candidates = Candidates::of_listing(listing);
    let damaged = listing
        .snapshots
        .iter()
        .filter(|(_, snapshot)| snapshot.as_ref().is_err_and(Error::is_damage));
    let damaged: Vec<SnapshotId> = damaged.map(|(id, _)| *id).collect();
    let trees = || Ok(Trees::new(Reader::for_lookup(repository)?));
    for wanted in names {
        let name = wanted.snapshot.as_str();
        let begins = |id: &SnapshotId| !name.is_empty() && id.to_hex().starts_with(name);
        let mut fitting = damaged.iter().copied().filter(begins);
        if let Some(id) = fitting.next() {
            let is_good = |(id, snapshot): &(SnapshotId, crate::repo::Result<Snapshot>)| {
                snapshot.is_ok() && begins(id)
            };
            if fitting.next().is_some() || listing.snapshots.iter().any(is_good) {
                return Err(Error::Ambiguous { what: "snapshot", text: name.to_owned() }.into());
            }
            named.unreadable.extend(Some(id).filter(|id| !named.unreadable.contains(id)));
            continue;
        }
        let heads = repository.witness().heads_of(wanted.series_filter().host());
        if let Some(id) = damaged.iter().find(|id| heads.contains(id) && !is_by_id(name)) {
            let why = format!(
                "snapshot {} cannot be read, and may be the one that '{name}' means",
                id.short()
            );
            return Err(Failure::new(Exit::Damage, why).hint("name the snapshot by its id"));
        }
        match candidates.choose(&ctx.ui, wanted, &trees) {
            Ok(snapshot) if named.good.iter().any(|other| other.id == snapshot.id) => {}
            Ok(snapshot) => named.good.push(snapshot),
            Err(_) if is_forgotten(listing, name) && !is_for_protection => {
                ctx.ui.note(&format!(
                    "snapshot {} is in the trash already",
                    text::printable(name.as_bytes())
                ));
            }
            Err(failure) if is_forgotten(listing, name) => {
                return Err(failure.instead(
                    "it is in the trash: `drumlin undelete` brings it \
                    back, and it is protected then",
                ));
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(named)
}

fn is_forgotten(listing: &Listing, name: &str) -> bool {
    name.len() >= 8
        && listing.forgotten.iter().any(|one| one.tombstone.snapshot.to_hex().starts_with(name))
}
