//! `tearless put`: a channel from a shell.

mod input;

use std::io::{self, BufRead};
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
use crate::output::print_error;
use input::State;

/// Publishes standard input on a channel, which is held meanwhile
#[derive(Debug, Args)]
#[command(after_help = "\
Standard input to its end is one state, or each line is one with --each-line. JSON is published as \
MessagePack, which describes itself: `tearless get` shows it again, and programs read it with the codec \
MessagePack.

A channel has one writer, and lives as long as it: a single state is held until SIGINT (Ctrl-C), SIGTERM or \
SIGHUP. With --linger the command ends at once, and the last state stays readable.

Examples:
  echo '{\"phase\": \"deploying\", \"done\": 3}' | tearless -n fleet put deployment --linger
  vmstat 1 --one-header | tearless put vmstat --bytes --each-line
  tearless get vmstat --raw

Exit codes: 0 also after a signal; 2 no JSON; 6 the channel has another writer")]
pub(crate) struct PutArguments {
    /// The channel, which is made if need be
    channel: String,
    /// Publishes the bytes as they are, instead of taking them for JSON; with --each-line without the line
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

/// The one writer, of either form.
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
            _ => unreachable!("states are parsed for the sink that there is"),
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

/// A machine without namespaces is where a first worker is expected: it only has to be said which one to
/// make.
fn hint_at_name(failure: Failure) -> Failure {
    match failure.exit() {
        ExitStatus::NotFound => failure.hint("say -n NAME: that makes one"),
        _ => failure,
    }
}

/// What is no state is found out before the channel is touched.
fn single(namespace: &Namespace, arguments: &PutArguments) -> Result<(), Failure> {
    let state = State::parse(input::read_all(io::stdin().lock())?, arguments.bytes, None)?;
    let mut signals = Caught::catch()?;
    let mut sink = Sink::open(namespace, arguments)?;
    let publication = sink.publish(&state)?;
    if !arguments.linger {
        let channel = &arguments.channel;
        print_error(format_args!(
            "publication {publication} of channel {channel:?} is held until Ctrl-C or SIGTERM"
        ));
        signals.wait();
    }
    Ok(sink.close()?)
}

/// Reading can't be interrupted by a signal; so another thread waits for it, and ends the channel and the
/// process.
fn each_line(namespace: &Namespace, arguments: &PutArguments) -> Result<(), Failure> {
    let mut signals = Caught::catch()?;
    let sink = Arc::new(Mutex::new(Some(Sink::open(namespace, arguments)?)));
    let ending = Arc::clone(&sink);
    thread::spawn(move || {
        signals.wait();
        // Never let go again: who reads must not go on in the middle of the end.
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
    while let Some(line) = input::read_line(&mut input)? {
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

/// Why what came in is not published.
fn unusable(message: String) -> Failure {
    Failure::new(ExitStatus::Usage, message)
}

#[test]
fn who_has_no_namespace_is_told_how_to_make_one() {
    let hint = |exit| format!("{:?}", hint_at_name(Failure::new(exit, "none").hint("is a worker running?")));
    assert!(hint(ExitStatus::NotFound).contains("-n NAME"));
    assert!(hint(ExitStatus::Usage).contains("is a worker running?"));
}
