//! `tearless put`: a channel from a shell.

use std::io::{self, BufRead, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{iter, process, thread};

use clap::Args;
use serde_json::Value;
use serde_json::value::RawValue;
use tearless::{Bytes, Encode, MessagePack, Writer, WriterBuilder};

use crate::context::{AccessArguments, Context};
use crate::error::{ExitStatus, Failure};
use crate::interrupt::Caught;
use crate::output::stderr;

/// Publishes standard input on a channel, and holds the channel while it runs
#[derive(Debug, Args)]
#[command(override_usage = "tearless put [OPTIONS] <CHANNEL> < STATE")]
#[command(after_help = "\
The whole of standard input is one state, or with --each-line each line is one. JSON is published as \
MessagePack: `tearless get` shows it again, and programs read it with `accept(accept::MatchingFields)`.

A channel lives as long as its writer: the command holds a single state until SIGINT (Ctrl-C), SIGTERM or SIGHUP, \
unless the caller ignores that signal, as nohup does. \
With --linger it ends immediately, and the last state stays readable.

Examples:
  echo '{\"phase\": \"deploying\", \"done\": 3}' | tearless -n fleet put deployment --linger
  echo 3 | tearless put jobs --permissions 640 --group metrics
  vmstat 1 --one-header | tearless put vmstat --bytes --each-line
  tearless get vmstat --raw

Exit codes: 0, also after a signal; 2 the input is not JSON; 6 another process writes the channel")]
pub(crate) struct PutArguments {
    /// The channel; created if it does not exist
    channel: String,
    /// Publishes the bytes unchanged instead of parsing JSON; with --each-line, without the line
    /// break
    #[arg(long, conflicts_with = "json")]
    bytes: bool,
    /// Publishes each line as it comes, until the input ends
    #[arg(long)]
    each_line: bool,
    /// Promises a line in this time: after 3 of them without one, the writer counts as stalled
    #[arg(long, value_name = "TIME", value_parser = crate::context::time, requires = "each_line")]
    interval: Option<Duration>,
    /// Leaves the last state readable at the end
    #[arg(long)]
    linger: bool,
    #[command(flatten)]
    access: AccessArguments,
}

pub(crate) fn run(arguments: &PutArguments, context: &Context) -> Result<(), Failure> {
    let namespace = context.namespace_for(&arguments.access).map_err(hint_at_name)?;
    let channel = &arguments.channel;
    if arguments.bytes {
        let builder = namespace.writer_builder::<[u8]>(channel).codec::<Bytes>();
        return publish(builder, arguments, |input, _| Ok(read_all(input)?.into()));
    }
    let builder = namespace.writer_builder::<Value>(channel).codec::<MessagePack>().type_name("json");
    publish(builder, arguments, |input, line| document(input.take(MAX_BYTES + 1), line).map(Box::new))
}

/// On a machine without a namespace, the first worker has to name the one to create.
fn hint_at_name(failure: Failure) -> Failure {
    match failure.exit {
        ExitStatus::NotFound => failure.hint("add -n NAME, which creates the namespace"),
        _ => failure,
    }
}

/// Makes a state of an input; of a line of the input, the second argument is its number.
type Parse<T> = fn(&mut dyn Read, Option<u64>) -> Result<Box<T>, Failure>;

fn publish<T: ?Sized + 'static, C: Encode<T> + 'static>(
    mut builder: WriterBuilder<T, C>,
    arguments: &PutArguments,
    parse: Parse<T>,
) -> Result<(), Failure> {
    builder = builder.linger(arguments.linger);
    if let Some(interval) = arguments.interval {
        builder = builder.heartbeat_interval(interval);
    }
    match arguments.each_line {
        true => each_line(builder, arguments.bytes, parse),
        false => single(builder, arguments, parse),
    }
}

/// Publishes all of standard input. It is parsed before the channel is opened.
fn single<T: ?Sized, C: Encode<T>>(
    builder: WriterBuilder<T, C>,
    arguments: &PutArguments,
    parse: Parse<T>,
) -> Result<(), Failure> {
    let state = parse(&mut io::stdin().lock(), None)?;
    let mut signals = Caught::catch()?;
    let mut writer = builder.open()?;
    let publication = writer.publish(&state)?;
    if !arguments.linger {
        let channel = &arguments.channel;
        stderr(format_args!(
            "holding publication {publication} of channel {channel:?} until Ctrl-C or SIGTERM"
        ));
        signals.wait();
    }
    Ok(writer.close()?)
}

/// Publishes line by line. A signal does not interrupt the read, so another thread waits for
/// signals, closes the channel and ends the process.
fn each_line<T: ?Sized + 'static, C: Encode<T> + 'static>(
    builder: WriterBuilder<T, C>,
    is_raw: bool,
    parse: Parse<T>,
) -> Result<(), Failure> {
    let mut signals = Caught::catch()?;
    let shared = Arc::new(Mutex::new(Some(builder.open()?)));
    let ending = Arc::clone(&shared);
    thread::spawn(move || {
        signals.wait();
        // Held until the process ends, so that the reading thread can't publish on a closing
        // channel.
        let mut writer = ending.lock().unwrap_or_else(PoisonError::into_inner);
        process::exit(end(writer.take()).map_or_else(|failure| failure.report() as i32, |()| 0));
    });
    let writer = || shared.lock().unwrap_or_else(PoisonError::into_inner);
    let mut input = io::stdin().lock();
    let lines = iter::from_fn(|| read_line(&mut input).transpose());
    let published = (1..).zip(lines).try_for_each(|(number, line)| {
        let line = line?;
        if !is_raw && line.trim_ascii().is_empty() {
            // A blank line is no JSON.
            return Ok(());
        }
        let state = parse(&mut &line[..], Some(number))?;
        writer().as_mut().map_or(Ok(()), |writer| Ok(writer.publish(&state).map(drop)?))
    });
    published.and(end(writer().take()))
}

fn end<T: ?Sized, C>(writer: Option<Writer<T, C>>) -> Result<(), Failure> {
    writer.map_or(Ok(()), |writer| Ok(writer.close()?))
}

/// Standard input is not a state.
fn unusable(message: String) -> Failure {
    Failure::new(ExitStatus::Usage, message)
}

/// The most bytes that are read for one state: the size limit of states. It also bounds endless
/// input.
const MAX_BYTES: u64 = 64 << 20;

/// The only JSON document of the input; of a line of the input, `line` is its number. A second one
/// is refused as soon as it has come, because the input of a script that forgot --each-line does
/// not end.
fn document(mut input: io::Take<impl Read>, line: Option<u64>) -> Result<Value, Failure> {
    let mut documents = serde_json::Deserializer::from_reader(&mut input).into_iter::<Box<RawValue>>();
    let (first, second) = (documents.next(), documents.next().map(|second| second.map(drop)));
    // A value would show rounded numbers.
    let wide = first.as_ref().and_then(|first| wide_integer(first.as_ref().ok()?.get()));
    let given = first.as_ref().and_then(|first| Some(members(first.as_ref().ok()?.get())));
    let first = first.map(|first| first.and_then(|text| serde_json::from_str::<Value>(text.get())));
    check_len(MAX_BYTES + 1 - input.limit())?;
    let reason = match (first, second) {
        (Some(Ok(document)), None) if Some(members(&document.to_string())) < given => {
            "an object has two members of one name".into()
        }
        (Some(Ok(document)), None) => {
            return wide.map_or(Ok(document), |integer| {
                Err(unusable(format!("the integer {integer} has more than 64 bits"))
                    .hint("put it into quotes: readers get a text, as they do for integers of 128 bits"))
            });
        }
        (Some(Ok(_)), Some(Ok(()))) => "it has more than one document".into(),
        (None, _) => "it is empty".into(),
        (Some(Err(error)), _) if error.is_io() => return Err(unreadable(&error.into())),
        (Some(Err(error)), _) | (_, Some(Err(error))) => {
            let (row, column) = (line.unwrap_or(error.line() as u64), error.column());
            // The reason without its place, which is relative to the line.
            let text = error.to_string();
            let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason);
            format!("{reason}, at line {row}, column {column}")
        }
    };
    let more = if line.is_some() { "" } else { "; if each line is a state, add --each-line" };
    let hint = format!("to publish bytes that are not JSON, add --bytes{more}");
    Err(unusable(format!("standard input is not JSON: {reason}")).hint(hint))
}

