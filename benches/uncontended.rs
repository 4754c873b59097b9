//! The costs of a publish and a snapshot while no other process uses the channel: `cargo bench
//! --bench uncontended`.
//!
//! Writer and reader are in one process and take turns: the figures are the cost of the code and of
//! the copy, in a warm cache if the payload fits. `contended` measures a reader while a writer
//! publishes.
//!
//! * `payload`: plain bytes of 8 B to 64 MiB. Beside them `memcpy`, from one buffer into another;
//!   and `memcpy around`, from one buffer into as many as the channel has slots, which a publish
//!   cannot avoid. `snapshot` returns a [`Pod`] by value; `snapshot_into` copies it to the caller's
//!   place.
//! * `serde`: states of a few jobs to a thousand. Beside publish and snapshot: the bare encode and
//!   decode, and a memcpy of as many bytes.
//! * `hub`: one of 1,000 channels by name, by 1, 2 and 8 threads at once; beside it a bare reader,
//!   and a map of readers under a mutex. `read_at`: a few bytes of a large state, beside a state of
//!   a few bytes.
//! * `view`: taking and dropping one of a publication that no view shows yet, beside a snapshot
//!   into a buffer; and publishing on a channel with pins, and without.
//! * `loan`: taking and publishing one, beside `publish` of as many bytes; and filling it, by
//!   `write_at` and through a reference.
//! * `timestamps`, `checksum`, `changed_since`: the costs of the options.
//!
//! Compare figures of one run only: figures of different runs, and even more of different machines,
//! are hardly comparable. Everything that is measured is checked once before and once after.

mod common;
#[path = "uncontended/hub.rs"]
mod hub;
#[path = "uncontended/worker_state.rs"]
mod worker_state;

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, SamplingMode, Throughput};
use tearless::{
    Bytes, Decode, Encode, MessagePack, Namespace, Pod, Postcard, Reader, Writer, WriterBuilder,
    error::{CreateError, ObjectError},
    options::{TimestampSource, WakeMode},
    view::TrustedWriters,
};
use worker_state::WorkerState;

type Group<'a> = BenchmarkGroup<'a, WallTime>;

/// From this size on, an iteration takes milliseconds, and a few are enough.
const LARGE: usize = 16 << 20;

fn main() {
    common::print_machine();
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(700))
        .sample_size(20)
        .nresamples(10_000)
        .configure_from_args();
    let namespace = Namespace::open(&common::unique_namespace("uncontended")).unwrap();
    payloads(&mut criterion, &namespace);
    loans(&mut criterion, &namespace);
    views(&mut criterion, &namespace);
    serde_states(&mut criterion, &namespace);
    wakings(&mut criterion, &namespace);
    timestamps(&mut criterion, &namespace);
    checksums(&mut criterion, &namespace);
    changed_since(&mut criterion, &namespace);
    hub::one_of_many(&mut criterion, &namespace);
    hub::part(&mut criterion, &namespace);
    criterion.final_summary();
}

fn payloads(criterion: &mut Criterion, namespace: &Namespace) {
    let mut group = criterion.benchmark_group("payload");
    payload_by_value::<1>(&mut group, namespace);
    payload_by_value::<8>(&mut group, namespace);
    payload_by_value::<32>(&mut group, namespace);
    payload_by_value::<128>(&mut group, namespace);
    payload_by_value::<512>(&mut group, namespace);
    payload::<{ 64 << 7 }>(&mut group, namespace);
    payload::<{ 1 << 17 }>(&mut group, namespace);
    payload::<{ 16 << 17 }>(&mut group, namespace);
    payload::<{ 64 << 17 }>(&mut group, namespace);
    group.finish();
}

/// One size, and `Pod` by value, too: only for sizes that fit on the stack.
fn payload_by_value<const WORDS: usize>(group: &mut Group<'_>, namespace: &Namespace) {
    payload::<WORDS>(group, namespace);
    let Some((mut writer, mut reader)) = pod::<WORDS>(namespace, |builder| builder) else { return };
    let state = contents::<WORDS>(3);
    writer.publish(&state).unwrap();
    assert!(*reader.snapshot().unwrap() == *state);
    group.bench_function(BenchmarkId::new("pod snapshot", common::size(WORDS * 8)), |bencher| {
        bencher.iter(|| {
            let snapshot = reader.snapshot().unwrap();
            black_box(&snapshot);
        });
    });
    writer.close().unwrap();
}

