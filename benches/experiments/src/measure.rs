//! Times: of calls too short for the clock, of single calls, and of the processor.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use testkit::stats::Histogram;

pub(crate) use testkit::stats::{median, median_of};

use crate::common::{histogram, nanos};

/// The approximate time of one batch of short calls.
const BATCH: Duration = Duration::from_micros(200);

/// Nanoseconds for one call, in the median of batches. Reading the clock twice a batch does not
/// matter.
pub(crate) fn median_nanos(span: Duration, mut call: impl FnMut()) -> f64 {
    let calls = calls_in(BATCH, &mut call);
    let begin = Instant::now();
    let mut batches = Vec::new();
    while batches.is_empty() || begin.elapsed() < span {
        let before = Instant::now();
        for _ in 0..calls {
            call();
        }
        batches.push(before.elapsed().as_nanos() as f64 / calls as f64);
    }
    median(&mut batches)
}

/// The number of calls that fit into a span. It is found by doubling, which is also the warm-up.
fn calls_in(span: Duration, call: &mut impl FnMut()) -> u64 {
    let mut calls = 1;
    loop {
        let before = Instant::now();
        for _ in 0..calls {
            call();
        }
        if before.elapsed() >= span {
            return calls;
        }
        calls *= 2;
    }
}

/// Times of single calls, in nanoseconds. Each contains the clock's own cost.
pub(crate) fn each_nanos(span: Duration, mut call: impl FnMut()) -> Histogram<u64> {
    let mut times = histogram();
    let begin = Instant::now();
    let mut after = begin;
    while times.is_empty() || after - begin < span {
        let before = Instant::now();
        call();
        after = Instant::now();
        times.saturating_record(nanos(after - before));
    }
    times
}

/// The time of one call.
pub(crate) fn once_nanos<T>(call: impl FnOnce() -> T) -> (u64, T) {
    let before = Instant::now();
    let result = call();
    (nanos(before.elapsed()), result)
}

/// The median time of two readings of the clock with nothing between them.
pub(crate) fn clock_nanos() -> u64 {
    each_nanos(Duration::from_millis(20), || ()).value_at_quantile(0.5)
}

/// Processor time that this process has used so far, user and system.
pub(crate) fn processor_nanos() -> u64 {
    nanos_of(ClockId::ProcessCPUTime)
}

/// Processor time that this thread has used so far. Reading it is a system call.
pub(crate) fn thread_nanos() -> u64 {
    nanos_of(ClockId::ThreadCPUTime)
}

/// The value of one of the kernel's clocks.
fn nanos_of(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    nanos(Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0)))
}
