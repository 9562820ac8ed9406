//! The packs in the store, compared with the index. Spec: `format-spec/06-index.md`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::damage::Damage;
use super::level::Level;
use super::pack::ExpectedPack;
use super::packs::{PackStage, choose_sample};
use super::report::CheckReport;
use crate::format::run::{PackClass, PackRef};
use crate::id::ObjectId;
use crate::monitor::in_words;
use crate::repo::audit::{self, Findings};
use crate::repo::gc::generations;
use crate::repo::index::Avoided;
use crate::repo::objects::layout;
use crate::repo::{Error, Reader, Result};

/// Adds the findings of one class of objects to the report; returns how many objects were examined.
pub(super) fn note_findings(report: &mut CheckReport, findings: Findings) -> u64 {
    for fault in findings.faults {
        let is_back = matches!(fault.error, Error::RolledBack { .. } | Error::Unjustified { .. });
        report.went_back |= is_back;
        report.gone_back += u64::from(is_back);
        report.problem(fault.object, in_words(&fault.error));
    }
    report.notices.extend(
        findings.foreign.into_iter().map(|object| format!("{object} is no object of a repository")),
    );
    report.notices.extend(findings.notices);
    findings.seen
}

/// The packs in the store, by whether the index names them.
pub(super) struct PackInventory {
    /// Listed length of existing packs that the index names.
    pub indexed: HashMap<ObjectId, u64>,
    /// The same, for packs of file content only.
    pub indexed_data: HashMap<ObjectId, u64>,
    /// Packs that no index run names.
    pub unindexed: Vec<ExpectedPack>,
}

/// Lists the packs and compares them with the index: each must exist with the right length.
pub(super) fn list_packs(
    reader: &Arc<Reader>,
    report: &mut CheckReport,
    damage: &mut Damage,
) -> Result<PackInventory> {
    let repository = reader.repository();
    let mut listed = PackInventory {
        indexed: HashMap::new(),
        indexed_data: HashMap::new(),
        unindexed: Vec::new(),
    };
    let mut lens = [HashMap::new(), HashMap::new()];
    for class in [PackClass::Data, PackClass::Meta] {
        let listing = audit::packs(repository, class)?;
        report.notices.extend(
            listing
                .foreign
                .into_iter()
                .map(|object| format!("{object} is no object of a repository")),
        );
        lens[class as usize] = listing.len_bytes;
    }
    let mut missing: Vec<PackRef> = Vec::new();
    let mut seen = HashSet::new();
    for run in reader.index().runs() {
        for pack in run.toc().packs.iter().filter(|pack| seen.insert(pack.name)) {
            report.counts.packs += 1;
            report.counts.pack_bytes += u64::from(pack.len);
            let Some(len) = lens[pack.class as usize].remove(&pack.name) else {
                missing.push(*pack);
                continue;
            };
            if len != u64::from(pack.len) {
                let object = layout::pack_key(pack.class, &pack.name).to_string();
                report.problem(object, format!("it has {len} bytes instead of {}", pack.len));
                damage.record_truncated(pack.name, len);
            }
            listed.indexed.insert(pack.name, len);
            if pack.class == PackClass::Data {
                listed.indexed_data.insert(pack.name, len);
            }
        }
    }
    note_missing(reader, missing, report, damage)?;
    for class in [PackClass::Data, PackClass::Meta] {
        let left = std::mem::take(&mut lens[class as usize])
            .into_iter()
            .filter(|(name, _)| !seen.contains(name));
        listed.unindexed.extend(left.map(|(name, listed_len)| {
            let pack = PackRef {
                class,
                name,
                len: u32::try_from(listed_len).unwrap_or(u32::MAX),
                salt: [0; 32],
            };
            ExpectedPack { pack, listed_len, records: None }
        }));
    }
    report.counts.packs_unindexed = listed.unindexed.len() as u64;
    Ok(listed)
}

/// Records missing packs that the index names: by damage, or because a prune removed them.
///
/// A removed pack is no damage, unless a snapshot needs a chunk of it that is nowhere else.
fn note_missing(
    reader: &Arc<Reader>,
    missing: Vec<PackRef>,
    report: &mut CheckReport,
    damage: &mut Damage,
) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    for pack in &missing {
        reader.index().avoid_pack(pack.name);
        damage.record_gone(pack.name);
    }
    let removed = match generations::removed(reader.chunk_index()) {
        // The damaged record is reported already.
        Err(error) if error.is_damage() => Avoided::default(),
        other => other?,
    };
    let sound_runs =
        reader.index().runs().into_iter().filter(|run| !removed.stale_runs.contains(&run.name()));
    let named: HashSet<ObjectId> =
        sound_runs.flat_map(|run| run.toc().packs.clone()).map(|pack| pack.name).collect();
    let is_lost =
        |pack: &PackRef| named.contains(&pack.name) && !removed.packs.contains(&pack.name);
    for pack in audit::still_named(reader, missing)?.into_iter().filter(is_lost) {
        report.problem(layout::pack_key(pack.class, &pack.name).to_string(), "it is missing");
        damage.record_missing(pack.name);
    }
    Ok(())
}

/// Reads the packs that the level requires: none, those with trees, and some or all of the rest.
pub(super) fn verify_packs(
    stage: &mut PackStage<'_>,
    listed: &mut PackInventory,
    level: Level,
) -> Result<()> {
    let sample = match level {
        Level::Quick => return Ok(()),
        Level::Structure | Level::Full => HashSet::new(),
        Level::Sample { permille } => choose_sample(
            stage.ledger,
            listed.indexed_data.iter().map(|(name, len)| (*name, *len)),
            permille,
        ),
    };
    let indexed = &listed.indexed;
    let wanted = |pack: &PackRef| {
        let is_wanted =
            pack.class == PackClass::Meta || level == Level::Full || sample.contains(&pack.name);
        indexed.get(&pack.name).copied().filter(|_| is_wanted)
    };
    let packs = stage.reader.index().runs().into_iter().flat_map(|run| run.toc().packs.clone());
    let unindexed =
        if level == Level::Full { std::mem::take(&mut listed.unindexed) } else { Vec::new() };
    let total = packs
        .filter_map(|pack| wanted(&pack))
        .chain(unindexed.iter().map(|pack| pack.listed_len))
        .sum();
    stage.monitor.bytes_total.store(total, Ordering::Relaxed);
    stage.run(&wanted, unindexed)
}
