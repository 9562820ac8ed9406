//! Teller of a process: from the states of apps to messages that were sent.
//!
//! The lock of an app is held while its state changes, and never while a message is sent.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;

use super::events::{AppSaying, AppView};
use super::reach::{reach_of, refuse};
use super::row::{Row, Saying};
use crate::connect::{host, own_dirs};
use crate::jobs::state::{AppState, StateDir, StateLock};
use crate::jobs::timetable::Timetable;
use crate::notify::{
    Channel, Health, Outbox, Pass, Pinger, Place, Reach, Report, Rules, StateFolder, channels_of,
    test_message,
};
use crate::settings::Settings;
use crate::settings::app::AppSettings;
use crate::settings::environment::Environment;
use crate::settings::error::SettingsError;
use crate::settings::notify::NotifySettings;
use crate::text;

/// Time after which a process begins no other delivery. The one that is under way ends within its
/// own time.
const DELIVERY_MAX: Duration = Duration::from_secs(30);

/// The teller of a process.
pub struct Teller<'a> {
    pub(super) settings: &'a Settings,
    env: &'a Environment,
    pub(super) dir: StateDir,
    pub(super) outbox_dir: PathBuf,
    /// Where the watch keeps its state.
    pub(super) watch: StateFolder,
    pub(super) outbox: Outbox<StateFolder>,
    pub(super) channels: Vec<Box<dyn Channel>>,
    pub(super) heartbeat: Option<Pinger>,
    place: Place,
}

/// What came of a test message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// Name of the channel.
    pub channel: String,
    /// Why it did not arrive, without secrets; `None` if it did.
    pub error: Option<String>,
}

impl<'a> Teller<'a> {
    /// Returns the teller for a state directory.
    ///
    /// Fails if a channel or the heartbeat cannot work: the error says which key is wrong.
    pub fn new(
        settings: &'a Settings,
        env: &'a Environment,
        state_dir: &Path,
    ) -> Result<Self, SettingsError> {
        let reach = reach_of(settings)?;
        let outbox_dir = state_dir.join(own_dirs::OUTBOX);
        let of_ping = |why: String| refuse(settings, "ping", &why);
        let heartbeat = settings.notify.ping.as_ref().map(|ping| Pinger::new(ping, &reach));
        Ok(Self {
            settings,
            env,
            dir: StateDir::new(state_dir),
            watch: StateFolder::new(state_dir.join(own_dirs::WATCH)),
            outbox: Outbox::new(StateFolder::new(&outbox_dir)),
            outbox_dir,
            channels: channels(settings, &reach)?,
            heartbeat: heartbeat.transpose().map_err(of_ping)?,
            place: place_of(&settings.notify),
        })
    }

    /// Returns whether there is a channel for messages.
    pub fn has_channel(&self) -> bool {
        !self.channels.is_empty()
    }

    /// Tells what waits in the state of an app. Does nothing while a run of the app is under way:
    /// its end tells it.
    ///
    /// Fails if state or outbox cannot be read or written: then it is told the next time.
    pub fn tell(&self, name: &str, now_s: i64) -> io::Result<()> {
        // Whether it is overdue is said by those who look.
        let seen = Seen { name, since_s: None, is_watched: true };
        match self.dir.lock(name)? {
            Some(lock) => self.tell_locked(&lock, &seen, now_s),
            None => Ok(()),
        }
    }

    /// Tells what is to be said of an app. The lock is that of the app.
    pub(super) fn tell_locked(&self, _: &StateLock, seen: &Seen, now_s: i64) -> io::Result<()> {
        let mut state = self.dir.read(seen.name)?;
        let Some((app, times)) = self.app(seen.name) else { return Ok(()) };
        let sayings = view(seen, &app, &times, &state, now_s).sayings();
        let (told, all) = (state.told.clone(), sayings.iter().map(|one| &one.saying));
        let all: Vec<&Saying> = all.collect();
        self.row(app_rules(self, seen.name, &app), now_s).tell(&told, &all, |told, count| {
            state.told = told;
            take(&mut state, &sayings[..count]);
            self.dir.write(seen.name, &state)
        })
    }

    /// Returns the settings and times of an app, if it has valid ones.
    pub(super) fn app(&self, name: &str) -> Option<(AppSettings, Timetable)> {
        let app = self.settings.apps.get(name)?.clone().with_defaults(&self.settings.defaults);
        let times = Timetable::of(name, &app, self.env).ok()?;
        Some((app, times))
    }

