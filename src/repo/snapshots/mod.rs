//! Snapshots: commit, lists, chains, the trash and protections.
//!
//! Spec: `format-spec/08-snapshots.md`.

pub mod chains;
mod commit;
pub mod incomplete;
mod list;
pub mod listing;
mod load;
mod order;
pub mod prepare;
pub mod present;
pub mod protect;
pub mod series_notes;
mod signed_marks;
pub mod trash;

pub use commit::{Commit, can_be_followed, commit, new_id, place_after};
pub use list::{
    list, list_all, list_ids, listing, listing_as_it_is, listing_to_bring_back, newest_of_host,
    overview, state_of_list, stored_s,
};
pub use listing::Listing;
pub(in crate::repo) use load::load_whole;
pub use load::{load, load_cached, load_from_store};
pub use order::chain_hash;
