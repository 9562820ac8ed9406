//! Goal: the bytes of everything stored are frozen, and whatever breaks a rule is refused for that
//! reason.
//!
//! Method: `format-spec/vectors/` holds what this module once wrote. Each test makes the vectors
//! again and compares, then takes the stored ones through the real decoders. With
//! `DRUMLIN_REGENERATE_VECTORS=1` the files are written instead: only for a deliberate change of
//! the format, whose diff then shows what changed.

mod codec; // values of the codec
mod containers; // containers and key slots
mod cuts; // cut points, padding
mod decoders; // the real decoders
mod directories; // directories of several nodes
mod faults; // containers and slots to refuse
mod faults_slots; // key slots to refuse
mod faults_structures; // structures to refuse
mod foreign_configs; // configs that do not count
mod forge; // containers with faults
mod keys; // derived keys
mod repositories; // whole repositories
mod shares; // secrets as shares
mod text; // text form of vectors
mod words; // secrets as words

use std::path::PathBuf;

use drumlin::crypto::kdf::Key;
use drumlin::crypto::keyring::Keyring;
use drumlin::format::container::ContainerKind;
use drumlin::id::RepositoryId;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Returns the folder of the vectors.
fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("format-spec/vectors")
}

/// Returns whether the files are to be written instead of compared.
fn is_regenerating() -> bool {
    std::env::var_os("DRUMLIN_REGENERATE_VECTORS").is_some_and(|value| value == "1")
}

/// The master key of all vectors: bytes 0 to 31.
fn master() -> [u8; 32] {
    std::array::from_fn(|at| at as u8)
}

/// The repository of all vectors.
const REPOSITORY: RepositoryId = RepositoryId([0xd1; 16]);

/// Returns the key of a container of any kind.
fn container_key(kind: ContainerKind, salt: &[u8; 32]) -> Key {
    keyring().open(kind).container_key(kind, salt)
}

/// The keyring of all vectors.
fn keyring() -> Keyring {
    Keyring::new(&master(), REPOSITORY)
}

/// Compares a stored file with what was made now, or writes it.
fn same_file(name: &str, made: &str) {
    let path = folder().join(name);
    if is_regenerating() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, made).unwrap();
    }
    let stored = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(
        stored == made,
        "{name} differs from what the program makes now; a format change must be deliberate"
    );
}

/// Compares a stored table with the rows made now, writes it when regenerating, and returns the
/// stored rows.
fn same_table<T: Serialize + DeserializeOwned>(name: &str, rows: &[T]) -> Vec<T> {
    let lines: Vec<String> = rows.iter().map(|row| serde_json::to_string(row).unwrap()).collect();
    same_file(name, &format!("[\n{}\n]\n", lines.join(",\n")));
    serde_json::from_str(&std::fs::read_to_string(folder().join(name)).unwrap()).unwrap()
}

/// Returns the bytes written as hex digits.
fn unhex(text: &str) -> Vec<u8> {
    let mut bytes = vec![0; text.len() / 2];
    assert!(drumlin::id::decode_hex(text, &mut bytes), "not hex: {text}");
    bytes
}
