//! The program's own directories, which backups leave out and restores never touch.

use std::path::{Path, PathBuf};

use crate::repo::open::witness::PLACES;

/// Returns the program's directories in the cache directory, which may hold other files.
pub fn in_cache(cache_dir: &Path) -> Vec<PathBuf> {
    let is_own = |(name, path): &(Vec<u8>, PathBuf)| {
        is_copies(name) || name == LOCATIONS && is_filled_with(path, is_location)
    };
    paths(folders_in(cache_dir).into_iter().filter(is_own))
}

/// Like [`in_cache`], for a backup: returns the cache directory itself if it holds nothing else.
pub fn in_cache_to_leave_out(cache_dir: &Path) -> Vec<PathBuf> {
    let own = in_cache(cache_dir);
    let all = std::fs::read_dir(cache_dir).map_or(0, Iterator::count);
    if own.is_empty() || own.len() < all { own } else { vec![cache_dir.to_path_buf()] }
}

/// Returns the program's directories in the state directory: their common parent if it holds
/// nothing else, so that new records do not change the list.
pub fn in_state(state_dir: &Path) -> Vec<PathBuf> {
    let kinds: [(&str, IsOwn); 6] = [
        (APPS, is_app),
        (DAEMON, is_of_daemon),
        (PLACES, is_place),
        (REPOSITORIES, is_repository),
        (OUTBOX, is_message),
        (WATCH, is_watch),
    ];
    let own = kinds.into_iter().flat_map(|(name, is_own)| {
        let all = state_dir.join(name);
        if is_filled_with(&all, is_own) {
            return vec![all];
        }
        paths(folders_in(&all).into_iter().filter(|(name, path)| is_own(name, path)))
    });
    own.collect()
}

/// Judges a directory by its name and path.
type IsOwn = fn(&[u8], &Path) -> bool;

/// Directory of the state of apps.
const APPS: &str = "apps";
/// Directory of what is remembered of repositories, and done with them by schedule.
const REPOSITORIES: &str = "repositories";
/// Directory of the state of the daemon.
const DAEMON: &str = "daemon";
/// Directory of messages that wait.
pub const OUTBOX: &str = "outbox";
/// Directory of the state of messages that belong to no run.
pub const WATCH: &str = "watch";

/// Directory of notes that map locations to repositories.
const LOCATIONS: &[u8] = b"locations";
/// Length of a note: an id in hex.
const LOCATION_LEN_MAX_BYTES: u64 = 32;

fn paths(folders: impl Iterator<Item = (Vec<u8>, PathBuf)>) -> Vec<PathBuf> {
    let mut paths: Vec<_> = folders.map(|(_, path)| path).collect();
    paths.sort();
    paths
}

/// Returns the names and paths of the subdirectories.
fn folders_in(dir: &Path) -> Vec<(Vec<u8>, PathBuf)> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.map(|entry| (entry.file_name().into_encoded_bytes(), entry.path())).collect()
}

/// Returns whether a directory is not empty and all of its content is the program's.
///
/// Its name is no proof: it is a common word.
fn is_filled_with(dir: &Path, is_own: fn(&[u8], &Path) -> bool) -> bool {
    let Ok(entries) = std::fs::read_dir(dir) else { return false };
    let mut count = 0;
    let mut is_own = |entry: std::fs::DirEntry| {
        count += 1;
        is_own(entry.file_name().as_encoded_bytes(), &entry.path())
    };
    entries.into_iter().all(|entry| entry.is_ok_and(&mut is_own)) && count > 0
}

