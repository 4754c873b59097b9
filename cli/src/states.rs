//! The states of a channel, whatever format they have.

use std::time::{Duration, Instant};

use serde_json::Value;
use tearless::dynamic::{DecodeError, DynamicError, DynamicReader, FieldPath, leaves};
use tearless::{
    Bytes, Codec, Namespace, SnapshotInfo,
    error::{AttachError, SnapshotError},
};

use crate::context::Context;
use crate::error::{ExitStatus, Failure};
use crate::resolve;

/// For how long a channel that is not there yet is waited for before it is asked whether anybody still wants it.
const SLICE: Duration = Duration::from_secs(1);

/// Fields that an error lists at most.
const MAX_FIELDS: usize = 20;

/// Fields among which those are looked for that may be meant.
const MAX_COMPARED: usize = 1_000;

/// A channel that is read without knowing its type.
pub(crate) struct States {
    reader: DynamicReader,
}

/// A state, or a part of it.
pub(crate) struct Taken {
    pub(crate) info: SnapshotInfo,
    pub(crate) value: Value,
}

impl States {
    /// Attaches; waits `patience` for a channel that is not there yet, or not ready.
    pub(crate) fn attach(
        namespace: &Namespace,
        channel: &str,
        patience: Duration,
        context: &Context,
    ) -> Result<States, Failure> {
        let attached = States::attach_unless(|| false, namespace, channel, patience, context)?;
        Ok(attached.expect("nothing has ended the wait"))
    }

    /// The same, as long as nobody `is_gone`, which is asked every second.
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

    pub(crate) fn reader(&self) -> &DynamicReader {
        &self.reader
    }

    pub(crate) fn reader_mut(&mut self) -> &mut DynamicReader {
        &mut self.reader
    }

    /// What a payload says. The codec `bytes` has no types: text is a string, and anything else an array of
    /// numbers.
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

    /// The latest state, or of it what `path` leads to; where the form allows it, only that is read.
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

    /// What `path` leads to.
    pub(crate) fn select(&self, value: Value, path: Option<&FieldPath>) -> Result<Value, Failure> {
        let Some(path) = path else { return Ok(value) };
        match path.find(&value) {
            Some(found) => Ok(found.clone()),
            None => {
                let leaves = leaves(&value);
                let fields =
                    leaves.found.iter().take(MAX_COMPARED).map(|(path, _)| path.to_string()).collect();
                let count = leaves.found.len() + leaves.left_out;
                Err(self.lacks(path, fields, count))
            }
        }
    }

    /// Whether another state may have what `path` leads to, as far as the channel's schema tells.
    pub(crate) fn may_have(&self, path: &FieldPath) -> bool {
        self.reader.schema().is_some_and(|schema| schema.may_have(path))
    }

    fn unreadable(&self, error: DynamicError, path: &FieldPath) -> Failure {
        match error {
            DynamicError::Snapshot(error) => error.into(),
            DynamicError::Decode { source, .. } => self.undecodable(&source),
            DynamicError::NoSuchField { fields, count, .. } => {
                // Where there is a schema, it knows more names than the error lists.
                let known =
                    self.reader.schema().map(|schema| schema.fields().into_iter().map(|field| field.path));
                self.lacks(path, known.map_or(fields, Iterator::collect), count)
            }
            error => Failure::new(ExitStatus::Undecodable, error.to_string()),
        }
    }

    /// That the latest state has no such field, and whether any has. `fields` are the first ones of `count`.
    fn lacks(&self, path: &FieldPath, fields: Vec<String>, count: usize) -> Failure {
        let channel = self.reader.reader().channel();
        let (whose, have) = match self.reader.schema() {
            Some(_) if !self.may_have(path) => ("the states", "have"),
            _ => ("the latest state", "has"),
        };
        let text = format!("{whose} of channel {channel:?} {have} no field {path}");
        let failure = Failure::new(ExitStatus::NotFound, text);
        match self.may_have(path) {
            true => failure.hint(
                "others may have it: it is in another variant, in something that is absent now, behind the end of a list, \
                 or under a key of a map; `tearless get` shows the whole state, `tearless watch --field` when one has it",
            ),
            false => failure.hint(fields_that_there_are(&path.to_string(), fields, count)),
        }
    }

    /// Why a payload is not understood, and what to do about it.
    pub(crate) fn undecodable(&self, error: &DecodeError) -> Failure {
        let channel = self.reader.reader().channel();
        let failure = Failure::new(
            ExitStatus::Undecodable,
            format!(
                "the state of channel {channel:?} ({}, {}) can't be decoded: {error}",
                self.reader.codec(),
                self.reader.type_name()
            ),
        );
        let bytes = "`tearless get --hex` shows the bytes";
        match error {
            DecodeError::NoSchema { .. } => failure.hint(format!(
                "open the writer with `writer_builder(…).with_schema()`, so that its channel says what states consist of; \
                 or with the codec MessagePack, which does by itself\n{bytes}"
            )),
            _ => failure.hint(bytes),
        }
    }

    /// The next publication after number `after`, at the latest after `timeout`.
    pub(crate) fn wait_after(
        &mut self,
        after: u64,
        timeout: Duration,
    ) -> Result<Option<(SnapshotInfo, Vec<u8>)>, SnapshotError> {
        let snapshot = self.reader.reader_mut().wait_after(after, timeout)?;
        Ok(snapshot.map(|snapshot| (snapshot.info(), snapshot.into_inner())))
    }
}

/// Which of them may be meant, and the first ones of `count`.
fn fields_that_there_are(path: &str, mut fields: Vec<String>, count: usize) -> String {
    if fields.is_empty() {
        return match count {
            0 => "there are no fields".into(),
            _ => "the fields' names are too long to be listed".into(),
        };
    }
    let names: Vec<&str> = fields.iter().map(String::as_str).collect();
    let nearest = resolve::nearest(path, &names);
    let meant = match nearest.is_empty() {
        true => String::new(),
        false => format!("is one of these meant: {}?\n", nearest.join(", ")),
    };
    fields.truncate(MAX_FIELDS);
    let more = count.saturating_sub(fields.len());
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    format!("{meant}there are: {}{more}", fields.join(", ").replace('\n', " "))
}
