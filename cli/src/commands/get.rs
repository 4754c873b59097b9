//! `tearless get`: the latest state of a channel.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Map, Value, json};
use tearless::dynamic::FieldPath;
use tearless::{SnapshotInfo, inspect::WriterState};

use crate::context::Context;
use crate::error::{ExitStatus, Failure};
use crate::output::{
    ago, bytes, clock, duration, hex_dump, print_json, printable, state_text, stderr, style, timestamp,
    value_text,
};
use crate::states::{States, Taken};

/// How many bytes of an undecodable state are shown.
const MAX_SHOWN: usize = 512;

/// Prints the latest state of a channel, or a field of it; also after its writer died
#[derive(Debug, Args)]
#[command(after_help = "\
Prints a state as JSON. MessagePack states name their own fields; Postcard and plain data need a channel that \
carries its schema (`writer_builder(…).with_schema()`). A state that can't be decoded is printed as bytes, and \
the exit code is 5.

A field is named as in Rust: queue[3].deadline; a name with unusual characters as by_name[\"worker 7\"]. A \
string is printed without quotes. For plain data, only the bytes of the field are read, however large the \
state is.

Examples:
  tearless get worker-7
  tearless get worker-7 --field queue[0].name
  tearless get worker-7 --field jobs_done --max-age 5s || page-operator
  tearless get worker-7 --raw > state.bin

Keys of --json:
  channel, publication (its number), age_seconds and published_at (UTC; null:
  no timestamp), bytes (of the whole state), codec, type_name, writer (alive,
  stopped, dead, exited, closed, unknown), field (only with --field), value

Exit codes: 3 no such channel or field, or nothing published yet; 4 see --live, --max-age; 5 the state \
can't be decoded")]
pub(crate) struct GetArguments {
    /// The channel
    channel: String,
    /// Only this field
    #[arg(short, long, value_name = "PATH")]
    field: Option<FieldPath>,
    /// Prints the payload's bytes unchanged; refused on a terminal
    #[arg(long, conflicts_with_all = ["field", "json", "hex"])]
    raw: bool,
    /// Prints the payload's bytes as hexadecimal numbers
    #[arg(long, conflicts_with_all = ["field", "json"])]
    hex: bool,
    /// Fails with exit code 4 unless the writer is alive
    #[arg(long)]
    live: bool,
    /// Fails with exit code 4 if both the state and the last heartbeat are older
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    max_age: Option<Duration>,
    /// How long to wait for the channel and its first state
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "0s", hide_default_value = true)]
    wait: Duration,
}

pub(crate) fn run(arguments: &GetArguments, context: &Context) -> Result<(), Failure> {
    // A deadline could overflow the clock: `--wait` may be any duration.
    let begin = Instant::now();
    let namespace = context.namespace()?;
    let mut states = States::attach(&namespace, &arguments.channel, arguments.wait, context)?;
    if !arguments.wait.is_zero() && states.reader().reader().publication() == 0 {
        states.wait_after(0, arguments.wait.saturating_sub(begin.elapsed()))?;
    }
    if arguments.live {
        must_live(&states)?;
    }
    if arguments.raw || arguments.hex {
        return print_bytes(&mut states, arguments);
    }
    let taken = match states.take(arguments.field.as_ref()) {
        Ok(taken) => taken,
        Err(failure) => {
            if !context.json && arguments.field.is_none() {
                show_bytes(&mut states)?;
            }
            return Err(failure);
        }
    };
    must_be_young(&states, taken.info, arguments)?;
    match context.json {
        true => Ok(print_json(&document(&states, taken, arguments))?),
        false => {
            headline(&states, taken.info);
            Ok(writeln!(io::stdout().lock(), "{}", value_text(&taken.value))?)
        }
    }
}

