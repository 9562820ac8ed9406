//! Goal: if any process is killed or stopped at any moment, no snapshot that exists is lost,
//! nothing has to be cleaned up by hand, and no process waits for another. Method: real processes
//! on a real folder and on real servers, killed with `SIGKILL` at random moments, alone and several
//! at once; in the folder packs are lost, too, and repairs are killed. After each kill every
//! snapshot must still be listed; at intervals everything is checked in full and restored.
//!
//! `DRUMLIN_KILLS` and `DRUMLIN_PARALLEL_SECONDS` set how long it goes on, `DRUMLIN_TEST_SEED` what
//! happens.

mod kill_trial; // a repository whose users are killed

use std::process::{Child, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rustix::process::{Pid, Signal, kill_process};

use self::kill_trial::{BACKUP, FORGET, PRUNE, REPAIR, Trial, change, digest};
use crate::support::home::{Home, Ran};
use crate::support::servers::place::Place;

fn number<T: FromStr>(variable: &str, usual: T) -> T {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_child(child);
    kill_process(pid, signal).unwrap();
}

/// Goes on until so many processes were killed in the middle of their work.
fn kill_and_look(place: Place, kills: usize) {
    let seed = number("DRUMLIN_TEST_SEED", 1);
    let started = Instant::now();
    let mut trial = Trial::new(place, seed);
    let mut rounds = 0;
    while trial.killed < kills {
        rounds += 1;
        assert!(
            rounds < 100 + 20 * kills,
            "{} of {kills} processes were killed: the others were too quick",
            trial.killed
        );
        trial.change();
        let kind = trial.random.random_range(0..9);
        let is_lost = kind == 8 && trial.lose_what_is_new();
        let commands: &[&'static [&str]] = match kind {
            8 if is_lost => &[REPAIR],
            0..3 => &[BACKUP],
            3..5 => &[PRUNE],
            5 => &[FORGET],
            _ => &[BACKUP, PRUNE],
        };
        trial.kill_all(commands);
        trial.look(commands == [FORGET]);
        if is_lost {
            trial.heal();
        }
        if rounds % 12 == 0 {
            trial.home.run(FORGET).ok();
            trial.look(true);
            trial.settle();
            trial.restore_any();
        }
    }
    trial.settle();
    trial.restore_all();
    println!(
        "{} kills in {rounds} rounds, seed {seed}: {:.0} s",
        trial.killed,
        started.elapsed().as_secs_f64()
    );
}

#[test]
fn killed_processes_lose_nothing_and_leave_nothing_to_clean_up() {
    kill_and_look(Place::Folder, number("DRUMLIN_KILLS", 60));
}

/// A tenth as many on servers, where each takes much longer. What scratch files the dead leave
/// there is removed a day later.
#[cfg(feature = "sftp")]
#[test]
fn killed_processes_lose_nothing_on_another_machine() {
    kill_and_look(Place::machine(), number("DRUMLIN_KILLS", 60) / 10);
}

#[cfg(feature = "s3")]
#[test]
fn killed_processes_lose_nothing_in_a_bucket() {
    kill_and_look(
        Place::bucket(crate::support::servers::radosgw::start()),
        number("DRUMLIN_KILLS", 60) / 10,
    );
}

#[test]
fn nobody_waits_for_a_process_that_does_not_go_on() {
    let mut trial = Trial::new(Place::Folder, number("DRUMLIN_TEST_SEED", 1));
    for round in 0..12 {
        trial.home.run(["forget", "--quiet", "--keep-last", "1", "--force"]).ok();
        trial.look(true);
        trial.change();
        let stopped = if round % 2 == 0 { PRUNE } else { BACKUP };
        let child = trial.home.spawn(stopped, Stdio::null());
        std::thread::sleep(Duration::from_millis(30).mul_f64(trial.random.random_range(0.0..1.0)));
        signal(&child, Signal::STOP);
        // All of this finishes while the other one stands still in the middle of its work.
        trial.home.run(BACKUP).ok();
        trial.home.run(PRUNE).ok();
        trial.home.run(BACKUP).ok();
        signal(&child, Signal::CONT);
        Ran::of(&child.wait_with_output().unwrap()).ok();
        trial.look(false);
        trial.home.run(["check", "--quiet", "--level", "full"]).ok();
    }
    trial.restore_all();
}

/// One host of several: its own source, its own cache, and its own state at the end.
fn backup_in_a_loop(home: &Home, host: u64, until: Instant) -> u64 {
    let (source, cache) = (format!("host-{host}"), format!("cache-{host}"));
    let (mut random, mut count) = (SmallRng::seed_from_u64(host), 0);
    while Instant::now() < until || count < 2 {
        change(&home.path(&source), host * 1_000_000 + count, &mut random);
        let name = format!("host-{host}");
        home.run([
            "--cache-dir",
            &cache,
            "backup",
            "--quiet",
            "--always-snapshot",
            "--host",
            &name,
            &source,
        ])
        .ok();
        count += 1;
    }
    count
}

fn prune_in_a_loop(home: &Home, cache: &str, until: Instant) -> u64 {
    let mut count = 0;
    while Instant::now() < until {
        home.run(["--cache-dir", cache, "forget", "--quiet", "--keep-last", "2", "--force"]).ok();
        home.run([&["--cache-dir", cache], PRUNE].concat()).ok();
        count += 1;
    }
    count
}

#[test]
fn eight_backups_and_two_collectors_at_once_all_succeed() {
    let seconds = number("DRUMLIN_PARALLEL_SECONDS", 10);
    let home = Home::with_repository();
    let until = Instant::now() + Duration::from_secs(seconds);
    let counts = std::thread::scope(|scope| {
        let home = &home;
        let hosts: Vec<_> =
            (0..8).map(|host| scope.spawn(move || backup_in_a_loop(home, host, until))).collect();
        let prunes = ["cache-a", "cache-b"]
            .map(|cache| scope.spawn(move || prune_in_a_loop(home, cache, until)));
        let sum = |threads: Vec<std::thread::ScopedJoinHandle<u64>>| -> u64 {
            threads.into_iter().map(|t| t.join().unwrap()).sum()
        };
        (sum(hosts), sum(prunes.into()))
    });
    println!("{} backups beside {} collections in {seconds} s", counts.0, counts.1);
    home.run(["check", "--quiet", "--level", "full"]).ok();
    let listed = home.json(["snapshots"]);
    for host in 0..8 {
        let name = format!("host-{host}");
        let of_host = |snapshot: &&serde_json::Value| snapshot["host"] == name.as_str();
        let newest = listed["snapshots"].as_array().unwrap().iter().rfind(of_host).unwrap();
        let from = format!("{}:{}", newest["id"].as_str().unwrap(), home.text(&name));
        home.run(["restore", "--quiet", &from, "--target", "back"]).ok();
        assert_eq!(digest(&home, "back"), digest(&home, &name));
        std::fs::remove_dir_all(home.path("back")).unwrap();
    }
}
