//! Ctrl-C: the first one stops cleanly within a second, the second one at once.

use std::io::Write;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::support::home::{Home, Ran};

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Waits until the program has opened the repository and waits for its stream.
fn wait_for_start(home: &Home) {
    let began = Instant::now();
    while !home.path("started").exists() {
        assert!(began.elapsed() < Duration::from_secs(30), "the command was never started");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn signals_stop_a_backup_within_a_second() {
    for which in [Signal::INT, Signal::TERM, Signal::HUP] {
        let home = Home::with_repository();
        let child = home.spawn(
            ["backup", "--command", "echo x; touch started; sleep 60", "--command-name", "n"],
            Stdio::null(),
        );
        wait_for_start(&home);
        let began = Instant::now();
        signal(&child, which);
        Ran::of(&child.wait_with_output().unwrap()).fails(130, "interrupted", "");
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        assert_eq!(home.json(["snapshots"])["snapshots"], json!([]));
    }
}

#[test]
fn a_signal_ends_a_wait_for_standard_input() {
    let home = Home::with_repository();
    let mut child = home.spawn(["backup", "--stdin"], Stdio::piped());
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"first").unwrap();
    let began = Instant::now();
    while rustix::io::ioctl_fionread(&input).unwrap() > 0 {
        assert!(began.elapsed() < Duration::from_secs(30), "nothing was read");
        std::thread::sleep(Duration::from_millis(10));
    }
    signal(&child, Signal::INT);
    Ran::of(&child.wait_with_output().unwrap()).fails(130, "interrupted", "");
    drop(input);
}

#[test]
fn a_second_signal_ends_the_program_at_once() {
    let home = Home::with_repository();
    // The command does not end when it is asked to, nor when its reader is gone, and the program
    // waits for its end.
    let command = "trap '' TERM; touch started; sleep 20";
    let mut child =
        home.spawn(["backup", "--command", command, "--command-name", "n"], Stdio::null());
    wait_for_start(&home);
    let began = Instant::now();
    // Two that come before the program has seen the first are one.
    while child.try_wait().unwrap().is_none() && began.elapsed() < Duration::from_secs(15) {
        signal(&child, Signal::INT);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(began.elapsed() < Duration::from_secs(15), "it waits for the command");
    // The output ends when nobody is left who could write to it.
    assert_eq!(Ran::of(&child.wait_with_output().unwrap()).code, 130);
    assert!(began.elapsed() < Duration::from_secs(15), "the command is left behind");
}

#[test]
fn an_interrupted_backup_continues_from_what_is_stored() {
    let home = Home::with_repository();
    for number in 0..40u64 {
        let mut state = number + 1;
        let noise: Vec<u8> = (0..1 << 20)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 33) as u8
            })
            .collect();
        home.write(&format!("src/{number}"), noise);
    }
    let child = home.spawn(["backup", "src", "--threads", "1"], Stdio::null());
    let began = Instant::now();
    while home.tree("repo/data").iter().all(|(name, _)| name.len() < 64)
        && began.elapsed() < Duration::from_secs(30)
    {
        std::thread::sleep(Duration::from_millis(5));
    }
    signal(&child, Signal::INT);
    let ran = Ran::of(&child.wait_with_output().unwrap());
    let document = home.json(["backup", "src"]);
    if ran.code == 130 {
        let new = document["stats"]["bytes_new_raw"].as_u64().unwrap();
        assert!(new < 40 << 20, "nothing of what was stored is used: {new}");
    }
    assert_eq!(document["stats"]["files"], 40);
}
