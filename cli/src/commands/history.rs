//! `tearless history`: the latest states that a channel still holds.

use std::time::{Duration, SystemTime};

use anstyle::Style;
use clap::Args;
use serde_json::{Value, json};
use tearless::dynamic::FieldPath;
use tearless::saved::{Saved, SavedChannel, SavedState};
use tearless::{Bytes, SnapshotInfo};

use crate::context::Context;
use crate::error::Failure;
use crate::output::{
    Table, ago, bytes, clock, hex_start, plain, print_all_json, seconds, style, timestamp, value_line,
};
use crate::states::{States, is_no_text, text_or_numbers};

/// How many characters of a state the table shows.
const MAX_SHOWN: usize = 120;

/// Prints the latest states that a channel still holds, also those of a dead writer
#[derive(Debug, Args)]
#[command(after_help = "\
A channel holds as many states as its rings have slots (WriterBuilder::slots). The newest comes first. Of a \
state that can't be decoded, or is no text on a channel of bytes, the first bytes are printed, as `tearless get --hex` \
does; one without the field as \"no such field\".

Examples:
  tearless history worker-7
  tearless history worker-7 --field phase --last 3
  tearless history worker-7 --json | jq -c .value

Keys of --json, one object a state:
  publication, age_seconds and published_at (UTC; null: no timestamp), bytes, value (null: see error), error \
(null, or why there is no value)

Exit codes: 3 no such channel, nothing published yet, or no state can have the field")]
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
    let mut states = States::attach(&namespace, &arguments.channel, Duration::ZERO, context)?;
    let past = past(&mut states, arguments.field.as_ref(), arguments.last.unwrap_or(usize::MAX));
    if past.is_empty() && arguments.last != Some(0) {
        // Fails if nothing has been published.
        states.reader.payload()?;
    }
    if let Some(path) = &arguments.field
        && !past.is_empty()
        && past.iter().all(|state| matches!(state.value, Ok(None)))
        && !states.may_have(path)
    {
        // Fails with the fields that the latest state has.
        states.take(Some(path))?;
    }
    match context.json {
        true => print_all_json(past.iter().map(Past::document))?,
        false => table(&past).print()?,
    }
    Ok(())
}

/// A publication.
struct Info {
    publication: u64,
    age: Option<Duration>,
    published_at: Option<SystemTime>,
    bytes: u64,
}

impl From<SnapshotInfo> for Info {
    fn from(info: SnapshotInfo) -> Info {
        let (age, published_at) = (info.age(), info.published_at());
        Info { publication: info.publication(), age, published_at, bytes: info.payload_len() as u64 }
    }
}

/// One of the latest states.
pub(super) struct Past {
    /// `None` if the state could not be read.
    info: Option<Info>,
    /// `None` if it has no such field. The error says why it can't be read or decoded.
    value: Result<Option<Value>, String>,
    /// Its first bytes, if people see these instead.
    bytes: Option<String>,
}

const NO_FIELD: &str = "no such field";

/// The latest states, newest first, at most `max`.
pub(super) fn past(states: &mut States, field: Option<&FieldPath>, max: usize) -> Vec<Past> {
    let found: Vec<_> = states.reader.reader_mut().history().take(max).collect();
    let select = |value: Value| match field {
        None => Some(value),
        Some(path) => path.find(&value).cloned(),
    };
    let past = found.into_iter().map(|found| match found {
        Err(error) => Past { info: None, value: Err(error.to_string()), bytes: None },
        Ok(snapshot) => {
            let value = states.decode(&snapshot).map(select).map_err(|error| error.to_string());
            let is_binary = value.is_err() || field.is_none() && states.is_binary(&snapshot);
            let bytes = (is_binary && !snapshot.is_empty()).then(|| hex_start(&snapshot));
            Past { info: Some(snapshot.info().into()), value, bytes }
        }
    });
    past.collect()
}

/// The same of a channel in a file, with ages as of the save.
pub(super) fn past_of_saved(saved: &Saved, channel: &SavedChannel, max: usize) -> Vec<Past> {
    let is_bytes = channel.inspection.codec == Bytes::NAME;
    let past = channel.states.iter().take(max).map(|state| {
        let SavedState { publication, age, published_at, len: bytes, .. } = *state;
        let info = Some(Info { publication, age, published_at, bytes });
        let payload = match saved.payload(state) {
            Err(error) => return Past { info, value: Err(error.to_string()), bytes: None },
            Ok(payload) => payload,
        };
        let value = match is_bytes {
            true => Ok(Some(text_or_numbers(&payload))),
            false => channel.decode(&payload).map(Some).map_err(|error| error.to_string()),
        };
        let is_binary = value.is_err() || is_bytes && is_no_text(&payload);
        Past { info, value, bytes: (is_binary && !payload.is_empty()).then(|| hex_start(&payload)) }
    });
    past.collect()
}

impl Past {
    /// The help documents the keys.
    pub(super) fn document(&self) -> Value {
        json!({
            "publication": self.info.as_ref().map(|info| info.publication),
            "age_seconds": seconds(self.info.as_ref().and_then(|info| info.age)),
            "published_at": timestamp(self.info.as_ref().and_then(|info| info.published_at)),
            "bytes": self.info.as_ref().map(|info| info.bytes), "value": self.value.as_ref().ok(),
            "error": match &self.value { Ok(Some(_)) => None, Ok(None) => Some(NO_FIELD),
            Err(reason) => Some(reason.as_str()), },
        })
    }

    fn cells(&self) -> [(String, Style); 5] {
        let known = |text: Option<String>| plain(text.unwrap_or_else(|| "-".into()));
        let state = match (&self.value, &self.bytes) {
            (Ok(None), _) => (NO_FIELD.into(), style::ODD),
            (Ok(_), Some(bytes)) => plain(bytes.clone()),
            (Ok(Some(value)), None) => plain(value_line(value, MAX_SHOWN)),
            (Err(why), bytes) => (bytes.as_ref().unwrap_or(why).clone(), style::ODD),
        };
        [
            known(self.info.as_ref().map(|info| info.publication.to_string())),
            plain(ago(self.info.as_ref().and_then(|info| info.age))),
            plain(clock(self.info.as_ref().and_then(|info| info.published_at))),
            known(self.info.as_ref().map(|info| bytes(info.bytes))),
            state,
        ]
    }
}

/// The states as a table for people.
pub(super) fn table(past: &[Past]) -> Table {
    Table::new([">NUMBER", ">PUBLISHED", ">AT", ">SIZE", "STATE"], past.iter().map(Past::cells))
}
