//! What runs tell: beginnings and ends of troubles, each once.

use std::fs;
use std::process::Stdio;

use super::sinks::{HttpSink, Manner, wait_until};
use super::{FAILS, STATE, change, configure, home, run, run_due, shift};
use crate::support::home::Home;

fn with_hook(app: &str) -> (Home, HttpSink) {
    let (home, sink) = (home(), HttpSink::start(Manner::Accepts));
    configure(&home, &format!("webhook = \"{}\"", sink.url("/hook")), app);
    (home, sink)
}

#[test]
fn a_failure_is_told_once_and_so_is_its_end() {
    let (home, sink) = with_hook(FAILS);
    run(&home, 1);
    run(&home, 1);
    assert_eq!(sink.events(), ["wiki failed"]);
    let message = &sink.messages()[0];
    assert_eq!(message["severity"], "error");
    let why = message["facts"]["errors"][0].as_str().unwrap();
    assert!(why.contains("exit status: 3"), "{message:#}");
    configure(&home, &format!("webhook = \"{}\"", sink.url("/hook")), "");
    run(&home, 0);
    run(&home, 0);
    assert_eq!(sink.events(), ["wiki failed", "wiki recovered"]);
    let body = sink.messages()[1]["body"].as_str().unwrap().to_owned();
    assert!(body.contains("backup works again") && body.contains("Snapshot:"), "{body}");
}

#[test]
fn each_failed_slot_and_each_run_is_told_to_those_who_want_it() {
    let (home, sink) = (home(), HttpSink::start(Manner::Accepts));
    let hooks = ["changed", "failed", "always"].map(|when| {
        format!(
            "{{ url = \"{}\", name = {when:?}, when = {when:?} }}",
            sink.url(&format!("/{when}"))
        )
    });
    let notify = format!("webhook = [{}]", hooks.join(", "));
    for app in [FAILS, FAILS, "", ""] {
        configure(&home, &notify, app);
        run(&home, if app.is_empty() { 0 } else { 1 });
    }
    let of = |when: &str| {
        let line = format!("POST /{when}");
        let all = sink.asked().into_iter().filter(|asked| asked.line == line);
        all.map(|asked| {
            let message: serde_json::Value = serde_json::from_str(&asked.body).unwrap();
            message["event"].as_str().unwrap().to_owned()
        })
        .collect::<Vec<_>>()
    };
    assert_eq!(of("changed"), ["failed", "recovered"]);
    assert_eq!(of("failed"), ["failed", "failed", "recovered"]);
    assert_eq!(of("always"), ["failed", "failed", "recovered", "done"]);
}

#[test]
fn an_attempt_that_will_be_repeated_is_not_told() {
    let passing = "[[app.wiki.command]]\nname = \"x\"\nrun = \"exit 75\"\n";
    let (home, sink) = with_hook("");
    let hook = format!("webhook = \"{}\"", sink.url("/hook"));
    configure(&home, &hook, &format!("schedule = \"every 1d\"\nretry = 1\n{passing}"));
    let again = || home.run(["run", "--due"]).code;
    assert_eq!(again(), 1);
    assert_eq!(sink.events(), [""; 0], "the first attempt");
    let later = |state: &mut serde_json::Value| shift(&mut state["last"]["ended"], 700);
    change(&home, STATE, later);
    assert_eq!(again(), 1);
    assert_eq!(sink.events(), ["wiki failed"], "the slot is given up");
    change(&home, STATE, later);
    assert_eq!(again(), 0, "nothing is due");
    assert_eq!(sink.events(), ["wiki failed"]);
}

#[test]
fn a_run_that_died_is_told_by_the_next() {
    let before = "before = \"touch begun; test -e go || sleep 1000\"";
    let (home, sink) = with_hook(before);
    let mut first = home.spawn(["run", "wiki"], Stdio::null());
    wait_until("the run", || home.path("begun").exists());
    first.kill().unwrap();
    first.wait().unwrap();
    home.write("go", "");
    run(&home, 0);
    assert_eq!(sink.events(), ["wiki failed", "wiki recovered"]);
    let error = sink.messages()[0]["facts"]["errors"][0].as_str().unwrap().to_owned();
    assert!(error.starts_with("it died"), "{error}");
    run(&home, 0);
    assert_eq!(sink.events().len(), 2);
}

