//! What the benchmarks share: the machine's description, names, states whose every word can be checked.

#![allow(dead_code, reason = "every benchmark uses its part")]

use std::fs;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;

/// The longest time that the histograms tell apart: far beyond the deadline of the default retry policy.
const MAX: Duration = Duration::from_secs(10);

/// From this period on a paced writer sleeps instead of watching the clock.
pub(crate) const SLEEPS: Duration = Duration::from_millis(1);

/// What the command line asks for.
pub(crate) struct Arguments {
    pub(crate) measure: bool,
    pub(crate) filter: Option<String>,
}

impl Arguments {
    /// Understands what `cargo bench` and `cargo test` pass on, and one filter; leaves other options alone.
    pub(crate) fn read() -> Arguments {
        let all: Vec<String> = std::env::args().skip(1).collect();
        let has = |flag: &str| all.iter().any(|argument| argument == flag);
        let filter = all.iter().find(|argument| !argument.starts_with('-')).cloned();
        Arguments { measure: has("--bench") && !has("--test"), filter }
    }
}

/// Of times in nanoseconds.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, nanos(MAX), 3).expect("the bounds are sensible")
}

/// A duration in nanoseconds.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Says on stderr what the figures were measured on: without it they mean nothing.
pub(crate) fn print_machine() {
    let cpus = thread::available_parallelism().map_or(0, usize::from);
    let cpu = field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.into());
    eprintln!("cpu           {cpu}, {cpus} usable");
    eprintln!("kernel        {}", line("/proc/sys/kernel/osrelease"));
    eprintln!("memory        {}", field("/proc/meminfo", "MemTotal").unwrap_or_else(|| "unknown".into()));
    eprintln!("clock source  {}", line("/sys/devices/system/clocksource/clocksource0/current_clocksource"));
    eprintln!("shmem pages   {}", line("/sys/kernel/mm/transparent_hugepage/shmem_enabled"));
    eprintln!("load          {}", line("/proc/loadavg"));
}

/// The value of the first line `key: value` of a file.
pub(crate) fn field(path: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let (_, value) = text.lines().filter_map(|line| line.split_once(':')).find(|(k, _)| k.trim() == key)?;
    Some(value.trim().into())
}

fn line(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| "unknown".into(), |text| text.trim().into())
}

/// A name that no other process has, nor had: a benchmark that was killed may have left its channels behind.
pub(crate) fn unique_namespace(benchmark: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos());
    format!("bench {benchmark} {} {now}", std::process::id())
}

/// `64 B`, `1 KiB`, `16 MiB`.
pub(crate) fn size(bytes: usize) -> String {
    match bytes {
        bytes if bytes >= 1 << 20 => format!("{} MiB", bytes >> 20),
        bytes if bytes >= 1 << 10 => format!("{} KiB", bytes >> 10),
        bytes => format!("{bytes} B"),
    }
}

/// An array on the heap that was never on the stack: the largest would not fit there.
pub(crate) fn boxed<const WORDS: usize>(word: impl FnMut(usize) -> u64) -> Box<[u64; WORDS]> {
    let words: Box<[u64]> = (0..WORDS).map(word).collect();
    words.try_into().expect("that many words were collected")
}

/// Spreads a number over all bits, so that neighbours have hardly a byte in common.
pub(crate) fn spread(number: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23)
}

/// Waits until `tick` and returns the next one. A tick that was missed is not caught up on: a burst would follow.
pub(crate) fn await_tick(tick: Instant, period: Duration) -> Instant {
    let mut now = Instant::now();
    if period >= SLEEPS {
        thread::sleep(tick.saturating_duration_since(now));
    } else {
        while now < tick {
            std::hint::spin_loop();
            now = Instant::now();
        }
    }
    (tick + period).max(now)
}
