//! The cost of a hub beside its alternatives: a bare reader, and a map of readers under a mutex.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion};
use tearless::{Bytes, Namespace, Pod, Reader, Writer, field_of, hub::Hub};

use super::{Group, common, open, scale};

/// Channels of the hub. One of them is read.
const CHANNELS: usize = 1_000;

/// 64 bytes.
type State = [u64; 8];

type Readers = HashMap<String, Reader<State, Pod>>;

/// Bytes of the large state, and of the part of it that is read.
const LARGE: usize = 1 << 20;
const PART: usize = 8;

/// `get` of one of many channels by one, two and eight threads, each for another channel.
pub(super) fn one_of_many(criterion: &mut Criterion, namespace: &Namespace) {
    let mut group = criterion.benchmark_group("hub");
    scale(&mut group, size_of::<State>());
    let Some(mut writers) = writers(namespace) else { return };
    let names: Vec<String> = writers.iter().map(|writer| writer.channel().to_owned()).collect();
    let hub = namespace.hub_builder().codec::<Pod>().open();
    let mut readers: Readers = names.iter().map(|name| (name.clone(), reader(namespace, name))).collect();
    check(&names, &hub, &mut readers);

    let bare = readers.get_mut(&names[0]).unwrap();
    group.bench_function("reader snapshot", |bencher| bencher.iter(|| bare.snapshot().unwrap()));
    let readers = Mutex::new(readers);
    for threads in [1, 2, 8] {
        by_threads(&mut group, ("hub get", threads), &names, |name| {
            black_box(hub.get::<State>(black_box(name)).unwrap());
        });
        by_threads(&mut group, ("mutex of readers", threads), &names, |name| {
            let mut readers = readers.lock().unwrap();
            black_box(readers.get_mut(black_box(name)).unwrap().snapshot().unwrap());
        });
    }
    group.finish();

    for writer in &mut writers {
        writer.publish(&[3; 8]).unwrap();
    }
    assert!(hub.iter::<State>("*").unwrap().all(|worker| *worker.state.unwrap() == [3; 8]));
    writers.into_iter().for_each(|writer| writer.close().unwrap());
}

/// All channels, each with a state of its own.
fn writers(namespace: &Namespace) -> Option<Vec<Writer<State, Pod>>> {
    let open_one = |index: usize| {
        let mut writer = open(namespace.writer_builder::<State>(&format!("worker-{index}")).codec())?;
        writer.publish(&[index as u64; 8]).unwrap();
        Some(writer)
    };
    (0..CHANNELS).map(open_one).collect()
}

fn reader(namespace: &Namespace, channel: &str) -> Reader<State, Pod> {
    namespace.reader_builder::<State>(channel).codec::<Pod>().open().unwrap()
}

/// Reads every channel in every way, so that everything is attached before the measurement.
fn check(names: &[String], hub: &Hub<Pod>, readers: &mut Readers) {
    for (index, name) in names.iter().enumerate() {
        assert_eq!(*hub.get::<State>(name).unwrap(), [index as u64; 8]);
        assert_eq!(*readers.get_mut(name).unwrap().snapshot().unwrap(), [index as u64; 8]);
    }
}

/// The time of one `get` while several threads call it, each for another channel.
fn by_threads(
    group: &mut Group<'_>,
    (what, threads): (&str, usize),
    names: &[String],
    ask: impl Fn(&str) + Sync,
) {
    let label = if threads == 1 { "1 thread".to_owned() } else { format!("{threads} threads") };
    group.bench_function(BenchmarkId::new(what, label), |bencher| {
        bencher.iter_custom(|times| {
            let (start, ask) = (Barrier::new(threads), &ask);
            let one = |name: &str| {
                start.wait();
                let begin = Instant::now();
                (0..times).for_each(|_| ask(name));
                begin.elapsed()
            };
            thread::scope(|scope| {
                let asking: Vec<_> =
                    names.iter().take(threads).map(|name| scope.spawn(|| one(name))).collect();
                let times = asking.into_iter().map(|asking| asking.join().unwrap());
                times.max().unwrap_or(Duration::ZERO)
            })
        });
    });
}

/// Eight bytes out of a large state, beside a state of eight bytes.
pub(super) fn part(criterion: &mut Criterion, namespace: &Namespace) {
    let mut group = criterion.benchmark_group("read_at");
    scale(&mut group, PART);
    let state: Vec<u8> = (0..LARGE as u64 / 8).flat_map(|word| common::spread(word).to_le_bytes()).collect();
    for (label, state) in [("1 MiB", &state[..]), ("8 B", &state[..PART])] {
        let builder = namespace.writer_builder::<[u8]>("part").codec::<Bytes>().capacity(state.len());
        let Some(mut writer) = open(builder) else { return };
        let mut reader = namespace.reader_builder::<Vec<u8>>("part").codec::<Bytes>().open().unwrap();
        writer.publish(state).unwrap();
        let offset = state.len() - PART;
        let mut part = [0; PART];
        group.bench_function(BenchmarkId::new("8 B out of", label), |bencher| {
            bencher.iter(|| reader.read_at(black_box(offset), black_box(&mut part)).unwrap());
        });
        let info = reader.read_at(offset, &mut part).unwrap();
        assert!(part == state[offset..] && info.payload_len() == state.len());
        writer.close().unwrap();
    }
    field(&mut group, namespace);
    small(&mut group, namespace);
    group.finish();
}

/// A state of a mebibyte, of which only the last number is read.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Large {
    rest: [u64; LARGE / 8 - 1],
    last: u64,
}

/// A field of a plain state: its offset and size are known at compile time.
fn field(group: &mut Group<'_>, namespace: &Namespace) {
    let Some(mut writer) = open(namespace.writer_builder::<Large>("field").codec::<Pod>()) else { return };
    let mut reader = namespace.reader_builder::<Large>("field").codec::<Pod>().open().unwrap();
    let mut state = bytemuck::zeroed_box::<Large>();
    state.last = common::spread(7);
    writer.publish(&state).unwrap();
    group.bench_function("field of 8 B/1 MiB", |bencher| {
        bencher.iter(|| *reader.field(field_of!(Large, last)).unwrap());
    });
    assert_eq!(*reader.field(field_of!(Large, last)).unwrap(), state.last);
    writer.close().unwrap();
}

fn small(group: &mut Group<'_>, namespace: &Namespace) {
    let Some(mut writer) = open(namespace.writer_builder::<u64>("small").codec::<Pod>()) else { return };
    let mut reader = namespace.reader_builder::<u64>("small").codec::<Pod>().open().unwrap();
    writer.publish(&7).unwrap();
    group.bench_function(BenchmarkId::new("snapshot of", "8 B"), |bencher| {
        bencher.iter(|| reader.snapshot().unwrap());
    });
    assert_eq!(*reader.snapshot().unwrap(), 7);
    writer.close().unwrap();
}
