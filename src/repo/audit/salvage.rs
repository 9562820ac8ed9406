//! Salvage for `repair`: reads what packs still hold, and makes new index runs and packs of it.
//!
//! It never removes objects.
//!
//! Spec: `format-spec/06-index.md`, sections 4 and 5.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::compress::{Compression, SegmentCompressor, SegmentDecompressor};
use crate::container::{ContainerBuilder, Opener, Sealed, Segment, name_of, walk};
use crate::crypto::id_keys::IdKeys;
use crate::format::container::{
    ChunkRecord, HEADER_LEN_BYTES, Header, PackToc, SegmentCodec, SegmentRecord,
};
use crate::format::run::{PackClass, PackRef, RunRecord, RunToc};
use crate::id::ObjectId;
use crate::repo::cache;
use crate::repo::error::Result;
use crate::repo::gc::generations::Generations;
use crate::repo::index::{DRAFTS, FILTERS, IndexSet, Location, PlacedPack, Run, WHOLE, seal_run};
use crate::repo::objects::bad_sectors::read_around;
use crate::repo::objects::layout;
use crate::repo::open::Repository;
pub use crate::repo::read::pack_tables::ListedPack;
use crate::repo::read::pack_tables::{self, pack_ref};
use crate::repo::read::reader::Reader;
use crate::store::{Class, ErrorKind, Key, StoreError};

/// Places of a pack's segments: offset and length in bytes.
pub type SegmentPlaces = BTreeMap<u32, u32>;

/// Returns the generation that runs of packs may state if the packs are listed from now on: no
/// generation up to it can still remove one of them.
///
/// Spec: `format-spec/13-commit.md`, section 2.3.
pub fn stamp(repository: &Repository) -> Result<u64> {
    let generations = Generations::list(repository)?;
    match generations.is_at_work(repository) {
        Ok(false) => Ok(generations.highest()),
        Ok(true) => Ok(generations.highest() - 1),
        // The records cannot be read, so the runs state the generation that is trusted least.
        Err(error) if error.is_damage() => Ok(0),
        Err(error) => Err(error),
    }
}

/// Result of salvaging a pack.
pub struct Salvaged {
    /// The pack with its segments; unreadable segments have no chunks.
    pub placed: PlacedPack,
    /// Whether a byte of it is known to be wrong or missing.
    pub is_damaged: bool,
}

/// Reads the content of a pack: its table of contents or, if that is damaged or `whole` is set,
/// each segment.
///
/// Returns `None` if no part of the pack can be read.
pub fn salvage(
    repository: &Repository,
    pack: &ListedPack,
    whole: bool,
) -> Result<Option<Salvaged>> {
    if !whole {
        match pack_tables::read(repository, pack, None) {
            Err(error) if error.is_damage() => {}
            read => return Ok(Some(Salvaged { placed: read?, is_damaged: false })),
        }
    }
    let key = layout::pack_key(pack.class, &pack.name);
    let bytes = stored_bytes(repository, &key, pack.len_bytes)?;
    let kind = layout::container_kind(pack.class);
    let Ok(opener) = Opener::from_header(repository.open_keys(), kind, &bytes) else {
        return Ok(None);
    };
    let Ok(header) = Header::decode(&bytes) else {
        return Ok(None);
    };
    let mut toc = PackToc::default();
    for walked in walk(&opener, &bytes) {
        let segment = walked.raw.ok().and_then(|raw| Segment::parse(raw).ok());
        let chunks =
            segment.map(|segment| chunks_of(repository.ids(), &segment)).unwrap_or_default();
        toc.segments.push(SegmentRecord { stored_len: walked.frame.stored_len() as u32, chunks });
    }
    let is_empty = toc.segments.iter().all(|segment| segment.chunks.is_empty());
    let is_damaged = name_of(&bytes) != pack.name;
    Ok((!is_empty).then(|| Salvaged {
        placed: PlacedPack { pack: pack_ref(pack, header.salt), toc },
        is_damaged,
    }))
}

/// Returns the places of the readable segments of a salvaged pack.
pub fn places_of(placed: &PlacedPack) -> SegmentPlaces {
    let mut places = SegmentPlaces::new();
    let mut offset = HEADER_LEN_BYTES as u32;
    for segment in &placed.toc.segments {
        if !segment.chunks.is_empty() {
            places.insert(offset, segment.stored_len);
        }
        offset += segment.stored_len;
    }
    places
}

