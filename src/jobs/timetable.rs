//! Timetable of an app: its schedule, and the age at which its last good run is too old.

use std::time::Duration;

use jiff::tz::TimeZone;

use crate::connect::host;
use crate::schedule::{self, Schedule, ScheduleError, Spread};
use crate::settings::app::AppSettings;
use crate::settings::environment::Environment;

/// The times of an app.
#[derive(Clone, Debug)]
pub struct Timetable {
    /// When it is run.
    pub schedule: Schedule,
    /// Age in seconds above which its last good run is too old; `None` if it never is.
    pub max_age_s: Option<i64>,
}

impl Timetable {
    /// Returns the timetable of an app that is merged with the defaults.
    ///
    /// Fails if the lines of its schedule are not valid.
    pub fn of(name: &str, app: &AppSettings, env: &Environment) -> Result<Self, ScheduleError> {
        let host = app.host.clone().unwrap_or_else(host::host_name);
        let spread = Spread::of(&host, name);
        let seconds = |span: Duration| i64::try_from(span.as_secs()).ok();
        let schedule = schedule::parse(&app.run.schedule, zone(app, env), &spread)?;
        let jitter_s = app.run.jitter.and_then(seconds).unwrap_or(0);
        let schedule = schedule.later_by(spread.jitter_s(jitter_s));
        let max_age_s = app.run.max_age.and_then(seconds).or_else(|| schedule.max_age_s());
        Ok(Self { schedule, max_age_s })
    }
}

/// Returns the zone of an app: its own, else that of `TZ`, else the system's.
fn zone(app: &AppSettings, env: &Environment) -> TimeZone {
    let of_variable = || env.get("TZ").and_then(|name| name.to_str()).map(str::to_owned);
    let name = app.run.timezone.clone().or_else(of_variable);
    name.and_then(|name| TimeZone::get(&name).ok()).unwrap_or_else(TimeZone::system)
}
