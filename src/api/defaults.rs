//! Defaults of all operations.

use std::num::NonZero;

/// Name and version that are stored with what the library makes.
pub(super) const PROGRAM: &str = concat!("drumlin ", env!("CARGO_PKG_VERSION"));

/// Returns how many threads an operation uses if the caller does not say.
pub(super) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}
