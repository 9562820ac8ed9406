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
    /// Damage that is known.
    pub damage: Option<DamageNotes>,
    /// When a prune last ended.
    pub last_prune_s: Option<i64>,
}

/// How much a check reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckDepth {
    /// Lists and small objects.
    #[default]
    Quick,
    /// All trees, too.
    Structure,
    /// A share of the content, too.
    Sample,
    /// Everything.
    Full,
}

/// Damage that was found and not seen to be mended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DamageNotes {
    /// When it was first found.
    pub since_s: i64,
    /// Objects that are damaged or missing, by the last check that found any.
    pub objects: u64,
    /// The least that a check must read to show that it is mended.
    pub depth: CheckDepth,
}

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CheckNotes {
    /// When it ended.
    pub at_s: i64,
    /// Bytes of all packs.
    pub bytes: u64,
    /// Bytes of those with content of files.
    pub data_bytes: u64,
    /// Of these, bytes that this check or an earlier one has read whole.
    pub verified_bytes: u64,
}

impl RepositoryNotes {
    /// Notes what a check found: `objects` are damaged or missing.
    ///
    /// A check that read less than the one that found damage does not show that it is mended; one
    /// that reads a share may have read another share.
    pub fn note_check(&mut self, check: CheckNotes, depth: CheckDepth, objects: u64) {
        let at_s = check.at_s;
        self.check = Some(check);
        if objects == 0 {
            self.damage = self.damage.take().filter(|known| depth < known.depth);
            return;
        }
        let mends = if depth == CheckDepth::Sample { CheckDepth::Full } else { depth };
        let known = self.damage.take();
        self.damage = Some(DamageNotes {
            since_s: known.as_ref().map_or(at_s, |known| known.since_s),
            objects,
            depth: known.map_or(mends, |known| known.depth.max(mends)),
        });
    }
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
        let check = CheckNotes { at_s: 9, bytes: 100, data_bytes: 80, verified_bytes: 50 };
        let note = |notes: &mut RepositoryNotes| {
            notes.note_check(check.clone(), CheckDepth::Full, 1);
        };
        dir.note_repository("box", note).unwrap();
        let notes = dir.repository_notes("box").unwrap();
        assert_eq!((notes.last_prune_s, notes.check), (Some(7), Some(check)));
        assert_eq!(notes.damage.unwrap().since_s, 9);
        std::fs::write(folder.path().join("repositories/box/state.json"), "{\"format\":9}")
            .unwrap();
        assert!(dir.repository_notes("box").unwrap_err().to_string().contains("format 9"));
        dir.note_repository("box", |notes| notes.last_prune_s = Some(8)).unwrap();
        assert_eq!(dir.repository_notes("box").unwrap().last_prune_s, Some(8));
    }

    #[test]
    fn damage_is_known_until_a_check_of_that_depth_finds_none() {
        use CheckDepth::{Full, Quick, Sample, Structure};
        let mut notes = RepositoryNotes::default();
        let mut known_after = |at_s, depth, objects| {
            notes.note_check(CheckNotes { at_s, ..CheckNotes::default() }, depth, objects);
            notes.damage.as_ref().map(|known| (known.since_s, known.objects))
        };
        assert_eq!(known_after(1, Structure, 0), None);
        assert_eq!(known_after(2, Structure, 3), Some((2, 3)));
        assert_eq!(known_after(3, Quick, 0), Some((2, 3)));
        assert_eq!(known_after(4, Structure, 0), None);
        assert_eq!(known_after(5, Sample, 1), Some((5, 1)));
        assert_eq!(known_after(6, Quick, 2), Some((5, 2)));
        assert_eq!(known_after(7, Sample, 0), Some((5, 2)), "it may have read another share");
        assert_eq!(known_after(8, Full, 0), None);
        assert_eq!(known_after(9, Full, 1), Some((9, 1)));
        assert_eq!(known_after(10, Sample, 0), Some((9, 1)));
    }
}
