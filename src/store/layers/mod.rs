//! Stores around stores: each adds one property and forwards the rest.

pub mod clock;
pub mod count;
pub mod fault;
pub mod lazy;
pub mod rate_limit;
pub mod retry;
pub mod throttle;
