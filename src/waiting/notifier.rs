//! The thread that sleeps for all streams of a namespace.

use std::collections::{BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;
use std::thread;
use std::time::Duration;

use super::{AnyWaiter, Channels, Scope, WaitPolicy, Waiter};
use crate::channel::ChannelReader;
use crate::layout::registry::waiters;
use crate::object::{Backend, ForkToken};

/// How long the thread stays when no stream waits.
const IDLE: Duration = Duration::from_secs(1);

/// The longest sleep.
const MAX: Duration = Duration::from_secs(1);

/// Wakes the tasks that wait for channels of a namespace. Its thread runs while tasks wait, and
/// ends some time after the last.
pub(crate) struct Notifier {
    state: Mutex<State>,
    subscribed: Condvar,
    /// The number of tickets so far.
    tickets: AtomicU64,
    /// Counts the changes of `state.waiting`, so that the sleeping thread notices them.
    changes: AtomicU64,
}

struct State {
    waiting: HashMap<u64, Subscription>,
    /// The process that started the thread. In a fork it is the parent: the fork has no such
    /// thread.
    thread: Option<ForkToken>,
    /// Interrupts the thread in its sleep.
    interrupter: Waiter,
}

/// Whether a channel of a stream, or the namespace's list of channels, has changed.
pub(crate) type Change = Arc<dyn Fn() -> bool + Send + Sync>;

/// A stream whose task waits.
struct Subscription {
    channels: Vec<ChannelReader>,
    change: Change,
    waker: Waker,
}

/// The number, channels and change of a subscription.
type Waiting = (u64, Vec<ChannelReader>, Change);

/// The right to subscribe. Dropping it ends the subscription.
pub(crate) struct Ticket {
    number: u64,
    notifier: Arc<Notifier>,
}

impl Ticket {
    pub(crate) fn new(notifier: Arc<Notifier>) -> Ticket {
        // Relaxed: only the difference between the numbers matters.
        Ticket { number: notifier.tickets.fetch_add(1, Ordering::Relaxed), notifier }
    }

    /// Wakes `waker` once, when `channel` has a publication after `seen` or has ended.
    pub(crate) fn subscribe(&self, channel: &ChannelReader, seen: u64, waker: &Waker) {
        let reader = channel.clone();
        let change = Arc::new(move || has_changed(&reader, seen));
        self.subscribe_any(vec![channel.clone()], change, waker);
    }

    /// The same for several channels: wakes `waker` when `change` returns true.
    pub(crate) fn subscribe_any(&self, channels: Vec<ChannelReader>, change: Change, waker: &Waker) {
        let subscription = Subscription { channels, change, waker: waker.clone() };
        self.notifier.subscribe(self.number, subscription);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let ended = self.notifier.lock().waiting.remove(&self.number);
        // Not under the lock: dropping the waker may end its task, which may own another ticket.
        drop(ended);
    }
}

impl Notifier {
    pub(crate) fn new(backend: Arc<dyn Backend>, namespace: &str) -> Notifier {
        let interrupter = Waiter::new(backend, namespace, WaitPolicy::default());
        let state = Mutex::new(State { waiting: HashMap::new(), thread: None, interrupter });
        let (tickets, changes) = (AtomicU64::new(0), AtomicU64::new(0));
        Notifier { state, subscribed: Condvar::new(), tickets, changes }
    }

    fn subscribe(self: &Arc<Self>, number: u64, subscription: Subscription) {
        let waker = subscription.waker.clone();
        let mut state = self.lock();
        let former = state.waiting.insert(number, subscription);
        // Release: pairs with the acquire in `run`, which lists the subscriptions after it. The
        // lock alone would be enough.
        self.changes.fetch_add(1, Ordering::Release);
        if !state.thread.is_some_and(|thread| thread.is_ours()) {
            state.thread = self.start(state.interrupter.another()).then(ForkToken::take);
        }
        let has_thread = state.thread.is_some();
        self.subscribed.notify_all();
        state.interrupter.interrupt();
        drop(state);
        // Not under the lock: see `Ticket`.
        drop(former);
        if !has_thread {
            // The system has no thread for us, so no thread can wake the task: it polls again at
            // once.
            waker.wake_by_ref();
        }
    }

    /// `false` if the system has no thread for us.
    fn start(self: &Arc<Self>, waiter: Waiter) -> bool {
        let (notifier, waiter) = (Arc::downgrade(self), AnyWaiter::new(waiter));
        let thread = thread::Builder::new().name("tearless-wait".into());
        thread.spawn(move || run(&notifier, waiter)).is_ok()
    }

    /// A panic under the lock leaves the subscriptions intact.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The channels that tasks wait for, and how each has changed; `None` if no task waited for
    /// some time, after which the thread ends.
    fn waiting(&self) -> Option<Vec<Waiting>> {
        let state = self.lock();
        let idle = self.subscribed.wait_timeout_while(state, IDLE, |state| state.waiting.is_empty());
        let (mut state, _) = idle.unwrap_or_else(PoisonError::into_inner);
        if state.waiting.is_empty() {
            state.thread = None;
            return None;
        }
        let waiting = state.waiting.iter();
        Some(waiting.map(|(number, it)| (*number, it.channels.clone(), it.change.clone())).collect())
    }

    /// Wakes the tasks of `waiting` whose channel has changed.
    fn wake(&self, waiting: &[Waiting]) {
        // Not under the lock: `change` of a hub's stream may list the registry, and another stream
        // that subscribes would wait for that. A task that has subscribed again since is woken once
        // too often.
        let changed: Vec<_> = waiting.iter().filter(|(.., change)| change()).collect();
        let mut state = self.lock();
        let woken: Vec<_> = changed.iter().filter_map(|(it, ..)| state.waiting.remove(it)).collect();
        drop(state);
        // Not under the lock: a waker may run the task at once. If a waker panics, the others are
        // woken all the same; the panic was printed and belongs to its executor.
        for subscription in woken {
            let _ = catch_unwind(AssertUnwindSafe(|| subscription.waker.wake()));
        }
    }
}

fn has_changed(channel: &ChannelReader, seen: u64) -> bool {
    let progress = channel.page().progress();
    progress.publication > seen || progress.has_ended()
}

/// The channels that tasks wait for, as of one list.
struct Streams<'a> {
    notifier: &'a Notifier,
    waiting: &'a [Waiting],
    /// The number of changes of the list before it was made.
    counted: u64,
}

