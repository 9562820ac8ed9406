//! Opening of a store or repository by its name.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{Error, Result};
use super::hints;
use super::host::here;
use super::operator::Operator;
use super::own_dirs;
use super::place::{Purpose, RepositoryPlace};
use super::requests::Requests;
use super::secret_source::{SecretArgs, SecretSource};
use crate::monitor::in_words;
use crate::repo::checked_open::{self, OpenConditions};
use crate::repo::open::witness::{Accept, Witness};
use crate::repo::{self, Expected, OpenOptions, Repository};
use crate::settings::Settings;
use crate::settings::environment::Environment;
use crate::settings::location::Location;
use crate::settings::values::Fingerprint;
use crate::text;

/// Options for opening repositories; they take precedence over the configuration.
#[derive(Clone, Debug, Default)]
pub struct ConnectOptions {
    /// The repository, by URL or by its name in the configuration.
    pub repo: Option<OsString>,
    /// The configuration file.
    pub config: Option<PathBuf>,
    /// A copy of the configuration, which counts instead of the file.
    pub config_copy: Option<PathBuf>,
    /// Source of the password or key.
    pub secret: SecretArgs,
    /// The directory of local copies.
    pub cache_dir: Option<PathBuf>,
    /// Directory of what this machine remembers; `None` for the usual one.
    pub state_dir: Option<PathBuf>,
    /// Accepts a repository that is older than this machine remembers.
    pub accept_rollback: bool,
    /// Accepts another repository than the one that this machine remembers.
    pub accept_new_repository: bool,
    /// The fingerprint that the repository must have.
    pub fingerprint: Option<Fingerprint>,
    /// Start of the id of the only key to try.
    pub key: Option<String>,
    /// Upload limit in bytes per second; `u64::MAX` for none, even if one is configured.
    pub limit_upload: Option<u64>,
    /// Download limit in bytes per second; `u64::MAX` for none.
    pub limit_download: Option<u64>,
    /// Maximum number of concurrent transfers.
    pub connections: Option<usize>,
    /// Dry run: changes neither the repository nor this machine's records.
    pub is_dry: bool,
}

/// Opens repositories.
pub struct Connector {
    /// Options of the caller.
    pub options: ConnectOptions,
    /// Environment variables.
    pub env: Environment,
    /// Receiver of questions and warnings.
    pub operator: Arc<dyn Operator>,
    /// Returns whether a signal has asked the running operation to stop, which ends waits for a
    /// store.
    pub is_stopping: fn() -> bool,
    /// Counters of requests to stores.
    pub requests: Requests,
}

/// Attempts to type a password.
const PROMPTS_MAX: usize = 3;

impl Connector {
    /// Makes a connector.
    pub fn new(
        options: ConnectOptions,
        env: Environment,
        operator: Arc<dyn Operator>,
        is_stopping: fn() -> bool,
    ) -> Self {
        Self { options, env, operator, is_stopping, requests: Requests::default() }
    }

    /// Reads the configuration file.
    pub fn settings(&self) -> Result<Settings> {
        let settings = match &self.options.config_copy {
            Some(copy) => Settings::load_copy(copy, &self.env)?,
            None => Settings::load(self.options.config.as_deref(), &self.env)?,
        };
        if let Some(file) = &settings.file {
            self.operator.detail(&format!("configuration: {}", text::path(file)));
        }
        Ok(settings)
    }

    /// Returns the repository that `--repo`, `wanted` or the configuration names.
    pub fn place(&self, settings: &Settings, wanted: Option<&str>) -> Result<RepositoryPlace> {
        let text: OsString = match (&self.options.repo, wanted.or(settings.default_repository())) {
            (Some(text), _) => text.clone(),
            (None, Some(name)) => name.into(),
            (None, None) => return Err(no_repository_named(settings)),
        };
        let here = here()?;
        let named = text
            .to_str()
            .and_then(|name| Some((name.to_owned(), settings.repositories.get(name)?.clone())));
        let Some((name, repository)) = named else {
            refuse_unknown_name(settings, &text, &here)?;
            return Ok(RepositoryPlace::new(Location::parse(&text, &here)?, None, &self.env));
        };
        let base = settings.file.as_deref().and_then(Path::parent).unwrap_or(&here);
        let url = self.env.expand_home(&repository.url);
        let location = Location::parse(url.as_os_str(), base)?;
        Ok(RepositoryPlace::new(location, Some((name, repository)), &self.env))
    }

