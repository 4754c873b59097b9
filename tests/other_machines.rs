//! Machines that are not like ours: shared memory that is missing, read-only, or of a file system
//! that lacks something; limits of the process. Each is an error that names it, and no process
//! dies of a signal or of an allocation that failed.
//!
//! A program of its own: each test changes the mounts or the limits of its actor.
#![cfg(feature = "message-pack")]

mod common;

use std::fs;
use std::time::Duration;

use common::{Actor, OwnNamespace, is_root, pattern, role};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tearless::{
    Bytes, Namespace, Writer,
    cleanup::Retention,
    error::{AttachError, CreateError, ObjectError, PublishError, QueryError, RemoveError, ResourceLimit},
    inspect::{capabilities, namespaces, objects},
};
use testkit::fork::{become_user, lock_future_memory};
use testkit::objects::{DIRECTORY, Objects};

/// A wait that takes this long has failed.
const FOREVER: Duration = Duration::from_secs(60);

/// How often a waiter waits for the next publication.
const ROUNDS: u64 = 20;

/// Runs `play` in an actor, behind shell commands that change its mounts. Without root, the test is
/// skipped.
fn with_mounts(test: &str, mounts: &str, play: fn(&Namespace)) {
    if let Some((_, namespace)) = role() {
        return play(&namespace);
    }
    if is_root("to mount another /dev/shm") {
        let own = OwnNamespace::new(&[]);
        let script = format!("{mounts} && exec \"$@\"");
        Actor::start_by(&["unshare", "-m", "sh", "-c", &script, "sh"], test, "alone", &own).finish();
    }
}

/// Runs `play` in an actor.
fn alone(test: &str, play: fn(&Namespace)) {
    match role() {
        Some((_, namespace)) => play(&namespace),
        None => Actor::start(test, "alone", &OwnNamespace::new(&[])).finish(),
    }
}

fn open(namespace: &Namespace, channel: &str) -> Result<Writer<[u8], Bytes>, CreateError> {
    namespace.writer_builder::<[u8]>(channel).codec::<Bytes>().open()
}

fn source(result: Result<Writer<[u8], Bytes>, CreateError>) -> ObjectError {
    match result.map(drop) {
        Err(CreateError::Object { source, .. }) => source,
        other => panic!("{other:?}"),
    }
}

/// Asserts that every operation that looks for the place of shared memory names the problem.
fn assert_unusable(namespace: &Namespace, problem: &str) {
    let check = |error: &ObjectError| {
        assert!(matches!(error, ObjectError::Unusable { .. }), "{error}, {error:?}");
        assert!(error.to_string().contains(problem), "{error}");
    };
    check(&source(open(namespace, "worker")));
    let Err(AttachError::Object { source, .. }) = namespace.reader::<u64>("worker") else { panic!() };
    check(&source);
    let Err(AttachError::Object { source, .. }) = namespace.inspect("worker") else { panic!() };
    check(&source);
    let Err(RemoveError::Object { source, .. }) = namespace.remove_channel("worker") else { panic!() };
    check(&source);
    let hub = namespace.hub();
    let Err(QueryError::List { source, .. }) = hub.channels("*") else { panic!() };
    check(&source);
    let Err(QueryError::Attach(AttachError::Object { source, .. })) = hub.get::<u64>("worker") else {
        panic!()
    };
    check(&source);
    check(&namespace.channels().unwrap_err());
    check(&namespace.watch_channels().changed().unwrap_err());
    check(&namespace.memory().unwrap_err());
    check(&namespace.clean(Retention::Nothing).unwrap_err());
    check(&namespaces().list().unwrap_err());
    check(&objects().list().unwrap_err());
    check(problem_of("create").as_ref().unwrap());
}

/// What a try of this capability finds; `None` if it works.
fn problem_of(name: &str) -> Option<ObjectError> {
    capabilities().into_iter().find(|capability| capability.name == name).unwrap().problem
}

