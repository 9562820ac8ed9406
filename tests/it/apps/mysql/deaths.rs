//! Goal: half a dump never looks like a whole one, and the error says what to do.
//!
//! Method: a program in the place of the client writes a part of a true dump and ends as it is
//! told; and clients, servers and tables go away during a dump.

use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use drumlin::sources::mysql::{Failure, Retry};

use super::server::{Dumped, MariaDb, Memory, chain, dump_into, first, host};

const CONTENT: &str = "
CREATE DATABASE wiki; USE wiki;
CREATE SEQUENCE s; CREATE TABLE a (id INT, t TEXT); INSERT INTO a VALUES (1, 'x'), (2, 'y');
CREATE TABLE b (id INT); INSERT INTO b VALUES (1); CREATE VIEW v AS SELECT * FROM a;
CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW SET @x = 1;
CREATE PROCEDURE p() SELECT 1; CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1;
";

/// Puts a program in the place of the client, which runs `script` where it should dump.
fn in_place_of_client(dir: &Path, script: &str) -> PathBuf {
    let program = dir.join("mariadb-dump");
    let text = format!(
        "#!/bin/bash\ncase \"$*\" in --version|*--help*) exec mariadb-dump \"$@\";; esac\n\
         {script}\n"
    );
    std::fs::write(&program, text).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    if !dir.join("mariadb").exists() {
        symlink("/usr/bin/mariadb", dir.join("mariadb")).unwrap();
    }
    program
}

fn dump_by(server: &MariaDb, script: &str) -> io::Result<Dumped> {
    let mut settings = server.settings();
    let program = in_place_of_client(server.path(), script);
    settings.program = Some(program.to_str().unwrap().to_owned());
    dump_into(first(&settings, &host()), Memory::default())
}

#[test]
fn a_dump_that_ends_early_is_no_dump() {
    let server = MariaDb::start(&[]);
    server.sql(CONTENT);
    let whole = server.path().join("whole.sql");
    let whole_path = whole.display().to_string();
    let kept = dump_by(&server, &format!("mariadb-dump \"$@\" | tee {whole_path}")).unwrap();
    let text = std::fs::read_to_string(&whole).unwrap();
    assert_eq!(kept.cat().len() - kept.files["!create.sql"].len(), text.len());

    let after = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part}")) + part.len();
    let cuts = [
        0,
        1,
        after("sandbox mode */ \n"),
        after("SET SQL_NOTES=@OLD_SQL_NOTES").min(after("NOTES=0 */;\n")),
        after("CREATE SEQUENCE"),
        after("-- Table structure for table `a`\n"),
        after("INSERT INTO `a` VALUES (1,'x');\n"),
        after("INSERT INTO `a` VALUES (2,"),
        after("DELIMITER ;;\n"),
        after("ENABLE KEYS */;\n"),
        after("structure for view `v`\n"),
        after("-- Dumping events for database 'wiki'\n"),
        after("-- Dumping routines for database 'wiki'\n"),
        after("-- Final view structure for view `v`\n"),
        text.len() - "-- Dump completed\n".len(),
        text.len() - 1,
    ];
    for cut in cuts {
        let error = dump_by(&server, &format!("head -c {cut} {whole_path}")).err();
        let error = error.unwrap_or_else(|| panic!("cut after {cut}: {}", &text[..cut]));
        let said = chain(&error);
        for word in ["`wiki`", "last line", "[app.wiki.mariadb]", "this host"] {
            assert!(said.contains(word), "{said}");
        }
        assert_eq!(Failure::retry_of(&error), Some(Retry::Later));
    }
    for (end, says) in [
        ("echo 'disk on fire' >&2; exit 3", "disk on fire"),
        ("exit 1", "exit status: 1"),
        ("kill -9 $$", "signal: 9"),
    ] {
        let error = dump_by(&server, &format!("cat {whole_path}; {end}")).err().unwrap();
        assert!(chain(&error).contains(says), "{}", chain(&error));
    }
}

/// Makes a table of 40 MB that is dumped after the tables of `CONTENT`.
fn with_much(server: &MariaDb) {
    server.sql(CONTENT);
    server.sql(
        "USE wiki; CREATE TABLE m (id INT, t TEXT); INSERT INTO m SELECT seq, REPEAT('x', 1000) \
         FROM seq_1_to_40000; CREATE TABLE z (id INT); INSERT INTO z VALUES (1);",
    );
}

/// Dumps, and calls `act` once when a megabyte has come.
fn dump_and(server: &MariaDb, script: &str, act: impl FnOnce()) -> io::Error {
    let mut settings = server.settings();
    let program = in_place_of_client(server.path(), script);
    settings.program = Some(program.to_str().unwrap().to_owned());
    let mut act = Some(act);
    let watch = Box::new(|taken: usize| {
        if let Some(act) = act.take_if(|_| taken > 1 << 20) {
            act();
        }
        Ok(())
    });
    let memory = Memory::watched(watch);
    dump_into(first(&settings, &host()), memory).err().expect("it cannot succeed")
}

