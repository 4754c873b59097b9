//! The mirror of one origin: a thread that asks and looks after the copies. A reply that takes
//! little time is applied by the thread of the carrier that brings it: to wake another would take
//! longer.

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
/// Longer replies take more time to apply than to wake a thread.
const MAX_QUICK_BYTES: usize = 16 << 10;
/// How often a sink looks after its copies.
const CHECK: Duration = Duration::from_secs(1);

/// What has come for the thread of an origin.
#[derive(Default)]
struct Inbox {
    /// Replies that it applies, by the requests' numbers.
    replies: Vec<(u64, Option<Vec<u8>>)>,
    /// Whether the sink is another since the thread has looked.
    is_changed: bool,
}

/// What the thread of an origin and those that bring replies share.
struct Shared {
    /// `None` after the end.
    sink: Mutex<Option<Sink<LocalCopies>>>,
    /// Never locked for long.
    inbox: Mutex<Inbox>,
    /// Wakes the thread.
    came: Condvar,
    ends: AtomicBool,
    report: Mutex<OriginState>,
}

impl Shared {
    /// Called by threads of the carrier, which must not wait.
    fn reply(&self, id: u64, reply: Option<Vec<u8>>) {
        let is_applied = reply.as_ref().is_some_and(|reply| self.apply_quickly(id, reply));
        let mut inbox = lock(&self.inbox);
        inbox.is_changed = true;
        if !is_applied {
            inbox.replies.push((id, reply));
        }
        self.came.notify_one();
    }

    fn apply_quickly(&self, id: u64, reply: &[u8]) -> bool {
        if reply.len() > MAX_QUICK_BYTES {
            return false;
        }
        let Ok(mut sink) = self.sink.try_lock() else { return false };
        let Some(sink) = sink.as_mut().filter(|sink| sink.is_quick(reply)) else { return false };
        sink.reply(now(), id, Some(reply));
        true
    }

    /// Waits until something comes, and takes the replies.
    fn wait(&self, timeout: Duration) -> Vec<(u64, Option<Vec<u8>>)> {
        let nothing = |inbox: &mut Inbox| !inbox.is_changed;
        let waited = self.came.wait_timeout_while(lock(&self.inbox), timeout, nothing);
        let (mut inbox, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *inbox).replies
    }

    /// Wakes the thread.
    fn change(&self) {
        lock(&self.inbox).is_changed = true;
        self.came.notify_one();
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
            inbox: Mutex::default(),
            came: Condvar::new(),
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
        self.shared.change();
    }

    pub fn report(&self) -> OriginState {
        lock(&self.shared.report).clone()
    }

    /// Tells the thread to end, which takes a while.
    pub fn end(&self) {
        // Relaxed: nothing but the end follows from it.
        self.shared.ends.store(true, Ordering::Relaxed);
        self.shared.change();
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
            if now() >= checked_at + CHECK {
                checked_at = now();
                self.with_sink(|sink| sink.check(now()));
            }
            let next = self.with_sink(|sink| sink.next_poll(now())).unwrap_or_default();
            for (id, reply) in self.shared.wait(next.saturating_sub(now()).min(TICK)) {
                self.with_sink(|sink| sink.reply(now(), id, reply.as_deref()));
            }
        }
        let sink = lock(&self.shared.sink).take();
        if let Some(sink) = sink {
            sink.close();
        }
    }

    fn with_sink<T>(&self, work: impl FnOnce(&mut Sink<LocalCopies>) -> T) -> Option<T> {
        lock(&self.shared.sink).as_mut().map(work)
    }

    /// Asks for what is due.
    fn ask(&self) {
        let requests: Option<Vec<_>> = self.with_sink(|sink| {
            let requests = sink.poll(now()).into_iter();
            requests.map(|request| (sink.patience(&request), request)).collect()
        });
        for (patience, request) in requests.unwrap_or_default() {
            // Not the carrier, which must not be dropped by a thread that it waits for.
            let (id, shared) = (request.id, Arc::clone(&self.shared));
            let on_reply: OnReply = Arc::new(move |reply| shared.reply(id, reply));
            self.carrier.ask(&self.host, request.encode(), patience, on_reply);
        }
    }

    fn report(&self) {
        let report = self.with_sink(|sink| (sink.report(now()), sink.clock()));
        let Some((report, clock)) = report else { return };
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
