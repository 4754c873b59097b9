//! Waiting until one of several channels changes: first spinning, then asleep.
//!
//! The handshake with the writer is `seqlock::waiting`. No wait depends on a wake-up alone: a
//! waiter sleeps in slices and looks at its channels in between.

#[cfg(feature = "async")]
mod notifier;

#[cfg(feature = "async")]
pub(crate) use notifier::{Notifier, Ticket};

use std::hint;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::channel::{ChannelReader, WaitersPage};
use crate::layout::registry::waiters;
#[cfg(feature = "async")]
use crate::memory::CountingMemory;
use crate::memory::Memory;
use crate::object::{self, Backend, Backoff, Slept};
use crate::registry::Registry;
use crate::seqlock::{WakeMode, announce_waiter};

/// The shortest sleep. A waiter that never sleeps would interrupt all writers in a loop.
const MIN_SLICE: Duration = Duration::from_millis(1);

policy! {
    /// How to wait for a publication.
    ///
    /// Default: spins for 5 µs, then sleeps for up to 100 ms at a time.
    pub struct WaitPolicy {
        /// How long to spin before sleeping. Spinning takes a processor; falling asleep and being
        /// woken costs tens of microseconds.
        spin: Duration = Duration::from_micros(5),
        /// How long to sleep at most before looking again without a wake-up: for a writer that is
        /// killed between publishing and waking, or that ends just before the sleep. At least a
        /// millisecond.
        slice: Duration = Duration::from_millis(100),
    }
}

/// A namespace: the backend with its objects, its name, and the thread that sleeps for its streams.
#[derive(Clone, Debug)]
pub(crate) struct NamespaceHandle {
    backend: Arc<dyn Backend>,
    namespace: Arc<str>,
    #[cfg(feature = "async")]
    notifier: Arc<Notifier>,
}

impl NamespaceHandle {
    pub(crate) fn new(backend: Arc<dyn Backend>, namespace: &str) -> NamespaceHandle {
        NamespaceHandle {
            #[cfg(feature = "async")]
            notifier: Arc::new(Notifier::new(backend.clone(), namespace)),
            backend,
            namespace: namespace.into(),
        }
    }

    pub(crate) fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Waits for channels of the namespace.
    pub(crate) fn waiter(&self, policy: WaitPolicy) -> Waiter {
        Waiter::new(self.backend.clone(), &self.namespace, policy)
    }

    /// The thread that sleeps for streams: one for all clones.
    #[cfg(feature = "async")]
    pub(crate) fn notifier(&self) -> &Arc<Notifier> {
        &self.notifier
    }
}

/// The result of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// There is a later publication, or another change.
    Newer,
    /// The channel has ended without a later publication.
    Ended,
    /// Nothing has changed until the timeout.
    TimedOut,
}

/// Waits for channels of a namespace.
#[derive(Debug)]
pub(crate) struct Waiter {
    backend: Arc<dyn Backend>,
    namespace: String,
    page: Option<WaitersPage>,
    policy: WaitPolicy,
}

impl Waiter {
    /// Opens nothing before the first sleep.
    pub(crate) fn new(backend: Arc<dyn Backend>, namespace: &str, policy: WaitPolicy) -> Waiter {
        Waiter { backend, namespace: namespace.into(), page: None, policy }
    }

    #[cfg(feature = "async")]
    fn another(&self) -> Waiter {
        Waiter::new(self.backend.clone(), &self.namespace, self.policy)
    }

    /// Waits until `channel` has a publication after number `after`, at most for `timeout`.
    pub(crate) fn wait_after(&mut self, channel: &ChannelReader, after: u64, timeout: Duration) -> Waited {
        let look = || match channel.page().progress() {
            progress if progress.publication > after => Ok(Waited::Newer),
            progress if progress.has_ended() => Ok(Waited::Ended),
            progress => Err(progress.publication),
        };
        self.wait(timeout, look, |waiter, seen, slice| match waiter.register(&[channel]) {
            // The writer may have ended the channel before it could see the announcement. A
            // publication in between is seen by the kernel, which compares the number.
            Registered::Everywhere if channel.is_closed() => Slept::LookAgain,
            Registered::Everywhere => channel.sleep_on_published(seen, slice),
            Registered::NotEverywhere => Slept::Refused,
        })
    }

