//! Blocks: one owner, memory that others map, and nothing left however the owner ends. The same
//! list of promises holds in shared memory, in a directory, and inside a process.

use std::fs::{self, OpenOptions};
use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::mem;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{Actor, OwnNamespace, is_root, orders, role, rounds, say, wait_for_end};
use crate::directory::OwnDirectory;
use rustix::process::Signal;
use tearless::{
    Bytes, Namespace,
    block::{Block, BlockMut, BlockView},
    cleanup::{RemovalReason, Retention},
    error::{AttachError, BlockError, ObjectError},
    inspect::{ObjectKind, WriterState, namespaces, objects},
    testing::LeakCheck,
};
use testkit::fork::{Forked, become_user, fork, kill_self, wait};

const OTHER_USER: u32 = 65_534;

/// More than all pages of any kernel that a small block needs.
const LARGE: usize = 5 << 20;

fn view(namespace: &Namespace) -> Result<BlockView, BlockError> {
    namespace.block_builder("table").open()
}

fn object_of(namespace: &Namespace) -> PathBuf {
    let [block] = namespace.blocks().unwrap().try_into().unwrap();
    namespace.directory().unwrap().join(block.object)
}

#[test]
fn in_shared_memory() {
    let own = OwnNamespace::new(&[]);
    conform(&own);
    keeps_to_a_budget(&Namespace::builder(own.name()));
}

#[test]
fn in_a_directory() {
    let directory = OwnDirectory::new();
    conform(&Namespace::builder("fleet").directory(&directory.0).open().unwrap());
    keeps_to_a_budget(&Namespace::builder("fleet").directory(&directory.0));
    assert_eq!(fs::read_dir(&directory.0).unwrap().count(), 0);
}

#[test]
fn inside_a_process() {
    conform(&Namespace::in_process("fleet").unwrap());
}

/// What holds everywhere.
fn conform(namespace: &Namespace) {
    let check = LeakCheck::begin(namespace).unwrap();
    for len in [0, 1, 7, 8, 4_096, 10_001, LARGE] {
        one_block(namespace, len);
    }
    refusals(namespace);
    beside_a_channel(namespace);
    waits(namespace);
    check.assert_nothing_left();
}

fn one_block(namespace: &Namespace, len: usize) {
    let block = namespace.block_builder("table").label("f32[3]").create(len).unwrap();
    let view = view(namespace).unwrap();
    let other = namespace.block_builder("table").open_mut().unwrap();
    assert_eq!((block.len(), view.len(), other.len(), view.is_empty()), (len, len, len, len == 0));
    assert_eq!((view.name(), view.label(), other.label()), ("table", "f32[3]", "f32[3]"));
    assert_eq!((view.instance(), view.owner_pid()), (block.instance(), std::process::id().into()));
    assert_eq!((view.is_current(), view.owner_state().unwrap()), (true, WriterState::Alive));
    let mut all = vec![1; len];
    view.read_at(0, &mut all);
    assert!(all.iter().all(|byte| *byte == 0), "a new block has zeroes");

    let bytes: Vec<u8> = (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect();
    for (at, byte) in bytes.iter().enumerate().take(20) {
        other.write_at(at, &[*byte]);
    }
    let rest = 20.min(len);
    block.write_at(rest, &bytes[rest..]);
    view.read_at(0, &mut all);
    assert_eq!(all, bytes);
    let mut part = vec![0; len / 2];
    view.clone().read_at(len - part.len(), &mut part);
    assert_eq!(part, bytes[len - part.len()..]);

    assert_eq!(block.as_atomics().len(), len / 8);
    if let Some(last) = other.as_atomics().last() {
        last.store(7, Ordering::Release);
        assert_eq!(view.load(len / 8 - 1), 7);
        assert_eq!(block.as_atomics().last().unwrap().fetch_add(1, Ordering::Relaxed), 7);
        assert_eq!(view.load(len / 8 - 1), 8);
    }
    let alignment = if namespace.directory().is_some() { 4_096 } else { 8 };
    for address in [view.as_ptr(), other.as_mut_ptr().cast_const(), block.as_mut_ptr().cast_const()] {
        assert_eq!(address.addr() % alignment, 0);
    }
    for (at, count) in [(len, 1), (0, len + 1), (usize::MAX, 2)] {
        let read = || view.read_at(at, &mut vec![0; count]);
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(read)).is_err());
        let write = || other.write_at(at, &vec![0; count]);
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(write)).is_err());
    }
    listed(namespace, &block);

    let former = block.instance();
    block.close().unwrap();
    assert_eq!((view.is_current(), other.is_current()), (false, false));
    assert_eq!(view.owner_state().unwrap(), WriterState::Closed);
    let next = namespace.block("table", len + 1).unwrap();
    assert_ne!(next.instance(), former);
    assert!(!view.is_current() && next.is_current());
    next.write_at(0, &[99]);
    let mut first = vec![0; rest.min(1)];
    other.read_at(0, &mut first);
    assert!(first.iter().all(|byte| *byte != 99), "the former block has memory of its own");
}

