//! Decay: keeps fewer snapshots with age, smoothly and without drift.
//!
//! Time is divided into spans whose lengths double and whose borders are fixed: two spans make one
//! of the next length. A span counts when all of it is older than `parts` times its length (8 by
//! default), and of each span that counts the *oldest* snapshot is kept. So
//!
//! * gaps are about an eighth of the age, and at most a quarter of it plus one interval of the
//!   series; each doubling of the age has about eight snapshots, so the number of snapshots grows
//!   with the logarithm of the age;
//! * the spans that count only get longer. The oldest snapshot of a long span is also the oldest of
//!   a short span in it, so a snapshot that is needed later is kept until then, and daily thinning
//!   gives the same result as thinning once, whatever other rules keep;
//! * a later snapshot never displaces an older one.

use super::decision::{DatedSnapshot, Decision, Keep, Miss};

/// Parameters of decay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decay {
    /// Snapshots older than this many seconds go, a span at a time.
    pub horizon_s: i64,
    /// A span counts when its age is this many times its length (1 to 1,000; 8 by default).
    pub parts: u32,
}

/// The shortest span: 675 s. 128 of them are a day, so that long spans are whole days.
pub const SPAN_MIN_S: i64 = 675;

impl Decay {
    /// The default number of parts.
    pub const PARTS: u32 = 8;
    /// The maximum of parts.
    pub const PARTS_MAX: u32 = 1_000;

    /// Returns the length in seconds of the span that counts at a moment; `None` if none does, so
    /// that everything is kept.
    pub fn span_s(&self, time_s: i64, newest_s: i64) -> Option<i64> {
        let counts = |span_s: &i64| {
            let age_s = newest_s.saturating_sub(end_of_span(time_s, *span_s));
            age_s >= span_s.saturating_mul(i64::from(self.parts))
        };
        self.spans().take_while(counts).last()
    }

    /// Returns whether a moment is beyond the horizon, with all of its longest span: a span that
    /// lost some of its members would keep other ones instead.
    pub fn is_over(&self, time_s: i64, newest_s: i64) -> bool {
        let end_s = self.spans().last().map_or(time_s, |longest_s| end_of_span(time_s, longest_s));
        newest_s.saturating_sub(end_s) > self.horizon_s
    }

    /// Returns the lengths of all spans that can count within the horizon, shortest first.
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

/// Keeps the oldest snapshot of each span that counts; `counted` is sorted, newest first.
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
        // If the next older snapshot is in the same span, this is not the oldest of the span.
        let is_older_in =
            |older: &usize| items[*older].time_s.div_euclid(span_s) == time_s.div_euclid(span_s);
        match counted.get(place + 1).is_some_and(is_older_in) {
            false => decision.keeps.push(Keep::Decay(span_s)),
            true => decision.misses.push(Miss::SameSpan(span_s)),
        }
    }
}
