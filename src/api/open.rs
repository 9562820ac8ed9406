//! The opening and making of a repository.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use super::credentials::Credentials;
use super::defaults::PROGRAM;
use super::error::Result;
use super::repository::Repository;
use super::warnings::Warnings;
use crate::connect::GivenPassword;
use crate::connect::credentials::{passphrase_kdf, read_key_file};
use crate::connect::{
    ConnectOptions, Connector, Operator, Purpose, RepositoryPlace, SecretArgs, SecretSource,
};
use crate::crypto::slot::Secret;
use crate::format::config::Profile;
use crate::format::slot::SlotKdf;
use crate::repo::{InitOptions, NewIdentity};
use crate::settings::Settings;
use crate::settings::environment::Environment;
use crate::text;

/// Opens or makes a repository.
///
/// ```no_run
/// use drumlin::{Credentials, OpenOptions};
///
/// let credentials = Credentials::key_file("/etc/drumlin/box.key");
/// let repository = OpenOptions::new("sftp://u1@u1.example.org:23/./drumlin", credentials)
///     .limit_upload(5_000_000)
///     .open()?;
/// # Ok::<(), drumlin::Error>(())
/// ```
///
/// The environment variables of S3 and SSH tools count (`AWS_*`, `SSH_AUTH_SOCK`), and those that
/// say where the user's files are (`HOME`, `XDG_*`, `DRUMLIN_STATE_DIR`); the configuration file of
/// the command line does not.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    connect: ConnectOptions,
}

impl Repository {
    /// Opens a repository by its path or URL. [`OpenOptions`] has more to say.
    pub fn open(url: impl Into<OsString>, credentials: Credentials) -> Result<Self> {
        OpenOptions::new(url, credentials).open()
    }

    /// Makes a repository at a path or URL. See [`OpenOptions::create`].
    pub fn create(url: impl Into<OsString>, credentials: Credentials) -> Result<Self> {
        OpenOptions::new(url, credentials).create()
    }
}

impl OpenOptions {
    /// Names a repository by a path or a URL (`s3:…`, `sftp:…`), and what opens it.
    pub fn new(url: impl Into<OsString>, credentials: Credentials) -> Self {
        let Credentials { args, password } = credentials;
        let secret = SecretArgs { password: password.map(GivenPassword), ..args };
        let connect =
            ConnectOptions { repo: Some(url.into()), secret, ..ConnectOptions::default() };
        Self { connect }
    }

    /// Keeps local copies in this directory instead of the user's cache.
    pub fn cache_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.connect.cache_dir = Some(path.into());
        self
    }

    /// Keeps what this machine remembers of repositories in this directory, instead of the user's
    /// or (for root) `/var/lib/drumlin`. It must last: by it a rollback is noticed.
    pub fn state_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.connect.state_dir = Some(path.into());
        self
    }

    /// Uploads at most so many bytes per second.
    pub fn limit_upload(mut self, bytes_per_s: u64) -> Self {
        self.connect.limit_upload = Some(bytes_per_s);
        self
    }

    /// Downloads at most so many bytes per second.
    pub fn limit_download(mut self, bytes_per_s: u64) -> Self {
        self.connect.limit_download = Some(bytes_per_s);
        self
    }

    /// Transfers at most so many objects at once.
    pub fn connections(mut self, count: usize) -> Self {
        self.connect.connections = Some(count);
        self
    }

    /// Opens the repository.
    ///
    /// Fails with [`NoRepository`] if there is none, with [`WrongSecret`] if the credentials open
    /// no key of it, and with [`RolledBack`] if it is older than this machine remembers it.
    ///
    /// [`NoRepository`]: super::ErrorKind::NoRepository
    /// [`WrongSecret`]: super::ErrorKind::WrongSecret
    /// [`RolledBack`]: super::ErrorKind::RolledBack
    pub fn open(self) -> Result<Repository> {
        let (connector, warnings) = self.connector();
        let place = connector.place(&Settings::default(), None)?;
        let inner = connector.open_place(&place, Purpose::Work)?;
        Ok(Repository::new(inner, connector, place, warnings))
    }

    /// Makes a repository that the credentials open. A key file must exist.
    ///
    /// Fails with [`AlreadyExists`] if there is one. Keep the password or key file safe,
    /// and not only on this machine: without it nothing can be restored.
    ///
    /// [`AlreadyExists`]: super::ErrorKind::AlreadyExists
    pub fn create(self) -> Result<Repository> {
        let (connector, warnings) = self.connector();
        let place = connector.place(&Settings::default(), None)?;
        connector.refuse_used(&place)?;
        let options = init_options(&connector, &place)?;
        let created = connector.create(&place, &options, NewIdentity::random()?)?;
        Ok(Repository::new(created.repository, connector, place, warnings))
    }

    fn connector(self) -> (Connector, Arc<Warnings>) {
        let warnings = Arc::new(Warnings::default());
        let operator: Arc<dyn Operator> = warnings.clone();
        let connector = Connector::new(self.connect, Environment::of_process(), operator, || false);
        (connector, warnings)
    }
}

fn init_options(connector: &Connector, place: &RepositoryPlace) -> Result<InitOptions> {
    let origin = connector.secret_source(place)?;
    let (secret, kdf, label) = match &origin {
        SecretSource::KeyFile(path) => {
            let secret = read_key_file(&*connector.operator, path)?.secret;
            (Secret::KeyFile(secret), SlotKdf::KeyFile, "key file")
        }
        origin => {
            let password = origin.read_new_password(&*connector.operator, &connector.env)?;
            (Secret::Passphrase(password), passphrase_kdf(false), "password")
        }
    };
    Ok(InitOptions {
        profile: Profile::Standard,
        secret,
        kdf,
        label: label.to_owned(),
        now: text::now(),
        program: PROGRAM.to_owned(),
        cache_dir: connector.cache_dir(place),
    })
}
