//! Schedules of apps, and which apps are due.

use crate::cli::failure::Failure;
use crate::jobs::state::{AppState, StateDir};
use crate::jobs::timetable::{RETRY_DEFAULT, Timetable};
use crate::schedule::{FirstRun, Habits, Past, Schedule, due};
use crate::settings::Settings;
use crate::settings::app::AppSettings;
use crate::settings::environment::Environment;

/// Seconds after which a failed attempt is repeated, the last one for all more.
const RETRY_AFTER_S: [i64; 3] = [120, 600, 1_800];

/// A run that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DueRun {
    /// The app.
    pub app: String,
    /// Its slot; `None` if it is started by hand.
    pub slot_s: Option<i64>,
    /// Number of the attempt within the slot.
    pub attempt: u32,
    /// Slots before it that were missed.
    pub missed: u64,
}

impl DueRun {
    /// Makes a run that no schedule asks for.
    pub(crate) fn by_hand(app: String) -> Self {
        Self { app, slot_s: None, attempt: 1, missed: 0 }
    }
}

/// The schedules of a configuration.
pub(crate) struct Schedules<'a> {
    /// Environment variables: `TZ`.
    pub env: &'a Environment,
    /// The configuration.
    pub settings: &'a Settings,
    /// Whether nothing is remembered.
    pub is_dry: bool,
}

impl Schedules<'_> {
    /// Returns the schedule of an app that is merged with the defaults.
    ///
    /// Fails if its lines or its zone are not valid.
    pub(crate) fn of(&self, name: &str, app: &AppSettings) -> Result<Schedule, Failure> {
        let times = Timetable::of(name, app, self.env);
        let times = times.map_err(|error| Failure::usage(format!("app `{name}`: {error}")))?;
        Ok(times.schedule)
    }

    /// Returns which of these apps are due.
    ///
    /// Fails without a state directory: schedules cannot be kept without memory.
    pub(crate) fn due_of(
        &self,
        names: &[String],
        state: Option<&StateDir>,
        now_s: i64,
    ) -> Result<Vec<DueRun>, Failure> {
        let Some(dir) = state else {
            return Err(Failure::usage("there is no directory for the state of apps")
                .hint("set DRUMLIN_STATE_DIR"));
        };
        let mut wanted = Vec::new();
        for name in names {
            let Some(app) = self.settings.apps.get(name) else {
                return Err(Failure::usage(format!("there is no [app.{name}]")));
            };
            let app = app.clone().with_defaults(&self.settings.defaults);
            let schedule = self.of(name, &app)?;
            let failed = |error| Failure::file("read", &dir.app_dir(name), &error);
            // While a run of the app is under way, nothing is due.
            let Some(_lock) = dir.lock(name).map_err(failed)? else { continue };
            let mut state = dir.read(name).map_err(failed)?;
            let before = state.clone();
            note_schedule(&app, &mut state, now_s);
            wanted.extend(due_run(name, &app, &schedule, &mut state, now_s));
            if state != before && !self.is_dry {
                let failed = |error| Failure::file("write", &dir.app_dir(name), &error);
                dir.write(name, &state).map_err(failed)?;
            }
        }
        wanted.sort_by_key(|run| run.slot_s);
        Ok(wanted)
    }
}

/// Notes a schedule that changed: slots of the new one count from now on.
fn note_schedule(app: &AppSettings, state: &mut AppState, now_s: i64) {
    state.counters.known_since_s.get_or_insert(now_s);
    let mut lines = app.run.schedule.clone();
    lines.extend(app.run.timezone.clone());
    if state.schedule != lines {
        let is_new = state.schedule.is_empty() && state.settled_s.is_none();
        state.since_s = if is_new { None } else { Some(now_s) };
        state.schedule = lines;
    }
}