/// One size: memcpy, `Pod`, `Bytes`.
fn payload<const WORDS: usize>(group: &mut Group<'_>, namespace: &Namespace) {
    let label = common::size(WORDS * 8);
    let state = contents::<WORDS>(1);
    scale(group, WORDS * 8);
    let Some((mut writer, mut reader)) = pod::<WORDS>(namespace, |builder| builder) else { return };
    let slots = usize::try_from(writer.slots()).unwrap();
    memcpy(group, &label, bytemuck::cast_slice(state.as_slice()), slots);

    group.bench_function(BenchmarkId::new("pod publish", &label), |bencher| {
        bencher.iter(|| writer.publish(black_box(&state)).unwrap());
    });
    let mut received = contents::<WORDS>(2);
    group.bench_function(BenchmarkId::new("pod snapshot_into", &label), |bencher| {
        bencher.iter(|| reader.snapshot_into(black_box(&mut received)).unwrap());
    });
    writer.publish(&state).unwrap();
    let info = reader.snapshot_into(&mut received).unwrap();
    assert!(received == state && info.publication() == writer.publication());
    writer.close().unwrap();

    bytes(group, namespace, &label, bytemuck::cast_slice(state.as_slice()));
}

/// Raw bytes of one size.
fn bytes(group: &mut Group<'_>, namespace: &Namespace, label: &str, state: &[u8]) {
    let builder = namespace.writer_builder::<[u8]>("bytes").codec::<Bytes>().capacity(state.len());
    let Some(mut writer) = open(builder) else { return };
    let mut reader = namespace.reader_builder::<Vec<u8>>("bytes").codec::<Bytes>().open().unwrap();
    writer.publish(state).unwrap();
    assert!(*reader.snapshot().unwrap() == state);

    group.bench_function(BenchmarkId::new("bytes publish", label), |bencher| {
        bencher.iter(|| writer.publish(black_box(state)).unwrap());
    });
    group.bench_function(BenchmarkId::new("bytes snapshot", label), |bencher| {
        bencher.iter(|| reader.snapshot().unwrap());
    });
    let mut received = Vec::new();
    group.bench_function(BenchmarkId::new("bytes snapshot_into", label), |bencher| {
        bencher.iter(|| reader.snapshot_into(black_box(&mut received)).unwrap());
    });
    let info = reader.snapshot_into(&mut received).unwrap();
    assert!(received == state && info.publication() == writer.publication());
    writer.close().unwrap();
}

fn views(criterion: &mut Criterion, namespace: &Namespace) {
    let mut group = criterion.benchmark_group("view");
    for len in [4 << 10, 64 << 10, 1 << 20, 16 << 20] {
        view(&mut group, namespace, len);
    }
    group.finish();
}

/// One size: a view in place must cost the same for a larger one.
fn view(group: &mut Group<'_>, namespace: &Namespace, len: usize) {
    let id = |what: &str| BenchmarkId::new(what, common::size(len));
    let state = vec![7; len];
    for pins in [0, 4] {
        let builder = namespace.writer_builder::<[u8]>("view").codec::<Bytes>().capacity(len).pins(pins);
        let Some(mut writer) = open(builder) else { return };
        let reader = namespace.reader_builder::<Vec<u8>>("view").codec::<Bytes>();
        // SAFETY: the namespace is this process's, which has no forks.
        let mut reader = reader.views_in_place(unsafe { TrustedWriters::new() }).open().unwrap();
        for _ in 0..writer.slots() {
            writer.publish(&state).unwrap();
        }
        scale(group, len);
        let what = if pins == 0 { "publish" } else { "publish, with pins" };
        group.bench_function(id(what), |bencher| {
            bencher.iter(|| writer.publish(black_box(&state)).unwrap());
        });
        if pins > 0 {
            let mut buffer = Vec::new();
            group.bench_function(id("snapshot"), |bencher| {
                bencher.iter(|| reader.snapshot_into(black_box(&mut buffer)).unwrap());
            });
            assert!(buffer == state && reader.view().unwrap().is_in_place());
            group.bench_function(id("view"), |bencher| {
                bencher.iter(|| {
                    let view = reader.view().unwrap();
                    black_box(&view[len - 1]);
                });
            });
            assert_eq!(reader.statistics().copied_views, 0);
        }
        writer.close().unwrap();
    }
}