    /// Returns the directory of local copies; if it is empty, copies live only as long as the
    /// process.
    pub fn cache_dir(&self, place: &RepositoryPlace) -> PathBuf {
        let configured = place.settings.as_ref().and_then(|settings| settings.cache_dir.clone());
        self.options
            .cache_dir
            .clone()
            .or(configured)
            .or_else(|| self.env.cache_dir())
            .unwrap_or_default()
    }

    /// Returns the directories that backups leave out and restores never touch: the repository's,
    /// those of local copies, and those of this machine's records.
    pub fn own_dirs(&self, place: &RepositoryPlace) -> Vec<PathBuf> {
        // The records change with every backup, like the local copies.
        let remembered = self.state_dir().map_or_else(Vec::new, |dir| own_dirs::in_state(&dir));
        let copies = own_dirs::in_cache(&self.cache_dir(place));
        place
            .local_dir()
            .map(Path::to_path_buf)
            .into_iter()
            .chain(copies)
            .chain(remembered)
            .collect()
    }

    /// Chooses the source of the repository's secret.
    pub fn secret_source(&self, place: &RepositoryPlace) -> Result<SecretSource> {
        let settings = place.settings.as_ref().and_then(|settings| settings.secret.as_ref());
        SecretSource::choose(&self.options.secret, &self.env, settings)
    }

    /// Opens the repository that the options or the configuration name.
    pub fn open(&self, purpose: Purpose) -> Result<Arc<Repository>> {
        let settings = self.settings()?;
        let place = self.place(&settings, None)?;
        self.open_place(&place, purpose)
    }

    /// Opens a repository.
    pub fn open_place(&self, place: &RepositoryPlace, purpose: Purpose) -> Result<Arc<Repository>> {
        let store = self.store(place, purpose)?;
        let origin = self.secret_source(place)?;
        let options = OpenOptions {
            cache_dir: self.cache_dir(place),
            prefer_cached: purpose == Purpose::BackUp,
        };
        let mut conditions = self.conditions(place);
        if origin == SecretSource::Prompt {
            // Fail before the password is typed if there is no repository.
            checked_open::refuse_missing(&*store, &self.witness(place))?;
        }
        let operator = Arc::clone(&self.operator);
        let attempts = if origin == SecretSource::Prompt { PROMPTS_MAX } else { 1 };
        let mut attempt = 1;
        loop {
            let secret;
            (secret, conditions.expected.fingerprints_of_key) =
                origin.read(&*self.operator, &self.env, store.location())?;
            let store = match purpose {
                Purpose::Look => repo::prefetch_listings(Arc::clone(&store), &options.cache_dir),
                _ => Arc::clone(&store),
            };
            match checked_open::open_checked(store, &secret, &options, &conditions) {
                Err(repo::Error::WrongSecret { .. }) if attempt < attempts => {
                    self.operator.warn("wrong password, try again")
                }
                Err(source @ repo::Error::WrongSecret { .. }) => {
                    return Err(Error::WrongSecret { source, origin });
                }
                result => {
                    let repository = result?;
                    if let Some(bytes) =
                        place.settings.as_ref().and_then(|settings| settings.cache_size)
                    {
                        repository.limit_cache(bytes);
                    }
                    self.operator.detail(&format!("repository: {}", repository.location()));
                    self.tell_trouble(repository.witness().trouble(), repository.cache_trouble());
                    if let [object, more @ ..] = repository.void_configs() {
                        let also = if more.is_empty() {
                            String::new()
                        } else {
                            format!(" (and {} more)", more.len())
                        };
                        self.operator.warn(&format!(
                            "{object}{also} is ignored: it is damaged, or was not made with a key \
                                of the repository; {}",
                            hints::REMOVE_IT
                        ));
                    }
                    repository.report_skipped_runs(move |error| operator.loss(&left_out(error)));
                    return Ok(repository);
                }
            }
            attempt += 1;
        }
    }

