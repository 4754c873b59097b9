//! The states of a channel of any codec and type.

use std::time::{Duration, Instant};

use serde_json::Value;
use tearless::dynamic::{DecodeError, DynamicError, DynamicReader, FieldPath, Step};
use tearless::{Bytes, Namespace, SnapshotInfo, accept::Any, error::AttachError};

use crate::context::Context;
use crate::error::{ExitStatus, Failure};
use crate::output::is_pipe_broken_within;
use crate::resolve;

/// How long one wait for a missing channel takes before the reader of the output is looked at.
const SLICE: Duration = Duration::from_secs(1);

/// Reads a channel without knowing the type of its states.
pub(crate) struct States {
    pub(crate) reader: DynamicReader,
}

/// A state, or one field of it.
pub(crate) struct Taken {
    pub(crate) info: SnapshotInfo,
    pub(crate) value: Value,
}

impl States {
    /// Attaches to a channel; waits up to `patience` for one that does not exist yet, or is not
    /// ready, and ends early without a message if the reader of the output is gone.
    pub(crate) fn attach(
        namespace: &Namespace,
        channel: &str,
        patience: Duration,
        context: &Context,
    ) -> Result<States, Failure> {
        let begin = Instant::now();
        loop {
            let left = patience.saturating_sub(begin.elapsed());
            let mut builder = namespace.reader_builder(channel).codec().accept(Any);
            if !patience.is_zero() {
                builder = builder.attach_within(left.min(SLICE));
            }
            match builder.open() {
                Ok(reader) => return Ok(States { reader: reader.into() }),
                Err(AttachError::NotFound { .. } | AttachError::NotReady { .. }) if left > SLICE => {}
                Err(error) => return Err(resolve::unattached(namespace, error, &context.directory)),
            }
            if is_pipe_broken_within(Duration::ZERO) {
                return Err(Failure::silent(ExitStatus::Ok));
            }
        }
    }

    /// The state in a payload. The codec `bytes` has no types: UTF-8 becomes a string, and
    /// everything else an array of numbers.
    pub(crate) fn decode(&self, payload: &[u8]) -> Result<Value, DecodeError> {
        if self.is_bytes() { Ok(text_or_numbers(payload)) } else { self.reader.decode(payload) }
    }

    fn is_bytes(&self) -> bool {
        self.reader.codec() == Bytes::NAME
    }

    /// Whether the payload is bytes that are no text.
    pub(crate) fn is_binary(&self, payload: &[u8]) -> bool {
        self.is_bytes() && is_no_text(payload)
    }

    /// The latest state, or the field at `path`. If the codec allows it, only the field's bytes are
    /// read.
    pub(crate) fn take(&mut self, path: Option<&FieldPath>) -> Result<Taken, Failure> {
        if let (Some(path), false) = (path, self.is_bytes()) {
            return match self.reader.field(path) {
                Ok(snapshot) => Ok(Taken { info: snapshot.info(), value: snapshot.into_inner() }),
                Err(error) => {
                    let state = self.reader.snapshot().ok();
                    Err(self.unreadable(error, path, state.as_deref()))
                }
            };
        }
        let payload = self.reader.payload()?;
        let value = self.decode(&payload).map_err(|error| self.undecodable(&error))?;
        let value = if let Some(path) = path { self.select(&value, path)? } else { value };
        Ok(Taken { info: payload.info(), value })
    }

    /// The field of `value` at `path`.
    pub(crate) fn select(&self, value: &Value, path: &FieldPath) -> Result<Value, Failure> {
        let found = self.reader.field_of(value, path).cloned();
        found.map_err(|error| self.unreadable(error, path, Some(value)))
    }

    /// Whether the channel's schema allows a field at `path`, even if the latest state has none.
    pub(crate) fn may_have(&self, path: &FieldPath) -> bool {
        self.reader.schema().is_some_and(|schema| schema.may_have(path))
    }

    fn unreadable(&self, error: DynamicError, path: &FieldPath, state: Option<&Value>) -> Failure {
        match error {
            DynamicError::Snapshot(error) => error.into(),
            DynamicError::Decode { source, .. } => self.undecodable(&source),
            DynamicError::NoSuchField { fields, count, .. } => self.lacks(path, &fields, count, state),
            error => Failure::new(ExitStatus::Undecodable, error.to_string()),
        }
    }

    /// The failure that reports a missing field. `fields` are the first of the `count` fields that
    /// exist; `state` is the latest state.
    fn lacks(&self, path: &FieldPath, fields: &[String], count: usize, state: Option<&Value>) -> Failure {
        let channel = self.reader.reader().channel();
        let (whose, have) = match self.reader.schema() {
            Some(_) if !self.may_have(path) => ("the states", "have"),
            _ => ("the latest state", "has"),
        };
        let why = state.and_then(|state| too_short(state, path)).unwrap_or_default();
        let text = format!("{whose} of channel {channel:?} {have} no field {path}{why}");
        let failure = Failure::new(ExitStatus::NotFound, text);
        match self.may_have(path) {
            true => failure.hint(
                "another state may have it: in another variant, in an option that is empty now, in a longer list, or under \
                 another key of a map; `tearless get` shows the whole state, `tearless watch --field` waits for the field",
            ),
            false => failure.hint(existing_fields(&path.to_string(), fields, count)),
        }
    }

    /// The failure that reports an undecodable payload, and what to do about it.
    pub(crate) fn undecodable(&self, error: &DecodeError) -> Failure {
        let channel = self.reader.reader().channel();
        let (codec, type_name) = (self.reader.codec(), self.reader.type_name());
        let text = format!("can't decode the state of channel {channel:?} ({codec}, {type_name}): {error}");
        let failure = Failure::new(ExitStatus::Undecodable, text);
        let bytes = "`tearless get --hex` shows the bytes";
        match error {
            DecodeError::NoSchema { .. } => failure.hint(format!(
                "open the writer with `writer_builder(…).with_schema()`, so that the channel carries its schema; or with the \
                 codec MessagePack, whose states name their own fields\n{bytes}"
            )),
            _ => failure.hint(bytes),
        }
    }
}

/// A payload of the codec `bytes`.
pub(crate) fn text_or_numbers(payload: &[u8]) -> Value {
    str::from_utf8(payload).map_or_else(|_| payload.into(), Value::from)
}

pub(crate) fn is_no_text(payload: &[u8]) -> bool {
    let is_odd = |it: char| it.is_control() && !it.is_ascii_whitespace();
    str::from_utf8(payload).map_or(true, |text| text.contains(is_odd))
}

/// The array that has no element on this path, and its length.
fn too_short(state: &Value, path: &FieldPath) -> Option<String> {
    path.steps().iter().enumerate().find_map(|(at, step)| {
        let array: FieldPath = path.steps()[..at].iter().cloned().collect();
        let len = array.find(state)?.as_array()?.len();
        let name = if at == 0 { "the state".to_owned() } else { array.to_string() };
        matches!(step, Step::Index(index) if *index >= len)
            .then(|| format!(": the length of {name} is {len}"))
    })
}

/// The fields with similar names, and the first of the `count` fields that exist.
fn existing_fields(path: &str, fields: &[String], count: usize) -> String {
    if fields.is_empty() {
        let text =
            if count == 0 { "it has no fields" } else { "the names of its fields are too long to list" };
        return text.into();
    }
    let names: Vec<&str> = fields.iter().map(String::as_str).collect();
    let similar = resolve::similar(path, &names).map(|hint| hint + "\n").unwrap_or_default();
    format!("{similar}its fields: {}", resolve::listed(&names))
}
