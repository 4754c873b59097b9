//! Many hosts behind routers, without faults: what a mirror carries.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tearless_mirror::message::{Interest, Reply, Request};
use tearless_mirror::pace::Pace;
use tearless_mirror::sink::{Options, Sink};
use tearless_mirror::source::{Limits, Source};
use tearless_mirror::testing::{ALIVE, described};

use crate::counted::{Copied, Memory, Worker, name};
use crate::links::{Links, path};

/// Bytes a second of a link of 1 Gbit/s.
const GIGABIT: u64 = 125_000_000;
/// Hosts behind each of the routers next to them, if there are two levels.
const BEHIND_ROUTER: usize = 32;
/// How often it is looked how far the copies are behind.
const SAMPLE: Duration = Duration::from_millis(50);

/// A fleet: readers, each of which mirrors all origins.
#[derive(Clone)]
pub struct Fleet {
    pub readers: usize,
    pub origins: usize,
    /// So many of the origins never answer, or refuse all that is asked.
    pub dead: usize,
    pub refuses: bool,
    /// So many of the others have a link of their own that is so slow: they are not measured.
    pub slow: usize,
    pub slow_link: u64,
    /// Bytes of each of their states.
    pub slow_state: usize,
    /// Levels of routers between them.
    pub routers: usize,
    /// Channels of each origin.
    pub channels: usize,
    /// Bytes of each state.
    pub state: usize,
    /// Time between two states of a channel; `None`: one state, and no other.
    pub period: Option<Duration>,
    /// Bytes a second of each reader's link, each origin's, and each router's.
    pub reader_link: u64,
    pub origin_link: u64,
    pub router_link: u64,
    /// Of each link.
    pub delay: Duration,
    /// The channels that the readers want.
    pub wants: &'static str,
    pub options: Options,
}

impl Default for Fleet {
    fn default() -> Fleet {
        Fleet {
            readers: 1,
            origins: 10,
            dead: 0,
            refuses: false,
            slow: 0,
            slow_link: GIGABIT,
            slow_state: 256,
            routers: 0,
            channels: 10,
            state: 256,
            period: None,
            reader_link: GIGABIT,
            origin_link: GIGABIT,
            router_link: GIGABIT,
            delay: Duration::from_micros(250),
            wants: "*",
            options: Options::default(),
        }
    }
}

/// What was measured, of the origins that answer, and are not slow.
#[derive(Debug, Default)]
pub struct Figures {
    /// Until each copy had a state.
    pub joined: Option<Duration>,
    /// Rounds a second, of all sinks.
    pub rounds: f64,
    /// Bytes a second that the readers' links have brought, and sent.
    pub down: f64,
    pub up: f64,
    /// Bytes a second of replies from the slow ones.
    pub slow: f64,
    /// For how long copies have been behind, at any moment after the first states.
    pub median: Duration,
    pub worst: Duration,
    /// The longest time that a message waited for a link, after the first states.
    pub queue: Duration,
    /// The sum of all sinks.
    pub failed: u64,
    /// How often an origin was unreachable to a reader.
    pub unreachable: u64,
    /// The fewest states of a reader's copy, and the most.
    pub fewest: u64,
    pub most: u64,
}

enum Event {
    Publish { origin: usize },
    Request { reader: usize, origin: usize, request: Box<Request> },
    Reply { reader: usize, origin: usize, id: u64, bytes: Vec<u8> },
    PollSink { reader: usize, origin: usize },
    PollSource { origin: usize },
}

struct Origin {
    source: Source<Worker, (usize, u64)>,
    keys: Vec<u32>,
    publication: Rc<Cell<u64>>,
    /// When it published its first state.
    began_at: Duration,
    polls_at: Duration,
    links: [usize; 2],
    router: usize,
}

/// A reader's mirror of an origin.
struct Mirror {
    sink: Sink<Memory>,
    copied: Rc<RefCell<Copied>>,
    polls_at: Duration,
}

struct World {
    fleet: Fleet,
    links: Links<Event>,
    origins: Vec<Origin>,
    /// By reader, and by origin.
    mirrors: Vec<Vec<Mirror>>,
    readers: Vec<[usize; 2]>,
    /// Those next to the origins.
    routers: Vec<[usize; 2]>,
    root: [usize; 2],
}

