//! A repository: keys, index, packs, trees and snapshots over a store.
//!
//! The only stratum that knows both stored bytes and the store.

mod ahead;
pub mod audit;
mod cache;
mod cache_folder;
pub mod chains;
pub mod collect;
pub mod commit;
mod configs;
pub mod enter;
pub mod error;
pub mod generations;
pub mod horizon;
pub mod incomplete;
pub mod index;
pub mod intents;
pub mod keys;
mod listed;
pub mod locks;
pub mod loss;
pub mod lru;
mod make;
mod mark;
pub mod merge;
pub mod names;
mod open;
mod opened;
mod order;
pub mod parallel;
pub mod probe;
pub mod protect;
mod put;
mod random;
pub mod reach;
pub mod reader;
pub mod rebuild;
pub mod reserve;
mod rounded;
pub mod session;
mod slots;
pub mod snapshots;
pub mod state;
pub mod trash;
mod tree_packs;
pub mod trees;
mod whole;
pub mod witness;

pub use ahead::look_ahead;
pub use error::{Error, Result};
pub use index::Location;
pub use make::{InitOptions, NewIdentity};
pub use open::{Expected, OpenOptions, Repository};
pub use reader::{CompressedSegment, Reader};
pub use session::{Lane, Session, SessionOptions, Stored};
pub use trees::{DirEntry, Trees};
