//! Failures that only named shared memory can have.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;

use super::*;
use crate::layout::{PAGE_BYTES, WORD_BYTES};
use crate::memory::{Memory, MemoryMut};
use crate::object::Size;

/// A name of a test, removed when the test ends, whatever it means then.
struct Name(String);

impl Name {
    fn new(test: &str) -> Name {
        Name(format!("tl_test_{}_{test}", std::process::id()))
    }

    fn path(&self) -> PathBuf {
        PathBuf::from(SharedMemory::default().path(&self.0))
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.path());
        let _ = fs::remove_dir(self.path());
    }
}

fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Runs this test binary again with only the test `name`; an environment variable marks it as the
/// child.
fn child(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([name, "--exact", "--nocapture", "--test-threads=1"]).env("TEARLESS_TEST_CHILD", "1");
    command
}

fn is_child() -> bool {
    std::env::var_os("TEARLESS_TEST_CHILD").is_some()
}

const OTHER_USER: u32 = 65_534;

fn set_effective_user(user: u32) {
    // SAFETY: setresuid takes plain numbers; -1 leaves the real and the saved user as they are.
    assert_eq!(unsafe { libc::setresuid(u32::MAX, user, u32::MAX) }, 0);
}

/// Does `work` as a user other than root. Only for child processes of a test.
fn as_another_user<R>(work: impl FnOnce() -> R) -> R {
    if !rustix::process::geteuid().is_root() {
        return work();
    }
    set_effective_user(OTHER_USER);
    let result = work();
    set_effective_user(0);
    result
}

#[test]
fn a_store_through_a_readers_mapping_faults() {
    if is_child() {
        let backend = SharedMemory::default();
        let name = Name::new("fault");
        let _memory = backend.create(&name.0, PAGE_BYTES, Access::OWNER).unwrap();
        let view = backend.view(&name.0).unwrap();
        drop(name);
        assert_eq!(view.load(0), 0);
        println!("about to store");
        // SAFETY: the pointer is aligned and mapped. It is mapped read-only: the test expects the
        // signal that ends this child process, which exists only for that.
        unsafe { view.address().write_volatile(1) };
        return;
    }
    let output = child("object::shm::tests::a_store_through_a_readers_mapping_faults").output().unwrap();
    let signal = std::os::unix::process::ExitStatusExt::signal(&output.status);
    assert!(String::from_utf8_lossy(&output.stdout).contains("about to store"));
    assert_eq!(signal, Some(libc::SIGSEGV));
}

fn assert_permissions(mode: u32) {
    let backend = SharedMemory::default();
    let (name, claimed) = (Name::new("mode"), Name::new("mode_c"));
    let access = Access { mode, group: None };
    let _memory = backend.create(&name.0, PAGE_BYTES, access).unwrap();
    let options = ClaimOptions::create(Size::Exactly(PAGE_BYTES));
    let claim = backend.claim(&claimed.0, options, &|_| false).unwrap();
    claim.set_access(access).unwrap();
    for name in [&name, &claimed] {
        assert_eq!(fs::metadata(name.path()).unwrap().permissions().mode() & 0o7777, mode);
    }
}

#[test]
fn permissions_are_exact_under_any_umask() {
    if is_child() {
        let umask = std::env::var("TEARLESS_TEST_UMASK").unwrap();
        rustix::process::umask(FileMode::from_raw_mode(u32::from_str_radix(&umask, 8).unwrap()));
        // Permissions don't apply to root.
        return as_another_user(|| [0o600, 0o640, 0o644].into_iter().for_each(assert_permissions));
    }
    for umask in ["0", "022", "077", "777"] {
        let mut command = child("object::shm::tests::permissions_are_exact_under_any_umask");
        assert!(
            command.env("TEARLESS_TEST_UMASK", umask).output().unwrap().status.success(),
            "umask {umask}"
        );
    }
}

/// The offset in its object at which the mapping of this address begins.
fn mapped_from(address: *mut u64) -> usize {
    let hexadecimal = |text: &str| usize::from_str_radix(text, 16).unwrap();
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let mut offsets = maps.lines().filter_map(|line| {
        let mut columns = line.split(' ');
        let (begin, end) = columns.next()?.split_once('-')?;
        let is_here = (hexadecimal(begin)..hexadecimal(end)).contains(&address.addr());
        is_here.then(|| hexadecimal(columns.nth(1).unwrap()))
    });
    offsets.next().unwrap()
}

