//! What users can choose, checked.

use std::time::Duration;

use super::schema::SchemaBytes;
use super::{Budgets, CreateError};
use crate::clock::TimestampSource;
use crate::layout::{self, Geometry, schema};
use crate::object::Mode;
use crate::seqlock::WakeMode;

/// Payload bytes for which a slot is made at first, where the user doesn't say: four slots in a page of 4 KiB.
const DEFAULT_CAPACITY: usize = 928;

/// Payload bytes that a state may have at most, where the user doesn't say.
const DEFAULT_MAX_STATE_LEN: usize = 64 << 20;

/// What a writer was asked to do.
#[derive(Clone, Debug)]
pub(crate) struct WriterOptions {
    /// Payload bytes that fit without growing.
    pub(crate) capacity: usize,
    /// Slots in each segment; `None` for the default.
    pub(crate) depth: Option<usize>,
    /// Payload bytes that a state may have at most.
    pub(crate) max_state_len: usize,
    /// Bytes of shared memory that there may be at most.
    pub(crate) budgets: Budgets,
    /// Whether slots carry a CRC32C.
    pub(crate) checksum: bool,
    pub(crate) timestamps: TimestampSource,
    /// Permission bits of the objects.
    pub(crate) mode: Mode,
    /// Whether the last state stays readable after a clean close.
    pub(crate) linger: bool,
    /// How those who wait are woken, if the system can.
    pub(crate) wake_mode: WakeMode,
    /// How often the writer promises a sign of life.
    pub(crate) heartbeat_interval: Option<Duration>,
    /// The codec's name, the type's, and the fingerprint of both.
    pub(crate) format: Format,
    /// What the channel carries to be understood by who doesn't know the type.
    pub(crate) schema: Option<SchemaBytes>,
}

/// In what form the payload is, to be compared between writer and reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    pub(crate) codec: String,
    pub(crate) type_name: String,
    /// Of both: what is compared. The texts are for people, and may have been cut.
    pub(crate) fingerprint: u64,
}

impl Format {
    pub(crate) fn new(codec: &str, type_name: &str) -> Format {
        let fingerprint = layout::fingerprint(&format!("{codec}\0{type_name}"));
        Format { codec: codec.into(), type_name: type_name.into(), fingerprint }
    }
}

impl WriterOptions {
    pub(crate) fn new(format: Format) -> WriterOptions {
        WriterOptions {
            capacity: DEFAULT_CAPACITY,
            depth: None,
            max_state_len: DEFAULT_MAX_STATE_LEN,
            budgets: Budgets::default(),
            checksum: false,
            timestamps: TimestampSource::default(),
            mode: 0o600,
            linger: false,
            wake_mode: WakeMode::default(),
            heartbeat_interval: None,
            format,
            schema: None,
        }
    }

    /// The shape of the first segments, if everything that was asked for is possible.
    pub(super) fn check(&self) -> Result<Geometry, CreateError> {
        if self.mode & !0o777 != 0 || self.mode & 0o600 != 0o600 {
            return Err(CreateError::InvalidPermissions { mode: self.mode });
        }
        if self.capacity > self.max_state_len {
            return Err(CreateError::CapacityAboveLimit {
                capacity: self.capacity,
                limit: self.max_state_len,
            });
        }
        let described = self.schema.as_ref().map_or(0, |schema| schema.bytes().len());
        if described > schema::MAX_BYTES {
            let reason = format!("it has {described} bytes, {} is the most", schema::MAX_BYTES);
            return Err(CreateError::SchemaRefused { reason });
        }
        let slots = self.depth.map(|depth| depth.saturating_mul(2));
        let invalid = |bytes| CreateError::InvalidSize { bytes, slots };
        Geometry::fit(self.max_state_len, self.depth).map_err(|_| invalid(self.max_state_len))?;
        Geometry::fit(self.capacity, self.depth).map_err(|_| invalid(self.capacity))
    }
}

/// What a reader was asked to do.
#[derive(Clone, Debug)]
pub(crate) struct ReaderOptions {
    pub(crate) attach: AttachPolicy,
    pub(crate) retry: RetryPolicy,
    /// `None` to accept any.
    pub(crate) format: Option<Format>,
}

/// How long attaching waits for a channel.
///
/// Default: does not wait for a missing channel; waits up to 100 ms for a channel whose creation has
/// begun, which takes microseconds unless the creator is stopped or killed.
///
/// ```
/// # use std::time::Duration;
/// use tearless::options::AttachPolicy;
/// let patient = AttachPolicy::default().missing(Duration::from_secs(5));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AttachPolicy {
    /// How long to wait for a channel of that name.
    pub missing: Duration,
    /// How long to wait for a creator to finish.
    pub not_ready: Duration,
}

impl AttachPolicy {
    /// How long to wait for a channel of that name.
    #[must_use]
    pub const fn missing(mut self, timeout: Duration) -> AttachPolicy {
        self.missing = timeout;
        self
    }

    /// How long to wait for a creator to finish.
    #[must_use]
    pub const fn not_ready(mut self, timeout: Duration) -> AttachPolicy {
        self.not_ready = timeout;
        self
    }
}

impl Default for AttachPolicy {
    fn default() -> Self {
        AttachPolicy { missing: Duration::ZERO, not_ready: Duration::from_millis(100) }
    }
}

/// How often and how long a snapshot retries while the writer is faster.
///
/// An attempt is torn if the writer reuses the slot during the copy. With the default number of
/// slots, that takes at least four publications during one copy. The reader makes its attempts back
/// to back with growing pauses, then yields the processor between attempts until the deadline, then
/// fails with [`SnapshotError::Contended`].
///
/// Default: 64 attempts, then 100 ms.
///
/// [`SnapshotError::Contended`]: crate::error::SnapshotError::Contended
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// Attempts before the reader looks at the clock. It makes at least one.
    pub attempts: u32,
    /// How long the reader retries after these attempts.
    pub deadline: Duration,
}

impl RetryPolicy {
    /// Attempts before the reader looks at the clock. It makes at least one.
    #[must_use]
    pub const fn attempts(mut self, attempts: u32) -> RetryPolicy {
        self.attempts = attempts;
        self
    }

    /// How long the reader retries after these attempts.
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> RetryPolicy {
        self.deadline = deadline;
        self
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy { attempts: 64, deadline: Duration::from_millis(100) }
    }
}
