//! A shard: one thread with its own runtime, listener and connections. Requests stay on the shard that accepted them.

/// The number of a shard, from zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shard(usize);

impl Shard {
    /// The shard of this number.
    pub fn new(index: usize) -> Self {
        Self(index)
    }

    /// Its number.
    pub fn index(self) -> usize {
        self.0
    }
}
