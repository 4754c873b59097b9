//! A selection sees, round after round, what a hub sees: every channel that its pattern matches,
//! whatever happens to the channels. A hub evicts channels rather than take the last mappings of
//! its process.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::common::{Actor, OwnNamespace, eventually, role, say, wait_for_end};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tearless::{
    Boxed, Bytes, Namespace, Pod, Reader, Writer,
    accept::MatchingFields,
    error::{AttachError, ObjectError, QueryError, ResourceLimit, SnapshotError},
    hub::{Health, Selection},
};
use testkit::objects::Objects;

fn open(namespace: &Namespace, channel: &str) -> Writer<u64, Pod> {
    namespace.writer_builder::<u64>(channel).codec::<Pod>().open().unwrap()
}

fn publish(writer: &mut Writer<u64, Pod>, states: impl IntoIterator<Item = u64>) {
    for state in states {
        writer.publish(&state).unwrap();
    }
}

/// The selection's channels with their states, 0 in place of an error.
fn states(selection: &mut Selection<Pod>) -> Vec<(String, u64)> {
    let round = selection.iter::<u64>().unwrap();
    round.map(|found| (found.channel.to_owned(), found.state.map_or(0, |state| *state))).collect()
}

fn list<const COUNT: usize>(expected: [(&str, u64); COUNT]) -> Vec<(String, u64)> {
    expected.map(|(channel, state)| (channel.to_owned(), state)).into()
}

#[test]
fn a_selection_follows_channels_that_come_end_and_come_again() {
    let own = OwnNamespace::new(&["worker-1", "worker-2", "worker-3", "database"]);
    for namespace in [&own, &Namespace::in_process("followed").unwrap()] {
        let hub = namespace.hub_builder().codec::<Pod>().open();
        let mut workers = hub.select("worker-*");
        for _ in 0..2 {
            assert_eq!(states(&mut workers), [], "the namespace does not exist");
            let mut two = open(namespace, "worker-2");
            let mut database = open(namespace, "database");
            publish(&mut database, [9]);
            assert_eq!(states(&mut workers), list([("worker-2", 0)]), "nothing is published");
            for state in 1..5 {
                publish(&mut two, [state]);
                assert_eq!(states(&mut workers), list([("worker-2", state)]));
            }
            let (mut one, mut three) = (open(namespace, "worker-1"), open(namespace, "worker-3"));
            publish(&mut one, [10]);
            publish(&mut three, [30]);
            let all = |two| list([("worker-1", 10), ("worker-2", two), ("worker-3", 30)]);
            assert_eq!(states(&mut workers), all(4));
            two.close_lingering().unwrap();
            assert_eq!(states(&mut workers), all(4));
            let mut two = open(namespace, "worker-2");
            assert_eq!(states(&mut workers), all(4), "a successor begins with the last state");
            publish(&mut two, [5, 6, 7]);
            assert_eq!(states(&mut workers), all(7));
            two.close().unwrap();
            assert_eq!(states(&mut workers), list([("worker-1", 10), ("worker-3", 30)]));
            let mut two = open(namespace, "worker-2");
            publish(&mut two, [8]);
            assert_eq!(states(&mut workers), all(8), "the name has another channel");
            // Ended and created again between two rounds.
            two.close().unwrap();
            let mut two = open(namespace, "worker-2");
            publish(&mut two, [11]);
            assert_eq!(states(&mut workers), all(11));
            assert_eq!(workers.channels().unwrap().len(), 3);
        }
    }
}

