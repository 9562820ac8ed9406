//! Length limits of listings: a server that never ends one must not take all memory.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Class, Listed};

/// Room for the names of one listing: for those of some eighteen million packs.
const LEN_MAX_BYTES: u64 = 2 << 30;
/// The same for what no repository has many of: half a million names.
const FEW_LEN_MAX_BYTES: u64 = 64 << 20;
/// What is said when there is none left.
pub const ENDLESS: &str = "the listing is longer than that of any repository: it never ends";

/// The room that one listing has, in however many parts it comes.
pub struct Room {
    left_bytes: AtomicU64,
}

impl Room {
    /// Returns the room of a new listing of a class.
    pub fn for_class(class: Class) -> Self {
        match class {
            Class::Data | Class::Meta | Class::Index | Class::Snapshots | Class::Intents => {
                Self::of(LEN_MAX_BYTES)
            }
            Class::Config | Class::Keys | Class::Collector | Class::Probe => Self::for_few(),
        }
    }

    /// Returns the room of a new listing of few names.
    pub fn for_few() -> Self {
        Self::of(FEW_LEN_MAX_BYTES)
    }

    fn of(len_bytes: u64) -> Self {
        Self { left_bytes: AtomicU64::new(len_bytes) }
    }

    /// Takes room for a name; returns false if there is not so much left. What is not kept counts
    /// too: it never ends either.
    pub fn take(&self, name_len_bytes: usize) -> bool {
        let wanted_bytes = (name_len_bytes + size_of::<Listed>()) as u64;
        let take = |left_bytes: u64| left_bytes.checked_sub(wanted_bytes);
        self.left_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_has_so_much_room_and_no_more() {
        let room = Room::of(3 * (10 + size_of::<Listed>() as u64));
        assert!((0..3).all(|_| room.take(10)) && !room.take(10));
        assert!(!Room::of(10).take(0));
        let room = Room::for_class(Class::Data);
        assert!((0..1_000_000).all(|_| room.take(67)));
        let room = Room::for_class(Class::Keys);
        assert!((0..100_000).all(|_| room.take(67)) && !(0..1_000_000).all(|_| room.take(67)));
    }
}
