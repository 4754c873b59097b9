//! The cost of a read while another process publishes, and whether readers slow the writer down.

use std::thread;
use std::time::{Duration, Instant};

use testkit::stats::Histogram;

use crate::batch::time_reads;
use crate::common::{field, histogram, nanos, size};
use crate::cpus::Pair;
use crate::dispatch::{self, Visit};
use crate::effort::Arguments;
use crate::peer::{Read, Shared};
use crate::place::{Ground, Place};
use crate::publishing::is_whole;
use crate::report::{Report, Table, figure, median};
use crate::worker::{Job, Worker};

/// Reads in a batch, without a reading of the clock.
const BATCH: u64 = 64;

/// The peers that can be read across processes.
const PEERS: [&str; 3] = ["tearless undated", "iceoryx2", "mmap-sync"];

/// The comparison with a classic double buffer.
const SHALLOW: &str = "tearless depth 1";

/// One situation: a size of the state and a rate of the writer.
struct Situation {
    words: usize,
    hertz: Option<u32>,
}

/// One peer as a reader sees it.
struct Outcome {
    times: Histogram<u64>,
    batches: Vec<f64>,
    reads: Vec<f64>,
    publishes: Vec<f64>,
    undisturbed: Vec<f64>,
    retries: u64,
    gave_up: u64,
    torn: u64,
    /// How often the kernel took the CPU away from the reader: this explains a large maximum,
    /// retries do not.
    preempted: u64,
}

/// All situations.
pub(crate) fn measure(arguments: &Arguments, ground: &Ground, cpus: Option<Pair>, report: &mut Report) {
    for words in [8, 128, 8192] {
        for hertz in [Some(1_000), Some(1_000_000), None] {
            let situation = Situation { words, hertz };
            if arguments.wants(&situation.id()) {
                one(&situation, arguments, ground, cpus, report);
            }
        }
    }
}

impl Situation {
    fn id(&self) -> String {
        format!("contended/{}/{}", size(self.words * 8), self.pace())
    }

    fn pace(&self) -> &'static str {
        match self.hertz {
            None => "flat out",
            Some(1_000) => "1 kHz",
            Some(_) => "1 MHz",
        }
    }

    /// Each peer and turn gets another place, free of what an earlier turn left.
    fn place(&self, ground: &Ground, peer: &str, round: usize) -> Place {
        let pace = self.pace().replace(' ', "-");
        ground.place(&format!("contended-{}-{pace}-{}-{round}", self.words, peer.replace(' ', "-")))
    }
}

fn one(
    situation: &Situation,
    arguments: &Arguments,
    ground: &Ground,
    cpus: Option<Pair>,
    report: &mut Report,
) {
    let mut peers = PEERS.to_vec();
    if situation.hertz.is_none() {
        peers.push(SHALLOW);
    }
    let mut outcomes: Vec<Outcome> = peers.iter().map(|_| Outcome::new()).collect();
    for round in 0..arguments.effort.contended_rounds {
        for (peer, outcome) in peers.iter().zip(&mut outcomes) {
            let place = situation.place(ground, peer, round);
            turn(situation, peer, &place, cpus, arguments.effort.contended, outcome);
        }
    }
    for (peer, outcome) in peers.iter().zip(&outcomes) {
        outcome.keep(&format!("{}/{peer}", situation.id()), report);
    }
    print(situation, &peers, report);
}

/// A turn with a writer of its own: first without a reader, then with this process as the reader.
fn turn(
    situation: &Situation,
    peer: &str,
    place: &Place,
    cpus: Option<Pair>,
    duration: Duration,
    outcome: &mut Outcome,
) {
    let Situation { words, hertz } = *situation;
    let job = Job::Publish { peer: peer.into(), words, hertz, place: place.clone() };
    let mut writer = Worker::start(&job, cpus.map(|pair| pair.writer));
    let undisturbed = rate(&mut writer, || thread::sleep(duration / 3));
    outcome.undisturbed.push(undisturbed);
    dispatch::visit(peer, words, Turn { place, duration, writer: &mut writer, outcome });
    writer.end();
}

/// Publications a second during `what`.
fn rate(writer: &mut Worker, what: impl FnOnce()) -> f64 {
    let (begin, first) = (Instant::now(), writer.ask("count"));
    what();
    let last = writer.ask("count");
    (last - first) as f64 / begin.elapsed().as_secs_f64()
}

struct Turn<'a> {
    place: &'a Place,
    duration: Duration,
    writer: &'a mut Worker,
    outcome: &'a mut Outcome,
}

