//! `tearless put`: a channel from a shell.

use std::io::{self, BufRead, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::{process, thread};

use clap::Args;
use serde_json::Value;
use tearless::{
    Bytes, MessagePack, Namespace, Writer,
    error::{PublishError, RemoveError},
};

use crate::context::Context;
use crate::error::{ExitStatus, Failure};
use crate::interrupt::Caught;
use crate::output::stderr;

/// Publishes standard input on a channel, and holds the channel while it runs
#[derive(Debug, Args)]
#[command(after_help = "\
The whole of standard input is one state, or with --each-line each line is one. JSON is published as \
MessagePack: `tearless get` shows it again, and programs read it with the codec MessagePack.

A channel lives as long as its writer: the command holds a single state until SIGINT (Ctrl-C), SIGTERM or SIGHUP. \
With --linger it ends immediately, and the last state stays readable.

Examples:
  echo '{\"phase\": \"deploying\", \"done\": 3}' | tearless -n fleet put deployment --linger
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
    /// Leaves the last state readable at the end
    #[arg(long)]
    linger: bool,
}

/// The writer, of either codec.
enum Sink {
    Json(Writer<Value, MessagePack>),
    Bytes(Writer<[u8], Bytes>),
}

impl Sink {
    fn open(namespace: &Namespace, arguments: &PutArguments) -> Result<Sink, Failure> {
        let (channel, linger) = (arguments.channel.as_str(), arguments.linger);
        Ok(if arguments.bytes {
            Sink::Bytes(namespace.writer_builder(channel).codec().linger(linger).open()?)
        } else {
            Sink::Json(namespace.writer_builder(channel).codec().linger(linger).type_name("json").open()?)
        })
    }

    fn publish(&mut self, state: &State) -> Result<u64, PublishError> {
        match (self, state) {
            (Sink::Json(writer), State::Json(value)) => writer.publish(value),
            (Sink::Bytes(writer), State::Bytes(bytes)) => writer.publish(bytes),
            _ => unreachable!("a state is parsed for the codec of its sink"),
        }
    }

    fn close(self) -> Result<(), RemoveError> {
        match self {
            Sink::Json(writer) => writer.close(),
            Sink::Bytes(writer) => writer.close(),
        }
    }
}

pub(crate) fn run(arguments: &PutArguments, context: &Context) -> Result<(), Failure> {
    let namespace = context.namespace().map_err(hint_at_name)?;
    match arguments.each_line {
        true => each_line(&namespace, arguments),
        false => single(&namespace, arguments),
    }
}

/// On a machine without a namespace, the first worker has to name the one to create.
fn hint_at_name(failure: Failure) -> Failure {
    match failure.exit() {
        ExitStatus::NotFound => failure.hint("add -n NAME, which creates the namespace"),
        _ => failure,
    }
}

/// Publishes all of standard input. It is parsed before the channel is opened.
fn single(namespace: &Namespace, arguments: &PutArguments) -> Result<(), Failure> {
    let state = State::parse(read_all(io::stdin().lock())?, arguments.bytes, None)?;
    let mut signals = Caught::catch()?;
    let mut sink = Sink::open(namespace, arguments)?;
    let publication = sink.publish(&state)?;
    if !arguments.linger {
        let channel = &arguments.channel;
        stderr(format_args!(
            "holding publication {publication} of channel {channel:?} until Ctrl-C or SIGTERM"
        ));
        signals.wait();
    }
    Ok(sink.close()?)
}

/// Publishes line by line. A signal does not interrupt the read, so another thread waits for
/// signals, closes the channel and ends the process.
fn each_line(namespace: &Namespace, arguments: &PutArguments) -> Result<(), Failure> {
    let mut signals = Caught::catch()?;
    let sink = Arc::new(Mutex::new(Some(Sink::open(namespace, arguments)?)));
    let ending = Arc::clone(&sink);
    thread::spawn(move || {
        signals.wait();
        // Held until the process ends, so that the reading thread can't publish on a closing
        // channel.
        let mut sink = ending.lock().unwrap_or_else(PoisonError::into_inner);
        process::exit(end(sink.take()).map_or_else(|failure| failure.report_status() as i32, |()| 0));
    });
    let published = publish_lines(io::stdin().lock(), arguments, &sink);
    let mut sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
    published.and(end(sink.take()))
}

