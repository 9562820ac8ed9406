//! Shares of a key: `drumlin key split` and `drumlin key combine`.

pub(super) mod combine;
mod files;
mod input;
mod kit;
mod page;
pub(super) mod split;