fn must_live(states: &States) -> Result<(), Failure> {
    let reader = states.reader().reader();
    match reader.writer_state()? {
        WriterState::Alive => Ok(()),
        state => Err(Failure::new(
            ExitStatus::NotLive,
            format!(
                "the writer of channel {:?} (process {}) is {}",
                reader.channel(),
                reader.writer_pid(),
                state_text(state)
            ),
        )),
    }
}

fn must_be_young(states: &States, info: SnapshotInfo, arguments: &GetArguments) -> Result<(), Failure> {
    let Some(max) = arguments.max_age else { return Ok(()) };
    let reader = states.reader().reader();
    // A heartbeat confirms that the last publication is still the state.
    let age = [info.age(), reader.heartbeat_age()].into_iter().flatten().min();
    match age {
        Some(age) if age <= max => Ok(()),
        Some(age) => Err(Failure::new(
            ExitStatus::NotLive,
            format!(
                "the state of channel {:?} is {} old, more than {}",
                reader.channel(),
                duration(age),
                duration(max)
            ),
        )),
        None => Err(Failure::new(
            ExitStatus::NotLive,
            format!("the state of channel {:?} has no timestamp", reader.channel()),
        )
        .hint("open its writer with timestamps, or with a heartbeat interval")),
    }
}

fn print_bytes(states: &mut States, arguments: &GetArguments) -> Result<(), Failure> {
    let payload = states.reader_mut().payload()?;
    must_be_young(states, payload.info(), arguments)?;
    let mut output = io::stdout().lock();
    if arguments.hex {
        return Ok(output.write_all(hex_dump(&payload).as_bytes())?);
    }
    if output.is_terminal() {
        return Err(Failure::new(
            ExitStatus::Usage,
            "standard output is a terminal, and --raw prints arbitrary bytes",
        )
        .hint("redirect it to a file or a pipe, or use --hex"));
    }
    output.write_all(&payload)?;
    Ok(output.flush()?)
}

/// Prints the first bytes of an undecodable state.
fn show_bytes(states: &mut States) -> Result<(), Failure> {
    let Ok(payload) = states.reader_mut().payload() else { return Ok(()) };
    let shown = &payload[..payload.len().min(MAX_SHOWN)];
    let mut output = io::stdout().lock();
    output.write_all(hex_dump(shown).as_bytes())?;
    if shown.len() < payload.len() {
        writeln!(output, "… and {} more; --hex shows all", bytes((payload.len() - shown.len()) as u64))?;
    }
    Ok(output.flush()?)
}

/// Prints number, age and writer of the state, if standard output is a terminal; a pipe gets only
/// the state.
fn headline(states: &States, info: SnapshotInfo) {
    if !io::stdout().is_terminal() {
        return;
    }
    let reader = states.reader().reader();
    let writer = reader.writer_state().map_or("unknown", state_text);
    let (dim, channel) = (style::DIM, printable(reader.channel()));
    let size = bytes(info.payload_len() as u64);
    let (number, age, at) = (info.publication(), ago(info.age()), clock(info.published_at()));
    stderr(format_args!(
        "{dim}{channel}: publication {number}, {age} ({at}), {size}, writer {writer}{dim:#}"
    ));
}

fn document(states: &States, taken: Taken, arguments: &GetArguments) -> Value {
    let reader = states.reader();
    let mut document = Map::new();
    let mut add = |key: &str, value: Value| drop(document.insert(key.to_owned(), value));
    add("channel", reader.reader().channel().into());
    add("publication", taken.info.publication().into());
    add("age_seconds", json!(taken.info.age().map(|age| age.as_secs_f64())));
    add("published_at", json!(timestamp(taken.info.published_at())));
    add("bytes", taken.info.payload_len().into());
    add("codec", reader.codec().into());
    add("type_name", reader.type_name().into());
    add("writer", reader.reader().writer_state().map_or("unknown", state_text).into());
    if let Some(field) = &arguments.field {
        add("field", field.to_string().into());
    }
    add("value", taken.value);
    Value::Object(document)
}