/// What lists and counts blocks.
fn listed(namespace: &Namespace, block: &Block) {
    let [info] = namespace.blocks().unwrap().try_into().unwrap();
    assert_eq!((&*info.name, &*info.label, info.len), ("table", "f32[3]", block.len()));
    assert_eq!(
        (info.instance, info.owner, info.owner_pid),
        (block.instance(), WriterState::Alive, block.owner_pid())
    );
    assert!(info.resident >= (block.len() + 4_096) as u64 && info.age.is_some(), "{info:?}");
    let memory = namespace.memory().unwrap();
    assert_eq!((memory.blocks.len(), memory.blocks[0].usage.resident), (1, info.resident));
    assert_eq!((memory.total().objects, memory.unnamed.objects, memory.other.objects), (1, 0, 0), "{memory}");
    assert!(namespace.channels().unwrap().is_empty());
    for report in
        [namespace.clean(Retention::Nothing).unwrap(), namespace.would_clean(Retention::Nothing).unwrap()]
    {
        assert!(report.removed.is_empty() && report.failed.is_empty(), "its owner lives: {report}");
    }
    if let Some(directory) = namespace.directory() {
        let found = objects().directory(directory).list().unwrap();
        let found = found.iter().find(|object| object.name == info.object).unwrap();
        assert_eq!((found.kind, found.block.as_deref()), (ObjectKind::Block, Some("table")));
        assert_eq!(found.namespace.as_deref(), Some(namespace.name()));
        let found = namespaces().directory(directory).list().unwrap();
        let found = found.iter().find(|it| it.name.as_deref() == Some(namespace.name())).unwrap();
        assert_eq!((found.channels, found.blocks), (0, 1));
    }
}

fn refusals(namespace: &Namespace) {
    let block = namespace.block("table", 8).unwrap();
    let refused = namespace.block("table", 8).unwrap_err();
    assert!(matches!(refused, BlockError::AlreadyOwned { pid, .. } if pid == block.owner_pid()), "{refused}");
    let refused = namespace.block_builder("table").remove().unwrap_err();
    assert!(matches!(refused, BlockError::AlreadyOwned { .. }), "{refused}");
    assert!(block.is_current() && view(namespace).is_ok());
    drop(block);
    assert!(!namespace.block_builder("table").remove().unwrap());
    assert!(matches!(view(namespace), Err(BlockError::NotFound { is_channel: false, .. })));
    assert!(matches!(namespace.block("", 8), Err(BlockError::Name(_))));
    for len in [usize::MAX, isize::MAX as usize] {
        assert!(matches!(namespace.block("table", len), Err(BlockError::InvalidSize { .. })));
    }
    let builder = || namespace.block_builder("table");
    let refused = builder().label("x".repeat(2_049)).create(8);
    assert!(matches!(refused, Err(BlockError::LabelTooLong { len: 2_049, .. })));
    let longest = builder().label("x".repeat(2_048)).create(8).unwrap();
    assert_eq!(view(namespace).unwrap().label().len(), 2_048);
    drop(longest);
    for mode in [0o400, 0o1600] {
        let refused = builder().permissions(mode).create(8);
        assert!(matches!(refused, Err(BlockError::InvalidPermissions { .. })), "{mode:o}");
    }
}

