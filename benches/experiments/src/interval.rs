//! How often should a worker publish?

use std::thread;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::common::{nanos, spread};
use crate::context::Context;
use crate::measure::{median_of, processor_nanos};
use crate::plot::{Axis, Plot, Scale, Series};
use crate::report::Report;
use crate::table::{Cell, Table, number, span, time};
use crate::worker::{CHANNEL, REPORT, Role, Worked, Worker};
use crate::worker_state::WorkerState;

/// Milliseconds from one publication to the next; never, for comparison, comes first.
const INTERVALS: [Option<u64>; 5] = [None, Some(1), Some(10), Some(100), Some(1_000)];

/// How long a round is, and how many there are. Rounds of all intervals take turns.
const SPAN: Duration = Duration::from_secs(4);
const ROUNDS: usize = 3;

/// How often the state is queried, on average.
const QUERY: Duration = Duration::from_millis(100);

/// The state of about 2 KiB.
const JOBS: usize = 45;

/// One interval, one round.
#[derive(Default)]
struct Round {
    units_a_processor_second: f64,
    publish_nanos: f64,
    publishing_share: f64,
    reader_share: f64,
    query_nanos: f64,
    ages: Vec<f64>,
}

/// One interval.
struct Outcome {
    interval: Option<u64>,
    /// The medians of all rounds.
    round: Round,
}

/// Runs the experiment.
pub(crate) fn run(context: &mut Context) -> Result<Report, Failure> {
    let mut rounds: Vec<Vec<Round>> = INTERVALS.map(|_| Vec::new()).into();
    for round in 0..context.rounds(ROUNDS) {
        for (interval, rounds) in INTERVALS.into_iter().zip(&mut rounds) {
            context.progress.say(&format!("interval: {}, round {}", label(interval), round + 1));
            rounds.push(Round::measure(context, interval)?);
        }
    }
    let outcomes: Vec<Outcome> = INTERVALS
        .into_iter()
        .zip(&rounds)
        .map(|(interval, rounds)| Outcome { interval, round: Round::middle(rounds) })
        .collect();
    Ok(report(&outcomes))
}

/// The name of an interval.
fn label(interval: Option<u64>) -> String {
    interval.map_or_else(|| "never".into(), |millis| format!("{millis} ms"))
}

impl Round {
    /// Starts a worker that publishes at an interval, and queries it.
    fn measure(context: &Context, interval: Option<u64>) -> Result<Round, Failure> {
        let mut worker =
            context.start(Role::Work { jobs: JOBS, interval: interval.map(Duration::from_millis) })?;
        let span = context.span(SPAN);
        thread::sleep(span / 20);
        let before: Worked = worker.ask(REPORT)?;
        let mut round = Round::query(context, span, interval)?;
        round.worked(&mut worker, before)?;
        worker.end()?;
        Ok(round)
    }

    /// Queries for `span`, at changing distances, so that no phase of the worker's is preferred.
    fn query(context: &Context, span: Duration, interval: Option<u64>) -> Result<Round, Failure> {
        let mut round = Round::default();
        let mut reader =
            context.namespace.reader_builder::<WorkerState>(CHANNEL).codec::<tearless::Postcard>().open()?;
        let mut times = Vec::new();
        let (begin, busy) = (Instant::now(), processor_nanos());
        let mut seed = interval.unwrap_or(0);
        while begin.elapsed() < span {
            seed += 1;
            thread::sleep(QUERY / 2 + QUERY.mul_f64((spread(seed) % 1_000) as f64 / 1_000.0));
            let before = Instant::now();
            let snapshot = reader.snapshot()?;
            times.push(nanos(before.elapsed()) as f64);
            round.ages.extend(snapshot.age().map(|age| nanos(age) as f64));
        }
        round.reader_share = (processor_nanos() - busy) as f64 / nanos(begin.elapsed()) as f64;
        round.query_nanos = median_of(&times, |time| *time);
        Ok(round)
    }

    /// The work that the worker reports since `before`.
    fn worked(&mut self, worker: &mut Worker, before: Worked) -> Result<(), Failure> {
        let after: Worked = worker.ask(REPORT)?;
        let processor = (after.processor_nanos - before.processor_nanos) as f64;
        let publishing = (after.publishing_nanos - before.publishing_nanos) as f64;
        let publications = (after.publications - before.publications) as f64;
        self.units_a_processor_second = (after.units - before.units) as f64 / processor * 1e9;
        self.publishing_share = publishing / processor;
        self.publish_nanos = if publications > 0.0 { publishing / publications } else { 0.0 };
        Ok(())
    }

    /// Medians of all rounds, and the ages of all of them.
    fn middle(rounds: &[Round]) -> Round {
        Round {
            units_a_processor_second: median_of(rounds, |round| round.units_a_processor_second),
            publish_nanos: median_of(rounds, |round| round.publish_nanos),
            publishing_share: median_of(rounds, |round| round.publishing_share),
            reader_share: median_of(rounds, |round| round.reader_share),
            query_nanos: median_of(rounds, |round| round.query_nanos),
            ages: rounds.iter().flat_map(|round| round.ages.iter().copied()).collect(),
        }
    }

