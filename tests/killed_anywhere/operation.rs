//! Every other operation of a writer, killed at an even sample of its instructions and around every
//! system call.

use tearless::schema::{Describe, Schema};
use tearless::{
    Bytes, Codec, Encode, Namespace, Postcard, Reader, Writer,
    error::{AttachError, CodecError, SnapshotError},
    inspect::WriterState,
};

use crate::CHANNEL;
use crate::common::OwnNamespace;
use crate::directory::Objects;
use crate::trace::{Position, Trace};
use crate::tracee::{Tracee, mark, watchdog};

/// The number of publications before the operation.
const PUBLISHED: u64 = 4;

/// The publication that grows the channel.
const GROWN: u64 = PUBLISHED + 1;

/// The number of consecutive instructions before and after the announcement that are all tried.
const EVERY_ONE: u64 = 32;

/// [`Bytes`], with a schema.
enum BytesWithSchema {}

impl Codec<Vec<u8>> for BytesWithSchema {
    const NAME: &'static str = Bytes::NAME;

    fn type_name() -> String {
        <Bytes as Codec<Vec<u8>>>::type_name()
    }
}

impl Encode<Vec<u8>> for BytesWithSchema {
    fn encode<'a>(value: &'a Vec<u8>, _scratch: &'a mut Vec<u8>) -> Result<&'a [u8], CodecError> {
        Ok(value)
    }
}

impl Describe<Vec<u8>> for BytesWithSchema {
    fn describe() -> Schema {
        <Postcard as Describe<Vec<u8>>>::describe()
    }
}

/// The part of a channel beside its states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carries {
    Nothing,
    Schema,
}

type BytesWriter = Writer<Vec<u8>, BytesWithSchema>;
type BytesReader = Reader<Vec<u8>, Bytes>;

/// The operation in which the victim is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Opening a writer of a channel that does not exist.
    Create,
    /// The same, for which the namespace's registry has to grow.
    CreateBeyondTheRegistry,
    /// Publishing a state that does not fit.
    Growth,
    /// Publishing after `shrink_to_fit`.
    Shrinking,
    /// Filling and publishing a loan for which the channel grows.
    GrownLoan,
    /// Filling and dropping one.
    DroppedLoan,
    /// Opening a writer after a writer that was killed while it grew, with its leftover.
    Takeover,
    /// The same, but the new writer has a schema if the old one had none, and the reverse: the
    /// channel is created again.
    Replacement,
    /// `Writer::close`.
    Close,
    /// `Writer::close_lingering`.
    CloseLingering,
    /// `Namespace::remove_channel` of a channel whose writer was killed while it grew.
    Removal,
}

impl Operation {
    /// Whether a channel with states exists when the operation begins.
    fn finds_a_channel(self) -> bool {
        !matches!(self, Operation::Create | Operation::CreateBeyondTheRegistry)
    }

    /// Whether it creates an empty channel.
    fn creates(self) -> bool {
        !self.finds_a_channel() || self == Operation::Replacement
    }

    /// Whether it begins with the leftovers of a killed writer.
    fn finds_a_leftover(self) -> bool {
        matches!(self, Operation::Takeover | Operation::Replacement | Operation::Removal)
    }

    /// Whether it ends the channel.
    fn removes(self) -> bool {
        matches!(self, Operation::Close | Operation::Removal | Operation::Replacement)
    }

    /// Whether it leaves a channel.
    fn leaves_a_channel(self) -> bool {
        !matches!(self, Operation::Close | Operation::Removal)
    }

    /// Whether it publishes.
    fn publishes(self) -> bool {
        matches!(self, Operation::Growth | Operation::Shrinking | Operation::GrownLoan)
    }

