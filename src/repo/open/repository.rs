//! Open repository: its store, keys, cache and memory, for all rooms of `repo`.
//!
//! A repository that was opened from local copies may be out of date, so it is confirmed before the
//! first write.
//!
//! Spec: `format-spec/10-keys.md` and `format-spec/09-config.md`.

use std::path::Path;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::configs::{self, Configs, check_writable, decode_config};
use super::verified_cache::VerifiedCache;
use super::witness::{RepositoryIdentity, Witness};
use crate::container::{ContainerError, Sealed, seal_single};
use crate::crypto::container_keys::{OpenKeys, RecordKeys, SealKeys};
use crate::crypto::id_keys::IdKeys;
use crate::crypto::keyring::Keyring;
use crate::crypto::signing::SignKeys;
use crate::crypto::slot::SlotKeys;
use crate::format::config::Config;
use crate::format::container::ContainerKind;
use crate::id::RepositoryId;
use crate::repo::cache::Cache;
use crate::repo::error::{Error, Result};
use crate::repo::objects::random::Randomness;
use crate::repo::objects::sized_read::{read_listed, read_there};
use crate::repo::objects::{layout, parallel};
use crate::store::{Class, ErrorKind, Key, Store};

/// An open repository; shared between threads.
pub struct Repository {
    store: Arc<dyn Store>,
    keyring: Arc<Keyring>,
    verified: Arc<VerifiedCache>,
    randomness: Randomness,
    master: Zeroizing<[u8; 32]>,
    config: Config,
    cache: Cache,
    slot: String,
    witness: Arc<Witness>,
    /// Objects of `config/` that are not valid.
    pub(super) void: Vec<String>,
    /// Whether it was opened without a request to the store.
    pub(super) is_offline: bool,
}

/// Content of the key slot that opened a repository.
pub(super) struct Unlocked {
    /// The name of the slot.
    pub slot: String,
    /// The master key in it.
    pub master: Zeroizing<[u8; 32]>,
    /// The keys that are derived from it.
    pub keyring: Keyring,
}

