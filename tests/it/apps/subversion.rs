//! Repositories of Subversion, with the real programs: ranges are one dump, finished ranges are
//! known, and damage is said.
//!
//! Repositories have tiny shards. A repository that was loaded from all ranges must have the same
//! dump, byte for byte, as the original.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use drumlin::monitor::{Monitor, in_words};
use drumlin::sources::runner::{HostRunner, Runner};
use drumlin::sources::subversion::{
    KnownRange, RangeNotes, SubversionPlan, SubversionSettings, plan,
};
use tempfile::TempDir;

use super::kept_files::dump_one;

fn output(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}: scripts/test-deps.sh installs it"));
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    output
}

struct Repository {
    folder: TempDir,
    /// The oldest version that can read it: dumps of old ones lack digests.
    version: &'static str,
}

impl Repository {
    /// Makes a repository with shards of so many revisions; 0 is the layout of old versions, which
    /// has none.
    fn new(shard_len: u32) -> Self {
        let version = if shard_len == 0 { "1.4" } else { "1.14" };
        let repository = Self { folder: tempfile::tempdir().unwrap(), version };
        let path = repository.text();
        output("svnadmin", &["create", "--compatible-version", version, &path]);
        let format = repository.path().join("db/format");
        let text = fs::read_to_string(&format).unwrap();
        assert_eq!(text.contains("layout sharded 1000"), shard_len > 0, "{text}");
        let layout = format!("layout sharded {shard_len}");
        fs::write(format, text.replace("layout sharded 1000", &layout)).unwrap();
        repository
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("cödé @ 1")
    }

    fn text(&self) -> String {
        self.path().to_str().unwrap().to_owned()
    }

    /// Commits by `svnmucc`.
    fn commit(&self, actions: &[&str]) {
        // A name may have an `@`, which begins a revision unless another follows.
        let url = format!("file://{}", self.text().replace(' ', "%20").replace('@', "%40"));
        let common = ["--non-interactive", "-U", &url, "-m", "Revision-number: 3\n\ncömmit"];
        output("svnmucc", &[&common[..], actions].concat());
    }

    /// Writes a file and commits it.
    fn put(&self, content: &[u8], name: &str) {
        let file = self.folder.path().join("content");
        fs::write(&file, content).unwrap();
        self.commit(&["put", file.to_str().unwrap(), name]);
    }

    /// Makes revisions with everything that a dump can have.
    fn fill(&self) {
        self.commit(&["mkdir", "trunk", "mkdir", "branches"]);
        self.put(b"Revision-number: 9\nContent-length: 99999\n\n\n", "trunk/liar");
        self.put(&(0..=255).cycle().take(100_000).collect::<Vec<u8>>(), "trunk/binary");
        self.put(b"", "trunk/empty");
        self.put("\u{e4}\n\n\n".as_bytes(), "trunk/\u{fc}ml\u{e4}ut \u{1f600}");
        self.commit(&["cp", "3", "trunk", "branches/old"]);
        self.commit(&["propset", "svn:executable", "*", "trunk/binary"]);
        self.commit(&["mv", "trunk/liar", "trunk/moved"]);
        self.put(b"changed", "trunk/moved");
        self.commit(&["rm", "trunk/empty"]);
    }

    fn settings(&self, known: Vec<KnownRange>) -> SubversionSettings {
        SubversionSettings {
            section: "app.code".to_owned(),
            repositories: vec![self.path()],
            parents: Vec::new(),
            root: PathBuf::from("/"),
            range_len_min: 4,
            known,
        }
    }

    fn plan(&self, known: Vec<KnownRange>) -> SubversionPlan {
        plan(&self.settings(known), &runner()).unwrap()
    }

    fn dump_of(path: &Path) -> Vec<u8> {
        output("svnadmin", &["dump", "-q", path.to_str().unwrap()]).stdout
    }
}

fn runner() -> Arc<dyn Runner> {
    Arc::new(HostRunner::new(&Arc::new(Monitor::default())))
}

/// Files by name.
type Files = BTreeMap<String, Vec<u8>>;

