//! Places that are called by two names: what is remembered of one counts for the other.

use std::path::Path;
use std::sync::atomic::Ordering;

use super::file::{Memory, write};
use super::{Accept, Witness, file_of};
use crate::sync::lock;

impl Witness {
    /// Reads what is remembered of a place that is called by another name too, such as a path with
    /// a link in it.
    ///
    /// If nothing is known of the place, what was seen last under that name counts: the link may
    /// lead elsewhere since, to an older copy. With `only_looks`, as dry runs have it, nothing that
    /// is learnt or accepted outlives the process.
    pub fn open_called(
        state_dir: Option<&Path>,
        place: &str,
        called: &str,
        accept: Accept,
        only_looks: bool,
    ) -> Self {
        let witness = Self { only_looks, ..Self::open(state_dir, place, accept) };
        let Some(dir) = state_dir.filter(|_| place != called) else {
            return witness;
        };
        let witness = Self { called: Some((file_of(dir, called), called.to_owned())), ..witness };
        let known = lock(&Self::open(state_dir, called, accept).memory).clone();
        match (witness.knows(), known.repository.is_empty()) {
            (true, _) => witness.note_called(&lock(&witness.memory), &known),
            (false, true) => {}
            (false, false) => {
                *lock(&witness.memory) = Memory { location: place.to_owned(), ..known };
                witness.is_borrowed.store(true, Ordering::Relaxed);
            }
        }
        witness
    }

    /// Writes the memory under the other name of the place too, unless that is what is known there.
    pub(super) fn note_called(&self, memory: &Memory, known: &Memory) {
        if let Some((file, called)) = self.called.as_ref().filter(|_| !self.only_looks) {
            let memory = Memory { location: called.clone(), ..memory.clone() };
            let written = if memory == *known { Ok(()) } else { write(file, &memory) };
            written.unwrap_or_else(|error| self.note(error));
        }
    }
}
