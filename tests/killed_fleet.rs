//! The promise: **nothing accumulates, however often writers are killed.** Readers keep the last
//! whole state of every worker, and its successor resumes at once with the next number. No other
//! process has to clean up.
//!
//! Four worker processes publish flat out, and grow and shrink their channels all the time. The
//! test kills one of them with SIGKILL at a random moment, also while it starts and takes over,
//! starts a new one on the same channel, and repeats. The content of a publication is a function of
//! its number, and everything that is read is verified.
//!
//! It runs 200 rounds, or `TEARLESS_KILL_ROUNDS`. `TEARLESS_KILL_SEED` repeats the moments of an
//! earlier run as far as that is possible. `ci/kill` runs 10,000 rounds. `killed_anywhere` kills at
//! chosen instructions.

mod common;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{Actor, OwnNamespace, role};
use tearless::{Bytes, Namespace, Reader, error::SnapshotError, inspect::WriterState};

const TEST: &str = "ten_thousand_kills_leave_nothing";
const CHANNELS: [&str; 4] = ["worker-1", "worker-2", "worker-3", "worker-4"];
const ROUNDS: u64 = 200;

/// The most objects of a channel: its own, two segments that have grown, and one segment of an
/// interrupted growth.
const MAX_OBJECTS: usize = 4;

/// Characters that the names of all objects of a channel begin with: `tl_`, and the hashes of both
/// names.
const STEM: usize = 20;

/// Seconds after which a worker counts as hanging. The test kills it after milliseconds.
const PATIENCE: u32 = 120;

/// The channel shrinks after one in this many publications.
const SHRINK_EVERY: u64 = 64;

type BytesReader = Reader<Vec<u8>, Bytes>;

/// The finishing mixer of splitmix64 (Steele, Lea, Flood 2014).
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Writes the content of publication `publication` of `channel`: at most 64 KiB, mostly far less.
fn write(channel: &str, publication: u64, payload: &mut Vec<u8>) {
    let key = mix(publication ^ mix(u64::from(channel.as_bytes()[channel.len() - 1])));
    let max = 1 << (4 + mix(key) % 13);
    let len = usize::try_from(mix(!key) % max).unwrap();
    payload.clear();
    payload.extend((0..len as u64 / 8 + 1).flat_map(|word| mix(key.wrapping_add(word)).to_le_bytes()));
    payload.truncate(len);
}

/// A worker process: publishes flat out until it is killed, or until its standard input ends. The
/// input also ends if the test dies.
fn work(channel: &str, namespace: &Namespace) {
    // SAFETY: it only sets this process's timer.
    unsafe { libc::alarm(PATIENCE) };
    let begin = Instant::now();
    let mut writer = namespace.writer_builder::<Vec<u8>>(channel).codec::<Bytes>().open().unwrap();
    let mut payload = Vec::new();
    let first = writer.publication() + 1;
    write(channel, first, &mut payload);
    assert_eq!(writer.publish(&payload).unwrap(), first);
    let nanos = begin.elapsed().as_nanos();
    let mut output = std::io::stdout();
    writeln!(output, "\nfirst {first} after {nanos}").unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&is_over);
    thread::spawn(move || {
        common::wait_for_end();
        flag.store(true, Ordering::Relaxed);
    });
    while !is_over.load(Ordering::Relaxed) {
        let next = writer.publication() + 1;
        if next.is_multiple_of(SHRINK_EVERY) {
            writer.shrink_to_fit();
        }
        write(channel, next, &mut payload);
        assert_eq!(writer.publish(&payload).unwrap(), next);
    }
    writer.close().unwrap();
}

/// A reader that verifies everything it reads.
struct Witness {
    channel: &'static str,
    reader: BytesReader,
    state: Vec<u8>,
    expected: Vec<u8>,
    last: u64,
    snapshots: u64,
}

impl Witness {
    fn attach(namespace: &Namespace, channel: &'static str) -> Witness {
        let reader = namespace.reader_builder(channel).codec::<Bytes>().open().unwrap();
        Witness { channel, reader, state: Vec::new(), expected: Vec::new(), last: 0, snapshots: 0 }
    }

    /// Takes a snapshot and verifies content and order.
    fn look(&mut self) -> u64 {
        let info = self.reader.snapshot_into(&mut self.state);
        let publication = info.unwrap_or_else(|error| panic!("{}: {error}", self.channel)).publication();
        assert!(publication >= self.last, "{}: {publication} after {}", self.channel, self.last);
        write(self.channel, publication, &mut self.expected);
        assert!(self.state == self.expected, "{}: publication {publication} is torn", self.channel);
        self.last = publication;
        self.snapshots += 1;
        publication
    }
}

