//! Prune of a full store, which has no room even for the records of what is to be removed.
//!
//! Spec: `format-spec/12-store.md`, section 7, and `format-spec/13-commit.md`, section 4.

use super::Prune;
use crate::repo::Result;
use crate::repo::gc::reserve;

impl Prune<'_> {
    /// Runs a prune. If the store is full, releases the reserve, and first removes only unneeded
    /// packs.
    pub(super) fn run_with_room(&mut self) -> Result<()> {
        let ran = match self.run() {
            Err(error) if error.is_full() && !self.options.dry_run => self.run_tight(),
            ran => ran,
        };
        if ran.is_ok() && !self.options.dry_run {
            // For the next time; a concurrent prune may have stored it already.
            reserve::keep(self.repository)?;
        }
        ran
    }

    fn run_tight(&mut self) -> Result<()> {
        reserve::release(self.repository)?;
        self.is_tight = true;
        self.run()?;
        self.is_tight = false;
        let freed = self.report.removed_packs;
        match self.run() {
            // There is room again, though not enough to rewrite packs.
            Err(error) if error.is_full() && freed > 0 => Ok(()),
            ran => ran,
        }
    }
}
