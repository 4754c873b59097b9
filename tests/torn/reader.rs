//! A reader process: takes snapshots until all channels are closed, and verifies every one of them.

use std::thread::sleep;
use std::time::Duration;

use bytemuck::Zeroable;
use tearless::{Bytes, Namespace, Pod, Reader, SnapshotInfo, error::SnapshotError};

use crate::child::{self, Task};
use crate::combination::{COMBINATIONS, Combination, Payload, Plain};
use crate::content::Script;
use crate::tally::Tally;

/// Snapshots in a row of one channel, while its writer is at work.
const BURST: u32 = 64;

/// Rounds, of a few microseconds in all, in which no channel has anything new before a reader concludes that all
/// writers wait for a processor.
const ROUNDS: u32 = 256;
/// Snapshots that it then takes of its own channel all the same, flat out.
const STALE: u32 = 8;
/// How long it then leaves its processor to a writer. It runs again when that has published many times, likely beside
/// another one; without the pause most snapshots would be of the same few small payloads again and again.
const PAUSE: Duration = Duration::from_micros(20);

/// How long after the writers' end all channels must have been found closed.
const GRACE: Duration = Duration::from_secs(20);

/// How many faults a reader describes on each channel; it counts all of them.
const MAX_COMPLAINTS: u64 = 3;

/// The reader of one channel, with the room for its snapshots.
enum Eye {
    Bytes(Reader<Vec<u8>, Bytes>, Vec<u8>),
    Plain(Reader<Plain, Pod>, Box<Plain>),
}

impl Eye {
    fn latest(&self) -> u64 {
        match self {
            Eye::Bytes(reader, _) => reader.publication(),
            Eye::Plain(reader, _) => reader.publication(),
        }
    }

    fn is_closed(&self) -> bool {
        match self {
            Eye::Bytes(reader, _) => reader.is_closed(),
            Eye::Plain(reader, _) => reader.is_closed(),
        }
    }

    /// Plain data is taken in both ways, in turn: into room that is there already, and as a new value.
    fn snapshot(&mut self, turn: u64) -> Result<SnapshotInfo, SnapshotError> {
        match self {
            Eye::Bytes(reader, room) => reader.snapshot_into(room),
            Eye::Plain(reader, room) if turn.is_multiple_of(2) => reader.snapshot_into(room),
            Eye::Plain(reader, room) => {
                let snapshot = reader.snapshot()?;
                **room = *snapshot;
                Ok(snapshot.info())
            }
        }
    }

    fn payload(&self) -> &[u8] {
        match self {
            Eye::Bytes(_, room) => room,
            Eye::Plain(_, room) => bytemuck::bytes_of(&**room),
        }
    }
}

/// Whether a channel may have more to tell.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Closed,
}

/// What one reader process knows of one channel.
struct Watch {
    index: usize,
    eye: Eye,
    script: Script,
    state: State,
    /// The highest number seen, as a snapshot's or as the latest.
    number: u64,
    /// Number and time of the last snapshot.
    last: (u64, u64),
    tally: Tally,
}

impl Watch {
    fn open(index: usize, namespace: &Namespace, seed: u64) -> Watch {
        let combination = &COMBINATIONS[index];
        let eye = match combination.payload {
            Payload::Bytes => Eye::Bytes(combination.bytes_reader(namespace), Vec::new()),
            Payload::Plain => Eye::Plain(combination.plain_reader(namespace), Box::new(Plain::zeroed())),
        };
        let script = Combination::script(index, seed);
        let tally = Tally::default();
        Watch { index, eye, script, state: State::Open, number: 0, last: (0, 0), tally }
    }

    /// Takes a snapshot of every new publication that it meets. How many those were.
    fn follow(&mut self) -> u32 {
        let mut taken = 0;
        while taken < BURST && self.beckons() {
            self.look();
            taken += 1;
        }
        taken
    }

    /// Whether there is something to be seen: a new publication, or the channel's end.
    fn beckons(&self) -> bool {
        self.state == State::Open && (self.eye.latest() > self.last.0 || self.eye.is_closed())
    }

