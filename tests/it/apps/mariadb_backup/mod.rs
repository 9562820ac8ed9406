//! Goal: what is unpacked from real backups is what the server's own program unpacks, and becomes a
//! server again. Method: a server with many kinds of tables is backed up while clients write, or
//! create, alter, rename and drop tables; files are compared byte by byte, prepared, started and
//! checked. Its streams are cut and damaged.

mod folder;
mod runs;
mod server;

use std::fs;
use std::io::Read;
use std::path::Path;

use drumlin::sources::mbstream::{MbstreamError, Unpacked, Unpacker};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use self::folder::{FolderSink, sums, tree, unpack};
use self::server::{MariaDb, Writer, can_run_mariadb, mbstream, prepare};
use crate::support::needs::is_long;

/// Tables of all engines; two of them in step, because one transaction writes to both.
const TABLES: &str = "
CREATE DATABASE `shop`; CREATE DATABASE `odd/näme.%`; USE shop;
CREATE TABLE one (id INT PRIMARY KEY, v INT NOT NULL) ENGINE=InnoDB;
CREATE TABLE two (id INT PRIMARY KEY, v INT NOT NULL) ENGINE=InnoDB;
INSERT INTO one SELECT seq, 0 FROM seq_1_to_1000; INSERT INTO two SELECT * FROM one;
CREATE TABLE large (id INT PRIMARY KEY AUTO_INCREMENT, b BLOB) ENGINE=InnoDB;
INSERT INTO large (b) SELECT RANDOM_BYTES(1000) FROM seq_1_to_15000;
CREATE TABLE packed (id INT PRIMARY KEY, t TEXT) ENGINE=InnoDB ROW_FORMAT=COMPRESSED;
INSERT INTO packed SELECT seq, REPEAT(MD5(seq), 9) FROM seq_1_to_2000;
CREATE TABLE paged (id INT PRIMARY KEY, t TEXT) ENGINE=InnoDB PAGE_COMPRESSED=1;
INSERT INTO paged SELECT seq, REPEAT('x', 200) FROM seq_1_to_2000;
CREATE TABLE parts (id INT PRIMARY KEY, t TEXT) ENGINE=InnoDB PARTITION BY HASH (id) PARTITIONS 5;
INSERT INTO parts SELECT seq, MD5(seq) FROM seq_1_to_100;
CREATE TABLE myisam (id INT PRIMARY KEY, t TEXT) ENGINE=MyISAM;
INSERT INTO myisam SELECT seq, REPEAT(MD5(seq), 30) FROM seq_1_to_2000;
CREATE TABLE aria (id INT PRIMARY KEY, t TEXT) ENGINE=Aria;
INSERT INTO aria SELECT seq, REPEAT(MD5(seq), 30) FROM seq_1_to_2000;
CREATE TABLE csv (id INT NOT NULL, t TEXT NOT NULL) ENGINE=CSV;
INSERT INTO csv SELECT seq, MD5(seq) FROM seq_1_to_10;
CREATE TABLE `odd/näme.%`.`t 1/2 #` (id INT PRIMARY KEY) ENGINE=InnoDB;
CREATE TABLE `odd/näme.%`.empty (id INT PRIMARY KEY) ENGINE=MyISAM;
";

fn step(round: u32) -> String {
    let id = round % 1000 + 1;
    format!(
        "BEGIN; UPDATE shop.one SET v = v + 1 WHERE id = {id}; \
         UPDATE shop.two SET v = v + 1 WHERE id = {id}; COMMIT; \
         INSERT INTO shop.large (b) VALUES (REPEAT(RANDOM_BYTES(1000), 5)); DO SLEEP(0.005);\n"
    )
}

