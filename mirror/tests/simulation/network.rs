//! A network in virtual time, with faults by a seed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashSet};
use std::time::Duration;

/// A small generator of random numbers: SplitMix64 (Steele, Lea and Flood, 2014).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Whether something happens that happens `percent` times of a hundred.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// What happens at a moment.
pub enum Event {
    Request { from: usize, sink: usize, life: u64, to: usize, id: u64, bytes: Vec<u8> },
    Reply { to: usize, sink: usize, life: u64, id: u64, bytes: Vec<u8> },
    PollSink { host: usize, sink: usize, life: u64 },
    PollSource { host: usize, life: u64 },
}

#[derive(Clone, Copy)]
pub struct Faults {
    pub drop: u64,
    pub repeat: u64,
    pub damage: u64,
    pub max_delay: Duration,
    /// Bytes a second of each link in each direction, if it is narrow.
    pub rate: Option<u64>,
}

impl Faults {
    pub const NONE: Faults =
        Faults { drop: 0, repeat: 0, damage: 0, max_delay: Duration::from_millis(2), rate: None };
}

/// What is under way.
pub struct Network {
    pub now: Duration,
    pub faults: Faults,
    pub cut: HashSet<(usize, usize)>,
    pub count: u64,
    /// When a narrow link has sent all that was given to it.
    free_at: BTreeMap<(usize, usize), Duration>,
    order: BinaryHeap<Reverse<(Duration, u64, usize)>>,
    events: Vec<Option<Event>>,
    /// Places in `events`.
    free: Vec<usize>,
    next: u64,
}

impl Network {
    pub fn new(faults: Faults) -> Network {
        let (cut, order, events, free) = (HashSet::new(), BinaryHeap::new(), Vec::new(), Vec::new());
        Network {
            now: Duration::ZERO,
            faults,
            cut,
            count: 0,
            free_at: BTreeMap::new(),
            order,
            events,
            free,
            next: 0,
        }
    }

    pub fn at(&mut self, time: Duration, event: Event) {
        self.next += 1;
        let place = self.free.pop().unwrap_or(self.events.len());
        if place == self.events.len() {
            self.events.push(None);
        }
        self.events[place] = Some(event);
        self.order.push(Reverse((time.max(self.now), self.next, place)));
    }

    /// Sends between two hosts, maybe never, twice or damaged.
    pub fn send(
        &mut self,
        random: &mut Random,
        (from, to): (usize, usize),
        mut bytes: Vec<u8>,
        event: impl Fn(Vec<u8>) -> Event,
    ) {
        let mut sent_at = self.now;
        if let Some(rate) = self.faults.rate {
            let free_at = self.free_at.entry((from, to)).or_default();
            *free_at =
                (*free_at).max(self.now) + Duration::from_micros(bytes.len() as u64 * 1_000_000 / rate);
            sent_at = *free_at;
        }
        if self.cut.contains(&(from.min(to), from.max(to))) || random.percent(self.faults.drop) {
            self.count += 1;
            return;
        }
        let times = 1 + u64::from(random.percent(self.faults.repeat));
        self.count += times - 1;
        for time in 1..=times {
            let mut bytes = if time < times { bytes.clone() } else { std::mem::take(&mut bytes) };
            let damage = random.percent(self.faults.damage).then(|| random.next());
            if let Some(by) = damage {
                self.count += 1;
                let at = usize::try_from(by).unwrap_or(0) % bytes.len();
                bytes[at] ^= 1 + (by >> 56) as u8 % 255;
            }
            let micros = u64::try_from(self.faults.max_delay.as_micros()).unwrap_or(u64::MAX);
            // Now and then something takes a hundred times as long, and others overtake it.
            let factor = if self.faults.drop > 0 && random.percent(1) { 100 } else { 1 };
            let delay = Duration::from_micros(random.below(micros * factor) + 50);
            self.at(sent_at + delay, event(bytes));
        }
    }

    /// The next event, to whose time the clock goes on.
    pub fn pop(&mut self) -> Option<Event> {
        let Reverse((time, _, place)) = self.order.pop()?;
        self.now = self.now.max(time);
        self.free.push(place);
        self.events[place].take()
    }
}