/// A block and a channel of one name know nothing of one another.
fn beside_a_channel(namespace: &Namespace) {
    let open = || namespace.writer_builder::<[u8]>("table").codec::<Bytes>().open().unwrap();
    let attach = || namespace.reader_builder::<Vec<u8>>("table").codec::<Bytes>().open();
    let mut writer = open();
    writer.publish(b"state").unwrap();
    let missing = view(namespace).unwrap_err();
    assert!(matches!(missing, BlockError::NotFound { is_channel: true, .. }), "{missing}");
    assert!(missing.to_string().contains("the name of a channel"), "{missing}");
    let block = namespace.block("table", 8).unwrap();
    assert_eq!(&*attach().unwrap().snapshot().unwrap(), b"state");
    drop(writer);
    assert!(matches!(attach(), Err(AttachError::NotFound { .. })));
    assert!(!namespace.remove_channel("table").unwrap());
    assert!(block.is_current() && view(namespace).is_ok());
    let mut writer = open();
    drop(block);
    writer.publish(b"state").unwrap();
    assert_eq!(attach().unwrap().snapshot().unwrap().len(), 5);
}

fn waits(namespace: &Namespace) {
    thread::scope(|scope| {
        let opener = scope.spawn(|| {
            let builder = namespace.block_builder("table").attach_within(Duration::from_secs(60));
            builder.open().unwrap()
        });
        let block = namespace.block("table", LARGE).unwrap();
        assert_eq!(opener.join().unwrap().instance(), block.instance());
    });
}

fn keeps_to_a_budget(builder: &tearless::NamespaceBuilder) {
    let namespace = builder.clone().max_memory(1 << 20).open().unwrap();
    let small = namespace.block("small", 100 << 10).unwrap();
    let refused = namespace.block("table", 1 << 20).unwrap_err();
    assert!(matches!(refused, BlockError::OverBudget { .. }), "{refused}");
    assert_eq!(namespace.memory().unwrap().total().objects, 1, "nothing is left of it");
    drop(small);
    namespace.block("table", 500 << 10).unwrap().close().unwrap();
}

/// An owner that a test ends.
fn own_until_the_end(namespace: &Namespace) {
    let block = namespace.block_builder("table").label("by the owner").create(LARGE).unwrap();
    block.write_at(3, b"half");
    say("created");
    wait_for_end();
}

#[test]
fn a_killed_owners_block_is_removed_by_a_cleanup_and_stays_mapped() {
    if let Some((_, namespace)) = role() {
        return own_until_the_end(&namespace);
    }
    let own = OwnNamespace::new(&[]);
    let test = "blocks::a_killed_owners_block_is_removed_by_a_cleanup_and_stays_mapped";
    let mut owner = Actor::start(test, "owner", &own);
    owner.await_line("created");
    let (pid, view) = (u64::from(owner.pid()), view(&own).unwrap());
    assert_eq!((view.owner_state().unwrap(), view.label()), (WriterState::Alive, "by the owner"));
    owner.kill();
    assert_eq!((view.owner_state().unwrap(), view.is_current()), (WriterState::Dead, true));
    let refused = own.block_builder("table").open().unwrap_err();
    assert!(matches!(refused, BlockError::OwnerDied { pid: dead, .. } if dead == pid), "{refused}");
    assert_eq!(own.blocks().unwrap()[0].owner, WriterState::Dead);
    let foreseen = own.would_clean(Retention::UntilReplaced).unwrap();
    assert_eq!(own.blocks().unwrap().len(), 1, "a dry run changes nothing");
    let cleaned = own.clean(Retention::UntilReplaced).unwrap();
    for report in [&foreseen, &cleaned] {
        assert!(report.failed.is_empty(), "{report}");
        let [removed] = &*report.removed else { panic!("{report}") };
        assert_eq!((removed.reason, removed.pid), (RemovalReason::Dead, pid));
        assert_eq!((removed.block.as_deref(), &removed.channel), (Some("table"), &None));
        assert_eq!(removed.objects.len(), 1);
    }
    assert_eq!((view.is_current(), view.owner_state().unwrap()), (false, WriterState::Closed));
    let mut kept = [0; 4];
    view.read_at(3, &mut kept);
    assert_eq!(&kept, b"half");
    assert!(
        own.memory().unwrap().total().objects == 0
            && own.clean(Retention::Nothing).unwrap().removed.is_empty()
    );
}

