//! The costs of opening, attaching, taking over, closing and cleaning up: `cargo bench --bench
//! lifecycle`.
//!
//! A channel is one object. For comparison, a bare object of its size is created and removed in
//! turn with it, in the same run:
//!
//! * *bare* creates, sizes and maps it, then unmaps and unlinks it; no memory is touched.
//! * *with memory* reserves its memory, too. Without the reservation, a full shared memory kills
//!   the process that touches it.
//!
//! A channel is created under a lock, registered in its namespace, and laid out. In *alone* it is
//! the only channel of its namespace, so the registry is created and removed with it; in *among
//! 1,000* it is not.
//!
//! With `--test`, or without `--bench` as under `cargo test --benches`, everything runs a few times
//! only.

mod common;

use std::ffi::CString;
use std::hint::black_box;
use std::ops::Range;
use std::time::Instant;

use common::{Arguments, histogram, nanos};
use rustix::fs::{FallocateFlags, Mode, fallocate, ftruncate};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::shm;
use tearless::{Namespace, Pod, Reader, Writer, cleanup::Retention};
use testkit::stats::Histogram;

type State = [u64; 8];

/// Channels, and objects of the operating system, that are created in a row.
const MANY: usize = 1_000;
const FEW: usize = 5;

/// The size of a channel's object with all options at their defaults.
const OBJECT: usize = 4096;

fn main() {
    let arguments = Arguments::read();
    let many = if arguments.measure { MANY } else { FEW };
    if arguments.measure {
        common::print_machine();
    }
    let namespace = Namespace::open(&common::unique_namespace("lifecycle")).unwrap();
    let own = create(&namespace, 0);
    assert_eq!(mapped_sizes(), [OBJECT], "the bare object would be of another size");
    drop(own);

    let mut rows = Rows::default();
    for round in 0..many {
        rows.alone(&namespace, round);
    }
    rows.among(&namespace, 0..many);
    rows.take_over(&namespace, many);
    rows.print(arguments.measure);
}

fn create(namespace: &Namespace, number: usize) -> Writer<State, Pod> {
    namespace.writer_builder(&channel(number)).codec::<Pod>().open().unwrap()
}

fn channel(number: usize) -> String {
    format!("worker-{number}")
}

/// Characters of the names of a registry's chunks: a channel's objects have longer ones.
const REGISTRY: usize = "tl_nnnnnnnt13".len();

/// The sizes of all channels' objects that this process maps, without the waiters' page, which is a
/// part of the registry.
fn mapped_sizes() -> Vec<usize> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let is_channels = |line: &&str| {
        line.rsplit_once("/dev/shm/")
            .is_some_and(|(_, name)| name.starts_with("tl_") && name.len() > REGISTRY)
    };
    let ranges = maps.lines().filter(is_channels);
    let size = |line: &str| {
        let (start, end) = line.split_once(' ')?.0.split_once('-')?;
        Some(usize::from_str_radix(end, 16).ok()? - usize::from_str_radix(start, 16).ok()?)
    };
    ranges.filter_map(size).collect()
}

