//! A channel of another host is a channel of this one: with the origin's numbers, and with what its
//! host says of its writer.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use tearless::cleanup::{RemovalReason, Retention};
use tearless::error::{AttachError, CreateError, NameError, PublishError, SavedError, SnapshotError};
use tearless::hub::{Health, Skew};
use tearless::inspect::{SlotState, WriterState};
use tearless::mirror::{ChannelFormat, MirrorReader, MirrorWriter, OriginStatus};
use tearless::{Bytes, Namespace, Pod, Reader, accept};

use crate::common::{Actor, OwnNamespace, eventually, is_pattern, pattern, role, say, wait_for_end};

const CHANNEL: &str = "a/worker";
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

fn namespace() -> Namespace {
    Namespace::in_process("tests").unwrap()
}

/// As an origin describes a channel of `u64` by `Pod`.
fn format() -> ChannelFormat {
    let origin = namespace();
    let _writer = origin.writer_builder::<u64>("worker").codec::<Pod>().open().unwrap();
    MirrorReader::open(&origin, "worker").unwrap().format()
}

fn open(namespace: &Namespace) -> MirrorWriter {
    MirrorWriter::open(namespace, CHANNEL, "a", 7, &format()).unwrap()
}

fn publish(mirror: &mut MirrorWriter, state: u64, publication: u64) -> bool {
    mirror.publish(&state.to_le_bytes(), publication, Some(Duration::ZERO)).unwrap()
}

fn reader(namespace: &Namespace) -> Reader<u64, Pod> {
    namespace.reader_builder(CHANNEL).codec::<Pod>().open().unwrap()
}

fn status(writer: WriterState) -> OriginStatus {
    OriginStatus {
        incarnation: 3,
        pid: 4_711,
        writer,
        heartbeat_interval: None,
        heartbeat_age: None,
        opened_ago: None,
        ended_ago: None,
    }
}

fn state(reader: &Reader<u64, Pod>) -> WriterState {
    reader.writer_state().unwrap()
}

#[test]
fn a_channel_of_another_host_is_read_as_one_of_this_host() {
    let [there, here] = [namespace(), namespace()];
    let worker = there.writer_builder::<u64>("worker").codec::<Pod>().heartbeat_interval(HOUR);
    let mut worker = worker.open().unwrap();
    let mut origin = MirrorReader::open(&there, "worker").unwrap();
    let (mut payload, instance) = (Vec::new(), origin.instance());
    assert!(matches!(origin.snapshot_into(&mut payload), Err(SnapshotError::Empty { .. })));
    let mut mirror = MirrorWriter::open(&here, CHANNEL, "a", instance, &origin.format()).unwrap();
    assert_eq!((mirror.channel(), mirror.publication()), (CHANNEL, 0));
    let mut reader = reader(&here);
    assert_eq!(state(&reader), WriterState::Unknown, "its host has said nothing yet");
    for round in 1..=20 {
        worker.publish(&(round * 2 - 1)).unwrap();
        worker.publish(&(round * 2)).unwrap();
        worker.touch().unwrap();
        let info = origin.snapshot_into(&mut payload).unwrap();
        assert_eq!((info.publication(), info.origin()), (origin.publication(), None));
        mirror.set_status(&origin.status().unwrap());
        assert!(mirror.publish(&payload, info.publication(), info.age()).unwrap());
        let snapshot = reader.snapshot().unwrap();
        let origin = snapshot.origin().unwrap();
        assert_eq!((*snapshot, snapshot.publication()), (round * 2, round));
        assert_eq!((origin.host(), origin.publication()), ("a", round * 2));
        assert_eq!(origin.to_string(), format!("publication {} of host a", round * 2));
    }
    assert_eq!(state(&reader), WriterState::Alive);
    assert!(matches!(reader.health().unwrap(), Health::Fresh { .. }));
    assert_eq!(reader.heartbeat_interval(), Some(HOUR));
    assert!(reader.heartbeat_age().unwrap() < HOUR);
    let told = reader.origin_status().unwrap();
    assert_eq!((told.host, told.instance), ("a", instance));
    assert_eq!((told.incarnation, told.pid), (1, std::process::id().into()));
    assert!(told.news_age.unwrap() < HOUR);

    let numbers = |it: tearless::Snapshot<u64>| (*it, it.origin().unwrap().publication());
    let history: Vec<_> = reader.history().map(|it| numbers(it.unwrap())).collect();
    assert!(history.len() > 2 && history.iter().all(|(state, number)| state == number), "{history:?}");
    let hub = here.hub_builder().codec::<Pod>().open();
    assert_eq!(numbers(hub.get::<u64>(CHANNEL).unwrap()), (40, 40));
    assert_eq!(hub.status(CHANNEL).unwrap().origin.unwrap().host, "a");
    let inspection = here.inspect(CHANNEL).unwrap();
    assert_eq!(inspection.origin.unwrap().instance, instance);
    assert_eq!(inspection.type_name, origin.format().type_name);
    assert!(MirrorReader::open(&here, CHANNEL).unwrap().is_mirrored() && !origin.is_mirrored());

    drop(worker);
    assert!(origin.is_closed());
    mirror.close().unwrap();
    assert!(matches!(reader.snapshot(), Err(SnapshotError::Closed { .. })));
    assert!(matches!(MirrorReader::open(&here, CHANNEL), Err(AttachError::NotFound { .. })));
}

