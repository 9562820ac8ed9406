//! Goal: an engine may send anything, or nothing, and the caller gets an error in time, and never a
//! success that was none. Method: an engine of the tests' own on a real socket, as dishonest as it
//! is told to be.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::de::IgnoredAny;

use super::cancel::{Process, end_process};
use super::connection::Deadline;
use super::fake_tests::{self as fake, Fake, Reply, frame, json};
use super::http::Request;
use super::{Engine, Error, Exec, ExecReader, ExecWriter, Fault};
use crate::monitor::Monitor;

/// A limit that no test comes near on a busy machine.
const SOON: Duration = Duration::from_secs(20);

fn exec() -> Exec {
    let command = vec!["pg_dump".into(), "wiki".into()];
    Exec { container: "db".into(), command, ..Exec::default() }
}

fn in_words(error: &dyn std::error::Error) -> String {
    crate::monitor::in_words(error)
}

/// Reads a command to its end and finishes it, as a backup does.
fn dump(engine: &Engine) -> Result<Vec<u8>, String> {
    let monitor = Arc::new(Monitor::default());
    let mut reader =
        ExecReader::open(engine, &exec(), &monitor).map_err(|error| in_words(&error))?;
    let mut dump = Vec::new();
    reader.read_to_end(&mut dump).map_err(|error| in_words(&error))?;
    reader.finish().map_err(|error| in_words(&error)).map(|()| dump)
}

