//! What is a query made of, and how does it compare with asking the worker?

use std::hint::black_box;
use std::time::Duration;

use tearless::{Decode, Encode, Namespace, Pod, Postcard};
use testkit::stats::Histogram;

use crate::Failure;
use crate::common::{boxed, histogram, size};
use crate::context::Context;
use crate::formats::STATES;
use crate::measure::{each_nanos, median_nanos, once_nanos};
use crate::payload::{Job, with_words};
use crate::plot::{Axis, Plot, Scale, Series};
use crate::report::Report;
use crate::table::{Cell, Table, number, time};
use crate::worker::{CHANNEL, Rate, Role, Worker, ask_for_state};
use crate::worker_state::WorkerState;

/// Words of the plain payloads; the first is nearly nothing to copy.
const WORDS: [usize; 7] = [1, 8, 32, 128, 512, 8_192, 131_072];

/// How often the worker publishes the plain states.
const RATE: Rate = Rate::Hertz(1_000);

/// How long each part is measured.
const SPAN: Duration = Duration::from_millis(700);

/// How often a reader attaches.
const ATTACHED: usize = 2_000;
/// The same in a quick run.
const QUICK_ATTACHED: usize = 100;

/// One part of a query, or one way to ask.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Attach,
    Protocol,
    Plain,
    Decode,
    Query,
    Socket,
    SocketOnOneCpu,
}

impl Part {
    /// The name of the part.
    fn label(self) -> &'static str {
        match self {
            Part::Attach => "attach, with the first snapshot",
            Part::Protocol => "protocol: snapshot of 8 B",
            Part::Plain => "protocol and copy: snapshot of plain data",
            Part::Decode => "decode alone, Postcard",
            Part::Query => "query: snapshot, decoded",
            Part::Socket => "request and answer, worker on another CPU",
            Part::SocketOnOneCpu => "request and answer, worker on the same CPU",
        }
    }
}

/// One row: nanoseconds.
struct Row {
    part: Part,
    bytes: usize,
    median: f64,
    /// The p99 of single calls, where they were measured.
    p99: Option<f64>,
}

impl Row {
    /// A row of calls that are long against the clock.
    fn of_times(part: Part, bytes: usize, times: &Histogram<u64>) -> Row {
        let quantile = |quantile| times.value_at_quantile(quantile) as f64;
        Row { part, bytes, median: quantile(0.5), p99: Some(quantile(0.99)) }
    }
}

/// Runs the experiment.
pub(crate) fn run(context: &mut Context) -> Result<Report, Failure> {
    let mut rows = vec![attach(context)?];
    for words in WORDS {
        context.progress.say(&format!("latency: a snapshot of {}", size(words * 8)));
        rows.push(plain(context, words)?);
    }
    for (name, jobs) in STATES {
        context.progress.say(&format!("latency: a state of {name}"));
        let cpus = [(Part::Socket, context.worker_cpu()), (Part::SocketOnOneCpu, context.own_cpu())];
        for (part, cpu) in cpus {
            let mut worker = Worker::start(&context.namespace, Role::Answer { jobs }, cpu)?;
            if part == Part::Socket {
                rows.extend(queries(context, jobs)?);
            }
            rows.push(socket(context, part, &mut worker, jobs)?);
            worker.end()?;
        }
    }
    Ok(report(&rows))
}

/// What a reader costs before its second query.
fn attach(context: &Context) -> Result<Row, Failure> {
    context.progress.say("latency: attach");
    let worker = context.start(Role::Publish { words: 1, depth: None, rate: RATE })?;
    let times = attach_often(&context.namespace, if context.quick { QUICK_ATTACHED } else { ATTACHED })?;
    worker.end()?;
    Ok(Row::of_times(Part::Attach, 8, &times))
}

/// Times of attaching and the first snapshot.
fn attach_often(namespace: &Namespace, often: usize) -> Result<Histogram<u64>, Failure> {
    let mut times = histogram();
    for _ in 0..often {
        let (took, result) = once_nanos(|| -> Result<_, Failure> {
            let mut reader = namespace.reader_builder::<[u64; 1]>(CHANNEL).codec::<Pod>().open()?;
            let snapshot = reader.snapshot()?;
            // Both are dropped outside of the measured time.
            Ok((reader, snapshot))
        });
        result?;
        times.saturating_record(took);
    }
    Ok(times)
}

/// A snapshot of plain data.
fn plain(context: &Context, words: usize) -> Result<Row, Failure> {
    let worker = context.start(Role::Publish { words, depth: None, rate: RATE })?;
    let row = with_words(words, Snapshots { context })?;
    worker.end()?;
    Ok(row)
}

/// Takes snapshots of the worker's state.
struct Snapshots<'a> {
    context: &'a Context,
}

impl Job for Snapshots<'_> {
    type Output = Result<Row, Failure>;

    fn run<const WORDS: usize>(self) -> Self::Output {
        let builder = self.context.namespace.reader_builder::<[u64; WORDS]>(CHANNEL).codec::<Pod>();
        let mut reader = builder.open()?;
        let mut state = boxed::<WORDS>(|_| 0);
        reader.snapshot_into(&mut state)?;
        let span = self.context.span(SPAN);
        let mut snapshot = || {
            let _ = black_box(reader.snapshot_into(black_box(&mut state)));
        };
        let median = median_nanos(span, &mut snapshot);
        let p99 = each_nanos(span, snapshot).value_at_quantile(0.99) as f64;
        let part = if WORDS == 1 { Part::Protocol } else { Part::Plain };
        Ok(Row { part, bytes: WORDS * 8, median, p99: Some(p99) })
    }
}

