//! Fixed layouts of the sealed container: header, frame and trailer.
//!
//! Sealing and opening are in `crate::container`, and the encoded table of contents is in `toc`.
//!
//! Spec: `format-spec/04-container.md`.

mod toc;

pub use self::toc::{
    ChunkKind, ChunkRecord, PackToc, SEGMENT_TABLE_LEN_BYTES, SegmentRecord, SegmentTable,
};

use super::codec::DecodeError;
use super::limits;
use crate::id::RepositoryId;

/// First bytes of every container.
pub const MAGIC: [u8; 8] = [0x93, b'D', b'R', b'M', b'L', 0x0d, 0x0a, 0x1a];
/// The format's major number; a reader refuses any other.
pub const MAJOR: u8 = 0;
/// The format's minor number: counts development formats before 1.0, all refused but this one.
pub const MINOR: u8 = 3;
/// The one suite: BLAKE3, ChaCha20-Poly1305, Argon2id, Ed25519.
pub const SUITE: u8 = 1;
/// Flag bits that this version knows; a reader refuses all others.
pub const KNOWN_FLAGS: u32 = 0;

/// Length of the clear header in bytes.
pub const HEADER_LEN_BYTES: usize = 128;
/// Length of a sealed frame in bytes.
pub const FRAME_LEN_BYTES: usize = FRAME_PLAIN_LEN_BYTES + TAG_LEN_BYTES;
/// Length of a frame before sealing in bytes.
pub const FRAME_PLAIN_LEN_BYTES: usize = 32;
/// Length of the sealed trailer in bytes.
pub const TRAILER_LEN_BYTES: usize = TRAILER_PLAIN_LEN_BYTES + TAG_LEN_BYTES;
/// Length of the trailer before sealing in bytes.
pub const TRAILER_PLAIN_LEN_BYTES: usize = 48;
/// Length of an authentication tag in bytes.
pub const TAG_LEN_BYTES: usize = 16;

/// Offsets of the header's fields in bytes; the spec's table is checked against them.
#[allow(missing_docs, reason = "the fields of the specification")]
pub mod header_at {
    /// Offsets in bytes.
    pub const MAGIC: usize = 0;
    pub const MAJOR: usize = 8;
    pub const MINOR: usize = 9;
    pub const KIND: usize = 10;
    pub const SUITE: usize = 11;
    pub const FLAGS: usize = 12;
    pub const REPOSITORY_ID: usize = 16;
    pub const SALT: usize = 32;
    pub const COMMITMENT: usize = 64;
    pub const RESERVED: usize = 96;
}

/// Offsets of the frame's fields in bytes before sealing.
#[allow(missing_docs, reason = "the fields of the specification")]
pub mod frame_at {
    /// Offsets in bytes.
    pub const BODY_LEN: usize = 0;
    pub const RAW_LEN: usize = 4;
    pub const CHUNK_COUNT: usize = 8;
    pub const CODEC: usize = 12;
    pub const RESERVED: usize = 13;
}

/// Offsets of the trailer's fields in bytes before sealing.
#[allow(missing_docs, reason = "the fields of the specification")]
pub mod trailer_at {
    /// Offsets in bytes.
    pub const TOC_OFFSET: usize = 0;
    pub const TOC_LEN: usize = 8;
    pub const PADDING_LEN: usize = 12;
    pub const SEGMENT_COUNT: usize = 16;
    pub const RESERVED: usize = 20;
    pub const RAW_TOTAL: usize = 24;
    pub const RESERVED_2: usize = 32;
}

/// Kind of a container; it is part of the key's derivation, so one kind can never be read as
/// another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ContainerKind {
    /// File content.
    Data = 1,
    /// Tree and list nodes.
    Meta = 2,
    /// A sorted index run.
    IndexRun = 3,
    /// One snapshot.
    Snapshot = 4,
    /// An intent: what a running backup relies on.
    Intent = 5,
    /// A record of a collector.
    CollectorRecord = 6,
    /// The repository's configuration.
    Config = 7,
    /// The mark of a forgotten snapshot.
    Tombstone = 8,
    /// The mark of a protected snapshot.
    Protection = 9,
}