#[test]
fn what_is_not_newer_is_ignored() {
    let namespace = namespace();
    let mut mirror = open(&namespace);
    let mut reader = reader(&namespace);
    assert!(!publish(&mut mirror, 1, 0), "no publication has the number 0");
    for (number, is_newer) in [(5, true), (5, false), (4, false), (6, true), (1, false), (1 << 62, true)] {
        assert_eq!(publish(&mut mirror, number, number), is_newer, "{number}");
        assert_eq!(reader.snapshot().unwrap().origin().unwrap().publication(), mirror.publication());
    }
    assert_eq!(reader.publication(), 3);
}

#[test]
fn an_age_is_at_least_what_the_origin_told() {
    let namespace = namespace();
    let mut mirror = open(&namespace);
    let mut reader = reader(&namespace);
    let mut age = |number, age| {
        mirror.publish(&[0; 8], number, age).unwrap();
        reader.snapshot().unwrap().age()
    };
    let begin = Instant::now();
    let hour = age(1, Some(HOUR)).unwrap();
    assert!(hour >= HOUR && hour <= HOUR + begin.elapsed());
    assert_eq!(age(2, None), None);
    assert!(age(3, Some(Duration::MAX)).unwrap() > 100_000 * HOUR);
    assert!(age(4, Some(Duration::ZERO)).unwrap() <= begin.elapsed());
}

#[test]
fn the_state_of_the_writer_is_what_its_host_says() {
    use WriterState::{Alive, Closed, Dead, Exited, Stopped, Unknown, Unreachable};
    let namespace = namespace();
    let mut mirror = open(&namespace);
    let mut reader = reader(&namespace);
    publish(&mut mirror, 1, 1);
    for told in [Alive, Stopped, Dead, Exited, Closed, Unknown, Unreachable] {
        mirror.set_status(&OriginStatus { ended_ago: Some(HOUR), ..status(told) });
        assert_eq!(state(&reader), told);
        assert_eq!(namespace.inspect(CHANNEL).unwrap().writer_state, told);
        assert_eq!(*reader.snapshot().unwrap(), 1);
    }
    mirror.set_status(&OriginStatus { ended_ago: Some(HOUR), ..status(Exited) });
    assert!(matches!(reader.health().unwrap(), Health::Exited { since: Some(since) } if since >= HOUR));
    // A promise is judged by this host's clock.
    let promise = OriginStatus { heartbeat_interval: Some(SECOND), ..status(Alive) };
    mirror.publish(&[0; 8], 2, Some(HOUR)).unwrap();
    mirror.set_status(&OriginStatus { heartbeat_age: Some(HOUR), ..promise });
    let health = reader.health().unwrap();
    assert!(matches!(health, Health::Stalled { silent: Some(silent), .. } if silent >= HOUR), "{health}");
    mirror.set_status(&OriginStatus { heartbeat_age: Some(Duration::ZERO), ..promise });
    assert!(matches!(reader.health().unwrap(), Health::Unchanged { .. }));
    let wild = OriginStatus {
        incarnation: u64::MAX,
        pid: u64::MAX,
        writer: Alive,
        heartbeat_interval: Some(Duration::MAX),
        heartbeat_age: Some(Duration::MAX),
        opened_ago: Some(Duration::MAX),
        ended_ago: Some(Duration::MAX),
    };
    mirror.set_status(&wild);
    assert!(reader.heartbeat_age().unwrap() > 100_000 * HOUR);
    assert_eq!(reader.origin_status().unwrap().pid, u64::MAX);
    assert!(matches!(reader.health().unwrap(), Health::Fresh { .. }), "it promised nothing in this life");
}

