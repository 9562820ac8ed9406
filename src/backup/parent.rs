//! Parent of a backup, and the snapshot before it in the host's chain.

use std::collections::{BTreeMap, HashSet};

use super::options::{BackupOptions, Error};
use crate::format::snapshot::Snapshot;
use crate::id::SnapshotId;
use crate::repo::gc::horizon;
use crate::repo::open::notes;
use crate::repo::snapshots::{self, incomplete, protect, series_notes, trash};
use crate::repo::{Reader, Repository, Result};

/// The snapshots before this backup.
pub(super) struct Parent {
    /// The last snapshot of the same host, app and sources.
    pub snapshot: Option<Snapshot>,
    /// Without a parent: snapshots of the same host and app that name any of the sources, the
    /// newest first.
    pub others: Vec<Snapshot>,
    /// The last snapshot that this machine made for the host, of any sources.
    chain: Option<SnapshotId>,
    host: String,
}

impl Parent {
    /// Finds the parent by this machine's notes; without notes, lists the snapshots.
    pub(super) fn find(
        reader: &Reader,
        options: &BackupOptions,
        sources: &[Vec<u8>],
    ) -> Result<Self> {
        let repository = reader.repository();
        let chain = series_notes::load_id(repository, &series_notes::chain_name(&options.host));
        let noted = series_notes::load_id(repository, &series_name(options, sources));
        // With a forgotten parent, "unchanged" would refer to a snapshot in the trash.
        let noted = noted.filter(|id| trash::load_cached(repository, id).is_none());
        // An incomplete parent would hide that its missing chunks must be stored again.
        let incomplete = incomplete::noted(repository);
        let noted = noted.filter(|id| !incomplete.contains(id));
        let host = options.host.clone();
        if let Some(snapshot) = noted.and_then(|id| snapshots::load_cached(repository, &id)) {
            return Ok(Self { snapshot: Some(snapshot), others: Vec::new(), chain, host });
        }
        let mut others = of_sources(reader, options, sources)?;
        let newest = others.iter().position(|other| other.sources == sources);
        let snapshot = newest
            .filter(|at| !incomplete.contains(&others[*at].id))
            .map(|at| others.swap_remove(at));
        if snapshot.is_some() {
            others.clear();
        }
        Ok(Self { snapshot, others, chain, host })
    }

    /// Uses no parent, only the chain, for a backup that reads everything again.
    pub(super) fn none(
        reader: &Reader,
        options: &BackupOptions,
        sources: &[Vec<u8>],
    ) -> Result<Self> {
        // The condemned packs must be known before any lookup, or the backup would depend on them
        // again.
        horizon::sync(reader.chunk_index())?;
        let chain =
            series_notes::load_id(reader.repository(), &series_notes::chain_name(&options.host));
        let others = of_sources(reader, options, sources)?;
        Ok(Self { snapshot: None, others, chain, host: options.host.clone() })
    }

    /// Returns the newest snapshot of the host's chain, after checking that the snapshots that this
    /// machine saw still exist.
    ///
    /// `slots` are the commit slots and their lengths. Fails with `RolledBack` if a snapshot that
    /// this machine wrote or used is missing and was not forgotten.
    pub(super) fn check_still_there(
        &self,
        repository: &Repository,
        slots: &BTreeMap<SnapshotId, u64>,
    ) -> std::result::Result<Option<Snapshot>, Error> {
        for id in self.snapshot.iter().map(|parent| parent.id).chain(self.chain) {
            if !slots.contains_key(&id)
                && (protect::holds(repository, &id)? || !trash::was_forgotten(repository, &id)?)
            {
                let what = format!("snapshot {}", id.short());
                return Err(crate::repo::Error::RolledBack {
                    location: repository.location().to_owned(),
                    what,
                }
                .into());
            }
        }
        let noted = self.chain.and_then(|id| snapshots::load_cached(repository, &id));
        if let Some(previous) = noted.filter(snapshots::can_be_followed) {
            return Ok(Some(previous));
        }
        // A damaged old snapshot must not stop new ones; `check` reports it.
        Ok(snapshots::newest_of_host(repository, &self.host, slots)?)
    }
}

/// Notes a new snapshot as the next parent. Without the note, the next backup lists snapshots.
pub(super) fn remember(
    repository: &Repository,
    options: &BackupOptions,
    snapshot: &Snapshot,
) -> Result<()> {
    notes::save(repository, &series_name(options, &snapshot.sources), &snapshot.id.0)?;
    series_notes::remember_chain(repository, &options.host, snapshot.id)
}

/// Returns the snapshots of the same host and app that name any of the sources, the newest first.
fn of_sources(
    reader: &Reader,
    options: &BackupOptions,
    sources: &[Vec<u8>],
) -> Result<Vec<Snapshot>> {
    let all = snapshots::list_all(reader.repository())?;
    let wanted: HashSet<&[u8]> = sources.iter().map(Vec::as_slice).collect();
    let names_any = |snapshot: &Snapshot| {
        snapshot.sources.iter().any(|source| wanted.contains(source.as_slice()))
    };
    let fits = |snapshot: &Snapshot| {
        snapshot.host == options.host && snapshot.app == options.app && names_any(snapshot)
    };
    let found: Vec<Snapshot> =
        all.into_iter().rev().filter_map(|(_, snapshot)| snapshot.ok()).filter(fits).collect();
    if !found.is_empty() {
        // The index must be as new as the snapshots, since their trees are looked up in it.
        reader.sync()?;
    }
    Ok(found)
}

/// Returns the name of this machine's notes about a series: same host, app and sources.
pub(super) fn series_name(options: &BackupOptions, sources: &[Vec<u8>]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in [options.host.as_bytes(), options.app.as_bytes()]
        .into_iter()
        .chain(sources.iter().map(Vec::as_slice))
    {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    format!("series {}", hasher.finalize().to_hex())
}
