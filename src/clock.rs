//! The clock of timestamps: the time since the machine's boot, time asleep included, the same for
//! all processes of the machine.
//!
//! A time namespace shifts the clocks of its processes. Every time here is that of the machine's
//! first time namespace, so that times of different namespaces can be compared.

use std::fs;
use std::num::NonZeroU64;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use libc::{CLOCK_BOOTTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_COARSE, CLOCK_REALTIME_COARSE};

use crate::object::{OfThisProcess, read_clock};

/// Sleep during a shorter pause between two signs of life of a writer need not be noticed.
const MAX_PAUSE: u64 = 100_000_000;

/// The longest time between two clocks that are read together.
const MAX_READ: u64 = 100_000;

/// How often clocks are read together at most; each further time a read was interrupted.
const MAX_READS: u32 = 8;

/// Where the timestamps of publications come from.
///
/// The cost is added to each publish. Measured on an AMD EPYC virtual machine with the TSC clock
/// source: 19 ns, 3 ns, nothing. `cargo bench --bench uncontended timestamp` measures it on your
/// machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TimestampSource {
    /// To the nanosecond (`CLOCK_BOOTTIME`, a system call before Linux 5.3). The default: a
    /// reliable age is worth 19 ns to every writer except one that publishes plain data millions of
    /// times a second.
    #[default]
    Precise = 0,
    /// To the kernel's tick, 1 to 10 ms (`CLOCK_MONOTONIC_COARSE`, and the time asleep): ages are
    /// too long by up to a tick.
    Coarse = 1,
    /// No timestamps: [`Snapshot::age`](crate::Snapshot::age) is `None`.
    None = 2,
}

impl TimestampSource {
    /// Decodes a word of a control page, which is the variant's number. A word that no writer
    /// stores means no timestamps.
    pub(crate) fn of_word(word: u64) -> TimestampSource {
        match word {
            0 => TimestampSource::Precise,
            1 => TimestampSource::Coarse,
            _ => TimestampSource::None,
        }
    }
}

/// The present time.
pub(crate) fn now() -> u64 {
    read_clock(CLOCK_BOOTTIME).wrapping_sub(Offsets::of_self().boottime)
}

/// Time since `time`, time asleep included. Zero for a time in the future, which only a hostile
/// writer stores.
///
/// A state that was restored is older than the boot: its time is negative.
pub(crate) fn age(time: NonZeroU64) -> Duration {
    let age = now().cast_signed().saturating_sub(time.get().cast_signed());
    Duration::from_nanos(age.max(0).cast_unsigned())
}

/// [`age`] of a time, or `None` of none.
pub(crate) fn age_at(time: u64) -> Option<Duration> {
    NonZeroU64::new(time).map(age)
}

/// The time that has this [`age`] now. Negative if that is before the boot.
pub(crate) fn time_of_age(age: Duration) -> u64 {
    let age = i64::try_from(age.as_nanos()).unwrap_or(i64::MAX);
    now().cast_signed().saturating_sub(age).cast_unsigned()
}

/// The time of day at `time`, by the wall clock as it is set now.
pub(crate) fn time_of_day(time: NonZeroU64) -> SystemTime {
    // Before 1970 only if the wall clock was never set, or by a hostile writer.
    let time = SystemTime::now().checked_sub(age(time)).unwrap_or(SystemTime::UNIX_EPOCH);
    time.max(SystemTime::UNIX_EPOCH)
}

/// How long the machine has slept since its boot.
pub(crate) fn slept() -> Duration {
    Duration::from_nanos(slept_by(Offsets::of_self()))
}

/// The time for which the clock of time awake stood still: the difference of the two clocks, or up
/// to [`MAX_READ`] less.
#[cold]
fn slept_by(offsets: Offsets) -> u64 {
    let (mut boottime, mut awake) = (0, read_clock(CLOCK_MONOTONIC));
    for _ in 0..MAX_READS {
        let before = awake;
        boottime = read_clock(CLOCK_BOOTTIME);
        awake = read_clock(CLOCK_MONOTONIC);
        // A thread that is interrupted between the two reads would take the pause for sleep.
        if awake.wrapping_sub(before) < MAX_READ {
            break;
        }
    }
    let slept = boottime.wrapping_sub(offsets.boottime).wrapping_sub(awake.wrapping_sub(offsets.awake));
    // Without sleep, the clock that is read last is ahead. If the offsets are not known, the
    // difference can be anything.
    if slept > u64::MAX / 2 { 0 } else { slept }
}

/// The clock of one writer.
#[derive(Debug)]
pub(crate) struct WriterClock {
    source: TimestampSource,
    offsets: Offsets,
    /// The writer's last sign of life; 0 before the first.
    last: u64,
    /// Of coarse timestamps: the tick of the last one.
    tick: u64,
    /// What turns a tick into a time.
    ahead: u64,
    /// What turned a tick into the wall clock's time when `ahead` was calculated.
    wall: u64,
}

