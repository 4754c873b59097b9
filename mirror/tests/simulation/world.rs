//! Hosts with workers and mirrors over a network.

mod settle;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Duration;

use tearless_mirror::message::{Ask, Interest, Reply, Request, Writer};
use tearless_mirror::pace::Pace;
use tearless_mirror::sink::{Options, Sink};
use tearless_mirror::source::{Limits, Reading, Source};

use crate::channels::{Copying, Memory, Mistake, NAMES, NAMESPACES, Name, Truth, Truths, Worker};
use crate::network::{Event, Faults, Network, Random};

/// Larger states are pulled.
const INLINE: u32 = 512;

thread_local! {
    static FAULTS: Cell<u64> = const { Cell::new(0) };
}

/// The sink that asked, and its request.
struct Asker {
    host: usize,
    sink: usize,
    life: u64,
    id: u64,
}

struct Host {
    /// How often the mirror has been started.
    life: u64,
    is_up: bool,
    source: Source<Worker, Asker>,
    /// A large state that was read, until the source gets it.
    reading: Option<Reading<Worker, Asker>>,
    /// The last round that it has sent.
    sequence: u64,
    /// With the origin's number.
    sinks: Vec<(usize, Sink<Copying>)>,
    /// What each of them wants, as they were last started or reloaded.
    wants: Vec<Copying>,
    origins: Vec<usize>,
    workers: BTreeMap<Name, Rc<RefCell<Truth>>>,
    copying: Copying,
    polls_source_at: Duration,
    polls_at: Vec<Duration>,
}

pub struct World {
    random: Random,
    network: Network,
    now: Rc<Cell<Duration>>,
    unread: Rc<Cell<u64>>,
    truths: Truths,
    failing: Rc<Cell<u64>>,
    mistake: Option<Mistake>,
    hosts: Vec<Host>,
    rate: Option<u64>,
    next_instance: u64,
    steps: u64,
}

fn limits(rate: Option<u64>) -> Limits {
    Limits { inline: INLINE, forget_after: Duration::from_secs(8), rate, ..Limits::default() }
}

fn options(random: &mut Random) -> Options {
    let rate = random.percent(20).then(|| 20_000 + random.below(200_000));
    Options { max_bytes: 8 << 10, rate, ..Options::default() }
}

/// All channels, most of the time.
fn interest(random: &mut Random) -> Vec<Interest> {
    let interests: &[(&str, &str)] = match random.below(8) {
        0 => &[("fleet", "w*")],
        1 => &[("*", "w0"), ("lab", "w?")],
        2 => &[("l*", "*"), ("fleet", "w3")],
        3 => &[("fleet", "none")],
        _ => &[("*", "w*")],
    };
    let interest = |it: &(&str, &str)| Interest { namespace: it.0.into(), channel: it.1.into() };
    interests.iter().map(interest).collect()
}

