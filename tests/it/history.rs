//! The last publications of a channel, and parts of the latest, are returned as they were
//! published, or not at all.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use crate::common::{Actor, OwnNamespace, role, rounds, say};
use tearless::{Bytes, Namespace, Pod, Reader, Writer, WriterBuilder, error::SnapshotError, field_of};
use testkit::objects::Objects;

type BytesReader = Reader<Vec<u8>, Bytes>;
type BytesWriter = Writer<[u8], Bytes>;

/// The state of publication `number` of a channel: words that depend on the number and on their
/// position.
fn content(number: u64, words: usize) -> Vec<u8> {
    (0..words as u64).flat_map(|word| (number << 20 | word).to_le_bytes()).collect()
}

/// The number of words of publication `number` on a channel that does not grow.
fn small(number: u64) -> usize {
    usize::try_from(number % 7 + 1).unwrap()
}

/// The number of words on a channel that grows several times, and then shrinks.
fn growing(number: u64) -> usize {
    usize::try_from(number % 4_096 / 8 + 1).unwrap()
}

fn builder(namespace: &Namespace, depth: usize) -> WriterBuilder<[u8], Bytes> {
    namespace.writer_builder::<[u8]>("worker").codec::<Bytes>().slots(2 * depth).capacity(64)
}

fn attach(namespace: &Namespace) -> BytesReader {
    namespace.reader_builder::<Vec<u8>>("worker").codec::<Bytes>().open().unwrap()
}

fn publish(writer: &mut BytesWriter, words: fn(u64) -> usize) -> u64 {
    let next = writer.publication() + 1;
    writer.publish(&content(next, words(next))).unwrap()
}

/// The numbers of a history. Each of its states is checked.
#[track_caller]
fn numbers(reader: &mut BytesReader, words: fn(u64) -> usize) -> Vec<u64> {
    let states = reader.history().map(|state| state.unwrap());
    let check = |state: tearless::Snapshot<Vec<u8>>| {
        assert_eq!(*state, content(state.publication(), words(state.publication())));
        state.publication()
    };
    states.map(check).collect()
}

fn in_process() -> Namespace {
    Namespace::in_process("history").unwrap()
}

#[test]
fn the_history_has_a_publication_per_slot_newest_first() {
    for (depth, checksum) in [(1, false), (16, false), (1, true), (16, true)] {
        let namespace = in_process();
        let mut writer = builder(&namespace, depth).checksum(checksum).open().unwrap();
        let mut reader = attach(&namespace);
        assert_eq!(reader.history().count(), 0);
        assert!(reader.snapshot_at(0).unwrap().is_none() && reader.snapshot_at(1).unwrap().is_none());
        for last in 1..100 {
            assert_eq!(publish(&mut writer, small), last);
            let first = last.saturating_sub(writer.slots()) + 1;
            let expected: Vec<u64> = (first..=last).rev().collect();
            assert_eq!(numbers(&mut reader, small), expected);
            assert_eq!(numbers(&mut attach(&namespace), small), expected, "also for a new reader");
            for number in 0..last + 3 {
                let found = reader.snapshot_at(number).unwrap();
                assert_eq!(found.is_some(), (first..=last).contains(&number), "{number} of {last}");
                assert!(found.is_none_or(|found| *found == content(number, small(number))));
            }
        }
        assert!(reader.snapshot_at(u64::MAX).unwrap().is_none());
        assert_eq!(writer.slots(), 2 * depth as u64);
        writer.close_lingering().unwrap();
        assert_eq!(numbers(&mut reader, small).len() as u64, 2 * depth as u64);
    }
}

