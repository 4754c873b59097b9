//! `tearless get`: the latest state of a channel.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use tearless::dynamic::FieldPath;
use tearless::{SnapshotInfo, inspect::WriterState};

use crate::context::{Context, time};
use crate::error::{ExitStatus, Failure};
use crate::health;
use crate::output::{
    ago, bytes, clock, duration, hex_dump, print_json, printable, seconds, stderr, style, timestamp,
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
  channel, publication (its number), age_seconds and published_at (UTC; null: no timestamp), bytes (of the whole \
state), codec, type_name, writer (alive, stopped, dead, exited, closed, unknown, unreachable), origin (of a mirrored channel: host, \
publication, instance, incarnation, pid, news_age_seconds; else null), field (only with --field), value

Exit codes: 3 no such channel, no such field in the latest state, or nothing published yet; 4 see --live, --max-age; 5 the state \
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
    #[arg(long, value_name = "TIME", value_parser = time)]
    max_age: Option<Duration>,
    /// How long to wait for the channel and its first state
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "0s", hide_default_value = true)]
    wait: Duration,
}

pub(crate) fn run(arguments: &GetArguments, context: &Context) -> Result<(), Failure> {
    // A deadline could overflow the clock: `--wait` may be any duration.
    let begin = Instant::now();
    let namespace = context.namespace()?;
    let mut states = States::attach(&namespace, &arguments.channel, arguments.wait, context)?;
    if !arguments.wait.is_zero() && states.reader.reader().publication() == 0 {
        let left = arguments.wait.saturating_sub(begin.elapsed());
        if states.reader.reader_mut().wait_after(0, left)?.is_none() {
            let (channel, wait) = (&arguments.channel, duration(arguments.wait));
            let text = format!("nothing has been published on channel {channel:?} within {wait}");
            return Err(Failure::new(ExitStatus::NotFound, text).hint("`tearless stat` shows its writer"));
        }
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
    let reader = states.reader.reader();
    let (channel, state) = (reader.channel(), reader.writer_state()?);
    let process = health::process(reader.writer_pid(), reader.origin_status());
    let text = || format!("the writer of channel {channel:?} ({process}) is {}", state.name());
    if state == WriterState::Alive { Ok(()) } else { Err(Failure::new(ExitStatus::NotLive, text())) }
}

fn must_be_young(states: &States, info: SnapshotInfo, arguments: &GetArguments) -> Result<(), Failure> {
    let Some(max) = arguments.max_age else { return Ok(()) };
    let reader = states.reader.reader();
    let channel = reader.channel();
    // A heartbeat confirms that the last publication is still the state.
    let age = [info.age(), reader.heartbeat_age()].into_iter().flatten().min();
    let Some(age) = age else {
        let text = format!("the state of channel {channel:?} has no timestamp");
        let hint = "open its writer with timestamps, or with a heartbeat interval";
        return Err(Failure::new(ExitStatus::NotLive, text).hint(hint));
    };
    let text =
        || format!("the state of channel {channel:?} is {} old, more than {}", duration(age), duration(max));
    if age <= max { Ok(()) } else { Err(Failure::new(ExitStatus::NotLive, text())) }
}

fn print_bytes(states: &mut States, arguments: &GetArguments) -> Result<(), Failure> {
    let payload = states.reader.payload()?;
    must_be_young(states, payload.info(), arguments)?;
    let mut output = io::stdout().lock();
    if arguments.hex {
        return Ok(output.write_all(hex_dump(&payload).as_bytes())?);
    }
    if output.is_terminal() {
        let text = "standard output is a terminal, and --raw prints arbitrary bytes";
        let failure = Failure::new(ExitStatus::Usage, text);
        return Err(failure.hint("redirect it to a file or a pipe, or use --hex"));
    }
    output.write_all(&payload)?;
    Ok(output.flush()?)
}

/// Prints the first bytes of an undecodable state.
fn show_bytes(states: &mut States) -> Result<(), Failure> {
    let Ok(payload) = states.reader.payload() else { return Ok(()) };
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
    let reader = states.reader.reader();
    let writer = reader.writer_state().map_or("unknown", WriterState::name);
    let (dim, channel) = (style::DIM, printable(reader.channel()));
    let size = bytes(info.payload_len() as u64);
    let (number, age, at) = (info.publication(), ago(info.age()), clock(info.published_at()));
    let origin =
        info.origin().map(|origin| format!(", {}", printable(&origin.to_string()))).unwrap_or_default();
    stderr(format_args!(
        "{dim}{channel}: publication {number}, {age} ({at}), {size}, writer {writer}{origin}{dim:#}"
    ));
}

fn document(states: &States, taken: Taken, arguments: &GetArguments) -> Value {
    let reader = &states.reader;
    let mut document = json!({
        "channel": reader.reader().channel(), "publication": taken.info.publication(),
        "age_seconds": seconds(taken.info.age()), "published_at": timestamp(taken.info.published_at()),
        "bytes": taken.info.payload_len(), "codec": reader.codec(), "type_name": reader.type_name(),
        "writer": reader.reader().writer_state().map_or("unknown", WriterState::name),
        "origin": health::origin(
            reader.reader().origin_status(), taken.info.origin().map(|origin| origin.publication()),
        ),
    });
    if let Some(field) = &arguments.field {
        document["field"] = field.to_string().into();
    }
    document["value"] = taken.value;
    document
}
