//! The options of writers and readers, and their validation.

use std::sync::Arc;
use std::time::Duration;

use super::origin::Mirrored;
use super::segments::FirstSegments;
use super::{Budgets, CreateError};
use crate::clock::TimestampSource;
use crate::layout::{self, Geometry, control, pins};
use crate::memory::{Memory, MemoryMut, TrustedWriters};
use crate::object::{Access, HugePages};
use crate::seqlock::WakeMode;

/// Default payload bytes of a slot: a channel then takes three pages of 4 KiB.
const DEFAULT_CAPACITY: usize = 928;

/// Default maximum payload bytes of a state.
const DEFAULT_MAX_STATE_LEN: usize = 64 << 20;

/// Options of a writer.
#[derive(Clone, Debug)]
pub(crate) struct WriterOptions {
    /// Payload bytes that fit without growing.
    pub(crate) capacity: usize,
    /// Slots in each segment; `None` for the default.
    pub(crate) depth: Option<usize>,
    /// Maximum payload bytes of a state.
    pub(crate) max_state_len: usize,
    /// Number of publications that readers can pin.
    pub(crate) pins: usize,
    pub(crate) huge_pages: HugePages,
    /// Maximum bytes of shared memory.
    pub(crate) budgets: Budgets,
    /// Whether slots carry a CRC32C.
    pub(crate) checksum: bool,
    pub(crate) timestamps: TimestampSource,
    /// The users that may open the channel's objects.
    pub(crate) access: Access,
    /// The users that may open the namespace's registry.
    pub(crate) registry_access: Access,
    /// The instance of the channel that its writer opens again, which is replaced; no other one is
    /// then. `None`: the writer resumes or replaces what another one has left.
    pub(crate) again: Option<u64>,
    /// See [`NamespaceBuilder::max_dead_channels`](crate::NamespaceBuilder::max_dead_channels).
    pub(crate) max_dead: usize,
    /// Whether the last state stays readable after a clean close.
    pub(crate) linger: bool,
    /// How waiters are woken, if the system can.
    pub(crate) wake_mode: WakeMode,
    /// The heartbeat interval that the writer promises.
    pub(crate) heartbeat_interval: Option<Duration>,
    /// Whether states are published later than other workers may observe their effects.
    pub(crate) deferred: bool,
    /// The codec's name, the type's, and the fingerprint of both.
    pub(crate) format: Format,
    /// Schema for readers that don't know the type.
    pub(crate) schema: Option<SchemaBytes>,
    /// The channel of another host whose states the writer publishes.
    pub(crate) mirrored: Option<Mirrored>,
}

/// The encoding of the payload, which writer and reader compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    pub(crate) codec: String,
    pub(crate) type_name: String,
    /// Fingerprint of both, which is compared. The texts are for people, and may have been cut.
    pub(crate) fingerprint: u64,
}

impl Format {
    pub(crate) fn new(codec: &str, type_name: &str) -> Format {
        let fingerprint = layout::fingerprint(&format!("{codec}\0{type_name}"));
        Format { codec: codec.into(), type_name: type_name.into(), fingerprint }
    }
}

/// A schema, never empty.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SchemaBytes(Arc<[u8]>);

impl SchemaBytes {
    /// `None` for no bytes: a schema is never empty.
    pub(crate) fn new(bytes: &[u8]) -> Option<SchemaBytes> {
        (!bytes.is_empty()).then(|| SchemaBytes(bytes.into()))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

debug_by!(SchemaBytes<>, |it| bytes: it.0.len());

/// Length and fingerprint of a channel's schema, as the control page records them. Two schemas with
/// the same mark count as the same, as two formats with the same fingerprint do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SchemaMark {
    /// The schema's length; 0 if there is none.
    pub(crate) bytes: u64,
    pub(crate) fingerprint: u64,
}

impl SchemaMark {
    pub(super) fn of(schema: Option<&SchemaBytes>) -> SchemaMark {
        schema.map_or_else(SchemaMark::default, |SchemaBytes(bytes)| SchemaMark {
            bytes: bytes.len() as u64,
            fingerprint: layout::fingerprint(bytes),
        })
    }

    pub(crate) fn read(page: &impl Memory) -> SchemaMark {
        SchemaMark {
            bytes: page.load(control::SCHEMA_BYTES),
            fingerprint: page.load(control::SCHEMA_FINGERPRINT),
        }
    }

    pub(super) fn write(self, page: &impl MemoryMut) {
        page.store(control::SCHEMA_BYTES, self.bytes);
        page.store(control::SCHEMA_FINGERPRINT, self.fingerprint);
    }

