//! Opener of containers, by header or salt: opens single parts, or walks the segments from the
//! front.

use crate::compress::SegmentDecompressor;
use crate::crypto::container_keys::{OpenKeys, commitment};
use crate::crypto::seal::{OpenError, Part, Sealer};
use crate::format::codec::{self, DecodeError};
use crate::format::container::{
    ContainerKind, FRAME_LEN_BYTES, FRAME_PLAIN_LEN_BYTES, Frame, HEADER_LEN_BYTES, Header,
    PackToc, SegmentCodec, TAG_LEN_BYTES, TRAILER_LEN_BYTES, TRAILER_PLAIN_LEN_BYTES, Trailer,
};
use crate::format::limits;

/// Why a container could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContainerError {
    /// A structure in it breaks a rule of the format.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The authentication of a part failed.
    #[error("{0} is damaged: authentication failed")]
    Damaged(&'static str),
    /// Its header is of other keys or another repository.
    #[error("the container was sealed with another key or for another repository")]
    ForeignKey,
    /// It is of another kind than expected.
    #[error("the container is of another kind than its place says")]
    WrongKind,
    /// It ends too early.
    #[error("the container is cut short")]
    Short,
}

/// Opens the parts of one container.
pub struct Opener {
    kind: ContainerKind,
    sealer: Sealer,
}

impl Opener {
    /// Makes the opener of a container from its first bytes; compares the key's commitment before
    /// any part is opened.
    pub fn from_header(
        keys: &OpenKeys,
        kind: ContainerKind,
        bytes: &[u8],
    ) -> Result<Self, ContainerError> {
        let header = Header::decode(bytes)?;
        if header.repository != keys.repository() {
            return Err(ContainerError::ForeignKey);
        }
        if header.kind != kind {
            return Err(ContainerError::WrongKind);
        }
        let key = keys.container_key(kind, &header.salt);
        if !bool::from(subtle::ConstantTimeEq::ct_eq(&commitment(&key)[..], &header.commitment[..]))
        {
            return Err(ContainerError::ForeignKey);
        }
        Ok(Self { kind, sealer: Sealer::new(&key, &bytes[..HEADER_LEN_BYTES]) })
    }

    /// Makes the opener of a container whose salt is known from an index run, without its header.
    pub fn from_salt(keys: &OpenKeys, kind: ContainerKind, salt: &[u8; 32]) -> Self {
        let key = keys.container_key(kind, salt);
        let header = Header {
            kind,
            flags: 0,
            repository: keys.repository(),
            salt: *salt,
            commitment: commitment(&key),
        }
        .encode();
        Self { kind, sealer: Sealer::new(&key, &header) }
    }

    /// Opens the trailer: the last 64 bytes of a container of `container_len` bytes.
    pub fn trailer(&self, last: &[u8], container_len: u64) -> Result<Trailer, ContainerError> {
        let mut sealed: [u8; TRAILER_LEN_BYTES] =
            last.try_into().map_err(|_| ContainerError::Short)?;
        let plain = self.sealer.open(Part::Trailer, 0, &mut sealed).map_err(damaged("trailer"))?;
        let plain: &[u8; TRAILER_PLAIN_LEN_BYTES] =
            (&*plain).try_into().expect("the seal keeps lengths");
        Ok(Trailer::decode(plain, container_len)?)
    }

    /// Opens the table of contents and returns its bytes; its padding must be zero.
    pub fn toc(&self, trailer: &Trailer, sealed: &[u8]) -> Result<Vec<u8>, ContainerError> {
        let mut buffer = sealed.to_vec();
        let plain_len = self
            .sealer
            .open(Part::Toc, 0, &mut buffer)
            .map_err(damaged("table of contents"))?
            .len();
        buffer.truncate(plain_len);
        if buffer.len() != trailer.toc_len as usize + trailer.padding_len as usize {
            return Err(ContainerError::Short);
        }
        if buffer[trailer.toc_len as usize..].iter().any(|byte| *byte != 0) {
            return Err(DecodeError::new("container", "its padding is not zero").into());
        }
        buffer.truncate(trailer.toc_len as usize);
        Ok(buffer)
    }

    /// Opens trailer and table of contents of a whole container in memory.
    pub fn whole_toc(&self, bytes: &[u8]) -> Result<(Trailer, Vec<u8>), ContainerError> {
        let trailer_at = bytes.len().checked_sub(TRAILER_LEN_BYTES).ok_or(ContainerError::Short)?;
        let trailer = self.trailer(&bytes[trailer_at..], bytes.len() as u64)?;
        let toc = self.toc(&trailer, &bytes[trailer.toc_offset as usize..trailer_at])?;
        Ok((trailer, toc))
    }

