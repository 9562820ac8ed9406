//! Containers of apps: where their databases are dumped, which stand still, and what labels say.

mod labelled;
mod place;
mod stand_still;
mod start_again;

pub use labelled::{AppFault, with_labelled};
pub use place::EnginePlace;
pub(super) use stand_still::StandStill;
pub use start_again::{Started, left_of, start_left};