/// Returns the chunks of a segment, with ids computed from their bytes.
fn chunks_of(ids: &IdKeys, segment: &Segment) -> Vec<ChunkRecord> {
    let record = |(kind, bytes): (_, &[u8])| ChunkRecord {
        kind,
        id: ids.chunk_id(kind, bytes),
        len: bytes.len() as u32,
    };
    segment.chunks().map(record).collect()
}

/// Adds to each pack in `wanted` the places of its segments in the records of `run`.
pub fn places_in(
    run: &Run,
    wanted: &mut HashMap<ObjectId, (PackRef, SegmentPlaces)>,
) -> Result<()> {
    for_each_record(run, |record, location| {
        if let Some((pack, places)) = wanted.get_mut(&location.pack.name) {
            *pack = location.pack;
            places.insert(record.offset, record.stored_len);
        }
    })
}

/// Calls `act` with every record of a run and the place that it states.
pub fn for_each_record(run: &Run, mut act: impl FnMut(&RunRecord, &Location)) -> Result<()> {
    for block in 0..run.block_count() {
        run.read_block(block)?.iter().for_each(|record| act(record, &run.location(record)));
    }
    Ok(())
}

/// Result of resealing a pack.
pub struct Resealed {
    /// The new pack; `None` if no segment could be read.
    pub placed: Option<PlacedPack>,
    /// Whether every segment could be read.
    pub is_whole: bool,
}

/// Makes a new pack of the readable segments of a pack, from the store or from the local copy.
///
/// The new pack stays in the local cache until [`store_pack`].
pub fn reseal(repository: &Repository, pack: &PackRef, places: &SegmentPlaces) -> Result<Resealed> {
    let bytes = best_bytes(repository, pack)?;
    let kind = layout::container_kind(pack.class);
    let opener = Opener::from_salt(repository.open_keys(), kind, &pack.salt);
    let mut builder = ContainerBuilder::new(kind, Vec::new());
    let mut compressor = SegmentCompressor::thorough(Compression::DEFAULT);
    let mut decompressor = SegmentDecompressor::default();
    let mut resealed = 0;
    for (offset, stored_len) in places {
        let range = *offset as usize..(*offset as usize).saturating_add(*stored_len as usize);
        let Some(stored) = bytes.get(range) else { continue };
        let mut raw = Vec::new();
        if opener
            .segment(u64::from(*offset), &mut stored.to_vec(), &mut decompressor, &mut raw)
            .is_err()
        {
            continue;
        }
        let Ok(segment) = Segment::parse(raw) else { continue };
        let chunks = chunks_of(repository.ids(), &segment);
        if chunks.iter().any(|chunk| chunk.check(kind).is_err()) {
            continue;
        }
        let raw = segment.into_buffer();
        match compressor.compress(&raw) {
            Some(body) => builder.push(SegmentCodec::Zstd, body, raw.len(), chunks),
            None => builder.push(SegmentCodec::Raw, &raw, raw.len(), chunks),
        }
        resealed += 1;
    }
    let is_whole = resealed == places.len();
    if builder.is_empty() {
        return Ok(Resealed { placed: None, is_whole });
    }
    let Sealed { name, salt, bytes, toc } =
        builder.finish_pack(repository.seal_keys(), &repository.random_32()?);
    repository.cache().write(DRAFTS, &name.to_hex(), &bytes)?;
    if pack.class == PackClass::Meta {
        // Trees must be readable before the pack is in the store.
        repository.cache().write_trees(&name.to_hex(), &bytes)?;
    }
    let len = u32::try_from(bytes.len()).expect("packs are at most 256 MiB");
    let placed = PlacedPack { pack: PackRef { class: pack.class, name, len, salt }, toc };
    Ok(Resealed { placed: Some(placed), is_whole })
}

/// Returns a pack's bytes: the local copy if it is intact, or else what the store has.
fn best_bytes(repository: &Repository, pack: &PackRef) -> Result<Vec<u8>> {
    let copy = repository
        .cache()
        .read(cache::TREES, &pack.name.to_hex())
        .filter(|bytes| name_of(bytes) == pack.name);
    match copy {
        Some(bytes) => Ok(bytes),
        None => {
            stored_bytes(repository, &layout::pack_key(pack.class, &pack.name), pack.len.into())
        }
    }
}

