//! Writers whose messages are held.
//!
//! A message is held from its preparation until its writer's state counts it. If the process dies
//! in between, no event need ever come again: so those who look at states look for such messages.

use std::collections::BTreeSet;
use std::io;

use super::folder::{Folder, SCRATCH};
use super::item::{HELD, ItemId, writer_key};

/// Writers that have messages to settle.
#[derive(Clone, Debug, Default)]
pub struct Held {
    keys: BTreeSet<String>,
}

impl Held {
    /// Looks into the folder of an outbox.
    pub fn of(folder: &impl Folder) -> io::Result<Self> {
        let names = folder.names()?;
        let keys = names.iter().filter_map(|name| {
            let whole = name.strip_suffix(SCRATCH).unwrap_or(name);
            Some(ItemId::parse(whole.strip_suffix(HELD)?)?.writer.to_owned())
        });
        Ok(Self { keys: keys.collect() })
    }

    /// Returns whether a writer is one of them.
    pub fn has(&self, writer: &str) -> bool {
        !self.keys.is_empty() && self.keys.contains(&writer_key(writer))
    }
}
