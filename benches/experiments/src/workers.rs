//! The costs of many workers in memory and in processor time, beside queues.

mod memory;
mod processes;
mod queue;
mod sharing;

use crate::Failure;
use crate::context::Context;
use crate::plot::{Axis, Plot, Scale, Series};
use crate::report::Report;
use crate::table::{Cell, Table, number, time};
use crate::worker::{Rate, STATE_WORDS};
use processes::Process;
use queue::Queue;
use sharing::Shared;

/// Numbers of workers that share one process, each with a channel or a socket.
const COUNTS: [usize; 4] = [1, 10, 100, 1_000];

/// Numbers of workers that are processes.
const PROCESSES: [usize; 4] = [1, 4, 16, 64];

/// The same in a quick run.
const QUICK_PROCESSES: [usize; 2] = [1, 4];

/// How often each worker's state changes.
const UPDATES: Rate = Rate::Hertz(100);

/// How often a second the main process reads all states.
const QUERIES: u32 = 10;

/// Both ways with the same number of workers.
struct Pair {
    workers: usize,
    shared: Shared,
    queue: Queue,
}

/// Runs the experiment.
pub(crate) fn run(context: &mut Context) -> Result<Report, Failure> {
    let mut pairs = Vec::new();
    for workers in COUNTS {
        context.progress.say(&format!("workers: {workers} channels"));
        let shared = sharing::measure(context, workers)?;
        context.progress.say(&format!("workers: {workers} sockets"));
        pairs.push(Pair { workers, shared, queue: queue::measure(context, workers)? });
    }
    let counts: &[usize] = if context.quick { &QUICK_PROCESSES } else { &PROCESSES };
    let mut processes = Vec::new();
    for count in counts {
        context.progress.say(&format!("workers: {count} processes"));
        processes.push(processes::measure(context, *count)?);
    }
    Ok(Report {
        name: "workers",
        question: "What do many workers cost?",
        method: method(),
        tables: vec![memory_table(&pairs), processor_table(&pairs), process_table(&processes)],
        plots: vec![memory_plot(&pairs), processor_plot(&pairs)],
        answer: answer(&pairs),
    })
}

/// The method, in words.
fn method() -> String {
    format!(
        "Every worker has a plain state of {} B, which changes at {UPDATES}; the main process reads \
        all states {QUERIES} times a second. In the first two tables one process represents all \
        workers, with a channel or a socket for each; the third has real processes, each compared \
        with one that has no channel. With queues, each change is sent through a Unix stream \
        socket, and the main process reads all queued states only when it needs them, which is the \
        cheapest way. Memory is the difference from the same processes without channels, if they \
        grew: memory that an earlier row freed is used again, so the first rows show the \
        processes' own granularity. The memory that a socket may hold is `SO_SNDBUF`, because the \
        kernel does not report the actual amount.",
        STATE_WORDS * 8
    )
}

/// Memory by kind, for one worker.
fn memory_table(pairs: &[Pair]) -> Table {
    let columns = [
        "workers",
        "channels KiB",
        "grown segments KiB",
        "registry KiB",
        "page tables, worker KiB",
        "page tables, main KiB",
        "private, worker KiB",
        "private, main KiB",
        "in all KiB",
        "queue: private, both KiB",
        "queue: socket may hold KiB",
        "queue: descriptors of main",
    ];
    let mut table = Table::new("workers-memory", "Memory for each worker:", &columns);
    for Pair { workers, shared, queue } in pairs {
        let each = |bytes: u64| Cell::from(bytes as f64 / 1024.0 / *workers as f64);
        table.row([
            (*workers).into(),
            each(shared.objects.control),
            each(shared.objects.segments),
            each(shared.objects.registry),
            each(shared.worker.page_tables),
            each(shared.main.page_tables),
            each(shared.worker.private),
            each(shared.main.private),
            each(shared.bytes()),
            each(queue.private),
            each(queue.buffers),
            (queue.descriptors as f64 / *workers as f64).into(),
        ]);
    }
    table
}

