//! What every command begins with: options, settings, the repository, and an operation that can be stopped.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::failure::{Exit, Failure};
use super::global::Global;
use super::hints;
use super::interrupt;
use super::own;
use super::requests::Requests;
use super::secret::{Origin, SecretArgs};
use crate::monitor::{Monitor, in_words};
use crate::repo::checked_open::{self, Entrance};
use crate::repo::open::witness::{Accept, Witness};
use crate::repo::{self, Expected, OpenOptions, Repository};
use crate::settings::Settings;
use crate::settings::environment::Environment;
use crate::settings::location::Location;
use crate::settings::repository::RepositorySettings;
use crate::store::local;
use crate::ui::{Ui, text};

/// The surroundings of a command.
pub struct Context {
    /// Global options.
    pub global: Global,
    /// Environment variables.
    pub env: Environment,
    /// How to speak to the user.
    pub ui: Ui,
    /// What stores were asked in this run.
    pub requests: Requests,
    /// Whether the command only shows what it would do.
    pub is_dry: bool,
}

/// A repository that the user named, not yet opened.
pub struct Place {
    /// Its name in the configuration file, if it has one there.
    pub name: Option<String>,
    /// Where it is.
    pub location: Location,
    /// What the configuration file says about it.
    pub settings: Option<RepositorySettings>,
}

/// What a repository is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To look at what is there, as it is when the command begins (`format-spec/12-store.md`, section 2); nothing is stored or removed.
    Look,
    /// To back up: keys and settings may come from local copies, because they are confirmed before anything is stored.
    BackUp,
    /// Anything else.
    Work,
    /// To make it; its folder, too.
    Make,
}

impl Place {
    /// Returns where it is, for people, and for `--repo`.
    pub fn shown(&self) -> String {
        text::harmless(&self.location.to_string())
    }

    /// Returns what its store calls its place and itself, also where it cannot be opened.
    fn remembered_as(&self) -> (String, String) {
        self.folder().map_or_else(|| (self.shown(), self.shown()), local::names_of)
    }

    /// Returns the repository's folder, if it is one of this machine.
    pub fn folder(&self) -> Option<&Path> {
        self.location.folder()
    }

