//! Goal: containers stand still while files are read, and run again whatever happens to the run.
//!
//! Method: a container that writes into a file whether it runs; runs that wait at a fifo until they
//! are killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::{Site, text, wait_until};
use crate::support::home::Ran;

/// Writes `running` at its start, and `stopped` when it is stopped.
const PROGRAM: &str = "trap 'echo stopped > /srv/data/log; exit' TERM
echo running > /srv/data/log; while :; do sleep 0.05; done";

/// Starts the container `web`; returns the file in which it says whether it runs.
fn web(site: &Site) -> PathBuf {
    let data = site.home.path("data");
    fs::create_dir(&data).unwrap();
    let volume = format!("{}:/srv/data", text(&data));
    site.podman.run_program("web", &["--volume", &volume], &["sh", "-c", PROGRAM]);
    let log = data.join("log");
    wait_until("it runs", || fs::read_to_string(&log).is_ok_and(|log| log == "running\n"));
    log
}

/// Lines of an app that waits at a fifo, with `web` stopped.
fn waiting(site: &Site, more: &str) -> String {
    let made = std::process::Command::new("mkfifo").arg(site.home.path("fifo")).status();
    assert!(made.unwrap().success());
    format!("[app.wiki]\npaths = [\"data\", \"fifo\"]\nread-special = true\nstop = \"web\"\n{more}")
}

/// Returns whether a process has a file open.
fn has_open(pid: u32, file: &Path) -> bool {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten();
    open.filter_map(Result::ok).any(|link| fs::read_link(link.path()).is_ok_and(|at| at == file))
}

#[test]
fn containers_stand_still_after_the_dumps_and_run_again() {
    let Some(site) = Site::start() else { return };
    let log = web(&site);
    let command = "[[app.wiki.command]]\nname = \"seen\"\nrun = \"cat data/log\"";
    let app = "[app.wiki]\npaths = \"data\"\nstop = [\"web\", \"idle\"]\n";
    site.configure(&format!("{app}{command}"));
    // One that does not run is left as it is.
    site.podman.run_container("idle", &[]);
    site.podman.run(&["stop", "idle"]);
    let report = site.run("wiki", 0);
    assert_eq!(report["notices"], serde_json::json!([]));
    assert_eq!(site.home.run(["cat", "latest:/seen"]).ok().out, "running\n");
    let read = site.home.run(["cat", &format!("latest:{}", text(&log))]).ok();
    assert_eq!(read.out, "stopped\n");
    assert!(site.is_running("web") && !site.is_running("idle"));
    assert!(!site.home.path("state/apps/wiki/stopped.json").exists());

    // A dry run touches nothing, and `backup` does not do half of it.
    let started =
        |container| site.podman.run(&["inspect", "--format", "{{.State.Pid}}", container]);
    let before = started("web");
    site.home.run(["run", "wiki", "--dry-run"]).ok();
    assert_eq!(started("web"), before);
    let backup = site.home.run(["backup", "--app", "wiki"]).code(2);
    assert!(
        backup.err.contains("stand still") && backup.err.contains("drumlin run wiki"),
        "{backup:?}"
    );

    // What cannot be stopped is said before anything is dumped.
    site.podman.run_container("gone", &["--rm"]);
    for (name, why) in [("nobody", "no such container"), ("gone", "`--rm`")] {
        site.configure(&format!("{app}{command}").replace("idle", name));
        let error = site.run("wiki", 1)["error"].as_str().unwrap().to_owned();
        assert!(error.contains(why) && error.contains("[app.wiki]"), "{error}");
    }
    site.configure(app);
    site.home.write("blocked", "a file in the place of a folder");
    let mut blocked = site.home.command(["run", "wiki"]);
    blocked.env("DRUMLIN_STATE_DIR", "blocked/state");
    let blocked = Ran::of(&blocked.output().unwrap()).code(1);
    assert!(blocked.err.contains("cannot be noted before"), "{blocked:?}");
    assert_eq!(started("web"), before);
}

#[test]
fn a_killed_run_is_followed_by_one_that_starts_the_containers() {
    let Some(site) = Site::start() else { return };
    let log = web(&site);
    let lines = waiting(&site, "[app.other]\npaths = \"source\"");
    site.configure(&lines);
    let mut run = site.home.spawn(["run", "wiki"], Stdio::null());
    wait_until("it is stopped", || fs::read_to_string(&log).unwrap() == "stopped\n");
    wait_until("the engine says so", || !site.is_running("web"));
    let note = site.home.read("state/apps/wiki/stopped.json");
    assert!(note.contains("\"name\": \"web\""), "{note}");
    // While it lives, nobody else starts what it has stopped.
    assert_eq!(site.home.run(["run", "other"]).ok().err, "");
    assert!(!site.is_running("web"));
    run.kill().unwrap();
    run.wait().unwrap();
    assert!(!site.is_running("web"));

    let apps = site.home.run(["apps", "--healthy"]).code(1);
    assert!(apps.err.contains("web") && apps.err.contains("stand still"), "{apps:?}");
    // Even where no app is due.
    let next = site.home.run(["run", "--due"]).ok();
    assert!(next.err.contains("container `web` stood still since an earlier run"), "{next:?}");
    wait_until("it runs again", || fs::read_to_string(&log).unwrap() == "running\n");
    assert!(!site.home.path("state/apps/wiki/stopped.json").exists());
    assert_eq!(site.home.run(["run", "other"]).ok().err, "");
}

#[test]
fn a_failed_run_starts_the_containers_and_says_if_it_cannot() {
    let Some(mut site) = Site::start() else { return };
    let log = web(&site);
    let lines = waiting(&site, "timeout = \"3s\"");
    site.configure(&lines);
    let report = site.run("wiki", 1);
    assert!(report["error"].as_str().unwrap().contains("longer than 3 s"), "{report}");
    wait_until("it runs again", || fs::read_to_string(&log).unwrap() == "running\n");

    // The engine goes away meanwhile, and the run ends well.
    site.configure(&lines.replace("timeout", "# timeout"));
    let run = site.home.spawn(["run", "wiki", "--json"], Stdio::null());
    // After the engine has answered, not only after the container has ended.
    wait_until("it waits at the fifo", || has_open(run.id(), &site.home.path("fifo")));
    site.podman.kill();
    fs::write(site.home.path("fifo"), "end\n").unwrap();
    let ran = Ran::of(&run.wait_with_output().unwrap()).code(1);
    assert!(ran.out.contains("`web` stands still"), "{ran:?}");
    site.configure("[app.other]\npaths = \"source\"");
    let next = site.home.run(["run", "other"]).code(1);
    assert!(next.err.contains("`web` stands still"), "{next:?}");
    assert!(next.out.contains("other: snapshot"), "{next:?}");
    site.podman.restart();
    let next = site.home.run(["run", "other"]).ok();
    assert!(next.err.contains("stood still since an earlier run"), "{next:?}");
    assert!(site.is_running("web"));
}
