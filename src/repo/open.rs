//! Making and opening a repository.

use std::path::PathBuf;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::cache::{self, Cache};
use super::error::{Error, Result};
use super::opened::Opened;
use super::random::{Randomness, system_32};
use super::{names, parallel, slots};
use crate::container::{ContainerError, open_single, seal_single};
use crate::crypto::keyring::Keyring;
use crate::crypto::slot::Secret;
use crate::format::config::{Config, Profile};
use crate::format::container::ContainerKind;
use crate::format::entry::Timestamp;
use crate::format::slot::{Bundle, SlotInfo, SlotKdf};
use crate::id::RepositoryId;
use crate::store::{Class, ErrorKind, Key, Store};

/// An open repository; shared between threads.
pub struct Repository {
    store: Arc<dyn Store>,
    keyring: Arc<Keyring>,
    opened: Arc<Opened>,
    randomness: Randomness,
    bundle: Zeroizing<[u8; 32]>,
    config: Config,
    cache: Cache,
    slot: String,
}

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

/// What opening needs besides the secret.
pub struct OpenOptions {
    /// Folder for local copies.
    pub cache_dir: PathBuf,
    /// Whether keys and config may come from local copies, so that the store is not asked.
    ///
    /// For operations that ask the store themselves before they rely on anything (a backup).
    pub prefer_cached: bool,
}

impl Repository {
    /// Makes a repository in an empty store.
    ///
    /// The config is created last: a repository without one is none, and `init` may be run again.
    pub fn init(store: Arc<dyn Store>, options: &InitOptions) -> Result<Arc<Self>> {
        let location = store.location().to_owned();
        if !list_or_nothing(&*store, Class::Config)?.is_empty() {
            return Err(Error::AlreadyExists { location });
        }
        let master = Zeroizing::new(system_32()?);
        let repository = RepositoryId(system_32()?[..16].try_into().expect("16 bytes"));
        let keyring = Keyring::new(&master, repository);
        let info = SlotInfo { label: options.label.clone(), created: options.now };
        let slot = slots::create_slot(&*store, &keyring, &master, &info, (&options.secret, options.kdf))?;
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
        let sealed = seal_single(&keyring, ContainerKind::Config, &system_32()?, &config.encode());
        store.create(&names::config_key(1), &sealed.bytes).map_err(|error| match error.kind {
            ErrorKind::Exists => Error::AlreadyExists { location: location.clone() },
            _ => error.into(),
        })?;
        let (cache, slot) = (Cache::open(&options.cache_dir, repository, &location)?, slot.to_hex());
        cache.write("open", "config", &sealed.bytes)?;
        cache.write("open", &slot, &store.read(&Key::new(Class::Keys, slot.clone()))?)?;
        cache::remember_location(&options.cache_dir, &location, repository)?;
        Ok(Arc::new(Self::assemble(store, (keyring, master), config, cache, slot)))
    }

    /// Opens a repository with a secret of one of its key slots.
    pub fn open(store: Arc<dyn Store>, secret: &Secret, options: &OpenOptions) -> Result<Arc<Self>> {
        if options.prefer_cached
            && let Some(repository) = Self::open_cached(&store, secret, options)
        {
            return Ok(Arc::new(repository));
        }
        let location = store.location().to_owned();
        let (config, slots) = parallel::both(&*store, || read_newest_config(&*store), || slots::read_all(&*store));
        let (number, sealed) = config?.ok_or(Error::NoRepository { location: location.clone() })?;
        let opened = slots::open_any(slots?, secret, |opened| {
            let keyring = Keyring::new(&opened.master, opened.repository);
            decode_config(&keyring, &sealed, number).map(|config| (keyring, config))
        })?;
        let (opened, (keyring, config)) = opened.ok_or(Error::WrongSecret { location: location.clone() })?;
        let cache = Cache::open(&options.cache_dir, opened.repository, &location)?;
        cache.write("open", "config", &sealed)?;
        cache.write("open", &opened.slot_name, &opened.slot_bytes)?;
        cache::remember_location(&options.cache_dir, &location, opened.repository)?;
        let slot = opened.slot_name;
        Ok(Arc::new(Self::assemble(store, (keyring, opened.master), config, cache, slot)))
    }

    /// Opens from local copies alone; `None` for any reason means that the store must be asked.
    fn open_cached(store: &Arc<dyn Store>, secret: &Secret, options: &OpenOptions) -> Option<Self> {
        let repository = cache::known_at(&options.cache_dir, store.location())?;
        let cache = Cache::open(&options.cache_dir, repository, store.location()).ok()?;
        let sealed = cache.read("open", "config")?;
        for slot in cache.names("open").into_iter().filter(|name| name != "config") {
            let bytes = cache.read("open", &slot)?;
            let Some(Bundle::Full { master }) = slots::open_slot(&bytes, secret) else {
                continue;
            };
            let bundle = Zeroizing::new(master);
            let keyring = Keyring::new(&bundle, repository);
            let config = decode_config(&keyring, &sealed, 0).ok()?;
            return Some(Self::assemble(store.clone(), (keyring, bundle), config, cache, slot));
        }
        None
    }

