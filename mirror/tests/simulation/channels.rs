//! The channels of workers, and their copies: what was published and when is known, so each state
//! and each status that a sink applies is checked.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Duration;

use tearless::hub::Pattern;
use tearless_mirror::message::{Description, Status, Writer};
use tearless_mirror::sink::{Copies, Mirrored};
use tearless_mirror::source::{Channel, Latest, Read};
use tearless_mirror::testing::{ALIVE, described};

use crate::network::Random;

/// What a sink or a source may do wrong, to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    AppliesOlder,
    IgnoresRemoval,
    LosesStatus,
    LosesState,
    SaysOlder,
    SaysOlderStatus,
    ChecksNothing,
    /// Of a source, as those that follow.
    SendsTorn,
    SendsStale,
    MissesChange,
    MissesRemoval,
    /// It takes what it has sent for received.
    SendsNothingAgain,
}

pub const MISTAKES: [Mistake; 12] = [
    Mistake::AppliesOlder,
    Mistake::IgnoresRemoval,
    Mistake::LosesStatus,
    Mistake::LosesState,
    Mistake::SaysOlder,
    Mistake::SaysOlderStatus,
    Mistake::ChecksNothing,
    Mistake::SendsTorn,
    Mistake::SendsStale,
    Mistake::MissesChange,
    Mistake::MissesRemoval,
    Mistake::SendsNothingAgain,
];

/// Namespace and name.
pub type Name = (&'static str, &'static str);
pub const NAMESPACES: [&str; 2] = ["fleet", "lab"];
pub const NAMES: [&str; 6] = ["w0", "w1", "w2", "w3", "w4", "w5"];

/// When a writer opened a channel, and when it was last alive.
#[derive(Clone, Copy)]
struct Times {
    opened_at: Duration,
    heartbeat_at: Duration,
}

/// A channel of a worker.
pub struct Truth {
    pub instance: u64,
    /// When each state was published.
    published_at: Vec<Duration>,
    pub status: Status,
    /// Of each status, by the number of the process.
    times: Vec<Times>,
    /// In the source's present session.
    pub key: u32,
}

impl Truth {
    pub fn new(now: Duration, instance: u64) -> Truth {
        let status = Status { incarnation: 0, ..ALIVE };
        let mut truth = Truth { instance, published_at: Vec::new(), status, times: Vec::new(), key: 0 };
        truth.set_status(now, Writer::Alive);
        truth
    }

    pub fn publication(&self) -> u64 {
        self.published_at.len() as u64
    }

    pub fn publish(&mut self, now: Duration) {
        self.published_at.push(now);
    }

    /// Each alive writer is another one.
    pub fn set_status(&mut self, now: Duration, writer: Writer) {
        let is_new = writer == Writer::Alive;
        let former = self.times.last().filter(|_| !is_new);
        let times = former.copied().unwrap_or(Times { opened_at: now, heartbeat_at: now });
        self.times.push(times);
        let ago = |at: Duration| u64::try_from((now - at).as_nanos()).ok();
        self.status = Status {
            incarnation: self.status.incarnation + u64::from(is_new),
            pid: self.times.len() as u64 - 1,
            writer,
            heartbeat_age: ago(times.heartbeat_at),
            opened_ago: ago(times.opened_at),
            ..self.status
        };
    }

    pub fn described(&self, (namespace, channel): Name) -> Description {
        Description { namespace: namespace.into(), instance: self.instance, ..described(channel, 64) }
    }
}

/// The payload of a publication: what was published can be told from what was not.
struct Payload {
    random: Random,
    len: usize,
}

impl Payload {
    fn of(instance: u64, publication: u64) -> Payload {
        let mut random = Random(instance ^ publication.wrapping_mul(0x2545_f491_4f6c_dd1d));
        let len = match random.below(400) {
            0..10 => 0,
            10..18 => 600 + random.below(20_000),
            // Of several pieces.
            18..20 => 20_000 + random.below(80_000),
            _ => random.below(200),
        };
        Payload { random, len: usize::try_from(len).unwrap() }
    }

    fn write(mut self, into: &mut Vec<u8>) {
        into.clear();
        into.resize(self.len, 0);
        for chunk in into.chunks_mut(8) {
            chunk.copy_from_slice(&self.random.next().to_le_bytes()[..chunk.len()]);
        }
    }

    fn is(mut self, bytes: &[u8]) -> bool {
        let is_next = |chunk: &[u8]| *chunk == self.random.next().to_le_bytes()[..chunk.len()];
        self.len == bytes.len() && bytes.chunks(8).all(is_next)
    }
}

#[derive(Clone)]
pub struct Worker {
    pub truth: Rc<RefCell<Truth>>,
    pub now: Rc<Cell<Duration>>,
    pub unread: Rc<Cell<u64>>,
    pub mistake: Option<Mistake>,
}

impl Channel for Worker {
    fn latest(&mut self) -> Option<Latest> {
        let truth = self.truth.borrow();
        let publication = truth.publication();
        let len = (publication > 0).then(|| Payload::of(truth.instance, publication).len as u64)?;
        Some(Latest { publication, len })
    }

