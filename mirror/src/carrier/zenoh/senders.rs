//! Sends messages. Zenoh blocks a sender while a link is full: up to seconds if the link is cut.
//! So a caller sends by itself only short messages, while no other send is in progress. Threads
//! that may block send the rest.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// What a caller sends itself: less than Zenoh's own buffers and the kernel's take at once.
const DIRECT_LEN: usize = 16 << 10;
/// More threads are not started: so many links may be cut at the same time.
const MAX_THREADS: usize = 64;
/// The threads that one kind may occupy: a host that reads no answers does not hold up requests.
/// Whose query it is that an answer belongs to, Zenoh's stable interface does not tell.
const MAX_THREADS_OF_KIND: usize = 48;
/// The bytes of one kind that wait or are being sent. Messages beyond are dropped: their senders
/// are asked again.
const MAX_BYTES: usize = 32 << 20;
/// What a message costs beside its bytes.
const OVERHEAD: usize = 1 << 10;
/// With more answers and ends of queries in wait, new queries are not taken.
const MAX_WAITING: usize = 32_768;

thread_local! {
    static IN_CALLBACK: Cell<bool> = const { Cell::new(false) };
}

/// Runs what one of Zenoh's threads calls. These receive, so they must not wait for room to send:
/// two hosts could wait for each other.
pub(super) fn in_callback(call: impl FnOnce()) {
    let before = IN_CALLBACK.replace(true);
    call();
    IN_CALLBACK.set(before);
}

#[derive(Clone, Copy)]
pub(super) enum Kind {
    Request,
    Answer,
}

struct Waiting {
    cost: usize,
    send: Box<dyn FnOnce() + Send>,
}

/// The messages of one kind.
#[derive(Default)]
struct Lane {
    waiting: VecDeque<Waiting>,
    /// What those that wait and those that threads send cost.
    bytes: usize,
    threads: usize,
}

#[derive(Default)]
struct State {
    lanes: [Lane; 2],
    /// Callers and threads that are sending.
    sending: usize,
    threads: usize,
    idle: usize,
    closed: bool,
}

impl State {
    fn lane(&mut self, kind: Kind) -> &mut Lane {
        &mut self.lanes[kind as usize]
    }

    /// How many could be sent at once.
    fn ready(&self) -> usize {
        self.lanes.iter().map(|lane| lane.waiting.len().min(MAX_THREADS_OF_KIND - lane.threads)).sum()
    }

    fn is_quiet(&self) -> bool {
        self.sending == 0 && self.lanes.iter().all(|lane| lane.waiting.is_empty())
    }

    fn next(&mut self) -> Option<(Kind, Waiting)> {
        [Kind::Request, Kind::Answer].into_iter().find_map(|kind| {
            let lane = self.lane(kind);
            let next = (lane.threads < MAX_THREADS_OF_KIND).then(|| lane.waiting.pop_front()).flatten()?;
            lane.threads += 1;
            self.sending += 1;
            Some((kind, next))
        })
    }

    fn sent(&mut self, kind: Kind, cost: usize) {
        self.sending -= 1;
        let lane = self.lane(kind);
        lane.threads -= 1;
        lane.bytes -= cost;
    }
}

/// Sends, without blocking the caller for long.
#[derive(Default)]
pub(super) struct Senders {
    state: Mutex<State>,
    wake: Condvar,
}

impl Senders {
    /// Runs `send`, which sends a message of `len` bytes, here or on a thread. It may also be
    /// dropped.
    pub fn send(self: &Arc<Self>, kind: Kind, len: usize, send: impl FnOnce() + Send + 'static) {
        let cost = len + OVERHEAD;
        let mut state = self.lock();
        if state.closed || state.lane(kind).bytes + cost > MAX_BYTES {
            // Unlocked first: what is dropped may call back.
            drop(state);
            return;
        }
        if len <= DIRECT_LEN && state.is_quiet() && !IN_CALLBACK.get() {
            state.sending += 1;
            drop(state);
            send();
            self.lock().sending -= 1;
            return;
        }
        self.enqueue(&mut state, kind, Waiting { cost, send: Box::new(send) });
    }

    /// Runs `end`, which ends a query, on a thread: always, even after [`close`](Self::close).
    pub fn end(self: &Arc<Self>, end: impl FnOnce() + Send + 'static) {
        let mut state = self.lock();
        self.enqueue(&mut state, Kind::Answer, Waiting { cost: 0, send: Box::new(end) });
    }

    /// Whether so much is in wait that new queries must not be taken.
    pub fn are_overloaded(&self) -> bool {
        self.lock().lane(Kind::Answer).waiting.len() >= MAX_WAITING
    }

