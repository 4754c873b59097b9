//! Several users: a namespace's permissions and group reach all of its objects. What they admit
//! works, what they don't is refused by name, and no channel ever belongs to two users.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use crate::common::{Actor, OwnNamespace, is_root, orders, pattern, role, say};
use tearless::{
    Bytes, Namespace, Postcard, Reader, Writer,
    cleanup::Retention,
    error::{AttachError, CreateError, NameError, ObjectError, PublishError, QueryError, RemoveError},
    hub::Health,
    options::Group,
};
use testkit::fork::become_member;
use testkit::objects::{DIRECTORY, NAMESPACE_PREFIX, Objects, listed};

/// The users of these tests. They need no names. Each has a group with the same number.
const WORKER: u32 = 54_001;
const EXPORTER: u32 = 54_002;
const STRANGER: u32 = 54_003;
/// The group of those that may read.
const METRICS: u32 = 54_100;
const OTHERS: u32 = 54_101;

/// The namespace as its writers open it.
fn of_group(namespace: &Namespace, group: u32) -> Namespace {
    Namespace::builder(namespace.name()).permissions(0o640).group(group).open().unwrap()
}

/// The namespace as readers of another user open it.
fn trusting(namespace: &Namespace, owner: u32) -> Namespace {
    Namespace::builder(namespace.name()).trust_owner(owner).open().unwrap()
}

fn open(namespace: &Namespace, channel: &str) -> Result<Writer<[u8], Bytes>, CreateError> {
    namespace.writer_builder::<[u8]>(channel).codec::<Bytes>().open()
}

fn attach(namespace: &Namespace) -> Result<Reader<Vec<u8>, Postcard>, AttachError> {
    namespace.reader_builder("worker").codec::<Postcard>().open()
}

/// Mode, owner and group of all objects of the namespace, which has the channel `worker`.
fn access_of_all(namespace: &Namespace) -> Vec<(String, u32, u32, u32)> {
    let prefix = Objects::of(namespace.name(), "worker").namespace_prefix().to_owned();
    let access = |name: String| {
        let found = fs::metadata(format!("{DIRECTORY}/{name}")).unwrap();
        (name[NAMESPACE_PREFIX..].to_owned(), found.mode() & 0o7777, found.uid(), found.gid())
    };
    listed(&prefix).into_iter().map(access).collect()
}

/// What a worker does when its test tells it to.
fn work(namespace: &Namespace) {
    become_member(WORKER, WORKER, &[METRICS, OTHERS]);
    let namespace = of_group(namespace, METRICS);
    let builder = namespace.writer_builder::<Vec<u8>>("worker").codec::<Postcard>().with_schema();
    let mut writer = builder.open().unwrap();
    writer.publish(&pattern(1)).unwrap();
    say("ready");
    for len in orders() {
        writer.publish(&pattern(len.parse().unwrap())).unwrap();
        say("published");
    }
    writer.close().unwrap();
}

/// A worker that has published, grown, and carries its schema.
fn start_worker(test: &str, own: &OwnNamespace) -> Actor {
    let mut worker = Actor::start(test, "worker", own);
    worker.await_line("ready");
    for _ in 0..2 {
        worker.order("20000");
        worker.await_line("published");
    }
    worker
}

#[test]
fn all_that_a_group_is_admitted_to_works() {
    let test = "users::all_that_a_group_is_admitted_to_works";
    match role() {
        Some((role, namespace)) if role == "worker" => return work(&namespace),
        Some((_, namespace)) => return export(&namespace),
        None => {}
    }
    if !is_root("to become other users") {
        return;
    }
    let own = OwnNamespace::new(&[]);
    let mut worker = start_worker(test, &own);
    let access = access_of_all(&own);
    assert_eq!(access.len(), 4, "channel, grown segments and registry: {access:?}");
    for (object, mode, owner, group) in access {
        assert_eq!((mode, owner, group), (0o640, WORKER, METRICS), "{object}");
    }
    let mut exporter = Actor::start(test, "exporter", &own);
    exporter.await_line("ready");
    for len in [1_000, 100_000, 30] {
        worker.order(&len.to_string());
        worker.await_line("published");
        exporter.await_line(&format!("woken for {len}"));
    }
    exporter.finish();
    worker.finish();
}

