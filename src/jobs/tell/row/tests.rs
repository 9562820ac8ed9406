//! Goal: each event of an app is told once, whenever the process dies.
//!
//! Method: the real state machine and outbox over a folder in memory, which dies before or after
//! each of its changes. The state of the app is in the same folder.

use std::cell::RefCell;

use jiff::tz::TimeZone;

use super::super::events::AppView;
use super::super::teller::take;
use super::*;
use crate::jobs::state::{Alarm, AlarmKind, AppState, RunRecord, RunStatus};
use crate::jobs::timetable::Timetable;
use crate::notify::tests::memory::{Death, Memory};
use crate::notify::{Pass, SendError};
use crate::settings::app::AppSettings;
use crate::settings::environment::Environment;
use crate::settings::notify::When;

const NOW_S: i64 = 1_800_000_000;

/// A channel that notes subjects.
#[derive(Default)]
struct Line {
    got: RefCell<Vec<String>>,
}

impl Channel for &'static Line {
    fn name(&self) -> &str {
        "line"
    }

    fn when(&self) -> When {
        When::Changed
    }

    fn send(&self, message: &Message) -> Result<(), SendError> {
        self.got.borrow_mut().push(message.subject.clone());
        Ok(())
    }
}

fn stored(disk: &Memory) -> AppState {
    serde_json::from_slice(&disk.stored("state").unwrap()).unwrap()
}

fn store(disk: &Memory, state: &AppState) -> io::Result<()> {
    Folder::write(&disk, "state", &serde_json::to_vec(state).unwrap())
}

/// Does what a process does: tells what waits, and delivers.
fn process(disk: &Memory, line: &'static Line, now_s: i64) -> io::Result<()> {
    let mut state = stored(disk);
    let app = AppSettings::default();
    let times = Timetable::of("wiki", &app, &Environment::default()).unwrap();
    let view =
        AppView { app: &app, state: &state, times: &times, seen_s: None, is_watched: false, now_s };
    let (sayings, told) = (view.sayings(), state.told.clone());
    let all: Vec<&Saying> = sayings.iter().map(|one| &one.saying).collect();
    let outbox = Outbox::new(disk);
    let channels: [Box<dyn Channel>; 1] = [Box::new(line)];
    let row = Row {
        outbox: &outbox,
        channels: &channels,
        place: &Place { host: "vault".to_owned(), zone: TimeZone::UTC, remind_s: None },
        rules: Rules {
            writer: "app/wiki".to_owned(),
            app: Some("wiki".to_owned()),
            targets: Vec::new(),
            remind_s: None,
            is_muted: false,
        },
        now_s,
    };
    row.tell(&told, &all, |told, count| {
        state.told = told;
        take(&mut state, &sayings[..count]);
        store(disk, &state)
    })?;
    let channels: [&dyn Channel; 1] = [&line];
    let pass = Pass { channels: &channels, now_s: &|| now_s, is_cancelled: &|| false };
    outbox.deliver(&pass).map(drop)
}

fn run(name: &str, status: RunStatus) -> RunRecord {
    let error = (status == RunStatus::Failed).then(|| "no".to_owned());
    RunRecord { run: name.to_owned(), status, error, ended: NOW_S, ..RunRecord::default() }
}

/// Returns a state in which two missed slots, a run that failed and a good one wait, and an alarm
/// is there.
fn waiting() -> AppState {
    let mut state = AppState::default();
    state.untold.add_missed(2, NOW_S - 9);
    state.untold.add_run(&run("a", RunStatus::Failed));
    state.untold.add_run(&run("b", RunStatus::Done));
    let what = "9 of 9 files are gone".to_owned();
    Alarm { kind: AlarmKind::Shrunk, what, since_s: NOW_S }.note(&mut state.alarms);
    state
}

const SUBJECTS: [&str; 3] = [
    "wiki: 2 backups missed (vault)",
    "wiki: backup failed (vault)",
    "wiki: much of the source is gone (vault)",
];

#[test]
fn each_event_is_told_once_whenever_the_process_dies() {
    let (mut deaths, mut repeated) = (0, 0);
    for at in 0.. {
        let mut died = false;
        for death in [Death::Before, Death::After] {
            let (disk, line) = (Memory::default(), &*Box::leak(Box::<Line>::default()));
            store(&disk, &waiting()).unwrap();
            disk.die_after(at, death);
            let ended = process(&disk, line, NOW_S);
            let is_dead = disk.revive();
            assert_eq!(ended.is_err(), is_dead, "{ended:?}");
            died |= is_dead;
            // A try that was recorded is repeated after a while.
            for hours in 1..3 {
                process(&disk, line, NOW_S + hours * 3_600).unwrap();
            }
            let got = line.got.borrow().clone();
            // A death between a delivery and its record may repeat that one message.
            let mut once = got.clone();
            once.dedup();
            assert_eq!(once, SUBJECTS, "death {death:?} in change {at}");
            assert!(got.len() <= SUBJECTS.len() + usize::from(is_dead), "{got:?}");
            repeated += got.len() - SUBJECTS.len();
            assert_eq!(stored(&disk).untold, Default::default());
        }
        if !died {
            break;
        }
        deaths += 1;
    }
    assert!(deaths > 12 && repeated > 0, "{deaths} deaths, {repeated} repetitions");
}

#[test]
fn nothing_is_written_when_there_is_nothing_to_tell() {
    let (disk, line) = (Memory::default(), &*Box::leak(Box::<Line>::default()));
    store(&disk, &waiting()).unwrap();
    process(&disk, line, NOW_S).unwrap();
    let state = stored(&disk);
    let app = AppSettings::default();
    let times = Timetable::of("wiki", &app, &Environment::default()).unwrap();
    let view = AppView {
        app: &app,
        state: &state,
        times: &times,
        seen_s: None,
        is_watched: false,
        now_s: NOW_S + 60,
    };
    let sayings = view.sayings();
    assert_eq!(sayings.len(), 1, "only what lasts is looked at");
    assert!(sayings.iter().all(|one| one.runs == 0 && !one.has_missed));
    assert_eq!(line.got.borrow().len(), SUBJECTS.len());
}
