//! Schedules of apps, and which apps are due.

use std::time::Duration;

use crate::cli::failure::Failure;
use crate::jobs::state::{AppState, RunRecord, StateDir, settle_death};
use crate::jobs::timetable::Timetable;
use crate::jobs::transient;
use crate::jobs::upkeep::Upkeep;
use crate::schedule::{Clock, FirstRun, Habits, Past, Schedule, due};
use crate::settings::Settings;
use crate::settings::app::AppSettings;
use crate::settings::environment::Environment;
use crate::text;

/// A run that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DueRun {
    /// The app, or the repository of an upkeep.
    pub app: String,
    /// What is done with a repository; `None` for a run of an app.
    pub upkeep: Option<Upkeep>,
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
        Self { app, upkeep: None, slot_s: None, attempt: 1, missed: 0 }
    }

    /// Returns its name for people, which no other has.
    pub(crate) fn name(&self) -> String {
        match self.upkeep {
            None => self.app.clone(),
            Some(upkeep) => format!("{} of {}", upkeep.command(), self.app),
        }
    }
}

/// A look at the schedules of some apps.
#[derive(Default)]
pub(crate) struct Look {
    /// The runs that are due, oldest slot first.
    pub due: Vec<DueRun>,
    /// Runs that were found dead.
    pub deaths: Vec<RunRecord>,
    /// What should be known and is no failure.
    pub notices: Vec<String>,
    /// Apps and upkeep of which another process's run is under way.
    pub elsewhere: Vec<DueRun>,
    /// Apps whose schedule cannot be kept, and why; the others are looked at all the same.
    pub troubles: Vec<Failure>,
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
        self.times_of(name, app).map(|times| times.schedule)
    }

    /// Returns the timetable of an app that is merged with the defaults.
    ///
    /// Fails as [`of`](Self::of) does.
    pub(crate) fn times_of(&self, name: &str, app: &AppSettings) -> Result<Timetable, Failure> {
        let times = Timetable::of(name, app, self.env);
        times.map_err(|error| Failure::usage(format!("app `{name}`: {error}")))
    }

    /// Returns the names of the apps that are run without being named.
    pub(crate) fn enabled_apps(&self) -> Vec<String> {
        let is_enabled = |name: &&String| {
            let app = self.settings.apps[*name].clone().with_defaults(&self.settings.defaults);
            app.run.is_enabled != Some(false)
        };
        self.settings.apps.keys().filter(is_enabled).cloned().collect()
    }

    /// Refuses names of apps that the configuration does not have.
    pub(crate) fn refuse_unknown(&self, names: &[String]) -> Result<(), Failure> {
        let Some(unknown) = names.iter().find(|name| !self.settings.apps.contains_key(*name))
        else {
            return Ok(());
        };
        let why = format!("there is no [app.{unknown}] in the configuration");
        let known: Vec<&str> = self.settings.apps.keys().map(String::as_str).collect();
        Err(match known.is_empty() {
            true => Failure::usage(why),
            false => {
                Failure::usage(why).hint(format!("the configuration has {}", known.join(", ")))
            }
        })
    }

    /// Looks which of these apps are due, and notes runs that died.
    ///
    /// Fails without a state directory: schedules cannot be kept without memory.
    pub(crate) fn look(
        &self,
        names: &[String],
        state: Option<&StateDir>,
        now_s: i64,
    ) -> Result<Look, Failure> {
        let Some(dir) = state else {
            return Err(Failure::usage("there is no directory for the state of apps")
                .hint("set DRUMLIN_STATE_DIR"));
        };
        let mut look = Look::default();
        for name in names {
            match self.look_at(name, dir, now_s) {
                Ok(found) => {
                    look.due.extend(found.due);
                    look.deaths.extend(found.death);
                    look.notices.extend(found.notice);
                    if found.is_under_way {
                        look.elsewhere.push(DueRun::by_hand(name.clone()));
                    }
                }
                Err(failure) => look.troubles.push(failure),
            }
        }
        look.due.sort_by_key(|run| run.slot_s);
        Ok(look)
    }

    /// Looks which repositories are to be pruned or checked, and adds that to what is due.
    ///
    /// It leaves those out that a run uses, unless it is one of `own`, whose end the caller awaits.
    pub(crate) fn look_at_repositories(
        &self,
        apps: &StateDir,
        own: &[String],
        now_s: i64,
        look: &mut Look,
    ) {
        let dir = StateDir::of_repositories(apps.path());
        let all = match self.upkeep() {
            Ok(all) => all,
            Err(failure) => return look.troubles.push(failure),
        };
        for (repository, upkeep, schedule) in all {
            let name = upkeep.state_name(&repository);
            let app = self.upkeep_as_app(upkeep.schedule(&self.settings.repositories[&repository]));
            let found = look_in(&name, &dir, self.is_dry, |state| {
                decide(&name, &app, &schedule, state, now_s)
            });
            let found = found.and_then(|found| {
                let is_used = found.due.is_some() && self.is_used(&repository, apps, own)?;
                look.deaths.extend(found.death);
                look.notices.extend(found.notice);
                if found.is_under_way {
                    let own = DueRun::by_hand(repository.clone());
                    look.elsewhere.push(DueRun { upkeep: Some(upkeep), ..own });
                }
                Ok(found.due.filter(|_| !is_used))
            });
            match found {
                Ok(due) => look.due.extend(due.map(|due| DueRun {
                    app: repository,
                    upkeep: Some(upkeep),
                    ..due
                })),
                Err(failure) => look.troubles.push(failure),
            }
        }
        look.due.sort_by_key(|run| run.slot_s);
    }

    /// Returns what is done with repositories by schedule.
    ///
    /// Fails if a schedule is not valid.
    pub(crate) fn upkeep(&self) -> Result<Vec<(String, Upkeep, Schedule)>, Failure> {
        let mut all = Vec::new();
        for (repository, settings) in &self.settings.repositories {
            for upkeep in Upkeep::ALL {
                let lines = upkeep.schedule(settings);
                if !lines.is_empty() {
                    let name = upkeep.state_name(repository);
                    let schedule = self.of(&name, &self.upkeep_as_app(lines))?;
                    all.push((repository.clone(), upkeep, schedule));
                }
            }
        }
        Ok(all)
    }

    /// Returns the settings of an app with this schedule.
    ///
    /// It waits for its first slot: the time was chosen because the line is free then.
    fn upkeep_as_app(&self, lines: &[String]) -> AppSettings {
        let mut app = AppSettings::default();
        app.run.schedule = lines.to_vec();
        app.run.timezone = self.settings.daemon.timezone.clone();
        app.run.waits_for_slot = Some(true);
        app
    }

    /// Returns whether a run of this host uses a repository.
    fn is_used(&self, repository: &str, apps: &StateDir, own: &[String]) -> Result<bool, Failure> {
        for (name, app) in &self.settings.apps {
            let app = app.clone().with_defaults(&self.settings.defaults);
            let default = self.settings.default_repository();
            let uses = match app.repositories.is_empty() {
                true => default == Some(repository),
                false => app.repositories.iter().any(|used| used == repository),
            };
            let failed = |error| Failure::file("read", &apps.app_dir(name), &error);
            if uses && !own.contains(name) && apps.is_locked(name).map_err(failed)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn look_at(&self, name: &str, dir: &StateDir, now_s: i64) -> Result<Found, Failure> {
        let Some(app) = self.settings.apps.get(name) else {
            return self.refuse_unknown(&[name.to_owned()]).map(|()| Found::default());
        };
        let app = app.clone().with_defaults(&self.settings.defaults);
        let schedule = self.of(name, &app)?;
        look_in(name, dir, self.is_dry, |state| decide(name, &app, &schedule, state, now_s))
    }
}

/// Looks at the state of one app: `decide` finds what is due and changes the state.
fn look_in(
    name: &str,
    dir: &StateDir,
    is_dry: bool,
    decide: impl Fn(&mut AppState) -> Found,
) -> Result<Found, Failure> {
    let failed = |action, error| Failure::file(action, &dir.app_dir(name), &error);
    let read = || dir.read(name).map_err(|error| failed("read", error));
    let before = read()?;
    // While a run of the app is under way, nothing is due.
    let is_locked = || dir.is_locked(name).map_err(|error| failed("read", error));
    if before.began.is_some() && is_locked()? {
        return Ok(Found { is_under_way: true, ..Found::default() });
    }
    let mut state = before.clone();
    let found = decide(&mut state);
    if is_dry || state == before {
        return Ok(found);
    }
    // Most looks change nothing and need no lock, which could turn a run by hand away.
    let Some(_lock) = dir.try_lock(name).map_err(|error| failed("lock", error))? else {
        return Ok(Found::default());
    };
    let mut state = read()?;
    let found = decide(&mut state);
    if let Some(lost) = &found.death {
        // Its only reader is the history.
        let _ = dir.add_run(name, lost);
    }
    dir.write(name, &state).map_err(|error| failed("write", error))?;
    Ok(found)
}

/// What a look at one app found.
#[derive(Default)]
struct Found {
    due: Option<DueRun>,
    death: Option<RunRecord>,
    notice: Option<String>,
    is_under_way: bool,
}

/// Decides what is due for an app of which no run is under way; what it finds goes into the state.
fn decide(
    name: &str,
    app: &AppSettings,
    schedule: &Schedule,
    state: &mut AppState,
    now_s: i64,
) -> Found {
    let death = settle_death(name, state);
    note_schedule(app, state, now_s);
    let due = due_run(name, app, schedule, state, now_s);
    Found { death, ..due }
}

/// Returns what a look at a wrong clock says. The state that it leaves says it once.
fn words_of(clock: Clock, name: &str) -> Option<String> {
    match clock {
        Clock::Plausible => None,
        Clock::SetBack { by_s } => {
            let by = text::duration(Duration::from_secs(by_s.unsigned_abs()));
            Some(format!(
                "{name}: its last slot is {by} from now: the clock was set back, or was wrong \
                 before; slots are counted from now on"
            ))
        }
        Clock::Wrong => Some(
            "the clock shows a time before this program existed: schedules wait until it is right"
                .to_owned(),
        ),
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
) -> Found {
    let habits = Habits {
        first_run: match app.run.waits_for_slot {
            Some(true) => FirstRun::Scheduled,
            _ => FirstRun::Now,
        },
        catch_up_s: app.run.catch_up.and_then(|span| i64::try_from(span.as_secs()).ok()),
    };
    let past = Past { settled_s: state.settled_s, since_s: state.since_s };
    let due = due(now_s, schedule, &past, &habits);
    let run = |slot_s, attempt, missed| DueRun {
        slot_s,
        attempt,
        missed,
        ..DueRun::by_hand(name.to_owned())
    };
    let found = Found { notice: words_of(due.clock, name), ..Found::default() };
    if let Some(slot_s) = due.run_s {
        return Found { due: Some(run(Some(slot_s), 1, due.missed.slots)), ..found };
    }
    state.settled_s = due.settled_s;
    state.missed_total += due.missed.slots;
    state.untold.add_missed(due.missed.slots, due.settled_s.unwrap_or(now_s));
    let again = state.last.as_ref().and_then(|last| {
        let again_s = transient::retry_at_s(last, app.run.retry)?;
        // A clock that was set back must not make it wait for longer.
        let is_early = (last.ended..again_s).contains(&now_s);
        (!is_early).then(|| run(last.slot, last.attempt.max(1) + 1, 0))
    });
    Found { due: again, ..found }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::state::Began;

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
        due_run("wiki", app, &schedule, &mut state.clone(), now_s).due
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
    #[test]
    fn a_death_is_noted_and_tried_again_while_others_are_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let dir = StateDir::new(folder.path());
        let text = "[defaults]\nschedule = \"daily 12:00\"\n[app.a]\npaths = \"/x\"\n\
                    [app.b]\npaths = \"/x\"\n[app.c]\npaths = \"/x\"\n";
        let settings =
            Settings::parse(text, "/etc/drumlin.toml".into(), &Environment::default()).unwrap();
        let env = Environment::of([("TZ", "UTC")]);
        let schedules = Schedules { env: &env, settings: &settings, is_dry: false };
        let names = ["a", "b", "c"].map(str::to_owned);
        let look = |now_s| schedules.look(&names, Some(&dir), now_s).unwrap();
        let began = Began { slot_s: Some(NOON_S), attempt: 1, at_s: NOON_S, ..Began::default() };
        let state = AppState {
            settled_s: Some(NOON_S),
            schedule: vec!["daily 12:00".to_owned()],
            began: Some(began),
            ..AppState::default()
        };
        for app in ["a", "c"] {
            dir.write(app, &state).unwrap();
        }
        std::fs::create_dir_all(dir.app_dir("b")).unwrap();
        std::fs::write(dir.app_dir("b").join("state.json"), "{").unwrap();
        let lock = dir.lock("c").unwrap();
        let first = look(NOON_S + 60);
        assert!(first.due.is_empty() && first.deaths.len() == 1, "it is too early for another");
        assert_eq!((first.deaths[0].app.as_str(), first.troubles.len()), ("a", 1));
        let second = look(NOON_S + 130);
        assert_eq!((second.due.len(), second.due[0].attempt, second.deaths.len()), (1, 2, 0));
        assert_eq!(dir.runs("a", 9).unwrap().len(), 1);
        drop(lock);
        assert_eq!(look(NOON_S + 130).deaths[0].app, "c");
    }
}
