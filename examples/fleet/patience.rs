//! Waiting for a condition that some changes of channels do not announce.

use std::thread;
use std::time::{Duration, Instant};

use tearless::hub::HubWatch;

/// The pause between two checks for a change that no channel announces, such as a writer's death.
const EVERY: Duration = Duration::from_millis(5);

/// Calls `look` after each change that `watch` reports, and every few milliseconds, until it finds
/// something. `None` if it finds nothing within `patience`.
pub(crate) fn within<R, E>(
    patience: Duration,
    mut watch: HubWatch,
    mut look: impl FnMut() -> Result<Option<R>, E>,
) -> Result<Option<R>, E> {
    let begin = Instant::now();
    loop {
        let found = look()?;
        if found.is_some() || begin.elapsed() >= patience {
            return Ok(found);
        }
        // What can't be watched, `look` finds out.
        if watch.wait_any(EVERY).is_err() {
            thread::sleep(EVERY);
        }
    }
}
