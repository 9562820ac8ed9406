//! Goal: limits of key slots, and what a slot costs who tries a secret.

use crate::format::limits;
use crate::format::slot::{Slot, SlotKdf};
use crate::id::RepositoryId;

const fn passphrase(memory_kib: u32, passes: u32, lanes: u32) -> SlotKdf {
    SlotKdf::Passphrase { memory_kib, passes, lanes }
}

#[test]
fn cost_is_memory_times_passes() {
    assert_eq!(passphrase(1_000, 3, 4).cost(), 3_000);
    assert_eq!(passphrase(u32::MAX, u32::MAX, 1).cost(), u64::from(u32::MAX).pow(2));
    assert_eq!(SlotKdf::KeyFile.cost(), 0);
}

#[test]
fn parameters_have_their_limits() {
    let is_valid = |kdf: SlotKdf| kdf.check().is_ok();
    assert!(is_valid(SlotKdf::KeyFile));
    assert!(is_valid(passphrase(8, 1, 1)) && is_valid(passphrase(4 << 20, 64, 16)));
    assert!(!is_valid(passphrase(7, 1, 1)) && !is_valid(passphrase((4 << 20) + 1, 1, 1)));
    assert!(is_valid(passphrase(128, 1, 16)) && !is_valid(passphrase(127, 1, 16)));
    assert!(!is_valid(passphrase(64, 0, 1)) && !is_valid(passphrase(64, 65, 1)));
    assert!(!is_valid(passphrase(4 << 20, 1, 0)) && !is_valid(passphrase(4 << 20, 1, 17)));
}

#[test]
fn a_slot_is_as_long_as_the_limit_and_no_longer() {
    let slot = |len: usize| Slot {
        repository: RepositoryId([1; 16]),
        kdf: SlotKdf::KeyFile,
        salt: [2; 32],
        commitment: [3; 32],
        sealed_bundle: vec![4; len],
        sealed_info: Vec::new(),
    };
    let rest = limits::SLOT_LEN_MAX_BYTES - slot(1_000).encode().len();
    let longest = slot(1_000 + rest);
    assert_eq!(longest.encode().len(), limits::SLOT_LEN_MAX_BYTES);
    assert_eq!(Slot::decode(&longest.encode()).unwrap(), longest);
    assert!(Slot::decode(&slot(1_001 + rest).encode()).is_err());
}