    /// The victim's life.
    fn suffer(self, namespace: &Namespace, carries: Carries) {
        match self {
            Operation::Create | Operation::CreateBeyondTheRegistry | Operation::Takeover => {
                between_marks(|| writer(namespace, carries));
            }
            Operation::Replacement => between_marks(|| writer(namespace, carries.other())),
            Operation::Removal => between_marks(|| namespace.remove_channel(CHANNEL).unwrap()),
            Operation::Growth => {
                let mut writer = busy_writer(namespace, carries);
                let grown = state(PUBLISHED + 1);
                between_marks(|| writer.publish(&grown).unwrap());
            }
            Operation::GrownLoan | Operation::DroppedLoan => {
                let mut writer = busy_lender(namespace);
                let grown = state(PUBLISHED + 1);
                between_marks(|| {
                    let mut loan = writer.loan(grown.len()).unwrap();
                    loan.write_at(0, &grown);
                    if self == Operation::GrownLoan {
                        loan.publish().unwrap();
                    } else {
                        drop(loan);
                    }
                });
            }
            Operation::Shrinking => {
                let mut writer = busy_writer(namespace, carries);
                // Grows on the side that is to shrink.
                for publication in PUBLISHED + 1..=PUBLISHED + 2 {
                    writer.publish(&state(publication)).unwrap();
                }
                writer.shrink_to_fit();
                let small = state(PUBLISHED + 3);
                between_marks(|| writer.publish(&small).unwrap());
            }
            Operation::Close => {
                let writer = busy_writer(namespace, carries);
                between_marks(|| writer.close().unwrap());
            }
            Operation::CloseLingering => {
                let writer = busy_writer(namespace, carries);
                between_marks(|| writer.close_lingering().unwrap());
            }
        }
    }
}

/// Does `act` between the marks, and keeps its result until the process is killed.
fn between_marks<T>(act: impl FnOnce() -> T) {
    mark();
    let result = act();
    mark();
    std::mem::forget(result);
    panic!("not killed");
}

/// The state with number `publication`. The second, the third and the first after `PUBLISHED` do
/// not fit where the ones before do: both sides have grown, and one will grow, so that their
/// segments have names of their own.
fn state(publication: u64) -> Vec<u8> {
    let len = match publication {
        2 | 3 => 2_001,
        GROWN => 5_001,
        small => 100 + small,
    };
    (0..len)
        .map(|index| ((publication * 31 + index).wrapping_mul(0x9e37_79b9) >> 13).to_le_bytes()[0])
        .collect()
}

impl Carries {
    fn other(self) -> Carries {
        if self == Carries::Nothing { Carries::Schema } else { Carries::Nothing }
    }
}

fn writer(namespace: &Namespace, carries: Carries) -> BytesWriter {
    let builder = namespace.writer_builder(CHANNEL).codec::<BytesWithSchema>();
    let builder = if carries == Carries::Schema { builder.with_schema() } else { builder };
    builder.open().unwrap()
}

fn busy_writer(namespace: &Namespace, carries: Carries) -> BytesWriter {
    busy(writer(namespace, carries))
}

/// The same without a schema, by the codec that lends bytes.
fn busy_lender(namespace: &Namespace) -> Writer<Vec<u8>, Bytes> {
    busy(namespace.writer_builder(CHANNEL).codec::<Bytes>().open().unwrap())
}

fn busy<C: Encode<Vec<u8>>>(mut writer: Writer<Vec<u8>, C>) -> Writer<Vec<u8>, C> {
    assert_eq!(writer.publication(), 0, "a new channel");
    for publication in 1..=PUBLISHED {
        assert_eq!(writer.publish(&state(publication)).unwrap(), publication);
    }
    writer
}

fn reader(namespace: &Namespace) -> Result<BytesReader, AttachError> {
    namespace.reader_builder(CHANNEL).codec::<Bytes>().attach_within(std::time::Duration::ZERO).open()
}

/// One channel, and the test's knowledge of it.
struct Stage {
    own: OwnNamespace,
    objects: Objects,
    operation: Operation,
    /// The objects of the channel that the operation finds or creates.
    carries: Carries,
    kills: usize,
    /// The number of victims that left the trace.
    astray: usize,
    /// Whether the leftover that the operation finds was announced.
    leftover_is_announced: bool,
    /// How often an inspection found the victim in the middle of a publication.
    unfinished: usize,
}

/// The number of channels for which a new registry has room.
const NEIGHBOURS: usize = 4;

