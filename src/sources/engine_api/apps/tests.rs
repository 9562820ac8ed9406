//! Goal: containers with one app's name become one app, and its mounts are those that were asked
//! for. Method: lists of containers as an engine gives them.

use super::{labelled_apps, mounts_to_read};
use crate::sources::engine_api::{Container, Inspected, Mount, Names};

fn container(name: &str, labels: &[(&str, &str)]) -> Container {
    let labels =
        labels.iter().map(|(label, value)| (format!("drumlin.{label}"), value.to_string()));
    Container { id: "0".into(), name: name.into(), is_running: true, labels: labels.collect() }
}

#[test]
fn an_app_has_all_its_containers_in_the_order_of_their_names() {
    let apps = labelled_apps(vec![
        container("wiki-web", &[("app", "wiki"), ("volumes", "true"), ("schedule", "daily")]),
        container("cron", &[]),
        container("wiki-db", &[("app", "wiki"), ("mariadb", "true"), ("schedule", "daily")]),
        container("shop", &[("app", "shop"), ("repository", "box"), ("keep", "decay 1y")]),
    ]);
    let apps = apps.unwrap();
    assert_eq!(apps.keys().collect::<Vec<_>>(), ["shop", "wiki"]);
    let wiki = &apps["wiki"];
    let names: Vec<&str> = wiki.members.iter().map(|m| m.container.name.as_str()).collect();
    assert_eq!(names, ["wiki-db", "wiki-web"]);
    assert_eq!((wiki.schedule.as_deref(), &wiki.keep), (Some("daily"), &None));
    let shop = &apps["shop"];
    assert_eq!(
        (&shop.repository[..], shop.keep.as_deref()),
        (&["box".into()][..], Some("decay 1y"))
    );
}

#[test]
fn containers_that_differ_about_their_app_are_refused() {
    for label in ["schedule", "keep", "repository"] {
        let error = labelled_apps(vec![
            container("b", &[("app", "wiki"), (label, "x")]),
            container("a", &[("app", "wiki"), (label, "y")]),
        ]);
        let error = error.unwrap_err();
        assert_eq!((error.container.as_str(), error.label), ("b", format!("drumlin.{label}")));
        assert!(error.problem.contains("container `a`"), "{}", error.problem);
    }
}

#[test]
fn a_mistake_in_any_container_is_an_error() {
    let containers = vec![container("a", &[("app", "x")]), container("b", &[("aap", "x")])];
    assert_eq!(labelled_apps(containers).unwrap_err().container, "b");
}

fn mount(kind: &str, name: Option<&str>, source: &str, destination: &str) -> Mount {
    let name = name.map(str::to_owned);
    Mount { kind: kind.into(), name, source: source.into(), destination: destination.into() }
}

fn inspected() -> Inspected {
    let mounts = vec![
        mount("volume", Some("data"), "/var/lib/docker/volumes/data/_data", "/data"),
        mount("bind", None, "/srv/upload", "/upload"),
        mount("bind", None, "/var/run/docker.sock", "/docker.sock"),
        mount("bind", None, "/", "/host"),
        mount("bind", None, "/running", "/running"),
        mount("tmpfs", None, "", "/cache"),
    ];
    Inspected { container: container("web", &[]), mounts }
}

#[test]
fn all_mounts_are_those_with_data() {
    let inspected = inspected();
    let mounts = mounts_to_read(&inspected, &Names::All).unwrap();
    let destinations: Vec<_> = mounts.iter().map(|m| m.destination.to_str().unwrap()).collect();
    assert_eq!(destinations, ["/data", "/upload", "/running"]);
}

#[test]
fn named_mounts_are_found_or_missed() {
    let inspected = inspected();
    let find = |names: &[&str]| {
        let names = Names::Only(names.iter().map(|name| name.to_string()).collect());
        let mounts = mounts_to_read(&inspected, &names)?;
        Ok(mounts.iter().map(|m| m.source.to_str().unwrap()).collect())
    };
    let found: Result<Vec<&str>, super::LabelError> = find(&["/upload", "data", "/host"]);
    assert_eq!(found.unwrap(), ["/srv/upload", "/var/lib/docker/volumes/data/_data", "/"]);
    for name in ["/cache", "dat", "/uploa", "/srv/upload"] {
        let error = find(&["data", name]).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        assert_eq!(error.label, "drumlin.volumes");
    }
}