fn listed() -> Vec<String> {
    let entries = fs::read_dir(DIRECTORY).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_machine_with_all_it_takes_has_no_problems() {
    let all = capabilities();
    let names: Vec<_> = all.iter().map(|capability| capability.name).collect();
    assert_eq!(names.len(), 6, "{names:?}");
    assert!(all.iter().all(|capability| capability.problem.is_none()), "{all:?}");
}

#[test]
fn without_shared_memory_every_operation_says_so() {
    with_mounts("without_shared_memory_every_operation_says_so", "mount -t tmpfs none /dev", |namespace| {
        assert_unusable(namespace, "/dev/shm is not mounted: mount -t tmpfs");
    });
}

#[test]
fn read_only_shared_memory_is_named() {
    let mount = "mount -t tmpfs -o ro none /dev/shm";
    with_mounts("read_only_shared_memory_is_named", mount, |namespace| {
        let error = source(open(namespace, "worker"));
        assert!(
            matches!(&error, ObjectError::Unusable { problem } if problem.contains("read-only")),
            "{error}"
        );
        assert!(problem_of("create").unwrap().to_string().contains("remount,rw"));
        assert!(namespace.channels().unwrap().is_empty(), "there is none");
    });
}

#[test]
fn shared_memory_that_this_user_may_not_write_is_named() {
    let mount = "mount -t tmpfs -o mode=755 none /dev/shm";
    with_mounts("shared_memory_that_this_user_may_not_write_is_named", mount, |namespace| {
        become_user(65_534);
        let error = source(open(namespace, "worker"));
        let ObjectError::Unusable { problem } = &error else { panic!("{error}") };
        assert!(problem.contains("user 65534 may not create files in /dev/shm: chmod 1777"), "{error}");
        assert!(matches!(problem_of("create"), Some(ObjectError::Unusable { .. })));
        assert!(namespace.channels().unwrap().is_empty(), "there is none");
    });
}

#[test]
fn a_file_system_that_can_not_reserve_is_named_and_left_empty() {
    let mount = "mount -t ramfs none /dev/shm";
    with_mounts("a_file_system_that_can_not_reserve_is_named_and_left_empty", mount, |namespace| {
        let error = source(open(namespace, "worker"));
        let ObjectError::Unusable { problem } = &error else { panic!("{error}") };
        assert!(problem.contains("can't reserve memory"), "{error}");
        assert!(matches!(problem_of("reserve"), Some(ObjectError::Unusable { .. })));
        assert!(problem_of("create").is_none() && problem_of("lock").is_none());
        assert_eq!(listed(), [""; 0]);
    });
}

#[test]
fn a_system_without_locks_is_named_and_left_empty() {
    let mount = "mount -t tmpfs none /dev/shm";
    with_mounts("a_system_without_locks_is_named_and_left_empty", mount, |namespace| {
        testkit::seccomp::forbid_use(libc::SYS_fcntl, 1, libc::F_OFD_SETLK, libc::EINVAL);
        let error = source(open(namespace, "worker"));
        let ObjectError::Unusable { problem } = &error else { panic!("{error}") };
        assert!(problem.contains("F_OFD_SETLK"), "{error}");
        assert!(matches!(problem_of("lock"), Some(ObjectError::Unusable { .. })));
        assert!(problem_of("reserve").is_none() && problem_of("map").is_none());
        assert_eq!(listed(), [""; 0]);
    });
}

#[test]
fn a_system_without_futex_and_membarrier_is_a_note_publishes_and_polls() {
    alone("a_system_without_futex_and_membarrier_is_a_note_publishes_and_polls", |namespace| {
        testkit::seccomp::forbid(libc::SYS_membarrier);
        // The calls between processes, which are the library's. Threads of the standard library use
        // private ones, and without these no program runs.
        for call in [libc::FUTEX_WAIT, libc::FUTEX_WAKE] {
            testkit::seccomp::forbid_use(libc::SYS_futex, 1, call, libc::ENOSYS);
        }
        let missing: Vec<_> = capabilities().into_iter().filter(|it| it.problem.is_some()).collect();
        assert_eq!(missing.iter().map(|it| it.name).collect::<Vec<_>>(), ["futex", "membarrier"]);
        for capability in missing {
            assert!(!capability.is_required(), "{capability:?}");
            let problem = capability.problem.unwrap().to_string();
            assert!(problem.contains(&format!("the system refuses {}", capability.name)), "{problem}");
        }
        let mut writer = open(namespace, "worker").unwrap();
        let mut reader = namespace.reader_builder::<Vec<u8>>("worker").codec::<Bytes>().open().unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(move || {
                let mut seen = 0;
                for _ in 0..ROUNDS {
                    let newer = reader.wait_after(seen, FOREVER).unwrap();
                    seen = newer.expect("it polls").publication();
                }
            });
            while !waiter.is_finished() {
                writer.publish(&pattern(10)).unwrap();
                // Long enough for the waiter to wait again.
                std::thread::sleep(Duration::from_millis(5));
            }
        });
    });
}

