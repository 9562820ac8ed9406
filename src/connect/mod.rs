//! Opening of repositories: from a name, the configuration and a secret to a repository.
//!
//! The command line, a daemon and library users all come through here. Nothing here prints, prompts
//! or ends the program: questions and warnings go to an [`Operator`], failures are [`Error`]s.

mod connector;
mod create;
pub mod credentials;
mod error;
pub mod hints;
pub mod host;
mod open_store;
mod operator;
pub mod own_dirs;
mod place;
mod requests;
#[cfg(feature = "s3")]
mod s3;
mod secret_source;
#[cfg(feature = "sftp")]
mod sftp;
#[cfg(feature = "sftp")]
mod ssh;

pub use connector::{ConnectOptions, Connector};
pub use create::Created;
pub use error::{Error, OtherError, OtherErrorKind, Result};
pub use operator::Operator;
pub use place::{Purpose, RepositoryPlace};
pub use requests::{RequestTotals, Requests};
pub use secret_source::{GivenPassword, SecretArgs, SecretSource};