#[test]
fn without_news_the_writer_is_unreachable_and_not_dead() {
    let namespace = namespace();
    let mut mirror = open(&namespace);
    let mut reader = reader(&namespace);
    publish(&mut mirror, 1, 1);
    mirror.set_status(&status(WriterState::Alive));
    mirror.set_unreachable(Some(HOUR));
    assert_eq!(state(&reader), WriterState::Unreachable);
    let health = reader.health().unwrap();
    assert!(matches!(health, Health::Unreachable { since: Some(since) } if since >= HOUR), "{health}");
    assert!(reader.origin_status().unwrap().news_age.unwrap() >= HOUR);
    assert_eq!(namespace.hub().status(CHANNEL).unwrap().health.name(), "unreachable");
    assert_eq!(*reader.snapshot().unwrap(), 1, "the last state stays readable");
    mirror.set_unreachable(None);
    assert_eq!(state(&reader), WriterState::Alive);
    mirror.set_unreachable(Some(Duration::MAX));
    assert_eq!(state(&reader), WriterState::Unreachable);
    mirror.set_status(&status(WriterState::Stopped));
    assert_eq!(state(&reader), WriterState::Stopped, "a status is news");
}

#[test]
fn no_writer_takes_the_channel_of_another() {
    let here = namespace();
    let format = format();
    let ordinary = || here.writer_builder::<u64>(CHANNEL).codec::<Pod>().open();
    let mirror_of = |host| MirrorWriter::open(&here, CHANNEL, host, 7, &format);
    let is_refused = |error| matches!(error, CreateError::Mirrored { host, .. } if host == "a");

    let mirror = mirror_of("a").unwrap();
    assert!(is_refused(ordinary().unwrap_err()) && is_refused(mirror_of("b").unwrap_err()));
    assert!(matches!(mirror_of("a"), Err(CreateError::AlreadyOwned { .. })));
    mirror.close().unwrap();
    ordinary().unwrap().close_lingering().unwrap();
    assert!(matches!(mirror_of("a"), Err(CreateError::NotMirrored { .. })), "closed, but of this host");
    assert!(here.remove_channel(CHANNEL).unwrap());

    for take in [0, 1, 2] {
        let mut mirror = mirror_of("a").unwrap();
        publish(&mut mirror, 1, 1);
        mirror.close_lingering().unwrap();
        let mut reader = reader(&here);
        assert_eq!((state(&reader), *reader.snapshot().unwrap()), (WriterState::Closed, 1));
        // A mirrored channel that was closed is free.
        match take {
            0 => drop(ordinary().unwrap()),
            1 => drop(mirror_of("b").unwrap()),
            _ => assert_eq!(mirror_of("a").unwrap().publication(), 1, "the same is resumed"),
        }
    }
}

#[test]
fn another_instance_or_format_replaces_the_channel() {
    let own = OwnNamespace::new(&[CHANNEL]);
    let mut mirror = open(&own);
    publish(&mut mirror, 1, 9);
    mirror.close_lingering().unwrap();
    let mut reader = reader(&own);
    let mut mirror = MirrorWriter::open(&own, CHANNEL, "a", 8, &format()).unwrap();
    assert!(matches!(reader.snapshot(), Err(SnapshotError::Closed { .. })));
    assert_eq!(mirror.publication(), 0, "the numbers of another instance begin again");
    assert!(publish(&mut mirror, 2, 1));
    mirror.close_lingering().unwrap();
    let other = ChannelFormat { fingerprint: 1, ..format() };
    assert_eq!(MirrorWriter::open(&own, CHANNEL, "a", 8, &other).unwrap().publication(), 0);
}

