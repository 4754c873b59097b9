//! The mirror of one origin: a thread that asks and looks after the copies. A reply is applied by
//! the thread that brings it: to wake another one would take longer than to apply it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::carrier::{Carrier, OnReply};
use crate::local::{LocalCopies, epoch, now};
use crate::message::{Interest, micros};
use crate::run::Events;
use crate::sink::{Options, Sink};
use crate::status::OriginState;

/// How long a sink waits until it looks whether it shall end.
const TICK: Duration = Duration::from_millis(250);
/// How often a sink looks after its copies.
const CHECK: Duration = Duration::from_secs(1);

/// What the thread of an origin and those that bring replies share.
struct Shared {
    /// `None` after the end.
    sink: Mutex<Option<Sink<LocalCopies>>>,
    /// Wakes the thread: there may be something to ask for.
    changed: Condvar,
    ends: AtomicBool,
    report: Mutex<OriginState>,
}

impl Shared {
    fn reply(&self, id: u64, reply: Option<&[u8]>) {
        if let Some(sink) = &mut *lock(&self.sink) {
            sink.reply(now(), id, reply);
        }
        self.changed.notify_one();
    }
}

/// An origin that is mirrored.
pub(crate) struct Mirroring {
    thread: JoinHandle<()>,
    shared: Arc<Shared>,
    /// Since when its host has not been there.
    pub vanished_at: Option<Duration>,
}

impl Mirroring {
    pub fn start(
        sink: Sink<LocalCopies>,
        carrier: Arc<dyn Carrier>,
        events: Events,
    ) -> Result<Mirroring, String> {
        let host = sink.origin().to_owned();
        let shared = Arc::new(Shared {
            sink: Mutex::new(Some(sink)),
            changed: Condvar::new(),
            ends: AtomicBool::new(false),
            report: Mutex::default(),
        });
        let thread = thread::Builder::new().name(format!("mirror {host}"));
        let origin = Origin { host, carrier, events, shared: Arc::clone(&shared) };
        let thread = thread.spawn(move || origin.run());
        let thread = thread.map_err(|error| format!("cannot start a thread: {error}"))?;
        Ok(Mirroring { thread, shared, vanished_at: None })
    }

    /// Wants other channels, or within other limits.
    pub fn reload(&self, interest: Vec<Interest>, options: Options) {
        if let Some(sink) = &mut *lock(&self.shared.sink) {
            sink.reload(interest, options);
        }
        self.shared.changed.notify_one();
    }

    pub fn report(&self) -> OriginState {
        lock(&self.shared.report).clone()
    }

    /// Tells the thread to end, which takes a while.
    pub fn end(&self) {
        // Relaxed: nothing but the end follows from it.
        self.shared.ends.store(true, Ordering::Relaxed);
        self.shared.changed.notify_one();
    }

    /// Ends the mirror of the origin: its copies are removed.
    pub fn stop(self) {
        self.end();
        let _ = self.thread.join();
    }
}

/// What the thread of an origin has.
struct Origin {
    host: String,
    carrier: Arc<dyn Carrier>,
    events: Events,
    shared: Arc<Shared>,
}

impl Origin {
    /// Mirrors the origin until the end.
    fn run(self) {
        let (mut checked_at, mut reported_at) = (now(), Duration::ZERO);
        while !self.shared.ends.load(Ordering::Relaxed) {
            self.ask();
            if now() >= reported_at + TICK {
                reported_at = now();
                self.report();
            }
            let mut sink = lock(&self.shared.sink);
            let Some(open) = &mut *sink else { return };
            if now() >= checked_at + CHECK {
                checked_at = now();
                open.check(now());
            }
            // Replies that have come since it was polled count: they change this time.
            let wait = open.next_poll(now()).saturating_sub(now()).min(TICK);
            if !wait.is_zero() {
                drop(self.shared.changed.wait_timeout(sink, wait));
            }
        }
        let sink = lock(&self.shared.sink).take();
        if let Some(sink) = sink {
            sink.close();
        }
    }

    /// Asks for what is due.
    fn ask(&self) {
        let requests = match &mut *lock(&self.shared.sink) {
            Some(sink) => {
                let requests = sink.poll(now()).into_iter();
                requests.map(|request| (sink.patience(&request), request)).collect()
            }
            None => Vec::new(),
        };
        for (patience, request) in requests {
            // Not the carrier, which must not be dropped by a thread that it waits for.
            let (id, shared) = (request.id, Arc::clone(&self.shared));
            let on_reply: OnReply = Arc::new(move |reply| shared.reply(id, reply.as_deref()));
            self.carrier.ask(&self.host, request.encode(), patience, on_reply);
        }
    }

    fn report(&self) {
        let Some((report, clock)) =
            lock(&self.shared.sink).as_ref().map(|sink| (sink.report(now()), sink.clock()))
        else {
            return;
        };
        let clock = clock.map(|(_, there)| there.saturating_sub(micros(epoch()).cast_signed()));
        let latest = OriginState { clock_ahead: clock.map(|micros| micros as f64 / 1e6), ..report };
        let former = std::mem::replace(&mut *lock(&self.shared.report), latest.clone());
        if latest.unreachable != former.unreachable {
            let event = if latest.unreachable { "unreachable" } else { "reachable again" };
            self.events.tell(event, &[("origin", &latest.host)]);
        }
        for why in latest.refused.iter().filter(|why| !former.refused.contains(why)) {
            self.events.tell("not mirrored", &[("origin", &latest.host), ("channel", why)]);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