#[test]
fn what_a_killed_process_left_is_told_by_the_next() {
    let (home, sink) = with_hook(FAILS);
    let hangs = HttpSink::start(Manner::Hangs);
    let hook = |sink: &HttpSink| format!("webhook = \"{}\"", sink.url("/hook"));
    configure(&home, &hook(&hangs), FAILS);
    let mut first = home.spawn(["run", "wiki"], Stdio::null());
    wait_until("the message", || !hangs.asked().is_empty());
    first.kill().unwrap();
    first.wait().unwrap();
    configure(&home, &hook(&sink), FAILS);
    super::make_due(&home);
    run(&home, 1);
    assert_eq!(sink.events(), ["wiki failed"], "it may have arrived, and comes again");
    assert_eq!(sink.messages()[0]["id"], hangs.messages()[0]["id"]);
    // A death between the state and the release of its message.
    configure(&home, &hook(&HttpSink::start(Manner::Refuses)), "");
    run(&home, 0);
    let names = super::waiting(&home);
    let [name] = &names[..] else { panic!("{names:?}") };
    let held = name.replace(".json", ".held");
    let outbox = home.path("state/outbox");
    super::make_due(&home);
    fs::rename(outbox.join(name), outbox.join(held)).unwrap();
    configure(&home, &hook(&sink), "");
    run_due(&home);
    assert_eq!(sink.events(), ["wiki failed", "wiki recovered"]);
    assert_eq!(super::waiting(&home), [""; 0]);
}

#[test]
fn a_muted_app_tells_what_is_wrong_once_it_is_no_longer_muted() {
    let (home, sink) = with_hook(&format!("notify = false\n{FAILS}"));
    run(&home, 1);
    assert_eq!(sink.events(), [""; 0]);
    configure(&home, &format!("webhook = \"{}\"", sink.url("/hook")), FAILS);
    run(&home, 1);
    assert_eq!(sink.events(), ["wiki failed"]);
}

#[test]
fn an_alarm_is_told_with_the_run_and_its_end_after_it_was_acknowledged() {
    let (home, sink) = with_hook("");
    (0..40).for_each(|n| drop(home.write(&format!("source/many/{n}"), format!("{n}"))));
    run(&home, 0);
    let gone = (0..20).map(|n| home.path(&format!("source/many/{n}")));
    gone.for_each(|file| fs::remove_file(file).unwrap());
    run(&home, 0);
    assert_eq!(sink.events(), ["wiki shrunk"]);
    let body = sink.messages()[0]["body"].as_str().unwrap().to_owned();
    assert!(body.contains("20 of 41 files are gone"), "{body}");
    run(&home, 0);
    home.run(["apps", "--ack", "wiki"]).ok();
    assert_eq!(sink.events(), ["wiki shrunk"]);
    run_due(&home);
    assert_eq!(sink.events(), ["wiki shrunk", "wiki recovered"]);
}

#[test]
fn damage_is_told_as_damage_and_not_as_two_troubles() {
    let (home, sink) = with_hook("");
    run(&home, 0);
    let config = home.path("repo/config/1");
    fs::rename(&config, home.path("lost")).unwrap();
    run(&home, 4);
    assert_eq!(sink.events(), ["wiki damage"]);
    let message = &sink.messages()[0];
    assert_eq!(message["target"], "box");
    assert!(message["facts"]["hint"].as_str().unwrap().contains("drumlin repair"), "{message:#}");
    fs::rename(home.path("lost"), &config).unwrap();
    run(&home, 0);
    assert_eq!(sink.events(), ["wiki damage", "wiki recovered"]);
}
