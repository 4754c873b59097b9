//! How many slots does a channel need?

use std::time::Duration;

use crate::Failure;
use crate::common::size;
use crate::context::Context;
use crate::measure::median_of;
use crate::plot::{Axis, Plot, Scale, Series};
use crate::reading::{self, Reading};
use crate::report::Report;
use crate::table::{Table, number, span, time};
use crate::worker::{CHANNEL, Rate, Role};

/// Slots of each segment.
const DEPTHS: [usize; 6] = [1, 2, 4, 8, 16, 32];

/// Words of the payload.
const WORDS: [usize; 3] = [8, 128, 8_192];

/// How often the writer publishes.
const RATES: [Rate; 3] = [Rate::Hertz(100_000), Rate::Hertz(1_000_000), Rate::FlatOut];

/// How long a round is, and how many there are.
const SPAN: Duration = Duration::from_millis(400);
const ROUNDS: usize = 3;

/// A smaller number of retries is drawn as none.
const HARDLY_ANY: f64 = 1e-7;

/// One depth, payload and rate.
struct Outcome {
    depth: usize,
    words: usize,
    rate: Rate,
    publications_a_second: f64,
    retries: f64,
    p50: f64,
    p99: f64,
    p999: f64,
    longest: f64,
    gave_up: u64,
}

/// Runs the experiment.
pub(crate) fn run(context: &mut Context) -> Result<Report, Failure> {
    let mut outcomes = Vec::new();
    for words in WORDS {
        for rate in RATES {
            for depth in DEPTHS {
                let payload = size(words * 8);
                context.progress.say(&format!("depth: {payload}, {rate}, {depth} slots"));
                outcomes.push(measure(context, depth, words, rate)?);
            }
        }
    }
    Ok(report(&outcomes))
}

/// One row.
fn measure(context: &Context, depth: usize, words: usize, rate: Rate) -> Result<Outcome, Failure> {
    let worker = context.start(Role::Publish { words, depth: Some(depth), rate })?;
    let rounds = context.rounds(ROUNDS);
    let rounds = reading::read(&context.namespace, CHANNEL, words, context.span(SPAN), rounds)?;
    worker.end()?;
    let quantile = |quantile| median_of(&rounds, |round| round.quantile(quantile));
    Ok(Outcome {
        depth,
        words,
        rate,
        publications_a_second: median_of(&rounds, Reading::publications_a_second),
        // Retries are rare, so all rounds are added up.
        retries: rounds.iter().map(|round| round.retries).sum::<u64>() as f64
            / rounds.iter().map(|round| round.times.len()).sum::<u64>() as f64,
        p50: quantile(0.5),
        p99: quantile(0.99),
        p999: quantile(0.999),
        longest: quantile(1.0),
        gave_up: rounds.iter().map(|round| round.gave_up).sum(),
    })
}

/// All rows.
fn table(outcomes: &[Outcome]) -> Table {
    let columns = [
        "payload",
        "writer",
        "slots of each segment",
        "publishes/s",
        "retries a read",
        "p50 ns",
        "p99 ns",
        "p99.9 ns",
        "max µs",
        "gave up",
    ];
    let mut table = Table::new("depth", "Snapshots under a writer in another process.", &columns);
    for one in outcomes {
        table.row([
            size(one.words * 8).into(),
            one.rate.to_string().into(),
            one.depth.into(),
            one.publications_a_second.into(),
            one.retries.into(),
            one.p50.into(),
            one.p99.into(),
            one.p999.into(),
            (one.longest / 1e3).into(),
            one.gave_up.into(),
        ]);
    }
    table
}

/// The results, for the page.
fn report(outcomes: &[Outcome]) -> Report {
    Report {
        name: "depth",
        question: "How many slots does a channel need?",
        method: format!(
            "{ROUNDS} rounds of {} for each row. Retries are those of all rounds together, other \
            figures are medians. A channel has two segments with this number of slots each, and \
            the writer fills in the whole state before it publishes. Every word of every snapshot \
            is checked, between the snapshots.",
            span(SPAN)
        ),
        tables: vec![table(outcomes)],
        plots: vec![retries(outcomes), tails(outcomes)],
        answer: answer(outcomes),
    }
}

/// How often snapshots were repeated, in words.
fn retries(outcomes: &[Outcome]) -> Plot {
    Plot {
        name: "depth-retries",
        title: "Retries, by depth",
        x: Axis::new("slots of each segment", Scale::Doubling),
        y: Axis::new("retries a read", Scale::Log { zero: Some(HARDLY_ANY) }),
        series: series(outcomes, |one| one.retries),
    }
}

/// The times of the slowest snapshots, in words.
fn tails(outcomes: &[Outcome]) -> Plot {
    Plot {
        name: "depth-tail",
        title: "The slowest snapshot of a thousand, by depth",
        x: Axis::new("slots of each segment", Scale::Doubling),
        y: Axis::new("p99.9 of a snapshot", Scale::Time),
        series: series(outcomes, |one| one.p999),
    }
}

/// A line for each payload and the two faster writers.
fn series(outcomes: &[Outcome], of: impl Fn(&Outcome) -> f64) -> Vec<Series> {
    let kinds = WORDS.iter().flat_map(|words| RATES[1..].iter().map(move |rate| (*words, *rate)));
    let line = |(words, rate): (usize, Rate)| {
        let points = outcomes.iter().filter(|one| one.words == words && one.rate == rate);
        Series::new(format!("{}, {rate}", size(words * 8)), points.map(|one| (one.depth as f64, of(one))))
    };
    kinds.map(line).collect()
}

/// The answer, for the middle payload and the fastest writer.
fn answer(outcomes: &[Outcome]) -> String {
    let of = |depth| {
        let is_it = |one: &&Outcome| one.depth == depth && one.words == 128 && one.rate == Rate::FlatOut;
        outcomes.iter().find(is_it)
    };
    let (Some(one), Some(four)) = (of(1), of(4)) else { return String::new() };
    let gave_up: u64 = outcomes.iter().map(|outcome| outcome.gave_up).sum();
    format!(
        "Under a writer that publishes 1 KiB flat out, a classic double buffer (one slot in each \
        segment) costs {} retries a read and a p99.9 of {}; with four slots it costs {} and {}. Of \
        all snapshots here, at any depth and rate, {gave_up} gave up.",
        number(one.retries),
        time(one.p999),
        number(four.retries),
        time(four.p999),
    )
}