impl ContainerKind {
    /// Returns the kind with number `byte`, if this version knows it.
    pub fn from_byte(byte: u8) -> Option<Self> {
        let known = [
            Self::Data,
            Self::Meta,
            Self::IndexRun,
            Self::Snapshot,
            Self::Intent,
            Self::CollectorRecord,
            Self::Config,
            Self::Tombstone,
            Self::Protection,
        ];
        known.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// The first 128 bytes, in clear; all of them are authenticated with each sealed part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Kind of the container.
    pub kind: ContainerKind,
    /// Flag bits; none is defined yet.
    pub flags: u32,
    /// The repository it belongs to.
    pub repository: RepositoryId,
    /// Selects the container's key.
    pub salt: [u8; 32],
    /// Commits to the container's key; compared before anything is opened.
    pub commitment: [u8; 32],
}

impl Header {
    /// Returns the header's bytes.
    pub fn encode(&self) -> [u8; HEADER_LEN_BYTES] {
        let mut out = [0; HEADER_LEN_BYTES];
        out[header_at::MAGIC..][..8].copy_from_slice(&MAGIC);
        out[header_at::MAJOR] = MAJOR;
        out[header_at::MINOR] = MINOR;
        out[header_at::KIND] = self.kind as u8;
        out[header_at::SUITE] = SUITE;
        out[header_at::FLAGS..][..4].copy_from_slice(&self.flags.to_le_bytes());
        out[header_at::REPOSITORY_ID..][..16].copy_from_slice(&self.repository.0);
        out[header_at::SALT..][..32].copy_from_slice(&self.salt);
        out[header_at::COMMITMENT..][..32].copy_from_slice(&self.commitment);
        out
    }

    /// Parses a container's first bytes; refuses other versions, kinds, suites, flags and non-zero
    /// reserved bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let refuse = |why| Err(DecodeError::new("container header", why));
        let Some(bytes) = bytes.first_chunk::<HEADER_LEN_BYTES>() else {
            return refuse("too short");
        };
        if bytes[..8] != MAGIC {
            return refuse("not a Drumlin container");
        }
        if (bytes[header_at::MAJOR], bytes[header_at::MINOR]) != (MAJOR, MINOR) {
            return Err(DecodeError::another_version("container header"));
        }
        let Some(kind) = ContainerKind::from_byte(bytes[header_at::KIND]) else {
            return refuse("unknown kind");
        };
        if bytes[header_at::SUITE] != SUITE {
            return refuse("unknown cipher suite");
        }
        let flags = u32_at(bytes, header_at::FLAGS);
        if flags & !KNOWN_FLAGS != 0 {
            return refuse("unknown flag");
        }
        if bytes[header_at::RESERVED..].iter().any(|byte| *byte != 0) {
            return refuse("reserved bytes are not zero");
        }
        let array = |at: usize| <[u8; 32]>::try_from(&bytes[at..at + 32]).expect("32 bytes");
        let repository = RepositoryId(
            bytes[header_at::REPOSITORY_ID..header_at::SALT].try_into().expect("16 bytes"),
        );
        Ok(Self {
            kind,
            flags,
            repository,
            salt: array(header_at::SALT),
            commitment: array(header_at::COMMITMENT),
        })
    }
}

/// Encoding of a segment's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SegmentCodec {
    /// The raw bytes.
    Raw = 0,
    /// One zstd frame.
    Zstd = 1,
}

/// The frame before each segment, with which a container can be walked from the front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Length of the body in bytes, without its tag.
    pub body_len: u32,
    /// Length of the raw segment in bytes.
    pub raw_len: u32,
    /// Number of chunks in the segment.
    pub chunk_count: u32,
    /// Encoding of the body.
    pub codec: SegmentCodec,
}

impl Frame {
    /// Returns the frame's bytes before sealing.
    pub fn encode(&self) -> [u8; FRAME_PLAIN_LEN_BYTES] {
        let mut out = [0; FRAME_PLAIN_LEN_BYTES];
        out[frame_at::BODY_LEN..][..4].copy_from_slice(&self.body_len.to_le_bytes());
        out[frame_at::RAW_LEN..][..4].copy_from_slice(&self.raw_len.to_le_bytes());
        out[frame_at::CHUNK_COUNT..][..4].copy_from_slice(&self.chunk_count.to_le_bytes());
        out[frame_at::CODEC] = self.codec as u8;
        out
    }

