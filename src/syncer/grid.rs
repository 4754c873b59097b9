//! When ticks are due: at the multiples of an interval.

use std::time::Duration;

/// The points in time that are multiples of an interval, counted from a beginning of the caller's choice.
#[derive(Debug)]
pub(super) struct Grid {
    /// In nanoseconds, as is `due`. Not 0.
    interval: u64,
    due: u64,
}

impl Grid {
    pub(super) fn new(interval: Duration) -> Grid {
        let interval = nanoseconds(interval).max(1);
        Grid { interval, due: interval }
    }

    /// How long it is, at `now`, until the next tick is due.
    pub(super) fn until_due(&self, now: Duration) -> Duration {
        Duration::from_nanos(self.due.saturating_sub(nanoseconds(now)))
    }

    /// A tick has taken place and was done at `now`: the next one is due at the first point that is not past. Returns how
    /// many have passed meanwhile, and are skipped.
    pub(super) fn advance(&mut self, now: Duration) -> u64 {
        let late = nanoseconds(now).saturating_sub(self.due);
        let missed = late.saturating_sub(1) / self.interval;
        self.due = self.due.saturating_add(self.interval.saturating_mul(missed.saturating_add(1)));
        missed
    }
}

/// Saturates after 584 years.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn ticks_in_time_are_due_one_interval_after_the_other() {
        let mut grid = Grid::new(ms(10));
        assert_eq!(grid.until_due(ms(0)), ms(10));
        assert_eq!(grid.advance(ms(11)), 0);
        assert_eq!(grid.until_due(ms(11)), ms(9), "on the grid, though the tick was late");
        assert_eq!(grid.advance(ms(30)), 0);
        assert_eq!(grid.until_due(ms(30)), ms(0), "a point that is just there is not missed");
    }

    #[test]
    fn missed_ticks_are_counted_and_not_made_up_for() {
        let mut grid = Grid::new(ms(10));
        assert_eq!(grid.advance(ms(45)), 3, "20, 30, 40");
        assert_eq!(grid.until_due(ms(45)), ms(5));
        assert_eq!(grid.advance(ms(50)), 0);
        assert_eq!(grid.until_due(ms(50)), ms(10));
    }

    #[test]
    fn the_longest_intervals_overflow_nothing() {
        let mut grid = Grid::new(Duration::MAX);
        assert!(grid.until_due(ms(1)) > ms(1_000_000_000));
        assert_eq!(grid.advance(Duration::MAX), 0);
        assert_eq!(grid.until_due(Duration::MAX), Duration::ZERO);
    }
}
