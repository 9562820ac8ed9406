//! The store interface: a flat set of small immutable objects.
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

/// The classes of objects; each is a directory of the repository.
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
    /// `intents/<sid>`: objects that running backups depend on.
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

    /// Returns the name of the class's directory.
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

/// The full name of an object: its class, and its path below the class's directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The class.
    pub class: Class,
    /// Path below the class's directory, with `/` between parts: lower-case letters, digits, `.`
    /// and `-` only.
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
/// Names that start with a dot are invalid: no `..`, and no scratch file of a store.
pub fn is_valid_name(part: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-');
    part.bytes().all(allowed) && !part.is_empty() && !part.starts_with('.') && part.len() <= 200
}

/// The calls of a store; `read` and `read_into` are one action.
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
    /// Its path below the class's directory.
    pub name: String,
    /// Its length in bytes.
    pub len_bytes: u64,
    /// Creation time by the store's own clock, in seconds since 1970; `None` if unknown.
    ///
    /// Compare it only with other times of the same store, and only to decide how long something
    /// waits.
    pub modified_s: Option<i64>,
}

impl Listed {
    /// Makes an entry of a listing. Lengths over the limit are cut to one byte more than the limit,
    /// so that sums of lengths cannot overflow.
    pub fn new(name: String, len_bytes: u64, modified_s: Option<i64>) -> Self {
        Self { name, len_bytes: len_bytes.min(OBJECT_LEN_MAX_BYTES + 1), modified_s }
    }
}

/// The kinds of failure that a caller tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// There is no such object (or no such repository directory).
    NotFound,
    /// An object of that name exists; it is unchanged.
    Exists,
    /// The credential or the file system forbids it.
    NotPermitted,
    /// The store is full.
    Full,
    /// The object is shorter than the requested range.
    Short,
    /// This one object cannot be read: a bad sector, or a directory in its place. Others may be
    /// readable.
    Unreadable,
    /// The store cannot be reached, or did not accept the request: nothing was changed, and a retry
    /// may succeed.
    Unavailable,
    /// The request was sent and no answer came: it may have been carried out, or may be later.
    Unanswered,
    /// Anything else; the cause says what.
    Other,
}

/// A store call that failed. The object is as it was before, unless a `create` says
/// [`ErrorKind::Unanswered`] or [`ErrorKind::Other`]: then it may exist.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {location}/{object}")]
pub struct StoreError {
    /// The kind of failure.
    pub kind: ErrorKind,
    /// `list`, `stat`, `read`, `create` or `remove`.
    pub action: &'static str,
    /// Where the store is.
    pub location: String,
    /// The object or class.
    pub object: String,
    /// What the system said.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Properties of a store that are known without a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreProperties {
    /// Best number of concurrent calls: more for slower answers. Further calls wait, so they do no
    /// harm.
    pub parallelism: usize,
    /// Whether the store is a directory of this machine, so that reads cost no request.
    pub is_local: bool,
    /// Whether it can become full, so that a reserve is kept.
    pub can_run_full: bool,
}

impl Default for StoreProperties {
    fn default() -> Self {
        Self { parallelism: 1, is_local: false, can_run_full: false }
    }
}

impl StoreProperties {
    /// Returns whether answers take so long that calls should run concurrently.
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
/// * Nothing depends on clocks. The caller never reuses names.
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

    /// Returns the store's location, for people.
    fn location(&self) -> &str;

    /// Returns the one name under which this machine remembers the store, whatever path led to it.
    fn place(&self) -> &str {
        self.location()
    }

    /// Returns properties that are known without a request.
    fn properties(&self) -> StoreProperties {
        StoreProperties::default()
    }

    /// Announces that parts of these objects may be read soon, so that the store can prepare; does
    /// not wait.
    fn hint_reads(&self, keys: &[Key]) {
        let _ = keys;
    }

    /// Returns whether the store is known to let several creators of one name succeed sometimes,
    /// whatever a probe finds.
    fn has_create_race(&self) -> bool {
        false
    }

    /// Returns archive classes and object locks, if the store has them.
    fn archive(&self) -> Option<&dyn Archive> {
        None
    }
}

/// Speed of thawing; faster ones cost more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThawTier {
    /// Within minutes; not available in every class.
    Expedited,
    /// Within hours.
    Standard,
    /// Within half a day or two days, the cheapest.
    Bulk,
}

/// Whether an object can be read now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It can be read.
    Ready,
    /// It is in this archive class and must be thawed first.
    Frozen(String),
    /// It is being thawed.
    Thawing,
}

/// Archive classes and object locks.
pub trait Archive: Send + Sync {
    /// Returns whether an object can be read.
    fn readiness(&self, key: &Key) -> Result<Readiness, StoreError>;

    /// Requests that an archived object becomes readable for some days; succeeds, too, if that is
    /// under way.
    fn thaw(&self, key: &Key, days: u32, tier: ThawTier) -> Result<(), StoreError>;

    /// Returns the lock time of new objects in days; `None` if they are not locked.
    fn lock_days(&self) -> Option<u32>;

    /// Returns the end of an object's lock, in seconds since 1970; `None` if there is none, or if
    /// the credential may not see it.
    fn locked_until(&self, key: &Key) -> Result<Option<i64>, StoreError>;

    /// Locks an object until at least `until_s`, in seconds since 1970, in the mode of new objects.
    ///
    /// Returns false if it is already locked that long: a lock never becomes shorter or less
    /// strict.
    fn extend_lock(&self, key: &Key, until_s: i64) -> Result<bool, StoreError>;
}
