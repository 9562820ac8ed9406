//! Directory entry: all that a Unix file system holds about a name.
//!
//! Spec: `format-spec/07-trees.md`.

use bincode::{Decode, Encode};

use super::codec::DecodeError;
use super::limits;
use crate::id::ChunkId;

/// Seconds and nanoseconds since 1970 (nanoseconds always 0 to 999,999,999, also before 1970).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Timestamp {
    /// Seconds, negative before 1970.
    pub seconds: i64,
    /// Nanoseconds to add.
    pub nanos: u32,
}

/// Type of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket (its name only).
    Socket,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
}

/// A piece of a file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Ref {
    /// The chunk with this id, `len` bytes long.
    Data {
        /// Its id.
        id: ChunkId,
        /// Its length in bytes.
        len: u32,
    },
    /// `len` zero bytes that take no room in the source (or are restored that way).
    Hole {
        /// Length in bytes.
        len: u64,
    },
}

impl Ref {
    /// Returns the bytes of the file that this piece covers.
    pub fn len(&self) -> u64 {
        match *self {
            Self::Data { len, .. } => u64::from(len),
            Self::Hole { len } => len,
        }
    }

    /// Returns whether it covers no bytes, which is not valid in an entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Content of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Content {
    /// It has none: anything but files, directories and symbolic links.
    None,
    /// The bytes themselves (files up to 512 bytes; the target of a symbolic link).
    Inline(Vec<u8>),
    /// The pieces of a file, in order (at most 16).
    Refs(Vec<Ref>),
    /// A list tree with the pieces of a file.
    List(ChunkId),
    /// The tree of a directory.
    Tree(ChunkId),
}

/// An extended attribute; ACLs and capabilities are extended attributes too.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Xattr {
    /// Full name with its namespace, raw bytes.
    pub name: Vec<u8>,
    /// Raw value.
    pub value: Vec<u8>,
}

/// Bits of [`Entry::flags`].
pub mod entry_flag {
    /// The file-system flag "immutable" (`chattr +i`).
    pub const IMMUTABLE: u32 = 1;
    /// The file-system flag "append only" (`chattr +a`).
    pub const APPEND_ONLY: u32 = 2;
    /// The file-system flag "no dump" (`chattr +d`).
    pub const NO_DUMP: u32 = 4;
    /// The file changed while it was read: its content may mix two states.
    pub const CHANGED_WHILE_READ: u32 = 8;
    /// All bits that this version knows.
    pub const KNOWN: u32 = 15;
}

/// An extension that a later version may define.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Extension {
    /// Its meaning; a reader must refuse unknown ones from [`EXTENSION_CRITICAL_MIN`] on.
    pub tag: u16,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Returns whether `extensions` are sorted without duplicates, and none of them is critical.
pub fn are_readable(extensions: &[Extension]) -> bool {
    extensions.is_sorted_by(|a, b| a.tag < b.tag)
        && extensions.iter().all(|extension| extension.tag < EXTENSION_CRITICAL_MIN)
}

/// First critical extension tag: a reader must refuse unknown ones from here on.
pub const EXTENSION_CRITICAL_MIN: u16 = 0x8000;

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Entry {
    /// Raw bytes of the name: not empty, no `/`, no NUL, not `.` or `..`.
    pub name: Vec<u8>,
    /// Type of the entry.
    pub kind: EntryKind,
    /// Permission bits including setuid, setgid and sticky (12 bits).
    pub mode: u16,
    /// Owner by number.
    pub uid: u32,
    /// Group by number.
    pub gid: u32,
    /// Owner by name: 0 for unknown, else 1 + position in the node's string table.
    pub user: u32,
    /// Group name: index + 1 into the string table; 0 if unknown.
    pub group: u32,
    /// Last modification of the content.
    pub mtime: Timestamp,
    /// Last change of the inode; only compared, never restored.
    pub ctime: Timestamp,
    /// Creation, if the file system records it.
    pub btime: Option<Timestamp>,
    /// Length of the content in bytes (files and symbolic links; else 0).
    pub size: u64,
    /// Major and minor number of a device.
    pub device: Option<(u32, u32)>,
    /// Hard-link group within the snapshot; members with the same number are one inode and hold
    /// equal content.
    pub hard_link: Option<u64>,
    /// The content, or a reference to it.
    pub content: Content,
    /// Extended attributes, sorted by name.
    pub xattrs: Vec<Xattr>,
    /// Bits of [`entry_flag`].
    pub flags: u32,
    /// Extensions, sorted by tag.
    pub extensions: Vec<Extension>,
}

