//! Making a repository.

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

/// What `init` needs to know.
pub struct InitOptions {
    /// How files are cut, for the repository's whole life.
    pub profile: Profile,
    /// Opens the first key slot.
    pub secret: Secret,
    /// How that slot's key is derived.
    pub kdf: SlotKdf,
    /// Name of that slot.
    pub label: String,
    /// The time now.
    pub now: Timestamp,
    /// Program and version.
    pub program: String,
    /// Folder for local copies.
    pub cache_dir: PathBuf,
}

/// The keys and the id of a repository that is about to be made.
pub struct NewIdentity {
    master: Zeroizing<[u8; 32]>,
    repository: RepositoryId,
}

impl NewIdentity {
    /// Draws them.
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
    /// Makes a repository in an empty store.
    ///
    /// The config is created last: a repository without one is none, and `init` may be run again.
    pub fn init(store: Arc<dyn Store>, options: &InitOptions) -> Result<Arc<Self>> {
        Self::init_as(store, options, NewIdentity::random()?)
    }

    /// Makes it with keys that were drawn before, so that their fingerprint could be written down.
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
            // Another one may have been quicker.
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
                // Another `init` was quicker; a key that opens nothing would only puzzle people.
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
