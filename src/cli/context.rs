//! Context of a command: options, output, and access to the repository.

use std::sync::Arc;

use super::exit::Exit;

use super::failure::Failure;
use super::global::Global;
use super::interrupt;
use super::json_views::RequestsView;
use crate::connect::{ConnectOptions, Connector, Purpose, SecretArgs};
use crate::monitor::Monitor;
use crate::repo::checked_open;
use crate::repo::{self, OpenOptions, Repository};
use crate::settings::environment::Environment;
use crate::ui::Ui;

/// Context of a command.
pub(super) struct Context {
    /// Global options.
    pub global: Global,
    /// Output to the user.
    pub ui: Ui,
    /// Opens stores and repositories.
    pub connector: Connector,
}

impl Context {
    /// Makes the context from command line and environment.
    pub(super) fn new(global: Global, env: Environment, ui: Ui, is_dry: bool) -> Self {
        let options = ConnectOptions {
            repo: global.repo.clone(),
            config: global.config.clone(),
            config_copy: global.config_copy.clone(),
            secret: SecretArgs {
                password_file: global.password_file.clone(),
                password_command: global.password_command.clone(),
                key_file: global.key_file.clone(),
                password: None,
            },
            cache_dir: global.cache_dir.clone(),
            state_dir: None,
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

    /// Returns the counters of requests for JSON.
    pub(super) fn requests_view(&self) -> RequestsView {
        RequestsView::new(&self.connector.requests.counts().unwrap_or_default())
    }

    /// Opens a repository for a repair. With `is_applied`, a lost config is restored from the local
    /// copies.
    pub(super) fn open_to_repair(&self, is_applied: bool) -> Result<Arc<Repository>, Failure> {
        let connector = &self.connector;
        let place = connector.place(&connector.settings()?, None)?;
        let store = connector.store(&place, Purpose::Work)?;
        let lost = match checked_open::refuse_missing(&*store, &connector.witness(&place)) {
            Err(lost @ repo::Error::ConfigLost { .. }) => lost.into(),
            _ => match connector.open_place(&place, Purpose::Work).map_err(Failure::from) {
                Err(failure) if is_applied && failure.exit == Exit::Damage => failure,
                opened => return opened,
            },
        };
        let options = OpenOptions { cache_dir: connector.cache_dir(&place), prefer_cached: true };
        let (secret, _) =
            connector.secret_source(&place)?.read(&self.ui, &connector.env, store.location())?;
        let copies = Repository::open_copies(&store, &secret, &options);
        let Some(copies) =
            copies.filter(|copies| is_applied && copies.has_lost_config().unwrap_or(false))
        else {
            return Err(lost);
        };
        if let Some(object) = copies.put_config_back()? {
            self.ui.say(&format!("put {object} back from this machine's copy"))?;
        }
        Ok(connector.open_place(&place, Purpose::Work)?)
    }

    /// Runs an operation with progress output; a signal cancels it.
    pub(super) fn run<T, E>(
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
