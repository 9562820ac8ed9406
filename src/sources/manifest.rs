//! The manifest of an app's dumps: `/@app/manifest.json`.
//!
//! A restore on an empty machine needs nothing but it. It is deterministic (no times, sorted keys),
//! so that an unchanged app makes no snapshot.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::sync::lock;

/// Version of the manifest.
pub const FORMAT: u32 = 1;
/// Its path in the snapshot.
pub const PATH: &str = "/@app/manifest.json";

/// The manifest of one snapshot of an app.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// Name of the app.
    pub app: String,
    /// The app's own configuration, without secrets.
    pub configuration: serde_json::Value,
    /// Its dumps, in loading order.
    pub sources: Vec<SourceRecord>,
}

/// What is known of one dump.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRecord {
    /// Folder or file in the snapshot, for example `/@app/mariadb/wiki`.
    pub place: String,
    /// `mariadb`, `mariadb-backup`, `mysql`, `postgres`, `sqlite`, `subversion` or `command`.
    pub kind: String,
    /// Method: `dump`, `backup`, `ranges`, `pages` or `output`.
    pub method: String,
    /// Name of the database, repository or command; empty for a whole server.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub name: String,
    /// Version of the server, as it says.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub server: String,
    /// Version of the client program, as it says.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub client: String,
    /// Character set of the database.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub character_set: String,
    /// Its files, in loading order.
    pub files: Vec<FileRecord>,
    /// What was left out on purpose, for people.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub left_out: Vec<String>,
    /// More that a restore needs, by kind.
    #[serde(skip_serializing_if = "serde_json::Map::is_empty", default)]
    pub more: serde_json::Map<String, serde_json::Value>,
    /// How long its dump took. It is not stored: the manifest of an unchanged app is the same.
    #[serde(skip)]
    pub took: Duration,
}

/// One file of a dump.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Its path below `place`, as it is in the snapshot; empty if `place` is the file.
    pub path: String,
    /// Name of the table or range that it holds.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub holds: String,
    /// Rows in it, where they can be counted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rows: Option<u64>,
    /// Its length.
    pub bytes: u64,
    /// BLAKE3 of its content, in hex.
    pub blake3: String,
}

/// A record that a dump fills while it runs, and others read when all have ended.
#[derive(Clone, Debug, Default)]
pub struct SharedRecord(Arc<Mutex<Shared>>);

#[derive(Debug, Default)]
struct Shared {
    record: SourceRecord,
    /// What the user should know, and is in no manifest.
    notices: Vec<String>,
}

impl SharedRecord {
    /// Shares a record with what is known before the dump.
    pub fn new(record: SourceRecord) -> Self {
        Self(Arc::new(Mutex::new(Shared { record, notices: Vec::new() })))
    }

    /// Changes it.
    pub fn update(&self, change: impl FnOnce(&mut SourceRecord)) {
        change(&mut lock(&self.0).record);
    }

    /// Returns a copy.
    pub fn get(&self) -> SourceRecord {
        lock(&self.0).record.clone()
    }

    /// Adds what the user should know, is no error, and was not known before the dump.
    pub fn notice(&self, notice: String) {
        lock(&self.0).notices.push(notice);
    }

    /// Takes these notices.
    pub fn take_notices(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.0).notices)
    }
}

impl Manifest {
    /// Returns its bytes: sorted keys, indented, with a line feed at the end.
    pub fn encode(&self) -> Vec<u8> {
        // By way of a value, whose maps are sorted.
        let value = serde_json::to_value(self).expect("a manifest has string keys only");
        let mut bytes = serde_json::to_vec_pretty(&value).expect("a value can be written");
        bytes.push(b'\n');
        bytes
    }

    /// Parses a manifest. Fails for other versions.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        match manifest.format {
            FORMAT => Ok(manifest),
            other => Err(format!("format {other} is not known to this version")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_are_the_same_bytes_for_the_same_content() {
        let record = SharedRecord::new(SourceRecord {
            place: "/@app/mariadb/wiki".to_owned(),
            kind: "mariadb".to_owned(),
            ..SourceRecord::default()
        });
        let file = FileRecord { path: "page.sql".to_owned(), rows: Some(3), ..Default::default() };
        record.update(|record| record.files.push(file));
        record.notice("it is large".to_owned());
        assert_eq!(
            (record.clone().take_notices(), record.take_notices().len()),
            (vec!["it is large".to_owned()], 0)
        );
        let manifest = Manifest {
            format: FORMAT,
            app: "wiki".to_owned(),
            configuration: serde_json::json!({"b": 1, "a": [2]}),
            sources: vec![record.get()],
        };
        let bytes = manifest.encode();
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(text.find("\"a\"") < text.find("\"b\""), "{text}");
        assert!(!text.contains("left_out") && text.ends_with("}\n"), "{text}");
        assert_eq!(Manifest::decode(&bytes).unwrap(), manifest);
        let other = text.replace("\"format\": 1", "\"format\": 2");
        assert!(Manifest::decode(other.as_bytes()).unwrap_err().contains("format 2"));
    }
}
