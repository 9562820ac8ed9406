//! Watch over what no run says: apps that are overdue, channels, digests, and the heartbeat.
//!
//! It is a part of keeping schedules: the daemon looks every half minute, `run --due` at its end.
//! It has a state of its own, written whole under a lock of its own, because an app's state belongs
//! to the run that is under way. A run that hangs must not hide that its app is overdue.

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};

use super::absent::Absent;
use super::digest::{app_of, digest_due, digest_of};
use super::events::AppView;
use super::repositories;
use super::row::Saying;
use super::teller::{Seen, Teller, app_rules, view};
use crate::notify::{
    DigestApp, Facts, Folder, HEARTBEAT_S, Happened, Happening, Held, Rules, Signal, StateFolder,
    Told, Trouble, TroubleKind, is_heartbeat_due,
};

/// Seconds for which a run may go on after its app is overdue before another writer tells it: it
/// may still end well.
const PATIENCE_S: i64 = 3_600;
/// Seconds after which a heartbeat that did not arrive is tried again.
const HEARTBEAT_RETRY_S: i64 = 300;
/// Most apps that the watch tells of by itself; its state is a small file.
const STUCK_MAX: usize = 100;
/// File of the state.
const STATE: &str = "state.json";
/// Name of the writer for what is about no app.
const WRITER: &str = "watch";

/// What is known of the configuration of a daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reload {
    /// Nothing: the caller is no daemon.
    #[default]
    Unknown,
    /// It is in force.
    Accepted,
    /// A new one was refused, and the old one is in force.
    Refused {
        /// Why, for people.
        error: String,
        /// Since when, in seconds since 1970.
        since_s: i64,
    },
}

/// The state of the watch. All times are seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Watch {
    format: u32,
    told: Told,
    /// The last slot of a digest.
    digest_s: Option<i64>,
    /// When that digest was made.
    digest_made_s: Option<i64>,
    heartbeat_s: Option<i64>,
    /// When each app was first seen.
    seen_s: BTreeMap<String, i64>,
    /// What was told of apps whose run does not end.
    stuck: BTreeMap<String, Told>,
    /// Apps of labels.
    labelled: Absent,
}

/// Version of the state.
const FORMAT: u32 = 1;

/// One look.
struct Look {
    watch: Watch,
    /// Writers whose last process died, or is under way.
    held: Held,
    /// Slot of the digest that is due.
    digest_slot_s: Option<i64>,
    /// Apps of the digest.
    apps: Vec<DigestApp>,
    has_overdue: bool,
    now_s: i64,
}

