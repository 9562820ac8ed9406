//! Locks, the way without the table of pages, and patterns: each with real files, the locks with
//! another process, because those of one process do not exclude each other.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::dump::unless_disturbed;
use super::find::find;
use super::lock::SharedLock;
use super::pages::Pages;
use super::{SqliteSettings, check};
use crate::backup::{FileNumber, FileSink};
use crate::monitor::Monitor;
use crate::sources::dump_file::DumpFile;
use crate::sources::finding::Severity;

/// Another process that runs SQL and then keeps the database open, until it is killed.
struct Other(Child);

impl Other {
    fn runs(database: &Path, sql: &str) -> Self {
        let script = "import sqlite3, sys, time\n\
                      db = sqlite3.connect(sys.argv[1], isolation_level=None)\n\
                      for sql in sys.argv[2].split(';'): db.execute(sql).fetchall()\n\
                      print('ready', flush=True)\n\
                      time.sleep(1000)";
        let mut child = Command::new("python3")
            .args(["-c", script, database.to_str().unwrap(), sql])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self(child)
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

struct Kept(Vec<u8>);

impl FileSink for Kept {
    fn begin(&mut self, _: &[u8]) -> std::io::Result<FileNumber> {
        Ok(FileNumber(0))
    }

    fn write(&mut self, _: FileNumber, bytes: &[u8]) -> std::io::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn end(&mut self, _: FileNumber) -> std::io::Result<()> {
        Ok(())
    }
}

fn database(folder: &Path, mode: &str) -> PathBuf {
    let path = folder.join("x.db");
    let made = Connection::open(&path).unwrap();
    made.pragma_update_and_check(None, "journal_mode", mode, |_| Ok(())).unwrap();
    made.execute_batch("CREATE TABLE t(a); INSERT INTO t VALUES(1)").unwrap();
    path
}

#[test]
fn the_lock_excludes_writers_and_waits_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = database(folder.path(), "delete");
    let monitor = Monitor::default();
    let take = |ms| SharedLock::take(&path, Duration::from_millis(ms), &monitor);
    let held = take(0).unwrap();
    assert!(held.is_at(&path).unwrap());
    let write = |sql: &str| {
        let run = Command::new("python3")
            .args(["-c", "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None).execute(sys.argv[2])"])
            .args([path.to_str().unwrap(), sql])
            .output()
            .unwrap();
        run.status.success()
    };
    assert!(!write("INSERT INTO t VALUES(2)"));
    drop(held);
    assert!(write("INSERT INTO t VALUES(2)"));
    let other = Other::runs(&path, "BEGIN EXCLUSIVE");
    let begun = Instant::now();
    let said = take(300).err().unwrap().to_string();
    assert!(begun.elapsed() >= Duration::from_millis(300) && said.contains("stop it"), "{said}");
    // One that waits gets it when the other has ended.
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| take(60_000).is_ok());
        std::thread::sleep(Duration::from_millis(50));
        drop(other);
        assert!(waits.join().unwrap());
    });
    monitor.cancel();
    let _other = Other::runs(&path, "BEGIN EXCLUSIVE");
    assert!(take(60_000).err().unwrap().to_string().contains("interrupted"));
}

#[test]
fn while_the_lock_is_held_no_program_removes_the_wal() {
    let folder = tempfile::tempdir().unwrap();
    let path = database(folder.path(), "wal");
    let held = SharedLock::take(&path, Duration::ZERO, &Monitor::default()).unwrap();
    let script = "import sqlite3, sys\n\
                  db = sqlite3.connect(sys.argv[1])\n\
                  db.execute('INSERT INTO t VALUES(2)'); db.commit(); db.close()";
    let visit = || {
        let ran = Command::new("python3").args(["-c", script, path.to_str().unwrap()]).status();
        assert!(ran.unwrap().success());
        super::companions::is_open_in_wal_mode(&path).unwrap()
    };
    assert!(visit());
    drop(held);
    assert!(!visit());
}

