//! Tests of the scanner: that every dump is cut where its tables are, whatever its content.
//!
//! Texts are as the clients of both products write them. Each is given in pieces of several
//! lengths, and all that comes out must be all that went in.

use super::*;

/// What a dump was cut into: the name of a section, its text, and its rows.
type Cut = Vec<(String, String, u64)>;

fn cut_in(dump: &str, piece_len: usize) -> (Cut, bool) {
    let mut cut: Cut = vec![("header".to_owned(), String::new(), 0)];
    let mut scanner = Scanner::new();
    let mut receive = |event: Event| {
        match event {
            Event::Header => cut.push(("header".to_owned(), String::new(), 0)),
            Event::Table(name) => cut.push((format!("table {name}"), String::new(), 0)),
            Event::Footer => cut.push(("footer".to_owned(), String::new(), 0)),
            Event::Text(text) | Event::Row(text) => {
                let section = &mut cut.last_mut().unwrap().1;
                section.push_str(&String::from_utf8_lossy(text));
            }
            Event::RowEnd => cut.last_mut().unwrap().2 += 1,
        }
        Ok(())
    };
    for piece in dump.as_bytes().chunks(piece_len) {
        scanner.push(piece, &mut receive).unwrap();
    }
    let is_complete = scanner.finish(&mut receive).unwrap();
    (cut, is_complete)
}

/// Cuts a dump in several ways, which must agree; returns the sections and whether it is complete.
fn cut(dump: &str) -> (Cut, bool) {
    let cut = cut_in(dump, dump.len().max(1));
    assert_eq!(cut.0.iter().map(|section| section.1.as_str()).collect::<String>(), dump);
    if dump.is_ascii() {
        for piece_len in [1, 2, 3, 17, 4096] {
            assert_eq!(cut_in(dump, piece_len), cut, "pieces of {piece_len} bytes");
        }
    }
    cut
}

/// Returns the names of the sections, with the number of rows where there are any.
fn names(dump: &str) -> Vec<String> {
    let named = |(name, _, rows): (String, String, u64)| match rows {
        0 => name,
        rows => format!("{name}: {rows}"),
    };
    cut(dump).0.into_iter().map(named).collect()
}

const MARIADB: &str = "\
/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19  Distrib 10.11.14-MariaDB
--\n-- Host: localhost    Database: wiki\n-- ------------------------------------------------------
-- Server version\t10.11.14-MariaDB\n\n/*!40101 SET NAMES utf8mb4 */;\n
--\n-- Sequence structure for `s`\n--\n\nDROP SEQUENCE IF EXISTS `s`;\nCREATE SEQUENCE `s`;\n
--\n-- Table structure for table `page`\n--\n\nDROP TABLE IF EXISTS `page`;
CREATE TABLE `page` (\n  `id` int(11) NOT NULL,\n  `text` text\n) ENGINE=InnoDB COMMENT='a;b';\n
--\n-- Dumping data for table `page`\n--\n\nLOCK TABLES `page` WRITE;
INSERT INTO `page` VALUES (1,'a;\\n--\\n-- Table structure for table `x`\\n');
INSERT INTO `page` VALUES (2,NULL);\nUNLOCK TABLES;\n
--\n-- Temporary table structure for view `v`\n--\n\nSET @saved_cs_client     = 1;
/*!50001 CREATE VIEW `v` AS SELECT\n 1 AS `id` */;\n
--\n-- Table structure for table `zone`\n--\n\nCREATE TABLE `zone` (\n  `id` int\n);\n
--\n-- Dumping routines for database 'wiki'\n--\n
--\n-- Final view structure for view `v`\n--\n\n/*!50001 CREATE VIEW `v` AS select 1 */;
/*!40103 SET TIME_ZONE=@OLD_TIME_ZONE */;\n\n-- Dump completed\n";

#[test]
fn a_dump_of_mariadb_is_cut_at_its_tables() {
    let (sections, is_complete) = cut(MARIADB);
    assert!(is_complete);
    let expected = ["header", "table page: 2", "header", "table zone", "footer"];
    assert_eq!(names(MARIADB), expected);
    assert!(sections[0].1.ends_with("CREATE SEQUENCE `s`;\n"));
    assert!(sections[1].1.starts_with("\n--\n-- Table structure for table `page`\n"));
    assert!(sections[1].1.ends_with("UNLOCK TABLES;\n"));
    assert!(sections[4].1.starts_with("\n--\n-- Dumping routines for database 'wiki'\n--\n"));
}

