//! Cleanup removes what dead writers leave, and nothing that is alive, even while channels come and
//! go.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use crate::common::{Actor, OwnNamespace, role, rounds, say, wait_for_end};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tearless::{
    Bytes, Namespace, Postcard, WriterBuilder,
    cleanup::{RemovalReason, Retention},
    error::{AttachError, CreateError, SnapshotError},
};
use testkit::fork::become_user;
use testkit::objects::Objects;

const CHANNELS: [&str; 16] =
    ["w0", "w1", "w2", "w3", "w4", "w5", "w6", "w7", "w8", "w9", "w10", "w11", "w12", "w13", "w14", "w15"];

#[test]
fn a_killed_writers_state_is_kept_until_its_removal_is_requested() {
    if let Some((_, namespace)) = role() {
        let mut writer = namespace.writer::<u64>("w0").unwrap();
        writer.publish(&5).unwrap();
        println!("published");
        return wait_for_end();
    }
    let own = OwnNamespace::new(&CHANNELS);
    let mut worker = Actor::start(
        "cleanup::a_killed_writers_state_is_kept_until_its_removal_is_requested",
        "worker",
        &own,
    );
    worker.await_line("published");
    let pid = u64::from(worker.pid());
    assert!(own.clean(Retention::Nothing).unwrap().removed.is_empty(), "it lives");
    worker.kill();
    assert!(own.clean(Retention::UntilReplaced).unwrap().removed.is_empty(), "its state is kept");
    assert_eq!(*own.reader::<u64>("w0").unwrap().snapshot().unwrap(), 5);
    let cleaned = own.clean(Retention::Nothing).unwrap();
    assert_eq!((cleaned.removed[0].reason, cleaned.removed[0].pid), (RemovalReason::Dead, pid), "{cleaned}");
    assert!(own.reader::<u64>("w0").is_err() && own.clean(Retention::Nothing).unwrap().removed.is_empty());
}

#[test]
fn cleaning_a_lingering_channel_removes_its_entry_while_its_process_lives() {
    let own = OwnNamespace::new(&CHANNELS);
    let mut writer = own.writer::<u64>("w0").unwrap();
    writer.publish(&5).unwrap();
    writer.close_lingering().unwrap();
    let cleaned = own.clean(Retention::Nothing).unwrap();
    assert_eq!((cleaned.removed.len(), cleaned.removed[0].reason), (1, RemovalReason::Lingered), "{cleaned}");
    assert!(own.channels().unwrap().is_empty(), "one cleaning is enough");
}

#[test]
fn a_dry_run_changes_nothing() {
    let test = "cleanup::a_dry_run_changes_nothing";
    if let Some((role, namespace)) = role() {
        let mut writer = namespace.writer_builder::<[u8]>(&role).codec::<Bytes>().open().unwrap();
        for _ in 0..2 {
            writer.publish(&[5; 10_000]).unwrap();
        }
        println!("published");
        return wait_for_end();
    }
    let own = OwnNamespace::new(&CHANNELS);
    let mut actors = ["w0", "w1", "w2"].map(|role| Actor::start(test, role, &own));
    actors.iter_mut().for_each(|actor| actor.await_line("published"));
    let [lives, dies, loses_its_page] = actors;
    dies.kill();
    loses_its_page.kill();
    let [dead, pageless] = ["w1", "w2"].map(|channel| Objects::of(own.name(), channel));
    // A page without memory, as a creator leaves it if it is killed in its first steps.
    fs::write(pageless.path("c"), []).unwrap();
    let before = contents(&own);
    let report = own.would_clean(Retention::UntilReplaced).unwrap();
    assert!(report.failed.is_empty(), "{report}");
    let reported = |removed: &tearless::cleanup::Removed| {
        (removed.reason, removed.channel.clone(), removed.objects.len())
    };
    assert_eq!(report.removed.iter().map(reported).collect::<Vec<_>>(), [(RemovalReason::HalfMade, None, 3)]);
    let report = own.would_clean(Retention::Nothing).unwrap();
    let mut sorted: Vec<_> = report.removed.iter().map(reported).collect();
    sorted.sort_by_key(|(_, channel, _)| channel.clone());
    assert_eq!(sorted, [(RemovalReason::HalfMade, None, 3), (RemovalReason::Dead, Some("w1".into()), 3)]);
    assert_eq!(contents(&own), before);
    let cleaned = own.clean(Retention::Nothing).unwrap();
    assert_eq!(cleaned.removed.len(), 2, "{cleaned}");
    assert!(dead.listed().is_empty() && pageless.listed().is_empty());
    assert!(
        own.would_clean(Retention::Nothing).unwrap().removed.is_empty(),
        "every remaining writer is alive"
    );
    lives.finish();
}

