//! A channel of bytes under one name: create or take over, attach, publish with growth, snapshot with retries, end.

mod attaching;
mod budget;
mod closing;
mod dry_run;
mod error;
mod header;
mod looking;
mod name;
mod opening;
mod options;
mod parts;
mod reader;
mod removal;
mod schema;
mod segments;
mod statistics;
#[cfg(any(test, fuzzing))]
pub(crate) mod tests;
mod wake;
mod writer;

pub(crate) use attaching::Backoff;
pub(crate) use budget::Budgets;
pub use budget::{BudgetScope, OverBudget, SizeLimit};
pub use error::{AttachError, CreateError, PublishError, RemoveError, SnapshotError};
pub(crate) use header::{read_text, write_text};
pub(crate) use looking::Progress;
pub use looking::WriterState;
pub use name::NameError;
pub(crate) use name::{ChannelName, check_namespace};
pub use options::{AttachPolicy, RetryPolicy};
pub(crate) use options::{Format, ReaderOptions, WriterOptions};
pub(crate) use reader::{ChannelReader, Received};
pub(crate) use removal::{Cleanup, CleanupOutcome, remove};
pub use removal::{RemovalReason, Removed, Retention};
#[cfg(any(test, fuzzing, feature = "schema"))]
pub(crate) use schema::SchemaBytes;
pub use schema::SchemaInspection;
pub(crate) use schema::SchemaMark;
pub use statistics::{ReaderStatistics, WriterStatistics};
pub(crate) use wake::WaitersPage;
pub(crate) use writer::ChannelWriter;