#[test]
fn creating_a_block_removes_those_of_dead_owners() {
    if let Some((_, namespace)) = role() {
        return own_until_the_end(&namespace);
    }
    let own = OwnNamespace::new(&[]);
    for name in ["table", "other"] {
        let mut owner = Actor::start("blocks::creating_a_block_removes_those_of_dead_owners", "owner", &own);
        owner.await_line("created");
        let left = view(&own).unwrap();
        owner.kill();
        let block = own.block(name, 8).unwrap();
        assert!(!left.is_current() && block.is_current() && left.instance() != block.instance());
        let names: Vec<_> = own.blocks().unwrap().into_iter().map(|block| block.name).collect();
        assert_eq!(names, [name]);
    }
    let removed = own.block_builder("other").remove();
    assert!(!removed.unwrap(), "its owner has dropped it");
}

#[test]
fn a_fork_uses_the_block_and_removes_nothing() {
    let test = "blocks::a_fork_uses_the_block_and_removes_nothing";
    if let Some((role, namespace)) = role() {
        let block = namespace.block("table", LARGE).unwrap();
        if role == "dies" {
            // The fork shares the owner's lock, and outlives it.
            mem::forget(Forked::start(|| {
                rustix::process::set_parent_process_death_signal(None).unwrap();
                // Until the block is replaced.
                let begin = Instant::now();
                while block.is_current() && begin.elapsed() < Duration::from_secs(60) {
                    thread::sleep(Duration::from_millis(1));
                }
            }));
            say("created");
            return wait_for_end();
        }
        let mut owned = Some(block);
        let child = fork(|| {
            // The fork's copy of the owner.
            let block = owned.take().unwrap();
            block.write_at(0, b"by a fork");
            namespace.block("of the fork", 8).unwrap().close().unwrap();
            assert!(namespace.block("table", 8).is_err());
            block.close().unwrap();
        });
        assert_eq!(wait(child).exit_status(), Some(0));
        let view = view(&namespace).unwrap();
        assert!(view.is_current());
        let mut written = [0; 9];
        view.read_at(0, &mut written);
        assert_eq!(&written, b"by a fork");
        return;
    }
    let own = OwnNamespace::new(&[]);
    Actor::start(test, "lives", &own).finish();
    assert!(own.blocks().unwrap().is_empty());
    let mut owner = Actor::start(test, "dies", &own);
    owner.await_line("created");
    let left = view(&own).unwrap();
    owner.kill();
    assert_eq!(left.owner_state().unwrap(), WriterState::Dead);
    let block = own.block("table", 8).unwrap();
    assert!(!left.is_current() && block.is_current());
}

#[test]
fn a_block_that_is_never_dropped_ends_with_its_process() {
    if let Some((_, namespace)) = role() {
        let block = namespace.block("table", 8).unwrap();
        say("created");
        for _ in orders() {}
        mem::forget(block);
        return;
    }
    let own = OwnNamespace::new(&[]);
    let mut owner =
        Actor::start("blocks::a_block_that_is_never_dropped_ends_with_its_process", "owner", &own);
    owner.await_line("created");
    let view = view(&own).unwrap();
    owner.finish();
    assert!(!view.is_current() && own.memory().unwrap().total().objects == 0);
}

#[test]
fn what_a_creator_left_half_made_is_replaced_and_cleaned() {
    let own = OwnNamespace::new(&[]);
    let block = own.block("table", 8).unwrap();
    let path = object_of(&own);
    drop(block);
    for len in [0, 4_096, 3 * 4_096] {
        let make = || fs::write(&path, vec![0; len]).unwrap();
        make();
        if len > 0 {
            let missing = view(&own).unwrap_err();
            assert!(matches!(missing, BlockError::NotFound { .. }), "{missing}");
        }
        assert_eq!(own.memory().unwrap().unnamed.objects, 1);
        for report in [own.would_clean(Retention::UntilReplaced), own.clean(Retention::UntilReplaced)] {
            let report = report.unwrap();
            assert!(report.failed.is_empty() && report.removed.len() == 1, "{len}: {report}");
            assert_eq!(report.removed[0].reason, RemovalReason::HalfMade);
        }
        assert!(!path.exists());
        make();
        own.block("table", 8).unwrap().close().unwrap();
        assert!(!path.exists());
        make();
        assert!(own.block_builder("table").remove().unwrap() && !path.exists());
    }
}

