//! Goal: on servers that do not create exclusively nothing is lost, and what they cannot do is
//! found out, said and remembered. Method: the real program on servers that ignore the condition
//! (s3rver; moto, from which it is hidden), and on s3s-fs, where several clients that create one
//! name at once succeed.
//!
//! s3rver shows objects that are half written, and keeps those whose writer died: with concurrent
//! or killed processes it is no store (format-spec/12-store.md, guarantee 1). So it is asked one
//! thing after the other.

use std::process::{Child, Stdio};

use crate::support::fixture::noise;
use crate::support::home::{Home, Ran};
use crate::support::servers::s3::S3Server;
use crate::support::servers::{moto, s3rver, s3s_fs};

const PRUNE: [&str; 5] = ["prune", "--trash", "0d", "--max-unused=0", "--only-collector"];

/// Returns a home whose repository `far` is to be in a bucket of a server.
fn home_of(server: &S3Server) -> Home {
    let home = Home::new()
        .with("DRUMLIN_REPOSITORY", "far")
        .with("DRUMLIN_CONFIG", "drumlin.toml")
        .with("DRUMLIN_KEY_FILE", "key");
    let (id, secret) = server.credentials();
    let file = home.write("secret", secret);
    std::fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    home.write(
        "drumlin.toml",
        format!(
            "[repository.far]\nurl = \"s3://{}/a/b\"\nendpoint = \"http://127.0.0.1:{}\"\nregion = \"us-east-1\"\nkey-id = \"{id}\"\n\
             secret-file = \"secret\"\n",
            server.bucket(),
            server.port()
        ),
    );
    home
}

/// Changes what is in a source, so that something is new and something is needed no more.
fn change(home: &Home, source: &str, round: u64) {
    home.write(&format!("{source}/large"), noise(round, 900_000));
    home.write(&format!("{source}/kept-{round}"), noise(1000 + round, 40_000));
}

fn spawn(home: &Home, args: &[&str]) -> Child {
    home.spawn(args, Stdio::null())
}

fn end(child: Child) -> Ran {
    Ran::of(&child.wait_with_output().unwrap())
}

/// Returns how many objects a class has; 0 if the server cannot say so just now.
fn objects(server: &S3Server, class: &str) -> usize {
    let (id, secret) = server.credentials();
    let client = server.client(id, secret);
    let listed = server
        .wait(client.list_objects_v2().bucket("bucket-0").prefix(format!("a/b/{class}/")).send());
    listed.map_or(0, |listed| listed.contents().len())
}

