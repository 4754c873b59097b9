//! A channel can be inspected without its type: alive, closed, growing, dead in the middle of a
//! publication, or damaged.

use std::fs;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::{Actor, OwnNamespace, orders, role, say};
use tearless::{
    Bytes, Namespace, Pod, Writer,
    error::{AttachError, ObjectError},
    inspect::{ChannelState, Inspection, SegmentInspection, SlotState, WriterState},
    options::{TimestampSource, WakeMode},
};
use testkit::objects::Objects;

/// The byte of the latest publication's number in the control page, and of the version in its ready
/// word: see docs/layout.md.
const PUBLISHED: u64 = 128;
const VERSION: u64 = 6;

fn open(namespace: &Namespace) -> Writer<[u8], Bytes> {
    namespace.writer_builder::<[u8]>("worker").codec::<Bytes>().open().unwrap()
}

fn segments(inspection: &Inspection) -> [&SegmentInspection; 2] {
    inspection.segments.each_ref().map(|segment| segment.as_ref().unwrap())
}

/// The numbers of the publications whose slots have this state, in order.
fn numbers(inspection: &Inspection, state: SlotState) -> Vec<u64> {
    let slots = segments(inspection).into_iter().flat_map(|segment| &segment.slots);
    let mut numbers: Vec<_> = slots.filter(|slot| slot.state == state).map(|slot| slot.publication).collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn a_live_channel_is_reported_as_it_is() {
    let own = OwnNamespace::new(&[]);
    let builder = own.writer_builder::<[u64; 4]>("worker").codec::<Pod>().checksum(true).max_state_len(5_000);
    let builder = builder.slots(8).permissions(0o640).heartbeat_interval(Duration::from_secs(7));
    let mut writer = builder.type_name("a schema").open().unwrap();
    for number in 1..=11 {
        writer.publish(&[number; 4]).unwrap();
    }
    let inspection = own.inspect("worker").unwrap();
    assert_eq!((inspection.channel.as_str(), inspection.namespace.as_str()), ("worker", own.name()));
    assert_eq!((inspection.codec.as_str(), inspection.type_name.as_str()), ("pod", "a schema"));
    assert!(inspection.checksum && inspection.fingerprint != 0 && inspection.instance != 0);
    assert_eq!((inspection.permissions, inspection.max_state_len), (0o640, 5_000));
    assert_eq!(inspection.owner_uid, rustix::process::geteuid().as_raw());
    assert_eq!((inspection.publication, inspection.incarnation, inspection.growths), (11, 1, 0));
    assert_eq!((inspection.state, inspection.writer_state), (ChannelState::Open, WriterState::Alive));
    assert_eq!(inspection.writer_pid, u64::from(std::process::id()));
    assert_eq!((inspection.timestamps, inspection.wake_mode), (TimestampSource::Precise, WakeMode::Barriers));
    assert_eq!(inspection.heartbeat_interval, Some(Duration::from_secs(7)));
    assert!(
        inspection.start_time > 0 && inspection.opened_ago.is_some() && inspection.heartbeat_age.is_none()
    );
    for (segment, generation) in segments(&inspection).into_iter().zip(inspection.generations) {
        assert_eq!((segment.generation, segment.depth), (generation, 4));
        assert!(segment.capacity >= 32 && segment.stride > segment.capacity);
        assert_eq!(segment.depth * segment.stride, segment.bytes);
        let ages = segment.slots.iter().map(|slot| slot.age.unwrap());
        assert!(segment.slots.iter().all(|slot| slot.len == 32) && ages.max() <= inspection.opened_ago);
    }
    assert_eq!(numbers(&inspection, SlotState::Whole), (4..=11).collect::<Vec<_>>());
    assert!(inspection.next_segments.iter().all(Option::is_none) && inspection.unfinished().is_none());
    let again = writer.publication();
    writer.touch().unwrap();
    assert_eq!(again, 11, "an inspection changes nothing");
    assert!(own.inspect("worker").unwrap().heartbeat_age.is_some());
}

#[test]
fn empty_and_lingering_channels_are_reported() {
    let own = OwnNamespace::new(&["worker"]);
    let writer = own.writer_builder::<[u8]>("worker").codec::<Bytes>().timestamps(TimestampSource::None);
    let mut writer = writer.wake_mode(WakeMode::Never).open().unwrap();
    let inspection = own.inspect("worker").unwrap();
    assert_eq!(
        (inspection.publication, inspection.timestamps, inspection.wake_mode),
        (0, TimestampSource::None, WakeMode::Never)
    );
    assert!(
        inspection.opened_ago.is_none() && inspection.heartbeat_interval.is_none() && !inspection.checksum
    );
    let slots = segments(&inspection).into_iter().flat_map(|segment| &segment.slots);
    assert!(slots.into_iter().all(|slot| slot.state == SlotState::Empty && slot.publication == 0));
    writer.publish(b"the last").unwrap();
    writer.close_lingering().unwrap();
    let inspection = own.inspect("worker").unwrap();
    assert_eq!((inspection.state, inspection.writer_state), (ChannelState::Lingering, WriterState::Closed));
    let [_, odd] = segments(&inspection);
    let last = odd.slots.iter().find(|slot| slot.publication == 1).unwrap();
    assert_eq!((last.state, last.len, last.age), (SlotState::Whole, 8, None));
}

/// Publishes states whose copy takes most of the time, until it is killed.
fn publish_for_ever(namespace: &Namespace) {
    let mut writer = open(namespace);
    let state = vec![7; 4 << 20];
    writer.publish(&state).unwrap();
    writer.publish(&state).unwrap();
    say("publishing");
    loop {
        writer.publish(&state).unwrap();
    }
}

#[test]
fn a_killed_writer_leaves_its_unfinished_publication() {
    let test = "inspection::a_killed_writer_leaves_its_unfinished_publication";
    if let Some((_, namespace)) = role() {
        return publish_for_ever(&namespace);
    }
    let own = OwnNamespace::new(&["worker"]);
    for incarnation in 1..=50 {
        let mut writer = Actor::start(test, "writer", &own);
        writer.await_line("publishing");
        let pid = u64::from(writer.pid());
        writer.kill();
        let inspection = own.inspect("worker").unwrap();
        assert_eq!((inspection.writer_state, inspection.state), (WriterState::Dead, ChannelState::Open));
        assert_eq!((inspection.writer_pid, inspection.incarnation), (pid, incarnation));
        let Some(unfinished) = inspection.unfinished() else { continue };
        assert_eq!(unfinished, inspection.publication + 1);
        let begun =
            [SlotState::Writing, SlotState::Unannounced].map(|state| numbers(&inspection, state)).concat();
        assert_eq!(begun, [unfinished]);
        assert!(numbers(&inspection, SlotState::Whole).contains(&inspection.publication), "readers get it");
        let mut successor = open(&own);
        assert!(own.inspect("worker").unwrap().unfinished().is_none(), "its writer lives");
        assert_eq!(successor.publish(&[1]).unwrap(), unfinished, "the successor publishes the same number");
        assert_eq!(numbers(&own.inspect("worker").unwrap(), SlotState::Writing), [0; 0]);
        return;
    }
    panic!("50 writers were killed between two publications of 4 MiB that follow one another");
}

#[test]
fn a_growing_channel_is_reported_as_it_was_at_some_moment() {
    let own = OwnNamespace::new(&[]);
    let mut writer = open(&own);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0_usize..400 {
                writer.publish(&vec![1; if round / 2 % 2 == 0 { 100_000 } else { 10 }]).unwrap();
                writer.shrink_to_fit();
            }
            done.store(true, Ordering::Relaxed);
        });
        let mut generations = [0; 2];
        while !done.load(Ordering::Relaxed) {
            let inspection = own.inspect("worker").unwrap();
            assert_eq!(inspection.writer_state, WriterState::Alive);
            for (side, segment) in segments(&inspection).into_iter().enumerate() {
                assert!(segment.generation >= generations[side], "never an older segment than before");
                generations[side] = segment.generation;
                let mut numbers = segment.slots.iter().map(|slot| slot.publication).filter(|n| *n > 0);
                assert!(
                    numbers.all(|number| number % 2 == side as u64 && number <= inspection.publication + 1)
                );
            }
            assert_eq!(numbers(&inspection, SlotState::Implausible), [0; 0]);
        }
    });
    assert!(own.inspect("worker").unwrap().growths > 100);
}

