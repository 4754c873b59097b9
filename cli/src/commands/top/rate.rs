//! Publications a second, now and over the last minute.

use std::collections::VecDeque;
use std::time::Duration;

/// The length of the trend in seconds.
pub(super) const SECONDS: usize = 60;

/// The time over which the current rate is measured. With less, ten publications a second would
/// flicker.
const WINDOW: Duration = Duration::from_secs(1);

/// The least time between two kept samples, except for the first two: some rate is better than
/// none.
const SPACING: Duration = Duration::from_millis(90);

/// The rate of one channel, from samples of its publication number.
#[derive(Clone, Debug, Default)]
pub(super) struct Rates {
    /// The samples of the last second, and one before it.
    samples: VecDeque<Sample>,
    /// The sample at the start of the current second.
    begun: Option<Sample>,
    /// Publications in each complete second, oldest first.
    seconds: VecDeque<f64>,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    /// Since the program began.
    at: Duration,
    publication: u64,
}

impl Rates {
    /// Records the number of the latest publication at `at`, a time since the program began.
    pub(super) fn add(&mut self, at: Duration, publication: u64) {
        let sample = Sample { at, publication };
        let known = [self.samples.back(), self.begun.as_ref()].into_iter().flatten();
        if known.into_iter().any(|known| publication < known.publication) {
            // The channel was created again and counts from 1, or another program has written the
            // number.
            self.samples.clear();
            self.begun = None;
        }
        self.end_seconds(sample);
        let is_far = |last: &Sample| at.saturating_sub(last.at) >= SPACING;
        if self.samples.len() < 2 || self.samples.back().is_some_and(is_far) {
            self.samples.push_back(sample);
        }
        while self.samples.get(1).is_some_and(|second| at.saturating_sub(second.at) >= WINDOW) {
            self.samples.pop_front();
        }
    }

    /// Shares the publications since the last complete second among the seconds that have passed
    /// since.
    fn end_seconds(&mut self, now: Sample) {
        let begun = *self.begun.get_or_insert(now);
        let over = now.at.as_secs().saturating_sub(begun.at.as_secs());
        if over == 0 {
            return;
        }
        let share = (now.publication - begun.publication) as f64 / over as f64;
        for _ in 0..over.min(SECONDS as u64) {
            self.seconds.push_back(share);
        }
        while self.seconds.len() > SECONDS {
            self.seconds.pop_front();
        }
        self.begun = Some(now);
    }

    /// Publications a second, over about the last second; `None` after a single sample.
    pub(super) fn per_second(&self) -> Option<f64> {
        let (first, last) = (self.samples.front()?, self.samples.back()?);
        let passed = last.at.saturating_sub(first.at);
        (!passed.is_zero()).then(|| (last.publication - first.publication) as f64 / passed.as_secs_f64())
    }

    /// Publications in each of the last seconds, oldest first, at most [`SECONDS`].
    pub(super) fn trend(&self) -> impl ExactSizeIterator<Item = f64> {
        self.seconds.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_steady_worker_has_a_steady_rate() {
        let mut rates = Rates::default();
        assert_eq!(rates.per_second(), None);
        for tick in 0..50 {
            rates.add(at(tick * 100), tick * 5);
        }
        assert_eq!(rates.per_second(), Some(50.0));
        assert_eq!(rates.trend().collect::<Vec<_>>(), [50.0; 4]);
        assert!(rates.samples.len() <= 12, "no more is kept than is needed: {}", rates.samples.len());
    }

    #[test]
    fn a_rate_forgets_what_is_longer_ago_than_a_second() {
        let mut rates = Rates::default();
        (0..10).for_each(|tick| rates.add(at(tick * 100), tick * 100));
        (10..22).for_each(|tick| rates.add(at(tick * 100), 900));
        assert_eq!(rates.per_second(), Some(0.0));
    }

    #[test]
    fn frequent_and_rare_samples_give_the_same_rate() {
        let mut frequent = Rates::default();
        (0..1_500).for_each(|tick| frequent.add(at(tick), tick));
        assert!((frequent.per_second().unwrap() - 1_000.0).abs() < 1.0);
        let mut rare = Rates::default();
        (0..4).for_each(|tick| rare.add(at(tick * 5_000), tick * 5_000));
        assert_eq!(rare.per_second(), Some(1_000.0));
        assert_eq!(rare.trend().collect::<Vec<_>>(), [1_000.0; 15]);
    }

    #[test]
    fn numbers_that_jump_are_tolerated() {
        let mut rates = Rates::default();
        let numbers = [0, u64::MAX, 5, 200, 150, u64::MAX - 1, 1, 2];
        for (tick, number) in (0..4_000).zip(numbers.into_iter().cycle()) {
            rates.add(at(tick * 37), number);
            assert!(rates.per_second().is_none_or(|rate| rate >= 0.0));
        }
        assert!(rates.trend().all(|rate| rate >= 0.0));
    }

    #[test]
    fn two_samples_are_enough_however_near() {
        let mut rates = Rates::default();
        rates.add(at(0), 0);
        rates.add(at(50), 5);
        assert_eq!(rates.per_second(), Some(100.0));
    }

    #[test]
    fn a_minute_is_kept_also_after_a_long_pause() {
        let mut rates = Rates::default();
        rates.add(at(0), 0);
        rates.add(at(1_000_000_000), 60);
        assert_eq!(rates.trend().len(), SECONDS);
    }

    #[test]
    fn a_channel_that_was_created_again_counts_from_its_beginning() {
        let mut rates = Rates::default();
        rates.add(at(0), 1_000_000);
        rates.add(at(1_100), 3);
        assert_eq!(rates.per_second(), None);
        rates.add(at(2_100), 13);
        assert_eq!(rates.per_second(), Some(10.0));
    }
}