/// A victim at its first mark, with a reader that attached before.
struct Scene {
    victim: Tracee,
    attached: Option<BytesReader>,
    /// The number of the last publication before the operation.
    before: u64,
    /// The writers of other channels.
    neighbours: Vec<BytesWriter>,
}

/// What readers find of the channel after the kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The number of its last publication; 0 for none.
    Channel(u64),
    /// The channel has ended, or has never existed.
    Nothing,
}

/// Kills `operation` at about `samples` places, around every system call, and, if it publishes,
/// after every instruction around the announcement. Checks everything after each kill.
pub(crate) fn kill_anywhere(operation: Operation, carries: Carries, samples: u64) {
    let own = OwnNamespace::new(&[CHANNEL]);
    let mut stage = Stage {
        objects: Objects::of(&own, CHANNEL),
        own,
        operation,
        carries,
        kills: 0,
        astray: 0,
        unfinished: 0,
        leftover_is_announced: false,
    };
    // The channel is that of a writer that was killed while it grew, before or after it announced
    // the publication that needed the growth.
    let leftovers: &[bool] = if operation.finds_a_leftover() { &[false, true] } else { &[false] };
    let mut max = Trace::default();
    for (first, announced) in leftovers.iter().enumerate() {
        stage.leftover_is_announced = *announced;
        let (trace, announcement) = stage.whole_run();
        assert_eq!(announcement.is_some(), operation.publishes(), "{operation:?} announces a publication");
        for step in trace.sample(samples).into_iter().skip(first).step_by(leftovers.len()) {
            stage.kill_at(&trace, step);
        }
        if let Some(announcement) = announcement {
            stage.kill_around(&trace, announcement);
        }
        max = if trace.steps() > max.steps() { trace } else { max };
    }
    let Stage { kills, astray, unfinished, .. } = stage;
    if operation.publishes() {
        assert!((1..kills).contains(&unfinished), "killed in a publication: {unfinished} of {kills} times");
    }
    assert!(astray * 4 < kills, "killed {kills} times, {astray} elsewhere than intended");
    let (steps, calls) = (max.steps(), max.system_calls());
    println!(
        "{operation:?}, {carries:?}: {kills} kill points ({astray} elsewhere than intended), {steps} instructions, {calls} system calls"
    );
}

impl Stage {
    /// Kills a victim after `step` instructions of `trace`, and returns whether it had announced
    /// its publication.
    fn kill_at(&mut self, trace: &Trace, step: u64) -> bool {
        let scene = self.set();
        let position = scene.victim.go_to(trace.point(step));
        self.astray += usize::from(position != Position::Within);
        self.strike(scene, position, &format!("{:?} killed after step {step}", self.operation))
    }

    /// A successor relies on the order of the stores around the `announcement`, and an even sample
    /// would hardly hit it.
    fn kill_around(&mut self, trace: &Trace, announcement: u64) {
        let last = trace.steps().min(announcement + EVERY_ONE);
        let steps = announcement.saturating_sub(EVERY_ONE)..=last;
        let (mut kills, mut announced, astray) = (0, 0, self.astray);
        for step in steps {
            kills += 1;
            announced += usize::from(self.kill_at(trace, step));
        }
        let astray = self.astray - astray;
        assert!(astray * 2 < kills, "{astray} of {kills} away from the announcement");
        assert!((1..kills).contains(&announced), "before and after the announcement: {announced} of {kills}");
    }

    /// Lets one victim reach its end, and kills it there. Returns its trace, and the number of
    /// steps after which a reader saw its publication.
    fn whole_run(&mut self) -> (Trace, Option<u64>) {
        let scene = self.set();
        let mut announcement = None;
        let is_announced =
            || scene.attached.as_ref().is_some_and(|reader| reader.publication() > scene.before);
        let trace = scene.victim.record(|steps| {
            announcement = announcement.or_else(|| is_announced().then_some(steps));
        });
        self.strike(scene, Position::End, &format!("{:?} killed at its end", self.operation));
        (trace, announcement)
    }

