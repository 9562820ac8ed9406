//! A repository: keys, index, packs, trees and snapshots over a store.
//!
//! The only stratum that knows both stored bytes and the store.

pub mod audit;
mod cache;
pub mod error;
pub mod index;
pub mod keys;
mod lru;
pub mod names;
mod open;
pub mod reader;
pub mod session;
mod slots;
pub mod snapshots;
pub mod state;
pub mod trees;

pub use error::{Error, Result};
pub use index::Location;
pub use open::{InitOptions, OpenOptions, Repository};
pub use reader::Reader;
pub use session::{Lane, Session, SessionOptions, Stored};
pub use trees::{DirEntry, Trees};