#[test]
fn nothing_in_a_header_is_trusted() {
    let own = OwnNamespace::new(&[]);
    let _block = own.block("table", 5_000).unwrap();
    let file = OpenOptions::new().read(true).write(true).open(object_of(&own)).unwrap();
    let refused = |at: u64, word: u64| {
        let mut before = [0; 8];
        file.read_exact_at(&mut before, at).unwrap();
        file.write_all_at(&word.to_le_bytes(), at).unwrap();
        let refused = [view(&own).map(drop), own.block_builder("table").open_mut().map(drop)];
        assert!(own.blocks().is_ok() && own.clean(Retention::Nothing).unwrap().removed.is_empty());
        assert!(own.memory().is_ok() && objects().list().is_ok());
        file.write_all_at(&before, at).unwrap();
        refused.map(Result::unwrap_err)
    };
    for len in [2 * 4_096 + 1, u64::MAX, 1 << 62, i64::MAX as u64] {
        for error in refused(16, len) {
            assert!(
                matches!(error, BlockError::Object { source: ObjectError::Foreign { .. }, .. }),
                "{len}: {error}"
            );
        }
    }
    for error in refused(48, 4) {
        assert!(matches!(error, BlockError::UnknownFeatures { bits: 4, .. }), "{error}");
    }
    for error in refused(0, u64::from_le_bytes(*b"tearls\x09\0")) {
        assert!(matches!(error, BlockError::LayoutVersion { found: 9, .. }), "{error}");
    }
    for error in refused(0, 7) {
        assert!(matches!(error, BlockError::Object { source: ObjectError::Foreign { .. }, .. }), "{error}");
    }
    for at in [648, 656] {
        for error in refused(at, 3) {
            assert!(matches!(error, BlockError::NameCollision { .. }), "{error}");
        }
    }
    file.write_all_at(&u64::MAX.to_le_bytes(), 912).unwrap();
    assert_eq!(view(&own).unwrap().label().len(), 2_048, "a label is cut to its field");
    assert_eq!(view(&own).unwrap().len(), 5_000);
}

#[test]
fn a_dead_owners_block_with_a_spoiled_header_is_removed() {
    if let Some((_, namespace)) = role() {
        return own_until_the_end(&namespace);
    }
    let own = OwnNamespace::new(&[]);
    // Its length, and the lengths and the beginning of its names.
    for (at, word) in [(16, u64::MAX), (16, 1 << 40), (512, 3), (648, 3), (656, 3)] {
        let test = "blocks::a_dead_owners_block_with_a_spoiled_header_is_removed";
        let mut owner = Actor::start(test, "owner", &own);
        owner.await_line("created");
        let path = object_of(&own);
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(&u64::to_le_bytes(word), at).unwrap();
        assert!(own.clean(Retention::Nothing).unwrap().removed.is_empty(), "{at}: its owner lives");
        owner.kill();
        for report in [own.would_clean(Retention::UntilReplaced), own.clean(Retention::UntilReplaced)] {
            let report = report.unwrap();
            let [removed] = &*report.removed else { panic!("{at}: {report}") };
            assert_eq!((removed.reason, &removed.block), (RemovalReason::Orphaned, &None), "{at}");
        }
        assert!(!path.exists());
    }
}

#[test]
fn permissions_decide_who_opens_it_and_how() {
    let test = "blocks::permissions_decide_who_opens_it_and_how";
    if let Some((_, namespace)) = role() {
        become_user(OTHER_USER);
        let trusting = Namespace::builder(namespace.name()).trust_owner(0).open().unwrap();
        say("ready");
        for order in orders() {
            let builder = || trusting.block_builder("table");
            let mapped = [builder().open().is_ok(), builder().open_mut().is_ok()];
            let denied = builder().create(8).map(drop).unwrap_err();
            let cleaned = trusting.clean(Retention::Nothing).unwrap();
            assert!(cleaned.removed.is_empty(), "{order}: {cleaned}");
            say(&format!(
                "{mapped:?} {}",
                matches!(denied, BlockError::Object { .. } | BlockError::AlreadyOwned { .. })
            ));
        }
        return;
    }
    if !is_root("to run as another user") {
        return;
    }
    let own = OwnNamespace::new(&[]);
    let mut other = Actor::start(test, "other", &own);
    other.await_line("ready");
    for (mode, expected) in
        [(0o600, "[false, false] true"), (0o644, "[true, false] true"), (0o666, "[true, true] true")]
    {
        let block = own.block_builder("table").permissions(mode).create(LARGE).unwrap();
        assert_eq!(own.blocks().unwrap()[0].permissions, mode);
        assert_eq!(other.ask(&format!("{mode:o}")), expected, "{mode:o}");
        assert!(block.is_current());
    }
    other.finish();
}

