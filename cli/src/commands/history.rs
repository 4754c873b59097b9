//! `tearless history`: the last states that a channel still holds.

use clap::Args;
use serde_json::{Value, json};
use tearless::SnapshotInfo;
use tearless::dynamic::FieldPath;

use crate::context::Context;
use crate::error::Failure;
use crate::output::{Alignment, Table, ago, bytes, hex_line, print_json, printable, style, value_line};
use crate::states::States;

/// Characters of a state that are shown in a table.
const MAX_SHOWN: usize = 120;

/// Prints the last states that a channel still holds, also those of a dead writer
#[derive(Debug, Args)]
#[command(after_help = "\
A channel keeps as many states as its rings have slots: WriterBuilder::depth says how many. Newest first. \
States that can't be decoded are shown as bytes.

Examples:
  tearless history worker-7
  tearless history worker-7 --field phase --last 3
  tearless history worker-7 --json | jq -c .value

Keys of --json, one object a state:
  publication, age_seconds (null: not dated), bytes, value (null: see error),
  error (null, or why there is no value)

Exit codes: 0, also when nothing has been published; 3 no such channel, or no state can have the field")]
pub(crate) struct HistoryArguments {
    /// The channel
    channel: String,
    /// Only this field of each state
    #[arg(short, long, value_name = "PATH")]
    field: Option<FieldPath>,
    /// At most so many
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
        // The latest state says which fields there are.
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

/// A state of a moment ago.
pub(crate) struct Past {
    /// `None` if it could not be read.
    info: Option<SnapshotInfo>,
    payload: Vec<u8>,
    value: Result<Value, Missing>,
}

/// Why there is nothing to show of a state.
enum Missing {
    /// It has no such field.
    NoField,
    /// It can't be had, or not be understood.
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

/// The last states, newest first. What can't be decoded, or has no such field, says so in its place.
pub(crate) fn past(states: &mut States, field: Option<&FieldPath>, max: usize) -> Vec<Past> {
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
    /// The keys are documented above.
    pub(crate) fn document(&self) -> Value {
        json!({
            "publication": self.info.map(|info| info.publication()),
            "age_seconds": self.info.and_then(|info| info.age()).map(|age| age.as_secs_f64()),
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

/// For people.
pub(crate) fn table(past: &[Past]) -> Table {
    let mut table = Table::new(&[
        ("NUMBER", Alignment::Right),
        ("PUBLISHED", Alignment::Right),
        ("SIZE", Alignment::Right),
        ("STATE", Alignment::Left),
    ]);
    for state in past {
        let known = |text: Option<String>| text.unwrap_or_else(|| "-".into());
        let state_style = if state.value.is_ok() { style::PLAIN } else { style::ODD };
        table.row([
            (known(state.info.map(|info| info.publication().to_string())), style::PLAIN),
            (ago(state.info.and_then(|info| info.age())), style::PLAIN),
            (known(state.info.map(|info| bytes(info.payload_len() as u64))), style::PLAIN),
            (state.text(), state_style),
        ]);
    }
    table
}