    /// Ages of the states, in nanoseconds.
    fn mean_age(&self) -> f64 {
        self.ages.iter().sum::<f64>() / self.ages.len().max(1) as f64
    }

    /// The age of the oldest state, in nanoseconds.
    fn greatest_age(&self) -> f64 {
        self.ages.iter().copied().fold(0.0, f64::max)
    }
}

/// All intervals.
fn table(outcomes: &[Outcome]) -> Table {
    let columns = [
        "interval",
        "worker: CPU for publishing %",
        "a publish, with encoding µs",
        "worker: units of work a CPU second",
        "of those without publishing %",
        "reader: CPU %",
        "a query µs",
        "age mean ms",
        "age max ms",
    ];
    let mut table =
        Table::new("interval", "A state of about 2 KiB as Postcard, queried ten times a second.", &columns);
    for Outcome { interval, round } in outcomes {
        let if_any = |value: f64| interval.map_or(Cell::Nothing, |_| value.into());
        table.row([
            label(*interval).into(),
            if_any(round.publishing_share * 100.0),
            if_any(round.publish_nanos / 1e3),
            round.units_a_processor_second.into(),
            (round.units_a_processor_second / outcomes[0].round.units_a_processor_second * 100.0).into(),
            (round.reader_share * 100.0).into(),
            (round.query_nanos / 1e3).into(),
            if_any(round.mean_age() / 1e6),
            if_any(round.greatest_age() / 1e6),
        ]);
    }
    table
}

/// The results, for the page.
fn report(outcomes: &[Outcome]) -> Report {
    Report {
        name: "interval",
        question: "How often should a worker publish?",
        method: format!(
            "{ROUNDS} rounds of {} for each interval, which take turns; ages of all rounds, else medians. The worker \
             computes as fast as it can on a CPU of its own and looks at the clock between two units of about ten \
             microseconds; the one that never publishes does so, too. What publishing takes is processor time, and \
             contains a system call that reads it; what a query takes contains the clock.",
            span(SPAN)
        ),
        tables: vec![table(outcomes)],
        plots: vec![costs(outcomes), ages(outcomes)],
        answer: answer(outcomes),
    }
}

/// The intervals of workers that publish, in nanoseconds.
fn published(outcomes: &[Outcome]) -> impl Iterator<Item = (f64, &Round)> {
    outcomes.iter().filter_map(|one| Some((one.interval? as f64 * 1e6, &one.round)))
}

/// The plot of the costs of both sides.
fn costs(outcomes: &[Outcome]) -> Plot {
    let line = |label: &str, of: fn(&Round) -> f64| {
        Series::new(label, published(outcomes).map(|(interval, round)| (interval, of(round) * 100.0)))
    };
    Plot {
        name: "interval-cost",
        title: "Processor time, by the interval of publications",
        x: Axis::new("interval", Scale::Time),
        y: Axis::new("share of one CPU in %", Scale::Log { zero: None }),
        series: vec![
            line("worker: publishing", |round| round.publishing_share),
            line("reader: ten queries a second, sleeping and waking included", |round| round.reader_share),
        ],
    }
}

/// The plot of the ages.
fn ages(outcomes: &[Outcome]) -> Plot {
    let line = |label: &str, of: fn(&Round) -> f64| {
        Series::new(label, published(outcomes).map(|(interval, round)| (interval, of(round))))
    };
    Plot {
        name: "interval-age",
        title: "How old the state is when it is queried",
        x: Axis::new("interval", Scale::Time),
        y: Axis::new("age of the state", Scale::Time),
        series: vec![line("mean", Round::mean_age), line("max", Round::greatest_age)],
    }
}

/// A share of a CPU that does not matter.
const LITTLE: f64 = 0.001;

/// The answer, for the intervals that could be a default.
fn answer(outcomes: &[Outcome]) -> String {
    let of = |millis| outcomes.iter().find(|one| one.interval == Some(millis)).map(|one| &one.round);
    let (Some(shortest), Some(short), Some(long)) = (of(1), of(10), of(100)) else { return String::new() };
    let default = outcomes.iter().find(|one| one.interval.is_some() && one.round.publishing_share < LITTLE);
    format!(
        "Publishing every millisecond takes {} % of the worker's CPU, every 10 ms {} %, every 100 ms {} %; what a \
         query sees is {}, {} and {} old on average. The shortest of these intervals for which publishing takes less \
         than {} % is {}: a default for a state of this size, where nothing else is known.",
        number(shortest.publishing_share * 100.0),
        number(short.publishing_share * 100.0),
        number(long.publishing_share * 100.0),
        time(shortest.mean_age()),
        time(short.mean_age()),
        time(long.mean_age()),
        LITTLE * 100.0,
        default.map_or_else(|| "none".into(), |one| label(one.interval)),
    )
}