    /// Completes a location by what the configuration and the environment say of the server: a bucket's name alone says not which
    /// it is.
    fn new(location: Location, named: Option<(String, RepositorySettings)>, env: &Environment) -> Self {
        let (name, settings) = named.unzip();
        let mut place = Self { name, location, settings };
        if let Location::S3(bucket) = &mut place.location {
            let configured = place.settings.as_ref().map(|settings| &settings.s3);
            let of_env = |names: &[&str]| names.iter().find_map(|name| env.get(name)?.to_str().map(str::to_owned));
            let of_server = || of_env(&["DRUMLIN_S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]);
            let of_region = || of_env(&["AWS_REGION", "AWS_DEFAULT_REGION"]);
            bucket.endpoint = bucket.endpoint.take().or(configured.and_then(|s3| s3.endpoint.clone())).or_else(of_server);
            bucket.region = bucket.region.take().or(configured.and_then(|s3| s3.region.clone())).or_else(of_region);
        }
        place
    }
}

/// How often a password may be typed before the program gives up.
const PROMPTS_MAX: usize = 3;

impl Context {
    /// Reads the configuration file.
    pub fn settings(&self) -> Result<Settings, Failure> {
        let settings = Settings::load(self.global.config.as_deref(), &self.env)?;
        if let Some(file) = &settings.file {
            self.ui.detail(&format!("configuration: {}", text::path(file)));
        }
        Ok(settings)
    }

    /// Returns the repository that `--repo`, `wanted` or the configuration names.
    pub fn place(&self, settings: &Settings, wanted: Option<&str>) -> Result<Place, Failure> {
        let text: OsString = match (&self.global.repo, wanted.or(settings.default_repository())) {
            (Some(text), _) => text.clone(),
            (None, Some(name)) => name.into(),
            (None, None) => return Err(no_repository_named(settings)),
        };
        let here = here()?;
        let named = text.to_str().and_then(|name| Some((name.to_owned(), settings.repositories.get(name)?.clone())));
        let Some((name, repository)) = named else {
            refuse_unknown_name(settings, &text, &here)?;
            return Ok(Place::new(Location::parse(&text, &here)?, None, &self.env));
        };
        let base = settings.file.as_deref().and_then(Path::parent).unwrap_or(&here);
        let url = self.env.expand_home(&repository.url);
        let location = Location::parse(url.as_os_str(), base)?;
        Ok(Place::new(location, Some((name, repository)), &self.env))
    }

    /// Returns the folder of local copies; empty if none is known, and then they live as long as the process.
    pub fn cache_dir(&self, place: &Place) -> Result<PathBuf, Failure> {
        let configured = place.settings.as_ref().and_then(|settings| settings.cache_dir.clone());
        Ok(self.global.cache_dir.clone().or(configured).or_else(|| self.env.cache_dir()).unwrap_or_default())
    }

    /// Returns the folders that no backup should hold and no restore touch: the repository's own, those of local copies, and that of what
    /// is remembered.
    pub fn own_folders(&self, place: &Place) -> Result<Vec<PathBuf>, Failure> {
        // What is remembered changes with every backup, like the local copies.
        let remembered = self.state_dir().map_or_else(Vec::new, |dir| own::in_state(&dir));
        let copies = own::in_cache(&self.cache_dir(place)?);
        Ok(place.folder().map(Path::to_path_buf).into_iter().chain(copies).chain(remembered).collect())
    }

    /// Decides where the repository's secret comes from.
    pub fn secret_origin(&self, place: &Place) -> Result<Origin, Failure> {
        let settings = place.settings.as_ref().and_then(|settings| settings.secret.as_ref());
        Origin::choose(&self.secret_args(), &self.env, settings)
    }

    /// Returns what the command line says about the secret.
    pub fn secret_args(&self) -> SecretArgs {
        SecretArgs {
            password_file: self.global.password_file.clone(),
            password_command: self.global.password_command.clone(),
            key_file: self.global.key_file.clone(),
        }
    }

    /// Opens the repository that the options name.
    pub fn open(&self, purpose: Purpose) -> Result<Arc<Repository>, Failure> {
        let settings = self.settings()?;
        let place = self.place(&settings, None)?;
        self.open_place(&place, purpose)
    }

    /// Opens a repository.
    pub fn open_place(&self, place: &Place, purpose: Purpose) -> Result<Arc<Repository>, Failure> {
        let store = self.store(place, purpose)?;
        let origin = self.secret_origin(place)?;
        let options = OpenOptions { cache_dir: self.cache_dir(place)?, prefer_cached: purpose == Purpose::BackUp };
        let mut entrance = self.entrance(place);
        if origin == Origin::Prompt {
            // Nobody should have to type a password only to learn that nothing is there.
            checked_open::refuse_missing(&*store, &self.witness(place))?;
        }
        let ui = self.ui;
        let attempts = if origin == Origin::Prompt { PROMPTS_MAX } else { 1 };
        let mut attempt = 1;
        loop {
            let secret;
            (secret, entrance.expected.fingerprints_of_key) = origin.read(&self.ui, &self.env, store.location())?;
            let store = match purpose {
                Purpose::Look => repo::look_ahead(Arc::clone(&store), &options.cache_dir),
                _ => Arc::clone(&store),
            };
            match checked_open::enter(store, &secret, &options, &entrance) {
                Err(repo::Error::WrongSecret { .. }) if attempt < attempts => self.ui.warn("wrong password, try again"),
                Err(error @ repo::Error::WrongSecret { .. }) => {
                    let hint = hints::hint_of(&error).unwrap_or_default();
                    return Err(Failure::of(Exit::WrongSecret, &error).hint(format!("{}; {hint}", origin.describe())));
                }
                result => {
                    let repository = result?;
                    if let Some(bytes) = place.settings.as_ref().and_then(|settings| settings.cache_size) {
                        repository.limit_cache(bytes);
                    }
                    self.ui.detail(&format!("repository: {}", repository.location()));
                    self.tell_trouble(repository.witness().trouble(), repository.cache_trouble());
                    if let [object, more @ ..] = repository.void_configs() {
                        let also = if more.is_empty() { String::new() } else { format!(" (and {} more)", more.len()) };
                        self.ui.warn(&format!(
                            "{object}{also} counts for nothing: nobody with a key of the repository made it, or it is damaged; {}",
                            hints::REMOVE_IT
                        ));
                    }
                    repository.tell_left_out(move |error| ui.loss(&left_out(error)));
                    return Ok(repository);
                }
            }
            attempt += 1;
        }
    }

    /// Opens a repository that is to be repaired; one that has lost its config gets it back from the local copies, if that is wanted.
    pub fn open_to_repair(&self, is_applied: bool) -> Result<Arc<Repository>, Failure> {
        let place = self.place(&self.settings()?, None)?;
        let store = self.store(&place, Purpose::Work)?;
        let lost = match checked_open::refuse_missing(&*store, &self.witness(&place)) {
            Err(lost @ repo::Error::ConfigLost { .. }) => lost.into(),
            _ => match self.open_place(&place, Purpose::Work) {
                Err(failure) if is_applied && failure.exit == Exit::Damage => failure,
                opened => return opened,
            },
        };
        let options = OpenOptions { cache_dir: self.cache_dir(&place)?, prefer_cached: true };
        let (secret, _) = self.secret_origin(&place)?.read(&self.ui, &self.env, store.location())?;
        let copies = Repository::open_copies(&store, &secret, &options);
        let Some(copies) = copies.filter(|copies| is_applied && copies.has_lost_config().unwrap_or(false)) else {
            return Err(lost);
        };
        if let Some(object) = copies.put_config_back()? {
            self.ui.say(&format!("put {object} back from this machine's copy"))?;
        }
        self.open_place(&place, Purpose::Work)
    }

    /// Returns what is known about a repository before it is opened.
    fn entrance(&self, place: &Place) -> Entrance {
        let configured = place.settings.as_ref().and_then(|settings| settings.fingerprint.clone());
        let fingerprint = self.global.fingerprint.clone().or(configured).map(|fingerprint| fingerprint.0);
        let accept = Accept { rollback: self.global.accept_rollback, new_repository: self.global.accept_new_repository };
        Entrance {
            state_dir: self.state_dir(),
            folder: place.folder().map(Path::to_path_buf),
            accept,
            is_dry: self.is_dry,
            expected: Expected { fingerprint, key: self.global.key.clone(), ..Expected::default() },
        }
    }

    /// Returns what this machine remembers of a place, whatever is there now.
    pub fn witness(&self, place: &Place) -> Witness {
        let (place, called) = place.remembered_as();
        Witness::open_called(self.state_dir().as_deref(), (&place, &called), (Accept::default(), true))
    }

    /// Returns the folder of what this machine remembers.
    pub fn state_dir(&self) -> Option<PathBuf> {
        self.env.state_dir(rustix::process::geteuid().is_root())
    }

    /// Says that something cannot be remembered, also with `-q`, and that no local copies are kept, if that is so: both at once, for they
    /// mostly have one cause.
    pub fn tell_trouble(&self, memory: Option<(PathBuf, std::io::Error)>, copies: Option<String>) {
        let unnoticed = "so that going back in time may not be noticed";
        let memory = match memory {
            Some((file, error)) => Some(format!("cannot remember the repository in {}, {unnoticed}: {error}", file.display())),
            None if self.state_dir().is_none() => Some(format!(
                "cannot remember the repository, {unnoticed}: no folder for that is known, HOME is not set (DRUMLIN_STATE_DIR names one)"
            )),
            None => None,
        };
        let copies = copies.map(|why| format!("no local copies are kept, which is slower: {why}"));
        let is_unsafe = memory.is_some();
        let says = text::harmless(&memory.into_iter().chain(copies).collect::<Vec<String>>().join("; "));
        match says.as_str() {
            "" => {}
            says if is_unsafe => self.ui.loss(says),
            says => self.ui.warn(says),
        }
    }

    /// Runs an operation that shows progress and that a signal stops.
    pub fn run<T, E>(
        &self,
        verb: &'static str,
        operation: impl FnOnce(&Arc<Monitor>) -> Result<T, E>,
    ) -> Result<(T, Arc<Monitor>), Failure>
    where
        Failure: From<E>,
    {
        let monitor = Arc::new(Monitor::default());
        let guard = interrupt::while_running(&monitor);
        let progress = self.ui.progress(verb, &monitor);
        let result = operation(&monitor);
        drop(progress);
        drop(guard);
        match result {
            Ok(value) => Ok((value, monitor)),
            Err(_) if monitor.is_cancelled() => Err(Failure::interrupted()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Says that an index run is left out, and what to do.
fn left_out(error: &repo::Error) -> String {
    let hint = hints::hint_of(error).map_or_else(String::new, |hint| format!("; {hint}"));
    format!("{}, and is left out{hint}", in_words(error))
}

fn no_repository_named(settings: &Settings) -> Failure {
    let names: Vec<&str> = settings.repositories.keys().map(String::as_str).collect();
    let failure = Failure::usage("no repository is named");
    if names.is_empty() {
        return failure.hint("give --repo FOLDER or set DRUMLIN_REPOSITORY; `drumlin quickstart` sets everything up");
    }
    failure.hint(format!("give --repo NAME (the configuration has {}), or set `repository` in [defaults]", names.join(", ")))
}

/// Refuses a word that is neither a repository of the configuration nor a folder: a folder of that name here is hardly what is meant.
fn refuse_unknown_name(settings: &Settings, text: &OsStr, here: &Path) -> Result<(), Failure> {
    let name = text.to_string_lossy();
    let is_word = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'));
    if !is_word || settings.repositories.is_empty() || here.join(text).exists() {
        return Ok(());
    }
    let names: Vec<&str> = settings.repositories.keys().map(String::as_str).collect();
    let why = format!("there is no repository `{name}` in the configuration, and no folder of that name here");
    Err(Failure::usage(why).hint(format!("the configuration has {}; write ./{name} for a folder", names.join(", "))))
}

/// Returns the current folder; one that was removed meanwhile stands there as the system has it, so that nothing is found in it.
pub fn here() -> Result<PathBuf, Failure> {
    match std::env::current_dir() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok("/proc/self/cwd".into()),
        found => found.map_err(|error| Failure::file("find", Path::new("."), &error)),
    }
}

/// Returns the name of this machine.
pub fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

/// Returns the name of the user who runs the program, else its number.
pub fn user_name() -> String {
    let uid = rustix::process::getuid().as_raw();
    crate::os::owners::OwnerNames::new().user(uid).map_or_else(|| uid.to_string(), |name| name.to_string())
}
