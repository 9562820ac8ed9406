//! Outbox: messages that are kept until they are delivered.
//!
//! One file for each message, with the channels that have not taken it. One process at a time
//! delivers, under the lock of the folder; writers need no lock but their own. Before a try is
//! made, it is recorded: a full disk or a death in each try ends in a message that is given up, not
//! in one that is sent for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::folder::{FILE_MAX_BYTES, Folder, SCRATCH};
use super::health::Health;
use super::item::{DAMAGED, HELD, Item, ItemId, READY, TRIES_MAX, writer_key};
use super::message::Message;
use crate::settings::notify::When;

/// Most messages that wait. The oldest are given up for newer ones.
const ITEMS_MAX: usize = 1_000;
/// Most files that could not be read and are kept for a look at them.
const DAMAGED_MAX: usize = 20;
/// Failures of a channel after which one pass leaves it alone.
const FAILURES_MAX: u32 = 2;
/// File with the counters of channels.
const HEALTH: &str = "health.json";

/// A way to deliver messages.
pub trait Channel {
    /// Returns its name, which stays the same and holds no secret.
    fn name(&self) -> &str;
    /// Returns the messages that it wants.
    fn when(&self) -> When;
    /// Delivers a message, or fails within its time. A failed try may have arrived.
    fn send(&self, message: &Message) -> Result<(), SendError>;
}

/// Why a message was not delivered: one line without secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SendError(pub String);

/// The outbox of a state folder.
pub struct Outbox<F> {
    folder: F,
}

/// The surroundings of a pass over the outbox.
pub struct Pass<'a> {
    /// The channels.
    pub channels: &'a [&'a dyn Channel],
    /// Returns the time, in seconds since 1970.
    pub now_s: &'a dyn Fn() -> i64,
    /// Returns whether to stop before the next try.
    pub is_cancelled: &'a dyn Fn() -> bool,
}

/// What a pass did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Whether another process is delivering: it takes what is there.
    pub is_busy: bool,
    /// Deliveries that were made.
    pub delivered: u64,
    /// Tries that failed.
    pub failures: u64,
    /// Tries after a try without an outcome: the message may have arrived twice.
    pub repeats_possible: u64,
    /// Deliveries that were given up.
    pub given_up: Vec<GivenUp>,
    /// Names of files that were set aside, because they hold no message.
    pub set_aside: Vec<String>,
    /// Files that could not be read now, with the reason.
    pub unreadable: Vec<String>,
    /// Messages that wait.
    pub waiting: usize,
}

/// A delivery that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenUp {
    /// Name of the channel.
    pub channel: String,
    /// Subject of the message.
    pub subject: String,
    /// Why.
    pub error: String,
}

/// A try that is planned.
struct Try {
    is_late: bool,
    id: String,
    channel: String,
}

impl<F: Folder> Outbox<F> {
    /// Returns the outbox in a folder that nothing else uses.
    pub fn new(folder: F) -> Self {
        Self { folder }
    }