fn loans(criterion: &mut Criterion, namespace: &Namespace) {
    let mut group = criterion.benchmark_group("loan");
    for len in [64, 64 << 10, 16 << 20] {
        loan(&mut group, namespace, len);
    }
    group.finish();
}

/// One size: nothing of what is not copied may cost more for a larger one.
fn loan(group: &mut Group<'_>, namespace: &Namespace, len: usize) {
    let id = |what: &str| BenchmarkId::new(what, common::size(len));
    let state: Vec<u8> = (0..len as u64).map(|at| common::spread(at).to_le_bytes()[0]).collect();
    let builder = namespace.writer_builder::<[u8]>("loan").codec::<Bytes>().capacity(len);
    let Some(mut writer) = open(builder) else { return };
    let mut reader = namespace.reader_builder::<Vec<u8>>("loan").codec::<Bytes>().open().unwrap();
    for _ in 0..writer.slots() {
        writer.publish(&state).unwrap();
    }
    scale(group, len);
    group.bench_function(id("publish"), |bencher| {
        bencher.iter(|| writer.publish(black_box(&state)).unwrap());
    });
    group.bench_function(id("loan, publish"), |bencher| {
        bencher.iter(|| writer.loan(black_box(len)).unwrap().publish().unwrap());
    });
    group.bench_function(id("loan, write_at, publish"), |bencher| {
        bencher.iter(|| {
            let mut loan = writer.loan(black_box(len)).unwrap();
            loan.write_at(0, black_box(&state));
            loan.publish().unwrap()
        });
    });
    assert!(*reader.snapshot().unwrap() == state);
    group.bench_function(id("loan, fill through a reference, publish"), |bencher| {
        bencher.iter(|| {
            let mut loan = writer.loan(black_box(len)).unwrap();
            // SAFETY: no other process stores to the channel's memory.
            unsafe { loan.lend().into_mut() }.fill(black_box(7));
            loan.publish().unwrap()
        });
    });
    let latest = reader.snapshot().unwrap();
    assert!((*latest == state || latest.iter().all(|byte| *byte == 7)) && writer.growths() == 0);
    writer.close().unwrap();
}

/// The yardstick: a copy into the same place again and again; and one into `slots` places in turn,
/// which a publish cannot avoid.
fn memcpy(group: &mut Group<'_>, label: &str, from: &[u8], slots: usize) {
    let mut into = vec![0_u8; from.len() * slots];
    group.bench_function(BenchmarkId::new("memcpy", label), |bencher| {
        bencher.iter(|| black_box(&mut into[..from.len()]).copy_from_slice(black_box(from)));
    });
    let mut turn = 0;
    group.bench_function(BenchmarkId::new("memcpy around", label), |bencher| {
        bencher.iter(|| {
            turn = if turn + 1 == slots { 0 } else { turn + 1 };
            let begin = turn * from.len();
            black_box(&mut into[begin..begin + from.len()]).copy_from_slice(black_box(from));
        });
    });
}

fn serde_states(criterion: &mut Criterion, namespace: &Namespace) {
    let mut group = criterion.benchmark_group("serde");
    for (label, jobs) in [("200 B", 3), ("2 KiB", 45), ("50 KiB", 1160)] {
        serde_state::<Postcard>(&mut group, namespace, label, jobs);
        serde_state::<MessagePack>(&mut group, namespace, label, jobs);
    }
    group.finish();
}

