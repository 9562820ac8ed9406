//! Spelling of policies and of spans of time.

use super::{DAY, HOUR, YEAR, policy};
use crate::retention::{Policy, parse_span, span_text};

#[test]
fn spans_are_read_as_they_are_written() {
    for (text, seconds) in [
        ("36h", 36 * HOUR),
        ("14d", 14 * DAY),
        ("2y", 2 * YEAR),
        ("1y6m", YEAR + 6 * 2_629_800),
        ("1m2w3d4h", 2_629_800 + 17 * DAY + 4 * HOUR),
    ] {
        assert_eq!(parse_span(text), Ok(seconds), "{text}");
    }
    for text in [
        "",
        "d",
        "3",
        "0d",
        "-1d",
        "1h1d",
        "1d1d",
        "3 d",
        "1x",
        "2000y",
        "99999999999999999999y",
        "1é",
    ] {
        assert!(parse_span(text).is_err(), "{text}");
    }
}

#[test]
fn policies_are_read_as_they_are_written() {
    for text in [
        "last 3",
        "hourly 24, daily 7, weekly 4, monthly 12, yearly 10",
        "within 30d12h, tag a, tag b, decay 2y",
        "decay 1y6m 16",
        "within 19m31d, decay 20m13h",
        "within 1m1h",
    ] {
        let read = policy(text);
        assert_eq!(policy(&read.to_string()), read, "{text} is written as {read}");
    }
    for text in [
        "",
        "decay",
        "decay 2",
        "daily 0",
        "daily x",
        "dayly 3",
        "last 3 4",
        "decay 2y 0",
        "decay 2y 1001",
        "last 3,",
        "tag",
    ] {
        assert!(Policy::default().add(text).is_err(), "{text}");
    }
}

#[test]
fn spans_are_told_in_their_largest_unit() {
    for (seconds, text) in [
        (45, "45 seconds"),
        (675, "11 minutes"),
        (HOUR, "1 hour"),
        (36 * HOUR, "36 hours"),
        (DAY, "1 day"),
        (4 * DAY, "4 days"),
        (14 * DAY, "2 weeks"),
        (16 * DAY, "16 days"),
        (2 * YEAR, "2 years"),
        (100 * DAY, "3 months"),
        (2 * YEAR - DAY, "2 years"),
        (364 * DAY, "1 year"),
        (30 * DAY, "1 month"),
        (7 * DAY, "1 week"),
        (6 * DAY, "6 days"),
        (20 * 60, "20 minutes"),
    ] {
        assert_eq!(span_text(seconds), text);
    }
}

#[test]
fn spans_and_limits_at_their_edges_are_as_written() {
    assert_eq!(span_text(0), "0 seconds");
    assert_eq!(span_text(1), "1 second");
    for text in ["decay 2y", "decay 1y 64", "within 1m1h", "within 3m2w1d5h", "within 36h"] {
        assert_eq!(policy(text).to_string(), text);
    }
    let parts = crate::retention::Decay::PARTS_MAX;
    assert!(Policy::default().add(&format!("decay 1y {parts}")).is_ok());
    assert!(Policy::default().add(&format!("decay 1y {}", parts + 1)).is_err());
    assert!(Policy::default().is_empty() && !policy("last 3").is_empty());
}
