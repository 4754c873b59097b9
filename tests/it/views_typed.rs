//! Views of plain data, of hubs, and where a view has to be a copy.

use std::thread;

use tearless::error::{AttachError, SnapshotError};
use tearless::view::{TrustedWriters, View};
use tearless::{Boxed, Bytes, Namespace, Pod, Reader, Writer, accept, describe_pod};

use crate::common::OwnNamespace;
use testkit::objects::Objects;

const ROWS: usize = 1_024;

#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Frame {
    number: u64,
    rows: [u64; ROWS],
}
describe_pod!(Frame { number, rows });

/// The same fields at other offsets.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Turned {
    rows: [u64; ROWS],
    number: u64,
}
describe_pod!(Turned { rows, number });

fn frame(number: u64) -> Boxed<Frame> {
    let mut frame = Boxed::<Frame>::zeroed();
    (frame.number, frame.rows) = (number, [number; ROWS]);
    frame
}

fn check(frame: &Frame) {
    assert!(frame.rows.iter().all(|row| *row == frame.number));
}

fn camera(namespace: &Namespace) -> Writer<Boxed<Frame>, Pod> {
    let builder = namespace.writer_builder("camera").codec::<Pod>().with_schema();
    builder.slots(2).pins(2).open().unwrap()
}

/// SAFETY for all callers: only the library stores to the channels of these tests.
fn promise() -> TrustedWriters {
    // SAFETY: as said above; no test here forks.
    unsafe { TrustedWriters::new() }
}

/// Descriptors of this process for the camera's object. The writer has one.
fn descriptors(namespace: &Namespace) -> usize {
    let object = Objects::of(namespace.name(), "camera").path("c");
    let all = std::fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().path());
    all.filter(|path| std::fs::read_link(path).is_ok_and(|target| target == object)).count()
}

const _: () = {
    const fn goes_to_threads<T: Send + Sync + Clone>() {}
    goes_to_threads::<View>();
    goes_to_threads::<View<Frame>>();
};

#[test]
fn plain_data_is_viewed_in_place_by_threads_that_outlive_their_reader() {
    let namespace = OwnNamespace::new(&["camera"]);
    let mut camera = camera(&namespace);
    camera.publish(&frame(1)).unwrap();
    let builder = namespace.reader_builder("camera").codec::<Pod>().views_in_place(promise());
    let mut reader: Reader<Boxed<Frame>, Pod> = builder.open().unwrap();
    let first: View<Frame> = reader.view().unwrap();
    assert!(first.is_in_place() && first.is_latest() && first.info().payload_len() == size_of::<Frame>());
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let view = first.clone();
            thread::spawn(move || {
                for _ in 0..1_000 {
                    check(&view);
                    assert_eq!((view.number, view.publication()), (1, 1));
                }
            })
        })
        .collect();
    for number in 2..=200 {
        camera.publish(&frame(number)).unwrap();
    }
    // The clones share one pin: another is free.
    let latest = reader.view().unwrap();
    assert!(latest.is_in_place() && latest.number == 200 && !first.is_latest());
    assert_eq!((camera.statistics().growths, reader.statistics().views), (0, 2));
    assert!(!reader.has_changed());
    drop(reader);
    drop(camera);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    check(&first);
    check(&latest);
}

#[test]
fn a_view_of_the_same_publication_takes_no_second_pin() {
    let namespace = OwnNamespace::new(&["camera"]);
    let mut camera = camera(&namespace);
    camera.publish(&frame(1)).unwrap();
    let builder = namespace.reader_builder::<Boxed<Frame>>("camera").codec::<Pod>();
    let mut reader = builder.views_in_place(promise()).open().unwrap();
    let views: Vec<_> = (0..5).map(|_| reader.view().unwrap()).collect();
    assert!(views.iter().all(View::is_in_place));
    camera.publish(&frame(2)).unwrap();
    assert!(reader.view().unwrap().is_in_place());
}

