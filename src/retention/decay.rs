//! Decay: the older, the fewer, without steps and without drift.
//!
//! Time is cut into spans whose lengths double and whose borders never move: two spans make one of
//! the next length. A span counts as one when all of it is older than so many times its length (8,
//! unless asked for otherwise), and of each span that counts the *oldest* snapshot is kept. So
//!
//! * gaps are about an eighth of the age, never more than a quarter beyond the rhythm in which
//!   snapshots came, and each doubling of the age holds about eight snapshots: the number kept
//!   grows with the logarithm of the age;
//! * at any moment time is cut into spans that count, and later only into longer ones. The oldest
//!   of a long span is the oldest of the short ones in it too, so one that is needed later is kept
//!   until then, and thinning every day ends where thinning once ends, no matter what other rules
//!   keep;
//! * a snapshot that comes later never takes an older one's place.

use super::rules::{DatedSnapshot, Decision, Keep, Miss};

/// How snapshots get fewer with age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decay {
    /// What is older than this many seconds goes, a span at a time.
    pub horizon_s: i64,
    /// A span counts when it is this many times older than long (1 to 1,000; 8 unless asked for
    /// otherwise).
    pub parts: u32,
}

/// The shortest span: 675 s, of which 128 are a day, so that longer ones are whole days.
pub const SPAN_MIN_S: i64 = 675;

impl Decay {
    /// The usual number of parts.
    pub const PARTS: u32 = 8;
    /// The most parts.
    pub const PARTS_MAX: u32 = 1_000;

    /// Returns the length in seconds of the span that counts at a moment; `None` where none does
    /// and everything is kept.
    pub fn span_s(&self, time_s: i64, newest_s: i64) -> Option<i64> {
        let counts = |span_s: &i64| {
            let age_s = newest_s.saturating_sub(end_of_span(time_s, *span_s));
            age_s >= span_s.saturating_mul(i64::from(self.parts))
        };
        self.spans().take_while(counts).last()
    }

    /// Returns whether a moment is beyond the horizon: with the whole of its longest span, since
    /// spans that lost some of their members would keep others in their place.
    pub fn is_over(&self, time_s: i64, newest_s: i64) -> bool {
        let end_s = self.spans().last().map_or(time_s, |longest_s| end_of_span(time_s, longest_s));
        newest_s.saturating_sub(end_s) > self.horizon_s
    }

    /// Returns the lengths of all spans that can count before the horizon, shortest first.
    fn spans(&self) -> impl Iterator<Item = i64> {
        let parts = i64::from(self.parts.max(1));
        (0..40)
            .map(|doublings| SPAN_MIN_S << doublings)
            .take_while(move |span_s| span_s * parts <= self.horizon_s)
    }
}

fn end_of_span(time_s: i64, span_s: i64) -> i64 {
    time_s.div_euclid(span_s).saturating_add(1).saturating_mul(span_s)
}

/// Keeps the oldest of each span that counts; `counted` is sorted, newest first.
pub(super) fn keep_decayed(
    items: &[DatedSnapshot],
    counted: &[usize],
    decay: Decay,
    decisions: &mut [Decision],
) {
    let Some(newest) = counted.first() else {
        return;
    };
    let newest_s = items[*newest].time_s;
    for (place, at) in counted.iter().enumerate() {
        let time_s = items[*at].time_s;
        let decision = &mut decisions[*at];
        if decay.is_over(time_s, newest_s) {
            decision.misses.push(Miss::Horizon(decay.horizon_s));
            continue;
        }
        let Some(span_s) = decay.span_s(time_s, newest_s) else {
            decision.keeps.push(Keep::Decay(0));
            continue;
        };
        // The next older one, if it is in the same span, leads to the one that represents it.
        let is_older_in =
            |older: &usize| items[*older].time_s.div_euclid(span_s) == time_s.div_euclid(span_s);
        match counted.get(place + 1).is_some_and(is_older_in) {
            false => decision.keeps.push(Keep::Decay(span_s)),
            true => decision.misses.push(Miss::SameSpan(span_s)),
        }
    }
}