    /// Prepares the channel for the operation.
    fn set(&self) -> Scene {
        let mut attached = None;
        let is_full = self.operation == Operation::CreateBeyondTheRegistry;
        let neighbour = |number| {
            let builder = self.own.writer_builder(&format!("neighbour-{number}")).codec::<BytesWithSchema>();
            builder.open().unwrap()
        };
        let neighbours = (0..NEIGHBOURS).filter(|_| is_full).map(neighbour).collect();
        if self.operation.finds_a_leftover() {
            attached = Some(self.leave_a_leftover());
        }
        let victim = Tracee::start(|| self.operation.suffer(&self.own, self.carries));
        if self.operation.finds_a_channel() {
            attached = attached.or_else(|| Some(reader(&self.own).unwrap()));
        }
        let before = attached.as_mut().map_or(0, |reader| verified(reader, "before"));
        Scene { victim, attached, before, neighbours }
    }

    /// Creates a channel whose writer was killed while it grew, before or after it announced the
    /// publication that needed the growth.
    fn leave_a_leftover(&self) -> BytesReader {
        let victim = Tracee::start(|| Operation::Growth.suffer(&self.own, self.carries));
        let reader = reader(&self.own).unwrap();
        let while_growing = 4;
        let is_left = || {
            let is_announced = reader.publication() != PUBLISHED;
            self.objects.names().len() == while_growing && (is_announced || !self.leftover_is_announced)
        };
        while !is_left() {
            assert_eq!(victim.to_system_call(), Position::Within, "it grows");
        }
        victim.kill();
        reader
    }

    /// Kills the victim, checks what is left, lets a successor resume and close, and checks that
    /// nothing is left then. Returns whether the victim had announced its publication.
    fn strike(&mut self, scene: Scene, position: Position, when: &str) -> bool {
        self.kills += 1;
        let Scene { victim, mut attached, before, neighbours } = scene;
        victim.kill();
        watchdog();
        let listed = self.own.channels().unwrap();
        let is_listed = |writer: &BytesWriter| listed.iter().any(|info| info.name == writer.channel());
        assert!(neighbours.iter().all(is_listed), "{when}: {listed:?}");
        self.objects.assert_at_most(self.max_objects(), when);
        let seen = attached.as_mut().map(|reader| self.seen_by_attached(reader, before, position, when));
        let last = match self.seen_by_new(position, when) {
            Outcome::Channel(last) => last,
            Outcome::Nothing => 0,
        };
        match seen {
            Some(Outcome::Channel(seen)) => assert_eq!(seen, last, "{when}: to a new reader"),
            Some(Outcome::Nothing) => assert_eq!(last, 0, "{when}: to a new reader"),
            None => assert_eq!(last, 0, "{when}: no writer has published"),
        }
        self.unfinished += usize::from(self.is_unfinished(last, when));
        match (position, self.operation.leaves_a_channel()) {
            (Position::End, false) => self.objects.assert_none(when),
            (Position::End, true) => self.objects.assert_whole(&self.own, when),
            (Position::Within | Position::Astray, _) => {}
        }
        let goes_on = matches!(seen, Some(Outcome::Channel(_)));
        let carries = if goes_on { self.carries } else { self.carried_at_the_end() };
        self.succeed(carries, last, attached.filter(|_| goes_on), when);
        last > before
    }

    /// The channel's objects, one leftover, and, while the channel is replaced, the one with which
    /// room for the new one is tried.
    fn max_objects(&self) -> usize {
        if self.operation == Operation::Replacement { 5 } else { 4 }
    }

    fn carried_at_the_end(&self) -> Carries {
        if self.operation == Operation::Replacement { self.carries.other() } else { self.carries }
    }

