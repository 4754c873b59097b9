//! What do huge pages buy?

use std::fs;
use std::time::Duration;

use tearless::options::HugePages;
use tearless::{Bytes, Namespace, Reader, Writer};

use crate::Failure;
use crate::common::size;
use crate::context::Context;
use crate::measure::{median_nanos, median_of, once_nanos};
use crate::report::Report;
use crate::table::{Table, time};

const SIZES: [usize; 3] = [1 << 20, 16 << 20, 64 << 20];

/// Rounds, each with a new channel.
const ROUNDS: usize = 5;

/// Readers whose page tables are counted.
const READERS: usize = 1_000;

/// A state of this size is read by all of them.
const COUNTED: usize = 16 << 20;

/// How long steady reads and publications are measured.
const SPAN: Duration = Duration::from_millis(300);

const CHANNEL: &str = "frames";

/// One size with one kind of pages, in nanoseconds.
struct Sample {
    open: f64,
    first: f64,
    snapshot: f64,
    publish: f64,
}

/// Runs the experiment.
pub(crate) fn run(context: &mut Context) -> Result<Report, Failure> {
    let columns = ["state", "pages", "open a writer µs", "first snapshot µs", "snapshot µs", "publish µs"];
    let mut table = Table::new("pages", "A writer, and a reader that is new each time.", &columns);
    let mut middle = Vec::new();
    for bytes in SIZES {
        for pages in [HugePages::Never, HugePages::Required] {
            context.progress.say(&format!("pages: {}, {pages:?}", size(bytes)));
            let rounds = (0..context.rounds(ROUNDS)).map(|_| measure(context, bytes, pages));
            let rounds = rounds.collect::<Result<Vec<_>, _>>()?;
            let sample = Sample {
                open: median_of(&rounds, |one| one.open),
                first: median_of(&rounds, |one| one.first),
                snapshot: median_of(&rounds, |one| one.snapshot),
                publish: median_of(&rounds, |one| one.publish),
            };
            table.row([
                size(bytes).into(),
                name(pages).into(),
                (sample.open / 1e3).into(),
                (sample.first / 1e3).into(),
                (sample.snapshot / 1e3).into(),
                (sample.publish / 1e3).into(),
            ]);
            middle.push(sample);
        }
    }
    let mut tables = Table::new(
        "pages-tables",
        format!("Page tables of a process with {READERS} readers of {}.", size(COUNTED)),
        &["pages", "KiB", "KiB a reader"],
    );
    let mut counted = Vec::new();
    for pages in [HugePages::Never, HugePages::Required] {
        context.progress.say(&format!("pages: page tables, {pages:?}"));
        let readers = if context.quick { READERS / 25 } else { READERS };
        let bytes = page_tables_of(&context.namespace, pages, readers)?;
        tables.row([
            name(pages).into(),
            (bytes / 1024).into(),
            (bytes as f64 / 1024.0 / readers as f64).into(),
        ]);
        counted.push(bytes as f64 / readers as f64);
    }
    Ok(Report {
        name: "pages",
        question: "What do huge pages buy?",
        method: format!(
            "Medians of {ROUNDS} rounds, each with a new channel of two slots. The first snapshot is that of a new \
             reader, into memory that was touched before; a round has ten of them. The page tables are those that \
             the kernel reports (`VmPTE`), the readers' part of them."
        ),
        answer: answer(&middle, &counted),
        tables: vec![table, tables],
        plots: Vec::new(),
    })
}

fn name(pages: HugePages) -> &'static str {
    if pages == HugePages::Never { "small" } else { "huge" }
}

fn open(namespace: &Namespace, bytes: usize, pages: HugePages) -> Result<Writer<[u8], Bytes>, Failure> {
    let builder = namespace.writer_builder::<[u8]>(CHANNEL).codec::<Bytes>().slots(2);
    Ok(builder.capacity(bytes).max_state_len(bytes).huge_pages(pages).open()?)
}

fn attach(namespace: &Namespace) -> Result<Reader<Vec<u8>, Bytes>, Failure> {
    Ok(namespace.reader_builder(CHANNEL).codec::<Bytes>().open()?)
}

fn measure(context: &Context, bytes: usize, pages: HugePages) -> Result<Sample, Failure> {
    let state = vec![1; bytes];
    let (open_nanos, writer) = once_nanos(|| open(&context.namespace, bytes, pages));
    let mut writer = writer?;
    // Both slots.
    writer.publish(&state)?;
    writer.publish(&state)?;
    let mut copy = vec![0; bytes];
    let mut firsts = Vec::new();
    for _ in 0..10 {
        let mut reader = attach(&context.namespace)?;
        let (nanos, info) = once_nanos(|| reader.snapshot_into(&mut copy));
        info?;
        firsts.push(nanos as f64);
    }
    let mut reader = attach(&context.namespace)?;
    let span = context.span(SPAN);
    let snapshot = median_nanos(span, || {
        reader.snapshot_into(&mut copy).expect("no writer races");
    });
    let publish = median_nanos(span, || {
        writer.publish(&state).expect("it fits");
    });
    Ok(Sample { open: open_nanos as f64, first: median_of(&firsts, |nanos| *nanos), snapshot, publish })
}

/// Bytes of page tables that readers of the channel add to this process.
fn page_tables_of(namespace: &Namespace, pages: HugePages, readers: usize) -> Result<u64, Failure> {
    let mut writer = open(namespace, COUNTED, pages)?;
    let mut copy = vec![1; COUNTED];
    writer.publish(&copy)?;
    writer.publish(&copy)?;
    let before = page_tables()?;
    let mut all = Vec::new();
    for _ in 0..readers {
        let mut reader = attach(namespace)?;
        reader.snapshot_into(&mut copy)?;
        all.push(reader);
    }
    Ok(page_tables()?.saturating_sub(before))
}

/// Bytes of this process's page tables.
fn page_tables() -> Result<u64, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmPTE:")).ok_or("no VmPTE")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
}

/// The answer, for the largest state.
fn answer(samples: &[Sample], counted: &[f64]) -> String {
    let [.., small, huge] = samples else { return String::new() };
    let [few, many] = counted else { return String::new() };
    format!(
        "A new reader's first snapshot of {} takes {} instead of {}, every further one {} instead of {}, and a \
         reader's page table {:.0} KiB instead of {:.0} for {}. Opening the writer takes {} instead of {}.",
        size(SIZES[2]),
        time(huge.first),
        time(small.first),
        time(huge.snapshot),
        time(small.snapshot),
        many / 1024.0,
        few / 1024.0,
        size(COUNTED),
        time(huge.open),
        time(small.open),
    )
}
