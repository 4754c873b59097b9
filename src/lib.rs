//! The latest state of a process in shared memory, for other processes to read directly: no socket, no lock, no system
//! call, and never a torn read.
//!
//! One process writes a *channel*; any number of others take *snapshots* of its latest state, in well under a
//! microsecond for small states, without the writer noticing, and also after it was killed.
//!
//! # When not to use it
//!
//! * You need every message, not the latest state: use a queue. What is overwritten is gone.
//! * Several processes change one state together: use a lock or a database. A channel has one writer.
//! * The processes run on different machines, or don't trust each other: whoever may write to the memory may corrupt it
//!   (checksums find it, nothing prevents it).
//! * Reader and writer are threads of one process and the state is a pointer swap: `arc-swap` is simpler.
//!
//! # Example
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct WorkerState { jobs_done: u64, queue: Vec<String> }
//!
//! // in the worker
//! let fleet = tearless::Namespace::open("fleet-of-the-front-page")?;
//! let mut writer = fleet.writer::<WorkerState>("worker-7")?;
//! writer.publish(&WorkerState { jobs_done: 3, queue: vec!["a job".into()] })?;
//!
//! // in the main process
//! let mut reader = fleet.reader::<WorkerState>("worker-7")?;
//! let snapshot = reader.snapshot()?; // derefs to the state
//! println!("#{} is {:?} old: {} jobs done", snapshot.publication(), snapshot.age(), snapshot.jobs_done);
//! # Ok(())
//! # }
//! ```
//!
//! # What else there is
//!
//! * [`Syncer`]: owns a worker's state and publishes it in the background; [`Writer::publish_if_changed`] skips repetitions.
//! * [`Hub`]: all channels of a namespace, from any thread; [`Hub::status`] says what has become of a worker.
//! * [`Hub::cut`]: the states of several workers as of one moment, so that totals add up.
//! * [`Reader::wait_after`], [`HubWatch::wait_any`] and, as streams, `changes`: waiting, for which a writer pays only while
//!   somebody waits.
//! * [`Reader::history`]: the last states that a channel holds; [`Reader::field`] and [`Reader::read_at`]: a few bytes of a
//!   large one.
//! * [`Namespace::inspect`]: all about a channel whatever its type, also after its writer died; [`namespaces`] and
//!   [`objects`]: what there is on this machine.
//! * [`WriterBuilder::with_schema`] and `Namespace::dynamic_reader`: channels that carry their schema, and are read without the type;
//!   [`ReaderBuilder::open_by_name`]: with an older or newer one. Rules: `docs/schemas.md`.
//!
//! Which of them to use, what they cost and guarantee: `docs/choosing.md`.
//!
//! # What it guarantees
//!
//! * **Never torn**: a snapshot is exactly one publication. Proved in `docs/protocol.md`, checked by two independent model
//!   checkers on this very code, tortured with real processes.
//! * **Readers can't harm**: they map channels read-only; they hold no lock, no descriptor, and no reference that the writer
//!   would wait for. Who *waits* announces it on a page beside the channels, and costs the writer calls that wake.
//! * **In order**: publications are numbered 1, 2, 3, …; a reader never sees a number go backwards.
//! * **A kill at any instruction** leaves the last whole publication readable, and the channel free for the next writer,
//!   who goes on with the next number.
//! * **States may grow**: the channel's segments are replaced under attached readers, up to a limit.
//! * **No surprise from a full `/dev/shm`**: memory is reserved when it is created, so that the failure is an error of
//!   [`publish`](Writer::publish) and never a SIGBUS.
//!
//! # Progress
//!
//! | operation | progress |
//! |---|---|
//! | [`Writer::publish`] | wait-free, no allocation; no system call unless somebody waits; except while it grows |
//! | one attempt of a reader | wait-free, stores nothing |
//! | [`Reader::snapshot`] | bounded by the [`RetryPolicy`]; lock-free in the sense that it is torn only if the writer has made progress |
//! | [`Reader::changed_since`] | wait-free, one load |
//! | [`Reader::wait_after`], [`HubWatch::wait_any`] | sleeps, at most for as long as asked; the writer never waits |
//! | [`Hub::cut`] | bounded |
//! | [`Syncer::update`] | blocks while a tick encodes the state |
//! | opening and closing | system calls; bounded |
//!
//! # Features
//!
//! `postcard` (the default codec; without it [`Namespace::writer`] and [`Namespace::reader`] are missing, and every builder
//! needs [`codec`](WriterBuilder::codec)), `message-pack`, and `schema` (the module of that name, and what is described by it), all on by
//! default. `dynamic` reads channels whose type is not known. `async` adds [`Reader::changes`] and
//! [`Hub::changes`], streams for any executor. `tokio` lets a [`Syncer`] be a task (`SyncerBuilder::spawn_on`). `metrics`
//! gives statistics and memory to the facade of that name.
//!
//! `RUSTFLAGS="--cfg tearless_portable_copy"` makes x86-64 move payloads word by word, as all other processors do. It is no
//! feature, because it takes something away.
//!
//! # Limits
//!
//! * Linux on 64-bit little-endian processors. Tested on x86-64.
//! * The memory is found by name. Another process *of the same user* can overwrite or truncate it; truncation makes readers
//!   and writers of that channel fault (SIGBUS).
//! * A publication lives until its slot is used again: [`Writer::depth`] publications later, slots of both segments.
//! * By default a type's name is compared, not its fields: see [`WriterBuilder::type_name`].