#[test]
fn a_growth_drops_the_publications_of_its_side() {
    let namespace = in_process();
    let mut writer = builder(&namespace, 4).open().unwrap();
    let words = |number| if number >= 7 { 1_000 } else { 8 };
    for _ in 0..6 {
        publish(&mut writer, words);
    }
    let [mut early, mut late] = [attach(&namespace), attach(&namespace)];
    assert_eq!(numbers(&mut early, words), [6, 5, 4, 3, 2, 1]);
    publish(&mut writer, words);
    for reader in [&mut early, &mut late] {
        assert_eq!(numbers(reader, words), [7, 6, 4, 2]);
        assert!(reader.snapshot_at(5).unwrap().is_none());
    }
    publish(&mut writer, words);
    assert_eq!(numbers(&mut early, words), [8, 7]);
    publish(&mut writer, words);
    assert_eq!(numbers(&mut late, words), [9, 8, 7]);
}

/// Publishes flat out until it is killed.
fn write(namespace: &Namespace, role: &str) {
    let words = words_of(role);
    let mut writer = builder(namespace, 8).checksum(role.ends_with("checksum")).open().unwrap();
    publish(&mut writer, words);
    say("publishing");
    loop {
        if publish(&mut writer, words).is_multiple_of(4_096) {
            writer.shrink_to_fit();
        }
    }
}

/// The time limit for every expected case to occur.
fn patience() -> Duration {
    Duration::from_secs(rounds(400, 2_000).into())
}

fn words_of(role: &str) -> fn(u64) -> usize {
    if role.starts_with("small") { small } else { growing }
}

#[test]
fn items_are_whole_and_descend_beside_a_live_and_after_a_killed_writer() {
    if let Some((role, namespace)) = role() {
        return write(&namespace, &role);
    }
    let test = "history::items_are_whole_and_descend_beside_a_live_and_after_a_killed_writer";
    for role in ["small", "small with checksum", "growing"] {
        let own = OwnNamespace::new(&["worker"]);
        let mut writer = Actor::start(test, role, &own);
        writer.await_line("publishing");
        let mut reader = attach(&own);
        let (mut last, mut items) = (0, 0);
        let (begin, enough) = (Instant::now(), rounds(100_000, 10_000_000) as usize);
        while items < enough || last < enough as u64 {
            assert!(begin.elapsed() < patience(), "{role}: only {items} items up to {last}");
            let seen = numbers(&mut reader, words_of(role));
            assert!(seen.windows(2).all(|two| two[0] > two[1]), "{role}: {seen:?}");
            assert!(seen.len() <= 16);
            if let Some(newest) = seen.first() {
                assert!(*newest > last.max(17) - 17, "{role}: {newest} after {last}");
                last = last.max(*newest);
            }
            items += seen.len();
        }
        writer.kill();
        let latest = reader.publication();
        let kept = numbers(&mut reader, words_of(role));
        assert_eq!(kept.first(), Some(&latest));
        // The slot of an unfinished publication may be lost, and so may the publications that a
        // growth has replaced.
        assert!(role == "growing" || kept.len() >= 15, "{role}: {kept:?}");
        assert_eq!(numbers(&mut attach(&own), words_of(role)), kept);
    }
}

/// Changes a byte of a publication's payload in shared memory.
fn corrupt(own: &OwnNamespace, number: u64) {
    let path = Objects::of(own.name(), "worker").path("c");
    let payload = content(number, small(number));
    let bytes = fs::read(&path).unwrap();
    let places = bytes.windows(payload.len()).enumerate().step_by(8);
    let at = places.filter(|(_, window)| *window == payload).map(|(at, _)| at).next().unwrap();
    let changed = [payload[payload.len() - 1] ^ 1];
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&changed, (at + payload.len() - 1) as u64).unwrap();
}

