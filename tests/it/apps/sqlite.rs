//! Databases of SQLite: dumps while other programs write, after they died, and of odd files.
//!
//! The other programs are Python with its own library, so that locks are between processes as they
//! are in life. They keep an invariant: two accounts have the same sum at the end of each
//! transaction, and a log has one row for each. It must hold in every copy, and nothing next to the
//! database may change.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use drumlin::monitor::{Monitor, in_words};
use drumlin::sources::sqlite::{SqlitePlan, SqliteSettings, plan};
use rusqlite::Connection;
use tempfile::TempDir;

use super::kept_files::{dump_one, dump_slowly};
use crate::support::needs::{as_nobody, can_run, is_root};

/// Makes a database of about so many KiB: `make PATH MODE KIB`.
const MAKE: &str = r#"
import sqlite3, sys, os
path, mode, kib = sys.argv[1], sys.argv[2], int(sys.argv[3])
db = sqlite3.connect(path, isolation_level=None)
db.execute("PRAGMA journal_mode=" + mode)
db.execute("CREATE TABLE account(name TEXT PRIMARY KEY, sum INT)")
db.execute("CREATE TABLE log(number INTEGER PRIMARY KEY, text BLOB)")
db.execute("CREATE TABLE ballast(content BLOB)")
db.execute("INSERT INTO account VALUES('a', 500), ('b', 500)")
db.execute("BEGIN")
for _ in range(kib):
    db.execute("INSERT INTO ballast VALUES(?)", (os.urandom(1000),))
db.execute("COMMIT")
db.close()
"#;

/// Opens a database, does what its standard input says, and answers each line: `write PATH`.
const WRITE: &str = r#"
import sqlite3, sys, time, os, threading
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=600)
def transfer():
    db.execute("BEGIN IMMEDIATE")
    db.execute("UPDATE account SET sum = sum - 1 WHERE name = 'a'")
    db.execute("INSERT INTO log(text) VALUES(?)", (os.urandom(300),))
    db.execute("UPDATE account SET sum = sum + 1 WHERE name = 'b'")
    db.execute("COMMIT")
stop, count, slowest = False, 0, 0.0
def run():
    global db, count, slowest
    db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=600)
    while not stop:
        begun = time.monotonic()
        transfer()
        slowest = max(slowest, time.monotonic() - begun)
        count += 1
        # Or the other writer would never have its turn.
        time.sleep(0.001)
for line in sys.stdin:
    words = line.split(None, 1)
    if words[0] == "sql":
        print(db.execute(words[1]).fetchall(), flush=True)
    elif words[0] == "transfer":
        transfer()
        print("done", flush=True)
    elif words[0] == "go":
        thread = threading.Thread(target=run)
        thread.start()
        while count == 0:
            time.sleep(0.001)
        print("going", flush=True)
    elif words[0] == "halt":
        stop = True
        thread.join()
        print(count, slowest, flush=True)
"#;

/// A program that has a database open.
struct Writer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Writer {
    fn open(database: &Path) -> Self {
        let mut child = Command::new("python3")
            .args(["-c", WRITE])
            .arg(database)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, input, output }
    }

    fn say(&mut self, line: &str) -> String {
        writeln!(self.input, "{line}").unwrap();
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        assert!(!answer.is_empty(), "the writer has ended");
        answer
    }

    /// Writes without pause from now on.
    fn go(&mut self) {
        self.say("go");
    }

    /// Returns the number of transactions, and the seconds of the slowest.
    fn halt(&mut self) -> (u64, f64) {
        let answer = self.say("halt");
        let (count, slowest) = answer.trim().split_once(' ').unwrap();
        (count.parse().unwrap(), slowest.parse().unwrap())
    }

    /// Dies without a last act.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder with a database, and a scratch folder.
