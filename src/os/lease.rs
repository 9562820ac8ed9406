//! Waits for file leases of other programs, which delay an open.

use std::io;
use std::time::{Duration, Instant};

/// Time-out for opening a leased file: the kernel breaks a lease after 45 seconds.
pub const LEASE_WAIT_MAX: Duration = Duration::from_secs(60);
/// Time-out for reads that fail with "try again".
pub const READ_WAIT_MAX: Duration = Duration::from_secs(2);

const FIRST_PAUSE: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// Repeats `act` while it fails with "try again", for at most `wait_max` or until `is_stopped`
/// returns true.
pub fn retry<T>(
    wait_max: Duration,
    is_stopped: impl Fn() -> bool,
    mut act: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    let mut waiting: Option<(Instant, Duration)> = None;
    loop {
        match act() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !is_stopped() => {
                let (since, pause) = waiting.unwrap_or_else(|| (Instant::now(), FIRST_PAUSE));
                if since.elapsed() >= wait_max {
                    return Err(error);
                }
                std::thread::sleep(pause);
                waiting = Some((since, (2 * pause).min(PAUSE_MAX)));
            }
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy() -> io::Error {
        io::ErrorKind::WouldBlock.into()
    }

    #[test]
    fn what_is_busy_is_asked_again_until_it_answers_or_time_is_up() {
        let mut calls = 0;
        let third = retry(
            READ_WAIT_MAX,
            || false,
            || {
                calls += 1;
                if calls < 3 { Err(busy()) } else { Ok(calls) }
            },
        );
        assert_eq!(third.unwrap(), 3);
        let never = retry::<()>(Duration::from_millis(10), || false, || Err(busy()));
        assert_eq!(never.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn other_errors_and_a_wish_to_stop_end_it() {
        let denied =
            retry::<()>(READ_WAIT_MAX, || false, || Err(io::ErrorKind::PermissionDenied.into()));
        assert_eq!(denied.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        assert!(retry::<()>(LEASE_WAIT_MAX, || true, || Err(busy())).is_err());
    }
}