/// Checks all tables, and that both tables in step are.
fn is_sound(server: &MariaDb) {
    let tables = server.sql(
        "SET group_concat_max_len = 1000000;
         SELECT CONCAT('CHECK TABLE ', GROUP_CONCAT(CONCAT('`', table_schema, '`.`', table_name,
         '`') SEPARATOR ', '), ' EXTENDED') FROM information_schema.tables WHERE
         table_type = 'BASE TABLE' AND table_schema NOT IN
         ('information_schema', 'performance_schema', 'mysql')",
    );
    let checks = server.sql(&format!("{};", tables.trim_end()));
    assert!(checks.lines().count() >= 10, "{checks}");
    assert!(checks.lines().all(|line| line.ends_with("\tOK")), "{checks}");
    let differing = "SELECT COUNT(*) FROM shop.one JOIN shop.two USING (id) WHERE one.v <> two.v";
    assert_eq!(server.sql(differing).trim(), "0");
    assert_eq!(server.sql("SELECT COUNT(*) FROM shop.two").trim(), "1000");
}

/// Checks that a stream's files are those that MariaDB's program unpacks, and make a sound server.
fn is_the_backup(stream: &[u8], unpacked: &Path) -> MariaDb {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("stream");
    fs::write(&file, stream).unwrap();
    let theirs = scratch.path().join("theirs");
    assert!(mbstream(&file, &theirs), "mbstream refuses the stream");
    let (ours, mut theirs) = (tree(unpacked), tree(&theirs));
    // It compares one byte too many, and so keeps the partitions of a dropped table.
    theirs.retain(|path, _| ours.contains_key(path) || !path.to_str().unwrap().contains("#P#"));
    let differing: Vec<_> =
        ours.iter().filter(|(path, sum)| theirs.get(*path) != Some(*sum)).collect();
    assert!(differing.is_empty() && ours.len() == theirs.len(), "{differing:?}");
    prepare(unpacked);
    let server = MariaDb::start_with(unpacked);
    is_sound(&server);
    server
}

fn under_writes(parallel: &str) {
    if !can_run_mariadb() {
        return;
    }
    let server = MariaDb::start(&[]);
    server.sql(TABLES);
    let writers = [server.keep_writing(step), server.keep_writing(step)];
    let stream = server.backup_bytes(&[parallel]);
    writers.into_iter().for_each(Writer::stop);
    is_sound(&server);
    let scratch = tempfile::tempdir().unwrap();
    let unpacked = unpack(&stream, scratch.path());
    assert!(unpacked.info.server_version.contains("MariaDB") && !unpacked.info.is_partial);
    is_the_backup(&stream, scratch.path());
}

#[test]
fn a_backup_under_writes_is_a_server_again() {
    under_writes("--parallel=1");
}

#[test]
fn files_that_four_threads_send_in_turns_are_a_server_again() {
    if !is_long() {
        return;
    }
    under_writes("--parallel=4");
}

/// Backs a server up into a folder, and calls `on_end` with the path of each complete file, while
/// the program waits for its reader. Returns the stream, too.
fn backup_while(
    server: &MariaDb,
    folder: &Path,
    on_end: impl FnMut(&[u8]),
) -> (Vec<u8>, Result<Unpacked, MbstreamError>) {
    let mut backup = server.backup(&["--parallel=1"]).spawn().unwrap();
    let mut output = backup.stdout.take().unwrap();
    let (mut stream, mut piece) = (Vec::new(), vec![0; 4096]);
    let (mut unpacker, mut sink) = (Unpacker::default(), FolderSink::new(folder));
    sink.on_end = Box::new(on_end);
    let mut outcome = Ok(());
    loop {
        let len_bytes = output.read(&mut piece).unwrap();
        stream.extend_from_slice(&piece[..len_bytes]);
        if outcome.is_ok() {
            outcome = unpacker.push(&piece[..len_bytes], &mut sink);
        }
        if len_bytes == 0 {
            break;
        }
    }
    assert!(backup.wait().unwrap().success(), "{}", server.words());
    let unpacked = outcome.and_then(|()| unpacker.finish());
    if let Ok(unpacked) = &unpacked {
        sink.finish(unpacked);
    }
    (stream, unpacked)
}

/// Returns how many chunks of a type a stream has.
fn count_of(stream: &[u8], kind: u8, flags: u8) -> usize {
    let mark = [b"XBSTCK01", &[flags, kind][..]].concat();
    stream.windows(mark.len()).filter(|window| *window == mark).count()
}

