//! A plain state that is larger than a thread's stack goes from the writer to every kind of reader
//! without crossing the stack.

use std::time::Duration;

use crate::common::{Actor, OwnNamespace, role};
use tearless::hub::Hub;
use tearless::{Boxed, Namespace, Pod, Postcard, Reader, Snapshot, Writer, WriterBuilder, accept, field_of};

const BYTES: usize = 4 << 20;

#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Frame {
    number: u64,
    bytes: [u8; BYTES],
}
tearless::describe_pod!(Frame { number, bytes });

/// The same fields in another order.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Reordered {
    bytes: [u8; BYTES],
    number: u64,
}
tearless::describe_pod!(Reordered { bytes, number });

fn byte(number: u64) -> u8 {
    u8::try_from(number % 250).unwrap() + 1
}

fn frame(number: u64) -> Boxed<Frame> {
    let mut frame = Boxed::<Frame>::zeroed();
    frame.number = number;
    frame.bytes.fill(byte(number));
    frame
}

#[track_caller]
fn check(frame: &Frame, number: u64) {
    assert_eq!(frame.number, number);
    assert!(frame.bytes.iter().all(|it| *it == byte(number)));
}

#[track_caller]
fn check_all<'a>(found: impl IntoIterator<Item = &'a Snapshot<Boxed<Frame>>>, numbers: &[u64]) {
    let found: Vec<_> = found.into_iter().collect();
    assert_eq!(found.len(), numbers.len());
    for (snapshot, number) in found.into_iter().zip(numbers) {
        check(snapshot, *number);
    }
}

fn read(reader: &mut Reader<Boxed<Frame>, Pod>) {
    check_all([&reader.snapshot().unwrap(), &reader.clone().snapshot().unwrap()], &[2, 2]);
    let mut state = Boxed::zeroed();
    assert_eq!(reader.snapshot_into(&mut state).unwrap().publication(), 2);
    check(&state, 2);
    check_all(&reader.wait_after(1, Duration::ZERO).unwrap(), &[2]);
    check_all(&reader.snapshot_at(1).unwrap(), &[1]);
    check_all(&reader.history().collect::<Result<Vec<_>, _>>().unwrap(), &[2, 1]);
    assert_eq!(*reader.field(field_of!(Frame, number)).unwrap(), 2);
}

fn read_at_other_offsets(namespace: &Namespace) {
    let builder = namespace.reader_builder::<Boxed<Reordered>>("camera-1").codec::<Pod>();
    let mut reader = builder.accept(accept::MatchingFields).open().unwrap();
    for state in [reader.snapshot().unwrap(), reader.snapshot_at(2).unwrap().unwrap()] {
        assert!(state.number == 2 && state.bytes.iter().all(|it| *it == byte(2)));
    }
    assert_eq!(*reader.field(field_of!(Reordered, number)).unwrap(), 2);
    assert_eq!(*reader.field(field_of!(Reordered, bytes).index(BYTES - 1)).unwrap(), byte(2));
    let builder = namespace.reader_builder::<Boxed<Frame>>("camera-1").codec::<Pod>();
    check(&builder.accept(accept::SameSchema).open().unwrap().snapshot().unwrap(), 2);
}

fn query(hub: &Hub<Pod>) {
    // The first query of each channel takes another way than the later ones.
    for _ in 0..2 {
        check_all([&hub.get("camera-1").unwrap(), &hub.get("camera-2").unwrap()], &[2, 4]);
        let mut state = Boxed::zeroed();
        hub.get_into("camera-2", &mut state).unwrap();
        check(&state, 4);
        hub.get_into::<Frame>("camera-1", &mut state.0).unwrap();
        check(&state, 2);
        check_all(&hub.iter("camera-*").unwrap().map(|it| it.state.unwrap()).collect::<Vec<_>>(), &[2, 4]);
        let cut = hub.cut(["camera-2", "camera-1"]);
        assert!(cut.is_consistent());
        check_all(&cut.states.into_iter().map(|it| it.state.unwrap()).collect::<Vec<_>>(), &[4, 2]);
    }
}

/// Publishes numbers 1 and 2 on "camera-1", and the next two on "camera-2".
fn publish(namespace: &Namespace) -> [Writer<Boxed<Frame>, Pod>; 2] {
    [("camera-1", 1), ("camera-2", 3)].map(|(channel, first)| {
        let builder = namespace.writer_builder::<Boxed<Frame>>(channel).codec::<Pod>();
        let mut writer = builder.checksum(first == 3).with_schema().open().unwrap();
        writer.publish(&frame(first)).unwrap();
        let second = frame(first + 1);
        assert_eq!(writer.publish_if_changed(&second).unwrap(), Some(2));
        assert_eq!(writer.publish_if_changed(&second).unwrap(), None);
        check(&writer.latest().unwrap().unwrap(), first + 1);
        writer
    })
}

#[cfg(feature = "async")]
async fn stream(namespace: &Namespace, hub: &Hub<Pod>) {
    let reader = namespace.reader_builder::<Boxed<Frame>>("camera-1").codec::<Pod>().open().unwrap();
    check(&reader.changes().next().await.unwrap().unwrap(), 2);
    check(&hub.changes::<Boxed<Frame>>("camera-2").unwrap().next().await.state.unwrap(), 4);
    check(&hub.changes_of::<Boxed<Frame>>("camera-1").next().await.state.unwrap(), 2);
}

