//! What the main process prints at the end.

use std::{
    io::{self, Write},
    num::NonZero,
    thread,
    time::Duration,
};

use crate::{fleet::Casualty, query::Statistics};

const TITLES: [&str; 14] = [
    "worker",
    "kind",
    "codec",
    "bytes",
    "published",
    "seen",
    "queries",
    "retries",
    "failed",
    "torn",
    "p50 ns",
    "p99 ns",
    "p99.9 ns",
    "age",
];

/// The columns with words, which are aligned to the left, come first.
const WORDS: usize = 3;

/// Prints the table, what went wrong, and the line that matters.
///
/// Where there are fewer processors than processes, the slow queries are those during which the main process
/// had to give its processor to a worker: milliseconds that tell of the kernel's scheduler, not of tearless.
pub(crate) fn print(
    out: &mut dyn Write,
    statistics: &[Statistics],
    casualties: &[Casualty],
    elapsed: Duration,
) -> io::Result<()> {
    let rows: Vec<_> = statistics.iter().map(row).collect();
    let widths: [usize; TITLES.len()] = std::array::from_fn(|column| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).max(TITLES[column].len())
    });
    print_row(out, &TITLES.map(str::to_owned), &widths)?;
    for row in &rows {
        print_row(out, row, &widths)?;
    }
    writeln!(out)?;
    for one in statistics {
        if let Some(failure) = &one.last_failure {
            writeln!(out, "{}: {} failed, the last one with: {failure}", one.channel, one.failures)?;
        }
    }
    for casualty in casualties {
        writeln!(out, "{}: {}", casualty.channel, casualty.how)?;
    }
    let total = |of: fn(&Statistics) -> u64| statistics.iter().map(of).sum::<u64>();
    let queries = total(|one| one.queries);
    let seconds = elapsed.as_secs_f64();
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let rate = grouped(queries * 1_000 / u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1));
    writeln!(
        out,
        "{} queries in {seconds:.2} s, {rate} a second; {} processes on {processors} processors",
        grouped(queries),
        statistics.len() + 1
    )?;
    writeln!(out, "torn reads: {}", grouped(total(|one| one.torn)))
}

fn row(one: &Statistics) -> [String; TITLES.len()] {
    let latency = |quantile| grouped(one.latency.value_at_quantile(quantile));
    [
        one.channel.clone(),
        one.assignment.kind.name(),
        one.assignment.codec.name().to_owned(),
        grouped(one.payload_len as u64),
        grouped(one.publication),
        grouped(one.changes),
        grouped(one.queries),
        grouped(one.retries),
        grouped(one.failures),
        grouped(one.torn),
        latency(0.5),
        latency(0.99),
        latency(0.999),
        one.age.map_or_else(|| "?".to_owned(), age),
    ]
}

fn print_row(out: &mut dyn Write, row: &[String], widths: &[usize]) -> io::Result<()> {
    let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, &width))| {
        if column < WORDS { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
    });
    writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())
}

/// With as many digits as one cares for.
fn age(age: Duration) -> String {
    match age.as_nanos() {
        nanos @ 0..1_000 => format!("{nanos} ns"),
        nanos @ 1_000..1_000_000 => format!("{} µs", nanos / 1_000),
        nanos @ 1_000_000..1_000_000_000 => format!("{} ms", nanos / 1_000_000),
        _ => format!("{:.1} s", age.as_secs_f64()),
    }
}

/// 1234567 as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