    /// Drops what waits, and ends the threads as soon as all queries have ended.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let mut dropped = Vec::new();
        for lane in &mut state.lanes {
            let waiting = std::mem::take(&mut lane.waiting).into_iter();
            let (messages, ends): (Vec<Waiting>, Vec<Waiting>) =
                waiting.partition(|waiting| waiting.cost > 0);
            lane.waiting = ends.into();
            lane.bytes -= messages.iter().map(|message| message.cost).sum::<usize>();
            dropped.extend(messages);
        }
        drop(state);
        drop(dropped);
        self.wake.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enqueue(self: &Arc<Self>, state: &mut State, kind: Kind, waiting: Waiting) {
        let lane = state.lane(kind);
        lane.bytes += waiting.cost;
        lane.waiting.push_back(waiting);
        if state.idle >= state.ready() {
            self.wake.notify_one();
        } else if state.threads < MAX_THREADS {
            let senders = Arc::clone(self);
            // Without a thread, it waits for the next.
            let started = std::thread::Builder::new().spawn(move || senders.work());
            state.threads += usize::from(started.is_ok());
        }
    }

    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some((kind, Waiting { cost, send })) = state.next() {
                drop(state);
                send();
                state = self.lock();
                state.sent(kind, cost);
            } else if state.closed {
                state.threads -= 1;
                return;
            } else {
                state.idle += 1;
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{RecvTimeoutError, channel};
    use std::thread::ThreadId;
    use std::time::Duration;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn runs_on(senders: &Arc<Senders>, kind: Kind, len: usize) -> ThreadId {
        let (tell, told) = channel();
        senders.send(kind, len, move || tell.send(std::thread::current().id()).unwrap());
        told.recv_timeout(PATIENCE).unwrap()
    }

    /// Sends `count` answers that are blocked until what it returns is dropped.
    fn block(senders: &Arc<Senders>, count: usize, len: usize) -> impl Sized + use<> {
        let (release, blocked) = channel::<()>();
        let blocked = Arc::new(Mutex::new(blocked));
        for _ in 0..count {
            let blocked = Arc::clone(&blocked);
            senders.send(Kind::Answer, len, move || {
                let _ = blocked.lock().unwrap().recv_timeout(PATIENCE);
            });
        }
        release
    }

    #[test]
    fn a_caller_sends_what_is_short_unless_it_is_one_of_zenoh() {
        let here = std::thread::current().id();
        let senders = Arc::new(Senders::default());
        assert_eq!(runs_on(&senders, Kind::Request, 10), here);
        assert_ne!(runs_on(&senders, Kind::Request, DIRECT_LEN + 1), here);
        in_callback(|| assert_ne!(runs_on(&senders, Kind::Request, 10), here));
        senders.close();
    }

    #[test]
    fn senders_that_block_do_not_hold_up_others() {
        let senders = Arc::new(Senders::default());
        let release = block(&senders, MAX_THREADS_OF_KIND / 2, 100 << 10);
        let here = std::thread::current().id();
        assert_ne!(runs_on(&senders, Kind::Answer, 10), here);
        drop(release);
        senders.close();
    }

    #[test]
    fn unread_answers_leave_threads_and_room_for_requests() {
        let senders = Arc::new(Senders::default());
        // Ten times the bytes, and more than all threads.
        let release = block(&senders, 10 * (MAX_BYTES >> 17), 128 << 10);
        let bytes = senders.lock().lane(Kind::Answer).bytes;
        assert!(bytes <= MAX_BYTES && bytes > MAX_BYTES / 2, "{bytes}");
        assert_ne!(runs_on(&senders, Kind::Request, MAX_BYTES / 2), std::thread::current().id());
        let (tell, told) = channel::<()>();
        senders.send(Kind::Answer, 128 << 10, move || tell.send(()).unwrap());
        assert!(told.recv_timeout(PATIENCE).is_err(), "an answer beyond the bound is dropped");
        drop(release);
        senders.close();
    }

    #[test]
    fn what_was_sent_takes_no_room() {
        let senders = Arc::new(Senders::default());
        for _ in 0..10 {
            runs_on(&senders, Kind::Answer, MAX_BYTES / 2);
            while senders.lock().lane(Kind::Answer).bytes > 0 {
                std::thread::yield_now();
            }
        }
        senders.close();
    }

    #[test]
    fn after_the_end_messages_are_dropped_and_queries_end() {
        let senders = Arc::new(Senders::default());
        let release = block(&senders, MAX_THREADS_OF_KIND + 1, 100 << 10);
        while senders.lock().lane(Kind::Answer).threads < MAX_THREADS_OF_KIND {
            std::thread::yield_now();
        }
        let (tell, told) = channel::<ThreadId>();
        let again = tell.clone();
        senders.end(move || tell.send(std::thread::current().id()).unwrap());
        senders.close();
        senders.end(move || again.send(std::thread::current().id()).unwrap());
        assert_eq!(told.try_recv().unwrap_err(), std::sync::mpsc::TryRecvError::Empty);
        drop(release);
        for _ in 0..2 {
            assert_ne!(told.recv_timeout(PATIENCE).unwrap(), std::thread::current().id());
        }
        let (tell, told) = channel::<()>();
        senders.send(Kind::Answer, 1, move || tell.send(()).unwrap());
        assert_eq!(told.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected));
    }
}
