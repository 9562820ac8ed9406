//! Items of the outbox: their names, their stored form, their timetable.

use serde::{Deserialize, Serialize};

use super::message::Message;

/// Tries of a delivery before it is given up: at once, after 1, 5 and 30 minutes, then hourly for
/// two days. They are counted, so that no jump of the clock uses them up.
pub(super) const TRIES_MAX: u32 = 52;
/// Tries for which later messages of the same writer wait, so that they arrive in order. A message
/// that a server never takes holds others up for 36 minutes, not for two days.
pub(super) const ORDERED_TRIES: u32 = 4;
/// Longest wait between two tries, in seconds.
const WAIT_MAX_S: i64 = 3_600;

/// Ending of an item that its writer has not released.
pub(super) const HELD: &str = ".held";
/// Ending of an item that can be delivered.
pub(super) const READY: &str = ".json";
/// Ending of a file that could not be read.
pub(super) const DAMAGED: &str = ".damaged";

/// An item as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Item {
    format: u32,
    /// When it was written, in seconds since 1970.
    pub created_s: i64,
    /// The message.
    pub message: Message,
    /// The channels that have not taken it.
    pub deliveries: Vec<Delivery>,
}

/// The state of an item in one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Delivery {
    /// Name of the channel.
    pub channel: String,
    /// Tries that were begun.
    pub tries: u32,
    /// Time of the next one, in seconds since 1970.
    pub next_s: i64,
    /// Whether the last try was begun and its outcome is not recorded: the process died.
    #[serde(default)]
    pub is_trying: bool,
}

impl Item {
    const FORMAT: u32 = 1;

    /// Returns the item of a new message.
    pub(super) fn new(message: Message, channels: &[&str]) -> Self {
        let created_s = message.time_s;
        let deliveries = channels.iter().map(|channel| Delivery {
            channel: (*channel).to_owned(),
            tries: 0,
            next_s: created_s,
            is_trying: false,
        });
        Self { format: Self::FORMAT, created_s, deliveries: deliveries.collect(), message }
    }

    /// Returns the stored form.
    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an item is made of texts and numbers")
    }

    /// Returns the item of a stored form, if its message has the id that the file is named by.
    pub(super) fn decode(bytes: &[u8], id: &str) -> Option<Self> {
        let item: Self = serde_json::from_slice(bytes).ok()?;
        (item.format == Self::FORMAT && item.message.id == id).then_some(item)
    }
}

impl Delivery {
    /// Returns whether the next try is due.
    ///
    /// A time that is further away than any wait comes from a clock that was set back.
    pub(super) fn is_due(&self, now_s: i64) -> bool {
        self.next_s <= now_s || self.next_s.saturating_sub(now_s) > WAIT_MAX_S
    }

    /// Notes that a try begins, as if it had failed: a death in it must not make it endless.
    pub(super) fn begin_try(&mut self, now_s: i64) {
        self.tries = self.tries.saturating_add(1);
        self.is_trying = true;
        let wait_s = match self.tries {
            1 => 60,
            2 => 5 * 60,
            3 => 30 * 60,
            _ => WAIT_MAX_S,
        };
        self.next_s = now_s.saturating_add(wait_s);
    }

    /// Returns whether later messages of the same writer wait for it.
    pub(super) fn holds_up_others(&self) -> bool {
        self.tries < ORDERED_TRIES
    }
}

/// Identity of a message: the writer's key, its number there, and what it says.
///
/// Names sort by writer and number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ItemId<'a> {
    /// The whole id.
    pub text: &'a str,
    /// Key of the writer.
    pub writer: &'a str,
    /// Number among the writer's messages.
    pub ordinal: u64,
}

impl<'a> ItemId<'a> {
    /// Parses an id: three times 16 hex digits.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let is_hex = |part: &str| {
            part.len() == 16 && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        let mut parts = text.split('-');
        let (writer, ordinal, saying) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || ![writer, ordinal, saying].into_iter().all(is_hex) {
            return None;
        }
        let ordinal = u64::from_str_radix(ordinal, 16).ok()?;
        Some(Self { text, writer, ordinal })
    }
}

/// Returns the key of a writer in ids and names of files.
pub(super) fn writer_key(writer: &str) -> String {
    blake3::hash(writer.as_bytes()).to_hex()[..16].to_owned()
}

/// Returns the id of a message: the writer's key, its number, and a hash of what it says.
pub(super) fn id_of(writer: &str, ordinal: u64, saying: &str) -> String {
    let saying = blake3::hash(saying.as_bytes()).to_hex();
    format!("{}-{ordinal:016x}-{}", writer_key(writer), &saying[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_writer_and_number() {
        let ids = [id_of("a", 9, "x"), id_of("a", 10, "y"), id_of("a", u64::MAX, "")];
        assert!(ids.is_sorted());
        let parsed = ItemId::parse(&ids[1]).unwrap();
        assert_eq!((parsed.writer, parsed.ordinal), (&*writer_key("a"), 10));
        for hostile in ["", "-", "../../../etc", "a-b-c", &ids[0].to_uppercase(), &ids[0][1..]] {
            assert_eq!(ItemId::parse(hostile), None);
        }
    }

    #[test]
    fn tries_come_after_minutes_and_then_hourly_for_two_days() {
        let mut delivery =
            Delivery { channel: "mail".to_owned(), tries: 0, next_s: 0, is_trying: false };
        let mut times = Vec::new();
        let mut now_s = 0;
        while delivery.tries < TRIES_MAX {
            now_s = now_s.max(delivery.next_s);
            assert!(delivery.is_due(now_s));
            times.push(now_s);
            delivery.begin_try(now_s);
        }
        assert_eq!(times[..6], [0, 60, 360, 2_160, 5_760, 9_360]);
        assert_eq!(times.last(), Some(&(2_160 + 48 * 3_600)));
    }

    #[test]
    fn a_clock_that_was_set_back_delays_nothing_for_long() {
        let mut delivery =
            Delivery { channel: "mail".to_owned(), tries: 9, next_s: 0, is_trying: false };
        delivery.begin_try(2_000_000_000);
        assert!(!delivery.is_due(2_000_000_000));
        assert!(delivery.is_due(1_900_000_000));
        assert!(delivery.is_due(i64::MIN) && delivery.is_due(i64::MAX));
    }
}
