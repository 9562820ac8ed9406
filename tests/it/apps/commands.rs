//! Commands whose output is backed up, as a user would write them: real programs on this host.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use drumlin::monitor::{Monitor, in_words};
use drumlin::sources::shell_command::{Action, CommandSettings, Part, plan};

use super::kept_files::{dump_one, dump_slowly};

fn settings(action: Action) -> CommandSettings {
    CommandSettings {
        section: "app.wiki.command".to_owned(),
        name: "dumps/out".to_owned(),
        action,
        size_min_bytes: 1,
    }
}

fn run(line: &str) -> Action {
    Action::Run(line.to_owned())
}

fn pipe(lines: &[&str]) -> Action {
    Action::Pipe(lines.iter().map(|line| Part::Line((*line).to_owned())).collect())
}

fn dump(action: Action, monitor: &Arc<Monitor>) -> io::Result<Vec<u8>> {
    dump_one(plan(&settings(action), None, monitor)?.source)
}

#[test]
fn large_output_comes_whole_through_either() {
    let numbers: String = (1..=1_000_000).map(|number| format!("{number}\n")).collect();
    let monitor = Arc::default();
    for action in [run("seq 1000000 | gzip | zcat"), pipe(&["seq 1000000", "gzip -1", "gzip -dc"])]
    {
        assert!(dump(action, &monitor).unwrap() == numbers.as_bytes());
    }
}

#[test]
fn a_dump_that_dies_before_a_pipe_is_no_dump() {
    let monitor = Arc::default();
    for action in [
        run("(echo 'CREATE TABLE t'; echo 'server gone' >&2; exit 2) | gzip"),
        pipe(&["sh -c 'echo \"CREATE TABLE t\"; echo \"server gone\" >&2; exit 2'", "gzip"]),
    ] {
        let said = in_words(&dump(action, &monitor).unwrap_err());
        assert!(said.contains("exit status: 2") && said.ends_with("server gone"), "{said}");
    }
}

#[test]
fn a_reader_that_is_slow_does_not_change_the_output() {
    let planned = plan(&settings(pipe(&["seq 300000", "cat"])), None, &Arc::default()).unwrap();
    let files = dump_slowly(planned.source, Duration::from_millis(20)).unwrap();
    let numbers: String = (1..=300_000).map(|number| format!("{number}\n")).collect();
    assert!(files[""] == numbers.as_bytes());
}

#[test]
fn a_command_that_hangs_ends_with_the_backup() {
    for action in [run("echo x; sleep 1000"), pipe(&["sh -c 'echo x; sleep 1000'", "cat"])] {
        let monitor = Arc::new(Monitor::default());
        let begun = Instant::now();
        std::thread::scope(|scope| {
            let dump = scope.spawn(|| dump(action.clone(), &monitor));
            std::thread::sleep(Duration::from_millis(300));
            monitor.cancel();
            assert!(in_words(&dump.join().unwrap().unwrap_err()).contains("interrupted"));
        });
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
}
