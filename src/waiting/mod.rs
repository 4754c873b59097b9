//! Waiting until a channel, or any of several, has something new: first spinning, then asleep.
//!
//! The handshake with the writer is `seqlock::waiting`. Nothing here depends on a wake-up alone: who sleeps does so in
//! slices, and looks for itself in between.

mod handle;
#[cfg(feature = "async")]
mod notifier;

pub(crate) use handle::NamespaceHandle;
#[cfg(feature = "async")]
pub(crate) use notifier::{Notifier, Ticket};

use std::fmt;
use std::hint;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::channel::{Backoff, ChannelReader, WaitersPage};
use crate::layout::registry::waiters;
use crate::memory::{CountingMemory, Memory};
use crate::object::{self, Backend, Slept};
use crate::registry;
use crate::seqlock::{WakeMode, register_waiter};

/// How long one sleeps at least, if nobody wakes: a slice of nothing would be a loop that interrupts all writers.
const MIN_SLICE: Duration = Duration::from_millis(1);

/// How to wait for a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WaitPolicy {
    /// How long to look again and again before sleeping. Falling asleep and being woken costs tens of microseconds, and
    /// spinning a processor.
    pub spin: Duration,
    /// How long to sleep at most before looking again without having been woken: for a writer that is killed between
    /// publishing and waking, and for one that ends just before the sleep. At least a millisecond.
    pub slice: Duration,
}

impl WaitPolicy {
    /// Spins for `spin`, then sleeps for `slice` at a time.
    #[must_use]
    pub const fn new(spin: Duration, slice: Duration) -> WaitPolicy {
        WaitPolicy { spin, slice }
    }
}

impl Default for WaitPolicy {
    /// Spins for 5 µs, then sleeps for 100 ms at a time.
    fn default() -> Self {
        WaitPolicy { spin: Duration::from_micros(5), slice: Duration::from_millis(100) }
    }
}

/// What came of waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// There is something new.
    Newer,
    /// There will not be, because the channel has ended.
    Ended,
    /// There was nothing for as long as one would wait.
    TimedOut,
}

/// Waits for channels of a namespace.
pub(crate) struct Waiter {
    backend: Arc<dyn Backend>,
    namespace: String,
    page: Option<WaitersPage>,
    policy: WaitPolicy,
}

impl Waiter {
    /// Opens nothing before anybody sleeps.
    pub(crate) fn new(backend: Arc<dyn Backend>, namespace: &str, policy: WaitPolicy) -> Waiter {
        Waiter { backend, namespace: namespace.into(), page: None, policy }
    }

    /// Waits until `channel` has a publication after number `after`, at most for `timeout`.
    pub(crate) fn wait_after(&mut self, channel: &ChannelReader, after: u64, timeout: Duration) -> Waited {
        let look = || match channel.page().progress() {
            progress if progress.publication > after => Ok(Waited::Newer),
            progress if progress.has_ended() => Ok(Waited::Ended),
            progress => Err(progress.publication),
        };
        self.wait(timeout, look, |waiter, seen, slice| match waiter.register(&[channel]) {
            // The channel may have ended before it could know of us; a publication is noticed by the kernel.
            Registered::Everywhere if channel.is_closed() => Slept::LookAgain,
            Registered::Everywhere => channel.sleep_on_published(seen, slice),
            Registered::NotEverywhere => Slept::Refused,
        })
    }

    /// Waits until `changed` says so, at most for `timeout`: anything that a publication or the end of one of `channels`,
    /// or a new channel of the namespace, can bring about.
    pub(crate) fn wait_any(
        &mut self,
        channels: &[&ChannelReader],
        timeout: Duration,
        mut changed: impl FnMut() -> bool,
    ) -> Waited {
        let look = || if changed() { Ok(Waited::Newer) } else { Err(0) };
        // Announcements that nothing new has answered hold: they are made once, on one page. After that it is enough to
        // look once more since the page was last rung.
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

    /// Interrupts everybody who sleeps in [`Waiter::wait_any`], in whatever process: they look, and sleep on.
    #[cfg(feature = "async")]
    pub(crate) fn interrupt(&mut self) {
        if self.rung().is_none() {
            // Nobody sleeps for longer than a backoff.
            return;
        }
        if let Some(page) = &self.page {
            page.words.increment(waiters::RUNG);
            object::wake(&page.words, waiters::RUNG);
        }
    }

    /// Looks, and sleeps in between; `sleep` refuses where it could miss anything.
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

    /// s2, s3: announces that somebody waits for these channels, which have been looked at before; if all their writers
    /// can be told, and otherwise to none: they would make system calls for somebody who does not sleep.
    fn register(&mut self, channels: &[&ChannelReader]) -> Registered {
        if !self.looks_where_all_look(channels) {
            return Registered::NotEverywhere;
        }
        let Some(page) = &self.page else {
            // Nobody is waited for.
            return Registered::Everywhere;
        };
        for channel in channels {
            register_waiter(&page.words, waiters::of_channel(channel.channel()));
        }
        // Full: the compare that the kernel makes must not be satisfied before the announcement is visible. Pairs with
        // the writer's fence, if it has one (p2).
        page.words.fence_full();
        // For the writers that have none.
        let needs_barrier = channels.iter().any(|channel| channel.page().wake_mode() == WakeMode::Barriers);
        match needs_barrier && !object::issue_barrier() {
            true => Registered::NotEverywhere,
            false => Registered::Everywhere,
        }
    }

    /// Whether all writers wake, and look on the page that is open; opens it once if need be.
    fn looks_where_all_look(&mut self, channels: &[&ChannelReader]) -> bool {
        let Some(first) = channels.first() else { return true };
        let instance = first.page().waiters_instance();
        let wakes = |channel: &&ChannelReader| {
            channel.page().wake_mode() != WakeMode::Nobody && channel.page().waiters_instance() == instance
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
        // Without it one looks again and again: of a writer of another user, or when its name was removed by hand.
        self.page = registry::waiters_page(&self.backend, &self.namespace).ok().flatten();
    }

    fn rung(&mut self) -> Option<Rung> {
        // A registry whose last channel has gone takes its page with it, and the next one brings its own.
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

/// How often anybody was woken, of those who looked on one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rung {
    instance: u64,
    times: u64,
}

/// Whether all writers know that somebody waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Registered {
    Everywhere,
    /// Some wake nobody, or can't be told.
    NotEverywhere,
}

impl fmt::Debug for Waiter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Waiter").field("policy", &self.policy).finish_non_exhaustive()
    }
}
