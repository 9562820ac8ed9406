//! Durable steps by which one writer tells what happened.

use std::io;

use crate::notify::{
    Channel, Digest, Folder, Happening, Message, Notice, Outbox, Place, Rules, Told, message_of,
    step,
};

/// Something to be told.
pub(super) struct Saying {
    /// What happened.
    pub happening: Happening,
    /// The words of a digest; other messages have words of their own.
    pub digest: Option<Digest>,
}

/// A writer and the outbox that it writes to. Its lock is held by the caller.
pub(super) struct Row<'a, F> {
    /// Where messages wait.
    pub outbox: &'a Outbox<F>,
    /// Who may want them.
    pub channels: &'a [Box<dyn Channel>],
    /// Where they come from.
    pub place: &'a Place,
    /// The writer.
    pub rules: Rules,
    /// The time, in seconds since 1970.
    pub now_s: i64,
}

impl Saying {
    /// Makes one that is no digest.
    pub(super) fn of(happening: Happening) -> Self {
        Self { happening, digest: None }
    }

    fn message(&self, notice: &Notice, place: &Place) -> Message {
        match &self.digest {
            Some(digest) => digest.message(notice, place),
            None => message_of(notice, place),
        }
    }
}

impl<F: Folder> Row<'_, F> {
    /// Returns whether these give no message and change nothing.
    pub(super) fn is_quiet(&self, told: &Told, sayings: &[&Saying]) -> bool {
        let mut new = told.clone();
        for saying in sayings {
            let step = step(&new, &saying.happening, &self.rules, self.now_s);
            if step.notice.is_some() {
                return false;
            }
            new = step.told;
        }
        new == *told
    }

    /// Tells these, in order. `write` stores what was told, and how many were, by one rename with
    /// the rest of the writer's state.
    ///
    /// Fails if the outbox or the state cannot be written; what was not told is told the next time.
    pub(super) fn tell(
        &self,
        told: &Told,
        sayings: &[&Saying],
        write: impl FnOnce(Told, usize) -> io::Result<()>,
    ) -> io::Result<()> {
        self.outbox.settle(&self.rules.writer, told.next)?;
        let channels: Vec<&dyn Channel> = self.channels.iter().map(|one| &**one).collect();
        let (mut new, mut count, mut failed) = (told.clone(), 0, None);
        for saying in sayings {
            let step = step(&new, &saying.happening, &self.rules, self.now_s);
            if let Some(notice) = &step.notice {
                let message = saying.message(notice, self.place);
                if let Err(error) = self.outbox.prepare(&message, &channels) {
                    failed = Some(error);
                    break;
                }
            }
            new = step.told;
            count += 1;
        }
        if count > 0 {
            let next = new.next;
            write(new, count)?;
            self.outbox.settle(&self.rules.writer, next)?;
        }
        failed.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests;
