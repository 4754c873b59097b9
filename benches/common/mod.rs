//! What the benchmarks share: arguments, names, and states whose every word can be checked.

#![allow(dead_code, unused_imports, reason = "every benchmark uses its part")]

use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub(crate) use testkit::machine::field;
pub(crate) use testkit::stats::{histogram, nanos};

/// From this period on, a paced writer sleeps instead of watching the clock.
pub(crate) const SLEEPS: Duration = Duration::from_millis(1);

/// The options of the command line.
pub(crate) struct Arguments {
    pub(crate) measure: bool,
    pub(crate) filter: Option<String>,
}

impl Arguments {
    /// Reads the options that `cargo bench` and `cargo test` pass, and one filter. Ignores other
    /// options.
    pub(crate) fn read() -> Arguments {
        let all: Vec<String> = std::env::args().skip(1).collect();
        let has = |flag: &str| all.iter().any(|argument| argument == flag);
        let filter = all.iter().find(|argument| !argument.starts_with('-')).cloned();
        Arguments { measure: has("--bench") && !has("--test"), filter }
    }
}

/// Prints the machine on stderr: without it, the figures mean nothing.
pub(crate) fn print_machine() {
    eprint!("{}", testkit::machine::Machine::current());
}

/// A name that no other process has or had: a killed benchmark may have left its channels behind.
pub(crate) fn unique_namespace(benchmark: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos());
    format!("bench {benchmark} {} {now}", std::process::id())
}

/// A size in its best binary unit: `64 B`, `1 KiB`, `16 MiB`.
pub(crate) fn size(bytes: usize) -> String {
    testkit::table::size(bytes as u64)
}

/// An array that is built on the heap, because the largest one does not fit on the stack.
pub(crate) fn boxed<const WORDS: usize>(word: impl FnMut(usize) -> u64) -> Box<[u64; WORDS]> {
    let words: Box<[u64]> = (0..WORDS).map(word).collect();
    words.try_into().expect("that many words were collected")
}

/// Spreads a number over all bits, so that consecutive numbers have hardly a byte in common.
pub(crate) fn spread(number: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23)
}

/// Waits until `tick` and returns the next tick. Skips missed ticks: catching up would be a burst.
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
