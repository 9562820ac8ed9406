//! Goal: neither many tables nor long rows need more memory or lose anything.
//!
//! Method: 400 tables are dumped (10,000 in the long form); a row of 60 MiB is dumped, loaded and dumped again.

use super::server::{MariaDb, dump_all};
use crate::support::needs::is_long;

/// Most bytes that a sink is given at once.
const PIECE_LEN_MAX_BYTES: usize = 128 << 10;

#[test]
fn each_of_many_tables_is_a_file() {
    let count = if is_long() { 10_000 } else { 400 };
    // One file for all tables: this measures dumps, not the creation of files.
    let one_file = ["--skip-innodb-file-per-table", "--innodb-doublewrite=0"];
    let server = MariaDb::start(&one_file);
    let mut sql = String::from("CREATE DATABASE many; USE many;\n");
    for number in 0..count {
        sql.push_str(&format!("CREATE TABLE t{number} (id INT);\n"));
    }
    sql.push_str("INSERT INTO t377 VALUES (1);");
    server.sql(&sql);
    let dump = dump_all(&server.settings()).remove("/@app/mariadb/many").unwrap();
    assert_eq!(dump.files.len(), count + 3);
    let rows = dump.record.files.iter().filter(|file| file.rows == Some(1));
    assert_eq!(rows.map(|file| file.holds.as_str()).collect::<Vec<_>>(), ["t377"]);
}

#[test]
fn a_row_of_sixty_mebibytes_passes_in_pieces() {
    let server = MariaDb::start(&["--innodb-log-file-size=512M"]);
    server.sql(
        "CREATE DATABASE big; USE big; CREATE TABLE a (id INT, t LONGTEXT, b LONGBLOB);
         INSERT INTO a VALUES
         (1, REPEAT('\\n--\\n-- Table structure for table `x`\\n', 1700000), NULL);
         INSERT INTO a VALUES (2, 'small', REPEAT(X'000A27', 10485760)); CREATE TABLE b (id INT);",
    );
    let lengths = "SELECT LENGTH(t), LENGTH(b) FROM big.a ORDER BY id;";
    let before = server.sql(lengths);
    let dump = dump_all(&server.settings()).remove("/@app/mariadb/big").unwrap();
    assert!(dump.longest_write <= PIECE_LEN_MAX_BYTES, "{}", dump.longest_write);
    let rows: Vec<_> = dump.record.files.iter().map(|file| file.rows).collect();
    assert_eq!(rows, [None, None, Some(2), Some(0), None]);
    assert!(dump.files["a.sql"].len() > 120 << 20);
    let loaded = MariaDb::start(&["--innodb-log-file-size=512M"]);
    loaded.try_load(&dump.cat()).unwrap();
    assert_eq!(loaded.sql(lengths), before);
    assert!(dump_all(&loaded.settings())["/@app/mariadb/big"].files == dump.files);
}