/// Lists, reads, inspects and waits, as a user of the group.
fn export(namespace: &Namespace) {
    become_member(EXPORTER, EXPORTER, &[METRICS]);
    let namespace = trusting(namespace, WORKER);
    let [info] = &namespace.channels().unwrap()[..] else { panic!("one channel") };
    assert_eq!(info.name, "worker");
    let hub = namespace.hub_builder().codec::<Postcard>().open();
    assert_eq!(hub.channels("*").unwrap().len(), 1);
    let states: Vec<_> = hub.iter::<Vec<u8>>("*").unwrap().map(|worker| worker.state.unwrap()).collect();
    assert_eq!(*states[0], pattern(20_000));
    assert!(matches!(hub.status("worker").unwrap().health, Health::Fresh { .. } | Health::Unchanged { .. }));
    let inspection = namespace.inspect("worker").unwrap();
    assert!(inspection.segments.iter().all(Result::is_ok) && inspection.permissions == 0o640);
    assert_eq!(namespace.memory().unwrap().channels[0].total().objects, 3);
    let mut reader = attach(&namespace).unwrap();
    assert!(reader.schema_bytes().unwrap().is_some());
    let mut watch = hub.watch("*");
    assert_eq!(watch.changed().unwrap().len(), 1);
    for kept in [namespace.clean(Retention::Nothing), namespace.would_clean(Retention::Nothing)] {
        let kept = kept.unwrap();
        assert!(kept.removed.is_empty() && kept.failed.is_empty(), "{kept}");
    }
    assert_eq!(*reader.snapshot().unwrap(), pattern(20_000));
    say("ready");
    for len in [1_000, 100_000, 30] {
        // It may not write to the waiters' page, and polls.
        assert_eq!(watch.wait_any(Duration::from_secs(60)).unwrap().len(), 1);
        assert!(reader.changed(Duration::from_secs(60)).unwrap());
        assert_eq!(*reader.snapshot().unwrap(), pattern(len));
        say(&format!("woken for {len}"));
    }
}

#[test]
fn a_user_that_is_not_admitted_is_refused_by_name() {
    let test = "users::a_user_that_is_not_admitted_is_refused_by_name";
    match role() {
        Some((role, namespace)) if role == "worker" => return work(&namespace),
        Some((_, namespace)) => return pry(&namespace),
        None => {}
    }
    if !is_root("to become other users") {
        return;
    }
    let own = OwnNamespace::new(&[]);
    let worker = start_worker(test, &own);
    Actor::start(test, "stranger", &own).finish();
    worker.finish();
}

/// Tries everything as a user that trusts the workers, and that they don't admit.
fn pry(namespace: &Namespace) {
    become_member(STRANGER, STRANGER, &[OTHERS]);
    let untrusting = Namespace::open(namespace.name()).unwrap();
    let namespace = trusting(namespace, WORKER);
    let is_named = |error: &ObjectError| {
        let text = error.to_string();
        assert!(matches!(error, ObjectError::PermissionDenied { owner: Some(WORKER), .. }), "{text}");
        assert!(text.contains("tl_") && text.contains("NamespaceBuilder::permissions"), "{text}");
    };
    is_named(&namespace.channels().unwrap_err());
    is_named(&untrusting.channels().unwrap_err());
    is_named(&namespace.watch_channels().changed().unwrap_err());
    let hub = namespace.hub_builder().codec::<Postcard>().open();
    let is_listing = |error: QueryError| {
        let QueryError::List { source, .. } = &error else { panic!("{error}") };
        is_named(source);
    };
    is_listing(hub.channels("*").unwrap_err());
    is_listing(hub.iter::<Vec<u8>>("*").map(drop).unwrap_err());
    is_listing(hub.watch("*").changed().unwrap_err());
    is_listing(hub.watch("*").wait_any(Duration::from_secs(60)).unwrap_err());
    let Err(AttachError::Object { source, .. }) = attach(&namespace) else { panic!() };
    is_named(&source);
    let Err(QueryError::Attach(AttachError::Object { source, .. })) = hub.get::<Vec<u8>>("worker") else {
        panic!()
    };
    is_named(&source);
    let Err(AttachError::Object { source, .. }) = namespace.inspect("worker") else { panic!() };
    is_named(&source);
    let Err(CreateError::Object { source, .. }) = open(&namespace, "worker") else { panic!() };
    is_named(&source);
    let Err(CreateError::Object { source, .. }) = open(&namespace, "another") else { panic!() };
    is_named(&source);
    let Err(RemoveError::Object { source, .. }) = namespace.remove_channel("worker") else { panic!() };
    is_named(&source);
    let kept = namespace.clean(Retention::Nothing).unwrap();
    assert!(kept.removed.is_empty() && !kept.failed.is_empty(), "{kept}");
    kept.failed.iter().for_each(is_named);
}

