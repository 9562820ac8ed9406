//! Opening of a repository, from the store or from local copies.
//!
//! A secret opens a key slot, its keys open the config, and then the repository is compared with
//! what this machine remembers. With local copies of slot and config, this sends no request.
//!
//! Spec: `format-spec/10-keys.md`, sections 2 and 5.

use std::path::PathBuf;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::configs::{self, Configs, ValidConfig, decode_config};
use super::key_slots::{self, SlotChoice};
use super::repository::{Repository, Unlocked};
use super::witness::Witness;
use crate::crypto::keyring::Keyring;
use crate::crypto::slot::Secret;
use crate::format::slot::Bundle;
use crate::id::encode_hex;
use crate::repo::cache::{Cache, locations};
use crate::repo::error::{Error, Result};
use crate::repo::objects::parallel;
use crate::store::Store;

/// Requirements of the user for a repository.
#[derive(Default)]
pub struct Expected {
    /// The start of its fingerprint, at least 16 bytes.
    pub fingerprint: Option<Vec<u8>>,
    /// Starts of the fingerprints of all repositories for which the key file was made; they count
    /// if this machine remembers nothing about the place.
    pub fingerprints_of_key: Vec<Vec<u8>>,
    /// The start of the name of the only key slot to try.
    pub key: Option<String>,
}

/// Options of opening, in addition to the secret.
pub struct OpenOptions {
    /// Directory for local copies.
    pub cache_dir: PathBuf,
    /// Whether key slot and config may come from local copies, without a request.
    ///
    /// Only for operations that confirm them before they rely on anything (a backup).
    pub prefer_cached: bool,
}

impl Repository {
    /// Opens a repository with a secret of one of its key slots, without a check against what this
    /// machine remembers.
    pub fn open(
        store: Arc<dyn Store>,
        secret: &Secret,
        options: &OpenOptions,
    ) -> Result<Arc<Self>> {
        Self::open_known(store, secret, options, Witness::in_memory(), &Expected::default())
    }

    /// Opens a repository and checks that it is the one that this machine remembers, and that
    /// `expected` describes.
    pub fn open_known(
        store: Arc<dyn Store>,
        secret: &Secret,
        options: &OpenOptions,
        witness: Witness,
        expected: &Expected,
    ) -> Result<Arc<Self>> {
        let is_new = !witness.knows();
        let witness = Arc::new(witness);
        let cached = options
            .prefer_cached
            .then(|| Self::open_cached(&store, secret, options, &witness))
            .flatten();
        let repository = match cached {
            Some(repository) => repository,
            None => Self::open_here(store, secret, options, &witness, expected)?,
        };
        repository.expect(expected.fingerprint.as_deref())?;
        if is_new && !witness.accept().new_repository {
            repository.expect_one(&expected.fingerprints_of_key)?;
        }
        repository.witness().admit(&repository.identity())?;
        Ok(Arc::new(repository))
    }

    fn open_here(
        store: Arc<dyn Store>,
        secret: &Secret,
        options: &OpenOptions,
        witness: &Arc<Witness>,
        expected: &Expected,
    ) -> Result<Self> {
        let location = store.location().to_owned();
        let last = witness.last_slot();
        let choice = SlotChoice { last: last.as_deref(), only: expected.key.as_deref() };
        let (configs, slots) = parallel::both(
            &*store,
            || Configs::read(&*store),
            || key_slots::read_all(&*store, &choice),
        );
        let Some(configs) = configs? else {
            return Err(configs::why_missing(&*store, witness)?);
        };
        let slots = slots?;
        match (slots.is_empty(), expected.key.as_deref()) {
            (false, _) => {}
            (true, None) => return Err(Error::KeysLost { location }),
            (true, Some(key)) => return Err(Error::NotFound { what: "key", text: key.to_owned() }),
        }
        let opened = key_slots::open_any(slots, secret, &choice, |opened| {
            let keyring = Keyring::new(&opened.master, opened.repository);
            configs.valid(&*store, keyring.records().open()).map(|valid| (keyring, valid))
        })?;
        let (opened, (keyring, valid)) =
            opened.ok_or(Error::WrongSecret { location: location.clone() })?;
        let ValidConfig { config, sealed, void } = valid;
        let cache = Cache::open(&options.cache_dir, opened.repository, store.place())?;
        cache.write("open", "config", &sealed)?;
        cache.write("open", &opened.slot_name, &opened.slot_bytes)?;
        locations::remember_location(&options.cache_dir, store.place(), opened.repository)?;
        let keys = Unlocked { slot: opened.slot_name, master: opened.master, keyring };
        let mut repository = Self::assemble(store, keys, config, cache, witness.clone());
        repository.void = void;
        Ok(repository)
    }

    /// Fails unless this repository's fingerprint begins with the expected one, if there is one.
    fn expect(&self, fingerprint: Option<&[u8]>) -> Result<()> {
        let found = self.fingerprint();
        match fingerprint {
            Some(known) if !found.starts_with(known) => Err(Error::AnotherRepository {
                location: self.location().to_owned(),
                known: encode_hex(known),
                found: encode_hex(&found),
            }),
            _ => Ok(()),
        }
    }

    /// Fails unless this repository's fingerprint begins with one of the expected ones, if there
    /// are any.
    fn expect_one(&self, fingerprints: &[Vec<u8>]) -> Result<()> {
        let found = self.fingerprint();
        match fingerprints.iter().any(|known| found.starts_with(known)) {
            true => Ok(()),
            false => self.expect(fingerprints.first().map(Vec::as_slice)),
        }
    }

    /// Opens from local copies alone, without a look at the store.
    ///
    /// For a machine that remembers the repository, to put back a config that was lost.
    pub fn open_copies(
        store: &Arc<dyn Store>,
        secret: &Secret,
        options: &OpenOptions,
    ) -> Option<Arc<Self>> {
        Self::open_cached(store, secret, options, &Arc::new(Witness::in_memory())).map(Arc::new)
    }

    /// Opens from local copies alone; `None` if that is not possible, for any reason.
    fn open_cached(
        store: &Arc<dyn Store>,
        secret: &Secret,
        options: &OpenOptions,
        witness: &Arc<Witness>,
    ) -> Option<Self> {
        let repository = locations::known_at(&options.cache_dir, store.place())?;
        let cache = Cache::open(&options.cache_dir, repository, store.place()).ok()?;
        let sealed = cache.read("open", "config")?;
        for slot in cache.names("open").into_iter().filter(|name| name != "config") {
            let bytes = cache.read("open", &slot)?;
            let Some(Bundle::Full { master }) = key_slots::open_slot(&bytes, secret) else {
                continue;
            };
            let master = Zeroizing::new(master);
            let keyring = Keyring::new(&master, repository);
            // A command with another cache may have seen a later config.
            let config = decode_config(keyring.records().open(), &sealed, 0)
                .ok()
                .filter(|config| config.number >= witness.config())?;
            let keys = Unlocked { slot, master, keyring };
            let mut repository =
                Self::assemble(store.clone(), keys, config, cache, witness.clone());
            repository.is_offline = true;
            return Some(repository);
        }
        None
    }
}
