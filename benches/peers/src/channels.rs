//! Many workers: one process reads a thousand channels in turn.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::hint::black_box;
use std::os::unix::fs::MetadataExt;
use std::time::Instant;

use memmap2::{Mmap, MmapMut};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use tearless::{Pod, Reader};
use testkit::child;

use crate::common::boxed;
use crate::cpus::Pair;
use crate::effort::Arguments;
use crate::place::{Ground, Place};
use crate::report::{Report, Table, figure, median};
use crate::worker::{Job, Worker};

/// Words of each state: 256 bytes.
const WORDS: usize = 32;

/// The figures of the reading process.
#[derive(Debug, Serialize, Deserialize)]
struct Found {
    /// The time of a round in which every channel is read once.
    round_micros: f64,
    attach_micros: f64,
    descriptors: f64,
}

/// Publishes one state in each of `count` channels, and keeps them until the input ends. Answers
/// each line with the bytes of shared memory that one channel takes.
pub(crate) fn keep(count: usize, place: &Place) {
    raise_limit();
    let namespace = place.namespace();
    let state = boxed::<WORDS>(|word| word as u64);
    let writers: Vec<_> = (0..count)
        .map(|number| {
            let builder = namespace.writer_builder::<[u64; WORDS]>(&channel(place, number)).codec::<Pod>();
            let mut writer = builder.open().expect("there is room in shared memory");
            writer.publish(&state).expect("the state fits");
            writer
        })
        .collect();
    child::ready();
    while child::next_order().is_some() {
        println!("{}", mapped_bytes() / count as u64);
    }
    drop(writers);
}

/// Attaches to the channels, and answers each number of rounds with the figures.
pub(crate) fn read_round(count: usize, place: &Place) {
    raise_limit();
    let namespace = place.namespace();
    let before = descriptors();
    let begin = Instant::now();
    let mut readers: Vec<Reader<[u64; WORDS], Pod>> = (0..count)
        .map(|number| {
            let builder = namespace.reader_builder::<[u64; WORDS]>(&channel(place, number)).codec::<Pod>();
            builder.open().expect("the channel is there")
        })
        .collect();
    let attach_micros = begin.elapsed().as_secs_f64() * 1e6 / count as f64;
    let mut state = boxed::<WORDS>(|_| 0);
    round(&mut readers, &mut state);
    child::ready();
    let held = (descriptors() - before) as f64 / count as f64;
    while let Some(order) = child::next_order() {
        let rounds: usize = order.parse().expect("it is a number");
        let round_micros = median((0..rounds).map(|_| round(&mut readers, &mut state)).collect());
        let found = Found { round_micros, attach_micros, descriptors: held };
        println!("{}", serde_json::to_string(&found).expect("it can be written down"));
    }
}

fn channel(place: &Place, number: usize) -> String {
    place.at(&number.to_string()).name().into()
}

/// Reads every channel once, and returns the microseconds that this takes.
fn round(readers: &mut [Reader<[u64; WORDS], Pod>], state: &mut [u64; WORDS]) -> f64 {
    let begin = Instant::now();
    for reader in readers {
        reader.snapshot_into(black_box(state)).expect("something was published");
    }
    begin.elapsed().as_secs_f64() * 1e6
}

/// A writer holds a descriptor for its lock, so this raises the limit as far as the system allows.
fn raise_limit() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    // If the system refuses, opening reports that there are too few descriptors.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// The bytes of the objects that this process has mapped: all channels that it writes.
fn mapped_bytes() -> u64 {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let objects: HashSet<&str> =
        maps.lines().filter_map(|line| line.find("/dev/shm/").map(|at| &line[at..])).collect();
    objects.iter().filter_map(|path| fs::metadata(path).ok()).map(|data| data.blocks() * 512).sum()
}

/// Bytes of the bare object: a page.
const BARE: usize = 4096;