/// Returns what the store has of an object with this expected length; nothing if the object is
/// missing.
fn stored_bytes(repository: &Repository, key: &Key, len_bytes: u64) -> Result<Vec<u8>> {
    match repository.store().read(key) {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) if error.kind == ErrorKind::Unreadable => {
            let mut bytes = Vec::new();
            read_around(repository.store(), key, len_bytes, &mut bytes)?;
            Ok(bytes)
        }
        read => Ok(read?),
    }
}

/// Makes a run of these packs that replaces others; it stays in the local cache until
/// [`store_run`].
pub fn run_of_packs(
    repository: &Repository,
    packs: &[PlacedPack],
    generation: u64,
    replaces: Vec<ObjectId>,
) -> Result<ObjectId> {
    let sealed = crate::repo::index::build_replacing_run(repository, packs, generation, replaces)?;
    keep(repository, &sealed)
}

/// Makes a run with the records of `run` whose packs pass `is_kept`, and which replaces it.
///
/// It states the same generation and session as `run`, because it names some of the same packs.
/// Returns its name and the number of dropped records.
pub fn run_without(
    repository: &Repository,
    run: &Run,
    is_kept: impl Fn(&PackRef) -> bool,
) -> Result<(ObjectId, u64)> {
    let mut packs = Vec::new();
    let mut places: HashMap<ObjectId, u32> = HashMap::new();
    let mut records = Vec::new();
    for_each_record(run, |record, location| {
        if is_kept(&location.pack) {
            let pack = *places.entry(location.pack.name).or_insert_with(|| {
                packs.push(location.pack);
                packs.len() as u32 - 1
            });
            records.push(RunRecord { pack, ..*record });
        }
    })?;
    let left_out = run.toc().record_count() - records.len() as u64;
    let toc = RunToc {
        generation: run.toc().generation,
        session: run.toc().session,
        // The runs that `run` replaces may still exist, and must not come back.
        replaces: std::iter::once(run.name()).chain(run.toc().replaces.iter().copied()).collect(),
        packs,
        ..RunToc::default()
    };
    Ok((keep(repository, &seal_run(repository, toc, &records)?)?, left_out))
}

fn keep(repository: &Repository, sealed: &Sealed) -> Result<ObjectId> {
    repository.cache().write(DRAFTS, &sealed.name.to_hex(), &sealed.bytes)?;
    Ok(sealed.name)
}

/// Returns a reader whose index consists of exactly these stored runs and drafts.
pub fn reader_of(
    repository: &Arc<Repository>,
    stored: Vec<Arc<Run>>,
    made: &[ObjectId],
) -> Result<Arc<Reader>> {
    let set = IndexSet::with_drafts(repository.cache(), repository.records(), stored, made)?;
    Ok(Reader::with_index(repository, set))
}

/// Stores a pack that [`reseal`] made.
pub fn store_pack(repository: &Repository, pack: &PackRef) -> Result<()> {
    let key = layout::pack_key(pack.class, &pack.name);
    create(repository, &key, repository.cache().read_or_fail(DRAFTS, &pack.name.to_hex())?)
}

/// Stores a run that [`run_of_packs`] or [`run_without`] made.
pub fn store_run(repository: &Repository, name: &ObjectId) -> Result<()> {
    let bytes = repository.cache().read_or_fail(DRAFTS, &name.to_hex())?;
    create(repository, &layout::run_key(0, name), bytes.clone())?;
    // The cached copy saves fetching it.
    repository.cache().write(WHOLE, &name.to_hex(), &bytes)
}

fn create(repository: &Repository, key: &Key, bytes: Vec<u8>) -> Result<()> {
    crate::repo::open::check_writable(repository.config())?;
    match repository.store().create(key, &bytes) {
        Ok(()) | Err(StoreError { kind: ErrorKind::Exists, .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Returns whether the store lists all of these runs.
pub fn are_listed<'a>(
    repository: &Repository,
    mut runs: impl Iterator<Item = &'a ObjectId>,
) -> Result<bool> {
    let listed = repository.store().list(Class::Index, "")?;
    let listed: HashSet<ObjectId> =
        listed.iter().filter_map(|object| layout::object_id(&object.name)).collect();
    Ok(runs.all(|run| listed.contains(run)))
}

/// Removes drafts from the local cache.
pub fn forget(repository: &Repository, packs: &[PackRef], runs: &[ObjectId]) {
    for pack in packs {
        repository.cache().remove(DRAFTS, &pack.name.to_hex());
    }
    for run in runs {
        [DRAFTS, FILTERS]
            .into_iter()
            .for_each(|group| repository.cache().remove(group, &run.to_hex()));
    }
}
