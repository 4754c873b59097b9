//! Reading a file of saved channels. Nothing in it is trusted.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::format::{self, AFTER, BEFORE, Before, Fault, HEAD, Kind, STATE};
use super::save::NOT_REGULAR;
use super::{SavedChannel, SavedError, SavedOrigin, SavedState, Unsaved};
use crate::channel::ChannelName;
use crate::layout::Publication;

/// Bytes that are read at a time.
const CHUNK: usize = 64 << 10;

/// Bytes of the longest record that is read as a whole: all but states. A channel with the most
/// slots that there can be has a shorter one.
const MAX_WHOLE: u64 = 64 << 20;

/// A file of saved channels that is whole: each byte of it was compared with its checksum.
///
/// It keeps the file open, and where each state is in it; payloads are read when they are asked
/// for. A file that another [save](crate::Namespace::save) replaces stays readable.
#[derive(Debug)]
pub struct Saved {
    path: PathBuf,
    file: File,
    origin: SavedOrigin,
    channels: Vec<SavedChannel>,
    unsaved: Vec<Unsaved>,
}

impl Saved {
    /// Opens a file and checks all of it.
    ///
    /// Cost: reads the file once. Memory: that of the inspections, without payloads.
    ///
    /// # Errors
    ///
    /// [`SavedError::File`] if it can't be read; [`SavedError::Foreign`],
    /// [`SavedError::OtherVersion`], [`SavedError::Cut`] or [`SavedError::Damaged`] if it is not a
    /// whole file of this version.
    pub fn open(path: impl AsRef<Path>) -> Result<Saved, SavedError> {
        let path = path.as_ref();
        let failed = |source| SavedError::File { path: path.into(), operation: "read", source };
        // Opening a pipe would wait for its writer.
        if !fs::metadata(path).map_err(failed)?.is_file() {
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, NOT_REGULAR)));
        }
        let file = File::open(path).map_err(failed)?;
        let len = file.metadata().map_err(failed)?.len();
        let mut records =
            Records { path, input: BufReader::with_capacity(CHUNK, &file), len, at: 0, index: 0 };
        let (origin, channels, unsaved) = records.all()?;
        Ok(Saved { path: path.into(), file, origin, channels, unsaved })
    }

    /// Its path, as it was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where it comes from.
    #[must_use]
    pub fn origin(&self) -> &SavedOrigin {
        &self.origin
    }

    /// Its channels, in alphabetical order.
    #[must_use]
    pub fn channels(&self) -> &[SavedChannel] {
        &self.channels
    }

    /// The channel of this name; `None` if the file has none.
    #[must_use]
    pub fn channel(&self, name: &str) -> Option<&SavedChannel> {
        self.channels.iter().find(|channel| channel.name() == name)
    }

    /// The channels that could not be saved.
    #[must_use]
    pub fn unsaved(&self) -> &[Unsaved] {
        &self.unsaved
    }

    /// The payload of a state of this file.
    ///
    /// # Errors
    ///
    /// [`SavedError`], if the file was changed since it was opened, or can't be read.
    pub fn payload(&self, state: &SavedState) -> Result<Vec<u8>, SavedError> {
        let mut payload = Vec::new();
        self.read_payload(state, |_, part| {
            payload.extend(part);
            Ok::<_, SavedError>(())
        })?;
        Ok(payload)
    }

    /// Passes the payload to `each`, part by part, with the offset of the part. Only if this
    /// succeeds, the parts are those that were saved.
    pub(super) fn read_payload<E: From<SavedError>>(
        &self,
        state: &SavedState,
        mut each: impl FnMut(usize, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let SavedState { offset, index, len, .. } = *state;
        let failed = |source| match io::Error::kind(&source) {
            io::ErrorKind::UnexpectedEof => SavedError::Cut { path: self.path.clone(), offset },
            _ => SavedError::File { path: self.path.clone(), operation: "read", source },
        };
        let before = Before { kind: Kind::State, index, len: len + STATE as u64 };
        let mut sum = crc32c::crc32c(&before.encode());
        let mut buffer = vec![0; CHUNK];
        let (mut at, end) = (0, before.len);
        while at < end {
            // The first part has the fields before the payload alone.
            let max = if at == 0 { STATE } else { CHUNK };
            let part = &mut buffer[..max.min(usize::try_from(end - at).unwrap_or(CHUNK))];
            self.file.read_exact_at(part, offset + (BEFORE as u64) + at).map_err(failed)?;
            sum = crc32c::crc32c_append(sum, part);
            if at > 0 {
                let payload_at = usize::try_from(at).unwrap_or(usize::MAX) - STATE;
                each(payload_at, part)?;
            }
            at += part.len() as u64;
        }
        let mut found = [0; AFTER];
        self.file.read_exact_at(&mut found, offset + (BEFORE as u64) + end).map_err(failed)?;
        if u32::from_le_bytes(found) != sum {
            let reason = CHANGED.into();
            return Err(SavedError::Damaged { path: self.path.clone(), offset, reason }.into());
        }
        Ok(())
    }
}

const CHANGED: &str = "its checksum does not match";

/// The records of a file, one after the other.
struct Records<'a, R> {
    path: &'a Path,
    input: R,
    /// Bytes of the file.
    len: u64,
    /// Where the next record begins.
    at: u64,
    /// Number of records before it.
    index: u32,
}

/// A record: a body, or of a state the fields before the payload.
struct Record {
    kind: Kind,
    body: Vec<u8>,
    /// Bytes of the payload behind it.
    payload: u64,
    offset: u64,
    index: u32,
}

