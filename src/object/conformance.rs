//! Requirements on every backend. One suite, run for each.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Access, Backend, ClaimOptions, Heap, ObjectError, SharedMemory, Size};
use crate::layout::{PAGE_BYTES, WORD_BYTES};
use crate::memory::{Memory, MemoryMut, Words};

/// Makes the names of a test unique on the machine, and removes the objects when the test ends,
/// however it ends.
struct Names {
    backend: Arc<dyn Backend>,
    stem: String,
}

impl Names {
    fn new(backend: Arc<dyn Backend>, test: &str) -> Names {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // Several backends are the same shared memory, and run the same test at the same time.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Names { backend, stem: format!("tl_test_{}_{test}{number}", std::process::id()) }
    }

    fn name(&self, suffix: &str) -> String {
        format!("{}{suffix}", self.stem)
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        for suffix in ["a", "b", "c"] {
            let _ = self.backend.remove_leftover(&self.name(suffix));
        }
    }
}

/// Treats every owner as alive.
fn never(_memory: &Words) -> bool {
    false
}

fn new_objects_are_zero_exclusive_and_shared(backend: Arc<dyn Backend>) {
    let names = Names::new(backend, "new");
    let (name, bytes) = (names.name("a"), 3 * PAGE_BYTES);
    assert!(matches!(names.backend.view(&name), Err(ObjectError::NotFound { .. })));
    assert!(matches!(names.backend.reopen(&name), Err(ObjectError::NotFound { .. })));
    let memory = names.backend.create(&name, bytes, Access::OWNER).unwrap();
    assert!([bytes, names.backend.memory_of(bytes)].contains(&(memory.len() * WORD_BYTES)));
    assert!((0..memory.len()).all(|word| memory.load(word) == 0));
    assert!(matches!(names.backend.create(&name, bytes, Access::OWNER), Err(ObjectError::Exists { .. })));
    let view = names.backend.view(&name).unwrap();
    let again = names.backend.reopen(&name).unwrap();
    memory.store(memory.len() - 1, 7);
    again.store(0, 8);
    assert_eq!((view.load(view.len() - 1), view.load(0)), (7, 8));
}

fn objects_live_on_without_a_name(backend: Arc<dyn Backend>) {
    let names = Names::new(backend, "nameless");
    let name = names.name("a");
    let memory = names.backend.create(&name, PAGE_BYTES, Access::OWNER).unwrap();
    let view = names.backend.view(&name).unwrap();
    names.backend.remove(&name, &memory).unwrap();
    assert!(matches!(names.backend.view(&name), Err(ObjectError::NotFound { .. })));
    memory.store(1, 5);
    assert_eq!(view.load(1), 5);
    drop(memory);
    assert_eq!(view.load(1), 5);
}

fn removing_never_hits_a_successor(backend: Arc<dyn Backend>) {
    let names = Names::new(backend, "successor");
    let name = names.name("a");
    let first = names.backend.create(&name, PAGE_BYTES, Access::OWNER).unwrap();
    assert!(names.backend.remove_leftover(&name).unwrap());
    assert!(!names.backend.remove_leftover(&name).unwrap());
    names.backend.remove(&name, &first).unwrap();
    let second = names.backend.create(&name, PAGE_BYTES, Access::OWNER).unwrap();
    second.store(0, 2);
    names.backend.remove(&name, &first).unwrap();
    drop(first);
    assert_eq!(names.backend.view(&name).unwrap().load(0), 2);
}

fn is_named(names: &Names, name: &str, memory: &Words) -> bool {
    names.backend.is_named(name, memory.object()).unwrap()
}

fn a_name_means_one_object_or_none(backend: Arc<dyn Backend>) {
    let names = Names::new(backend, "means");
    let [first_name, second_name] = ["a", "b"].map(|suffix| names.name(suffix));
    let [first, second] = [&first_name, &second_name]
        .map(|name| names.backend.create(name, PAGE_BYTES, Access::OWNER).unwrap());
    let means = |name: &String| [&first, &second].map(|memory| is_named(&names, name, memory));
    assert_eq!((means(&first_name), means(&second_name)), ([true, false], [false, true]));
    let view = names.backend.view(&first_name).unwrap();
    assert!(names.backend.is_named(&first_name, view.object()).unwrap(), "of each of its mappings");
    names.backend.remove_leftover(&first_name).unwrap();
    assert_eq!(means(&first_name), [false, false], "no object");
    let _successor = names.backend.create(&first_name, PAGE_BYTES, Access::OWNER).unwrap();
    assert_eq!(means(&first_name), [false, false], "another object");
    assert_eq!(means(&second_name), [false, true]);
}

