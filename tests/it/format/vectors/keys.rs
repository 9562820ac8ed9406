//! Every derivation of the key tree, on the vectors' master key.

use drumlin::crypto::container_keys::commitment;
use drumlin::crypto::kdf::derive;
use drumlin::crypto::keyring::Keyring;
use drumlin::crypto::passphrase::derive_passphrase_key;
use drumlin::crypto::signing;
use drumlin::format::container::{ChunkKind, ContainerKind};
use drumlin::id::encode_hex;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Row {
    what: String,
    inputs: Vec<String>,
    output: String,
}

fn row(what: &str, inputs: &[&[u8]], output: &[u8]) -> Row {
    Row {
        what: what.to_string(),
        inputs: inputs.iter().map(|bytes| encode_hex(bytes)).collect(),
        output: encode_hex(output),
    }
}

fn derived(purpose: &str, inputs: &[&[u8]]) -> Row {
    row(&format!("derive {purpose}"), inputs, &*derive(purpose, inputs))
}

fn rows(keyring: &Keyring) -> Vec<Row> {
    let (master, repository) = (super::master(), super::REPOSITORY.0);
    let inputs: &[&[u8]] = &[&master, &repository];
    let of_master = [
        "pack root",
        "salt hedge",
        "chunk id data",
        "chunk id tree",
        "chunk id list",
        "tree split",
        "slot info",
    ];
    let mut rows: Vec<Row> = of_master.iter().map(|purpose| derived(purpose, inputs)).collect();
    rows.push(derived("local cache", inputs));
    rows.push(derived("signing", inputs));
    let gear: Vec<u8> = keyring.ids().gear().iter().flat_map(|word| word.to_le_bytes()).collect();
    rows.push(row("derive chunker gear", inputs, &gear));
    rows.push(row("signing public key", &[], &keyring.sign().public()));
    rows.push(row("fingerprint", &[&keyring.sign().public(), &repository], &keyring.fingerprint()));
    let salt = [0x51; 32];
    let key = keyring.records().open().container_key(ContainerKind::Snapshot, &salt);
    rows.push(row("container key of a snapshot", &[&salt], &*key));
    rows.push(row("commitment", &[&*key], &commitment(&key)));
    rows.push(row(
        "salt of random and digest",
        &[&[1; 32], &[2; 32]],
        &keyring.records().seal().new_container(ContainerKind::Snapshot, &[1; 32], &[2; 32]).0,
    ));
    for (kind, name) in
        [(ChunkKind::Data, "data"), (ChunkKind::Tree, "tree"), (ChunkKind::List, "list")]
    {
        rows.push(row(
            &format!("id of a {name} chunk"),
            &[b"drumlin"],
            &keyring.ids().chunk_id(kind, b"drumlin").0,
        ));
    }
    rows.push(row(
        "split hash",
        &[b"name.txt"],
        &keyring.ids().split_hash(b"name.txt").to_le_bytes(),
    ));
    rows.push(derived("key file", &[&[3; 32], &salt, &repository]));
    let argon = derive_passphrase_key("correct horse".as_bytes(), &salt, 256, 2, 2).unwrap();
    rows.push(row(
        "Argon2id of 256 KiB, 2 passes, 2 lanes",
        &["correct horse".as_bytes(), &salt],
        &*argon,
    ));
    rows.push(row(
        "snapshot signature",
        &[b"encoded snapshot"],
        &keyring.sign().sign_snapshot(b"encoded snapshot"),
    ));
    rows.push(row(
        "tombstone signature",
        &[b"encoded tombstone"],
        &keyring.sign().sign_tombstone(b"encoded tombstone"),
    ));
    rows.push(row(
        "protection signature",
        &[b"encoded tombstone"],
        &keyring.sign().sign_protection(b"encoded tombstone"),
    ));
    rows
}

#[test]
fn derivations_are_frozen() {
    let keyring = super::keyring();
    let rows = rows(&keyring);
    assert!(rows.len() >= 12);
    assert_eq!(super::same_table("keys.json", &rows), rows);
    let signature = keyring.sign().sign_snapshot(b"encoded snapshot");
    assert!(signing::verify_snapshot(&keyring.sign().public(), b"encoded snapshot", &signature));
    assert!(!signing::verify_snapshot(&keyring.sign().public(), b"Encoded snapshot", &signature));
    assert!(!signing::verify_snapshot(&[0; 32], b"encoded snapshot", &signature));
    assert!(
        !signing::verify_tombstone(&keyring.sign().public(), b"encoded snapshot", &signature),
        "one prefix for each kind"
    );
    let signature = keyring.sign().sign_tombstone(b"encoded tombstone");
    assert!(signing::verify_tombstone(&keyring.sign().public(), b"encoded tombstone", &signature));
}
