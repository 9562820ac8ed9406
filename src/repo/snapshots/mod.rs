//! Snapshots: commit, lists, chains, the trash and protections. Spec:
//! `format-spec/08-snapshots.md`.

pub mod chains;
pub mod incomplete;
mod list;
pub mod listing;
mod order;
pub mod prepare;
pub mod present;
pub mod protect;
pub mod series_notes;
mod signed_marks;
pub mod trash;

pub(in crate::repo) use list::load_whole;
pub use list::{
    Commit, can_be_followed, commit, list, list_all, list_ids, listing, listing_as_it_is,
    listing_to_bring_back, load, load_cached, load_from_store, new_id, newest_of_host, overview,
    place_after, state_of_list, stored_s,
};
pub use listing::Listing;
pub use order::chain_hash;
