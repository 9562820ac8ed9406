//! Context of a command: options, output, and access to the repository.

use std::path::PathBuf;
use std::sync::Arc;

use super::failure::{Exit, Failure};
use super::global::Global;
use super::interrupt;
use super::json_views::RequestsView;
use crate::connect::{
    ConnectOptions, Connector, Purpose, RepositoryPlace, SecretArgs, SecretSource,
};
use crate::monitor::Monitor;
use crate::repo::checked_open;
use crate::repo::open::witness::Witness;
use crate::repo::{self, OpenOptions, Repository};
use crate::settings::Settings;
use crate::settings::environment::Environment;
use crate::store::Store;
use crate::store::layers::count::CallCounts;
use crate::ui::Ui;

/// Context of a command.
pub struct Context {
    /// Global options.
    pub global: Global,
    /// Output to the user.
    pub ui: Ui,
    connector: Connector,
}

impl Context {
    /// Makes the context from command line and environment.
    pub fn new(global: Global, env: Environment, ui: Ui, is_dry: bool) -> Self {
        let options = ConnectOptions {
            repo: global.repo.clone(),
            config: global.config.clone(),
            secret: SecretArgs {
                password_file: global.password_file.clone(),
                password_command: global.password_command.clone(),
                key_file: global.key_file.clone(),
            },
            cache_dir: global.cache_dir.clone(),
            accept_rollback: global.accept_rollback,
            accept_new_repository: global.accept_new_repository,
            fingerprint: global.fingerprint.clone(),
            key: global.key.clone(),
            limit_upload: global.limit_upload,
            limit_download: global.limit_download,
            connections: global.connections,
            is_dry,
        };
        let connector = Connector::new(options, env, Arc::new(ui), interrupt::is_stopping);
        Self { global, ui, connector }
    }

    /// Returns what opens repositories.
    pub fn connector(&self) -> &Connector {
        &self.connector
    }

    /// Returns the environment variables.
    pub fn env(&self) -> &Environment {
        &self.connector.env
    }

    /// Returns the counters of requests so far; `None` if no store was opened.
    pub fn requests(&self) -> Option<CallCounts> {
        self.connector.requests.counts()
    }

    /// Returns the counters of requests for JSON.
    pub fn requests_view(&self) -> RequestsView {
        RequestsView::new(&self.requests().unwrap_or_default())
    }

    /// Reads the configuration file.
    pub fn settings(&self) -> Result<Settings, Failure> {
        Ok(self.connector.settings()?)
    }

    /// Returns the repository that `--repo`, `wanted` or the configuration names.
    pub fn place(
        &self,
        settings: &Settings,
        wanted: Option<&str>,
    ) -> Result<RepositoryPlace, Failure> {
        Ok(self.connector.place(settings, wanted)?)
    }

    /// Returns the directory of local copies; empty if none is known.
    pub fn cache_dir(&self, place: &RepositoryPlace) -> PathBuf {
        self.connector.cache_dir(place)
    }

    /// Returns the directories that no backup should hold and no restore touch.
    pub fn own_dirs(&self, place: &RepositoryPlace) -> Vec<PathBuf> {
        self.connector.own_dirs(place)
    }

    /// Decides where the repository's secret comes from.
    pub fn secret_source(&self, place: &RepositoryPlace) -> Result<SecretSource, Failure> {
        Ok(self.connector.secret_source(place)?)
    }

    /// Opens the store of a repository.
    pub fn store(
        &self,
        place: &RepositoryPlace,
        purpose: Purpose,
    ) -> Result<Arc<dyn Store>, Failure> {
        Ok(self.connector.store(place, purpose)?)
    }

    /// Opens the repository that the options name.
    pub fn open(&self, purpose: Purpose) -> Result<Arc<Repository>, Failure> {
        Ok(self.connector.open(purpose)?)
    }

    /// Opens a repository.
    pub fn open_place(
        &self,
        place: &RepositoryPlace,
        purpose: Purpose,
    ) -> Result<Arc<Repository>, Failure> {
        Ok(self.connector.open_place(place, purpose)?)
    }

    /// Returns what this machine remembers of a place, whatever is there now.
    pub fn witness(&self, place: &RepositoryPlace) -> Witness {
        self.connector.witness(place)
    }

    /// Opens a repository for a repair. With `is_applied`, a lost config is restored from the local
    /// copies.
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
        let options = OpenOptions { cache_dir: self.cache_dir(&place), prefer_cached: true };
        let (secret, _) =
            self.secret_source(&place)?.read(&self.ui, self.env(), store.location())?;
        let copies = Repository::open_copies(&store, &secret, &options);
        let Some(copies) =
            copies.filter(|copies| is_applied && copies.has_lost_config().unwrap_or(false))
        else {
            return Err(lost);
        };
        if let Some(object) = copies.put_config_back()? {
            self.ui.say(&format!("put {object} back from this machine's copy"))?;
        }
        self.open_place(&place, Purpose::Work)
    }

    /// Runs an operation with progress output; a signal cancels it.
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
