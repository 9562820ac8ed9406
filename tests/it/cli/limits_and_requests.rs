//! Limits of speed, and counts of requests.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::fixture::noise;
use crate::support::home::{Home, fields};

fn with_noise(config: &str) -> Home {
    let home = Home::with_repository().with("DRUMLIN_CONFIG", "drumlin.toml");
    home.write("drumlin.toml", config);
    home.write("src/noise", noise(1, 8 << 20));
    home
}

fn timed(run: impl FnOnce()) -> Duration {
    let began = Instant::now();
    run();
    began.elapsed()
}

/// How long it takes at least; machines may be slow, so nothing is said of how long at most.
#[test]
fn limits_hold_for_both_directions() {
    let home = with_noise("");
    let up = timed(|| drop(home.run(["backup", "src", "--limit-upload", "4MiB"]).ok()));
    assert!(up >= Duration::from_millis(1700), "{up:?}");
    let down = timed(|| {
        drop(home.run(["restore", "latest", "-t", "out", "--limit-download", "4MiB/s"]).ok())
    });
    assert!(down >= Duration::from_millis(1700), "{down:?}");
}

#[test]
fn limits_of_the_configuration_hold_unless_the_command_line_says_otherwise() {
    let home = with_noise("[repository.r]\nurl = \"repo\"\nlimit-upload = \"6MiB\"\n")
        .with("DRUMLIN_REPOSITORY", "r");
    let up = timed(|| drop(home.run(["backup", "src"]).ok()));
    assert!(up >= Duration::from_millis(1000), "{up:?}");
    home.write("src/more", "more");
    home.run(["backup", "src", "--limit-upload", "none"]).ok();
    home.run(["backup", "src", "--limit-upload", "0"]).code(2);
    home.run(["backup", "src", "--connections", "0"]).code(2);
}

#[test]
fn documents_say_what_was_asked_of_the_store() {
    let home = Home::with_repository();
    home.make_source();
    let of = |document: Value| {
        assert_eq!(
            fields(&document["requests"]),
            "bytes_down bytes_up calls create list read remove stat"
        );
        document["requests"].clone()
    };
    let first = of(home.json(["backup", "src"]));
    assert!(
        first["create"].as_u64() >= Some(3) && first["bytes_up"].as_u64() > Some(100),
        "{first}"
    );
    // Nothing has changed. A folder of this machine is looked at all the same: that the repository
    // is there, and goes on.
    let unchanged = of(home.json(["backup", "src"]));
    assert_eq!((&unchanged["calls"], &unchanged["list"]), (&json!(1), &json!(1)), "{unchanged}");
    let restored = of(home.json(["restore", "latest", "-t", "out"]));
    assert!(
        restored["read"].as_u64() >= Some(1) && restored["bytes_down"].as_u64() > Some(0),
        "{restored}"
    );
    assert_eq!((&restored["create"], &restored["bytes_up"]), (&json!(0), &json!(0)));
    of(home.json(["check"]));
    assert_eq!(of(home.json(["forget", "latest", "--dry-run"]))["create"], json!(0));
    assert!(of(home.json(["forget", "latest", "--force"]))["create"].as_u64() >= Some(1));
    let sum = of(home.json(["prune"]));
    let parts =
        ["list", "stat", "read", "create", "remove"].map(|action| sum[action].as_u64().unwrap());
    assert_eq!(sum["calls"], json!(parts.iter().sum::<u64>()));
}
