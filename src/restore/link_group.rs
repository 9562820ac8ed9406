//! A hard-link group: names of one file, of which the first that can be made is made, and the others linked to it.
//!
//! Only members that agree in everything belong together: a snapshot may have been made where two files had one inode number.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use super::context::Context;
use super::descriptors::lock;
use super::finish::release_dir;
use super::options::add;
use super::target::{Identity, TargetDir};
use crate::format::codec;
use crate::format::entry::{Content, Entry, EntryKind};
use crate::monitor::ProblemKind;
use crate::os::apply::Metadata;

/// A hash of everything that the members of a group have in common, but for their kind.
pub type Likeness = [u8; 16];

/// A hard-link group.
pub struct LinkGroup {
    /// What its members are.
    pub kind: EntryKind,
    /// What they have in common.
    pub likeness: Likeness,
    /// What became of it.
    pub state: Mutex<LinkState>,
}

/// State of a hard-link group.
pub enum LinkState {
    /// The first member is not done; these are waiting for it.
    Pending(Box<Wanted>, Vec<Link>),
    /// No member could be made where it belongs so far; these wait for one that can.
    Vacant(Box<Wanted>, Vec<Link>),
    /// A member is done.
    Done(First),
    /// Their content cannot be had; the first that showed this.
    Failed(Name),
}

/// What all members of a group are to be, until one of them is.
#[derive(Clone)]
pub struct Wanted {
    /// Length of the content in bytes.
    pub size: u64,
    /// The content.
    pub content: Content,
    /// The metadata.
    pub metadata: Metadata,
    /// Numbers of a device node.
    pub device: Option<(u32, u32)>,
}

/// A name in a folder.
#[derive(Clone)]
pub struct Name {
    /// The folder.
    pub dir: Arc<TargetDir>,
    /// The name.
    pub name: Box<[u8]>,
}

/// The member that the others are linked to.
#[derive(Clone)]
pub struct First {
    /// Where it is.
    pub name: Name,
    /// Which inode it is.
    pub identity: Identity,
}

/// Another member of a group, to be linked to the first.
pub struct Link {
    /// The folder it goes into, kept pending until it is done.
    pub dir: Arc<TargetDir>,
    /// Its name.
    pub name: Box<[u8]>,
    /// Bytes of content, which each member counts.
    pub size: u64,
}

impl LinkGroup {
    /// Starts a group with a member that is about to be made.
    pub fn new(entry: &Entry, metadata: &Metadata) -> Self {
        let wanted =
            Wanted { size: entry.size, content: entry.content.clone(), metadata: metadata.clone(), device: entry.device };
        let state = LinkState::Pending(Box::new(wanted), Vec::new()).into();
        Self { kind: entry.kind, likeness: likeness(entry, metadata), state }
    }

    /// Takes a group of which a member is done.
    pub fn done(kind: EntryKind, likeness: Likeness, first: First) -> Self {
        Self { kind, likeness, state: LinkState::Done(first).into() }
    }
}

/// Hashes all that members of one group have in common.
pub fn likeness(entry: &Entry, metadata: &Metadata) -> Likeness {
    let Metadata { uid, gid, mode, flags, mtime, xattrs, .. } = metadata;
    let mut hasher = blake3::Hasher::new();
    for number in [u64::from(*uid), u64::from(*gid), u64::from(*mode), u64::from(*flags), entry.size] {
        hasher.update(&number.to_le_bytes());
    }
    for part in [codec::encode(mtime), codec::encode(&entry.device), codec::encode(&entry.content), codec::encode(xattrs)] {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(&part);
    }
    *hasher.finalize().as_bytes().first_chunk().expect("a hash has 32 bytes")
}

/// Notes that a member is done and returns the links that wait for it.
pub fn complete(context: &Context, group: &LinkGroup, first: First) -> Vec<Link> {
    end_of_waiting(context, group, LinkState::Done(first))
}