    /// Takes one snapshot and verifies it.
    fn look(&mut self) {
        let latest = self.eye.latest();
        self.in_order(latest, "latest");
        match self.eye.snapshot(self.tally.snapshots) {
            Ok(info) => self.verify(&info),
            Err(SnapshotError::Contended { attempts, .. }) => {
                self.tally.retries += u64::from(attempts);
                self.tally.give_ups += 1;
            }
            Err(SnapshotError::Closed { last, .. }) => {
                self.in_order(last, "last before the end");
                self.state = State::Closed;
            }
            Err(SnapshotError::Empty { .. }) if latest == 0 => {}
            // The checksum has noticed it before this test could.
            Err(error @ SnapshotError::Corrupt { .. }) => {
                self.tally.snapshots += 1;
                self.tally.torn += 1;
                self.complain(self.tally.torn, &error.to_string());
            }
            Err(error) => {
                self.tally.failures += 1;
                self.complain(self.tally.failures, &error.to_string());
            }
        }
    }

    fn verify(&mut self, info: &SnapshotInfo) {
        let publication = info.publication();
        let payload = self.eye.payload();
        self.tally.snapshots += 1;
        self.tally.bytes += payload.len() as u64;
        self.tally.retries += u64::from(info.retries());
        let checked = match info.payload_len() == payload.len() {
            true => self.script.check(publication, payload),
            false => Err(format!("a length of {} is given for {} bytes", info.payload_len(), payload.len())),
        };
        if let Err(reason) = checked {
            self.tally.torn += 1;
            self.complain(self.tally.torn, &format!("publication {publication} is torn: {reason}"));
        }
        self.in_order(publication, "publication");
        self.in_time(publication, info.monotonic_nanos().unwrap_or(0));
        if publication > self.last.0 {
            self.tally.fresh += 1;
        }
        self.last = (publication, info.monotonic_nanos().unwrap_or(0));
    }

    /// Numbers never go backwards, from whatever call they come.
    fn in_order(&mut self, number: u64, what: &str) {
        if number < self.number {
            self.tally.backwards += 1;
            self.complain(self.tally.backwards, &format!("{what}: {number} after {}", self.number));
        }
        self.number = self.number.max(number);
    }

    /// The time belongs to the number: the same for the same one, and no earlier for a later one.
    fn in_time(&mut self, publication: u64, time: u64) {
        let (number, before) = self.last;
        let holds = if publication == number { time == before } else { time >= before };
        if !holds || time == 0 {
            self.tally.backwards += 1;
            let text = format!("publication {publication} of time {time} after {number} of {before}");
            self.complain(self.tally.backwards, &text);
        }
    }

    #[cold]
    fn complain(&self, count: u64, text: &str) {
        if count <= MAX_COMPLAINTS {
            eprintln!("{}: {text}", COMBINATIONS[self.index].name);
        }
    }
}

/// Goes round all channels, to wherever a writer is at work, until they are closed.
pub(crate) fn run(index: usize, namespace: &Namespace, task: &Task) {
    let channels = COMBINATIONS.len();
    let mut watches = (0..channels)
        .map(|step| Watch::open((index + step) % channels, namespace, task.seed))
        .collect::<Vec<_>>();
    let Some(shift) = child::wait_for_start(task) else { return };
    let shift = shift.extended(GRACE);
    while !shift.is_over() {
        let taken: u32 = (0..ROUNDS).map(|_| watches.iter_mut().map(Watch::follow).sum::<u32>()).sum();
        let Some(own) = watches.iter_mut().find(|watch| watch.state == State::Open) else { break };
        if taken == 0 {
            (0..STALE).for_each(|_| own.look());
            sleep(PAUSE);
        }
    }
    let open = watches.iter().filter(|watch| watch.state == State::Open).count();
    for watch in watches {
        child::report(watch.index, watch.tally);
    }
    assert!(open == 0 || shift.is_orphaned(), "the writers have not closed {open} channels");
}
