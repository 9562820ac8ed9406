//! Creation of a repository.

use std::path::PathBuf;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::configs;
use super::key_slots::{self, NewSlot};
use super::repository::{Repository, Unlocked};
use super::witness::Witness;
use crate::container::seal_single;
use crate::crypto::keyring::Keyring;
use crate::crypto::slot::Secret;
use crate::format::config::{Config, Profile};
use crate::format::container::ContainerKind;
use crate::format::entry::Timestamp;
use crate::format::slot::{SlotInfo, SlotKdf};
use crate::id::RepositoryId;
use crate::repo::cache::Cache;
use crate::repo::cache::locations;
use crate::repo::error::{Error, Result};
use crate::repo::objects::layout;
use crate::repo::objects::random::system_32;
use crate::repo::objects::sized_read::read_small;
use crate::store::{Class, ErrorKind, Key, Store};

/// Options of `init`.
pub struct InitOptions {
    /// The chunk sizes, fixed for the repository's life.
    pub profile: Profile,
    /// The secret of the first key slot.
    pub secret: Secret,
    /// The derivation of that slot's key.
    pub kdf: SlotKdf,
    /// Label of that slot.
    pub label: String,
    /// The time now.
    pub now: Timestamp,
    /// Program and version.
    pub program: String,
    /// Directory for local copies.
    pub cache_dir: PathBuf,
}

/// The master key and the id of a repository that is to be created.
pub struct NewIdentity {
    master: Zeroizing<[u8; 32]>,
    repository: RepositoryId,
}

impl NewIdentity {
    /// Draws random ones.
    pub fn random() -> Result<Self> {
        let repository = RepositoryId(system_32()?[..16].try_into().expect("16 bytes"));
        Ok(Self { master: Zeroizing::new(system_32()?), repository })
    }

    /// Returns the fingerprint that the repository will have.
    pub fn fingerprint(&self) -> [u8; 32] {
        Keyring::new(&self.master, self.repository).fingerprint()
    }
}

impl Repository {
    /// Creates a repository in an empty store.
    ///
    /// The config is created last: without it there is no repository, and `init` can be run again.
    pub fn init(store: Arc<dyn Store>, options: &InitOptions) -> Result<Arc<Self>> {
        Self::init_as(store, options, NewIdentity::random()?)
    }

    /// Creates a repository with keys that were drawn before, so that the user could note their
    /// fingerprint.
    pub fn init_as(
        store: Arc<dyn Store>,
        options: &InitOptions,
        identity: NewIdentity,
    ) -> Result<Arc<Self>> {
        let location = store.location().to_owned();
        if !configs::list(&*store)?.is_empty() {
            return Err(Error::AlreadyExists { location });
        }
        if configs::has_remains(&*store)? {
            // Another `init` may have created a config since the first listing.
            return Err(match configs::list(&*store)?.is_empty() {
                true => Error::ConfigLost { location },
                false => Error::AlreadyExists { location },
            });
        }
        let NewIdentity { master, repository } = identity;
        let keyring = Keyring::new(&master, repository);
        let info = SlotInfo { label: options.label.clone(), created: options.now };
        let slot = key_slots::create_slot(
            &*store,
            keyring.slots(),
            &master,
            &NewSlot { info: &info, secret: &options.secret, kdf: options.kdf },
        )?;
        let config = Config {
            repository,
            number: 1,
            created: options.now,
            program: options.program.clone(),
            profile: options.profile,
            read_critical: 0,
            write_critical: 0,
            collect_critical: 0,
            extensions: Vec::new(),
        };
        let sealed = seal_single(
            keyring.records().seal(),
            ContainerKind::Config,
            &system_32()?,
            &config.encode(),
        );
        store.create(&layout::config_key(1), &sealed.bytes).map_err(|error| match error.kind {
            ErrorKind::Exists => {
                // Another `init` was first; a key slot that opens nothing would only confuse
                // people.
                let _ = store.remove(&layout::slot_key(&slot));
                Error::AlreadyExists { location: location.clone() }
            }
            _ => error.into(),
        })?;
        let (cache, slot) =
            (Cache::open(&options.cache_dir, repository, store.place())?, slot.to_hex());
        cache.write("open", "config", &sealed.bytes)?;
        cache.write("open", &slot, &read_small(&*store, &Key::new(Class::Keys, slot.clone()))?)?;
        locations::remember_location(&options.cache_dir, store.place(), repository)?;
        Ok(Arc::new(Self::assemble(
            store,
            Unlocked { slot, master, keyring },
            config,
            cache,
            Arc::new(Witness::in_memory()),
        )))
    }
}
