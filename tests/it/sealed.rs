//! Sealed channels: whoever has the descriptor reads, whoever it is, and can do nothing else. No
//! process makes another one fault, and nothing is left.

use std::fs::{self, File};
use std::io::{IoSlice, Seek, SeekFrom, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Command;
use std::ptr;
use std::time::Duration;

use rustix::fs::{FallocateFlags, FlockOperation, MemfdFlags, OFlags, SealFlags};
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags, madvise, mmap, mprotect, munmap};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, sendmsg,
    socketpair,
};
use tearless::error::{
    AttachError, CreateError, DescriptorError, ObjectError, PublishError, SizeLimit, SnapshotError,
};
use tearless::inspect::WriterState;
use tearless::options::{AttachPolicy, RetryPolicy};
use tearless::sealed::{inheritable, receive_descriptor, send_descriptor};
use tearless::{Bytes, Namespace, Pod, Reader, ReaderBuilder, Writer};
use testkit::child::Child;
use testkit::fork::{become_member, fork, wait};

use crate::common::{
    Actor, OwnNamespace, eventually, is_pattern, is_root, orders, pattern, role, rounds, say, wait_for_end,
};
use crate::descriptors::leave;

/// The user of readers that are not the writer's. It needs no name.
const READER: u32 = 54_021;

/// Runs the command that follows as the first process of new PID and mount namespaces.
const INSIDE: [&str; 4] = ["unshare", "-pf", "--mount-proc", "--kill-child"];

/// More than small objects have from the beginning.
const LIMIT: usize = 256 << 10;

type BytesWriter = Writer<[u8], Bytes>;
type BytesReader = Reader<Vec<u8>, Bytes>;

fn writer() -> BytesWriter {
    Writer::sealed("worker").codec::<Bytes>().max_state_len(LIMIT).open().unwrap()
}

fn attach(descriptor: OwnedFd) -> BytesReader {
    Reader::from_descriptor(descriptor).unwrap()
}

fn reader_of(writer: &BytesWriter) -> BytesReader {
    attach(writer.descriptor().unwrap())
}

/// A socket at which the processes of a test meet.
struct Meeting {
    listener: UnixListener,
    path: PathBuf,
}

impl Meeting {
    fn path(namespace: &Namespace) -> PathBuf {
        std::env::temp_dir().join(format!("tearless-{}.sock", namespace.name()))
    }

    fn new(namespace: &Namespace) -> Meeting {
        let path = Meeting::path(namespace);
        let listener = UnixListener::bind(&path).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o666)).unwrap();
        Meeting { listener, path }
    }

    fn accept(&self) -> UnixStream {
        self.listener.set_nonblocking(true).unwrap();
        let mut accepted = None;
        eventually("a process comes", || {
            accepted = self.listener.accept().ok();
            accepted.is_some()
        });
        let stream = accepted.unwrap().0;
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// Hands the descriptor to the next process that comes.
    fn hand_out(&self, writer: &BytesWriter) {
        send_descriptor(self.accept(), writer.descriptor().unwrap()).unwrap();
    }
}