/// Reports the links of a group whose content cannot be had.
pub fn fail(context: &Context, group: &LinkGroup, first: Name) {
    for link in end_of_waiting(context, group, LinkState::Failed(first.clone())) {
        fail_link(context, &first, &link);
    }
}

fn end_of_waiting(context: &Context, group: &LinkGroup, state: LinkState) -> Vec<Link> {
    match std::mem::replace(&mut *lock(&group.state), state) {
        LinkState::Pending(_, waiting) => {
            context.links_waiting.fetch_sub(waiting.len(), Ordering::Relaxed);
            waiting
        }
        LinkState::Vacant(_, waiting) => waiting,
        LinkState::Done(_) | LinkState::Failed(_) => Vec::new(),
    }
}

/// Reports a link to a file that could not be restored.
pub fn fail_link(context: &Context, first: &Name, link: &Link) {
    let first = first.dir.path_of(&first.name);
    let message = format!("it is a hard link to {}, which could not be restored", String::from_utf8_lossy(&first));
    context.report(&link.dir.path_of(&link.name), message);
    release_dir(context, &link.dir);
}

/// Notes that a member could not be made in its own place: another one takes its part.
pub fn vacate(context: &Context, group: &Arc<LinkGroup>) {
    let mut state = lock(&group.state);
    if let LinkState::Pending(wanted, waiting) = &mut *state {
        let (wanted, waiting) = (wanted.clone(), std::mem::take(waiting));
        context.links_waiting.fetch_sub(waiting.len(), Ordering::Relaxed);
        *state = LinkState::Vacant(wanted, waiting);
        lock(&context.vacant).push(group.clone());
    }
}

/// What is to be done with a name of a group.
pub enum Part {
    /// It is the one that is made.
    First,
    /// It waits, or failed, which is told.
    Dealt,
    /// It is linked now.
    Link(First, Link),
}

/// Finds the part of one more name of a group.
pub fn join(context: &Context, group: &LinkGroup, link: Link) -> Part {
    let mut state = lock(&group.state);
    match &mut *state {
        LinkState::Pending(_, waiting) => {
            waiting.push(link);
            context.links_waiting.fetch_add(1, Ordering::Relaxed);
            Part::Dealt
        }
        LinkState::Vacant(wanted, waiting) => {
            let (wanted, waiting) = (wanted.clone(), std::mem::take(waiting));
            context.links_waiting.fetch_add(waiting.len(), Ordering::Relaxed);
            *state = LinkState::Pending(wanted, waiting);
            Part::First
        }
        LinkState::Done(first) => Part::Link(first.clone(), link),
        LinkState::Failed(first) => {
            let first = first.clone();
            drop(state);
            fail_link(context, &first, &link);
            Part::Dealt
        }
    }
}

/// Takes the next waiting name of a group without a first, which is to be made now; `None` if there is nothing to do.
pub fn promote(context: &Context, group: &LinkGroup) -> Option<(Link, Wanted)> {
    let mut state = lock(&group.state);
    let LinkState::Vacant(wanted, waiting) = &mut *state else {
        return None;
    };
    if waiting.is_empty() {
        return None;
    }
    let (wanted, mut waiting) = (wanted.clone(), std::mem::take(waiting));
    let link = waiting.remove(0);
    context.links_waiting.fetch_add(waiting.len(), Ordering::Relaxed);
    let promoted = (link, (*wanted).clone());
    *state = LinkState::Pending(wanted, waiting);
    Some(promoted)
}

/// Tells that a name is restored as a file of its own, because it does not agree with the other members of its group.
pub fn tell_apart(context: &Context, path: &[u8]) {
    let message = "the snapshot has it as another name of a file that differs from it: it is restored as a file of its own";
    context.monitor.problem(ProblemKind::Notice, path, message);
}

/// Counts another name that is there.
pub fn count_link(context: &Context, size: u64, is_kept: bool) {
    add(&context.monitor.bytes_done, size);
    if is_kept {
        add(&context.counts.files_kept, 1);
        add(&context.counts.bytes_kept, size);
    }
}