fn sync(namespace: &Namespace) {
    let builder = namespace.writer_builder::<Boxed<Frame>>("camera-3").codec::<Pod>();
    let syncer = builder.syncer(frame(5)).spawn().unwrap();
    syncer.replace(frame(6));
    syncer.flush().unwrap();
    let mut reader = namespace.reader_builder::<Boxed<Frame>>("camera-3").codec::<Pod>().open().unwrap();
    check(&reader.snapshot().unwrap(), 6);
    syncer.shutdown().unwrap();
}

#[test]
fn four_mebibytes_go_through_everything_on_a_tokio_worker() {
    const TEST: &str = "large_states::four_mebibytes_go_through_everything_on_a_tokio_worker";
    let Some((_, namespace)) = role() else {
        // A stack that overflows ends the process.
        return Actor::start(TEST, "worker", &OwnNamespace::new(&["camera-1", "camera-2", "camera-3"]))
            .finish();
    };
    // Half of the default, to have a margin. Without optimization a state by value needs 100 times
    // as much.
    let runtime = tokio::runtime::Builder::new_multi_thread().thread_stack_size(1 << 20).build().unwrap();
    let work = async move {
        let writers = publish(&namespace);
        read(&mut namespace.reader_builder("camera-1").codec::<Pod>().open().unwrap());
        read_at_other_offsets(&namespace);
        let hub = namespace.hub_builder().codec::<Pod>().open();
        query(&hub);
        #[cfg(feature = "async")]
        stream(&namespace, &hub).await;
        sync(&namespace);
        drop(writers);
    };
    runtime.block_on(runtime.spawn(work)).unwrap();
}

/// The largest state by value. The ways to read it have a stack one after the other.
mod largest {
    use super::*;

    pub type State = [u8; 64 << 10];

    #[track_caller]
    fn check(state: &State) {
        assert!(state.iter().all(|it| *it == 7));
    }

    fn writer_builder(namespace: &Namespace) -> WriterBuilder<State, Pod> {
        namespace.writer_builder("camera-1").codec().linger(true)
    }

    pub fn publish(namespace: &Namespace) -> Writer<State, Pod> {
        let mut writer = writer_builder(namespace).open().unwrap();
        writer.publish(&[7; 64 << 10]).unwrap();
        writer
    }

    pub fn latest(writer: &Writer<State, Pod>) {
        check(&writer.latest().unwrap().unwrap());
    }

    pub fn snapshot(reader: &mut Reader<State, Pod>) {
        check(&reader.snapshot().unwrap());
    }

    pub fn snapshot_at(reader: &mut Reader<State, Pod>) {
        check(&reader.snapshot_at(1).unwrap().unwrap());
    }

    pub fn get(hub: &Hub<Pod>) {
        check(&hub.get("camera-1").unwrap());
    }

    pub fn iter(hub: &Hub<Pod>) {
        hub.iter::<State>("camera-*").unwrap().for_each(|it| check(&it.state.unwrap()));
    }

    pub fn cut(hub: &Hub<Pod>) {
        hub.cut::<State>(["camera-1"]).states.into_iter().for_each(|it| check(&it.state.unwrap()));
    }

    pub fn resume(namespace: &Namespace) {
        writer_builder(namespace).syncer([0; 64 << 10]).resume().spawn().unwrap().read(check);
    }
}

#[test]
fn the_largest_state_by_value_fits_on_the_stack_of_a_thread() {
    const TEST: &str = "large_states::the_largest_state_by_value_fits_on_the_stack_of_a_thread";
    let Some((_, namespace)) = role() else {
        return Actor::start(TEST, "thread", &OwnNamespace::new(&["camera-1"])).finish();
    };
    let work = move || {
        let writer = largest::publish(&namespace);
        largest::latest(&writer);
        let mut reader = namespace.reader_builder("camera-1").codec::<Pod>().open().unwrap();
        largest::snapshot(&mut reader);
        largest::snapshot_at(&mut reader);
        let hub = namespace.hub_builder().codec::<Pod>().open();
        for _ in 0..2 {
            largest::get(&hub);
            largest::iter(&hub);
            largest::cut(&hub);
        }
        drop(writer);
        largest::resume(&namespace);
    };
    // The stack of each thread that does not choose another one.
    std::thread::Builder::new().stack_size(2 << 20).spawn(work).unwrap().join().unwrap();
}

#[test]
fn a_state_on_the_heap_is_the_state_itself() {
    let namespace = Namespace::in_process("boxed").unwrap();
    let mut plain = namespace.writer_builder::<[u64; 3]>("plain").codec::<Pod>().open().unwrap();
    let mut boxed = namespace.writer_builder::<Boxed<[u64; 3]>>("boxed").codec::<Pod>().open().unwrap();
    plain.publish(&[1, 2, 3]).unwrap();
    boxed.publish(&Boxed(Box::new([1, 2, 3]))).unwrap();
    let hub = namespace.hub_builder().codec::<Pod>().open();
    for channel in ["plain", "boxed"] {
        assert_eq!(*hub.get::<[u64; 3]>(channel).unwrap(), [1, 2, 3]);
        assert_eq!(**hub.get::<Boxed<[u64; 3]>>(channel).unwrap(), [1, 2, 3]);
        assert!(hub.get::<Boxed<[u64; 2]>>(channel).is_err(), "another size is another type");
    }
    let mut serde = namespace.writer_builder::<Vec<u64>>("serde").codec::<Postcard>().open().unwrap();
    serde.publish(&vec![1, 2, 3]).unwrap();
    let mut reader = namespace.reader_builder::<Box<Vec<u64>>>("serde").codec::<Postcard>().open().unwrap();
    assert_eq!(**reader.snapshot().unwrap(), [1, 2, 3]);
}