#[test]
fn a_copy_is_dropped_if_a_program_opened_the_database_or_replaced_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = database(folder.path(), "wal");
    let lock = SharedLock::take(&path, Duration::ZERO, &Monitor::default()).unwrap();
    let during = |act: &dyn Fn()| {
        let act = || {
            act();
            Ok(())
        };
        unless_disturbed(&path, &lock, act).unwrap().is_some()
    };
    assert!(during(&|| {}));
    // It is gone when the copy is complete, but it may have written.
    assert!(!during(&|| drop(Other::runs(&path, "INSERT INTO t VALUES(2)"))));
    for suffix in ["-wal", "-shm"] {
        std::fs::remove_file(super::companions::companion(&path, suffix)).unwrap();
    }
    assert!(during(&|| {}));
    assert!(!during(&|| {
        std::fs::write(folder.path().join("new"), "").unwrap();
        std::fs::rename(folder.path().join("new"), &path).unwrap();
    }));
}

#[test]
fn both_ways_through_the_library_give_the_same_database() {
    let (folder, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = database(folder.path(), "wal");
    let _other = Other::runs(
        &path,
        "PRAGMA wal_autocheckpoint=0; CREATE TABLE u AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL \
         SELECT i+1 FROM n WHERE i<9999) SELECT i, randomblob(300) AS b FROM n",
    );
    let monitor = Monitor::default();
    let lock = SharedLock::take(&path, Duration::ZERO, &monitor).unwrap();
    let pages = Pages::begin(&path, lock).unwrap();
    assert!(pages.has_table(), "build with LIBSQLITE3_FLAGS=-DSQLITE_ENABLE_DBPAGE_VTAB");
    let mut kept = Kept(Vec::new());
    let mut file = DumpFile::begin(&mut kept, "").unwrap();
    pages.write_to(&mut file, &monitor).unwrap();
    file.end().unwrap();
    let mut copied = Vec::new();
    pages.copy(scratch.path(), &monitor).unwrap().read_to_end(&mut copied).unwrap();
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
    // The library counts schema changes of the copy anew: in the header only.
    assert_eq!(kept.0.len(), copied.len());
    assert!(kept.0.len() > 3_000_000 && kept.0[100..] == copied[100..]);
    for content in [kept.0, copied] {
        let path = scratch.path().join("copy.db");
        std::fs::write(&path, content).unwrap();
        let copy = Connection::open(&path).unwrap();
        let sum = "SELECT sum(i), (SELECT count(*) FROM t), (SELECT * FROM pragma_integrity_check) FROM u";
        let row = |row: &rusqlite::Row| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let seen: (i64, i64, String) = copy.query_row(sum, [], row).unwrap();
        assert_eq!(seen, (9999 * 10_000 / 2, 1, "ok".to_owned()));
    }
    monitor.cancel();
    let mut kept = Kept(Vec::new());
    let mut file = DumpFile::begin(&mut kept, "").unwrap();
    assert!(pages.write_to(&mut file, &monitor).is_err());
    assert!(pages.copy(scratch.path(), &monitor).is_err());
}

/// Makes empty files, and returns the folder.
fn tree(files: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        let file = folder.path().join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, "").unwrap();
    }
    folder
}

#[test]
fn patterns_match_part_by_part() {
    let files = ["a/x.db", "a/y.db", "a/b/z.db", "c/x.db", "c/x.txt", "c/.h.db", "c/[x].db"];
    let folder = tree(&files);
    let found = |pattern: &str| -> Result<Vec<String>, String> {
        let found = find(folder.path(), pattern).map_err(|error| error.to_string())?;
        let name =
            |path: &PathBuf| path.strip_prefix(folder.path()).unwrap().to_str().unwrap().to_owned();
        Ok(found.iter().map(name).collect())
    };
    for (pattern, wanted) in [
        ("/a/x.db", &["a/x.db"][..]),
        ("/a/*.db", &["a/x.db", "a/y.db"]),
        ("/*/x.db", &["a/x.db", "c/x.db"]),
        ("/a/**/*.db", &["a/b/z.db", "a/x.db", "a/y.db"]),
        ("/**/z.db", &["a/b/z.db"]),
        ("/a/[xz].db", &["a/x.db"]),
        ("/{a,c}/x.{db,txt}", &["a/x.db", "c/x.db", "c/x.txt"]),
        ("/c/[x].db", &["c/[x].db"]),
        ("//c/./x.???", &["c/x.txt"]),
    ] {
        assert_eq!(found(pattern).unwrap(), wanted, "{pattern}");
    }
    for (pattern, why) in [
        ("/a/*.sqlite", "no file"),
        ("/d/*.db", "no file"),
        ("/a/x.db/*.db", "no file"),
        ("/*", "no file"),
        ("/a/q.db", "cannot look at"),
        ("/a", "cannot look at"),
        ("a/*.db", "absolute"),
        ("/a/../c/x.db", "without `..`"),
        ("/a/[.db", "unclosed"),
    ] {
        assert!(found(pattern).unwrap_err().contains(why), "{pattern}: {:?}", found(pattern));
    }
}

