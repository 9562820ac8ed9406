//! Goal: whatever a database holds, its dump is cut where its tables are, loads in the order of its
//! names, and is the same byte for byte when it is made again.
//!
//! Method: content that imitates a dump is dumped, loaded into an empty server by the client that
//! people use (as it is, and joined), and dumped from there.

use std::process::Command;

use drumlin::sources::mysql::Joiner;

use super::server::{Dumped, MariaDb, dump_all};

/// Names that are hard to quote, to list or to store.
fn names() -> Vec<String> {
    let plain = [
        "page",
        "a/b",
        "100%",
        "it's",
        "say \"x\"",
        "two words",
        "back`tick",
        ".hidden",
        "..",
        "-dash",
        "--",
        "!header",
        "~footer",
        "é",
        "ünï",
        "日本",
        "header.sql",
        "a\\b",
        "#1",
        "$x",
        "semi;colon",
        "x--\ty",
        "%2F",
        "null",
        "0",
    ];
    let mut names: Vec<String> = plain.map(str::to_owned).to_vec();
    // The server's own files must have names, too: at most 48 of its five bytes.
    names.extend(["n".repeat(64), "/".repeat(48), "`".repeat(48), "é".repeat(64)]);
    names
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

const MARKER: &str = "\n--\n-- Table structure for table `fake`\n--\n";
const TRAILER: &str = "\n-- Dump completed\n";

/// Returns SQL of a database with everything.
fn content() -> String {
    let mut sql = String::from("CREATE DATABASE wiki CHARACTER SET latin1; USE wiki;\n");
    for name in names() {
        let name = quoted(&name);
        sql.push_str(&format!(
            "CREATE TABLE {name} (id INT PRIMARY KEY AUTO_INCREMENT, {name} TEXT) \
             CHARACTER SET utf8mb4;\nINSERT INTO {name} VALUES (1, {name}), (2, 'x');\n"
        ));
    }
    sql + TABLES + &BODIES.replace("MARKER", MARKER).replace("TRAILER", TRAILER)
}

const TABLES: &str = r#"
CREATE TABLE kinds (id INT PRIMARY KEY, l VARCHAR(200) CHARACTER SET latin1, u TEXT CHARACTER SET
  utf8mb4, b BLOB, v VARBINARY(300), g GEOMETRY, p POINT, bits BIT(9), e ENUM('a;','b''') , s
  SET('x','y'), j JSON, d DATETIME(6), t TIMESTAMP NULL, y YEAR, f DOUBLE, n DECIMAL(30,10),
  i INET6, w UUID);
INSERT INTO kinds VALUES
 (1, 'äöü', '😀\n\r\t\0\Z\\''"`', X'00FF0A0D271A5C22', X'0A2D2D0A', ST_GeomFromText('POINT(1 2)'),
  POINT(3, 4), b'101010101', 'b''', 'x,y', '{"a": "\\n--\\n"}', '2020-02-29 12:34:56.789012',
  '2021-03-28 01:30:00', 1999, 1e-300, 12345678901234567890.0123456789, '::1',
  '123e4567-e89b-12d3-a456-426655440000'),
 (2, NULL, '', '', '', NULL, NULL, NULL, NULL, '', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
 (3, '\n--\n-- Table structure for table `fake`\n--\n', '\n-- Dump completed\n', 'DELIMITER ;\n',
  '', NULL, NULL, b'0', 'a;', 'y', '[]', '0001-01-01', NULL, 0, -0.0, -1, 'ff::', NULL);
CREATE TABLE made (a INT, b INT AS (a + 1) VIRTUAL, c VARCHAR(99) AS (CONCAT(a, ';\n--\n')) STORED,
  CHECK (a <> 7), CHECK (c <> ' VALUES ('));
INSERT INTO made (a) VALUES (1), (2), (3);
CREATE TABLE `odd
-- columns` (`a
--
-- Table structure for table ``fake``
--
x` INT COMMENT 'x\n--\n;', ` V VALUES (` INT AS (1) VIRTUAL, `V``` INT);
INSERT INTO `odd
-- columns` VALUES (1, DEFAULT, 2), (3, DEFAULT, 4);
CREATE SEQUENCE counter START WITH 10;
SELECT NEXTVAL(counter);
CREATE TABLE counted (id INT DEFAULT NEXTVAL(counter), x INT) COMMENT 'a;\n-- Dump completed\n';
INSERT INTO counted (x) VALUES (1), (2);
CREATE TABLE parts (id INT, day DATE) PARTITION BY RANGE (YEAR(day))
  (PARTITION p0 VALUES LESS THAN (2000) COMMENT ';\n', PARTITION p1 VALUES LESS THAN MAXVALUE);
INSERT INTO parts VALUES (1, '1999-12-31'), (2, '2000-01-01');
CREATE TABLE a_child (id INT PRIMARY KEY, parent INT);
CREATE TABLE z_parent (id INT PRIMARY KEY, child INT, FOREIGN KEY (child) REFERENCES a_child (id));
ALTER TABLE a_child ADD FOREIGN KEY (parent) REFERENCES z_parent (id);
SET FOREIGN_KEY_CHECKS = 0;
INSERT INTO a_child VALUES (1, 1); INSERT INTO z_parent VALUES (1, 1);
SET SQL_MODE = 'NO_AUTO_VALUE_ON_ZERO';
CREATE TABLE zero (id INT PRIMARY KEY AUTO_INCREMENT); INSERT INTO zero VALUES (0), (5);
SET SQL_MODE = DEFAULT;
CREATE TABLE old (id INT) ENGINE=MyISAM; INSERT INTO old VALUES (1);
CREATE TABLE past (id INT) WITH SYSTEM VERSIONING; INSERT INTO past VALUES (1);
CREATE TABLE empty_one (id INT);
CREATE TABLE sessions_1 (id INT, data TEXT); INSERT INTO sessions_1 VALUES (1, 'secret');
"#;

const BODIES: &str = r#"
DELIMITER $$
CREATE FUNCTION one() RETURNS INT DETERMINISTIC COMMENT 'MARKER' BEGIN RETURN 1; END $$
CREATE VIEW first_view AS SELECT id, one() AS `o'ne` FROM kinds WHERE l <> 'MARKER' $$
CREATE VIEW a_view AS SELECT * FROM first_view $$
CREATE VIEW zz_view AS SELECT a_view.id FROM a_view JOIN page USING (id) $$
CREATE TRIGGER quiet BEFORE INSERT ON page FOR EACH ROW BEGIN
  /*MARKER it's ; ;; TRAILER*/
  -- it's MARKER
  SET @x = 'MARKER;;
DELIMITER ;
TRAILER';
END $$
CREATE TRIGGER loud AFTER UPDATE ON kinds FOR EACH ROW
  INSERT INTO counted (x) VALUES (NEW.id) $$
CREATE PROCEDURE pretend(INOUT `a``b` TEXT) COMMENT 'it''s' BEGIN
  # it's MARKER
  SELECT "
DELIMITER ;
MARKER", '\'MARKER';
INSERT INTO `page` VALUES (7,'x');
INSERT INTO `page` VALUES (8,'y');
/*!999999\- enable the sandbox mode */
  /* DELIMITER ;;
INSERT INTO `page` VALUES (7,'x');
INSERT INTO `page` VALUES (8,'y');
TRAILER */
END $$
CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01' DISABLE COMMENT 'MARKER' DO BEGIN
  DELETE FROM page WHERE page = 'MARKER';
  /* TRAILER */
END $$
SET SQL_MODE = 'NO_BACKSLASH_ESCAPES,ANSI_QUOTES' $$
CREATE PROCEDURE plain_backslash() BEGIN SELECT '\', "\".x FROM (SELECT 1 AS x) AS "\"; END $$
CREATE TRIGGER plain BEFORE DELETE ON page FOR EACH ROW SET @x = '\' $$
SET SQL_MODE = DEFAULT $$
DELIMITER ;
"#;

fn wiki(server: &MariaDb) -> Dumped {
    let mut settings = server.settings();
    settings.data_not = vec!["sessions_*".to_owned()];
    dump_all(&settings).remove("/@app/mariadb/wiki").unwrap()
}

fn compare(one: &Dumped, other: &Dumped) {
    let [names, of_other] = [one, other].map(|dump| dump.files.keys().collect::<Vec<_>>());
    assert_eq!(names, of_other);
    for name in one.files.keys() {
        assert_eq!(one.text(name), other.text(name), "{name}");
    }
    assert_eq!(one.record.files, other.record.files);
}

#[test]
fn everything_is_the_same_byte_for_byte_after_a_load() {
    let server = MariaDb::start(&[]);
    server.sql(&content());
    let dump = wiki(&server);
    let holds: Vec<&str> = dump.record.files.iter().map(|file| file.holds.as_str()).collect();
    for name in names() {
        assert!(holds.contains(&name.as_str()), "{name} has no file");
    }
    assert!(holds.contains(&"odd\n-- columns"), "{holds:?}");
    assert!(!dump.files.contains_key("fake.sql"));
    assert!(dump.files.contains_key("%2Ehidden.sql") && dump.files.contains_key("a%2Fb.sql"));
    let rows = |table: &str| {
        dump.record.files.iter().find(|file| file.holds == table).and_then(|file| file.rows)
    };
    assert_eq!(rows("kinds"), Some(3));
    assert_eq!(rows("made"), Some(3));
    assert_eq!(rows("empty_one"), Some(0));
    assert_eq!(rows("sessions_1"), Some(0));
    assert!(!dump.text("sessions_1.sql").contains("secret"));
    assert_eq!(dump.record.left_out, ["rows of `sessions_1`"]);

    let loaded = MariaDb::start(&[]);
    loaded.try_load(&dump.cat()).unwrap();
    compare(&dump, &wiki(&loaded));
}

/// Programs would take such a name for an option: `cat *` in its folder is what people type.
#[test]
fn names_that_begin_with_a_dash_are_no_options() {
    let server = MariaDb::start(&[]);
    server.sql(
        "CREATE DATABASE `-x`; CREATE TABLE `-x`.`-e` (id INT); CREATE TABLE `-x`.`--help` (i INT); \
         INSERT INTO `-x`.`-e` VALUES (7);",
    );
    let dump = dump_all(&server.settings()).remove("/@app/mariadb/%2Dx").unwrap();
    let names: Vec<&String> = dump.files.keys().collect();
    let wanted = ["!create.sql", "!header.sql", "%2D-help.sql", "%2De.sql", "~footer.sql"];
    assert_eq!(names, wanted);
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in &dump.files {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    let mut cat = Command::new("sh");
    cat.args(["-c", "LC_ALL=C; export LC_ALL; cat *"]).current_dir(folder.path());
    let whole = cat.output().unwrap();
    assert!(whole.status.success() && whole.stdout == dump.cat());
    server.sql("DROP DATABASE `-x`;");
    server.try_load(&whole.stdout).unwrap();
    assert_eq!(server.sql("SELECT id FROM `-x`.`-e`;").trim(), "7");
}

#[test]
fn a_joined_load_gives_the_same_dump() {
    let server = MariaDb::start(&[]);
    server.sql(&content());
    let dump = wiki(&server);
    for has_sandbox in [true, false] {
        let (mut joined, mut joiner) = (Vec::new(), Joiner::new(has_sandbox));
        let mut write = |bytes: &[u8]| {
            joined.extend_from_slice(bytes);
            Ok(())
        };
        for file in &dump.record.files {
            dump.files[&file.path].chunks(1000).for_each(|piece| {
                joiner.push(piece, &mut write).unwrap();
            });
        }
        assert!(joiner.finish(&mut write).unwrap(), "the trailer is the last line");
        assert!(joined.len() < dump.cat().len(), "rows were joined");
        let loaded = MariaDb::start(&[]);
        loaded.try_load(&joined).unwrap();
        compare(&dump, &wiki(&loaded));
    }
}

#[test]
fn databases_of_any_name_are_dumped_and_users_come_last() {
    let server = MariaDb::start(&[]);
    let names =
        ["a/b", "-dash", "--all-databases", "x.y", ".dot", "back`tick", "it's", "日本", "100%"];
    for name in names {
        let name = quoted(name);
        server.sql(&format!("CREATE DATABASE {name}; USE {name}; CREATE TABLE t (id INT);"));
    }
    server.sql(
        "CREATE USER 'o''app'@'%' IDENTIFIED BY 'x'; GRANT SELECT ON `a/b`.* TO 'o''app'@'%';",
    );
    let mut dumps = dump_all(&server.settings());
    let users = dumps.remove("/@app/mariadb/~users.sql").unwrap();
    assert_eq!(dumps.len(), names.len());
    let loaded = MariaDb::start(&[]);
    for (place, dump) in &dumps {
        assert!(dump.files.contains_key("t.sql"), "{place}");
        loaded.try_load(&dump.cat()).unwrap();
    }
    loaded.try_load(&users.cat()).unwrap();
    let again = dump_all(&loaded.settings());
    for (place, dump) in &dumps {
        compare(dump, &again[place]);
    }
    // The server lists users as it stores them: after a load in another order, and the right to
    // act for others once for each user who has given it.
    let sorted = |dump: &Dumped| {
        let mut lines: Vec<String> = dump.text("").lines().map(str::to_owned).collect();
        lines.sort();
        lines.dedup();
        lines
    };
    assert_eq!(sorted(&users), sorted(&again["/@app/mariadb/~users.sql"]));
    let place = "/@app/mariadb/a%2Fb";
    assert_eq!(dumps[place].record.name, "a/b");
    assert!(dumps[place].text("!create.sql").ends_with("USE `a/b`;\n"));
}