impl WriterClock {
    pub(crate) fn new(source: TimestampSource) -> WriterClock {
        WriterClock { source, offsets: Offsets::of_self(), last: 0, tick: 0, ahead: 0, wall: 0 }
    }

    /// The timestamp of a publication: 0 if publications have none.
    #[inline(always)]
    pub(crate) fn timestamp(&mut self) -> u64 {
        match self.source {
            TimestampSource::Precise => self.precise(),
            TimestampSource::Coarse => self.coarse(),
            TimestampSource::None => 0,
        }
    }

    /// The present time, whatever the source of timestamps is.
    #[inline(always)]
    pub(crate) fn precise(&self) -> u64 {
        read_clock(CLOCK_BOOTTIME).wrapping_sub(self.offsets.boottime)
    }

    #[inline(never)]
    fn coarse(&mut self) -> u64 {
        let tick = read_clock(CLOCK_MONOTONIC_COARSE);
        if tick != self.tick {
            self.tick = tick;
            // There is no coarse clock that runs while the machine sleeps, except for that of the
            // wall. If the two have moved apart, the machine has slept, or the wall clock was set.
            let wall = read_clock(CLOCK_REALTIME_COARSE).wrapping_sub(tick);
            if wall.abs_diff(self.wall) > MAX_PAUSE {
                self.wall = wall;
                self.ahead = slept_by(self.offsets).wrapping_sub(self.offsets.awake);
            }
        }
        // The times of one writer never go back.
        tick.wrapping_add(self.ahead).max(self.last)
    }

    /// Notes that the writer has given a sign of life at `time`. After a pause in which the machine
    /// may have slept, returns how long it has slept since its boot.
    #[inline(always)]
    pub(crate) fn sign(&mut self, time: u64) -> Option<u64> {
        let pause = time.saturating_sub(self.last);
        self.last = self.last.max(time);
        if pause > MAX_PAUSE { Some(slept_by(self.offsets)) } else { None }
    }
}

/// What a time namespace adds to the clocks, in nanoseconds. Differences wrap around.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Offsets {
    /// To the clock of time awake.
    awake: u64,
    boottime: u64,
}

/// Inode of the machine's first time namespace: a constant of the kernel's interface.
const FIRST_NAMESPACE: u64 = 0xEFFF_FFFA;

impl Offsets {
    /// Those of this process: none if `/proc` does not show them. A fork may have others.
    fn of_self() -> Offsets {
        static OWN: OfThisProcess<Offsets> = OfThisProcess::new();
        *OWN.get(|| Offsets::read().unwrap_or_default())
    }

    /// `None` if they can't be determined.
    fn read() -> Option<Offsets> {
        let inode = |name| fs::metadata(format!("/proc/self/ns/{name}")).ok().map(|file| file.ino());
        match inode("time") {
            // A kernel without time namespaces, or the first one.
            None | Some(FIRST_NAMESPACE) => Some(Offsets::default()),
            // The file holds the offsets of future children, who may be in another one.
            own if own != inode("time_for_children") => None,
            _ => Offsets::parse(&fs::read_to_string("/proc/self/timens_offsets").ok()?),
        }
    }

    /// The kernel's text: a line for each clock, with seconds and nanoseconds.
    fn parse(text: &str) -> Option<Offsets> {
        let of = |clock| {
            let mut fields =
                text.lines().find(|line| line.starts_with(clock))?.split_ascii_whitespace().skip(1);
            let seconds: i64 = fields.next()?.parse().ok()?;
            let nanoseconds: i64 = fields.next()?.parse().ok()?;
            Some(seconds.wrapping_mul(1_000_000_000).wrapping_add(nanoseconds).cast_unsigned())
        };
        Some(Offsets { awake: of("monotonic")?, boottime: of("boottime")? })
    }
}

/// What this process's time namespace adds to the time since boot, in nanoseconds; `None` if it
/// can't be determined.
pub(crate) fn boottime_offset() -> Option<i64> {
    Offsets::read().map(|offsets| offsets.boottime.cast_signed())
}

/// Says now and then that some time has passed. Only one of the threads that share it sees that.
#[derive(Debug)]
pub(crate) struct Timer {
    /// In nanoseconds.
    every: u64,
    /// Relaxed: it carries nothing but itself.
    due: AtomicU64,
}

impl Timer {
    pub(crate) fn new(every: Duration) -> Timer {
        let every = nanoseconds(every);
        Timer { every, due: AtomicU64::new(read_clock(CLOCK_MONOTONIC_COARSE).saturating_add(every)) }
    }

    /// [`Timer::is_due`], and its next call says the same.
    #[inline]
    pub(crate) fn has_expired(&self) -> bool {
        read_clock(CLOCK_MONOTONIC_COARSE) >= self.due.load(Ordering::Relaxed)
    }

