//! Waiting for what has to be looked for.

use std::time::{Duration, Instant};

use tearless::hub::HubWatch;

/// What changes no channel, such as the death of its writer, is looked for that often.
const EVERY: Duration = Duration::from_millis(5);

/// What `look` finds, which looks whenever `watch` sees a change, and now and then. `None` if that is nothing for so long.
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
        watch.wait_any(EVERY);
    }
}