#[test]
fn a_limit_on_file_sizes_is_an_error() {
    if let Some((_, namespace)) = role() {
        use rustix::process::{Resource, Rlimit, setrlimit};
        let limit = Rlimit { current: Some(1 << 20), maximum: Some(1 << 20) };
        setrlimit(Resource::Fsize, limit).unwrap();
        let refused = namespace.block("table", 1 << 20).unwrap_err();
        assert!(matches!(refused, BlockError::Object { source: ObjectError::Limit { .. }, .. }), "{refused}");
        assert_eq!(namespace.memory().unwrap().total().objects, 0);
        return namespace.block("table", 1 << 19).unwrap().close().unwrap();
    }
    let own = OwnNamespace::new(&[]);
    Actor::start("blocks::a_limit_on_file_sizes_is_an_error", "limited", &own).finish();
}

const CONTESTANTS: usize = 12;

/// What a contestant has found.
struct Answer {
    owns: bool,
    /// Its own process id.
    pid: u64,
    /// Whose block it was when this one was refused, as the refusal says; 0 if that was not
    /// recorded yet.
    owner: u64,
    instance: u64,
}

impl Answer {
    fn send(&self, answers: &mut PipeWriter) {
        let numbers = [u64::from(self.owns), self.pid, self.owner, self.instance];
        answers.write_all(numbers.map(u64::to_le_bytes).as_flattened()).unwrap();
    }

    fn receive(answers: &mut PipeReader) -> Answer {
        let mut bytes = [[0; 8]; 4];
        answers.read_exact(bytes.as_flattened_mut()).unwrap();
        let [owns, pid, owner, instance] = bytes.map(u64::from_le_bytes);
        Answer { owns: owns != 0, pid, owner, instance }
    }

    /// Receives those of this many contestants: one owns the block, and all have the same one.
    /// Returns the owner's. `former` owned the one before.
    fn of_all(answers: &mut PipeReader, contestants: usize, former: u64) -> Answer {
        let all: Vec<_> = (0..contestants).map(|_| Answer::receive(answers)).collect();
        let owners: Vec<_> = all.iter().filter(|it| it.owns).map(|it| it.pid).collect();
        let [owner] = owners[..] else { panic!("owners: {owners:?}") };
        for it in &all {
            // It may have been refused because of the former owner, or of one that was removing
            // what that one had left, and then have found the new block.
            let is_known = [0, owner, former].contains(&it.owner) || all.iter().any(|of| of.pid == it.owner);
            assert!(is_known, "{} is refused because of {}", it.pid, it.owner);
            assert_eq!(it.instance, all[0].instance, "all have the same block");
        }
        all.into_iter().find(|it| it.owns).unwrap()
    }
}

