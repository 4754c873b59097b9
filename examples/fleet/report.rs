//! The report that the main process prints at the end.

use std::{num::NonZero, thread};

use testkit::table::{Cell, Table, grouped, number, time};

use crate::query::{Queries, Statistics};

const COLUMNS: [&str; 14] = [
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

/// Prints the table, the errors, and the number of torn reads.
///
/// With fewer processors than processes, the slowest queries are those during which a worker had
/// the main process's processor: their milliseconds measure the kernel's scheduler, not tearless.
pub(crate) fn print(queries: &Queries) {
    let mut table = Table::new(&COLUMNS);
    queries.statistics().for_each(|one| table.row(row(one)));
    println!(
        "\nWhat the main process read of each worker, and how long a query took:\n\n{}",
        table.markdown()
    );
    queries.wrong.iter().for_each(|wrong| println!("{wrong}"));
    for one in queries.statistics() {
        if let Some(failure) = &one.last_failure {
            println!("{}: {} failed, the last one with: {failure}", one.channel, one.failures);
        }
    }
    let total = |of: fn(&Statistics) -> u64| queries.statistics().map(of).sum::<u64>();
    let (asked, seconds) = (total(|one| one.queries), queries.elapsed.as_secs_f64());
    println!(
        "{} queries in {seconds:.2} s, {} a second; {} processes on {} processors",
        grouped(asked),
        number(asked as f64 / seconds),
        queries.statistics().len() + 1,
        thread::available_parallelism().map_or(1, NonZero::get)
    );
    println!("torn reads (snapshots that mix two states): {}", grouped(total(|one| one.torn)));
}

fn row(one: &Statistics) -> [Cell; COLUMNS.len()] {
    let latency = |quantile| Cell::Count(one.latency.value_at_quantile(quantile));
    [
        one.channel.as_str().into(),
        one.assignment.kind.name().into(),
        one.assignment.codec.name().into(),
        one.payload_len.into(),
        one.publication.into(),
        one.changes.into(),
        one.queries.into(),
        one.retries.into(),
        one.failures.into(),
        one.torn.into(),
        latency(0.5),
        latency(0.99),
        latency(0.999),
        one.age.map_or(Cell::Nothing, |age| time(age.as_nanos() as f64).into()),
    ]
}
