//! Statistics of times: histograms, medians, percentiles.

use std::time::{Duration, Instant};

pub use hdrhistogram::Histogram;

/// The longest time that a [`histogram`] resolves: far beyond the deadline of the default retry
/// policy.
pub const MAX_TIME: Duration = Duration::from_secs(10);

/// An empty histogram of times in nanoseconds, up to [`MAX_TIME`], with three significant digits.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, nanos(MAX_TIME), 3).expect("the bounds are valid")
}

/// A duration in nanoseconds.
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Some percentiles of a histogram: `quantiles(&times, [0.5, 0.99, 0.999])`.
pub fn quantiles<const COUNT: usize>(times: &Histogram<u64>, quantiles: [f64; COUNT]) -> [u64; COUNT] {
    quantiles.map(|quantile| times.value_at_quantile(quantile))
}

/// The value in the middle, or the mean of the two in the middle; `NAN` without values. Sorts the
/// values.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => values[len / 2],
        len => f64::midpoint(values[len / 2 - 1], values[len / 2]),
    }
}

/// The median of the results of `of` for all items.
pub fn median_of<T>(items: &[T], of: impl Fn(&T) -> f64) -> f64 {
    median(&mut items.iter().map(of).collect::<Vec<_>>())
}

/// The time of two readings of the clock with nothing between them. Every time of a single call
/// contains it.
pub fn clock_times() -> Histogram<u64> {
    let mut times = histogram();
    for _ in 0..100_000 {
        let before = Instant::now();
        let after = Instant::now();
        times.saturating_record(nanos(after - before));
    }
    times
}

#[test]
fn the_median_is_the_one_in_the_middle() {
    assert_eq!(median(&mut [3.0, 1.0, 200.0]), 3.0);
    assert_eq!(median(&mut [3.0, 1.0, 200.0, 4.0]), 3.5);
    assert!(median(&mut []).is_nan());
    assert_eq!(median_of(&["a", "abc", "ab"], |text| text.len() as f64), 2.0);
}

#[test]
fn quantiles_are_those_of_the_histogram() {
    let mut times = histogram();
    (1..=100).for_each(|time| times.saturating_record(time));
    assert_eq!(quantiles(&times, [0.5, 0.99, 1.0]), [50, 99, 100]);
    assert_eq!(clock_times().len(), 100_000);
}