fn end(sink: Option<Sink>) -> Result<(), Failure> {
    sink.map_or(Ok(()), |sink| Ok(sink.close()?))
}

fn publish_lines(
    mut input: impl BufRead,
    arguments: &PutArguments,
    sink: &Mutex<Option<Sink>>,
) -> Result<(), Failure> {
    let mut number = 0;
    while let Some(line) = read_line(&mut input)? {
        number += 1;
        if !arguments.bytes && line.trim_ascii().is_empty() {
            continue;
        }
        let state = State::parse(line, arguments.bytes, Some(number))?;
        if let Some(sink) = sink.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            sink.publish(&state)?;
        }
    }
    Ok(())
}

/// Standard input is not a state.
fn unusable(message: String) -> Failure {
    Failure::new(ExitStatus::Usage, message)
}

/// The most bytes that are read for one state: the size limit of states. It also bounds endless
/// input.
const MAX_BYTES: u64 = 64 << 20;

/// A state to publish.
#[derive(Debug)]
enum State {
    Json(Value),
    Bytes(Vec<u8>),
}

impl State {
    /// `line` is the number of the input's line, if each line is a state.
    fn parse(input: Vec<u8>, is_raw: bool, line: Option<u64>) -> Result<State, Failure> {
        if is_raw {
            return Ok(State::Bytes(input));
        }
        let value = serde_json::from_slice(&input).map_err(|error| {
            let failure = unusable(not_json(&error, line));
            failure.hint(
                "to publish bytes that are not JSON, add --bytes; if each line is a state, add --each-line",
            )
        })?;
        match wide_integer(&input) {
            None => Ok(State::Json(value)),
            Some(integer) => Err(unusable(format!("the integer {integer} has more than 64 bits"))
                .hint("put it into quotes: readers get a text, as they do for integers of 128 bits")),
        }
    }
}

/// The first integer of `json`, a valid text, that has more than 64 bits: it would be rounded.
fn wide_integer(json: &[u8]) -> Option<&str> {
    let mut rest = json;
    while let Some(first) = rest.first() {
        let len = match first {
            b'"' => 1 + text_len(&rest[1..]),
            b'-' | b'0'..=b'9' => rest.iter().take_while(|byte| is_in_number(**byte)).count(),
            _ => 1,
        };
        let (token, next) = rest.split_at(len);
        rest = next;
        let Ok(number) = str::from_utf8(token) else { continue };
        let is_integer = number.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit());
        if is_integer && len > 1 && number.parse::<i64>().is_err() && number.parse::<u64>().is_err() {
            return Some(number);
        }
    }
    None
}

/// The bytes of a text in JSON and of the quote after it.
fn text_len(rest: &[u8]) -> usize {
    let mut is_escaped = false;
    let end = rest.iter().position(|byte| {
        let is_end = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        is_end
    });
    end.map_or(rest.len(), |end| end + 1)
}

fn is_in_number(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E')
}

fn not_json(error: &serde_json::Error, line: Option<u64>) -> String {
    let (row, column) = (line.unwrap_or(error.line() as u64), error.column());
    // The reason without its place, which is relative to the line.
    let text = error.to_string();
    let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason);
    format!("standard input is not JSON: {reason}, at line {row}, column {column}")
}

/// The whole of standard input.
fn read_all(input: impl Read) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    input.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
    check_len(&bytes)?;
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
    check_len(&line)?;
    Ok(Some(line))
}

fn check_len(bytes: &[u8]) -> Result<(), Failure> {
    match bytes.len() as u64 > MAX_BYTES {
        true => Err(unusable(format!("a state on standard input has more than {MAX_BYTES} bytes"))),
        false => Ok(()),
    }
}

fn unreadable(error: &io::Error) -> Failure {
    unusable(format!("can't read standard input: {error}"))
}

#[test]
fn without_a_namespace_the_hint_names_the_option_that_creates_one() {
    let hint = |exit| format!("{:?}", hint_at_name(Failure::new(exit, "none").hint("is a worker running?")));
    assert!(hint(ExitStatus::NotFound).contains("-n NAME"));
    assert!(hint(ExitStatus::Usage).contains("is a worker running?"));
}

#[cfg(test)]
mod tests {
    use super::{read_all, read_line};
    use std::io;

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
        assert!(read_line(&mut io::BufReader::new(io::repeat(b'x'))).is_err());
    }
}
