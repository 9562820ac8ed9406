//! Sets of fields in which two entries differ.

use crate::format::entry::{Content, Entry, EntryKind, entry_flag};
use crate::repo::DirEntry;

/// A field in which two entries of one path can differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum EntryField {
    /// Kind: file, directory and so on.
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
    /// Whether the file has several names.
    Links = 256,
    /// Extensions of later versions of the format.
    Extensions = 512,
}

/// All fields with their names in JSON.
const FIELDS: [(EntryField, &str); 10] = [
    (EntryField::Kind, "kind"),
    (EntryField::Content, "content"),
    (EntryField::Mode, "mode"),
    (EntryField::Owner, "owner"),
    (EntryField::Group, "group"),
    (EntryField::Mtime, "mtime"),
    (EntryField::Xattrs, "xattrs"),
    (EntryField::Flags, "flags"),
    (EntryField::Links, "links"),
    (EntryField::Extensions, "extensions"),
];

/// A set of fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EntryFields(u16);

impl EntryFields {
    /// Returns the fields in which two entries differ.
    ///
    /// Ignores names, the content of directories, and fields that cannot be restored: change time,
    /// creation time, numbers of hard-link groups, and whether a file changed while it was read.
    /// Content is compared by its references: equal bytes that were cut differently count as
    /// different.
    pub fn between(left: &DirEntry, right: &DirEntry) -> Self {
        let (a, b) = (&left.entry, &right.entry);
        let flags = |entry: &Entry| entry.flags & !entry_flag::CHANGED_WHILE_READ;
        let differs = [
            (EntryField::Kind, a.kind != b.kind),
            (EntryField::Content, a.kind == b.kind && !is_same_content(a, b)),
            (EntryField::Mode, a.mode != b.mode),
            (EntryField::Owner, a.uid != b.uid || left.user != right.user),
            (EntryField::Group, a.gid != b.gid || left.group != right.group),
            (EntryField::Mtime, a.mtime != b.mtime),
            (EntryField::Xattrs, a.xattrs != b.xattrs),
            (EntryField::Flags, flags(a) != flags(b)),
            (EntryField::Links, a.hard_link.is_some() != b.hard_link.is_some()),
            (EntryField::Extensions, a.extensions != b.extensions),
        ];
        let differing = differs.into_iter().filter(|(_, differs)| *differs);
        differing.fold(Self::default(), |fields, (field, _)| fields.with(field))
    }

    /// Returns the set with one more field.
    pub fn with(self, field: EntryField) -> Self {
        Self(self.0 | field as u16)
    }

    /// Returns whether a field is in the set.
    pub fn has(self, field: EntryField) -> bool {
        self.0 & field as u16 != 0
    }

    /// Returns whether only the time of a directory differs, which changes with its content.
    pub fn is_time_of_dir(self, found: Option<&DirEntry>) -> bool {
        self == Self::default().with(EntryField::Mtime)
            && found.is_some_and(|found| found.entry.kind == EntryKind::Dir)
    }

    /// Returns whether nothing differs.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the fields' names in JSON.
    pub fn names(self) -> Vec<&'static str> {
        FIELDS.iter().filter(|(field, _)| self.has(*field)).map(|(_, name)| *name).collect()
    }
}

fn is_same_content(a: &Entry, b: &Entry) -> bool {
    let is_dir = |content: &Content| matches!(content, Content::Tree(_));
    (is_dir(&a.content) && is_dir(&b.content))
        || (a.size == b.size && a.device == b.device && a.content == b.content)
}
