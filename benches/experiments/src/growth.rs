//! What does it cost writer and readers when a state outgrows its memory?

use std::time::{Duration, Instant};

use tearless::{Bytes, Reader, error::SnapshotError};

use crate::Failure;
use crate::common::{nanos, size};
use crate::context::Context;
use crate::measure::{median_of, once_nanos};
use crate::plot::{Axis, Plot, Scale, Series};
use crate::report::Report;
use crate::table::{Table, span, time};
use crate::worker::{CHANNEL, Grow, Grown, Role, Worker};

/// The first size; the next is twice as large.
const FIRST: usize = 4 << 10;

/// The last size.
const LAST: usize = 64 << 20;

/// The last size in a quick run.
const QUICK_LAST: usize = 4 << 20;

/// Rounds, each with a new channel.
const ROUNDS: usize = 5;

/// Publications and snapshots after the growth, of which the median counts.
const STEADY: usize = 5;

/// How long a reader watches each size.
const WATCH: Duration = Duration::from_millis(150);

/// One size, in nanoseconds.
#[derive(Default)]
struct Sample {
    bytes: usize,
    /// Publications that replace a segment.
    growing: f64,
    /// Those that follow.
    publish: f64,
    /// The first snapshot of a new segment.
    remap: f64,
    /// Those that follow.
    snapshot: f64,
}

/// The snapshots of a reader that never paused while the writer grew to a size.
struct Watched {
    bytes: usize,
    p50: f64,
    longest: f64,
    failures: u64,
}

/// Runs the experiment.
pub(crate) fn run(context: &mut Context) -> Result<Report, Failure> {
    let last = if context.quick { QUICK_LAST } else { LAST };
    let sizes: Vec<usize> = std::iter::successors(Some(FIRST), |bytes| Some(bytes * 2))
        .take_while(|bytes| *bytes <= last)
        .collect();
    let mut samples: Vec<Vec<Sample>> = sizes.iter().map(|_| Vec::new()).collect();
    let mut watched: Vec<Vec<Watched>> = sizes.iter().map(|_| Vec::new()).collect();
    for round in 1..=context.rounds(ROUNDS) {
        context.progress.say(&format!("growth: step by step, round {round}"));
        step_by_step(context, &sizes, &mut samples)?;
        context.progress.say(&format!("growth: watched, round {round}"));
        watch(context, &sizes, &mut watched)?;
    }
    let samples: Vec<Sample> = samples.iter().map(|rounds| Sample::middle(rounds)).collect();
    let watched: Vec<Watched> = watched.iter().map(|rounds| Watched::middle(rounds)).collect();
    Ok(report(&samples, &watched))
}

/// The main process's reader.
type Latest = Reader<Vec<u8>, Bytes>;

/// A reader of the worker's channel.
fn attach(context: &Context) -> Result<Latest, Failure> {
    Ok(context.namespace.reader_builder(CHANNEL).codec::<Bytes>().open()?)
}

/// Writer and reader take turns: each publication is followed by a snapshot.
fn step_by_step(context: &Context, sizes: &[usize], samples: &mut [Vec<Sample>]) -> Result<(), Failure> {
    let mut worker = context.start(Role::Grow)?;
    let mut reader = attach(context)?;
    let mut state = vec![1; LAST];
    for (bytes, samples) in sizes.iter().zip(samples) {
        let mut turns = Vec::new();
        // Twice, because the channel has two segments.
        for _ in 0..2 + STEADY {
            turns.push(Turn::take(&mut worker, &mut reader, &mut state, *bytes)?);
        }
        samples.push(Sample::of(*bytes, &turns));
    }
    worker.end()
}

/// One publication and one snapshot.
struct Turn {
    grows: bool,
    publish: f64,
    snapshot: f64,
}

impl Turn {
    /// Has the worker publish once, and takes a snapshot.
    fn take(
        worker: &mut Worker,
        reader: &mut Latest,
        state: &mut Vec<u8>,
        bytes: usize,
    ) -> Result<Turn, Failure> {
        let grown: Grown = worker.ask(&serde_json::to_string(&Grow { bytes, on_for: None })?)?;
        let (snapshot, info) = once_nanos(|| reader.snapshot_into(state));
        match info?.payload_len() == bytes {
            true => Ok(Turn {
                grows: grown.growths > 0,
                publish: grown.first_nanos as f64,
                snapshot: snapshot as f64,
            }),
            false => Err(format!("a snapshot is not of the {bytes} bytes that were published").into()),
        }
    }
}

impl Sample {
    /// The medians of one round's turns at one size.
    fn of(bytes: usize, turns: &[Turn]) -> Sample {
        let (growing, steady): (Vec<&Turn>, Vec<&Turn>) = turns.iter().partition(|turn| turn.grows);
        Sample {
            bytes,
            growing: median_of(&growing, |turn| turn.publish),
            publish: median_of(&steady, |turn| turn.publish),
            remap: median_of(&growing, |turn| turn.snapshot),
            snapshot: median_of(&steady, |turn| turn.snapshot),
        }
    }