    /// Returns a writer to the outbox.
    pub(super) fn row(&self, rules: Rules, now_s: i64) -> Row<'_, StateFolder> {
        let Self { outbox, channels, place, .. } = self;
        Row { outbox, channels, place, rules, now_s }
    }

    /// Sends the messages that are due, for half a minute and the time of one delivery at most, or
    /// until `is_stopping`. Returns what should be known about it, for people.
    pub fn deliver(&self, is_stopping: &dyn Fn() -> bool) -> Vec<String> {
        if self.channels.is_empty() && !self.outbox_dir.exists() {
            return Vec::new();
        }
        let began = Instant::now();
        let channels: Vec<&dyn Channel> = self.channels.iter().map(|one| &**one).collect();
        let pass = Pass {
            channels: &channels,
            now_s: &|| text::now().seconds,
            is_cancelled: &|| is_stopping() || began.elapsed() >= DELIVERY_MAX,
        };
        match self.outbox.deliver(&pass) {
            Ok(report) => words_of(&report),
            Err(error) => vec![format!("messages cannot be delivered: {error}")],
        }
    }
}

/// What is known of an app before its state is read.
pub(super) struct Seen<'a> {
    /// Its name.
    pub name: &'a str,
    /// When it was first seen, in seconds since 1970, if that is known.
    pub since_s: Option<i64>,
    /// Whether another writer says whether it is overdue.
    pub is_watched: bool,
}

/// Returns an app as it is seen at a time.
pub(super) fn view<'a>(
    seen: &Seen,
    app: &'a AppSettings,
    times: &'a Timetable,
    state: &'a AppState,
    now_s: i64,
) -> AppView<'a> {
    AppView { app, state, times, seen_s: seen.since_s, is_watched: seen.is_watched, now_s }
}

/// Returns the rules of the writer that an app is.
pub(super) fn app_rules(teller: &Teller, name: &str, app: &AppSettings) -> Rules {
    Rules {
        writer: format!("app/{name}"),
        app: Some(name.to_owned()),
        targets: teller.settings.repositories.keys().cloned().collect(),
        remind_s: teller.settings.notify.remind_s,
        // Without a channel nothing was told: a new one hears what is wrong then.
        is_muted: teller.channels.is_empty() || app.is_told == Some(false),
    }
}

/// Takes what was told out of what waits.
pub(super) fn take(state: &mut AppState, told: &[AppSaying]) {
    let runs = told.iter().map(|one| one.runs).max().unwrap_or(0);
    state.untold.runs.drain(..runs);
    if told.iter().any(|one| one.has_missed) {
        state.untold.missed = None;
    }
}

/// Sends a test message through each channel of the settings, one after another, and returns what
/// came of each.
///
/// Fails if a channel cannot work at all.
pub fn send_test(settings: &Settings) -> Result<Vec<Tried>, SettingsError> {
    let message = test_message(&place_of(&settings.notify), text::now().seconds);
    let channels = channels(settings, &reach_of(settings)?)?;
    let tried = channels.iter().map(|channel| Tried {
        channel: channel.name().to_owned(),
        error: channel.send(&message).err().map(|error| error.0),
    });
    Ok(tried.collect())
}

/// Returns the counters of the channels that were used, from a state directory.
pub fn health(state_dir: &Path) -> Health {
    Outbox::new(StateFolder::new(state_dir.join(own_dirs::OUTBOX))).health()
}

fn channels(settings: &Settings, reach: &Reach) -> Result<Vec<Box<dyn Channel>>, SettingsError> {
    let channels = channels_of(&settings.notify, reach, &host::host_name());
    channels.map_err(|error| refuse(settings, error.key, &error.why))
}

fn place_of(settings: &NotifySettings) -> Place {
    Place { host: host::host_name(), zone: TimeZone::system(), remind_s: settings.remind_s }
}

fn words_of(report: &Report) -> Vec<String> {
    let mut words = Vec::new();
    if report.failures > 0 {
        let tries = text::counted(report.failures, "try");
        words.push(format!("{tries} to deliver a message failed: `drumlin apps` says why"));
    }
    for given_up in &report.given_up {
        let (channel, subject) = (&given_up.channel, &given_up.subject);
        words.push(format!("gave up \"{subject}\" by {channel}: {}", given_up.error));
    }
    let set_aside = report.set_aside.iter().map(|file| format!("set aside the damaged {file}"));
    words.extend(set_aside.chain(report.unreadable.iter().cloned()));
    words
}