    /// Whether that time has passed since it was last due, or since it was made. Costs a read of
    /// the coarse clock.
    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        let now = read_clock(CLOCK_MONOTONIC_COARSE);
        now >= self.due.load(Ordering::Relaxed)
            && now >= self.due.swap(now.saturating_add(self.every), Ordering::Relaxed)
    }
}

/// Saturates after 584 years.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_timer_is_due_once_after_its_time() {
        assert!(!Timer::new(Duration::MAX).is_due());
        let timer = Timer::new(Duration::from_millis(1));
        let begin = std::time::Instant::now();
        while !timer.is_due() {
            assert!(begin.elapsed() < Duration::from_secs(60), "it is never due");
            std::thread::yield_now();
        }
        timer.due.store(u64::MAX - 1, Ordering::Relaxed);
        assert!(!timer.is_due());
        let always = Timer::new(Duration::ZERO);
        assert!(always.is_due() && always.is_due());
    }

    #[test]
    fn ages_grow_and_are_never_negative() {
        let time = NonZeroU64::new(now()).unwrap();
        std::thread::sleep(Duration::from_millis(2));
        assert!(age(time) >= Duration::from_millis(2));
        assert_eq!(age(NonZeroU64::new(i64::MAX.cast_unsigned()).unwrap()), Duration::ZERO);
        // Older than the boot, by a nanosecond and by as much as there is.
        assert!(age(NonZeroU64::MAX).as_nanos() > u128::from(time.get()));
        let hour = Duration::from_secs(3_600);
        assert!(age(NonZeroU64::new(time_of_age(hour)).unwrap()) >= hour);
        assert!(age(NonZeroU64::new(1 << 63).unwrap()) > Duration::from_secs(1 << 33));
        let before = now();
        let coarse = WriterClock::new(TimestampSource::Coarse).timestamp();
        assert!(coarse > 0 && coarse <= now());
        assert!(coarse + SECOND > before, "it counts the time asleep, too");
    }

    #[test]
    fn a_writer_looks_for_sleep_only_after_a_pause() {
        let mut clock = WriterClock::new(TimestampSource::Precise);
        let begin = clock.timestamp();
        assert!(clock.sign(begin).is_some(), "the first sign");
        assert_eq!(clock.sign(begin + MAX_PAUSE), None);
        assert!(clock.sign(begin + 2 * MAX_PAUSE + 1).is_some());
        assert_eq!(clock.sign(begin), None, "a coarse timestamp is older than a precise one");
        let mut undated = WriterClock::new(TimestampSource::None);
        assert_eq!((undated.timestamp(), undated.sign(0)), (0, None));
    }

    #[test]
    fn a_coarse_clock_notices_that_the_wall_clock_has_moved_apart() {
        let mut clock = WriterClock::new(TimestampSource::Coarse);
        let first = clock.timestamp();
        // As if the machine had slept for an hour since: ticks have not counted it, and the wall
        // clock has.
        clock.ahead = clock.ahead.wrapping_sub(3_600 * SECOND);
        clock.wall = clock.wall.wrapping_sub(3_600 * SECOND);
        clock.tick = 0;
        let second = clock.timestamp();
        assert!(second >= first - MAX_READ && second <= now(), "{first} {second}");
    }

    #[test]
    fn the_time_of_day_is_that_of_the_wall_clock() {
        // This thread may be interrupted between two clocks.
        let is_close = |_| {
            let before = SystemTime::now();
            let time = NonZeroU64::new(now()).unwrap();
            let apart = time_of_day(time).duration_since(before).unwrap_or_else(|error| error.duration());
            apart < Duration::from_secs(1)
        };
        assert!((0..100).any(is_close));
        assert!(time_of_day(NonZeroU64::MIN) >= SystemTime::UNIX_EPOCH);
    }

    #[test]
    fn the_offsets_of_a_time_namespace_are_as_the_kernel_writes_them() {
        let text = "monotonic          5         7\nboottime   -86400   1000000\n";
        let expected =
            Offsets { awake: 5 * SECOND + 7, boottime: (86_400 * SECOND - 1_000_000).wrapping_neg() };
        assert_eq!(Offsets::parse(text), Some(expected));
        for text in ["", "monotonic 1 2\n", "monotonic 1 2\nboottime x 1\n"] {
            assert_eq!(Offsets::parse(text), None);
        }
        assert_eq!(Offsets::of_self(), Offsets::of_self());
    }

    #[test]
    fn sleep_counts_in_the_one_clock_and_not_in_the_other() {
        let awake = Offsets { awake: 0, boottime: 0 };
        // A namespace whose offsets are not known looks like a machine that has slept.
        let asleep = Offsets { boottime: (3_600 * SECOND).wrapping_neg(), ..awake };
        let difference = slept_by(asleep).abs_diff(slept_by(awake));
        assert!(difference.abs_diff(3_600 * SECOND) < SECOND / 100, "{difference}");
        assert_eq!(slept_by(Offsets { boottime: 1 << 62, ..awake }), 0, "an implausible difference");
    }
}
