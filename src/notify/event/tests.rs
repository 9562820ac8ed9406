//! Goal: each event is told once, reminders come while it lasts, and its end is told once.
//!
//! Method: short histories with the messages that must come of them. The simulation tries the rest.

use super::*;

const DAY_S: i64 = 86_400;

fn rules() -> Rules {
    Rules {
        writer: "app/wiki".to_owned(),
        app: Some("wiki".to_owned()),
        targets: vec!["box".to_owned(), "usb".to_owned()],
        remind_s: Some(DAY_S),
        is_muted: false,
    }
}

fn happening(what: Happened) -> Happening {
    let errors = vec!["cannot reach postgres://u:geheim@db\nx".to_owned()];
    Happening { what, facts: Facts { errors, ..Facts::default() } }
}

fn run(run: u32, outcome: Outcome) -> Happened {
    Happened::RunEnded { run: run.to_string(), outcome }
}

fn behind(target: &str) -> Trouble {
    Trouble::of_target(TroubleKind::Behind, target)
}

#[test]
fn what_is_seen_at_once_is_one_message() {
    let damage = Trouble::of_target(TroubleKind::Damage, "box");
    let mut writer = Writer::new();
    let holds = |trouble: &Trouble| Happened::Holds { trouble: trouble.clone(), since_s: 5 };
    let failed = Happened::Together(vec![run(1, Outcome::Failed), holds(&damage)]);
    let notice = writer.see(failed.clone()).unwrap();
    assert_eq!(notice.event, Event::Trouble(TroubleKind::Damage));
    let open: Vec<TroubleKind> = notice.open.iter().map(|open| open.trouble.kind).collect();
    assert_eq!(open, [TroubleKind::Failed], "the other is listed");
    assert_eq!(writer.see(failed), None, "it was told");
    let again = Happened::Together(vec![run(2, Outcome::Failed), holds(&damage)]);
    assert_eq!(writer.hear(again), "failed! Failed");
    let shrunk = Trouble::of_app(TroubleKind::Shrunk);
    let better = vec![run(3, Outcome::Good), Happened::Ended(damage), holds(&shrunk)];
    let notice = writer.see(Happened::Together(better)).unwrap();
    assert_eq!(notice.event, Event::Trouble(TroubleKind::Shrunk));
    assert_eq!((notice.ended.len(), notice.open.len()), (2, 0));
    let nothing = vec![Happened::Ended(shrunk.clone()), Happened::Look];
    assert_eq!(writer.hear(Happened::Together(nothing.clone())), "recovered Changed");
    assert_eq!(writer.see(Happened::Together(nothing)), None);
}

/// A writer with its memory and its clock.
struct Writer {
    told: Told,
    rules: Rules,
    now_s: i64,
}

impl Writer {
    fn new() -> Self {
        Self { told: Told::default(), rules: rules(), now_s: 1_800_000_000 }
    }

    fn see(&mut self, what: Happened) -> Option<Notice> {
        let step = step(&self.told, &happening(what), &self.rules, self.now_s);
        let stored = serde_json::to_string(&step.told).unwrap();
        self.told = serde_json::from_str(&stored).unwrap();
        assert_eq!(self.told, step.told);
        step.notice
    }

    /// Returns a message in short: its name, `!` for a reminder, and the least to want.
    fn hear(&mut self, what: Happened) -> String {
        let Some(notice) = self.see(what) else { return String::new() };
        let mark = if notice.is_reminder { "!" } else { "" };
        let target = notice.target.map(|target| format!(" {target}")).unwrap_or_default();
        format!("{}{mark}{target} {:?}", notice.event.name(), notice.when)
    }

    fn wait(&mut self, seconds: i64) -> &mut Self {
        self.now_s += seconds;
        self
    }
}

#[test]
fn a_failure_is_told_once_and_so_is_its_end() {
    let mut app = Writer::new();
    assert_eq!(app.hear(run(1, Outcome::Good)), "done Always");
    assert_eq!(app.hear(run(2, Outcome::Failed)), "failed Changed");
    assert_eq!(app.hear(run(2, Outcome::Failed)), "", "the same run");
    assert_eq!(app.wait(3_600).hear(run(3, Outcome::Failed)), "failed! Failed");
    assert_eq!(app.hear(run(4, Outcome::Good)), "recovered Changed");
    assert_eq!(app.hear(run(5, Outcome::Good)), "done Always");
    assert_eq!(app.told.next, 5);
}

#[test]
fn reminders_come_while_it_lasts_and_no_longer() {
    let mut app = Writer::new();
    app.hear(run(1, Outcome::Failed));
    assert_eq!(app.wait(DAY_S - 1).hear(Happened::Look), "");
    assert_eq!(app.wait(1).hear(Happened::Look), "failed! Changed");
    assert_eq!(app.hear(Happened::Look), "");
    assert_eq!(app.wait(DAY_S).hear(Happened::Look), "failed! Changed");
    app.hear(run(2, Outcome::Good));
    assert_eq!(app.wait(9 * DAY_S).hear(Happened::Look), "");
}

#[test]
fn a_run_that_fails_again_takes_the_place_of_the_reminder() {
    let mut app = Writer::new();
    app.hear(run(1, Outcome::Failed));
    assert_eq!(app.wait(DAY_S - 60).hear(run(2, Outcome::Failed)), "failed! Changed");
    assert_eq!(app.wait(120).hear(Happened::Look), "");
}

