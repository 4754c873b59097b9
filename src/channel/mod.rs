//! A channel of bytes under one name: create or take over, attach, publish with growth, snapshot with retries, end.

mod attaching;
mod wake;
mod budget;
mod closing;
mod header;
mod error;
mod looking;
mod name;
mod opening;
mod options;
mod parts;
mod dry_run;
mod reader;
mod removal;
mod schema;
mod segments;
mod statistics;
#[cfg(any(test, fuzzing))]
pub(crate) mod tests;
mod writer;

pub(crate) use attaching::Backoff;
pub(crate) use wake::WaitersPage;
pub(crate) use budget::Budgets;
pub use budget::{SizeLimit, BudgetScope, OverBudget};
pub(crate) use header::{read_text, write_text};
pub use error::{AttachError, CreateError, PublishError, RemoveError, SnapshotError};
pub(crate) use looking::Progress;
pub use looking::WriterState;
pub use name::NameError;
pub(crate) use name::{ChannelName, check_namespace};
pub use options::{AttachPolicy, RetryPolicy};
pub(crate) use options::{Format, ReaderOptions, WriterOptions};
pub(crate) use reader::{ChannelReader, Missed, Received};
pub use removal::{RemovalReason, Retention, Removed};
pub(crate) use removal::{CleanupOutcome, Cleanup, remove};
#[cfg(any(test, fuzzing, feature = "schema"))]
pub(crate) use schema::SchemaBytes;
pub use schema::SchemaInspection;
pub(crate) use schema::SchemaMark;
pub use statistics::{ReaderStatistics, WriterStatistics};
pub(crate) use writer::ChannelWriter;