    /// The medians of all rounds at one size.
    fn middle(rounds: &[Sample]) -> Sample {
        Sample {
            bytes: rounds[0].bytes,
            growing: median_of(rounds, |one| one.growing),
            publish: median_of(rounds, |one| one.publish),
            remap: median_of(rounds, |one| one.remap),
            snapshot: median_of(rounds, |one| one.snapshot),
        }
    }
}

impl Watched {
    /// The medians of all rounds at one size; failures of all of them.
    fn middle(rounds: &[Watched]) -> Watched {
        Watched {
            bytes: rounds[0].bytes,
            p50: median_of(rounds, |one| one.p50),
            longest: median_of(rounds, |one| one.longest),
            failures: rounds.iter().map(|one| one.failures).sum(),
        }
    }
}

/// The reader takes snapshots without a pause while the writer publishes flat out and doubles its state.
fn watch(context: &Context, sizes: &[usize], watched: &mut [Vec<Watched>]) -> Result<(), Failure> {
    let mut worker = context.start(Role::Grow)?;
    let mut reader = attach(context)?;
    let mut state = vec![1; LAST];
    let span = context.span(WATCH);
    for (bytes, watched) in sizes.iter().zip(watched) {
        worker.link.order(&serde_json::to_string(&Grow { bytes: *bytes, on_for: Some(span) })?)?;
        let (begin, mut times, mut failures) = (Instant::now(), Vec::new(), 0);
        // A large state may be on its way for longer than the span: the reader waits for one snapshot of it.
        let mut is_seen = false;
        while begin.elapsed() < span || !is_seen {
            let before = Instant::now();
            let result = reader.snapshot_into(&mut state);
            times.push(nanos(before.elapsed()) as f64);
            match result {
                Ok(info) => is_seen |= info.payload_len() == *bytes,
                Err(SnapshotError::Contended { .. }) => failures += 1,
                Err(error) => return Err(error.into()),
            }
        }
        let _: Grown = worker.link.hear()?;
        watched.push(Watched {
            bytes: *bytes,
            p50: median_of(&times, |time| *time),
            longest: times.iter().copied().fold(0.0, f64::max),
            failures,
        });
    }
    worker.end()
}

/// The results, for the page.
fn report(samples: &[Sample], watched: &[Watched]) -> Report {
    let columns = [
        "state",
        "publish that grows µs",
        "publish µs",
        "first snapshot of a new segment µs",
        "snapshot µs",
        "all the while: p50 µs",
        "all the while: max µs",
        "gave up",
    ];
    let mut table = Table::new("growth", "A state that doubles.", &columns);
    for (one, watched) in samples.iter().zip(watched) {
        table.row([
            size(one.bytes).into(),
            (one.growing / 1e3).into(),
            (one.publish / 1e3).into(),
            (one.remap / 1e3).into(),
            (one.snapshot / 1e3).into(),
            (watched.p50 / 1e3).into(),
            (watched.longest / 1e3).into(),
            watched.failures.into(),
        ]);
    }
    Report {
        name: "growth",
        question: "What does it cost when a state outgrows its memory?",
        method: format!(
            "Medians of {ROUNDS} rounds, each with a new channel. First, writer and reader take turns: every \
             publication is followed by a snapshot, into memory that the reader has touched before. Then the reader \
             takes snapshots without a pause (all the while) from before the growth on, while the writer publishes \
             each size flat out for {}; the maximum is the median of the rounds' maxima.",
            span(WATCH)
        ),
        tables: vec![table],
        plots: vec![plot(samples, watched)],
        answer: answer(samples, watched),
    }
}

/// All figures by size.
fn plot(samples: &[Sample], watched: &[Watched]) -> Plot {
    let line = |label: &str, of: fn(&Sample) -> f64| {
        Series::new(label, samples.iter().map(|one| (one.bytes as f64, of(one))))
    };
    Plot {
        name: "growth",
        title: "Growing by doubling",
        x: Axis::new("size of the state", Scale::Bytes),
        y: Axis::new("time", Scale::Time),
        series: vec![
            line("publish that grows the channel", |one| one.growing),
            line("publish that does not", |one| one.publish),
            line("first snapshot of a new segment", |one| one.remap),
            line("snapshot after that", |one| one.snapshot),
            Series::new(
                "longest snapshot all the while",
                watched.iter().map(|one| (one.bytes as f64, one.longest)),
            ),
        ],
    }
}

/// The answer, for the middle size and the last one.
fn answer(samples: &[Sample], watched: &[Watched]) -> String {
    let Some(middle) = samples.iter().find(|one| one.bytes == 1 << 20) else { return String::new() };
    let (Some(last), Some(longest)) = (samples.last(), watched.last()) else { return String::new() };
    let failures: u64 = watched.iter().map(|one| one.failures).sum();
    format!(
        "The publication that doubles a state to 1 MiB takes {} instead of {}, and the first snapshot of the new \
         memory {} instead of {}; at {} it is {} instead of {}, and {} instead of {}. A reader that never stops \
         looking waits for {} at worst while the state grows to {}, and {failures} of its snapshots gave up.",
        time(middle.growing),
        time(middle.publish),
        time(middle.remap),
        time(middle.snapshot),
        size(last.bytes),
        time(last.growing),
        time(last.publish),
        time(last.remap),
        time(last.snapshot),
        time(longest.longest),
        size(last.bytes),
    )
}
