//! Local notes of the repository that was last seen at each location.

use std::io;
use std::path::Path;

use super::directory::CacheDirectory;
use crate::id::RepositoryId;
use crate::repo::error::{Error, Result};

/// Directory of these notes.
const LOCATIONS: &str = "locations";

/// Remembers the repository at a location, so that an unchanged backup needs no request.
///
/// If the note cannot be written, later backups send requests. Fails with [`Error::ForeignCache`]
/// if other users could have written to the directory.
pub(crate) fn remember_location(
    cache_dir: &Path,
    location: &str,
    repository: RepositoryId,
) -> Result<()> {
    if cache_dir.as_os_str().is_empty() {
        return Ok(());
    }
    match CacheDirectory::at(cache_dir) {
        // Best effort, because the note only saves a request.
        Ok(folder) => drop(folder.write(
            LOCATIONS,
            &hash_of_location(location),
            repository.to_hex().as_bytes(),
        )),
        Err(Error::Cache { .. }) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Returns the repository that was last seen at a location.
pub(crate) fn known_at(cache_dir: &Path, location: &str) -> Option<RepositoryId> {
    if !cache_dir.is_dir() {
        return None;
    }
    let file = CacheDirectory::at(cache_dir)
        .ok()?
        .open_file(LOCATIONS, &hash_of_location(location))
        .ok()?;
    RepositoryId::from_hex(io::read_to_string(file).ok()?.trim())
}

pub(in crate::repo) fn hash_of_location(location: &str) -> String {
    blake3::hash(location.as_bytes()).to_hex().to_string()
}
