//! Dumps of PostgreSQL databases.
//!
//! `pg_dump` writes plain SQL, which dedups best and needs only `psql` to load. Its output is split
//! into files: a header, the rows of each table, a footer. `LC_ALL=C cat *` is a dump that loads.

mod access;
mod advice;
mod check;
mod choice;
mod client;
mod create;
mod dump;
mod files;
mod load;
mod names;
mod options;
mod parts;
mod plan;
mod quotes;
mod scanner;
mod server;
mod version;

pub use access::{Access, Tls};
pub use check::check;
pub use choice::Databases;
pub use create::create_statements;
pub use load::DumpWriter;
pub use parts::{Parts, ScanError, Section, Stop};
pub use plan::{Plan, Settings, plan};
pub use scanner::Scanner;
pub use version::Version;
