//! Builder of containers: segments in, sealed bytes out.

use crate::crypto::container_keys::{SealKeys, commitment};
use crate::crypto::seal::{Part, Sealer};
use crate::format::codec;
use crate::format::container::{
    ChunkRecord, ContainerKind, FRAME_LEN_BYTES, FRAME_PLAIN_LEN_BYTES, Frame, HEADER_LEN_BYTES,
    Header, PackToc, SegmentCodec, SegmentRecord, TAG_LEN_BYTES, TRAILER_LEN_BYTES,
    TRAILER_PLAIN_LEN_BYTES, Trailer,
};
use crate::format::padding::padded_len;
use crate::id::ObjectId;

/// A container that is being built, in the buffer that becomes the stored object.
pub struct ContainerBuilder {
    kind: ContainerKind,
    bytes: Vec<u8>,
    frames: Vec<Frame>,
    toc: PackToc,
    digest: blake3::Hasher,
    raw_total: u64,
}

/// A finished container.
pub struct Sealed {
    /// Its name.
    pub name: ObjectId,
    /// Its salt, which index runs state so that a segment can be opened without the header.
    pub salt: [u8; 32],
    /// The bytes of the object.
    pub bytes: Vec<u8>,
    /// Its segments and their chunks.
    pub toc: PackToc,
}

impl ContainerBuilder {
    /// Starts a container in `buffer`, whose memory is reused.
    pub fn new(kind: ContainerKind, mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        buffer.resize(HEADER_LEN_BYTES, 0);
        let (frames, toc) = (Vec::new(), PackToc::default());
        Self { kind, bytes: buffer, frames, toc, digest: blake3::Hasher::new(), raw_total: 0 }
    }

    /// Returns the bytes so far.
    pub fn len_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Returns whether no segment was added yet.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Returns the segments added so far.
    pub fn segment_count(&self) -> usize {
        self.frames.len()
    }

    /// Appends a segment: `body` as made by `codec` from `raw_len` bytes that hold `chunks`.
    ///
    /// Index runs, snapshots and configs have no chunks.
    pub fn push(
        &mut self,
        codec: SegmentCodec,
        body: &[u8],
        raw_len: usize,
        chunks: Vec<ChunkRecord>,
    ) {
        let length = |len: usize| u32::try_from(len).expect("segments are at most 8 MiB");
        let frame = Frame {
            body_len: length(body.len()),
            raw_len: length(raw_len),
            chunk_count: length(chunks.len()),
            codec,
        };
        self.digest.update(&frame.encode());
        if codec == SegmentCodec::Raw && !chunks.is_empty() {
            // Ids determine a raw body, so their hash serves as well, and is much faster.
            for chunk in &chunks {
                self.digest
                    .update(&[chunk.kind as u8])
                    .update(&chunk.id.0)
                    .update(&chunk.len.to_le_bytes());
            }
        } else {
            self.digest.update(body);
        }
        self.bytes.extend_from_slice(&frame.encode());
        self.bytes.extend_from_slice(&[0; FRAME_LEN_BYTES - FRAME_PLAIN_LEN_BYTES]);
        self.bytes.extend_from_slice(body);
        self.bytes.extend_from_slice(&[0; TAG_LEN_BYTES]);
        self.raw_total += raw_len as u64;
        self.toc.segments.push(SegmentRecord { stored_len: length(frame.stored_len()), chunks });
        self.frames.push(frame);
    }

    /// Seals a data or meta pack, whose table of contents lists the pushed segments.
    pub fn finish_pack(self, keys: &SealKeys, random: &[u8; 32]) -> Sealed {
        let toc = codec::encode(&self.toc);
        self.finish(keys, random, &toc)
    }

    /// Seals the container; `random` must be fresh, but a repeated one is harmless as long as the
    /// content differs.
    pub fn finish(mut self, keys: &SealKeys, random: &[u8; 32], toc: &[u8]) -> Sealed {
        self.digest.update(toc);
        let (salt, key) = keys.new_container(self.kind, random, self.digest.finalize().as_bytes());
        let header = Header {
            kind: self.kind,
            flags: 0,
            repository: keys.repository(),
            salt,
            commitment: commitment(&key),
        }
        .encode();
        self.bytes[..HEADER_LEN_BYTES].copy_from_slice(&header);
        let sealer = Sealer::new(&key, &header);
        self.seal_segments(&sealer);
        self.append_toc_and_trailer(&sealer, toc);
        Sealed { name: super::name_of(&self.bytes), salt, bytes: self.bytes, toc: self.toc }
    }

    fn seal_segments(&mut self, sealer: &Sealer) {
        let mut at = HEADER_LEN_BYTES;
        for frame in &self.frames {
            let (head, body) =
                self.bytes[at..at + frame.stored_len()].split_at_mut(FRAME_LEN_BYTES);
            sealer.seal(Part::Frame, at as u64, head);
            sealer.seal(Part::Segment, at as u64, body);
            at += frame.stored_len();
        }
    }

    fn append_toc_and_trailer(&mut self, sealer: &Sealer, toc: &[u8]) {
        let toc_offset = self.bytes.len();
        let bare_len = toc_offset + toc.len() + TAG_LEN_BYTES + TRAILER_LEN_BYTES;
        let padding = padded_len(bare_len as u64) as usize - bare_len;
        self.bytes.extend_from_slice(toc);
        self.bytes.resize(toc_offset + toc.len() + padding + TAG_LEN_BYTES, 0);
        sealer.seal(Part::Toc, 0, &mut self.bytes[toc_offset..]);
        let trailer = Trailer {
            toc_offset: toc_offset as u64,
            toc_len: u32::try_from(toc.len()).expect("tables are at most 64 MiB"),
            padding_len: u32::try_from(padding).expect("padding is at most 64 KiB"),
            segment_count: u32::try_from(self.frames.len())
                .expect("containers are at most 256 MiB"),
            raw_total: self.raw_total,
        };
        let trailer_offset = self.bytes.len();
        self.bytes.extend_from_slice(&trailer.encode());
        self.bytes.extend_from_slice(&[0; TRAILER_LEN_BYTES - TRAILER_PLAIN_LEN_BYTES]);
        sealer.seal(Part::Trailer, 0, &mut self.bytes[trailer_offset..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_builder_counts_its_segments_and_bytes() {
        let mut builder = ContainerBuilder::new(ContainerKind::Data, vec![9; 100]);
        assert_eq!((builder.len_bytes(), builder.segment_count()), (HEADER_LEN_BYTES, 0));
        assert!(builder.is_empty());
        for _ in 0..2 {
            builder.push(SegmentCodec::Raw, b"abc", 3, Vec::new());
        }
        let stored = 2 * (FRAME_LEN_BYTES + 3 + TAG_LEN_BYTES);
        assert_eq!(builder.len_bytes(), HEADER_LEN_BYTES + stored);
        assert!(!builder.is_empty() && builder.segment_count() == 2);
    }
}
