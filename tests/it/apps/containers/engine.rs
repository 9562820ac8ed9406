//! Goal: commands in containers are dumped and fed in full, or fail; a container and the engine may
//! go away at any moment. Method: a real engine, Podman, with its Docker-compatible service.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use drumlin::monitor::{Monitor, in_words};
use drumlin::settings::labels::{ContainerLabels, Names};
use drumlin::sources::engine_api::{Engine, Error, Exec, ExecReader, ExecWriter, mounts_to_read};

use crate::support::needs::can_run;
use crate::support::servers::podman::Podman;

/// Time for what must happen soon, on a busy machine.
const SOON: Duration = Duration::from_secs(60);

/// Starts an engine with a container `db`, unless this machine cannot.
fn with_db(options: &[&str]) -> Option<Podman> {
    if !can_run(Podman::is_possible(), "podman, runc and root") {
        return None;
    }
    let podman = Podman::start();
    podman.run_container("db", options);
    Some(podman)
}

fn shell(script: &str) -> Exec {
    let command = ["sh", "-c", script].map(str::to_owned).into();
    Exec { container: "db".into(), command, ..Exec::default() }
}

fn open(engine: &Engine, exec: &Exec) -> ExecReader {
    ExecReader::open(engine, exec, &Arc::new(Monitor::default())).unwrap()
}

/// Runs a command as a dump; returns its output and the end of its errors.
fn dump(engine: &Engine, exec: &Exec) -> Result<(Vec<u8>, String), String> {
    let mut reader = ExecReader::open(engine, exec, &Arc::new(Monitor::default()))
        .map_err(|error| in_words(&error))?;
    let mut output = Vec::new();
    reader.read_to_end(&mut output).map_err(|error| in_words(&error))?;
    let last_words = reader.last_words();
    reader.finish().map_err(|error| in_words(&error))?;
    Ok((output, last_words))
}

/// Runs a command with `input` as a restore.
fn feed(engine: &Engine, exec: &Exec, input: &[u8]) -> Result<(), String> {
    let mut writer = ExecWriter::create(engine, exec, &Arc::new(Monitor::default()))
        .map_err(|error| in_words(&error))?;
    writer.write_all(input).map_err(|error| in_words(&error))?;
    writer.finish().map_err(|error| in_words(&error))
}

/// Returns whether a process of this machine has a word on its command line.
fn is_running(word: &str) -> bool {
    let dirs = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let lines = dirs.filter_map(|dir| fs::read(dir.path().join("cmdline")).ok());
    let words = lines
        .flat_map(|line| line.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect::<Vec<_>>());
    words.into_iter().any(|found| found == word.as_bytes())
}

