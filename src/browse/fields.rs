//! The fields in which two entries differ.

use crate::format::entry::{Content, Entry, EntryKind, entry_flag};
use crate::repo::DirEntry;

/// Something in which two entries of one path can differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Field {
    /// What it is: a file, a directory…
    Kind = 1,
    /// The bytes of a file, the target of a symbolic link, the numbers of a device; never of a
    /// directory.
    Content = 2,
    /// Permissions.
    Mode = 4,
    /// Owner, by number or by name.
    Owner = 8,
    /// Group, by number or by name.
    Group = 16,
    /// Time of the last change of the content.
    Mtime = 32,
    /// Extended attributes, ACLs and capabilities among them.
    Xattrs = 64,
    /// File-system flags.
    Flags = 128,
    /// Whether it is one of several names of a file.
    Links = 256,
    /// What a later version of the format knows about it.
    Extensions = 512,
}

/// All of them with their names, which scripts see.
const FIELDS: [(Field, &str); 10] = [
    (Field::Kind, "kind"),
    (Field::Content, "content"),
    (Field::Mode, "mode"),
    (Field::Owner, "owner"),
    (Field::Group, "group"),
    (Field::Mtime, "mtime"),
    (Field::Xattrs, "xattrs"),
    (Field::Flags, "flags"),
    (Field::Links, "links"),
    (Field::Extensions, "extensions"),
];

/// A set of fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields(u16);

impl Fields {
    /// Returns in what two entries differ.
    ///
    /// What is in a directory does not count, nor do names, nor what nobody can set or restore: the
    /// time of the last change of the inode, the time of creation, the numbers of hard-link groups,
    /// and whether a file changed while it was read. Content is compared by its references: equal
    /// bytes that were cut otherwise count as different.
    pub fn between(left: &DirEntry, right: &DirEntry) -> Self {
        let (a, b) = (&left.entry, &right.entry);
        let flags = |entry: &Entry| entry.flags & !entry_flag::CHANGED_WHILE_READ;
        let differs = [
            (Field::Kind, a.kind != b.kind),
            (Field::Content, a.kind == b.kind && !is_same_content(a, b)),
            (Field::Mode, a.mode != b.mode),
            (Field::Owner, a.uid != b.uid || left.user != right.user),
            (Field::Group, a.gid != b.gid || left.group != right.group),
            (Field::Mtime, a.mtime != b.mtime),
            (Field::Xattrs, a.xattrs != b.xattrs),
            (Field::Flags, flags(a) != flags(b)),
            (Field::Links, a.hard_link.is_some() != b.hard_link.is_some()),
            (Field::Extensions, a.extensions != b.extensions),
        ];
        let differing = differs.into_iter().filter(|(_, differs)| *differs);
        differing.fold(Self::default(), |fields, (field, _)| fields.with(field))
    }

    /// Returns the set with one more field.
    pub fn with(self, field: Field) -> Self {
        Self(self.0 | field as u16)
    }

    /// Returns whether a field is in the set.
    pub fn has(self, field: Field) -> bool {
        self.0 & field as u16 != 0
    }

    /// Returns whether this is no more than the time of a directory, which changes when something
    /// in it does.
    pub fn is_time_of_dir(self, found: Option<&DirEntry>) -> bool {
        self == Self::default().with(Field::Mtime)
            && found.is_some_and(|found| found.entry.kind == EntryKind::Dir)
    }

    /// Returns whether nothing differs.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the fields' names as scripts see them.
    pub fn names(self) -> Vec<&'static str> {
        FIELDS.iter().filter(|(field, _)| self.has(*field)).map(|(_, name)| *name).collect()
    }
}

fn is_same_content(a: &Entry, b: &Entry) -> bool {
    let is_dir = |content: &Content| matches!(content, Content::Tree(_));
    (is_dir(&a.content) && is_dir(&b.content))
        || (a.size == b.size && a.device == b.device && a.content == b.content)
}