/// Tables outside of InnoDB are copied, and then created, altered and dropped: those
/// of Aria in the program's first stage, those of MyISAM in its second, which blocks rows.
#[test]
fn tables_that_change_after_they_were_copied_are_as_in_the_end() {
    if !is_long() || !can_run_mariadb() {
        return;
    }
    let server = MariaDb::start(&[]);
    server.sql(TABLES);
    let each = |act: &dyn Fn(u32) -> String| (0..40).map(act).collect::<String>();
    let table = |n: u32| {
        let engine = if n.is_multiple_of(2) { "Aria" } else { "MyISAM" };
        let parts = if n % 10 == 9 { "PARTITION BY HASH (id) PARTITIONS 2" } else { "" };
        format!(
            "CREATE TABLE t{n} (id INT, t TEXT) ENGINE={engine} {parts};
             INSERT INTO t{n} SELECT seq, REPEAT(MD5(seq), 30) FROM seq_1_to_500;"
        )
    };
    server.sql(&format!(
        "CREATE DATABASE ddl; CREATE DATABASE gone; CREATE TABLE gone.t (id INT) ENGINE=MyISAM;
         USE ddl; {}",
        each(&table)
    ));
    let first = |n: u32| match n % 10 {
        0 => format!("ALTER TABLE t{n} ADD COLUMN more INT DEFAULT 7;"),
        2 => format!("ALTER TABLE t{n} ENGINE=InnoDB;"),
        4 => format!("OPTIMIZE TABLE t{n};"),
        6 => format!("ALTER TABLE t{n} ENGINE=MyISAM;"),
        _ => String::new(),
    };
    let second = |n: u32| match n % 10 {
        3 | 9 => format!("DROP TABLE t{n};"),
        5 => format!("CREATE TABLE n{n} LIKE t{n};"),
        7 => format!("CREATE TABLE x{n} (id INT) ENGINE=MyISAM;"),
        _ => String::new(),
    };
    let others = "DROP DATABASE gone; CREATE DATABASE come CHARACTER SET latin1;
         CREATE TABLE come.t (id INT) ENGINE=Aria;";
    let mut counts = [0, 0];
    let on_end = |path: &[u8]| {
        let is_of = |ending: &[u8]| path.starts_with(b"ddl/") && path.ends_with(ending);
        for (count, ending) in counts.iter_mut().zip([".MAD", ".MYD"]) {
            let is_one = is_of(ending.as_bytes());
            *count += usize::from(is_one);
            if is_one && *count == 15 {
                let (change, others): (&dyn Fn(u32) -> String, _) =
                    if ending == ".MAD" { (&first, "") } else { (&second, others) };
                server.sql(&format!("USE ddl; {} {others}", each(change)));
            }
        }
    };
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("ours");
    let (stream, unpacked) = backup_while(&server, &folder, on_end);
    unpacked.unwrap();
    assert!(counts.iter().all(|count| *count >= 15), "{counts:?}");
    assert!(count_of(&stream, b'D', 0) > 0 && count_of(&stream, b'P', 2) > 0);
    let again = is_the_backup(&stream, &folder);
    let tables = "SELECT CONCAT(table_schema, '.', table_name, ' ', engine)
         FROM information_schema.tables WHERE table_schema IN ('ddl', 'gone', 'come') ORDER BY 1";
    assert_eq!(again.sql(tables), server.sql(tables));
    for name in ["t10", "t2", "t4", "t6", "n5", "x7", "t7", "t8"] {
        let rows = format!("SELECT COUNT(*) FROM ddl.{name};");
        assert_eq!(again.sql(&rows), server.sql(&rows), "{name}");
    }
}

