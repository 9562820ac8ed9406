//! Reading, cutting, hashing, compressing, sealing, naming and writing.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::path::Path;

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Tag};
use fastcdc::v2020::{Normalization, cut_gear, select_masks};
use zstd::bulk::Compressor;
use zstd::zstd_safe::compress_bound;

use super::clock::Clock;
use super::source::{Buffer, PIECE_LEN_BYTES, Sized};

const CHUNK_LENS: (usize, usize, usize) = (32 << 10, 128 << 10, 512 << 10);
const SEGMENT_LEN_BYTES: usize = 2 << 20;
const PACK_LEN_BYTES: usize = 32 << 20;
/// Files up to this length are stored inside of their folder.
const INLINE_LEN_BYTES_MAX: u64 = 512;
pub const KEY: [u8; 32] = [7; 32];

/// Where a segment lies, and what it holds.
pub struct Segment {
    pub pack: usize,
    pub range: Range<usize>,
    pub tag: Tag,
    pub raw_len: usize,
    pub is_raw: bool,
    pub chunk_lens: Vec<usize>,
}

/// All that was written.
pub struct Stored {
    pub segments: Vec<Segment>,
    pub packs: usize,
}

impl Stored {
    /// Returns the length of all sealed segments.
    pub fn len_bytes(&self) -> usize {
        self.segments.iter().map(|segment| segment.range.len()).sum()
    }
}

/// Bytes of one or many files, read and not yet cut.
#[derive(Default)]
struct Batch {
    buffer: Buffer,
    /// Ends of files in it; what is behind the last is the start of a file that goes on.
    ends: Vec<usize>,
}

/// Stores every file the way a backup does, and returns what was written to `work`.
pub fn store(files: &[Sized], work: &Path, clock: &mut Clock) -> Stored {
    let (mut batch, mut writer) = (Batch::default(), Writer::new(work));
    let gear: [u64; 256] = std::array::from_fn(|i| {
        u64::from_le_bytes(*blake3::hash(&[i as u8]).as_bytes().first_chunk().expect("32 bytes"))
    });
    let shifted = gear.map(|g| g << 1);
    let mut files = files.iter().filter(|(_, len)| *len > INLINE_LEN_BYTES_MAX).peekable();
    let mut open: Option<(File, u64, u64)> = None;
    while files.peek().is_some() || open.is_some() {
        let held = batch.buffer.bytes().len();
        clock.time("read", 0, || fill(&mut batch, &mut files, &mut open));
        clock.count("read", (batch.buffer.bytes().len() - held) as u64);
        let chunks = clock.time("cut", 0, || cut(&batch, open.is_none(), &gear, &shifted));
        let bytes: usize = chunks.iter().map(Range::len).sum();
        clock.count("cut", bytes as u64);
        let ids: Vec<_> = clock.time("hash", bytes as u64, || {
            chunks
                .iter()
                .map(|chunk| {
                    *blake3::keyed_hash(&KEY, &batch.buffer.bytes()[chunk.clone()]).as_bytes()
                })
                .collect()
        });
        for (id, chunk) in ids.into_iter().zip(&chunks) {
            writer.put(id, &batch.buffer.bytes()[chunk.clone()], clock);
        }
        let done = chunks.last().map_or(0, |last| last.end);
        batch.buffer.keep_from(done);
        batch.ends.clear();
    }
    writer.finish(clock)
}

/// Reads small files until the batch is full, or one piece of a large file.
fn fill<'a>(
    batch: &mut Batch,
    files: &mut impl Iterator<Item = &'a Sized>,
    open: &mut Option<(File, u64, u64)>,
) {
    while batch.buffer.bytes().len() < PIECE_LEN_BYTES || open.is_some() {
        if open.is_none() {
            let Some((path, len)) = files.next() else { return };
            *open = File::open(path).ok().map(|file| (file, *len, 0));
            continue;
        }
        let Some((file, len, at)) = open else { return };
        *at = batch.buffer.read_piece(file, *len, *at);
        if *at < *len {
            return;
        }
        batch.ends.push(batch.buffer.bytes().len());
        *open = None;
    }
}