#[test]
fn a_killed_writer_and_its_successor_are_followed() {
    let test = "selecting::a_killed_writer_and_its_successor_are_followed";
    if let Some((role, namespace)) = role() {
        publish(&mut open(&namespace, "worker"), [role.parse().unwrap()]);
        let mut writer = open(&namespace, "worker");
        publish(&mut writer, [role.parse().unwrap()]);
        say("published");
        return wait_for_end();
    }
    let own = OwnNamespace::new(&["worker"]);
    let mut workers = own.hub_builder().codec::<Pod>().open().select("*");
    for state in 1..4 {
        let mut writer = Actor::start(test, &state.to_string(), &own);
        writer.await_line("published");
        assert_eq!(states(&mut workers), list([("worker", state)]));
        writer.kill();
        assert_eq!(states(&mut workers), list([("worker", state)]), "the state stays");
    }
}

#[test]
fn a_channel_that_loses_its_names_and_is_created_again_is_found() {
    for with_registry in [false, true] {
        let own = OwnNamespace::new(&["worker"]);
        let hub = own.hub_builder().codec::<Pod>().open();
        let mut workers = [hub.select("*"), hub.select("w*"), own.hub().with_codec().select("*")];
        let mut first = open(&own, "worker");
        publish(&mut first, [1, 1]);
        for workers in &mut workers {
            assert_eq!(states(workers), list([("worker", 1)]));
        }
        let objects = Objects::of(own.name(), "worker");
        if with_registry {
            fs::remove_file(objects.registry()).unwrap();
        }
        for kind in objects.listed() {
            fs::remove_file(objects.path(&kind)).unwrap();
        }
        let mut second = open(&own, "worker");
        publish(&mut second, [2]);
        for workers in &mut workers {
            eventually("a round finds it", || states(workers) == list([("worker", 2)]));
        }
        eventually("the first one knows", || first.touch().is_err());
    }
}

#[test]
fn rounds_of_several_types_codecs_and_choices_don_t_disturb_each_other() {
    let namespace = Namespace::in_process("types").unwrap();
    let mut number = open(&namespace, "b-number");
    let mut text = namespace.writer_builder::<[u8]>("a-text").codec::<Bytes>().open().unwrap();
    let hub = namespace.hub();
    let mut numbers = hub.with_codec::<Pod>().select("*");
    let mut texts = hub.with_codec::<Bytes>().select("*");
    let mut by_name = hub.with_codec::<Pod>().with_accept(MatchingFields).select("*");
    let is_other = |error: QueryError| {
        matches!(error, QueryError::Attach(AttachError::FormatMismatch { .. } | AttachError::NoSchema { .. }))
    };
    for state in 1..20 {
        publish(&mut number, [state]);
        text.publish(&vec![7; usize::try_from(state * state).unwrap()]).unwrap();
        let [other, own] = numbers.iter::<u64>().unwrap().collect::<Vec<_>>().try_into().unwrap();
        assert!(*own.state.unwrap() == state && is_other(other.state.unwrap_err()));
        let [other, own] = numbers.iter::<Boxed<u64>>().unwrap().collect::<Vec<_>>().try_into().unwrap();
        assert!(**own.state.unwrap() == state && is_other(other.state.unwrap_err()));
        assert!(numbers.iter::<i64>().unwrap().all(|found| is_other(found.state.unwrap_err())));
        let [own, other] = texts.iter::<Vec<u8>>().unwrap().collect::<Vec<_>>().try_into().unwrap();
        assert!(own.state.unwrap().len() as u64 == state * state && is_other(other.state.unwrap_err()));
        assert!(by_name.iter::<Plain>().unwrap().all(|found| is_other(found.state.unwrap_err())));
    }
}

#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Plain {
    number: u64,
}
tearless::describe_pod!(Plain { number });

