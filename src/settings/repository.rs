//! Table `[repository.NAME]`: location, secret, and connection to the store.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use super::error::SettingsError;
use super::section::Section;
use super::upkeep::{UpkeepSettings, read_upkeep};
use super::values::{
    Fingerprint, parse_connections, parse_duration, parse_fingerprint, parse_rate, parse_size,
    parse_timeout,
};
use crate::store::Class;

/// `[repository.NAME]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepositorySettings {
    /// Where it is; a path is absolute.
    pub url: String,
    /// Its password or key, if configured.
    pub secret: Option<SecretSettings>,
    /// The start of its fingerprint: another repository at this place is refused.
    pub fingerprint: Option<Fingerprint>,
    /// Directory of its local copies, if not the user's cache directory.
    pub cache_dir: Option<PathBuf>,
    /// Limit of its copies of trees in bytes, if not the default.
    pub cache_size: Option<u64>,
    /// When it is pruned and checked.
    pub upkeep: UpkeepSettings,
    /// Connection settings, for all kinds of stores.
    pub connection: ConnectionSettings,
    /// Settings of a bucket.
    pub s3: S3Settings,
    /// Settings of an SFTP server.
    pub sftp: SftpSettings,
}

/// The configured secret of a repository or store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSettings {
    /// A file that holds the password.
    PasswordFile(PathBuf),
    /// A command that prints the password.
    PasswordCommand(String),
    /// A key file or recovery kit.
    KeyFile(PathBuf),
}

/// Speed limits, connections and time-outs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionSettings {
    /// Upload limit in bytes per second.
    pub limit_upload: Option<u64>,
    /// Download limit in bytes per second.
    pub limit_download: Option<u64>,
    /// Maximum number of concurrent transfers.
    pub connections: Option<usize>,
    /// Time without progress after which a request fails.
    pub timeout: Option<Duration>,
    /// How long a failed request is repeated.
    pub retry: Option<Duration>,
}

/// Settings of a bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct S3Settings {
    /// The server.
    pub endpoint: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// Whether the bucket's name is in the path of URLs.
    pub path_style: Option<bool>,
    /// Whether connections without encryption are allowed.
    pub allow_http: bool,
    /// The id of the access key.
    pub key_id: Option<String>,
    /// Source of the access key's secret; set if and only if `key_id` is.
    pub secret: Option<SecretSettings>,
    /// The profile of the AWS configuration.
    pub profile: Option<String>,
    /// The server's storage class for objects of a class.
    pub storage_classes: BTreeMap<Class, String>,
    /// Object lock of new objects.
    pub lock: Option<LockSettings>,
    /// File of accepted certificates, or of authorities that may have signed the server's.
    pub ca_file: Option<PathBuf>,
    /// SHA-256 of the only accepted certificate.
    pub certificate: Option<[u8; 32]>,
}

/// `lock = { mode = "compliance", days = 30 }`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockSettings {
    /// `compliance`, which nobody can shorten, or `governance`.
    pub is_compliance: bool,
    /// Days, from 1.
    pub days: u32,
}

/// Settings of an SFTP server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SftpSettings {
    /// The SSH configuration to read instead of `~/.ssh/config`.
    pub ssh_config: Option<PathBuf>,
    /// Key files to try, in order; if empty, those of the SSH configuration, else the default ones.
    pub identity_files: Vec<PathBuf>,
    /// Files with the keys of known machines; if empty, the default ones.
    pub known_hosts: Vec<PathBuf>,
    /// Source of the account's password.
    pub password: Option<SecretSettings>,
}

/// Keys for buckets only, and keys for SFTP servers only.
const S3_KEYS: [&str; 12] = [
    "endpoint",
    "region",
    "path-style",
    "allow-http",
    "key-id",
    "secret-file",
    "secret-command",
    "profile",
    "storage-class",
    "lock",
    "ca-file",
    "certificate",
];
const SFTP_KEYS: [&str; 5] =
    ["ssh-config", "identity-file", "known-hosts", "ssh-password-file", "ssh-password-command"];

