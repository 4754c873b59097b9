//! How a busy worker receives orders, and keeps its pace.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};
use std::{fmt, hint, io, thread};

use serde::{Deserialize, Serialize};

use super::{Link, REPORT};
use crate::Failure;

/// From this period on, a worker sleeps instead of watching the clock.
const SLEEPS: Duration = Duration::from_millis(1);

/// An order to a busy worker.
pub(crate) enum Order {
    /// Report the work so far.
    Report,
    /// Close your channels.
    End,
}

/// The orders as they arrive.
pub(crate) struct Orders {
    link: Link,
    /// Set after an order was sent to `orders`: checking it costs a load.
    is_pending: Arc<AtomicBool>,
    orders: Receiver<Order>,
}

impl Orders {
    /// Reports that this worker is ready, and starts to listen.
    pub(crate) fn ready(mut link: Link) -> Result<Orders, Failure> {
        link.say(&"ready")?;
        let heard = Link::new(link.stream.get_ref().try_clone()?);
        let is_pending = Arc::new(AtomicBool::new(false));
        let (sender, orders) = channel();
        let mark = Arc::clone(&is_pending);
        thread::Builder::new().name("orders".into()).spawn(move || listen(heard, &mark, &sender))?;
        Ok(Orders { link, is_pending, orders })
    }

    /// The next order, if there is one.
    pub(crate) fn poll(&self) -> Option<Order> {
        if !self.is_pending.load(Ordering::Relaxed) {
            return None;
        }
        // Cleared before the queue is checked: an order that arrives later sets the mark again.
        self.is_pending.store(false, Ordering::Relaxed);
        let order = self.orders.try_recv().ok()?;
        self.is_pending.store(true, Ordering::Relaxed);
        Some(order)
    }

    /// The next order, if one comes before `until`.
    fn wait_until(&self, until: Instant) -> Option<Order> {
        match self.orders.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(order) => Some(order),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Order::End),
        }
    }

    /// The next order, whenever it comes.
    fn wait(&self) -> Order {
        self.orders.recv().unwrap_or(Order::End)
    }

    /// Answers a [`Order::Report`].
    pub(crate) fn say<T: Serialize>(&mut self, value: &T) -> Result<(), Failure> {
        self.link.say(value)
    }
}

/// Forwards orders until the input ends.
fn listen(mut link: Link, is_pending: &AtomicBool, orders: &Sender<Order>) {
    loop {
        let order = match link.next() {
            Ok(Some(line)) if line == REPORT => Order::Report,
            Ok(Some(_)) => continue,
            Ok(None) | Err(_) => Order::End,
        };
        let is_end = matches!(order, Order::End);
        let is_heard = orders.send(order).is_ok();
        // The queue transfers the order; the mark only makes the worker check the queue.
        is_pending.store(true, Ordering::Relaxed);
        if is_end || !is_heard {
            return;
        }
    }
}

/// The frequency of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Rate {
    /// Once, at the beginning.
    Once,
    /// At this rate per second, or as fast as it can.
    Hertz(u32),
    /// As often as possible.
    FlatOut,
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&match self {
            Rate::Once => "0".into(),
            Rate::FlatOut => "flat out".into(),
            Rate::Hertz(hertz) if *hertz >= 1_000_000 => format!("{} MHz", hertz / 1_000_000),
            Rate::Hertz(hertz) if *hertz >= 1_000 => format!("{} kHz", hertz / 1_000),
            Rate::Hertz(hertz) => format!("{hertz} Hz"),
        })
    }
}

/// The times at which a worker acts.
pub(crate) struct Pace {
    rate: Rate,
    tick: Instant,
}

impl Pace {
    /// Begins now.
    pub(crate) fn new(rate: Rate) -> Pace {
        Pace { rate, tick: Instant::now() }
    }

    /// Waits for the next time, which returns `None`, or for an order, which comes first. Skips
    /// missed times: catching up would be a burst.
    pub(crate) fn next(&mut self, orders: &Orders) -> Option<Order> {
        let period = match self.rate {
            Rate::Once => return Some(orders.wait()),
            Rate::FlatOut => return orders.poll(),
            Rate::Hertz(hertz) => Duration::from_secs(1) / hertz,
        };
        let order = if period >= SLEEPS {
            orders.wait_until(self.tick)
        } else {
            while Instant::now() < self.tick {
                hint::spin_loop();
            }
            orders.poll()
        };
        if order.is_none() {
            self.tick = (self.tick + period).max(Instant::now());
        }
        order
    }
}

/// Whether an error only means that the main process has ended, or no longer reads.
pub(crate) fn is_hung_up(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}