/// Processor time of both sides.
fn processor_table(pairs: &[Pair]) -> Table {
    let columns = [
        "workers",
        "shared: updates/s",
        "shared: workers' CPU %",
        "shared: main's CPU %",
        "shared: a round of queries µs",
        "queue: updates/s",
        "queue: workers' CPU %",
        "queue: main's CPU %",
        "queue: a round of queries µs",
    ];
    let mut table = Table::new("workers-processor", "Processor time, in shares of one CPU:", &columns);
    for Pair { workers, shared, queue } in pairs {
        table.row([
            (*workers).into(),
            shared.load.updates_a_second.into(),
            (shared.load.workers * 100.0).into(),
            (shared.load.main * 100.0).into(),
            (shared.load.round_nanos / 1e3).into(),
            queue.load.updates_a_second.into(),
            (queue.load.workers * 100.0).into(),
            (queue.load.main * 100.0).into(),
            (queue.load.round_nanos / 1e3).into(),
        ]);
    }
    table
}

/// The memory of a worker process.
fn process_table(processes: &[Process]) -> Table {
    let columns = [
        "processes",
        "a worker's process KiB",
        "of it page tables KiB",
        "the same without a channel KiB",
        "of it page tables KiB (without)",
        "the channel in it KiB",
    ];
    let caption =
        "Real processes; its proportional share of what processes share, and its page tables, median:";
    let mut table = Table::new("workers-processes", caption, &columns);
    for one in processes {
        let (with, without) = (one.with.bytes(), one.without.bytes());
        table.row([
            one.count.into(),
            (with as f64 / 1024.0).into(),
            (one.with.page_tables as f64 / 1024.0).into(),
            (without as f64 / 1024.0).into(),
            (one.without.page_tables as f64 / 1024.0).into(),
            ((with as f64 - without as f64) / 1024.0).into(),
        ]);
    }
    table
}

/// Memory by kind, for one worker.
fn memory_plot(pairs: &[Pair]) -> Plot {
    let line = |label: &str, of: fn(&Pair) -> u64| {
        let points =
            pairs.iter().map(|pair| (pair.workers as f64, of(pair) as f64 / pair.workers as f64 / 1024.0));
        Series::new(label, points)
    };
    Plot {
        name: "workers-memory",
        title: "Memory for each worker",
        x: Axis::new("workers", Scale::Log { zero: None }),
        y: Axis::new("KiB for each worker", Scale::Log { zero: Some(0.01) }),
        series: vec![
            line("shared memory: in all", |pair| pair.shared.bytes()),
            line("channels", |pair| pair.shared.objects.control),
            line("grown segments", |pair| pair.shared.objects.segments),
            line("registry", |pair| pair.shared.objects.registry),
            line("page tables, workers' and main's", |pair| {
                pair.shared.worker.page_tables + pair.shared.main.page_tables
            }),
            line("private, workers' and main's", |pair| {
                pair.shared.worker.private + pair.shared.main.private
            }),
            line("queue: what a socket may hold", |pair| pair.queue.buffers),
        ],
    }
}

/// Processor time of both sides.
fn processor_plot(pairs: &[Pair]) -> Plot {
    let line = |label: &str, of: fn(&Pair) -> f64| {
        Series::new(label, pairs.iter().map(|pair| (pair.workers as f64, of(pair) * 100.0)))
    };
    Plot {
        name: "workers-processor",
        title: "Processor time, 100 updates a second and worker",
        x: Axis::new("workers", Scale::Log { zero: None }),
        y: Axis::new("share of one CPU in %", Scale::Log { zero: None }),
        series: vec![
            line("shared memory: workers", |pair| pair.shared.load.workers),
            line("shared memory: main", |pair| pair.shared.load.main),
            line("queue: workers", |pair| pair.queue.load.workers),
            line("queue: main", |pair| pair.queue.load.main),
        ],
    }
}

/// The answer, for the largest number of workers.
fn answer(pairs: &[Pair]) -> String {
    let Some(Pair { workers, shared, queue }) = pairs.last() else { return String::new() };
    let each = |bytes: u64| number(bytes as f64 / *workers as f64 / 1024.0);
    format!(
        "With {workers} workers, each takes {} KiB in all, {} KiB of it the channel, \
        and no descriptor of the main process; a socket may hold {} KiB and takes one descriptor. \
        The same updates take {} % of a CPU in the workers and {} % in the main process, against \
        {} % and {} % through queues, and a round of queries takes {} against {}.",
        each(shared.bytes()),
        each(shared.objects.control + shared.objects.segments),
        each(queue.buffers),
        number(shared.load.workers * 100.0),
        number(shared.load.main * 100.0),
        number(queue.load.workers * 100.0),
        number(queue.load.main * 100.0),
        time(shared.load.round_nanos),
        time(queue.load.round_nanos),
    )
}