    /// Puts a message into the outbox, for the channels that want it. It is held until
    /// [`settle`](Self::settle) says that the writer's state counts it.
    ///
    /// A message that is there already is not taken again. Fails if the folder cannot be written,
    /// or has twice as many files as it may: then the state must not count the message.
    pub fn prepare(&self, message: &Message, channels: &[&dyn Channel]) -> io::Result<()> {
        let wanting: Vec<&str> = channels
            .iter()
            .filter(|channel| channel.when() >= message.when)
            .map(|channel| channel.name())
            .collect();
        if wanting.is_empty() {
            return Ok(());
        }
        if ItemId::parse(&message.id).is_none() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the message has no id"));
        }
        let names = self.folder.names()?;
        if names.contains(&format!("{}{READY}", message.id)) {
            return Ok(());
        }
        if names.len() >= 2 * ITEMS_MAX {
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, "the outbox is full"));
        }
        let stored = Item::new(message.clone(), &wanting).encode();
        if stored.len() > FILE_MAX_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the message is too long"));
        }
        self.folder.write(&format!("{}{HELD}", message.id), &stored)
    }

    /// Releases held messages that the writer's state counts (those below `next`), and removes the
    /// others: their events will be decided anew. The caller holds the writer's lock.
    pub fn settle(&self, writer: &str, next: u64) -> io::Result<()> {
        let key = writer_key(writer);
        let mut names = self.folder.names()?;
        names.sort_unstable();
        for name in names {
            let (whole, is_scratch) = match name.strip_suffix(SCRATCH) {
                Some(whole) => (whole, true),
                None => (&*name, false),
            };
            let held = whole.strip_suffix(HELD).and_then(ItemId::parse);
            match held.filter(|id| id.writer == key) {
                Some(id) if id.ordinal < next && !is_scratch => {
                    self.folder.rename(&name, &format!("{}{READY}", id.text))?;
                }
                Some(_) => self.folder.remove(&name)?,
                None => {}
            }
        }
        Ok(())
    }

    /// Returns the counters of channels; none if they cannot be read.
    pub fn health(&self) -> Health {
        let stored = self.folder.read(HEALTH).unwrap_or_default();
        serde_json::from_slice(&stored).unwrap_or_default()
    }

    /// Tries to deliver what is due.
    ///
    /// Takes at most two failures of each channel, each within the channel's time. Fails if the
    /// folder cannot be read or written; then nothing more is tried.
    pub fn deliver(&self, pass: &Pass) -> io::Result<Report> {
        let mut report = Report::default();
        loop {
            let Some(lock) = self.folder.lock()? else {
                report.is_busy = true;
                return Ok(report);
            };
            let seen = self.deliver_locked(pass, &mut report)?;
            drop(lock);
            // A process that found the lock taken leaves its message to this one, which may have
            // listed the folder before.
            let has_new = self.folder.names()?.iter().any(|name| is_ready(name, &seen));
            if !has_new || (pass.is_cancelled)() {
                return Ok(report);
            }
        }
    }

    /// Delivers what is there, and returns the names of it.
    fn deliver_locked(&self, pass: &Pass, report: &mut Report) -> io::Result<BTreeSet<String>> {
        let names: BTreeSet<String> = self.folder.names()?.into_iter().collect();
        self.tidy(&names, report);
        let mut work = Work { pass, report, health: self.health(), failed: BTreeSet::new() };
        let before = work.health.clone();
        let tried = self.plan(&names, &mut work).and_then(|plan| self.carry_out(plan, &mut work));
        let mut health = work.health;
        health.channels.retain(|name, _| pass.channels.iter().any(|one| one.name() == name));
        if health != before {
            let stored = serde_json::to_vec(&health).expect("it is texts and numbers");
            // Counters never stop deliveries.
            let _ = self.folder.write(HEALTH, &stored);
        }
        tried?;
        let items = self.folder.names()?;
        report.waiting = items.iter().filter(|name| is_ready(name, &BTreeSet::new())).count();
        Ok(names)
    }

    fn carry_out(&self, plan: Vec<Try>, work: &mut Work) -> io::Result<()> {
        let mut failures = BTreeMap::<String, u32>::new();
        for planned in plan {
            if (work.pass.is_cancelled)() {
                break;
            }
            let is_given_rest = failures.get(&planned.channel).is_some_and(|n| *n >= FAILURES_MAX);
            if !is_given_rest && !self.act(&planned, work)? {
                *failures.entry(planned.channel).or_default() += 1;
            }
        }
        Ok(())
    }

    /// Removes what deaths left, and sets foreign files aside.
    fn tidy(&self, names: &BTreeSet<String>, report: &mut Report) {
        for name in names {
            // Scratch files of held items belong to their writers.
            if name.strip_suffix(SCRATCH).is_some_and(|whole| !whole.ends_with(HELD)) {
                let _ = self.folder.remove(name);
            }
            let is_foreign = name
                .strip_suffix(READY)
                .is_some_and(|id| name != HEALTH && ItemId::parse(id).is_none());
            if is_foreign {
                self.set_aside(name, report);
            }
        }
    }

    /// Keeps a file that holds no message under another name, where nobody reads it.
    fn set_aside(&self, name: &str, report: &mut Report) {
        let done = self.folder.names().and_then(|names| {
            if names.iter().filter(|name| name.ends_with(DAMAGED)).count() < DAMAGED_MAX {
                self.folder.rename(name, &format!("{name}{DAMAGED}"))
            } else {
                self.folder.remove(name)
            }
        });
        match done {
            Ok(()) => report.set_aside.push(name.to_owned()),
            // It stays, and other messages are delivered all the same.
            Err(error) => report.unreadable.push(format!("{name}: {error}")),
        }
    }

    /// Returns the tries that are due, those that a server refuses again and again last.
    fn plan(&self, names: &BTreeSet<String>, work: &mut Work) -> io::Result<Vec<Try>> {
        let now_s = (work.pass.now_s)();
        let (mut plan, mut ages) = (Vec::new(), Vec::new());
        // Writers and channels whose later messages wait for one that is not due.
        let mut blocked = BTreeSet::new();
        for id in names.iter().filter_map(|name| ItemId::parse(name.strip_suffix(READY)?)) {
            let Some(item) = self.load(id.text, work.report) else { continue };
            ages.push((item.created_s, id.text));
            for delivery in item.deliveries {
                let row = (id.writer.to_owned(), delivery.channel.clone());
                if delivery.is_due(now_s) && !blocked.contains(&row) {
                    let is_late = !delivery.holds_up_others();
                    let (id, channel) = (id.text.to_owned(), delivery.channel);
                    plan.push(Try { is_late, id, channel });
                } else if delivery.holds_up_others() {
                    blocked.insert(row);
                }
            }
        }
        ages.sort_unstable();
        for (_, id) in &ages[..ages.len().saturating_sub(ITEMS_MAX)] {
            self.give_up_item(id, work)?;
        }
        plan.sort_by(|a, b| (a.is_late, &a.id).cmp(&(b.is_late, &b.id)));
        Ok(plan)
    }

    /// Returns an item, unless it is gone or damaged.
    fn load(&self, id: &str, report: &mut Report) -> Option<Item> {
        let name = format!("{id}{READY}");
        let item = match self.folder.read(&name) {
            Ok(content) => Item::decode(&content, id),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => None,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                report.unreadable.push(format!("{name}: {error}"));
                return None;
            }
        };
        if item.is_none() {
            self.set_aside(&name, report);
        }
        item
    }

    /// Makes a planned try, and returns whether the channel may be asked again.
    fn act(&self, planned: &Try, work: &mut Work) -> io::Result<bool> {
        let Some(mut item) = self.load(&planned.id, work.report) else { return Ok(true) };
        let writer = ItemId::parse(&planned.id).map(|id| id.writer.to_owned()).unwrap_or_default();
        let row = (writer, planned.channel.clone());
        let at = item.deliveries.iter().position(|one| one.channel == planned.channel);
        let Some(at) = at.filter(|_| !work.failed.contains(&row)) else { return Ok(true) };
        let now_s = (work.pass.now_s)();
        if item.deliveries[at].is_trying {
            work.report.repeats_possible += 1;
            work.health.of(&planned.channel).repeats_possible += 1;
        }
        item.deliveries[at].begin_try(now_s);
        self.store(&item)?;
        let sent = match work.channel(&planned.channel) {
            Some(channel) => channel.send(&item.message),
            // Another process may have read newer settings: its message is not thrown away at once.
            None => Err(SendError("the settings have no such channel".to_owned())),
        };
        item.deliveries[at].is_trying = false;
        match &sent {
            Ok(()) => {
                work.report.delivered += 1;
                work.health.of(&planned.channel).count_delivery(now_s);
                item.deliveries.remove(at);
            }
            Err(SendError(error)) => {
                work.report.failures += 1;
                work.health.of(&planned.channel).count_failure(error, now_s);
                if item.deliveries[at].tries >= TRIES_MAX {
                    work.give_up(&item, &planned.channel, error);
                    item.deliveries.remove(at);
                } else if item.deliveries[at].holds_up_others() {
                    work.failed.insert(row);
                }
            }
        }
        self.store(&item)?;
        Ok(sent.is_ok())
    }

    /// Writes an item, or removes it if nothing is left to do.
    fn store(&self, item: &Item) -> io::Result<()> {
        let name = format!("{}{READY}", item.message.id);
        if item.deliveries.is_empty() {
            self.folder.remove(&name)
        } else {
            self.folder.write(&name, &item.encode())
        }
    }

    fn give_up_item(&self, id: &str, work: &mut Work) -> io::Result<()> {
        let Some(mut item) = self.load(id, work.report) else { return Ok(()) };
        for delivery in std::mem::take(&mut item.deliveries) {
            work.give_up(&item, &delivery.channel, "too many messages wait");
        }
        self.store(&item)
    }
}

/// The state of a pass.
struct Work<'a, 'b> {
    pass: &'a Pass<'a>,
    report: &'b mut Report,
    health: Health,
    /// Writers and channels whose later messages wait for one that failed in this pass.
    failed: BTreeSet<(String, String)>,
}

impl<'a> Work<'a, '_> {
    fn channel(&self, name: &str) -> Option<&'a dyn Channel> {
        self.pass.channels.iter().copied().find(|channel| channel.name() == name)
    }

    fn give_up(&mut self, item: &Item, channel: &str, error: &str) {
        self.health.of(channel).count_given_up();
        self.report.given_up.push(GivenUp {
            channel: channel.to_owned(),
            subject: item.message.subject.clone(),
            error: error.to_owned(),
        });
    }
}

/// Returns whether a name is that of an item to deliver, and is not among the others.
fn is_ready(name: &str, others: &BTreeSet<String>) -> bool {
    name.strip_suffix(READY).and_then(ItemId::parse).is_some() && !others.contains(name)
}

#[cfg(test)]
mod tests;