/// Aria's log becomes full and gets its final head, or a table is renamed or made anew after
/// it was copied: of some of these the program makes a backup that lacks a table.
#[test]
fn a_backup_that_a_stream_cannot_hold_is_tried_again() {
    if !is_long() || !can_run_mariadb() {
        return;
    }
    let server = MariaDb::start(&["--aria-log-file-size=8M"]);
    server.sql(TABLES);
    server.sql("CREATE TABLE shop.log (b BLOB) ENGINE=Aria TRANSACTIONAL=1;");
    let row = "INSERT INTO shop.log VALUES (REPEAT(RANDOM_BYTES(1000), 60));";
    let scratch = tempfile::tempdir().unwrap();
    for (path, statements, kind, words) in [
        ("shop/aria.MAD", row.repeat(300).as_str(), b'S', "aria_log."),
        ("shop/myisam.MYD", "RENAME TABLE shop.myisam TO shop.m;", b'R', "the name of another"),
        (
            "mysql/event.MAD",
            "DROP TABLE shop.m; CREATE TABLE shop.m (id INT) ENGINE=MyISAM;",
            b'D',
            "shop/m.frm got lost",
        ),
    ] {
        let mut has_acted = false;
        let (stream, unpacked) = backup_while(&server, &scratch.path().join("ours"), |ended| {
            if ended == path.as_bytes() && !std::mem::replace(&mut has_acted, true) {
                server.sql(statements);
            }
        });
        assert!(has_acted, "{path} is not there");
        assert!(count_of(&stream, kind, 0) > 0, "{}", server.words());
        let error = unpacked.expect_err(words);
        assert!(error.is_transient() && error.to_string().contains(words), "{error}");
    }
    unpack(&server.backup_bytes(&[]), &scratch.path().join("again"));
}

#[test]
fn options_that_make_another_backup_are_told() {
    if !is_long() || !can_run_mariadb() {
        return;
    }
    let server = MariaDb::start(&[]);
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.t (id INT) ENGINE=InnoDB;");
    let scratch = tempfile::tempdir().unwrap();
    let whole = unpack(&server.backup_bytes(&[]), scratch.path());
    let since = format!("--incremental-lsn={}", whole.info.last_lsn);
    for (option, words) in
        [("--compress", "take `--compress`"), (since.as_str(), "take `--incremental-")]
    {
        let error = sums(&server.backup_bytes(&[option])).unwrap_err();
        assert!(matches!(error, MbstreamError::Unsuitable { .. }));
        assert!(error.to_string().contains(words), "{error}");
    }
    for option in ["--databases=shop", "--databases-exclude=shop", "--tables=shop.t"] {
        let scratch = tempfile::tempdir().unwrap();
        let unpacked = unpack(&server.backup_bytes(&[option]), scratch.path());
        assert!(unpacked.info.is_partial, "{option}");
    }
}

/// Paths are in no checksum, but only an empty file could get another one without being noticed.
#[test]
fn cut_and_damaged_backups_are_refused() {
    if !can_run_mariadb() {
        return;
    }
    let server = MariaDb::start(&["--innodb-undo-tablespaces=0", "--innodb-log-file-size=4M"]);
    let stream = server.backup_bytes(&["--parallel=4"]);
    let expected = sums(&stream).unwrap();
    let is_head = |at: &usize| stream[*at..].starts_with(b"XBSTCK01");
    let heads: Vec<usize> = (0..stream.len()).filter(is_head).collect();
    assert!(heads.len() > 200, "{}", heads.len());
    let seed = rand::random();
    println!("seed {seed}");
    let mut chance = StdRng::seed_from_u64(seed);
    let places: Vec<usize> = (0..50).map(|_| chance.random_range(0..stream.len())).collect();
    for cut in heads.iter().chain(&places) {
        let error = sums(&stream[..*cut]).expect_err("it is cut");
        assert!(matches!(error, MbstreamError::Incomplete { .. }), "{cut}: {error}");
    }
    let in_heads = std::iter::repeat_with(|| {
        heads[chance.random_range(0..heads.len())] + chance.random_range(0..60)
    });
    let in_heads: Vec<usize> = in_heads.take(100).collect();
    let mut flipped = stream.clone();
    for place in places.into_iter().chain(in_heads).filter(|place| *place < stream.len()) {
        let bit = 1 << chance.random_range(0..8);
        flipped[place] ^= bit;
        if let Ok(found) = sums(&flipped) {
            assert_eq!(found, expected, "bit {bit} of byte {place}");
        }
        flipped[place] ^= bit;
    }
}