    /// Checks the result of a reader that attached before the kill.
    fn seen_by_attached(
        &self,
        reader: &mut BytesReader,
        before: u64,
        position: Position,
        when: &str,
    ) -> Outcome {
        let state = reader.writer_state().unwrap();
        if self.operation.removes() && matches!(reader.snapshot(), Err(SnapshotError::Closed { .. })) {
            assert_eq!(state, WriterState::Closed, "{when}");
            return Outcome::Nothing;
        }
        let seen = verified(reader, when);
        assert_eq!(seen, reader.publication(), "{when}");
        let newest = before + u64::from(self.operation.publishes());
        assert!((before..=newest).contains(&seen), "{when}: {seen} instead of {before} to {newest}");
        let lingers = self.operation == Operation::CloseLingering && state == WriterState::Closed;
        // A writer that closes stores the time of its end first.
        let closes = matches!(self.operation, Operation::Close | Operation::CloseLingering);
        let is_half_closed = closes && state == WriterState::Exited && position != Position::End;
        assert!(state == WriterState::Dead || lingers || is_half_closed, "{when}: {state:?}");
        if position == Position::End {
            assert!(!self.operation.removes(), "{when}: the channel still exists");
            assert_eq!(seen, newest, "{when}: the victim was at its end");
            assert_eq!(lingers, self.operation == Operation::CloseLingering, "{when}");
        }
        Outcome::Channel(seen)
    }

    /// The result of a reader that attaches after the kill.
    fn seen_by_new(&self, position: Position, when: &str) -> Outcome {
        let mut reader = match reader(&self.own) {
            Ok(reader) => reader,
            Err(AttachError::NotFound { .. }) => return Outcome::Nothing,
            Err(AttachError::NotReady { .. }) if self.operation.creates() && position != Position::End => {
                return Outcome::Nothing;
            }
            Err(error) => panic!("{when}: {error}"),
        };
        match reader.snapshot() {
            Err(SnapshotError::Empty { .. }) if self.operation.creates() => Outcome::Channel(0),
            _ => Outcome::Channel(verified(&mut reader, when)),
        }
    }

    /// Whether an inspection finds the victim in the middle of a publication: the one after `last`.
    fn is_unfinished(&self, last: u64, when: &str) -> bool {
        let inspection = match self.own.inspect(CHANNEL) {
            Ok(inspection) => inspection,
            Err(error) if last == 0 => {
                assert!(
                    matches!(error, AttachError::NotFound { .. } | AttachError::NotReady { .. }),
                    "{when}: {error}"
                );
                return false;
            }
            Err(error) => panic!("{when}: {error}"),
        };
        assert_eq!(inspection.publication, last, "{when}");
        assert!(inspection.segments.iter().all(Result::is_ok), "{when}: {inspection:?}");
        let unfinished = inspection.unfinished();
        assert!(unfinished.is_none_or(|begun| begun == last + 1), "{when}: {unfinished:?} after {last}");
        unfinished.is_some()
    }

    /// The next writer resumes after `last` without help, and its end leaves nothing.
    fn succeed(&self, carries: Carries, last: u64, attached: Option<BytesReader>, when: &str) {
        let mut successor = writer(&self.own, carries);
        assert_eq!(successor.publication(), last, "{when}: the successor's count");
        self.objects.assert_whole(&self.own, when);
        for publication in last + 1..=last + 2 {
            assert_eq!(successor.publish(&state(publication)).unwrap(), publication, "{when}");
        }
        if let Some(mut attached) = attached {
            assert_eq!(verified(&mut attached, when), last + 2, "{when}: to a reader from before");
            assert_eq!(attached.writer_state().unwrap(), WriterState::Alive, "{when}");
        }
        let mut reader = reader(&self.own).unwrap();
        assert_eq!(verified(&mut reader, when), last + 2, "{when}");
        let schema_bytes = (carries == Carries::Schema).then(|| BytesWithSchema::describe().to_bytes());
        assert_eq!(reader.schema_bytes().unwrap(), schema_bytes, "{when}");
        self.objects.assert_whole(&self.own, when);
        successor.close().unwrap();
        self.objects.assert_none(when);
    }
}

/// The number of a snapshot whose content is the one published under that number.
fn verified(reader: &mut BytesReader, when: &str) -> u64 {
    let snapshot = reader.snapshot().unwrap_or_else(|error| panic!("{when}: {error}"));
    let publication = snapshot.publication();
    assert_eq!(*snapshot, state(publication), "{when}: publication {publication}");
    publication
}
