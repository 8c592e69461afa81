//! guard: stands in for another branch's.
pub struct Limits {
    pub max_depth: usize,
    pub max_complexity: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_depth: 15, max_complexity: 5000 }
    }
}