#[test]
fn a_writer_that_dies_while_it_grows_leaves_the_next_segment() {
    let own = OwnNamespace::new(&["worker"]);
    let mut writer = open(&own);
    writer.publish(&[1]).unwrap();
    let objects = Objects::of(own.name(), "worker");
    // The page is that of a writer that was killed before it made the new segment current.
    writer.publish(&[2; 10_000]).unwrap();
    let page = fs::OpenOptions::new().write(true).open(objects.path("c")).unwrap();
    page.write_all_at(&1_u64.to_le_bytes(), PUBLISHED).unwrap();
    page.write_all_at(&1_u64.to_le_bytes(), PUBLISHED + 8).unwrap();
    let inspection = own.inspect("worker").unwrap();
    assert_eq!(inspection.generations, [1, 1]);
    let next = inspection.next_segments[0].as_ref().unwrap();
    assert!(next.generation == 2 && next.capacity >= 10_000 && inspection.next_segments[1].is_none());
    let begun = next.slots.iter().find(|slot| slot.publication == 2).unwrap();
    assert_eq!(begun.state, SlotState::Unannounced);
}

#[test]
fn missing_and_foreign_objects_are_typed_errors() {
    let test = "inspection::missing_and_foreign_objects_are_typed_errors";
    if let Some((_, namespace)) = role() {
        let mut writer = open(&namespace);
        writer.publish(&[1; 10_000]).unwrap();
        say("ready");
        orders().for_each(drop);
        return;
    }
    let own = OwnNamespace::new(&["worker"]);
    assert!(matches!(own.inspect("worker"), Err(AttachError::NotFound { .. })));
    assert!(matches!(own.inspect(""), Err(AttachError::Name(_))));
    let mut writer = Actor::start(test, "writer", &own);
    writer.await_line("ready");
    let other = OwnNamespace::new(&[]);
    assert!(matches!(other.inspect("worker"), Err(AttachError::NotFound { .. })));
    let objects = Objects::of(own.name(), "worker");
    fs::remove_file(objects.path("b2")).unwrap();
    let inspection = own.inspect("worker").unwrap();
    assert!(matches!(&inspection.segments[1], Err(error) if matches!(**error, ObjectError::NotFound { .. })));
    assert!(inspection.segments[0].is_ok() && inspection.clone().segments[1].is_err());
    let page = fs::OpenOptions::new().write(true).open(objects.path("c")).unwrap();
    page.write_all_at(&9_u16.to_le_bytes(), VERSION).unwrap();
    let error = own.inspect("worker").unwrap_err();
    assert!(matches!(error, AttachError::LayoutVersion { found: 9, .. }), "{error}");
    fs::remove_file(objects.path("c")).unwrap();
    assert!(matches!(own.inspect("worker"), Err(AttachError::NotFound { .. })));
    let [entry] = &own.channels().unwrap()[..] else { panic!("the registry still lists it") };
    assert_eq!(entry.writer_state(), WriterState::Alive, "so a tool can report the unlinked page");
    writer.kill();
}

#[test]
fn channels_inside_a_process_can_be_inspected_too() {
    let namespace = Namespace::in_process("fleet").unwrap();
    let mut writer = namespace.writer_builder::<[u8]>("worker").codec::<Bytes>().open().unwrap();
    writer.publish(&[1; 5]).unwrap();
    let inspection = namespace.inspect("worker").unwrap();
    assert_eq!((inspection.publication, inspection.writer_state), (1, WriterState::Alive));
    assert_eq!(numbers(&inspection, SlotState::Whole), [1]);
}
