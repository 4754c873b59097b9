//! Waiting until one of several channels changes: first spinning, then asleep.
//!
//! The handshake with the writer is `seqlock::waiting`. No wait depends on a wake-up alone: a
//! waiter sleeps in slices and looks at its channels in between.

#[cfg(feature = "async")]
mod notifier;

#[cfg(feature = "async")]
pub(crate) use notifier::{Notifier, Ticket};

use std::collections::BTreeSet;
use std::hint;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::channel::{ChannelReader, WaitersPage};
use crate::layout::registry::waiters;
#[cfg(feature = "async")]
use crate::memory::CountingMemory;
use crate::memory::Memory;
use crate::object::{self, Backend, Backoff, Slept};
use crate::registry::Registry;
use crate::seqlock::{WakeMode, WakeUps, announce_waiter};

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
        let begin = Instant::now();
        let mut backoff = Backoff::new();
        loop {
            let seen = match channel.page().progress() {
                progress if progress.publication > after => return Waited::Newer,
                progress if progress.has_ended() => return Waited::Ended,
                progress => progress.publication,
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
            let slept = match self.register(channel) {
                // The writer may have ended the channel before it could see the announcement. A
                // publication in between is seen by the kernel, which compares the number.
                true if channel.is_closed() => Slept::LookAgain,
                true => channel.sleep_on_published(seen, slice),
                false => Slept::Refused,
            };
            if slept == Slept::Refused {
                backoff.wait();
            }
        }
    }

    /// Interrupts all waiters that sleep in [`AnyWaiter::wait`], in every process: they look, and
    /// sleep again.
    #[cfg(feature = "async")]
    pub(crate) fn interrupt(&mut self) {
        // Without a page no waiter sleeps for longer than a backoff.
        if let Some(page) = self.current_page() {
            page.words.increment(waiters::WAKE_UPS);
            object::wake(&page.words, waiters::WAKE_UPS);
        }
    }

    /// s2, s3: announces a waiter to the writer of this channel, which the caller has looked at
    /// before; `false` if the writer can't be reached.
    fn register(&mut self, channel: &ChannelReader) -> bool {
        let (instance, wake_mode) = (channel.page().waiters_instance(), channel.page().wake_mode());
        if instance == 0 || wake_mode == WakeMode::Never {
            return false;
        }
        if self.page.as_ref().is_none_or(|page| page.instance != instance) {
            self.open_page();
        }
        let page = self.page.as_ref().filter(|page| page.instance == instance);
        let group = waiters::group_of(channel.channel());
        page.is_some_and(|page| announce(page, [group], wake_mode == WakeMode::Barriers))
    }

    fn open_page(&mut self) {
        // Without the page (of another user, or its name was removed by hand) the waiter looks
        // again and again.
        self.page = Registry::of(&self.backend, &self.namespace).waiters_page().ok().flatten();
    }

    /// The page of the registry that the namespace has now, if it can be opened.
    fn current_page(&mut self) -> Option<&WaitersPage> {
        // A registry is removed with its last channel, and its page with it. The next registry has
        // a page of its own.
        if !self.page.as_ref().is_some_and(is_current) {
            self.open_page();
        }
        self.page.as_ref()
    }
}

fn is_current(page: &WaitersPage) -> bool {
    page.words.load(waiters::INSTANCE) == page.instance
}

/// s2, s3: announces a waiter in these groups; `false` if their writers may not see it.
fn announce(page: &WaitersPage, groups: impl IntoIterator<Item = usize>, needs_barrier: bool) -> bool {
    announce_waiter(&page.words, groups.into_iter().map(|group| waiters::ANNOUNCED + group));
    // For writers without a fence.
    !needs_barrier || object::issue_barrier()
}

/// The groups of channels to look at.
#[derive(Clone, Debug)]
pub(crate) enum Scope {
    All,
    Groups(BTreeSet<usize>),
}

/// The channels of a wait for any of them.
pub(crate) trait Channels {
    /// Looks at the channels of these groups, and at what else the wait is for. Returns whether it
    /// has found a change, now or since the wait began.
    fn look(&mut self, scope: &Scope) -> bool;

    /// Calls `visit` with the channels of these groups, and the group of each.
    fn each(&self, scope: &Scope, visit: &mut dyn FnMut(usize, &ChannelReader));

    /// Whether the channels are others than at the last call.
    fn are_others(&mut self) -> bool;
}