    /// Parses an opened frame and checks its limits.
    pub fn decode(bytes: &[u8; FRAME_PLAIN_LEN_BYTES]) -> Result<Self, DecodeError> {
        let refuse = |why| Err(DecodeError::new("segment frame", why));
        let codec = match bytes[frame_at::CODEC] {
            0 => SegmentCodec::Raw,
            1 => SegmentCodec::Zstd,
            _ => return refuse("unknown codec"),
        };
        let frame = Self {
            body_len: u32_at(bytes, frame_at::BODY_LEN),
            raw_len: u32_at(bytes, frame_at::RAW_LEN),
            chunk_count: u32_at(bytes, frame_at::CHUNK_COUNT),
            codec,
        };
        if bytes[frame_at::RESERVED..].iter().any(|byte| *byte != 0) {
            return refuse("reserved bytes are not zero");
        }
        if frame.raw_len as usize > limits::SEGMENT_RAW_LEN_MAX_BYTES
            || frame.body_len > frame.raw_len
        {
            return refuse("length over the limit");
        }
        if frame.raw_len == 0 {
            return refuse("an empty segment");
        }
        if frame.chunk_count as usize > limits::CHUNKS_PER_SEGMENT_MAX {
            return refuse("too many chunks");
        }
        if (frame.codec == SegmentCodec::Raw) != (frame.body_len == frame.raw_len) {
            return refuse("a body length that does not fit its codec");
        }
        Ok(frame)
    }

    /// Returns the length of frame and segment in the container in bytes.
    pub fn stored_len(&self) -> usize {
        FRAME_LEN_BYTES + self.body_len as usize + TAG_LEN_BYTES
    }
}

/// The last 64 bytes of a container, opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// Offset of the sealed table of contents in bytes.
    pub toc_offset: u64,
    /// Length of the table before sealing, in bytes, without padding.
    pub toc_len: u32,
    /// Number of zero bytes that are sealed after the table.
    pub padding_len: u32,
    /// Number of segments in the container.
    pub segment_count: u32,
    /// Sum of the raw lengths in bytes.
    pub raw_total: u64,
}

impl Trailer {
    /// Returns the trailer's bytes before sealing.
    pub fn encode(&self) -> [u8; TRAILER_PLAIN_LEN_BYTES] {
        let mut out = [0; TRAILER_PLAIN_LEN_BYTES];
        out[trailer_at::TOC_OFFSET..][..8].copy_from_slice(&self.toc_offset.to_le_bytes());
        out[trailer_at::TOC_LEN..][..4].copy_from_slice(&self.toc_len.to_le_bytes());
        out[trailer_at::PADDING_LEN..][..4].copy_from_slice(&self.padding_len.to_le_bytes());
        out[trailer_at::SEGMENT_COUNT..][..4].copy_from_slice(&self.segment_count.to_le_bytes());
        out[trailer_at::RAW_TOTAL..][..8].copy_from_slice(&self.raw_total.to_le_bytes());
        out
    }

    /// Parses an opened trailer of a container of `container_len` bytes; its parts must fill the
    /// container exactly.
    pub fn decode(
        bytes: &[u8; TRAILER_PLAIN_LEN_BYTES],
        container_len: u64,
    ) -> Result<Self, DecodeError> {
        let refuse = |why| Err(DecodeError::new("container trailer", why));
        let trailer = Self {
            toc_offset: u64_at(bytes, trailer_at::TOC_OFFSET),
            toc_len: u32_at(bytes, trailer_at::TOC_LEN),
            padding_len: u32_at(bytes, trailer_at::PADDING_LEN),
            segment_count: u32_at(bytes, trailer_at::SEGMENT_COUNT),
            raw_total: u64_at(bytes, trailer_at::RAW_TOTAL),
        };
        let reserved = bytes[trailer_at::RESERVED..trailer_at::RAW_TOTAL]
            .iter()
            .chain(&bytes[trailer_at::RESERVED_2..]);
        if reserved.copied().any(|byte| byte != 0) {
            return refuse("reserved bytes are not zero");
        }
        let end = trailer
            .toc_offset
            .checked_add(trailer.sealed_toc_len())
            .and_then(|end| end.checked_add(TRAILER_LEN_BYTES as u64));
        if trailer.toc_offset < HEADER_LEN_BYTES as u64 || end != Some(container_len) {
            return refuse("lengths do not add up");
        }
        Ok(trailer)
    }

    /// Returns the length of the sealed table of contents in bytes: table, padding and tag.
    pub fn sealed_toc_len(&self) -> u64 {
        u64::from(self.toc_len) + u64::from(self.padding_len) + TAG_LEN_BYTES as u64
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"))
}

#[cfg(test)]
mod tests;