    fn assemble(
        store: Arc<dyn Store>,
        (keyring, bundle): (Keyring, Zeroizing<[u8; 32]>),
        config: Config,
        cache: Cache,
        slot: String,
    ) -> Self {
        let (keyring, opened) = (Arc::new(keyring), Arc::default());
        Self { store, keyring, opened, randomness: Randomness::System, bundle, config, cache, slot }
    }

    /// Returns the same repository in another store, as a new machine would open it, for simulations.
    ///
    /// The store is not asked. Local copies lie in memory, names and salts follow from `seed`: never for real data.
    pub fn in_simulation(&self, store: Arc<dyn Store>, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            store,
            keyring: self.keyring.clone(),
            opened: self.opened.clone(),
            randomness: Randomness::seeded(seed),
            bundle: self.bundle.clone(),
            config: self.config.clone(),
            cache: Cache::in_memory(),
            slot: self.slot.clone(),
        })
    }

    /// Makes sure that a repository opened from local copies still accepts the key that opened it, and needs no feature for
    /// writing that this version does not have.
    ///
    /// Called before the first thing is stored: neither a removed key nor an old config must go on working from a copy.
    pub fn confirm_key(&self) -> Result<()> {
        let key = Key::new(Class::Keys, self.slot.clone());
        let (slot, newest) = parallel::both(&*self.store, || self.store.stat(&key), || newest_config(&*self.store));
        match slot {
            Ok(_) => {}
            Err(error) if error.kind == ErrorKind::NotFound => {
                self.cache.remove("open", &self.slot);
                return Err(Error::WrongSecret { location: self.store.location().to_owned() });
            }
            Err(error) => return Err(error.into()),
        }
        let newest = newest?.unwrap_or_default();
        if newest <= self.config.number {
            return check_writable(&self.config);
        }
        self.cache.remove("open", "config");
        check_writable(&decode_config(&self.keyring, &self.store.read(&names::config_key(newest))?, newest)?)
    }

    /// Returns the store.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Returns how many of `threads` threads, or more, should read: those that wait for a store do not work.
    pub fn readers(&self, threads: usize) -> usize {
        threads.max(self.store.transfers()).max(1)
    }

    /// Returns the keys.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Returns the master key, for wrapping it under another secret.
    pub(super) fn master(&self) -> &[u8; 32] {
        &self.bundle
    }

    /// Returns the settings fixed at `init`.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns where the repository is.
    pub fn location(&self) -> &str {
        self.store.location()
    }

    /// Returns the name of the key slot that opened the repository.
    pub fn slot_name(&self) -> &str {
        &self.slot
    }

    /// Returns 32 random bytes, for a name or a salt.
    pub(super) fn random_32(&self) -> Result<[u8; 32]> {
        self.randomness.next_32()
    }

    pub(super) fn opened(&self) -> &Opened {
        &self.opened
    }

    /// Opens a container that holds one structure.
    pub(super) fn open_single(&self, kind: ContainerKind, sealed: &[u8]) -> std::result::Result<Arc<[u8]>, ContainerError> {
        self.opened.content(&self.keyring, kind, sealed)
    }

    /// Sets how many bytes local copies of trees may take; 2 GiB if this is never called.
    pub fn limit_cache(&self, bytes: u64) {
        self.cache.limit(bytes);
    }

    /// Makes an unnamed file in the local cache, for what does not fit into memory.
    pub fn scratch_file(&self) -> Result<std::fs::File> {
        self.cache.scratch_file()
    }

    /// Says that such a file can no longer be used.
    pub fn scratch_error(&self, source: std::io::Error) -> Error {
        Error::Cache { path: "an unnamed file".into(), source }
    }

    pub(super) fn cache(&self) -> &Cache {
        &self.cache
    }
}

pub(super) fn decode_config(keyring: &Keyring, sealed: &[u8], number: u64) -> Result<Config> {
    let object = || names::config_key(number);
    let plain = open_single(keyring, ContainerKind::Config, sealed).map_err(Error::damaged(object()))?;
    let config = Config::decode(&plain).map_err(Error::malformed(object()))?;
    if config.repository != keyring.repository() || (number != 0 && config.number != number) {
        return Err(Error::WrongContent { object: object().to_string() });
    }
    Ok(config)
}

/// Refuses to write to a repository with features that this version does not know.
pub(super) fn check_writable(config: &Config) -> Result<()> {
    config.check_writable().map_err(Error::malformed(names::config_key(config.number)))
}

/// Returns the number of the valid config, `None` if there is no repository.
fn read_newest_config(store: &dyn Store) -> Result<Option<(u64, Vec<u8>)>> {
    let number = newest_config(store)?;
    number.map(|number| Ok((number, store.read(&names::config_key(number))?))).transpose()
}

fn newest_config(store: &dyn Store) -> Result<Option<u64>> {
    let listed = list_or_nothing(store, Class::Config)?;
    let number = |name: &str| name.parse::<u64>().ok().filter(|number| names::config_key(*number).name == name);
    Ok(listed.iter().filter_map(|object| number(&object.name)).max())
}

/// Lists a class; a store without any folder yet is empty.
fn list_or_nothing(store: &dyn Store, class: Class) -> Result<Vec<crate::store::Listed>> {
    match store.list(class, "") {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(Vec::new()),
        listed => Ok(listed?),
    }
}