impl Entry {
    /// Checks the rules for one entry that its types do not enforce.
    ///
    /// `strings` is the number of strings in its node. A reader refuses an entry that fails: it is
    /// damaged or forged.
    pub fn check(&self, strings: usize) -> Result<(), DecodeError> {
        let refuse = |why| Err(DecodeError::new("directory entry", why));
        if !is_valid_name(&self.name) {
            return refuse("impossible name");
        }
        if self.bulk_len() > limits::ENTRY_BULK_MAX_BYTES {
            return refuse("longer than the limit");
        }
        if self.mode > 0o7777 || self.user as usize > strings || self.group as usize > strings {
            return refuse("number out of range");
        }
        if [Some(self.mtime), Some(self.ctime), self.btime]
            .into_iter()
            .flatten()
            .any(|t| t.nanos > 999_999_999)
        {
            return refuse("nanoseconds out of range");
        }
        if self.flags & !entry_flag::KNOWN != 0 || !are_readable(&self.extensions) {
            return refuse("unknown flag, or extensions critical or not sorted");
        }
        let named =
            self.xattrs.iter().all(|xattr| !xattr.name.is_empty() && !xattr.name.contains(&0));
        if !named || !self.xattrs.is_sorted_by(|a, b| a.name < b.name) {
            return refuse("attributes not sorted or impossible names");
        }
        self.check_content()
    }

    /// Returns the bytes of its parts that have no fixed length.
    pub fn bulk_len(&self) -> usize {
        let inline = if let Content::Inline(bytes) = &self.content { bytes.len() } else { 0 };
        let xattrs = self.xattrs.iter().map(|xattr| xattr.name.len() + xattr.value.len());
        let extensions = self.extensions.iter().map(|extension| extension.bytes.len());
        self.name.len() + inline + xattrs.chain(extensions).sum::<usize>()
    }

    /// Returns about how much memory its parts that have no fixed length take, in bytes.
    pub fn parts_memory_bytes(&self) -> usize {
        let content = match &self.content {
            Content::Inline(bytes) => bytes.len(),
            Content::Refs(refs) => size_of_val(&refs[..]),
            Content::None | Content::List(_) | Content::Tree(_) => 0,
        };
        // Each allocation takes 16 bytes more than was asked for, about.
        let xattr = |xattr: &Xattr| size_of::<Xattr>() + 32 + xattr.name.len() + xattr.value.len();
        let extension = |extension: &Extension| size_of::<Extension>() + 16 + extension.bytes.len();
        let parts = self.xattrs.iter().map(xattr).sum::<usize>()
            + self.extensions.iter().map(extension).sum::<usize>();
        32 + self.name.len() + content + parts
    }

    fn check_content(&self) -> Result<(), DecodeError> {
        let refuse = |why| Err(DecodeError::new("directory entry", why));
        let device = matches!(self.kind, EntryKind::CharDevice | EntryKind::BlockDevice);
        if device != self.device.is_some() {
            return refuse("device numbers do not fit its kind");
        }
        let sized = matches!(self.kind, EntryKind::File | EntryKind::Symlink);
        if (!sized && self.size != 0) || self.size > i64::MAX as u64 {
            return refuse("size does not fit its kind");
        }
        if self.hard_link.is_some() && self.kind == EntryKind::Dir {
            return refuse("a hard link to a directory");
        }
        let fits = match (&self.content, self.kind) {
            (Content::Inline(bytes), EntryKind::File) => {
                bytes.len() as u64 == self.size && bytes.len() <= limits::INLINE_LEN_MAX_BYTES
            }
            (Content::Inline(bytes), EntryKind::Symlink) => {
                bytes.len() as u64 == self.size && !bytes.is_empty() && !bytes.contains(&0)
            }
            (Content::Refs(refs), EntryKind::File) => {
                refs.len() <= limits::INLINE_REFS_MAX
                    && !refs.is_empty()
                    && check_refs(refs) == Some(self.size)
            }
            (Content::List(_), EntryKind::File) | (Content::Tree(_), EntryKind::Dir) => true,
            (Content::None, kind) => {
                !matches!(kind, EntryKind::File | EntryKind::Dir | EntryKind::Symlink)
            }
            _ => false,
        };
        if fits { Ok(()) } else { refuse("content does not fit its kind or size") }
    }
}

/// Returns the bytes that `refs` cover, or `None` if one is empty or the sum overflows.
pub fn check_refs(refs: &[Ref]) -> Option<u64> {
    refs.iter().try_fold(
        0u64,
        |sum, piece| if piece.is_empty() { None } else { sum.checked_add(piece.len()) },
    )
}

/// Returns whether `name` is a valid name of a directory entry.
pub fn is_valid_name(name: &[u8]) -> bool {
    let special = name.is_empty() || name == b"." || name == b"..";
    !special
        && name.len() <= limits::NAME_LEN_MAX_BYTES
        && !name.iter().any(|byte| matches!(byte, 0 | b'/'))
}