#[test]
fn a_round_that_is_left_early_and_clones_change_nothing() {
    let namespace = Namespace::in_process("early").unwrap();
    let mut writers = ["a", "b", "c"].map(|channel| open(&namespace, channel));
    let hub = namespace.hub_builder().codec::<Pod>().open();
    let mut all = hub.select("*");
    for state in 1..20 {
        writers.iter_mut().for_each(|writer| publish(writer, [state]));
        let mut round = all.iter::<u64>().unwrap();
        assert_eq!(round.len(), 3);
        assert_eq!(*round.next().unwrap().state.unwrap(), state);
        assert_eq!(round.len(), 2);
        drop(round);
        let expected = list([("a", state), ("b", state), ("c", state)]);
        assert_eq!(states(&mut all.clone()), expected);
        assert_eq!(states(&mut all), expected);
        assert_eq!(all.channels().unwrap(), ["a".into(), "b".into(), "c".into()]);
        let cut = hub.cut::<u64>(all.channels().unwrap());
        assert!(cut.is_consistent() && cut.is_complete());
    }
    assert_eq!(hub.statistics().attachments, 3);
}

#[test]
fn a_selection_that_is_read_makes_no_further_slow_queries() {
    let namespace = Namespace::in_process("fast").unwrap();
    let mut writers = ["a", "b", "c"].map(|channel| open(&namespace, channel));
    let hub = namespace.hub_builder().codec::<Pod>().open();
    let mut all = hub.select("*");
    for state in 1..4 {
        writers.iter_mut().for_each(|writer| publish(writer, [state]));
        states(&mut all);
    }
    let before = hub.statistics();
    for state in 4..40 {
        writers.iter_mut().for_each(|writer| publish(writer, [state]));
        assert!(states(&mut all).iter().all(|(_, found)| *found == state));
    }
    assert_eq!(hub.statistics(), before);
}

/// Bytes of a state of which a few fill the addresses of a process.
const LARGE: usize = 1 << 20;

/// Lets this process have `room` bytes of addresses more than it has.
fn limit_addresses(room: u64) {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').next().unwrap().parse().unwrap();
    // A sixteenth is not for mappings.
    let current = Some((pages * 4096 + room) / 15 * 16);
    setrlimit(Resource::As, Rlimit { current, maximum: getrlimit(Resource::As).maximum }).unwrap();
}

fn is_out_of_addresses(error: &ObjectError) -> bool {
    matches!(error, ObjectError::Limit { limit: ResourceLimit::Mappings, .. })
        && error.to_string().contains("ulimit -v")
}

/// Reads more than its addresses hold, in every way.
fn read_with_few_addresses(namespace: &Namespace) {
    limit_addresses(20 << 20);
    let hub = namespace.hub_builder().codec::<Bytes>().open();
    let mut large = hub.select("large-*");
    for _ in 0..3 {
        for found in large.iter::<Vec<u8>>().unwrap() {
            let state = found.state.unwrap();
            assert_eq!((state.len(), format!("large-{:02}", state[0]).as_str()), (LARGE, found.channel));
        }
        // The small ones are the first to be evicted, which is of no use.
        for name in hub.channels("small-*").unwrap() {
            assert_eq!(*hub.get::<Vec<u8>>(&name).unwrap(), b"small");
        }
        for name in hub.channels("large-*").unwrap() {
            assert_eq!(hub.get::<Vec<u8>>(&name).unwrap().len(), LARGE);
        }
        // Few of the large ones are still attached.
        for name in hub.channels("large-*").unwrap() {
            let status = hub.status(&name).unwrap();
            assert!(matches!(status.health, Health::Fresh { .. } | Health::Unchanged { age: Some(_) }));
        }
        for name in hub.channels("large-*").unwrap() {
            assert_eq!(hub.get_with_status::<Vec<u8>>(&name).unwrap().1.unwrap().len(), LARGE);
        }
        for first in 0..30 {
            let cut = hub.cut::<Vec<u8>>([first, (first + 15) % 30].map(|index| format!("large-{index:02}")));
            assert!(cut.is_complete() && cut.is_consistent());
        }
    }
    assert!(hub.statistics().attachments > 5 * 30 + 60, "the hub has evicted channels");
    drop((large, hub));
    // A reader has nothing to let go of.
    let open = |index| -> Result<Reader<Vec<u8>, Bytes>, bool> {
        let builder = namespace.reader_builder::<Vec<u8>>(&format!("large-{index:02}")).codec::<Bytes>();
        let mut reader = builder.open().map_err(|error| match error {
            AttachError::Object { source, .. } => is_out_of_addresses(&source),
            _ => false,
        })?;
        match reader.snapshot() {
            Ok(_) => Ok(reader),
            Err(SnapshotError::Object { source, .. }) => Err(is_out_of_addresses(&source)),
            Err(_) => Err(false),
        }
    };
    let mut readers = Vec::new();
    let error = (0..30).find_map(|index| open(index).map(|reader| readers.push(reader)).err());
    assert_eq!(error, Some(true), "after {} readers", readers.len());
    // The process goes on: its allocator has addresses left.
    assert_eq!(vec![1_u8; 1 << 20].len(), 1 << 20);
    readers.pop();
    assert!(readers.iter_mut().all(|reader| reader.snapshot().is_ok()));
}

