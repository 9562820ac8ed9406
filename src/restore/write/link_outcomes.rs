//! State changes of a hard-link group: one member is created; others wait for it, are linked to it,
//! or fail with it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::context::RestoreContext;
use super::dir_finish::release_dir;
use super::link_group::{EntrySpec, FirstLink, Link, LinkGroup, LinkState, TargetName};
use crate::monitor::ProblemKind;
use crate::restore::options::add;
use crate::sync::lock;

/// Marks a group as done, and returns the links that wait for its first member.
pub(crate) fn complete(context: &RestoreContext, group: &LinkGroup, first: FirstLink) -> Vec<Link> {
    end_of_waiting(context, group, LinkState::Done(first))
}

/// Marks a group as failed, and reports the links that wait for its first member.
pub(crate) fn fail(context: &RestoreContext, group: &LinkGroup, first: TargetName) {
    for link in end_of_waiting(context, group, LinkState::Failed(first.clone())) {
        fail_link(context, &first, &link);
    }
}

fn end_of_waiting(context: &RestoreContext, group: &LinkGroup, state: LinkState) -> Vec<Link> {
    match std::mem::replace(&mut *lock(&group.state), state) {
        LinkState::Pending(_, waiting) => {
            context.links_waiting.fetch_sub(waiting.len(), Ordering::Relaxed);
            waiting
        }
        LinkState::Orphaned(_, waiting) => waiting,
        LinkState::Done(_) | LinkState::Failed(_) => Vec::new(),
    }
}

/// Reports a link to a file that could not be restored.
pub(crate) fn fail_link(context: &RestoreContext, first: &TargetName, link: &Link) {
    let first = first.dir.path_of(&first.name);
    let message = format!(
        "it is a hard link to {}, which could not be restored",
        String::from_utf8_lossy(&first)
    );
    context.report(&link.dir.path_of(&link.name), message);
    release_dir(context, &link.dir);
}

/// Marks a group as orphaned, because a member could not be created at its own path: another one
/// becomes the first.
pub(crate) fn orphan(context: &RestoreContext, group: &Arc<LinkGroup>) {
    let mut state = lock(&group.state);
    if let LinkState::Pending(wanted, waiting) = &mut *state {
        let (wanted, waiting) = (wanted.clone(), std::mem::take(waiting));
        context.links_waiting.fetch_sub(waiting.len(), Ordering::Relaxed);
        *state = LinkState::Orphaned(wanted, waiting);
        lock(&context.orphaned).push(group.clone());
    }
}

/// The role of one more name of a group.
pub(crate) enum MemberRole {
    /// It becomes the first member.
    First,
    /// Nothing to do: it waits, or failed and is reported.
    Handled,
    /// It is to be linked to the first member.
    Link(FirstLink, Link),
}

/// Adds one more name to a group and returns its role.
pub(crate) fn join(context: &RestoreContext, group: &LinkGroup, link: Link) -> MemberRole {
    let mut state = lock(&group.state);
    match &mut *state {
        LinkState::Pending(_, waiting) => {
            waiting.push(link);
            context.links_waiting.fetch_add(1, Ordering::Relaxed);
            MemberRole::Handled
        }
        LinkState::Orphaned(wanted, waiting) => {
            let (wanted, waiting) = (wanted.clone(), std::mem::take(waiting));
            context.links_waiting.fetch_add(waiting.len(), Ordering::Relaxed);
            *state = LinkState::Pending(wanted, waiting);
            MemberRole::First
        }
        LinkState::Done(first) => MemberRole::Link(first.clone(), link),
        LinkState::Failed(first) => {
            let first = first.clone();
            drop(state);
            fail_link(context, &first, &link);
            MemberRole::Handled
        }
    }
}

/// Takes the next waiting link of an orphaned group, which becomes its first member; `None` if no
/// link waits.
pub(crate) fn promote(context: &RestoreContext, group: &LinkGroup) -> Option<(Link, EntrySpec)> {
    let mut state = lock(&group.state);
    let LinkState::Orphaned(wanted, waiting) = &mut *state else {
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

/// Reports a name that is restored as a separate file because it differs from the other members of
/// its group.
pub(crate) fn report_separate(context: &RestoreContext, path: &[u8]) {
    let message = "the snapshot has it as another name of a file that differs from it: it is \
        restored as a file of its own";
    context.monitor.problem(ProblemKind::Notice, path, message);
}

/// Counts a further name of a file.
pub(crate) fn count_link(context: &RestoreContext, size: u64, is_kept: bool) {
    add(&context.monitor.bytes_done, size);
    if is_kept {
        add(&context.counts.files_kept, 1);
        add(&context.counts.bytes_kept, size);
    }
}
