//! Numbered configurations of a repository.
//!
//! Spec: `format-spec/09-config.md`.

use super::key_slots::{self, SlotChoice};
use super::witness::Witness;
use crate::container::open_single;
use crate::crypto::container_keys::OpenKeys;
use crate::format::config::Config;
use crate::format::container::ContainerKind;
use crate::repo::error::{Error, Result};
use crate::repo::objects::layout;
use crate::repo::objects::sized_read::read_listed;
use crate::store::{Class, ErrorKind, Listed, Store};

/// Number of configs that are tried, the highest numbers first; after them only the lowest one is
/// tried. A store without a key can add any number of objects.
const TRIED_MAX: usize = 256;

/// A listing of `config/`.
pub(crate) struct Configs {
    /// Numbers and lengths in bytes, the highest number first.
    listed: Vec<(u64, u64)>,
    /// The bytes of the highest, or the error if it cannot be read.
    newest: Result<Vec<u8>>,
}

/// The valid config of a repository.
pub(crate) struct ValidConfig {
    /// Its content.
    pub config: Config,
    /// The bytes of its object.
    pub sealed: Vec<u8>,
    /// Objects with higher numbers that are damaged, or that no holder of the keys made.
    pub void: Vec<String>,
}

impl Configs {
    /// Lists `config/` and reads the highest; `None` if there is none.
    pub(crate) fn read(store: &dyn Store) -> Result<Option<Self>> {
        let listed = list(store)?;
        let Some((number, len_bytes)) = listed.first().copied() else {
            return Ok(None);
        };
        let newest = read_listed(store, &layout::config_key(number), len_bytes);
        match newest {
            Err(error) if !error.is_damage() => Err(error),
            newest => Ok(Some(Self { listed, newest })),
        }
    }

    /// Returns the highest config that opens with these keys, so that objects that anyone can add
    /// lock nobody out.
    pub(crate) fn valid(&self, store: &dyn Store, keys: &OpenKeys) -> Result<ValidConfig> {
        let (mut void, mut first_error) = (Vec::new(), None);
        let last = self.listed.last().filter(|_| self.listed.len() > TRIED_MAX);
        for (at, (number, len_bytes)) in self.listed.iter().take(TRIED_MAX).chain(last).enumerate()
        {
            let read = match (&self.newest, at) {
                (Ok(sealed), 0) => Ok(sealed.clone()),
                (Err(_), 0) => {
                    Err(Error::WrongContent { object: layout::config_key(*number).to_string() })
                }
                _ => read_listed(store, &layout::config_key(*number), *len_bytes),
            };
            let error = match read {
                Err(error) if error.is_damage() => error,
                read => {
                    let sealed = read?;
                    match decode_config(keys, &sealed, *number) {
                        // A holder of the keys made it, so the features that it demands must not be
                        // ignored.
                        Err(error @ Error::Malformed { .. }) => return Err(error),
                        Err(error) => error,
                        Ok(config) => return Ok(ValidConfig { config, sealed, void }),
                    }
                }
            };
            void.push(layout::config_key(*number).to_string());
            first_error.get_or_insert(error);
        }
        let source = Box::new(first_error.expect("there is at least one"));
        Err(Error::ConfigDamaged { location: store.location().to_owned(), source })
    }
}

/// Returns the numbers and lengths of all configs, the highest number first.
pub(crate) fn list(store: &dyn Store) -> Result<Vec<(u64, u64)>> {
    let is_one = |number: &u64, name: &str| *number > 0 && layout::config_key(*number).name == name;
    let number = |name: &str| name.parse::<u64>().ok().filter(|number| is_one(number, name));
    let objects = list_or_nothing(store, Class::Config)?;
    let mut listed: Vec<(u64, u64)> =
        objects.iter().filter_map(|one| Some((number(&one.name)?, one.len_bytes))).collect();
    listed.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(*number));
    Ok(listed)
}

/// Returns the error for a place without a config: `ConfigLost` or `NoRepository`.
pub(crate) fn why_missing(store: &dyn Store, witness: &Witness) -> Result<Error> {
    let location = store.location().to_owned();
    match is_known_key_there(store, witness)? || has_remains(store)? {
        true => Ok(Error::ConfigLost { location }),
        false => Ok(Error::NoRepository { location, is_known: witness.knows() }),
    }
}

/// Returns whether the key slot exists that last opened the repository that this machine remembers.
fn is_known_key_there(store: &dyn Store, witness: &Witness) -> Result<bool> {
    let Some(slot) = witness.last_slot() else {
        return Ok(false);
    };
    Ok(list_or_nothing(store, Class::Keys)?.iter().any(|object| object.name == slot))
}

/// Returns whether a place without a config was a repository: it has objects that are created only
/// after the config.
///
/// An `init` that died leaves only empty directories, objects of a probe, and one key slot.
pub(crate) fn has_remains(store: &dyn Store) -> Result<bool> {
    for class in
        [Class::Snapshots, Class::Index, Class::Meta, Class::Data, Class::Intents, Class::Collector]
    {
        if !list_or_nothing(store, class)?.is_empty() {
            return Ok(true);
        }
    }
    let is_reserve = |object: &Listed| object.name.starts_with(layout::RESERVE);
    Ok(list_or_nothing(store, Class::Probe)?.iter().any(is_reserve) || has_two_keys_of_one(store)?)
}

/// Returns whether two key slots are of the same repository: a second one is only added to a
/// finished repository.
fn has_two_keys_of_one(store: &dyn Store) -> Result<bool> {
    if list_or_nothing(store, Class::Keys)?.len() < 2 {
        return Ok(false);
    }
    let mut repositories =
        key_slots::read_all(store, &SlotChoice { last: None, only: None })?.repositories();
    let count = repositories.len();
    repositories.sort();
    repositories.dedup();
    Ok(repositories.len() < count)
}

/// Opens and parses a config; `number` is that of its name, or 0 to accept any.
pub(crate) fn decode_config(keys: &OpenKeys, sealed: &[u8], number: u64) -> Result<Config> {
    let object = || layout::config_key(number);
    let plain =
        open_single(keys, ContainerKind::Config, sealed).map_err(Error::damaged(object()))?;
    let config = Config::decode(&plain).map_err(Error::malformed(object()))?;
    if config.repository != keys.repository() || (number != 0 && config.number != number) {
        return Err(Error::WrongContent { object: object().to_string() });
    }
    Ok(config)
}

/// Fails if the repository demands a feature for writing that this version does not have.
pub(crate) fn check_writable(config: &Config) -> Result<()> {
    config.check_writable().map_err(Error::malformed(layout::config_key(config.number)))
}

/// Lists a class; a store without its directory yet counts as empty.
pub(crate) fn list_or_nothing(store: &dyn Store, class: Class) -> Result<Vec<Listed>> {
    match store.list(class, "") {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(Vec::new()),
        listed => Ok(listed?),
    }
}
