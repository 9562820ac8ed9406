//! A folder in memory that dies when it is told to.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;

use super::super::folder::{Folder, SCRATCH};

/// A death, and what the change during which it comes leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    /// The change was not made; a scratch file may be left.
    Before,
    /// The change was made, and nobody heard of it.
    After,
}

/// A folder in memory. Every change is durable, as the trait demands.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    files: RefCell<BTreeMap<String, Vec<u8>>>,
    /// Changes until the death, if one is planned.
    plan: Cell<Option<(u32, Death)>>,
    is_dead: Cell<bool>,
}

impl Memory {
    /// Plans a death in the change after so many others.
    pub(crate) fn die_after(&self, changes: u32, death: Death) {
        self.plan.set(Some((changes, death)));
    }

    /// Starts the process again, and returns whether it had died.
    pub(crate) fn revive(&self) -> bool {
        self.plan.set(None);
        self.is_dead.replace(false)
    }

    /// Returns a file as it is on the disk, also after a death.
    pub(crate) fn stored(&self, name: &str) -> Option<Vec<u8>> {
        self.files.borrow().get(name).cloned()
    }

    fn alive(&self) -> io::Result<()> {
        if self.is_dead.get() { Err(io::Error::other("dead")) } else { Ok(()) }
    }

    fn change(
        &self,
        name: &str,
        apply: impl FnOnce(&mut BTreeMap<String, Vec<u8>>),
    ) -> io::Result<()> {
        self.alive()?;
        match self.plan.get() {
            Some((0, death)) => {
                self.is_dead.set(true);
                match death {
                    Death::Before => {
                        let scratch = format!("{name}{SCRATCH}");
                        self.files.borrow_mut().insert(scratch, b"{\"half".to_vec());
                    }
                    Death::After => apply(&mut self.files.borrow_mut()),
                }
                return self.alive();
            }
            Some((changes, death)) => self.plan.set(Some((changes - 1, death))),
            None => {}
        }
        apply(&mut self.files.borrow_mut());
        Ok(())
    }
}

impl Folder for &Memory {
    fn names(&self) -> io::Result<Vec<String>> {
        self.alive()?;
        Ok(self.files.borrow().keys().cloned().collect())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.alive()?;
        self.stored(name).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        self.change(name, |files| {
            files.remove(&format!("{name}{SCRATCH}"));
            files.insert(name.to_owned(), content.to_vec());
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change(from, |files| {
            if let Some(content) = files.remove(from) {
                files.insert(to.to_owned(), content);
            }
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.change(name, |files| drop(files.remove(name)))
    }

    fn lock(&self) -> io::Result<Option<Box<dyn Any>>> {
        self.alive()?;
        Ok(Some(Box::new(())))
    }
}