impl Visit for Turn<'_> {
    type Output = ();

    fn visit<P: Shared<WORDS>, const WORDS: usize>(self) {
        let Turn { place, duration, writer, outcome } = self;
        let mut reader = P::reader(place);
        // Not counted: the first reads map files and fault pages in.
        read_singly(&mut reader, duration / 10, &mut Outcome::new());
        let publishes = rate(writer, || read_singly(&mut reader, duration, outcome));
        outcome.publishes.push(publishes);
        read_in_batches(&mut reader, duration / 4, &mut outcome.batches);
    }
}

fn read_singly<const WORDS: usize>(reader: &mut impl Read<WORDS>, duration: Duration, outcome: &mut Outcome) {
    let preempted = preemptions();
    let begin = Instant::now();
    let (mut after, mut reads) = (begin, 0_u64);
    while after - begin < duration {
        let mut done = None;
        let before = Instant::now();
        let tried = reader.read(|state| {
            done = Some(Instant::now());
            outcome.torn += u64::from(!is_whole(state));
        });
        after = done.unwrap_or_else(Instant::now);
        outcome.times.saturating_record(nanos(after - before));
        outcome.retries += u64::from(tried.retries);
        outcome.gave_up += u64::from(tried.gave_up);
        reads += 1;
    }
    outcome.reads.push(reads as f64 / begin.elapsed().as_secs_f64());
    outcome.preempted += preemptions() - preempted;
}

/// How often the kernel has taken the CPU away from this thread so far.
fn preemptions() -> u64 {
    let count = field("/proc/thread-self/status", "nonvoluntary_ctxt_switches");
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}

fn read_in_batches<const WORDS: usize>(
    reader: &mut impl Read<WORDS>,
    duration: Duration,
    batches: &mut Vec<f64>,
) {
    let begin = Instant::now();
    while begin.elapsed() < duration {
        batches.push(nanos(time_reads(reader, BATCH)) as f64 / BATCH as f64);
    }
}

impl Outcome {
    fn new() -> Outcome {
        Outcome {
            times: histogram(),
            batches: Vec::new(),
            reads: Vec::new(),
            publishes: Vec::new(),
            undisturbed: Vec::new(),
            retries: 0,
            gave_up: 0,
            torn: 0,
            preempted: 0,
        }
    }

    fn keep(&self, id: &str, report: &mut Report) {
        let quantile = |quantile| self.times.value_at_quantile(quantile) as f64;
        let reads = self.times.len() as f64;
        let figures = [
            ("batch ns", median(self.batches.clone())),
            ("p50 ns", quantile(0.5)),
            ("p99 ns", quantile(0.99)),
            ("p99.9 ns", quantile(0.999)),
            ("max ns", self.times.max() as f64),
            ("reads per s", median(self.reads.clone())),
            ("publishes per s", median(self.publishes.clone())),
            ("publishes per s without a reader", median(self.undisturbed.clone())),
            ("gave up", self.gave_up as f64),
            ("torn", self.torn as f64),
            ("preempted", self.preempted as f64),
            ("reads", reads),
        ];
        for (name, value) in figures {
            report.add(format!("{id}/{name}"), value);
        }
        // The other peers do not report retries.
        if id.contains("tearless") {
            assert_eq!(self.torn, 0, "{id}: a snapshot was torn");
            report.add(format!("{id}/retries per read"), self.retries as f64 / reads);
        }
    }
}

/// Headings, and the figures below them.
const COLUMNS: [(&str, &str); 11] = [
    ("mean ns", "batch ns"),
    ("p50 ns", "p50 ns"),
    ("p99 ns", "p99 ns"),
    ("p99.9 ns", "p99.9 ns"),
    ("max ns", "max ns"),
    ("reads/s", "reads per s"),
    ("publishes/s", "publishes per s"),
    ("unread", "publishes per s without a reader"),
    ("retries/read", "retries per read"),
    ("torn", "torn"),
    ("preempted", "preempted"),
];

fn print(situation: &Situation, peers: &[&str], report: &Report) {
    println!("### {}, a writer in another process, {}\n", size(situation.words * 8), situation.pace());
    let mut headings = vec!["peer", "ratio"];
    headings.extend(COLUMNS.map(|(heading, _)| heading));
    let mut table = Table::new(&headings);
    let value = |peer: &str, name: &str| report.get(&format!("{}/{peer}/{name}", situation.id()));
    let reference = value(PEERS[0], "batch ns").unwrap_or(f64::NAN);
    for peer in peers {
        let ratio = value(peer, "batch ns").map_or("-".into(), |mean| figure(mean / reference));
        let mut row = vec![(*peer).into(), ratio];
        row.extend(COLUMNS.map(|(_, name)| match value(peer, name) {
            Some(rate) if name == "retries per read" => format!("{rate:.6}"),
            Some(count) if ["torn", "preempted"].contains(&name) => format!("{count}"),
            Some(value) => figure(value),
            None => "-".into(),
        }));
        table.row(row);
    }
    table.print();
}
