//! Settings of a MariaDB or MySQL source.

use zeroize::Zeroizing;

/// Settings of one source, as plain values.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name of its section in the configuration, for messages: `app.wiki.mariadb`.
    pub section: String,
    /// Folder of its dumps in the snapshot: `/@app/mariadb`.
    pub place: String,
    /// Product that the configuration names. It decides which programs are looked for first;
    /// either works with both.
    pub product: Product,
    /// Databases to dump.
    pub databases: Databases,
    /// Names of databases to leave out.
    pub exclude: Vec<String>,
    /// How to reach the server.
    pub access: Access,
    /// Path of the program that dumps; `None` to look for it.
    pub program: Option<String>,
    /// More options for that program.
    pub options: Vec<String>,
    /// Whether users and their rights are dumped; `None`: if all databases are.
    pub has_users: Option<bool>,
    /// Whether procedures and functions are dumped.
    pub has_routines: bool,
    /// Whether events are dumped.
    pub has_events: bool,
    /// Patterns of tables whose rows are left out: `cache_*`, or `wiki.cache_*` in one database.
    pub data_not: Vec<String>,
    /// Whether all tables are locked during a dump, instead of reading one state of those that
    /// know transactions.
    pub is_locked: bool,
    /// Whether `mariadb-backup` copies the whole server, in place of dumps of its databases.
    pub copy: Option<CopySettings>,
}

/// What copying a whole server needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopySettings {
    /// Path of a directory of this host that need not be there: the program wants to know one,
    /// though it writes to its output alone.
    pub scratch: String,
}

impl Settings {
    /// Returns the settings that hold if nothing is configured.
    pub fn new(section: &str, place: &str, product: Product) -> Self {
        Self {
            section: section.to_owned(),
            place: place.to_owned(),
            product,
            databases: Databases::All,
            exclude: Vec::new(),
            access: Access::default(),
            program: None,
            options: Vec::new(),
            has_users: None,
            has_routines: true,
            has_events: true,
            data_not: Vec::new(),
            is_locked: false,
            copy: None,
        }
    }

    pub(super) fn dumps_users(&self) -> bool {
        self.has_users.unwrap_or(self.databases == Databases::All)
    }
}

/// MariaDB or MySQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// MariaDB.
    MariaDb,
    /// MySQL, and what is derived from it.
    MySql,
}

impl Product {
    /// Returns its name in the configuration and in manifests.
    pub fn name(self) -> &'static str {
        match self {
            Self::MariaDb => "mariadb",
            Self::MySql => "mysql",
        }
    }

    /// Returns its name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::MariaDb => "MariaDB",
            Self::MySql => "MySQL",
        }
    }
}

/// Databases to dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Databases {
    /// All but the server's own.
    All,
    /// Those of these names.
    Named(Vec<String>),
}

/// How to reach a server. Without anything, the client's own files say it.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Host name or address. With neither port nor socket, `localhost` is the default socket.
    pub host: Option<String>,
    /// TCP port.
    pub port: Option<u16>,
    /// Path of a socket; never together with `host`.
    pub socket: Option<String>,
    /// User.
    pub user: Option<String>,
    /// Password. It goes before that of any file of the client's.
    pub password: Option<Zeroizing<String>>,
    /// Path of an option file, in place of the client's own ones.
    pub defaults_file: Option<String>,
    /// Encryption of the connection.
    pub tls: Tls,
}

/// Encryption of the connection to the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// As the client does it.
    #[default]
    Default,
    /// Never.
    Off,
    /// Always, without looking at the server's certificate.
    On,
    /// Always, and the server's certificate must be valid for its name.
    Verify,
}
