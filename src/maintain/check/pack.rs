//! Verification of one pack, byte by byte, and diagnosis of a damaged one.

use std::collections::BTreeMap;
use std::sync::Mutex;

use rayon::prelude::*;

use crate::compress::SegmentDecompressor;
use crate::container::{ContainerError, Opener, Segment, verify_segment};
use crate::crypto::container_keys::OpenKeys;
use crate::crypto::id_keys::IdKeys;
use crate::format::codec::DecodeError;
use crate::format::container::{ChunkRecord, HEADER_LEN_BYTES, Header, PackToc, SegmentRecord};
use crate::format::run::{PackRef, RunRecord};
use crate::id::ChunkId;
use crate::monitor::in_words;
use crate::repo::Reader;
use crate::repo::objects::layout;
use crate::sync::lock;

/// Damaged segments of one pack that are reported one by one.
const SEGMENTS_TOLD_MAX: usize = 16;

/// A pack to verify, and what the index states about it.
pub(super) struct ExpectedPack {
    /// The pack; only class and name count if no index run names it.
    pub pack: PackRef,
    /// Its length in the store's listing, in bytes.
    pub listed_len: u64,
    /// The index records of one run that place chunks in it; `None` if no run names the pack.
    pub records: Option<Vec<RunRecord>>,
}

/// The diagnosis of a damaged pack.
#[derive(Default)]
pub(super) struct Diagnosis {
    /// Messages, one for each damaged structure.
    pub faults: Vec<String>,
    /// Chunks that cannot be read from it.
    pub lost: Vec<ChunkId>,
    /// Whether that is every chunk that the index places in it.
    pub all_lost: bool,
}

/// Verifies packs of one repository; keeps decompressors and buffers between packs.
pub(super) struct PackVerifier<'a> {
    keys: &'a OpenKeys,
    ids: &'a IdKeys,
    scratch: Mutex<Vec<(SegmentDecompressor, Vec<u8>)>>,
}

impl<'a> PackVerifier<'a> {
    /// Makes a verifier of the packs that `reader` opens.
    pub(super) fn new(reader: &'a Reader) -> Self {
        let (keys, ids) = (reader.open_keys(), reader.repository().ids());
        Self { keys, ids, scratch: Mutex::default() }
    }

    /// Opens a pack whose bytes have the right hash: header, table, each segment, and each chunk's
    /// id.
    ///
    /// Overwrites `bytes`. Returns the table; the caller compares it with the index. Uses all
    /// threads of the current pool.
    pub(super) fn open_all(
        &self,
        expected: &ExpectedPack,
        bytes: &mut [u8],
    ) -> Result<PackToc, ContainerError> {
        let opener = self.header_opener(expected, bytes)?;
        let toc = opener.pack_toc(bytes)?;
        let mut segments = Vec::with_capacity(toc.segments.len());
        let mut offset = HEADER_LEN_BYTES as u64;
        let mut rest = &mut bytes[HEADER_LEN_BYTES..];
        for segment in &toc.segments {
            let (stored, behind) = rest.split_at_mut(segment.stored_len as usize);
            segments.push((offset, stored, segment));
            offset += u64::from(segment.stored_len);
            rest = behind;
        }
        segments.into_par_iter().try_for_each(|(offset, stored, segment)| {
            self.open_one(&opener, offset, stored, segment)
        })?;
        Ok(toc)
    }

    fn header_opener(
        &self,
        expected: &ExpectedPack,
        bytes: &[u8],
    ) -> Result<Opener, ContainerError> {
        let kind = layout::container_kind(expected.pack.class);
        let opener = Opener::from_header(self.keys, kind, bytes)?;
        if expected.records.is_some() && Header::decode(bytes)?.salt != expected.pack.salt {
            return Err(
                DecodeError::new("container header", "another salt than the index says").into()
            );
        }
        Ok(opener)
    }

    fn open_one(
        &self,
        opener: &Opener,
        offset: u64,
        stored: &mut [u8],
        expected: &SegmentRecord,
    ) -> Result<(), ContainerError> {
        let (mut decompressor, mut raw) = self.scratch().pop().unwrap_or_default();
        let frame = opener.segment(offset, stored, &mut decompressor, &mut raw)?;
        let segment = verify_segment(self.ids, expected, &frame, raw)?;
        self.scratch().push((decompressor, segment.into_buffer()));
        Ok(())
    }

