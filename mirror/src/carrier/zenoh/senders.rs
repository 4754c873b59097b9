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
/// More waiting messages are dropped: their senders are asked again.
const MAX_WAITING: usize = 65_536;

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

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    /// Callers and threads that are sending.
    sending: usize,
    threads: usize,
    idle: usize,
    closed: bool,
}

impl State {
    fn is_quiet(&self) -> bool {
        self.sending == 0 && self.waiting.is_empty()
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
    pub fn send(self: &Arc<Self>, len: usize, send: impl FnOnce() + Send + 'static) {
        let mut state = self.lock();
        if state.closed || state.waiting.len() >= MAX_WAITING {
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
        state.waiting.push_back(Box::new(send));
        if state.idle >= state.waiting.len() {
            self.wake.notify_one();
        } else if state.threads < MAX_THREADS {
            state.threads += 1;
            let senders = Arc::clone(self);
            std::thread::spawn(move || senders.work());
        }
    }

    /// Drops what waits, and ends the threads.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        drop(waiting);
        self.wake.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut state = self.lock();
        while !state.closed {
            if let Some(send) = state.waiting.pop_front() {
                state.sending += 1;
                drop(state);
                send();
                state = self.lock();
                state.sending -= 1;
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
    use std::sync::mpsc::channel;
    use std::thread::ThreadId;
    use std::time::Duration;

    fn runs_on(senders: &Arc<Senders>, len: usize) -> ThreadId {
        let (tell, told) = channel();
        senders.send(len, move || tell.send(std::thread::current().id()).unwrap());
        told.recv().unwrap()
    }

    #[test]
    fn a_caller_sends_what_is_short_unless_it_is_one_of_zenoh() {
        let here = std::thread::current().id();
        let senders = Arc::new(Senders::default());
        assert_eq!(runs_on(&senders, 10), here);
        assert_ne!(runs_on(&senders, DIRECT_LEN + 1), here);
        in_callback(|| assert_ne!(runs_on(&senders, 10), here));
        senders.close();
    }

    #[test]
    fn senders_that_block_do_not_hold_up_others() {
        let senders = Arc::new(Senders::default());
        let (release, blocked) = channel::<()>();
        let blocked = Arc::new(Mutex::new(blocked));
        for _ in 0..MAX_THREADS / 2 {
            let blocked = Arc::clone(&blocked);
            senders.send(1 << 20, move || {
                let _ = blocked.lock().unwrap().recv_timeout(Duration::from_secs(60));
            });
        }
        let here = std::thread::current().id();
        assert_ne!(runs_on(&senders, 10), here);
        drop(release);
        senders.close();
    }

    #[test]
    fn after_the_end_messages_are_dropped() {
        let senders = Arc::new(Senders::default());
        senders.close();
        let (tell, told) = channel::<()>();
        senders.send(1, move || tell.send(()).unwrap());
        assert!(told.recv().is_err());
    }
}