fn dropping_removes_nothing(backend: Arc<dyn Backend>) {
    let names = Names::new(backend, "drop");
    let name = names.name("a");
    drop(names.backend.create(&name, PAGE_BYTES, Access::OWNER).unwrap());
    drop(names.backend.view(&name).unwrap());
    drop(names.backend.reopen(&name).unwrap());
    assert!(names.backend.view(&name).is_ok());
}

fn a_claim_is_exclusive_and_ends_with_its_holder(backend: Arc<dyn Backend>) {
    let names = Names::new(backend, "claim");
    let name = names.name("c");
    assert!(matches!(
        names.backend.claim(&name, ClaimOptions::existing(Size::Exactly(PAGE_BYTES)), &never),
        Err(ObjectError::NotFound { .. })
    ));
    let claim = names.backend.claim(&name, ClaimOptions::create(Size::Exactly(PAGE_BYTES)), &never).unwrap();
    claim.settle();
    assert!(is_named(&names, &name, claim.memory()));
    let view = names.backend.view(&name).unwrap();
    assert_eq!(names.backend.is_claimed(&name, &view).unwrap(), Some(true));
    claim.memory().store(3, 9);
    assert!(matches!(
        names.backend.claim(&name, ClaimOptions::create(Size::Exactly(PAGE_BYTES)), &never),
        Err(ObjectError::Claimed { .. })
    ));
    assert!(matches!(
        names.backend.claim(&name, ClaimOptions::existing(Size::Exactly(PAGE_BYTES)), &never),
        Err(ObjectError::Claimed { .. })
    ));
    // Looking at it, and failing to claim it, must not have given the claim up.
    drop(names.backend.view(&name).unwrap());
    assert!(matches!(
        names.backend.claim(&name, ClaimOptions::create(Size::Exactly(PAGE_BYTES)), &never),
        Err(ObjectError::Claimed { .. })
    ));
    drop(claim);
    assert_eq!(names.backend.is_claimed(&name, &view).unwrap(), Some(false));
    let again =
        names.backend.claim(&name, ClaimOptions::existing(Size::Exactly(PAGE_BYTES)), &never).unwrap();
    assert_eq!(again.memory().load(3), 9, "what a former holder left is kept");
    drop(again);
    assert!(names.backend.claim(&name, ClaimOptions::create(Size::Exactly(PAGE_BYTES)), &never).is_ok());
}

fn a_claim_of_another_size_is_refused(backend: Arc<dyn Backend>) {
    let names = Names::new(backend, "size");
    let name = names.name("c");
    // Also where pages are huge.
    let _memory = names.backend.create(&name, 600 * PAGE_BYTES, Access::OWNER).unwrap();
    assert!(matches!(
        names.backend.claim(&name, ClaimOptions::create(Size::Exactly(PAGE_BYTES)), &never),
        Err(ObjectError::Foreign { .. })
    ));
    assert!(names.backend.view(&name).is_ok());
}

fn a_removed_claim_makes_room_for_a_new_one(backend: Arc<dyn Backend>) {
    let names = Names::new(backend, "reclaim");
    let name = names.name("c");
    let first = names.backend.claim(&name, ClaimOptions::create(Size::Exactly(PAGE_BYTES)), &never).unwrap();
    first.settle();
    first.memory().store(0, 1);
    let view = names.backend.view(&name).unwrap();
    first.remove().unwrap();
    assert!(!is_named(&names, &name, first.memory()));
    assert_eq!(names.backend.is_claimed(&name, &view).unwrap(), None);
    let second = names.backend.claim(&name, ClaimOptions::create(Size::Exactly(PAGE_BYTES)), &never).unwrap();
    assert_eq!(second.memory().load(0), 0);
    first.remove().unwrap();
    assert!(is_named(&names, &name, second.memory()), "a claim removes its own object only");
}