    /// Whether there is a schema.
    pub(crate) fn is_some(self) -> bool {
        self.bytes != 0
    }
}

impl WriterOptions {
    pub(crate) fn new(format: Format) -> WriterOptions {
        WriterOptions {
            capacity: DEFAULT_CAPACITY,
            depth: None,
            max_state_len: DEFAULT_MAX_STATE_LEN,
            pins: 0,
            huge_pages: HugePages::default(),
            budgets: Budgets::default(),
            checksum: false,
            timestamps: TimestampSource::default(),
            access: Access::OWNER,
            registry_access: Access::OWNER,
            again: None,
            max_dead: usize::MAX,
            linger: false,
            wake_mode: WakeMode::default(),
            heartbeat_interval: None,
            deferred: false,
            format,
            schema: None,
            mirrored: None,
        }
    }

    /// The shape of the first segments, if all options are possible.
    pub(super) fn check(&self, channel: &str, is_sealed: bool) -> Result<FirstSegments, CreateError> {
        let channel = || channel.to_owned();
        for Access { mode, .. } in [self.access, self.registry_access] {
            if mode & !0o777 != 0 || mode & 0o600 != 0o600 {
                return Err(CreateError::InvalidPermissions { channel: channel(), mode });
            }
        }
        if self.capacity > self.max_state_len {
            let (capacity, max_state_len) = (self.capacity, self.max_state_len);
            return Err(CreateError::CapacityAboveLimit { channel: channel(), capacity, max_state_len });
        }
        let schema_len = self.schema.as_ref().map_or(0, |schema| schema.bytes().len());
        let start = control::first_slot(schema_len as u64).ok_or_else(|| {
            let reason = format!("it has {schema_len} bytes, the maximum is {}", control::MAX_SCHEMA_BYTES);
            CreateError::SchemaRefused { channel: channel(), reason }
        })?;
        let slots = self.depth.map(|depth| depth.saturating_mul(2));
        let invalid = |bytes| CreateError::InvalidSize { channel: channel(), bytes, slots };
        if self.pins > pins::MAX {
            return Err(CreateError::TooManyPins { channel: channel(), pins: self.pins });
        }
        self.geometry(self.max_state_len).ok_or_else(|| invalid(self.max_state_len))?;
        // A sealed channel has no room for later segments.
        let capacity = if is_sealed { self.max_state_len } else { self.capacity };
        // It has as many slots as one with a name that has not grown.
        let depth = Geometry::fit_first(start, self.capacity, self.depth)
            .and_then(|it| usize::try_from(it.depth()).ok());
        let geometry = depth.and_then(|depth| Geometry::fit_first(start, capacity, Some(depth)));
        let geometry = geometry.and_then(|it| it.with_spares(self.pins));
        let geometry = geometry.ok_or_else(|| invalid(capacity))?;
        Ok(FirstSegments { start, geometry })
    }

    /// The shape of a later segment for payloads of `capacity` bytes.
    pub(super) fn geometry(&self, capacity: usize) -> Option<Geometry> {
        Geometry::fit(capacity, self.depth)?.with_spares(self.pins)
    }
}

/// Options of a reader.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReaderOptions {
    pub(crate) attach: AttachPolicy,
    pub(crate) retry: RetryPolicy,
    /// Whether views may show the writers' memory.
    pub(crate) in_place: Option<TrustedWriters>,
}

policy! {
    /// How long attaching waits for a channel.
    ///
    /// Default: does not wait for a missing channel; waits up to 100 ms for a channel whose
    /// creation has begun, which takes microseconds unless the creator is stopped or killed.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use tearless::options::AttachPolicy;
    /// let patient = AttachPolicy::default().missing(Duration::from_secs(5));
    /// ```
    pub struct AttachPolicy {
        /// How long to wait for a channel of that name.
        missing: Duration = Duration::ZERO,
        /// How long to wait for a creator to finish.
        not_ready: Duration = Duration::from_millis(100),
    }
}

policy! {
    /// How often and how long a snapshot retries while the writer is faster.
    ///
    /// An attempt is torn if the writer reuses the slot during the copy. With the default number of
    /// slots, that takes at least four publications during one copy. The reader makes its attempts
    /// back to back with growing pauses, then yields the processor between attempts until the
    /// deadline, then fails with [`SnapshotError::Contended`].
    ///
    /// Default: 64 attempts, then 100 ms.
    ///
    /// [`SnapshotError::Contended`]: crate::error::SnapshotError::Contended
    pub struct RetryPolicy {
        /// Attempts before the reader looks at the clock. It makes at least one.
        attempts: u32 = 64,
        /// How long the reader retries after these attempts.
        deadline: Duration = Duration::from_millis(100),
    }
}