impl World {
    pub fn new(seed: u64, mistake: Option<Mistake>) -> World {
        let mut random = Random(seed);
        // Most runs are small, as most faults are; a few have many hosts.
        let count = if random.percent(90) { 2 + random.below(4) } else { 6 + random.below(45) };
        let count = usize::try_from(count).unwrap();
        let faults = Faults {
            drop: random.below(20),
            repeat: random.below(10),
            damage: random.below(3),
            max_delay: Duration::from_millis(1 + random.below(60)),
            rate: random.percent(20).then(|| 20_000 + random.below(200_000)),
        };
        let (now, unread) = (Rc::new(Cell::new(Duration::ZERO)), Rc::new(Cell::new(seed)));
        let truths = Rc::new(RefCell::new(HashMap::new()));
        let failing = Rc::new(Cell::new(if random.percent(25) { 2 } else { 0 }));
        let copies_mistake = Rc::new(Cell::new(mistake));
        let copies_random = Rc::new(RefCell::new(Random(random.next())));
        let hosts = (0..count).map(|host| {
            let mut origins: Vec<usize> = (0..count).filter(|other| *other != host).collect();
            while origins.len() > 3 {
                origins.remove(usize::try_from(random.below(origins.len() as u64)).unwrap());
            }
            Host {
                life: 0,
                is_up: true,
                source: Source::new(random.next() | 1, limits(None)),
                reading: None,
                sequence: 0,
                sinks: Vec::new(),
                wants: Vec::new(),
                polls_at: vec![Duration::MAX; origins.len()],
                origins,
                workers: BTreeMap::new(),
                copying: Copying {
                    memory: Memory::default(),
                    now: Rc::clone(&now),
                    random: Rc::clone(&copies_random),
                    failing: Rc::clone(&failing),
                    truths: Rc::clone(&truths),
                    mistake: Rc::clone(&copies_mistake),
                    patterns: Rc::default(),
                },
                polls_source_at: Duration::MAX,
            }
        });
        let hosts = hosts.collect();
        let network = Network::new(faults);
        // Of each source, in some of the runs.
        let rate = (seed % 4 == 1).then_some(50_000);
        let mut world = World {
            random,
            network,
            now,
            unread,
            truths,
            failing,
            mistake,
            hosts,
            rate,
            next_instance: 0,
            steps: 0,
        };
        for host in 0..count {
            world.start(host);
        }
        world
    }

    pub fn steps(&self) -> u64 {
        self.steps
    }

    pub fn faults_of_last_run() -> u64 {
        FAULTS.get()
    }

    /// Starts a host's mirror, which knows nothing of the one before.
    fn start(&mut self, at: usize) {
        let sessions: Vec<u64> = (0..=self.hosts[at].origins.len()).map(|_| self.random.next() | 1).collect();
        let host = &mut self.hosts[at];
        host.life += 1;
        host.is_up = true;
        host.source = Source::new(sessions[0], limits(self.rate));
        host.source.set_epoch(epoch_of(at));
        host.reading = None;
        for (name, truth) in &host.workers {
            let worker = Worker {
                truth: Rc::clone(truth),
                now: Rc::clone(&self.now),
                unread: Rc::clone(&self.unread),
                mistake: self.mistake,
            };
            let described = truth.borrow().described(*name);
            let status = truth.borrow().status;
            let key = host.source.add(self.network.now, described, status, worker);
            truth.borrow_mut().key = key;
        }
        let pace = Pace::default();
        (host.sinks, host.wants) = (Vec::new(), Vec::new());
        for (origin, id) in host.origins.iter().zip(&sessions[1..]) {
            let (interest, options) = (interest(&mut self.random), options(&mut self.random));
            let patterns = interest.iter().map(Interest::patterns).collect();
            let copying = Copying { patterns: Rc::new(RefCell::new(patterns)), ..host.copying.clone() };
            host.wants.push(copying.clone());
            let (name, of) = (format!("h{at}"), format!("h{origin}"));
            let sink = Sink::new(&name, &of, *id, interest, options, copying).paced(&pace);
            host.sinks.push((*origin, sink));
        }
        host.polls_at.fill(Duration::MAX);
        host.polls_source_at = Duration::MAX;
        for sink in 0..self.hosts[at].sinks.len() {
            self.poll_sink(at, sink);
        }
    }

    pub fn step(&mut self) {
        self.steps += 1;
        if self.random.percent(70) {
            self.event();
        } else {
            self.act();
        }
    }

