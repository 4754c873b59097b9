//! A table of all processes of this machine, in columns: a reader that needs one column copies one.
//! Start the writer in one terminal, and `busiest` in another:
//!
//! ```text
//! cargo run --release --example columns     cargo run --release --example columns busiest
//! ```
//!
//! The state is a structure of arrays. The texts are in an arena, each once, and the table has
//! numbers for them. `busiest` copies the column of processor times, 32 KiB, and, to compare, the
//! whole table of 224 KiB.

use std::collections::HashMap;
use std::time::{Duration, Instant};
use std::{env, error::Error, fs, process::ExitCode, thread};

use tearless::{Boxed, Namespace, Pod, field_of};

const MAX: usize = 4096;
const ARENA: usize = 64 << 10;

/// One entry in each column is one process.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Processes {
    /// Entries that are in use, the first ones.
    count: u64,
    /// Ticks of processor time, of 10 ms.
    ticks: [u64; MAX],
    /// Pages of memory.
    pages: [u64; MAX],
    /// When it was started, in ticks since boot.
    started: [u64; MAX],
    threads: [u64; MAX],
    pids: [u32; MAX],
    /// Where in the arena its name begins. Processes of one name have the same number.
    names: [u32; MAX],
    /// Texts, each with its length before it.
    arena: [u8; ARENA],
}

/// Texts of which each has a number.
#[derive(Default)]
struct Names {
    numbers: HashMap<String, u32>,
    end: usize,
}

impl Names {
    /// The number of a text, which goes into the arena if it is new; 0, that of no text, if there
    /// is no room for it.
    fn number(&mut self, name: &str, arena: &mut [u8]) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        // The first byte of the arena stays 0: an empty text.
        let begin = self.end.max(1);
        let Some(place) = arena.get_mut(begin..=begin + name.len()) else { return 0 };
        place[0] = u8::try_from(name.len()).expect("the kernel cuts names to 15 bytes");
        place[1..].copy_from_slice(name.as_bytes());
        self.end = begin + 1 + name.len();
        let number = u32::try_from(begin).expect("the arena is small");
        self.numbers.insert(name.into(), number);
        number
    }
}

fn main() -> ExitCode {
    let result = match env::args().nth(1).as_deref() {
        None => publish(),
        Some("busiest") => busiest(),
        Some(other) => Err(format!("unknown argument {other:?}: `busiest`, or none").into()),
    };
    result.map_or_else(
        |error| {
            eprintln!("columns: {error}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

fn publish() -> Result<(), Box<dyn Error>> {
    let builder = Namespace::open("examples")?.writer_builder::<Boxed<Processes>>("processes");
    let mut writer = builder.codec::<Pod>().open()?;
    let mut table = Boxed::<Processes>::zeroed();
    let mut names = Names::default();
    println!("Publishing a table of {} bytes twice a second, for a minute.", size_of::<Processes>());
    for _ in 0..120 {
        table.count = 0;
        for entry in fs::read_dir("/proc")?.flatten() {
            // A process that has ended in the meantime has no file any more.
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let _ = add(&mut table, &stat, &mut names);
        }
        writer.publish(&table)?;
        thread::sleep(Duration::from_millis(500));
    }
    Ok(())
}

/// Adds a process; `None` if the line is none of a process, or the table is full.
fn add(table: &mut Processes, stat: &str, names: &mut Names) -> Option<()> {
    // `7 (name) S 1 …`: the name may contain anything.
    let (begin, rest) = stat.rsplit_once(") ")?;
    let (pid, name) = begin.split_once(" (")?;
    let field = |number: usize| rest.split(' ').nth(number - 3)?.parse::<u64>().ok();
    let index = usize::try_from(table.count).ok().filter(|index| *index < MAX)?;
    table.ticks[index] = field(14)? + field(15)?;
    table.threads[index] = field(20)?;
    table.started[index] = field(22)?;
    table.pages[index] = field(24)?;
    table.pids[index] = pid.parse().ok()?;
    table.names[index] = names.number(name, &mut table.arena);
    table.count += 1;
    Some(())
}

fn busiest() -> Result<(), Box<dyn Error>> {
    let builder = Namespace::open("examples")?.reader_builder::<Boxed<Processes>>("processes");
    let mut reader = builder.codec::<Pod>().attach_within(Duration::from_secs(60)).open()?;
    let mut former = HashMap::new();
    // Ends with the error that the writer has closed the channel.
    loop {
        if !reader.changed(Duration::from_secs(10))? {
            continue;
        }
        let begin = Instant::now();
        let ticks = reader.field(field_of!(Processes, ticks))?;
        let column = begin.elapsed();
        let begin = Instant::now();
        let all = reader.snapshot()?;
        let whole = begin.elapsed();
        // The table may have changed between the two reads.
        if all.publication() != ticks.publication() {
            continue;
        }
        // A process is somewhere else in the table once another one has ended.
        let rows = 0..usize::try_from(all.count)?.min(MAX);
        let used = |row: usize| former.get(&all.pids[row]).map(|former| ticks[row].saturating_sub(*former));
        if let Some((used, row)) = rows.clone().filter_map(|row| Some((used(row)?, row))).max() {
            let number = all.names[row] as usize;
            let name = &all.arena[number + 1..][..usize::from(all.arena[number])];
            let name = String::from_utf8_lossy(name);
            println!("{name:16} {used:3} ticks; column {column:.1?}, whole table {whole:.1?}");
        }
        former = rows.map(|row| (all.pids[row], ticks[row])).collect();
    }
}