/// Returns the run that is due, or the next attempt at one that failed.
///
/// What is settled and missed without a run goes into the state, which the caller writes.
fn due_run(
    name: &str,
    app: &AppSettings,
    schedule: &Schedule,
    state: &mut AppState,
    now_s: i64,
) -> Option<DueRun> {
    let habits = Habits {
        first_run: match app.run.waits_for_slot {
            Some(true) => FirstRun::Scheduled,
            _ => FirstRun::Now,
        },
        catch_up_s: app.run.catch_up.and_then(|span| i64::try_from(span.as_secs()).ok()),
    };
    let past = Past { settled_s: state.settled_s, since_s: state.since_s };
    let due = due(now_s, schedule, &past, &habits);
    let run = |slot_s, attempt, missed| DueRun { app: name.to_owned(), slot_s, attempt, missed };
    if let Some(slot_s) = due.run_s {
        return Some(run(Some(slot_s), 1, due.missed.slots));
    }
    state.settled_s = due.settled_s;
    state.missed_total += due.missed.slots;
    state.untold.add_missed(due.missed.slots, due.settled_s.unwrap_or(now_s));
    let last = state.last.as_ref().filter(|last| last.slot.is_some() && last.is_transient)?;
    let attempts = app.run.retry.unwrap_or(RETRY_DEFAULT);
    let wait_s = RETRY_AFTER_S[(last.attempt as usize - 1).min(RETRY_AFTER_S.len() - 1)];
    let is_time = (0..wait_s).contains(&(now_s - last.ended));
    (last.attempt <= attempts && !is_time).then(|| run(last.slot, last.attempt + 1, 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::state::RunRecord;

    const NOON_S: i64 = 1_796_040_000;

    fn app(text: &str) -> AppSettings {
        let text = format!("[app.wiki]\npaths = \"/x\"\n{text}");
        let settings =
            Settings::parse(&text, "/etc/drumlin.toml".into(), &Environment::default()).unwrap();
        settings.apps["wiki"].clone()
    }

    fn due_now(app: &AppSettings, state: &AppState, now_s: i64) -> Option<DueRun> {
        let settings = Settings::default();
        let env = Environment::of([("TZ", "UTC")]);
        let schedule =
            Schedules { env: &env, settings: &settings, is_dry: false }.of("wiki", app).unwrap();
        due_run("wiki", app, &schedule, &mut state.clone(), now_s)
    }

    #[test]
    fn a_slot_is_run_once_and_a_failure_is_tried_again() {
        let app = app("schedule = \"daily 12:00\"\nretry = 2");
        let new = due_now(&app, &AppState::default(), NOON_S + 5).unwrap();
        assert_eq!((new.slot_s, new.attempt, new.missed), (Some(NOON_S), 1, 0));
        let settled = AppState { settled_s: Some(NOON_S), ..AppState::default() };
        assert_eq!(due_now(&app, &settled, NOON_S + 600), None);
        let late = due_now(&app, &settled, NOON_S + 3 * 86_400).unwrap();
        assert_eq!((late.slot_s, late.missed), (Some(NOON_S + 3 * 86_400), 2));
        let failed = |attempt, is_transient| AppState {
            last: Some(RunRecord {
                slot: Some(NOON_S),
                attempt,
                is_transient,
                ended: NOON_S + 10,
                ..RunRecord::default()
            }),
            ..settled.clone()
        };
        assert_eq!(due_now(&app, &failed(1, true), NOON_S + 60), None, "too early");
        let again = due_now(&app, &failed(1, true), NOON_S + 140).unwrap();
        assert_eq!((again.slot_s, again.attempt), (Some(NOON_S), 2));
        assert_eq!(due_now(&app, &failed(2, true), NOON_S + 140), None);
        assert_eq!(due_now(&app, &failed(2, true), NOON_S + 620).unwrap().attempt, 3);
        assert_eq!(due_now(&app, &failed(3, true), NOON_S + 7_200), None, "given up");
        assert_eq!(due_now(&app, &failed(1, false), NOON_S + 7_200), None);
    }
}