/// The text outside the strings of `json`, a valid text.
fn outside(json: &str) -> String {
    // Without escapes, every second quote ends a string.
    json.replace(r"\\", "").replace(r#"\""#, "").split('"').step_by(2).collect()
}

/// How many members the objects in `json` have. Of two with one name, a value has only the last.
fn members(json: &str) -> usize {
    outside(json).matches(':').count()
}

/// The first integer of `json`, a valid text, that has more than 64 bits: `serde_json` rounds it.
fn wide_integer(json: &str) -> Option<String> {
    let json = outside(json);
    let mut values = json.split([',', ':', '[', ']', '{', '}']).map(str::trim);
    let is_integer = |value: &str| value.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit());
    let is_wide = |value: &&str| value.parse::<i64>().is_err() && value.parse::<u64>().is_err();
    values.find(|value| value.len() > 1 && is_integer(value) && is_wide(value)).map(String::from)
}

/// The whole of standard input.
fn read_all(input: impl Read) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    input.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
    check_len(bytes.len() as u64)?;
    Ok(bytes)
}

/// The next line, without its break; `None` at the end.
fn read_line(input: &mut impl BufRead) -> Result<Option<Vec<u8>>, Failure> {
    let mut line = Vec::new();
    let read = input.take(MAX_BYTES + 1).read_until(b'\n', &mut line).map_err(|error| unreadable(&error))?;
    if read == 0 {
        return Ok(None);
    }
    if line.pop_if(|last| *last == b'\n').is_some() {
        line.pop_if(|last| *last == b'\r');
    }
    check_len(line.len() as u64)?;
    Ok(Some(line))
}

fn check_len(len: u64) -> Result<(), Failure> {
    match len > MAX_BYTES {
        true => Err(unusable(format!("a state on standard input has more than {MAX_BYTES} bytes"))),
        false => Ok(()),
    }
}

fn unreadable(error: &io::Error) -> Failure {
    unusable(format!("can't read standard input: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_without_their_breaks() {
        let mut input = io::Cursor::new(b"one\r\n\ntwo\rthree".to_vec());
        let mut lines = Vec::new();
        while let Some(line) = read_line(&mut input).unwrap() {
            lines.push(String::from_utf8(line).unwrap());
        }
        assert_eq!(lines, ["one", "", "two\rthree"]);
    }

    #[test]
    fn endless_input_is_refused() {
        assert!(read_all(io::repeat(b'x')).is_err());
        let endless = document(io::repeat(b' ').take(100), None).unwrap_err().to_string();
        assert!(endless.contains("more than 67108864 bytes"), "{endless}");
        assert!(read_line(&mut io::BufReader::new(io::repeat(b'x'))).is_err());
    }

    #[test]
    fn without_a_namespace_the_hint_names_the_option_that_creates_one() {
        let hint =
            |exit| format!("{:?}", hint_at_name(Failure::new(exit, "none").hint("is a worker running?")));
        assert!(hint(ExitStatus::NotFound).contains("-n NAME"));
        assert!(hint(ExitStatus::Usage).contains("is a worker running?"));
    }
}