#[test]
fn a_hub_views_in_place_and_opens_each_channel_once() {
    let namespace = OwnNamespace::new(&["camera"]);
    let mut camera = camera(&namespace);
    let hub = namespace.hub_builder().codec::<Pod>().views_in_place(promise()).open();
    assert!(hub.view::<Boxed<Frame>>("nobody").is_err());
    assert!(hub.view::<Boxed<Frame>>("camera").is_err(), "nothing is published yet");
    camera.publish(&frame(1)).unwrap();
    let first = hub.view::<Boxed<Frame>>("camera").unwrap();
    assert!(first.is_in_place());
    for number in 2..=50 {
        camera.publish(&frame(number)).unwrap();
        let view = hub.view::<Boxed<Frame>>("camera").unwrap();
        assert!(view.is_in_place() && view.number == number);
        check(&view);
    }
    assert_eq!(descriptors(&namespace), 2);
    check(&first);
    let bytes = hub.with_codec::<Bytes>();
    assert!(matches!(bytes.view("camera").unwrap_err().to_string(), text if text.contains("camera")));
    let any = namespace.hub_builder().codec::<Bytes>().accept(accept::Any).views_in_place(promise()).open();
    let view = any.view("camera").unwrap();
    assert!(view.is_in_place() && view.len() == size_of::<Frame>() && view[..8] == 50_u64.to_le_bytes());
}

#[test]
fn without_the_promise_and_for_other_offsets_a_view_is_a_copy() {
    let namespace = OwnNamespace::new(&["camera"]);
    let mut camera = camera(&namespace);
    camera.publish(&frame(1)).unwrap();
    let mut careful = namespace.reader_builder::<Boxed<Frame>>("camera").codec::<Pod>().open().unwrap();
    let turned = namespace.reader_builder::<Boxed<Turned>>("camera").codec::<Pod>();
    let mut turned = turned.accept(accept::MatchingFields).views_in_place(promise()).open().unwrap();
    let (copy, other) = (careful.view().unwrap(), turned.view().unwrap());
    for number in 2..=20 {
        camera.publish(&frame(number)).unwrap();
    }
    assert!(!copy.is_in_place() && !other.is_in_place());
    check(&copy);
    assert!(other.number == 1 && other.rows.iter().all(|row| *row == 1));
    assert_eq!(careful.statistics().copied_views, 1);
    let refused = namespace.reader_builder::<u64>("camera").codec::<Pod>().open();
    assert!(matches!(refused, Err(AttachError::FormatMismatch { .. })));
}

#[test]
fn views_of_threads_need_no_promise_and_small_states_no_pin() {
    let fleet = Namespace::in_process("fleet").unwrap();
    let mut camera = camera(&fleet);
    camera.publish(&frame(1)).unwrap();
    let mut reader = fleet.reader_builder::<Boxed<Frame>>("camera").codec::<Pod>().open().unwrap();
    let first = reader.view().unwrap();
    for number in 2..=40 {
        camera.publish(&frame(number)).unwrap();
    }
    assert!(first.is_in_place());
    check(&first);
    let mut small = fleet.writer_builder::<[u8]>("small").codec::<Bytes>().pins(1).open().unwrap();
    small.publish(&[7; 100]).unwrap();
    let mut reader = fleet.reader_builder::<Vec<u8>>("small").codec::<Bytes>().open().unwrap();
    let view = reader.view().unwrap();
    assert!(!view.is_in_place() && *view == [7; 100]);
    small.close().unwrap();
    assert!(matches!(reader.view(), Err(SnapshotError::Closed { .. })));
}

#[test]
fn a_state_of_another_length_is_an_error_as_for_a_snapshot() {
    let namespace = OwnNamespace::new(&["camera"]);
    let builder = namespace.writer_builder::<[u8]>("camera").codec::<Bytes>().capacity(9_000).pins(1);
    let mut writer = builder.type_name("frame").open().unwrap();
    writer.publish(&[1; 8_999]).unwrap();
    let builder = namespace.reader_builder::<Boxed<Frame>>("camera").codec::<Pod>();
    let mut reader = builder.accept(accept::Any).views_in_place(promise()).open().unwrap();
    let [viewed, copied] = [reader.view().map(drop), reader.snapshot().map(drop)];
    assert!(matches!(viewed, Err(SnapshotError::WrongLength { len: 8_999, .. })), "{viewed:?}");
    assert_eq!(viewed.unwrap_err().to_string(), copied.unwrap_err().to_string());
    // Without a promise the view is a copy.
    let builder = namespace.reader_builder::<Boxed<Frame>>("camera").codec::<Pod>();
    let mut reader = builder.accept(accept::Any).open().unwrap();
    let [viewed, copied] = [reader.view().map(drop), reader.snapshot().map(drop)];
    assert_eq!(viewed.unwrap_err().to_string(), copied.unwrap_err().to_string());
}
