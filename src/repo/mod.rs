//! A repository: keys, index, packs, trees and snapshots over a store.
//!
//! The only stratum that knows both stored bytes and the store. Its rooms, each of which may import
//! those above it:
//!
//! | room | holds |
//! |---|---|
//! | [`objects`] | names of objects; creating and reading small ones |
//! | `cache` | local copies of immutable objects |
//! | [`open`] | [`Repository`], key slots, this machine's memory of a place |
//! | [`index`] | where chunks are |
//! | [`read`] | from a chunk id to its bytes; directories, node by node |
//! | [`gc`] | the collection protocol: generations, intents, object locks |
//! | [`mod@write`] | sessions: chunks in, durable packs and index runs out |
//! | [`snapshots`] | commit, lists, trash, protections |
//! | [`audit`] | listings of the store itself, for `check` and `repair` |
//! | [`checked_open`] | opening a repository, with a check against that memory |

pub mod audit;
mod cache;
pub mod checked_open;
pub mod error;
pub mod gc;
pub mod index;
pub mod objects;
pub mod open;
pub mod read;
pub mod snapshots;
pub mod write;

pub use cache::lru;
pub use error::{Error, Result};
pub use index::Location;
pub use open::{Expected, InitOptions, NewIdentity, OpenOptions, Repository};
pub use read::{
    CompressedSegment, Descent, DirEntry, PaddedPart, Reader, Trees, prefetch_listings,
};
pub use write::{DurablePacks, Lane, Session, SessionOptions};