#[test]
fn huge_pages_count_as_what_was_asked_for() {
    let mount = "mount -t tmpfs -o huge=always,size=256m none /dev/shm";
    with_mounts("huge_pages_count_as_what_was_asked_for", mount, |namespace| {
        let namespace = Namespace::builder(namespace.name()).max_memory(1 << 20).open().unwrap();
        let writers: Vec<_> =
            (0..20).map(|number| open(&namespace, &format!("worker-{number}")).unwrap()).collect();
        let memory = namespace.memory().unwrap();
        assert_eq!(memory.channels[0].total().resident, 3 * 4_096);
        assert_eq!(memory.total().resident, memory.total().bytes);
        assert!(memory.total().bytes < 512 << 10, "{memory}");
        drop(writers);
        assert_eq!(listed(), [""; 0]);
    });
}

/// Allows this process files of this many bytes.
fn limit_files(bytes: u64) {
    let maximum = getrlimit(Resource::Fsize).maximum;
    setrlimit(Resource::Fsize, Rlimit { current: Some(bytes), maximum }).unwrap();
}

#[test]
fn a_limit_on_file_sizes_is_an_error_and_no_signal() {
    alone("a_limit_on_file_sizes_is_an_error_and_no_signal", |namespace| {
        for bytes in [0, 4_095, 8_192] {
            limit_files(bytes);
            let error = source(open(namespace, "worker"));
            let ObjectError::Limit { limit, .. } = &error else { panic!("{error}, {error:?}") };
            assert_eq!(*limit, ResourceLimit::FileSize(bytes));
            assert!(error.to_string().contains("ulimit -f"), "{error}");
            assert_eq!(namespace.memory().unwrap().total().objects, 0, "nothing is left");
        }
        // The channel's object, but not the registry.
        limit_files(12_288);
        assert!(matches!(source(open(namespace, "worker")), ObjectError::Limit { .. }));
        assert_eq!(namespace.memory().unwrap().total().objects, 0, "nothing is left");
        limit_files(64 << 10);
        let mut writer = open(namespace, "worker").unwrap();
        writer.publish(&pattern(10_000)).expect("what is below the limit");
        let mut reader = namespace.reader_builder::<Vec<u8>>("worker").codec::<Bytes>().open().unwrap();
        for _ in 0..2 {
            let Err(PublishError::Growth { source, .. }) = writer.publish(&pattern(100_000)) else {
                panic!()
            };
            assert!(
                matches!(source, ObjectError::Limit { limit: ResourceLimit::FileSize(65_536), .. }),
                "{source}"
            );
            assert_eq!(*reader.snapshot().unwrap(), pattern(10_000));
        }
        writer.publish(&pattern(10)).expect("what fits");
        // A takeover creates nothing that is larger.
        writer.close_lingering().unwrap();
        limit_files(1);
        assert_eq!(open(namespace, "worker").unwrap().publish(&pattern(11)).unwrap(), 3);
    });
}