#[test]
fn a_slot_that_was_overwritten_is_one_error_among_whole_states() {
    let own = OwnNamespace::new(&["worker"]);
    let mut writer = builder(&own, 4).checksum(true).open().unwrap();
    for _ in 0..20 {
        publish(&mut writer, small);
    }
    let mut reader = attach(&own);
    corrupt(&own, 16);
    let items: Vec<_> = reader.history().collect();
    assert_eq!(items.len(), 8);
    for (item, number) in items.into_iter().zip((13..=20).rev()) {
        match item {
            Ok(state) => {
                assert_eq!((state.publication(), &*state), (number, &content(number, small(number))));
            }
            Err(SnapshotError::Corrupt { publication, .. }) => assert_eq!((publication, number), (16, 16)),
            Err(error) => panic!("{error}"),
        }
    }
    assert!(matches!(reader.snapshot_at(16), Err(SnapshotError::Corrupt { publication: 16, .. })));
    assert!(reader.snapshot_at(15).unwrap().is_some() && reader.snapshot().is_ok());
    corrupt(&own, 20);
    assert!(
        matches!(reader.read_at(0, &mut [0]), Err(SnapshotError::Corrupt { publication: 20, .. })),
        "the checksum covers bytes outside of the range, too"
    );
    let info = reader.latest_info().unwrap();
    assert_eq!(
        (info.publication(), info.payload_len()),
        (20, 8 * small(20)),
        "nothing is verified without reading the payload"
    );
}

#[test]
fn every_part_is_exact_and_a_part_beyond_the_end_is_refused() {
    for checksum in [false, true] {
        let namespace = in_process();
        let mut writer = builder(&namespace, 2).capacity(128).checksum(checksum).open().unwrap();
        let mut reader = attach(&namespace);
        assert!(matches!(reader.read_at(0, &mut []), Err(SnapshotError::Empty { .. })));
        assert!(reader.latest_info().is_none());
        for len in [0, 1, 7, 8, 61, 128] {
            let payload = &content(77, 16)[..len];
            let number = writer.publish(payload).unwrap();
            let info = reader.latest_info().unwrap();
            assert_eq!((info.payload_len(), info.publication()), (len, number));
            assert!(info.age().is_some());
            for offset in 0..=len + 2 {
                for wanted in 0..=len + 3 - offset.min(len) {
                    let mut part = vec![0xee; wanted];
                    match reader.read_at(offset, &mut part) {
                        Ok(info) => {
                            assert_eq!(part, payload[offset..offset + wanted]);
                            assert_eq!((info.payload_len(), info.publication()), (len, number));
                        }
                        Err(error) => {
                            assert!(offset + wanted > len, "{offset} {wanted} of {len}: {error}");
                            let said = matches!(error, SnapshotError::OutOfRange { publication, len: found,
                                offset: at, wanted: bytes, .. }
                                if (publication, found, at, bytes) == (number, len, offset, wanted));
                            assert!(said, "{error}");
                        }
                    }
                }
            }
            for offset in [usize::MAX, usize::MAX - 7, 1 << 40] {
                let error = reader.read_at(offset, &mut [0; 9]).unwrap_err();
                assert!(matches!(error, SnapshotError::OutOfRange { .. }), "{error}");
            }
        }
        writer.close().unwrap();
        assert!(reader.latest_info().is_none(), "the channel is removed");
    }
}