/// Starts an engine that streams `stream` and then tells `state`.
fn engine_with(stream: Vec<u8>, state: &'static str) -> Fake {
    Fake::start(move |request| match request {
        _ if request.contains("/wait") => fake::witness(),
        _ if request.contains("/containers/db/exec") => json("201 Created", r#"{"Id":"e1"}"#),
        _ if request.contains("/exec/e1/start") => {
            Reply::Close([fake::UPGRADED.as_bytes(), &stream].concat())
        }
        _ => json("200 OK", state),
    })
}

const GOOD: &str = r#"{"Running":false,"ExitCode":0,"Pid":7,"CanRemove":false}"#;

#[test]
fn a_dump_is_good_only_with_frames_an_end_and_code_0() {
    let stream = [frame(1, b"create"), frame(2, b"note"), frame(1, b" table")].concat();
    assert_eq!(dump(&engine_with(stream.clone(), GOOD).engine()).unwrap(), b"create table");
    let cut = stream[..stream.len() - 1].to_vec();
    let cut_header = stream[..stream.len() - 8 - 6 + 3].to_vec();
    let of_engine = [stream.clone(), frame(3, b"no space")].concat();
    for (stream, state, why) in [
        (stream.clone(), r#"{"Running":false,"ExitCode":1,"Pid":7}"#, "failed with code 1: note"),
        (stream.clone(), r#"{"Running":false,"ExitCode":-1,"Pid":7}"#, "failed with code -1"),
        (stream.clone(), r#"{"Running":true,"ExitCode":null,"Pid":7}"#, "did not end"),
        (stream.clone(), r#"{"Running":true,"ExitCode":0,"Pid":7}"#, "did not end"),
        (stream.clone(), r#"{"Running":false,"ExitCode":null,"Pid":0}"#, "did not end"),
        (stream.clone(), "{}", "not understood"),
        (stream.clone(), "[]", "not understood"),
        (cut, GOOD, "was cut off: note"),
        (cut_header, GOOD, "was cut off"),
        (b"create table".to_vec(), GOOD, "the stream has no frames"),
        (frame(0, b"x"), GOOD, "the stream has no frames"),
        (of_engine, GOOD, "was broken off by the engine: noteno space"),
    ] {
        let error = dump(&engine_with(stream, state).engine()).unwrap_err();
        assert!(error.contains(why) && error.contains("pg_dump"), "{why}: {error}");
    }
}

#[test]
fn a_command_that_outlived_its_engine_has_failed_whatever_its_code() {
    let stream = [frame(1, b"half"), frame(2, b"note")].concat();
    let engine = |server: &'static str, witness: Reply| {
        let stream = stream.clone();
        Fake::start(move |request| match request {
            _ if request.contains("/wait") => witness.clone(),
            _ if request.contains("/containers/db/exec") => {
                json(&format!("201 Created\r\nServer: {server}"), r#"{"Id":"e1"}"#)
            }
            _ if request.contains("/start") => {
                Reply::Close([fake::UPGRADED.as_bytes(), &stream].concat())
            }
            _ => json("200 OK", GOOD),
        })
    };
    let Reply::Hold(head) = fake::witness() else { panic!("it waits") };
    let stopped = [&head[..], b"10\r\n{\"StatusCode\":0}\r\n0\r\n\r\n"].concat();
    for dead in [Reply::Close(head.clone()), Reply::Hold(stopped.clone()), Reply::Close(stopped)] {
        let error = dump(&engine("Libpod/4.3.1 (linux)", dead).engine()).unwrap_err();
        assert!(error.contains("lost its engine or its container") && error.ends_with("note"));
    }
    assert_eq!(dump(&engine("Libpod/4.3.1 (linux)", fake::witness()).engine()).unwrap(), b"half");
    let refused = json("403 Forbidden", "");
    assert!(dump(&engine("x", refused.clone()).engine()).unwrap_err().contains("cannot watch"));
    // Docker has a better way, and a proxy may cut a silent connection.
    let docker = engine("Docker/29.0.0 (linux)", refused);
    assert_eq!(dump(&docker.engine()).unwrap(), b"half");
    assert!(docker.requests().iter().all(|request| !request.contains("/wait")));
}

#[test]
fn docker_s_reason_for_not_starting_is_in_the_message() {
    let stream = frame(1, b"exec: \"pg_dump\": executable file not found in $PATH\r\n");
    let fake = engine_with(stream, r#"{"Running":false,"ExitCode":127,"Pid":0}"#);
    let error = dump(&fake.engine()).unwrap_err();
    assert!(error.ends_with("code 127: exec: \"pg_dump\": executable file not found in $PATH"));
}

#[test]
fn a_refused_start_is_no_stream() {
    for (reply, why) in [
        (json("409 Conflict", r#"{"message":"container db is not running"}"#), "is not running"),
        (json("200 OK", "{}"), "did not switch to a stream (status 200)"),
        (json("404 Not Found", ""), "no reason given (status 404)"),
    ] {
        let fake = Fake::start(move |request| match request {
            _ if request.contains("/wait") => fake::witness(),
            _ if request.contains("/containers/db/exec") => json("201 Created", r#"{"Id":"e1"}"#),
            _ if request.contains("/start") => reply.clone(),
            _ => json("404 Not Found", ""),
        });
        let error = dump(&fake.engine()).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn an_id_that_would_change_the_path_is_refused() {
    for id in ["../containers/db/stop?", "", "e1/x", "e1 HTTP/1.1\\r\\n"] {
        let body = format!(r#"{{"Id":"{id}"}}"#);
        let fake = Fake::start(move |_| json("201 Created", &body));
        assert!(dump(&fake.engine()).unwrap_err().contains("is not the name"), "{id}");
        assert_eq!(fake.requests().len(), 1);
    }
}

/// Asks with little patience.
fn ask_for_200_ms(engine: &Engine) -> Error {
    let request = Request { method: "GET", target: "/x", body: &[], is_upgrade: false };
    let start = Instant::now();
    let answer = engine.document::<IgnoredAny>(
        "look",
        &request,
        Deadline::after(Duration::from_millis(200)),
    );
    assert!(start.elapsed() < SOON);
    answer.expect_err("no answer can be understood")
}

#[test]
fn an_engine_that_hangs_is_left() {
    let silent = Fake::start(|_| Reply::Hold(Vec::new()));
    let dripping = Fake::start(|_| Reply::Drip(b"HTTP/1.1 200 OK\r\nA: ".to_vec(), b'b'));
    let half = Fake::start(|_| Reply::Hold(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n".into()));
    for fake in [silent, dripping, half] {
        let error = ask_for_200_ms(&fake.engine());
        assert!(matches!(error, Error::Connection { source: Fault::Slow(_), .. }), "{error:?}");
        assert!(error.to_string().contains(&*fake.engine().socket().to_string_lossy()));
        assert!(error.hint().unwrap().contains("restart it"));
    }
}

#[test]
fn an_engine_that_accepts_nobody_is_left() {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("full.sock");
    let listener = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    bind(&listener, &SocketAddrUnix::new(&path).unwrap()).unwrap();
    listen(&listener, 0).unwrap();
    let _first = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let error = ask_for_200_ms(&Engine::new(&path));
    assert!(matches!(error, Error::Connection { source: Fault::Slow(_), .. }), "{error:?}");
}

#[test]
fn sockets_that_cannot_be_reached_are_named_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    drop(std::os::unix::net::UnixListener::bind(at("dead.sock")).unwrap());
    std::fs::write(at("file"), "").unwrap();
    let long = "x".repeat(200);
    for (name, hint) in [
        ("none.sock", Some("systemctl start docker")),
        ("dead.sock", Some("does not run")),
        ("file", Some("does not run")),
        (&long, None),
    ] {
        let error = Engine::new(at(name)).version().unwrap_err();
        assert!(error.to_string().contains(&*at(name).to_string_lossy()), "{error}");
        assert!(in_words(&error).contains("cannot connect: "), "{}", in_words(&error));
        match hint {
            Some(hint) => assert!(error.hint().unwrap().contains(hint), "{:?}", error.hint()),
            None => assert_eq!(error.hint(), None),
        }
    }
}

#[test]
fn a_stream_that_never_ends_is_left_when_the_user_stops_it() {
    let fake = Fake::start(|request| match request {
        _ if request.contains("/wait") => fake::witness(),
        _ if request.contains("/containers/db/exec") => json("201 Created", r#"{"Id":"e1"}"#),
        _ if request.contains("/start") => {
            Reply::Hold([fake::UPGRADED.as_bytes(), &frame(1, b"begin")].concat())
        }
        _ => json("200 OK", r#"{"Running":false,"ExitCode":143,"Pid":7}"#),
    });
    let monitor = Arc::new(Monitor::default());
    let start = Instant::now();
    let mut reader = ExecReader::open(&fake.engine(), &exec(), &monitor).unwrap();
    let mut begin = [0; 5];
    reader.read_exact(&mut begin).unwrap();
    let stop = std::thread::spawn({
        let monitor = Arc::clone(&monitor);
        move || monitor.cancel()
    });
    let error = reader.read(&mut begin).unwrap_err();
    assert!(in_words(&error).ends_with(": interrupted"), "{error}");
    stop.join().unwrap();
    assert!(reader.finish().unwrap_err().to_string().contains("was not read to its end"));
    reader.cancel().unwrap();
    assert!(start.elapsed() < SOON);
}

#[test]
fn a_flood_of_errors_keeps_its_end_only() {
    let mut stream = Vec::new();
    for at in 0..20_000 {
        stream.extend(frame(2, format!("error {at}\n").as_bytes()));
    }
    let error = dump(&engine_with(stream, r#"{"Running":false,"ExitCode":1,"Pid":7}"#).engine());
    let error = error.unwrap_err();
    assert!(error.ends_with("error 19999") && error.len() < 5_000, "{}", error.len());
}

#[test]
fn signals_are_sent_by_an_exec_that_does_not_find_itself() {
    let fake = Fake::start(|request| match request {
        _ if request.contains("/wait") => fake::witness(),
        _ if request.contains("/containers/db/exec") => json("201 Created", r#"{"Id":"e2"}"#),
        _ if request.contains("/start") => Reply::Close(fake::UPGRADED.into()),
        _ => json("200 OK", r#"{"Running":true,"ExitCode":null,"Pid":7}"#),
    });
    let process = Process {
        engine: fake.engine(),
        container: "db".into(),
        program: "pg_dump".into(),
        user: Some("postgres".into()),
        id: "e1".into(),
        marker: "DRUMLIN_EXEC=0123".into(),
    };
    let start = Instant::now();
    let error = end_process(&process, Duration::from_millis(100)).unwrap_err();
    assert!(matches!(error, Error::Connection { .. }), "the time is up: {error}");
    let error = end_process(&process, SOON).unwrap_err();
    assert!(error.to_string().contains("could not be stopped"), "{error}");
    assert!(start.elapsed() < SOON);
    let requests = fake.requests();
    let creations: Vec<&String> =
        requests.iter().filter(|request| request.contains("/containers/")).collect();
    for (request, signal) in creations.iter().rev().zip(["KILL", "TERM"]) {
        let (_, body) = request.split_once("\r\n\r\n").unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["Cmd"][4], "DRUMLIN_EXEC=0123");
        assert_eq!((&body["Cmd"][5], &body["Env"]), (&signal.into(), &serde_json::json!([])));
        assert_eq!(body["User"], "postgres");
    }
}

#[test]
fn an_engine_that_hangs_cannot_hold_a_cancellation() {
    let fake = Fake::start(|_| Reply::Hold(Vec::new()));
    let process = Process {
        engine: fake.engine(),
        container: "db".into(),
        program: "pg_dump".into(),
        user: None,
        id: "e1".into(),
        marker: String::new(),
    };
    let start = Instant::now();
    assert!(end_process(&process, Duration::from_millis(300)).is_err());
    assert!(start.elapsed() < SOON);
}

#[test]
fn input_that_was_not_read_is_a_failure_even_with_code_0() {
    for is_abrupt in [false, true] {
        let fake = Fake::start(move |request| match request {
            _ if request.contains("/wait") => fake::witness(),
            _ if request.contains("/containers/db/exec") => json("201 Created", r#"{"Id":"e1"}"#),
            // Nothing of the input is read: closing resets the connection.
            _ if request.contains("/start") && is_abrupt => Reply::Close(fake::UPGRADED.into()),
            _ if request.contains("/start") => Reply::CloseAfter(fake::UPGRADED.into(), 1_000),
            _ => json("200 OK", GOOD),
        });
        let monitor = Arc::new(Monitor::default());
        let mut writer = ExecWriter::create(&fake.engine(), &exec(), &monitor).unwrap();
        let piece = vec![b'x'; 1 << 20];
        let failed = (0..100).find_map(|_| writer.write_all(&piece).err());
        let error = failed.expect("more than a socket holds");
        assert!(error.to_string().contains("before it had read all"), "{error}");
    }
}

#[test]
fn refusals_say_what_the_engine_said() {
    let fake = Fake::start(|_| json("403 Forbidden", "<html>no</html>"));
    let error = fake.engine().stop("db").unwrap_err();
    let socket = fake.engine().socket().display().to_string();
    assert_eq!(
        error.to_string(),
        format!(
            "container engine at {socket}: cannot stop container `db`: <html>no</html> (status 403)"
        )
    );
    assert!(error.hint().unwrap().contains("proxy"));
    assert!(fake.engine().stop("../db").is_err());
    assert_eq!(fake.requests().len(), 1, "a bad name is not sent");
}
