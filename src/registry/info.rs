//! The registry's entry of a channel.

use crate::channel::{ChannelWriter, WriterState};
use crate::layout::{WORD_BYTES, control, registry};
use crate::liveness::{ProcessIdentity, ProcessState};

/// A channel as its entry in the registry describes it: as of the time at which its writer opened
/// it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelInfo {
    /// The channel's name.
    pub name: String,
    /// Process id of its writer, or of the last one, in its own PID namespace.
    pub writer_pid: u64,
    /// Number of writers that it has had.
    pub incarnation: u64,
    /// The codec's name.
    pub codec: String,
    /// Payload bytes that fitted in a slot without growing.
    pub capacity: u64,
    /// Maximum payload bytes of a state.
    pub max_state_len: u64,
    /// Random id of the channel, as [`Inspection::instance`](crate::inspect::Inspection::instance).
    /// If it differs from the channel's, the entry is about another channel of that name.
    pub instance: u64,
    pub(crate) identity: ProcessIdentity,
}

/// Numbers of an encoded entry, before its two texts.
const NUMBERS: usize = 10;
const _: () =
    assert!(NUMBERS * WORD_BYTES + control::CODEC.max + control::CHANNEL.max <= registry::entry::CAPACITY);

impl ChannelInfo {
    /// The entry of a channel that this process writes.
    pub(crate) fn of(writer: &ChannelWriter) -> ChannelInfo {
        let identity = ProcessIdentity::of_self();
        ChannelInfo {
            name: writer.channel().into(),
            writer_pid: identity.pid,
            incarnation: writer.incarnation(),
            codec: writer.options().format.codec.clone(),
            capacity: writer.capacity() as u64,
            max_state_len: writer.options().max_state_len as u64,
            instance: writer.instance(),
            identity,
        }
    }

    /// State of the process that opened the channel for writing, as far as `/proc` shows it:
    /// `Alive`, `Stopped`, `Dead`, or `Unknown` if it is in another PID namespace.
    /// [`Reader::writer_state`](crate::Reader::writer_state) queries the channel's lock, too.
    ///
    /// Cost: some system calls, microseconds.
    #[must_use]
    pub fn writer_state(&self) -> WriterState {
        match self.identity.state() {
            ProcessState::Running => WriterState::Alive,
            ProcessState::Stopped => WriterState::Stopped,
            ProcessState::Dead => WriterState::Dead,
            ProcessState::Unknown => WriterState::Unknown,
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let codec = &self.codec.as_bytes()[..self.codec.len().min(control::CODEC.max)];
        let identity = self.identity;
        let numbers: [u64; NUMBERS] = [
            self.instance,
            identity.pid,
            identity.start_time,
            identity.boot_id[0],
            identity.boot_id[1],
            identity.pid_namespace,
            self.incarnation,
            self.capacity,
            self.max_state_len,
            codec.len() as u64,
        ];
        let mut bytes: Vec<u8> = numbers.into_iter().flat_map(u64::to_le_bytes).collect();
        bytes.extend_from_slice(codec);
        bytes.extend_from_slice(self.name.as_bytes());
        bytes
    }

    /// `None` if the bytes are no entry.
    pub(super) fn decode(bytes: &[u8]) -> Option<ChannelInfo> {
        let (numbers, texts) = bytes.split_at_checked(NUMBERS * WORD_BYTES)?;
        let (numbers, _) = numbers.as_chunks::<WORD_BYTES>();
        let number = |index: usize| numbers.get(index).map(|bytes| u64::from_le_bytes(*bytes));
        let (codec, name) = texts.split_at_checked(usize::try_from(number(9)?).ok()?)?;
        let identity = ProcessIdentity {
            pid: number(1)?,
            start_time: number(2)?,
            boot_id: [number(3)?, number(4)?],
            pid_namespace: number(5)?,
        };
        Some(ChannelInfo {
            name: String::from_utf8(name.to_vec()).ok()?,
            writer_pid: identity.pid,
            incarnation: number(6)?,
            codec: String::from_utf8_lossy(codec).into_owned(),
            capacity: number(7)?,
            max_state_len: number(8)?,
            instance: number(0)?,
            identity,
        })
    }
}
