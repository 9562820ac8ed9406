//! The loop of the daemon: signals, children, and a look at the clock now and then.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::besides::Sight;
use super::running::{AllRunning, Running, Stop};
use super::service::Service;
use super::strangers::Strangers;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::global::Global;
use crate::cli::interrupt;
use crate::cli::labelled::failure_of;
use crate::cli::processes::{Ended, Results, Starter};
use crate::cli::run::report::death_of;
use crate::cli::run::tasks::{task_of, words_of};
use crate::cli::schedules::{DueRun, Schedules};
use crate::jobs::containers::{Started, start_left, with_labelled};
use crate::jobs::daemon::{Patience, Quiet, Task, next_turns};
use crate::jobs::state::{DaemonDir, DaemonState, ReloadError, StateDir};
use crate::jobs::tell::{Reload, Teller};
use crate::settings::Settings;
use crate::settings::copy::SettingsCopy;
use crate::text;

/// How often the time of the last look is written: each time would wake up a disk that sleeps.
const LOOK_NOTED_S: i64 = 300;
/// Time of a question to the engine above which it is left alone for a while if it failed.
const ENGINE_SLOW: Duration = Duration::from_secs(2);
/// How long it is left alone: all schedules wait for its answer.
const ENGINE_REST: Duration = Duration::from_secs(300);
/// How long to wait between two looks at children that are to stop.
const STOP_WAIT: Duration = Duration::from_millis(50);

/// The daemon.
pub(super) struct Keeper<'a> {
    ctx: &'a Context,
    dir: StateDir,
    home: DaemonDir,
    /// The configuration that was read last.
    of_file: Settings,
    /// The same, with the apps of labels.
    settings: Arc<Settings>,
    state: DaemonState,
    sights: Sender<Sight>,
    starter: Starter,
    service: Service,
    running: AllRunning,
    quiet: Quiet,
    patience: Patience,
    /// What was said at the last look, so that it is said once.
    said: BTreeSet<String>,
    /// An engine of containers that did not answer, and let the schedules wait.
    slow_engine: Option<SlowEngine>,
    strangers: Strangers,
    began: Instant,
}

/// An engine of containers that took long and failed.
struct SlowEngine {
    /// When it is asked again.
    again: Instant,
    /// What was wrong.
    troubles: Vec<String>,
}

impl<'a> Keeper<'a> {
    /// Puts a configuration in force. The caller holds the daemon's lock; `sights` are of what is
    /// seen at each look.
    ///
    /// Fails if the state directory cannot be written to.
    pub(super) fn new(
        ctx: &'a Context,
        dir: StateDir,
        settings: Settings,
        sights: Sender<Sight>,
    ) -> Result<Self, Failure> {
        let home = DaemonDir::new(&dir);
        let copy = Global { config_copy: Some(home.settings_file()), ..ctx.global.clone() };
        let now_s = text::now().seconds;
        let state = DaemonState {
            pid: std::process::id(),
            started_s: now_s,
            looked_s: now_s,
            ..DaemonState::default()
        };
        let failed = |error| Failure::file("write", dir.path(), &error);
        home.write_settings(&SettingsCopy::of(&settings.texts)).map_err(failed)?;
        home.write(&state).map_err(failed)?;
        Ok(Self {
            starter: Starter::new(&copy)?,
            service: Service::of(&ctx.connector.env),
            running: AllRunning::default(),
            quiet: Quiet::new(settings.daemon.settle, Duration::ZERO),
            patience: Patience::default(),
            said: BTreeSet::new(),
            slow_engine: None,
            strangers: Strangers::default(),
            began: Instant::now(),
            ctx,
            dir,
            home,
            settings: Arc::new(settings.clone()),
            of_file: settings,
            state,
            sights,
        })
    }

    /// Keeps the schedules until a signal ends that, and all runs have ended. Calls `on_stop` when
    /// the signal comes.
    pub(super) fn keep(&mut self, interval: Duration, on_stop: &dyn Fn()) {
        self.ctx.ui.note(&self.schedules_in_words());
        self.service.ready();
        let mut next_look = self.began;
        let mut stop: Option<Stop> = None;
        loop {
            let until_look = next_look.saturating_duration_since(Instant::now());
            let wait = if stop.is_some() { STOP_WAIT } else { until_look };
            let wait = self.service.wait().map_or(wait, |limit| wait.min(limit));
            match interrupt::queue().recv_timeout(wait) {
                Ok(SIGHUP) if stop.is_none() => self.reload(),
                Ok(SIGTERM | SIGINT) if stop.is_none() => {
                    on_stop();
                    stop = Some(self.begin_to_stop());
                }
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(wait),
                // A child has ended, it is time to look, or there is nothing new to do.
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            }
            let has_room = self.reap();
            self.strangers.reap_if_init(&self.running.process_ids());
            if let Some(stop) = &mut stop {
                if stop.go_on(&self.running) {
                    let names = self.running.names();
                    self.ctx.ui.warn(&format!("did not stop in time, and is killed: {names}"));
                }
                if self.running.0.is_empty() {
                    break;
                }
            } else if has_room || Instant::now() >= next_look {
                self.look();
                let quiet = self.quiet.remains(self.began.elapsed());
                let pause = if quiet.is_zero() { interval } else { interval.min(quiet) };
                next_look = Instant::now() + pause;
            }
            self.service.keep_alive();
        }
        self.state.stopped_s = Some(text::now().seconds);
        self.write_state();
    }