    /// Opens the frame at `offset` of the container.
    pub fn frame(&self, offset: u64, sealed: &[u8]) -> Result<Frame, ContainerError> {
        let mut buffer: [u8; FRAME_LEN_BYTES] = sealed
            .get(..FRAME_LEN_BYTES)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(ContainerError::Short)?;
        let plain =
            self.sealer.open(Part::Frame, offset, &mut buffer).map_err(damaged("segment frame"))?;
        let plain: &[u8; FRAME_PLAIN_LEN_BYTES] =
            (&*plain).try_into().expect("the seal keeps lengths");
        Ok(Frame::decode(plain)?)
    }

    /// Opens the segment whose frame starts at `offset`, in place; returns its compressed body.
    pub fn compressed_segment<'s>(
        &self,
        offset: u64,
        stored: &'s mut [u8],
    ) -> Result<(Frame, &'s [u8]), ContainerError> {
        let frame = self.frame(offset, stored)?;
        let sealed =
            stored.get_mut(FRAME_LEN_BYTES..frame.stored_len()).ok_or(ContainerError::Short)?;
        let body = self.sealer.open(Part::Segment, offset, sealed).map_err(damaged("segment"))?;
        Ok((frame, body))
    }

    /// Opens and decompresses the segment whose frame starts at `offset`; `stored` holds frame and
    /// body, and is overwritten.
    ///
    /// The raw bytes replace the content of `out`.
    pub fn segment(
        &self,
        offset: u64,
        stored: &mut [u8],
        decompressor: &mut SegmentDecompressor,
        out: &mut Vec<u8>,
    ) -> Result<Frame, ContainerError> {
        let (frame, body) = self.compressed_segment(offset, stored)?;
        match frame.codec {
            SegmentCodec::Raw => {
                out.clear();
                out.extend_from_slice(body);
            }
            SegmentCodec::Zstd => decompressor.decompress(body, frame.raw_len as usize, out)?,
        }
        Ok(frame)
    }
}

fn damaged(part: &'static str) -> impl Fn(OpenError) -> ContainerError {
    move |OpenError| ContainerError::Damaged(part)
}

/// A segment found by walking a container from the front.
pub struct Walked {
    /// Offset of its frame in the container, in bytes.
    pub offset: u64,
    /// Its frame.
    pub frame: Frame,
    /// Its raw bytes, or the error if they cannot be opened.
    pub raw: Result<Vec<u8>, ContainerError>,
}

/// Walks a container that may be truncated or damaged: yields, in order, every segment with a valid
/// frame.
///
/// The walk ends at the first invalid frame. In an intact container that is the table of contents.
pub fn walk<'a>(opener: &'a Opener, bytes: &'a [u8]) -> impl Iterator<Item = Walked> + 'a {
    let mut decompressor = SegmentDecompressor::default();
    let mut offset = HEADER_LEN_BYTES;
    std::iter::from_fn(move || {
        let frame = opener.frame(offset as u64, bytes.get(offset..)?).ok()?;
        let end = offset + frame.stored_len();
        let mut raw = Vec::new();
        let raw = match bytes.get(offset..end) {
            Some(stored) => opener
                .segment(offset as u64, &mut stored.to_vec(), &mut decompressor, &mut raw)
                .map(|_| raw),
            None => Err(ContainerError::Short),
        };
        let walked = Walked { offset: offset as u64, frame, raw };
        offset = end;
        Some(walked)
    })
}

impl Opener {
    /// Opens and checks the table of contents of a whole pack in memory.
    pub fn pack_toc(&self, bytes: &[u8]) -> Result<PackToc, ContainerError> {
        let (trailer, toc) = self.whole_toc(bytes)?;
        self.parse_pack_toc(&trailer, &toc)
    }

    /// Parses a pack's opened table of contents and checks it against the trailer.
    pub fn parse_pack_toc(&self, trailer: &Trailer, toc: &[u8]) -> Result<PackToc, ContainerError> {
        let toc: PackToc = codec::decode("pack table of contents", toc)?;
        check_pack_toc(self.kind, trailer, &toc)?;
        Ok(toc)
    }
}