struct Place {
    folder: TempDir,
    scratch: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), scratch: tempfile::tempdir().unwrap() }
    }

    fn with_database(mode: &str, kib: u32) -> Self {
        let place = Self::new();
        let made = Command::new("python3")
            .args(["-c", MAKE, place.db().to_str().unwrap(), mode, &kib.to_string()])
            .status();
        assert!(made.unwrap().success());
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn db(&self) -> PathBuf {
        self.path("x.db")
    }

    fn plan(&self, names: &[&str]) -> std::io::Result<SqlitePlan> {
        let pattern = |name: &&str| self.path(name).to_str().unwrap().to_owned();
        let settings = SqliteSettings {
            section: "app.vault".to_owned(),
            patterns: names.iter().map(pattern).collect(),
            root: PathBuf::from("/"),
            scratch: self.scratch.path().to_owned(),
        };
        plan(&settings, &Arc::new(Monitor::default()))
    }

    fn dump(&self) -> std::io::Result<Vec<u8>> {
        let mut planned = self.plan(&["x.db"]).unwrap().dumps;
        assert_eq!(planned.len(), 1);
        let planned = planned.remove(0);
        let content = dump_one(planned.source)?;
        let file = planned.record.get().files.remove(0);
        assert_eq!(file.bytes, content.len() as u64);
        assert_eq!(file.blake3, blake3::hash(&content).to_hex().as_str());
        assert_eq!(fs::read_dir(self.scratch.path()).unwrap().count(), 0, "scratch is empty");
        Ok(content)
    }

    /// Returns names, times, lengths and contents of all files of the folder.
    fn state(&self) -> BTreeMap<PathBuf, (i64, i64, u64, Vec<u8>)> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let state = entries.map(|entry| {
            let path = entry.unwrap().path();
            let stat = path.metadata().unwrap();
            let content = fs::read(&path).unwrap();
            (path, (stat.mtime(), stat.mtime_nsec(), stat.len(), content))
        });
        state.collect()
    }
}

/// Opens a copy in a folder of its own, checks it, and returns the number of its transactions.
fn check_copy(content: &[u8]) -> i64 {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("copy.db");
    fs::write(&path, content).unwrap();
    let copy = Connection::open(&path).unwrap();
    let get = |sql: &str| copy.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    let word: String = copy.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(word, "ok");
    let moved = get("SELECT sum FROM account WHERE name = 'b'") - 500;
    assert_eq!(get("SELECT sum(sum) FROM account"), 1000);
    assert_eq!(get("SELECT count(*) FROM log"), moved);
    moved
}

#[test]
fn quiet_databases_are_copied_byte_for_byte_and_nothing_changes() {
    for (mode, kib) in
        [("delete", 10), ("truncate", 10), ("persist", 10), ("wal", 10), ("delete", 12_000)]
    {
        let place = Place::with_database(mode, kib);
        let before = place.state();
        assert_eq!(place.dump().unwrap(), fs::read(place.db()).unwrap(), "{mode} {kib}");
        assert_eq!(place.state(), before, "{mode} {kib}");
    }
}

#[test]
fn a_database_that_is_open_in_wal_mode_is_copied_with_its_wal_and_nothing_changes() {
    let place = Place::with_database("wal", 10);
    let mut writer = Writer::open(&place.db());
    for _ in 0..3 {
        writer.say("transfer");
    }
    let before = place.state();
    assert!(before[&place.path("x.db-wal")].2 > 0);
    assert_eq!(check_copy(&place.dump().unwrap()), 3);
    assert_eq!(place.state(), before);
    // Checkpointed, it is the file again.
    writer.say("sql PRAGMA wal_checkpoint(TRUNCATE)");
    let file = fs::read(place.db()).unwrap();
    assert_eq!(place.dump().unwrap(), file);
    writer.say("transfer");
    assert_eq!(check_copy(&place.dump().unwrap()), 4);
}

#[test]
fn the_invariant_holds_in_every_copy_while_others_write() {
    for mode in ["delete", "persist", "wal"] {
        let place = Place::with_database(mode, 500);
        let mut writers = [Writer::open(&place.db()), Writer::open(&place.db())];
        writers.iter_mut().for_each(Writer::go);
        let copies: Vec<i64> = (0..20).map(|_| check_copy(&place.dump().unwrap())).collect();
        let ended = writers.each_mut().map(|writer| writer.halt());
        assert!(copies.is_sorted() && copies[0] < copies[19], "{mode}: {copies:?}");
        println!("{mode}: {copies:?}, transactions and slowest: {ended:?}");
    }
}