/// Creates the block, or opens the one of the contestant that was faster, which is not `former`.
fn create_or_open(namespace: &Namespace, former: u64) -> (Option<Block>, BlockMut, Answer) {
    let pid = u64::from(std::process::id());
    loop {
        let (block, owner) = match namespace.block("table", 4_096) {
            Ok(block) => (Some(block), pid),
            Err(BlockError::AlreadyOwned { pid, .. }) => (None, pid),
            Err(error) => panic!("{error}"),
        };
        let open = || namespace.block_builder("table").open_mut();
        let shared = match block.as_deref().map_or_else(open, |block| Ok(block.clone())) {
            Ok(shared) if shared.owner_pid() != former => shared,
            // The end of the former owner takes a moment.
            Ok(_) | Err(BlockError::NotFound { .. } | BlockError::OwnerDied { .. }) => {
                thread::sleep(Duration::from_micros(100));
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        shared.as_atomics()[0].fetch_add(1, Ordering::Relaxed);
        let (owns, instance) = (block.is_some(), shared.instance());
        return (block, shared, Answer { owns, pid, owner, instance });
    }
}

/// Creates or opens the block when the first gate is opened; again when the second one is and the
/// owner ends; and ends at the third one.
fn contend(namespace: &Namespace, gates: &[PipeReader; 3], answers: &mut PipeWriter, is_killed: bool) {
    let await_open = |gate: usize| assert_eq!((&gates[gate]).read(&mut [0]).unwrap(), 0);
    await_open(0);
    let (block, first, answer) = create_or_open(namespace, 0);
    answer.send(answers);
    await_open(1);
    if block.is_some() {
        return;
    }
    let (block, second, answer) = create_or_open(namespace, first.owner_pid());
    assert!(!first.is_current() && second.is_current());
    assert_eq!(first.load(0), CONTESTANTS as u64, "what is mapped stays");
    answer.send(answers);
    await_open(2);
    if block.is_some() && is_killed {
        kill_self();
    }
}

/// Lets all contestants create the block at the same moment, and all but one again while its owner
/// ends.
fn contest(namespace: &Namespace, is_first_killed: bool, is_second_killed: bool) {
    let [(start, starter), (again, repeater), (end, ender)] = [(); 3].map(|()| pipe().unwrap());
    let (mut answers, mut answer) = pipe().unwrap();
    let (gates, mut openers) = ([start, again, end], Some([starter, repeater, ender]));
    let contestants: Vec<_> = (0..CONTESTANTS)
        .map(|_| {
            Forked::start(|| {
                drop(openers.take());
                contend(namespace, &gates, &mut answer, is_second_killed);
            })
        })
        .collect();
    let [starter, repeater, ender] = openers.unwrap();
    // Without this, a contestant that fails would be waited for.
    drop(answer);
    drop(starter);
    let first = Answer::of_all(&mut answers, CONTESTANTS, 0);
    assert_eq!(view(namespace).unwrap().load(0), CONTESTANTS as u64);
    if is_first_killed {
        let is_owner = |it: &Forked| u64::from(it.pid().as_raw_pid().unsigned_abs()) == first.pid;
        contestants.iter().find(|it| is_owner(it)).unwrap().signal(Signal::KILL);
    }
    drop(repeater);
    let second = Answer::of_all(&mut answers, CONTESTANTS - 1, first.pid);
    assert!(second.pid != first.pid && second.instance != first.instance);
    assert_eq!(view(namespace).unwrap().load(0), CONTESTANTS as u64 - 1);
    drop(ender);
    let statuses: Vec<_> = contestants.into_iter().map(Forked::wait).collect();
    assert!(statuses.iter().all(|it| it.exit_status().is_none_or(|code| code == 0)), "a contestant failed");
    let killed = statuses.iter().filter(|it| it.signaled()).count();
    assert_eq!(killed, usize::from(is_first_killed) + usize::from(is_second_killed));
}

#[test]
fn of_processes_that_create_a_block_at_once_one_owns_it_also_while_the_owner_ends() {
    let test = "blocks::of_processes_that_create_a_block_at_once_one_owns_it_also_while_the_owner_ends";
    let Some((_, namespace)) = role() else {
        let own = OwnNamespace::new(&[]);
        let mut contest = Actor::start(test, "contest", &own);
        println!("{}", contest.await_line_with("rounds"));
        return contest.finish();
    };
    let (rounds, check) = (rounds(50, 500), LeakCheck::begin(&namespace).unwrap());
    for round in 0..rounds {
        let is_second_killed = round % 4 > 1;
        contest(&namespace, round % 2 == 1, is_second_killed);
        // In other rounds, the next contestants find what the dead owner has left.
        if round % 3 == 0 {
            let removed = namespace.clean(Retention::default()).unwrap().removed;
            assert_eq!(removed.len(), usize::from(is_second_killed), "{removed:?}");
            assert!(check.leaks().unwrap().is_empty());
        }
    }
    namespace.clean(Retention::default()).unwrap();
    check.assert_nothing_left();
    say(&format!("{rounds} rounds of {CONTESTANTS} processes, one owner in each"));
}
