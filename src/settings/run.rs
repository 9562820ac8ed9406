//! Keys of `[app.NAME]` and `[defaults]` that say when and how an app is run.

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;
use toml::de::DeValue;

use super::error::SettingsError;
use super::section::Section;
use super::values::parse_interval;
use crate::schedule::{self, Spread};

/// Most attempts within a slot.
const RETRY_MAX: u32 = 10;

/// When and how an app is run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunSettings {
    /// Whether it is run at all; `true` if missing.
    pub is_enabled: Option<bool>,
    /// Lines of its schedule; empty: by hand.
    pub schedule: Vec<String>,
    /// Its time zone, by name.
    pub timezone: Option<String>,
    /// Most by which its slots come later.
    pub jitter: Option<Duration>,
    /// Age above which a slot is only reported.
    pub catch_up: Option<Duration>,
    /// Whether a new app waits for its next slot.
    pub waits_for_slot: Option<bool>,
    /// Age of the last good run above which the app is overdue.
    pub max_age: Option<Duration>,
    /// Longest time of a run.
    pub timeout: Option<Duration>,
    /// Attempts within a slot after the first.
    pub retry: Option<u32>,
    /// Addend to the process's niceness.
    pub nice: Option<i32>,
    /// Whether it needs less memory, at some cost of speed.
    pub low_memory: Option<bool>,
    /// Directory below which its paths are read.
    pub root: Option<PathBuf>,
    /// Whether its paths are of a file-system snapshot.
    pub is_snapshot: Option<bool>,
    /// Which changes of a snapshot are told.
    pub alarm: Option<AlarmSettings>,
    /// Commands around a run.
    pub hooks: HookSettings,
}

/// Changes that are told, in 1/1000 of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlarmSettings {
    /// Changed files.
    pub changed_permille: Option<u32>,
    /// Files that are gone.
    pub gone_permille: Option<u32>,
}

/// Commands around a run, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookSettings {
    /// Before anything is read.
    pub before: Vec<String>,
    /// After a snapshot, or if nothing changed.
    pub after: Vec<String>,
    /// After a failure.
    pub failed: Vec<String>,
    /// In any case.
    pub finally: Vec<String>,
    /// Longest time of each.
    pub timeout: Option<Duration>,
}

impl HookSettings {
    /// Returns whether there is no command.
    pub fn is_none(&self) -> bool {
        [&self.before, &self.after, &self.failed, &self.finally].iter().all(|hook| hook.is_empty())
    }
}

impl RunSettings {
    /// Fills missing settings from `defaults`.
    pub(super) fn fill_from(&mut self, defaults: &Self) {
        let lines = |own: &mut Vec<String>, other: &[String]| {
            if own.is_empty() {
                own.extend_from_slice(other);
            }
        };
        self.is_enabled = self.is_enabled.or(defaults.is_enabled);
        lines(&mut self.schedule, &defaults.schedule);
        self.timezone = self.timezone.take().or_else(|| defaults.timezone.clone());
        self.jitter = self.jitter.or(defaults.jitter);
        self.catch_up = self.catch_up.or(defaults.catch_up);
        self.waits_for_slot = self.waits_for_slot.or(defaults.waits_for_slot);
        self.max_age = self.max_age.or(defaults.max_age);
        self.timeout = self.timeout.or(defaults.timeout);
        self.retry = self.retry.or(defaults.retry);
        self.nice = self.nice.or(defaults.nice);
        self.low_memory = self.low_memory.or(defaults.low_memory);
        self.root = self.root.take().or_else(|| defaults.root.clone());
        self.is_snapshot = self.is_snapshot.or(defaults.is_snapshot);
        self.alarm = self.alarm.or(defaults.alarm);
        let (own, other) = (&mut self.hooks, &defaults.hooks);
        lines(&mut own.before, &other.before);
        lines(&mut own.after, &other.after);
        lines(&mut own.failed, &other.failed);
        lines(&mut own.finally, &other.finally);
        own.timeout = own.timeout.or(other.timeout);
    }
}

