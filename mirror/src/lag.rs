//! How late states come: mean and maximum of the last minute, and what the clocks say.

use std::time::Duration;

use crate::message::micros;

/// A report is of this time, and of up to as much before it.
const WINDOW: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Default)]
struct Window {
    began_at: Duration,
    count: u32,
    sum: Duration,
    max: Duration,
}

/// The lags of the last 30 to 60 seconds.
#[derive(Default)]
pub(crate) struct Lag {
    former: Window,
    latest: Window,
}

impl Lag {
    /// A state that is applied now has this lag.
    pub(crate) fn add(&mut self, now: Duration, lag: Duration) {
        if now >= self.latest.began_at + WINDOW {
            self.former = std::mem::replace(&mut self.latest, Window { began_at: now, ..Window::default() });
        }
        let window = &mut self.latest;
        window.count = window.count.saturating_add(1);
        window.sum = window.sum.saturating_add(lag);
        window.max = window.max.max(lag);
    }

    fn recent(&self, now: Duration) -> impl Iterator<Item = &Window> {
        let is_recent = move |window: &&Window| window.count > 0 && now < window.began_at + 2 * WINDOW;
        [&self.former, &self.latest].into_iter().filter(is_recent)
    }

    /// The mean; `None` if no state has come.
    pub(crate) fn mean(&self, now: Duration) -> Option<Duration> {
        let count: u32 = self.recent(now).map(|window| window.count).fold(0, u32::saturating_add);
        let sum = self.recent(now).map(|window| window.sum).fold(Duration::ZERO, Duration::saturating_add);
        sum.checked_div(count)
    }

    /// The longest.
    pub(crate) fn max(&self, now: Duration) -> Option<Duration> {
        self.recent(now).map(|window| window.max).max()
    }
}

/// The clock of an origin, by the fastest round of late.
#[derive(Clone, Copy, Default)]
pub(crate) struct Clock {
    /// The round trip, and the time of day there when this host's `now` was zero, in microseconds
    /// since 1970.
    pub(crate) latest: Option<(Duration, i64)>,
}

impl Clock {
    /// Takes a round that took so long, with a reply that was made at this time of day. Returns how
    /// long the reply was under way.
    pub(crate) fn add(&mut self, now: Duration, took: Duration, clock_us: u64) -> Duration {
        // It forgets by a hundredth each time.
        let former = self.latest.map(|(trip, epoch_us)| (trip + trip / 100, epoch_us));
        let latest = former.filter(|(trip, _)| *trip < took).unwrap_or_else(|| {
            (took, clock_us.wrapping_sub(micros(now.saturating_sub(took / 2))).cast_signed())
        });
        self.latest = Some(latest);
        // The request is short: what made a round slower is the reply.
        took - latest.0 / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_of_the_last_minute() {
        let [second, milli] = [Duration::from_secs(1), Duration::from_millis(1)];
        let mut lag = Lag::default();
        assert_eq!((lag.mean(second), lag.max(second)), (None, None));
        lag.add(second, 9 * milli);
        lag.add(2 * second, milli);
        assert_eq!((lag.mean(2 * second), lag.max(2 * second)), (Some(5 * milli), Some(9 * milli)));
        lag.add(35 * second, 2 * milli);
        assert_eq!((lag.mean(35 * second), lag.max(35 * second)), (Some(4 * milli), Some(9 * milli)));
        assert_eq!((lag.mean(70 * second), lag.max(70 * second)), (Some(2 * milli), Some(2 * milli)));
        assert_eq!((lag.mean(99 * second), lag.max(99 * second)), (None, None));
        lag.add(99 * second, Duration::MAX);
        lag.add(99 * second, Duration::MAX);
        assert_eq!(lag.max(99 * second), Some(Duration::MAX));
    }
}