/// The medians of `times` channels of 64 B, in microseconds: create and publish, create and remove
/// a bare object, attach and read, open and map a bare object. `others` are channels that stay in
/// the namespace; without any, each channel is the first one, and creates the registry.
fn lives(place: &Place, times: usize, others: &[&str]) -> [f64; 4] {
    let namespace = place.namespace();
    let open = |name: &&str| namespace.writer_builder::<[u64; 8]>(name).codec::<Pod>().open();
    let _others: Vec<_> = others.iter().map(|name| open(name).expect("there is room")).collect();
    let path = place.at("bare").file();
    let mut micros = [(); 4].map(|()| Vec::new());
    let mut state = [0; 8];
    let mut timed = |which: usize, begin: Instant| micros[which].push(begin.elapsed().as_secs_f64() * 1e6);
    for number in 0..times as u64 {
        let begin = Instant::now();
        let mut writer =
            namespace.writer_builder::<[u64; 8]>("life").codec::<Pod>().open().expect("there is room");
        writer.publish(&[number; 8]).expect("the state fits");
        timed(0, begin);
        let begin = Instant::now();
        let mut reader =
            namespace.reader_builder::<[u64; 8]>("life").codec::<Pod>().open().expect("the channel is there");
        reader.snapshot_into(&mut state).expect("it was published");
        timed(2, begin);
        assert_eq!(state[0], number);
        drop((reader, writer));

        let begin = Instant::now();
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
        let file = file.expect("/dev/shm can be written to");
        fallocate(&file, FallocateFlags::empty(), 0, BARE as u64).expect("there is room in shared memory");
        let mut mapping = map(&file);
        mapping[0] = 1;
        let created = begin.elapsed();
        let begin = Instant::now();
        let opened = map_read_only(&File::open(&path).expect("it was made just now"));
        assert_eq!(opened[0], 1);
        timed(3, begin);
        drop(opened);
        let begin = Instant::now();
        drop((mapping, file));
        fs::remove_file(&path).expect("it was made just now");
        timed(1, begin - created);
    }
    micros.map(median)
}

#[allow(unsafe_code, reason = "memmap2 can't know that no other process changes the file")]
fn map(file: &File) -> MmapMut {
    // SAFETY: only `lives` has this file, and does not shorten it.
    unsafe { MmapMut::map_mut(file) }.expect("there is room to map it")
}

#[allow(unsafe_code, reason = "memmap2 can't know that no other process changes the file")]
fn map_read_only(file: &File) -> Mmap {
    // SAFETY: only `lives` has this file, and does not change it while this mapping exists.
    unsafe { Mmap::map(file) }.expect("there is room to map it")
}

/// Runs this part.
pub(crate) fn measure(arguments: &Arguments, ground: &Ground, cpus: Option<Pair>, report: &mut Report) {
    if !arguments.wants("channels") {
        return;
    }
    let count = arguments.effort.channels;
    let place = ground.place("channels");
    let job = Job::KeepChannels { count, place: place.clone() };
    let mut keeper = Worker::start(&job, cpus.map(|pair| pair.writer));
    let mut reader = Worker::start(&Job::ReadChannels { count, place }, cpus.map(|pair| pair.reader));
    reader.order(&(arguments.effort.rounds * 20).to_string());
    let found: Found = serde_json::from_str(&reader.answer()).expect("the reader wrote it");
    reader.end();
    let kibibytes = keeper.ask("bytes") as f64 / 1024.0;
    keeper.end();
    let times = arguments.effort.rounds.saturating_mul(100);
    let [created, bare, attached, bare_opened] = lives(&ground.place("lives"), times, &[]);
    let [beside_another, ..] = lives(&ground.place("lives"), times, &["another"]);
    let figures = [
        ("round µs", found.round_micros),
        ("attach µs", found.attach_micros),
        ("KiB", kibibytes),
        ("descriptors", found.descriptors),
        ("create and publish 64 B µs", created),
        ("create and publish 64 B beside another channel µs", beside_another),
        ("bare object of a page µs", bare),
        ("attach and snapshot 64 B µs", attached),
        ("bare open and map µs", bare_opened),
    ];
    println!("### {count} channels of 256 B, read in turn by one process\n");
    let mut table = Table::new(&["figure", "value"]);
    for (name, value) in figures {
        report.add(format!("channels/{name}"), value);
        let each = if name.starts_with("round") { "of all" } else { "for each" };
        table.row(vec![format!("{name}, {each}"), figure(value)]);
    }
    table.print();
}
