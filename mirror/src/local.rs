//! The channels of this host: those that others may read, and the copies of theirs.

mod copies;
mod published;
mod watching;

pub use copies::{CopyOptions, LocalCopies};
pub use published::{Published, PublishedChannel, Undecodable};

use std::sync::OnceLock;
use std::time::{Duration, Instant, UNIX_EPOCH};

/// Time since the first call, for the state machines.
pub fn now() -> Duration {
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    BEGIN.get_or_init(Instant::now).elapsed()
}

/// The time of day, since 1970, when [`now`] was zero: by this host's clock as it is at this
/// moment.
pub fn epoch() -> Duration {
    UNIX_EPOCH.elapsed().unwrap_or_default().saturating_sub(now())
}