/// Kills a command as soon as it has made an object of a class, or lets it end if it does not.
fn kill_after_making(home: &Home, server: &S3Server, class: &str, args: &[&str]) {
    let before = objects(server, class);
    let mut child = spawn(home, args);
    while child.try_wait().unwrap().is_none() && objects(server, class) <= before {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    child.kill().unwrap();
    let ran = end(child);
    assert!(ran.code == 0 || ran.code == -9, "{ran:?}");
    wait_for_requests_of_the_dead(server.port());
}

/// Waits until the server has hung up on clients that are gone: where names are replaced, a
/// collector's last request must not come after the first one of the next.
fn wait_for_requests_of_the_dead(port: u16) {
    const CLOSE_WAIT: &str = "08";
    let is_left = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        words.next().is_some_and(|local| local.ends_with(&format!(":{port:04X}")))
            && words.nth(1) == Some(CLOSE_WAIT)
    };
    while std::fs::read_to_string("/proc/net/tcp").unwrap().lines().any(is_left) {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

fn snapshots(home: &Home) -> usize {
    home.json(["snapshots"])["snapshots"].as_array().unwrap().len()
}

/// The newest snapshot of a source gives it back, byte for byte, on a machine that has no copies of
/// anything.
fn restores(home: &Home, source: &str, number: usize) {
    let path = home.text(source);
    let listed = home.json(["snapshots"]);
    let of_source = |snapshot: &&serde_json::Value| snapshot["sources"][0].as_str() == Some(&path);
    let newest = listed["snapshots"]
        .as_array()
        .unwrap()
        .iter()
        .filter(of_source)
        .max_by_key(|snapshot| snapshot["sequence"].as_u64());
    let id = newest.unwrap()["id"].as_str().unwrap();
    let (from, target, cache) =
        (format!("{id}:{path}"), format!("back-{number}"), format!("empty-{number}"));
    home.run(["restore", &from, "-t", &target, "--cache-dir", &cache]).ok();
    assert_eq!(home.tree(&target), home.tree(source));
}

/// A collector that is not told that it is the only one refuses, as soon as the store is found out.
///
/// Races are won by chance, in which case it collects; what was found once is remembered. Getting
/// by 64 probes takes more than 10^30 attempts.
fn is_found_out(home: &Home, cache: &str) {
    let refused =
        (0..64).map(|_| home.run(["prune", "--cache-dir", cache])).find(|ran| ran.code != 0);
    refused.expect("it is found out").fails(1, "this store replaces objects", "--only-collector");
    home.run(["prune", "--cache-dir", cache]).fails(
        1,
        "this store replaces objects",
        "--only-collector",
    );
}

/// Several backups at once, a backup beside the collector, and whoever is killed: nothing is lost,
/// and nothing is left to clean up by hand.
fn a_life(home: &Home, server: &S3Server) {
    let sources = ["one", "two", "three"];
    for (round, source) in (1..).zip(sources) {
        change(home, source, round);
    }
    let children = sources.map(|source| spawn(home, &["backup", source]));
    children.into_iter().for_each(|child| drop(end(child).ok()));
    assert_eq!(snapshots(home), 3);

    change(home, "one", 11);
    kill_after_making(home, server, "data", &["backup", "one"]);
    let left = snapshots(home);
    change(home, "one", 12);
    home.run(["backup", "one"]).ok();
    assert_eq!(snapshots(home), left + 1);

    home.run(["forget", "--keep-last", "1", "--force"]).ok();
    change(home, "two", 21);
    let both = [spawn(home, &["backup", "two"]), spawn(home, &PRUNE)].map(end);
    both.into_iter().for_each(|ran| drop(ran.ok()));
    restores(home, "two", 1);

    home.run(["forget", "--keep-last", "1", "--force"]).ok();
    kill_after_making(home, server, "gc", &PRUNE);
    let pruned = home.run(PRUNE).ok();
    assert!(pruned.err.contains("data of interrupted backups stays"), "{}", pruned.err);
    home.run(["check", "--level", "full", "--cache-dir", "cold"]).ok();
    for (number, source) in (2..).zip(sources) {
        restores(home, source, number);
    }
}

/// A store that is no good at all is found out at once.
fn is_found_out_at_once(home: &Home) {
    let ran = home.run(["init"]).ok();
    assert!(ran.err.contains("this store replaces objects: backups are safe there"), "{}", ran.err);
    home.run(["prune"]).fails(1, "this store replaces objects", "--only-collector");
    is_found_out(home, "another");
}

#[test]
fn a_server_that_ignores_the_condition() {
    let server = s3rver::start();
    let home = home_of(&server).with("DRUMLIN_CACHE_DIR", "cache");
    is_found_out_at_once(&home);
    for round in 1..4 {
        change(&home, "one", round);
        home.run(["backup", "one"]).ok();
    }
    home.run(["forget", "--keep-last", "1", "--force"]).ok();
    let pruned = home.json(PRUNE);
    assert!(pruned["removed_bytes"].as_u64() > Some(900_000), "{pruned}");
    home.run(["check", "--level", "full", "--cache-dir", "cold"]).ok();
    restores(&home, "one", 1);
}

#[test]
fn an_atomic_server_that_ignores_the_condition() {
    let server = moto::start_without_conditions();
    let home = home_of(&server).with("DRUMLIN_CACHE_DIR", "cache");
    is_found_out_at_once(&home);
    a_life(&home, &server);
}

#[test]
fn a_server_that_loses_races() {
    let server = s3s_fs::start();
    let home = home_of(&server).with("DRUMLIN_CACHE_DIR", "cache");
    home.run(["init"]).ok();
    is_found_out(&home, "cache");
    a_life(&home, &server);
}
