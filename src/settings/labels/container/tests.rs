//! Goal: labels mean what the documentation says, and a mistake is an error that names container
//! and label. Method: tables of labels.

use std::collections::BTreeMap;

use super::{ContainerLabels, LabelError, Names};

fn read(labels: &[(&str, &str)]) -> Result<Option<ContainerLabels>, LabelError> {
    let labels: BTreeMap<String, String> =
        labels.iter().map(|(label, value)| (label.to_string(), value.to_string())).collect();
    ContainerLabels::read("wiki-db", &labels)
}

#[test]
fn every_label_is_read() {
    let only = |names: &[&str]| Some(Names::Only(names.iter().map(|n| n.to_string()).collect()));
    let labels = read(&[
        ("drumlin.app", "wiki"),
        ("drumlin.schedule", " daily 03:10 "),
        ("drumlin.keep", "decay 2y"),
        ("drumlin.repository", "box, usb"),
        ("drumlin.mariadb", "true"),
        ("drumlin.postgres", "wiki,blog"),
        ("drumlin.sqlite", "/data/*.db"),
        ("drumlin.volumes", "wiki_data, /srv"),
        ("drumlin.exclude", "cache, *.tmp"),
        ("drumlin.stop", "false"),
        ("drumlin.command.redis/dump.rdb", "redis-cli --rdb -"),
        ("org.opencontainers.image.title", "wiki"),
    ]);
    let expected = ContainerLabels {
        app: "wiki".into(),
        schedule: Some("daily 03:10".into()),
        keep: Some("decay 2y".into()),
        repository: vec!["box".into(), "usb".into()],
        mariadb: Some(Names::All),
        mysql: None,
        postgres: only(&["wiki", "blog"]),
        sqlite: vec!["/data/*.db".into()],
        volumes: only(&["wiki_data", "/srv"]),
        exclude: vec!["cache".into(), "*.tmp".into()],
        is_stopped: false,
        commands: [("redis/dump.rdb".into(), "redis-cli --rdb -".into())].into(),
    };
    assert!(expected.needs_running());
    assert_eq!(labels.unwrap().unwrap(), expected);
}

#[test]
fn containers_without_labels_are_left_alone() {
    assert_eq!(read(&[]).unwrap(), None);
    assert_eq!(read(&[("com.docker.compose.project", "x"), ("drumlinx", "y")]).unwrap(), None);
}

#[test]
fn the_project_is_the_app_unless_it_is_named() {
    let app = |labels: &[(&str, &str)]| read(labels).unwrap().unwrap().app;
    let volumes = ("drumlin.volumes", "true");
    assert_eq!(app(&[volumes, ("com.docker.compose.project", "shop")]), "shop");
    assert_eq!(app(&[volumes, ("io.podman.compose.project", "shop")]), "shop");
    let both = [volumes, ("com.docker.compose.project", "shop"), ("drumlin.app", "wiki")];
    assert_eq!(app(&both), "wiki");
}

#[test]
fn a_stopped_container_may_have_files_only() {
    let labels = read(&[
        ("drumlin.app", "wiki"),
        ("drumlin.stop", "true"),
        ("drumlin.volumes", "true"),
        ("drumlin.mariadb", "false"),
    ]);
    let labels = labels.unwrap().unwrap();
    assert!(labels.is_stopped && !labels.needs_running());
    assert_eq!((labels.volumes, labels.mariadb), (Some(Names::All), None));
}

#[test]
fn mistakes_name_container_and_label() {
    let long = "x".repeat(201);
    for (label, value, problem) in [
        ("drumlin.shedule", "daily", "is not known; known are app, schedule"),
        ("drumlin.", "x", "is not known"),
        ("drumlin.commands.x", "x", "is not known"),
        ("drumlin.schedule", "  ", "is empty"),
        ("drumlin.mariadb", "", "is empty"),
        ("drumlin.mariadb", "a,,b", "has an empty item"),
        ("drumlin.stop", "yes", "`yes` is not true or false"),
        ("drumlin.app", "../etc", "is not a name"),
        ("drumlin.app", ".hidden", "is not a name"),
        ("drumlin.app", "a/b", "is not a name"),
        ("drumlin.app", "ä", "is not a name"),
        ("drumlin.app", &long, "is not a name"),
        ("drumlin.sqlite", "data.db", "is not an absolute path"),
        ("drumlin.command.", "x", "cannot be the name of a file"),
        ("drumlin.command.../x", "x", "cannot be the name of a file"),
        ("drumlin.command./x", "x", "cannot be the name of a file"),
        ("drumlin.command.x", "", "is empty"),
    ] {
        let mut labels = vec![("com.docker.compose.project", "shop"), (label, value)];
        let error = read(&labels).expect_err(label).to_string();
        let begin = format!("container `wiki-db`, label `{label}`: ");
        assert!(error.starts_with(&begin) && error.contains(problem), "{error}");
        labels.pop();
    }
    let error = read(&[("drumlin.volumes", "true")]).unwrap_err();
    assert_eq!(error.label, "drumlin.app");
}

#[test]
fn labels_that_contradict_each_other_are_refused() {
    let app = ("drumlin.app", "wiki");
    for (first, second, label) in [
        (("drumlin.stop", "true"), ("drumlin.postgres", "true"), "drumlin.stop"),
        (("drumlin.stop", "true"), ("drumlin.command.x", "true"), "drumlin.stop"),
        (("drumlin.mariadb", "true"), ("drumlin.mysql", "wiki"), "drumlin.mysql"),
    ] {
        assert_eq!(read(&[app, first, second]).unwrap_err().label, label);
    }
}