    fn scratch(&self) -> std::sync::MutexGuard<'_, Vec<(SegmentDecompressor, Vec<u8>)>> {
        lock(&self.scratch)
    }

    /// Finds the damaged structures of a pack, and the chunks that can no longer be read through
    /// the index.
    pub(super) fn diagnose(&self, expected: &ExpectedPack, bytes: &[u8]) -> Diagnosis {
        let mut diagnosis = Diagnosis::default();
        let records = expected.records.as_deref().unwrap_or_default();
        let table = self
            .header_opener(expected, bytes)
            .map_err(|error| diagnosis.faults.push(in_words(&error)))
            .ok();
        let kind = layout::container_kind(expected.pack.class);
        let by_salt = expected
            .records
            .is_some()
            .then(|| Opener::from_salt(self.keys, kind, &expected.pack.salt));
        let Some(opener) = by_salt.or(table) else {
            return diagnosis;
        };
        let toc =
            opener.pack_toc(bytes).map_err(|error| diagnosis.faults.push(in_words(&error))).ok();
        let mut damaged_segments = 0;
        for (offset, (stored_len, records)) in segments_of(toc.as_ref(), records) {
            let opened = bytes
                .get(offset as usize..offset as usize + stored_len as usize)
                .ok_or(ContainerError::Short);
            let opened = opened.and_then(|stored| self.open_alone(&opener, offset, stored));
            let lost: Vec<ChunkId> = match &opened {
                Ok(segment) => {
                    records.iter().filter(|r| !self.holds(segment, r)).map(|r| r.id).collect()
                }
                Err(_) => records.iter().map(|record| record.id).collect(),
            };
            if let Err(error) = opened {
                damaged_segments += 1;
                if damaged_segments <= SEGMENTS_TOLD_MAX {
                    let words = in_words(&error);
                    diagnosis.faults.push(format!(
                        "segment at byte {offset}: {words}; chunks lost: {}",
                        lost.len()
                    ));
                }
            } else if !lost.is_empty() {
                diagnosis.faults.push(format!(
                    "segment at byte {offset}: chunks of the index that it lacks: {}",
                    lost.len()
                ));
            }
            diagnosis.lost.extend(lost);
        }
        if damaged_segments > SEGMENTS_TOLD_MAX {
            diagnosis.faults.push(format!(
                "{} more segments are damaged",
                damaged_segments - SEGMENTS_TOLD_MAX
            ));
        }
        diagnosis.all_lost = !records.is_empty() && diagnosis.lost.len() == records.len();
        diagnosis
    }

    fn open_alone(
        &self,
        opener: &Opener,
        offset: u64,
        stored: &[u8],
    ) -> Result<Segment, ContainerError> {
        let mut raw = Vec::new();
        opener.segment(
            offset,
            &mut stored.to_vec(),
            &mut SegmentDecompressor::default(),
            &mut raw,
        )?;
        Ok(Segment::parse(raw)?)
    }

    fn holds(&self, segment: &Segment, record: &RunRecord) -> bool {
        let chunk = segment.chunk(usize::from(record.chunk));
        chunk.is_some_and(|(kind, bytes)| self.ids.chunk_id(kind, bytes) == record.id)
    }
}

/// Returns a pack's segments by their offsets, with length and index records of each.
///
/// The table lists all segments; if it is damaged, the records give those that matter.
fn segments_of<'r>(
    toc: Option<&PackToc>,
    records: &'r [RunRecord],
) -> BTreeMap<u64, (u32, Vec<&'r RunRecord>)> {
    let mut segments = BTreeMap::new();
    let mut offset = HEADER_LEN_BYTES as u64;
    for segment in toc.iter().flat_map(|toc| &toc.segments) {
        segments.insert(offset, (segment.stored_len, Vec::new()));
        offset += u64::from(segment.stored_len);
    }
    for record in records {
        let place =
            segments.entry(u64::from(record.offset)).or_insert((record.stored_len, Vec::new()));
        place.1.push(record);
    }
    segments
}

/// Compares a pack's table with the index records that place chunks in it.
///
/// Returns how many records are wrong, and the chunks of the table that none of them names. These
/// must be elsewhere in the index, because two packs may hold one chunk, and the index names one of
/// them.
pub(super) fn compare_with_index(toc: &PackToc, records: &[RunRecord]) -> (usize, Vec<ChunkId>) {
    let mut placed = BTreeMap::new();
    for record in records {
        placed.insert((record.offset, record.chunk), record);
    }
    let mut unnamed = Vec::new();
    let mut right = 0;
    let mut offset = HEADER_LEN_BYTES as u32;
    for segment in &toc.segments {
        for (at, ChunkRecord { id, .. }) in (0u16..).zip(&segment.chunks) {
            match placed.get(&(offset, at)) {
                Some(record) if record.id == *id && record.stored_len == segment.stored_len => {
                    right += 1
                }
                _ => unnamed.push(*id),
            }
        }
        offset += segment.stored_len;
    }
    (records.len() - right, unnamed)
}
