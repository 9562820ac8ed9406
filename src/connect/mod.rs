//! Opening a repository by its name: from a URL, the configuration and a secret to a repository.
//!
//! The command line, a daemon and library users all come through here. Nothing here prints, prompts
//! or ends the program: questions and warnings go to an [`Operator`], failures are [`Error`]s.

mod connector;
mod create;
pub mod credentials;
mod error;
pub mod hints;
pub mod host;
mod operator;
mod origin;
pub mod own_dirs;
mod place;
mod requests;
#[cfg(feature = "s3")]
mod s3;
#[cfg(feature = "sftp")]
mod sftp;
#[cfg(feature = "sftp")]
mod ssh;
mod stack;

pub use connector::{ConnectOptions, Connector};
pub use create::Created;
pub use error::{Error, Result, Trouble, TroubleKind};
pub use operator::Operator;
pub use origin::{GivenPassword, Origin, SecretArgs};
pub use place::{Place, Purpose};
pub use requests::Requests;
