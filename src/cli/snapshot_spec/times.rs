//! Times that the user types.

use jiff::civil;
use jiff::tz::TimeZone;

use crate::format::entry::Timestamp;

/// Parses a date (its last moment), a local time, or a time with zone; seconds may be left out.
pub(crate) fn parse_time(text: &str) -> Option<Timestamp> {
    match text.parse::<civil::Date>() {
        Ok(date) if !text.contains(':') => {
            let next =
                of_jiff(date.tomorrow().ok()?.to_zoned(TimeZone::system()).ok()?.timestamp());
            Some(Timestamp { seconds: next.seconds - 1, nanos: 999_999_999 })
        }
        _ => parse_moment(text),
    }
}

/// Like [`parse_time`], but a date means its first moment.
pub(crate) fn parse_time_from(text: &str) -> Option<Timestamp> {
    match text.parse::<civil::Date>() {
        Ok(date) if !text.contains(':') => {
            Some(of_jiff(date.to_zoned(TimeZone::system()).ok()?.timestamp()))
        }
        _ => parse_moment(text),
    }
}

/// Parses a local time, or a time with zone.
fn parse_moment(text: &str) -> Option<Timestamp> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(of_jiff(time));
    }
    let time: civil::DateTime = text.contains(':').then(|| text.parse().ok())??;
    Some(of_jiff(time.to_zoned(TimeZone::system()).ok()?.timestamp()))
}

fn of_jiff(time: jiff::Timestamp) -> Timestamp {
    let nanos = time.as_nanosecond();
    let seconds = nanos.div_euclid(1_000_000_000);
    let nanos = nanos.rem_euclid(1_000_000_000);
    Timestamp {
        seconds: seconds.try_into().expect("jiff's range fits"),
        nanos: nanos.try_into().expect("less than 10^9"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates_moments_or_instants() {
        assert_eq!(
            parse_time("2026-03-01T12:30:00Z"),
            Some(Timestamp { seconds: 1_772_368_200, nanos: 0 })
        );
        let (morning, day) =
            (parse_time("2026-03-01T08:00").unwrap(), parse_time("2026-03-01").unwrap());
        assert_eq!(day.seconds - morning.seconds, 16 * 3600 - 1);
        for text in ["", "yesterday", "2026-13-01", "12:30"] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }
}
