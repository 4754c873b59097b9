//! `tearless watch`: each new state of a channel, as it comes.

use std::io::{self, Write};
use std::mem;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use tearless::dynamic::{Change, Differences, FieldPath, differences};
use tearless::{Namespace, Snapshot, SnapshotInfo, error::SnapshotError, inspect::WriterState};

use crate::context::{Context, time};
use crate::error::Failure;
use crate::health::{self, is_replaced};
use crate::output::{
    is_pipe_broken_within, json_text, print_json, printable, seconds, stderr, style, value_line,
};
use crate::states::States;

/// How long one wait takes before the writer's state is checked.
const SLICE: Duration = Duration::from_secs(1);

/// Prints each new state of a channel, as it comes
#[derive(Debug, Args)]
#[command(after_help = "\
Begins with the latest state, then sleeps until the writer publishes; it does not poll. A channel has a latest \
state and no queue: what is published while a line is being printed is skipped, and the numbers show how many.

A state that lacks the field is printed as null, with a message on standard error if no schema says that another \
state may have it; `tearless get` fails.

Examples:
  tearless watch worker-7
  tearless watch worker-7 --field queue --diff
  tearless watch worker-7 --json | jq .value.jobs_done
  tearless watch worker-7 --count 1 --interval 0s   the latest state, on one line

Keys of --json, one object a publication:
  publication, age_seconds (null: no timestamp), missed (publications skipped since the line before), value; with \
--diff instead of value: changes, an array of path, old, new (null: absent), and changes_left_out: how many \
changes exceed 10,000, or have paths of more than 4 KiB

Ends with exit code 0 when the channel is closed, after --count lines, or when the reader of its output is gone. \
A writer's death is reported on standard error, and the command waits for a successor.

Exit codes: 3 no such channel, or its schema has no such field; 5 a state can't be decoded")]
pub(crate) struct WatchArguments {
    /// The channel
    channel: String,
    /// Only this field; `null` if a state lacks it
    #[arg(short, long, value_name = "PATH")]
    field: Option<FieldPath>,
    /// Prints only the changes, and no line without one; the first state is printed whole
    #[arg(short, long)]
    diff: bool,
    /// Decodes at most one state, and prints at most one line, in this time
    #[arg(short, long, value_name = "TIME", value_parser = time, default_value = "0s", hide_default_value = true)]
    interval: Duration,
    /// Ends after this many lines
    #[arg(short, long, value_name = "LINES")]
    count: Option<u64>,
    /// How long to wait for the channel
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "0s", hide_default_value = true)]
    wait: Duration,
}

pub(crate) fn run(arguments: &WatchArguments, context: &Context) -> Result<(), Failure> {
    let namespace = context.namespace()?;
    let states = States::attach(&namespace, &arguments.channel, arguments.wait, context)?;
    let (namespace, seen, last, has_told, reported) = (&namespace, 0, None, false, None);
    let mut watch = Watch { states, namespace, context, arguments, seen, last, has_told, reported };
    let mut left = arguments.count.unwrap_or(u64::MAX);
    while left > 0 {
        let Some(snapshot) = watch.next()? else { return Ok(()) };
        let begin = Instant::now();
        if watch.print(&snapshot)? {
            left -= 1;
        }
        // Also after a state without changes: an interval saves the decoding of every state.
        if left > 0 && is_pipe_broken_within(arguments.interval.saturating_sub(begin.elapsed())) {
            return Ok(());
        }
    }
    Ok(())
}

struct Watch<'a> {
    states: States,
    namespace: &'a Namespace,
    context: &'a Context,
    arguments: &'a WatchArguments,
    /// Number of the last publication read.
    seen: u64,
    /// Its state, if differences are printed.
    last: Option<Value>,
    /// Whether a message has said that states lack the requested field.
    has_told: bool,
    /// The state of the writer that was last reported; `None` while it is alive.
    reported: Option<WriterState>,
}

