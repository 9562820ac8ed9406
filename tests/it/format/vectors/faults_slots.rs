//! Key slots that must be refused, each for the one fault that its name tells.

use drumlin::crypto::container_keys::commitment;
use drumlin::crypto::kdf::derive;
use drumlin::crypto::keyring::Keyring;
use drumlin::crypto::seal::{Part, Sealer};
use drumlin::crypto::slot::{Secret, Wrapping, wrap};
use drumlin::format::codec;
use drumlin::format::entry::Timestamp;
use drumlin::format::slot::{Bundle, Slot, SlotInfo, SlotKdf};
use drumlin::id::RepositoryId;
use zeroize::Zeroizing;

use super::containers::slots;
use super::decoders::PASSPHRASE;
use super::faults::Fault;

/// Makes a passphrase slot with parameters that the program refuses, as its maker would have.
fn forge(memory_kib: u32, passes: u32, lanes: u32) -> Slot {
    let [(_, sound), _] = slots();
    let params = argon2::Params::new(memory_kib, passes, lanes, Some(32)).unwrap();
    let mut key = Zeroizing::new([0; 32]);
    argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params)
        .hash_password_into(PASSPHRASE.as_bytes(), &sound.salt, &mut *key)
        .unwrap();
    let kdf = SlotKdf::Passphrase { memory_kib, passes, lanes };
    let mut slot = Slot { kdf, commitment: commitment(&key), ..sound };
    let seal = |key: &Zeroizing<[u8; 32]>, part, associated_data: &[u8], plain: &[u8]| {
        let mut buffer = [plain, &[0; 16]].concat();
        Sealer::new(key, associated_data).seal(part, 0, &mut buffer);
        buffer
    };
    let bundle = codec::encode(&Bundle::Full { master: super::master() });
    slot.sealed_bundle = seal(&key, Part::Bundle, &slot.associated_data(), &bundle);
    let info = codec::encode(&SlotInfo { label: String::new(), created: Timestamp::default() });
    let slot_info = derive("slot info", &[&super::master(), &super::REPOSITORY.0]);
    let info_key = derive("slot info key", &[&*slot_info, &slot.salt]);
    slot.sealed_info = seal(&info_key, Part::SlotInfo, &slot.info_associated_data(), &info);
    slot
}

/// Returns the slots that must be refused.
pub fn key_slots() -> Vec<Fault> {
    let [(_, passphrase), (_, key_file)] = slots();
    let with_kdf = |memory_kib, passes, lanes| {
        let mut slot = passphrase.clone();
        slot.kdf = SlotKdf::Passphrase { memory_kib, passes, lanes };
        slot.encode()
    };
    // Made with these parameters, so that nothing else is wrong.
    let forged = |memory_kib, passes, lanes| forge(memory_kib, passes, lanes).encode();
    let of = |keyring: &Keyring, label: String| {
        let info = SlotInfo { label, created: Timestamp { seconds: 1_772_323_200, nanos: 0 } };
        let secret = Secret::KeyFile(Zeroizing::new(super::master()));
        let bundle = Bundle::Full { master: super::master() };
        let wrapping = Wrapping { secret: &secret, kdf: SlotKdf::KeyFile, salt: [0x32; 32] };
        wrap(keyring.slots(), &bundle, &info, &wrapping).unwrap().encode()
    };
    let elsewhere = Keyring::new(&super::master(), RepositoryId([0xd2; 16]));
    let spoilt = |spoil: fn(&mut drumlin::format::slot::Slot)| {
        let mut slot = key_file.clone();
        spoil(&mut slot);
        slot.encode()
    };
    let byte = |at: usize, byte: u8| {
        let mut bytes = key_file.encode();
        bytes[at] = byte;
        bytes
    };
    vec![
        ("slot_magic_unknown", "key slot", byte(3, b'X')),
        ("slot_version_unknown", "key slot", byte(9, 7)),
        ("slot_kdf_unknown", "key slot", byte(26, 2)),
        ("slot_memory_over_limit", "key slot", with_kdf((4 << 20) + 1, 1, 1)),
        ("slot_memory_too_small_for_lanes", "key slot", with_kdf(31, 1, 4)),
        ("slot_passes_over_limit", "key slot", forged(256, 65, 1)),
        ("slot_passes_zero", "key slot", with_kdf(256, 0, 1)),
        ("slot_lanes_over_limit", "key slot", forged(256, 1, 17)),
        ("slot_parameters_changed", "key slot", with_kdf(256, 1, 2)),
        ("slot_commitment_changed", "key slot", spoilt(|slot| slot.commitment[0] ^= 1)),
        ("slot_salt_changed", "key slot", spoilt(|slot| slot.salt[0] ^= 1)),
        ("slot_repository_changed", "key slot", spoilt(|slot| slot.repository.0[0] ^= 1)),
        ("slot_of_another_repository", "key slot", of(&elsewhere, "laptop".to_string())),
        ("slot_bundle_flipped", "key slot", spoilt(|slot| slot.sealed_bundle[0] ^= 1)),
        ("slot_info_flipped", "key slot", spoilt(|slot| slot.sealed_info[0] ^= 1)),
        ("slot_too_long", "key slot", of(&super::keyring(), "l".repeat(64 << 10))),
        ("slot_trailing_byte", "key slot", [key_file.encode(), vec![0]].concat()),
        ("slot_cut", "key slot", key_file.encode()[..9].to_vec()),
    ]
}
