//! Stack of a walk whose upper levels drop what they can read again, so that a deep walk needs
//! little memory.

/// Most memory for the decoded nodes of all levels of one walk, in bytes, as an estimate.
const HELD_MAX_BYTES: usize = 32 << 20;

/// A level of a walk that holds memory for what it can read again.
pub trait Holds {
    /// Returns the memory for what it can read again in bytes, as an estimate.
    fn held_bytes(&self) -> usize;

    /// Drops what it can read again; it does so when the level is used again.
    fn give_up(&mut self);
}

/// The levels of a walk, the deepest last.
///
/// The deepest level always keeps what it needs. Of the others, those nearest to the top drop
/// theirs first, because they are needed last.
pub struct Stack<T> {
    levels: Vec<T>,
    held_bytes: usize,
    /// Levels before this one hold no memory.
    first: usize,
}

impl<T: Holds> Stack<T> {
    /// Makes a stack without levels.
    pub fn new() -> Self {
        Self { levels: Vec::new(), held_bytes: 0, first: 0 }
    }

    /// Returns whether there is no level.
    pub fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }

    /// Returns how many levels there are.
    pub fn len(&self) -> usize {
        self.levels.len()
    }

    /// Adds a level below all others.
    pub fn push(&mut self, level: T) {
        self.held_bytes += level.held_bytes();
        self.levels.push(level);
        self.make_room();
    }

    /// Removes and returns the deepest level.
    pub fn pop(&mut self) -> Option<T> {
        let level = self.levels.pop()?;
        self.held_bytes -= level.held_bytes();
        self.first = self.first.min(self.levels.len());
        Some(level)
    }

    /// Returns the deepest level.
    pub fn last(&self) -> Option<&T> {
        self.levels.last()
    }

    /// Calls `work` with the deepest level, which may then hold more or less memory.
    pub fn with_last<R>(&mut self, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        let level = self.levels.last_mut()?;
        let before = level.held_bytes();
        let result = work(level);
        let after = level.held_bytes();
        if after != before {
            self.held_bytes = self.held_bytes - before + after;
            self.first = self.first.min(self.levels.len() - 1);
            self.make_room();
        }
        Some(result)
    }

    /// Removes all levels.
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    fn make_room(&mut self) {
        while self.held_bytes > HELD_MAX_BYTES && self.first + 1 < self.levels.len() {
            let level = &mut self.levels[self.first];
            self.held_bytes -= level.held_bytes();
            level.give_up();
            self.held_bytes += level.held_bytes();
            self.first += 1;
        }
    }
}

impl<T: Holds> Default for Stack<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Level {
        has_read: bool,
        len_bytes: usize,
    }

    impl Holds for Level {
        fn held_bytes(&self) -> usize {
            if self.has_read { self.len_bytes } else { 0 }
        }

        fn give_up(&mut self) {
            self.has_read = false;
        }
    }

    #[test]
    fn only_what_fits_is_held_and_the_deepest_always() {
        let mut stack = Stack::new();
        let part = HELD_MAX_BYTES / 4;
        for _ in 0..1_000 {
            stack.push(Level { has_read: false, len_bytes: part });
            stack.with_last(|level| level.has_read = true);
            assert!(stack.held_bytes <= HELD_MAX_BYTES);
        }
        assert_eq!(stack.levels.iter().filter(|level| level.has_read).count(), 4);
        while stack.len() > 1 {
            stack.pop();
            stack.with_last(|level| level.has_read = true);
            assert!(
                stack.held_bytes <= HELD_MAX_BYTES
                    && stack.last().is_some_and(|level| level.has_read)
            );
        }
        stack.with_last(|level| level.len_bytes = 4 * HELD_MAX_BYTES);
        assert!(
            stack.last().is_some_and(|level| level.has_read),
            "there is no other level to drop"
        );
        stack.pop();
        assert_eq!((stack.held_bytes, stack.is_empty()), (0, true));
    }
}
