//! Goal: what is prepared and counted is delivered once, whatever files and processes do.
//!
//! Method: the real folder, channels that fail as they are told, several deliverers at once. Deaths
//! are tried by the simulation.

use std::cell::{Cell, RefCell};
use std::fs;
use std::sync::Mutex;

use super::super::folder::StateFolder;
use super::super::item::id_of;
use super::super::tests::memory::Memory;
use super::super::tests::{message, message_with};
use super::*;
use crate::sync::lock;

/// A channel that records what it delivers, and fails while it is told to.
struct Line {
    name: &'static str,
    when: When,
    is_down: Cell<bool>,
    refuses: RefCell<Option<String>>,
    got: RefCell<Vec<String>>,
    asked: Cell<u32>,
}

impl Line {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            when: When::Changed,
            is_down: Cell::new(false),
            refuses: RefCell::default(),
            got: RefCell::default(),
            asked: Cell::new(0),
        }
    }

    fn got(&self) -> Vec<String> {
        self.got.borrow().clone()
    }
}

impl Channel for Line {
    fn name(&self) -> &str {
        self.name
    }

    fn when(&self) -> When {
        self.when
    }

    fn send(&self, message: &Message) -> Result<(), SendError> {
        self.asked.set(self.asked.get() + 1);
        let is_refused = self.refuses.borrow().as_ref() == Some(&message.subject);
        if self.is_down.get() || is_refused {
            return Err(SendError("no route".to_owned()));
        }
        self.got.borrow_mut().push(message.subject.clone());
        Ok(())
    }
}

/// An outbox with a clock.
struct Desk {
    place: tempfile::TempDir,
    outbox: Outbox<StateFolder>,
    now_s: Cell<i64>,
}

impl Desk {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let outbox = Outbox::new(StateFolder::new(place.path().join("outbox")));
        Self { place, outbox, now_s: Cell::new(1_800_000_000) }
    }

    fn folder(&self) -> std::path::PathBuf {
        self.place.path().join("outbox")
    }

    fn names(&self) -> Vec<String> {
        let mut names = StateFolder::new(self.folder()).names().unwrap();
        names.retain(|name| name != "lock" && name != HEALTH);
        names.sort();
        names
    }

    /// Prepares and releases message `ordinal` of a writer.
    fn put(&self, writer: &str, ordinal: u64, channels: &[&dyn Channel]) {
        let message = message_with(writer, ordinal, self.now_s.get());
        self.outbox.prepare(&message, channels).unwrap();
        self.outbox.settle(writer, ordinal + 1).unwrap();
    }

    fn deliver(&self, channels: &[&dyn Channel]) -> Report {
        let pass = Pass { channels, now_s: &|| self.now_s.get(), is_cancelled: &|| false };
        self.outbox.deliver(&pass).unwrap()
    }

    fn wait(&self, seconds: i64) -> &Self {
        self.now_s.set(self.now_s.get() + seconds);
        self
    }
}

#[test]
fn a_message_is_held_until_the_state_counts_it() {
    let (desk, mail) = (Desk::new(), Line::new("mail"));
    let message = message_with("a", 0, 5);
    desk.outbox.prepare(&message, &[&mail]).unwrap();
    assert_eq!(desk.deliver(&[&mail]).delivered, 0);
    desk.outbox.settle("b", 9).unwrap();
    assert_eq!(desk.deliver(&[&mail]).delivered, 0, "another writer's");
    desk.outbox.settle("a", 1).unwrap();
    // Put again, as after a death.
    desk.outbox.prepare(&message, &[&mail]).unwrap();
    assert_eq!(desk.deliver(&[&mail]).delivered, 1);
    assert_eq!(mail.got(), ["a 0"]);
    assert!(desk.names().is_empty());
}

#[test]
fn a_message_that_the_state_does_not_count_is_removed() {
    let (desk, mail) = (Desk::new(), Line::new("mail"));
    desk.outbox.prepare(&message_with("a", 0, 5), &[&mail]).unwrap();
    fs::write(desk.folder().join(format!("{}{HELD}{SCRATCH}", id_of("a", 1, ""))), "half").unwrap();
    desk.outbox.settle("a", 0).unwrap();
    assert!(desk.names().is_empty());
}

#[test]
fn channels_get_what_they_want() {
    let (desk, mail) = (Desk::new(), Line::new("mail"));
    let hook = Line { when: When::Always, ..Line::new("hook") };
    let mut message = message();
    message.when = When::Failed;
    desk.outbox.prepare(&message, &[&mail, &hook]).unwrap();
    desk.outbox.settle("app/wiki", 9).unwrap();
    desk.deliver(&[&mail, &hook]);
    assert_eq!((mail.got().len(), hook.got().len()), (0, 1));
    message.when = When::Always;
    desk.outbox.prepare(&message, &[&mail]).unwrap();
    assert!(desk.names().is_empty(), "nobody wants it");
}