    fn event(&mut self) {
        let Some(event) = self.network.pop() else { return };
        self.now.set(self.network.now);
        let now = self.network.now;
        match event {
            Event::Request { from, sink, life, to, id, bytes } => {
                let Ok(mut request) = Request::decode(&bytes) else { return };
                if self.mistake == Some(Mistake::SendsNothingAgain)
                    && let Ask::Round(ask) = &mut request.ask
                {
                    let last = self.hosts[to].sequence;
                    ask.received = (last.saturating_sub(100)..=last).collect();
                }
                if self.hosts[to].is_up {
                    let asker = Asker { host: from, sink, life, id };
                    let reply = self.hosts[to].source.ask(now, &request, asker);
                    if let Some((asker, bytes)) = reply {
                        self.answer(to, &asker, bytes);
                    }
                    self.poll_source(to);
                }
            }
            Event::Reply { to, sink, life, id, bytes } => {
                if self.hosts[to].is_up && self.hosts[to].life == life {
                    self.hosts[to].sinks[sink].1.reply(now, id, Some(&bytes));
                    self.poll_sink(to, sink);
                }
            }
            Event::PollSink { host, sink, life } => {
                if self.hosts[host].is_up && self.hosts[host].life == life {
                    self.hosts[host].polls_at[sink] = Duration::MAX;
                    self.poll_sink(host, sink);
                }
            }
            Event::PollSource { host, life } => {
                if self.hosts[host].is_up && self.hosts[host].life == life {
                    self.hosts[host].polls_source_at = Duration::MAX;
                    self.poll_source(host);
                }
            }
        }
    }

    fn poll_sink(&mut self, at: usize, of: usize) {
        let now = self.network.now;
        let host = &mut self.hosts[at];
        let (life, (origin, sink)) = (host.life, &mut host.sinks[of]);
        let to = *origin;
        for request in sink.poll(now) {
            let (id, bytes) = (request.id, request.encode());
            let event = |bytes| Event::Request { from: at, sink: of, life, to, id, bytes };
            self.network.send(&mut self.random, (at, to), bytes, event);
        }
        let next = sink.next_poll(now);
        if next < host.polls_at[of] {
            host.polls_at[of] = next;
            self.network.at(next, Event::PollSink { host: at, sink: of, life });
        }
    }

    fn poll_source(&mut self, at: usize) {
        let now = self.network.now;
        for (asker, bytes) in self.hosts[at].source.replies(now) {
            self.answer(at, &asker, bytes);
        }
        let host = &mut self.hosts[at];
        let mut next = host.source.next_reply().unwrap_or(Duration::MAX);
        if let Some(reading) = host.reading.take() {
            let (asker, bytes) = host.source.finish(now, reading);
            self.answer(at, &asker, bytes);
        }
        let host = &mut self.hosts[at];
        host.reading = host.source.reading();
        if let Some(reading) = &mut host.reading {
            reading.read(|| now);
            next = next.min(now + Duration::from_millis(self.random.below(50)));
        }
        if next < host.polls_source_at {
            host.polls_source_at = next;
            self.network.at(next, Event::PollSource { host: at, life: host.life });
        }
    }

    fn answer(&mut self, from: usize, asker: &Asker, bytes: Vec<u8>) {
        if let Ok(Reply::Round(round, _)) = Reply::decode(&bytes) {
            self.hosts[from].sequence = round.sequence;
        }
        let Asker { host: to, sink, life, id } = *asker;
        let event = |bytes| Event::Reply { to, sink, life, id, bytes };
        self.network.send(&mut self.random, (from, to), bytes, event);
    }