    /// Returns the conditions for opening a repository.
    fn conditions(&self, place: &RepositoryPlace) -> OpenConditions {
        let configured = place.settings.as_ref().and_then(|settings| settings.fingerprint.clone());
        let fingerprint =
            self.options.fingerprint.clone().or(configured).map(|fingerprint| fingerprint.0);
        let accept = Accept {
            rollback: self.options.accept_rollback,
            new_repository: self.options.accept_new_repository,
        };
        OpenConditions {
            state_dir: self.state_dir(),
            folder: place.local_dir().map(Path::to_path_buf),
            accept,
            is_dry: self.options.is_dry,
            expected: Expected {
                fingerprint,
                key: self.options.key.clone(),
                ..Expected::default()
            },
        }
    }

    /// Returns this machine's records of a repository, without a request to the store.
    pub fn witness(&self, place: &RepositoryPlace) -> Witness {
        let (place, called) = place.remembered_as();
        Witness::open_with_alias(
            self.state_dir().as_deref(),
            &place,
            &called,
            Accept::default(),
            true,
        )
    }

    /// Returns the directory of this machine's records.
    pub fn state_dir(&self) -> Option<PathBuf> {
        let of_user = || self.env.state_dir(rustix::process::geteuid().is_root());
        self.options.state_dir.clone().or_else(of_user)
    }

    /// Warns that records cannot be kept (also with `-q`), or that there are no local copies. Both
    /// in one message, since they usually have one cause.
    pub fn tell_trouble(&self, memory: Option<(PathBuf, std::io::Error)>, copies: Option<String>) {
        let unnoticed = "so a rollback of the repository may go unnoticed";
        let memory = match memory {
            Some((file, error)) => Some(format!(
                "cannot remember the repository in {}, {unnoticed}: {error}",
                file.display()
            )),
            None if self.state_dir().is_none() => Some(format!(
                "cannot remember the repository, {unnoticed}: HOME is not set, nor is \
                    DRUMLIN_STATE_DIR"
            )),
            None => None,
        };
        let copies = copies.map(|why| format!("no local copies are kept, which is slower: {why}"));
        let is_unsafe = memory.is_some();
        let says =
            text::harmless(&memory.into_iter().chain(copies).collect::<Vec<String>>().join("; "));
        match says.as_str() {
            "" => {}
            says if is_unsafe => self.operator.loss(says),
            says => self.operator.warn(says),
        }
    }
}

/// Returns the warning about an index run that is left out.
fn left_out(error: &repo::Error) -> String {
    let hint = hints::hint_of(error).map_or_else(String::new, |hint| format!("; {hint}"));
    format!("{}, and is left out{hint}", in_words(error))
}

fn no_repository_named(settings: &Settings) -> Error {
    let names: Vec<&str> = settings.repositories.keys().map(String::as_str).collect();
    let failure = Error::usage("no repository is named");
    if names.is_empty() {
        return failure.hint(
            "give --repo FOLDER or set DRUMLIN_REPOSITORY; `drumlin quickstart` sets everything up",
        );
    }
    failure.hint(format!(
        "give --repo NAME (the configuration has {}), or set `repository` in [defaults]",
        names.join(", ")
    ))
}

/// Refuses a word that is neither a configured repository nor an existing folder: it is more likely
/// a mistyped name than a new folder.
fn refuse_unknown_name(settings: &Settings, text: &OsStr, here: &Path) -> Result<()> {
    let name = text.to_string_lossy();
    let is_word =
        !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'));
    if !is_word || settings.repositories.is_empty() || here.join(text).exists() {
        return Ok(());
    }
    let names: Vec<&str> = settings.repositories.keys().map(String::as_str).collect();
    let why = format!(
        "there is no repository `{name}` in the configuration, and no folder of that name here"
    );
    Err(Error::usage(why)
        .hint(format!("the configuration has {}; write ./{name} for a folder", names.join(", "))))
}
