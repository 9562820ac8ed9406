//! Second round for hard-link groups whose first member could not be created: the next link becomes
//! the first.

use super::context::RestoreContext;
use super::dispatcher::Dispatcher;
use super::entries::EntryJob;
use super::link_outcomes::promote;
use super::workers::with_workers;
use crate::restore::error::Result;
use crate::sync::lock;

/// Restores the waiting links of such groups, after everything else.
pub(crate) fn restore(context: &RestoreContext) -> Result<()> {
    loop {
        let groups = std::mem::take(&mut *lock(&context.orphaned));
        let mut next = groups
            .into_iter()
            .filter_map(|group| Some((promote(context, &group)?, group)))
            .peekable();
        if next.peek().is_none() {
            return Ok(());
        }
        with_workers(context, |units, back| {
            let mut dispatcher = Dispatcher::new(context, units, back);
            for ((link, wanted), group) in next {
                context.check()?;
                dispatcher.push_entry(EntryJob::new(
                    link.dir,
                    link.name,
                    group.kind,
                    wanted,
                    Some(group),
                ));
                dispatcher.take_results();
            }
            dispatcher.settle()
        })?;
    }
}
