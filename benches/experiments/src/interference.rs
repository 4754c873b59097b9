//! Do readers and writer disturb one another?

use std::thread;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::common::size;
use crate::context::Context;
use crate::measure::median_of;
use crate::plot::{Axis, Plot, Scale, Series};
use crate::reading::{self, Reading};
use crate::report::Report;
use crate::table::{Table, number, span, time};
use crate::worker::{CHANNEL, Published, REPORT, Rate, Reads, Role, Worker};

/// The rates of the writer.
const RATES: [Rate; 6] = [
    Rate::Once,
    Rate::Hertz(1_000),
    Rate::Hertz(10_000),
    Rate::Hertz(100_000),
    Rate::Hertz(1_000_000),
    Rate::FlatOut,
];

/// Words of the payload.
const WORDS: [usize; 2] = [8, 128];

/// How many processes read.
const READERS: [usize; 6] = [0, 1, 2, 4, 6, 8];

/// How long a round is, and how many there are.
const SPAN: Duration = Duration::from_millis(700);
const ROUNDS: usize = 3;

/// Runs the experiment.
pub(crate) fn run(context: &mut Context) -> Result<Report, Failure> {
    let mut read = Vec::new();
    for words in WORDS {
        for rate in RATES {
            context.progress.say(&format!("interference: {} at {rate}", size(words * 8)));
            read.push(Read::measure(context, words, rate)?);
        }
    }
    let mut written = Vec::new();
    for words in WORDS {
        for readers in READERS {
            context.progress.say(&format!("interference: {} for {readers} readers", size(words * 8)));
            written.push(Written::measure(context, words, readers)?);
        }
    }
    Ok(Report {
        name: "interference",
        question: "Do readers and writer disturb one another?",
        method: method(context),
        tables: vec![read_table(&read), written_table(&written)],
        plots: vec![read_plot(&read), written_plot(&written)],
        answer: answer(&read, &written),
    })
}

/// The method, and the effect of the number of processors.
fn method(context: &Context) -> String {
    let places = context.machine.cpus.saturating_sub(1).max(1);
    format!(
        "Medians of {ROUNDS} rounds of {}. The writer is a process with a CPU for itself, and fills \
        in the whole state before it publishes. There are {} processors, of which the writer \
        leaves {places} to the readers: at most {places} reading processes run at a time, so \
        compare `publishes a CPU second`.",
        span(SPAN),
        context.machine.cpus
    )
}

/// One reader under one rate.
struct Read {
    words: usize,
    rate: Rate,
    publications_a_second: f64,
    p50: f64,
    p99: f64,
    p999: f64,
    retries: f64,
}

impl Read {
    /// Reads while a worker publishes at a rate.
    fn measure(context: &Context, words: usize, rate: Rate) -> Result<Read, Failure> {
        let worker = context.start(Role::Publish { words, depth: None, rate })?;
        let (span, rounds) = (context.span(SPAN), context.rounds(ROUNDS));
        let rounds = reading::read(&context.namespace, CHANNEL, words, span, rounds)?;
        worker.end()?;
        let quantile = |quantile| median_of(&rounds, |round| round.quantile(quantile));
        Ok(Read {
            words,
            rate,
            publications_a_second: median_of(&rounds, Reading::publications_a_second),
            p50: quantile(0.5),
            p99: quantile(0.99),
            p999: quantile(0.999),
            retries: median_of(&rounds, Reading::retries_a_read),
        })
    }
}

/// One writer with some readers.
struct Written {
    words: usize,
    readers: usize,
    publications_a_second: f64,
    publications_a_processor_second: f64,
    reads_a_second: f64,
}

/// The results of a round.
struct Round {
    published: f64,
    processor: f64,
    reads: f64,
    elapsed: f64,
}

impl Written {
    /// A worker publishes as fast as it can while others read.
    fn measure(context: &Context, words: usize, readers: usize) -> Result<Written, Failure> {
        let mut writer = context.start(Role::Publish { words, depth: None, rate: Rate::FlatOut })?;
        let start =
            |index| Worker::start(&context.namespace, Role::Read { words }, context.reader_cpu(index));
        let mut readers_at_work = (0..readers).map(start).collect::<Result<Vec<_>, _>>()?;
        let span = context.span(SPAN);
        thread::sleep(span / 10);
        let rounds: Vec<Round> = (0..context.rounds(ROUNDS))
            .map(|_| Round::measure(&mut writer, &mut readers_at_work, span))
            .collect::<Result<_, _>>()?;
        for reader in readers_at_work {
            reader.end()?;
        }
        writer.end()?;
        Ok(Written {
            words,
            readers,
            publications_a_second: median_of(&rounds, |round| round.published / round.elapsed),
            publications_a_processor_second: median_of(&rounds, |round| round.published / round.processor),
            reads_a_second: median_of(&rounds, |round| round.reads / round.elapsed),
        })
    }
}

