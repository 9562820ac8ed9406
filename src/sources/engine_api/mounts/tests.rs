//! Goal: the mounts of a container are those that were asked for. Method: containers as an engine
//! gives them.

use std::collections::BTreeMap;

use super::mounts_to_read;
use crate::settings::labels::{LabelError, Names};
use crate::sources::engine_api::{Container, Inspected, Mount};

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
    let container =
        Container { id: "0".into(), name: "web".into(), is_running: true, labels: BTreeMap::new() };
    Inspected { container, mounts, is_removed_when_stopped: false }
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
    let found: Result<Vec<&str>, LabelError> = find(&["/upload", "data", "/host"]);
    assert_eq!(found.unwrap(), ["/srv/upload", "/var/lib/docker/volumes/data/_data", "/"]);
    for name in ["/cache", "dat", "/uploa", "/srv/upload"] {
        let error = find(&["data", name]).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        assert_eq!(error.label, "drumlin.volumes");
    }
}
