//! Options of readers, writers and hubs that have a type of their own.
//!
//! The policies begin with their defaults and have a setter for each part:
//!
//! ```
//! # use std::time::Duration;
//! use tearless::options::{AttachPolicy, WaitPolicy};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let fleet = tearless::Namespace::in_process("fleet")?;
//! # let writer = fleet.writer_builder::<u64>("worker-7").codec::<tearless::Pod>().open()?;
//!
//! let reader = fleet
//!     .reader_builder::<u64>("worker-7")
//!     .codec::<tearless::Pod>()
//!     .attach_policy(AttachPolicy::default().missing(Duration::from_secs(5)))
//!     .wait_policy(WaitPolicy::default().spin(Duration::ZERO))
//!     .open()?;
//! # Ok(())
//! # }
//! ```

pub use crate::channel::{AttachPolicy, RetryPolicy};
pub use crate::clock::TimestampSource;
pub use crate::seqlock::WakeMode;
pub use crate::waiting::WaitPolicy;
