//! MariaDB and MySQL: one dump for each database, cut into a file for each table.
//!
//! | file | holds |
//! |---|---|
//! | `settings`, `options` | what is configured, and what may be |
//! | `access` | how a client is let in |
//! | `failure` | what failed, and what to do |
//! | `lexer`, `scanner` | lines of a dump |
//! | `sections` | files of a dump |
//! | `client` | programs and their answers |
//! | `server`, `grants` | what is asked before |
//! | `dump`, `users` | the dumps |
//! | `copy`, `copied_files` | the copy of a whole server by `mariadb-backup` |
//! | `plan` | all dumps of a server |
//! | `check` | what can be known before |
//! | `join` | rows joined again, for loading |

mod access;
mod check;
mod client;
mod copied_files;
mod copy;
mod dump;
mod failure;
mod grants;
mod join;
mod lexer;
mod options;
mod plan;
mod scanner;
mod sections;
mod server;
mod settings;
mod users;

pub use check::check;
pub use failure::{Failure, Retry};
pub use join::{Joiner, Write};
pub use plan::{Plan, plan};
pub use settings::{Access, CopySettings, Databases, Product, Settings, Tls};
