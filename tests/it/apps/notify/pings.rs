//! Pings of an app: begun, well, failed, with the id of the run.

use super::sinks::{HttpSink, Manner};
use super::{FAILS, configure, home, run};
use crate::support::home::Home;

fn with_ping(ping: &str, app: &str) -> Home {
    let home = home();
    configure(&home, "", &format!("ping = {ping}\n{app}"));
    home
}

/// Returns path and id of the run of each ping.
fn pings(sink: &HttpSink) -> Vec<(String, String)> {
    let split = |line: String| {
        let (path, id) = line.split_once("?rid=").expect("an id");
        (path.to_owned(), id.to_owned())
    };
    sink.lines().into_iter().map(split).collect()
}

#[test]
fn a_run_pings_its_beginning_and_its_end() {
    let sink = HttpSink::start(Manner::Accepts);
    let url = format!("\"{}\"", sink.url("/ping/uuid"));
    let home = with_ping(&url, "");
    run(&home, 0);
    configure(&home, "", &format!("ping = {url}\n{FAILS}"));
    run(&home, 1);
    let asked = pings(&sink);
    let paths: Vec<&str> = asked.iter().map(|(path, _)| path.as_str()).collect();
    let (begun, ok, failed) = ("POST /ping/uuid/start", "POST /ping/uuid", "POST /ping/uuid/fail");
    assert_eq!(paths, [begun, ok, begun, failed]);
    assert!(asked[0].1 == asked[1].1 && asked[2].1 == asked[3].1 && asked[0].1 != asked[2].1);
    let text = &sink.asked()[3].body;
    assert!(text.contains("wiki: failed") && text.contains("exit status: 3"), "{text}");
    assert!(sink.asked()[1].body.contains("snapshot: "));
}

#[test]
fn a_run_that_is_left_out_pings_nothing_and_a_partial_one_fails() {
    let sink = HttpSink::start(Manner::Accepts);
    let url = format!("\"{}\"", sink.url("/p"));
    let home = with_ping(&url, "before = \"exit 75\"");
    run(&home, 0);
    assert_eq!(sink.lines(), [""; 0]);
    configure(&home, "", &format!("ping = {url}\nbefore = \"exit 1\""));
    run(&home, 1);
    let home = with_ping(&url, "");
    let text = home.read("drumlin.toml").replace("\"source\"", "[\"source\", \"missing\"]");
    home.write("drumlin.toml", text);
    run(&home, 3);
    let paths: Vec<String> = pings(&sink).into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["POST /p/fail", "POST /p/start", "POST /p/fail"]);
    home.run(["run", "wiki", "--dry-run"]).code(3);
    assert_eq!(sink.lines().len(), 3);
}

#[test]
fn other_services_and_services_that_are_away() {
    let sink = HttpSink::start(Manner::Accepts);
    let url = sink.url("/api/push/token");
    let home = with_ping(&format!("{{ url = \"{url}\", style = \"uptime-kuma\" }}"), "");
    run(&home, 0);
    let lines = sink.lines();
    assert!(lines.len() == 1 && lines[0].starts_with("GET /api/push/token?status=up&msg="));
    let refuses = HttpSink::start(Manner::Refuses);
    let home = with_ping(&format!("\"{}\"", refuses.url("/secret")), "");
    let ran = run(&home, 0);
    assert!(ran.err.contains("its ping did not arrive: localhost: 503"), "{ran:?}");
    assert!(!ran.err.contains("secret"), "{ran:?}");
}

#[test]
fn a_state_that_cannot_be_written_is_a_failure_there() {
    let sink = HttpSink::start(Manner::Accepts);
    let app = "after = \"rm -r state/apps/wiki && touch state/apps/wiki\"";
    let home = with_ping(&format!("\"{}\"", sink.url("/p")), app);
    run(&home, 1);
    let paths: Vec<String> = pings(&sink).into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["POST /p/start", "POST /p/fail"]);
}
