//! Options that a user may add to the programs that dump.

use super::settings::Settings;

/// Options, without their dashes, that would make the output something else than the whole dump of
/// one database, a row a statement; or that have keys of their own.
const REFUSED: &[&str] = &[
    "add-drop-database",
    "add-locks",
    "all-databases",
    "all-tablespaces",
    "comments",
    "compact",
    "compatible",
    "databases",
    "default-character-set",
    "defaults-extra-file",
    "defaults-file",
    "defaults-group-suffix",
    "delayed-insert",
    "delete-master-logs",
    "dir",
    "dump-history",
    "extended-insert",
    "fields-terminated-by",
    "force",
    "help",
    "insert-ignore",
    "lines-terminated-by",
    "log-error",
    "no-create-info",
    "no-data",
    "no-defaults",
    "opt",
    "parallel",
    "password",
    "print-defaults",
    "quick",
    "quote-names",
    "replace",
    "result-file",
    "system",
    "tab",
    "tables",
    "version",
    "where",
    "xml",
];

/// The like of `mariadb-backup`: what would make its stream another one than that of the whole
/// server as it is, or change the server.
const REFUSED_OF_COPY: &[&str] = &[
    "backup",
    "compress",
    "copy-back",
    "decompress",
    "defaults-extra-file",
    "defaults-file",
    "defaults-group-suffix",
    "encrypt",
    "export",
    "extra-lsndir",
    "help",
    "history",
    "incremental-basedir",
    "incremental-dir",
    "incremental-force-scan",
    "incremental-history-name",
    "incremental-history-uuid",
    "incremental-lsn",
    "move-back",
    "no-defaults",
    "no-lock",
    "password",
    "prepare",
    "print-defaults",
    "print-param",
    "remove-original",
    "rsync",
    "stream",
    "target-dir",
    "version",
];

/// Returns why options of the user cannot be used, if they cannot.
pub(super) fn refused_option(settings: &Settings) -> Option<String> {
    let list = if settings.copy.is_some() { REFUSED_OF_COPY } else { REFUSED };
    settings.options.iter().find_map(|option| {
        let Some(name) = option.strip_prefix("--").filter(|name| !name.is_empty()) else {
            return Some(format!("`{option}` in `options` is not of the form `--NAME=VALUE`"));
        };
        let name = name.split('=').next().unwrap_or(name).replace('_', "-");
        let name = ["loose-", "skip-", "disable-", "enable-"]
            .iter()
            .fold(name.as_str(), |name, prefix| name.strip_prefix(prefix).unwrap_or(name));
        // Clients take the beginning of a name for the name.
        let is_refused = list.iter().any(|refused| refused.starts_with(name));
        is_refused.then(|| format!("`{option}` in `options` would change what the dump is"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::mysql::settings::{CopySettings, Product};

    #[test]
    fn options_that_change_what_the_dump_is_are_refused() {
        let mut settings = Settings::new("app.wiki.mariadb", "/@app/mariadb", Product::MariaDb);
        let mut refused = |option: &str, is_copied: bool| {
            let scratch = "/var/lib/x".to_owned();
            settings.copy = is_copied.then_some(CopySettings { scratch });
            settings.options = vec![option.to_owned()];
            refused_option(&settings)
        };
        for option in ["--ignore-table=a.b", "--lock-tables", "--hex-blob", "--network-timeout"] {
            assert_eq!(refused(option, false), None, "{option}");
        }
        for option in [
            "-A",
            "wiki",
            "--",
            "",
            "--all-databases",
            "--all-d",
            "--result-file=/x",
            "--result_file=/x",
            "--skip-comments",
            "--loose-skip-opt",
            "--password=x",
            "--xml",
        ] {
            let why = refused(option, false);
            assert!(why.is_some_and(|why| why.contains("`options`")), "{option}");
        }
        for option in ["--parallel=4", "--databases=shop", "--open-files-limit=9", "--throttle=9"] {
            assert_eq!(refused(option, true), None, "{option}");
        }
        for option in ["--prepare", "--strea=tar", "--incremental-lsn=7", "--password=x", "shop"] {
            assert!(refused(option, true).is_some(), "{option}");
        }
    }
}
