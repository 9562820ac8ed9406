//! A flat store of small immutable objects, and what every implementation of it must hold.
//!
//! It moves opaque bytes: nothing here knows what they mean. Spec: `format-spec/12-store.md`.

pub mod beneath;
pub mod layers;
#[cfg(any(feature = "s3", feature = "sftp"))]
pub mod listing;
pub mod local;
pub mod memory;
#[cfg(feature = "s3")]
pub mod s3;
#[cfg(feature = "sftp")]
pub mod sftp;

use std::fmt;
use std::ops::Range;

/// Longest object in bytes.
pub const OBJECT_LEN_MAX_BYTES: u64 = 256 << 20;

/// The classes of objects; each is a folder of the repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// `config/<n>`: numbered configurations.
    Config,
    /// `keys/<id>`: key slots.
    Keys,
    /// `data/<2 hex>/<64 hex>`: packs of file content, the only class that may be cold.
    Data,
    /// `meta/<2 hex>/<64 hex>`: packs of trees.
    Meta,
    /// `index/<level>/<64 hex>`: index runs.
    Index,
    /// `intents/<sid>`: what running backups rely on.
    Intents,
    /// `snapshots/<sid>`: commit slots and tombstones.
    Snapshots,
    /// `gc/<n>.*`: the collector's records.
    Collector,
    /// `probe/<id>.<n>`: leftovers of probing the store.
    Probe,
}

impl Class {
    /// All classes.
    pub const ALL: [Self; 9] = [
        Self::Config,
        Self::Keys,
        Self::Data,
        Self::Meta,
        Self::Index,
        Self::Intents,
        Self::Snapshots,
        Self::Collector,
        Self::Probe,
    ];

    /// Returns the folder's name.
    pub fn dir_name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Keys => "keys",
            Self::Data => "data",
            Self::Meta => "meta",
            Self::Index => "index",
            Self::Intents => "intents",
            Self::Snapshots => "snapshots",
            Self::Collector => "gc",
            Self::Probe => "probe",
        }
    }
}

/// The full name of an object: its class, and its path below the class's folder.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The class.
    pub class: Class,
    /// Path below the class's folder, with `/` between parts: lower-case letters, digits, `.` and
    /// `-` only.
    pub name: String,
}

impl Key {
    /// Makes a key from its parts.
    pub fn new(class: Class, name: impl Into<String>) -> Self {
        Self { class, name: name.into() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.class.dir_name(), self.name)
    }
}

/// Returns whether `part` is a valid component of an object's name.
///
/// Nothing that starts with a dot can: no `..`, and no scratch file of a store.
pub fn is_valid_name(part: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-');
    part.bytes().all(allowed) && !part.is_empty() && !part.starts_with('.') && part.len() <= 200
}

/// What can be asked of a store; `read` and `read_into` are one action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// [`Store::list`].
    List,
    /// [`Store::stat`].
    Stat,
    /// [`Store::read`] and [`Store::read_into`].
    Read,
    /// [`Store::create`].
    Create,
    /// [`Store::remove`].
    Remove,
}

impl Action {
    /// All actions.
    pub const ALL: [Self; 5] = [Self::List, Self::Stat, Self::Read, Self::Create, Self::Remove];

    /// Returns its name in errors.
    pub fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Stat => "stat",
            Self::Read => "read",
            Self::Create => "create",
            Self::Remove => "remove",
        }
    }
}

/// One object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its path below the class's folder.
    pub name: String,
    /// Its length in bytes.
    pub len_bytes: u64,
    /// When it was made, by the store's own clock, in seconds since 1970; `None` if the store does
    /// not say.
    ///
    /// Only to be compared with other times of the same store, and only to decide how long
    /// something waits.
    pub modified_s: Option<i64>,
}

impl Listed {
    /// Describes an object as a store lists it. One that is longer than any may be is a byte longer
    /// than that: stores can list any length, and sums of lengths must stay sums.
    pub fn new(name: String, len_bytes: u64, modified_s: Option<i64>) -> Self {
        Self { name, len_bytes: len_bytes.min(OBJECT_LEN_MAX_BYTES + 1), modified_s }
    }
}

/// The kinds of failure that a caller tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// There is no such object (or no such repository folder).
    NotFound,
    /// An object of that name exists; it was not touched.
    Exists,
    /// The credential or the file system forbids it.
    NotPermitted,
    /// There is no room left.
    Full,
    /// The object is shorter than the range that was asked for.
    Short,
    /// This one object cannot be read, by its place or by its medium: a bad sector, a folder in its
    /// place. Others may be fine.
    Unreadable,
    /// The store cannot be reached, or did not take the request: nothing has happened, and later it
    /// may work.
    Unavailable,
    /// The request was sent and its answer never came: it may have been carried out, now or later.
    Unanswered,
    /// Anything else; the cause says what.
    Other,
}

