//! What a snapshot costs while a writer in another process publishes: `cargo bench --bench contended [-- FILTER]`.
//!
//! Each row has one reader that takes snapshots as fast as it can, and one writer that publishes at the row's rate. A
//! writer that can't reach the rate publishes as fast as it can; `publishes/s` is the rate that it reached. The filter is
//! a part of a row's name, `64 B/default/flat out`.
//!
//! * The percentiles are of single snapshots, `Reader::snapshot_into` a `Pod` between two readings of the clock,
//!   retries included. They *contain* the time of the clock itself, which is printed first.
//! * `retries/read` is failed attempts per snapshot; `gave up` counts snapshots that ended in `Contended`. Their time
//!   is in the percentiles as well.
//! * `preempted` is how often the kernel took the CPU away from the reader: on a busy machine the last percentiles and
//!   the maximum show preemptions, not retries.
//! * The writer fills the whole state before each publication: its rate includes both. Between two snapshots the reader
//!   checks every word of the last one, and that numbers never go back; `reads/s` contains that, the percentiles don't. A
//!   torn or outdated snapshot fails the benchmark.
//!
//! With `--test`, or without `--bench` as under `cargo test --benches`, everything runs for a moment only: no figures are
//! printed, and nothing depends on the time.

mod common;
#[path = "contended/cpus.rs"]
mod cpus;
#[path = "contended/scenario.rs"]
mod scenario;
#[path = "contended/writer.rs"]
mod writer;

use std::hint::black_box;
use std::time::{Duration, Instant};

use common::{Arguments, histogram, nanos};
use cpus::Pair;
use scenario::{Scenario, is_whole};
use tearless::{Namespace, Pod, Reader, error::SnapshotError};
use testkit::stats::Histogram;
use writer::{CHANNEL, WriterProcess};

/// The duration of a row, measured and in test mode.
const MEASURED: Duration = Duration::from_secs(1);
const TRIED: Duration = Duration::from_millis(10);

/// The results of one row.
struct Outcome {
    times: Histogram<u64>,
    elapsed: Duration,
    publications: u64,
    retries: u64,
    gave_up: u64,
    preempted: u64,
}

fn main() {
    if writer::run_if_told() {
        return;
    }
    let arguments = Arguments::read();
    let cpus = cpus::pair();
    if arguments.measure {
        common::print_machine();
        eprintln!("pinning       {}", cpus::describe(cpus));
    }
    if let Some(pair) = cpus {
        cpus::pin(pair.reader);
    }
    if arguments.measure {
        print_clock();
        print_header();
    }
    let namespace = Namespace::open(&common::unique_namespace("contended")).unwrap();
    for scenario in Scenario::all() {
        if arguments.filter.as_ref().is_some_and(|filter| !scenario.id().contains(filter)) {
            continue;
        }
        let duration = if arguments.measure { MEASURED } else { TRIED };
        let outcome = run(&namespace, scenario, cpus, duration);
        match arguments.measure {
            true => print_row(&scenario, &outcome),
            false => println!("{}: ok", scenario.id()),
        }
    }
}

fn run(namespace: &Namespace, scenario: Scenario, cpus: Option<Pair>, duration: Duration) -> Outcome {
    let mut writer = WriterProcess::start(namespace, scenario, cpus);
    let outcome = match scenario.words {
        8 => read_under::<8>(namespace, &mut writer, duration),
        128 => read_under::<128>(namespace, &mut writer, duration),
        8192 => read_under::<8192>(namespace, &mut writer, duration),
        words => panic!("there is no scenario of {words} words"),
    };
    writer.end();
    outcome
}

fn read_under<const WORDS: usize>(
    namespace: &Namespace,
    writer: &mut WriterProcess,
    duration: Duration,
) -> Outcome {
    let builder = namespace.reader_builder::<[u64; WORDS]>(CHANNEL).codec::<Pod>();
    let mut reader = builder.open().unwrap();
    let mut state = common::boxed::<WORDS>(|_| 0);
    // Not counted: the first snapshots map the segments and fault the pages in.
    read_for(&mut reader, &mut state, duration / 10);
    let outcome = read_for(&mut reader, &mut state, duration);
    // Independent of all timing: the last publication is there, and whole.
    let last = writer.stop();
    let info = reader.snapshot_into(&mut state).unwrap();
    assert!(info.publication() == last && is_whole(&state[..], last));
    outcome
}

fn read_for<const WORDS: usize>(
    reader: &mut Reader<[u64; WORDS], Pod>,
    state: &mut [u64; WORDS],
    duration: Duration,
) -> Outcome {
    let mut outcome = Outcome::new();
    let mut latest = 0;
    let first = reader.publication();
    let preempted = preemptions();
    let begin = Instant::now();
    while outcome.elapsed < duration {
        let before = Instant::now();
        let result = reader.snapshot_into(black_box(state));
        let after = Instant::now();
        outcome.times.saturating_record(nanos(after - before));
        match result {
            Ok(info) => {
                let publication = info.publication();
                assert!(is_whole(&state[..], publication), "snapshot of publication {publication} is torn");
                assert!(publication >= latest, "publication {publication} came after {latest}");
                latest = publication;
                outcome.retries += u64::from(info.retries());
            }
            Err(SnapshotError::Contended { attempts, .. }) => {
                outcome.gave_up += 1;
                outcome.retries += u64::from(attempts);
            }
            Err(error) => panic!("{error}"),
        }
        outcome.elapsed = after - begin;
    }
    outcome.publications = reader.publication() - first;
    outcome.preempted = preemptions() - preempted;
    outcome
}

impl Outcome {
    fn new() -> Outcome {
        let elapsed = Duration::ZERO;
        Outcome { times: histogram(), elapsed, publications: 0, retries: 0, gave_up: 0, preempted: 0 }
    }
}

/// How often the kernel has taken the CPU away from this process so far.
fn preemptions() -> u64 {
    let count = common::field("/proc/self/status", "nonvoluntary_ctxt_switches");
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// Prints how long two readings of the clock take with nothing between them.
fn print_clock() {
    let mut times = histogram();
    for _ in 0..1_000_000 {
        let before = Instant::now();
        let after = Instant::now();
        times.saturating_record(nanos(after - before));
    }
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|quantile| times.value_at_quantile(quantile));
    let max = times.max() as f64 / 1e3;
    eprintln!(
        "the clock     p50 {p50} ns, p99 {p99} ns, p99.9 {p999} ns, max {max:.1} µs: in every time below"
    );
}

fn print_header() {
    println!(
        "{:>7} {:>8} {:>9} {:>12} {:>11} {:>14} {:>8} {:>8} {:>9} {:>9} {:>8} {:>9}",
        "payload",
        "depth",
        "writer",
        "publishes/s",
        "reads/s",
        "retries/read",
        "p50 ns",
        "p99 ns",
        "p99.9 ns",
        "max µs",
        "gave up",
        "preempted"
    );
}

fn print_row(scenario: &Scenario, outcome: &Outcome) {
    let Outcome { times, elapsed, publications, retries, gave_up, preempted } = outcome;
    let reads = times.len() as f64;
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|quantile| times.value_at_quantile(quantile));
    println!(
        "{:>7} {:>8} {:>9} {:>12.0} {:>11.0} {:>14.4} {p50:>8} {p99:>8} {p999:>9} {:>9.1} {gave_up:>8} {preempted:>9}",
        scenario.payload(),
        scenario.depth(),
        scenario.pace,
        *publications as f64 / elapsed.as_secs_f64(),
        reads / elapsed.as_secs_f64(),
        *retries as f64 / reads,
        times.max() as f64 / 1e3,
    );
}