impl Teller<'_> {
    /// Looks at all apps that are enabled, tells what no run tells, and sends the heartbeat while
    /// no app is overdue. Returns what failed, for people; it is done again at the next look.
    ///
    /// Does nothing while another process looks. Messages go into the outbox: see
    /// [`deliver`](Self::deliver).
    pub fn look(&self, reload: &Reload, now_s: i64) -> Vec<String> {
        let mut failures = Vec::new();
        let failed = |error: io::Error| format!("notifications cannot be kept: {error}");
        match self.watch.lock() {
            Ok(Some(_lock)) => {
                let looked = self.look_locked(reload, now_s, &mut failures);
                failures.extend(looked.err().map(failed));
            }
            Ok(None) => {}
            Err(error) => failures.push(failed(error)),
        }
        failures
    }

    fn look_locked(
        &self,
        reload: &Reload,
        now_s: i64,
        failures: &mut Vec<String>,
    ) -> io::Result<()> {
        let mut watch = read(&self.watch)?;
        let before = watch.clone();
        watch.seen_s.retain(|name, _| self.settings.apps.contains_key(name));
        watch.stuck.retain(|name, _| self.settings.apps.contains_key(name));
        let due = digest_due(&self.settings.notify.digest, watch.digest_s, now_s);
        let mut look = Look {
            watch,
            held: Held::of(&StateFolder::new(&self.outbox_dir))?,
            digest_slot_s: due.and_then(|due| due.run_s),
            apps: Vec::new(),
            has_overdue: false,
            now_s,
        };
        for name in self.settings.apps.keys() {
            if let Err(error) = self.look_at(name, &mut look) {
                failures.push(format!("{name}: nobody can tell how it is: {error}"));
            }
        }
        let mut sayings = repositories::sayings_of(self.settings, &self.dir, failures);
        sayings.extend(look.watch.labelled.look(self.settings, now_s));
        self.tell_own(reload, sayings, &mut look)?;
        look.watch.labelled.forget_told();
        if look.digest_slot_s.is_some() {
            self.tell_digest(&mut look)?;
        } else if let Some(due) = due.filter(|due| due.settled_s != look.watch.digest_s) {
            (look.watch.digest_s, look.watch.digest_made_s) = (due.settled_s, Some(now_s));
        }
        failures.extend(self.beat(&mut look));
        match look.watch == before {
            true => Ok(()),
            false => self.write_watch(&look.watch),
        }
    }

    /// Tells what is to be said of an app, if it is enabled.
    fn look_at(&self, name: &str, look: &mut Look) -> io::Result<()> {
        let Some((app, times)) = self.app(name) else { return Ok(()) };
        if app.run.is_enabled == Some(false) {
            return Ok(());
        }
        let now_s = look.now_s;
        let first_s = look.watch.seen_s.entry(name.to_owned()).or_insert(now_s);
        // A clock that was wrong at first must not hide for long that the app is overdue.
        *first_s = now_s.min(*first_s);
        let seen = Seen {
            name,
            since_s: Some(*first_s),
            is_watched: look.watch.stuck.get(name).is_some_and(|told| !told.open.is_empty()),
        };
        let state = self.dir.read(name)?;
        let view = view(&seen, &app, &times, &state, now_s);
        look.has_overdue |= view.is_overdue();
        if look.digest_slot_s.is_some() {
            let since_s = look.watch.digest_made_s.unwrap_or(now_s);
            look.apps.push(app_of(name, &view, &self.dir, since_s));
        }
        let rules = app_rules(self, name, &app);
        let sayings = view.sayings();
        let all: Vec<&Saying> = sayings.iter().map(|one| &one.saying).collect();
        let is_quiet = sayings.iter().all(|one| one.runs == 0 && !one.has_missed)
            && !look.held.has(&rules.writer)
            && self.row(rules.clone(), now_s).is_quiet(&state.told, &all);
        let lock = if is_quiet { None } else { self.dir.try_lock(name)? };
        if let Some(lock) = &lock {
            self.tell_locked(lock, &seen, now_s)?;
        }
        let is_stuck = !is_quiet && lock.is_none() && is_late(&view);
        let is_held = look.held.has(&writer_of(name));
        match seen.is_watched || is_stuck || is_held {
            true => self.tell_stuck(name, rules, &view, look),
            false => Ok(()),
        }
    }

    /// Tells that an app is overdue, or no longer, although its run does not end.
    fn tell_stuck(
        &self,
        name: &str,
        rules: Rules,
        view: &AppView,
        look: &mut Look,
    ) -> io::Result<()> {
        let told = look.watch.stuck.get(name).cloned().unwrap_or_default();
        if look.watch.stuck.len() >= STUCK_MAX && told == Told::default() {
            return Ok(());
        }
        let what = view.overdue().unwrap_or(Happened::Look);
        let saying = Saying::of(Happening { what, facts: view.facts() });
        let row = self.row(Rules { writer: writer_of(name), ..rules }, look.now_s);
        if row.is_quiet(&told, &[&saying]) && !look.held.has(&row.rules.writer) {
            return Ok(());
        }
        row.tell(&told, &[&saying], |told, _| {
            look.watch.stuck.insert(name.to_owned(), told);
            self.write_watch(&look.watch)
        })
    }

    /// Tells of channels that gave messages up, of a configuration that was refused, and `more`.
    fn tell_own(&self, reload: &Reload, more: Vec<Saying>, look: &mut Look) -> io::Result<()> {
        let nothing = Happening { what: Happened::Look, facts: Facts::default() };
        // First, so that a reminder has no facts of another trouble.
        let mut sayings = vec![Saying::of(nothing)];
        sayings.extend(more);
        let health = self.outbox.health();
        for channel in &self.channels {
            let name = channel.name();
            let trouble = Trouble::of_target(TroubleKind::Undelivered, name);
            let known = health.channels.get(name).cloned().unwrap_or_default();
            let errors: Vec<String> = known.last_error.into_iter().collect();
            let since_s = known.last_error_s.unwrap_or(look.now_s);
            let is_lost = known.given_up_in_a_row > 0;
            sayings.push(saying_of(trouble, is_lost.then_some(since_s), errors));
        }
        let trouble = Trouble::of_app(TroubleKind::ReloadFailed);
        match reload {
            Reload::Unknown => {}
            Reload::Accepted => sayings.push(saying_of(trouble, None, Vec::new())),
            Reload::Refused { error, since_s } => {
                sayings.push(saying_of(trouble, Some(*since_s), vec![error.clone()]));
            }
        }
        let all: Vec<&Saying> = sayings.iter().collect();
        let rules = self.own_rules(&look.watch);
        let (row, told) = (self.row(rules, look.now_s), look.watch.told.clone());
        if row.is_quiet(&told, &all) && !look.held.has(WRITER) {
            return Ok(());
        }
        row.tell(&told, &all, |told, _| {
            look.watch.told = told;
            self.write_watch(&look.watch)
        })
    }

    fn tell_digest(&self, look: &mut Look) -> io::Result<()> {
        let Some(slot_s) = look.digest_slot_s else { return Ok(()) };
        let since_s = look.watch.digest_made_s.unwrap_or(look.now_s);
        let digest = digest_of(std::mem::take(&mut look.apps), since_s, &self.outbox.health());
        let happening = Happening { what: Happened::Digest(slot_s), facts: Facts::default() };
        let saying = Saying { happening, digest: Some(digest) };
        let rules = self.own_rules(&look.watch);
        let (row, told) = (self.row(rules, look.now_s), look.watch.told.clone());
        row.tell(&told, &[&saying], |told, _| {
            look.watch.told = told;
            (look.watch.digest_s, look.watch.digest_made_s) = (Some(slot_s), Some(look.now_s));
            self.write_watch(&look.watch)
        })
    }

    fn own_rules(&self, watch: &Watch) -> Rules {
        let channels = self.channels.iter().map(|channel| channel.name().to_owned());
        let repositories = self.settings.repositories.keys().cloned();
        Rules {
            writer: WRITER.to_owned(),
            app: None,
            targets: channels.chain(repositories).chain(watch.labelled.names()).collect(),
            remind_s: self.settings.notify.remind_s,
            is_muted: self.channels.is_empty(),
        }
    }

    /// Sends the heartbeat if it is due, and returns why it did not arrive.
    fn beat(&self, look: &mut Look) -> Option<String> {
        let pinger = self.heartbeat.as_ref()?;
        if !is_heartbeat_due(look.watch.heartbeat_s, look.now_s, look.has_overdue) {
            return None;
        }
        let sent = pinger.ping(
            Signal::Success,
            None,
            "no app is overdue
",
        );
        look.watch.heartbeat_s = Some(match sent {
            Ok(()) => look.now_s,
            Err(_) => look.now_s - HEARTBEAT_S + HEARTBEAT_RETRY_S,
        });
        sent.err().map(|error| format!("the heartbeat did not arrive: {error}"))
    }

    fn write_watch(&self, watch: &Watch) -> io::Result<()> {
        let stored = Watch { format: FORMAT, ..watch.clone() };
        self.watch.write(STATE, &serde_json::to_vec(&stored)?)
    }
}