#[test]
fn a_dry_run_reports_pages_that_their_own_user_may_not_open() {
    const OTHER_USER: u32 = 65_534;
    if let Some((_, namespace)) = role() {
        if rustix::process::geteuid().is_root() {
            // The superuser may open every page.
            become_user(OTHER_USER);
        }
        return pages_without_permissions(&namespace);
    }
    let own = OwnNamespace::new(&[]);
    let test = "cleanup::a_dry_run_reports_pages_that_their_own_user_may_not_open";
    let mut actor = Actor::start(test, "user", &own);
    actor.await_line("as reported");
    actor.finish();
}

/// A page of a live writer, and pages of a creator that is killed under a umask that forbids
/// everything.
fn pages_without_permissions(namespace: &Namespace) {
    let writer = namespace.writer_builder::<[u8]>("w0").codec::<Bytes>().open().unwrap();
    let objects = Objects::of(namespace.name(), "w0");
    let page = objects.path("c");
    let forbid = || fs::set_permissions(&page, Permissions::from_mode(0o000)).unwrap();
    forbid();
    for reported in
        [namespace.would_clean(Retention::Nothing).unwrap(), namespace.clean(Retention::Nothing).unwrap()]
    {
        assert!(reported.removed.is_empty() && reported.failed.is_empty(), "it lives: {reported}");
    }
    drop(writer);
    for content in [&[][..], &[0; 4096]] {
        fs::write(&page, content).unwrap();
        forbid();
        for reported in
            [namespace.would_clean(Retention::UntilReplaced), namespace.clean(Retention::UntilReplaced)]
        {
            let reported = reported.unwrap();
            assert!(reported.failed.is_empty() && reported.removed.len() == 1, "{reported}");
            assert_eq!(
                (reported.removed[0].reason, &*reported.removed[0].objects),
                (RemovalReason::HalfMade, &[objects.name("c")][..])
            );
        }
        assert!(objects.listed().is_empty());
    }
    say("as reported");
}

/// All objects of the namespace as they are, and the registry as far as it has entries.
fn contents(own: &OwnNamespace) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let prefix = Objects::of(own.name(), "w0").namespace_prefix().to_owned();
    let all = fs::read_dir(testkit::objects::DIRECTORY).unwrap().map(|entry| entry.unwrap().path());
    let is_own = |path: &std::path::PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(&prefix);
    let mut contents: Vec<_> =
        all.filter(is_own).map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    contents.sort();
    contents
}

/// The number of processes that open, end and die at the same time.
const PROCESSES: u32 = 64;

/// The name of the type that all of them give, whatever the type is.
const NAME: &str = "State";

/// One in so many of them only opens the namespace, over and over.
const CLEANERS: u64 = 16;

/// Opens a writer in a process that churns. The channel's last writer may have had the same type or
/// another one.
type Turn<'a> = (&'a Namespace, &'a str, u64);

/// Opens, publishes with growth, and closes or dies, over and over. It must read back what it
/// publishes. Every second channel carries a schema: mostly the one that it had before, else
/// another one, or none.
fn churn(namespace: &Namespace, mut seed: u64) {
    let end = Instant::now() + Duration::from_secs(2);
    while Instant::now() < end {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let index = usize::try_from(seed >> 60).unwrap();
        let turn = (namespace, CHANNELS[index], seed);
        match (index % 2, seed >> 50 & 7) {
            (1, 0) => live::<i8>(turn, WriterBuilder::with_schema),
            (1, 1) | (0, _) => live::<u8>(turn, |builder| builder),
            (_, _) => live::<u8>(turn, WriterBuilder::with_schema),
        }
    }
    println!("survived");
}

type Builder<T> = WriterBuilder<Vec<T>, Postcard>;