    /// Waits until `changed` returns true, at most for `timeout`. What it depends on can change
    /// with a publication on one of `channels`, their end, or a new channel of the namespace.
    pub(crate) fn wait_any(
        &mut self,
        channels: &[&ChannelReader],
        timeout: Duration,
        mut changed: impl FnMut() -> bool,
    ) -> Waited {
        let look = || if changed() { Ok(Waited::Newer) } else { Err(0) };
        // An announcement holds until it is answered: it is made once for each page. After that,
        // one more look since the page was last rung is enough.
        let mut announced_on = None;
        let mut looked_since = None;
        self.wait(timeout, look, |waiter, _, slice| {
            let Some(rung) = waiter.rung() else { return Slept::Refused };
            if announced_on != Some(rung.instance) {
                looked_since = None;
                if waiter.register(channels) == Registered::NotEverywhere {
                    return Slept::Refused;
                }
                announced_on = Some(rung.instance);
            }
            if looked_since == Some(rung) {
                return waiter.sleep_on_rung(rung, slice);
            }
            looked_since = Some(rung);
            Slept::LookAgain
        })
    }

    /// Interrupts all waiters that sleep in [`Waiter::wait_any`], in every process: they look, and
    /// sleep again.
    #[cfg(feature = "async")]
    pub(crate) fn interrupt(&mut self) {
        if self.rung().is_none() {
            // Without a page no waiter sleeps for longer than a backoff.
            return;
        }
        if let Some(page) = &self.page {
            page.words.increment(waiters::RUNG);
            object::wake(&page.words, waiters::RUNG);
        }
    }

    /// Looks, and sleeps in between; `sleep` refuses where it could miss a change.
    fn wait(
        &mut self,
        timeout: Duration,
        mut look: impl FnMut() -> Result<Waited, u64>,
        mut sleep: impl FnMut(&mut Self, u64, Duration) -> Slept,
    ) -> Waited {
        let begin = Instant::now();
        let mut backoff = Backoff::new();
        loop {
            let seen = match look() {
                Ok(waited) => return waited,
                Err(seen) => seen,
            };
            let waited = begin.elapsed();
            if waited >= timeout {
                return Waited::TimedOut;
            }
            if waited < self.policy.spin {
                hint::spin_loop();
                continue;
            }
            let slice = self.policy.slice.max(MIN_SLICE).min(timeout - waited);
            if sleep(self, seen, slice) == Slept::Refused {
                backoff.wait();
            }
        }
    }

    /// s2, s3: announces a waiter to the writers of these channels, which the caller has looked at
    /// before. If some of the writers can't be reached, it announces to none: the others would make
    /// system calls for a waiter that does not sleep.
    fn register(&mut self, channels: &[&ChannelReader]) -> Registered {
        if !self.is_page_of_all(channels) {
            return Registered::NotEverywhere;
        }
        let Some(page) = &self.page else {
            // There is no channel to wait for.
            return Registered::Everywhere;
        };
        let words = channels.iter().map(|channel| waiters::of_channel(channel.channel()));
        announce_waiter(&page.words, words);
        // For writers without a fence.
        let needs_barrier = channels.iter().any(|channel| channel.page().wake_mode() == WakeMode::Barriers);
        match needs_barrier && !object::issue_barrier() {
            true => Registered::NotEverywhere,
            false => Registered::Everywhere,
        }
    }

    /// Whether all writers wake waiters and read the open page; opens it if it is not open.
    fn is_page_of_all(&mut self, channels: &[&ChannelReader]) -> bool {
        let Some(first) = channels.first() else { return true };
        let instance = first.page().waiters_instance();
        let wakes = |channel: &&ChannelReader| {
            channel.page().wake_mode() != WakeMode::Never && channel.page().waiters_instance() == instance
        };
        if instance == 0 || !channels.iter().all(wakes) {
            return false;
        }
        if self.page.as_ref().is_none_or(|page| page.instance != instance) {
            self.open_page();
        }
        self.page.as_ref().is_some_and(|page| page.instance == instance)
    }

    fn open_page(&mut self) {
        // Without the page (of another user, or its name was removed by hand) the waiter looks
        // again and again.
        self.page = Registry::of(&self.backend, &self.namespace).waiters_page().ok().flatten();
    }

    fn rung(&mut self) -> Option<Rung> {
        // A registry is removed with its last channel, and its page with it. The next registry has
        // a page of its own.
        if self.page.as_ref().is_none_or(|page| page.words.load(waiters::INSTANCE) != page.instance) {
            self.open_page();
        }
        let page = self.page.as_ref()?;
        Some(Rung { instance: page.instance, times: page.words.load(waiters::RUNG) })
    }

    fn sleep_on_rung(&self, rung: Rung, slice: Duration) -> Slept {
        match &self.page {
            Some(page) => object::sleep(&page.words, waiters::RUNG, rung.times, slice),
            None => Slept::Refused,
        }
    }
}

/// How often the waiters of one page were woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rung {
    instance: u64,
    times: u64,
}

/// Whether all writers can see that a process waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Registered {
    Everywhere,
    /// Some writers wake no process, or can't be reached.
    NotEverywhere,
}