#[test]
fn of_a_part_kernels_map_the_pages_that_hold_it() {
    let (name, pages) = (Name::new("part"), 40);
    let backend = SharedMemory::default();
    let memory = backend.create(&name.0, pages * PAGE_BYTES, Access::OWNER).unwrap();
    let (fd, stat) = backend.open(&backend.path(&name.0), OFlags::RDWR).unwrap();
    for size in [4 << 10, 16 << 10, 64 << 10].into_iter().filter(|size| *size >= mapping::page_bytes()) {
        for start in (0..pages).map(|page| page * PAGE_BYTES) {
            let part = mapping::shared(fd.as_fd(), start, PAGE_BYTES, identity(&stat), size).unwrap();
            assert_eq!(mapped_from(part.address()), start - start % size);
            part.store(0, (start + size) as u64);
            assert_eq!(memory.load(start / WORD_BYTES), (start + size) as u64);
        }
    }
}

#[test]
fn memory_is_reserved_when_the_object_is_created() {
    use std::os::unix::fs::MetadataExt;
    let (name, bytes) = (Name::new("reserved"), 1 << 20);
    let _memory = SharedMemory::default().create(&name.0, bytes, Access::OWNER).unwrap();
    let stat = fs::metadata(name.path()).unwrap();
    assert_eq!((stat.len(), stat.blocks() * 512), (bytes as u64, bytes as u64));
}

#[test]
fn an_object_with_a_size_but_without_memory_is_not_touched() {
    use std::os::unix::fs::MetadataExt;
    let backend = SharedMemory::default();
    let name = Name::new("unreserved");
    let file = fs::File::create(name.path()).unwrap();
    file.set_len(PAGE_BYTES as u64).unwrap();
    assert!(matches!(backend.view(&name.0), Err(ObjectError::Unfinished { .. })));
    assert_eq!(fs::metadata(name.path()).unwrap().blocks(), 0, "looking at it gave it no memory");
    drop(backend.claim(&name.0, ClaimOptions::existing(Size::Exactly(PAGE_BYTES)), &|_| false).unwrap());
    assert_eq!(fs::metadata(name.path()).unwrap().blocks() * 512, PAGE_BYTES as u64);
    assert!(backend.view(&name.0).is_ok());
}

#[test]
fn a_claim_gives_a_file_of_any_length_no_more_memory_than_a_new_object() {
    use std::os::unix::fs::MetadataExt;
    let name = Name::new("sparse");
    fs::File::create(name.path()).unwrap().set_len(1 << 40).unwrap();
    let claimed =
        SharedMemory::default().claim(&name.0, ClaimOptions::existing(Size::AtLeast(PAGE_BYTES)), &|_| false);
    assert_eq!(claimed.unwrap().memory().len() * WORD_BYTES, PAGE_BYTES);
    let found = fs::metadata(name.path()).unwrap();
    assert_eq!((found.len(), found.blocks() * 512), (PAGE_BYTES as u64, PAGE_BYTES as u64));
}

#[test]
fn an_object_that_grows_has_memory_for_all_of_its_bytes() {
    use std::os::unix::fs::MetadataExt;
    let name = Name::new("growing");
    let options = ClaimOptions::create(Size::AtLeast(PAGE_BYTES));
    let mut claim = SharedMemory::default().claim(&name.0, options, &|_| false).unwrap();
    for pages in [1, 2, 100] {
        claim.grow(pages * PAGE_BYTES).unwrap();
        let found = fs::metadata(name.path()).unwrap();
        let bytes = (pages * PAGE_BYTES) as u64;
        assert_eq!((found.len(), found.blocks() * 512), (bytes, bytes));
    }
}

#[test]
fn what_does_not_fit_is_an_error_and_leaves_nothing() {
    let name = Name::new("huge");
    let backend = SharedMemory::default();
    // More than an address space: refused before any memory is reserved, on a machine of any size.
    let error = backend.create(&name.0, 1 << 62, Access::OWNER).unwrap_err();
    assert!(
        matches!(error, ObjectError::NoSpace { .. } | ObjectError::Limit { .. } | ObjectError::Os { .. }),
        "{error}"
    );
    assert!(!name.path().exists());
}

