//! A channel of bytes under one name: create or take over, attach, publish with growth, snapshot with retries, end.

mod description;
mod error;
mod name;
mod options;
mod reader;
mod segments;
#[cfg(any(test, fuzzing))]
pub(crate) mod tests;
mod writer;

pub use error::{AttachError, CreateError, PublishError, RemoveError, SnapshotError};
pub use name::NameError;
pub(crate) use name::{ChannelName, check_namespace};
pub use options::{AttachPolicy, RetryPolicy};
pub(crate) use options::{Format, ReaderOptions, WriterOptions};
pub use reader::WriterState;
pub(crate) use reader::{ChannelReader, Received};
pub(crate) use writer::{ChannelWriter, remove};