#[test]
fn a_channel_that_is_down_is_asked_again_by_the_timetable_and_given_up() {
    let (desk, mail, hook) = (Desk::new(), Line::new("mail"), Line::new("hook"));
    mail.is_down.set(true);
    desk.put("a", 0, &[&mail, &hook]);
    let mut times = Vec::new();
    let begin_s = desk.now_s.get();
    let mut given_up = Vec::new();
    while desk.now_s.get() < begin_s + 60 * 3_600 {
        let before = mail.asked.get();
        given_up.extend(desk.deliver(&[&mail, &hook]).given_up);
        if mail.asked.get() > before {
            times.push(desk.now_s.get() - begin_s);
        }
        desk.wait(60);
    }
    assert_eq!(times[..5], [0, 60, 360, 2_160, 5_760]);
    assert_eq!(times.len(), TRIES_MAX as usize);
    assert_eq!(hook.got(), ["a 0"], "it does not suffer");
    assert_eq!(given_up.len(), 1);
    assert_eq!((&*given_up[0].channel, &*given_up[0].error), ("mail", "no route"));
    assert!(desk.names().is_empty());
    let health = desk.outbox.health();
    assert_eq!(
        (health.channels["mail"].given_up_in_a_row, health.channels["mail"].failures),
        (1, 52)
    );
    mail.is_down.set(false);
    desk.put("a", 1, &[&mail]);
    desk.deliver(&[&mail, &hook]);
    assert_eq!(desk.outbox.health().channels["mail"].given_up_in_a_row, 0);
}

#[test]
fn messages_of_a_writer_arrive_in_order() {
    let (desk, mail) = (Desk::new(), Line::new("mail"));
    *mail.refuses.borrow_mut() = Some("a 0".to_owned());
    desk.put("a", 0, &[&mail]);
    desk.put("a", 1, &[&mail]);
    desk.put("b", 0, &[&mail]);
    desk.deliver(&[&mail]);
    assert_eq!(mail.got(), ["b 0"], "its own order");
    mail.refuses.take();
    desk.wait(60).deliver(&[&mail]);
    assert_eq!(mail.got(), ["b 0", "a 0", "a 1"]);
}

#[test]
fn a_message_that_is_always_refused_holds_others_up_for_a_while_only() {
    let (desk, mail) = (Desk::new(), Line::new("mail"));
    *mail.refuses.borrow_mut() = Some("a 0".to_owned());
    desk.put("a", 0, &[&mail]);
    desk.put("a", 1, &[&mail]);
    let begin_s = desk.now_s.get();
    while mail.got().is_empty() {
        desk.wait(60).deliver(&[&mail]);
    }
    assert!(desk.now_s.get() - begin_s < 45 * 60);
    assert_eq!(mail.got(), ["a 1"]);
}

#[test]
fn a_dead_channel_costs_two_tries_of_a_pass() {
    let (desk, mail, hook) = (Desk::new(), Line::new("mail"), Line::new("hook"));
    mail.is_down.set(true);
    for writer in 0..50 {
        desk.put(&writer.to_string(), 0, &[&mail, &hook]);
    }
    desk.deliver(&[&mail, &hook]);
    assert_eq!((mail.asked.get(), hook.got().len()), (FAILURES_MAX, 50));
    mail.is_down.set(false);
    assert_eq!(desk.deliver(&[&mail, &hook]).delivered, 48);
    assert_eq!(desk.wait(60).deliver(&[&mail, &hook]).delivered, 2);
}

#[test]
fn a_channel_that_was_removed_gives_its_messages_up_in_the_end() {
    let (desk, mail) = (Desk::new(), Line::new("mail"));
    desk.put("a", 0, &[&mail]);
    desk.put("a", 1, &[&mail]);
    // A process with older settings.
    assert_eq!(desk.deliver(&[]).failures, 1);
    assert_eq!(desk.wait(60).deliver(&[&mail]).delivered, 2);
    desk.put("a", 2, &[&mail]);
    let mut given_up = Vec::new();
    for _ in 0..TRIES_MAX {
        given_up.extend(desk.wait(3_600).deliver(&[]).given_up);
    }
    assert_eq!(given_up.len(), 1);
    assert!(desk.names().is_empty() && desk.outbox.health().channels.is_empty());
}

#[test]
fn damaged_and_hostile_files_are_set_aside_and_said() {
    let (desk, mail) = (Desk::new(), Line::new("mail"));
    desk.put("a", 0, &[&mail]);
    let path = |name: &str| desk.folder().join(name);
    let ready = |ordinal| format!("{}{READY}", id_of("x", ordinal, ""));
    fs::write(path(&ready(0)), "").unwrap();
    fs::write(path(&ready(1)), [0xff; 70_000]).unwrap();
    fs::create_dir(path(&ready(2))).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", path(&ready(3))).unwrap();
    // A message under the name of another, and names that are none.
    fs::copy(path(&desk.names()[0]), path(&ready(4))).unwrap();
    fs::write(path("..json"), "{}").unwrap();
    fs::write(path("ready.json.new"), "half").unwrap();
    fs::write(path("note.txt"), "mine").unwrap();
    fs::write(path(HEALTH), "[[[").unwrap();
    let report = desk.deliver(&[&mail]);
    assert_eq!((report.set_aside.len(), report.delivered), (6, 1));
    assert_eq!(mail.got(), ["a 0"]);
    assert!(desk.names().iter().all(|name| name.ends_with(DAMAGED) || name == "note.txt"));
    assert_eq!(desk.deliver(&[&mail]).set_aside, [""; 0]);
    assert_eq!(desk.outbox.health().channels["mail"].delivered, 1);
}

