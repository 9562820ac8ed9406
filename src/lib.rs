//! Deduplicating, encrypted backups on a disk, in S3 or on an SFTP storage box, as a library.
//!
//! ```no_run
//! use drumlin::{Credentials, Repository};
//!
//! let repository = Repository::create("/mnt/disk/backups", Credentials::password_file("pw"))?;
//! let report = repository.backup(["/srv/wiki"]).tag("web").run(&())?;
//! println!("{} files, {} new bytes", report.files, report.bytes_stored);
//!
//! let latest = repository.snapshot("latest")?;
//! repository.restore(&latest, "/tmp/back").run(&())?;
//! # Ok::<(), drumlin::Error>(())
//! ```
//!
//! [`Repository`] is the way in. It backs up, lists, reads single files, restores, forgets, prunes
//! and checks, with the defaults of the `drumlin` program; [`OpenOptions`] says how a repository is
//! reached; a [`Progress`] hears how an operation goes on and may stop it. Errors have a
//! [`kind`](Error::kind), causes and a [`hint`](Error::hint). Nothing here prints, asks or ends the
//! process.
//!
//! The `examples/` folder has four small programs: `backup`, `list`, `restore` and `prune_plan`.
//!
//! # Features
//!
//! * `s3`: repositories in a bucket.
//! * `sftp`: repositories on a machine that is reached by SFTP.
//! * `mount`: snapshots as a file system.
//! * `cli`: the `drumlin` program. Leave it out in a library: `default-features = false`.
//!
//! # Inside: a bird's-eye view
//!
//! Modules that are not described on these pages belong to the program. They are public for its own
//! tests only and change without notice.
//!
//! A **backup** walks its sources, compares each file with the last snapshot, cuts what changed
//! into **chunks**, names each chunk by a keyed hash of its content, and puts the ones that the
//! repository does not have yet. Neighbouring chunks are compressed together in **segments**,
//! segments are sealed into **packs**, packs are created in a **store**; an **index run** says
//! where each chunk is. Directories are chunks too: **trees** that refer to chunks by their ids.
//! A **snapshot** names the root of a tree; creating it is the commit, and nothing before it is
//! visible.
//!
//! ```text
//! sources ─ walk ─ compare ─ read, cut, hash ─ put ─ segments ─ packs ┐
//!                     └────────── trees ────────┘                     ├ finish ─ prepare ─ commit
//!                                                  index runs ────────┘
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
//! | 0 words | `id`, `monitor`, `alignment`, `sync` | nothing else |
//! | 1 pure | `format`, `crypto`, `chunker`, `compress`, `container` | bytes and values |
//! | 1 pure | `retention`, `rules`, `schedule` | values |
//! | 2 outside | `store`: opaque objects; `os`: the host's file system | one side of the world each |
//! | 3 repository | `repo` | bytes and store, no user paths |
//! | 4 operations | `backup`, `restore`, `browse`, `maintain`, `mount` | repository and host, never the store |
//! | 5 automation | `settings`, `connect`, `sources`, `jobs`, `text` | the user's file, secrets; stores only in `connect` |
//! | 6 front doors | `api` (this page), `ui`, `cli` | everything |
//!
//! # Invariants
//!
//! * Nothing in stratum 1 opens a file, reads a clock, starts a thread or draws randomness: salt
//!   and time are arguments.
//! * The store moves opaque bytes; it never learns what they mean.
//! * Ids flow forward. A chunk's id is known before it is stored, so trees never wait for packs.
//! * The write order is in the types. `repo::Session::finish` yields what is durable, packs and
//!   index runs; `repo::snapshots::prepare::prepare` makes `repo::snapshots::prepare::Prepared`
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
//! where its objects are · **key slot** the master key wrapped under a password or key file ·
//! **keyring** the keys derived from the master, each held by what it may be used for · **lane**
//! one thread's way into a write session · **parent** the snapshot that a backup is compared with ·
//! **tombstone** the mark of a forgotten snapshot · **trash** the forgotten snapshots that can
//! still be brought back · **series** snapshots of one host, app and paths · **policy** the rules
//! that say which of a series stay.
//!
//! The stored bytes are specified in `format-spec/`, independently of this code.

#![warn(missing_docs, unreachable_pub)]

mod api;

pub use api::{
    Backup, BackupReport, Check, CheckReport, Counts, Credentials, Error, ErrorKind, File,
    FileKind, OpenOptions, Problem, Progress, Prune, PrunePlan, PruneReport, Repository, Restore,
    RestoreReport, Result, Snapshot, Walk, WalkEntry,
};

#[cfg_attr(not(drumlin_internals), doc(hidden))]
pub mod alignment;
#[cfg_attr(not(drumlin_internals), doc(hidden))]
pub mod backup;
#[cfg_attr(not(drumlin_internals), doc(hidden))]
pub mod browse;
#[cfg_attr(not(drumlin_internals), doc(hidden))]
pub mod chunker;
#[cfg(feature = "cli")]
#[cfg_attr(not(drumlin_internals), doc(hidden))]
pub mod cli;
#[cfg_attr(not(drumlin_internals), doc(hidden))]
pub mod compress;
#[cfg_attr(not(drumlin_internals), doc(hidden))]
pub mod connect;
#[cfg_attr(not(drumlin_internals), doc(hidden))]
pub mod container;
#[cfg_attr(not(drumlin_internals), doc(hidden))]
pub mod crypto;
#[cfg_attr(not(drumlin_internals), doc(hidden))]
pub mod format;
#[cfg_attr(not(drumlin_internals), doc(hidden))]
pub mod id;
#[cfg_attr(not(drumlin_internals), doc(hidden))]
pub mod jobs;
#[cfg_attr(not(drumlin_internals), doc(hidden))]
pub mod maintain;
#[cfg(feature = "cli")]
#[cfg_attr(not(drumlin_internals), doc(hidden))]
pub mod metrics;
#[cfg_attr(not(drumlin_internals), doc(hidden))]
pub mod monitor;
#[cfg(feature = "mount")]
#[cfg_attr(not(drumlin_internals), doc(hidden))]
pub mod mount;
#[cfg(feature = "cli")]
#[cfg_attr(not(drumlin_internals), doc(hidden))]
pub mod notify;
#[cfg_attr(not(drumlin_internals), doc(hidden))]
pub mod os;
#[cfg_attr(not(drumlin_internals), doc(hidden))]
pub mod repo;
#[cfg_attr(not(drumlin_internals), doc(hidden))]
pub mod restore;
#[cfg_attr(not(drumlin_internals), doc(hidden))]
pub mod retention;
#[cfg_attr(not(drumlin_internals), doc(hidden))]
pub mod rules;
#[cfg_attr(not(drumlin_internals), doc(hidden))]
pub mod schedule;
#[cfg_attr(not(drumlin_internals), doc(hidden))]
pub mod settings;
#[cfg_attr(not(drumlin_internals), doc(hidden))]
pub mod sources;
#[cfg_attr(not(drumlin_internals), doc(hidden))]
pub mod store;
#[cfg_attr(not(drumlin_internals), doc(hidden))]
pub mod sync;
#[cfg_attr(not(drumlin_internals), doc(hidden))]
pub mod text;
#[cfg(feature = "cli")]
#[cfg_attr(not(drumlin_internals), doc(hidden))]
pub mod ui;
