//! `tearless history`: the latest states that a channel still holds.

use clap::Args;
use serde_json::{Value, json};
use tearless::SnapshotInfo;
use tearless::dynamic::FieldPath;

use crate::context::Context;
use crate::error::Failure;
use crate::output::{
    Table, ago, bytes, clock, hex_line, print_json, printable, style, timestamp, value_line,
};
use crate::states::States;

/// How many characters of a state the table shows.
const MAX_SHOWN: usize = 120;

/// Prints the latest states that a channel still holds, also those of a dead writer
#[derive(Debug, Args)]
#[command(after_help = "\
A channel holds as many states as its rings have slots (WriterBuilder::slots). The newest comes first. A \
state that can't be decoded is printed as bytes.

Examples:
  tearless history worker-7
  tearless history worker-7 --field phase --last 3
  tearless history worker-7 --json | jq -c .value

Keys of --json, one object a state:
  publication, age_seconds and published_at (UTC; null: no timestamp), bytes,
  value (null: see error), error (null, or why there is no value)

Exit codes: 0, also if nothing has been published; 3 no such channel, or no state can have the field")]
pub(crate) struct HistoryArguments {
    /// The channel
    channel: String,
    /// Only this field of each state
    #[arg(short, long, value_name = "PATH")]
    field: Option<FieldPath>,
    /// At most this many
    #[arg(short, long, value_name = "STATES")]
    last: Option<usize>,
}

pub(crate) fn run(arguments: &HistoryArguments, context: &Context) -> Result<(), Failure> {
    let namespace = context.namespace()?;
    let mut states = States::attach(&namespace, &arguments.channel, std::time::Duration::ZERO, context)?;
    let past = past(&mut states, arguments.field.as_ref(), arguments.last.unwrap_or(usize::MAX));
    if let Some(path) = &arguments.field
        && !past.is_empty()
        && past.iter().all(|state| matches!(state.value, Err(Missing::NoField)))
        && !states.may_have(path)
    {
        // Fails with the fields that the latest state has.
        states.take(Some(path))?;
    }
    match context.json {
        true => {
            for state in &past {
                print_json(&state.document())?;
            }
            Ok(())
        }
        false => Ok(table(&past).print()?),
    }
}

/// One of the latest states.
pub(super) struct Past {
    /// `None` if the state could not be read.
    info: Option<SnapshotInfo>,
    payload: Vec<u8>,
    value: Result<Value, Missing>,
}

/// Why a state has no value to print.
enum Missing {
    /// It has no such field.
    NoField,
    /// It can't be read, or not be decoded.
    Unreadable(String),
}

impl Missing {
    fn text(&self) -> &str {
        match self {
            Missing::NoField => "no such field",
            Missing::Unreadable(reason) => reason,
        }
    }
}

/// The latest states, newest first, at most `max`.
pub(super) fn past(states: &mut States, field: Option<&FieldPath>, max: usize) -> Vec<Past> {
    let found: Vec<_> = states.reader_mut().reader_mut().history().take(max).collect();
    let past = found.into_iter().map(|found| match found {
        Err(error) => {
            let value = Err(Missing::Unreadable(error.to_string()));
            Past { info: None, payload: Vec::new(), value }
        }
        Ok(snapshot) => {
            let value = states.decode(&snapshot).map_err(|error| Missing::Unreadable(error.to_string()));
            let value = value.and_then(|value| match field {
                None => Ok(value),
                Some(path) => path.find(&value).cloned().ok_or(Missing::NoField),
            });
            Past { info: Some(snapshot.info()), value, payload: snapshot.into_inner() }
        }
    });
    past.collect()
}

impl Past {
    /// The help documents the keys.
    pub(super) fn document(&self) -> Value {
        json!({
            "publication": self.info.map(|info| info.publication()),
            "age_seconds": self.info.and_then(|info| info.age()).map(|age| age.as_secs_f64()),
            "published_at": timestamp(self.info.and_then(|info| info.published_at())),
            "bytes": self.info.map(|info| info.payload_len()),
            "value": self.value.as_ref().ok(),
            "error": self.value.as_ref().err().map(Missing::text),
        })
    }

    fn text(&self) -> String {
        match &self.value {
            Ok(value) => value_line(value, MAX_SHOWN),
            Err(Missing::NoField) => Missing::NoField.text().into(),
            Err(error) if self.payload.is_empty() => printable(error.text()).into_owned(),
            Err(_) => hex_line(&self.payload, MAX_SHOWN),
        }
    }
}

/// The states as a table for people.
pub(super) fn table(past: &[Past]) -> Table {
    let mut table = Table::new([">NUMBER", ">PUBLISHED", ">AT", ">SIZE", "STATE"]);
    for state in past {
        let known = |text: Option<String>| text.unwrap_or_else(|| "-".into());
        let state_style = if state.value.is_ok() { style::PLAIN } else { style::ODD };
        table.row([
            (known(state.info.map(|info| info.publication().to_string())), style::PLAIN),
            (ago(state.info.and_then(|info| info.age())), style::PLAIN),
            (clock(state.info.and_then(|info| info.published_at())), style::PLAIN),
            (known(state.info.map(|info| bytes(info.payload_len() as u64))), style::PLAIN),
            (state.text(), state_style),
        ]);
    }
    table
}
