//! The clock of timestamps: monotonic, and the same for all processes of the machine.

use std::num::NonZeroU64;
use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Where the timestamps of publications come from.
///
/// The cost is added to each publish. Measured on an AMD EPYC virtual machine with the TSC clock
/// source: 19 ns, 3 ns, nothing. `cargo bench --bench uncontended timestamp` measures it on your
/// machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TimestampSource {
    /// To the nanosecond (`CLOCK_MONOTONIC`). The default: a reliable age is worth 19 ns to every
    /// writer except one that publishes plain data millions of times a second.
    #[default]
    Precise = 0,
    /// To the kernel's tick, 1 to 10 ms (`CLOCK_MONOTONIC_COARSE`): ages are too long by up to a
    /// tick.
    Coarse = 1,
    /// No timestamps: [`Snapshot::age`](crate::Snapshot::age) is `None`.
    None = 2,
}

impl TimestampSource {
    /// The present time as stored in a slot: 0 if publications have no timestamps.
    #[inline(always)]
    pub(crate) fn now(self) -> u64 {
        match self {
            TimestampSource::Precise => read(ClockId::Monotonic),
            TimestampSource::Coarse => read(ClockId::MonotonicCoarse),
            TimestampSource::None => 0,
        }
    }

    /// Its encoding in a control page.
    pub(crate) fn to_word(self) -> u64 {
        self as u64
    }

    /// Decodes such a word. A word that no writer stores means no timestamps.
    pub(crate) fn of_word(word: u64) -> TimestampSource {
        match word {
            0 => TimestampSource::Precise,
            1 => TimestampSource::Coarse,
            _ => TimestampSource::None,
        }
    }
}

/// Time since `time`. Zero for a time in the future, which only a hostile writer stores.
pub(crate) fn age(time: NonZeroU64) -> Duration {
    Duration::from_nanos(TimestampSource::Precise.now().saturating_sub(time.get()))
}

/// Never inlined: the call costs nothing beside the clock.
#[inline(never)]
fn read(clock: ClockId) -> u64 {
    nanoseconds(clock_gettime(clock))
}

#[inline]
fn nanoseconds(time: Timespec) -> u64 {
    // Both parts are positive on the monotonic clocks, and the sum overflows after 584 years
    // without a reboot.
    time.tv_sec.unsigned_abs().wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_grow_and_are_never_negative() {
        let time = NonZeroU64::new(TimestampSource::Precise.now()).unwrap();
        std::thread::sleep(Duration::from_millis(2));
        assert!(age(time) >= Duration::from_millis(2));
        assert_eq!(age(NonZeroU64::MAX), Duration::ZERO);
        let coarse = TimestampSource::Coarse.now();
        assert!(coarse > 0 && coarse <= TimestampSource::Precise.now());
    }
}
