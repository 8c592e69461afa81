//! Chance with a seed (splitmix64), so that a failure can be played again with `KITH_TEST_SEED`.

use std::hash::{BuildHasher, RandomState};

pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `n` - 1.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// One of the choices.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }
}

/// A seed: the one in `KITH_TEST_SEED`, else a new one.
pub fn seed() -> u64 {
    match std::env::var("KITH_TEST_SEED") {
        Ok(seed) => seed.parse().expect("KITH_TEST_SEED is a number"),
        Err(_) => unpredictable(),
    }
}

/// A number that no other test has, whatever the seed.
pub fn unpredictable() -> u64 {
    RandomState::new().hash_one(std::process::id())
}