#[test]
fn mappings_hold_no_descriptor() {
    if !is_child() {
        // Other tests of this process open descriptors, too.
        let status = child("object::shm::tests::mappings_hold_no_descriptor").output().unwrap().status;
        return assert!(status.success());
    }
    let backend = SharedMemory::default();
    let name = Name::new("fd");
    let before = open_descriptors();
    let _memory = backend.create(&name.0, PAGE_BYTES, Access::OWNER).unwrap();
    let _views: Vec<_> = (0..10).map(|_| backend.view(&name.0).unwrap()).collect();
    let _again = backend.reopen(&name.0).unwrap();
    assert_eq!(open_descriptors(), before);
    let claimed = Name::new("fd_c");
    let _claim =
        backend.claim(&claimed.0, ClaimOptions::create(Size::Exactly(PAGE_BYTES)), &|_| false).unwrap();
    assert_eq!(open_descriptors(), before + 1, "the claim's lock");
}

#[test]
fn squatted_names_are_refused_by_name_and_left_alone() {
    let backend = SharedMemory::default();
    type Squatter = (&'static str, fn(&Name));
    let squat: [Squatter; 5] = [
        ("symlink", |name| symlink("/etc/hostname", name.path()).unwrap()),
        ("dangling", |name| symlink("/nowhere", name.path()).unwrap()),
        ("directory", |name| fs::create_dir(name.path()).unwrap()),
        ("fifo", |name| assert!(Command::new("mkfifo").arg(name.path()).status().unwrap().success())),
        ("text", |name| fs::write(name.path(), "not ours").unwrap()),
    ];
    for (kind, make) in squat {
        let name = Name::new(kind);
        make(&name);
        let view = backend.view(&name.0).map(drop);
        let reopened = backend.reopen(&name.0).map(drop);
        let claim =
            backend.claim(&name.0, ClaimOptions::create(Size::Exactly(PAGE_BYTES)), &|_| false).map(drop);
        for result in [view, reopened, claim] {
            let error = result.expect_err(kind);
            assert!(matches!(error, ObjectError::Foreign { .. }), "{kind}: {error}");
            assert!(error.to_string().contains(&name.0), "{error}");
        }
        assert!(matches!(
            backend.create(&name.0, PAGE_BYTES, Access::OWNER),
            Err(ObjectError::Exists { .. })
        ));
        assert!(fs::symlink_metadata(name.path()).is_ok(), "{kind} was removed");
    }
}

#[test]
fn another_users_object_is_refused_unless_trusted() {
    if rustix::process::geteuid().as_raw() != 0 {
        println!("skipped: needs root, to make an object of another user");
        return;
    }
    let name = Name::new("owner");
    let mut backend = SharedMemory::default();
    drop(backend.create(&name.0, PAGE_BYTES, Access { mode: 0o644, group: None }).unwrap());
    std::os::unix::fs::chown(name.path(), Some(OTHER_USER), None).unwrap();
    let error = backend.view(&name.0).unwrap_err();
    assert!(matches!(error, ObjectError::OtherOwner { owner: OTHER_USER, .. }), "{error}");
    backend.trust_owner(OTHER_USER);
    assert!(backend.view(&name.0).is_ok());
}

#[test]
fn a_half_made_object_is_awaited_by_readers_and_finished_by_the_claim() {
    let backend = SharedMemory::default();
    let name = Name::new("empty");
    fs::write(name.path(), "").unwrap();
    assert!(matches!(backend.view(&name.0), Err(ObjectError::Unfinished { .. })));
    let claim = backend.claim(&name.0, ClaimOptions::create(Size::Exactly(PAGE_BYTES)), &|_| false).unwrap();
    claim.memory().store(5, 5);
    assert_eq!(backend.view(&name.0).unwrap().load(5), 5);
    drop(claim);
    let empty = Name::new("empty_segment");
    fs::write(empty.path(), "").unwrap();
    assert!(backend.remove_leftover(&empty.0).unwrap());
}

#[test]
fn a_lack_of_permission_is_reported_as_such() {
    if !is_child() {
        let status =
            child("object::shm::tests::a_lack_of_permission_is_reported_as_such").output().unwrap().status;
        return assert!(status.success());
    }
    if rustix::process::geteuid().as_raw() != 0 {
        println!("skipped: needs root, to become another user");
        return;
    }
    let name = Name::new("permission");
    drop(SharedMemory::default().create(&name.0, PAGE_BYTES, Access::OWNER).unwrap());
    let denied = as_another_user(|| SharedMemory::default().view(&name.0).unwrap_err());
    assert!(matches!(denied, ObjectError::PermissionDenied { .. }), "{denied}");
}