#[test]
fn a_registry_that_may_not_grow_refuses_one_channel_more_and_keeps_the_others() {
    alone("a_registry_that_may_not_grow_refuses_one_channel_more_and_keeps_the_others", |namespace| {
        limit_files(32 << 10);
        let mut writers = Vec::new();
        let error = loop {
            match open(namespace, &format!("worker-{}", writers.len())) {
                Ok(writer) => writers.push(writer),
                Err(error) => break error,
            }
        };
        let CreateError::Object { source: ObjectError::Limit { limit, .. }, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(*limit, ResourceLimit::FileSize(32 << 10));
        assert!(writers.len() > 10, "{}", writers.len());
        assert_eq!(namespace.channels().unwrap().len(), writers.len());
        assert_eq!(namespace.memory().unwrap().channels.len(), writers.len(), "nothing of it is left");
        limit_files(64 << 10);
        writers.push(open(namespace, "one-more").unwrap());
        assert_eq!(namespace.channels().unwrap().len(), writers.len());
    });
}

/// A number of kilobytes in `/proc/self/status`.
fn kilobytes(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn locked_memory_costs_what_it_costs_without_the_lock() {
    alone("locked_memory_costs_what_it_costs_without_the_lock", |namespace| {
        let _writer = open(namespace, "worker").unwrap();
        let registry = Objects::of(namespace.name(), "worker").registry();
        let blocks = || std::os::unix::fs::MetadataExt::blocks(&fs::metadata(&registry).unwrap());
        let (before, shared) = (blocks(), kilobytes("RssShmem"));
        lock_future_memory();
        let mut watch = namespace.watch_channels();
        assert!(watch.changed().unwrap());
        assert_eq!(namespace.channels().unwrap().len(), 1);
        assert_eq!(namespace.hub().channels("*").unwrap().len(), 1);
        assert_eq!(blocks(), before, "a reader's mapping gives memory to nothing");
        let more = kilobytes("RssShmem") - shared;
        assert!(more <= 64, "{more} KiB more are resident");
    });
}

#[test]
fn a_limit_on_locked_memory_is_named() {
    alone("a_limit_on_locked_memory_is_named", |namespace| {
        let maximum = getrlimit(Resource::Memlock).maximum;
        if !rustix::process::geteuid().is_root() && maximum.is_some_and(|bytes| bytes < 8 << 20) {
            return println!("skipped: may not lock memory");
        }
        setrlimit(Resource::Memlock, Rlimit { current: Some(8 << 20), maximum }).unwrap();
        // Root may lock any amount.
        become_user(65_534);
        let namespace = Namespace::open(namespace.name()).unwrap();
        let mut writer = open(&namespace, "worker").unwrap();
        writer.publish(&pattern(10)).unwrap();
        lock_future_memory();
        let large = namespace.writer_builder::<[u8]>("large").codec::<Bytes>().capacity(16 << 20).open();
        let error = source(large);
        assert!(
            matches!(error, ObjectError::Limit { limit: ResourceLimit::LockedMemory, .. }),
            "{error}, {error:?}"
        );
        assert!(error.to_string().contains("ulimit -l"), "{error}");
        writer.publish(&pattern(11)).expect("what is mapped goes on");
    });
}

#[test]
fn a_limit_on_address_space_is_named() {
    alone("a_limit_on_address_space_is_named", |namespace| {
        let maximum = getrlimit(Resource::As).maximum;
        let current = Some((kilobytes("VmSize") << 10) + (64 << 20));
        setrlimit(Resource::As, Rlimit { current, maximum }).unwrap();
        let large = namespace.writer_builder::<[u8]>("large").codec::<Bytes>();
        let error = source(large.capacity(512 << 20).max_state_len(512 << 20).open());
        assert!(
            matches!(error, ObjectError::Limit { limit: ResourceLimit::Mappings, .. }),
            "{error}, {error:?}"
        );
        assert_eq!(namespace.memory().unwrap().total().objects, 0, "nothing is left");
        open(namespace, "worker").unwrap().publish(&pattern(10)).unwrap();
        let inside = Namespace::in_process("inside").unwrap();
        let large = inside.writer_builder::<[u8]>("large").codec::<Bytes>();
        let error = source(large.capacity(512 << 20).max_state_len(512 << 20).open());
        assert!(matches!(error, ObjectError::Limit { limit: ResourceLimit::Mappings, .. }), "{error}");
    });
}

#[test]
fn mappings_end_with_an_error_before_the_process_can_not_allocate() {
    const MOST: u64 = 100_000;
    alone("mappings_end_with_an_error_before_the_process_can_not_allocate", |namespace| {
        let most: u64 = fs::read_to_string("/proc/sys/vm/max_map_count").unwrap().trim().parse().unwrap();
        if most > MOST {
            return println!("skipped: {most} mappings take too long");
        }
        let mut writer = open(namespace, "worker").unwrap();
        // The segment grows: it has an object of its own.
        writer.publish(&pattern(10_000)).unwrap();
        let mut readers = Vec::new();
        let error = loop {
            match namespace.reader_builder::<Vec<u8>>("worker").codec::<Bytes>().open() {
                Ok(reader) => readers.push(reader),
                Err(error) => break error,
            }
        };
        let AttachError::Object { source, .. } = &error else { panic!("{error}") };
        assert!(matches!(source, ObjectError::Limit { limit: ResourceLimit::Mappings, .. }), "{source:?}");
        assert!(readers.len() as u64 > most * 8 / 10, "{}", readers.len());
        // Each large block is a mapping, and so is each stack.
        let blocks: Vec<_> = (0..500).map(|_| vec![1_u8; 1 << 20]).collect();
        let threads: Vec<_> = (0..50).map(|_| std::thread::spawn(|| vec![2_u8; 1 << 20].len())).collect();
        assert!(threads.into_iter().all(|thread| thread.join().unwrap() == 1 << 20));
        drop(blocks);
        // The snapshot needs the grown segment's mapping.
        assert!(readers[0].snapshot().is_err());
        readers.truncate(100);
        assert_eq!(*readers[0].snapshot().unwrap(), pattern(10_000), "it works again");
        println!("{most} mappings allowed");
    });
}

#[test]
fn core_dumps_hold_no_large_objects() {
    alone("core_dumps_hold_no_large_objects", |namespace| {
        let mut writer = open(namespace, "worker").unwrap();
        let mut reader = namespace.reader_builder::<Vec<u8>>("worker").codec::<Bytes>().open().unwrap();
        // Both sides grow, and the reader maps both.
        for _ in 0..2 {
            writer.publish(&pattern(100_000)).unwrap();
            reader.snapshot().unwrap();
        }
        let maps = fs::read_to_string("/proc/self/smaps").unwrap();
        let mut objects = 0;
        let (mut is_ours, mut is_large) = (false, false);
        for line in maps.lines() {
            if let Some(flags) = line.strip_prefix("VmFlags:") {
                let is_checked = is_ours && is_large;
                assert!(!is_checked || flags.split(' ').any(|flag| flag == "dd"), "{flags}");
                objects += u32::from(is_checked);
            } else if let Some(size) = line.strip_prefix("Size:") {
                is_large = size.trim() != "4 kB";
            } else if line.contains('-') && !line.contains("kB") {
                is_ours = line.contains("/dev/shm/tl_");
            }
        }
        assert!(objects >= 4, "both segments of the writer and of the reader: {objects}");
    });
}
