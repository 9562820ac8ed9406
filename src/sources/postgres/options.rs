//! Options of `pg_dump` that a user may add.
//!
//! Others could change the format, write elsewhere or leave out half of the data. Programs accept
//! any unambiguous beginning of an option, so only those that are listed here are passed on.

/// Options that leave nothing out.
const HARMLESS: [&str; 8] = [
    "--disable-dollar-quoting",
    "--extra-float-digits",
    "--lock-wait-timeout",
    "--no-sync",
    "--no-toast-compression",
    "--quote-all-identifiers",
    "--role",
    "--serializable-deferrable",
];

/// Options that leave something out, which the manifest records.
const LEAVING_OUT: [&str; 16] = [
    "--enable-row-security",
    "--exclude-extension",
    "--exclude-schema",
    "--exclude-table",
    "--exclude-table-and-children",
    "--exclude-table-data",
    "--exclude-table-data-and-children",
    "--no-blobs",
    "--no-comments",
    "--no-large-objects",
    "--no-owner",
    "--no-privileges",
    "--no-publications",
    "--no-subscriptions",
    "--no-tablespaces",
    "--no-unlogged-table-data",
];

/// Returns the options that leave something out. Fails, with a message, for one that may not be
/// used.
pub(super) fn check(options: &[String]) -> Result<Vec<String>, String> {
    let mut left_out = Vec::new();
    for option in options {
        let name = option.split('=').next().unwrap_or(option);
        if LEAVING_OUT.contains(&name) {
            left_out.push(option.clone());
        } else if !HARMLESS.contains(&name) {
            return Err(format!(
                "`{option}` is not an option that may be added; these may, in the form `--name` or \
                 `--name=value`: {}, {}",
                HARMLESS.join(", "),
                LEAVING_OUT.join(", ")
            ));
        }
    }
    Ok(left_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_options_are_passed_on() {
        let of =
            |options: &[&str]| check(&options.iter().map(ToString::to_string).collect::<Vec<_>>());
        let given = ["--no-owner", "--role=x", "--exclude-table=a=b"];
        assert_eq!(of(&given).unwrap(), ["--no-owner", "--exclude-table=a=b"]);
        for option in [
            "--inserts",
            "--insert",
            "--column-inserts",
            "--rows-per-insert=3",
            "--format=c",
            "-Fc",
            "-s",
            "--schema-only",
            "--file=/etc/passwd",
            "--create",
            "--clean",
            "--encoding=SJIS",
            "--verbose",
            "--role x",
            "wiki",
            "",
        ] {
            assert!(of(&[option]).unwrap_err().contains(&format!("`{option}`")), "{option}");
        }
    }
}
