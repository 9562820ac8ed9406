//! Settings, plans and notes of dumps of Subversion.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::backup::DumpSource;
use crate::sources::manifest::{FileRecord, SharedRecord};

/// Least number of revisions of a range: the size of a shard unless it was set to another.
pub const RANGE_LEN_MIN: u64 = 1_000;

/// The repositories of an app.
#[derive(Clone, Debug)]
pub struct SubversionSettings {
    /// Section of the configuration, for messages: `app.code`.
    pub section: String,
    /// Absolute paths of repositories.
    pub repositories: Vec<PathBuf>,
    /// Absolute paths of folders with repositories in them; each must have one.
    pub parents: Vec<PathBuf>,
    /// Directory below which these paths are: `/` or the app's `root`.
    pub root: PathBuf,
    /// Least number of revisions of a range: [`RANGE_LEN_MIN`].
    pub range_len_min: u64,
    /// What the backup before knew of its ranges.
    pub known: Vec<KnownRange>,
}

/// A range of revisions that is in a snapshot: what the caller keeps, together with the id of that
/// snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownRange {
    /// Path of its file in the snapshot.
    pub path: String,
    /// Fingerprint of the files of the repository that it was made from.
    pub fingerprint: String,
    /// Its file.
    pub record: FileRecord,
}

/// The dumps of an app's repositories.
#[derive(Default)]
pub struct SubversionPlan {
    /// The repositories, by path, those of parents after the others.
    pub repositories: Vec<PlannedRepository>,
    /// What the user should know, and is no error.
    pub notices: Vec<String>,
}

/// The dumps of one repository.
pub struct PlannedRepository {
    /// Its ranges, in loading order. All fill the record of `notes`.
    pub ranges: Vec<PlannedRange>,
    /// Files that a dump lacks.
    pub files: Vec<RepositoryFiles>,
    /// What is known of the ranges when all have ended.
    pub notes: RangeNotes,
}

/// The dump of a range of revisions.
pub struct PlannedRange {
    /// The dump.
    pub source: DumpSource,
    /// Whether the backup before had the same: if its snapshot has a file at `source.path`, that
    /// one can be taken over, and `source` need not be opened.
    pub is_unchanged: bool,
}

/// A file or folder to add as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryFiles {
    /// Where it is.
    pub from: PathBuf,
    /// Its path in the snapshot.
    pub to: Vec<u8>,
}

/// What is known of the ranges of a repository.
pub struct RangeNotes {
    /// The repository in the manifest.
    pub record: SharedRecord,
    /// Fingerprints by file name, from before the dumps.
    pub(super) fingerprints: BTreeMap<String, String>,
}

impl RangeNotes {
    /// Returns what to pass to the next plan as [`SubversionSettings::known`].
    ///
    /// To be asked when all dumps have ended, and to be kept only if there is a snapshot of them.
    pub fn known(&self) -> Vec<KnownRange> {
        let record = self.record.get();
        let known = |file: &FileRecord| {
            let fingerprint = self.fingerprints.get(&file.path)?.clone();
            let path = format!("{}/{}", record.place, file.path);
            Some(KnownRange { path, fingerprint, record: file.clone() })
        };
        record.files.iter().filter_map(known).collect()
    }
}
