//! What a worker says of itself, and how it is told to drain.

use super::release;

/// The worker's state: anybody may read it, and whoever may write system information may set it (Trino 470 and 476).
pub const STATE: &str = "/v1/info/state";

/// The first release that was seen to know `DRAINING`, from which there is a way back. Before it there is `SHUTTING_DOWN`.
const FIRST_TO_DRAIN: u32 = 470;

/// A state of a worker that matters to who would remove it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerState {
    /// It takes tasks.
    Active,
    /// It takes none, and ends those that it has.
    Draining,
    /// It has none left.
    Drained,
    /// It ends by itself when it has none left; there is no way back.
    ShuttingDown,
}

impl WorkerState {
    /// As Trino writes it, in JSON: to set it, or as the answer to the question for it.
    pub fn as_json(self) -> &'static str {
        match self {
            Self::Active => "\"ACTIVE\"",
            Self::Draining => "\"DRAINING\"",
            Self::Drained => "\"DRAINED\"",
            Self::ShuttingDown => "\"SHUTTING_DOWN\"",
        }
    }

    /// Reads an answer; none for a state that no worker has for long.
    pub fn read(answer: &[u8]) -> Option<Self> {
        let states = [Self::Active, Self::Draining, Self::Drained, Self::ShuttingDown];
        states.into_iter().find(|state| state.as_json().as_bytes() == answer.trim_ascii())
    }
}

/// Whether workers of that version can be asked to drain, and be taken back.
pub fn can_drain(version: &str) -> bool {
    release(version).is_some_and(|release| release >= FIRST_TO_DRAIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_read_as_trino_writes_them() {
        assert_eq!(WorkerState::read(b"\"DRAINED\""), Some(WorkerState::Drained));
        assert_eq!(WorkerState::read(b"\"ACTIVE\"\n"), Some(WorkerState::Active));
        assert_eq!(WorkerState::read(b"\"SHUTTING_DOWN\""), Some(WorkerState::ShuttingDown));
        assert_eq!(WorkerState::read(b"\"INACTIVE\""), None);
        assert_eq!(WorkerState::read(b"<html>"), None);
    }

    #[test]
    fn old_releases_know_no_way_back() {
        assert!(can_drain("470") && can_drain("476-patched") && can_drain("1000"));
        assert!(!can_drain("469") && !can_drain("dev"));
    }
}