/// The life of one writer, and of a reader that attaches to it.
fn live<T>(turn: Turn<'_>, describe: fn(Builder<T>) -> Builder<T>)
where
    Vec<T>: Serialize + DeserializeOwned + postcard_schema::Schema,
    T: From<bool> + Clone,
{
    let (namespace, channel, seed) = turn;
    let mut writer = match describe(namespace.writer_builder(channel).codec().type_name(NAME)).open() {
        Ok(writer) => writer,
        Err(CreateError::AlreadyOwned { .. }) => return look(namespace, channel),
        Err(error) => panic!("{error}"),
    };
    let attach = namespace
        .reader_builder::<Vec<T>>(channel)
        .codec::<Postcard>()
        .type_name(NAME)
        .accept(tearless::accept::SameSchema);
    let mut reader = attach.open().unwrap();
    for len in [10, 3_000, 20_000] {
        let number = writer.publish(&vec![T::from(true); len]).unwrap();
        let snapshot = reader.snapshot().unwrap();
        assert_eq!((snapshot.publication(), snapshot.len()), (number, len));
    }
    match seed >> 40 & 3 {
        0 => writer.close_lingering().unwrap(),
        1 => rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap(),
        _ => writer.close().unwrap(),
    }
    match reader.snapshot() {
        // Another process may have taken the channel over, or the cleanup may have removed it, but
        // it is never damaged.
        Ok(_) | Err(SnapshotError::Closed { .. } | SnapshotError::Contended { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

/// Attaches to a channel of another process, which may have ended. The channel's schema is never
/// damaged, and never that of another instance.
fn look(namespace: &Namespace, channel: &str) {
    let opened = namespace
        .reader_builder::<Vec<u8>>(channel)
        .codec::<Postcard>()
        .type_name(NAME)
        .accept(tearless::accept::SameSchema)
        .open();
    match opened.map(|mut reader| reader.snapshot()) {
        Ok(Ok(state)) => assert!(state.iter().all(|byte| *byte == 1)),
        Ok(Err(
            SnapshotError::Empty { .. } | SnapshotError::Closed { .. } | SnapshotError::Contended { .. },
        )) => {}
        Ok(Err(error)) => panic!("{error}"),
        Err(AttachError::NotFound { .. } | AttachError::NotReady { .. }) => {}
        Err(AttachError::SchemaDiffers { differences, .. }) => {
            assert!(differences.contains("i8 in the channel, u8 in the reader"), "{differences}");
        }
        Err(error) => panic!("{error}"),
    }
}

/// Cleans over and over, as a starting program does. A cleanup never removes a state.
fn clean_again(namespace: &Namespace) {
    let end = Instant::now() + Duration::from_secs(2);
    while Instant::now() < end {
        let cleaned = namespace.clean(Retention::UntilReplaced).unwrap();
        assert!(cleaned.failed.is_empty(), "{cleaned}");
        let is_unusable = |cause| {
            matches!(cause, RemovalReason::HalfMade | RemovalReason::HalfRemoved | RemovalReason::Orphaned)
        };
        assert!(cleaned.removed.iter().all(|removed| is_unusable(removed.reason)), "{cleaned}");
    }
}

#[test]
fn no_live_channel_is_ever_removed_while_channels_come_and_go() {
    let test = "cleanup::no_live_channel_is_ever_removed_while_channels_come_and_go";
    if let Some((seed, namespace)) = role() {
        return match seed.parse().unwrap() {
            seed if seed % CLEANERS == 0 => clean_again(&namespace),
            seed => churn(&namespace, seed),
        };
    }
    let own = OwnNamespace::new(&CHANNELS);
    let end = Instant::now() + Duration::from_secs(rounds(3, 120).into());
    let (mut seed, mut started, mut killed, mut removed) = (0_u64, 0, 0, 0);
    let mut start = || {
        seed += 1;
        started += 1;
        Actor::start(test, &seed.to_string(), &own)
    };
    let mut actors: Vec<Actor> = (0..PROCESSES).map(|_| start()).collect();
    // On a busy machine it takes longer until the cleanup is the first to reach a dead writer's
    // channel.
    let patience = end + Duration::from_secs(60);
    while Instant::now() < end || ((killed == 0 || removed == 0) && Instant::now() < patience) {
        let cleaned = own.clean(Retention::Nothing).unwrap();
        assert!(cleaned.failed.is_empty(), "{cleaned}");
        removed += cleaned.removed.len();
        for actor in &mut actors {
            match actor.ended() {
                None => {}
                Some(status) => {
                    let by_itself = std::os::unix::process::ExitStatusExt::signal(&status) == Some(9);
                    assert!(by_itself || status.success(), "{status}: {}", actor.rest_of_output());
                    killed += u32::from(by_itself);
                    *actor = start();
                }
            }
        }
    }
    for mut actor in actors {
        let status = actor.wait();
        let by_itself = std::os::unix::process::ExitStatusExt::signal(&status) == Some(9);
        assert!(by_itself || status.success(), "{status}: {}", actor.rest_of_output());
    }
    own.clean(Retention::Nothing).unwrap();
    assert!(CHANNELS.iter().all(|channel| !own.remove_channel(channel).unwrap()));
    println!("{started} processes, {killed} killed themselves, {removed} channels cleaned up");
    assert!(killed > 0 && removed > 0);
}