/// Dumps what has changed; the rest comes from the backup before.
fn backup(mut plan: SubversionPlan, before: &Files) -> (Files, Vec<bool>, RangeNotes) {
    let planned = plan.repositories.remove(0);
    let (mut files, mut unchanged) = (Files::new(), Vec::new());
    for range in planned.ranges {
        let path = String::from_utf8(range.source.path.clone()).unwrap();
        let name = path.rsplit('/').next().unwrap().to_owned();
        unchanged.push(range.is_unchanged);
        let content = match range.is_unchanged {
            true => before[&name].clone(),
            false => dump_one(range.source).unwrap(),
        };
        files.insert(name, content);
    }
    let record = planned.notes.record.get();
    assert_eq!(record.files.len(), files.len());
    for (file, (name, content)) in record.files.iter().zip(&files) {
        assert_eq!((&file.path, file.bytes), (name, content.len() as u64));
        assert_eq!(file.blake3, blake3::hash(content).to_hex().as_str());
    }
    (files, unchanged, planned.notes)
}

/// Loads all files into a new repository, which must be equal to the original.
fn check_loaded(files: &Files, original: &Repository) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("loaded");
    let version = original.version;
    output("svnadmin", &["create", "--compatible-version", version, path.to_str().unwrap()]);
    let mut load = Command::new("svnadmin")
        .args(["load", "-q", path.to_str().unwrap()])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = load.stdin.take().unwrap();
    files.values().for_each(|content| input.write_all(content).unwrap());
    drop(input);
    assert!(load.wait().unwrap().success());
    output("svnadmin", &["verify", "-q", path.to_str().unwrap()]);
    assert!(Repository::dump_of(&path) == Repository::dump_of(&original.path()));
}

#[test]
fn all_ranges_are_one_dump_that_gives_the_same_repository() {
    for shard_len in [4, 2, 0] {
        let repository = Repository::new(shard_len);
        repository.fill();
        let (files, unchanged, _) = backup(repository.plan(Vec::new()), &Files::new());
        let names = ["00000000.dump", "00000004.dump", "00000008.dump"];
        assert!(files.keys().eq(&names.map(str::to_owned)), "{:?}", files.keys());
        assert_eq!(unchanged, [false; 3]);
        check_loaded(&files, &repository);
    }
}

#[test]
fn known_ranges_are_unchanged_until_something_changes() {
    let repository = Repository::new(4);
    repository.fill();
    let (first, _, notes) = backup(repository.plan(Vec::new()), &Files::new());
    let (second, unchanged, notes) = backup(repository.plan(notes.known()), &first);
    assert_eq!((unchanged, &second), (vec![true; 3], &first));
    // A commit is in the last range only.
    repository.put(b"more", "trunk/more");
    let (third, unchanged, notes) = backup(repository.plan(notes.known()), &second);
    assert_eq!(unchanged, [true, true, false]);
    check_loaded(&third, &repository);
    // A log message of the same length, in a finished shard.
    let message = repository.folder.path().join("message");
    fs::write(&message, "Revision-number: 3\n\nCÖmmit").unwrap();
    let (text, message) = (repository.text(), message.to_str().unwrap().to_owned());
    output("svnadmin", &["setrevprop", &text, "-r", "2", "svn:log", &message]);
    let (fourth, unchanged, notes) = backup(repository.plan(notes.known()), &third);
    assert_eq!(unchanged, [false, true, true]);
    check_loaded(&fourth, &repository);
    // Packed shards are dumped once more, with the same result.
    output("svnadmin", &["pack", "-q", &text]);
    assert!(repository.path().join("db/revs/0.pack").is_dir());
    let (fifth, unchanged, notes) = backup(repository.plan(notes.known()), &fourth);
    assert_eq!(unchanged, [false; 3]);
    assert!(fifth == fourth);
    let (_, unchanged, notes) = backup(repository.plan(notes.known()), &fifth);
    assert_eq!(unchanged, [true; 3]);
    // Properties of a packed shard.
    fs::write(&message, "other").unwrap();
    output("svnadmin", &["setrevprop", &text, "-r", "5", "svn:log", &message]);
    let (sixth, unchanged, _) = backup(repository.plan(notes.known()), &fifth);
    assert_eq!(unchanged, [true, false, true]);
    check_loaded(&sixth, &repository);
}

