//! Metrics for Prometheus: values of apps and repositories as text, and the three ways to it.
//!
//! The text (format 0.0.4) is the same for the daemon's `/metrics` ([`start`]), for a folder
//! that the node exporter reads ([`textfile`]) and for a Pushgateway ([`push()`]). Names, labels
//! and their meaning ([`names`]) are a contract: alerts and dashboards of users depend on them, so
//! names are added but never renamed.

mod answer;
mod listen;
pub mod names;
mod push;
mod text;
pub mod textfile;
pub mod values;

pub use answer::{Answer, CONTENT_TYPE, Page, answer};
pub use listen::{Handle, Shared, start};
pub use push::{Group, PushError, group_url, push};
pub use text::text;

#[cfg(test)]
mod tests;