#[test]
fn parts_of_a_state_that_grows_under_a_busy_writer_are_of_one_publication() {
    if let Some((role, namespace)) = role() {
        return write(&namespace, &role);
    }
    let test = "history::parts_of_a_state_that_grows_under_a_busy_writer_are_of_one_publication";
    for role in ["growing", "growing with checksum"] {
        let own = OwnNamespace::new(&["worker"]);
        let mut writer = Actor::start(test, role, &own);
        writer.await_line("publishing");
        let mut reader = attach(&own);
        let (mut read, mut refused) = (0_u32, 0_u32);
        let (begin, enough) = (Instant::now(), rounds(20_000, 2_000_000));
        for round in 0_usize.. {
            assert!(begin.elapsed() < patience(), "{role}: only {read} read, {refused} refused");
            let (word, len) = (round * 7 % 300, round % 5 + 1);
            let mut part = [0; 40];
            match reader.read_at(8 * word, &mut part[..8 * len]) {
                Ok(info) => {
                    let number = info.publication();
                    let whole = content(number, growing(number));
                    assert_eq!(info.payload_len(), whole.len());
                    assert_eq!(part[..8 * len], whole[8 * word..][..8 * len]);
                    read += 1;
                }
                Err(SnapshotError::OutOfRange { publication, len: found, .. }) => {
                    assert!(found == 8 * growing(publication) && found < 8 * (word + len));
                    refused += 1;
                }
                Err(SnapshotError::Contended { .. }) => {}
                Err(error) => panic!("{error}"),
            }
            if read.min(refused) > enough && reader.growths() > 4 {
                break;
            }
        }
        writer.kill();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Motor {
    speed: f32,
    phase: u32,
    currents: [f64; 3],
}

#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Robot {
    number: u64,
    motors: [Motor; 4],
    arm: Motor,
    pair: Pair,
}

#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Pair(u64, i64);

#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, packed)]
struct Packed {
    flag: u8,
    number: u64,
    few: [u16; 5],
    last: u8,
}

fn motor(which: u8) -> Motor {
    let number = f64::from(which);
    Motor { speed: which.into(), phase: u32::from(which) * 3, currents: [number, -number, number + 0.5] }
}

#[test]
fn a_field_has_the_value_in_the_state() {
    let namespace = in_process();
    for checksum in [false, true] {
        let builder = namespace.writer_builder::<Robot>("robot").codec::<Pod>().checksum(checksum);
        let mut writer = builder.open().unwrap();
        let mut reader = namespace.reader_builder::<Robot>("robot").codec::<Pod>().open().unwrap();
        let robot = Robot { number: 9, motors: [1, 2, 3, 4].map(motor), arm: motor(5), pair: Pair(6, -7) };
        assert!(matches!(reader.field(field_of!(Robot, number)), Err(SnapshotError::Empty { .. })));
        for publication in 1..5 {
            writer.publish(&Robot { number: publication, ..robot }).unwrap();
            let number = reader.field(field_of!(Robot, number)).unwrap();
            assert_eq!((*number, number.publication()), (publication, publication));
        }
        assert_eq!(number_len(&mut reader), size_of::<Robot>());
        assert_eq!(*reader.field(field_of!(Robot, arm)).unwrap(), robot.arm);
        assert_eq!(*reader.field(field_of!(Robot, arm.phase)).unwrap(), 15);
        assert_eq!(*reader.field(field_of!(Robot, arm.currents).index(2)).unwrap(), 5.5);
        assert_eq!(*reader.field(field_of!(Robot, pair.1)).unwrap(), -7);
        assert_eq!(*reader.field(field_of!(Robot, motors)).unwrap(), robot.motors);
        for (index, motor) in robot.motors.iter().enumerate() {
            assert_eq!(*reader.field(field_of!(Robot, motors).index(index)).unwrap(), *motor);
        }
    }
}

fn number_len(reader: &mut Reader<Robot, Pod>) -> usize {
    reader.field(field_of!(Robot, number)).unwrap().payload_len()
}

#[test]
fn a_field_of_a_packed_state_is_read_at_its_offset() {
    let namespace = in_process();
    let mut writer = namespace.writer_builder::<Packed>("packed").codec::<Pod>().open().unwrap();
    let mut reader = namespace.reader_builder::<Packed>("packed").codec::<Pod>().open().unwrap();
    let few = [1, 2, 3, 4, 0xffff];
    writer.publish(&Packed { flag: 7, number: u64::MAX - 1, few, last: 0xab }).unwrap();
    assert_eq!(field_of!(Packed, number).offset(), 1);
    assert_eq!(*reader.field(field_of!(Packed, flag)).unwrap(), 7);
    assert_eq!(*reader.field(field_of!(Packed, number)).unwrap(), u64::MAX - 1);
    assert_eq!(*reader.field(field_of!(Packed, few)).unwrap(), few);
    assert_eq!(*reader.field(field_of!(Packed, few).index(4)).unwrap(), 0xffff);
    assert_eq!(*reader.field(field_of!(Packed, last)).unwrap(), 0xab);
}

#[test]
#[should_panic(expected = "the len is 5 but the index is 7")]
fn an_element_beyond_the_array_is_refused() {
    let _ = field_of!(Packed, few).index(7);
}
