//! Objects of a repository in a store: their names, and creating and reading small ones.

pub mod bad_sectors;
pub(in crate::repo) mod create_once;
pub mod layout;
pub mod parallel;
pub(in crate::repo) mod random;
pub mod sized_read;
