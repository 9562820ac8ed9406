//! Goal: labels make apps beside those of the file; what is wrong with them is told and costs no
//! other app. Method: containers with labels, and the commands that see them.

use std::fs;

use serde_json::Value;

use super::{Site, text, wait_until};
use crate::apps::daemon::stage::{Daemon, runs};
use crate::apps::notify::sinks::{HttpSink, Manner};

#[test]
fn labels_with_volumes_are_apps() {
    let Some(site) = Site::start() else { return };
    let data = site.home.path("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("page"), "a page\n").unwrap();
    fs::write(data.join("junk.tmp"), "junk\n").unwrap();
    let database = rusqlite::Connection::open(data.join("a.db")).unwrap();
    database.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (7)").unwrap();
    let volume = format!("{}:/srv/data", text(&data));
    let options = [
        "app=site",
        "volumes=true",
        "sqlite=/srv/data/*.db",
        "exclude=*.tmp",
        "stop=true",
        "schedule=every 1h",
        "keep=decay 1y",
    ];
    let labels: Vec<String> =
        options.iter().map(|option| format!("--label=drumlin.{option}")).collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    site.podman.run_container("web", &[&["--volume", &volume][..], &labels].concat());

    let apps = site.home.json(["apps"]);
    let names: Vec<&str> =
        apps["apps"].as_array().unwrap().iter().map(|app| app["app"].as_str().unwrap()).collect();
    assert_eq!(names, ["none", "site"]);
    let due = site.home.run(["run", "--due"]).ok();
    assert!(due.out.contains("site: snapshot") && due.err.is_empty(), "{due:?}");
    let page = format!("latest:{}", text(&data.join("page")));
    assert_eq!(site.home.run(["cat", &page]).ok().out, "a page\n");
    let listed = site.home.run(["ls", "-R", "latest"]).ok().out;
    assert!(listed.contains("a.db") && !listed.contains("junk.tmp"), "{listed}");
    let manifest = site.home.run(["cat", "latest:/@app/manifest.json"]).ok().out;
    assert!(manifest.contains("sqlite"), "{manifest}");
    assert!(site.is_running("web"));
    assert!(site.home.run(["run", "--due"]).ok().out.contains("no app is due"));

    // Below `root`, as in a container of the program's own.
    site.configure(&format!(
        "defaults.root = {:?}\n[app.none]\npaths = \"/x\"",
        site.home.path("host")
    ));
    let below = site.home.path("host").join(data.strip_prefix("/").unwrap());
    fs::create_dir_all(&below).unwrap();
    fs::write(below.join("page"), "below root\n").unwrap();
    fs::copy(data.join("a.db"), below.join("a.db")).unwrap();
    assert_eq!(site.run("site", 0)["status"], "done");
    assert_eq!(site.home.run(["cat", &page]).ok().out, "below root\n");
}

#[test]
fn a_fault_is_told_and_costs_no_other_app() {
    let Some(mut site) = Site::start() else { return };
    site.configure("[app.own]\npaths = \"source\"");
    let good = ["--label=drumlin.app=good", "--label=drumlin.command.dump=echo x"];
    site.podman.run_container("good", &good);
    site.podman.run_container("typo", &["--label=drumlin.app=bad", "--label=drumlin.postgre=true"]);
    site.podman.run_container("twin", &["--label=drumlin.app=own", "--label=drumlin.mysql=true"]);
    let all = site.home.run(["run"]).code(1);
    assert!(all.out.contains("good: snapshot") && all.out.contains("own: snapshot"), "{all:?}");
    assert!(all.err.contains("container `typo`, label `drumlin.postgre`: is not known"), "{all:?}");
    assert!(all.err.contains("container `twin`") && all.err.contains("[app.own]"), "{all:?}");
    assert!(all.err.contains("drumlin.toml, too"), "{all:?}");
    assert!(site.home.run(["run", "good"]).ok().err.is_empty());
    let bad = site.home.run(["run", "bad"]).code(2);
    assert!(bad.err.contains("`drumlin.postgre`") && bad.err.contains("[app.bad]"), "{bad:?}");
    assert!(site.home.run(["apps"]).code(1).err.contains("`drumlin.postgre`"));

    site.podman.kill();
    let all = site.home.run(["run"]).code(1);
    assert!(all.out.contains("own: nothing has changed") && !all.out.contains("good"), "{all:?}");
    assert!(all.err.contains("labels of containers cannot be read"), "{all:?}");
    assert!(site.home.run(["run", "own"]).ok().err.is_empty(), "it needs no engine");
    let unknown = site.home.run(["run", "good"]).code(2);
    assert!(unknown.err.contains("labels of containers cannot be read"), "{unknown:?}");
}

#[test]
fn the_configuration_is_shown_and_checked_with_the_apps_of_labels() {
    let Some(site) = Site::start() else { return };
    let good = ["--label=drumlin.app=good", "--label=drumlin.command.dump=echo x"];
    let timed = [&good[..], &["--label=drumlin.schedule=daily 03:10"]].concat();
    site.podman.run_container("good", &timed);
    let shown = site.home.run(["config", "show", "--app", "good"]).ok();
    assert!(shown.out.contains("# app.good, by labels of its containers"), "{shown:?}");
    assert!(shown.out.contains("daily 03:10: next "), "{shown:?}");
    let checked = site.home.run(["config", "check"]);
    assert!(checked.out.contains("app.good"), "{checked:?}");
    site.podman.run_container("typo", &["--label=drumlin.app=bad", "--label=drumlin.postgre=true"]);
    let checked = site.home.run(["config", "check", "--offline"]).code(2);
    assert!(checked.out.contains("`drumlin.postgre`: is not known"), "{checked:?}");
    assert!(site.home.run(["config", "show"]).code(1).err.contains("`drumlin.postgre`"));
}

#[test]
fn an_app_whose_container_is_gone_is_told_once() {
    let Some(site) = Site::start() else { return };
    let sink = HttpSink::start(Manner::Accepts);
    site.configure(&format!("notify = {{ webhook = \"{}\" }}\n", sink.url("/hook")));
    site.podman
        .run_container("kv", &["--label=drumlin.app=kv", "--label=drumlin.command.d=echo x"]);
    site.podman.run_container("typo", &["--label=drumlin.app=bad", "--label=drumlin.postgre=true"]);
    let look = || site.home.run(["run", "--due"]).code(1);
    look();
    assert_eq!(sink.events(), ["- left-out"]);
    assert_eq!(sink.messages()[0]["target"], "bad");
    site.podman.run(&["rm", "-f", "-t", "0", "kv"]);
    look();
    assert_eq!(sink.events().len(), 1, "it may be made anew");
    let file = "state/watch/state.json";
    let mut watch: Value = serde_json::from_str(&site.home.read(file)).unwrap();
    let seen_s = &mut watch["labelled"]["seen_s"]["kv"];
    *seen_s = (seen_s.as_i64().unwrap() - 3_700).into();
    site.home.write(file, watch.to_string());
    look();
    look();
    assert_eq!(sink.events(), ["- left-out", "- left-out"]);
    assert_eq!(sink.messages()[1]["target"], "kv");
}

#[test]
fn the_daemon_sees_labels_that_come_and_an_engine_that_goes() {
    let Some(mut site) = Site::start() else { return };
    site.configure("daemon = { settle = \"0s\" }\n[app.none]\npaths = \"source\"");
    let daemon = Daemon::start(&site.home);
    let labels = [
        "--label=drumlin.app=kv",
        "--label=drumlin.command.dump=echo x",
        "--label=drumlin.schedule=every 1h",
    ];
    site.podman.run_container("kv", &labels);
    wait_until("its run", || !runs(&site.home, "kv").is_empty());
    assert_eq!(runs(&site.home, "kv")[0]["status"], "done");
    site.podman.kill();
    let told = || site.home.read("log").matches("labels of containers cannot be read").count();
    wait_until("the fault is told", || told() > 0);
    daemon.stop();
    assert_eq!(told(), 1, "once while it lasts");
}