fn is_hex(name: &[u8], len: usize) -> bool {
    name.len() == len && name.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Returns whether this is the name of a directory of copies.
fn is_copies(name: &[u8]) -> bool {
    let mut parts = name.splitn(2, |byte| *byte == b'-');
    parts.next().is_some_and(|id| is_hex(id, 32))
        && parts.next().is_some_and(|place| is_hex(place, 16))
}

/// Returns whether this is a note of a location, or an unfinished one.
fn is_location(name: &[u8], path: &Path) -> bool {
    let is_named =
        is_hex(name, 64) || name.strip_prefix(b".tmp-").is_some_and(|rest| is_hex(rest, 16));
    is_named
        && path
            .symlink_metadata()
            .is_ok_and(|found| found.is_file() && found.len() <= LOCATION_LEN_MAX_BYTES)
}

/// Returns whether this is the directory of records of a repository.
fn is_place(name: &[u8], path: &Path) -> bool {
    let is_memory = |name: &[u8], _: &Path| {
        name == b"lock" || [&b"memory.json"[..], b".new-"].iter().any(|own| name.starts_with(own))
    };
    is_hex(name, 32) && is_filled_with(path, is_memory)
}

/// Returns whether this is the file of a message, or what the outbox keeps of itself.
fn is_message(name: &[u8], path: &Path) -> bool {
    let mut parts = name.split(|byte| *byte == b'.');
    let is_id =
        |id: &[u8]| id.len() == 50 && id.split(|byte| *byte == b'-').all(|part| is_hex(part, 16));
    let is_own = |first: &[u8]| is_id(first) || [&b"lock"[..], b"health"].contains(&first);
    parts.next().is_some_and(is_own) && path.symlink_metadata().is_ok_and(|found| found.is_file())
}

/// Returns whether this is a file of the state of messages that belong to no run.
fn is_watch(name: &[u8], _: &Path) -> bool {
    [&b"lock"[..], b"state.json", b"state.json.new"].contains(&name)
}

/// Returns whether this is the directory of the state of an app.
fn is_app(_: &[u8], path: &Path) -> bool {
    const OWN: [&[u8]; 7] =
        [b"lock", b"log", b"state.json", b"state.new", b"runs.jsonl", b"runs.new", b"scratch"];
    is_filled_with(path, |name, _| OWN.contains(&name))
}

/// Returns whether this is the directory of what is remembered of a repository, and of the state of
/// its prunes and checks.
fn is_repository(_: &[u8], path: &Path) -> bool {
    const OWN: [&[u8]; 3] = [b"lock", b"state.json", b"state.new"];
    is_filled_with(path, |name, path| {
        OWN.contains(&name) || matches!(name, b"prune" | b"check") && is_app(name, path)
    })
}

/// Returns whether this is a file of the daemon's state.
fn is_of_daemon(name: &[u8], path: &Path) -> bool {
    const OWN: [&[u8]; 5] =
        [b"lock", b"state.json", b"state.new", b"settings.json", b"settings.new"];
    OWN.contains(&name) && path.symlink_metadata().is_ok_and(|found| found.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: PathBuf) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"").unwrap();
    }

    #[test]
    fn only_what_the_program_made_is_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let copies = folder.path().join(format!("{}-{}", "0a".repeat(16), "b1".repeat(8)));
        let locations = folder.path().join("locations");
        assert!(in_cache(folder.path()).is_empty() && in_cache(&locations).is_empty());
        std::fs::create_dir(&copies).unwrap();
        write(locations.join("c2".repeat(32)));
        write(locations.join(format!(".tmp-{}", "d3".repeat(8))));
        assert_eq!(in_cache(folder.path()), [copies.clone(), locations.clone()]);
        assert_eq!(in_cache_to_leave_out(folder.path()), [folder.path()]);
        write(locations.join("map"));
        assert_eq!(in_cache(folder.path()), std::slice::from_ref(&copies));
        assert_eq!(in_cache_to_leave_out(folder.path()), [copies]);
    }

    #[test]
    fn messages_and_their_state_are_the_program_s_own() {
        let folder = tempfile::tempdir().unwrap();
        let (outbox, watch) = (folder.path().join(OUTBOX), folder.path().join(WATCH));
        let id = ["0a1b2c3d4e5f6071"; 3].join("-");
        let names = ["lock".to_owned(), "health.json".to_owned(), format!("{id}.json.damaged")];
        names.iter().for_each(|name| write(outbox.join(name)));
        ["lock", "state.json"].iter().for_each(|name| write(watch.join(name)));
        assert_eq!(in_state(folder.path()), [outbox.clone(), watch]);
        write(outbox.join("letter.json"));
        assert!(!in_state(folder.path()).contains(&outbox));
    }

    #[test]
    fn what_is_remembered_is_told_from_the_users() {
        let folder = tempfile::tempdir().unwrap();
        let places = folder.path().join("places");
        assert!(in_state(folder.path()).is_empty());
        write(places.join("q"));
        write(places.join("e4".repeat(16)).join("a file"));
        assert!(in_state(folder.path()).is_empty());
        let own = places.join("f5".repeat(16));
        ["memory.json", "lock", ".new-a1B2c3"].iter().for_each(|name| write(own.join(name)));
        assert_eq!(in_state(folder.path()), [own]);
        std::fs::remove_file(places.join("q")).unwrap();
        std::fs::remove_dir_all(places.join("e4".repeat(16))).unwrap();
        assert_eq!(in_state(folder.path()), [places]);
    }
}