/// One codec and one size, measured in Postcard: MessagePack takes more bytes for the same state.
fn serde_state<C: Encode<WorkerState> + Decode<WorkerState>>(
    group: &mut Group<'_>,
    namespace: &Namespace,
    label: &str,
    jobs: usize,
) {
    let id = |what: &str| BenchmarkId::new(format!("{} {what}", C::NAME), label);
    let state = WorkerState::new(jobs, 1);
    let mut scratch = Vec::new();
    let encoded = C::encode(&state, &mut scratch).unwrap().to_vec();
    assert!(C::decode(&encoded).unwrap() == state);
    let builder = namespace.writer_builder::<WorkerState>("serde").codec::<C>().capacity(encoded.len());
    let Some(mut writer) = open(builder) else { return };
    let mut reader = namespace.reader_builder::<WorkerState>("serde").codec::<C>().open().unwrap();
    writer.publish(&WorkerState::new(jobs, 2)).unwrap();
    assert!(*reader.snapshot().unwrap() == WorkerState::new(jobs, 2));

    scale(group, encoded.len());
    group.bench_function(id("encode"), |bencher| {
        bencher.iter(|| C::encode(black_box(&state), &mut scratch).unwrap().len());
    });
    group.bench_function(id("publish"), |bencher| {
        bencher.iter(|| writer.publish(black_box(&state)).unwrap());
    });
    group.bench_function(id("decode"), |bencher| {
        bencher.iter(|| C::decode(black_box(&encoded)).unwrap());
    });
    writer.publish(&state).unwrap();
    group.bench_function(id("snapshot"), |bencher| {
        bencher.iter(|| reader.snapshot().unwrap());
    });
    let mut copy = vec![0; encoded.len()];
    group.bench_function(id("memcpy"), |bencher| {
        bencher.iter(|| black_box(&mut copy[..]).copy_from_slice(black_box(&encoded)));
    });
    let snapshot = reader.snapshot().unwrap();
    assert!(*snapshot == state && snapshot.publication() == writer.publication());
    assert!(snapshot.payload_len() == encoded.len() && writer.growths() == 0);
    writer.close().unwrap();
}

fn timestamps(criterion: &mut Criterion, namespace: &Namespace) {
    let mut group = criterion.benchmark_group("timestamp");
    scale(&mut group, 64);
    for timestamp in [TimestampSource::Precise, TimestampSource::Coarse, TimestampSource::None] {
        let Some((mut writer, mut reader)) = pod::<8>(namespace, |builder| builder.timestamps(timestamp))
        else {
            return;
        };
        let state = contents::<8>(4);
        group.bench_function(format!("pod publish/{timestamp:?}"), |bencher| {
            bencher.iter(|| writer.publish(black_box(&state)).unwrap());
        });
        writer.publish(&state).unwrap();
        let snapshot = reader.snapshot().unwrap();
        assert!(*snapshot == *state && snapshot.publication() == writer.publication());
        assert_eq!(snapshot.age().is_some(), timestamp != TimestampSource::None);
        writer.close().unwrap();
    }
    group.finish();
}

/// The cost of a publication on a channel that readers may wait for, while none waits.
fn wakings(criterion: &mut Criterion, namespace: &Namespace) {
    let mut group = criterion.benchmark_group("wake_mode");
    scale(&mut group, 64);
    for wake_mode in [WakeMode::Never, WakeMode::Barriers, WakeMode::Fences] {
        let options =
            |builder: WriterBuilder<_, Pod>| builder.timestamps(TimestampSource::None).wake_mode(wake_mode);
        let Some((mut writer, mut reader)) = pod::<8>(namespace, options) else { return };
        let state = contents::<8>(6);
        group.bench_function(format!("pod publish/{wake_mode:?}"), |bencher| {
            bencher.iter(|| writer.publish(black_box(&state)).unwrap());
        });
        let last = writer.publish(&state).unwrap();
        assert_eq!(reader.snapshot().unwrap().publication(), last);
        writer.close().unwrap();
    }
    group.finish();
}