pub(super) fn read_repository(
    mut section: Section<'_>,
) -> Result<RepositorySettings, SettingsError> {
    let url = section.string("url")?;
    let password_file = section.path("password-file")?.map(SecretSettings::PasswordFile);
    let password_command = section.string("password-command")?.map(SecretSettings::PasswordCommand);
    let key_file = section.path("key-file")?.map(SecretSettings::KeyFile);
    let mut secrets: Vec<SecretSettings> =
        [password_file, password_command, key_file].into_iter().flatten().collect();
    if secrets.len() > 1 {
        return Err(section
            .refuse_table("has more than one of password-file, password-command and key-file"));
    }
    let fingerprint = section.parsed("fingerprint", parse_fingerprint)?;
    let cache_dir = section.path("cache-dir")?;
    let cache_size = section.parsed("cache-size", parse_size)?;
    let upkeep = read_upkeep(&mut section)?;
    let connection = ConnectionSettings {
        limit_upload: section.parsed("limit-upload", parse_rate)?,
        limit_download: section.parsed("limit-download", parse_rate)?,
        connections: section.parsed("connections", parse_connections)?,
        timeout: section.parsed("timeout", parse_timeout)?,
        retry: section.parsed("retry", parse_duration)?,
    };
    let s3 = read_s3(&mut section)?;
    let sftp = read_sftp(&mut section)?;
    let url = url.ok_or_else(|| section.refuse_table("has no `url`"))?;
    refuse_misplaced(&mut section, &url)?;
    let url = section.whole_location(url);
    section.finish()?;
    Ok(RepositorySettings {
        url,
        secret: secrets.pop(),
        fingerprint,
        cache_dir,
        cache_size,
        upkeep,
        connection,
        s3,
        sftp,
    })
}