/// The figures, in the order of the output.
#[derive(Default)]
struct Rows(Vec<(&'static str, Histogram<u64>)>);

impl Rows {
    fn time<T>(&mut self, what: &'static str, run: impl FnOnce() -> T) -> T {
        let begin = Instant::now();
        let result = run();
        let elapsed = nanos(begin.elapsed());
        let index = self.0.iter().position(|(name, _)| *name == what).unwrap_or_else(|| {
            self.0.push((what, histogram()));
            self.0.len() - 1
        });
        self.0[index].1.saturating_record(elapsed);
        result
    }

    /// One channel after another, each ended before the next, and the bare object in between.
    fn alone(&mut self, namespace: &Namespace, round: usize) {
        let name = bare_name(round);
        for (created, removed, reserve) in [
            ("bare: create", "bare: remove", false),
            ("bare, with memory: create", "bare, with memory: remove", true),
        ] {
            let object = self.time(created, || Bare::new(&name, reserve));
            self.time(removed, || drop(object));
        }
        let writer = self.time("alone: create", || create(namespace, round));
        self.time("alone: close", || writer.close().unwrap());
    }

    /// Many channels at the same time.
    fn among(&mut self, namespace: &Namespace, numbers: Range<usize>) {
        let mut writers: Vec<_> = numbers
            .clone()
            .map(|number| self.time("among 1,000: create", || create(namespace, number)))
            .collect();
        for writer in &mut writers {
            writer.publish(&[1; 8]).unwrap();
        }
        let mut readers: Vec<Reader<State, Pod>> = numbers
            .map(|number| {
                let builder = namespace.reader_builder(&channel(number)).codec::<Pod>();
                self.time("among 1,000: attach", || builder.open().unwrap())
            })
            .collect();
        for reader in &mut readers {
            self.time("among 1,000: first snapshot", || black_box(reader.snapshot().unwrap()));
        }
        for _ in 0..FEW * 5 {
            let again = self.time("1,000 live channels: open the namespace", || {
                Namespace::open(namespace.name()).unwrap()
            });
            let cleaned = self.time("1,000 live channels: clean, keeping last states", || {
                again.clean(Retention::UntilReplaced).unwrap()
            });
            assert!(cleaned.removed.is_empty() && cleaned.failed.is_empty(), "{cleaned}");
            let channels = self.time("1,000 live channels: list them", || namespace.channels().unwrap());
            assert_eq!(channels.len(), writers.len());
            let cleaned = self.time("1,000 live channels: clean, keeping nothing", || {
                namespace.clean(Retention::Nothing).unwrap()
            });
            assert!(cleaned.removed.is_empty() && cleaned.failed.is_empty(), "{cleaned}");
        }
        for writer in writers {
            self.time("among 1,000: close", || writer.close().unwrap());
        }
    }

    /// One channel that its writer leaves and the next writer resumes, again and again.
    fn take_over(&mut self, namespace: &Namespace, rounds: usize) {
        let mut first = create(namespace, 0);
        first.publish(&[1; 8]).unwrap();
        first.close_lingering().unwrap();
        for _ in 0..rounds {
            let writer = self.time("take over", || create(namespace, 0));
            assert_eq!(writer.publication(), 1);
            writer.close_lingering().unwrap();
        }
        assert!(namespace.remove_channel(&channel(0)).unwrap());
    }

    fn print(&self, measured: bool) {
        if !measured {
            return self.0.iter().for_each(|(what, _)| println!("{what}: ok"));
        }
        println!("{:<50} {:>7} {:>9} {:>9} {:>9}", "", "times", "p50 µs", "p99 µs", "max µs");
        for (what, times) in &self.0 {
            let [p50, p99, max] = [0.5, 0.99, 1.0].map(|quantile| micros(times, quantile));
            println!("{what:<50} {:>7} {p50:>9.1} {p99:>9.1} {max:>9.1}", times.len());
        }
        let of =
            |what: &str| self.0.iter().find(|(name, _)| *name == what).map(|(_, times)| micros(times, 0.5));
        for kind in ["alone", "among 1,000"] {
            for bare in ["bare", "bare, with memory"] {
                let sum = |kind: &str, last| {
                    Some(of(&format!("{kind}: create"))? + of(&format!("{kind}: {last}"))?)
                };
                if let (Some(ours), Some(theirs)) = (sum(kind, "close"), sum(bare, "remove")) {
                    println!("{kind}: create + close is {:.2} times {bare}", ours / theirs);
                }
            }
        }
    }
}

fn micros(times: &Histogram<u64>, quantile: f64) -> f64 {
    times.value_at_quantile(quantile) as f64 / 1e3
}

fn bare_name(round: usize) -> CString {
    CString::new(format!("/bare_{}_{round}", std::process::id())).expect("without a zero byte")
}

/// A mapped object that is unmapped and unlinked when it is dropped.
struct Bare<'a> {
    name: &'a CString,
    memory: *mut std::ffi::c_void,
}

impl Bare<'_> {
    fn new(name: &CString, reserve: bool) -> Bare<'_> {
        let flags = shm::OFlags::CREATE | shm::OFlags::EXCL | shm::OFlags::RDWR;
        let object = shm::open(name, flags, Mode::RUSR | Mode::WUSR).unwrap();
        if reserve {
            fallocate(&object, FallocateFlags::empty(), 0, OBJECT as u64).unwrap();
        } else {
            ftruncate(&object, OBJECT as u64).unwrap();
        }
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses an address where nothing is mapped.
        let memory = unsafe { mmap(std::ptr::null_mut(), OBJECT, access, MapFlags::SHARED, &object, 0) };
        Bare { name, memory: memory.unwrap() }
    }
}

impl Drop for Bare<'_> {
    fn drop(&mut self) {
        // SAFETY: `new` mapped that many bytes there, and no reference to them exists.
        unsafe { munmap(self.memory, OBJECT) }.unwrap();
        shm::unlink(self.name).unwrap();
    }
}
