//! Quiet time after a start, a sleep or a change of the clock.
//!
//! A machine that has just woken up has no network yet, and a clock that jumped may jump again. A
//! run that begins at once would fail and wait for its next attempt.

use std::time::Duration;

/// How far wall clock and elapsed time may part between two looks before it is a jump. Clocks are
/// set right by less all the time.
const JUMP_MIN: Duration = Duration::from_secs(10);

/// The time in which nothing begins.
#[derive(Clone, Debug)]
pub struct Quiet {
    length: Duration,
    ends_at: Duration,
    /// Wall clock and elapsed time of the last look.
    last: Option<(Duration, Duration)>,
}

impl Quiet {
    /// Begins with quiet time of this length at `elapsed`, the time of a clock that only goes on.
    pub fn new(length: Duration, elapsed: Duration) -> Self {
        Self { length, ends_at: elapsed + length, last: None }
    }

    /// Changes the length; quiet time that began with another one ends as it was to.
    pub fn set_length(&mut self, length: Duration) {
        self.length = length;
    }

    /// Notes a look at both clocks; returns whether runs may begin.
    ///
    /// `wall` is the time since 1970, and `elapsed` need not go on while the machine sleeps.
    pub fn look(&mut self, wall: Duration, elapsed: Duration) -> bool {
        if let Some((last_wall, last_elapsed)) = self.last {
            let expected = last_wall + elapsed.saturating_sub(last_elapsed);
            if wall.abs_diff(expected) > JUMP_MIN {
                self.ends_at = elapsed + self.length;
            }
        }
        self.last = Some((wall, elapsed));
        elapsed >= self.ends_at
    }

    /// Returns how long it is quiet from `elapsed` on.
    pub fn remains(&self, elapsed: Duration) -> Duration {
        self.ends_at.saturating_sub(elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn it_is_quiet_after_a_start_a_sleep_and_a_change_of_the_clock() {
        let mut quiet = Quiet::new(S(60), S(5));
        let begins = |quiet: &mut Quiet, looks: &[(u64, u64)]| -> Vec<bool> {
            looks.iter().map(|(wall, elapsed)| quiet.look(S(*wall), S(*elapsed))).collect()
        };
        assert_eq!(
            begins(&mut quiet, &[(1_000, 5), (1_030, 35), (1_060, 65)]),
            [false, false, true]
        );
        // The clock is set right by some seconds.
        assert_eq!(begins(&mut quiet, &[(1_098, 95), (1_120, 125)]), [true, true]);
        // Asleep for an hour.
        let looks = [(4_720, 126), (4_750, 156), (4_780, 186)];
        assert_eq!(begins(&mut quiet, &looks), [false, false, true]);
        assert_eq!(quiet.remains(S(156)), S(30));
        // Set back by a day, before 1970 even.
        assert_eq!(begins(&mut quiet, &[(0, 216), (30, 246), (60, 276)]), [false, false, true]);
        quiet.set_length(Duration::ZERO);
        assert_eq!(begins(&mut quiet, &[(99_999, 277)]), [true], "no quiet time is asked for");
    }
}