#![deny(unsafe_code)]
#![warn(unreachable_pub)]

#[cfg(not(target_endian = "little"))]
compile_error!("tearless lays words out in little-endian order: it supports little-endian targets only");
#[cfg(not(target_pointer_width = "64"))]
compile_error!("tearless shares 64-bit words and sizes between processes: it supports 64-bit targets only");
#[cfg(not(target_os = "linux"))]
compile_error!(
    "tearless relies on Linux's locks and reservation of shared memory: other systems are not supported yet"
);

#[cfg(feature = "async")]
mod changes;
mod channel;
mod cleanup;
mod clock;
mod codec;
#[cfg(feature = "dynamic")]
pub mod dynamic;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod health;
mod hub;
mod inspect;
mod layout;
mod liveness;
mod memory;
mod namespace;
mod object;
mod reader;
#[cfg(feature = "metrics")]
mod recording;
mod registry;
#[cfg(feature = "schema")]
pub mod schema;
mod seqlock;
mod snapshot;
mod syncer;
mod testing;
mod usage;
mod waiting;
mod writer;

#[cfg(feature = "async")]
pub use changes::Changes;
pub use channel::{
    AttachError, AttachPolicy, BudgetScope, CreateError, NameError, OverBudget, PublishError,
    ReaderStatistics, RemovalReason, RemoveError, Removed, Retention, RetryPolicy, SchemaInspection,
    SizeLimit, SnapshotError, WriterState, WriterStatistics,
};
pub use cleanup::CleanupReport;
pub use clock::TimestampSource;
#[cfg(any(feature = "postcard", feature = "message-pack"))]
pub use codec::CapError;
pub use codec::{Bytes, Codec, CodecError, Decode, Encode, MessagePack, Pod, Postcard};
pub use health::Health;
pub use hub::{
    Cut, CutState, CutTime, Hub, HubBuilder, HubState, HubStatistics, HubWatch, Pattern, QueryError, Skew,
    Status,
};
pub use inspect::{
    Inspection, NamespaceInfo, ObjectInfo, ObjectKind, ObjectState, SegmentInspection, SegmentSide,
    SlotInspection, SlotState, namespaces, namespaces_trusting, objects, objects_trusting,
};
pub use namespace::{Namespace, NamespaceBuilder};
#[cfg(feature = "schema")]
pub use reader::ByName;
pub use reader::{Field, History, Reader, ReaderBuilder};
pub use registry::{ChannelInfo, ChannelWatch};
pub use usage::{
    ChannelMemory, ChannelMemoryChange, MemoryChange, MemoryUsage, NamespaceMemory, NamespaceMemoryChange,
    PeakMemory,
};

pub use channel::SnapshotInfo;
pub use object::ObjectError;
pub use seqlock::{ChannelState, WakeMode};
pub use snapshot::Snapshot;
pub use syncer::{ShutdownError, SpawnError, Syncer, SyncerBuilder, SyncerStatistics};
pub use testing::{Leak, LeakCheck, Leaks};
pub use waiting::WaitPolicy;
pub use writer::{Writer, WriterBuilder};
