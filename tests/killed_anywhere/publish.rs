//! A steady publish, killed after every single one of its instructions.

use std::fmt::Debug;
use std::io::Write;

use bytemuck::Pod as PlainData;
use serde::{Deserialize, Serialize};
use tearless::view::{TrustedWriters, View};
use tearless::{Bytes, Decode, Encode, Loan, Namespace, Pod, Postcard, Reader, Writer, error::PublishError};

use crate::CHANNEL;
use crate::common::OwnNamespace;
use crate::directory::Objects;
use crate::trace::{Point, Position, Trace};
use crate::tracee::{Tracee, mark, watchdog};

/// The least capacity whose states are viewed in place.
const VIEWED: usize = 4 << 10;

/// How often the trace of a publish is recorded. The clock is read from a page that the kernel
/// changes with each of its ticks, and read again if it has just changed. Stepping is so slow that
/// this happens in about every third recording. The shortest trace is the one without it.
const RECORDINGS: usize = 24;

/// A kind of state, and how it is published.
pub(crate) trait Form {
    type State: PartialEq + Debug;
    type Codec: Encode<Self::State> + Decode<Self::State>;
    const DEPTH: Option<usize> = None;
    const CHECKSUM: bool = false;
    /// What every writer publishes before the publication in which it is killed: one state on each
    /// side.
    const WARM: u64 = 2;
    const PINS: usize = 0;

    /// The state with number `publication`, which differs everywhere from all others with a similar
    /// number.
    fn state(publication: u64) -> Self::State;

    fn publish(
        writer: &mut Writer<Self::State, Self::Codec>,
        state: &Self::State,
    ) -> Result<u64, PublishError> {
        writer.publish(state)
    }

    /// What a reader holds while the next writer publishes.
    fn view(_: &mut Reader<Self::State, Self::Codec>) -> Option<View> {
        None
    }
}

/// A cache line of plain data.
pub(crate) struct Plain;

/// Plain data with one slot for either side only.
pub(crate) struct PlainDepthOne;

/// Bytes whose length is not a multiple of a word, with a checksum.
pub(crate) struct OddBytes;

/// So many bytes that a string move copies them on a processor with fast string moves. Then most
/// steps are single bytes of that move.
pub(crate) struct ManyBytes;

/// A state with memory of its own.
pub(crate) struct Serialized;

/// Plain data with one slot for either side, by a loan that is filled after another was dropped.
pub(crate) struct Lent;

/// Bytes with a checksum, through the sink of a loan that may be larger.
pub(crate) struct Sunk;

/// Bytes on a channel with a pin, which passes over a slot that a reader views.
pub(crate) struct Pinned;

/// Bytes on a channel with a pin that no reader has asked for.
pub(crate) struct Unviewed;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    name: String,
    jobs: Vec<u64>,
    phase: Option<u64>,
}