#[test]
fn what_no_channel_can_have_is_refused_and_creates_nothing() {
    let namespace = namespace();
    let open = |channel: &str, host: &str, format: &ChannelFormat| {
        let error = MirrorWriter::open(&namespace, channel, host, 7, format).unwrap_err();
        assert!(namespace.channels().unwrap().is_empty(), "{error}");
        assert_eq!(namespace.memory().unwrap().total().objects, 0, "{error}");
        error
    };
    let (long, normal) = ("x".repeat(513), format());
    for host in ["", "a\nb", &long[..65]] {
        assert!(matches!(open(CHANNEL, host, &normal), CreateError::Name(_)));
    }
    let error = open(CHANNEL, "", &normal);
    assert!(matches!(error, CreateError::Name(NameError::Empty { what: "host" })), "{error}");
    assert!(matches!(open("\0", "a", &normal), CreateError::Name(_)));
    for wrong in [
        ChannelFormat { codec: "x".repeat(65), ..normal.clone() },
        ChannelFormat { type_name: long.clone(), ..normal.clone() },
        ChannelFormat { schema: Some(vec![0; 65_537]), ..normal.clone() },
    ] {
        let error = open(CHANNEL, "a", &wrong);
        assert!(matches!(error, CreateError::InvalidOrigin { .. }), "{error}");
    }
    for (capacity, max_state_len) in [(0, 0), (1, u64::MAX), (u64::MAX, u64::MAX)] {
        open(CHANNEL, "a", &ChannelFormat { capacity, max_state_len, ..normal.clone() });
    }
    let edge = ChannelFormat {
        codec: "x".repeat(64),
        type_name: "x".repeat(512),
        schema: Some(vec![7; 65_536]),
        ..normal
    };
    let mut mirror = MirrorWriter::open(&namespace, CHANNEL, &long[..64], u64::MAX, &edge).unwrap();
    let error = mirror.publish(&[], u64::MAX, None).unwrap_err();
    assert!(matches!(error, PublishError::InvalidNumber { publication: u64::MAX, .. }), "{error}");
    assert!(matches!(mirror.publish(&[], (1 << 62) + 1, None), Err(PublishError::InvalidNumber { .. })));
    assert_eq!(mirror.publication(), 0);
    let copy = MirrorReader::open(&namespace, CHANNEL).unwrap();
    let ChannelFormat { codec, type_name, schema, .. } = copy.format();
    assert_eq!((codec.len(), type_name.len(), schema.unwrap().len()), (64, 440, 65_536));
    assert_eq!(namespace.inspect(CHANNEL).unwrap().origin.unwrap().host, &long[..64]);
}

#[test]
fn large_states_grow_the_channel_up_to_its_limit() {
    let own = OwnNamespace::new(&[CHANNEL]);
    let format = ChannelFormat { max_state_len: 1 << 20, ..format() };
    let mut mirror = MirrorWriter::open(&own, CHANNEL, "a", 7, &format).unwrap();
    let reader = own.reader_builder::<Vec<u8>>(CHANNEL).codec::<Bytes>().accept(accept::Any);
    let mut reader = reader.open().unwrap();
    for (number, len) in (1..).zip([8, 70_000, 300, 1 << 20, 0, 5_000]) {
        assert!(mirror.publish(&pattern(len), number, None).unwrap());
        let snapshot = reader.snapshot().unwrap();
        assert!(snapshot.len() == len && is_pattern(&snapshot));
        assert_eq!(snapshot.origin().unwrap().publication(), number);
    }
    let error = mirror.publish(&pattern((1 << 20) + 1), 9, None).unwrap_err();
    assert!(matches!(error, PublishError::TooLarge { .. }), "{error}");
    assert_eq!((mirror.publication(), reader.snapshot().unwrap().len()), (6, 5_000));
    let view = reader.view().unwrap();
    assert!(!view.is_in_place() && view.origin().unwrap().host() == "a");
}

#[test]
fn a_cut_with_a_mirrored_state_is_never_consistent() {
    let here = namespace();
    let mut mirror = open(&here);
    publish(&mut mirror, 1, 1);
    let hub = here.hub_builder().codec::<Pod>().open();
    let cut = hub.cut::<u64>([CHANNEL]);
    assert!(!cut.is_consistent());
    assert_eq!(cut.states[0].skew, Skew::Deferred);
}

