//! Writers and readers of the torture's channels, whatever their codec.

use tearless::{
    Bytes, Pod, Reader, Snapshot, SnapshotInfo, Writer,
    error::{PublishError, RemoveError, SnapshotError},
    usage::ReaderStatistics,
};

use super::content::{Content, PLAIN_BYTES};

/// The state of the channels of plain data.
pub(super) type Plain = [u64; PLAIN_BYTES / size_of::<u64>()];

/// The writer of one channel.
pub(super) enum TestWriter {
    Bytes { writer: Writer<[u8], Bytes>, payload: Vec<u8> },
    Plain { writer: Writer<Plain, Pod>, payload: Vec<u8> },
}

impl TestWriter {
    pub(super) fn bytes(writer: Writer<[u8], Bytes>) -> TestWriter {
        TestWriter::Bytes { writer, payload: Vec::new() }
    }

    pub(super) fn plain(writer: Writer<Plain, Pod>) -> TestWriter {
        TestWriter::Plain { writer, payload: Vec::new() }
    }

    /// The number of the last publication.
    pub(super) fn publication(&self) -> u64 {
        match self {
            TestWriter::Bytes { writer, .. } => writer.publication(),
            TestWriter::Plain { writer, .. } => writer.publication(),
        }
    }

    pub(super) fn shrink_to_fit(&mut self) {
        match self {
            TestWriter::Bytes { writer, .. } => writer.shrink_to_fit(),
            TestWriter::Plain { writer, .. } => writer.shrink_to_fit(),
        }
    }

    /// Publishes what `content` prescribes for publication `number`, and returns the library's number.
    pub(super) fn publish(&mut self, content: Content, number: u64, life: u64) -> Result<u64, PublishError> {
        match self {
            TestWriter::Bytes { writer, payload } => {
                content.write(number, life, payload);
                writer.publish(payload)
            }
            TestWriter::Plain { writer, payload } => {
                content.write(number, life, payload);
                let mut state: Plain = bytemuck::Zeroable::zeroed();
                bytemuck::bytes_of_mut(&mut state).copy_from_slice(payload);
                writer.publish(&state)
            }
        }
    }

    pub(super) fn close(self) -> Result<(), RemoveError> {
        match self {
            TestWriter::Bytes { writer, .. } => writer.close(),
            TestWriter::Plain { writer, .. } => writer.close(),
        }
    }
}

/// The reader of one channel, with the buffer of its snapshots.
pub(super) enum TestReader {
    Bytes { reader: Reader<Vec<u8>, Bytes>, payload: Vec<u8> },
    Plain { reader: Reader<Plain, Pod>, state: Box<Plain> },
}

/// One state out of a history.
pub(super) type Past = Result<(SnapshotInfo, Vec<u8>), SnapshotError>;

impl TestReader {
    pub(super) fn bytes(reader: Reader<Vec<u8>, Bytes>) -> TestReader {
        TestReader::Bytes { reader, payload: Vec::new() }
    }

    pub(super) fn plain(reader: Reader<Plain, Pod>) -> TestReader {
        TestReader::Plain { reader, state: bytemuck::zeroed_box() }
    }

    /// The number of the latest publication.
    pub(super) fn publication(&self) -> u64 {
        match self {
            TestReader::Bytes { reader, .. } => reader.publication(),
            TestReader::Plain { reader, .. } => reader.publication(),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        match self {
            TestReader::Bytes { reader, .. } => reader.is_closed(),
            TestReader::Plain { reader, .. } => reader.is_closed(),
        }
    }

    /// Takes a snapshot into [`TestReader::payload`]. Plain data alternates between both ways: into the
    /// buffer, and as a new value.
    pub(super) fn snapshot(&mut self, turn: u64) -> Result<SnapshotInfo, SnapshotError> {
        match self {
            TestReader::Bytes { reader, payload } => reader.snapshot_into(payload),
            TestReader::Plain { reader, state } if turn.is_multiple_of(2) => reader.snapshot_into(state),
            TestReader::Plain { reader, state } => {
                let snapshot = reader.snapshot()?;
                **state = *snapshot;
                Ok(snapshot.info())
            }
        }
    }

    /// The payload of the last snapshot.
    pub(super) fn payload(&self) -> &[u8] {
        match self {
            TestReader::Bytes { payload, .. } => payload,
            TestReader::Plain { state, .. } => bytemuck::bytes_of(&**state),
        }
    }

    /// Every state that the rings still hold, the latest first.
    pub(super) fn history(&mut self) -> Vec<Past> {
        match self {
            TestReader::Bytes { reader, .. } => {
                let past = |entry: Result<Snapshot<Vec<u8>>, _>| {
                    entry.map(|snapshot| (snapshot.info(), snapshot.into_inner()))
                };
                reader.history().map(past).collect()
            }
            TestReader::Plain { reader, .. } => {
                let past = |entry: Result<Snapshot<Plain>, _>| {
                    entry.map(|snapshot| (snapshot.info(), bytemuck::bytes_of(&*snapshot).to_vec()))
                };
                reader.history().map(past).collect()
            }
        }
    }

    pub(super) fn statistics(&self) -> ReaderStatistics {
        match self {
            TestReader::Bytes { reader, .. } => reader.statistics(),
            TestReader::Plain { reader, .. } => reader.statistics(),
        }
    }

    /// How often the channel's segments have been replaced.
    pub(super) fn growths(&self) -> u64 {
        match self {
            TestReader::Bytes { reader, .. } => reader.growths(),
            TestReader::Plain { reader, .. } => reader.growths(),
        }
    }

    /// How many writers the channel has had.
    pub(super) fn incarnation(&self) -> u64 {
        match self {
            TestReader::Bytes { reader, .. } => reader.incarnation(),
            TestReader::Plain { reader, .. } => reader.incarnation(),
        }
    }
}
