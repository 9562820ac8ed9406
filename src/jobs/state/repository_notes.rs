//! This machine's memory of a repository: its last check and prune, for metrics.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::dir::{StateDir, make_dir, write_whole};
use super::locks::StateLock;
use crate::os::bounded_read;

/// Version of the file.
const FORMAT: u32 = 1;
/// Longest file that is read.
const LEN_MAX_BYTES: u64 = 1 << 20;

/// What is remembered of a repository. All times are seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RepositoryNotes {
    /// Version of the file.
    pub format: u32,
    /// The last check that ended, whatever it found.
    pub check: Option<CheckNotes>,
    /// When a prune last ended.
    pub last_prune_s: Option<i64>,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CheckNotes {
    /// When it ended.
    pub at_s: i64,
    /// Objects that are damaged or missing.
    pub damaged: u64,
    /// Bytes of all packs.
    pub bytes: u64,
    /// Bytes of those with content of files.
    pub data_bytes: u64,
    /// Of these, bytes that this check or an earlier one has read whole.
    pub verified_bytes: u64,
}

impl StateDir {
    fn notes_dir(&self, repository: &str) -> PathBuf {
        self.path().join("repositories").join(repository)
    }

    /// Returns what is remembered of a repository, by its name in the configuration.
    ///
    /// Fails if it cannot be read, or is of a later version.
    pub fn repository_notes(&self, repository: &str) -> io::Result<RepositoryNotes> {
        let file = self.notes_dir(repository).join("state.json");
        let text = match bounded_read::read(&file, LEN_MAX_BYTES) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(RepositoryNotes::default());
            }
            text => text?,
        };
        let notes: RepositoryNotes = serde_json::from_slice(&text)?;
        match notes.format {
            FORMAT => Ok(notes),
            other => {
                let why = format!("{}: format {other} is not known", file.display());
                Err(io::Error::new(io::ErrorKind::InvalidData, why))
            }
        }
    }

    /// Changes what is remembered of a repository.
    ///
    /// Fails if the directory cannot be written, or another process holds its lock.
    pub fn note_repository(
        &self,
        repository: &str,
        change: impl FnOnce(&mut RepositoryNotes),
    ) -> io::Result<()> {
        let dir = self.notes_dir(repository);
        make_dir(&dir)?;
        let Some(_lock) = StateLock::take_soon(&dir.join("lock"))? else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        // What cannot be read is worth less than what is known now.
        let mut notes = self.repository_notes(repository).unwrap_or_default();
        change(&mut notes);
        notes.format = FORMAT;
        let mut text = serde_json::to_vec_pretty(&notes)?;
        text.push(b'\n');
        write_whole(&dir.join("state.json"), &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_of_checks_and_prunes_are_kept_together() {
        let folder = tempfile::tempdir().unwrap();
        let dir = StateDir::new(folder.path());
        assert_eq!(dir.repository_notes("box").unwrap(), RepositoryNotes::default());
        dir.note_repository("box", |notes| notes.last_prune_s = Some(7)).unwrap();
        let check =
            CheckNotes { at_s: 9, damaged: 1, bytes: 100, data_bytes: 80, verified_bytes: 50 };
        dir.note_repository("box", |notes| notes.check = Some(check.clone())).unwrap();
        let notes = dir.repository_notes("box").unwrap();
        assert_eq!((notes.last_prune_s, notes.check), (Some(7), Some(check)));
        std::fs::write(folder.path().join("repositories/box/state.json"), "{\"format\":9}")
            .unwrap();
        assert!(dir.repository_notes("box").unwrap_err().to_string().contains("format 9"));
        dir.note_repository("box", |notes| notes.last_prune_s = Some(8)).unwrap();
        assert_eq!(dir.repository_notes("box").unwrap().last_prune_s, Some(8));
    }
}