#[test]
fn a_saved_file_has_no_mirrored_channel_and_says_so() {
    let own = OwnNamespace::new(&[CHANNEL, "worker"]);
    let mut mirror = open(&own);
    publish(&mut mirror, 1, 1);
    let path = std::env::temp_dir().join(format!("{}.saved", own.name()));
    let nothing = own.save(&path, &[]).unwrap_err();
    assert!(matches!(&nothing, SavedError::NothingToSave { unsaved, .. } if unsaved.len() == 1), "{nothing}");
    let mut worker = own.writer_builder::<u64>("worker").codec::<Pod>().open().unwrap();
    worker.publish(&2).unwrap();
    let report = own.save(&path, &[]).unwrap();
    assert_eq!((report.channels, report.unsaved.len()), (1, 1));
    assert_eq!(report.unsaved[0].channel, CHANNEL);
    assert!(report.unsaved[0].reason.contains("host \"a\""), "{}", report.unsaved[0].reason);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn waiters_are_woken() {
    let own = OwnNamespace::new(&[CHANNEL]);
    let mut mirror = open(&own);
    let mut reader = reader(&own);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(move || reader.changed(60 * SECOND).unwrap());
        std::thread::sleep(Duration::from_millis(5));
        publish(&mut mirror, 1, 1);
        assert!(waiter.join().unwrap());
    });
}

/// Mirrors, as the state, the number that it finds and one more.
fn mirror(namespace: &Namespace) {
    let mut mirror = open(namespace);
    let next = mirror.publication() + 1;
    say(&format!("found {}", mirror.publication()));
    wait_for_line();
    mirror.set_status(&status(WriterState::Alive));
    assert!(publish(&mut mirror, next, next));
    say("ready");
    wait_for_end();
}

fn wait_for_line() {
    assert_eq!(testkit::child::orders().next().as_deref(), Some("go"));
}

#[test]
fn the_next_mirror_goes_on_where_a_killed_one_ended() {
    let test = "mirrored::the_next_mirror_goes_on_where_a_killed_one_ended";
    if let Some((_, namespace)) = role() {
        return mirror(&namespace);
    }
    let own = OwnNamespace::new(&[CHANNEL]);
    let mut first = Actor::start(test, "mirror", &own);
    first.await_line("found 0");
    first.order("go");
    first.await_line("ready");
    let mut reader = reader(&own);
    assert_eq!((state(&reader), *reader.snapshot().unwrap()), (WriterState::Alive, 1));
    first.signal(Signal::STOP);
    eventually("the mirror is stopped", || state(&reader) == WriterState::Unreachable);
    first.signal(Signal::CONT);
    eventually("the mirror goes on", || state(&reader) == WriterState::Alive);
    first.kill();
    assert_eq!(state(&reader), WriterState::Unreachable);
    assert!(matches!(reader.health().unwrap(), Health::Unreachable { since: Some(_) }));
    assert_eq!(*reader.snapshot().unwrap(), 1);
    let inspection = own.inspect(CHANNEL).unwrap();
    assert_eq!((inspection.writer_state, inspection.unfinished()), (WriterState::Unreachable, None));
    assert!(inspection.segments[1].as_ref().unwrap().slots.iter().any(|it| it.state == SlotState::Whole));

    // Neither a writer of this host nor the mirror of another host may have it.
    let error = own.writer_builder::<u64>(CHANNEL).codec::<Pod>().open().map(drop).unwrap_err();
    assert!(matches!(&error, CreateError::Mirrored { host, .. } if host == "a"), "{error}");
    let error = MirrorWriter::open(&own, CHANNEL, "b", 7, &format()).map(drop).unwrap_err();
    assert!(matches!(&error, CreateError::Mirrored { .. }), "{error}");

    let mut second = Actor::start(test, "mirror", &own);
    second.await_line("found 1");
    assert_eq!(state(&reader), WriterState::Unreachable, "there are no news yet");
    second.order("go");
    second.await_line("ready");
    let snapshot = reader.snapshot().unwrap();
    assert_eq!((state(&reader), *snapshot, snapshot.publication()), (WriterState::Alive, 2, 2));
    assert_eq!(snapshot.origin().unwrap().publication(), 2);
    assert_eq!(reader.incarnation(), 2);
    second.kill();
    let removed = own.clean(Retention::Nothing).unwrap().removed;
    assert_eq!(removed.iter().map(|it| it.reason).collect::<Vec<_>>(), [RemovalReason::Dead]);
    assert!(own.writer_builder::<u64>(CHANNEL).codec::<Pod>().open().is_ok(), "the name is free");
}
