//! The backup's description of itself: small text files of `key = value` lines.

use super::error::MbstreamError;

/// Most bytes of a file of metadata; one holds the command line, so that some kilobytes are usual.
pub(super) const METADATA_LEN_MAX_BYTES: usize = 1 << 20;

/// Names of the file with the range of the log: MariaDB 11.1 renamed it.
pub(super) const CHECKPOINTS: [&str; 2] = ["xtrabackup_checkpoints", "mariadb_backup_checkpoints"];
/// Names of the file with versions and options.
pub(super) const INFO: [&str; 2] = ["xtrabackup_info", "mariadb_backup_info"];
/// Files without which a backup cannot be prepared, whatever the server holds.
pub(super) const NEEDED: [&str; 2] = ["backup-my.cnf", "ib_logfile0"];

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupInfo {
    /// Version of the program that made it.
    pub tool_version: String,
    /// Version of the server.
    pub server_version: String,
    /// Position of the log that the backup can be brought to.
    pub last_lsn: u64,
    /// Options left databases or tables out.
    pub is_partial: bool,
}

/// Returns whether the content of a file is metadata.
pub(super) fn is_metadata(path: &[u8]) -> bool {
    CHECKPOINTS.iter().chain(&INFO).any(|name| name.as_bytes() == path)
}

/// Reads both files; fails unless they describe a whole, plain backup of MariaDB's own program.
pub(super) fn read(checkpoints: &[u8], info: &[u8]) -> Result<BackupInfo, MbstreamError> {
    let [checkpoints, info] = [checkpoints, info].map(String::from_utf8_lossy);
    // Not `tool_name`: that is the name of the file that was started.
    let tool_version = value(&info, "tool_version")?;
    if !tool_version.contains("MariaDB") {
        return Err(MbstreamError::unsuitable(
            format!("version {tool_version} of another program made it"),
            "name the `mariadb-backup` of the server's version as `program`",
        ));
    }
    let kind = value(&checkpoints, "backup_type")?;
    if kind != "full-backuped" || value(&info, "incremental")? != "N" {
        return Err(MbstreamError::unsuitable(
            format!("its type is `{kind}`"),
            "take `--incremental-…` out of `options`: what did not change is not stored again",
        ));
    }
    let [to_lsn, last_lsn] = [lsn(&checkpoints, "to_lsn")?, lsn(&checkpoints, "last_lsn")?];
    if last_lsn < to_lsn {
        return Err(MbstreamError::incomplete(format!(
            "its log ends at {last_lsn}, before {to_lsn}, where its data ends"
        )));
    }
    Ok(BackupInfo {
        tool_version: tool_version.to_owned(),
        server_version: value(&info, "server_version")?.to_owned(),
        last_lsn,
        is_partial: value(&info, "partial")? != "N",
    })
}

/// Returns the value of a key.
fn value<'a>(text: &'a str, key: &str) -> Result<&'a str, MbstreamError> {
    text.lines()
        .filter_map(|line| line.split_once('='))
        .find(|(name, _)| name.trim() == key)
        .map(|(_, value)| value.trim())
        .ok_or_else(|| MbstreamError::incomplete(format!("its metadata lacks `{key}`")))
}

/// Returns a position of the log.
fn lsn(text: &str, key: &str) -> Result<u64, MbstreamError> {
    let value = value(text, key)?;
    value.parse().map_err(|_| {
        MbstreamError::incomplete(format!("`{value}` is not a position of the log ({key})"))
    })
}
