//! The states of a channel of any codec and type.

use std::time::{Duration, Instant};

use serde_json::Value;
use tearless::dynamic::{DecodeError, DynamicError, DynamicReader, FieldPath, Step, leaves};
use tearless::{Bytes, Namespace, SnapshotInfo, error::AttachError};

use crate::context::Context;
use crate::error::{ExitStatus, Failure};
use crate::resolve;

/// How long one wait for a missing channel takes before the caller is asked whether to continue.
const SLICE: Duration = Duration::from_secs(1);

/// How many fields an error lists.
const MAX_FIELDS: usize = 20;

/// Among how many fields an error looks for similar names.
const MAX_COMPARED: usize = 1_000;

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
    /// ready.
    pub(crate) fn attach(
        namespace: &Namespace,
        channel: &str,
        patience: Duration,
        context: &Context,
    ) -> Result<States, Failure> {
        let attached = States::attach_unless(|| false, namespace, channel, patience, context)?;
        Ok(attached.expect("nothing ends the wait early"))
    }

    /// Like [`States::attach`]; returns `None` once `is_gone`, which it asks every second.
    pub(crate) fn attach_unless(
        is_gone: impl Fn() -> bool,
        namespace: &Namespace,
        channel: &str,
        patience: Duration,
        context: &Context,
    ) -> Result<Option<States>, Failure> {
        let begin = Instant::now();
        loop {
            let left = patience.saturating_sub(begin.elapsed());
            let mut builder = namespace.dynamic_reader_builder(channel);
            if !patience.is_zero() {
                builder = builder.attach_within(left.min(SLICE));
            }
            match builder.open() {
                Ok(reader) => return Ok(Some(States { reader })),
                Err(AttachError::NotFound { .. } | AttachError::NotReady { .. }) if left > SLICE => {}
                Err(error) => return Err(resolve::unattached(namespace, error, &context.trust)),
            }
            if is_gone() {
                return Ok(None);
            }
        }
    }

    /// The state in a payload. The codec `bytes` has no types: UTF-8 becomes a string, and
    /// everything else an array of numbers.
    pub(crate) fn decode(&self, payload: &[u8]) -> Result<Value, DecodeError> {
        if !self.is_bytes() {
            return self.reader.decode(payload);
        }
        Ok(match str::from_utf8(payload) {
            Ok(text) => text.into(),
            Err(_) => payload.into(),
        })
    }

    fn is_bytes(&self) -> bool {
        self.reader.codec() == Bytes::NAME
    }

    /// The latest state, or the field at `path`. If the codec allows it, only the field's bytes are
    /// read.
    pub(crate) fn take(&mut self, path: Option<&FieldPath>) -> Result<Taken, Failure> {
        if let (Some(path), false) = (path, self.is_bytes()) {
            let snapshot = self.reader.field(path).map_err(|error| self.unreadable(error, path))?;
            return Ok(Taken { info: snapshot.info(), value: snapshot.into_inner() });
        }
        let payload = self.reader.payload()?;
        let value = self.decode(&payload).map_err(|error| self.undecodable(&error))?;
        let value = self.select(value, path)?;
        Ok(Taken { info: payload.info(), value })
    }

    /// The field of `value` at `path`.
    pub(crate) fn select(&self, value: Value, path: Option<&FieldPath>) -> Result<Value, Failure> {
        let Some(path) = path else { return Ok(value) };
        path.find(&value).cloned().ok_or_else(|| {
            let leaves = leaves(&value);
            let fields = leaves.found.iter().take(MAX_COMPARED).map(|(path, _)| path.to_string());
            self.lacks(path, fields.collect(), leaves.found.len() + leaves.left_out, Some(&value))
        })
    }

    /// Whether the channel's schema allows a field at `path`, even if the latest state has none.
    pub(crate) fn may_have(&self, path: &FieldPath) -> bool {
        self.reader.schema().is_some_and(|schema| schema.may_have(path))
    }

    fn unreadable(&mut self, error: DynamicError, path: &FieldPath) -> Failure {
        match error {
            DynamicError::Snapshot(error) => error.into(),
            DynamicError::Decode { source, .. } => self.undecodable(&source),
            DynamicError::NoSuchField { mut fields, count, .. } => {
                let state = self.reader.snapshot().ok();
                if let Some(schema) = self.reader.schema() {
                    // A schema knows more names than the error lists.
                    fields = schema.fields().into_iter().map(|field| field.path).collect();
                }
                self.lacks(path, fields, count, state.as_deref())
            }
            error => Failure::new(ExitStatus::Undecodable, error.to_string()),
        }
    }

    /// The failure that reports a missing field. `fields` are the first of the `count` fields that
    /// exist; `state` is the latest state.
    fn lacks(&self, path: &FieldPath, fields: Vec<String>, count: usize, state: Option<&Value>) -> Failure {
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
fn existing_fields(path: &str, mut fields: Vec<String>, count: usize) -> String {
    // The path of a state that is a single value is empty.
    if fields.iter().all(String::is_empty) {
        return match fields.len() < count {
            true => "the names of its fields are too long to list".into(),
            false => "it has no fields".into(),
        };
    }
    let names: Vec<&str> = fields.iter().map(String::as_str).collect();
    let similar = resolve::similar(path, &names).map(|hint| hint + "\n").unwrap_or_default();
    fields.truncate(MAX_FIELDS);
    let more = count.saturating_sub(fields.len());
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    format!("{similar}its fields: {}{more}", fields.join(", ").replace('\n', " "))
}
