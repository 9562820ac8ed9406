//! Reader of parts of packs: ranges of stored bytes, segments, and tables of contents.
//!
//! Every part is authenticated by itself, so no pack need be read as a whole. Ids of chunks are not
//! verified here.
//!
//! Spec: `format-spec/04-container.md`, section 7.

use std::sync::Arc;

use super::padded::{self, PaddedPart};
use super::reader::Reader;
use crate::container::{ContainerError, Opener, Segment};
use crate::format::container::{FRAME_LEN_BYTES, Frame, PackToc, TRAILER_LEN_BYTES};
use crate::format::run::{PackClass, PackRef};
use crate::repo::error::{Error, Result};
use crate::repo::index::Location;
use crate::repo::objects::layout;
use crate::sync::lock;

impl Reader {
    /// Reads, opens and decompresses a whole segment; its chunks' ids are not verified yet.
    pub fn read_segment(&self, location: &Location) -> Result<Segment> {
        match self.try_read_segment(location) {
            Err(error) if error.is_damage() && location.pack.class == PackClass::Meta => {
                // The local copy may be damaged. Copies are hints, so the pack is read from the
                // store once more.
                self.tree_packs.drop_copy(self.repository(), &location.pack.name);
                self.try_read_segment(location)
            }
            read => read,
        }
    }

    fn try_read_segment(&self, location: &Location) -> Result<Segment> {
        let mut stored = PaddedPart::default();
        self.read_range(
            &location.pack,
            location.offset,
            location.stored_len as usize,
            &mut stored,
        )?;
        self.open_segment(&location.pack, location.offset, &mut stored, Vec::new())
    }

    /// Reads a whole segment and opens its seal without decompressing it, so that it can go into
    /// another pack.
    ///
    /// Its content is not verified beyond the seal.
    pub fn read_compressed(&self, location: &Location) -> Result<CompressedSegment> {
        let mut stored = PaddedPart::default();
        self.read_range(
            &location.pack,
            location.offset,
            location.stored_len as usize,
            &mut stored,
        )?;
        let object = || {
            format!(
                "{} (at byte {})",
                layout::pack_key(location.pack.class, &location.pack.name),
                location.offset
            )
        };
        let opened =
            self.opener(&location.pack).compressed_segment(u64::from(location.offset), &mut stored);
        let frame = opened.map_err(Error::damaged(object()))?.0;
        Ok(CompressedSegment { frame, stored })
    }

    /// Reads the table of contents of a pack.
    pub fn read_toc(&self, pack: &PackRef) -> Result<PackToc> {
        let object = || layout::pack_key(pack.class, &pack.name);
        let opener = self.opener(pack);
        let trailer_at = pack
            .len
            .checked_sub(TRAILER_LEN_BYTES as u32)
            .ok_or(ContainerError::Short)
            .map_err(Error::damaged(object()))?;
        let mut trailer = PaddedPart::default();
        self.read_range(pack, trailer_at, TRAILER_LEN_BYTES, &mut trailer)?;
        let trailer =
            opener.trailer(&trailer, u64::from(pack.len)).map_err(Error::damaged(object()))?;
        let toc_at = u32::try_from(trailer.toc_offset).unwrap_or(trailer_at).min(trailer_at);
        let mut toc = PaddedPart::default();
        self.read_range(pack, toc_at, (trailer_at - toc_at) as usize, &mut toc)?;
        let toc = opener.toc(&trailer, &toc).and_then(|toc| opener.parse_pack_toc(&trailer, &toc));
        toc.map_err(Error::damaged(object()))
    }

    /// Replaces `part` by stored bytes of a pack; those of packs with trees may come from a local
    /// copy.
    ///
    /// The store is asked for whole blocks only.
    pub fn read_range(
        &self,
        pack: &PackRef,
        offset: u32,
        len: usize,
        part: &mut PaddedPart,
    ) -> Result<()> {
        let range = u64::from(offset)..u64::from(offset) + len as u64;
        match pack.class {
            PackClass::Data => {
                let key = layout::pack_key(pack.class, &pack.name);
                Ok(padded::read(self.repository().store(), &key, range, pack.len.into(), part)?)
            }
            PackClass::Meta => self.tree_packs.read_range(self.repository(), pack, range, part),
        }
    }

    /// Opens a segment whose stored bytes (frame and body) are in `stored`, which is
    /// overwritten; `buffer` becomes its memory.
    pub fn open_segment(
        &self,
        pack: &PackRef,
        offset: u32,
        stored: &mut [u8],
        mut buffer: Vec<u8>,
    ) -> Result<Segment> {
        let object = || format!("{} (at byte {offset})", layout::pack_key(pack.class, &pack.name));
        let opener = self.opener(pack);
        let mut decompressor = lock(&self.decompressors).pop().unwrap_or_default();
        let opened = opener.segment(u64::from(offset), stored, &mut decompressor, &mut buffer);
        lock(&self.decompressors).push(decompressor);
        opened.and_then(|_| Ok(Segment::parse(buffer)?)).map_err(Error::damaged(object()))
    }

    fn opener(&self, pack: &PackRef) -> Arc<Opener> {
        if let Some(opener) = lock(&self.openers).get(&pack.name) {
            return opener;
        }
        let kind = layout::container_kind(pack.class);
        let opener = Arc::new(Opener::from_salt(self.open_keys(), kind, &pack.salt));
        lock(&self.openers).insert(pack.name, opener.clone(), 1);
        opener
    }
}

/// A segment that is still compressed.
pub struct CompressedSegment {
    /// The lengths and the codec.
    pub frame: Frame,
    /// The stored bytes, opened in place.
    stored: PaddedPart,
}

impl CompressedSegment {
    /// Returns the compressed body.
    pub fn body(&self) -> &[u8] {
        &self.stored[FRAME_LEN_BYTES..][..self.frame.body_len as usize]
    }
}