/// Checks that a pack's segments fill it without gaps from the header to the table of contents, and
/// that counts, lengths and kinds of chunks match trailer and container.
fn check_pack_toc(
    kind: ContainerKind,
    trailer: &Trailer,
    toc: &PackToc,
) -> Result<(), DecodeError> {
    let refuse = |why| Err(DecodeError::new("pack table of contents", why));
    let least = (FRAME_LEN_BYTES + TAG_LEN_BYTES) as u64;
    let (mut stored, mut raw) = (HEADER_LEN_BYTES as u64, 0);
    for segment in &toc.segments {
        let (stored_len, raw_len) = (u64::from(segment.stored_len), segment.raw_len());
        if segment.chunks.is_empty() || segment.chunks.len() > limits::CHUNKS_PER_SEGMENT_MAX {
            return refuse("a segment without chunks or with too many");
        }
        segment.chunks.iter().try_for_each(|chunk| chunk.check(kind))?;
        if raw_len > limits::SEGMENT_RAW_LEN_MAX_BYTES as u64
            || stored_len <= least
            || stored_len > least + raw_len
        {
            return refuse("impossible length of a segment");
        }
        (stored, raw) = (stored + stored_len, raw + raw_len);
    }
    if stored != trailer.toc_offset
        || raw != trailer.raw_total
        || toc.segments.len() != trailer.segment_count as usize
    {
        return refuse("segments do not fill the pack, or its sums are wrong");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::container::{ChunkKind, ChunkRecord, SegmentRecord};
    use crate::id::ChunkId;

    const LEAST: u32 = (FRAME_LEN_BYTES + TAG_LEN_BYTES) as u32;

    fn segment(stored_len: u32, count: usize, len: u32) -> SegmentRecord {
        let chunk = ChunkRecord { kind: ChunkKind::Data, id: ChunkId([1; 32]), len };
        SegmentRecord { stored_len, chunks: vec![chunk; count] }
    }

    /// Returns the trailer that fits these segments.
    fn trailer(toc: &PackToc) -> Trailer {
        let stored: u64 = toc.segments.iter().map(|segment| u64::from(segment.stored_len)).sum();
        Trailer {
            toc_offset: HEADER_LEN_BYTES as u64 + stored,
            toc_len: 0,
            padding_len: 0,
            segment_count: u32::try_from(toc.segments.len()).unwrap(),
            raw_total: toc.segments.iter().map(SegmentRecord::raw_len).sum(),
        }
    }

    fn check(segments: &[SegmentRecord]) -> Result<(), DecodeError> {
        let toc = PackToc { segments: segments.to_vec() };
        check_pack_toc(ContainerKind::Data, &trailer(&toc), &toc)
    }

    #[test]
    fn segments_fill_a_pack_without_gap_or_overlap() {
        let toc = PackToc { segments: vec![segment(100, 2, 40), segment(200, 1, 300)] };
        let good = trailer(&toc);
        check_pack_toc(ContainerKind::Data, &good, &toc).unwrap();
        for wrong in [
            Trailer { toc_offset: good.toc_offset + 1, ..good },
            Trailer { toc_offset: good.toc_offset - 1, ..good },
            Trailer { raw_total: good.raw_total + 1, ..good },
            Trailer { raw_total: good.raw_total - 1, ..good },
            Trailer { segment_count: 1, ..good },
            Trailer { segment_count: 3, ..good },
        ] {
            assert!(check_pack_toc(ContainerKind::Data, &wrong, &toc).is_err(), "{wrong:?}");
        }
        assert!(check_pack_toc(ContainerKind::Meta, &good, &toc).is_err());
    }

    #[test]
    fn a_segment_is_never_longer_than_its_raw_bytes() {
        let raw_len = u32::try_from(segment(0, 1, 500).raw_len()).unwrap();
        for (stored_len, is_good) in [
            (0, false),
            (LEAST, false),
            (LEAST + 1, true),
            (LEAST + raw_len, true),
            (LEAST + raw_len + 1, false),
            (u32::MAX, false),
        ] {
            assert_eq!(check(&[segment(stored_len, 1, 500)]).is_ok(), is_good, "{stored_len}");
        }
    }

    #[test]
    fn a_segment_is_refused_one_above_each_limit() {
        let chunks_max = limits::CHUNKS_PER_SEGMENT_MAX;
        for (count, is_good) in [(0, false), (1, true), (chunks_max, true), (chunks_max + 1, false)]
        {
            assert_eq!(check(&[segment(LEAST + 1, count, 1)]).is_ok(), is_good, "{count} chunks");
        }
        // With one chunk the table takes 7 bytes and its length 4.
        let len_max = u32::try_from(limits::SEGMENT_RAW_LEN_MAX_BYTES).unwrap() - 11;
        for (len, is_good) in [(0, false), (1, true), (len_max, true), (len_max + 1, false)] {
            assert_eq!(check(&[segment(LEAST + 1, 1, len)]).is_ok(), is_good, "{len} bytes");
        }
    }
}