#[test]
fn links_lead_to_files_and_not_out_of_the_root() {
    let folder = tree(&["root/real/x.db", "outside.db"]);
    let root = folder.path().join("root");
    let link =
        |target: &str, name: &str| std::os::unix::fs::symlink(target, root.join(name)).unwrap();
    link("real/x.db", "one.db");
    link("one.db", "two.db");
    link("real", "folder");
    link("../outside.db", "bad.db");
    let real = BTreeSet::from([root.join("real/x.db")]);
    assert_eq!(find(&root, "/one.db").unwrap(), real);
    assert_eq!(find(&root, "/t*.db").unwrap(), real);
    assert_eq!(find(&root, "/folder/x.db").unwrap(), BTreeSet::from([root.join("folder/x.db")]));
    let error = find(&root, "/bad.db").unwrap_err();
    assert!(crate::monitor::in_words(&error).contains("out of `root`"), "{error:?}");
    link("nowhere", "gone.db");
    assert!(find(&root, "/gone.db").is_err());
    assert_eq!(find(&root, "/*/*.db").unwrap().len(), 2);
}

#[test]
fn findings_name_what_would_fail_at_night() {
    let folder = tree(&["empty.db"]);
    database(folder.path(), "delete");
    std::fs::write(folder.path().join("text.db"), "hello, hello, hello").unwrap();
    let settings = |pattern: &str, scratch: &str| SqliteSettings {
        section: "app.vault".to_owned(),
        patterns: vec![pattern.to_owned()],
        root: folder.path().to_owned(),
        scratch: folder.path().join(scratch),
    };
    let seen = |pattern: &str, scratch: &str| -> Vec<(Severity, String)> {
        let findings = check(&settings(pattern, scratch));
        assert!(findings.iter().all(|finding| finding.place == "[app.vault], key `sqlite`"));
        findings.into_iter().map(|finding| (finding.severity, finding.message)).collect()
    };
    let good = seen("/x.db", "");
    assert_eq!(good, [(Severity::Note, "1 database found".to_owned())]);
    let odd = seen("/*.db", "none");
    assert_eq!(odd.len(), 3);
    assert!(odd[0].0 == Severity::Error && odd[0].1.contains("text.db is not an SQLite database"));
    assert!(odd[1].0 == Severity::Warning && odd[1].1.contains("cannot write to"));
    assert!(odd[2].1.contains("3 databases"));
    // Holes are enough for a length.
    let large = std::fs::File::options().write(true).open(folder.path().join("x.db")).unwrap();
    large.set_len(1 << 30).unwrap();
    let noted = seen("/x.db", "");
    assert!(noted[0].0 == Severity::Note && noted[0].1.contains("writers wait"), "{noted:?}");
    let none = seen("/*.sqlite", "");
    assert!(none[0].0 == Severity::Error && none[0].1.contains("it finds no file"), "{none:?}");
    let plan = super::plan(&settings("/x.db", ""), &Arc::new(Monitor::default())).unwrap();
    assert_eq!(plan.dumps[0].source.path, b"/x.db");
    assert_eq!(
        plan.left_out,
        [b"/x.db-wal".to_vec(), b"/x.db-shm".to_vec(), b"/x.db-journal".to_vec()]
    );
}
