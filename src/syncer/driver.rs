//! The source of the ticks, a thread or a task of a tokio runtime, and the grid of times at which
//! they are due.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::report::SpawnError;
use super::shared::Shared;
use crate::clock::nanoseconds;
use crate::writer::Writer;

/// The thread's name for debuggers and `ps -T`, which show at most 15 characters.
const THREAD_NAME: &str = "tearless-sync";

/// The source of the ticks.
pub(super) enum Driver {
    Thread {
        /// Its drop ends the thread, also while the thread sleeps.
        keeps: Sender<Infallible>,
        thread: JoinHandle<()>,
    },
    #[cfg(feature = "tokio")]
    Task(tokio::task::JoinHandle<()>),
}

impl Driver {
    /// Starts a thread that ticks.
    pub(super) fn thread<T, C>(shared: &Arc<Shared<T, C>>, interval: Duration) -> Result<Driver, SpawnError>
    where
        T: Send + 'static,
        Writer<T, C>: Send + 'static,
    {
        let (shared, channel) = (Arc::clone(shared), || shared.channel.clone());
        let (keeps, kept) = mpsc::channel();
        let work = move || {
            let begin = Instant::now();
            let mut grid = Grid::new(interval);
            while kept.recv_timeout(grid.until_due(begin.elapsed())) == Err(RecvTimeoutError::Timeout) {
                shared.tick();
                shared.overrun(grid.advance(begin.elapsed()));
            }
        };
        let spawned = thread::Builder::new().name(THREAD_NAME.into()).spawn(work);
        let thread = spawned.map_err(|source| SpawnError::Thread(channel(), source))?;
        Ok(Driver::Thread { keeps, thread })
    }

    /// Starts a task that ticks for as long as the syncer keeps `shared`.
    #[cfg(feature = "tokio")]
    pub(super) fn task<T, C>(
        shared: &Arc<Shared<T, C>>,
        interval: Duration,
        runtime: &tokio::runtime::Handle,
    ) -> Driver
    where
        T: Send + 'static,
        Writer<T, C>: Send + 'static,
    {
        use tokio::time::{Instant, sleep};

        let shared = Arc::downgrade(shared);
        let _inside = runtime.enter();
        let begin = Instant::now();
        let mut grid = Grid::new(interval);
        // Made outside of the task: a runtime without a timer panics in the caller's thread.
        let mut due = Box::pin(sleep(interval));
        let work = async move {
            loop {
                due.as_mut().await;
                let Some(shared) = shared.upgrade() else { return };
                shared.tick();
                shared.overrun(grid.advance(begin.elapsed()));
                due.set(sleep(grid.until_due(begin.elapsed())));
            }
        };
        Driver::Task(runtime.spawn(work))
    }

    /// Ends the ticks and returns the thread, which ends after a running tick. A task may still be
    /// in its last tick.
    pub(super) fn stop(self) -> Option<JoinHandle<()>> {
        match self {
            Driver::Thread { keeps, thread } => {
                drop(keeps);
                Some(thread)
            }
            #[cfg(feature = "tokio")]
            Driver::Task(task) => {
                task.abort();
                None
            }
        }
    }
}

/// The times at which ticks are due: the multiples of an interval since the start.
#[derive(Debug)]
struct Grid {
    /// In nanoseconds, and not 0.
    interval: u64,
    /// In nanoseconds.
    due: u64,
}

impl Grid {
    fn new(interval: Duration) -> Grid {
        let interval = nanoseconds(interval).max(1);
        Grid { interval, due: interval }
    }

    /// The time from `now` until the next tick is due.
    fn until_due(&self, now: Duration) -> Duration {
        Duration::from_nanos(self.due.saturating_sub(nanoseconds(now)))
    }

    /// Called after a tick, which ended at `now`: the next tick is due at the first multiple that
    /// is not past. Returns the number of multiples that passed during the tick and are skipped.
    fn advance(&mut self, now: Duration) -> u64 {
        let late = nanoseconds(now).saturating_sub(self.due);
        let missed = late.saturating_sub(1) / self.interval;
        self.due = self.due.saturating_add(self.interval.saturating_mul(missed.saturating_add(1)));
        missed
    }
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
        assert_eq!(grid.until_due(ms(11)), ms(9), "on the grid, although the tick was late");
        assert_eq!(grid.advance(ms(30)), 0);
        assert_eq!(grid.until_due(ms(30)), ms(0), "a time that is exactly now is not missed");
    }

    #[test]
    fn missed_ticks_are_counted_and_skipped() {
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
