//! A file in a block: one process loads it, and another examines what is loaded so far.
//! Start it in one terminal, and again with `examine` in another:
//!
//! ```text
//! cargo run --release --example block FILE        cargo run --release --example block examine
//! ```
//!
//! Without a FILE it loads its own program. The first word of the block has the number of bytes
//! that are ready: the loader stores it after them, and the examiner loads it before it looks at
//! them. By the second word the examiner says that it has seen all.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::sync::atomic::Ordering::{Acquire, Release};
use std::{env, error::Error, process::ExitCode, thread, time::Duration};

use tearless::{Namespace, inspect::WriterState};

/// The words of the block: bytes that are ready, whether they were examined; then the file.
const READY: usize = 0;
const EXAMINED: usize = 1;
const FILE: usize = 16;

/// Bytes that are loaded at once, and the pause after them, so that there is something to see.
const PIECE: usize = 64 << 10;
const PAUSE: Duration = Duration::from_millis(20);

fn main() -> ExitCode {
    let argument = env::args().nth(1);
    match argument.as_deref() {
        Some("examine") => examine(),
        Some(file) => load(file),
        None => load("/proc/self/exe"),
    }
    .map_or_else(
        |error| {
            eprintln!("block: {error}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

/// Owns the block until it has been examined.
fn load(path: &str) -> Result<(), Box<dyn Error>> {
    let mut file = File::open(path)?;
    let len = usize::try_from(file.metadata()?.len())?;
    let fleet = Namespace::open("examples")?;
    let block = fleet.block_builder("file").label(path).create(FILE + len)?;
    println!("Loading {len} bytes of {path}.");
    let (mut piece, mut ready) = (vec![0; PIECE], 0);
    while ready < len {
        let count = match file.read(&mut piece) {
            Ok(0) => return Err("the file has become shorter".into()),
            Ok(count) => count.min(len - ready),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        block.write_at(FILE + ready, &piece[..count]);
        ready += count;
        // Release: whoever loads this number finds the bytes.
        block.as_atomics()[READY].store(ready as u64, Release);
        thread::sleep(PAUSE);
    }
    println!("All of it is ready: `tearless ls` shows it until it has been examined.");
    while block.as_atomics()[EXAMINED].load(Acquire) == 0 {
        thread::sleep(PAUSE);
    }
    println!("It was examined.");
    Ok(block.close()?)
}

/// Counts the bytes of each value as they become ready.
fn examine() -> Result<(), Box<dyn Error>> {
    let fleet = Namespace::open("examples")?;
    let block = fleet.block_builder("file").attach_within(Duration::from_secs(60)).open_mut()?;
    let len = block.len().checked_sub(FILE).ok_or("the block is not one of this example")?;
    println!("Process {} loads {}, {len} bytes:", block.owner_pid(), block.label());
    let (mut counts, mut seen, mut piece) = ([0_u64; 256], 0, vec![0; PIECE]);
    let mut next_line = 0;
    while seen < len {
        let ready = usize::try_from(block.load(READY))?.min(len);
        if ready <= seen {
            if block.owner_state()? != WriterState::Alive {
                return Err("the loader has ended before all was ready".into());
            }
            thread::sleep(PAUSE);
            continue;
        }
        let count = (ready - seen).min(PIECE);
        block.read_at(FILE + seen, &mut piece[..count]);
        piece[..count].iter().for_each(|byte| counts[usize::from(*byte)] += 1);
        seen += count;
        if seen >= next_line || seen == len {
            let (byte, bits) = (most_frequent(&counts), entropy(&counts));
            println!("{:>5.1} %   {bits:.2} bits a byte   most frequent {byte:#04x}", percent(seen, len));
            next_line = seen + len / 10;
        }
    }
    block.as_atomics()[EXAMINED].store(1, Release);
    Ok(())
}

fn most_frequent(counts: &[u64; 256]) -> usize {
    (0..256).max_by_key(|byte| counts[*byte]).unwrap_or(0)
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn percent(part: usize, all: usize) -> f64 {
    100.0 * part as f64 / all.max(1) as f64
}

/// Shannon's: how many bits a byte of these frequencies needs at least.
#[expect(clippy::cast_precision_loss, reason = "for people")]
fn entropy(counts: &[u64; 256]) -> f64 {
    let all = counts.iter().sum::<u64>() as f64;
    let used = counts.iter().filter(|count| **count > 0).map(|count| *count as f64 / all);
    used.map(|share| -share * share.log2()).sum()
}