#[test]
fn one_message_reminds_of_all() {
    let mut app = Writer::new();
    app.hear(Happened::Holds { trouble: behind("box"), since_s: 0 });
    app.wait(3_600).hear(run(1, Outcome::Failed));
    let notice = app.wait(DAY_S).see(Happened::Look).unwrap();
    assert_eq!(notice.event, Event::Trouble(TroubleKind::Failed));
    assert_eq!(notice.open.iter().map(|open| &open.trouble).collect::<Vec<_>>(), [&behind("box")]);
    assert_eq!(app.wait(3_600).hear(Happened::Look), "");
}

#[test]
fn a_partial_run_ends_a_failure_in_the_same_message() {
    let mut app = Writer::new();
    app.hear(run(1, Outcome::Failed));
    app.hear(Happened::Holds { trouble: Trouble::of_app(TroubleKind::Overdue), since_s: 0 });
    let notice = app.see(run(2, Outcome::Partial)).unwrap();
    assert_eq!(notice.event, Event::Trouble(TroubleKind::Partial));
    assert_eq!(notice.ended[0].trouble, Trouble::of_app(TroubleKind::Failed));
    assert_eq!(notice.open[0].trouble, Trouble::of_app(TroubleKind::Overdue));
    assert_eq!(app.hear(run(3, Outcome::Partial)), "partial! Always");
    assert_eq!(app.hear(run(4, Outcome::Failed)), "failed Changed");
    // It was partial before, and that was told.
    assert_eq!(app.hear(run(5, Outcome::Partial)), "recovered Changed");
    let notice = app.see(run(6, Outcome::Good)).unwrap();
    assert_eq!(notice.ended.len(), 2, "partial and overdue end together");
}

#[test]
fn targets_are_troubled_each_on_its_own() {
    let mut app = Writer::new();
    let holds = |target| Happened::Holds { trouble: behind(target), since_s: 1 };
    assert_eq!(app.hear(holds("box")), "behind box Changed");
    assert_eq!(app.hear(holds("box")), "");
    assert_eq!(app.hear(holds("usb")), "behind usb Changed");
    assert_eq!(app.hear(Happened::Ended(behind("box"))), "recovered box Changed");
    assert_eq!(app.hear(Happened::Ended(behind("box"))), "");
    app.rules.targets = vec!["box".to_owned()];
    assert_eq!(app.hear(Happened::Ended(behind("usb"))), "", "it was removed from the settings");
}

#[test]
fn moments_are_told_once_for_each_slot() {
    let mut app = Writer::new();
    assert_eq!(app.hear(Happened::Missed(100)), "missed Changed");
    assert_eq!(app.hear(Happened::Missed(100)), "");
    assert_eq!(app.hear(Happened::Missed(50)), "missed Changed", "the clock was wrong before");
    assert_eq!(app.hear(Happened::Digest(7)), "digest Changed");
    assert_eq!(app.hear(Happened::Digest(7)), "");
}

#[test]
fn a_muted_app_says_nothing_and_then_what_is_wrong() {
    let mut app = Writer::new();
    app.rules.is_muted = true;
    assert_eq!(app.hear(run(1, Outcome::Failed)), "");
    app.rules.is_muted = false;
    assert_eq!(app.hear(run(2, Outcome::Failed)), "failed Changed");
    app.rules.is_muted = true;
    assert_eq!(app.hear(run(3, Outcome::Good)), "");
    app.rules.is_muted = false;
    assert_eq!(app.hear(run(4, Outcome::Good)), "done Always", "the failure was forgotten");
}

#[test]
fn a_clock_that_jumps_neither_repeats_nor_loses() {
    let mut app = Writer::new();
    app.hear(run(1, Outcome::Failed));
    // Ten years forward, and back.
    assert_eq!(app.wait(3_650 * DAY_S).hear(Happened::Look), "failed! Changed");
    assert_eq!(app.wait(-3_650 * DAY_S).hear(Happened::Look), "");
    assert_eq!(app.wait(DAY_S).hear(Happened::Look), "failed! Changed");
    assert_eq!(app.hear(run(2, Outcome::Good)), "recovered Changed");
}

#[test]
fn no_reminders_where_none_are_wanted_and_extremes_do_no_harm() {
    let mut app = Writer::new();
    app.rules.remind_s = None;
    app.hear(run(1, Outcome::Failed));
    assert_eq!(app.wait(999 * DAY_S).hear(Happened::Look), "");
    app.rules.remind_s = Some(i64::MIN);
    app.now_s = i64::MAX;
    assert_eq!(app.hear(Happened::Look), "failed! Changed");
    app.now_s = i64::MIN;
    assert_eq!(app.hear(Happened::Look), "");
}

#[test]
fn the_memory_stays_small_and_holds_no_secret() {
    let mut app = Writer::new();
    app.rules.targets = (0..OPEN_MAX + 9).map(|target| target.to_string()).collect();
    for target in app.rules.targets.clone() {
        app.see(Happened::Holds { trouble: behind(&target), since_s: 0 });
    }
    assert_eq!(app.told.open.len(), OPEN_MAX);
    assert_eq!(app.told.open[0].why.as_deref(), Some("cannot reach postgres://db x"));
    assert_eq!(serde_json::from_str::<Told>("{}").unwrap(), Told::default());
}
