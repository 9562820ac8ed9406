//! Goal: pings say what the services read, and no more than they should.
//!
//! Method: an HTTP server on this machine that records.

use std::time::Duration;

use super::super::tests::servers::{HttpRules, HttpServer, reach};
use super::*;
use crate::settings::notify::Secret;

fn pinger(server: &HttpServer, path: &str, style: PingStyle) -> Pinger {
    let settings = PingSettings { url: Secret(server.url("http", path)), style };
    Pinger::new(&settings, &reach(Duration::from_secs(15))).unwrap()
}

#[test]
fn healthchecks_get_beginning_and_end_of_a_run() {
    let server = HttpServer::start(HttpRules::default());
    let pinger = pinger(&server, "/ping/uuid", PingStyle::Healthchecks);
    pinger.ping(Signal::Start, Some("r1"), "").unwrap();
    pinger.ping(Signal::Success, Some("r1"), "added 1 MiB").unwrap();
    pinger.ping(Signal::Failure, Some("r2"), "a\u{1b}\npgpassword=geheim").unwrap();
    pinger.ping(Signal::Success, None, "").unwrap();
    let asked = server.asked();
    let rid = uuid_of("r1");
    assert_eq!(asked[0].line, format!("POST /ping/uuid/start?rid={rid}"));
    assert_eq!(asked[1].line, format!("POST /ping/uuid?rid={rid}"));
    assert_eq!(asked[1].body, "added 1 MiB");
    assert_eq!(asked[2].line, format!("POST /ping/uuid/fail?rid={}", uuid_of("r2")));
    assert_eq!(asked[2].body, "a\\x1b\npgpassword=***");
    assert_eq!(asked[3].line, "POST /ping/uuid");
}

#[test]
fn a_query_of_the_users_stays() {
    let server = HttpServer::start(HttpRules::default());
    let pinger = pinger(&server, "/key/slug/?create=1", PingStyle::Healthchecks);
    pinger.ping(Signal::Start, Some("r1"), "").unwrap();
    pinger.ping(Signal::Failure, None, "").unwrap();
    let asked = server.asked();
    assert_eq!(asked[0].line, format!("POST /key/slug/start?create=1&rid={}", uuid_of("r1")));
    assert_eq!(asked[1].line, "POST /key/slug/fail?create=1");
}

#[test]
fn texts_are_cut_to_ten_kibibytes() {
    let server = HttpServer::start(HttpRules::default());
    let pinger = pinger(&server, "/x", PingStyle::Healthchecks);
    pinger.ping(Signal::Failure, None, &"é\n".repeat(1 << 20)).unwrap();
    let len = server.asked()[0].body.len();
    assert!((TEXT_MAX_BYTES - 4..=TEXT_MAX_BYTES).contains(&len), "{len}");
}

#[test]
fn uptime_kuma_gets_status_and_text_in_the_query() {
    let server = HttpServer::start(HttpRules::default());
    let pinger = pinger(&server, "/api/push/key?status=up&msg=OK&ping=", PingStyle::UptimeKuma);
    pinger.ping(Signal::Start, Some("r1"), "x").unwrap();
    pinger.ping(Signal::Success, Some("r1"), "ok & well\nÄ").unwrap();
    pinger.ping(Signal::Failure, None, "").unwrap();
    let lines: Vec<String> = server.asked().into_iter().map(|asked| asked.line).collect();
    assert_eq!(
        lines,
        [
            "GET /api/push/key?status=up&msg=ok%20%26%20well%20%C3%84&ping=",
            "GET /api/push/key?status=down&msg=&ping=",
        ]
    );
}

#[test]
fn a_refusal_names_the_host_only() {
    let answer = "404 Not Found".to_owned();
    let server = HttpServer::start(HttpRules { answer, ..HttpRules::default() });
    let pinger = pinger(&server, "/secret", PingStyle::Healthchecks);
    let error = pinger.ping(Signal::Success, None, "").unwrap_err();
    assert_eq!(error.0, "localhost: 404 Not Found");
}

#[test]
fn the_heart_beats_hourly_while_all_is_well() {
    assert!(is_heartbeat_due(None, 0, false));
    assert!(!is_heartbeat_due(None, 0, true));
    assert!(!is_heartbeat_due(Some(0), HEARTBEAT_S - 1, false));
    assert!(is_heartbeat_due(Some(0), HEARTBEAT_S, false));
    assert!(is_heartbeat_due(Some(9), 0, false), "the clock was set back");
    assert!(is_heartbeat_due(Some(i64::MIN), i64::MAX, false));
}

#[test]
fn ids_of_runs_become_uuids() {
    let uuid = uuid_of("2026-12-01T03:10:00Z-1");
    assert_eq!(uuid.len(), 36);
    assert_eq!((&uuid[14..15], uuid_of("r1") == uuid_of("r2")), ("8", false));
    assert!(matches!(uuid.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
}
