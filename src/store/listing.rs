//! Length limit of listings: an endless one must not use up the memory.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Class, Listed};

/// Limit for the names of one listing, in bytes: some eighteen million packs.
const LEN_MAX_BYTES: u64 = 2 << 30;
/// Limit for classes with few objects, in bytes: half a million names.
const FEW_LEN_MAX_BYTES: u64 = 64 << 20;
/// Error text when the limit is exceeded.
pub const ENDLESS: &str = "the listing is longer than that of any repository: it never ends";

/// The budget of one listing, which may come in several parts.
pub struct Room {
    left_bytes: AtomicU64,
}

impl Room {
    /// Returns the budget for a listing of this class.
    pub fn for_class(class: Class) -> Self {
        match class {
            Class::Data | Class::Meta | Class::Index | Class::Snapshots | Class::Intents => {
                Self::of(LEN_MAX_BYTES)
            }
            Class::Config | Class::Keys | Class::Collector | Class::Probe => Self::for_few(),
        }
    }

    /// Returns the budget for a listing of few names.
    pub fn for_few() -> Self {
        Self::of(FEW_LEN_MAX_BYTES)
    }

    fn of(len_bytes: u64) -> Self {
        Self { left_bytes: AtomicU64::new(len_bytes) }
    }

    /// Takes the length of a name from the budget; returns false if too little is left. Names that
    /// are left out count, too.
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