/// Measurements and counts.
#[derive(Default)]
struct Tally {
    /// Nanoseconds from before `open` to after the first publish, of the takeovers that got that
    /// far.
    takeovers: Vec<u64>,
    /// Nanoseconds from the kill until a reader sees the successor's first publication, including
    /// the start of the process.
    gaps: Vec<u64>,
    /// Nanoseconds until a killed writer is known to be dead.
    probes: Vec<u64>,
    snapshots: u64,
    kills: u64,
    /// The number of kills in a growth, or in a successor that has not yet removed the leftover of
    /// one.
    leftovers: u64,
    growths: u64,
}

impl Tally {
    fn add(&mut self, other: Tally) {
        self.takeovers.extend(other.takeovers);
        self.gaps.extend(other.gaps);
        self.probes.extend(other.probes);
        self.snapshots += other.snapshots;
        self.kills += other.kills;
        self.leftovers += other.leftovers;
        self.growths += other.growths;
    }
}

/// One worker's place in the fleet. It gets a new worker after each kill.
struct Post<'a> {
    channel: &'static str,
    namespace: &'a Namespace,
    witness: Witness,
    /// `None` between a kill and the next start.
    worker: Option<Actor>,
    prefix: String,
    random: u64,
    tally: Tally,
}

fn nanos(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap()
}

impl<'a> Post<'a> {
    /// Starts the first worker, and learns the names of its objects from its mappings.
    fn fill(channel: &'static str, namespace: &'a Namespace, seed: u64) -> Post<'a> {
        let mut worker = Actor::start(TEST, channel, namespace);
        worker.await_line_with("first 1 after");
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", worker.pid())).unwrap();
        let mut names = maps.lines().filter_map(|line| line.split_once("/dev/shm/")).map(|(_, name)| name);
        let prefix = names.find_map(|name| name.get(..STEM)).expect("an object of the channel").to_owned();
        let witness = Witness::attach(namespace, channel);
        let random = mix(seed ^ mix(channel.as_bytes()[channel.len() - 1].into()));
        Post { channel, namespace, witness, worker: Some(worker), prefix, random, tally: Tally::default() }
    }

    fn random(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.random) % below
    }

    /// Kills the worker at a random moment, checks what it leaves, and starts the next worker.
    fn round(&mut self) {
        let life = Duration::from_micros(self.random(3_000));
        self.watch(life);
        let killed = self.kill();
        self.check();
        self.start();
        // One in four workers is killed while it starts, takes over, or publishes for the first
        // time.
        while self.random(4) == 0 {
            let life = Duration::from_micros(self.random(8_000));
            self.watch(life);
            self.kill();
            self.check();
            self.start();
        }
        self.await_first(killed);
    }

    fn start(&mut self) {
        self.worker = Some(Actor::start(TEST, self.channel, self.namespace));
    }

    /// Takes snapshots for the given time, without pause.
    fn watch(&mut self, long: Duration) {
        let begin = Instant::now();
        while begin.elapsed() < long {
            self.witness.look();
        }
    }

    /// Kills the worker. The first check finds it dead.
    fn kill(&mut self) -> Instant {
        let killed = Instant::now();
        self.worker.take().expect("it was started").kill();
        let probe = Instant::now();
        let state = self.witness.reader.writer_state().unwrap();
        self.tally.probes.push(nanos(probe));
        assert_eq!(state, WriterState::Dead, "{}: the test has reaped it", self.channel);
        self.tally.kills += 1;
        killed
    }

    /// The last state of a killed worker is whole, to old and new readers, and at most one object
    /// is left over.
    fn check(&mut self) {
        let last = self.witness.look();
        assert_eq!(self.witness.reader.publication(), last, "{}", self.channel);
        let mut newcomer = Witness::attach(self.namespace, self.channel);
        assert_eq!(newcomer.look(), last, "{}: to a new reader", self.channel);
        let objects = self.objects();
        assert!((1..=MAX_OBJECTS).contains(&objects), "{}: {objects} objects", self.channel);
        self.tally.leftovers += u64::from(objects == MAX_OBJECTS);
    }

    /// Waits for the successor's first publication, which has the next number.
    fn await_first(&mut self, killed: Instant) {
        let dead = self.witness.last;
        let line = self.worker.as_mut().expect("it was started").await_line_with("first ");
        let numbers = line.split(' ').filter_map(|word| word.parse().ok()).collect::<Vec<u64>>();
        let [first, took] = numbers[..] else { panic!("{line}") };
        assert_eq!(first, dead + 1, "{}: the successor resumes", self.channel);
        assert!(self.witness.look() >= first, "{}: the published state is visible", self.channel);
        self.tally.gaps.push(nanos(killed));
        self.tally.takeovers.push(took);
    }

    /// Lets the last worker close the channel. Nothing is left then.
    fn close(mut self) -> Tally {
        self.worker.take().expect("it was started").finish();
        let closed = self.witness.reader.snapshot();
        assert!(matches!(closed, Err(SnapshotError::Closed { .. })), "{}: {closed:?}", self.channel);
        let objects = testkit::objects::listed(&self.prefix).len();
        assert_eq!(objects, 0, "{}: left in /dev/shm", self.channel);
        self.tally.snapshots += self.witness.snapshots;
        self.tally.growths += self.witness.reader.growths();
        self.tally
    }

    fn objects(&self) -> usize {
        testkit::objects::listed(&self.prefix).len()
    }
}

