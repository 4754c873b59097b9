//! Links in virtual time, without faults: each sends one message after the other.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// What the engine adds to a message: its own head, the key, and the query's number.
const ENGINE_BYTES: usize = 60;
/// Payload and heads of a packet of TCP and IP.
const PACKET_PAYLOAD: usize = 1448;
const PACKET_HEAD: usize = 52;

/// Bytes on a link for a message of so many.
pub fn on_link(len: usize) -> usize {
    let len = len + ENGINE_BYTES;
    len + len.div_ceil(PACKET_PAYLOAD) * PACKET_HEAD
}

/// One direction of a link.
pub struct Link {
    /// Bytes a second.
    rate: u64,
    delay: Duration,
    free_at: Duration,
    pub bytes: u64,
    /// The longest that a message has waited for those before it.
    pub longest_wait: Duration,
}

/// What a message has to go through, from the first link to the last.
type Path = [usize; 6];
/// Ends a path.
const END: usize = usize::MAX;

pub fn path(links: &[usize]) -> Path {
    let mut path = [END; 6];
    path[..links.len()].copy_from_slice(links);
    path
}

enum What<E> {
    Hop { path: Path, at: usize, len: usize, event: E },
    Event(E),
}

/// What happens on links and at their ends, in the order of time.
pub struct Links<E> {
    pub now: Duration,
    pub links: Vec<Link>,
    order: BinaryHeap<Reverse<(Duration, u64, usize)>>,
    events: Vec<Option<What<E>>>,
    /// Places in `events`.
    free: Vec<usize>,
    next: u64,
}

impl<E> Links<E> {
    pub fn new() -> Links<E> {
        let (links, order, events, free) = (Vec::new(), BinaryHeap::new(), Vec::new(), Vec::new());
        Links { now: Duration::ZERO, links, order, events, free, next: 0 }
    }

    /// A link of so many bytes a second.
    pub fn add(&mut self, rate: u64, delay: Duration) -> usize {
        let (free_at, longest_wait) = (Duration::ZERO, Duration::ZERO);
        self.links.push(Link { rate, delay, free_at, bytes: 0, longest_wait });
        self.links.len() - 1
    }

    pub fn at(&mut self, time: Duration, event: E) {
        self.push(time, What::Event(event));
    }

    fn push(&mut self, time: Duration, what: What<E>) {
        self.next += 1;
        let place = self.free.pop().unwrap_or(self.events.len());
        if place == self.events.len() {
            self.events.push(None);
        }
        self.events[place] = Some(what);
        self.order.push(Reverse((time.max(self.now), self.next, place)));
    }

    /// Sends a message of so many bytes: `event` happens once it is there.
    pub fn send(&mut self, path: Path, len: usize, event: E) {
        self.hop(path, 0, on_link(len), event);
    }

    fn hop(&mut self, path: Path, at: usize, len: usize, event: E) {
        let Some(of) = path.get(at).copied().filter(|link| *link != END) else {
            return self.at(self.now, event);
        };
        let link = &mut self.links[of];
        let begins_at = link.free_at.max(self.now);
        link.longest_wait = link.longest_wait.max(begins_at - self.now);
        link.free_at = begins_at + Duration::from_nanos(len as u64 * 1_000_000_000 / link.rate);
        let there_at = link.free_at + link.delay;
        self.push(there_at, What::Hop { path, at: at + 1, len, event });
    }

    /// The next event until `end`, to whose time the clock goes on.
    pub fn pop(&mut self, end: Duration) -> Option<E> {
        while self.order.peek().is_some_and(|Reverse((time, _, _))| *time <= end) {
            let Reverse((time, _, place)) = self.order.pop()?;
            self.now = time;
            self.free.push(place);
            match self.events[place].take()? {
                What::Event(event) => return Some(event),
                What::Hop { path, at, len, event } => {
                    self.links[path[at - 1]].bytes += len as u64;
                    self.hop(path, at, len, event);
                }
            }
        }
        self.now = end;
        None
    }
}