/// Opens, writes and closes a database, again and again. The last to close removes `-wal` and
/// `-shm`, the next makes them anew.
const VISIT: &str = r#"
import sqlite3, sys
while True:
    db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=600)
    db.execute("BEGIN IMMEDIATE")
    db.execute("UPDATE account SET sum = sum - 1 WHERE name = 'a'")
    db.execute("INSERT INTO log(text) VALUES('x')")
    db.execute("UPDATE account SET sum = sum + 1 WHERE name = 'b'")
    # Pages all over the file, so that a copy of a mixture is seen.
    db.execute("UPDATE ballast SET content = zeroblob(990) WHERE rowid % 50 = abs(random() % 50)")
    db.execute("COMMIT")
    db.execute("PRAGMA wal_checkpoint")
    db.close()
    print("visited", flush=True)
"#;

#[test]
fn writers_that_come_and_go_do_not_harm() {
    let place = Place::with_database("wal", 3_000);
    let mut visitor = Command::new("python3")
        .args(["-c", VISIT, place.db().to_str().unwrap()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let visits = BufReader::new(visitor.stdout.take().unwrap()).lines();
    let mut copies = Vec::new();
    // Each copy at another moment of a visit.
    for visit in visits.take(100) {
        visit.unwrap();
        copies.push(check_copy(&place.dump().unwrap()));
    }
    visitor.kill().unwrap();
    visitor.wait().unwrap();
    println!("{copies:?}");
    assert!(copies.is_sorted() && copies[0] >= 1 && copies[99] >= 100);
}

#[test]
fn writers_do_not_wait_for_a_slow_sink() {
    // Below and above what is copied into memory.
    for (mode, kib) in [("delete", 5_000), ("delete", 64_000), ("wal", 5_000)] {
        let place = Place::with_database(mode, kib);
        let mut writer = Writer::open(&place.db());
        writer.go();
        let planned = place.plan(&["x.db"]).unwrap().dumps.remove(0);
        let begun = Instant::now();
        let pause = Duration::from_secs(5) / (kib / 64);
        let copy = dump_slowly(planned.source, pause).unwrap().remove("").unwrap();
        let took = begun.elapsed().as_secs_f64();
        let (count, slowest) = writer.halt();
        check_copy(&copy);
        println!("{mode} {kib} KiB in {took:.1} s: {count} transactions, slowest {slowest:.3} s");
        assert!(took > 4.5 && slowest < 3.0, "{took} {slowest}");
    }
}

#[test]
fn what_a_dead_program_left_is_rolled_back_in_the_copy_only() {
    let place = Place::with_database("delete", 3_000);
    let mut writer = Writer::open(&place.db());
    writer.say("transfer");
    // The cache is small, so that pages are written before the end that never comes.
    writer.say("sql PRAGMA cache_size=10");
    writer.say("sql BEGIN IMMEDIATE");
    writer.say("sql UPDATE account SET sum = 0");
    writer.say("sql UPDATE ballast SET content = randomblob(900)");
    writer.kill();
    let before = place.state();
    assert!(before[&place.path("x.db-journal")].2 > 0, "the journal is hot");
    assert_eq!(check_copy(&place.dump().unwrap()), 1);
    assert_eq!(place.state(), before);
}

#[test]
fn a_wal_of_a_dead_program_is_part_of_the_copy() {
    for has_shared_memory in [true, false] {
        let place = Place::with_database("wal", 100);
        let mut writer = Writer::open(&place.db());
        writer.say("transfer");
        writer.say("transfer");
        writer.kill();
        if !has_shared_memory {
            fs::remove_file(place.path("x.db-shm")).unwrap();
        }
        let before = place.state();
        assert!(before[&place.path("x.db-wal")].2 > 0);
        assert_eq!(check_copy(&place.dump().unwrap()), 2, "{has_shared_memory}");
        assert_eq!(place.state(), before, "{has_shared_memory}");
    }
}

#[test]
fn an_empty_database_keeps_the_files_next_to_it() {
    let place = Place::new();
    for name in ["x.db", "x.db-journal", "x.db-wal", "x.db-shm"] {
        fs::write(place.path(name), if name == "x.db" { "" } else { "leftover" }).unwrap();
    }
    let before = place.state();
    assert_eq!(place.dump().unwrap(), b"");
    assert_eq!(place.state(), before);
}

#[test]
fn other_files_are_refused_with_a_way_out() {
    let place = Place::new();
    let error = |place: &Place| in_words(&place.dump().unwrap_err());
    fs::write(place.db(), "hello, I am a text").unwrap();
    let said = error(&place);
    assert!(said.contains("not an SQLite database, or it is encrypted"), "{said}");
    assert!(said.contains("[app.vault], key `sqlite`") && said.contains("x.db"), "{said}");
    // A pipe next to a database must not be waited for.
    let place = Place::with_database("wal", 1);
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, place.path("x.db-wal"), mode).unwrap();
    let said = error(&place);
    assert!(said.contains("x.db-wal") && said.contains("not an ordinary file"), "{said}");
    // A database that is damaged so that it cannot be opened, with a WAL.
    let place = Place::with_database("wal", 1);
    let mut writer = Writer::open(&place.db());
    writer.say("transfer");
    let mut content = fs::read(place.db()).unwrap();
    content[100..4000].fill(0xff);
    fs::write(place.db(), content).unwrap();
    fs::write(place.path("x.db-wal"), "").unwrap();
    let said = error(&place);
    assert!(said.contains("damaged"), "{said}");
}

#[test]
fn another_users_database_is_read_or_the_file_in_the_way_is_named() {
    if !can_run(is_root(), "the superuser") {
        return;
    }
    let place = Place::with_database("wal", 10);
    fs::set_permissions(place.folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    fs::set_permissions(place.scratch.path(), PermissionsExt::from_mode(0o777)).unwrap();
    let before = place.state();
    as_nobody(|| {
        assert_eq!(place.dump().unwrap(), fs::read(place.db()).unwrap());
    });
    assert_eq!(place.state(), before);
    let mut writer = Writer::open(&place.db());
    writer.say("transfer");
    let before = place.state();
    assert_eq!(as_nobody(|| check_copy(&place.dump().unwrap())), 1);
    assert_eq!(place.state(), before);
    let shm = place.path("x.db-shm");
    fs::set_permissions(&shm, PermissionsExt::from_mode(0o600)).unwrap();
    let said = as_nobody(|| in_words(&place.dump().unwrap_err()));
    assert!(said.contains("x.db-shm: Permission denied"), "{said}");
}

#[test]
fn patterns_find_each_database_once_and_name_what_belongs_to_it() {
    let place = Place::with_database("wal", 1);
    for name in ["a.db", "b.db"] {
        fs::copy(place.db(), place.path(name)).unwrap();
    }
    fs::write(place.path("a.db-wal"), "").unwrap();
    std::os::unix::fs::symlink("a.db", place.path("link.db")).unwrap();
    fs::create_dir(place.path("folder.db")).unwrap();
    let plan = place.plan(&["*.db", "a.db", "a.db*", "link.db"]).unwrap();
    let paths: Vec<String> = plan.dumps.iter().map(|planned| planned.record.get().place).collect();
    let wanted = ["a.db", "b.db", "x.db"].map(|name| place.path(name));
    assert_eq!(paths, wanted.each_ref().map(|path| path.to_str().unwrap()));
    for (planned, path) in plan.dumps.iter().zip(&wanted) {
        assert_eq!(planned.source.original.as_ref(), Some(path));
        assert_eq!(planned.source.path, path.as_os_str().as_encoded_bytes());
    }
    let left_out = |suffix| format!("{}{suffix}", wanted[0].display()).into_bytes();
    assert_eq!(plan.left_out[..3], ["-wal", "-shm", "-journal"].map(left_out));
    assert_eq!(plan.left_out.len(), 9);
    let said = in_words(&place.plan(&["x.db", "*.sqlite"]).err().unwrap());
    assert!(said.contains("*.sqlite") && said.contains("it finds no file"), "{said}");
}
