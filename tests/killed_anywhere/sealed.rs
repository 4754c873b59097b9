//! A sealed channel: its writer is killed while it publishes, also a state for which the channel
//! grows; a reader while it opens the descriptor, or reads the first larger state.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;

use tearless::inspect::WriterState;
use tearless::{Bytes, Reader, Writer, sealed};

use crate::CHANNEL;
use crate::trace::Position;
use crate::tracee::{Tracee, mark, watchdog};

type BytesWriter = Writer<Vec<u8>, Bytes>;
type BytesReader = Reader<Vec<u8>, Bytes>;

const SMALL: usize = 93;
/// More than a page, so that memory is reserved, and far below the limit.
const LARGE: usize = 9_001;

/// What the victim does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sealed {
    Publish,
    Grow,
    Open,
    /// Reading the first state that is longer than all before.
    ReadLarger,
}

fn state(publication: u64, len: usize) -> Vec<u8> {
    (publication..).map(|at| (at.wrapping_mul(0x9e37_79b9) >> 13).to_le_bytes()[0]).take(len).collect()
}

fn publish(writer: &mut BytesWriter, len: usize) {
    let next = writer.publication() + 1;
    assert_eq!(writer.publish(&state(next, len)).unwrap(), next);
}

/// A writer that has published twice, in both segments.
fn writer() -> BytesWriter {
    let mut writer = Writer::sealed(CHANNEL).codec::<Bytes>().max_state_len(1 << 20).open().unwrap();
    (0..2).for_each(|_| publish(&mut writer, SMALL));
    writer
}

fn attach(descriptor: &OwnedFd) -> BytesReader {
    Reader::from_descriptor(descriptor.try_clone().unwrap()).unwrap()
}

/// The number of the latest state, which is whole.
fn verified(reader: &mut BytesReader, when: &str) -> u64 {
    let snapshot = reader.snapshot().unwrap_or_else(|error| panic!("{when}: {error}"));
    assert_eq!(*snapshot, state(snapshot.publication(), snapshot.len()), "{when}");
    snapshot.publication()
}

/// Kills the victim at about `samples` of its instructions, and around every system call.
pub(crate) fn kill_at_a_sealed_channel(victim: Sealed, samples: u64) {
    match victim {
        Sealed::Publish => kill_writers(SMALL, samples),
        Sealed::Grow => kill_writers(LARGE, samples),
        Sealed::Open | Sealed::ReadLarger => kill_readers(victim == Sealed::Open, samples),
    }
}

/// A writer at its first mark, and its descriptor. Between the marks it publishes a state of this
/// length.
fn start_writer(len: usize) -> (Tracee, OwnedFd) {
    let (own, theirs) = UnixStream::pair().unwrap();
    let tracee = Tracee::start(|| {
        let mut writer = writer();
        sealed::send_descriptor(&theirs, writer.descriptor().unwrap()).unwrap();
        let state = state(3, len);
        mark();
        let published = writer.publish(&state);
        mark();
        panic!("not killed: {published:?}");
    });
    (tracee, sealed::receive_descriptor(&own).unwrap())
}

fn kill_writers(len: usize, samples: u64) {
    let trace = start_writer(len).0.record(|_| ());
    let steps = trace.sample(samples);
    let (mut announced, mut astray) = (0, 0);
    for step in &steps {
        let (tracee, descriptor) = start_writer(len);
        let when = format!("{len} bytes, killed after step {step}");
        let mut attached = attach(&descriptor);
        assert_eq!(verified(&mut attached, &when), 2);
        astray += usize::from(tracee.go_to(trace.point(*step)) != Position::Within);
        tracee.kill();
        watchdog();
        let last = verified(&mut attached, &when);
        assert!((2..=3).contains(&last), "{when}: {last}");
        let mut late = attach(&descriptor);
        assert_eq!(verified(&mut late, &when), last, "{when}: to a new reader");
        for reader in [&attached, &late] {
            assert_eq!(reader.writer_state().unwrap(), WriterState::Dead, "{when}");
        }
        announced += usize::from(last == 3);
    }
    let points = steps.len();
    assert!((1..points).contains(&announced), "before and after: {announced} of {points}");
    assert!(astray * 4 < points, "killed {points} times, {astray} elsewhere than intended");
    println!(
        "sealed, {len} bytes: {points} kill points of {} steps ({astray} elsewhere than intended)",
        trace.steps()
    );
}

fn kill_readers(opens: bool, samples: u64) {
    let mut writer = writer();
    publish(&mut writer, LARGE);
    let descriptor = writer.descriptor().unwrap();
    let object = File::from(descriptor.try_clone().unwrap());
    let memory = || object.metadata().unwrap().blocks();
    let mut other = attach(&descriptor);
    let mut start = || {
        publish(&mut writer, if opens { LARGE } else { SMALL });
        let tracee = Tracee::start(|| {
            let mut reader = (!opens).then(|| attach(&descriptor));
            if let Some(reader) = &mut reader {
                verified(reader, "before");
            }
            mark();
            let reader = reader.get_or_insert_with(|| attach(&descriptor));
            let snapshot = reader.snapshot();
            mark();
            panic!("not killed: {snapshot:?}");
        });
        publish(&mut writer, LARGE);
        (tracee, writer.publication())
    };
    let trace = start().0.record(|_| ());
    let (steps, taken) = (trace.sample(samples), memory());
    let mut astray = 0;
    for step in &steps {
        let (tracee, last) = start();
        astray += usize::from(tracee.go_to(trace.point(*step)) != Position::Within);
        tracee.kill();
        watchdog();
        let when = format!("killed after step {step}");
        assert_eq!(verified(&mut other, &when), last, "{when}");
        assert_eq!(verified(&mut attach(&descriptor), &when), last, "{when}: to a new reader");
        assert_eq!(other.writer_state().unwrap(), WriterState::Alive, "{when}");
        assert_eq!(memory(), taken, "{when}");
    }
    let points = steps.len();
    assert!(astray * 4 < points, "killed {points} times, {astray} elsewhere than intended");
    println!(
        "a reader of a sealed channel: {points} kill points of {} steps ({astray} elsewhere than intended)",
        trace.steps()
    );
}
