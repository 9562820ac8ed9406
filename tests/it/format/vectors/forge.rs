//! Containers that the program would never make: every part can be damaged before it is sealed.

use drumlin::crypto::container_keys::commitment;
use drumlin::crypto::seal::{Part, Sealer};
use drumlin::format::codec;
use drumlin::format::container::{
    ChunkKind, ChunkRecord, ContainerKind, Frame, Header, PackToc, SegmentCodec, SegmentRecord,
    SegmentTable, TAG_LEN_BYTES, Trailer,
};

/// A container before sealing.
pub struct Forge {
    pub header: Vec<u8>,
    pub segments: Vec<(Vec<u8>, Vec<u8>)>,
    pub toc: Vec<u8>,
    pub padding: Vec<u8>,
    /// Spoils the trailer's 48 bytes.
    pub trailer: fn(&mut Vec<u8>),
}

/// The salt of every forged container.
const SALT: [u8; 32] = [0x51; 32];

impl Forge {
    /// Starts with a header and nothing else.
    pub fn new(kind: ContainerKind) -> Self {
        let key = super::container_key(kind, &SALT);
        let header = Header {
            kind,
            flags: 0,
            repository: super::REPOSITORY,
            salt: SALT,
            commitment: commitment(&key),
        };
        let (segments, toc, padding) = (Vec::new(), Vec::new(), vec![0; 5]);
        Self { header: header.encode().to_vec(), segments, toc, padding, trailer: |_| {} }
    }

    /// A sound container that holds one structure.
    pub fn single(kind: ContainerKind, plain: &[u8]) -> Self {
        let mut forge = Self::new(kind);
        forge.push(SegmentCodec::Raw, plain, plain.len(), 0);
        forge
    }

    /// A sound data pack with a raw segment of two chunks and a compressed one of one chunk.
    pub fn pack() -> Self {
        let mut forge = Self::new(ContainerKind::Data);
        let raw = raw_segment(&[b"first chunk", b"second"]);
        forge.push(SegmentCodec::Raw, &raw, raw.len(), 2);
        let raw = raw_segment(&[&[b'a'; 1000]]);
        forge.push(SegmentCodec::Zstd, &zstd_of_repeats(b'a', 1000, &raw[1000..]), raw.len(), 1);
        let toc = forge.pack_toc(&[&[b"first chunk", b"second"], &[&[b'a'; 1000]]]);
        forge.toc = codec::encode(&toc);
        forge
    }

    /// Returns the table of contents of the segments so far, with these chunks.
    pub fn pack_toc(&self, chunks: &[&[&[u8]]]) -> PackToc {
        self.pack_toc_of(ChunkKind::Data, chunks)
    }

    /// Returns the table of contents of the segments so far, with these chunks of one kind.
    pub fn pack_toc_of(&self, kind: ChunkKind, chunks: &[&[&[u8]]]) -> PackToc {
        let keyring = super::keyring();
        let record = |plaintext: &&[u8]| {
            let id = keyring.ids().chunk_id(kind, plaintext);
            ChunkRecord { kind, id, len: plaintext.len() as u32 }
        };
        let segments = self.segments.iter().zip(chunks).map(|((_, body), chunks)| SegmentRecord {
            stored_len: body.len() as u32 + 64,
            chunks: chunks.iter().map(record).collect(),
        });
        PackToc { segments: segments.collect() }
    }

    /// Adds a segment.
    pub fn push(&mut self, codec: SegmentCodec, body: &[u8], raw_len: usize, chunk_count: u32) {
        let frame =
            Frame { body_len: body.len() as u32, raw_len: raw_len as u32, chunk_count, codec };
        self.segments.push((frame.encode().to_vec(), body.to_vec()));
    }

    /// Seals it all.
    pub fn seal(&self) -> Vec<u8> {
        let kind = ContainerKind::from_byte(self.header[10]).unwrap_or(ContainerKind::Snapshot);
        let sealer = Sealer::new(&super::container_key(kind, &SALT), &self.header);
        let mut bytes = self.header.clone();
        let mut append = |part, ordinal: Option<u64>, plain: &[u8]| {
            let start = bytes.len();
            bytes.extend_from_slice(plain);
            bytes.extend_from_slice(&[0; TAG_LEN_BYTES]);
            sealer.seal(part, ordinal.unwrap_or(start as u64), &mut bytes[start..]);
            start as u64
        };
        let mut raw_total = 0;
        let mut toc_offset = self.header.len() as u64;
        for (frame, body) in &self.segments {
            let at = append(Part::Frame, None, frame);
            append(Part::Segment, Some(at), body);
            raw_total += u64::from(u32::from_le_bytes(frame[4..8].try_into().unwrap()));
            toc_offset = at + 48 + body.len() as u64 + 16;
        }
        append(Part::Toc, Some(0), &[&self.toc[..], &self.padding].concat());
        let trailer = Trailer {
            toc_offset,
            toc_len: self.toc.len() as u32,
            padding_len: self.padding.len() as u32,
            segment_count: self.segments.len() as u32,
            raw_total,
        };
        let mut trailer = trailer.encode().to_vec();
        (self.trailer)(&mut trailer);
        append(Part::Trailer, Some(0), &trailer);
        bytes
    }
}

/// Returns a raw segment that holds these data chunks.
pub fn raw_segment(chunks: &[&[u8]]) -> Vec<u8> {
    raw_segment_of(ChunkKind::Data, chunks)
}

/// Returns a raw segment that holds these chunks of one kind.
pub fn raw_segment_of(kind: ChunkKind, chunks: &[&[u8]]) -> Vec<u8> {
    let table =
        SegmentTable { chunks: chunks.iter().map(|chunk| (kind, chunk.len() as u32)).collect() };
    let table = codec::encode(&table);
    let mut raw = chunks.concat();
    raw.extend_from_slice(&table);
    raw.extend_from_slice(&(table.len() as u32).to_le_bytes());
    raw
}

/// Returns a zstd frame made by hand, so that no version of the compressor can change a vector: a
/// block that repeats one byte, then a block of plain bytes (RFC 8878, sections 3.1.1 and 3.1.1.2).
pub fn zstd_of_repeats(byte: u8, repeats: u32, tail: &[u8]) -> Vec<u8> {
    let total = repeats + tail.len() as u32;
    let header = [&[0b1010_0000][..], &total.to_le_bytes()].concat();
    zstd_by_hand(&header, b"", (byte, repeats), tail)
}

/// Most bytes of one block of a zstd frame.
const ZSTD_BLOCK_LEN_MAX: u32 = 128 << 10;

/// Returns a zstd frame with this header (behind the magic): plain bytes, one byte repeated, plain
/// bytes.
pub fn zstd_by_hand(
    header: &[u8],
    head: &[u8],
    (byte, repeats): (u8, u32),
    tail: &[u8],
) -> Vec<u8> {
    let block =
        |last: u32, kind: u32, len: u32| (len << 3 | kind << 1 | last).to_le_bytes()[..3].to_vec();
    let mut frame = [&[0x28, 0xb5, 0x2f, 0xfd][..], header].concat();
    if !head.is_empty() {
        frame.extend(block(0, 0, head.len() as u32));
        frame.extend_from_slice(head);
    }
    let mut left = repeats;
    while left > 0 {
        let len = left.min(ZSTD_BLOCK_LEN_MAX);
        frame.extend(block(0, 1, len));
        frame.push(byte);
        left -= len;
    }
    frame.extend(block(1, 0, tail.len() as u32));
    frame.extend_from_slice(tail);
    frame
}