impl Channels for Streams<'_> {
    /// Each stream looks at all of its channels.
    fn look(&mut self, _scope: &Scope) -> bool {
        self.notifier.changes.load(Ordering::Acquire) != self.counted
            || self.waiting.iter().any(|(.., change)| change())
    }

    fn each(&self, scope: &Scope, visit: &mut dyn FnMut(usize, &ChannelReader)) {
        for channel in self.waiting.iter().flat_map(|(_, channels, _)| channels) {
            let group = waiters::group_of(channel.channel());
            if scope.has(group) {
                visit(group, channel);
            }
        }
    }

    fn are_others(&mut self) -> bool {
        // `run` knows the new ones.
        false
    }
}

/// The thread's loop, until the notifier is dropped.
fn run(notifier: &Weak<Notifier>, mut waiter: AnyWaiter) {
    let mut former = BTreeSet::new();
    loop {
        let Some(alive) = notifier.upgrade() else { return };
        // Acquire: the list that is made next is no older than the count. Pairs with the release in
        // `subscribe`.
        let counted = alive.changes.load(Ordering::Acquire);
        let Some(waiting) = alive.waiting() else { return };
        let mut streams = Streams { notifier: &alive, waiting: &waiting, counted };
        // A channel that was missing for one list may have been answered since then, and its group
        // not been announced again.
        let mut now = BTreeSet::new();
        streams.each(&Scope::All, &mut |group, channel| now.extend([(group, channel.instance())]));
        now.difference(&former).for_each(|(group, _)| waiter.announce_again(*group));
        former = now;
        let _ = waiter.wait(&mut streams, MAX);
        alive.wake(&waiting);
    }
}

debug_by!(Notifier<>, |it| changes: it.changes);

#[cfg(test)]
mod tests {
    use std::task::Wake;
    use std::time::Instant;

    use super::*;
    use crate::channel::{ChannelName, ReaderOptions, attach};
    use crate::memory::Memory;
    use crate::object::Heap;
    use crate::registry::Registry;
    use crate::{Bytes, Namespace, Writer};

    struct Woken(AtomicU64);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn wait_until(is_reached: impl Fn() -> bool) {
        let begin = Instant::now();
        while !is_reached() {
            assert!(begin.elapsed() < Duration::from_secs(60), "it is never reached");
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_busy_stream_is_announced_to_no_other_writer_again() {
        const CHANNELS: [&str; 2] = ["busy", "quiet"];
        let heap = Heap::new();
        let namespace = Namespace::on_heap(&heap, "streams").unwrap();
        let open = |channel| namespace.writer_builder(channel).codec::<Bytes>().open().unwrap();
        let mut writers: [Writer<Vec<u8>, Bytes>; 2] = CHANNELS.map(open);
        let readers = CHANNELS.map(|channel| {
            let name = ChannelName::new("streams", channel).unwrap();
            attach(&heap.shared(), &name, &ReaderOptions::default()).unwrap()
        });
        let page = Registry::of(&heap.shared(), "streams").waiters_page().unwrap().unwrap();
        let counts =
            || CHANNELS.map(|channel| page.words.load(waiters::ANNOUNCED + waiters::group_of(channel)));
        let notifier = Arc::new(Notifier::new(heap.shared(), "streams"));
        let [busy, quiet] = CHANNELS.map(|_| Ticket::new(Arc::clone(&notifier)));
        let woken = Arc::new(Woken(AtomicU64::new(0)));
        let waker = Waker::from(Arc::clone(&woken));
        quiet.subscribe(&readers[1], 0, &waker);
        for round in 0..5 {
            let [before, _] = counts();
            busy.subscribe(&readers[0], round, &waker);
            wait_until(|| counts()[0] > before);
            writers[0].publish(&b"state".to_vec()).unwrap();
            wait_until(|| woken.0.load(Ordering::Relaxed) > round);
        }
        assert_eq!(counts()[1], 1);
        writers[1].publish(&b"state".to_vec()).unwrap();
        wait_until(|| woken.0.load(Ordering::Relaxed) == 6);
    }
}