/// As the client of MySQL 8 writes it.
const MYSQL: &str = "\
-- MySQL dump 10.13  Distrib 8.0.36, for Linux (x86_64)\n--\n-- Host: localhost    Database: wiki
-- ------------------------------------------------------\n-- Server version\t8.0.36\n
/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;\n/*!50503 SET NAMES utf8mb4 */;
/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;\n
--\n-- Temporary view structure for view `v`\n--\n\nDROP TABLE IF EXISTS `v`;
/*!50001 DROP VIEW IF EXISTS `v`*/;\nSET @saved_cs_client     = @@character_set_client;
/*!50503 SET character_set_client = utf8mb4 */;\n/*!50001 CREATE VIEW `v` AS SELECT \n 1 AS `a`*/;
SET character_set_client = @saved_cs_client;\n
--\n-- Table structure for table `user``s`\n--\n\nDROP TABLE IF EXISTS `user``s`;
/*!50503 SET character_set_client = utf8mb4 */;\nCREATE TABLE `user``s` (\n  `a` int DEFAULT NULL,
  `b` int GENERATED ALWAYS AS ((`a` + 1)) VIRTUAL
) ENGINE=InnoDB /*!80016 DEFAULT ENCRYPTION='N' */;
/*!40101 SET character_set_client = @saved_cs_client */;\n
--\n-- Dumping data for table `user``s`\n--\n\nLOCK TABLES `user``s` WRITE;
/*!40000 ALTER TABLE `user``s` DISABLE KEYS */;\nINSERT INTO `user``s` (`a`) VALUES (1);
/*!40000 ALTER TABLE `user``s` ENABLE KEYS */;\nUNLOCK TABLES;
/*!50003 SET @saved_cs_client      = @@character_set_client */ ;
/*!50003 SET sql_mode              = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION' */ ;
DELIMITER ;;\n/*!50003 CREATE*/ /*!50017 DEFINER=`root`@`localhost`*/ /*!50003 TRIGGER `t` BEFORE
INSERT ON `user``s` FOR EACH ROW BEGIN SET @a = ';;'; END */;;\nDELIMITER ;
/*!50003 SET sql_mode              = @saved_sql_mode */ ;\n
--\n-- Dumping events for database 'wiki'\n--\n\n--\n-- Dumping routines for database 'wiki'\n--
/*!50003 DROP FUNCTION IF EXISTS `f` */;\nDELIMITER ;;\nCREATE FUNCTION `f`() RETURNS int
BEGIN\n  -- it's\n  RETURN 1;\nEND ;;\nDELIMITER ;\n
--\n-- Final view structure for view `v`\n--\n\n/*!50001 DROP VIEW IF EXISTS `v`*/;
/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=`root`@`localhost` SQL SECURITY DEFINER */
/*!50001 VIEW `v` AS select 1 AS `a` */;\n/*!40103 SET TIME_ZONE=@OLD_TIME_ZONE */;\n
/*!40101 SET SQL_MODE=@OLD_SQL_MODE */;\n\n-- Dump completed on 2024-03-01 10:00:00\n";

#[test]
fn a_dump_of_mysql_is_cut_at_its_tables() {
    let (sections, is_complete) = cut(MYSQL);
    assert!(is_complete);
    assert_eq!(names(MYSQL), ["header", "header", "table user`s: 1", "footer"]);
    assert!(sections[3].1.starts_with("\n--\n-- Dumping events for database"));
}

#[test]
fn no_prefix_of_a_dump_is_complete() {
    for dump in [MARIADB, MYSQL] {
        for len in (0..dump.len()).filter(|len| dump.is_char_boundary(*len)) {
            let (sections, is_complete) = cut_in(&dump[..len], 64);
            let is_dated = dump[..len].contains("-- Dump completed on ");
            assert!(!is_complete, "{len} of {}, {is_dated}", dump.len());
            let text: String = sections.into_iter().map(|section| section.1).collect();
            assert_eq!(text, dump[..len]);
        }
    }
    assert!(!cut("").1);
}

#[test]
fn the_trailer_counts_as_the_last_line_only() {
    for (end, is_complete) in [
        ("-- Dump completed\n", true),
        ("-- Dump completed\n\n", true),
        ("-- Dump completed", false),
        ("-- Dump completed\nSELECT 1;\n", false),
        ("-- Dump completed\n-- more\n", false),
        ("SELECT '\n-- Dump completed\n", false),
        ("/*!40101 SELECT\n-- Dump completed\n", false),
        ("-- Dump completed too early\n", false),
        ("INSERT INTO `a` VALUES (1);-- Dump completed\n", false),
    ] {
        assert_eq!(cut(&format!("SELECT 1;\n{end}")).1, is_complete, "{end}");
    }
}

const MARKER: &str = "\n--\n-- Table structure for table `fake`\n--\n";

#[test]
fn markers_within_statements_are_text() {
    for statement in [
        format!("CREATE TABLE `a` (\n  `x{MARKER}` int\n);\n").replace("`fake`", "``fake``"),
        format!("CREATE TABLE `a` (\n  `x` int COMMENT '{MARKER}'\n);\n"),
        format!("SELECT \"{MARKER}\\\"\";\n"),
        format!("SELECT 1 /* {MARKER} */;\n"),
        format!("/*!50003 SELECT 1 {MARKER} */;\n"),
        format!("DELIMITER ;;\nCREATE x BEGIN{MARKER}; END ;;\nDELIMITER ;\n"),
        format!("DELIMITER ;;\nCREATE x BEGIN /*\nDELIMITER ;\n{MARKER} */ END ;;\nDELIMITER ;\n"),
        format!("DELIMITER ;;\nCREATE x BEGIN '\n;\nDELIMITER ;\n{MARKER}' END ;;\nDELIMITER ;\n"),
        format!("DELIMITER //\nCREATE x BEGIN ;;{MARKER} END //\nDELIMITER ;\n"),
        format!("INSERT INTO `a\n{}` VALUES (1);\n", MARKER.replace("`fake`", "``fake``")),
        format!("INSERT INTO `a` (`b{}`) VALUES (1);\n", MARKER.replace("`fake`", "``fake``")),
    ] {
        let dump = format!("{statement}{}\n-- Dump completed\n", MARKER.replace("fake", "true"));
        let expected = ["header", "table true"];
        let found: Vec<String> = cut(&dump).0.into_iter().map(|section| section.0).collect();
        assert_eq!(found, expected, "{dump}");
        assert!(cut(&dump).1, "{dump}");
    }
}

