//! Limits of sizes and counts that every reader enforces.
//!
//! Spec: `format-spec/11-limits.md`.

/// Longest encoded structure in bytes (codec input).
pub const STRUCTURE_LEN_MAX_BYTES: usize = 64 << 20;
/// Longest container in bytes.
pub const CONTAINER_LEN_MAX_BYTES: u64 = 256 << 20;
/// Longest raw (decompressed) segment in bytes, its table included; stored lengths are 24-bit
/// numbers.
pub const SEGMENT_RAW_LEN_MAX_BYTES: usize = 8 << 20;
/// Most chunks in one segment.
pub const CHUNKS_PER_SEGMENT_MAX: usize = 65_535;
/// Longest name of one directory entry in bytes.
pub const NAME_LEN_MAX_BYTES: usize = 4_096;
/// Longest path of a directory that is read or written, from the root of its snapshot, in bytes.
pub const PATH_LEN_MAX_BYTES: usize = 16 << 20;
/// Longest file that is stored in its directory's node, in bytes.
pub const INLINE_LEN_MAX_BYTES: usize = 512;
/// Most references kept in an entry itself; longer lists become a list tree.
pub const INLINE_REFS_MAX: usize = 16;
/// Most bytes of an entry's parts that have no fixed length: name, inline content, extended
/// attributes, extensions.
pub const ENTRY_BULK_MAX_BYTES: usize = 1 << 20;
/// Most entries in one tree node.
pub const NODE_ENTRIES_MAX: usize = 512;
/// Fewest entries in a leaf that ends by its name's hash.
pub const NODE_ENTRIES_MIN: usize = 32;
/// A leaf ends at the latest after the entry with which its entries' bulk reaches this many bytes,
/// so that any leaf fits into a segment.
pub const NODE_BULK_BYTES: usize = 2 << 20;
/// A tree node ends after a name whose hash is below this: one in 128.
pub const TREE_SPLIT_BELOW: u32 = 1 << 25;
/// Most references or children in one list node.
pub const LIST_NODE_MAX: usize = 1_024;
/// Fewest references or children in a list node that ends by a hash.
pub const LIST_NODE_MIN: usize = 64;
/// A list node ends after an id whose first four bytes are below this: one in 256.
pub const LIST_SPLIT_BELOW: u32 = 1 << 24;
/// Most levels of inner nodes in one directory or list.
pub const TREE_LEVELS_MAX: usize = 8;
/// Most problems that a snapshot lists with their messages.
pub const SNAPSHOT_PROBLEMS_MAX: usize = 1_000;
/// Most bytes of the paths and messages of those problems, so that any snapshot fits into a
/// segment.
pub const SNAPSHOT_PROBLEMS_LEN_MAX_BYTES: usize = 1 << 20;
/// Longest tombstone before its signature in bytes.
pub const TOMBSTONE_LEN_MAX_BYTES: usize = 64 << 10;
/// Most key slots that are tried.
pub const SLOTS_MAX: usize = 64;
/// Longest key slot in bytes.
pub const SLOT_LEN_MAX_BYTES: usize = 64 << 10;
/// Highest sequence number of a snapshot in its chain; none follows it.
pub const SEQUENCE_MAX: u64 = (1 << 63) - 1;
/// Highest generation of collectors, so that no sum of such numbers overflows.
pub const GENERATION_MAX: u64 = 1 << 62;
/// Longest object of `config/`, `snapshots/`, `intents/` and `gc/` that is read: more than the
/// longest structure and its container.
pub const CONTROL_LEN_MAX_BYTES: u64 = (8 << 20) + (128 << 10);
/// Most packs that one intent or one record of a collector names.
pub const RECORD_PACKS_MAX: usize = 200_000;
/// Most snapshots that one record of a collector names.
pub const RECORD_SNAPSHOTS_MAX: usize = 100_000;
