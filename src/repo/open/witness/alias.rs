//! Second name of a place: the memory of one name counts for the other.

use std::path::Path;
use std::sync::atomic::Ordering;

use super::file::{PlaceMemory, write};
use super::{Accept, Witness, file_of};
use crate::sync::lock;

impl Witness {
    /// Reads the memory of a place that has another name, too, such as a path with a link in it.
    ///
    /// If nothing is remembered of the place itself, the memory of the alias counts, because its
    /// link may lead to another place since, with an older copy. With `is_dry`, nothing is written.
    pub fn open_with_alias(
        state_dir: Option<&Path>,
        place: &str,
        alias: &str,
        accept: Accept,
        is_dry: bool,
    ) -> Self {
        let witness = Self { is_dry, ..Self::open(state_dir, place, accept) };
        let Some(dir) = state_dir.filter(|_| place != alias) else {
            return witness;
        };
        let witness = Self { alias: Some((file_of(dir, alias), alias.to_owned())), ..witness };
        let known = lock(&Self::open(state_dir, alias, accept).memory).clone();
        match (witness.knows(), known.repository.is_empty()) {
            (true, _) => witness.note_alias(&lock(&witness.memory), &known),
            (false, true) => {}
            (false, false) => {
                *lock(&witness.memory) = PlaceMemory { location: place.to_owned(), ..known };
                witness.is_borrowed.store(true, Ordering::Relaxed);
            }
        }
        witness
    }

    /// Writes the memory under the alias, too, unless it is equal to `known`.
    pub(super) fn note_alias(&self, memory: &PlaceMemory, known: &PlaceMemory) {
        if let Some((file, alias)) = self.alias.as_ref().filter(|_| !self.is_dry) {
            let memory = PlaceMemory { location: alias.clone(), ..memory.clone() };
            let written = if memory == *known { Ok(()) } else { write(file, &memory) };
            written.unwrap_or_else(|error| self.note(error));
        }
    }
}
