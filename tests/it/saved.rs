//! Channels that are saved to a file come back from it, and a file that is not whole is refused.

use std::fs;
use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::common::{Actor, OwnNamespace, eventually, is_pattern, is_root, pattern, role, rounds, say};
use tearless::{
    Bytes, Decode, Encode, MessagePack, Namespace, Pod, Postcard, Reader,
    accept::Any,
    cleanup::Retention,
    error::{CreateError, SavedError},
    hub::{Health, Pattern, Skew},
    inspect::{Inspection, WriterState},
    saved::{RestoreOutcome, RestorePolicy, RestoreReport, Saved},
};
use testkit::fork::Forked;
use testkit::trace::{Step, Traced, stay_on_this_processor};

/// A directory of the test's own, removed at its end.
struct Directory(PathBuf);

impl Directory {
    fn new(own: &OwnNamespace) -> Directory {
        let path = std::env::temp_dir().join(format!("tearless-saved-{}", own.name()));
        fs::create_dir(&path).unwrap();
        Directory(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("fleet.saved")
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Bytes of a file before its first record, before a record's body, and behind it.
const HEAD: usize = 16;
const BEFORE: usize = 16;
const AFTER: usize = 4;

/// Where the bodies of the records of this kind are.
fn bodies(bytes: &[u8], kind: &[u8; 4]) -> Vec<std::ops::Range<usize>> {
    let (mut at, mut found) = (HEAD, Vec::new());
    while at < bytes.len() {
        let len = u64::from_le_bytes(bytes[at + 8..at + 16].try_into().unwrap());
        let end = at + BEFORE + usize::try_from(len).unwrap();
        if bytes[at..].starts_with(kind) {
            found.push(at + BEFORE..end);
        }
        at = end + AFTER;
    }
    found
}

/// Changes the body of each record of this kind, and its checksum.
fn forge(file: &Path, kind: &[u8; 4], change: impl Fn(&mut [u8])) {
    let mut bytes = fs::read(file).unwrap();
    for body in bodies(&bytes, kind) {
        change(&mut bytes[body.clone()]);
        let sum = crc32c::crc32c(&bytes[body.start - BEFORE..body.end]);
        bytes[body.end..][..AFTER].copy_from_slice(&sum.to_le_bytes());
    }
    fs::write(file, bytes).unwrap();
}

/// Adds to the number at byte `at` of the body of each record of this kind.
fn add(file: &Path, kind: &[u8; 4], at: usize, change: i64) {
    forge(file, kind, |body| {
        let number = u64::from_le_bytes(body[at..at + 8].try_into().unwrap());
        body[at..at + 8].copy_from_slice(&number.wrapping_add_signed(change).to_le_bytes());
    });
}

/// The file is as if it were saved in another boot, this long ago by the wall clock.
fn make_older(file: &Path, by: Duration) {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    forge(file, b"file", |body| {
        let at = body.windows(36).position(|text| text == boot.trim().as_bytes()).expect("the boot's id");
        body[at..at + 36].copy_from_slice(b"01234567-89ab-cdef-0123-456789abcdef");
    });
    let by = -i64::try_from(by.as_nanos()).unwrap();
    let namespace = u64::from_le_bytes(fs::read(file).unwrap()[HEAD + BEFORE..][..8].try_into().unwrap());
    add(file, b"file", 8 + usize::try_from(namespace).unwrap(), by);
    add(file, b"stat", 24, by);
}

fn restore(namespace: &Namespace, file: &Path) -> RestoreReport {
    let report = namespace.restore(&Saved::open(file).unwrap(), &[], RestorePolicy::default());
    report.unwrap()
}

fn publish<T, C: Encode<T>>(namespace: &Namespace, channel: &str, states: &[T]) {
    let mut writer = namespace.writer_builder(channel).codec::<C>().linger(true).open().unwrap();
    states.iter().for_each(|state| assert!(writer.publish(state).unwrap() > 0));
    writer.close().unwrap();
}

fn reader<T, C: Decode<T>>(namespace: &Namespace, channel: &str) -> Reader<T, C> {
    namespace.reader_builder(channel).codec::<C>().open().unwrap()
}

type Row = (u64, String, Vec<u32>);

fn rows(count: usize) -> Vec<Row> {
    (1..=count).map(|row| (row as u64, "x".repeat(row), vec![7; row % 5])).collect()
}

#[test]
fn states_of_each_codec_are_restored_with_their_numbers_and_the_next_writer_resumes() {
    let own = OwnNamespace::new(&["packed", "posted", "plain", "bytes", "pinned"]);
    let directory = Directory::new(&own);
    let file = directory.file();
    let rows = rows(9);
    publish::<Row, MessagePack>(&own, "packed", &rows);
    {
        let builder = own.writer_builder::<Row>("posted").codec::<Postcard>().with_schema();
        let mut writer = builder.slots(16).max_state_len(1 << 20).linger(true).open().unwrap();
        rows.iter().for_each(|row| assert!(writer.publish(row).unwrap() > 0));
    }
    {
        let builder = own.writer_builder::<[u64; 200]>("plain").codec::<Pod>().checksum(true);
        let mut writer = builder.linger(true).open().unwrap();
        (1..=5).for_each(|number| assert_eq!(writer.publish(&[number; 200]).unwrap(), number));
    }
    publish::<Vec<u8>, Bytes>(&own, "bytes", &[pattern(0), pattern(100), pattern(50_000), pattern(10)]);
    {
        let builder = own.writer_builder::<Vec<u8>>("pinned").codec::<Bytes>().pins(2);
        let mut writer = builder.linger(true).open().unwrap();
        (1..=30).for_each(|len| assert!(writer.publish(&pattern(len)).unwrap() > 0));
    }
    let numbers = |namespace: &Namespace, channel: &str| -> Vec<u64> {
        let mut reader = namespace.reader_builder::<Vec<u8>>(channel).codec::<Bytes>().accept(Any).open();
        reader.as_mut().unwrap().history().map(|state| state.unwrap().publication()).collect()
    };
    let channels = ["bytes", "packed", "pinned", "plain", "posted"];
    let before = channels.map(|channel| numbers(&own, channel));
    let report = own.save(&file, &[]).unwrap();
    assert_eq!((report.channels, report.unsaved.len()), (5, 0));
    assert_eq!(report.states, before.iter().map(Vec::len).sum::<usize>());
    assert_eq!(report.bytes, fs::metadata(&file).unwrap().len());

    // The machine boots.
    assert_eq!(own.clean(Retention::Nothing).unwrap().removed.len(), 5);
    make_older(&file, Duration::ZERO);
    let saved = Saved::open(&file).unwrap();
    assert_eq!(saved.origin().namespace, own.name());
    assert_eq!(saved.channels().iter().map(|it| it.name()).collect::<Vec<_>>(), channels);
    let plain = saved.channel("plain").unwrap();
    let [latest, ..] = plain.states[..] else { panic!("{plain:?}") };
    assert_eq!(saved.payload(&latest).unwrap(), [5_u64; 200].map(u64::to_le_bytes).concat());
    assert!(matches!(plain.inspection.health(), Health::Closed), "{plain:?}");
    assert!(saved.channel("posted").unwrap().schema.is_some());
    #[cfg(feature = "dynamic")]
    {
        let posted = saved.channel("posted").unwrap();
        let payload = saved.payload(&posted.states[0]).unwrap();
        assert_eq!(posted.decode(&payload).unwrap()[0], 9);
    }

    let report = restore(&own, &file);
    assert!(report.is_complete(), "{report}");
    assert_eq!(channels.map(|channel| numbers(&own, channel)), before);
    assert_eq!(*reader::<Row, MessagePack>(&own, "packed").snapshot().unwrap(), rows[8]);
    let mut posted = reader::<Row, Postcard>(&own, "posted");
    assert_eq!(*posted.snapshot().unwrap(), rows[8]);
    assert_eq!(posted.history().map(|it| it.unwrap().0).collect::<Vec<_>>(), before[4]);
    assert_eq!(*reader::<[u64; 200], Pod>(&own, "plain").snapshot().unwrap(), [5; 200]);
    assert!(reader::<Vec<u8>, Bytes>(&own, "bytes").history().all(|state| is_pattern(&state.unwrap())));
    assert_eq!(posted.writer_state().unwrap(), WriterState::Closed);
    assert_eq!(own.hub().get::<Row>("packed").unwrap().publication(), 9);
    for channel in channels {
        let (now, then) = (own.inspect(channel).unwrap(), &saved.channel(channel).unwrap().inspection);
        let age = own.dynamic_age(channel).expect("it was published by this clock");
        assert!(age < Duration::from_secs(3_600), "{age:?}");
        assert_eq!(now.incarnation, then.incarnation + 1);
        assert_ne!(now.instance, then.instance);
        let same = |it: &Inspection| {
            (it.fingerprint, it.checksum, it.permissions, it.max_state_len, it.schema_bytes, it.pinned.len())
        };
        assert_eq!(same(&now), same(then));
    }

    // A cleanup keeps them, and the next writers resume them.
    assert_eq!(own.clean(Retention::default()).unwrap().removed.len(), 0);
    let instances = channels.map(|channel| own.inspect(channel).unwrap().instance);
    publish::<Row, MessagePack>(&own, "packed", &rows[..1]);
    {
        let builder = own.writer_builder::<Row>("posted").codec::<Postcard>().with_schema();
        let mut writer = builder.slots(16).max_state_len(1 << 20).linger(true).open().unwrap();
        assert_eq!(writer.publish(&rows[0]).unwrap(), 10);
    }
    {
        let builder = own.writer_builder::<[u64; 200]>("plain").codec::<Pod>().checksum(true);
        assert_eq!(builder.linger(true).open().unwrap().publish(&[6; 200]).unwrap(), 6);
    }
    publish::<Vec<u8>, Bytes>(&own, "bytes", &[pattern(60_000)]);
    {
        let builder = own.writer_builder::<Vec<u8>>("pinned").codec::<Bytes>().pins(2);
        assert_eq!(builder.linger(true).open().unwrap().publish(&pattern(7)).unwrap(), 31);
    }
    assert_eq!(channels.map(|channel| own.inspect(channel).unwrap().instance), instances, "none is replaced");
    assert_eq!(channels.map(|channel| numbers(&own, channel)[0]), [5, 10, 31, 6, 10]);
    // They remember their restored predecessors.
    assert_eq!(numbers(&own, "posted")[..3], [10, 9, 8]);
}

/// Of any channel.
trait Age {
    fn dynamic_age(&self, channel: &str) -> Option<Duration>;
}

impl Age for Namespace {
    fn dynamic_age(&self, channel: &str) -> Option<Duration> {
        let reader = self.reader_builder::<Vec<u8>>(channel).codec::<Bytes>().accept(Any).open();
        reader.unwrap().snapshot().unwrap().age()
    }
}

#[test]
fn a_restored_state_is_as_old_as_the_clocks_can_tell() {
    const DAY: Duration = Duration::from_secs(86_400);
    let own = OwnNamespace::new(&["worker"]);
    let directory = Directory::new(&own);
    let file = directory.file();
    publish::<u64, Pod>(&own, "worker", &[1, 2, 3]);
    let stamp = || reader::<u64, Pod>(&own, "worker").snapshot().unwrap().info();
    let first = stamp();
    own.save(&file, &[]).unwrap();
    let again = || {
        own.remove_channel("worker").unwrap();
        assert!(restore(&own, &file).is_complete());
        stamp()
    };
    // In the same boot, to the nanosecond.
    assert_eq!(again().monotonic_nanos(), first.monotonic_nanos());
    // Before the boot: it has no time on this machine's clock, and an age.
    let long = 10_000 * DAY;
    make_older(&file, long);
    let old = again();
    assert_eq!((old.publication(), old.monotonic_nanos()), (3, None));
    let age = old.age().unwrap();
    assert!(age >= long && age < long + DAY, "{age:?}");
    let apart = first.published_at().unwrap().duration_since(old.published_at().unwrap()).unwrap();
    assert!(apart > long - DAY / 24 && apart < long + DAY / 24, "{apart:?}");
    let cut = own.hub_builder().codec::<Pod>().open().cut::<u64>(["worker"]);
    assert_eq!((cut.states[0].skew, **cut.states[0].state.as_ref().unwrap()), (Skew::None, 3));
    // Published while it was saved.
    let minute = Duration::from_secs(60);
    add(&file, b"stat", 24, i64::try_from(minute.as_nanos()).unwrap());
    let later = again().age().unwrap();
    assert!(later >= long - minute && later < long, "{later:?}");
    let report = restore(&own, &file);
    assert!(matches!(report.channels[0].outcome, RestoreOutcome::Exists), "{report}");
    // A retention by age removes it.
    assert_eq!(own.clean(Retention::For(long + DAY)).unwrap().removed.len(), 0);
    assert_eq!(own.clean(Retention::For(DAY)).unwrap().removed.len(), 1);
    // The saving machine's clock was ahead, or this one is behind.
    let namespace = 8 + own.name().len();
    add(&file, b"file", namespace, i64::try_from((long + DAY).as_nanos()).unwrap());
    assert!(restore(&own, &file).is_complete());
    assert_eq!((stamp().age(), stamp().publication()), (None, 3));
    assert_eq!(own.writer_builder::<u64>("worker").codec::<Pod>().open().unwrap().publish(&4).unwrap(), 4);
}

#[test]
fn what_is_there_is_left_alone() {
    let own = OwnNamespace::new(&["living", "ended", "gone", "silent"]);
    let directory = Directory::new(&own);
    let file = directory.file();
    let _silent = own.writer_builder::<u64>("silent").codec::<Pod>().open().unwrap();
    for channel in ["living", "ended", "gone"] {
        publish::<u64, Pod>(&own, channel, &[1, 2]);
    }
    own.save(&file, &[]).unwrap();
    let saved = Saved::open(&file).unwrap();
    own.remove_channel("gone").unwrap();
    publish::<u64, Pod>(&own, "ended", &[3]);
    let mut living = own.writer_builder::<u64>("living").codec::<Pod>().open().unwrap();
    living.publish(&3).unwrap();

    let policy = RestorePolicy::default();
    let outcomes = |policy| {
        let report = own.restore(&saved, &[], policy).unwrap();
        assert_eq!(
            report.channels.iter().map(|it| &*it.channel).collect::<Vec<_>>(),
            ["ended", "gone", "living", "silent"]
        );
        report.channels.into_iter().map(|it| it.outcome.to_string()).collect::<Vec<_>>()
    };
    let latest = |channel| own.inspect(channel).map_or(0, |it| it.publication);
    let would = outcomes(policy.dry_run(true));
    assert_eq!(["ended", "gone", "living"].map(latest), [3, 0, 3], "a dry run changes nothing");
    let done = outcomes(policy);
    assert_eq!(["ended", "gone", "living"].map(latest), [3, 2, 3]);
    let shape = |texts: &[String]| texts.iter().map(|it| it[..10].to_owned()).collect::<Vec<_>>();
    assert_eq!(shape(&would), shape(&done));
    assert!(done[2].contains(&format!("process {} writes it", std::process::id())), "{done:?}");
    assert!(done[0].contains("it has a state") && done[3].contains("nothing was published"), "{done:?}");

    // A file that was damaged since it was opened costs no state.
    let whole = fs::read(&file).unwrap();
    fs::write(&file, b"").unwrap();
    let report = own.restore(&saved, &[Pattern::new("ended")], policy.overwrite(true)).unwrap();
    assert!(matches!(report.channels[0].outcome, RestoreOutcome::Failed(SavedError::Cut { .. })), "{report}");
    assert_eq!(latest("ended"), 3);
    fs::write(&file, whole).unwrap();

    let done = outcomes(policy.overwrite(true));
    assert!(done[0].starts_with("publication 2"), "{done:?}");
    assert_eq!(["ended", "gone", "living"].map(latest), [2, 2, 3]);
    living.publish(&4).unwrap();
    assert_eq!(latest("living"), 4);

    // Names and patterns.
    own.remove_channel("gone").unwrap();
    let report = own.restore(&saved, &[Pattern::new("g*")], policy).unwrap();
    assert_eq!(report.channels.len(), 1);
    let error = own.restore(&saved, &[Pattern::new("gone"), Pattern::new("x*")], policy).unwrap_err();
    assert!(matches!(error, SavedError::NoSuchChannel { ref pattern, .. } if pattern == "x*"), "{error}");
    let old = fs::read(&file).unwrap();
    let error = own.save(&file, &[Pattern::new("x")]).unwrap_err();
    assert!(matches!(error, SavedError::NoSuchChannel { .. }), "{error}");
    let error = OwnNamespace::new(&[]).save(&file, &[]).unwrap_err();
    assert!(matches!(error, SavedError::NothingToSave { ref unsaved, .. } if unsaved.is_empty()), "{error}");
    assert_eq!((fs::read(&file).unwrap(), directory.names()), (old, vec!["fleet.saved".to_owned()]));
    assert_eq!(own.save(&file, &[Pattern::new("g*")]).unwrap().channels, 1);
    assert_eq!(directory.names(), ["fleet.saved"]);
}

#[test]
fn every_changed_byte_and_every_cut_is_found() {
    let own = OwnNamespace::new(&["worker"]);
    let directory = Directory::new(&own);
    let file = directory.file();
    publish::<u64, Pod>(&own, "worker", &[1, 2, 3]);
    own.save(&file, &[]).unwrap();
    let whole = fs::read(&file).unwrap();
    let refused = |bytes: &[u8], what: &str, at: usize| {
        fs::write(&file, bytes).unwrap();
        let error = Saved::open(&file).expect_err(what).to_string();
        assert!(error.contains("fleet.saved"), "{what} {at}: {error}");
    };
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 1 << (at % 8);
        refused(&changed, "a changed bit", at);
        refused(&whole[..at], "a cut", at);
    }
    refused(&[&whole[..], &[0]].concat(), "a byte too many", 0);
    refused(&[&whole[..], &whole[HEAD..]].concat(), "a second file behind it", 0);
    // A state is missing.
    let state = bodies(&whole, b"stat")[1].clone();
    let lacking = [&whole[..state.start - BEFORE], &whole[state.end + AFTER..]].concat();
    refused(&lacking, "a record less", 0);
    // What the checksums don't find.
    fs::write(&file, &whole).unwrap();
    forge(&file, b"stat", |body| body[..8].copy_from_slice(&7_u64.to_le_bytes()));
    assert!(matches!(Saved::open(&file), Err(SavedError::Damaged { .. })), "all have one number");
    fs::write(&file, &whole).unwrap();
    forge(&file, b"chan", |body| body[..8].copy_from_slice(&u64::MAX.to_le_bytes()));
    assert!(matches!(Saved::open(&file), Err(SavedError::Damaged { .. })), "an endless name");
    // Another version.
    let mut later = whole.clone();
    later[8] += 1;
    let sum = crc32c::crc32c(&later[..12]);
    later[12..16].copy_from_slice(&sum.to_le_bytes());
    fs::write(&file, &later).unwrap();
    assert!(matches!(Saved::open(&file), Err(SavedError::OtherVersion { found: 2, .. })));
    // Not a file of ours.
    fs::write(&file, [7; 1_000]).unwrap();
    assert!(matches!(Saved::open(&file), Err(SavedError::Foreign { .. })));
    assert!(matches!(Saved::open(&directory.0), Err(SavedError::File { .. })));
    assert!(matches!(Saved::open(directory.0.join("none")), Err(SavedError::File { .. })));
    // It is changed after it was opened.
    fs::write(&file, &whole).unwrap();
    let saved = Saved::open(&file).unwrap();
    let mut changed = whole.clone();
    changed[bodies(&whole, b"stat")[0].end - 1] ^= 1;
    fs::write(&file, changed).unwrap();
    own.remove_channel("worker").unwrap();
    assert!(saved.payload(&saved.channels()[0].states[0]).is_err());
    let report = own.restore(&saved, &[], RestorePolicy::default()).unwrap();
    assert!(
        matches!(report.channels[0].outcome, RestoreOutcome::Failed(SavedError::Damaged { .. })),
        "{report}"
    );
    assert!(own.inspect("worker").is_err(), "nothing of the channel is left");
    assert_eq!(own.clean(Retention::Nothing).unwrap().removed.len(), 0);
}

/// Does `work` in a fork again and again, each time with a kill one system call later than before,
/// and then `check`s, until the work is done. Returns the number of kills.
fn killed_at_each_call(work: impl Fn(), check: impl Fn()) -> u32 {
    stay_on_this_processor();
    for calls in 0.. {
        let mut traced = Traced::start(&work);
        let has_ended = (0..calls).any(|_| !traced.step(Step::Call));
        drop(traced);
        check();
        if has_ended {
            return calls;
        }
    }
    unreachable!("the work ends")
}

#[test]
fn a_kill_during_a_save_leaves_the_former_file_or_the_new_one() {
    let test = "saved::a_kill_during_a_save_leaves_the_former_file_or_the_new_one";
    let check = |file: &Path| {
        let saved = Saved::open(file).unwrap();
        let large = saved.channel("large").unwrap();
        assert!(is_pattern(&saved.payload(&large.states[0]).unwrap()));
    };
    if let Some((file, namespace)) = role() {
        let save = || assert_eq!(namespace.save(&file, &[]).unwrap().channels, 2);
        let kills = killed_at_each_call(save, || check(Path::new(&file)));
        assert!(kills > 50, "{kills}");
        return;
    }
    let own = OwnNamespace::new(&["small", "large"]);
    let directory = Directory::new(&own);
    let file = directory.file();
    publish::<u64, Pod>(&own, "small", &[1]);
    publish::<Vec<u8>, Bytes>(&own, "large", &[pattern(300_000)]);
    own.save(&file, &[]).unwrap();
    Actor::start(test, file.to_str().unwrap(), &own).finish();
    check(&file);
    // Each save has removed what a killed one had left beside.
    assert_eq!(directory.names(), ["fleet.saved"]);
    // What is no file of ours stays.
    fs::create_dir(directory.0.join("fleet.saved.tmp")).unwrap();
    assert!(matches!(own.save(&file, &[]), Err(SavedError::File { .. })));
    let socket = directory.0.join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    assert!(matches!(own.save(&socket, &[]), Err(SavedError::File { .. })));
    assert!(!socket.metadata().unwrap().is_file());
}

#[test]
fn a_kill_during_a_restore_leaves_a_whole_channel_or_none() {
    let test = "saved::a_kill_during_a_restore_leaves_a_whole_channel_or_none";
    let states = |namespace: &Namespace| {
        let mut reader = reader::<Vec<u8>, Bytes>(namespace, "worker");
        reader.history().map(|it| it.unwrap()).filter(|it| is_pattern(it)).count()
    };
    if let Some((file, namespace)) = role() {
        let (saved, expected) = (Saved::open(file).unwrap(), states(&namespace));
        let policy = RestorePolicy::default().overwrite(true);
        let restore = || assert!(namespace.restore(&saved, &[], policy).unwrap().is_complete());
        let check = || {
            if namespace.inspect("worker").is_ok() {
                assert_eq!(states(&namespace), expected);
            }
        };
        let kills = killed_at_each_call(restore, check);
        assert!(kills > 50, "{kills}");
        return;
    }
    let own = OwnNamespace::new(&["worker"]);
    let directory = Directory::new(&own);
    let file = directory.file();
    publish::<Vec<u8>, Bytes>(&own, "worker", &(1..=8).map(|it| pattern(it * 10_000)).collect::<Vec<_>>());
    own.save(&file, &[]).unwrap();
    let expected = states(&own);
    Actor::start(test, file.to_str().unwrap(), &own).finish();
    assert_eq!(states(&own), expected);
    assert_eq!(own.clean(Retention::default()).unwrap().removed.len(), 0, "the last one was whole");
}

#[test]
fn a_full_disk_leaves_the_former_file() {
    let test = "saved::a_full_disk_leaves_the_former_file";
    if let Some((role, namespace)) = role() {
        let file = Path::new(&role).join("fleet.saved");
        namespace.save(&file, &[]).unwrap();
        let former = fs::read(&file).unwrap();
        publish::<Vec<u8>, Bytes>(&namespace, "large", &[pattern(200_000)]);
        let error = namespace.save(&file, &[]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("the former file, if there is one, is as it was"), "{text}");
        assert_eq!(fs::read(&file).unwrap(), former);
        assert!(!Path::new(&role).join("fleet.saved.tmp").exists());
        return;
    }
    if is_root("to mount a small file system") {
        let own = OwnNamespace::new(&["small", "large"]);
        let directory = Directory::new(&own);
        publish::<u64, Pod>(&own, "small", &[1]);
        let path = directory.0.to_str().unwrap();
        let mount = format!("mount -t tmpfs -o size=64k small {path} && exec \"$@\"");
        Actor::start_by(&["unshare", "-m", "sh", "-c", &mount, "sh"], test, path, &own).finish();
    }
}

#[test]
fn a_saved_reason_says_what_it_was_also_if_only_a_later_version_knows_it() {
    let own = OwnNamespace::new(&["worker"]);
    let directory = Directory::new(&own);
    let file = directory.file();
    publish::<Vec<u8>, Bytes>(&own, "worker", &[pattern(1), pattern(50_000)]);
    let objects = testkit::objects::Objects::of(own.name(), "worker");
    let segment = objects.path(objects.listed().iter().find(|it| *it != "c").expect("a later segment"));
    let of = |it: &Inspection| it.segments.iter().find_map(|it| it.as_ref().err()).unwrap().to_string();
    let reason = || of(&Saved::open(&file).unwrap().channels()[0].inspection);
    fs::File::options().write(true).open(&segment).unwrap().set_len(0).unwrap();
    own.save(&file, &[]).unwrap();
    assert_eq!(reason(), of(&own.inspect("worker").unwrap()));
    fs::remove_file(&segment).unwrap();
    own.save(&file, &[]).unwrap();
    assert_eq!(reason(), of(&own.inspect("worker").unwrap()));
    let name = segment.to_str().unwrap();
    forge(&file, b"chan", |body| {
        // The number of the reason is before the text and its length.
        let at = body.windows(name.len()).position(|it| it == name.as_bytes()).unwrap() - 16;
        body[at..at + 8].copy_from_slice(&9_u64.to_le_bytes());
    });
    let expected = format!("a problem of kind 9, which only a later version of tearless knows: {name}");
    assert_eq!(reason(), expected);
}

#[test]
fn a_file_system_without_locks_is_named_and_nothing_is_left_there() {
    let test = "saved::a_file_system_without_locks_is_named_and_nothing_is_left_there";
    if let Some((role, namespace)) = role() {
        let (file, beside) = role.split_once(' ').unwrap();
        testkit::seccomp::forbid(libc::SYS_flock);
        let save = || {
            let error = namespace.save(file, &[]).unwrap_err();
            assert!(matches!(error, SavedError::NoLocks { .. }), "{error}");
            error.to_string()
        };
        let text = save();
        assert!(text.contains("fleet.saved.tmp") && text.contains("copy the file"), "{text}");
        let text_of_leftover = "or it was left by one that was killed: remove it if no process saves";
        assert_eq!(text.contains(text_of_leftover), !beside.is_empty(), "{text}");
        let names = || fs::read_dir(Path::new(file).parent().unwrap()).unwrap().count();
        let before = names();
        killed_at_each_call(|| drop(save()), || assert_eq!(names(), before));
        return;
    }
    let own = OwnNamespace::new(&["worker"]);
    let directory = Directory::new(&own);
    let file = directory.file();
    publish::<u64, Pod>(&own, "worker", &[1]);
    own.save(&file, &[]).unwrap();
    let former = fs::read(&file).unwrap();
    Actor::start(test, &format!("{} ", file.display()), &own).finish();
    assert_eq!(directory.names(), ["fleet.saved"]);
    // Of a killed process, or of one that saves on another machine.
    let beside = directory.0.join("fleet.saved.tmp");
    fs::write(&beside, "a part").unwrap();
    Actor::start(test, &format!("{} beside", file.display()), &own).finish();
    assert_eq!(fs::read(&beside).unwrap(), b"a part", "it is left alone");
    assert_eq!(fs::read(&file).unwrap(), former);
    own.save(&file, &[]).unwrap();
    assert_eq!(directory.names(), ["fleet.saved"], "with locks, what is left is removed");
}

/// The number of the last saved publication.
const SAVED: u64 = 6;

/// Length of the states that were there before, and of those of the worker.
const FORMER: usize = 5;
const WORKERS: usize = 7;

fn await_open(gate: &mut PipeReader) {
    assert_eq!(gate.read(&mut [0]).unwrap(), 0);
}

fn send(answers: &mut PipeWriter, answer: [u64; 2]) {
    answers.write_all(answer.map(u64::to_le_bytes).as_flattened()).unwrap();
}

fn receive(answers: &mut PipeReader) -> [u64; 2] {
    let mut bytes = [[0; 8]; 2];
    answers.read_exact(bytes.as_flattened_mut()).unwrap();
    bytes.map(u64::from_le_bytes)
}

/// Spins, so that the other process is ahead by this much.
fn delay(by: Duration) {
    let begin = std::time::Instant::now();
    while begin.elapsed() < by {
        std::hint::spin_loop();
    }
}

/// A worker that starts again as long as `restorer` has the channel. Sends the number of its first
/// publication.
fn work(namespace: &Namespace, restorer: u64, end: &mut PipeReader, answers: &mut PipeWriter) {
    let mut writer = loop {
        match namespace.writer_builder::<Vec<u8>>("worker").codec::<Bytes>().open() {
            Ok(writer) => break writer,
            Err(CreateError::AlreadyOwned { pid, .. }) => assert!([0, restorer].contains(&pid), "{pid}"),
            Err(error) => panic!("{error}"),
        }
    };
    let first = writer.publish(&pattern(WORKERS)).unwrap();
    send(answers, [first, 0]);
    await_open(end);
    assert_eq!(writer.publish(&pattern(WORKERS)).unwrap(), first + 1, "it was not deposed");
    writer.close().unwrap();
}

/// Whether the channel has the worker's state. Before, it has all that was there or was saved.
fn has_workers_state(namespace: &Namespace, former: u64) -> bool {
    let Ok(mut reader) = namespace.reader_builder::<Vec<u8>>("worker").codec::<Bytes>().open() else {
        return false;
    };
    let latest = reader.publication();
    for state in reader.history().filter_map(Result::ok) {
        let saved = usize::try_from(state.publication()).unwrap() * 1_000;
        assert!(is_pattern(&state) && [FORMER, WORKERS, saved].contains(&state.len()), "{state:?}");
        let last = if state.len() == saved { SAVED } else { former };
        assert!(state.len() == WORKERS || latest >= last, "{latest}: a part of the states");
    }
    reader.snapshot().is_ok_and(|state| state.len() == WORKERS)
}

/// Restores while a worker opens the channel. Returns whether the restore was first.
fn restore_beside_a_worker(namespace: &Namespace, saved: &Saved, round: u32) -> bool {
    let former = if round % 3 == 2 { 3 } else { 0 };
    if former > 0 {
        publish::<Vec<u8>, Bytes>(namespace, "worker", &[FORMER; 3].map(pattern));
    }
    let policy = RestorePolicy::default().overwrite(former > 0);
    // A restore takes longer than to open a channel, so the worker is the one that waits in most.
    let (ahead, is_late) = (Duration::from_micros(u64::from(round) * 100), !round.is_multiple_of(4));
    let ([(mut start, starter), (mut end, ender)], [restores, works]) =
        ([(); 2].map(|()| pipe().unwrap()), [(); 2].map(|()| pipe().unwrap()));
    let ((mut restored, mut restores), (mut worked, mut works)) = (restores, works);
    let mut openers = Some([starter, ender]);
    let restorer = Forked::start(|| {
        drop(openers.take());
        await_open(&mut start);
        delay(if is_late { Duration::ZERO } else { ahead });
        let report = namespace.restore(saved, &[], policy).unwrap();
        send(
            &mut restores,
            match report.channels[0].outcome {
                RestoreOutcome::Restored { publication: SAVED, .. } => [1, 0],
                RestoreOutcome::InUse { pid } => [0, pid],
                ref outcome => panic!("{outcome}"),
            },
        );
    });
    let restorer_pid = u64::from(restorer.pid().as_raw_pid().unsigned_abs());
    let worker = Forked::start(|| {
        drop(openers.take());
        await_open(&mut start);
        delay(if is_late { ahead } else { Duration::ZERO });
        work(namespace, restorer_pid, &mut end, &mut works);
    });
    let worker_pid = u64::from(worker.pid().as_raw_pid().unsigned_abs());
    drop((restores, works));
    let [starter, ender] = openers.unwrap();
    drop(starter);
    eventually("the worker has published", || has_workers_state(namespace, former));
    let ([is_restored, owner], [first, _]) = (receive(&mut restored), receive(&mut worked));
    match is_restored {
        0 => assert!([0, worker_pid].contains(&owner) && first == former + 1, "{owner}, {first}"),
        _ => assert_eq!(first, SAVED + 1, "it resumes"),
    }
    assert_eq!(namespace.inspect("worker").unwrap().writer_pid, worker_pid);
    drop(ender);
    for process in [restorer, worker] {
        assert_eq!(process.wait().exit_status(), Some(0));
    }
    assert!(namespace.inspect("worker").is_err(), "the worker has removed its channel");
    is_restored == 1
}

#[test]
fn a_worker_that_opens_beside_a_restore_resumes_or_keeps_its_channel() {
    let test = "saved::a_worker_that_opens_beside_a_restore_resumes_or_keeps_its_channel";
    if let Some((file, namespace)) = role() {
        let (saved, rounds) = (Saved::open(file).unwrap(), rounds(50, 1_000));
        let restored =
            (0..rounds).filter(|round| restore_beside_a_worker(&namespace, &saved, *round)).count();
        return say(&format!("{rounds} rounds: the restore was first in {restored}"));
    }
    let own = OwnNamespace::new(&["worker"]);
    let directory = Directory::new(&own);
    let file = directory.file();
    let states: Vec<_> =
        (1..=usize::try_from(SAVED).unwrap()).map(|number| pattern(number * 1_000)).collect();
    {
        let mut writer = own.writer_builder::<Vec<u8>>("worker").codec::<Bytes>().slots(8).open().unwrap();
        states.iter().for_each(|state| assert!(writer.publish(state).unwrap() > 0));
        own.save(&file, &[]).unwrap();
    }
    let mut actor = Actor::start(test, file.to_str().unwrap(), &own);
    println!("{}", actor.await_line_with("rounds"));
    actor.finish();
    assert_eq!(own.clean(Retention::Nothing).unwrap().removed.len(), 0, "nothing is left");
}

#[test]
fn large_states_are_saved_and_restored() {
    let own = OwnNamespace::new(&["large"]);
    let directory = Directory::new(&own);
    let file = directory.file();
    publish::<Vec<u8>, Bytes>(&own, "large", &[pattern(64 << 20)]);
    own.save(&file, &[]).unwrap();
    own.remove_channel("large").unwrap();
    assert!(restore(&own, &file).is_complete());
    let state = reader::<Vec<u8>, Bytes>(&own, "large").snapshot().unwrap();
    assert!(state.len() == 64 << 20 && is_pattern(&state));
}

#[test]
fn states_whose_neighbours_are_gone_keep_their_numbers() {
    let own = OwnNamespace::new(&["worker"]);
    let directory = Directory::new(&own);
    let file = directory.file();
    // The last one replaces the segment of the even numbers.
    let states: Vec<_> = (1..=10).map(|it| pattern(if it == 10 { 9_000 } else { it })).collect();
    publish::<Vec<u8>, Bytes>(&own, "worker", &states);
    let lens = || -> Vec<(u64, usize)> {
        let mut reader = reader::<Vec<u8>, Bytes>(&own, "worker");
        reader.history().map(|it| it.unwrap()).map(|it| (it.publication(), it.len())).collect()
    };
    let before = lens();
    assert!(
        before.contains(&(10, 9_000)) && before.contains(&(9, 9)) && !before.contains(&(8, 8)),
        "{before:?}"
    );
    own.save(&file, &[]).unwrap();
    own.remove_channel("worker").unwrap();
    assert!(restore(&own, &file).is_complete());
    assert_eq!(lens(), before[..before.len().min(lens().len())]);
    assert_eq!(lens()[..2], [(10, 9_000), (9, 9)]);
}

#[test]
fn a_killed_writer_is_dead_in_the_file_and_a_living_one_is_alive() {
    let test = "saved::a_killed_writer_is_dead_in_the_file_and_a_living_one_is_alive";
    if let Some((_, namespace)) = role() {
        let mut writer = namespace.writer_builder::<u64>("worker").codec::<Pod>().open().unwrap();
        writer.publish(&7).unwrap();
        say("ready");
        loop {
            std::thread::park();
        }
    }
    let own = OwnNamespace::new(&["worker"]);
    let directory = Directory::new(&own);
    let file = directory.file();
    let mut actor = Actor::start(test, "worker", &own);
    actor.await_line("ready");
    let (pid, of_file) =
        (u64::from(actor.pid()), || Saved::open(&file).unwrap().channels()[0].inspection.clone());
    own.save(&file, &[]).unwrap();
    assert_eq!((of_file().writer_state, of_file().writer_pid), (WriterState::Alive, pid));
    actor.kill();
    eventually("the writer is dead", || own.inspect("worker").unwrap().writer_state == WriterState::Dead);
    own.save(&file, &[]).unwrap();
    let inspection = of_file();
    assert!(matches!(inspection.health(), Health::Dead { since: Some(_) }), "{inspection:?}");
    assert_eq!((inspection.publication, inspection.writer_pid), (1, pid));
    assert!(Saved::open(&file).unwrap().origin().saved_at <= SystemTime::now());
    own.remove_channel("worker").unwrap();
    assert!(restore(&own, &file).is_complete());
    assert_eq!(own.inspect("worker").unwrap().writer_state, WriterState::Closed);
    assert_eq!(*reader::<u64, Pod>(&own, "worker").snapshot().unwrap(), 7);
}

#[test]
fn another_users_channel_is_left_out_and_named() {
    if !is_root("to give an object away") {
        return;
    }
    let own = OwnNamespace::new(&["ours", "theirs"]);
    let directory = Directory::new(&own);
    publish::<u64, Pod>(&own, "ours", &[1]);
    publish::<u64, Pod>(&own, "theirs", &[1]);
    let object = testkit::objects::Objects::of(own.name(), "theirs").path("c");
    std::os::unix::fs::chown(&object, Some(54_001), None).unwrap();
    let report = own.save(directory.file(), &[]).unwrap();
    assert_eq!((report.channels, report.unsaved.len()), (1, 1));
    let saved = Saved::open(directory.file()).unwrap();
    assert_eq!(saved.unsaved(), report.unsaved);
    assert_eq!(saved.unsaved()[0].channel, "theirs");
    assert!(saved.unsaved()[0].reason.contains("belongs to user 54001"), "{:?}", saved.unsaved());
    std::os::unix::fs::chown(&object, Some(0), None).unwrap();
}
