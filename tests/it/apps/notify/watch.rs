//! What no run tells: apps that are overdue, missed slots, digests, and the heartbeat.

use super::sinks::{HttpSink, Manner};
use super::{STATE, WATCH, change, configure, home, run, run_due, shift};
use crate::support::home::Home;

const DAY_S: i64 = 86_400;

fn with_hook(notify: &str, app: &str) -> (Home, HttpSink) {
    let (home, sink) = (home(), HttpSink::start(Manner::Accepts));
    configure(&home, &format!("webhook = \"{}\"\n{notify}", sink.url("/hook")), app);
    (home, sink)
}

#[test]
fn an_app_that_is_overdue_is_told_once_and_stops_the_heartbeat() {
    let beats = HttpSink::start(Manner::Accepts);
    let ping = format!("ping = \"{}\"", beats.url("/heart"));
    let (home, sink) = with_hook(&ping, "schedule = \"every 1d\"\nmax-age = \"2h\"");
    run_due(&home);
    run_due(&home);
    assert_eq!(beats.lines(), ["POST /heart"], "it is hourly");
    let old = |home: &Home| {
        change(home, STATE, |state| {
            shift(&mut state["repositories"]["box"]["good"]["at_s"], DAY_S)
        });
        change(home, WATCH, |watch| shift(&mut watch["heartbeat_s"], 7_200));
    };
    old(&home);
    run_due(&home);
    run_due(&home);
    assert_eq!(sink.events(), ["wiki overdue"]);
    let body = sink.messages()[0]["body"].as_str().unwrap().to_owned();
    assert!(body.contains("no good backup for too long") && body.contains("Last good:"), "{body}");
    assert_eq!(beats.lines().len(), 1, "an app is overdue");
    // It is told again while it lasts.
    change(&home, STATE, |state| shift(&mut state["told"]["open"][0]["told_s"], 25 * 3_600));
    run_due(&home);
    assert_eq!(sink.events(), ["wiki overdue", "wiki overdue"]);
    assert_eq!(sink.messages()[1]["is_reminder"], true);
    run(&home, 0);
    assert_eq!(sink.events()[2..], ["wiki recovered"]);
    run_due(&home);
    assert_eq!((beats.lines().len(), sink.events().len()), (2, 3));
}

#[test]
fn an_app_that_never_succeeded_is_overdue_after_its_time() {
    let failing = "schedule = \"every 1d\"\nretry = 0\n[[app.wiki.command]]\nname = \"x\"\nrun = \
                   \"exit 3\"";
    let (home, sink) = with_hook("", failing);
    home.run(["run", "--due"]).code(1);
    assert_eq!(sink.events(), ["wiki failed"]);
    change(&home, WATCH, |watch| shift(&mut watch["seen_s"]["wiki"], 4 * DAY_S));
    run_due(&home);
    run_due(&home);
    assert_eq!(sink.events(), ["wiki failed", "wiki overdue"]);
}

#[test]
fn a_clock_that_was_set_back_is_said_and_slots_count_from_now() {
    let (home, _sink) = with_hook("", "schedule = \"every 1h\"");
    run_due(&home);
    change(&home, STATE, |state| shift(&mut state["settled_s"], -3 * DAY_S));
    let said = run_due(&home);
    assert!(said.err.contains("wiki: its last slot is") && said.err.contains("clock"), "{said:?}");
    assert!(said.out.contains("no app is due"), "{said:?}");
    let again = run_due(&home);
    assert!(again.err.is_empty(), "once: {again:?}");
    change(&home, STATE, |state| shift(&mut state["settled_s"], 3_600));
    assert!(run_due(&home).out.contains("nothing has changed"));
}

#[test]
fn missed_slots_are_told_once_with_a_run_or_without() {
    let (home, sink) = with_hook("", "schedule = \"every 1h\"");
    run_due(&home);
    change(&home, STATE, |state| shift(&mut state["settled_s"], 3 * 3_600));
    run_due(&home);
    assert_eq!(sink.events(), ["wiki missed"], "a run makes up for them");
    assert_eq!(sink.messages()[0]["facts"]["missed"], 2);
    // Too old to make up for.
    let hook = format!("webhook = \"{}\"", sink.url("/hook"));
    configure(&home, &hook, "schedule = \"every 1h\"\ncatch-up = \"0s\"");
    change(&home, STATE, |state| {
        shift(&mut state["settled_s"], 2 * 3_600);
        shift(&mut state["told"]["last_missed_s"], 60);
    });
    let ran = run_due(&home);
    assert!(ran.out.contains("no app is due"), "{ran:?}");
    run_due(&home);
    assert_eq!(sink.events(), ["wiki missed", "wiki missed"]);
    assert_eq!(sink.messages()[1]["facts"]["missed"], 2);
    assert_ne!(sink.messages()[0]["id"], sink.messages()[1]["id"]);
}

#[test]
fn a_digest_sums_up_what_happened_since_the_last() {
    let (home, sink) = with_hook("digest = \"every 1h\"", "schedule = \"every 1d\"");
    run_due(&home);
    assert_eq!(sink.events(), [""; 0], "there is nothing to sum up yet");
    home.write("source/file", "second\n");
    run(&home, 0);
    change(&home, WATCH, |watch| {
        shift(&mut watch["digest_s"], 7_200);
        shift(&mut watch["digest_made_s"], 7_200);
    });
    run_due(&home);
    run_due(&home);
    assert_eq!(sink.events(), ["- digest"]);
    let message = &sink.messages()[0];
    let subject = message["subject"].as_str().unwrap();
    assert!(subject.starts_with("drumlin: 1 app is well"), "{subject}");
    let body = message["body"].as_str().unwrap();
    assert!(body.contains("wiki: well; 2 runs;") && body.contains("box: last good"), "{body}");
}

#[test]
fn nothing_is_told_and_little_is_kept_without_a_channel() {
    let home = home();
    configure(&home, "", "schedule = \"every 1d\"\n");
    run_due(&home);
    run_due(&home);
    assert!(!home.path("state/outbox").exists());
    let dry = home.run(["run", "--due", "--dry-run"]).ok();
    assert_eq!(dry.err, "");
}
