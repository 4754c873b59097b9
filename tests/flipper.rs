//! Another process of the same user overwrites words of a channel's objects while the channel is
//! written and read. Every call returns a typed error or a snapshot, within its deadline.

mod common;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use common::{Actor, OwnNamespace, role};
use rustix::time::{ClockId, clock_gettime};
use tearless::{
    Bytes, Reader,
    error::{AttachError, SnapshotError},
    options::RetryPolicy,
};

const TEST: &str = "a_hostile_process_gives_errors_and_neither_panics_nor_hangs";
const DURATION: Duration = Duration::from_secs(2);
/// Far more processor time than the policies below allow, however busy the machine is.
const WORK: Duration = Duration::from_secs(1);
/// Far more time than the policies below allow. The machine may suspend this process.
const SOON: Duration = Duration::from_secs(60);
/// Bytes of the largest state. A segment has two slots of up to twice as much.
const MAX_BYTES: u64 = 5_000;

fn content(number: u64) -> Vec<u8> {
    vec![(number % 251) as u8; (number * 13 % MAX_BYTES) as usize]
}

/// The flipper: changes one to three words anywhere in the objects whose names begin with `prefix`,
/// and restores them.
fn flip(prefix: &str) {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let begin = Instant::now();
    while begin.elapsed() < DURATION {
        // Segments that have grown have new names.
        let objects: Vec<File> = fs::read_dir("/dev/shm")
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(prefix))
            .filter_map(|path| OpenOptions::new().read(true).write(true).open(path).ok())
            .collect();
        for _ in 0..500 {
            let flips = 1 + next() % 3;
            let changes: Vec<_> = (0..flips)
                .filter_map(|_| {
                    let object =
                        objects.get(usize::try_from(next() % objects.len().max(1) as u64).unwrap())?;
                    // Three of four changes hit the first cache lines, which hold the headers.
                    let words = if next() % 4 == 0 { object.metadata().ok()?.len() / 8 } else { 48 };
                    let place = next() % words * 8;
                    let mut former = [0; 8];
                    object.read_exact_at(&mut former, place).ok()?;
                    let bits = if next() % 2 == 0 { next() } else { 1 << (next() % 64) };
                    let changed = (u64::from_le_bytes(former) ^ bits).to_le_bytes();
                    object.write_all_at(&changed, place).ok()?;
                    Some((object, place, former))
                })
                .collect();
            if next() % 8 == 0 {
                std::thread::sleep(Duration::from_micros(200));
            }
            for (object, place, former) in changes.into_iter().rev() {
                object.write_all_at(&former, place).unwrap();
            }
        }
    }
}

/// The number of calls by their outcome.
#[derive(Default)]
struct Tally(BTreeMap<&'static str, u64>);

impl Tally {
    fn count(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }
}

/// The processor time of this thread.
fn processor_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().expect("it counts from zero")
}

fn soon<T>(work: impl FnOnce() -> T) -> T {
    let (begin, before) = (Instant::now(), processor_time());
    let result = work();
    let (elapsed, worked) = (begin.elapsed(), processor_time() - before);
    assert!(worked < WORK && elapsed < SOON, "it took {elapsed:?}, {worked:?} of them on a processor");
    result
}

fn attach(own: &OwnNamespace) -> Result<Reader<Vec<u8>, Bytes>, AttachError> {
    let retry = RetryPolicy::default().attempts(8).deadline(Duration::from_millis(1));
    let builder = own.reader_builder::<Vec<u8>>("flipped").codec::<Bytes>().retry_policy(retry);
    builder.attach_within(Duration::ZERO).open()
}

/// Takes one snapshot. Its content must be right if the reader knows for certain that there are
/// checksums.
fn look(reader: &mut Reader<Vec<u8>, Bytes>, certain: bool, tally: &mut Tally) {
    match soon(|| reader.snapshot()) {
        Ok(snapshot) => {
            tally.count("snapshot");
            assert!(snapshot.capacity() < 1 << 20, "no more than a segment has");
            assert!(!certain || *snapshot == content(snapshot.publication()), "a wrong state was verified");
        }
        Err(SnapshotError::Corrupt { .. }) => tally.count("corrupt"),
        Err(SnapshotError::Contended { .. }) => tally.count("contended"),
        Err(SnapshotError::Object { .. }) => tally.count("object"),
        Err(SnapshotError::Closed { .. }) => tally.count("closed"),
        Err(SnapshotError::Empty { .. }) => tally.count("empty"),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_hostile_process_gives_errors_and_neither_panics_nor_hangs() {
    if let Some((role, _)) = role() {
        flip(&role);
        println!("done");
        return;
    }
    let own = OwnNamespace::new(&["flipped"]);
    let mut writer = own.writer_builder::<[u8]>("flipped").codec::<Bytes>().checksum(true).open().unwrap();
    let mut number = writer.publish(&content(1)).unwrap();
    let mut reader = attach(&own).unwrap();
    reader.snapshot().unwrap();
    let mut flipper = Actor::start(TEST, &object_prefix(), &own);

    let (mut attached, mut fresh) = (Tally::default(), Tally::default());
    let begin = Instant::now();
    while begin.elapsed() < DURATION {
        for _ in 0..10 {
            look(&mut reader, true, &mut attached);
        }
        match soon(|| attach(&own)) {
            // A reader that attaches while the word of the checksums is changed takes the channel
            // for one without them.
            Ok(mut reader) => look(&mut reader, false, &mut fresh),
            Err(_) => fresh.count("not attached"),
        }
        if let Ok(published) = soon(|| writer.publish(&content(number + 1))) {
            number = published;
        }
    }
    flipper.await_line("done");
    flipper.finish();
    println!("attached: {:?}\nfresh: {:?}", attached.0, fresh.0);
    assert!(attached.of("snapshot") > 100 && fresh.of("snapshot") > 10);
    assert!(attached.0.len() > 2 && fresh.of("not attached") > 0, "nothing was hit");
    writer.publish(&content(number + 1)).unwrap();
    look(&mut reader, true, &mut Tally::default());
}

/// The prefix of the names of this process's only channel: the name of its control page without the
/// last letter.
fn object_prefix() -> String {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let mut objects = maps.lines().filter_map(|line| Some(line.split_once("/dev/shm/")?.1));
    // The registry is mapped, too.
    objects.find_map(|name| name.strip_suffix('c')).unwrap().into()
}