fn a_claim_grows_and_stays_the_same_object(backend: Arc<dyn Backend>) {
    let names = Names::new(backend, "growing");
    let name = names.name("c");
    let size = Size::AtLeast(PAGE_BYTES);
    let mut claim = names.backend.claim(&name, ClaimOptions::create(size), &never).unwrap();
    let before = claim.memory().clone();
    before.store(0, 3);
    let word = 500 * PAGE_BYTES / WORD_BYTES;
    for pages in [501, 700] {
        claim.grow(pages * PAGE_BYTES).unwrap();
        assert!(claim.memory().len() * WORD_BYTES >= pages * PAGE_BYTES);
    }
    assert_eq!((claim.memory().load(0), claim.memory().load(word)), (3, 0));
    assert_eq!(claim.memory().object(), before.object());
    claim.memory().store(word, 5);
    assert_eq!(names.backend.view(&name).unwrap().load(word), 5);
    drop(claim);
    let again = names.backend.claim(&name, ClaimOptions::existing(size), &never).unwrap();
    assert_eq!(again.memory().load(word), 5);
    drop(again);
    let fixed = ClaimOptions::existing(Size::Exactly(PAGE_BYTES));
    assert!(matches!(names.backend.claim(&name, fixed, &never), Err(ObjectError::Foreign { .. })));
}

fn sizes_and_owners_are_reported_without_opening(backend: Arc<dyn Backend>) {
    let names = Names::new(backend, "sizes");
    let name = names.name("a");
    assert!(matches!(names.backend.size(&name), Err(ObjectError::NotFound { .. })));
    let memory = names.backend.create(&name, 5 * PAGE_BYTES, Access::OWNER).unwrap();
    let size = names.backend.size(&name).unwrap();
    let (bytes, resident) = (5 * PAGE_BYTES as u64, names.backend.memory_of(5 * PAGE_BYTES) as u64);
    assert!(resident >= bytes && size.bytes >= bytes);
    assert_eq!(size.bytes, (memory.len() * WORD_BYTES) as u64);
    assert_eq!(size.resident, resident, "all of a created object has memory");
    let status = names.backend.status(&name).unwrap();
    assert_eq!((status.owner, status.permissions), (rustix::process::geteuid().as_raw(), Access::OWNER.mode));
    assert!(status.is_regular && status.size == size);
    names.backend.remove(&name, &memory).unwrap();
    assert!(matches!(names.backend.size(&name), Err(ObjectError::NotFound { .. })));
    assert!(matches!(names.backend.status(&name), Err(ObjectError::NotFound { .. })));
    let size = Size::AtLeast(PAGE_BYTES);
    let claimed = names.name("c");
    let mut claim = names.backend.claim(&claimed, ClaimOptions::create(size), &never).unwrap();
    claim.grow(3 * PAGE_BYTES).unwrap();
    let grown = names.backend.size(&claimed).unwrap();
    assert_eq!(grown.bytes, (claim.memory().len() * WORD_BYTES) as u64);
    assert_eq!(grown.resident, grown.bytes, "nothing is sparse");
}

fn parts_are_writable_and_at_their_place(backend: Arc<dyn Backend>) {
    let names = Names::new(backend, "part");
    let name = names.name("a");
    let memory = names.backend.create(&name, 40 * PAGE_BYTES, Access::OWNER).unwrap();
    for page in [0, 1, 5, 16, 17, 39] {
        let (start, word) = (page * PAGE_BYTES, page * PAGE_BYTES / WORD_BYTES);
        let part = names.backend.part(&name, start, PAGE_BYTES).unwrap();
        assert_eq!(part.len() * WORD_BYTES, PAGE_BYTES);
        part.store(3, page as u64 + 1);
        assert_eq!(memory.load(word + 3), page as u64 + 1);
    }
    let beyond = names.backend.part(&name, memory.len() * WORD_BYTES, PAGE_BYTES);
    assert!(matches!(beyond, Err(ObjectError::Unfinished { .. })));
}

