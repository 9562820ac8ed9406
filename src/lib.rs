//! Drumlin: deduplicating, encrypted backups on a disk, in S3 or on an SFTP storage box.
//!
//! # Bird's-eye view
//!
//! A **backup** walks its sources, compares each file with the last snapshot, cuts what changed
//! into **chunks**, names each chunk by a keyed hash of its content, and puts the ones that the
//! repository does not have yet. Neighbouring chunks are compressed together in **segments**,
//! segments are sealed into **packs**, packs are created in a **store**; an **index run** says
//! where each chunk lies. Directories are chunks too: **trees** that refer to chunks by their ids.
//! A **snapshot** names the root of a tree; creating it is the commit, and nothing before it is
//! visible.
//!
//! ```text
//! sources ─ walk ─ compare ─ read, cut, hash ─ put ─ segments ─ packs ─┐
//!                     └────────── trees ────────┘                      ├─ finish ─ prepare ─ commit
//!                                                  index runs ─────────┘
//! ```
//!
//! A **restore** goes the other way: snapshot, trees, a plan per pack, segments, verified chunks,
//! files.
//!
//! # Strata
//!
//! Imports go down only; `tests/it/tidy` reads the source and enforces it.
//!
//! | stratum | modules | knows |
//! |---|---|---|
//! | 0 words | [`id`], [`monitor`], [`copying`], [`sync`] | nothing else |
//! | 1 pure | [`mod@format`], [`crypto`], [`chunker`], [`compress`], [`container`], [`retention`], [`rules`] | bytes and values |
//! | 2 outside | [`store`]: opaque objects; [`os`]: the host's file system | one side of the world each |
//! | 3 repository | [`repo`] | bytes and store, no user paths |
//! | 4 operations | [`backup`], [`restore`], [`browse`], [`maintain`], `mount` | repository and host, never the store |
//! | 5 automation | [`settings`], [`connect`], [`sources`], [`jobs`], [`text`] | the user's file, secrets; stores only in `connect` |
//! | 6 shell | `ui`, `cli` | everything |
//!
//! # Invariants
//!
//! * Nothing in stratum 1 opens a file, reads a clock, starts a thread or draws randomness: salt
//!   and time are arguments.
//! * The store moves opaque bytes; it never learns what they mean.
//! * Ids flow forward. A chunk's id is known before it is stored, so trees never wait for packs.
//! * The write order is in the types. [`repo::Session::finish`] yields what is durable, packs and
//!   index runs; [`repo::snapshots::prepare::prepare`] makes [`repo::snapshots::prepare::Prepared`]
//!   of it; only that can be committed.
//! * A writer never overwrites and never removes. A reader verifies every chunk against its id.
//! * Local caches are hints: deleting them changes cost, never results.
//! * Every buffer has a limit before memory is taken, every loop over stored data a bound.
//!
//! # Glossary
//!
//! **chunk** a piece of a file or a node, named by its id · **segment** chunks compressed and
//! sealed together · **pack** a container of segments · **container** the one sealed form of
//! everything stored · **index run** a sorted, immutable part of the index · **tree**, **node** a
//! directory as a search tree · **snapshot** the root of a tree, signed · **commit slot** the
//! object that makes a snapshot exist · **repository** everything under one master key · **store**
//! where its objects lie · **key slot** the master key wrapped under a password or key file ·
//! **keyring** the keys derived from the master, each held by what it may be used for · **lane** one thread's way into a write session ·
//! **parent** the snapshot that a backup is compared with · **tombstone** the mark of a forgotten
//! snapshot · **trash** the forgotten snapshots that can still be brought back · **series**
//! snapshots of one host, app and paths · **policy** the rules that say which of a series stay.
//!
//! The stored bytes are specified in `format-spec/`, independently of this code.

pub mod backup;
pub mod browse;
pub mod chunker;
pub mod cli;
pub mod compress;
pub mod connect;
pub mod container;
pub mod copying;
pub mod crypto;
pub mod format;
pub mod id;
pub mod jobs;
pub mod maintain;
pub mod monitor;
#[cfg(feature = "mount")]
pub mod mount;
pub mod os;
pub mod repo;
pub mod restore;
pub mod retention;
pub mod rules;
pub mod settings;
pub mod sources;
pub mod store;
pub mod sync;
pub mod text;
pub mod ui;