    /// Something that happens on a host or to the network.
    fn act(&mut self) {
        let at = usize::try_from(self.random.below(self.hosts.len() as u64)).unwrap();
        let name = (self.one_of(NAMESPACES), self.one_of(NAMES));
        let there = self.hosts[at].workers.get(&name).cloned();
        match self.random.below(1000) {
            0..4 => self.partition(at),
            4..8 => self.network.cut.clear(),
            8..10 => {
                self.hosts[at].is_up = false;
                self.hosts[at].life += 1;
            }
            10..16 if !self.hosts[at].is_up => self.start(at),
            16..18 => self.reload(at),
            18..30 => {
                if let Some(truth) = there {
                    self.hosts[at].workers.remove(&name);
                    let key = truth.borrow().key;
                    if self.mistake != Some(Mistake::MissesRemoval) {
                        self.with_source(at, |source| source.remove(key));
                    }
                }
            }
            30..60 => {
                if let Some(truth) = there {
                    let writer = match self.random.below(4) {
                        0 => Writer::Dead,
                        1 => Writer::Stopped,
                        2 => Writer::Closed,
                        _ => Writer::Alive,
                    };
                    let now = self.network.now;
                    truth.borrow_mut().set_status(now, writer);
                    let status = truth.borrow().status;
                    let key = truth.borrow().key;
                    self.with_source(at, |source| source.set_status(now, key, status));
                }
            }
            60..66 if self.failing.get() > 0 => {
                // A copy is removed by hand.
                let mut memory = self.hosts[at].copying.memory.borrow_mut();
                let any = usize::try_from(self.random.below(memory.len().max(1) as u64)).unwrap();
                if let Some(key) = memory.keys().nth(any).cloned() {
                    memory.remove(&key);
                }
            }
            66..76 => self.check(at),
            _ => match there {
                Some(truth) => {
                    let mut truth = truth.borrow_mut();
                    truth.publish(self.network.now);
                    let key = truth.key;
                    let reaches_source =
                        self.mistake != Some(Mistake::MissesChange) || truth.publication() % 7 > 0;
                    drop(truth);
                    if reaches_source {
                        self.with_source(at, |source| source.changed(key));
                    }
                }
                None if self.random.percent(20) => self.create(at, name),
                None => {}
            },
        }
    }

    /// The host's sinks look after their copies.
    fn check(&mut self, at: usize) {
        for sink in 0..self.hosts[at].sinks.len() {
            if self.hosts[at].is_up {
                self.hosts[at].sinks[sink].1.check(self.network.now);
                self.poll_sink(at, sink);
            }
        }
    }

    fn create(&mut self, at: usize, name: Name) {
        self.next_instance += 1;
        let truth = Truth::new(self.network.now, self.next_instance);
        let truth = Rc::new(RefCell::new(truth));
        self.truths.borrow_mut().insert(self.next_instance, Rc::clone(&truth));
        self.hosts[at].workers.insert(name, Rc::clone(&truth));
        let worker = Worker {
            truth: Rc::clone(&truth),
            now: Rc::clone(&self.now),
            unread: Rc::clone(&self.unread),
            mistake: self.mistake,
        };
        let (description, status) = (truth.borrow().described(name), truth.borrow().status);
        let now = self.network.now;
        self.with_source(at, |source| truth.borrow_mut().key = source.add(now, description, status, worker));
    }

    fn one_of<const N: usize>(&mut self, of: [&'static str; N]) -> &'static str {
        of[usize::try_from(self.random.below(N as u64)).unwrap()]
    }

    /// A mirror gets another configuration.
    fn reload(&mut self, at: usize) {
        if !self.hosts[at].is_up {
            return;
        }
        for sink in 0..self.hosts[at].sinks.len() {
            let (interest, options) = (interest(&mut self.random), options(&mut self.random));
            let host = &mut self.hosts[at];
            *host.wants[sink].patterns.borrow_mut() = interest.iter().map(Interest::patterns).collect();
            host.sinks[sink].1.reload(interest, options);
            self.poll_sink(at, sink);
        }
    }

    /// Nothing tells a mirror that is down; it will look for itself.
    fn with_source(&mut self, at: usize, act: impl FnOnce(&mut Source<Worker, Asker>)) {
        if self.hosts[at].is_up {
            act(&mut self.hosts[at].source);
            self.poll_source(at);
        }
    }

    fn partition(&mut self, at: usize) {
        for other in (0..self.hosts.len()).filter(|other| *other != at) {
            if self.random.percent(50) {
                self.network.cut.insert((at.min(other), at.max(other)));
            }
        }
    }
}

/// The clock of a host.
fn epoch_of(host: usize) -> Duration {
    Duration::from_secs(1_700_000_000 + 7 * host as u64)
}