    /// Looks at the clock once.
    fn look(&mut self) {
        let now = text::now();
        let wall = Duration::from_secs(u64::try_from(now.seconds).unwrap_or(0));
        if self.quiet.look(wall, self.began.elapsed()) {
            self.start_what_is_due(now.seconds);
        }
        self.look_besides(now.seconds);
    }

    /// Does at each look what is not about starting runs.
    fn look_besides(&mut self, now_s: i64) {
        // It may be earlier: the clock was set back.
        if (now_s - self.state.looked_s).abs() >= LOOK_NOTED_S {
            self.state.looked_s = now_s;
            self.write_state();
        }
        let reload = match &self.state.reload_error {
            None => Reload::Accepted,
            Some(ReloadError { at_s, error }) => {
                Reload::Refused { error: error.clone(), since_s: *at_s }
            }
        };
        let started_s = self.state.started_s;
        // If the one before still waits, the next look is soon enough.
        let _ = self.sights.try_send(Sight {
            settings: Arc::clone(&self.settings),
            reload,
            started_s,
            now_s,
        });
    }

    /// Starts containers that runs which died left stopped, and takes over the apps that labels
    /// describe now. Returns what is wrong.
    ///
    /// If the engine does not answer, those of the look before remain; if that takes long, it is
    /// not asked for a while.
    fn look_at_containers(&mut self) -> Vec<String> {
        if let Some(slow) = self.slow_engine.as_ref().filter(|slow| Instant::now() < slow.again) {
            return slow.troubles.clone();
        }
        let asked = Instant::now();
        let troubles = self.ask_engine();
        let is_slow = !troubles.is_empty() && asked.elapsed() > ENGINE_SLOW;
        let again = Instant::now() + ENGINE_REST;
        self.slow_engine = is_slow.then(|| SlowEngine { again, troubles: troubles.clone() });
        troubles
    }

    fn ask_engine(&mut self) -> Vec<String> {
        let Started { notices, failures: mut troubles } = start_left(&self.dir);
        notices.iter().for_each(|notice| self.ctx.ui.warn(notice));
        if !self.of_file.docker.has_labels {
            return troubles;
        }
        let (settings, faults) = with_labelled(self.of_file.clone(), &self.ctx.connector.env);
        if settings != *self.settings && !faults.iter().any(|fault| fault.is_of_engine) {
            self.settings = Arc::new(settings);
        }
        troubles.extend(faults.iter().map(|fault| failure_of(fault).text()));
        troubles
    }

    fn start_what_is_due(&mut self, now_s: i64) {
        let mut troubles = self.look_at_containers();
        let settings = &Arc::clone(&self.settings);
        let schedules = Schedules { env: &self.ctx.connector.env, settings, is_dry: false };
        let mut names = schedules.enabled_apps();
        names.retain(|name| !self.running.has(name));
        let mut look = match schedules.look(&names, Some(&self.dir), now_s) {
            Ok(look) => look,
            Err(failure) => {
                troubles.push(failure.text());
                return self.say_once(troubles);
            }
        };
        let own: Vec<String> = self.running.apps();
        schedules.look_at_repositories(&self.dir, &own, now_s, &mut look);
        for lost in &look.deaths {
            self.ctx.ui.warn(&death_of(lost));
        }
        troubles.extend(look.troubles.iter().map(Failure::text));
        // They are no failures, and may be found again at each look.
        for notice in look.notices.iter().filter(|notice| !self.said.contains(*notice)) {
            self.ctx.ui.warn(notice);
        }
        let notices = std::mem::take(&mut look.notices);
        let elapsed = self.began.elapsed();
        let may_begin =
            |due: &&DueRun| self.patience.may_begin(&due.name(), due.slot_s, due.attempt, elapsed);
        let waiting: Vec<&DueRun> = look.due.iter().filter(may_begin).collect();
        let tasks: Vec<Task> = waiting.iter().map(|due| task_of(self.ctx, settings, due)).collect();
        // A daemon that was killed leaves its runs to go on.
        let elsewhere = look.elsewhere.iter().map(|run| task_of(self.ctx, settings, run));
        let running: Vec<Task> = self.running.tasks().into_iter().chain(elsewhere).collect();
        for at in next_turns(&tasks, &running, settings.daemon.parallel) {
            let (due, task) = (waiting[at].clone(), tasks[at].clone());
            match self.starter.start(&words_of(settings, &due), Results::Shown) {
                Ok(process) => self.running.0.push(Running { task, due, process }),
                Err(error) => {
                    troubles.push(format!("cannot start the run of `{}`: {error}", due.name()));
                    self.patience.note_end(&due.name(), due.slot_s, due.attempt, elapsed);
                }
            }
        }
        self.say_once(troubles);
        self.said.extend(notices);
        self.say_status();
    }