#[test]
fn files_that_are_set_aside_do_not_pile_up() {
    let (desk, mail) = (Desk::new(), Line::new("mail"));
    desk.put("a", 0, &[&mail]);
    for ordinal in 0..50 {
        let name = format!("{}{READY}", id_of("x", ordinal, ""));
        fs::write(desk.folder().join(name), "x").unwrap();
    }
    assert_eq!(desk.deliver(&[&mail]).set_aside.len(), 50);
    assert_eq!(desk.names().len(), DAMAGED_MAX);
}

#[test]
fn the_oldest_messages_give_way_when_too_many_wait() {
    let (memory, mail) = (Memory::default(), Line::new("mail"));
    let outbox = Outbox::new(&memory);
    mail.is_down.set(true);
    for ordinal in 0..ITEMS_MAX as u64 + 3 {
        let message = message_with("a", ordinal, 1_800_000_000 + ordinal as i64);
        outbox.prepare(&message, &[&mail]).unwrap();
    }
    outbox.settle("a", u64::MAX).unwrap();
    let pass = Pass { channels: &[&mail], now_s: &|| 1_800_100_000, is_cancelled: &|| false };
    let report = outbox.deliver(&pass).unwrap();
    let subjects: Vec<&str> = report.given_up.iter().map(|one| &*one.subject).collect();
    assert_eq!(subjects, ["a 0", "a 1", "a 2"]);
    assert_eq!(report.waiting, ITEMS_MAX);
    // Writers are stopped where nobody delivers at all.
    let refused = (0..2 * ITEMS_MAX as u64)
        .find(|ordinal| outbox.prepare(&message_with("b", *ordinal, 0), &[&mail]).is_err());
    assert!(refused.is_some());
}

#[test]
fn a_clock_set_back_does_not_stop_deliveries() {
    let (desk, mail) = (Desk::new(), Line::new("mail"));
    mail.is_down.set(true);
    desk.put("a", 0, &[&mail]);
    desk.deliver(&[&mail]);
    mail.is_down.set(false);
    assert_eq!(desk.wait(-86_400).deliver(&[&mail]).delivered, 1);
}

#[test]
fn cancelling_stops_before_the_next_try() {
    let (desk, mail) = (Desk::new(), Line::new("mail"));
    desk.put("a", 0, &[&mail]);
    let pass = Pass { channels: &[&mail], now_s: &|| 1_800_000_000, is_cancelled: &|| true };
    let report = desk.outbox.deliver(&pass).unwrap();
    assert_eq!((report.delivered, report.waiting), (0, 1));
}

/// A channel that several threads share.
struct Shared(Mutex<Vec<String>>);

impl Channel for &Shared {
    fn name(&self) -> &str {
        "shared"
    }

    fn when(&self) -> When {
        When::Changed
    }

    fn send(&self, message: &Message) -> Result<(), SendError> {
        lock(&self.0).push(message.subject.clone());
        Ok(())
    }
}

#[test]
fn many_writers_and_deliverers_deliver_each_message_once() {
    const WRITERS: u64 = 8;
    const EACH: u64 = 6;
    let place = tempfile::tempdir().unwrap();
    let shared = Shared(Mutex::default());
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (path, shared) = (place.path(), &shared);
            scope.spawn(move || {
                // As processes do: a descriptor of the lock for each.
                let outbox = Outbox::new(StateFolder::new(path));
                let name = writer.to_string();
                for ordinal in 0..EACH {
                    outbox.prepare(&message_with(&name, ordinal, 0), &[&shared]).unwrap();
                    outbox.settle(&name, ordinal + 1).unwrap();
                    let pass = Pass { channels: &[&shared], now_s: &|| 0, is_cancelled: &|| false };
                    outbox.deliver(&pass).unwrap();
                }
            });
        }
    });
    let mut got = lock(&shared.0).clone();
    assert_eq!(got.len() as u64, WRITERS * EACH, "the last one to leave took all");
    got.sort();
    got.dedup();
    assert_eq!(got.len() as u64, WRITERS * EACH);
}

#[test]
fn a_message_without_an_id_or_too_long_is_not_taken() {
    let (desk, mail) = (Desk::new(), Line::new("mail"));
    let mut message = message();
    message.body = "x".repeat(FILE_MAX_BYTES);
    desk.outbox.prepare(&message, &[&mail]).unwrap_err();
    message.body.clear();
    message.id = "../../etc/passwd".to_owned();
    desk.outbox.prepare(&message, &[&mail]).unwrap_err();
    assert!(desk.names().is_empty());
}