#[test]
fn quotes_follow_the_mode_that_the_dump_sets() {
    let body = "DELIMITER ;;\nCREATE x '\\' ;;\nDELIMITER ;\n";
    let set = "/*!50003 SET sql_mode              = 'ANSI,NO_BACKSLASH_ESCAPES' */ ;\n";
    let reset = "/*!50003 SET sql_mode              = @saved_sql_mode */ ;\nSELECT '\\';';\n";
    let dump = format!("{set}{body}{reset}{MARKER}");
    assert_eq!(names(&dump), ["header", "table fake"]);
    assert_eq!(names(&format!("{body}{MARKER}")), ["header"], "the quote stays open");
}

#[test]
fn names_are_whole_or_no_names() {
    for (name, found) in [
        ("a", Some("a")),
        ("a``b", Some("a`b")),
        ("``", Some("`")),
        ("a`b", None),
        ("a```b", None),
        ("", None),
        (" FOREIGN KEY (", Some(" FOREIGN KEY (")),
    ] {
        assert_eq!(unquoted(name).as_deref(), found, "{name}");
    }
    let longest = "`".repeat(64);
    let dump = format!("--\n-- Table structure for table `{}`\n--\n", "``".repeat(64));
    assert_eq!(names(&dump)[1], format!("table {longest}"));
}

#[test]
fn names_may_hold_line_feeds() {
    let lines = |name: &str| format!("\n--\n-- Table structure for table `{name}`\n--\n");
    for (name, found) in [
        ("a\n-- b", "a\nb"),
        ("\n-- ", "\n"),
        ("a``\n-- b\n-- -- ``c", "a`\nb\n-- `c"),
        ("a\n-- Table structure for table ``b", "a\nTable structure for table `b"),
    ] {
        let dump = format!("{}SELECT 1;\n{}", lines(name), lines("next"));
        let expected = ["header".to_owned(), format!("table {found}"), "table next".to_owned()];
        assert_eq!(names(&dump), expected, "{dump}");
    }
    // What never ends was no marker: what follows is found.
    for rest in ["SELECT 1;\n".to_owned(), "-- x\n".repeat(1_000)] {
        let dump = format!("-- Table structure for table `a\n{rest}{}", lines("b"));
        assert_eq!(names(&dump), ["header", "table b"]);
    }
}

#[test]
fn after_the_tables_there_are_no_tables() {
    let dump = format!("--\n-- Dumping events for database 'a'\n--\n{MARKER}");
    assert_eq!(names(&dump), ["header", "footer"]);
}

#[test]
fn long_lines_pass_in_pieces_and_little_is_kept() {
    let row = format!("INSERT INTO `a` VALUES ('{}');\n", "`V;\\'".repeat(1 << 20));
    let comment = format!("-- {}\n", "x".repeat(100_000));
    let dump = format!("{comment}{MARKER}{row}{row}\n-- Dump completed\n");
    let mut scanner = Scanner::new();
    let (mut longest, mut rows, mut len) = (0, 0, 0);
    for piece in dump.as_bytes().chunks(10_000) {
        let mut receive = |event: Event| {
            match event {
                Event::Text(text) | Event::Row(text) => {
                    longest = longest.max(text.len());
                    len += text.len();
                }
                Event::RowEnd => rows += 1,
                _ => {}
            }
            Ok(())
        };
        scanner.push(piece, &mut receive).unwrap();
        assert!(scanner.head.capacity() <= 2 * HEAD_LEN_MAX_BYTES);
        assert!(scanner.gap.len() <= 2 * GAP_LEN_MAX_BYTES);
    }
    assert!(scanner.finish(&mut |_| Ok(())).unwrap());
    assert_eq!((rows, len), (2, dump.len()));
    assert!(longest <= 10_000);
}

#[test]
fn many_blank_lines_are_not_kept() {
    let dump = format!("{}-- Dump completed\n", "\n--\n".repeat(1_000));
    assert_eq!(names(&dump), ["header"]);
    assert!(cut(&dump).1);
}

#[test]
fn an_error_of_the_receiver_ends_the_scan() {
    let mut scanner = Scanner::new();
    let mut fail = |_: Event| Err(io::Error::other("full"));
    assert_eq!(scanner.push(b"SELECT 1;\n", &mut fail).unwrap_err().to_string(), "full");
}
