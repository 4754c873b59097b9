//! The states of a channel, whatever form they have.

use std::time::Duration;

use serde_json::Value;
use tearless::dynamic::{DecodeError, DynamicError, DynamicReader, FieldPath, leaves};
use tearless::{Bytes, Codec, Namespace, SnapshotError, SnapshotInfo};

use crate::context::Context;
use crate::error::{ExitStatus, Failure};
use crate::target;

/// Fields that an error lists at most.
const MOST_FIELDS: usize = 20;

/// Fields among which those are looked for that may be meant.
const MOST_COMPARED: usize = 1_000;

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
    /// Attaches; waits `patience` for a channel that is not there yet.
    pub(crate) fn attach(
        namespace: &Namespace,
        channel: &str,
        patience: Duration,
        context: &Context,
    ) -> Result<States, Failure> {
        let mut builder = namespace.dynamic_reader_builder(channel);
        if !patience.is_zero() {
            builder = builder.attach_within(patience);
        }
        let reader = builder.open().map_err(|error| target::unattached(namespace, error, &context.trust))?;
        Ok(States { reader })
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
                    leaves.found.iter().take(MOST_COMPARED).map(|(path, _)| path.to_string()).collect();
                let count = leaves.found.len() + leaves.left_out;
                Err(self.no_such_field(path, fields, count))
            }
        }
    }

    /// Whether another state might have what `path` leads to, as far as the channel's schema tells: another variant, a
    /// longer list.
    pub(crate) fn may_have(&self, path: &FieldPath) -> bool {
        let Some(schema) = self.reader.schema() else { return false };
        let wanted = of_each_element(&path.to_string());
        // Elements that have no fields of their own are not listed: their list is.
        let list = wanted.trim_end_matches("[]");
        let has_elements = |type_name: &str| type_name.contains(['<', '[']);
        schema.fields().iter().any(|field| {
            field.path == wanted
                || list.len() < wanted.len() && field.path == list && has_elements(&field.type_name)
        })
    }

    fn unreadable(&self, error: DynamicError, path: &FieldPath) -> Failure {
        match error {
            DynamicError::Snapshot(error) => error.into(),
            DynamicError::Decode { source, .. } => self.undecodable(&source),
            DynamicError::NoSuchField { fields, count, .. } => {
                // Where there is a schema, it knows more names than the error lists.
                let known =
                    self.reader.schema().map(|schema| schema.fields().into_iter().map(|field| field.path));
                self.no_such_field(path, known.map_or(fields, Iterator::collect), count)
            }
            error => Failure::new(ExitStatus::Undecodable, error.to_string()),
        }
    }

    /// `fields` are the first ones of `count`.
    fn no_such_field(&self, path: &FieldPath, fields: Vec<String>, count: usize) -> Failure {
        let channel = self.reader.reader().channel();
        if !self.may_have(path) {
            return no_such_field(channel, &path.to_string(), fields, count);
        }
        let text =
            format!("the latest state of channel {channel:?} has no field {path}, though others may have");
        Failure::new(ExitStatus::NotFound, text).hint(
            "it stands in another variant, or behind the end of a list: `tearless get` shows the whole state, \
             `tearless watch --field` shows when one has it",
        )
    }

    /// Why a payload is not understood, and what to do about it.
    pub(crate) fn undecodable(&self, error: &DecodeError) -> Failure {
        let channel = self.reader.reader().channel();
        let failure = Failure::new(
            ExitStatus::Undecodable,
            format!(
                "the state of channel {channel:?} ({}, {}) can't be decoded: {error}",
                self.reader.codec(),
                self.reader.schema_name()
            ),
        );
        let bytes = "`tearless get --hex` shows the bytes";
        match error {
            DecodeError::NoSchema { .. } => failure.hint(format!(
                "open the writer with `writer_builder(…).described()`, so that its channel says what states consist of; \
                 or with the codec MessagePack, which does by itself\n{bytes}"
            )),
            _ => failure.hint(bytes),
        }
    }

    /// The next publication after number `after`, at the latest after `longest`.
    pub(crate) fn wait_newer(
        &mut self,
        after: u64,
        longest: Duration,
    ) -> Result<Option<(SnapshotInfo, Vec<u8>)>, SnapshotError> {
        let snapshot = self.reader.reader_mut().wait_newer(after, longest)?;
        Ok(snapshot.map(|snapshot| (snapshot.info(), snapshot.into_inner())))
    }
}

/// A path as a schema writes it: `[]` for each element.
fn of_each_element(path: &str) -> String {
    let mut parts = path.split('[');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |path, part| path + "[" + part.trim_start_matches(|digit: char| digit.is_ascii_digit()))
}

/// `fields` are the first ones of `count`.
fn no_such_field(channel: &str, path: &str, mut fields: Vec<String>, count: usize) -> Failure {
    let failure =
        Failure::new(ExitStatus::NotFound, format!("the states of channel {channel:?} have no field {path}"));
    if fields.is_empty() {
        return failure.hint(if count == 0 {
            "they have no fields"
        } else {
            "their fields' names are too long to be listed"
        });
    }
    let names: Vec<&str> = fields.iter().map(String::as_str).collect();
    let nearest = target::nearest(path, &names);
    let meant = match nearest.is_empty() {
        true => String::new(),
        false => format!("is one of these meant: {}?\n", nearest.join(", ")),
    };
    fields.truncate(MOST_FIELDS);
    let more = count.saturating_sub(fields.len());
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    failure.hint(format!("{meant}they have: {}{more}", fields.join(", ").replace('\n', " ")))
}

#[cfg(test)]
mod tests {
    use super::of_each_element;

    #[test]
    fn indices_are_those_of_each_element() {
        assert_eq!(of_each_element("queue[17].cells[0][2].x"), "queue[].cells[][].x");
        assert_eq!(of_each_element("jobs_done"), "jobs_done");
    }
}
