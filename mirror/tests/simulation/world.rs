//! Hosts with workers and mirrors, and what must hold of the copies.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Duration;

use tearless::mirror::ChannelFormat;
use tearless_mirror::message::{Ask, Description, Interest, Reply, Request, Status, Writer};
use tearless_mirror::pace::Pace;
use tearless_mirror::sink::{Copies, Mirrored, Options, Sink};
use tearless_mirror::source::{Channel, Latest, Limits, Read, Reading, Source};

use crate::network::{Event, Faults, Network, Random};

/// What a sink or a source may do wrong, to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    AppliesOlder,
    IgnoresRemoval,
    LosesStatus,
    LosesState,
    ChecksNothing,
    /// Of a source, as those that follow.
    SendsTorn,
    SendsStale,
    MissesChange,
    MissesRemoval,
    /// It takes what it has sent for received.
    SendsNothingAgain,
}

pub const MISTAKES: [Mistake; 10] = [
    Mistake::AppliesOlder,
    Mistake::IgnoresRemoval,
    Mistake::LosesStatus,
    Mistake::LosesState,
    Mistake::ChecksNothing,
    Mistake::SendsTorn,
    Mistake::SendsStale,
    Mistake::MissesChange,
    Mistake::MissesRemoval,
    Mistake::SendsNothingAgain,
];

/// Larger states are pulled.
const INLINE: u32 = 512;

thread_local! {
    static FAULTS: Cell<u64> = const { Cell::new(0) };
}

/// A channel of a worker.
struct Truth {
    instance: u64,
    publication: u64,
    published_at: Duration,
    status: Status,
    /// In the source's present session.
    key: u32,
}

