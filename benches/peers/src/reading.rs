//! Processes that read, and whether they disturb each other: two of them together against one.

use std::hint::black_box;
use std::time::{Duration, Instant};

use testkit::child;

use crate::common::size;
use crate::cpus::Pair;
use crate::dispatch::{self, Visit};
use crate::effort::Arguments;
use crate::peer::{Read, Shared};
use crate::place::{Ground, Place};
use crate::report::{Report, Table, figure, median};
use crate::worker::{Job, Worker};

/// Reads between two readings of the clock.
const BATCH: u64 = 100;

/// The peers that several processes can read.
const PEERS: [&str; 3] = ["tearless undated", "iceoryx2", "mmap-sync"];

/// Reads for as many milliseconds as each line says. Answers with the number of reads.
pub(crate) fn run(peer: &str, words: usize, place: &Place) {
    dispatch::visit(peer, words, Reading { place });
}

struct Reading<'a> {
    place: &'a Place,
}

impl Visit for Reading<'_> {
    type Output = ();

    fn visit<P: Shared<WORDS>, const WORDS: usize>(self) {
        let mut reader = P::reader(self.place);
        read_for(&mut reader, Duration::from_millis(1));
        child::ready();
        while let Some(order) = child::next_order() {
            let duration = Duration::from_millis(order.parse().expect("it is a number"));
            println!("{}", read_for(&mut reader, duration));
        }
    }
}

fn read_for<const WORDS: usize>(reader: &mut impl Read<WORDS>, duration: Duration) -> u64 {
    let begin = Instant::now();
    let mut reads = 0;
    while begin.elapsed() < duration {
        for _ in 0..BATCH {
            reader.read(|state| {
                black_box(state);
            });
        }
        reads += BATCH;
    }
    reads
}

/// Two reading processes against one, the writer idle.
pub(crate) fn measure(arguments: &Arguments, ground: &Ground, cpus: Option<Pair>, report: &mut Report) {
    let mut table =
        Table::new(&["two reading processes", "payload", "one, reads/s", "two, reads/s", "two : one"]);
    let mut any = false;
    for words in [8, 128] {
        let label = size(words * 8);
        if !arguments.wants(&format!("readers/{label}")) {
            continue;
        }
        any = true;
        for (peer, rates) in PEERS.into_iter().zip(rates(arguments, ground, cpus, words)) {
            let id = format!("readers/{label}/{peer}");
            report.add(format!("{id}/one reads per s"), rates.one);
            report.add(format!("{id}/two reads per s"), rates.two);
            report.add(format!("{id}/two : one"), rates.ratio);
            let cells = [rates.one, rates.two, rates.ratio].map(figure);
            table.row([peer.into(), label.clone()].into_iter().chain(cells).collect());
        }
    }
    if any {
        table.print();
    }
}

/// Reads a second.
struct Rates {
    one: f64,
    two: f64,
    ratio: f64,
}

/// An idle writer, and a reader on each CPU.
struct Group {
    readers: [Worker; 2],
    writer: Worker,
    one: Vec<f64>,
    two: Vec<f64>,
    ratios: Vec<f64>,
}

fn rates(arguments: &Arguments, ground: &Ground, cpus: Option<Pair>, words: usize) -> Vec<Rates> {
    let millis = arguments.effort.contended.as_millis() as u64 / 3;
    let mut groups: Vec<Group> = PEERS.iter().map(|peer| Group::start(peer, words, ground, cpus)).collect();
    for _ in 0..arguments.effort.contended_rounds.max(3) {
        for group in &mut groups {
            group.round(millis);
        }
    }
    groups.into_iter().map(Group::end).collect()
}

impl Group {
    fn start(peer: &str, words: usize, ground: &Ground, cpus: Option<Pair>) -> Group {
        let place = ground.place(&format!("readers-{}-{words}", peer.replace(' ', "-")));
        let job = Job::Publish { peer: peer.into(), words, hertz: Some(1), place: place.clone() };
        let writer = Worker::start(&job, cpus.map(|pair| pair.writer));
        let job = Job::Read { peer: peer.into(), words, place };
        let readers = [cpus.map(|pair| pair.reader), cpus.map(|pair| pair.writer)];
        let readers = readers.map(|cpu| Worker::start(&job, cpu));
        Group { readers, writer, one: Vec::new(), two: Vec::new(), ratios: Vec::new() }
    }

    /// The first reader, the second reader, and both.
    fn round(&mut self, millis: u64) {
        let order = millis.to_string();
        let alone = self.readers.each_mut().map(|reader| reader.ask(&order) as f64);
        self.readers.iter_mut().for_each(|reader| reader.order(&order));
        let together = self.readers.each_mut().map(|reader| reader.answer());
        let together: f64 = together.iter().map(|reads| reads.parse::<f64>().expect("a number")).sum();
        let one = (alone[0] + alone[1]) / 2.0;
        let seconds = millis as f64 / 1e3;
        self.one.push(one / seconds);
        self.two.push(together / seconds);
        self.ratios.push(together / one);
    }

    fn end(self) -> Rates {
        let Group { readers, writer, one, two, ratios } = self;
        readers.into_iter().for_each(Worker::end);
        writer.end();
        Rates { one: median(one), two: median(two), ratio: median(ratios) }
    }
}
