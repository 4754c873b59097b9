//! What do the formats cost, in time and in size?

use std::hint::black_box;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tearless::{Codec, Decode, Encode, MessagePack, Pod, Postcard, error::CodecError};

use crate::Failure;
use crate::context::Context;
use crate::measure::median_nanos;
use crate::plain_state::{Large, Medium, PlainState, Small};
use crate::plot::{Axis, Plot, Scale, Series};
use crate::report::Report;
use crate::table::{Table, time};
use crate::worker_state::WorkerState;

/// The states: their names, and their numbers of jobs.
pub(crate) const STATES: [(&str, usize); 3] = [("200 B", 3), ("2 KiB", 45), ("50 KiB", 1_160)];

/// How long each operation is measured.
const SPAN: Duration = Duration::from_millis(250);

/// JSON, as a codec that a user would add.
struct Json;

impl Json {
    const NAME: &'static str = "json";
}

impl<T: ?Sized> Codec<T> for Json {
    const NAME: &'static str = Json::NAME;
}

impl<T: Serialize + ?Sized> Encode<T> for Json {
    fn encode<'a>(value: &'a T, scratch: &'a mut Vec<u8>) -> Result<&'a [u8], CodecError> {
        scratch.clear();
        serde_json::to_writer(&mut *scratch, value)?;
        Ok(scratch)
    }
}

impl<T: DeserializeOwned> Decode<T> for Json {
    fn decode(payload: &[u8]) -> Result<T, CodecError> {
        Ok(serde_json::from_slice(payload)?)
    }
}

/// One format with one state.
struct Outcome {
    state: usize,
    format: &'static str,
    encode: f64,
    decode: f64,
    bytes: usize,
}

/// Runs the experiment.
pub(crate) fn run(context: &mut Context) -> Result<Report, Failure> {
    let span = context.span(SPAN);
    let mut outcomes = Vec::new();
    for (state, (name, jobs)) in STATES.into_iter().enumerate() {
        context.progress.say(&format!("formats: {name}"));
        outcomes.push(match state {
            0 => plain::<Small>(state, span),
            1 => plain::<Medium>(state, span),
            _ => plain::<Large>(state, span),
        }?);
        outcomes.push(encoded::<Postcard>(state, jobs, span)?);
        outcomes.push(encoded::<MessagePack>(state, jobs, span)?);
        outcomes.push(encoded::<Json>(state, jobs, span)?);
    }
    Ok(report(&outcomes))
}

/// Encodes up to the copy that others can read, and decodes from there up to the whole state.
fn encoded<C>(state: usize, jobs: usize, span: Duration) -> Result<Outcome, Failure>
where
    C: Encode<WorkerState> + Decode<WorkerState>,
{
    let value = WorkerState::new(jobs, 1);
    let (mut scratch, mut private) = (Vec::new(), Vec::new());
    let slot = C::encode(&value, &mut scratch)?.to_vec();
    if C::decode(&slot)? != value {
        return Err(format!("{} does not give the state back", C::NAME).into());
    }
    let mut target = slot.clone();
    let encode = median_nanos(span, || {
        if let Ok(payload) = C::encode(black_box(&value), &mut scratch) {
            black_box(&mut target).copy_from_slice(payload);
        }
    });
    let decode = median_nanos(span, || {
        private.clear();
        private.extend_from_slice(black_box(&slot));
        let _ = black_box(C::decode(&private));
    });
    Ok(Outcome { state, format: C::NAME, encode, decode, bytes: slot.len() })
}

/// The same for a plain state, whose bytes are copied directly.
fn plain<T: PlainState>(state: usize, span: Duration) -> Result<Outcome, Failure> {
    let (value, mut received) = (T::new(), T::zeroed());
    let mut slot = bytemuck::bytes_of(&value).to_vec();
    let mut scratch = Vec::new();
    let encode = median_nanos(span, || {
        if let Ok(payload) = Pod::encode(black_box(&value), &mut scratch) {
            black_box(&mut slot).copy_from_slice(payload);
        }
    });
    let decode = median_nanos(span, || {
        bytemuck::bytes_of_mut(black_box(&mut received)).copy_from_slice(black_box(&slot));
    });
    if bytemuck::bytes_of(&received) != bytemuck::bytes_of(&value) {
        return Err("a plain state is not what was copied".into());
    }
    Ok(Outcome { state, format: Pod::NAME, encode, decode, bytes: slot.len() })
}

/// The results, for the page.
fn report(outcomes: &[Outcome]) -> Report {
    let columns = ["state", "format", "encode ns", "decode ns", "size B", "encode MB/s", "decode MB/s"];
    let mut table = Table::new("formats", "Each with the copy into, or out of, the shared memory.", &columns);
    for Outcome { state, format, encode, decode, bytes } in outcomes {
        let rate = |nanos: f64| *bytes as f64 / nanos * 1e3;
        table.row([
            STATES[*state].0.into(),
            (*format).into(),
            (*encode).into(),
            (*decode).into(),
            (*bytes).into(),
            rate(*encode).into(),
            rate(*decode).into(),
        ]);
    }
    Report {
        name: "formats",
        question: "Which format for the state?",
        method: "Medians of batches in one process, without a channel. Encoding ends, and decoding begins, with the \
                 bytes in another place, as publish and snapshot do. The plain states have fixed room for every \
                 string."
            .into(),
        tables: vec![table],
        plots: vec![
            plot("formats-encode", "Encode, by format", "time to encode", outcomes, |one| one.encode),
            plot("formats-decode", "Decode, by format", "time to decode", outcomes, |one| one.decode),
        ],
        answer: answer(outcomes),
    }
}

/// A line for each format.
fn plot(
    name: &'static str,
    title: &'static str,
    label: &'static str,
    outcomes: &[Outcome],
    of: impl Fn(&Outcome) -> f64,
) -> Plot {
    let formats = [Pod::NAME, Postcard::NAME, MessagePack::NAME, Json::NAME];
    let series = formats.map(|format| {
        let points = outcomes.iter().filter(|one| one.format == format);
        Series::new(format, points.map(|one| (one.bytes as f64, of(one))))
    });
    let (x, y) = (Axis::new("size of the payload", Scale::Bytes), Axis::new(label, Scale::Time));
    Plot { name, title, x, y, series: series.into() }
}

/// The answer, for the state of middle size.
fn answer(outcomes: &[Outcome]) -> String {
    let of = |format: &str| outcomes.iter().find(|one| one.state == 1 && one.format == format);
    let all = [Pod::NAME, Postcard::NAME, MessagePack::NAME, Json::NAME].map(of);
    let [Some(pod), Some(postcard), Some(pack), Some(json)] = all else { return String::new() };
    format!(
        "A state of {} is encoded in {} and decoded in {} by Postcard; MessagePack takes {:.1} times as long to \
         encode, {:.1} times to decode and {:.1} times the room, JSON {:.1}, {:.1} and {:.1} times. Plain data takes \
         {} and {}: where a state has a fixed size, that is what to publish.",
        STATES[1].0,
        time(postcard.encode),
        time(postcard.decode),
        pack.encode / postcard.encode,
        pack.decode / postcard.decode,
        pack.bytes as f64 / postcard.bytes as f64,
        json.encode / postcard.encode,
        json.decode / postcard.decode,
        json.bytes as f64 / postcard.bytes as f64,
        time(pod.encode),
        time(pod.decode),
    )
}
