//! Comparison of an existing entry with the snapshot, for a dry run: nothing is changed by it.

use std::fs::File;
use std::os::fd::AsFd;
use std::sync::Arc;

use super::compare::has_content;
use super::context::RestoreContext;
use super::entries::EntryJob;
use super::existing::{self, FileDecision, WantedFile, decide};
use super::link_group::EntrySpec;
use crate::format::entry::Entry;
use crate::os::apply::Metadata;
use crate::os::attributes::XattrTarget;
use crate::os::dir::Dir;
use crate::os::special;
use crate::os::stat::Stat;
use crate::restore::target::dir::TargetDir;

/// Returns the job that a restore would make of an entry.
pub(crate) fn job_of(dir: &Arc<TargetDir>, entry: Entry, metadata: Metadata) -> EntryJob {
    let wanted = EntrySpec {
        size: entry.size,
        content: entry.content,
        metadata,
        device: entry.device,
        weight: None,
    };
    EntryJob::new(dir.clone(), entry.name.into_boxed_slice(), entry.kind, wanted, None)
}

/// Returns whether an existing entry has the right content, so that at most its metadata would
/// change; reads the content if size and time are not enough.
///
/// `is_linked` says whether the snapshot has other names of the entry.
pub(crate) fn is_unchanged(
    context: &RestoreContext,
    open: &Dir,
    job: EntryJob,
    is_linked: bool,
    stat: &Stat,
) -> bool {
    match job {
        EntryJob::File(job, content) => {
            let wanted = WantedFile { is_linked, ..WantedFile::of(&job) };
            let owned = existing::as_owned(open, *stat, job.metadata.uid);
            let decision = decide(Some(&owned), &wanted, context.options.overwrite, &context.trust);
            // A file with other names stays only if nothing of it changes, whatever is believed of
            // its content.
            let may_stay = |file: &File| {
                decision == FileDecision::Compare
                    || existing::may_keep_linked(
                        &XattrTarget::Open(file.as_fd()),
                        stat,
                        &job.metadata,
                    )
            };
            let is_whole = |file: &File| {
                stat.size == job.size
                    && has_content(context, file, job.size, &content, &mut Vec::new())
            };
            let stays = matches!(
                decision,
                FileDecision::Keep | FileDecision::Compare | FileDecision::CompareWhole
            );
            let is_alone = decision == FileDecision::Keep && stat.nlink <= 1;
            is_alone
                || stays
                    && open.open_file(&job.name).is_ok_and(|file| {
                        may_stay(&file) && (decision == FileDecision::Keep || is_whole(&file))
                    })
        }
        EntryJob::Special(file) => {
            special::open_path(open, &file.name).is_ok_and(|fd| file.is_like(&fd, stat))
        }
        EntryJob::Link(..) => false,
    }
}