impl Round {
    /// Asks all processes for their counts before and after.
    fn measure(writer: &mut Worker, readers: &mut [Worker], span: Duration) -> Result<Round, Failure> {
        let reads = |readers: &mut [Worker]| -> Result<u64, Failure> {
            readers.iter_mut().map(|reader| Ok(reader.ask::<Reads>(REPORT)?.reads)).sum()
        };
        let reads_before = reads(readers)?;
        let before: Published = writer.ask(REPORT)?;
        let begin = Instant::now();
        thread::sleep(span);
        let after: Published = writer.ask(REPORT)?;
        let elapsed = begin.elapsed().as_secs_f64();
        Ok(Round {
            published: (after.publications - before.publications) as f64,
            processor: (after.processor_nanos - before.processor_nanos) as f64 / 1e9,
            reads: (reads(readers)? - reads_before) as f64,
            elapsed,
        })
    }
}

/// The readers' side.
fn read_table(read: &[Read]) -> Table {
    let columns = ["payload", "writer", "publishes/s", "p50 ns", "p99 ns", "p99.9 ns", "retries a read"];
    let mut table = Table::new("interference-reads", "A reader, by the rate of publications:", &columns);
    for one in read {
        table.row([
            size(one.words * 8).into(),
            one.rate.to_string().into(),
            one.publications_a_second.into(),
            one.p50.into(),
            one.p99.into(),
            one.p999.into(),
            one.retries.into(),
        ]);
    }
    table
}

/// The writer's side.
fn written_table(written: &[Written]) -> Table {
    let columns =
        ["payload", "reading processes", "publishes/s", "publishes a CPU second", "reads/s of all readers"];
    let caption = "A writer that is flat out, by the number of processes that read as fast as they can:";
    let mut table = Table::new("interference-publishes", caption, &columns);
    for one in written {
        table.row([
            size(one.words * 8).into(),
            one.readers.into(),
            one.publications_a_second.into(),
            one.publications_a_processor_second.into(),
            one.reads_a_second.into(),
        ]);
    }
    table
}

/// The readers' side: a line for each percentile.
fn read_plot(read: &[Read]) -> Plot {
    let place = |rate| RATES.iter().position(|one| *one == rate).unwrap_or(0) as f64;
    let line = |words: usize, quantile: &str, of: fn(&Read) -> f64| {
        let points = read.iter().filter(|one| one.words == words).map(|one| (place(one.rate), of(one)));
        Series::new(format!("{}, {quantile}", size(words * 8)), points)
    };
    let lines = WORDS.map(|words| {
        [
            line(words, "p50", |one| one.p50),
            line(words, "p99", |one| one.p99),
            line(words, "p99.9", |one| one.p999),
        ]
    });
    Plot {
        name: "interference-reads",
        title: "A snapshot, by the rate of publications",
        x: Axis::new("publications a second", Scale::Names(RATES.map(|rate| rate.to_string()).into())),
        y: Axis::new("time of a snapshot, clock included", Scale::Time),
        series: lines.into_iter().flatten().collect(),
    }
}

/// The writer's side, for the processor time that it had.
fn written_plot(written: &[Written]) -> Plot {
    let line = |words: usize| {
        let points = written.iter().filter(|one| one.words == words);
        let points = points.map(|one| (one.readers as f64, one.publications_a_processor_second));
        Series::new(size(words * 8), points)
    };
    Plot {
        name: "interference-publishes",
        title: "Publications, by the number of reading processes",
        x: Axis::new("processes that read as fast as they can", Scale::Linear),
        y: Axis::new("publishes a second of the writer's CPU", Scale::Linear),
        series: WORDS.map(line).into(),
    }
}

/// The answer, for the larger payload.
fn answer(read: &[Read], written: &[Written]) -> String {
    let reads = |rate| read.iter().find(|one| one.words == 128 && one.rate == rate);
    let writes = |readers| written.iter().find(|one| one.words == 128 && one.readers == readers);
    let (Some(idle), Some(fast), Some(flat)) =
        (reads(Rate::Once), reads(Rate::Hertz(1_000_000)), reads(Rate::FlatOut))
    else {
        return String::new();
    };
    let (Some(alone), Some(one), Some(many)) = (writes(0), writes(1), writes(8)) else {
        return String::new();
    };
    let share = |with: &Written| with.publications_a_processor_second / alone.publications_a_processor_second;
    format!(
        "A snapshot of 1 KiB takes {} at the median without a writer, {} at {} publications a \
        second and {} with a flat-out writer, at {} retries a read. With one reading process, a \
        flat-out writer makes {:.0} % of the publications that it makes alone, and with eight \
        {:.0} %.",
        time(idle.p50),
        time(fast.p50),
        number(fast.publications_a_second),
        time(flat.p50),
        number(flat.retries),
        share(one) * 100.0,
        share(many) * 100.0,
    )
}
