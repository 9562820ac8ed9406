//! Tables of contents of packs, read from the packs themselves, independent of the index.

use super::padded::{self, BLOCK_LEN_BYTES, PaddedPart};
use crate::container::{ContainerError, Opener};
use crate::format::container::{HEADER_LEN_BYTES, Header, TRAILER_LEN_BYTES};
use crate::format::run::{PackClass, PackRef};
use crate::id::ObjectId;
use crate::repo::error::{Error, Result};
use crate::repo::index::PlacedPack;
use crate::repo::objects::layout;
use crate::repo::open::Repository;
use crate::store::{Key, Readiness};

/// A pack as the store lists it.
#[derive(Clone, Copy, Debug)]
pub struct ListedPack {
    /// Its class, from the prefix of its name.
    pub class: PackClass,
    /// Its name.
    pub name: ObjectId,
    /// Its length in bytes.
    pub len_bytes: u64,
}

/// Returns the reference to a pack by which its parts are read.
pub fn pack_ref(pack: &ListedPack, salt: [u8; 32]) -> PackRef {
    PackRef {
        class: pack.class,
        name: pack.name,
        len: u32::try_from(pack.len_bytes).unwrap_or(u32::MAX),
        salt,
    }
}

/// Reads the table of contents of a pack: of a small one by one request, of others by two or three.
///
/// `hint` is the salt that a run states. It saves the request for the header. It need not be right:
/// if nothing opens with it, the header is read.
pub fn read(
    repository: &Repository,
    pack: &ListedPack,
    hint: Option<[u8; 32]>,
) -> Result<PlacedPack> {
    let key = layout::pack_key(pack.class, &pack.name);
    let read = |from: u64, to: u64| {
        let mut part = PaddedPart::default();
        padded::read(repository.store(), &key, from..to, pack.len_bytes, &mut part).map(|()| part)
    };
    let trailer_at = pack
        .len_bytes
        .checked_sub(TRAILER_LEN_BYTES as u64)
        .filter(|at| *at >= HEADER_LEN_BYTES as u64);
    let trailer_at = trailer_at.ok_or(ContainerError::Short).map_err(Error::damaged(&key))?;
    // The block with the trailer usually holds the whole table.
    let tail_at = trailer_at / BLOCK_LEN_BYTES * BLOCK_LEN_BYTES;
    let tail = read(tail_at, pack.len_bytes)?;
    let (keys, kind) = (repository.open_keys(), layout::container_kind(pack.class));
    let trailer_of =
        |opener: &Opener| opener.trailer(&tail[(trailer_at - tail_at) as usize..], pack.len_bytes);
    let by_hint = hint.map(|salt| (salt, Opener::from_salt(keys, kind, &salt)));
    let (salt, opener, trailer) = match by_hint
        .and_then(|(salt, opener)| Some((salt, trailer_of(&opener).ok()?, opener)))
    {
        Some((salt, trailer, opener)) => (salt, opener, trailer),
        None => {
            let header = if tail_at == 0 {
                tail[..HEADER_LEN_BYTES].to_vec()
            } else {
                read(0, HEADER_LEN_BYTES as u64)?.to_vec()
            };
            let opener = Opener::from_header(keys, kind, &header).map_err(Error::damaged(&key))?;
            let trailer = trailer_of(&opener).map_err(Error::damaged(&key))?;
            (Header::decode(&header).map_err(Error::malformed(&key))?.salt, opener, trailer)
        }
    };
    let toc = match trailer.toc_offset.checked_sub(tail_at) {
        Some(at) if trailer.toc_offset <= trailer_at => {
            tail[at as usize..(trailer_at - tail_at) as usize].to_vec()
        }
        _ => read(trailer.toc_offset, trailer_at)?.to_vec(),
    };
    let toc = opener
        .toc(&trailer, &toc)
        .and_then(|toc| opener.parse_pack_toc(&trailer, &toc))
        .map_err(Error::damaged(&key))?;
    Ok(PlacedPack { pack: pack_ref(pack, salt), toc })
}

/// Returns the content of a pack that is about to be removed, or `None` if that is unknown.
///
/// It is unknown if the object is damaged or no pack, has gone, or is in an archive class, from
/// which it cannot be read at once.
pub fn read_before_removal(
    repository: &Repository,
    pack: &ListedPack,
    hint: Option<[u8; 32]>,
) -> Result<Option<PlacedPack>> {
    match read(repository, pack, hint) {
        Err(error)
            if error.is_damage()
                || is_frozen(repository, &layout::pack_key(pack.class, &pack.name)) =>
        {
            Ok(None)
        }
        read => read.map(Some),
    }
}

fn is_frozen(repository: &Repository, key: &Key) -> bool {
    let readiness = repository.store().archive().map(|archive| archive.readiness(key));
    matches!(readiness, Some(Ok(Readiness::Frozen(_) | Readiness::Thawing)))
}