#[test]
fn clients_that_are_killed_fail_the_dump() {
    let server = MariaDb::start(&[]);
    with_much(&server);
    let pid = server.path().join("pid");
    let script = format!("echo $$ > {}; exec mariadb-dump \"$@\"", pid.display());
    let error = dump_and(&server, &script, || {
        let pid = std::fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    });
    assert!(chain(&error).contains("signal: 9"), "{}", chain(&error));
    assert_eq!(Failure::retry_of(&error), Some(Retry::Later));
}

#[test]
fn servers_that_are_killed_fail_the_dump() {
    let mut server = MariaDb::start(&[]);
    with_much(&server);
    let settings = server.settings();
    let planned = first(&settings, &host());
    let watch = Box::new(|taken: usize| {
        if taken > 1 << 20 {
            server.kill();
        }
        Ok(())
    });
    let memory = Memory::watched(watch);
    let error = dump_into(planned, memory).err().unwrap();
    let said = chain(&error);
    assert!(said.contains("2013") && said.contains("hung up"), "{said}");
    assert_eq!(Failure::retry_of(&error), Some(Retry::Later));
    // And a server that is not there at all.
    let error = drumlin::sources::mysql::plan(&settings, &host()).err().unwrap();
    let said = chain(&error);
    assert!(
        said.contains("is the server running") && said.contains("[app.wiki.mariadb]"),
        "{said}"
    );
    assert_eq!(Failure::retry_of(&error), Some(Retry::Later));
}

#[test]
fn a_table_that_changes_is_dumped_again_at_once_and_only_once() {
    let server = MariaDb::start(&[]);
    with_much(&server);
    // The first attempt takes 40 MB, and the second those after them.
    let changing_at = |places: &'static [usize]| {
        let mut places = places.iter();
        let mut next = places.next();
        let watch = Box::new(|taken: usize| {
            if next.is_some_and(|place| taken > *place) {
                next = places.next();
                server.sql("ALTER TABLE wiki.z ADD COLUMN IF NOT EXISTS x INT, ALGORITHM=COPY;");
                server.sql("ALTER TABLE wiki.z ADD KEY (x), ALGORITHM=COPY;");
            }
            Ok(())
        });
        dump_into(first(&server.settings(), &host()), Memory::watched(watch))
    };
    let dumped = changing_at(&[1 << 20]).unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert!(dumped.text("z.sql").contains("INSERT INTO `z` VALUES (1,NULL);"));
    assert_eq!(dumped.text("m.sql").matches("\nINSERT INTO").count(), 40_000);
    assert!(dumped.text("~footer.sql").ends_with("-- Dump completed\n"));
    let error = changing_at(&[1 << 20, 60 << 20]).err().expect("it changed again");
    assert!(chain(&error).contains("1412"), "{}", chain(&error));
    assert_eq!(Failure::retry_of(&error), Some(Retry::AtOnce));
}

#[test]
fn an_error_of_the_repository_is_passed_on_and_ends_the_client() {
    let server = MariaDb::start(&[]);
    with_much(&server);
    let watch = Box::new(|taken: usize| match taken {
        0..1_000_000 => Ok(()),
        _ => Err(io::Error::other("the repository is full")),
    });
    let memory = Memory::watched(watch);
    let error = dump_into(first(&server.settings(), &host()), memory).err().unwrap();
    assert_eq!(error.to_string(), "the repository is full");
    assert_eq!(Failure::retry_of(&error), None);
    let dumps = "SELECT COUNT(*) FROM information_schema.PROCESSLIST \
                 WHERE INFO LIKE '%SQL_NO_CACHE%' AND ID <> CONNECTION_ID();";
    assert_eq!(server.sql(dumps).trim(), "0");
}

#[test]
fn a_broken_view_fails_the_dump_and_the_error_says_how_to_go_on() {
    let server = MariaDb::start(&[]);
    server.sql(CONTENT);
    server.sql(
        "USE wiki; CREATE TABLE gone (id INT); CREATE VIEW broken AS SELECT * FROM gone; \
         DROP TABLE gone;",
    );
    let mut settings = server.settings();
    let error = dump_into(first(&settings, &host()), Memory::default()).err().unwrap();
    let said = chain(&error);
    assert!(said.contains("ignore-table") && said.contains("broken"), "{said}");
    settings.options = vec!["--ignore-table=wiki.broken".to_owned()];
    assert!(dump_into(first(&settings, &host()), Memory::default()).is_ok());
}