/// Runs a test in a thread in which files are mapped as by a kernel with pages of that size.
fn with_pages_of(page: u32, test: fn(Arc<dyn Backend>)) {
    let work = move || {
        testkit::seccomp::map_files_by(page);
        test(Arc::new(SharedMemory::default()));
    };
    std::thread::spawn(work).join().unwrap();
}

/// A directory of a test, removed when the test ends.
struct Directory(PathBuf);

impl Directory {
    fn new(parent: &Path) -> Directory {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("tearless-test-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Directory(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

fn in_directory(directory: &Path, test: fn(Arc<dyn Backend>)) {
    let mut backend = SharedMemory::default();
    backend.move_to(directory).unwrap();
    test(Arc::new(backend));
}

/// Runs a test in the directory `d` of a tmpfs, in a thread that alone sees it. Before that, a
/// shell runs `mount` in the tmpfs.
fn mounted(mount: &'static str, test: fn(Arc<dyn Backend>)) {
    if !rustix::process::geteuid().is_root() {
        return println!("skipped: needs root, to mount file systems");
    }
    let directory = Directory::new(&std::env::temp_dir());
    let path = directory.0.clone();
    let work = move || {
        // SAFETY: only this thread gets mounts, and a working directory, of its own; it shares no
        // descriptors that the call would affect.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNS) }, 0);
        let script = format!(
            "mount --make-rprivate / && mount -t tmpfs none \"$0\" && cd \"$0\" && mkdir d && {mount}"
        );
        let status = Command::new("sh").args(["-c", &script]).arg(&path).status().unwrap();
        match status.code() {
            Some(0) => {
                in_directory(&path.join("d"), test);
                // A thread can be joined before its mounts are gone.
                assert!(Command::new("umount").arg("-R").arg(&path).status().unwrap().success());
            }
            _ => {
                println!("skipped: the system refuses to mount: {mount}");
                let may_skip = std::env::var_os("TEARLESS_MOUNTS").is_none() || mount == HUGETLBFS;
                assert!(may_skip, "TEARLESS_MOUNTS is set");
            }
        }
    };
    std::thread::spawn(work).join().unwrap();
}

/// 16 huge pages are more than any test needs. `ci/faults` asks the system for some.
const HUGETLBFS: &str =
    "[ $(sed -n 's/^HugePages_Free: *//p' /proc/meminfo) -ge 16 ] && mount -t hugetlbfs none d";
const EXT4: &str = "truncate -s 32M image && mkfs.ext4 -q -F image && mount -o loop image d";
const OVERLAY: &str = "mkdir u w l && mount -t overlay -o lowerdir=l,upperdir=u,workdir=w none d";

macro_rules! conformance {
    ($($test:ident),* $(,)?) => {
        mod shared_memory {
            $(#[test] fn $test() { super::$test(std::sync::Arc::new(super::SharedMemory::default())); })*
        }
        mod pages_of_16_kib {
            $(#[test] fn $test() { super::with_pages_of(16 << 10, super::$test); })*
        }
        mod pages_of_64_kib {
            $(#[test] fn $test() { super::with_pages_of(64 << 10, super::$test); })*
        }
        mod directory {
            $(#[test] fn $test() {
                let directory = super::Directory::new("/dev/shm".as_ref());
                super::in_directory(&directory.0, super::$test);
            })*
        }
        mod ext4 {
            $(#[test] fn $test() { super::mounted(super::EXT4, super::$test); })*
        }
        mod overlayfs {
            $(#[test] fn $test() { super::mounted(super::OVERLAY, super::$test); })*
        }
        mod hugetlbfs {
            $(#[test] fn $test() { super::mounted(super::HUGETLBFS, super::$test); })*
        }
        mod heap {
            $(#[test] fn $test() { super::$test(super::Heap::new().shared()); })*
        }
    };
}

conformance!(
    new_objects_are_zero_exclusive_and_shared,
    objects_live_on_without_a_name,
    removing_never_hits_a_successor,
    a_name_means_one_object_or_none,
    dropping_removes_nothing,
    a_claim_is_exclusive_and_ends_with_its_holder,
    a_claim_of_another_size_is_refused,
    a_removed_claim_makes_room_for_a_new_one,
    a_claim_grows_and_stays_the_same_object,
    sizes_and_owners_are_reported_without_opening,
    parts_are_writable_and_at_their_place,
);
