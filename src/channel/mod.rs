//! A channel of bytes under one name: open or take over, attach, publish with growth, snapshot with
//! retries, end.

mod attach;
mod budget;
mod cleanup;
mod control_page;
mod error;
mod info;
mod name;
mod open;
mod options;
mod origin;
mod pins;
mod reader;
mod schema;
mod segments;
mod statistics;
mod status;
#[cfg(any(test, fuzzing))]
pub(crate) mod tests;
mod view;
mod wake;
mod writer;

pub(crate) use attach::{attach, name_of_sealed};
pub(crate) use budget::Budgets;
pub use budget::{BudgetScope, OverBudget, SizeLimit};
pub(crate) use cleanup::{Cleanup, CleanupOutcome, Found, remove};
pub use cleanup::{RemovalReason, Removed, Retention};
pub(crate) use control_page::{
    ControlPage, Progress, instance_of, is_abandoned, owner_of, read_text, store_owner, write_text,
};
pub use error::{AttachError, CreateError, PublishError, RemoveError, SnapshotError};
pub(crate) use error::{attempts_text, octal_text, process_text, removed_text, waited_text};
pub use info::SnapshotInfo;
pub(crate) use name::{ChannelName, check_name, check_namespace};
pub use name::{KnownChannels, NameError, similar};
pub(crate) use open::{open, restore};
pub use options::{AttachPolicy, RetryPolicy};
pub(crate) use options::{Format, ReaderOptions, SchemaBytes, WriterOptions};
pub(crate) use origin::Mirrored;
pub use origin::Origin;
pub(crate) use reader::ChannelReader;
pub use schema::SchemaInspection;
pub use statistics::{ReaderStatistics, WriterStatistics};
pub use status::{OriginInfo, OriginStatus, WriterState};
pub(crate) use status::{origin_of, state_of_owner, writer_state};
pub(crate) use view::ChannelView;
pub(crate) use wake::WaitersPage;
pub(crate) use writer::{ChannelLoan, ChannelWriter};