impl Drop for Meeting {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn receive(namespace: &Namespace) -> OwnedFd {
    receive_descriptor(UnixStream::connect(Meeting::path(namespace)).unwrap()).unwrap()
}

/// What this process has open or mapped of sealed channels.
fn traces(label: &str) -> usize {
    let label = format!("memfd:tearless-{label}");
    let links =
        fs::read_dir("/proc/self/fd").unwrap().filter_map(|it| fs::read_link(it.unwrap().path()).ok());
    let open = links.filter(|link| link.to_string_lossy().contains(&label)).count();
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    open + maps.lines().filter(|line| line.contains(&label)).count()
}

fn open_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn states_of_all_sizes_are_read_and_the_last_one_stays() {
    let mut writer = Writer::sealed("of-all-sizes").codec::<Bytes>();
    writer = writer.max_state_len(LIMIT).checksum(true);
    let mut writer: BytesWriter = writer.open().unwrap();
    let mut reader: BytesReader = attach(writer.descriptor().unwrap());
    assert!(matches!(reader.snapshot(), Err(SnapshotError::Empty { .. })));
    assert_eq!(reader.writer_state().unwrap(), WriterState::Alive);
    for len in [0, 1, 928, 929, 5_000, 4_064, 4_065, 100_000, 3, LIMIT, 20, LIMIT - 1, LIMIT] {
        let number = writer.publish(&pattern(len)).unwrap();
        let mut late = attach(writer.descriptor().unwrap());
        for reader in [&mut reader, &mut late] {
            assert!(reader.has_changed());
            assert_eq!(reader.latest_info().unwrap().payload_len(), len);
            let state = reader.snapshot().unwrap();
            assert!(state.publication() == number && *state == pattern(len), "{len}");
            assert_eq!(reader.history().next().unwrap().unwrap().len(), len);
            assert_eq!(*reader.view().unwrap(), *pattern(len));
        }
    }
    let refused = writer.publish(&pattern(LIMIT + 1)).unwrap_err();
    assert!(matches!(refused, PublishError::TooLarge { limit: SizeLimit::MaxStateLen, .. }), "{refused}");
    let mut loan = writer.loan(77_777).unwrap();
    loan.write_at(0, &pattern(77_777));
    loan.publish().unwrap();
    assert_eq!(*reader.snapshot().unwrap(), pattern(77_777));
    assert!(writer.touch().is_ok() && reader.heartbeat_age().is_some());
    let error = writer.reopen().unwrap_err().to_string();
    assert!(error.contains("Writer::sealed"), "{error}");
    writer.close().unwrap();
    assert_eq!(reader.writer_state().unwrap(), WriterState::Closed);
    assert!(matches!(reader.changed(Duration::from_secs(60)), Err(SnapshotError::Closed { .. })));
    let mut clone = reader.clone();
    drop(reader);
    assert_eq!(*clone.snapshot().unwrap(), pattern(77_777), "the memory lives as long as its readers");
    drop(clone);
    assert_eq!(traces("of-all-sizes"), 0);
}

#[test]
fn memory_is_taken_only_as_far_as_states_need_it() {
    let huge = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/shmem_enabled").unwrap_or_default();
    if ["[always]", "[within_size]", "[force]"].iter().any(|it| huge.contains(it)) {
        eprintln!("skipped: this system gives all shared memory huge pages");
        return;
    }
    let mut writer = Writer::sealed("sparse").codec::<Bytes>().max_state_len(64 << 20).open().unwrap();
    let file = File::from(writer.descriptor().unwrap());
    let used = || std::os::unix::fs::MetadataExt::blocks(&file.metadata().unwrap()) * 512;
    assert!(file.metadata().unwrap().len() > 64 << 20 && used() < 128 << 10, "{}", used());
    let mut reader = attach(writer.descriptor().unwrap());
    writer.publish(&pattern(1 << 20)).unwrap();
    assert_eq!(reader.snapshot().unwrap().len(), 1 << 20);
    writer.publish(&pattern(10)).unwrap();
    assert_eq!(reader.snapshot().unwrap().len(), 10);
    assert!((4 << 20..8 << 20).contains(&used()), "the 4 slots of one side has grown: {}", used());
}

#[test]
fn plain_states_and_formats_are_as_with_a_name() {
    let mut writer = Writer::<[u64; 4]>::sealed("plain").codec::<Pod>().open().unwrap();
    writer.publish(&[1, 2, 3, 4]).unwrap();
    let mut reader = Reader::<[u64; 4], Pod>::from_descriptor(writer.descriptor().unwrap()).unwrap();
    assert_eq!((*reader.snapshot().unwrap(), reader.channel()), ([1, 2, 3, 4], "plain"));
    let other = Reader::<[u32; 8], Pod>::from_descriptor(writer.descriptor().unwrap()).unwrap_err();
    assert!(matches!(other, AttachError::FormatMismatch { .. }), "{other}");
    let clone = Writer::<u64>::sealed("plain").codec::<Pod>();
    let [one, other] = [clone.clone(), clone].map(|builder| builder.open().unwrap());
    assert_ne!(
        File::from(one.descriptor().unwrap())
            .metadata()
            .map(|it| std::os::unix::fs::MetadataExt::ino(&it))
            .unwrap(),
        File::from(other.descriptor().unwrap())
            .metadata()
            .map(|it| std::os::unix::fs::MetadataExt::ino(&it))
            .unwrap(),
        "each writer has a channel of its own",
    );
    let named = OwnNamespace::new(&["worker"]);
    let named = named.writer_builder::<u64>("worker").codec::<Pod>().open().unwrap();
    assert!(matches!(named.descriptor(), Err(ObjectError::NotSealed { .. })));
}

/// Tries everything that could change what a descriptor leads to. Returns what was not refused.
fn attacks(descriptor: BorrowedFd<'_>) -> Vec<&'static str> {
    let bytes = usize::try_from(rustix::fs::fstat(descriptor).unwrap().st_size).unwrap();
    let map = |protection| {
        // SAFETY: a new mapping at an address of the kernel's choice replaces nothing.
        unsafe { mmap(ptr::null_mut(), bytes, protection, MapFlags::SHARED, descriptor, 0) }
    };
    let mapped = map(ProtFlags::READ).unwrap();
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    let all = bytes as u64;
    let done = [
        ("truncate", rustix::fs::ftruncate(descriptor, 0)),
        ("lengthen", rustix::fs::ftruncate(descriptor, 2 * all)),
        ("write", rustix::io::pwrite(descriptor, &[0; 4096], 0).map(drop)),
        ("punch a hole", rustix::fs::fallocate(descriptor, hole, 0, all)),
        ("zero", rustix::fs::fallocate(descriptor, FallocateFlags::ZERO_RANGE, 0, all)),
        ("map for writing", map(ProtFlags::READ | ProtFlags::WRITE).map(drop)),
        // SAFETY: the mapping is this function's, and nothing refers to it.
        ("remap", unsafe { mprotect(mapped, bytes, MprotectFlags::READ | MprotectFlags::WRITE) }),
        // SAFETY: as above.
        ("remove", unsafe { madvise(mapped, bytes, Advice::LinuxRemove) }),
        ("seal", rustix::fs::fcntl_add_seals(descriptor, SealFlags::WRITE)),
    ];
    // SAFETY: as above.
    unsafe { munmap(mapped, bytes) }.unwrap();
    done.into_iter().filter(|(_, result)| result.is_ok()).map(|(what, _)| what).collect()
}

/// Attacks as this user or another one.
fn attack(namespace: &Namespace, as_user: &str) {
    let descriptor = receive(namespace);
    if as_user == "stranger" {
        become_member(READER, READER, &[]);
    }
    let mut reader = attach(descriptor.try_clone().unwrap());
    assert!(is_pattern(&reader.snapshot().unwrap()));
    assert_eq!(reader.writer_state().unwrap(), WriterState::Alive);
    assert_eq!(attacks(descriptor.as_fd()), [""; 0]);
    if as_user == "same" {
        // Its owner may open it for writing again, and can do no more by that.
        rustix::fs::fchmod(&descriptor, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
        let path = format!("/proc/self/fd/{}", descriptor.as_raw_fd());
        let again = rustix::fs::open(path, OFlags::RDWR, rustix::fs::Mode::empty()).unwrap();
        assert_eq!(attacks(again.as_fd()), [""; 0]);
        rustix::fs::fchmod(&descriptor, rustix::fs::Mode::RUSR).unwrap();
    }
    for flags in [OFlags::RDWR, OFlags::WRONLY, OFlags::RDWR | OFlags::TRUNC] {
        let path = format!("/proc/self/fd/{}", descriptor.as_raw_fd());
        match rustix::fs::open(path, flags, rustix::fs::Mode::empty()) {
            Err(errno) => assert!(matches!(errno, Errno::ACCESS | Errno::PERM), "{errno}"),
            // The system refuses root nothing but what the seals forbid.
            Ok(again) if as_user != "stranger" => {
                if flags == OFlags::RDWR {
                    assert_eq!(attacks(again.as_fd()), [""; 0]);
                }
            }
            Ok(_) => panic!("a stranger opened the memory again"),
        }
    }
    assert!(is_pattern(&reader.snapshot().unwrap()));
    say("tried");
    wait_for_end();
}

#[test]
fn a_holder_of_the_descriptor_can_only_read() {
    let test = "sealed::a_holder_of_the_descriptor_can_only_read";
    if let Some((role, namespace)) = role() {
        return attack(&namespace, &role);
    }
    let own = OwnNamespace::new(&[]);
    let meeting = Meeting::new(&own);
    let mut writer = writer();
    writer.publish(&pattern(50_000)).unwrap();
    let strangers = if is_root("to become another user") { &["same", "stranger"][..] } else { &["same"] };
    for role in strangers {
        let mut attacker = Actor::start(test, role, &own);
        meeting.hand_out(&writer);
        attacker.await_line("tried");
        for len in [10, 60_000] {
            writer.publish(&pattern(len)).unwrap();
            assert_eq!(*reader_of(&writer).snapshot().unwrap(), pattern(len));
        }
        attacker.finish();
    }
}

/// A worker that hands out its descriptor, and publishes as ordered.
fn work(namespace: &Namespace) {
    let mut writer = writer();
    writer.publish(&pattern(1)).unwrap();
    let main = UnixStream::connect(Meeting::path(namespace)).unwrap();
    send_descriptor(&main, writer.descriptor().unwrap()).unwrap();
    say("ready");
    for len in orders() {
        writer.publish(&pattern(len.parse().unwrap())).unwrap();
        say("published");
    }
}

#[test]
fn a_dead_writers_last_state_is_read() {
    let test = "sealed::a_dead_writers_last_state_is_read";
    if let Some((_, namespace)) = role() {
        return work(&namespace);
    }
    let own = OwnNamespace::new(&[]);
    let meeting = Meeting::new(&own);
    let mut worker = Actor::start(test, "worker", &own);
    let descriptor = receive_descriptor(meeting.accept()).unwrap();
    let mut reader = attach(descriptor.try_clone().unwrap());
    worker.await_line("ready");
    worker.order("30000");
    worker.await_line("published");
    assert_eq!(reader.writer_state().unwrap(), WriterState::Alive);
    worker.kill();
    // A reader's lock is no sign of the writer's life.
    rustix::fs::fcntl_lock(&descriptor, FlockOperation::NonBlockingLockShared).unwrap();
    for reader in [&mut reader, &mut attach(descriptor)] {
        assert_eq!(reader.writer_state().unwrap(), WriterState::Dead);
        assert_eq!(*reader.snapshot().unwrap(), pattern(30_000));
    }
}

/// Reads as another user in other namespaces.
fn read_elsewhere(namespace: &Namespace) {
    let descriptor = receive(namespace);
    become_member(READER, READER, &[]);
    let mut reader = attach(descriptor);
    say("ready");
    for order in orders() {
        match &*order {
            "dead" => {
                eventually("the writer is dead", || reader.writer_state().unwrap() == WriterState::Dead);
            }
            _ => {
                assert!(reader.changed(Duration::from_secs(60)).unwrap());
                assert_eq!(reader.writer_state().unwrap(), WriterState::Alive);
            }
        }
        say(&format!("has {}", reader.snapshot().unwrap().len()));
    }
}

#[test]
fn a_reader_in_another_container_reads_and_sees_the_writers_death() {
    let test = "sealed::a_reader_in_another_container_reads_and_sees_the_writers_death";
    match role() {
        Some((role, namespace)) if role == "worker" => return work(&namespace),
        Some((_, namespace)) => return read_elsewhere(&namespace),
        None => {}
    }
    if !is_root("for namespaces and other users") {
        return;
    }
    let own = OwnNamespace::new(&[]);
    let meeting = Meeting::new(&own);
    let mut worker = Actor::start(test, "worker", &own);
    let descriptor = receive_descriptor(meeting.accept()).unwrap();
    worker.await_line("ready");
    let mut reader = Actor::start_by(&INSIDE, test, "reader", &own);
    send_descriptor(meeting.accept(), descriptor).unwrap();
    reader.await_line("ready");
    for (order, len) in [("new", 1), ("new", 200_000), ("new", 7)] {
        if len != 1 {
            worker.order(&len.to_string());
            worker.await_line("published");
        }
        reader.order(order);
        reader.await_line(&format!("has {len}"));
    }
    worker.kill();
    reader.order("dead");
    reader.await_line("has 7");
    reader.finish();
}

/// Reads until the writer has closed the channel; every state must be whole.
fn read_all(namespace: &Namespace) {
    let mut reader = attach(receive(namespace));
    say("ready");
    while !reader.is_closed() {
        match reader.snapshot() {
            Ok(state) => assert!(is_pattern(&state) && state.len() == length_of(state.publication())),
            Err(SnapshotError::Empty { .. } | SnapshotError::Contended { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    // Even a reader that got no processor until now has the last one.
    let state = reader.snapshot().unwrap();
    assert_eq!(state.publication(), publications());
    assert_eq!(*state, pattern(length_of(publications())));
    say("done");
    wait_for_end();
}

fn publications() -> u64 {
    u64::from(rounds(20_000, 2_000_000))
}

/// The length of a publication: it grows in steps, up to the limit.
fn length_of(number: u64) -> usize {
    let most = (number * 40).min(LIMIT as u64);
    usize::try_from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % most + 1).unwrap().min(LIMIT)
}

#[test]
fn no_state_is_torn_while_the_channel_grows() {
    let test = "sealed::no_state_is_torn_while_the_channel_grows";
    if let Some((_, namespace)) = role() {
        return read_all(&namespace);
    }
    let own = OwnNamespace::new(&[]);
    let meeting = Meeting::new(&own);
    let mut writer = writer();
    let mut readers: Vec<_> = (0..3).map(|_| Actor::start(test, "reader", &own)).collect();
    readers.iter().for_each(|_| meeting.hand_out(&writer));
    readers.iter_mut().for_each(|reader| reader.await_line("ready"));
    for number in 1..=publications() {
        assert_eq!(writer.publish(&pattern(length_of(number))).unwrap(), number);
    }
    drop(writer);
    for mut reader in readers {
        reader.await_line("done");
        reader.finish();
    }
}

/// A memfd with this content and these seals.
fn memfd(content: &[u8], bytes: u64, seals: SealFlags) -> OwnedFd {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(rustix::fs::memfd_create(c"tearless-test", flags).unwrap());
    file.set_len(bytes).unwrap();
    file.write_all(content).unwrap();
    rustix::fs::fcntl_add_seals(&file, seals).unwrap();
    file.into()
}

fn write_only(descriptor: &OwnedFd) -> OwnedFd {
    let path = format!("/proc/self/fd/{}", descriptor.as_raw_fd());
    rustix::fs::open(path, OFlags::WRONLY, rustix::fs::Mode::empty()).unwrap()
}

const ALL: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::WRITE);

fn refused(descriptor: impl Into<OwnedFd>) -> AttachError {
    let builder = match ReaderBuilder::<Vec<u8>>::from_descriptor(descriptor.into()) {
        Ok(builder) => builder.codec::<Bytes>(),
        Err(error) => return error,
    };
    builder.attach_policy(AttachPolicy::default().not_ready(Duration::ZERO)).open().unwrap_err()
}

#[test]
fn what_is_no_sealed_channel_is_refused() {
    let (pipe, _other) = std::io::pipe().unwrap();
    let (socket, _other) = UnixStream::pair().unwrap();
    let folder = std::env::temp_dir().join(format!("tearless-sealed-{}", std::process::id()));
    fs::create_dir(&folder).unwrap();
    let file = File::create_new(folder.join("file")).unwrap();
    let not_sealed: [(&str, OwnedFd); 10] = [
        ("a pipe", pipe.into()),
        ("a socket", socket.into()),
        ("a directory", File::open(&folder).unwrap().into()),
        ("a file", file.into()),
        ("a device", File::open("/dev/null").unwrap().into()),
        ("a path", rustix::fs::open(&folder, OFlags::PATH, rustix::fs::Mode::empty()).unwrap()),
        ("one for writing", write_only(&memfd(&[0; 4096], 4096, SealFlags::SHRINK | SealFlags::GROW))),
        ("an unsealed memfd", memfd(&[0; 4096], 4096, SealFlags::empty())),
        ("one that can grow", memfd(&[0; 4096], 4096, SealFlags::SHRINK | SealFlags::WRITE)),
        ("one with holes to come", memfd(&[0; 4096], 4096, SealFlags::SHRINK | SealFlags::GROW)),
    ];
    for (what, descriptor) in not_sealed {
        let error = refused(descriptor);
        assert!(
            matches!(&error, AttachError::Object { source: ObjectError::NotSealed { .. }, .. }),
            "{what}: {error}"
        );
    }
    fs::remove_dir_all(folder).unwrap();
    for (what, descriptor) in [
        ("an empty one", memfd(&[], 0, ALL)),
        ("a sparse one", memfd(&[], 1 << 40, ALL)),
        ("another length", memfd(&[1; 5000], 5000, ALL)),
        ("text", memfd(&[b'a'; 4096], 4096, ALL)),
    ] {
        let error = refused(descriptor);
        assert!(matches!(error, AttachError::Object { .. }), "{what}: {error}");
    }
}

#[test]
fn a_hostile_object_gives_errors_or_states_and_no_signal() {
    let mut writer = Writer::sealed("hostile").codec::<Bytes>().max_state_len(200_000).open().unwrap();
    writer.publish(&pattern(3)).unwrap();
    let written = File::from(writer.descriptor().unwrap());
    let bytes = written.metadata().unwrap().len();
    let mut page = vec![0; 4096];
    written.read_exact_at(&mut page, 0).unwrap();
    // The first slot of segment B, with the only publication, lies beyond that.
    let policy = RetryPolicy::default().attempts(2).deadline(Duration::ZERO);
    let mut states = 0;
    for at in 0..1536 {
        for change in [1, 0xff] {
            let mut changed = page.clone();
            changed[at] ^= change;
            let mut copy = File::from(memfd(&changed, bytes, SealFlags::empty()));
            for offset in (0..bytes).step_by(1 << 12).skip(1) {
                let mut content = vec![0; 4096];
                written.read_exact_at(&mut content, offset).unwrap();
                if content.iter().any(|byte| *byte != 0) {
                    copy.seek(SeekFrom::Start(offset)).unwrap();
                    copy.write_all(&content).unwrap();
                }
            }
            reserve(&copy, bytes);
            rustix::fs::fcntl_add_seals(&copy, ALL).unwrap();
            let Ok(builder) = ReaderBuilder::<Vec<u8>>::from_descriptor(copy.into()) else { continue };
            let builder = builder.codec::<Bytes>().retry_policy(policy);
            let builder = builder.attach_policy(AttachPolicy::default().not_ready(Duration::ZERO));
            let Ok(mut reader) = builder.open() else { continue };
            if let Ok(state) = reader.snapshot() {
                assert_eq!(*state, pattern(3), "byte {at}");
                states += 1;
            }
            let _ = (reader.latest_info(), reader.writer_state(), reader.history().count());
        }
    }
    assert!(states > 100, "{states}");
}

#[test]
fn a_state_without_memory_is_no_signal() {
    let mut writer = Writer::sealed("hostile").codec::<Bytes>().max_state_len(LIMIT).open().unwrap();
    writer.publish(&pattern(3)).unwrap();
    let written = File::from(writer.descriptor().unwrap());
    let bytes = written.metadata().unwrap().len();
    let mut content = vec![0; usize::try_from(bytes).unwrap()];
    written.read_exact_at(&mut content, 0).unwrap();
    let word = |at: usize| u64::from_le_bytes(content[at..][..8].try_into().unwrap());
    // The slot with the only publication has the stamp 2. Its length follows.
    let (slots, stride) = (2 * word(64), 8 * word(72));
    let mut starts = (0..slots).map(|slot| usize::try_from(1536 + slot * stride).unwrap());
    let length = starts.find(|start| word(*start) == 2).unwrap() + 8;
    assert_eq!(word(length), 3);
    // What the writer has reserved, which is what states of 3 bytes take, and everything.
    let first = std::os::unix::fs::MetadataExt::blocks(&written.metadata().unwrap()) * 512;
    for (len, reserved, outcome) in [
        (3, 4096, "foreign"),
        (3, first, "read"),
        (50_000, first, "foreign"),
        (50_000, bytes, "read"),
        (LIMIT, first, "foreign"),
        (LIMIT, bytes, "read"),
        (LIMIT + 4096, bytes, "corrupt"),
        (usize::MAX, bytes, "corrupt"),
    ] {
        let copy = File::from(memfd(&content[..1536], bytes, SealFlags::empty()));
        if reserved > 4096 {
            reserve(&copy, reserved);
        }
        copy.write_all_at(&content[length - 8..][..64], length as u64 - 8).unwrap();
        copy.write_all_at(&len.to_le_bytes(), length as u64).unwrap();
        rustix::fs::fcntl_add_seals(&copy, ALL).unwrap();
        let used = copy.try_clone().unwrap();
        let used = || std::os::unix::fs::MetadataExt::blocks(&used.metadata().unwrap()) * 512;
        let before = used();
        let found = match Reader::<Vec<u8>, Bytes>::from_descriptor(copy.into()) {
            Ok(mut reader) => match reader.snapshot() {
                Ok(state) if state.len() == len => "read",
                Err(SnapshotError::Corrupt { .. }) => "corrupt",
                Err(SnapshotError::Object { source: ObjectError::Foreign { .. }, .. }) => "foreign",
                other => panic!("{len} of {reserved}: {other:?}"),
            },
            Err(AttachError::Object { source: ObjectError::Foreign { .. }, .. }) => "foreign",
            Err(error) => panic!("{len} of {reserved}: {error}"),
        };
        assert_eq!(found, outcome, "{len} of {reserved}");
        assert!(used() <= 2 * before, "{len} of {reserved}: its reader took {} for {before}", used());
    }
}

/// Gives the first bytes of an object memory, as its writer does.
fn reserve(file: &File, bytes: u64) {
    rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes).unwrap();
}

/// Sends bytes and descriptors in one message.
fn send_message(socket: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) {
    let mut space = [MaybeUninit::uninit(); 512];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        assert!(control.push(SendAncillaryMessage::ScmRights(descriptors)));
    }
    sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL).unwrap();
}

fn pairs() -> [(OwnedFd, OwnedFd); 2] {
    [SocketType::STREAM, SocketType::SEQPACKET]
        .map(|kind| socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).unwrap())
}

#[test]
fn each_descriptor_arrives_once_in_order_and_closed_on_exec() {
    for (here, there) in pairs() {
        let labels = ["one", "two", "three"];
        for label in labels {
            let mut writer = Writer::<u64>::sealed(label).codec::<Pod>().open().unwrap();
            writer.publish(&7).unwrap();
            send_descriptor(&here, writer.descriptor().unwrap()).unwrap();
        }
        drop(here);
        for label in labels {
            let descriptor = receive_descriptor(&there).unwrap();
            let flags = rustix::io::fcntl_getfd(&descriptor).unwrap();
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
            let mut reader = Reader::<u64, Pod>::from_descriptor(descriptor).unwrap();
            assert_eq!((reader.channel(), reader.writer_state().unwrap()), (label, WriterState::Closed));
            assert_eq!(*reader.snapshot().unwrap(), 7, "the message held the memory");
        }
        assert!(matches!(receive_descriptor(&there), Err(DescriptorError::Closed)));
    }
}

#[test]
fn what_goes_wrong_with_descriptors_is_an_error_and_leaks_none() {
    if role().is_none() {
        let test = "sealed::what_goes_wrong_with_descriptors_is_an_error_and_leaks_none";
        let own = OwnNamespace::new(&[]);
        return Actor::start(test, "alone", &own).finish();
    }
    let mut writer = writer();
    writer.publish(&pattern(9)).unwrap();
    let descriptor = writer.descriptor().unwrap();
    let (one, before) = (descriptor.as_fd(), open_descriptors());
    for round in 0..20 {
        for (is_packet, (here, there)) in pairs().into_iter().enumerate() {
            for (bytes, descriptors) in
                [(&b"x"[..], &[one][..]), (b"D", &[]), (b"D", &[one; 2]), (b"D", &[one; 50])]
            {
                send_message(&here, bytes, descriptors);
                let error = receive_descriptor(&there).unwrap_err();
                assert!(matches!(error, DescriptorError::Unexpected { .. }), "{error}");
            }
            if is_packet == 1 {
                send_message(&here, b"", &[]);
                let error = receive_descriptor(&there).unwrap_err();
                assert!(matches!(error, DescriptorError::Unexpected { .. }), "{error}");
                send_message(&here, b"DD", &[one]);
                let error = receive_descriptor(&there).unwrap_err();
                assert!(matches!(error, DescriptorError::Unexpected { .. }), "{error}");
            }
            // More than there is room for.
            send_message(&here, b"D", &[one; 100]);
            let error = receive_descriptor(&there).unwrap_err();
            assert!(matches!(error, DescriptorError::Unexpected { .. }), "{error}");

            send_descriptor(&here, one).unwrap();
            let used = leave(0);
            let lost = receive_descriptor(&there).unwrap_err();
            assert!(matches!(lost, DescriptorError::Lost), "{lost}");
            assert!(matches!(writer.descriptor(), Err(ObjectError::Limit { .. })));
            let refused = Writer::<u64>::sealed("too-many").codec::<Pod>().open().unwrap_err();
            assert!(
                matches!(refused, CreateError::Object { source: ObjectError::Limit { .. }, .. }),
                "{refused}"
            );
            drop(used);
            // What is sent again arrives.
            send_descriptor(&here, one).unwrap();
            let mut reader = attach(receive_descriptor(&there).unwrap());
            assert_eq!(*reader.snapshot().unwrap(), pattern(9));

            // Never received.
            send_descriptor(&here, one).unwrap();
            drop(there);
            let closed = send_descriptor(&here, one).unwrap_err();
            assert!(matches!(closed, DescriptorError::Closed), "{closed}");
        }
        let (idle, _other) = UnixStream::pair().unwrap();
        idle.set_nonblocking(true).unwrap();
        let error = receive_descriptor(&idle).unwrap_err();
        let would_block = std::io::ErrorKind::WouldBlock;
        assert!(
            matches!(&error, DescriptorError::Os { source, .. } if source.kind() == would_block),
            "{error}"
        );
        drop((refused(File::open("/dev/null").unwrap()), refused(memfd(&[7; 4096], 4096, ALL))));
        drop((idle, _other));
        assert_eq!(open_descriptors(), before, "round {round}");
    }
}

#[test]
fn a_socket_that_adds_the_senders_process_is_refused() {
    /// `SO_PASSPIDFD`, of Linux 6.5.
    const PASS_PIDFD: libc::c_int = 76;
    let (here, there) = UnixStream::pair().unwrap();
    let set = |value: libc::c_int| {
        // SAFETY: the kernel reads the value.
        unsafe {
            libc::setsockopt(there.as_raw_fd(), libc::SOL_SOCKET, PASS_PIDFD, (&raw const value).cast(), 4)
        }
    };
    if set(1) != 0 {
        eprintln!("skipped: this kernel has no SO_PASSPIDFD");
        return;
    }
    let writer = writer();
    send_descriptor(&here, writer.descriptor().unwrap()).unwrap();
    let error = receive_descriptor(&there).unwrap_err();
    assert!(matches!(error, DescriptorError::Refused { .. }), "{error}");
    assert_eq!(set(0), 0);
    attach(receive_descriptor(&there).unwrap());
}

#[test]
fn a_child_inherits_a_descriptor() {
    let test = "sealed::a_child_inherits_a_descriptor";
    match role() {
        Some((role, _)) if role == "stdin" => {
            let descriptor = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
            assert_eq!(*attach(descriptor).snapshot().unwrap(), pattern(5));
            return;
        }
        Some(_) => {
            for number in orders() {
                // SAFETY: the parent says that the number is this process's.
                let descriptor = unsafe { OwnedFd::from_raw_fd(number.parse().unwrap()) };
                assert_eq!(*attach(descriptor).snapshot().unwrap(), pattern(5));
                say("read");
            }
            return;
        }
        None => {}
    }
    let own = OwnNamespace::new(&[]);
    let mut writer = writer();
    writer.publish(&pattern(5)).unwrap();
    let copy = inheritable(writer.descriptor().unwrap()).unwrap();
    let mut child = Actor::start(test, "number", &own);
    child.order(&copy.as_raw_fd().to_string());
    drop(copy);
    child.await_line("read");
    child.finish();

    let mut command = Command::new(Child::this_program().get_program());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
    command.envs([("TEARLESS_TEST_ROLE", "stdin"), ("TEARLESS_TEST_NAMESPACE", own.name())]);
    let output = command.stdin(writer.descriptor().unwrap()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn a_fork_of_the_writer_is_refused_and_takes_nothing() {
    if role().is_none() {
        let test = "sealed::a_fork_of_the_writer_is_refused_and_takes_nothing";
        let own = OwnNamespace::new(&[]);
        return Actor::start(test, "alone", &own).finish();
    }
    let mut writer = writer();
    writer.publish(&pattern(5)).unwrap();
    let mut reader = reader_of(&writer);
    let mut writer = Some(writer);
    let child = fork(|| {
        let mut writer = writer.take().unwrap();
        assert!(matches!(writer.publish(&pattern(6)), Err(PublishError::Forked { .. })));
        drop(writer);
    });
    assert_eq!(wait(child).exit_status(), Some(0));
    assert_eq!(reader.writer_state().unwrap(), WriterState::Alive);
    writer.unwrap().publish(&pattern(7)).unwrap();
    assert_eq!(*reader.snapshot().unwrap(), pattern(7));
}