pub(super) fn read_run(section: &mut Section<'_>) -> Result<RunSettings, SettingsError> {
    Ok(RunSettings {
        is_enabled: section.boolean("enabled")?,
        schedule: read_schedule(section)?,
        timezone: section.parsed("timezone", parse_timezone)?,
        jitter: section.parsed("jitter", parse_interval)?,
        catch_up: section.parsed("catch-up", parse_interval)?,
        waits_for_slot: section.parsed("first-run", |text| match text {
            "now" => Ok(false),
            "scheduled" => Ok(true),
            _ => Err(format!("`{text}` is not one of now or scheduled")),
        })?,
        max_age: section.parsed("max-age", parse_interval)?,
        timeout: section.parsed("timeout", parse_interval)?,
        retry: section.parsed("retry", |text| match text.parse() {
            Ok(count @ 0..=RETRY_MAX) => Ok(count),
            _ => Err(format!("`{text}` is not a number from 0 to {RETRY_MAX}")),
        })?,
        nice: section.parsed("nice", |text| match text.parse() {
            Ok(nice @ 0..=19) => Ok(nice),
            _ => Err(format!("`{text}` is not a number from 0 to 19")),
        })?,
        low_memory: section.boolean("low-memory")?,
        root: section.path("root")?,
        is_snapshot: section.parsed("consistency", |text| match text {
            "live" => Ok(false),
            "snapshot" => Ok(true),
            _ => Err(format!("`{text}` is not one of live or snapshot")),
        })?,
        alarm: read_alarm(section)?,
        hooks: HookSettings {
            before: section.strings("before")?,
            after: section.strings("after")?,
            failed: section.strings("failed")?,
            finally: section.strings("finally")?,
            timeout: section.parsed("hook-timeout", parse_interval)?,
        },
    })
}

/// Reads the lines of a schedule, and checks them together.
fn read_schedule(section: &mut Section<'_>) -> Result<Vec<String>, SettingsError> {
    let parse = |lines: &[&str]| schedule::parse(lines, TimeZone::UTC, &Spread::of("", ""));
    let hint = RefCell::new(None);
    let check = |text: &str| {
        let parsed = parse(&[text]);
        parsed.map(|_| text.to_owned()).map_err(|error| {
            let message = error.to_string();
            hint.replace(Some(error.hint));
            message
        })
    };
    let lines = section.each_parsed("schedule", check);
    let lines = lines.map_err(|error| error.with_hint(hint.take()))?;
    let texts: Vec<&str> = lines.iter().map(String::as_str).collect();
    match (parse(&texts), section.value("schedule")) {
        (Err(error), Some(value)) => {
            let refused = section.refuse("schedule", value, error.to_string());
            Err(refused.with_hint(Some(error.hint)))
        }
        _ => Ok(lines),
    }
}

/// Checks a line of a schedule by itself; returns it.
///
/// The times of words depend on host and app, their validity does not.
pub fn parse_schedule_line(text: &str) -> Result<String, String> {
    let spread = Spread::of("", "");
    let parsed = schedule::parse(&[text], TimeZone::UTC, &spread);
    parsed.map(|_| text.to_owned()).map_err(|error| error.to_string())
}

pub(super) fn parse_timezone(text: &str) -> Result<String, String> {
    match TimeZone::get(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(format!("`{text}` is not a time zone such as Europe/Berlin or UTC")),
    }
}

fn read_alarm(section: &mut Section<'_>) -> Result<Option<AlarmSettings>, SettingsError> {
    match section.value("alarm").map(|value| value.get_ref()) {
        None => return Ok(None),
        Some(DeValue::Boolean(false)) => {
            return Ok(Some(AlarmSettings { changed_permille: None, gone_permille: None }));
        }
        Some(_) => {}
    }
    let mut table = section.section("alarm")?.expect("the key is there");
    let alarm = AlarmSettings {
        changed_permille: table.parsed("changed", parse_percent)?,
        gone_permille: table.parsed("gone", parse_percent)?,
    };
    table.finish()?;
    Ok(Some(alarm))
}

/// Parses `60%` into 1/1000.
fn parse_percent(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix('%').and_then(|number| number.parse::<u32>().ok());
    match number {
        Some(percent @ 1..=100) => Ok(percent * 10),
        _ => Err(format!("`{text}` is not a share such as 60%")),
    }
}
