//! Index runs that lie about where chunks are, sealed by hand.

use drumlin::format::run::{PackClass, PackRef, RunRecord, RunToc};
use drumlin::id::ObjectId;
use drumlin::repo::Repository;
use drumlin::repo::index::{PlacedPack, seal_run};
use drumlin::repo::objects::layout;
use drumlin::repo::read::pack_tables::{self, ListedPack};
use drumlin::store::{Class, Key, Store};

const HEADER_LEN_BYTES: u32 = drumlin::format::container::HEADER_LEN_BYTES as u32;

/// How a run lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// All file content is where the first chunk of one pack is.
    AnotherChunk,
    /// All file content is in one pack, where nothing begins.
    NoSegment,
    /// All file content is in its own pack, where nothing begins.
    OwnPack,
}

/// Seals a lying run. It is asked before all others, and hides them if that is wanted.
pub fn forge_run(forger: &Repository, store: &dyn Store, lie: Lie, hides: bool) -> (Key, Vec<u8>) {
    let (packs, others) = (packs(forger, store), runs(store));
    let records = lies(&packs, lie);
    let named: Vec<PackRef> = packs.iter().map(|placed| placed.pack).collect();
    loop {
        let replaces = if hides { others.clone() } else { Vec::new() };
        let toc = RunToc { packs: named.clone(), replaces, ..RunToc::default() };
        let sealed = seal_run(forger, toc, &records).unwrap();
        // Runs are asked in the order of the listing.
        if hides || others.iter().all(|other| sealed.name < *other) {
            return (layout::run_key(0, &sealed.name), sealed.bytes);
        }
    }
}

/// Returns a record for each chunk, right for trees and for the first pack with content, and wrong
/// for the rest.
fn lies(packs: &[PlacedPack], lie: Lie) -> Vec<RunRecord> {
    let mut records: Vec<(PackClass, RunRecord)> = Vec::new();
    for (at, placed) in (0u32..).zip(packs) {
        let mut offset = HEADER_LEN_BYTES;
        for segment in &placed.toc.segments {
            let stored_len = segment.stored_len;
            for (chunk, found) in (0u16..).zip(&segment.chunks) {
                let right = RunRecord { id: found.id, pack: at, offset, stored_len, chunk };
                let wrong = match lie {
                    Lie::AnotherChunk => {
                        RunRecord { pack: 0, offset: HEADER_LEN_BYTES, chunk: 0, ..right }
                    }
                    Lie::NoSegment => RunRecord {
                        pack: 0,
                        offset: HEADER_LEN_BYTES + 1,
                        stored_len: 100,
                        chunk: 0,
                        ..right
                    },
                    Lie::OwnPack => RunRecord {
                        offset: HEADER_LEN_BYTES + 1,
                        stored_len: 100,
                        chunk: 0,
                        ..right
                    },
                };
                let is_lie = placed.pack.class == PackClass::Data && at > 0;
                records.push((placed.pack.class, if is_lie { wrong } else { right }));
            }
            offset += stored_len;
        }
    }
    records.sort_by_key(|(class, record)| (*class, record.id));
    records.dedup_by_key(|(_, record)| record.id);
    records.into_iter().map(|(_, record)| record).collect()
}

/// Returns the packs of a store with their own tables.
pub fn packs(repository: &Repository, store: &dyn Store) -> Vec<PlacedPack> {
    let of = |class: PackClass| {
        let listed = store.list(layout::store_class(class), "").unwrap();
        listed.into_iter().filter_map(move |object| {
            let name = layout::object_id(&object.name)?;
            Some(
                pack_tables::read(
                    repository,
                    &ListedPack { class, name, len_bytes: object.len_bytes },
                    None,
                )
                .unwrap(),
            )
        })
    };
    of(PackClass::Data).chain(of(PackClass::Meta)).collect()
}

fn runs(store: &dyn Store) -> Vec<ObjectId> {
    let mut runs: Vec<ObjectId> = store
        .list(Class::Index, "")
        .unwrap()
        .iter()
        .filter_map(|object| layout::object_id(&object.name))
        .collect();
    runs.sort_unstable();
    runs
}