/// The payload of a publication: what was published can be told from what was not.
fn payload(instance: u64, publication: u64) -> Vec<u8> {
    let mut random = Random(instance ^ publication.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let len = match random.below(40) {
        0 => 0,
        1 => 600 + random.below(20_000),
        _ => random.below(200),
    };
    (0..len.div_ceil(8))
        .flat_map(|_| random.next().to_le_bytes())
        .take(usize::try_from(len).unwrap())
        .collect()
}

#[derive(Clone)]
struct Worker {
    truth: Rc<RefCell<Truth>>,
    now: Rc<Cell<Duration>>,
    unread: Rc<Cell<u64>>,
    mistake: Option<Mistake>,
}

impl Channel for Worker {
    fn latest(&mut self) -> Option<Latest> {
        let truth = self.truth.borrow();
        let len = (truth.publication > 0).then(|| payload(truth.instance, truth.publication).len() as u64)?;
        Some(Latest { publication: truth.publication, len })
    }

    fn read(&mut self, into: &mut Vec<u8>) -> Option<Read> {
        // As if it were written too fast.
        self.unread.set(self.unread.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        let truth = self.truth.borrow();
        if self.unread.get() >> 58 == 0 || truth.publication == 0 {
            return None;
        }
        *into = payload(truth.instance, truth.publication);
        let former = payload(truth.instance, truth.publication.saturating_sub(1));
        match self.mistake {
            Some(Mistake::SendsStale) => *into = former,
            Some(Mistake::SendsTorn) if into.len() == former.len() => {
                let half = into.len() / 2;
                into[..half].copy_from_slice(&former[..half]);
            }
            _ => {}
        }
        let age = self.now.get().saturating_sub(truth.published_at);
        Some(Read { publication: truth.publication, age: Some(age) })
    }
}

/// A mirrored channel in the memory of a host: it outlives the mirror.
struct Copy {
    instance: u64,
    publication: u64,
    /// This host's clock.
    published_at: Duration,
    status: Option<Status>,
    is_unreachable: bool,
}

type Memory = Rc<RefCell<BTreeMap<(String, String), Rc<RefCell<Copy>>>>>;

/// The copies of one host, as its sinks write them.
#[derive(Clone)]
struct Copying {
    memory: Memory,
    now: Rc<Cell<Duration>>,
    random: Rc<RefCell<Random>>,
    /// Percent of what fails.
    failing: Rc<Cell<u64>>,
    truths: Rc<RefCell<HashMap<u64, Rc<RefCell<Truth>>>>>,
    mistake: Rc<Cell<Option<Mistake>>>,
}

struct OneCopy {
    of: Copying,
    name: (String, String),
    copy: Rc<RefCell<Copy>>,
}

impl Copies for Copying {
    type Copy = OneCopy;

    fn open(&mut self, origin: &str, described: &Description) -> Result<OneCopy, String> {
        if self.random.borrow_mut().percent(self.failing.get()) {
            return Err("no memory".into());
        }
        let name = (origin.to_owned(), described.channel.clone());
        let mut memory = self.memory.borrow_mut();
        let instance = described.instance;
        let resumed = memory.get(&name).filter(|copy| copy.borrow().instance == instance).cloned();
        let copy = resumed.unwrap_or_else(|| {
            let published_at = Duration::ZERO;
            Rc::new(RefCell::new(Copy {
                instance,
                publication: 0,
                published_at,
                status: None,
                is_unreachable: false,
            }))
        });
        copy.borrow_mut().is_unreachable = false;
        memory.insert(name.clone(), Rc::clone(&copy));
        Ok(OneCopy { of: self.clone(), name, copy })
    }

    fn remove_others(&mut self, origin: &str, is_there: &dyn Fn(&str, &str) -> bool) {
        self.memory.borrow_mut().retain(|(host, channel), _| host != origin || is_there("fleet", channel));
    }
}

impl Mirrored for OneCopy {
    fn publication(&self) -> u64 {
        match self.of.mistake.get() {
            Some(Mistake::AppliesOlder) => 0,
            _ => self.copy.borrow().publication,
        }
    }

    fn publish(&mut self, bytes: &[u8], publication: u64, age: Option<Duration>) -> Result<(), String> {
        let mistake = self.of.mistake.get();
        if self.of.random.borrow_mut().percent(self.of.failing.get()) {
            return Err("no memory".into());
        }
        if mistake == Some(Mistake::LosesState) && publication.is_multiple_of(7) {
            return Ok(());
        }
        let mut copy = self.copy.borrow_mut();
        assert!(
            publication > copy.publication,
            "{:?} goes back from {} to {publication}",
            self.name,
            copy.publication
        );
        let truths = self.of.truths.borrow();
        let truth = truths[&copy.instance].borrow();
        assert!(publication <= truth.publication, "{:?}: {publication} was not published yet", self.name);
        assert!(bytes == payload(copy.instance, publication), "{:?}: {publication} is torn", self.name);
        let now = self.of.now.get();
        let published_at = now - age.expect("all have a time");
        assert!(
            publication < truth.publication || published_at >= truth.published_at,
            "it looks older than it is"
        );
        (copy.publication, copy.published_at) = (publication, published_at);
        Ok(())
    }

    fn set_status(&mut self, status: &Status) {
        if self.of.mistake.get() != Some(Mistake::LosesStatus) || status.writer == Writer::Alive {
            self.copy.borrow_mut().status = Some(*status);
        }
    }

    fn set_unreachable(&mut self, since: Option<Duration>) {
        self.copy.borrow_mut().is_unreachable = since.is_some();
    }

    fn check(&mut self) -> Result<(), String> {
        let memory = self.of.memory.borrow();
        let is_there = memory.get(&self.name).is_some_and(|copy| Rc::ptr_eq(copy, &self.copy));
        let is_right = is_there || self.of.mistake.get() == Some(Mistake::ChecksNothing);
        is_right.then_some(()).ok_or_else(|| "it was removed".into())
    }

    fn remove(self) {
        if self.of.mistake.get() == Some(Mistake::IgnoresRemoval) {
            return;
        }
        let mut memory = self.of.memory.borrow_mut();
        if memory.get(&self.name).is_some_and(|copy| Rc::ptr_eq(copy, &self.copy)) {
            memory.remove(&self.name);
        }
    }
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
    origins: Vec<usize>,
    workers: BTreeMap<String, Rc<RefCell<Truth>>>,
    copying: Copying,
    polls_source_at: Duration,
    polls_at: Vec<Duration>,
}

pub struct World {
    random: Random,
    network: Network,
    now: Rc<Cell<Duration>>,
    unread: Rc<Cell<u64>>,
    truths: Rc<RefCell<HashMap<u64, Rc<RefCell<Truth>>>>>,
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

fn options() -> Options {
    Options { max_bytes: 8 << 10, ..Options::default() }
}

fn status(writer: Writer, incarnation: u64) -> Status {
    Status {
        incarnation,
        pid: incarnation + 100,
        writer,
        heartbeat_interval: None,
        heartbeat_age: None,
        opened_ago: None,
        ended_ago: None,
    }
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
        host.reading = None;
        host.source.set_epoch(epoch_of(at));
        for (name, truth) in &host.workers {
            let worker = Worker {
                truth: Rc::clone(truth),
                now: Rc::clone(&self.now),
                unread: Rc::clone(&self.unread),
                mistake: self.mistake,
            };
            let status = truth.borrow().status;
            let key = host.source.add(self.network.now, described(name, &truth.borrow()), status, worker);
            truth.borrow_mut().key = key;
        }
        let pace = Pace::default();
        let interest = || vec![Interest { namespace: "*".into(), channel: "w*".into() }];
        host.sinks = host
            .origins
            .iter()
            .zip(&sessions[1..])
            .map(|(origin, id)| {
                let copying = host.copying.clone();
                (
                    *origin,
                    Sink::new(&format!("h{at}"), &format!("h{origin}"), *id, interest(), options(), copying)
                        .paced(pace.clone()),
                )
            })
            .collect();
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
                        self.answer(to, &asker, &bytes);
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
            self.network.send(&mut self.random, (at, to), bytes.len(), |damage| Event::Request {
                from: at,
                sink: of,
                life,
                to,
                id,
                bytes: damaged(&bytes, damage),
            });
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
            self.answer(at, &asker, &bytes);
        }
        let host = &mut self.hosts[at];
        let mut next = host.source.next_reply().unwrap_or(Duration::MAX);
        if let Some(reading) = host.reading.take() {
            let (asker, bytes) = host.source.finish(now, reading);
            self.answer(at, &asker, &bytes);
        }
        let host = &mut self.hosts[at];
        host.reading = host.source.reading();
        if let Some(reading) = &mut host.reading {
            reading.read(now);
            next = next.min(now + Duration::from_millis(self.random.below(50)));
        }
        if next < host.polls_source_at {
            host.polls_source_at = next;
            self.network.at(next, Event::PollSource { host: at, life: host.life });
        }
    }

    fn answer(&mut self, from: usize, asker: &Asker, bytes: &[u8]) {
        if let Ok(Reply::Round(round, _)) = Reply::decode(bytes) {
            self.hosts[from].sequence = round.sequence;
        }
        let Asker { host: to, sink, life, id } = *asker;
        self.network.send(&mut self.random, (from, to), bytes.len(), |damage| Event::Reply {
            to,
            sink,
            life,
            id,
            bytes: damaged(bytes, damage),
        });
    }

    /// Something that happens on a host or to the network.
    fn act(&mut self) {
        let at = usize::try_from(self.random.below(self.hosts.len() as u64)).unwrap();
        let name = format!("w{}", self.random.below(6));
        let there = self.hosts[at].workers.get(&name).cloned();
        match self.random.below(1000) {
            0..4 => self.partition(at),
            4..8 => self.network.cut.clear(),
            8..10 => {
                self.hosts[at].is_up = false;
                self.hosts[at].life += 1;
            }
            10..16 if !self.hosts[at].is_up => self.start(at),
            16..30 => {
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
                    let incarnation = truth.borrow().status.incarnation + u64::from(writer == Writer::Alive);
                    let (now, status) = (self.network.now, status(writer, incarnation));
                    truth.borrow_mut().status = status;
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
                    truth.publication += 1;
                    truth.published_at = self.network.now;
                    let key = truth.key;
                    let reaches_source =
                        self.mistake != Some(Mistake::MissesChange) || truth.publication % 7 > 0;
                    drop(truth);
                    if reaches_source {
                        self.with_source(at, |source| source.changed(key));
                    }
                }
                None if self.random.percent(20) => self.create(at, &name),
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

    fn create(&mut self, at: usize, name: &str) {
        self.next_instance += 1;
        let truth = Truth {
            instance: self.next_instance,
            publication: 0,
            published_at: self.network.now,
            status: status(Writer::Alive, 1),
            key: 0,
        };
        let truth = Rc::new(RefCell::new(truth));
        self.truths.borrow_mut().insert(self.next_instance, Rc::clone(&truth));
        self.hosts[at].workers.insert(name.into(), Rc::clone(&truth));
        let worker = Worker {
            truth: Rc::clone(&truth),
            now: Rc::clone(&self.now),
            unread: Rc::clone(&self.unread),
            mistake: self.mistake,
        };
        let (now, description, status) =
            (self.network.now, described(name, &truth.borrow()), truth.borrow().status);
        self.with_source(at, |source| truth.borrow_mut().key = source.add(now, description, status, worker));
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

    /// Nothing happens any more, and the network is whole: all copies become current.
    pub fn settle(&mut self) {
        FAULTS.set(self.network.count);
        self.network.cut.clear();
        self.network.faults = Faults::NONE;
        let had_failures = self.failing.replace(0) > 0;
        for host in 0..self.hosts.len() {
            if !self.hosts[host].is_up {
                self.start(host);
            }
        }
        // What could not be applied is asked for again after at most five minutes.
        let patience = Duration::from_secs(if had_failures { 320 } else { 16 });
        let (end, mut looked_at) = (self.network.now + patience, Duration::ZERO);
        loop {
            self.event();
            let now = self.network.now;
            let is_over = now >= end;
            if is_over || now >= looked_at + Duration::from_millis(500) {
                looked_at = now;
                (0..self.hosts.len()).for_each(|host| self.check(host));
                match self.difference() {
                    None => return self.check_clocks(),
                    Some(difference) => assert!(!is_over, "after {patience:?}: {difference}"),
                }
            }
        }
    }

    /// Each sink knows the clock of its origin as well as it says.
    fn check_clocks(&self) {
        for (at, (origin, sink)) in
            self.hosts.iter().enumerate().flat_map(|(at, host)| host.sinks.iter().map(move |it| (at, it)))
        {
            let Some((trip, epoch)) = sink.clock() else { continue };
            let error = epoch.abs_diff(i64::try_from(epoch_of(*origin).as_micros()).unwrap());
            assert!(
                Duration::from_micros(error) <= trip / 2 + Duration::from_micros(2),
                "h{at} of h{origin}"
            );
        }
    }

    /// A copy that is not what its origin has.
    fn difference(&self) -> Option<String> {
        for (at, host) in self.hosts.iter().enumerate() {
            let memory = host.copying.memory.borrow();
            for origin in &host.origins {
                let of = format!("h{origin}");
                let workers = &self.hosts[*origin].workers;
                for (name, truth) in workers {
                    let truth = truth.borrow();
                    let Some(copy) = memory.get(&(of.clone(), name.clone())) else {
                        return Some(format!("h{at} has no {of}/{name}"));
                    };
                    let copy = copy.borrow();
                    let is_same = (copy.instance, copy.publication) == (truth.instance, truth.publication)
                        && copy.status == Some(truth.status);
                    if !is_same || copy.is_unreachable {
                        return Some(format!(
                            "h{at}: {of}/{name} is {} of {}, {:?}, unreachable {}; there it is {} of {}, {:?}",
                            copy.publication,
                            copy.instance,
                            copy.status.map(|status| status.writer),
                            copy.is_unreachable,
                            truth.publication,
                            truth.instance,
                            truth.status.writer
                        ));
                    }
                }
                let extra = memory.keys().find(|(host, name)| *host == of && !workers.contains_key(name));
                if let Some((_, name)) = extra {
                    return Some(format!("h{at} still has {of}/{name}"));
                }
            }
        }
        None
    }
}

/// The clock of a host.
fn epoch_of(host: usize) -> Duration {
    Duration::from_secs(1_700_000_000 + 7 * host as u64)
}

fn described(name: &str, truth: &Truth) -> Description {
    Description {
        namespace: "fleet".into(),
        channel: name.into(),
        instance: truth.instance,
        format: ChannelFormat {
            codec: "bytes".into(),
            type_name: "bytes".into(),
            fingerprint: 1,
            schema: None,
            max_state_len: 1 << 20,
            capacity: 64,
        },
    }
}

fn damaged(bytes: &[u8], by: Option<u64>) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if let Some(by) = by {
        let at = usize::try_from(by).unwrap_or(0) % bytes.len();
        bytes[at] ^= 1 + (by >> 56) as u8 % 255;
    }
    bytes
}