#[test]
fn a_stream_says_once_that_it_can_not_list() {
    #[cfg(feature = "async")]
    {
        let test = "users::a_stream_says_once_that_it_can_not_list";
        match role() {
            Some((role, namespace)) if role == "worker" => return work(&namespace),
            Some((_, namespace)) => return listen(&namespace),
            None => {}
        }
        if !is_root("to become other users") {
            return;
        }
        let own = OwnNamespace::new(&[]);
        let mut worker = start_worker(test, &own);
        let mut stranger = Actor::start(test, "stranger", &own);
        stranger.await_line("refused");
        // The worker's user admits all others: the stream finds its channel by itself.
        for kind in ["c", "a2", "b2"] {
            let path = Objects::of(own.name(), "worker").path(kind);
            fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        }
        let registry = Objects::of(own.name(), "worker").registry();
        fs::set_permissions(registry, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        stranger.await_line("state of 20000");
        stranger.finish();
        worker.close_input();
        worker.finish();
    }
}

#[cfg(feature = "async")]
fn listen(namespace: &Namespace) {
    become_member(STRANGER, STRANGER, &[]);
    let hub = trusting(namespace, WORKER).hub_builder().codec::<Postcard>().open();
    let mut changes = hub.changes_of::<Vec<u8>>("w*");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let first = runtime.block_on(changes.next());
    assert!(matches!(first.state, Err(QueryError::List { .. })) && *first.channel == *"w*");
    say("refused");
    let second = runtime.block_on(changes.next());
    say(&format!("state of {}", second.state.unwrap().len()));
}

#[test]
fn a_registry_admits_the_users_of_all_its_writers() {
    let own = OwnNamespace::new(&["worker", "second", "third"]);
    let registry = |own: &Namespace| {
        let found = fs::metadata(Objects::of(own.name(), "worker").path("c")).unwrap();
        let mut all: Vec<_> = access_of_all(own).into_iter().filter(|(name, ..)| name.len() < 5).collect();
        all.iter_mut().for_each(|(name, ..)| name.truncate(0));
        all.dedup();
        let [access] = &all[..] else { panic!("each of its objects has the same: {all:?}") };
        assert_eq!((access.2, found.mode() & 0o777), (found.uid(), 0o600), "a channel keeps its own");
        (access.1, access.3)
    };
    let own_group = rustix::process::getegid().as_raw();
    let _first = open(&own, "worker").unwrap();
    // The registry gets a chunk, and another one later.
    let _more: Vec<_> = (0..5).map(|number| open(&own, &format!("more-{number}")).unwrap()).collect();
    assert_eq!(registry(&own), (0o600, own_group));
    let wider = Namespace::builder(own.name()).permissions(0o604).open().unwrap();
    let _second = open(&wider, "second").unwrap();
    assert_eq!(registry(&own), (0o604, own_group));
    let narrow = own.writer_builder::<[u8]>("third").codec::<Bytes>().permissions(0o644).open().unwrap();
    assert_eq!(registry(&own), (0o604, own_group), "a channel's own permissions are not the namespace's");
    drop(narrow);
    if !is_root("to give objects to a group") {
        return;
    }
    let _third = open(&of_group(&own, METRICS), "third").unwrap();
    assert_eq!(registry(&own), (0o644, own_group), "all users include the group's");
    let own = OwnNamespace::new(&["worker", "second", "third"]);
    let _first = open(&own, "worker").unwrap();
    let _second = open(&of_group(&own, METRICS), "second").unwrap();
    assert_eq!(registry(&own), (0o640, METRICS));
    let Err(CreateError::Object { source, .. }) = open(&of_group(&own, OTHERS), "third") else { panic!() };
    assert!(matches!(source, ObjectError::OtherGroup { found: METRICS, wanted: OTHERS, .. }), "{source}");
    assert_eq!((registry(&own), own.channels().unwrap().len()), ((0o640, METRICS), 2), "nothing has changed");
}

#[test]
fn a_channel_of_another_group_is_replaced_and_one_of_the_same_resumed() {
    if !is_root("to give objects to a group") {
        return;
    }
    let own = OwnNamespace::new(&["worker"]);
    let mut incarnations = Vec::new();
    for group in [METRICS, METRICS, OTHERS] {
        let mut writer = open(&of_group(&own, group), "worker").unwrap();
        writer.publish(&pattern(30_000)).unwrap();
        let objects = Objects::of(own.name(), "worker");
        for kind in objects.listed() {
            let found = fs::metadata(objects.path(&kind)).unwrap().gid();
            assert_eq!(found, group, "{kind}");
        }
        incarnations.push(own.inspect("worker").unwrap().incarnation);
        writer.close_lingering().unwrap();
        // The registry keeps its group while it exists.
        fs::remove_file(objects.registry()).unwrap();
    }
    assert_eq!(incarnations, [1, 2, 1]);
}

#[test]
fn a_group_that_does_not_exist_or_that_the_process_is_not_in_is_refused() {
    let test = "users::a_group_that_does_not_exist_or_that_the_process_is_not_in_is_refused";
    if let Some((_, namespace)) = role() {
        become_member(WORKER, WORKER, &[]);
        let Err(CreateError::Object { source, .. }) = open(&of_group(&namespace, METRICS), "worker") else {
            panic!("not a member")
        };
        assert!(matches!(source, ObjectError::NotMember { group: METRICS, .. }), "{source}");
        return;
    }
    let unknown = Namespace::builder("fleet").group("no-such-group").open().unwrap_err();
    assert_eq!(unknown, NameError::UnknownGroup { name: "no-such-group".into() });
    assert!(Namespace::builder("fleet").group("root").open().is_ok());
    assert!(Namespace::builder("fleet").group("54100").open().is_ok());
    assert_eq!(Group::from("root"), Group::Name("root".into()));
    if is_root("to become another user") {
        let own = OwnNamespace::new(&[]);
        Actor::start(test, "worker", &own).finish();
        assert_eq!(own.memory().unwrap().total().objects, 0, "nothing is left");
    }
}

/// Opens as root, becomes another user, and tries everything that would create or remove an object.
fn drop_privileges(namespace: &Namespace) {
    let mut writer = open(namespace, "worker").unwrap();
    let mut reader = namespace.reader_builder::<Vec<u8>>("worker").codec::<Bytes>().open().unwrap();
    for len in [9_000, 10_000] {
        writer.publish(&pattern(len)).unwrap();
        assert_eq!(*reader.snapshot().unwrap(), pattern(len), "both segments have grown and are mapped");
    }
    become_member(WORKER, WORKER, &[]);
    writer.publish(&pattern(11)).expect("what fits needs no object");
    for len in [100_000, 100_001] {
        let Err(PublishError::Growth { source, .. }) = writer.publish(&pattern(len)) else { panic!() };
        assert!(matches!(source, ObjectError::NotOwner { owner: 0, user: WORKER, .. }), "{source}");
        assert_eq!(*reader.snapshot().unwrap(), pattern(11), "nothing has changed");
    }
    let trusting = trusting(namespace, 0);
    for namespace in [namespace, &trusting] {
        let refused = open(namespace, "second").unwrap_err();
        let CreateError::Object { source, .. } = &refused else { panic!("{refused}") };
        assert!(matches!(source, ObjectError::PermissionDenied { owner: Some(0), .. }), "{source}");
        assert!(refused.to_string().contains("run this writer as user 0"), "{refused}");
        assert!(!refused.to_string().contains("readers"), "{refused}");
    }
    writer.publish(&pattern(12)).unwrap();
    assert_eq!(*reader.snapshot().unwrap(), pattern(12));
    say("ready");
    orders().next();
    let left = writer.close().unwrap_err();
    let RemoveError::Left { objects, source, .. } = &left else { panic!("{left}") };
    assert_eq!(objects.len(), 3, "{left}");
    assert!(objects.iter().all(|object| left.to_string().contains(object)), "{left}");
    assert!(matches!(source, ObjectError::PermissionDenied { owner: Some(0), .. }), "{left}");
    assert!(reader.snapshot().is_err(), "readers see the end");
    say("closed");
    orders().next();
}

#[test]
fn privileges_that_are_dropped_after_opening_split_no_channel() {
    let test = "users::privileges_that_are_dropped_after_opening_split_no_channel";
    if let Some((_, namespace)) = role() {
        return drop_privileges(&namespace);
    }
    if !is_root("to drop privileges") {
        return;
    }
    let own = OwnNamespace::new(&["worker"]);
    let mut daemon = Actor::start(test, "daemon", &own);
    daemon.await_line("ready");
    let access = access_of_all(&own);
    assert!(access.iter().all(|(_, _, owner, _)| *owner == 0), "{access:?}");
    assert_eq!(access.len(), 4);
    let attach = || own.reader_builder::<Vec<u8>>("worker").codec::<Bytes>().open();
    assert_eq!(*attach().unwrap().snapshot().unwrap(), pattern(12), "to a reader of either user");
    daemon.order("close");
    daemon.await_line("closed");
    assert!(matches!(attach().map(drop), Err(AttachError::NotFound { .. })));
    daemon.order("end");
    daemon.finish();
    let cleaned = own.clean(Retention::UntilReplaced).unwrap();
    assert_eq!((cleaned.removed.len(), cleaned.failed.len()), (1, 0), "{cleaned}");
    assert_eq!(own.memory().unwrap().total().objects, 0, "as the error says, the owner removes the rest");
}

#[test]
fn no_user_resumes_another_users_channel() {
    let test = "users::no_user_resumes_another_users_channel";
    if let Some((_, namespace)) = role() {
        become_member(WORKER, WORKER, &[]);
        let mut writer = open(&namespace, "worker").unwrap();
        writer.publish(&pattern(10)).unwrap();
        return writer.close_lingering().unwrap();
    }
    if !is_root("to become other users") {
        return;
    }
    let own = OwnNamespace::new(&[]);
    Actor::start(test, "worker", &own).finish();
    let refused = open(&own, "worker").unwrap_err().to_string();
    assert!(refused.contains("run this writer as user 54001, or open it in another namespace"), "{refused}");
    assert!(!refused.contains("trust"), "to trust the owner helps readers only: {refused}");
    let trusting = trusting(&own, WORKER);
    let Err(CreateError::Object { source, .. }) = open(&trusting, "worker") else { panic!("resumed") };
    assert!(matches!(source, ObjectError::NotOwner { owner: WORKER, user: 0, .. }), "{source}");
    let reader = trusting.reader_builder::<Vec<u8>>("worker").codec::<Bytes>().open();
    assert_eq!(*reader.unwrap().snapshot().unwrap(), pattern(10), "it is as it was");
    assert!(trusting.remove_channel("worker").unwrap());
    assert_eq!(trusting.memory().unwrap().total().objects, 0);
}
