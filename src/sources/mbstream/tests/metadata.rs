//! Goal: a backup is whole only if its own files say so. Method: each line of them changed alone.

use super::{
    CHECKPOINTS_TEXT, INFO_TEXT, METADATA_LEN_MAX_BYTES, backup_with, content_with, end, file,
    head, holds, needed_but, refuses, rename, unpack_pieces,
};

#[test]
fn a_backup_says_that_it_is_whole_and_plain() {
    holds(&[], &[]);
    refuses(b"", "nothing came");
    for name in ["ib_logfile0", "xtrabackup_checkpoints", "xtrabackup_info", "backup-my.cnf"] {
        refuses(&needed_but(&[name]), &format!("it has no `{name}`"));
    }
    for (line, other, words) in [
        ("backup_type = full-backuped", "backup_type = incremental", "take `--incremental-"),
        ("backup_type = full-backuped", "backup_type = log-applied", "its type is `log-applied`"),
        ("backup_type = full-backuped", "backup_type = ", "its type is ``"),
        ("to_lsn = 44003", "", "lacks `to_lsn`"),
        ("to_lsn = 44003", "to_lsn = -1", "`-1` is not a position"),
        ("last_lsn = 44019", "last_lsn = 44002", "ends at 44002, before 44003"),
    ] {
        let text = CHECKPOINTS_TEXT.replace(line, other);
        refuses(&backup_with("xtrabackup_checkpoints", &text), words);
    }
    for (line, other, words) in [
        ("incremental = N", "incremental = Y", "take `--incremental-"),
        ("tool_version = 10.11.14-MariaDB", "tool_version = 8.0.35-35", "8.0.35-35 of another"),
        ("server_version", "x", "lacks `server_version`"),
        ("tool_version", "x", "lacks `tool_version`"),
        ("partial", "x", "lacks `partial`"),
        ("incremental", "x", "lacks `incremental`"),
    ] {
        let text = INFO_TEXT.replace(line, other);
        refuses(&backup_with("xtrabackup_info", &text), words);
    }
    let partial = INFO_TEXT.replace("partial = N", "partial = Y");
    let (unpacked, _) = unpack_pieces([&backup_with("xtrabackup_info", &partial)[..]]).unwrap();
    assert!(unpacked.info.is_partial);
}

#[test]
fn metadata_have_new_names_since_11_1() {
    let renamed = [
        needed_but(&["xtrabackup_checkpoints", "xtrabackup_info"]),
        file("mariadb_backup_info", INFO_TEXT.as_bytes()),
        file("mariadb_backup_checkpoints", CHECKPOINTS_TEXT.as_bytes()),
    ];
    assert_eq!(unpack_pieces([&renamed.concat()[..]]).unwrap().0.info.last_lsn, 44_019);
}

/// The last content of a name counts, and a file that got the name by another way has none.
#[test]
fn metadata_are_those_of_the_last_file() {
    let later = CHECKPOINTS_TEXT.replace("44019", "44444");
    let again = [
        content_with(2, "xtrabackup_checkpoints", 0, later.as_bytes()),
        end("xtrabackup_checkpoints"),
    ];
    let stream = [needed_but(&[]), again.concat()].concat();
    assert_eq!(unpack_pieces([&stream[..]]).unwrap().0.info.last_lsn, 44_444);
    let other = [file("x", b"x"), rename("x", "xtrabackup_info")].concat();
    refuses(&[needed_but(&["xtrabackup_info"]), other].concat(), "it has no `xtrabackup_info`");
    let removed = [needed_but(&[]), head(b'D', 0, "xtrabackup_info")].concat();
    refuses(&removed, "it has no `xtrabackup_info`");
    let long = format!("{INFO_TEXT}{}", "x".repeat(METADATA_LEN_MAX_BYTES));
    refuses(&backup_with("xtrabackup_info", &long), "is larger than any of its kind");
}
