//! Numbers that look random, the same for the same seed.

/// A generator (xorshift64*) whose whole state is its seed, so that a history can be played again.
pub struct Dice(u64);

impl Dice {
    /// Begins with a seed.
    pub fn new(seed: u64) -> Self {
        let mut dice = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..4 {
            dice.next();
        }
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Returns a number less than `end`, which must not be 0.
    pub fn below(&mut self, end: usize) -> usize {
        ((self.next() >> 11) % end as u64) as usize
    }

    /// Returns true so many times out of a hundred.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// Returns one of these.
    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// Returns this many bytes: noise, a text that repeats itself, or zeros.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        match self.below(6) {
            0 => vec![0; len],
            1 => {
                let word = format!("line {} of a text\n", self.below(1000));
                word.bytes().cycle().take(len).collect()
            }
            _ => {
                let mut bytes = Vec::with_capacity(len + 8);
                while bytes.len() < len {
                    bytes.extend_from_slice(&self.next().to_le_bytes());
                }
                bytes.truncate(len);
                bytes
            }
        }
    }
}