impl Fleet {
    /// Runs the fleet until every copy has its first state, and then for so long again.
    pub fn run(&self, time: Duration) -> Figures {
        let mut world = World::new(self);
        let patience = Duration::from_secs(60);
        let mut now = Duration::ZERO;
        while !world.has_joined() && now < patience {
            now += SAMPLE;
            world.run_until(now);
        }
        let joined = world.has_joined().then_some(now);
        // What the first states have made to wait.
        now += time / 4;
        world.run_until(now);
        world.links.links.iter_mut().for_each(|link| (link.bytes, link.longest_wait) = (0, Duration::ZERO));
        let (rounds, slow) = (world.rounds(), world.bytes_of_slow());
        let mut behind = Vec::new();
        let end = now + time;
        while now < end {
            now += SAMPLE;
            world.run_until(now);
            world.sample(&mut behind);
        }
        behind.sort_unstable();
        let bytes =
            |way: usize| world.readers.iter().map(|links| world.links.links[links[way]].bytes as f64).sum();
        let mirrors = || world.measured().map(|(mirror, _)| mirror);
        let states: Vec<u64> = mirrors()
            .flat_map(|mirror| mirror.copied.borrow().states.iter().map(Cell::get).collect::<Vec<_>>())
            .collect();
        let seconds = time.as_secs_f64();
        let (up, down): (f64, f64) = (bytes(0), bytes(1));
        Figures {
            joined,
            rounds: (world.rounds() - rounds) as f64 / seconds,
            up: up / seconds,
            down: down / seconds,
            slow: (world.bytes_of_slow() - slow) as f64 / seconds,
            median: behind.get(behind.len() / 2).copied().unwrap_or_default(),
            worst: behind.last().copied().unwrap_or_default(),
            queue: world.links.links.iter().map(|link| link.longest_wait).max().unwrap_or_default(),
            failed: mirrors().map(|mirror| mirror.sink.report(now).failed).sum(),
            unreachable: mirrors().map(|mirror| mirror.copied.borrow().unreachable.get()).sum(),
            fewest: states.iter().copied().min().unwrap_or_default(),
            most: states.iter().copied().max().unwrap_or_default(),
        }
    }
}

impl World {
    fn new(fleet: &Fleet) -> World {
        let mut links = Links::new();
        let mut pair = |rate| [links.add(rate, fleet.delay), links.add(rate, fleet.delay)];
        let root = pair(fleet.router_link);
        let behind = if fleet.routers > 1 { BEHIND_ROUTER } else { fleet.origins.max(1) };
        let routers = (0..fleet.origins.div_ceil(behind)).map(|_| pair(fleet.router_link)).collect();
        let readers: Vec<[usize; 2]> = (0..fleet.readers).map(|_| pair(fleet.reader_link)).collect();
        let origins = (0..fleet.origins).map(|at| {
            let publication = Rc::new(Cell::new(1));
            let mut source = Source::new(at as u64 + 1, Limits::default());
            let is_slow = (fleet.dead..fleet.dead + fleet.slow).contains(&at);
            let len = if is_slow { fleet.slow_state } else { fleet.state };
            let keys = (0..fleet.channels).map(|channel| {
                let worker = Worker { publication: Rc::clone(&publication), len };
                source.add(Duration::ZERO, described(&name(channel), len as u64), ALIVE, worker)
            });
            let keys = keys.collect();
            let (polls_at, began_at) = (Duration::MAX, Duration::ZERO);
            let links = pair(if is_slow { fleet.slow_link } else { fleet.origin_link });
            Origin { source, keys, publication, began_at, polls_at, links, router: at / behind }
        });
        let origins = origins.collect();
        let mirrors = (0..fleet.readers).map(|reader| {
            let pace = Pace::default();
            let of_origin = |origin: usize| {
                let copied = Rc::new(RefCell::new(Copied::default()));
                let interest = vec![Interest { namespace: "fleet".into(), channel: fleet.wants.into() }];
                let (host, id) = (format!("reader-{reader}"), (reader * fleet.origins + origin) as u64 + 1);
                let name = format!("host-{origin}");
                let memory = Memory(Rc::clone(&copied));
                let sink = Sink::new(&host, &name, id, interest, fleet.options, memory);
                let sink = sink.paced(&pace);
                Mirror { sink, copied, polls_at: Duration::MAX }
            };
            (0..fleet.origins).map(of_origin).collect()
        });
        let mirrors = mirrors.collect();
        let mut world = World { fleet: fleet.clone(), links, origins, mirrors, readers, routers, root };
        for origin in 0..fleet.origins {
            if let Some(period) = fleet.period {
                let phase = period * u32::try_from(origin).unwrap() / u32::try_from(fleet.origins).unwrap();
                world.origins[origin].began_at = phase;
                world.links.at(phase + period, Event::Publish { origin });
            }
            (0..fleet.readers).for_each(|reader| world.poll_sink(reader, origin));
        }
        world
    }

    /// The mirrors of origins that are measured, with these.
    fn measured(&self) -> impl Iterator<Item = (&Mirror, &Origin)> {
        let of_reader =
            |mirrors| std::iter::zip(mirrors, &self.origins).skip(self.fleet.dead + self.fleet.slow);
        self.mirrors.iter().flat_map(of_reader)
    }

    fn wanted(&self) -> usize {
        let pattern = tearless::hub::Pattern::new(self.fleet.wants);
        (0..self.fleet.channels).filter(|channel| pattern.matches(&name(*channel))).count()
    }

    fn has_joined(&self) -> bool {
        let wanted = self.wanted();
        self.measured().all(|(mirror, _)| {
            let copied = mirror.copied.borrow();
            copied.states.len() == wanted && copied.states.iter().all(|states| states.get() > 0)
        })
    }

