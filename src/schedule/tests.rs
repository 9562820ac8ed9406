//! Goal: every slot is where the calendar has it, and is run once or counted as missed, whatever
//! clocks and people do. Method: examples; a plain model that walks over the minutes of a year;
//! systemd's calendar; simulated years with sleep, death, wrong clocks and reloads.

use std::process::{Command, Stdio};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Schedule, Spread, parse};

mod calendar;
mod decisions;
mod plain;
mod simulated_year;
mod spelling;
mod spreading;
mod systemd;
mod walk;

const MINUTE: i64 = 60;
const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn spread() -> Spread {
    Spread::of("host", "wiki")
}

/// Returns the schedule of lines in a zone.
fn schedule(lines: &[&str], zone_name: &str) -> Schedule {
    parse(lines, zone(zone_name), &spread()).unwrap()
}

/// Returns a moment written as `2026-03-29T03:10+02`.
fn at(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_second()
}

/// Returns the local time of a moment, with its offset.
fn local(time_s: i64, zone_name: &str) -> String {
    let time = Timestamp::from_second(time_s).unwrap().to_zoned(zone(zone_name));
    time.strftime("%Y-%m-%dT%H:%M%:::z").to_string()
}

/// Returns a number that an environment variable holds, or `usual`.
fn number(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).map_or(usual, |text| text.parse().unwrap())
}

/// Prints what a test did, or left out.
fn say(text: &str) {
    eprintln!("{text}");
}

/// Returns whether systemd's calendar can be asked from a given time on.
fn has_systemd() -> bool {
    let mut command = Command::new("systemd-analyze");
    command.args(["calendar", "--iterations=2", "--base-time=2026-01-01 00:00:00 UTC", "daily"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Returns the next moments of a calendar event, by systemd.
fn systemd(event: &str, after_s: i64, count: usize) -> Vec<i64> {
    let output = Command::new("systemd-analyze")
        .env("TZ", "UTC")
        .env("LC_ALL", "C")
        .arg("calendar")
        .arg(format!("--iterations={count}"))
        .arg(format!("--base-time=@{after_s}"))
        .arg(event)
        .output()
        .unwrap();
    assert!(output.status.success(), "{event}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let times = text.lines().map(str::trim).filter(|line| {
        (line.starts_with("Next elapse:") || line.starts_with("Iter. #"))
            && !line.ends_with("never")
    });
    times
        .map(|line| {
            let time = line.split_once(": ").unwrap().1.split_once(' ').unwrap().1;
            at(&time.replace(" UTC", "Z"))
        })
        .collect()
}