impl Watch<'_> {
    /// The next publication; `None` if the channel is closed, or the reader of the output is gone.
    fn next(&mut self) -> Result<Option<Snapshot<Vec<u8>>>, Failure> {
        loop {
            match self.states.reader.reader_mut().wait_after(self.seen, SLICE) {
                Ok(Some(newer)) => return Ok(Some(newer)),
                // On a quiet channel, no write would fail and show that.
                Ok(None) if is_pipe_broken_within(Duration::ZERO) => return Ok(None),
                Ok(None) if is_replaced(self.namespace, &self.states.reader) => self.follow()?,
                Ok(None) => self.report_writer()?,
                // A writer that makes its channel again (`reopen`) ends the former one.
                Err(SnapshotError::Closed { .. }) if is_replaced(self.namespace, &self.states.reader) => {
                    self.follow()?;
                }
                Err(SnapshotError::Closed { channel, last }) => {
                    stderr(format_args!("channel {channel:?} was closed after publication {last}"));
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Continues with the channel that has the name now.
    fn follow(&mut self) -> Result<(), Failure> {
        let channel = &self.arguments.channel;
        self.states = States::attach(self.namespace, channel, self.arguments.wait, self.context)?;
        self.seen = 0;
        stderr(format_args!("channel {channel:?} was unlinked by hand, and created again"));
        Ok(())
    }

    fn report_writer(&mut self) -> Result<(), Failure> {
        let reader = self.states.reader.reader();
        let state = reader.writer_state()?;
        use WriterState::{Dead, Exited, Stopped, Unreachable};
        let is_down = matches!(state, Dead | Exited | Stopped | Unreachable);
        if is_down && self.reported != Some(state) {
            let (process, odd) = (health::process(reader.writer_pid(), reader.origin_status()), style::ODD);
            let verb = if state == Exited { "has" } else { "is" };
            stderr(format_args!("{odd}writer:{odd:#} {process} {verb} {state}"));
        }
        self.reported = is_down.then_some(state);
        Ok(())
    }

    /// The requested field. It is `null` if the state lacks it, and an error if the schema says
    /// that no state can have it. Without a schema, any later state may.
    fn field_of(&mut self, value: Value) -> Result<Value, Failure> {
        let Some(path) = &self.arguments.field else { return Ok(value) };
        match self.states.select(&value, path) {
            Err(_) if self.states.may_have(path) => Ok(Value::Null),
            Err(failure) if self.states.reader.schema().is_none() => {
                if !mem::replace(&mut self.has_told, true) {
                    stderr(format_args!("{failure}; printing null for each state without it"));
                }
                Ok(Value::Null)
            }
            found => found,
        }
    }

    /// Prints a publication, unless nothing has changed; returns whether it printed.
    fn print(&mut self, snapshot: &Snapshot<Vec<u8>>) -> Result<bool, Failure> {
        let info = snapshot.info();
        let missed = if self.seen == 0 { 0 } else { info.publication().saturating_sub(self.seen + 1) };
        self.seen = info.publication();
        let value = self.states.decode(snapshot).map_err(|error| self.states.undecodable(&error))?;
        let value = self.field_of(value)?;
        let changes = self.last.as_ref().map(|last| differences(last, &value));
        let is_news = changes.as_ref().is_none_or(|changes| !changes.is_empty());
        if is_news {
            match self.context.json {
                true => print_json(&document(info, missed, &value, changes.as_ref()))?,
                false => line(info, missed, &value, changes.as_ref())?,
            }
        }
        self.last = self.arguments.diff.then_some(value);
        Ok(is_news)
    }
}

fn line(info: SnapshotInfo, missed: u64, value: &Value, changes: Option<&Differences>) -> io::Result<()> {
    let (dim, number) = (style::DIM, info.publication());
    let missed = if missed > 0 { format!(" (+{missed})") } else { String::new() };
    let text = match changes {
        None => json_text(value),
        Some(changes) => changes_text(changes),
    };
    let mut output = anstream::stdout().lock();
    writeln!(output, "{dim}{number}{missed}{dim:#} {text}")
}

fn changes_text(changes: &Differences) -> String {
    let mut texts: Vec<String> = changes.found.iter().map(change_text).collect();
    if changes.left_out > 0 {
        texts.push(format!("and {} more changes", changes.left_out));
    }
    texts.join("; ")
}

fn change_text(change: &Change) -> String {
    let path = change.path.to_string();
    let name = if path.is_empty() { String::new() } else { format!("{}: ", printable(&path)) };
    let text = |value: &Option<Value>, nothing: &str| {
        value.as_ref().map_or_else(|| nothing.to_owned(), |value| value_line(value, usize::MAX))
    };
    format!("{name}{} → {}", text(&change.old, "(new)"), text(&change.new, "(removed)"))
}

fn document(info: SnapshotInfo, missed: u64, value: &Value, changes: Option<&Differences>) -> Value {
    let (number, age) = (info.publication(), seconds(info.age()));
    let mut document = json!({ "publication": number, "age_seconds": age, "missed": missed });
    match changes {
        None => document["value"] = value.clone(),
        Some(changes) => {
            let change = |change: &Change| json!({ "path": change.path.to_string(), "old": change.old, "new": change.new });
            document["changes"] = changes.found.iter().map(change).collect();
            document["changes_left_out"] = changes.left_out.into();
        }
    }
    document
}