fn checksums(criterion: &mut Criterion, namespace: &Namespace) {
    let mut group = criterion.benchmark_group("checksum");
    for checksum in [false, true] {
        with_checksum::<8>(&mut group, namespace, checksum);
        with_checksum::<128>(&mut group, namespace, checksum);
        with_checksum::<8192>(&mut group, namespace, checksum);
    }
    group.finish();
}

fn with_checksum<const WORDS: usize>(group: &mut Group<'_>, namespace: &Namespace, checksum: bool) {
    let Some((mut writer, mut reader)) = pod::<WORDS>(namespace, |builder| builder.checksum(checksum)) else {
        return;
    };
    scale(group, WORDS * 8);
    let id = |what: &str| {
        let on_or_off = if checksum { "with" } else { "without" };
        BenchmarkId::new(format!("{what} {on_or_off}"), common::size(WORDS * 8))
    };
    let state = contents::<WORDS>(5);
    let mut received = contents::<WORDS>(6);
    group.bench_function(id("publish"), |bencher| {
        bencher.iter(|| writer.publish(black_box(&state)).unwrap());
    });
    writer.publish(&state).unwrap();
    group.bench_function(id("snapshot_into"), |bencher| {
        bencher.iter(|| reader.snapshot_into(black_box(&mut received)).unwrap());
    });
    let info = reader.snapshot_into(&mut received).unwrap();
    assert!(received == state && info.publication() == writer.publication());
    writer.close().unwrap();
}

fn changed_since(criterion: &mut Criterion, namespace: &Namespace) {
    let mut group = criterion.benchmark_group("changed_since");
    let Some((mut writer, reader)) = pod::<8>(namespace, |builder| builder) else { return };
    let last = writer.publish(&contents::<8>(7)).unwrap();
    assert!(reader.publication() > last - 1 && reader.publication() <= last);
    group.bench_function("unchanged", |bencher| {
        bencher.iter(|| black_box(&reader).publication() > black_box(last));
    });
    group.bench_function("changed", |bencher| {
        bencher.iter(|| black_box(&reader).publication() > black_box(last - 1));
    });
    group.finish();
    writer.close().unwrap();
}

/// Throughput and effort for payloads of `bytes`. A group takes its large payloads last.
fn scale(group: &mut Group<'_>, bytes: usize) {
    group.throughput(Throughput::Bytes(bytes as u64));
    if bytes >= LARGE {
        group.sampling_mode(SamplingMode::Flat).sample_size(10);
    }
}

/// A state whose words all differ.
fn contents<const WORDS: usize>(seed: u64) -> Box<[u64; WORDS]> {
    common::boxed(|word| common::spread(seed << 32 | word as u64))
}

type PodWriter<const WORDS: usize> = Writer<[u64; WORDS], Pod>;
type PodReader<const WORDS: usize> = Reader<[u64; WORDS], Pod>;

/// A checked channel of plain arrays: all slots were written, and two states came back unchanged.
fn pod<const WORDS: usize>(
    namespace: &Namespace,
    options: impl FnOnce(WriterBuilder<[u64; WORDS], Pod>) -> WriterBuilder<[u64; WORDS], Pod>,
) -> Option<(PodWriter<WORDS>, PodReader<WORDS>)> {
    let mut writer = open(options(namespace.writer_builder::<[u64; WORDS]>("pod").codec()))?;
    let mut reader = namespace.reader_builder::<[u64; WORDS]>("pod").codec::<Pod>().open().unwrap();
    let mut received = contents(0);
    for seed in [8, 9] {
        let state = contents(seed);
        for _ in 0..writer.slots() {
            writer.publish(&state).unwrap();
        }
        let info = reader.snapshot_into(&mut received).unwrap();
        assert!(received == state && info.publication() == writer.publication());
    }
    Some((writer, reader))
}

/// Opens a writer. Prints a note and returns `None` if shared memory is too small, as in many
/// containers.
fn open<T: ?Sized, C: Encode<T>>(builder: WriterBuilder<T, C>) -> Option<Writer<T, C>> {
    match builder.open() {
        Ok(writer) => Some(writer),
        Err(CreateError::Object { source: error @ ObjectError::NoSpace { .. }, .. }) => {
            eprintln!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}