/// Waits for any of several channels, again and again.
///
/// It announces itself once in each group of channels. After a wake-up it looks at the channels of
/// those groups that have new wake-ups, and only there it announces itself again.
#[derive(Debug)]
pub(crate) struct AnyWaiter {
    waiter: Waiter,
    /// The instance of the page that the following two are about.
    followed: u64,
    wake_ups: WakeUps,
    /// The groups of which a writer may publish without waking this waiter.
    pending: Scope,
    looked_at_all: Option<Instant>,
}

impl AnyWaiter {
    pub(crate) fn new(waiter: Waiter) -> AnyWaiter {
        let wake_ups = WakeUps::new(waiters::GROUP_WAKE_UPS, waiters::GROUPS);
        AnyWaiter { waiter, followed: 0, wake_ups, pending: Scope::All, looked_at_all: None }
    }

    /// Waits until a look finds a change, at most for `timeout`.
    pub(crate) fn wait(&mut self, channels: &mut impl Channels, timeout: Duration) -> Waited {
        let WaitPolicy { spin, slice } = self.waiter.policy;
        let (begin, slice) = (Instant::now(), slice.max(MIN_SLICE));
        let mut backoff = Backoff::new();
        loop {
            if channels.are_others() || !self.note_wake_ups() {
                self.pending = Scope::All;
            }
            // A writer may have been killed before it woke the waiter, or the page be spoiled.
            let is_due = self.looked_at_all.is_none_or(|last| last.elapsed() >= slice);
            let looks_at_all = is_due || matches!(self.pending, Scope::All);
            if looks_at_all {
                self.looked_at_all = Some(Instant::now());
            }
            if channels.look(if looks_at_all { &Scope::All } else { &self.pending }) {
                return Waited::Newer;
            }
            let waited = begin.elapsed();
            if waited >= timeout {
                // A writer that has published may not have come to wake the waiter yet.
                let is_found = !looks_at_all && channels.look(&Scope::All);
                return if is_found { Waited::Newer } else { Waited::TimedOut };
            }
            if waited < spin {
                hint::spin_loop();
            } else if self.sleep(channels, slice.min(timeout - waited)) == Slept::Refused {
                backoff.wait();
            }
        }
    }

    /// Adds the groups that have new wake-ups; `false` if there is no page that says so.
    fn note_wake_ups(&mut self) -> bool {
        let page = self.waiter.page.as_ref().filter(|page| page.instance == self.followed);
        let Some(page) = page.filter(|page| is_current(page)) else { return false };
        self.wake_ups.since(&page.words, waiters::WAKE_UPS, |group| self.pending.add(group));
        true
    }

    /// Announces itself in the groups of which a writer may publish without waking it, looks at
    /// their channels once more, and sleeps until a writer wakes it.
    fn sleep(&mut self, channels: &mut impl Channels, slice: Duration) -> Slept {
        let Some(page) = self.waiter.current_page() else { return Slept::Refused };
        if mem::replace(&mut self.followed, page.instance) != page.instance || channels.are_others() {
            self.pending = Scope::All;
        }
        let seen = self.wake_ups.since(&page.words, waiters::WAKE_UPS, |group| self.pending.add(group));
        let (mut groups, mut is_their_page) = (Vec::new(), true);
        let (mut wakes, mut needs_barrier) = (true, false);
        channels.each(&self.pending, &mut |group, channel| {
            is_their_page &= channel.page().waiters_instance() == page.instance;
            wakes &= channel.page().wake_mode() != WakeMode::Never;
            needs_barrier |= channel.page().wake_mode() == WakeMode::Barriers;
            groups.push(group);
        });
        groups.sort_unstable();
        groups.dedup();
        // If some writers can't be reached, it announces to none: the others would make system
        // calls for a waiter that does not sleep.
        if !is_their_page {
            // Perhaps that of a new registry.
            self.waiter.page = None;
            return Slept::Refused;
        }
        if !wakes || !announce(page, groups, needs_barrier) {
            return Slept::Refused;
        }
        let pending = mem::replace(&mut self.pending, Scope::Groups(BTreeSet::new()));
        // Also at the list of channels, whose change is no group's wake-up.
        let is_found = channels.look(&pending);
        if channels.are_others() {
            self.pending = Scope::All;
            return Slept::LookAgain;
        }
        if is_found { Slept::LookAgain } else { object::sleep(&page.words, waiters::WAKE_UPS, seen, slice) }
    }
}

impl Scope {
    #[cfg(feature = "async")]
    fn has(&self, group: usize) -> bool {
        match self {
            Scope::All => true,
            Scope::Groups(groups) => groups.contains(&group),
        }
    }

    fn add(&mut self, group: usize) {
        if let Scope::Groups(groups) = self {
            groups.insert(group);
        }
    }
}
