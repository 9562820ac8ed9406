//! The making of a repository at a place that holds none.

use std::path::Path;
use std::sync::Arc;

use super::connector::Connector;
use super::error::{Error, OtherErrorKind, Result};
use super::place::{Purpose, RepositoryPlace};
use crate::repo::gc::reserve;
use crate::repo::open::probe;
use crate::repo::{self, InitOptions, NewIdentity, Repository, checked_open};
use crate::store::Class;
use crate::text;

/// A repository that was just made.
pub struct Created {
    /// It.
    pub repository: Arc<Repository>,
    /// Whether its store creates exclusively, so that prunes need no promise of the user.
    pub is_exclusive: bool,
}

impl Connector {
    /// Refuses a place that holds a repository or is known to have held one, and a folder with
    /// anything else that is not what a half-finished `init` leaves.
    pub fn refuse_used(&self, place: &RepositoryPlace) -> Result<()> {
        let witness = self.witness(place);
        let is_known = witness.knows();
        let entries = match place.local_dir().map(std::fs::read_dir) {
            Some(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => None,
            Some(Err(error)) => {
                let folder = place.local_dir().unwrap_or(Path::new(""));
                return Err(Error::file("read the folder", folder, error));
            }
            entries => Some(entries.and_then(std::result::Result::ok)),
        };
        if entries.is_some() {
            match checked_open::refuse_missing(&*self.store(place, Purpose::Work)?, &witness) {
                Ok(()) => return Err(repo::Error::AlreadyExists { location: place.shown() }.into()),
                Err(repo::Error::NoRepository { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if is_known && !self.options.accept_new_repository {
            // The disk that holds it is not mounted, more often than it is gone.
            return Err(repo::Error::NoRepository { location: place.shown(), is_known }.into());
        }
        let folders = Class::ALL.map(Class::dir_name);
        let foreign = entries
            .flatten()
            .into_iter()
            .flatten()
            .filter_map(std::result::Result::ok)
            .find(|entry| !folders.iter().any(|folder| entry.file_name() == *folder));
        match foreign {
            Some(entry) => {
                let why = format!("the folder {} is not empty", place.shown());
                Err(Error::new(OtherErrorKind::Failed, why).hint(format!(
                    "it holds {}; a repository wants a folder of its own",
                    text::printable(entry.file_name().as_encoded_bytes())
                )))
            }
            None => Ok(()),
        }
    }

    /// Makes a repository, and finds out what its store can do.
    ///
    /// Call [`Self::refuse_used`] first. If the process dies in between, the next call goes on with
    /// what it finds there.
    pub fn create(
        &self,
        place: &RepositoryPlace,
        options: &InitOptions,
        identity: NewIdentity,
    ) -> Result<Created> {
        let store = self.store(place, Purpose::Make)?;
        let is_exclusive = probe::probe(&*store)?;
        let repository = Repository::init_as(store, options, identity)?;
        self.tell_trouble(
            checked_open::remember(&repository, self.state_dir().as_deref()),
            repository.cache_trouble(),
        );
        reserve::keep(&repository)?;
        if !is_exclusive {
            probe::remember(&repository)?;
        }
        Ok(Created { repository, is_exclusive })
    }
}
