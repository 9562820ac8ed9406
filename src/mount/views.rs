//! Directories above the snapshots: every snapshot by its id, and links to it by time, app and
//! host.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::inodes::{ROOT, number_of_name};
use crate::format::entry::Timestamp;
use crate::format::snapshot::Snapshot;

/// Directory of the snapshots themselves; everything else links into it.
pub(super) const BY_ID: &str = "by-id";
/// Fewest digits of an abbreviated id.
const PREFIX_LEN_MIN: usize = 4;

/// Returns the name of a time, without a slash.
pub type NameOfTime = fn(Timestamp) -> String;

/// An item above the snapshots.
#[derive(Clone)]
pub(super) enum ViewItem {
    /// A directory.
    Dir(BTreeMap<String, ViewItem>),
    /// A symbolic link and its target.
    Link(String),
    /// The root of a snapshot.
    Snapshot(Arc<Snapshot>),
}

/// The directories above the snapshots at one moment.
pub(super) struct Views {
    root: BTreeMap<String, ViewItem>,
    snapshots: Vec<Arc<Snapshot>>,
}

impl Views {
    /// Makes the views of snapshots, which are sorted, oldest first.
    pub(super) fn new(snapshots: Vec<Arc<Snapshot>>, name_of_time: NameOfTime) -> Self {
        let mut by_id = BTreeMap::new();
        let (mut by_time, mut by_app, mut by_host) =
            (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for snapshot in &snapshots {
            let id = snapshot.id.to_hex();
            let time = name_of_time(snapshot.started);
            let short = snapshot.id.short();
            let target = |up: &str| ViewItem::Link(format!("{up}{BY_ID}/{id}"));
            by_id.insert(id.clone(), ViewItem::Snapshot(snapshot.clone()));
            add(&mut by_time, &time, &short, target("../"));
            for (groups, name) in [(&mut by_app, &snapshot.app), (&mut by_host, &snapshot.host)] {
                if !name.is_empty() {
                    let group: &mut BTreeMap<String, ViewItem> =
                        groups.entry(safe_name(name)).or_default();
                    add(group, &time, &short, target("../../"));
                    group.insert("latest".to_owned(), target("../../"));
                }
            }
        }
        let folders = |groups: BTreeMap<String, BTreeMap<String, ViewItem>>| {
            ViewItem::Dir(
                groups.into_iter().map(|(name, group)| (name, ViewItem::Dir(group))).collect(),
            )
        };
        let mut root = BTreeMap::from([
            (BY_ID.to_owned(), ViewItem::Dir(by_id)),
            ("by-time".to_owned(), ViewItem::Dir(by_time)),
            ("by-app".to_owned(), folders(by_app)),
            ("by-host".to_owned(), folders(by_host)),
        ]);
        if let Some(newest) = snapshots.last() {
            root.insert(
                "latest".to_owned(),
                ViewItem::Link(format!("{BY_ID}/{}", newest.id.to_hex())),
            );
        }
        Self { root, snapshots }
    }

    /// Returns the snapshots, oldest first.
    pub(super) fn snapshots(&self) -> &[Arc<Snapshot>] {
        &self.snapshots
    }

    /// Returns the names that newer views lack, each with the number of its directory.
    pub(super) fn vanished(&self, newer: &Self) -> Vec<(u64, String)> {
        let mut names = Vec::new();
        vanished(ROOT, &self.root, &newer.root, &mut names);
        names
    }

    /// Returns the content of the directory at a path, whose parts are separated by slashes; `None`
    /// if there is none.
    pub(super) fn folder(&self, path: &str) -> Option<&BTreeMap<String, ViewItem>> {
        let mut folder = &self.root;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            let ViewItem::Dir(below) = folder.get(part)? else { return None };
            folder = below;
        }
        Some(folder)
    }

    /// Returns the item `name` of the directory at a path. In `by-id`, an unambiguous start of an
    /// id is a link to it, although it is not listed.
    pub(super) fn find(&self, path: &str, name: &str) -> Option<ViewItem> {
        let folder = self.folder(path)?;
        if let Some(item) = folder.get(name) {
            return Some(item.clone());
        }
        if path != BY_ID || name.len() < PREFIX_LEN_MIN {
            return None;
        }
        let mut ids =
            folder.range(name.to_owned()..).map(|(id, _)| id).take_while(|id| id.starts_with(name));
        let id = ids.next()?;
        ids.next().is_none().then(|| ViewItem::Link(id.clone()))
    }
}

fn vanished(
    number: u64,
    old: &BTreeMap<String, ViewItem>,
    new: &BTreeMap<String, ViewItem>,
    names: &mut Vec<(u64, String)>,
) {
    for (name, item) in old {
        match (item, new.get(name)) {
            (ViewItem::Dir(old), Some(ViewItem::Dir(new))) => {
                vanished(number_of_name(number, name.as_bytes()), old, new, names)
            }
            (_, Some(_)) => {}
            (_, None) => names.push((number, name.clone())),
        }
    }
}

/// Adds a link under the name of its time; if that is taken, followed by the start of its id.
fn add(folder: &mut BTreeMap<String, ViewItem>, time: &str, short: &str, item: ViewItem) {
    let name = if folder.contains_key(time) { format!("{time}-{short}") } else { time.to_owned() };
    folder.insert(name, item);
}

/// Returns a valid directory entry name.
fn safe_name(name: &str) -> String {
    let name: String = name.chars().map(|c| if c == '/' || c == '\0' { '_' } else { c }).collect();
    if name == "." || name == ".." { name.replace('.', "_") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(items: &[(&str, ViewItem)]) -> BTreeMap<String, ViewItem> {
        items.iter().map(|(name, item)| ((*name).to_owned(), item.clone())).collect()
    }

    #[test]
    fn names_that_vanish_are_found_at_any_depth() {
        let link = |target: &str| ViewItem::Link(target.to_owned());
        let hosts = |times: &[(&str, ViewItem)]| {
            ViewItem::Dir(folder(&[("laptop", ViewItem::Dir(folder(times)))]))
        };
        let old = folder(&[
            ("by-host", hosts(&[("monday", link("1")), ("tuesday", link("2"))])),
            ("latest", link("2")),
            ("x", link("3")),
        ]);
        let new = folder(&[
            ("by-host", hosts(&[("tuesday", link("2")), ("friday", link("4"))])),
            ("latest", link("4")),
        ]);
        let mut names = Vec::new();
        vanished(ROOT, &old, &new, &mut names);
        let of_laptop = number_of_name(number_of_name(ROOT, b"by-host"), b"laptop");
        assert_eq!(names, [(of_laptop, "monday".to_owned()), (ROOT, "x".to_owned())]);
    }
}