    fn read(&mut self, into: &mut Vec<u8>) -> Option<Read> {
        // As if it were written too fast.
        self.unread.set(self.unread.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        let truth = self.truth.borrow();
        let published_at = *truth.published_at.last().filter(|_| self.unread.get() >> 58 != 0)?;
        Payload::of(truth.instance, truth.publication()).write(into);
        if matches!(self.mistake, Some(Mistake::SendsStale | Mistake::SendsTorn)) {
            let mut former = Vec::new();
            Payload::of(truth.instance, truth.publication() - 1).write(&mut former);
            if self.mistake == Some(Mistake::SendsStale) {
                *into = former;
            } else if into.len() == former.len() {
                let half = into.len() / 2;
                into[..half].copy_from_slice(&former[..half]);
            }
        }
        let age = self.now.get().saturating_sub(published_at);
        Some(Read { publication: truth.publication(), age: Some(age) })
    }
}

/// A mirrored channel in the memory of a host: it outlives the mirror.
pub struct Copy {
    pub instance: u64,
    pub publication: u64,
    pub status: Option<Status>,
    pub is_unreachable: bool,
}

/// By origin, namespace and channel.
pub type Memory = Rc<RefCell<BTreeMap<(String, String, String), Rc<RefCell<Copy>>>>>;
pub type Truths = Rc<RefCell<HashMap<u64, Rc<RefCell<Truth>>>>>;

/// The copies of one host, as its sinks write them.
#[derive(Clone)]
pub struct Copying {
    pub memory: Memory,
    pub now: Rc<Cell<Duration>>,
    pub random: Rc<RefCell<Random>>,
    /// Percent of what fails.
    pub failing: Rc<Cell<u64>>,
    pub truths: Truths,
    pub mistake: Rc<Cell<Option<Mistake>>>,
    /// What the sink wants.
    pub patterns: Rc<RefCell<Vec<(Pattern, Pattern)>>>,
}

pub struct OneCopy {
    of: Copying,
    name: (String, String, String),
    truth: Rc<RefCell<Truth>>,
    copy: Rc<RefCell<Copy>>,
}

impl Copying {
    fn fails(&self) -> bool {
        self.failing.get() > 0 && self.random.borrow_mut().percent(self.failing.get())
    }

    pub fn wants(&self, namespace: &str, channel: &str) -> bool {
        self.patterns.borrow().iter().any(|it| it.0.matches(namespace) && it.1.matches(channel))
    }
}

impl Copies for Copying {
    type Copy = OneCopy;

    fn open(&mut self, origin: &str, described: &Description) -> Result<OneCopy, String> {
        let Description { namespace, channel, instance, .. } = described;
        let instance = *instance;
        assert!(self.wants(namespace, channel), "{namespace}/{channel} was not asked for");
        if self.fails() {
            return Err("no memory".into());
        }
        let name = (origin.to_owned(), namespace.clone(), channel.clone());
        let mut memory = self.memory.borrow_mut();
        let resumed = memory.get(&name).filter(|copy| copy.borrow().instance == instance).cloned();
        let copy = resumed.unwrap_or_else(|| {
            Rc::new(RefCell::new(Copy { instance, publication: 0, status: None, is_unreachable: false }))
        });
        copy.borrow_mut().is_unreachable = false;
        memory.insert(name.clone(), Rc::clone(&copy));
        let truth = Rc::clone(&self.truths.borrow()[&instance]);
        Ok(OneCopy { of: self.clone(), name, truth, copy })
    }

    fn remove_others(&mut self, origin: &str, is_there: &dyn Fn(&str, &str) -> bool) {
        let is_kept = |(host, namespace, channel): &(String, String, String)| {
            host != origin || is_there(namespace, channel)
        };
        self.memory.borrow_mut().retain(|name, _| is_kept(name));
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
        if self.of.fails() {
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
        let truth = self.truth.borrow();
        assert!(publication <= truth.publication(), "{:?}: {publication} was not published yet", self.name);
        assert!(Payload::of(copy.instance, publication).is(bytes), "{:?}: {publication} is torn", self.name);
        let mut age = age.expect("all have a time");
        if mistake == Some(Mistake::SaysOlder) {
            age += Duration::from_millis(100);
        }
        let since = self.of.now.get() - truth.published_at[usize::try_from(publication).unwrap() - 1];
        assert!(age <= since, "{:?} is {since:?} old, and its copy {age:?}", self.name);
        copy.publication = publication;
        Ok(())
    }

    fn set_status(&mut self, status: &Status) {
        let mistake = self.of.mistake.get();
        let truth = self.truth.borrow();
        let times = truth.times[usize::try_from(status.pid).unwrap()];
        for (at, age) in [(times.opened_at, status.opened_ago), (times.heartbeat_at, status.heartbeat_age)] {
            let mut age = Duration::from_nanos(age.expect("all have a time"));
            if mistake == Some(Mistake::SaysOlderStatus) {
                age += Duration::from_millis(100);
            }
            let since = self.of.now.get() - at;
            assert!(age <= since, "a status of {:?} is {since:?} old, and its copy {age:?}", self.name);
        }
        if mistake != Some(Mistake::LosesStatus) || status.writer == Writer::Alive {
            self.copy.borrow_mut().status = Some(*status);
        }
    }

    fn set_unreachable(&mut self, since: Option<Duration>) {
        assert!(since.is_none_or(|since| since >= Duration::from_secs(3)), "unreachable after {since:?}");
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