    fn rounds(&self) -> u64 {
        self.mirrors.iter().flatten().map(|mirror| mirror.sink.report(self.links.now).rounds).sum()
    }

    fn bytes_of_slow(&self) -> u64 {
        let slow = |of: &[Mirror]| -> u64 {
            let mirrors = of.iter().skip(self.fleet.dead).take(self.fleet.slow);
            mirrors.map(|mirror| mirror.sink.report(self.links.now).bytes).sum()
        };
        self.mirrors.iter().map(|of| slow(of)).sum()
    }

    /// For how long each copy is behind.
    fn sample(&self, behind: &mut Vec<Duration>) {
        let Some(period) = self.fleet.period else { return };
        for (mirror, origin) in self.measured() {
            for publication in &mirror.copied.borrow().publications {
                // The first publication, which has the number 1, is of the beginning.
                let next = origin.began_at + period * u32::try_from(publication.get()).unwrap();
                behind.push(self.links.now.saturating_sub(next));
            }
        }
    }

    fn run_until(&mut self, end: Duration) {
        while let Some(event) = self.links.pop(end) {
            let now = self.links.now;
            match event {
                Event::Publish { origin } => {
                    let of = &mut self.origins[origin];
                    of.publication.update(|publication| publication + 1);
                    of.keys.iter().for_each(|key| of.source.changed(*key));
                    self.poll_source(origin);
                    if let Some(period) = self.fleet.period {
                        self.links.at(now + period, Event::Publish { origin });
                    }
                }
                Event::Request { reader, origin, request } if origin < self.fleet.dead => {
                    if self.fleet.refuses {
                        let reply = Reply::refused("this host has too many mirrors already");
                        self.answer(origin, (reader, request.id), reply);
                    }
                }
                Event::Request { reader, origin, request } => {
                    let of = &mut self.origins[origin];
                    if let Some((asker, bytes)) = of.source.ask(now, &request, (reader, request.id)) {
                        self.answer(origin, asker, bytes);
                    }
                    self.poll_source(origin);
                }
                Event::Reply { reader, origin, id, bytes } => {
                    self.mirrors[reader][origin].sink.reply(now, id, Some(&bytes));
                    self.poll_sink(reader, origin);
                }
                Event::PollSink { reader, origin } => {
                    // Others are of a time that has changed since.
                    if self.mirrors[reader][origin].polls_at == now {
                        self.poll_sink(reader, origin);
                    }
                }
                Event::PollSource { origin } => {
                    if self.origins[origin].polls_at == now {
                        self.origins[origin].polls_at = Duration::MAX;
                        self.poll_source(origin);
                    }
                }
            }
        }
    }

    fn poll_sink(&mut self, reader: usize, origin: usize) {
        let (now, mirror) = (self.links.now, &mut self.mirrors[reader][origin]);
        let requests = mirror.sink.poll(now);
        let next = mirror.sink.next_poll(now);
        if next != mirror.polls_at || next <= now {
            mirror.polls_at = next;
            if next < Duration::MAX {
                self.links.at(next, Event::PollSink { reader, origin });
            }
        }
        let way = self.way(self.readers[reader], self.origins[origin].links, origin, true);
        for request in requests {
            let len = request.encode().len();
            self.links.send(way, len, Event::Request { reader, origin, request: Box::new(request) });
        }
    }

    fn poll_source(&mut self, origin: usize) {
        let now = self.links.now;
        for (asker, bytes) in self.origins[origin].source.replies(now) {
            self.answer(origin, asker, bytes);
        }
        while let Some(mut reading) = self.origins[origin].source.reading() {
            reading.read(|| now);
            let (asker, bytes) = self.origins[origin].source.finish(now, reading);
            self.answer(origin, asker, bytes);
        }
        let of = &mut self.origins[origin];
        let next = of.source.next_reply().unwrap_or(Duration::MAX);
        if next != of.polls_at && next < Duration::MAX {
            of.polls_at = next;
            self.links.at(next, Event::PollSource { origin });
        }
    }

    fn answer(&mut self, origin: usize, (reader, id): (usize, u64), bytes: Vec<u8>) {
        let way = self.way(self.origins[origin].links, self.readers[reader], origin, false);
        self.links.send(way, bytes.len(), Event::Reply { reader, origin, id, bytes });
    }

    /// Out of one host, through the routers, and into the other. A router's link has two
    /// directions, as a host's.
    fn way(&self, from: [usize; 2], to: [usize; 2], origin: usize, is_request: bool) -> [usize; 6] {
        let router = self.routers[self.origins[origin].router];
        match (self.fleet.routers, is_request) {
            (0, _) => path(&[from[0], to[1]]),
            (1, _) => path(&[from[0], self.root[1], self.root[0], to[1]]),
            (_, true) => path(&[from[0], self.root[1], self.root[0], router[1], router[0], to[1]]),
            (_, false) => path(&[from[0], router[1], router[0], self.root[1], self.root[0], to[1]]),
        }
    }
}