impl Repository {
    /// Returns the identity that the memory of the place compares.
    pub(in crate::repo) fn identity(&self) -> RepositoryIdentity<'_> {
        let (repository, fingerprint) = (self.id(), self.fingerprint());
        RepositoryIdentity { repository, fingerprint, config: self.config.number, slot: &self.slot }
    }

    /// Returns whether no config in the store opens.
    pub fn has_lost_config(&self) -> Result<bool> {
        // Without its key slot, the place may hold another repository, to which this config does
        // not belong.
        if !self.store.list(Class::Keys, &self.slot)?.iter().any(|object| object.name == self.slot)
        {
            return Ok(false);
        }
        let Some(configs) = Configs::read(&*self.store)? else {
            return Ok(true);
        };
        match configs.valid(&*self.store, self.records().open()) {
            Ok(_) => Ok(false),
            Err(Error::ConfigDamaged { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Creates a lost config again from this machine's copy; returns its name, or `None` if there
    /// is no copy.
    ///
    /// A damaged config in its place is removed first. After a crash in between, the config is
    /// still lost, and this can be called again.
    pub fn put_config_back(&self) -> Result<Option<String>> {
        let Some(sealed) = self.cache.read("open", "config") else {
            return Ok(None);
        };
        let config = decode_config(self.records().open(), &sealed, 0)?;
        check_writable(&config)?;
        let key = layout::config_key(config.number);
        match self.store.create(&key, &sealed) {
            Err(error) if error.kind == ErrorKind::Exists => {
                self.store.remove(&key)?;
                self.store.create(&key, &sealed)?;
            }
            created => created?,
        }
        Ok(Some(key.to_string()))
    }

    /// Makes an open repository from its parts.
    pub(super) fn assemble(
        store: Arc<dyn Store>,
        keys: Unlocked,
        config: Config,
        cache: Cache,
        witness: Arc<Witness>,
    ) -> Self {
        Self {
            store,
            keyring: Arc::new(keys.keyring),
            verified: Arc::default(),
            randomness: Randomness::System,
            master: keys.master,
            config,
            cache,
            slot: keys.slot,
            witness,
            void: Vec::new(),
            is_offline: false,
        }
    }

    /// Returns the same repository with the cache of one of its several copies at this place.
    pub(in crate::repo) fn as_copy(&self, number: u32, cache_dir: &Path) -> Result<Arc<Self>> {
        let place = self.store.place();
        let place = if number == 0 { place.to_owned() } else { format!("{place}#{number}") };
        let cache = Cache::open(cache_dir, self.config.repository, &place)?;
        Ok(Arc::new(Self {
            void: self.void.clone(),
            witness: self.witness.clone(),
            ..self.elsewhere(self.store.clone(), cache)
        }))
    }

    fn elsewhere(&self, store: Arc<dyn Store>, cache: Cache) -> Self {
        Self {
            store,
            keyring: self.keyring.clone(),
            verified: self.verified.clone(),
            randomness: Randomness::System,
            master: self.master.clone(),
            config: self.config.clone(),
            cache,
            slot: self.slot.clone(),
            witness: Arc::new(Witness::in_memory()),
            void: Vec::new(),
            is_offline: false,
        }
    }

    /// Returns the same repository in another store for simulations, as a new machine would open
    /// it.
    ///
    /// Sends no request. The cache is in memory, and names and salts are derived from `seed`, so
    /// this is never for real data.
    pub fn in_simulation(&self, store: Arc<dyn Store>, seed: u64) -> Arc<Self> {
        let simulated = self.elsewhere(store, Cache::in_memory());
        Arc::new(Self { randomness: Randomness::seeded(seed), ..simulated })
    }

    /// Checks that a repository opened from local copies still has the key slot that opened it, and
    /// demands no feature for writing that this version does not have.
    ///
    /// Called before the first object is stored, so that a removed key or an old config does not go
    /// on working from a copy.
    pub fn confirm_key(&self) -> Result<()> {
        let key = Key::new(Class::Keys, self.slot.clone());
        let (slot, listed) =
            parallel::both(&*self.store, || self.store.stat(&key), || configs::list(&*self.store));
        let listed = listed?;
        let location = || self.store.location().to_owned();
        let Some((newest, len_bytes)) = listed.first().copied() else {
            return Err(configs::why_missing(&*self.store, &self.witness)?);
        };
        let slot = match slot {
            // A slot that is not found but still listed was not removed.
            Err(error) if error.kind == ErrorKind::NotFound => {
                read_there(&*self.store, &key, || Ok(self.store.stat(&key)?))
            }
            slot => slot.map_err(Error::from),
        };
        match slot {
            Ok(_) => {}
            Err(error) if error.is_not_found() => {
                self.cache.remove("open", &self.slot);
                return Err(Error::WrongSecret { location: location() });
            }
            Err(error) => return Err(error),
        }
        if newest < self.config.number {
            let what = layout::config_key(self.config.number).to_string();
            return Err(Error::RolledBack { location: location(), what });
        }
        if newest == self.config.number {
            return check_writable(&self.config);
        }
        self.cache.remove("open", "config");
        // A newer config that does not open stops writers: it may be a damaged valid one, which
        // must be obeyed.
        let sealed = read_listed(&*self.store, &layout::config_key(newest), len_bytes)?;
        check_writable(&decode_config(self.records().open(), &sealed, newest)?)
    }

    /// Returns the objects of `config/` that are damaged, or that no holder of the keys made.
    pub fn void_configs(&self) -> &[String] {
        &self.void
    }

    /// Returns whether it was opened from local copies, so that nothing is known yet about the
    /// store.
    pub fn is_offline(&self) -> bool {
        self.is_offline
    }

    /// Returns this machine's memory of the repository at this place.
    pub fn witness(&self) -> &Witness {
        &self.witness
    }

    /// Returns the store: others ask the repository, which knows what its objects mean.
    pub(in crate::repo) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Returns the number of threads that should read: `threads`, or more for a remote store,
    /// because threads that wait for it use no processor.
    pub fn readers(&self, threads: usize) -> usize {
        threads.max(self.store.properties().parallelism).max(1)
    }

    /// Returns all keys, for tests that forge objects; the program takes the part that it needs.
    #[doc(hidden)]
    pub fn keyring_for_tests(&self) -> &Keyring {
        &self.keyring
    }

    /// Returns the id of the repository.
    pub fn id(&self) -> RepositoryId {
        self.config.repository
    }

    /// Returns the public key of this machine's signatures.
    pub fn writer(&self) -> [u8; 32] {
        self.keyring.sign().public()
    }

    /// Returns a short name for the repository's keys, for people to compare.
    pub fn fingerprint(&self) -> [u8; 32] {
        self.keyring.fingerprint()
    }

    /// Returns what names chunks and cuts files.
    pub fn ids(&self) -> &IdKeys {
        self.keyring.ids()
    }

    /// Returns what seals and opens records: index runs, snapshots, intents, configs.
    pub fn records(&self) -> &RecordKeys {
        self.keyring.records()
    }

    /// Returns what opens packs: only readers ask for it.
    pub(in crate::repo) fn open_keys(&self) -> &OpenKeys {
        self.keyring.open_packs()
    }

    /// Returns what seals packs: only sessions and repairs ask for it.
    pub(in crate::repo) fn seal_keys(&self) -> &SealKeys {
        self.keyring.seal_packs()
    }

    /// Returns what signs snapshots and their marks.
    pub(in crate::repo) fn sign_keys(&self) -> &SignKeys {
        self.keyring.sign()
    }

    /// Returns what seals and opens the information in key slots.
    pub(in crate::repo) fn slot_keys(&self) -> &SlotKeys {
        self.keyring.slots()
    }

    /// Returns the master key, for wrapping it under another secret.
    pub(in crate::repo) fn master(&self) -> &[u8; 32] {
        &self.master
    }

    /// Returns the config.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the location of the repository.
    pub fn location(&self) -> &str {
        self.store.location()
    }

    /// Returns the name of the key slot that opened the repository.
    pub fn slot_name(&self) -> &str {
        &self.slot
    }

    /// Returns 32 random bytes, for a name or a salt.
    pub(in crate::repo) fn random_32(&self) -> Result<[u8; 32]> {
        self.randomness.next_32()
    }

    pub(in crate::repo) fn verified(&self) -> &VerifiedCache {
        &self.verified
    }

    /// Seals a record: a container that holds one structure.
    pub(in crate::repo) fn seal_single(
        &self,
        kind: ContainerKind,
        content: &[u8],
    ) -> Result<Sealed> {
        Ok(seal_single(self.records().seal(), kind, &self.random_32()?, content))
    }

    /// Opens a record: a container that holds one structure.
    pub(in crate::repo) fn open_single(
        &self,
        kind: ContainerKind,
        sealed: &[u8],
    ) -> std::result::Result<Arc<[u8]>, ContainerError> {
        self.verified.content(self.records().open(), kind, sealed)
    }

    /// Sets the limit for local copies of trees in bytes; it is 2 GiB otherwise.
    pub fn limit_cache(&self, bytes: u64) {
        self.cache.limit(bytes);
    }

    /// Returns why local copies are not kept in the cache directory, if they are not.
    pub fn cache_trouble(&self) -> Option<String> {
        self.cache.trouble()
    }

    /// Creates an unnamed file in the local cache, for data that does not fit into memory.
    pub fn scratch_file(&self) -> Result<std::fs::File> {
        self.cache.scratch_file()
    }

    /// Returns the error of a scratch file.
    pub fn scratch_error(&self, source: std::io::Error) -> Error {
        Error::Cache { path: "an unnamed file".into(), source }
    }

    pub(in crate::repo) fn cache(&self) -> &Cache {
        &self.cache
    }
}