fn words<const COUNT: usize>(publication: u64) -> [u64; COUNT]
where
    [u64; COUNT]: PlainData,
{
    std::array::from_fn(|index| (publication * 64 + index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

impl Form for Plain {
    type State = [u64; 8];
    type Codec = Pod;

    fn state(publication: u64) -> [u64; 8] {
        words(publication)
    }
}

impl Form for PlainDepthOne {
    type State = [u64; 3];
    type Codec = Pod;
    const DEPTH: Option<usize> = Some(1);

    fn state(publication: u64) -> [u64; 3] {
        words(publication)
    }
}

impl Form for OddBytes {
    type State = Vec<u8>;
    type Codec = Bytes;
    const CHECKSUM: bool = true;

    fn state(publication: u64) -> Vec<u8> {
        bytemuck::bytes_of(&words::<16>(publication))[..93].to_vec()
    }
}

impl Form for ManyBytes {
    type State = Vec<u8>;
    type Codec = Bytes;

    fn state(publication: u64) -> Vec<u8> {
        bytemuck::bytes_of(&words::<3_600>(publication))[..28_795].to_vec()
    }
}

impl Form for Serialized {
    type State = State;
    type Codec = Postcard;

    fn state(publication: u64) -> State {
        // Every number is encoded in the same length, so that every publish has the same trace.
        let jobs = words::<4>(publication).map(|word| word | 1 << 63).to_vec();
        State { name: format!("worker {publication:09}"), jobs, phase: Some(publication | 1 << 63) }
    }
}

impl Form for Lent {
    type State = [u64; 3];
    type Codec = Pod;
    const DEPTH: Option<usize> = Some(1);

    fn state(publication: u64) -> [u64; 3] {
        words(publication)
    }

    fn publish(writer: &mut Writer<[u64; 3], Pod>, state: &[u64; 3]) -> Result<u64, PublishError> {
        drop(fill(writer, &state.map(|word| !word))?);
        fill(writer, state)?.publish()
    }
}

impl Form for Sunk {
    type State = Vec<u8>;
    type Codec = Bytes;
    const CHECKSUM: bool = true;

    fn state(publication: u64) -> Vec<u8> {
        OddBytes::state(publication)
    }

    fn publish(writer: &mut Writer<Vec<u8>, Bytes>, state: &Vec<u8>) -> Result<u64, PublishError> {
        let mut sink = writer.loan(state.len() + 100)?.sink();
        state.chunks(29).for_each(|part| sink.write_all(part).unwrap());
        sink.publish()
    }
}

impl Form for Pinned {
    type State = Vec<u8>;
    type Codec = Bytes;
    const DEPTH: Option<usize> = Some(1);
    // The slot of the state that is viewed is the first choice for the publication after the next.
    const WARM: u64 = 1;
    const PINS: usize = 1;

    /// Of a size that is viewed in place.
    fn state(publication: u64) -> Vec<u8> {
        OddBytes::state(publication).into_iter().cycle().take(4_099).collect()
    }

    fn view(reader: &mut Reader<Vec<u8>, Bytes>) -> Option<View> {
        let view = reader.view().unwrap();
        assert!(view.is_in_place());
        Some(view)
    }
}

impl Form for Unviewed {
    type State = Vec<u8>;
    type Codec = Bytes;
    const DEPTH: Option<usize> = Some(1);
    const PINS: usize = 1;

    fn state(publication: u64) -> Vec<u8> {
        OddBytes::state(publication)
    }
}

fn fill<'a>(
    writer: &'a mut Writer<[u64; 3], Pod>,
    state: &[u64; 3],
) -> Result<Loan<'a, [u64; 3], Pod>, PublishError> {
    let mut loan = writer.loan()?;
    // SAFETY: no other process stores to the channel's memory while its writer lives.
    unsafe { loan.lend().into_mut() }.copy_from_slice(state);
    Ok(loan)
}

fn writer<F: Form>(namespace: &Namespace) -> Writer<F::State, F::Codec> {
    let mut builder = namespace.writer_builder(CHANNEL).codec::<F::Codec>().checksum(F::CHECKSUM);
    if let Some(depth) = F::DEPTH {
        builder = builder.slots(2 * depth);
    }
    if F::PINS > 0 {
        builder = builder.capacity(VIEWED).pins(F::PINS);
    }
    builder.open().unwrap()
}

fn reader<F: Form>(namespace: &Namespace) -> Reader<F::State, F::Codec> {
    let builder = namespace.reader_builder(CHANNEL).codec::<F::Codec>();
    // SAFETY: only writers and readers of this library store to the channel's objects, and a fork
    // of this process uses no view of its parent.
    builder.views_in_place(unsafe { TrustedWriters::new() }).open().unwrap()
}

/// On a channel with a pin: publishes until the spare slots of both sides hold a publication, as
/// the trace of every victim needs it, and views the latest one. `last` is its number, before and
/// after.
fn view_latest<F: Form>(namespace: &Namespace, last: &mut u64) -> Option<View> {
    if F::PINS == 0 {
        return None;
    }
    let (mut writer, mut viewed) = (writer::<F>(namespace), None);
    assert_eq!(writer.publication(), *last, "a successor resumes where its predecessor was killed");
    for publications in [1, 2, 1, 2] {
        for _ in 0..publications {
            *last += 1;
            assert_eq!(F::publish(&mut writer, &F::state(*last)).unwrap(), *last);
            check_view(viewed.as_ref(), *last);
        }
        viewed = if publications == 1 { F::view(&mut reader::<F>(namespace)) } else { None };
    }
    assert_eq!(writer.growths(), 0);
    writer.close_lingering().unwrap();
    F::view(&mut reader::<F>(namespace))
}

/// A view shows what was published under its number.
fn check_view(view: Option<&View>, step: u64) {
    let is_right = |view: &View| view[..] == Pinned::state(view.publication())[..];
    assert!(view.is_none_or(is_right), "killed after step {step}: {view:?}");
}

/// The victim's life: resumes after `last`, and is killed in the publication between the marks.
fn victim<F: Form>(namespace: &Namespace, last: u64) {
    let mut writer = writer::<F>(namespace);
    assert_eq!(writer.publication(), last, "a successor resumes where its predecessor was killed");
    for publication in last + 1..=last + F::WARM {
        assert_eq!(F::publish(&mut writer, &F::state(publication)).unwrap(), publication);
    }
    let state = F::state(last + F::WARM + 1);
    mark();
    let published = F::publish(&mut writer, &state);
    mark();
    panic!("not killed: {published:?}");
}

/// The number of a snapshot whose content is the one published under that number.
fn verified<F: Form>(reader: &mut Reader<F::State, F::Codec>, step: u64) -> u64 {
    let snapshot = reader.snapshot().unwrap_or_else(|error| panic!("killed after step {step}: {error}"));
    let publication = snapshot.publication();
    assert_eq!(*snapshot, F::state(publication), "killed after step {step}: publication {publication}");
    publication
}

/// The shortest of `times` traces of a publish. `last` is the last publication's number, before
/// and after.
fn record<F: Form>(namespace: &Namespace, last: &mut u64, times: usize) -> Trace {
    let traces = (0..times).map(|_| {
        let _view = view_latest::<F>(namespace, last);
        let tracee = Tracee::start(|| victim::<F>(namespace, *last));
        let trace = tracee.record(|_| ());
        tracee.kill();
        *last += F::WARM + 1;
        trace
    });
    traces.min_by_key(Trace::steps).expect("there are some")
}

/// Kills a publish after 0, 1, 2, … instructions, up to its end. Each victim is the successor of
/// the one before.
///
/// With `stepping`, each victim gets there by single steps only; else as [`Trace::point`] says.
pub(crate) fn kill_after_every_instruction<F: Form>(name: &str, stepping: bool) {
    let own = OwnNamespace::new(&[CHANNEL]);
    let objects = Objects::of(&own, CHANNEL);
    let (mut last, mut step, mut announced, mut unfinished, mut astray) = (0, 0, 0, 0, 0);
    let trace = (!stepping).then(|| record::<F>(&own, &mut last, RECORDINGS));
    let mut attached = None;
    loop {
        let view = view_latest::<F>(&own, &mut last);
        let tracee = Tracee::start(|| victim::<F>(&own, last));
        let reader = attached.get_or_insert_with(|| reader::<F>(&own));
        let before = last + F::WARM;
        assert_eq!(verified::<F>(reader, step), before, "a successor's publications are seen at once");
        let point = trace.as_ref().map_or_else(|| Point::after(step), |trace| trace.point(step));
        let position = tracee.go_to(point);
        tracee.kill();
        last = check::<F>(&own, reader, before, step);
        check_view(view.as_ref(), step);
        objects.assert_whole(&own, &format!("killed after step {step}"));
        announced += last - before;
        unfinished += u64::from(is_unfinished(&own, last, step));
        // Only single steps show the end for certain: a breakpoint may have been missed.
        let at_end = trace.as_ref().map_or(position == Position::End, |trace| step >= trace.steps());
        if at_end {
            break;
        }
        astray += u64::from(position != Position::Within);
        step += 1;
    }
    assert!(
        (1..step).contains(&announced),
        "killed before and after the announcement: {announced} of {step}"
    );
    assert!(
        (1..step - announced).contains(&unfinished),
        "killed within the publication, and before and after it: {unfinished} of {step}"
    );
    finish::<F>(&own, last);
    objects.assert_none("closed");
    let points = step + 1;
    let how = match trace {
        None => "by single steps".to_owned(),
        Some(_) => format!("{astray} elsewhere than intended"),
    };
    assert!(astray * 10 < points, "killed {points} times, {how}");
    println!("publish, {name}: {points} kill points ({how}), every instruction; {announced} times announced");
}

/// Kills a publish of many steps after each of about `samples` of them, evenly from its beginning
/// to its end. Each victim gets there by single steps.
pub(crate) fn kill_after_some_instructions<F: Form>(name: &str, samples: u64) {
    let own = OwnNamespace::new(&[CHANNEL]);
    let objects = Objects::of(&own, CHANNEL);
    let (mut last, mut announced) = (0, 0);
    let steps = record::<F>(&own, &mut last, 1).steps();
    let mut reader = reader::<F>(&own);
    assert_eq!(verified::<F>(&mut reader, steps), last);
    for step in (0..samples).map(|sample| sample * steps / (samples - 1)) {
        let tracee = Tracee::start(|| victim::<F>(&own, last));
        let before = last + F::WARM;
        assert_eq!(verified::<F>(&mut reader, step), before, "a successor's publications are seen at once");
        if step == steps {
            // The victim runs to its end, whatever its trace is this time.
            tracee.record(|_| ());
        } else {
            tracee.go_to(Point::after(step));
        }
        tracee.kill();
        last = check::<F>(&own, &mut reader, before, step);
        objects.assert_whole(&own, &format!("killed after step {step}"));
        announced += last - before;
    }
    assert!((1..samples).contains(&announced), "before and after the announcement: {announced} of {samples}");
    finish::<F>(&own, last);
    objects.assert_none("closed");
    println!("publish, {name}: {samples} kill points of {steps} steps; {announced} times announced");
}

/// What must be true after a kill: an old and a new reader get the same whole publication, `before`
/// or the next one.
fn check<F: Form>(
    namespace: &Namespace,
    attached: &mut Reader<F::State, F::Codec>,
    before: u64,
    step: u64,
) -> u64 {
    let publication = verified::<F>(attached, step);
    assert!((before..=before + 1).contains(&publication), "step {step}: {publication} after {before}");
    assert_eq!(
        attached.publication(),
        publication,
        "step {step}: the announced publication is the one that readers get"
    );
    assert_eq!(attached.writer_state().unwrap(), tearless::inspect::WriterState::Dead, "step {step}");
    assert_eq!(verified::<F>(&mut reader::<F>(namespace), step), publication, "step {step}: to a new reader");
    publication
}

/// Whether an inspection finds that the writer was killed in the middle of a publication: the one
/// after `last`.
fn is_unfinished(namespace: &Namespace, last: u64, step: u64) -> bool {
    let inspection = namespace.inspect(CHANNEL).unwrap();
    assert_eq!(
        (inspection.publication, inspection.writer_state),
        (last, tearless::inspect::WriterState::Dead),
        "step {step}"
    );
    let unfinished = inspection.unfinished();
    assert!(unfinished.is_none_or(|begun| begun == last + 1), "step {step}: {unfinished:?} after {last}");
    unfinished.is_some()
}

/// The last successor closes the channel.
fn finish<F: Form>(namespace: &Namespace, last: u64) {
    watchdog();
    let mut writer = writer::<F>(namespace);
    assert_eq!(writer.publish(&F::state(last + 1)).unwrap(), last + 1);
    assert_eq!(verified::<F>(&mut reader::<F>(namespace), 0), last + 1);
    writer.close().unwrap();
}

/// A reader's life: it is killed in a view, or in its drop, between the marks.
fn viewer(namespace: &Namespace, is_first: bool) {
    let mut reader = reader::<Pinned>(namespace);
    if !is_first {
        drop(Pinned::view(&mut reader));
    }
    mark();
    drop(Pinned::view(&mut reader));
    mark();
    panic!("not killed");
}

/// Kills a reader at about `samples` of the instructions of a view and its drop, and around every
/// system call. The first view of a reader opens the pins. After each kill the writer goes on, and
/// another reader gets the channel's only pin.
pub(crate) fn kill_in_a_view(is_first: bool, samples: u64) {
    let own = OwnNamespace::new(&[CHANNEL]);
    let objects = Objects::of(&own, CHANNEL);
    let mut writer = writer::<Pinned>(&own);
    let mut publish = |count| {
        for _ in 0..count {
            let next = writer.publication() + 1;
            assert_eq!(writer.publish(&Pinned::state(next)).unwrap(), next);
        }
        writer.statistics().pinned
    };
    publish(2);
    let trace = Tracee::start(|| viewer(&own, is_first)).record(|_| ());
    let mut other = reader::<Pinned>(&own);
    let steps = trace.sample(samples);
    let (mut pinned, mut astray) = (0, 0);
    for step in &steps {
        let tracee = Tracee::start(|| viewer(&own, is_first));
        astray += usize::from(tracee.go_to(trace.point(*step)) != Position::Within);
        let before = publish(0);
        tracee.kill();
        // The slot of each publication has its turn.
        pinned += usize::from(publish(4) > before);
        verified::<Pinned>(&mut other, *step);
        let view = Pinned::view(&mut other);
        publish(4);
        check_view(view.as_ref(), *step);
        assert_eq!(objects.names().len(), 1, "killed after step {step}");
    }
    let points = steps.len();
    assert!((1..points).contains(&pinned), "killed with and without a pin: {pinned} of {points}");
    assert!(astray * 10 < points, "killed {points} times, {astray} elsewhere than intended");
    assert_eq!(writer.growths(), 0);
    writer.close().unwrap();
    objects.assert_none("closed");
    println!("view: {points} kill points of {} steps ({astray} elsewhere than intended)", trace.steps());
}
