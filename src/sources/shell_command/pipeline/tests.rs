//! Pipelines of real programs: each part fails in turn, hangs, or is stopped.

use super::*;

fn parts(lines: &[&str]) -> Vec<Invocation> {
    let part = |line: &&str| Invocation {
        program: "sh".to_owned(),
        arguments: vec!["-c".to_owned(), (*line).to_owned()],
        ..Invocation::default()
    };
    lines.iter().map(part).collect()
}

fn run(lines: &[&str]) -> Result<String, String> {
    let mut pipeline = Pipeline::start(&parts(lines), &Arc::default()).unwrap();
    let mut output = String::new();
    let read = pipeline.read_to_string(&mut output);
    let ended = read.and_then(|_| pipeline.finish());
    ended.map(|()| output).map_err(|error| error.to_string())
}

/// Waits until a process is gone.
fn wait_for_end(id: &str) {
    let asked = Instant::now();
    while std::path::Path::new("/proc").join(id).join("exe").exists() {
        assert!(asked.elapsed() < Duration::from_secs(20), "{id} lives");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn output_goes_from_part_to_part() {
    assert_eq!(run(&["echo a"]).unwrap(), "a\n");
    assert_eq!(run(&["printf 'b\\na\\n'", "sort", "tr a-z A-Z"]).unwrap(), "A\nB\n");
    let len = run(&["head -c 5000000 /dev/zero", "cat", "wc -c"]).unwrap();
    assert_eq!(len.trim(), "5000000");
    // The first part has no input.
    assert_eq!(run(&["cat"]).unwrap(), "");
}

#[test]
fn each_part_must_succeed() {
    for (at, lines) in [
        (1, ["echo a; echo why >&2; exit 3", "cat", "cat"]),
        (2, ["echo a", "cat; echo why >&2; exit 3", "cat"]),
        (3, ["echo a", "cat", "cat; echo why >&2; exit 3"]),
    ] {
        let wanted = format!("part {at} of 3, `sh`, failed: exit status: 3: why");
        assert_eq!(run(&lines).unwrap_err(), wanted);
    }
    assert!(run(&["kill -KILL $$", "cat"]).unwrap_err().contains("part 1 of 2"));
}

#[test]
fn the_part_that_failed_is_named_and_not_its_victim() {
    // The first dies because the second has ended.
    let said = run(&["yes", "head -c 10; echo no room >&2; exit 1"]).unwrap_err();
    assert!(said.starts_with("part 2 of 2") && said.ends_with("no room"), "{said}");
    // Its output was not read whole, so this is a failure, though the second says nothing.
    let said = run(&["exec yes", "head -c 10 >/dev/null"]).unwrap_err();
    assert!(said.starts_with("part 1 of 2") && said.contains("signal: 13"), "{said}");
}

#[test]
fn when_one_fails_all_are_stopped() {
    let begun = Instant::now();
    let said = run(&["sleep 1000", "echo x; exit 1", "cat; sleep 1000"]).unwrap_err();
    assert!(said.starts_with("part 2 of 3"), "{said}");
    let said = run(&["sleep 1000 & sleep 1000", "trap '' TERM; sleep 1000 & wait; wait", "exit 7"]);
    assert!(said.unwrap_err().starts_with("part 3 of 3"));
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert!(Pipeline::start(&parts(&["true"]), &Arc::default()).is_ok());
    let missing = Invocation { program: "/no/such".to_owned(), ..Invocation::default() };
    let mut both = parts(&["sleep 1000"]);
    both.push(missing);
    let said = Pipeline::start(&both, &Arc::default()).err().unwrap().to_string();
    assert!(said.contains("cannot run `/no/such`"), "{said}");
}

#[test]
fn dropping_it_stops_parts_with_their_children() {
    let lines = ["sleep 1000 & echo $!; wait", "cat"];
    let mut pipeline = Pipeline::start(&parts(&lines), &Arc::default()).unwrap();
    let mut buffer = [0; 100];
    let len = pipeline.read(&mut buffer).unwrap();
    let child = std::str::from_utf8(&buffer[..len]).unwrap().trim().to_owned();
    let leaders: Vec<String> =
        pipeline.parts.iter().map(|part| part.child.id().to_string()).collect();
    pipeline.stop_flag().store(true, Ordering::Relaxed);
    assert_eq!(pipeline.read(&mut buffer).unwrap_err().to_string(), "interrupted");
    drop(pipeline);
    wait_for_end(&child);
    leaders.iter().for_each(|leader| wait_for_end(leader));
    let monitor = Arc::new(Monitor::default());
    let mut pipeline = Pipeline::start(&parts(&["exec sleep 1000"]), &monitor).unwrap();
    monitor.cancel();
    assert!(pipeline.read(&mut buffer).is_err() && pipeline.finish().is_err());
}

#[test]
fn the_last_words_have_4_kib_and_do_not_wait_for_children() {
    let said = run(&["seq 10000 >&2; echo 'access denied' >&2; exit 3"]).unwrap_err();
    assert!(said.ends_with("9999\n10000\naccess denied"), "{said}");
    assert!(said.len() < LAST_WORDS_LEN_BYTES + 100);
    let begun = Instant::now();
    let said = run(&["setsid sleep 30 >/dev/null & echo denied >&2; exit 3"]).unwrap_err();
    assert!(said.ends_with("denied") && begun.elapsed() < Duration::from_secs(20), "{said}");
}

#[test]
fn parts_do_not_get_the_secrets_of_repositories() {
    // The name is in the list that every command is started without.
    assert!(SECRETS.contains(&"DRUMLIN_PASSWORD"));
    let mut shown = parts(&["echo ${GIVEN:-none}"]);
    shown[0].environment.push(("GIVEN".to_owned(), "value".to_owned().into()));
    let mut pipeline = Pipeline::start(&shown, &Arc::default()).unwrap();
    let mut output = String::new();
    pipeline.read_to_string(&mut output).unwrap();
    assert_eq!(output, "value\n");
}