#[test]
fn an_empty_repository_and_commits_during_the_backup() {
    let repository = Repository::new(4);
    let (files, ..) = backup(repository.plan(Vec::new()), &Files::new());
    assert_eq!(files.len(), 1);
    check_loaded(&files, &repository);
    repository.commit(&["mkdir", "a"]);
    let planned = repository.plan(Vec::new());
    (0..6).for_each(|number| repository.commit(&["mkdir", &format!("b{number}")]));
    let (files, _, notes) = backup(planned, &Files::new());
    let wanted = output("svnadmin", &["dump", "-q", "-r", "0:1", &repository.text()]).stdout;
    assert!(files["00000000.dump"] == wanted);
    // Those commits come next time.
    let (files, unchanged, _) = backup(repository.plan(notes.known()), &files);
    assert_eq!(unchanged, [false, false]);
    check_loaded(&files, &repository);
}

#[test]
fn damage_is_said_with_the_programs_last_words() {
    let repository = Repository::new(4);
    repository.fill();
    let damaged = repository.path().join("db/revs/0/3");
    let mut content = fs::read(&damaged).unwrap();
    let middle = content.len() / 2;
    content[middle..middle + 200].fill(b'x');
    fs::set_permissions(&damaged, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    fs::write(&damaged, content).unwrap();
    let mut planned = repository.plan(Vec::new()).repositories.remove(0);
    let said = in_words(&dump_one(planned.ranges.remove(0).source).unwrap_err());
    assert!(said.contains("revisions 0 to 3") && said.contains("svnadmin: E"), "{said}");
    assert!(said.contains("[app.code], key `subversion`"), "{said}");
    assert!(dump_one(planned.ranges.remove(1).source).is_ok(), "the last range is sound");
    // Gone between plan and dump.
    let planned = repository.plan(Vec::new()).repositories.remove(0);
    fs::rename(repository.path(), repository.folder.path().join("moved")).unwrap();
    let range = planned.ranges.into_iter().next().unwrap();
    assert!(in_words(&dump_one(range.source).unwrap_err()).contains("svnadmin: E"));
}

#[test]
fn parents_have_repositories_that_come_and_go() {
    let folder = tempfile::tempdir().unwrap();
    let create = |name: &str| {
        output("svnadmin", &["create", folder.path().join(name).to_str().unwrap()]);
    };
    create("one");
    create("two");
    fs::write(folder.path().join("README"), "no repository").unwrap();
    let settings = SubversionSettings {
        section: "app.code".to_owned(),
        repositories: Vec::new(),
        parents: vec![folder.path().to_owned()],
        root: PathBuf::from("/"),
        range_len_min: 1000,
        known: Vec::new(),
    };
    let places = || {
        let plan = plan(&settings, &runner()).unwrap();
        let place = |at: usize| plan.repositories[at].notes.record.get().place;
        (0..plan.repositories.len()).map(place).collect::<Vec<_>>()
    };
    assert_eq!(places(), ["/@app/subversion/one", "/@app/subversion/two"]);
    fs::remove_dir_all(folder.path().join("one")).unwrap();
    create("three");
    // Made with the first lock.
    fs::create_dir(folder.path().join("three/db/locks")).unwrap();
    fs::write(folder.path().join("three/db/locks/lock"), "").unwrap();
    assert_eq!(places(), ["/@app/subversion/three", "/@app/subversion/two"]);
    let files = plan(&settings, &runner()).unwrap().repositories.remove(0).files;
    let to: Vec<String> =
        files.iter().map(|file| String::from_utf8_lossy(&file.to).into_owned()).collect();
    let wanted = ["conf", "hooks", "locks"];
    assert_eq!(to, wanted.map(|name| format!("/@app/subversion/three/{name}")));
}
