//! Hard-link groups whose first member could not be made in its own place: the next one takes its
//! part.

use super::context::Context;
use super::entries::Item;
use super::link_outcomes::promote;
use super::planner::Feed;
use super::workers::with_workers;
use crate::restore::error::Result;
use crate::sync::lock;

/// Restores what is left of such groups, after everything else.
pub fn restore(context: &Context) -> Result<()> {
    loop {
        let groups = std::mem::take(&mut *lock(&context.vacant));
        let mut next = groups
            .into_iter()
            .filter_map(|group| Some((promote(context, &group)?, group)))
            .peekable();
        if next.peek().is_none() {
            return Ok(());
        }
        with_workers(context, |units, back| {
            let mut feed = Feed::new(context, units, back);
            for ((link, wanted), group) in next {
                context.check()?;
                feed.push_item(Item::new(link.dir, link.name, group.kind, wanted, Some(group)));
                feed.take_what_came_back();
            }
            feed.settle()
        })?;
    }
}
