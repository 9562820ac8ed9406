//! Opens what `SNAP[:PATH]` names: the snapshot, and a reader of its trees.

use std::sync::Arc;

use super::SnapshotSpec;
use super::candidates::Candidates;
use super::latest::sync_with;
use crate::cli::failure::Failure;
use crate::format::snapshot::Snapshot;
use crate::repo::{Reader, Repository, Trees};
use crate::ui::Ui;

/// Makes a reader.
pub(crate) type NewReader = fn(&Arc<Repository>) -> crate::repo::Result<Arc<Reader>>;

impl SnapshotSpec {
    /// Finds the snapshot in the repository; prints which it is unless it was named by its id.
    ///
    /// `latest` with a path is the newest that holds the path.
    pub(crate) fn resolve(
        &self,
        ui: &Ui,
        repository: &Arc<Repository>,
    ) -> Result<Snapshot, Failure> {
        let candidates = Candidates::of_repository(ui, repository, self)?;
        candidates.choose(ui, self, &|| Ok(Trees::new(Reader::for_lookup(repository)?)))
    }

    /// Finds the snapshot, and makes a reader of its trees.
    pub(crate) fn open(
        &self,
        ui: &Ui,
        repository: &Arc<Repository>,
    ) -> Result<(Snapshot, Trees), Failure> {
        let (snapshot, reader) = self.open_with(ui, repository, Reader::for_lookup)?;
        Ok((snapshot, Trees::new(reader)))
    }

    /// Finds the snapshot, and makes a reader whose index includes it.
    pub(crate) fn open_with(
        &self,
        ui: &Ui,
        repository: &Arc<Repository>,
        new_reader: NewReader,
    ) -> Result<(Snapshot, Arc<Reader>), Failure> {
        let list = || Candidates::of_repository(ui, repository, self);
        let (reader, candidates) = repository.both(|| new_reader(repository), list);
        let (candidates, reader) = (candidates?, reader?);
        let snapshot = candidates.choose(ui, self, &|| Ok(Trees::new(reader.clone())))?;
        sync_with(&reader, &snapshot)?;
        Ok((snapshot, reader))
    }

    /// Finds the snapshot with existing trees.
    pub(crate) fn resolve_by(
        &self,
        ui: &Ui,
        repository: &Arc<Repository>,
        trees: &Trees,
    ) -> Result<Snapshot, Failure> {
        let snapshot =
            Candidates::of_repository(ui, repository, self)?
                .choose(ui, self, &|| Ok(trees.clone()))?;
        sync_with(trees.reader(), &snapshot)?;
        Ok(snapshot)
    }
}