fn wait_until(what: &str, is_true: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_true() {
        assert!(start.elapsed() < SOON, "in vain: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn containers_are_found_by_their_labels_with_their_mounts() {
    if !can_run(Podman::is_possible(), "podman, runc and root") {
        return;
    }
    let podman = Podman::start();
    let data = podman.path("data");
    fs::create_dir(&data).unwrap();
    let mount = format!("{}:/srv/data", data.display());
    let labels = ["--label", "drumlin.app=wiki", "--label", "drumlin.volumes=/srv/data"];
    podman.run_container("web", &[&labels[..], &["--volume", &mount]].concat());
    podman.run_container("other", &[]);
    podman.run(&["stop", "other"]);
    let engine = podman.engine();

    let version = engine.version().unwrap();
    assert_eq!(version.name, "Podman Engine");
    assert!(!version.version.is_empty() && !version.api_version.is_empty());

    let all = engine.containers(None).unwrap();
    let running: BTreeMap<&str, bool> =
        all.iter().map(|container| (container.name.as_str(), container.is_running)).collect();
    assert_eq!(running, BTreeMap::from([("other", false), ("web", true)]));
    let of_wiki = engine.containers(Some("drumlin.app=wiki")).unwrap();
    assert_eq!(of_wiki.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["web"]);
    assert_eq!(engine.containers(Some("drumlin.app=wi&ki")).unwrap(), []);

    let web = all.iter().find(|container| container.name == "web").unwrap();
    let inspected = engine.inspect(&web.name).unwrap();
    assert_eq!((&inspected.container, inspected.is_removed_when_stopped), (web, false));
    let labels = ContainerLabels::read(&web.name, &web.labels).unwrap().unwrap();
    assert_eq!(labels.app, "wiki");
    for names in [labels.volumes.unwrap(), Names::All] {
        let mounts = mounts_to_read(&inspected, &names).unwrap();
        assert_eq!(mounts.iter().map(|mount| &mount.source).collect::<Vec<_>>(), [&data]);
    }
    let on_host = inspected.host_pattern("/srv/data/*.db");
    assert_eq!(on_host.unwrap(), data.join("*.db").to_str().unwrap());

    assert!(!engine.inspect("other").unwrap().container.is_running);
    let error = engine.inspect("nobody").unwrap_err();
    assert!(matches!(error, Error::Refused { status: 404, .. }), "{error}");
}

#[test]
fn megabytes_of_both_streams_come_whole() {
    let Some(podman) = with_db(&[]) else { return };
    let script = "seq 1 2000000 & seq 1 200000 >&2; wait";
    let (output, last_words) = dump(&podman.engine(), &shell(script)).unwrap();
    let expected: String = (1..=2_000_000).map(|number| format!("{number}\n")).collect();
    assert!(output == expected.as_bytes(), "{} of {} bytes", output.len(), expected.len());
    assert!(last_words.ends_with("\n200000"), "{last_words}");
    assert!((4_000..=4_096).contains(&last_words.len()), "{} bytes", last_words.len());
}

#[test]
fn exit_codes_decide() {
    let Some(podman) = with_db(&[]) else { return };
    let engine = podman.engine();
    assert_eq!(dump(&engine, &shell("true")).unwrap().0, b"");
    for (script, code) in
        [("echo half; echo why >&2; exit 3", 3), ("echo why >&2; kill -9 $$", 137)]
    {
        let error = dump(&engine, &shell(script)).unwrap_err();
        assert!(error.contains(&format!("failed with code {code}: why")), "{error}");
    }
    let command = vec!["no-such-program".to_owned()];
    let missing = Exec { container: "db".into(), command, ..Exec::default() };
    let error = dump(&engine, &missing).unwrap_err();
    assert!(error.contains("no-such-program"), "{error}");
    let elsewhere = Exec { container: "nobody".into(), ..shell("true") };
    assert!(dump(&engine, &elsewhere).unwrap_err().contains("status 404"));
}

#[test]
fn variables_reach_the_command_and_no_command_line() {
    let Some(podman) = with_db(&["--env", "OLD=1"]) else { return };
    let secret = "geheim=\"'\n$x".to_owned();
    let mut exec = shell(r#"printf %s "$OLD$SECRET"; id -u; tr '\0' ' ' < /proc/$$/cmdline"#);
    exec.env.insert("SECRET".into(), secret.clone().into());
    exec.user = Some("nobody".into());
    let (output, _) = dump(&podman.engine(), &exec).unwrap();
    let output = String::from_utf8(output).unwrap();
    let (before, line) = output.split_once("65534\n").expect("it runs as nobody");
    assert_eq!(before, format!("1{secret}"));
    assert!(!line.contains("geheim"), "{line}");
}

#[test]
fn standard_input_arrives_whole_and_ends() {
    if !can_run(Podman::is_possible(), "podman, runc and root") {
        return;
    }
    let podman = Podman::start();
    let data = podman.path("data");
    fs::create_dir(&data).unwrap();
    podman.run_container("db", &["--volume", &format!("{}:/srv/data", data.display())]);
    let engine = podman.engine();
    let input: Vec<u8> = (0..5_000_000u32).flat_map(u32::to_le_bytes).collect();
    feed(&engine, &shell("cat > /srv/data/copy"), &input).unwrap();
    assert!(fs::read(data.join("copy")).unwrap() == input);
    // Output as long as the input must not stop the input.
    feed(&engine, &shell("tee /srv/data/copy2"), &input).unwrap();
    assert!(fs::read(data.join("copy2")).unwrap() == input);
    feed(&engine, &shell("cat > /srv/data/empty"), b"").unwrap();
    assert_eq!(fs::read(data.join("empty")).unwrap(), b"");
}

#[test]
fn a_command_that_leaves_its_input_has_failed() {
    let Some(podman) = with_db(&[]) else { return };
    let engine = podman.engine();
    let input = vec![b'x'; 20 << 20];
    let error = feed(&engine, &shell("head -c 10 > /dev/null"), &input).unwrap_err();
    assert!(error.contains("before it had read all of its input"), "{error}");
    // Its last words may be lost: Podman's own monitor hangs up with the input unread.
    let error = feed(&engine, &shell("head -c 10; echo row 7 >&2; exit 4"), &input).unwrap_err();
    assert!(error.contains("`sh` in container `db` failed with code 4: "), "{error}");
    let error = feed(&engine, &shell("cat > /dev/null; echo row 7 >&2; exit 4"), &input);
    assert!(error.unwrap_err().ends_with("failed with code 4: row 7"));
}

#[test]
fn a_command_that_never_ends_is_ended_with_its_children() {
    let Some(podman) = with_db(&[]) else { return };
    let engine = podman.engine();
    // The second ignores the first signal.
    for (script, word) in [
        ("echo x; sleep 4242.5 & sleep 4242.5; wait", "4242.5"),
        ("trap '' TERM; echo x; sleep 4343.5 & wait; while :; do sleep 4343.5; done", "4343.5"),
    ] {
        let monitor = Arc::new(Monitor::default());
        let mut reader = ExecReader::open(&engine, &shell(script), &monitor).unwrap();
        reader.read_exact(&mut [0; 2]).unwrap();
        wait_until("it sleeps", || is_running(word));
        monitor.cancel();
        let error = reader.read(&mut [0]).unwrap_err();
        assert!(in_words(&error).ends_with("interrupted"), "{error}");
        let start = Instant::now();
        reader.cancel().unwrap();
        assert!(start.elapsed() < SOON);
        assert!(!is_running(word), "{word}");
    }
    // The container itself is not touched.
    assert!(engine.inspect("db").unwrap().container.is_running);
}

#[test]
fn a_command_that_cannot_be_ended_is_said_to_be_left() {
    // As in an image without a shell.
    let Some(podman) = with_db(&["--env", "PATH=/nowhere"]) else { return };
    let command = ["/bin/sleep", "4545.5"].map(str::to_owned).into();
    let exec = Exec { container: "db".into(), command, ..Exec::default() };
    let reader = open(&podman.engine(), &exec);
    wait_until("it sleeps", || is_running("4545.5"));
    let start = Instant::now();
    let error = reader.cancel().unwrap_err();
    assert!(start.elapsed() < SOON);
    assert!(error.to_string().contains("could not be stopped and may still run"), "{error}");
    // Closing its streams does not end a process that uses none of them.
    assert!(is_running("4545.5"));
    // Its container does.
    podman.engine().stop("db").unwrap();
    wait_until("it has ended", || !is_running("4545.5"));
}

#[test]
fn a_dropped_command_ends_even_where_a_writer_waits() {
    let Some(podman) = with_db(&[]) else { return };
    let monitor = Arc::new(Monitor::default());
    let exec = shell("exec sleep 4444.5");
    let mut writer = ExecWriter::create(&podman.engine(), &exec, &monitor).unwrap();
    let stop = thread::spawn({
        let monitor = Arc::clone(&monitor);
        move || {
            wait_until("it sleeps", || is_running("4444.5"));
            monitor.cancel();
        }
    });
    // Nobody reads: after some megabytes a write must wait.
    let piece = vec![0; 1 << 20];
    let error = (0..).find_map(|_: u32| writer.write_all(&piece).err()).unwrap();
    assert!(in_words(&error).ends_with("interrupted"), "{error}");
    stop.join().unwrap();
    drop(writer);
    wait_until("it has ended", || !is_running("4444.5"));
}

#[test]
fn a_container_that_stops_meanwhile_is_a_failure() {
    let Some(podman) = with_db(&[]) else { return };
    let engine = podman.engine();
    let mut reader = open(&engine, &shell("echo begin; sleep 600"));
    let mut begin = [0; 6];
    reader.read_exact(&mut begin).unwrap();
    assert!(engine.stop("db").unwrap());
    let mut rest = Vec::new();
    let read = reader.read_to_end(&mut rest);
    assert!(read.is_err() || reader.finish().is_err());
    drop(reader);

    let error = dump(&engine, &shell("true")).unwrap_err();
    assert!(error.contains("cannot run `sh` in container `db`"), "{error}");
    // Only who stopped it starts it again.
    assert!(!engine.stop("db").unwrap());
    assert!(engine.start("db").unwrap());
    assert!(!engine.start("db").unwrap());
    assert_eq!(dump(&engine, &shell("echo again")).unwrap().0, b"again\n");
}

#[test]
fn an_engine_that_is_killed_meanwhile_is_a_failure_even_after_its_return() {
    for has_returned in [false, true] {
        let Some(mut podman) = with_db(&[]) else { return };
        let engine = podman.engine();
        // It would end well by itself, after its output has gone nowhere.
        let mut reader = open(&engine, &shell("echo begin; sleep 1; seq 1 100000"));
        reader.read_exact(&mut [0; 6]).unwrap();
        podman.kill();
        if has_returned {
            podman.restart();
        }
        let start = Instant::now();
        let mut rest = Vec::new();
        let read = reader.read_to_end(&mut rest);
        let finished = reader.finish();
        assert!(read.is_err() || finished.is_err(), "{} bytes more", rest.len());
        drop(reader);
        assert!(start.elapsed() < SOON);
    }
}
