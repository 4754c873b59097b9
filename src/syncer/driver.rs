//! Where the ticks come from: a thread, or a task of a tokio runtime.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::SpawnError;
use super::grid::Grid;
use super::shared::Shared;
use crate::writer::Writer;

/// The thread's name, as debuggers and `ps -T` show it: at most 15 characters.
const THREAD_NAME: &str = "tearless-sync";

/// What makes the ticks.
pub(super) enum Driver {
    Thread {
        signal: Arc<Signal>,
        thread: JoinHandle<()>,
    },
    #[cfg(feature = "tokio")]
    Task(tokio::task::JoinHandle<()>),
}

/// Tells the thread, while it sleeps, to end.
#[derive(Default)]
pub(super) struct Signal {
    order: Mutex<Order>,
    rung: Condvar,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Order {
    #[default]
    GoOn,
    End,
}

impl Signal {
    fn raise(&self) {
        // Nobody panics with this lock.
        *self.order.lock().unwrap_or_else(PoisonError::into_inner) = Order::End;
        self.rung.notify_one();
    }

    /// Sleeps for `time`, or until it is told to end.
    fn sleep(&self, time: Duration) -> Order {
        let order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        let woken = self.rung.wait_timeout_while(order, time, |order| *order == Order::GoOn);
        *woken.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Driver {
    /// Starts a thread that ticks.
    pub(super) fn thread<T, C>(shared: Arc<Shared<T, C>>, interval: Duration) -> Result<Driver, SpawnError>
    where
        T: Send + 'static,
        Writer<T, C>: Send + 'static,
    {
        let signal = Arc::<Signal>::default();
        let heard = Arc::clone(&signal);
        let work = move || {
            let begin = Instant::now();
            let mut grid = Grid::new(interval);
            while heard.sleep(grid.until_due(begin.elapsed())) == Order::GoOn {
                shared.tick();
                shared.overrun(grid.advance(begin.elapsed()));
            }
        };
        let spawned = thread::Builder::new().name(THREAD_NAME.into()).spawn(work);
        Ok(Driver::Thread { signal, thread: spawned.map_err(SpawnError::Thread)? })
    }

    /// Starts a task that ticks for as long as somebody else has `shared`.
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
        // Made here, so that a runtime without a timer panics here and not unheard in the task.
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

    /// Lets the ticks end. A thread has ended when this returns; a task may be at its last tick, and does no other.
    pub(super) fn stop(self) {
        match self {
            Driver::Thread { signal, thread } => {
                signal.raise();
                // It has no way to panic: what users wrote is caught. And if it did: the last state is published next.
                let _ = thread.join();
            }
            #[cfg(feature = "tokio")]
            Driver::Task(task) => task.abort(),
        }
    }
}
