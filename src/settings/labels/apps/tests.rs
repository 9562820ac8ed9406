//! Goal: labels of containers become the settings that the file would give, and a mistake costs its
//! app alone. Method: containers as they are read, and what becomes of them.

use std::collections::BTreeMap;

use super::{ContainerLabels, LabelFault, LabelledContainer};
use crate::settings::Settings;
use crate::settings::environment::Environment;
use crate::settings::sources::DatabaseKind;

fn container(name: &str, labels: &[(&str, &str)]) -> LabelledContainer {
    let labels: BTreeMap<String, String> = labels
        .iter()
        .map(|(label, value)| (format!("drumlin.{label}"), value.to_string()))
        .collect();
    LabelledContainer {
        name: name.to_owned(),
        labels: ContainerLabels::read(name, &labels).unwrap().unwrap(),
        ..LabelledContainer::default()
    }
}

/// Returns the settings of a file with two repositories and the app `own`, and these containers.
fn with(containers: Vec<LabelledContainer>) -> (Settings, Vec<LabelFault>) {
    let text = "repository.box = { url = \"/box\" }\nrepository.usb = { url = \"/usb\" }\n\
                [app.own]\npaths = \"/srv\"\n";
    let file = "/etc/drumlin.toml".into();
    let mut settings = Settings::parse(text, file, &Environment::default()).unwrap();
    let mut faults = Vec::new();
    settings.add_labelled(containers, &mut faults);
    (settings, faults)
}

#[test]
fn the_containers_of_an_app_are_one_app() {
    let web = LabelledContainer {
        paths: vec!["/volumes/data".into()],
        sqlite: vec!["/volumes/data/*.db".to_owned()],
        ..container(
            "web",
            &[("app", "wiki"), ("stop", "true"), ("exclude", "cache"), ("keep", "decay 1y")],
        )
    };
    let cron =
        LabelledContainer { paths: web.paths.clone(), ..container("cron", &[("app", "wiki")]) };
    let (settings, faults) = with(vec![
        web,
        cron,
        container("db", &[("app", "wiki"), ("mariadb", "true"), ("schedule", "daily 03:10")]),
        container("pg", &[("app", "wiki"), ("postgres", "a,b"), ("repository", "usb")]),
        container("kv", &[("app", "kv"), ("command.dump.rdb", "redis-cli --rdb -")]),
    ]);
    assert_eq!(faults, []);
    assert_eq!(settings.apps.keys().collect::<Vec<_>>(), ["kv", "own", "wiki"]);
    let wiki = &settings.apps["wiki"];
    assert_eq!(wiki.paths, [std::path::Path::new("/volumes/data")]);
    assert_eq!(
        (&wiki.stop[..], &wiki.repositories[..]),
        (&["web".to_owned()][..], &["usb".to_owned()][..])
    );
    assert_eq!(
        (&wiki.excludes.patterns[..], wiki.run.schedule.len()),
        (&["cache".to_owned()][..], 1)
    );
    assert!(wiki.keep.as_ref().is_some_and(|policy| policy.decay.is_some()));
    assert_eq!(wiki.sources.sqlite, ["/volumes/data/*.db"]);
    let [mariadb] = &wiki.sources.mysql[..] else { panic!("{:?}", wiki.sources) };
    assert_eq!(
        (mariadb.kind, &mariadb.databases, &mariadb.name),
        (DatabaseKind::Mariadb, &None, &None)
    );
    assert_eq!(mariadb.container.as_deref(), Some("db"));
    assert_eq!(wiki.sources.postgres[0].databases.as_ref().unwrap(), &["a", "b"]);
    let command = &settings.apps["kv"].sources.commands[0];
    assert_eq!((command.name.as_str(), command.container.as_deref()), ("dump.rdb", Some("kv")));
}

#[test]
fn several_servers_of_a_kind_have_folders_of_their_own() {
    let labels = [("app", "wiki"), ("mysql", "true")];
    let (settings, _) = with(vec![container("b", &labels), container("a", &labels)]);
    let names: Vec<_> =
        settings.apps["wiki"].sources.mysql.iter().map(|server| server.name.as_deref()).collect();
    assert_eq!(names, [Some("a"), Some("b")]);
}

#[test]
fn a_mistake_is_told_and_leaves_out_its_app_alone() {
    let good = || container("good", &[("app", "good"), ("postgres", "true")]);
    for (labels, container_name, label, problem) in [
        (
            [[("app", "own"), ("mysql", "true")], [("app", "own"), ("volumes", "true")]],
            "a",
            "app",
            "[app.own], of /etc/drumlin.toml, too",
        ),
        (
            [[("app", "x"), ("schedule", "daily")], [("app", "x"), ("schedule", "weekly")]],
            "b",
            "schedule",
            "container `a`",
        ),
        (
            [[("app", "x"), ("keep", "decay 1y")], [("app", "x"), ("keep", "decay 2y")]],
            "b",
            "keep",
            "container `a`",
        ),
        (
            [[("app", "x"), ("repository", "box")], [("app", "x"), ("repository", "usb")]],
            "b",
            "repository",
            "container `a`",
        ),
        (
            [[("app", "x"), ("mysql", "true")], [("app", "x"), ("schedule", "often")]],
            "b",
            "schedule",
            "is not a schedule",
        ),
        (
            [[("app", "x"), ("mysql", "true")], [("app", "x"), ("keep", "much")]],
            "b",
            "keep",
            "much",
        ),
        (
            [[("app", "x"), ("mysql", "true")], [("app", "x"), ("repository", "far")]],
            "b",
            "repository",
            "no [repository.far]",
        ),
        (
            [[("app", "x"), ("command.d", "a")], [("app", "x"), ("command.d", "b")]],
            "b",
            "command.d",
            "container `a`",
        ),
        (
            [[("app", "x"), ("schedule", "daily")], [("app", "x"), ("keep", "decay 1y")]],
            "a",
            "app",
            "nothing to back up",
        ),
    ] {
        let [one, other] = labels;
        let (settings, faults) = with(vec![good(), container("b", &other), container("a", &one)]);
        let [fault] = &faults[..] else { panic!("{faults:?}") };
        assert_eq!(fault.app.as_deref(), Some(one[0].1));
        assert_eq!(
            (fault.error.container.as_str(), &fault.error.label[8..]),
            (container_name, label)
        );
        assert!(fault.error.problem.contains(problem), "{}", fault.error);
        assert_eq!(settings.apps.keys().collect::<Vec<_>>(), ["good", "own"]);
        assert!(settings.apps["own"].sources.is_empty(), "the file's app stays as it is");
    }
}

#[test]
fn an_app_with_a_fault_from_before_is_left_out() {
    let mut settings = Settings::default();
    let labels =
        [("drumlin.app".to_owned(), "x".to_owned()), ("drumlin.typo".to_owned(), String::new())];
    let labels = BTreeMap::from(labels);
    let error = ContainerLabels::read("b", &labels).unwrap_err();
    let app = ContainerLabels::app_of(&labels).map(str::to_owned);
    let mut faults = vec![LabelFault { app, error }];
    settings.add_labelled(vec![container("a", &[("app", "x"), ("mysql", "true")])], &mut faults);
    assert!(settings.apps.is_empty() && faults.len() == 1, "{faults:?}");
}
