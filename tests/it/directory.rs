//! A directory as the place of a namespace: the promises of `/dev/shm` on tmpfs, ext4, overlayfs
//! and hugetlbfs; a directory that is refused, full, read-only, foreign or removed; containers that
//! share a volume. `object::conformance` does the same with single objects.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::common::{Actor, OwnNamespace, eventually, is_root, pattern, role, say, wait_for_end};
use crate::large_pages;
use crate::waiting_faults::{asleep, ends};
use tearless::{
    Bytes, Namespace, Reader, Writer,
    cleanup::Retention,
    error::{CreateError, NameError, ObjectError, PublishError},
    hub::Health,
    inspect::{capabilities_of, namespaces, objects},
    options::WaitPolicy,
};

const OTHER_USER: u32 = 65_534;

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(86_400);

/// A wait that takes this long has failed.
const FOREVER: Duration = Duration::from_secs(60);

/// A directory that no other test uses, removed at the end.
pub(super) struct OwnDirectory(pub(super) PathBuf);

impl OwnDirectory {
    pub(super) fn new() -> OwnDirectory {
        OwnDirectory::below(Path::new("/dev/shm"))
    }

    pub(super) fn below(parent: &Path) -> OwnDirectory {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("tearless-it-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        OwnDirectory(path)
    }

    fn set_mode(&self, mode: u32) {
        fs::set_permissions(&self.0, Permissions::from_mode(mode)).unwrap();
    }
}

impl Drop for OwnDirectory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn listed(directory: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn open(name: &str, directory: &Path) -> Namespace {
    Namespace::builder(name).directory(directory).open().unwrap()
}

fn refusal(directory: &Path) -> String {
    match Namespace::builder("fleet").directory(directory).open().map(drop) {
        Err(NameError::Directory { problem, .. }) => {
            let listing = namespaces().directory(directory).list().unwrap_err().to_string();
            assert!(listing.contains(&problem), "{listing}");
            assert!(capabilities_of(directory, &[]).unwrap_err().to_string().contains(&problem));
            problem
        }
        other => panic!("{other:?}"),
    }
}

fn create(namespace: &Namespace) -> Result<Writer<[u8], Bytes>, CreateError> {
    namespace.writer_builder::<[u8]>("worker").codec::<Bytes>().open()
}

fn attach(namespace: &Namespace) -> Reader<Vec<u8>, Bytes> {
    namespace.reader_builder::<Vec<u8>>("worker").codec::<Bytes>().attach_within(FOREVER).open().unwrap()
}

fn source(result: Result<Writer<[u8], Bytes>, CreateError>) -> ObjectError {
    match result.map(drop) {
        Err(CreateError::Object { source, .. }) => source,
        other => panic!("{other:?}"),
    }
}

#[test]
fn namespaces_of_one_name_in_two_places_have_nothing_in_common() {
    let (own, one, other) = (OwnNamespace::new(&["worker"]), OwnDirectory::new(), OwnDirectory::new());
    let all = [own.namespace.clone(), open(own.name(), &one.0), open(own.name(), &other.0)];
    assert_eq!(all[0].directory(), Some(Path::new("/dev/shm")));
    assert_eq!(all[1].directory(), Some(&*one.0));
    assert_eq!(Namespace::in_process("inside").unwrap().directory(), None);
    let hubs = all.each_ref().map(|namespace| namespace.hub_builder().codec::<Bytes>().open());
    let mut writers = all.each_ref().map(|namespace| create(namespace).unwrap());
    let mut readers = all.each_ref().map(attach);
    for (len, writer) in (100..).zip(&mut writers) {
        writer.publish(&pattern(len)).unwrap();
        // Each grows, and with its second publication the other side, too.
        writer.publish(&pattern(100 * len)).unwrap();
        writer.publish(&pattern(100 * len)).unwrap();
    }
    for (len, place) in (100..).zip(0..3) {
        assert_eq!(*readers[place].snapshot().unwrap(), pattern(100 * len));
        assert_eq!(*hubs[place].get::<Vec<u8>>("worker").unwrap(), pattern(100 * len));
        assert_eq!(all[place].channels().unwrap().len(), 1);
        assert_eq!(all[place].memory().unwrap().channels.len(), 1);
        assert_eq!(all[place].inspect("worker").unwrap().publication, 3);
    }
    let listing = namespaces().directory(&one.0).list().unwrap();
    assert_eq!(listing.iter().map(|info| info.name.as_deref()).collect::<Vec<_>>(), [Some(own.name())]);
    assert_eq!(objects().directory(&one.0).list().unwrap().len(), listed(&one.0).len());
    // Each waiter sleeps on its own directory's page, and only a writer there wakes it.
    let waiters = all.each_ref().map(|namespace| {
        let policy = WaitPolicy::default().spin(Duration::ZERO).slice(LONG);
        let mut watch = namespace.hub_builder().codec::<Bytes>().wait_policy(policy).open().watch("*");
        watch.changed().unwrap();
        asleep(move || watch.wait_any(LONG).unwrap().len())
    });
    for (writer, waiter) in writers.iter_mut().zip(waiters) {
        writer.publish(&pattern(7)).unwrap();
        assert_eq!(ends(waiter), 1);
    }
    let [mut first, _, mut third] = readers;
    let [_, in_one, _] = writers;
    in_one.close().unwrap();
    assert_eq!(listed(&one.0), [""; 0].map(PathBuf::from));
    assert_eq!((first.snapshot().unwrap().len(), third.snapshot().unwrap().len()), (7, 7));
    assert!(all[1].channels().unwrap().is_empty());
    assert_eq!(all[2].channels().unwrap().len(), 1);
}

#[test]
fn a_directory_that_others_may_change_or_that_is_none_is_refused_with_what_to_do() {
    let own = OwnDirectory::new();
    let missing = own.0.join("missing");
    assert!(refusal(&missing).contains(&format!("mkdir -p -m 700 {}", missing.display())));
    assert!(!missing.exists(), "it is not created");
    let file = own.0.join("file");
    File::create(&file).unwrap();
    assert!(refusal(&file).contains("is not a directory"));
    assert!(refusal(Path::new("")).contains("give the absolute path"));
    let odd = own.0.join("it's here");
    let advice = format!(r"mkdir -p -m 700 '{}/it'\''s here'", own.0.display());
    assert!(refusal(&odd).contains(&advice), "{}", refusal(&odd));
    assert!(refusal(Path::new("/dev/shm/\n")).contains("control characters"));
    let problem = refusal(Path::new("/proc"));
    assert!(problem.starts_with("/proc is on procfs, which") && problem.ends_with("of a tmpfs"), "{problem}");
    for (mode, is_refused) in
        [(0o700, false), (0o755, false), (0o1777, false), (0o1770, false), (0o777, true), (0o770, true)]
    {
        own.set_mode(mode);
        let opened = Namespace::builder("fleet").directory(&own.0).open();
        assert_eq!(opened.is_err(), is_refused, "{mode:o}: {opened:?}");
        if is_refused {
            let problem = refusal(&own.0);
            assert!(problem.contains("chmod +t") && problem.contains(&format!("{mode:o}")), "{problem}");
        }
    }
}

#[test]
fn a_path_may_be_relative_or_lead_over_a_symbolic_link_but_that_of_an_object_may_not() {
    let (target, links) = (OwnDirectory::new(), OwnDirectory::new());
    let link = links.0.join("link");
    symlink(&target.0, &link).unwrap();
    let relative: PathBuf =
        [&format!("..{}", "/..".repeat(20)), target.0.strip_prefix("/").unwrap().to_str().unwrap()]
            .iter()
            .collect();
    let spelled = format!("{}//./", target.0.display());
    let mut writer = create(&open("fleet", &target.0)).unwrap();
    writer.publish(&pattern(5)).unwrap();
    for path in [&link, &relative, Path::new(&spelled)] {
        assert_eq!(attach(&open("fleet", path)).snapshot().unwrap().len(), 5, "{path:?}");
    }
    assert_eq!(open("fleet", Path::new(&spelled)).directory(), Some(&*target.0));
    drop(writer);
    // The path of the channel's object, as an error names it.
    let namespace = open("fleet", &target.0);
    let object = target.0.join(format!("{}c", namespace.object_prefix(Some("worker"))));
    let elsewhere = links.0.join("elsewhere");
    File::create(&elsewhere).unwrap();
    symlink(&elsewhere, &object).unwrap();
    let error = source(create(&namespace));
    let ObjectError::Foreign { object: path, .. } = &error else { panic!("{error}") };
    assert_eq!(Path::new(path), object);
    assert_eq!(fs::metadata(&elsewhere).unwrap().len(), 0, "what the link leads to stays as it was");
}

#[test]
fn a_directory_of_another_user_needs_trust() {
    if !is_root("to give a directory to another user") {
        return;
    }
    let own = OwnDirectory::new();
    chown(&own.0, Some(OTHER_USER), None).unwrap();
    let problem = refusal(&own.0);
    assert!(problem.contains("belongs to user 65534") && problem.contains("trust_owner"), "{problem}");
    // The order of the calls does not matter.
    for builder in [
        Namespace::builder("fleet").directory(&own.0).trust_owner(OTHER_USER),
        Namespace::builder("fleet").trust_owner(OTHER_USER).directory(&own.0),
    ] {
        builder.open().unwrap();
    }
    assert!(namespaces().directory(&own.0).trust_owner(OTHER_USER).list().unwrap().is_empty());
    // In a sticky directory another user's object is refused by name, as in /dev/shm.
    chown(&own.0, Some(0), None).unwrap();
    own.set_mode(0o1777);
    let namespace = open("fleet", &own.0);
    let object = own.0.join(format!("{}c", namespace.object_prefix(Some("worker"))));
    File::create(&object).unwrap();
    chown(&object, Some(OTHER_USER), None).unwrap();
    let error = source(create(&namespace));
    assert!(error.to_string().contains(object.to_str().unwrap()), "{error}");
    assert!(object.exists(), "it is left alone");
}

#[test]
fn a_directory_that_is_removed_is_like_names_that_vanish() {
    let (parent, mut states) = (OwnDirectory::new(), 0);
    let directory = parent.0.join("volume");
    let mut publish = |writer: &mut Writer<[u8], Bytes>| {
        states += 1;
        writer.publish(&pattern(states)).unwrap();
        states
    };
    fs::create_dir(&directory).unwrap();
    let namespace = open("fleet", &directory);
    let hub = namespace.hub_builder().codec::<Bytes>().open();
    let mut writer = create(&namespace).unwrap();
    let mut reader = attach(&namespace);
    let len = publish(&mut writer);
    assert_eq!(hub.get::<Vec<u8>>("worker").unwrap().len(), len);
    fs::remove_dir_all(&directory).unwrap();
    let len = publish(&mut writer);
    assert_eq!(reader.snapshot().unwrap().len(), len, "what is mapped goes on");
    eventually("the writer learns of it", || {
        matches!(writer.touch(), Err(PublishError::NamesRemoved { .. }))
    });
    let error = writer.reopen().unwrap_err();
    let advice = format!("mkdir -p -m 700 {}", directory.display());
    assert!(error.to_string().contains(&advice), "{error}");
    let error = namespace.channels().unwrap_err();
    assert!(matches!(error, ObjectError::Unusable { .. }) && error.to_string().contains(&advice), "{error}");
    // A directory of that name is there again.
    fs::create_dir(&directory).unwrap();
    writer.reopen().unwrap();
    let len = publish(&mut writer);
    eventually("the hub finds the new channel", || {
        hub.get::<Vec<u8>>("worker").is_ok_and(|state| state.len() == len)
    });
    assert_eq!(hub.channels("*").unwrap().len(), 1);
    // It is replaced in one step by another one, with a fleet of its own.
    let other = parent.0.join("other");
    fs::create_dir(&other).unwrap();
    let mut successor = create(&open("fleet", &other)).unwrap();
    let len = publish(&mut successor);
    fs::rename(&directory, parent.0.join("former")).unwrap();
    fs::rename(&other, &directory).unwrap();
    eventually("the hub finds the other fleet", || {
        hub.get::<Vec<u8>>("worker").is_ok_and(|state| state.len() == len)
    });
    eventually("the writer learns of it", || {
        matches!(writer.touch(), Err(PublishError::NamesRemoved { .. }))
    });
    assert!(matches!(writer.reopen(), Err(CreateError::AlreadyOwned { .. })), "the successor is not harmed");
    drop(successor);
    writer.reopen().unwrap();
    drop(writer);
    assert_eq!(listed(&directory), [""; 0].map(PathBuf::from));
}

/// Runs `play` in an actor, with the directory that the shell commands have mounted in its own
/// mounts: `d`, below a tmpfs of 64 MiB, in which the commands run. Without root, the test is
/// skipped; so it is if the system refuses to mount.
fn mounted(test: &str, mounts: &str, play: fn(&Namespace, &Path)) {
    let Some((role, namespace)) = role() else {
        if !is_root("to mount file systems") {
            return;
        }
        let (own, base) = (OwnNamespace::new(&[]), OwnDirectory::below(&std::env::temp_dir()));
        let base = base.0.to_str().unwrap();
        let script = format!(
            "cd {base} && mount -t tmpfs -o size=64m none {base} && cd {base} && mkdir d && {{ {mounts}; }} || \
             skipped=' skipped'; export TEARLESS_TEST_ROLE=\"$TEARLESS_TEST_ROLE$skipped\"; exec \"$@\""
        );
        let role = format!("play {base}/d");
        return Actor::start_by(&["unshare", "-m", "sh", "-c", &script, "sh"], test, &role, &own).finish();
    };
    match role.split(' ').collect::<Vec<_>>()[..] {
        ["play", directory] => play(&open(namespace.name(), Path::new(directory)), Path::new(directory)),
        ["play", ..] => {
            println!("skipped: the system refuses to mount: {mounts}");
            let may_skip = std::env::var_os("TEARLESS_MOUNTS").is_none() || mounts.contains("hugetlbfs");
            assert!(may_skip, "TEARLESS_MOUNTS is set");
        }
        ["work", directory] => large_pages::work(&open(namespace.name(), Path::new(directory))),
        ["succeed", directory] => large_pages::succeed(&open(namespace.name(), Path::new(directory))),
        _ => panic!("{role}"),
    }
}

/// A worker, its successor and a main process do everything.
fn everything_works(test: &str, mounts: &str) {
    mounted(test, mounts, |namespace, directory| {
        let test = std::env::args().nth(1).unwrap();
        let tried = capabilities_of(directory, &[]).unwrap();
        assert!(tried.iter().all(|it| it.problem.is_none()), "{tried:?}");
        let mut worker = Actor::start(&test, &format!("work {}", directory.display()), namespace);
        worker.await_line("at work");
        worker.kill();
        Actor::start(&test, &format!("succeed {}", directory.display()), namespace).finish();
        assert_eq!(listed(directory).iter().filter(|path| path.is_file()).count(), 0, "nothing is left");
    });
}

const EXT4: &str = "truncate -s 16M image && mkfs.ext4 -q -F image && mount -o loop image d";

#[test]
fn everything_works_on_a_tmpfs() {
    everything_works("directory::everything_works_on_a_tmpfs", "mount -t tmpfs -o size=16m none d");
}

#[test]
fn everything_works_on_ext4() {
    everything_works("directory::everything_works_on_ext4", EXT4);
}

#[test]
fn everything_works_on_overlayfs() {
    let mounts = "mkdir u w l && mount -t overlay -o lowerdir=l,upperdir=u,workdir=w none d";
    everything_works("directory::everything_works_on_overlayfs", mounts);
}

/// `ci/faults` asks the system for huge pages.
#[test]
fn everything_works_on_hugetlbfs() {
    let mounts = "[ $(sed -n 's/^HugePages_Free: *//p' /proc/meminfo) -ge 16 ] && mount -t hugetlbfs none d";
    everything_works("directory::everything_works_on_hugetlbfs", mounts);
}

/// Writes to a file until the file system is full.
fn fill(file: &Path) {
    let mut file = File::create(file).unwrap();
    for size in [1 << 20, 4096, 512] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
    let _ = file.sync_all();
}

/// A channel of which no page has been touched but those of its headers.
fn ample(namespace: &Namespace, capacity: usize) -> (Writer<[u8], Bytes>, Reader<Vec<u8>, Bytes>) {
    let writer = namespace.writer_builder::<[u8]>("ample").codec::<Bytes>().capacity(capacity).slots(8);
    let writer = writer.open().unwrap();
    (writer, namespace.reader_builder::<Vec<u8>>("ample").codec::<Bytes>().open().unwrap())
}

/// The first stores into pages that are reserved and untouched.
fn publish_around_the_ring(writer: &mut Writer<[u8], Bytes>, reader: &mut Reader<Vec<u8>, Bytes>) {
    let capacity = writer.capacity();
    for len in capacity - 10..=capacity {
        writer.publish(&pattern(len)).expect("it is reserved");
        assert_eq!(*reader.snapshot().unwrap(), pattern(len));
    }
    assert_eq!((writer.growths(), writer.capacity()), (0, capacity));
}

fn a_full_directory_is_an_error(namespace: &Namespace, directory: &Path) {
    let mut writer = create(namespace).unwrap();
    let mut reader = attach(namespace);
    writer.publish(&pattern(100)).unwrap();
    let (mut ample, mut of_ample) = ample(namespace, 50_000);
    let before = listed(directory);
    fill(&directory.join("filler"));
    let Err(PublishError::Growth { source: cause, .. }) = writer.publish(&pattern(100_000)) else { panic!() };
    let text = cause.to_string();
    assert!(matches!(cause, ObjectError::NoSpace { .. }), "{text}");
    assert!(text.contains(directory.to_str().unwrap()), "{text}");
    let other = namespace.writer_builder::<[u8]>("other").codec::<Bytes>().capacity(100_000).open();
    assert!(matches!(source(other), ObjectError::NoSpace { .. }));
    assert_eq!(*reader.snapshot().unwrap(), pattern(100));
    writer.publish(&pattern(101)).expect("what fits");
    assert_eq!(*reader.snapshot().unwrap(), pattern(101));
    publish_around_the_ring(&mut ample, &mut of_ample);
    fs::remove_file(directory.join("filler")).unwrap();
    assert_eq!(listed(directory), before, "what failed leaves nothing");
    eventually("there is room again", || writer.publish(&pattern(100_000)).is_ok());
    assert_eq!(*reader.snapshot().unwrap(), pattern(100_000));
    drop(namespace.writer_builder::<[u8]>("other").codec::<Bytes>().capacity(100_000).open().unwrap());
}

#[test]
fn a_full_tmpfs_is_an_error_and_the_published_state_stays() {
    let test = "directory::a_full_tmpfs_is_an_error_and_the_published_state_stays";
    mounted(test, "mount -t tmpfs -o size=4m none d", a_full_directory_is_an_error);
}

#[test]
fn a_full_disk_is_an_error_and_the_published_state_stays() {
    let test = "directory::a_full_disk_is_an_error_and_the_published_state_stays";
    mounted(test, EXT4, a_full_directory_is_an_error);
}

/// `ci/faults` asks the system for huge pages.
#[test]
fn an_empty_pool_of_huge_pages_is_an_error_and_what_is_reserved_can_be_used() {
    let test = "directory::an_empty_pool_of_huge_pages_is_an_error_and_what_is_reserved_can_be_used";
    let mounts = "[ $(sed -n 's/^HugePages_Free: *//p' /proc/meminfo) -ge 24 ] && \
                  mount -t hugetlbfs -o pagesize=2M,size=48M none d";
    mounted(test, mounts, |namespace, _| {
        let (mut writer, mut reader) = ample(namespace, 1 << 20);
        let mut others = Vec::new();
        let error = loop {
            let name = format!("other-{}", others.len());
            match namespace.writer_builder::<[u8]>(&name).codec::<Bytes>().open() {
                Ok(other) => others.push(other),
                refused => break source(refused),
            }
        };
        let ObjectError::NoSpace { bytes, .. } = error else { panic!("{error}") };
        assert!(bytes >= 2 << 20, "{bytes}");
        publish_around_the_ring(&mut writer, &mut reader);
    });
}

#[test]
fn a_read_only_directory_is_an_error_for_writers_and_none_for_readers() {
    let test = "directory::a_read_only_directory_is_an_error_for_writers_and_none_for_readers";
    let mounts = "mkdir w && mount -t tmpfs none w && mount --bind w d && mount -o remount,bind,ro d";
    mounted(test, mounts, |namespace, directory| {
        let mut writer = create(&open(namespace.name(), &directory.with_file_name("w"))).unwrap();
        writer.publish(&pattern(100)).unwrap();
        let other = namespace.writer_builder::<[u8]>("other").codec::<Bytes>().open();
        let error = source(other);
        assert!(matches!(error, ObjectError::Unusable { .. }), "{error}");
        assert!(error.to_string().contains("is read-only: mount -o remount,rw"), "{error}");
        let tried = capabilities_of(directory, &[]).unwrap();
        assert!(tried[0].problem.as_ref().unwrap().to_string().contains("is read-only"), "{tried:?}");
        assert_eq!(*attach(namespace).snapshot().unwrap(), pattern(100));
        writer.publish(&pattern(100_000)).unwrap();
        assert_eq!(*attach(namespace).snapshot().unwrap(), pattern(100_000));
        assert!(attach(namespace).wait_after(2, Duration::from_millis(1)).unwrap().is_none());
    });
}

/// Each container has mounts of its own: the shared volume at another path, and no `/dev/shm` that
/// the other sees.
#[test]
fn containers_that_share_a_volume_publish_and_read() {
    let test = "directory::containers_that_share_a_volume_publish_and_read";
    let Some((role, namespace)) = role() else {
        if !is_root("to mount a volume") {
            return;
        }
        let (own, base) = (OwnNamespace::new(&[]), OwnDirectory::below(&std::env::temp_dir()));
        let base = base.0.to_str().unwrap();
        let script =
            format!("mkdir {base}/v {base}/a {base}/b && mount -t tmpfs none {base}/v && exec \"$@\"");
        let role = format!("host {base}");
        return Actor::start_by(&["unshare", "-m", "sh", "-c", &script, "sh"], test, &role, &own).finish();
    };
    let (task, path) = role.split_once(' ').unwrap();
    match task {
        "host" => {
            let container = |task: &str, at: &str| {
                let script = format!(
                    "mount --bind {path}/v {path}/{at} && umount {path}/v && mount -t tmpfs none /dev/shm && \
                     exec \"$@\""
                );
                let wrapper = ["unshare", "-m", "sh", "-c", &script, "sh"];
                Actor::start_by(&wrapper, test, &format!("{task} {path}/{at}"), &namespace)
            };
            let mut reader = container("read", "b");
            let mut writer = container("write", "a");
            writer.await_line("published");
            reader.await_line("has read");
            writer.order("more");
            reader.await_line("was woken");
            writer.kill();
            reader.order("it is dead");
            reader.finish();
        }
        "write" => {
            let mut writer = create(&open(namespace.name(), Path::new(path))).unwrap();
            writer.publish(&pattern(1_000)).unwrap();
            writer.publish(&pattern(100_000)).unwrap();
            say("published");
            std::io::stdin().read_line(&mut String::new()).unwrap();
            writer.publish(&pattern(10)).unwrap();
            wait_for_end();
        }
        "read" => {
            let namespace = open(namespace.name(), Path::new(path));
            let mut reader = attach(&namespace);
            reader.wait_after(1, FOREVER).unwrap().unwrap();
            assert_eq!(*reader.snapshot().unwrap(), pattern(100_000));
            say("has read");
            assert_eq!(reader.wait_after(2, FOREVER).unwrap().unwrap().len(), 10);
            say("was woken");
            std::io::stdin().read_line(&mut String::new()).unwrap();
            let hub = namespace.hub_builder().codec::<Bytes>().open();
            assert!(matches!(hub.status("worker").unwrap().health, Health::Dead { .. }));
            assert_eq!(listed(Path::new("/dev/shm")), [""; 0].map(PathBuf::from), "nothing is elsewhere");
            namespace.clean(Retention::Nothing).unwrap();
            assert_eq!(listed(Path::new(path)), [""; 0].map(PathBuf::from));
        }
        _ => panic!("{role}"),
    }
}
