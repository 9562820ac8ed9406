//! Check before removal that every needed chunk is kept elsewhere, as the packs themselves state
//! it, not index runs.
//!
//! A client with a key that may add objects can add a run that hides all others and states wrong
//! places. So before a pack is removed, its own table of contents is read, and each needed chunk in
//! it is read at its other place. In an honest repository that costs one request for each removed
//! pack, rarely two, and the bytes of chunks that are stored twice. Spec:
//! `format-spec/13-commit.md`, section 4.

use std::collections::{HashMap, HashSet};

use super::marked::Marked;
use crate::format::container::{ChunkKind, HEADER_LEN_BYTES};
use crate::format::generation::Victim;
use crate::id::{ChunkId, ObjectId};
use crate::monitor::Monitor;
use crate::repo::gc::collect::{self, PackList};
use crate::repo::index::ChunkPlace;
use crate::repo::read::pack_tables::{self, ListedPack};
use crate::repo::read::reachable::MarkBits;
use crate::repo::{Error, Location, Reader, Result};

/// The state of the repository before packs are removed.
pub(super) struct LossCheck<'a> {
    /// Its index avoids the packs to be removed.
    pub reader: &'a Reader,
    /// The packs in the store.
    pub listed: &'a PackList,
    /// The chunks that are needed.
    pub marks: &'a MarkBits,
    /// Packs that this prune stored itself.
    pub own: &'a HashSet<ObjectId>,
}

impl<'a> LossCheck<'a> {
    /// Takes the state that a plan was made of.
    pub(super) fn of(Marked { reader, listed, marks, own, .. }: &'a Marked) -> Self {
        Self { reader, listed, marks, own }
    }

    /// Fails with `Unjustified` if one of these packs has a needed chunk that is not where a run
    /// places it.
    ///
    /// Fails with the damage if the chunk is damaged at its other place. In both cases these packs
    /// are the only place.
    pub(super) fn refuse_loss(&self, victims: &[Victim], monitor: &Monitor) -> Result<()> {
        let hints = self.salts();
        let check = |victim: &Victim| {
            if monitor.is_cancelled() {
                return Err(Error::Cancelled);
            }
            self.refuse_loss_of(victim, hints.get(&victim.name).copied())
        };
        self.reader.repository().for_each(victims, check)?.into_iter().collect()
    }

    /// Returns the salts of all packs, each from the first run that names the pack.
    fn salts(&self) -> HashMap<ObjectId, [u8; 32]> {
        let runs = self.reader.index().runs();
        runs.iter().flat_map(|run| &run.toc().packs).map(|pack| (pack.name, pack.salt)).collect()
    }

    fn refuse_loss_of(&self, victim: &Victim, salt: Option<[u8; 32]>) -> Result<()> {
        // Checks packs of recorded verdicts, too: the verdict may be the one that is to be carried
        // out.
        let Some(listed) = self.listed.packs.get(&victim.name) else {
            return Ok(());
        };
        let pack =
            ListedPack { class: listed.class, name: victim.name, len_bytes: listed.len_bytes };
        let Some(placed) = pack_tables::read_before_removal(self.reader.repository(), &pack, salt)?
        else {
            return Ok(());
        };
        let mut needed = Vec::new();
        let mut chunks: Vec<_> =
            placed.toc.segments.iter().flat_map(|segment| &segment.chunks).collect();
        // Sorted, so that neighbours in the index are looked up one after the other.
        chunks.sort_unstable_by_key(|chunk| chunk.id);
        for chunk in chunks {
            let mut places = self.reader.index().places(&chunk.id)?;
            let is_needed = places.iter().any(|place| self.marks.is_set(place.number));
            let is_own = |place: &ChunkPlace| {
                place.is_trusted && self.own.contains(&place.location.pack.name)
            };
            // A chunk that is in no existing pack was reported as missing by the marking.
            let is_there = |pack: &ObjectId| self.listed.has(pack) || self.own.contains(pack);
            places.retain(|place| is_there(&place.location.pack.name));
            if is_needed && !places.is_empty() && !places.iter().any(is_own) {
                needed.push((chunk.kind, chunk.id, places));
            }
        }
        // Sorted, so that each segment is read once.
        let first = |places: &[ChunkPlace]| {
            places.iter().find(|place| place.is_trusted).map(|place| key_of(&place.location))
        };
        needed.sort_by_key(|(_, _, places)| first(places));
        needed.iter().try_for_each(|(kind, id, places)| self.require(*kind, id, places))
    }

    /// Fails unless the chunk can be read at one of these places that stay.
    fn require(&self, kind: ChunkKind, id: &ChunkId, places: &[ChunkPlace]) -> Result<()> {
        let mut wrong = None;
        for place in places.iter().filter(|place| place.is_trusted) {
            match self.reader.verify(&place.location, kind, id) {
                Ok(()) => return Ok(()),
                Err(error) if error.is_damage() => wrong = wrong.or(Some((place, error))),
                Err(error) => return Err(error),
            }
        }
        match wrong {
            // The pack's table confirms the place: the chunk is damaged there, or the pack is gone.
            Some((place, error))
                if error.is_not_found() || self.is_said_by_pack(&place.location, id)? =>
            {
                Err(error)
            }
            Some((place, _)) => Err(self.forged(place, id)?),
            None => Err(self.forged(self.first_wrong(places, id)?, id)?),
        }
    }

    /// Returns the first of these places that the pack's table does not confirm.
    fn first_wrong<'p>(&self, places: &'p [ChunkPlace], id: &ChunkId) -> Result<&'p ChunkPlace> {
        for place in places {
            if !self.is_said_by_pack(&place.location, id)? {
                return Ok(place);
            }
        }
        Ok(&places[0])
    }

    fn forged(&self, place: &ChunkPlace, id: &ChunkId) -> Result<Error> {
        let run = self.reader.index().run_of(place.number).unwrap_or(ObjectId([0; 32]));
        let object = collect::object_of_run(self.reader.repository(), &run)?;
        let why = format!(
            "it says that chunk {} lies in pack {}, where it does not",
            id.short(),
            place.location.pack.name.short()
        );
        Ok(Error::Unjustified { object, why })
    }

    /// Returns whether a pack's own table of contents has a chunk at this place.
    fn is_said_by_pack(&self, location: &Location, id: &ChunkId) -> Result<bool> {
        let len_bytes =
            self.listed.packs.get(&location.pack.name).map_or(0, |listed| listed.len_bytes);
        let pack = ListedPack { class: location.pack.class, name: location.pack.name, len_bytes };
        // If the table cannot be read either, the pack is damaged.
        let Some(placed) = pack_tables::read_before_removal(self.reader.repository(), &pack, None)?
        else {
            return Ok(true);
        };
        let mut offset = HEADER_LEN_BYTES as u32;
        for segment in &placed.toc.segments {
            if offset == location.offset {
                return Ok(segment
                    .chunks
                    .get(usize::from(location.chunk))
                    .is_some_and(|chunk| chunk.id == *id));
            }
            offset += segment.stored_len;
        }
        Ok(false)
    }
}

fn key_of(location: &Location) -> (ObjectId, u32, u16) {
    (location.pack.name, location.offset, location.chunk)
}
