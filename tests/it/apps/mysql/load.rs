//! Goal: a dump is of one moment, whatever is written meanwhile.
//!
//! Method: writers move amounts between two tables and note each move in a third, so that a sum
//! stays and the moves can be counted. What is loaded from a dump must agree with itself.

use std::process::{Child, Stdio};

use super::server::{MariaDb, dump_all};

const TABLES: &str = "
CREATE DATABASE bank; USE bank;
CREATE TABLE a (id INT PRIMARY KEY, amount INT NOT NULL);
CREATE TABLE moves (id INT PRIMARY KEY AUTO_INCREMENT, amount INT NOT NULL, note VARCHAR(500));
CREATE TABLE z (id INT PRIMARY KEY, amount INT NOT NULL);
INSERT INTO a SELECT seq, 1000 FROM seq_1_to_2000;
INSERT INTO z SELECT seq, 0 FROM seq_1_to_2000;
INSERT INTO moves (amount, note) SELECT 0, REPEAT('x', 500) FROM seq_1_to_10000;
DELIMITER $$
CREATE PROCEDURE move_on() BEGIN
  LOOP
    START TRANSACTION;
    SET @from = FLOOR(1 + RAND() * 2000), @to = FLOOR(1 + RAND() * 2000);
    SET @amount = FLOOR(RAND() * 100);
    UPDATE a SET amount = amount - @amount WHERE id = @from;
    INSERT INTO moves (amount, note) VALUES (@amount, REPEAT('y', 300));
    UPDATE z SET amount = amount + @amount WHERE id = @to;
    COMMIT;
    DO SLEEP(0.002);
  END LOOP;
END $$
DELIMITER ;
";

fn writer(server: &MariaDb) -> Child {
    let call = ["--database=bank", "--execute=CALL move_on()"];
    server.client().args(call).stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

const STATE: &str = "SELECT (SELECT SUM(amount) FROM bank.a), (SELECT SUM(amount) FROM bank.z), \
                     (SELECT SUM(amount) FROM bank.moves), (SELECT COUNT(*) FROM bank.moves);";

fn numbers(server: &MariaDb) -> Vec<i64> {
    server.sql(STATE).split_whitespace().map(|number| number.parse().unwrap()).collect()
}

#[test]
fn a_dump_under_writers_agrees_with_itself() {
    let server = MariaDb::start(&["--innodb-lock-wait-timeout=500"]);
    server.sql(TABLES);
    let mut writers = [writer(&server), writer(&server)];
    let loaded = MariaDb::start(&[]);
    let mut counts = Vec::new();
    for _ in 0..3 {
        let dump = dump_all(&server.settings()).remove("/@app/mariadb/bank").unwrap();
        loaded.sql("DROP DATABASE IF EXISTS bank;");
        loaded.try_load(&dump.cat()).unwrap();
        let state = numbers(&loaded);
        assert_eq!(state[0] + state[1], 2_000_000, "the sum stays");
        assert_eq!(state[1], state[2], "each move is in both tables");
        let rows = |table| dump.record.files.iter().find(|file| file.holds == table).unwrap().rows;
        assert_eq!(rows("moves"), Some(state[3] as u64), "rows are counted");
        counts.push(state[3]);
        assert_eq!(dump_all(&loaded.settings())["/@app/mariadb/bank"].files, dump.files);
    }
    for writer in &mut writers {
        assert!(writer.try_wait().unwrap().is_none(), "the writers wrote all the time");
        writer.kill().unwrap();
        writer.wait().unwrap();
    }
    assert!(counts[0] < counts[1] && counts[1] < counts[2], "{counts:?}");
}

#[test]
fn locked_dumps_are_of_one_moment_for_all_engines() {
    let server = MariaDb::start(&["--innodb-lock-wait-timeout=500"]);
    server.sql(&format!("{}ALTER TABLE moves ENGINE=MyISAM;", TABLES));
    let mut writer = writer(&server);
    let mut settings = server.settings();
    settings.is_locked = true;
    let dump = dump_all(&settings).remove("/@app/mariadb/bank").unwrap();
    assert!(writer.try_wait().unwrap().is_none(), "the writer wrote all the time");
    writer.kill().unwrap();
    writer.wait().unwrap();
    let loaded = MariaDb::start(&[]);
    loaded.try_load(&dump.cat()).unwrap();
    let state = numbers(&loaded);
    assert_eq!(state[0] + state[1], 2_000_000);
    // A row of MyISAM is there before its transaction ends: one move may be under way.
    assert!((0..100).contains(&(state[2] - state[1])), "{state:?}");
}