/// A store call that failed. The object is as it was before, unless a `create` says
/// [`ErrorKind::Unanswered`] or [`ErrorKind::Other`]: then it may exist.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {location}/{object}")]
pub struct StoreError {
    /// What kind of failure it is.
    pub kind: ErrorKind,
    /// `list`, `stat`, `read`, `create` or `remove`.
    pub action: &'static str,
    /// Where the store is.
    pub location: String,
    /// The object or class it was about.
    pub object: String,
    /// What the system said.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// What is known of a store without asking it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreProperties {
    /// How many calls at once serve it best: the more the longer an answer takes. More do no harm,
    /// they wait.
    pub parallelism: usize,
    /// Looking costs no request: the store is a folder of this machine.
    pub is_local: bool,
    /// It can run out of room, so that some is kept back.
    pub can_run_full: bool,
}

impl Default for StoreProperties {
    fn default() -> Self {
        Self { parallelism: 1, is_local: false, can_run_full: false }
    }
}

impl StoreProperties {
    /// Returns whether answers take so long that several calls should wait at once.
    pub fn is_remote(&self) -> bool {
        self.parallelism > 1
    }
}

/// A flat store of small immutable objects.
///
/// Required of every implementation (checked by `tests/it/store/conformance.rs`):
/// * `create` is atomic and durable when it returns `Ok`; it never replaces an object, and of
///   several that create one name at once exactly one succeeds. Servers that cannot hold the second
///   half are found by a probe (chapter 12, section 4).
/// * A `create` whose answer was lost is not sent again in [`Class::Snapshots`]: it fails with
///   [`ErrorKind::Unanswered`].
/// * An object is readable and listed as soon as its `create` has returned; it is neither before it
///   is whole.
/// * `remove` of a missing object succeeds; once it has returned the object is neither readable nor
///   listed.
/// * Nothing is asked of clocks. Names are never reused by the caller.
///
/// Objects are at most 256 MiB and are held in memory, so there is no streaming, renaming,
/// appending or overwriting.
pub trait Store: Send + Sync {
    /// Lists the objects of a class whose names start with `prefix` (empty for all), in no
    /// particular order.
    fn list(&self, class: Class, prefix: &str) -> Result<Vec<Listed>, StoreError>;

    /// Returns an object's length in bytes.
    fn stat(&self, key: &Key) -> Result<u64, StoreError>;

    /// Appends the given bytes of an object to `out`; fails with [`ErrorKind::Short`] (and `out`
    /// unspecified) if it is shorter.
    fn read_into(&self, key: &Key, range: Range<u64>, out: &mut Vec<u8>) -> Result<(), StoreError>;

    /// Returns a whole object.
    fn read(&self, key: &Key) -> Result<Vec<u8>, StoreError>;

    /// Stores a new object.
    fn create(&self, key: &Key, bytes: &[u8]) -> Result<(), StoreError>;

    /// Removes an object.
    fn remove(&self, key: &Key) -> Result<(), StoreError>;

    /// Returns where the store is, for people.
    fn location(&self) -> &str;

    /// Returns the one name under which this place is remembered, however it was called.
    fn place(&self) -> &str {
        self.location()
    }

    /// Returns what is known of the store without asking it.
    fn properties(&self) -> StoreProperties {
        StoreProperties::default()
    }

    /// Says that parts of these objects may be read soon, which a store may prepare for; nothing is
    /// waited for.
    fn hint_reads(&self, keys: &[Key]) {
        let _ = keys;
    }

    /// Returns whether the store is known to let several creators of one name succeed now and then,
    /// whatever a probe sees.
    fn has_create_race(&self) -> bool {
        false
    }

    /// Returns what the store can say of archive classes and locks; most have neither.
    fn archive(&self) -> Option<&dyn Archive> {
        None
    }
}

/// How quickly an object is thawed; quicker is dearer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThawTier {
    /// Within minutes; not from every class.
    Expedited,
    /// Within hours.
    Standard,
    /// Within half a day or two days, the cheapest.
    Bulk,
}

/// Whether an object can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It can be read, now.
    Ready,
    /// It is in this archive class, and must be thawed first.
    Frozen(String),
    /// It is being thawed.
    Thawing,
}

/// Archive classes and object locks.
pub trait Archive: Send + Sync {
    /// Returns whether an object can be read.
    fn readiness(&self, key: &Key) -> Result<Readiness, StoreError>;

    /// Orders an object of an archive class to be readable for some days; succeeds too if that is
    /// already being done.
    fn thaw(&self, key: &Key, days: u32, tier: ThawTier) -> Result<(), StoreError>;

    /// Returns for how many days new objects are locked; `None` if they are not.
    fn lock_days(&self) -> Option<u32>;

    /// Returns until when an object is locked, in seconds since 1970; `None` if it is not, or if
    /// the credential may not know.
    fn locked_until(&self, key: &Key) -> Result<Option<i64>, StoreError>;

    /// Locks an object against removal until a time at least, in seconds since 1970, as strictly as
    /// new objects are.
    ///
    /// Returns false if it is locked for so long already: a lock never becomes shorter, nor less
    /// strict.
    fn extend_lock(&self, key: &Key, until_s: i64) -> Result<bool, StoreError>;
}
