//! The channels of this host: those that others may read, and the copies of theirs.

mod copies;
mod published;

pub use copies::{CopyOptions, LocalCopies};
pub use published::{Published, PublishedChannel};

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Time since the first call, for the state machines.
pub fn now() -> Duration {
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    BEGIN.get_or_init(Instant::now).elapsed()
}