/// Decoding alone, and the whole query, of the state that a worker has published.
fn queries(context: &Context, jobs: usize) -> Result<[Row; 2], Failure> {
    let mut reader = context.namespace.reader_builder::<WorkerState>(CHANNEL).codec::<Postcard>().open()?;
    let bytes = reader.snapshot()?.payload_len();
    let payload = Postcard::encode(&WorkerState::new(jobs, 1), &mut Vec::new())?.to_vec();
    let span = context.span(SPAN);
    let decode = median_nanos(span, || {
        let _: Result<WorkerState, _> = black_box(Postcard::decode(black_box(&payload)));
    });
    let mut query = || {
        let _ = black_box(reader.snapshot());
    };
    let median = median_nanos(span, &mut query);
    let p99 = each_nanos(span, query).value_at_quantile(0.99) as f64;
    Ok([
        Row { part: Part::Decode, bytes, median: decode, p99: None },
        Row { part: Part::Query, bytes, median, p99: Some(p99) },
    ])
}

/// The same state, requested over a socket and decoded.
fn socket(context: &Context, part: Part, worker: &mut Worker, jobs: usize) -> Result<Row, Failure> {
    let mut payload = Vec::new();
    ask_for_state(&mut worker.link, &mut payload)?;
    let state: WorkerState = Postcard::decode(&payload)?;
    if state != WorkerState::new(jobs, 1) {
        return Err("the answer is not the worker's state".into());
    }
    let mut failed = None;
    let times = each_nanos(context.span(SPAN), || match ask_for_state(&mut worker.link, &mut payload) {
        Ok(()) => drop(black_box(<Postcard as Decode<WorkerState>>::decode(&payload))),
        Err(error) => failed = Some(error),
    });
    match failed {
        None => Ok(Row::of_times(part, payload.len(), &times)),
        Some(error) => Err(error.into()),
    }
}

/// The results, for the page.
fn report(rows: &[Row]) -> Report {
    let protocol = median_at(rows, Part::Protocol, 0);
    let columns = ["part", "payload B", "median ns", "p99 ns", "of it the copy ns"];
    let mut table = Table::new("latency", "The parts of a query, and what it replaces.", &columns);
    for row in rows {
        let copy = match row.part {
            Part::Plain => Cell::from((row.median - protocol).max(0.0)),
            _ => Cell::Nothing,
        };
        let p99 = row.p99.map_or(Cell::Nothing, Cell::from);
        table.row([row.part.label().into(), row.bytes.into(), row.median.into(), p99, copy]);
    }
    Report {
        name: "latency",
        question: "What is a query made of?",
        method: "The worker is another process. It publishes plain states 1,000 times a second, and answers requests \
                 by the Postcard encoding of its state over a pair of Unix sockets. Medians of what is shorter than \
                 a request are those of batches and free of the clock's cost; p99, attach and requests are single \
                 times, which contain it."
            .into(),
        tables: vec![table],
        plots: vec![plot(rows)],
        answer: answer(rows),
    }
}

/// A line for each part.
fn plot(rows: &[Row]) -> Plot {
    let all = [
        Part::Plain,
        Part::Decode,
        Part::Query,
        Part::Socket,
        Part::SocketOnOneCpu,
        Part::Protocol,
        Part::Attach,
    ];
    let series = all.map(|part| {
        let points = rows.iter().filter(|row| row.part == part);
        Series::new(part.label(), points.map(|row| (row.bytes as f64, row.median)))
    });
    Plot {
        name: "latency",
        title: "The parts of a query, and what it replaces",
        x: Axis::new("size of the payload", Scale::Bytes),
        y: Axis::new("median", Scale::Time),
        series: series.into(),
    }
}

/// The median of a part with the `nth` of its sizes; 0 if there is no such row.
fn median_at(rows: &[Row], part: Part, nth: usize) -> f64 {
    rows.iter().filter(|row| row.part == part).nth(nth).map_or(0.0, |row| row.median)
}

/// The answer, for the smallest states, which show the difference best.
fn answer(rows: &[Row]) -> String {
    let first = |part| median_at(rows, part, 0);
    let (socket, on_one_cpu) = (first(Part::Socket), first(Part::SocketOnOneCpu));
    let (plain, query) = (first(Part::Plain), first(Part::Query));
    format!(
        "A snapshot of 64 B of plain data takes {}, of a serde state of 200 B {}, of which decoding is {}; attaching \
         takes {}, once. Asking the worker for the same state over a socket takes {} if it runs on another CPU, and \
         {} on the same: {} and {} times the snapshot of plain data, {} and {} times that of the serde state.",
        time(plain),
        time(query),
        time(first(Part::Decode)),
        time(first(Part::Attach)),
        time(socket),
        time(on_one_cpu),
        number(socket / plain),
        number(on_one_cpu / plain),
        number(socket / query),
        number(on_one_cpu / query),
    )
}
