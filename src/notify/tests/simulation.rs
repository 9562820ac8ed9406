//! Goal: each event is told once, whatever dies, fails and jumps.
//!
//! Method: random histories of two apps with channels that fail, deaths between any two durable
//! steps, and clocks that jump. An observer who sees the disk keeps a ledger of what the states
//! count, and a simpler model says what should have been told. Every history is a
//! function of its seed.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io;

use jiff::tz::TimeZone;

use super::super::event::{Happened, Happening, Notice, Outcome, Rules, Step, Told, step};
use super::super::folder::Folder;
use super::super::item::{READY, TRIES_MAX};
use super::super::message::{Facts, Message};
use super::super::outbox::{Channel, Outbox, Pass, SendError};
use super::super::text::{Place, message_of};
use super::super::trouble::{Event, Moment, Trouble, TroubleKind};
use super::memory::{Death, Memory};
use crate::settings::notify::When;

const REMIND_S: i64 = 86_400;
/// Longest time between two events of a history, in seconds.
const STEP_MAX_S: i64 = 40_000;

/// Random numbers (splitmix64).
struct Dice(Cell<u64>);

impl Dice {
    fn below(&self, limit: u64) -> u64 {
        self.0.set(self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
        let mut z = self.0.get();
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % limit
    }

    /// Returns true once in so many throws.
    fn once_in(&self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// A channel that notes each delivery.
struct Line {
    name: &'static str,
    when: When,
    is_down: Cell<bool>,
    /// Ids of messages, in the order of their arrival.
    got: RefCell<Vec<String>>,
    /// Tries of each id.
    asked: RefCell<BTreeMap<String, u32>>,
}

impl Channel for Line {
    fn name(&self) -> &str {
        self.name
    }

    fn when(&self) -> When {
        self.when
    }

    fn send(&self, message: &Message) -> Result<(), SendError> {
        *self.asked.borrow_mut().entry(message.id.clone()).or_default() += 1;
        if self.is_down.get() {
            return Err(SendError("down".to_owned()));
        }
        self.got.borrow_mut().push(message.id.clone());
        Ok(())
    }
}

/// What the model knows of an app.
#[derive(Default)]
struct App {
    open: BTreeSet<Trouble>,
    run: u64,
    slot_s: i64,
    last: Option<Happened>,
    told_s: Option<i64>,
}

struct History {
    dice: Dice,
    disk: Memory,
    lines: [Line; 2],
    now_s: Cell<i64>,
    may_jump: bool,
    /// Ids that the states count, with the least to want.
    ledger: BTreeMap<String, When>,
    /// Deliveries whose record a death prevented.
    doubts: BTreeMap<(String, &'static str), u32>,
    deaths: u32,
}

/// Numbers over all histories.
#[derive(Debug, Default)]
pub(super) struct Totals {
    /// Messages that states count.
    pub told: u64,
    /// Deliveries.
    pub delivered: u64,
    /// Deaths between two durable steps.
    pub deaths: u64,
    /// Deliveries that a death before their record repeated.
    pub repeated: u64,
    /// Deliveries that were given up.
    pub given_up: u64,
}

impl History {
    fn new(seed: u64) -> Self {
        let dice = Dice(Cell::new(seed));
        let line = |name, when| Line {
            name,
            when,
            is_down: Cell::new(false),
            got: RefCell::default(),
            asked: RefCell::default(),
        };
        let may_jump = dice.once_in(2);
        Self {
            dice,
            disk: Memory::default(),
            lines: [line("mail", When::Changed), line("hook", When::Always)],
            now_s: Cell::new(1_800_000_000),
            may_jump,
            ledger: BTreeMap::new(),
            doubts: BTreeMap::new(),
            deaths: 0,
        }
    }

    fn channels(&self) -> [&dyn Channel; 2] {
        [&self.lines[0], &self.lines[1]]
    }

    fn told(&self, name: &str) -> Told {
        let stored = self.disk.stored(&format!("state.{name}"));
        stored
            .map(|stored| serde_json::from_slice(&stored).expect("it is whole"))
            .unwrap_or_default()
    }

    /// Lets time pass, and clocks and channels change.
    fn wait(&self) {
        let mut wait_s = self.dice.below(STEP_MAX_S as u64) as i64;
        if self.may_jump && self.dice.once_in(12) {
            let jump_s = [3_600, 90_000, 3_000_000, 200_000_000][self.dice.below(4) as usize];
            wait_s = if self.dice.once_in(2) { jump_s } else { -jump_s };
        }
        self.now_s.set(self.now_s.get() + wait_s);
        for line in &self.lines {
            if self.dice.once_in(4) {
                line.is_down.set(!line.is_down.get());
            }
        }
    }

    /// Returns what happens next to an app.
    fn event(&self, app: &mut App) -> Happened {
        let behind = Trouble::of_target(TroubleKind::Behind, "box");
        let overdue = Trouble::of_app(TroubleKind::Overdue);
        let holds = |trouble| Happened::Holds { trouble, since_s: self.now_s.get() - 5 };
        match self.dice.below(10) {
            0..4 => {
                app.run += 1;
                let outcomes = [
                    Outcome::Good,
                    Outcome::Good,
                    Outcome::Failed,
                    Outcome::Failed,
                    Outcome::Partial,
                ];
                let outcome = outcomes[self.dice.below(5) as usize];
                Happened::RunEnded { run: app.run.to_string(), outcome }
            }
            4 => holds(behind),
            5 => Happened::Ended(behind),
            6 => holds(overdue),
            7 => {
                app.slot_s += 1;
                Happened::Missed(app.slot_s)
            }
            // Reported again, as a caller may that lost count.
            8 => app.last.clone().unwrap_or(Happened::Look),
            _ => Happened::Look,
        }
    }

    /// Does what a process does with an event: all durable steps, in their order.
    fn process(&self, name: &str, step: &Step) -> io::Result<()> {
        let outbox = Outbox::new(&self.disk);
        outbox.settle(name, self.told(name).next)?;
        if let Some(notice) = &step.notice {
            outbox.prepare(&words(notice), &self.channels())?;
        }
        let stored = serde_json::to_vec(&step.told).expect("it is texts and numbers");
        (&self.disk).write(&format!("state.{name}"), &stored)?;
        outbox.settle(name, step.told.next)?;
        self.deliver().map(drop)
    }

    fn deliver(&self) -> io::Result<usize> {
        let (channels, now_s) = (self.channels(), || self.now_s.get());
        let pass = Pass { channels: &channels, now_s: &now_s, is_cancelled: &|| false };
        Outbox::new(&self.disk).deliver(&pass).map(|report| report.waiting)
    }

    /// Runs processes until one has counted the event, and returns its message.
    fn live_through(&mut self, name: &str, what: &mut Happened) -> Option<Notice> {
        loop {
            let rules = rules(name);
            let happening = Happening { what: what.clone(), facts: Facts::default() };
            let step = step(&self.told(name), &happening, &rules, self.now_s.get());
            if self.dice.once_in(3) {
                let death = if self.dice.once_in(2) { Death::Before } else { Death::After };
                self.disk.die_after(self.dice.below(14) as u32, death);
            }
            let before = self.lines.each_ref().map(|line| line.got.borrow().len());
            let ended = self.process(name, &step);
            if self.disk.revive() {
                self.deaths += 1;
                self.note_doubts(before);
            } else {
                ended.expect("nothing but a death fails here");
            }
            if self.told(name) == step.told {
                if let Some(notice) = &step.notice {
                    let old = self.ledger.insert(words(notice).id, notice.when);
                    assert_eq!(old, None, "an id is used once");
                }
                return step.notice;
            }
            // The next process does not know how the run ended, only that it died.
            if let Happened::RunEnded { outcome, .. } = what {
                *outcome = Outcome::Failed;
            }
            self.wait();
        }
    }

    /// Notes deliveries of a process that died before it could record them.
    fn note_doubts(&mut self, before: [usize; 2]) {
        for (line, before) in self.lines.iter().zip(before) {
            for id in &line.got.borrow()[before..] {
                let item = self.disk.stored(&format!("{id}{READY}")).unwrap_or_default();
                if String::from_utf8_lossy(&item).contains(&format!("\"{}\"", line.name)) {
                    *self.doubts.entry((id.clone(), line.name)).or_default() += 1;
                }
            }
        }
    }

    /// Lets all channels work until nothing waits.
    fn come_to_rest(&mut self) {
        self.lines.iter().for_each(|line| line.is_down.set(false));
        for name in ["a", "b"] {
            let next = self.told(name).next;
            Outbox::new(&self.disk).settle(name, next).expect("nobody dies");
        }
        for _ in 0..9 {
            if self.deliver().expect("nobody dies") == 0 {
                return;
            }
            self.now_s.set(self.now_s.get() + 3_600);
        }
        panic!("messages wait for ever");
    }

    /// Compares what the channels got with the ledger.
    fn check(&self, totals: &mut Totals) {
        for line in &self.lines {
            let mut got = BTreeMap::<String, u32>::new();
            line.got.borrow().iter().for_each(|id| *got.entry(id.clone()).or_default() += 1);
            for id in got.keys() {
                assert!(self.ledger.contains_key(id), "{id} was told and not counted");
            }
            for (id, _) in self.ledger.iter().filter(|(_, when)| line.when >= **when) {
                let times = got.get(id).copied().unwrap_or(0);
                let doubts = self.doubts.get(&(id.clone(), line.name)).copied().unwrap_or(0);
                let asked = line.asked.borrow().get(id).copied().unwrap_or(0);
                let is_given_up = asked + self.deaths >= TRIES_MAX && times == doubts;
                assert!(
                    times == 1 + doubts || is_given_up,
                    "{id} arrived {times} times by {}, with {doubts} doubts",
                    line.name
                );
                totals.delivered += u64::from(times);
                totals.repeated += u64::from(doubts);
                totals.given_up += u64::from(is_given_up);
            }
            for (id, when) in &self.ledger {
                assert!(line.when >= *when || !got.contains_key(id), "{id} was not wanted");
            }
        }
        totals.told += self.ledger.len() as u64;
        totals.deaths += u64::from(self.deaths);
    }
}

fn rules(name: &str) -> Rules {
    Rules {
        writer: name.to_owned(),
        app: Some(name.to_owned()),
        targets: vec!["box".to_owned()],
        remind_s: Some(REMIND_S),
        is_muted: false,
    }
}

fn words(notice: &Notice) -> Message {
    let zone = TimeZone::UTC;
    message_of(notice, &Place { host: "vault".to_owned(), zone, remind_s: Some(REMIND_S) })
}

impl App {
    /// Returns the event that must be told of a change, and no reminder.
    fn expected(&mut self, what: &Happened) -> Option<Event> {
        let is_repeated = match (&self.last, what) {
            (Some(Happened::RunEnded { run, .. }), Happened::RunEnded { run: new, .. }) => {
                run == new
            }
            (last, what) => last.as_ref() == Some(what),
        };
        self.last = Some(what.clone());
        let begin = |open: &mut BTreeSet<Trouble>, trouble: &Trouble| {
            open.insert(trouble.clone()).then_some(Event::Trouble(trouble.kind))
        };
        let ended = |is_any: bool| is_any.then_some(Event::Moment(Moment::Recovered));
        let mut end = |kind| self.open.remove(&Trouble::of_app(kind));
        match what {
            Happened::RunEnded { .. } | Happened::Missed(_) if is_repeated => None,
            Happened::RunEnded { outcome: Outcome::Good, .. } => {
                let ends = [TroubleKind::Failed, TroubleKind::Partial, TroubleKind::Overdue];
                ended(ends.map(&mut end).contains(&true))
            }
            Happened::RunEnded { outcome: Outcome::Partial, .. } => {
                let has_ended = end(TroubleKind::Failed);
                begin(&mut self.open, &Trouble::of_app(TroubleKind::Partial)).or(ended(has_ended))
            }
            Happened::RunEnded { .. } => {
                begin(&mut self.open, &Trouble::of_app(TroubleKind::Failed))
            }
            Happened::Holds { trouble, .. } => begin(&mut self.open, trouble),
            Happened::Ended(trouble) => ended(self.open.remove(trouble)),
            Happened::Missed(_) => Some(Event::Moment(Moment::Missed)),
            Happened::Digest(_) | Happened::Look | Happened::Together(_) => None,
        }
    }

    /// Compares a message with the model.
    fn compare(&mut self, what: &Happened, notice: Option<&Notice>, history: &History) {
        let now_s = history.now_s.get();
        let expected = self.expected(what);
        let changed = notice.filter(|notice| notice.when == When::Changed);
        let told = changed.filter(|notice| !notice.is_reminder).map(|notice| notice.event);
        assert_eq!(told, expected, "{what:?}");
        if let (Some(_), Some(told_s)) = (changed.filter(|n| n.is_reminder), self.told_s) {
            assert!(!self.open.is_empty(), "a reminder of nothing");
            assert!(history.may_jump || now_s - told_s >= REMIND_S * 7 / 8, "too early");
        }
        if changed.is_some() {
            self.told_s = Some(now_s);
        } else if let Some(told_s) = self.told_s.filter(|_| !self.open.is_empty()) {
            assert!(history.may_jump || now_s - told_s < REMIND_S, "a reminder is missing");
        }
    }
}

/// Lives through the history of a seed.
pub(super) fn live(seed: u64, totals: &mut Totals) {
    let mut history = History::new(seed);
    let mut apps = [App::default(), App::default()];
    for _ in 0..10 + history.dice.below(30) {
        history.wait();
        let at = history.dice.below(2) as usize;
        let name = ["a", "b"][at];
        let mut what = history.event(&mut apps[at]);
        let notice = history.live_through(name, &mut what);
        apps[at].compare(&what, notice.as_ref(), &history);
    }
    history.come_to_rest();
    history.check(totals);
}
