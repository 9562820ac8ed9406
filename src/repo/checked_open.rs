//! Opening a repository, with a check against what this machine remembers of the place.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{Error, Result};
use super::gc::generations::Generations;
use super::open::configs;
use super::open::witness::{Accept, Witness};
use super::open::{Expected, OpenOptions, Repository};
use super::snapshots::present::Present;
use super::snapshots::trash;
use crate::crypto::slot::Secret;
use crate::store::Store;

/// Conditions for opening a repository.
#[derive(Default)]
pub struct OpenConditions {
    /// The directory of this machine's memory; without one nothing is remembered.
    pub state_dir: Option<PathBuf>,
    /// The repository's directory, if it is in a file system of this machine.
    pub folder: Option<PathBuf>,
    /// Deviations from this machine's memory that the user accepts.
    pub accept: Accept,
    /// What the repository must be.
    pub expected: Expected,
    /// Whether to remember nothing.
    pub is_dry: bool,
}

/// Opens the repository at a place, and makes sure that it is the one that this machine remembers
/// there.
///
/// A rollback is usually noticed later, when the snapshots are listed. It is checked here if this
/// place is known to hold several copies in turn, if the user accepts a rollback now, or if the
/// repository's directory on this machine lacks a name that is remembered.
pub fn open_checked(
    store: Arc<dyn Store>,
    secret: &Secret,
    options: &OpenOptions,
    conditions: &OpenConditions,
) -> Result<Arc<Repository>> {
    let witness = Witness::open_with_alias(
        conditions.state_dir.as_deref(),
        store.place(),
        store.location(),
        conditions.accept,
        conditions.is_dry,
    );
    let is_one = witness.copies().len() < 2 && !conditions.accept.rollback;
    let fits = conditions.folder.as_deref().is_none_or(|folder| witness.fits_folder(folder));
    let is_usual = is_one && fits;
    let options = OpenOptions {
        cache_dir: options.cache_dir.clone(),
        prefer_cached: options.prefer_cached && is_usual,
    };
    let repository =
        Repository::open_known(store, secret, &options, witness, &conditions.expected)?;
    if is_one {
        if !fits {
            check_rollback(&repository)?;
        }
        return Ok(repository);
    }
    choose_copy(&repository, &options.cache_dir)
}

/// Fails with `NoRepository` if there is none, and with `ConfigLost` if there was one.
pub fn refuse_missing(store: &dyn Store, witness: &Witness) -> Result<()> {
    match configs::list(store)?.is_empty() {
        true => Err(configs::why_missing(store, witness)?),
        false => Ok(()),
    }
}

/// Remembers a repository that was created just now, and forgets what was at its place before.
pub fn remember(
    repository: &Repository,
    state_dir: Option<&Path>,
) -> Option<(PathBuf, std::io::Error)> {
    let (place, alias) = (repository.store().place(), repository.location());
    let witness = Witness::open_with_alias(state_dir, place, alias, Accept::default(), false);
    witness.begin_anew();
    // This cannot fail, because nothing is remembered.
    let _ = witness.admit(&repository.identity());
    witness.trouble()
}

/// Fails with `RolledBack` if the repository lacks what this machine saw in it, for callers that do
/// not list snapshots otherwise.
pub fn check_rollback(repository: &Repository) -> Result<()> {
    trash::refuse_hidden(repository, &Present::list(repository)?)?;
    Generations::list(repository).map(drop)
}

/// Finds out which of the remembered copies this one is. A copy that is none of them is remembered
/// as another one, if the user accepts a rollback.
fn choose_copy(repository: &Repository, cache_dir: &Path) -> Result<Arc<Repository>> {
    let witness = repository.witness();
    let last = witness.copy();
    let mut first_error = None;
    for number in witness.copies() {
        witness.use_copy(number);
        let copy = repository.as_copy(number, cache_dir)?;
        match check_rollback(&copy) {
            Ok(()) => return Ok(copy),
            Err(error @ Error::RolledBack { .. }) => drop(first_error.get_or_insert(error)),
            Err(error) => return Err(error),
        }
    }
    match first_error {
        Some(error) if !witness.accept().rollback => {
            witness.use_copy(last);
            Err(error)
        }
        // A dry run does not remember the new copy, so what it learns must not go into the cache,
        // where a later copy with the same number would use it.
        _ if witness.is_dry() => repository.as_copy(witness.add_copy(), Path::new("")),
        _ => repository.as_copy(witness.add_copy(), cache_dir),
    }
}