/// Runs the rounds of one post.
fn man<'a>(mut post: Post<'a>, rounds: &AtomicU64) -> Post<'a> {
    // Relaxed: the counter orders no other data.
    while rounds.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
        post.round();
    }
    post
}

/// Takes snapshots of all channels in turn while workers are killed, and returns their number.
fn look_around(namespace: &Namespace, over: &AtomicBool) -> u64 {
    let mut witnesses = CHANNELS.map(|channel| Witness::attach(namespace, channel));
    while !over.load(Ordering::Relaxed) {
        for witness in &mut witnesses {
            witness.look();
        }
    }
    witnesses.iter().map(|witness| witness.snapshots).sum()
}

fn from_environment(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value} is not a number")))
}

fn print_quantiles(what: &str, nanos: &mut [u64]) {
    nanos.sort_unstable();
    let micros = |index: usize| nanos.get(index).map_or(0.0, |nanos| *nanos as f64 / 1e3);
    let (half, max) = (micros(nanos.len() / 2), micros(nanos.len().saturating_sub(1)));
    let late = micros(nanos.len().saturating_sub(1) * 99 / 100);
    println!("{what:<46} p50 {half:>9.1} µs  p99 {late:>9.1} µs  max {max:>9.1} µs  of {}", nanos.len());
}

/// Runs all rounds, on all posts at the same time, and lets the last workers end.
fn play(namespace: &Namespace, rounds: u64, seed: u64) -> Tally {
    let posts = CHANNELS.map(|channel| Post::fill(channel, namespace, seed));
    let (left, over) = (AtomicU64::new(rounds), AtomicBool::new(false));
    thread::scope(|scope| {
        let observer = scope.spawn(|| look_around(namespace, &over));
        let players = posts.map(|post| scope.spawn(|| man(post, &left)));
        let posts = players.map(|player| player.join());
        over.store(true, Ordering::Relaxed);
        let snapshots = observer.join().expect("the observer finds no fault");
        let mut all = Tally { snapshots, ..Tally::default() };
        for post in posts {
            all.add(post.expect("the post finds no fault").close());
        }
        all
    })
}

#[test]
fn ten_thousand_kills_leave_nothing() {
    if let Some((channel, namespace)) = role() {
        return work(&channel, &namespace);
    }
    let rounds = from_environment("TEARLESS_KILL_ROUNDS").unwrap_or(ROUNDS);
    let seed = from_environment("TEARLESS_KILL_SEED").unwrap_or_else(|| RandomState::new().hash_one(rounds));
    println!("\n{} workers, {rounds} rounds, TEARLESS_KILL_SEED={seed}", CHANNELS.len());
    let own = OwnNamespace::new(&CHANNELS);
    let begin = Instant::now();
    let mut tally = play(&own, rounds, seed);
    print_quantiles("takeover, open to first publish", &mut tally.takeovers);
    print_quantiles("kill to the successor's first state, as read", &mut tally.gaps);
    print_quantiles("one look finds a killed writer dead", &mut tally.probes);
    let Tally { snapshots, kills, leftovers, growths, .. } = tally;
    println!(
        "{growths} growths and shrinkings, {snapshots} snapshots verified, {leftovers} leftovers of one object"
    );
    println!("rounds {rounds}, kills {kills}: torn 0, hangs 0, cleanups 0, left 0");
    println!("{:.1} s", begin.elapsed().as_secs_f64());
    assert!(kills >= rounds && tally.takeovers.len() as u64 == rounds && growths > rounds);
}