/// Refuses keys that have no effect for this URL: the user expects one.
fn refuse_misplaced(section: &mut Section<'_>, url: &str) -> Result<(), SettingsError> {
    let kinds: [(&str, &str, &[&'static str]); 2] =
        [("s3://", "a bucket", &S3_KEYS), ("sftp://", "another machine", &SFTP_KEYS)];
    for (scheme, what, keys) in kinds.into_iter().filter(|(scheme, _, _)| !url.starts_with(scheme))
    {
        let misplaced = keys.iter().copied().find(|key| section.has(key));
        if let Some((key, value)) = misplaced.and_then(|key| Some((key, section.value(key)?))) {
            return Err(section.refuse(
                key,
                value,
                format!("is about {what}, and `url` does not begin with {scheme}"),
            ));
        }
    }
    Ok(())
}

fn read_s3(section: &mut Section<'_>) -> Result<S3Settings, SettingsError> {
    let settings = S3Settings {
        endpoint: section.parsed("endpoint", parse_endpoint)?,
        region: section.string("region")?,
        path_style: section.boolean("path-style")?,
        allow_http: section.boolean("allow-http")?.unwrap_or(false),
        key_id: section.string("key-id")?,
        secret: read_password(section, ["secret-file", "secret-command"])?,
        profile: section.string("profile")?,
        storage_classes: read_storage_classes(section)?,
        lock: read_lock(section)?,
        ca_file: section.path("ca-file")?,
        certificate: section.parsed("certificate", parse_certificate)?,
    };
    if settings.ca_file.is_some() && settings.certificate.is_some() {
        return Err(section.refuse_table("has both `ca-file` and `certificate`"));
    }
    if settings.key_id.is_some() != settings.secret.is_some() {
        return Err(
            section.refuse_table("needs both: `key-id`, and `secret-file` or `secret-command`")
        );
    }
    if settings.key_id.is_some() && settings.profile.is_some() {
        return Err(section.refuse_table("has both `key-id` and `profile`"));
    }
    Ok(settings)
}

fn read_sftp(section: &mut Section<'_>) -> Result<SftpSettings, SettingsError> {
    Ok(SftpSettings {
        ssh_config: section.path("ssh-config")?,
        identity_files: section.paths("identity-file")?,
        known_hosts: section.paths("known-hosts")?,
        password: read_password(section, ["ssh-password-file", "ssh-password-command"])?,
    })
}

fn read_password(
    section: &mut Section<'_>,
    [file, command]: [&'static str; 2],
) -> Result<Option<SecretSettings>, SettingsError> {
    let from_file = section.path(file)?.map(SecretSettings::PasswordFile);
    match (from_file, section.string(command)?.map(SecretSettings::PasswordCommand)) {
        (Some(_), Some(_)) => {
            Err(section.refuse_table(format!("has both `{file}` and `{command}`")))
        }
        (one, other) => Ok(one.or(other)),
    }
}

/// Reads the SHA-256 of a certificate, with or without colons, as tools print it.
fn parse_certificate(text: &str) -> Result<[u8; 32], String> {
    let digits: String = text.trim_start_matches("sha256:").chars().filter(|c| *c != ':').collect();
    let wrong = || {
        format!(
            "`{text}` is not `sha256:` and 64 hex digits, as `openssl x509 -fingerprint -sha256` \
                prints them"
        )
    };
    if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    let mut fingerprint = [0; 32];
    for (at, byte) in fingerprint.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).map_err(|_| wrong())?;
    }
    Ok(fingerprint)
}

fn parse_endpoint(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("https://").or(text.strip_prefix("http://"));
    match host {
        Some(host) if !host.is_empty() && !host.contains('@') => Ok(text.to_owned()),
        _ => Err(format!("`{text}` is not an address such as https://fsn1.your-objectstorage.com")),
    }
}

/// Reads a storage class: one for the packs of file content, or a table of them by class.
fn read_storage_classes(
    section: &mut Section<'_>,
) -> Result<BTreeMap<Class, String>, SettingsError> {
    let key = "storage-class";
    let Some(value) = section.value(key) else {
        return Ok(BTreeMap::new());
    };
    if !matches!(value.get_ref(), DeValue::Table(_)) {
        return Ok(section.string(key)?.map(|name| (Class::Data, name)).into_iter().collect());
    }
    let mut table = section.section(key)?.expect("the key is there");
    let mut classes = BTreeMap::new();
    for class in Class::ALL {
        let name = table.parsed(class.dir_name(), |name| match name {
            "GLACIER" | "DEEP_ARCHIVE" if class != Class::Data => {
                Err(format!("`{name}` is possible for `data` only: every command reads the others"))
            }
            name => Ok(name.to_owned()),
        })?;
        classes.extend(name.map(|name| (class, name)));
    }
    table.finish()?;
    Ok(classes)
}

fn read_lock(section: &mut Section<'_>) -> Result<Option<LockSettings>, SettingsError> {
    let Some(mut table) = section.section("lock")? else {
        return Ok(None);
    };
    let mode = table.parsed("mode", |text| match text {
        "compliance" => Ok(true),
        "governance" => Ok(false),
        _ => Err(format!("`{text}` is not one of compliance or governance")),
    })?;
    let days = table.parsed("days", |text| match text.parse::<u32>() {
        Ok(days @ 1..=36_500) => Ok(days),
        _ => Err(format!("`{text}` is not a number of days from 1 to 36500")),
    })?;
    let (Some(is_compliance), Some(days)) = (mode, days) else {
        return Err(table.refuse_table("needs `mode` and `days`"));
    };
    table.finish()?;
    Ok(Some(LockSettings { is_compliance, days }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;
    use crate::settings::environment::Environment;

    fn read(text: &str) -> Result<RepositorySettings, String> {
        let text = format!("[repository.r]\n{text}\n");
        match Settings::parse(
            &text,
            "/etc/drumlin/drumlin.toml".into(),
            &Environment::of([("HOME", "/root")]),
        ) {
            Ok(mut settings) => Ok(settings.repositories.remove("r").expect("it is there")),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn a_bucket_with_everything() {
        let read = read(
            "url = \"s3://bucket/x\"\nendpoint = \"https://s3.example.com\"\nregion = \
                \"eu-1\"\npath-style = true\n\
             allow-http = true\nkey-id = \"AKIA\"\nsecret-file = \"s3.secret\"\nconnections = \
             16\ntimeout = \"90s\"\nretry = \"10m\"\n\
             ca-file = \"ca.pem\"\nstorage-class = { data = \"GLACIER_IR\", meta = \
             \"STANDARD_IA\" }\nlock = { mode = \"compliance\", days = 30 }\n\
             limit-upload = \"2MiB\"\nlimit-download = \"500k/s\"",
        )
        .unwrap();
        assert_eq!(
            read.s3,
            S3Settings {
                endpoint: Some("https://s3.example.com".into()),
                region: Some("eu-1".into()),
                path_style: Some(true),
                allow_http: true,
                key_id: Some("AKIA".into()),
                secret: Some(SecretSettings::PasswordFile("/etc/drumlin/s3.secret".into())),
                profile: None,
                storage_classes: [
                    (Class::Data, "GLACIER_IR".into()),
                    (Class::Meta, "STANDARD_IA".into())
                ]
                .into(),
                lock: Some(LockSettings { is_compliance: true, days: 30 }),
                ca_file: Some("/etc/drumlin/ca.pem".into()),
                certificate: None,
            }
        );
        assert_eq!(
            read.connection,
            ConnectionSettings {
                limit_upload: Some(2 << 20),
                limit_download: Some(500 << 10),
                connections: Some(16),
                timeout: Some(Duration::from_secs(90)),
                retry: Some(Duration::from_secs(600)),
            }
        );
    }

    #[test]
    fn one_storage_class_is_that_of_file_content() {
        let read =
            read("url = \"s3://bucket\"\nstorage-class = \"DEEP_ARCHIVE\"\nprofile = \"backup\"")
                .unwrap();
        assert_eq!(read.s3.storage_classes, [(Class::Data, "DEEP_ARCHIVE".into())].into());
        assert_eq!(read.s3.profile.as_deref(), Some("backup"));
    }

    #[test]
    fn a_certificate_is_pinned_by_what_tools_print() {
        let plain = "0123456789abcdef".repeat(4);
        let pairs: Vec<String> = plain
            .as_bytes()
            .chunks(2)
            .map(|pair| String::from_utf8_lossy(pair).to_uppercase())
            .collect();
        for text in [plain.clone(), format!("sha256:{plain}"), pairs.join(":")] {
            let read = read(&format!("url = \"s3://bucket\"\ncertificate = \"{text}\"")).unwrap();
            assert_eq!(
                read.s3.certificate.map(|pin| (pin[0], pin[31])),
                Some((0x01, 0xef)),
                "{text}"
            );
        }
    }

    #[test]
    fn another_machine_with_everything() {
        let read = read(
            "url = \"sftp://u1@box/./x\"\nidentity-file = [\"~/.ssh/box\", \
                \"box.key\"]\nknown-hosts = \"known\"\nssh-config = \
                \"ssh.conf\"\nssh-password-command = \"pass box\"",
        )
        .unwrap();
        assert_eq!(
            read.sftp,
            SftpSettings {
                ssh_config: Some("/etc/drumlin/ssh.conf".into()),
                identity_files: vec!["/root/.ssh/box".into(), "/etc/drumlin/box.key".into()],
                known_hosts: vec!["/etc/drumlin/known".into()],
                password: Some(SecretSettings::PasswordCommand("pass box".into())),
            }
        );
    }

    #[test]
    fn what_cannot_act_or_contradicts_itself_is_refused() {
        let s3 = "url = \"s3://bucket\"";
        let sftp = "url = \"sftp://box/x\"";
        let local = "url = \"/mnt/usb\"";
        for (url, line, part) in [
            (local, "endpoint = \"https://x\"", "is about a bucket"),
            (sftp, "storage-class = \"GLACIER\"", "is about a bucket"),
            (s3, "identity-file = \"x\"", "is about another machine"),
            (local, "known-hosts = \"x\"", "is about another machine"),
            (s3, "endpoint = \"s3.example.com\"", "is not an address"),
            (s3, "endpoint = \"https://user:pw@x\"", "is not an address"),
            (s3, "key-id = \"AKIA\"", "needs both"),
            (s3, "secret-command = \"pass\"", "needs both"),
            (s3, "secret-command = \"pass\"\nsecret-file = \"x\"\nkey-id = \"A\"", "has both"),
            (s3, "secret-command = \"pass\"\nprofile = \"x\"\nkey-id = \"A\"", "has both"),
            (sftp, "ssh-password-command = \"pass\"\nssh-password-file = \"x\"", "has both"),
            (s3, "storage-class = { dta = \"x\" }", "unknown key `dta`"),
            (s3, "storage-class = { meta = \"GLACIER\" }", "is possible for `data` only"),
            (s3, "lock = { mode = \"strict\", days = 3 }", "is not one of compliance"),
            (s3, "lock = { mode = \"compliance\", days = 0 }", "is not a number of days"),
            (s3, "lock = { mode = \"compliance\" }", "needs `mode` and `days`"),
            (local, "ca-file = \"x\"", "is about a bucket"),
            (s3, "certificate = \"sha256:12\"", "is not `sha256:`"),
            (s3, "certificate = \"é\"", "is not `sha256:`"),
            (s3, &format!("ca-file = \"x\"\ncertificate = \"{}\"", "ab".repeat(32)), "has both"),
            (s3, "connections = 0", "from 1 to 256"),
            (s3, "timeout = \"0s\"", "at least a second"),
            (s3, "retry = \"soon\"", "is not a time such as"),
            (s3, "limit-upload = 0", "more than 0"),
        ] {
            let message = read(&format!("{url}\n{line}")).expect_err(line);
            assert!(message.contains(part), "{line}: {message}");
        }
    }
}