/// Returns the writer that tells of an app whose run does not end.
fn writer_of(app: &str) -> String {
    format!("{WRITER}/{app}")
}

/// Returns whether an app is overdue for so long that nobody waits for the end of its run, and that
/// was not told.
fn is_late(view: &AppView) -> bool {
    let overdue = Trouble::of_app(TroubleKind::Overdue);
    view.limit_s().is_some_and(|limit_s| view.now_s.saturating_sub(limit_s) > PATIENCE_S)
        && view.state.told.open.iter().all(|open| open.trouble != overdue)
}

/// Says that a trouble holds since a time, or does not.
fn saying_of(trouble: Trouble, since_s: Option<i64>, errors: Vec<String>) -> Saying {
    let what = match since_s {
        Some(since_s) => Happened::Holds { trouble, since_s },
        None => Happened::Ended(trouble),
    };
    Saying::of(Happening { what, facts: Facts { errors, ..Facts::default() } })
}

/// Reads the state of the watch; an empty one if there is none.
///
/// Fails if it cannot be read, or is one of another version: to begin anew would repeat messages.
fn read(folder: &StateFolder) -> io::Result<Watch> {
    let stored = match folder.read(STATE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Watch::default()),
        stored => stored?,
    };
    let refuse = |why: String| {
        let why = format!("watch/{STATE} of the state directory is not one of this version: {why}");
        io::Error::new(io::ErrorKind::InvalidData, why)
    };
    let watch: Watch =
        serde_json::from_slice(&stored).map_err(|error| refuse(error.to_string()))?;
    match watch.format {
        FORMAT => Ok(watch),
        other => Err(refuse(format!("its format is {other}"))),
    }
}

#[cfg(test)]
mod tests;