#[test]
fn a_hub_reads_more_than_its_process_may_map() {
    let test = "selecting::a_hub_reads_more_than_its_process_may_map";
    if let Some((_, namespace)) = role() {
        return read_with_few_addresses(&namespace);
    }
    let own = OwnNamespace::new(&[]);
    let writers: Vec<_> = (0..30)
        .map(|index| {
            let builder = own.writer_builder::<[u8]>(&format!("large-{index:02}")).codec::<Bytes>();
            // Every third one grows.
            let capacity = if index % 3 == 0 { 64 } else { LARGE };
            let mut writer = builder.capacity(capacity).slots(2).open().unwrap();
            for _ in 0..2 {
                writer.publish(&vec![index; LARGE]).unwrap();
            }
            writer
        })
        .collect();
    let small: Vec<_> = (0..60)
        .map(|index| {
            let builder = own.writer_builder::<[u8]>(&format!("small-{index:02}")).codec::<Bytes>();
            let mut writer = builder.open().unwrap();
            writer.publish(b"small").unwrap();
            writer
        })
        .collect();
    Actor::start(test, "reader", &own).finish();
    drop((writers, small));
}

#[test]
fn threads_with_selections_of_one_hub_get_whole_states_while_channels_come_and_go() {
    let namespace = Namespace::in_process("threads").unwrap();
    let hub = namespace.hub_builder().codec::<Pod>().open();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut all = hub.select("worker-*");
                    while !done.load(Ordering::Relaxed) {
                        for found in all.iter::<[u64; 8]>().unwrap() {
                            match found.state {
                                Ok(state) => {
                                    assert!(state.iter().all(|word| *word == state[0]));
                                    assert_eq!(found.channel, format!("worker-{}", state[0] % 8));
                                }
                                // It is being removed.
                                Err(QueryError::Snapshot(SnapshotError::Object {
                                    source: ObjectError::NotFound { .. } | ObjectError::Unfinished { .. },
                                    ..
                                })) => {}
                                Err(error) => assert!(
                                    error.is_gone() || error.is_empty() || error.is_transient(),
                                    "{error}"
                                ),
                            }
                        }
                    }
                })
            })
            .collect();
        for round in 0..40_u64 {
            let mut writers: Vec<_> = (0..8)
                .filter(|index| (round >> (index % 3)) & 1 == 0)
                .map(|index| {
                    let builder = namespace.writer_builder::<[u64; 8]>(&format!("worker-{index}"));
                    (index, builder.codec::<Pod>().open().unwrap())
                })
                .collect();
            for turn in 0..200 {
                for (index, writer) in &mut writers {
                    writer.publish(&[turn * 8 + *index; 8]).unwrap();
                }
            }
        }
        done.store(true, Ordering::Relaxed);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
    let mut all = hub.select("worker-*");
    let mut last = open(&namespace, "worker-8");
    publish(&mut last, [8]);
    assert_eq!(states(&mut all), list([("worker-8", 8)]));
}
