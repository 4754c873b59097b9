//! Channels on the heap: the same code as in shared memory, without the system calls. Fuzz targets
//! use the model, too.

#[cfg(test)]
mod budgets;
#[cfg(test)]
mod changed_bytes;
#[cfg(test)]
mod cleanup;
#[cfg(test)]
mod counting;
#[cfg(test)]
mod endings;
#[cfg(test)]
mod failures;
#[cfg(test)]
mod growth;
#[cfg(test)]
mod loans;
pub(crate) mod model;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod takeover;
#[cfg(test)]
mod views;
#[cfg(test)]
mod with_schema;

#[cfg(test)]
use super::options::RetryPolicy;
use super::options::{AttachPolicy, Format, ReaderOptions, WriterOptions};
use super::{AttachError, ChannelName, ChannelReader, ChannelWriter, CreateError, SnapshotError};
#[cfg(test)]
use super::{Cleanup, Retention};
#[cfg(test)]
use crate::object::{Backend, PATIENCE};
use crate::object::{ForkToken, Heap};
#[cfg(test)]
use std::sync::Arc;

fn name() -> ChannelName {
    ChannelName::new("tests", "channel").unwrap()
}

fn options() -> WriterOptions {
    WriterOptions::new(Format::new("bytes", "test"))
}

fn reader_options() -> ReaderOptions {
    let attach = AttachPolicy { missing: std::time::Duration::ZERO, not_ready: std::time::Duration::ZERO };
    ReaderOptions { attach, ..ReaderOptions::default() }
}

fn open(heap: &Heap, options: &WriterOptions) -> Result<ChannelWriter, CreateError> {
    crate::channel::open(&heap.shared(), &name(), options)
}

fn attach(heap: &Heap) -> Result<ChannelReader, AttachError> {
    attach_with(heap, reader_options())
}

fn attach_with(heap: &Heap, reading: ReaderOptions) -> Result<ChannelReader, AttachError> {
    let reader = crate::channel::attach(&heap.shared(), &name(), &reading)?;
    reader.has_format(&options().format).map(|()| reader)
}

#[cfg(test)]
fn cleanup_of(backend: &Arc<dyn Backend>, retention: Retention) -> Cleanup<'_> {
    Cleanup { backend, namespace: "tests", retention, min_age: std::time::Duration::ZERO, patience: PATIENCE }
}

/// Number and payload of the latest publication.
fn snapshot(reader: &mut ChannelReader) -> Result<(u64, Vec<u8>), SnapshotError> {
    let mut payload = Vec::new();
    let received = reader.snapshot(&mut &mut payload)?;
    assert_eq!(received.payload_len(), payload.len());
    Ok((received.publication(), payload))
}

/// Ends a writer as a kill does: the claim is released, nothing is stored or removed.
fn kill(mut writer: ChannelWriter) {
    writer.owner = ForkToken::of_another_process();
}
