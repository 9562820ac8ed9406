//! Counters of channels, for metrics and for the list of apps.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The counters of all channels, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Health {
    /// The channels that were used.
    pub channels: BTreeMap<String, ChannelHealth>,
}

/// The counters of a channel since the state folder was made.
///
/// A death may lose the counts of one pass; deliveries do not depend on them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ChannelHealth {
    /// Messages that were delivered.
    pub delivered: u64,
    /// Tries that failed.
    pub failures: u64,
    /// Tries that failed since the last delivery.
    pub failures_in_a_row: u64,
    /// Messages that were given up.
    pub given_up: u64,
    /// Messages that were given up since the last delivery. More than 0 is the trouble
    /// `undelivered`.
    pub given_up_in_a_row: u64,
    /// Tries after which a message may have arrived twice.
    pub repeats_possible: u64,
    /// The last failure, without secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Its time, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error_s: Option<i64>,
    /// Time of the last delivery, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_delivered_s: Option<i64>,
}

impl Health {
    /// Returns the counters of a channel, to be changed.
    pub(super) fn of(&mut self, channel: &str) -> &mut ChannelHealth {
        self.channels.entry(channel.to_owned()).or_default()
    }
}

impl ChannelHealth {
    pub(super) fn count_delivery(&mut self, now_s: i64) {
        self.delivered += 1;
        (self.given_up_in_a_row, self.failures_in_a_row) = (0, 0);
        self.last_delivered_s = Some(now_s);
    }

    pub(super) fn count_failure(&mut self, error: &str, now_s: i64) {
        self.failures += 1;
        self.failures_in_a_row += 1;
        self.last_error = Some(error.to_owned());
        self.last_error_s = Some(now_s);
    }

    pub(super) fn count_given_up(&mut self) {
        self.given_up += 1;
        self.given_up_in_a_row += 1;
    }
}