fn cut(batch: &Batch, is_end: bool, gear: &[u64; 256], shifted: &[u64; 256]) -> Vec<Range<usize>> {
    let (len_min, len_avg, len_max) = CHUNK_LENS;
    let (strict, loose) = select_masks(len_avg, Normalization::Level1);
    let (mut chunks, mut at) = (Vec::new(), 0);
    let rest = (batch.buffer.bytes().len(), is_end);
    for (end, is_whole) in batch.ends.iter().map(|end| (*end, true)).chain([rest]) {
        while at < end && (is_whole || end - at >= len_max) {
            let bytes = &batch.buffer.bytes()[at..end];
            let len = match bytes.len() <= len_min {
                true => bytes.len(),
                false => {
                    cut_gear(
                        bytes,
                        len_min,
                        len_avg,
                        len_max,
                        strict,
                        loose,
                        strict << 1,
                        loose << 1,
                        gear,
                        shifted,
                    )
                    .1
                }
            };
            chunks.push(at..at + len);
            at += len;
        }
    }
    chunks
}

/// Segments and packs in the making.
struct Writer<'a> {
    work: &'a Path,
    seen: HashSet<[u8; 32]>,
    raw: Vec<u8>,
    chunk_lens: Vec<usize>,
    packed: Vec<u8>,
    pack: Vec<u8>,
    compressor: Compressor<'static>,
    stored: Stored,
}

impl<'a> Writer<'a> {
    fn new(work: &'a Path) -> Self {
        Self {
            work,
            seen: HashSet::new(),
            raw: Vec::new(),
            chunk_lens: Vec::new(),
            packed: vec![0; compress_bound(2 * SEGMENT_LEN_BYTES)],
            pack: Vec::new(),
            compressor: Compressor::new(3).expect("memory"),
            stored: Stored { segments: Vec::new(), packs: 0 },
        }
    }

    fn put(&mut self, id: [u8; 32], chunk: &[u8], clock: &mut Clock) {
        if self.seen.insert(id) {
            self.raw.extend_from_slice(chunk);
            self.chunk_lens.push(chunk.len());
            if self.raw.len() >= SEGMENT_LEN_BYTES {
                self.close_segment(clock);
            }
        }
    }

    fn close_segment(&mut self, clock: &mut Clock) {
        // What will not shrink is known beforehand and for nothing: this is a bound.
        let mut probe = Clock::default();
        let (raw, packed, compressor) = (&self.raw, &mut self.packed, &mut self.compressor);
        let len = probe.time("compress", raw.len() as u64, || {
            compressor.compress_to_buffer(raw, &mut packed[..]).expect("enough room")
        });
        let is_raw = len > raw.len() - raw.len() * 3 / 100;
        if !is_raw {
            clock.add(probe);
        }
        let start = self.pack.len();
        self.pack.extend_from_slice(if is_raw { &self.raw } else { &self.packed[..len] });
        let range = start..self.pack.len();
        let body = &mut self.pack[range.clone()];
        let cipher = ChaCha20Poly1305::new_from_slice(&KEY).expect("32 bytes");
        let tag = clock.time("seal", body.len() as u64, || {
            cipher.encrypt_inout_detached(&[0; 12].into(), &[], body.into()).expect("short")
        });
        let chunk_lens = std::mem::take(&mut self.chunk_lens);
        let raw_len = self.raw.len();
        self.stored.segments.push(Segment {
            pack: self.stored.packs,
            range,
            tag,
            raw_len,
            is_raw,
            chunk_lens,
        });
        self.raw.clear();
        if self.pack.len() >= PACK_LEN_BYTES {
            self.close_pack(clock);
        }
    }

    fn close_pack(&mut self, clock: &mut Clock) {
        let (pack, len) = (&self.pack, self.pack.len() as u64);
        std::hint::black_box(clock.time("name", len, || blake3::hash(pack)));
        let path = self.work.join(self.stored.packs.to_string());
        clock.time("write", len, || {
            let mut file = File::create(path).expect("a file in the folder");
            file.write_all(pack).expect("room on the disk");
            file.sync_data().expect("a disk that works");
        });
        self.pack.clear();
        self.stored.packs += 1;
    }

    fn finish(mut self, clock: &mut Clock) -> Stored {
        if !self.raw.is_empty() {
            self.close_segment(clock);
        }
        if !self.pack.is_empty() {
            self.close_pack(clock);
        }
        self.stored
    }
}