impl<R: Read> Records<'_, R> {
    fn all(&mut self) -> Result<(SavedOrigin, Vec<SavedChannel>, Vec<Unsaved>), SavedError> {
        let mut head = [0; HEAD];
        if self.len < HEAD as u64 {
            return Err(SavedError::Foreign { path: self.path.into() });
        }
        self.fill(&mut head)?;
        match format::version_of(head) {
            None => return Err(SavedError::Foreign { path: self.path.into() }),
            Some(format::VERSION) => {}
            Some(found) => return Err(SavedError::OtherVersion { path: self.path.into(), found }),
        }
        let first = self.next()?;
        if first.kind != Kind::Origin {
            return Err(self.damaged(first.offset, "it does not begin with its origin"));
        }
        let origin = SavedOrigin::decode(&first.body).map_err(|fault| self.fault(&first, fault))?;
        let (mut channels, mut unsaved) = (Vec::new(), Vec::new());
        let mut names = HashSet::new();
        loop {
            let record = self.next()?;
            match record.kind {
                Kind::Origin => return Err(self.damaged(record.offset, "it has a second origin")),
                Kind::Channel => {
                    let channel = format::decode_channel(&record.body, &origin.namespace)
                        .map_err(|fault| self.fault(&record, fault))?;
                    if ChannelName::new(&origin.namespace, channel.name()).is_err()
                        || !names.insert(channel.name().to_owned())
                    {
                        return Err(
                            self.damaged(record.offset, "no channel can have its name, or two have it")
                        );
                    }
                    channels.push(channel);
                }
                Kind::State => {
                    let Record { body, payload, offset, index, .. } = &record;
                    let state = SavedState::decode(body, *payload, *offset, *index)
                        .map_err(|fault| self.fault(&record, fault))?;
                    match channels.last_mut() {
                        Some(channel) if can_have(channel, state) => channel.states.push(state),
                        _ => return Err(self.damaged(*offset, "no channel can have this state here")),
                    }
                }
                Kind::Unsaved => {
                    let skipped =
                        Unsaved::decode(&record.body).map_err(|fault| self.fault(&record, fault))?;
                    unsaved.push(skipped);
                }
                Kind::End => {
                    let is_last = self.at == self.len;
                    if !is_last || record.body != (channels.len() as u64).to_le_bytes() {
                        return Err(
                            self.damaged(record.offset, "it goes on after its end, or lacks a channel")
                        );
                    }
                    return Ok((origin, channels, unsaved));
                }
            }
        }
    }

    /// The next record, whose checksum matches.
    fn next(&mut self) -> Result<Record, SavedError> {
        let (offset, index) = (self.at, self.index);
        let cut = || SavedError::Cut { path: self.path.into(), offset };
        let rest = self.len.checked_sub(offset + (BEFORE + AFTER) as u64).ok_or_else(cut)?;
        let mut before = [0; BEFORE];
        self.fill(&mut before)?;
        let Some(Before { kind, index: found, len }) = Before::decode(before) else {
            return Err(self.damaged(offset, "it is no record"));
        };
        if found != index {
            return Err(self.damaged(offset, "a record is missing, or one too many"));
        }
        if len > rest {
            return Err(SavedError::Cut { path: self.path.into(), offset });
        }
        let is_state = kind == Kind::State;
        if is_state && len < STATE as u64 || !is_state && len > MAX_WHOLE {
            return Err(self.damaged(offset, "a record can't have this length"));
        }
        let whole = if is_state { STATE as u64 } else { len };
        let mut body = vec![0; usize::try_from(whole).unwrap_or(usize::MAX)];
        self.fill(&mut body)?;
        let mut sum = crc32c::crc32c_append(crc32c::crc32c(&before), &body);
        let mut left = len - whole;
        let mut buffer = vec![0; if left == 0 { 0 } else { CHUNK }];
        while left > 0 {
            let part = &mut buffer[..CHUNK.min(usize::try_from(left).unwrap_or(CHUNK))];
            self.fill(part)?;
            sum = crc32c::crc32c_append(sum, part);
            left -= part.len() as u64;
        }
        let mut found = [0; AFTER];
        self.fill(&mut found)?;
        if u32::from_le_bytes(found) != sum {
            return Err(self.damaged(offset, CHANGED));
        }
        self.index = index.checked_add(1).ok_or_else(|| self.damaged(offset, "it has too many records"))?;
        Ok(Record { kind, body, payload: len - whole, offset, index })
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), SavedError> {
        self.input.read_exact(bytes).map_err(|source| match source.kind() {
            // It was cut since its length was queried.
            io::ErrorKind::UnexpectedEof => SavedError::Cut { path: self.path.into(), offset: self.at },
            _ => SavedError::File { path: self.path.into(), operation: "read", source },
        })?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn fault(&self, record: &Record, fault: Fault) -> SavedError {
        self.damaged(record.offset + (BEFORE + fault.at) as u64, fault.reason)
    }

    fn damaged(&self, offset: u64, reason: &str) -> SavedError {
        SavedError::Damaged { path: self.path.into(), offset, reason: reason.into() }
    }
}

/// Whether `state` can be the next older one of the channel.
fn can_have(channel: &SavedChannel, state: SavedState) -> bool {
    let SavedChannel { inspection, problem, states, .. } = channel;
    let is_in_order = match states.last() {
        Some(last) => state.publication < last.publication,
        None => state.publication >= inspection.publication && problem.is_none(),
    };
    is_in_order && Publication::new(state.publication).is_some()
}

/// Reads arbitrary bytes as a file.
#[cfg(any(test, fuzzing))]
pub(crate) fn check(bytes: &[u8]) -> Result<usize, SavedError> {
    let path = Path::new("bytes");
    Records { path, input: bytes, len: bytes.len() as u64, at: 0, index: 0 }.all().map(|all| all.1.len())
}