    /// Notes runs that ended; returns whether there are any. They have printed what they came to.
    fn reap(&mut self) -> bool {
        let ended = self.running.reap();
        let elapsed = self.began.elapsed();
        for (due, end) in &ended {
            let code = end.as_ref().and_then(|Ended { status, .. }| status.code());
            match (code, end) {
                (None, Some(end)) => {
                    let app = due.name();
                    self.ctx
                        .ui
                        .loss(&format!("{app}: the run did not end by itself: {}", end.status));
                }
                (None, None) => self.ctx.ui.loss(&format!("{}: the run is lost", due.name())),
                _ => {}
            }
            self.patience.note_end(&due.name(), due.slot_s, due.attempt, elapsed);
        }
        !ended.is_empty()
    }

    /// Reads the configuration again. One that is broken leaves the old one in force.
    fn reload(&mut self) {
        self.service.reloading();
        let copy = |settings: &Settings| {
            let copy = SettingsCopy::of(&settings.texts);
            let failed = |error| Failure::file("write", &self.home.settings_file(), &error);
            self.home.write_settings(&copy).map_err(failed)
        };
        let loaded = self.ctx.connector.settings().map_err(Failure::from);
        let usable = loaded.and_then(|settings| {
            refuse_unusable(self.ctx, &self.dir, &settings)?;
            copy(&settings).map(|()| settings)
        });
        match usable {
            Ok(settings) => {
                self.quiet.set_length(settings.daemon.settle);
                self.settings = Arc::new(settings.clone());
                self.of_file = settings;
                self.state.reload_error = None;
                self.ctx.ui.note(&self.schedules_in_words());
            }
            Err(failure) => {
                let error = failure.text();
                self.ctx.ui.loss(&format!("the configuration before stays in force: {error}"));
                let at_s = text::now().seconds;
                self.state.reload_error = Some(ReloadError { at_s, error });
            }
        }
        self.write_state();
        self.service.ready();
        self.say_status();
    }

    fn begin_to_stop(&self) -> Stop {
        self.service.stopping();
        Stop::begin(&self.running, self.settings.daemon.stop_timeout)
    }

    fn schedules_in_words(&self) -> String {
        let schedules =
            Schedules { env: &self.ctx.connector.env, settings: &self.settings, is_dry: true };
        let is_kept = |name: &&String| {
            let app = self.settings.apps[*name].clone().with_defaults(&self.settings.defaults);
            schedules.of(name, &app).is_ok_and(|schedule| !schedule.is_never())
        };
        let names = schedules.enabled_apps();
        let count = names.iter().filter(is_kept).count() as u64;
        format!("the daemon keeps the schedules of {}", text::counted(count, "app"))
    }

    fn say_status(&self) {
        match self.running.0.is_empty() {
            true => self.service.status("no run is under way"),
            false => self.service.status(&format!("under way: {}", self.running.names())),
        }
    }

    /// Says what was not said at the look before.
    fn say_once(&mut self, troubles: Vec<String>) {
        for trouble in troubles.iter().filter(|trouble| !self.said.contains(*trouble)) {
            self.ctx.ui.loss(trouble);
        }
        self.said = troubles.into_iter().collect();
    }

    fn write_state(&self) {
        if let Err(error) = self.home.write(&self.state) {
            self.ctx.ui.warn(&format!("cannot write the state of the daemon: {error}"));
        }
    }
}

/// Refuses a configuration by which nobody could be told what happens.
pub(super) fn refuse_unusable(
    ctx: &Context,
    dir: &StateDir,
    settings: &Settings,
) -> Result<(), Failure> {
    Teller::new(settings, &ctx.connector.env, dir.path()).map(drop).map_err(Failure::from)
}
