//! Channels of notifications, as `apps` shows them.

use std::time::Duration;

use serde::Serialize;

use super::run::report::rfc3339;
use crate::notify::Health;
use crate::text;

/// A channel that was used.
#[derive(Serialize)]
pub(super) struct ChannelView<'a> {
    name: &'a str,
    delivered: u64,
    failures: u64,
    failures_in_a_row: u64,
    given_up: u64,
    last_delivered: Option<String>,
    last_error: Option<&'a str>,
    last_error_at: Option<String>,
}

/// Returns the views of all channels that were used.
pub(super) fn view_of(health: &Health) -> Vec<ChannelView<'_>> {
    let views = health.channels.iter().map(|(name, known)| ChannelView {
        name,
        delivered: known.delivered,
        failures: known.failures,
        failures_in_a_row: known.failures_in_a_row,
        given_up: known.given_up,
        last_delivered: known.last_delivered_s.and_then(rfc3339),
        last_error: known.last_error.as_deref(),
        last_error_at: known.last_error_s.and_then(rfc3339),
    });
    views.collect()
}

/// Returns a line for each channel by which messages do not arrive.
pub(super) fn lines_of(health: &Health, now_s: i64) -> Vec<String> {
    let ill = health.channels.iter().filter(|(_, known)| known.failures_in_a_row > 0);
    let lines = ill.map(|(name, known)| {
        let tries = text::counted(known.failures_in_a_row, "try");
        let age_s = now_s.saturating_sub(known.last_error_s.unwrap_or(now_s));
        let ago = text::duration(Duration::from_secs(u64::try_from(age_s).unwrap_or(0)));
        let why = known.last_error.as_deref().unwrap_or("the error is not known");
        format!("messages by {name} do not arrive: {tries} failed, the last {ago} ago: {why}")
    });
    lines.collect()
}
