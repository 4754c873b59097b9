//! The latest state of a process in shared memory, for other processes to read directly: no socket,
//! no lock, no system call, and never a torn read.
//!
//! One process writes a *channel*. Any number of other processes take *snapshots* of its latest
//! state, in well under a microsecond for small states. The writer does not notice, and the last
//! state stays readable after the writer was killed.
//!
//! ```
//! # fn main() -> Result<(), tearless::Error> {
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
//! let state = reader.snapshot()?; // derefs to WorkerState
//! println!("publication {}: {} jobs done", state.publication(), state.jobs_done);
//! # Ok(())
//! # }
//! ```
//!
//! # When not to use it
//!
//! * Every message counts: use a queue. A channel keeps the latest state, and overwrites older
//!   ones.
//! * Several processes change one state: use a lock or a database. A channel has one writer.
//! * The processes don't trust each other: a process that may write to the memory can corrupt it.
//!   Checksums detect that; only a [`sealed`] channel prevents it. Other machines are for
//!   [`mirror`].
//! * Writer and readers are threads of one process: `arc-swap` or `tokio::sync::watch` is simpler.
//!
//! # What else there is
//!
//! * [`Syncer`](syncer::Syncer) owns a worker's state and publishes it in the background.
//!   [`Writer::publish_if_changed`] skips repetitions.
//! * [`Hub`](hub::Hub) reads all channels of a namespace, from any thread.
//!   [`Hub::status`](hub::Hub::status) reports the state of a worker,
//!   [`Hub::cut`](hub::Hub::cut) the states of several workers as of one moment.
//! * [`Reader::changed`] and [`HubWatch::wait_any`](hub::HubWatch::wait_any) wait, and
//!   `Reader::changes` is a stream. A writer pays for that only while a process waits.
//! * A [`Loan`] is the next slot, filled in place: large states are not copied to be published.
//! * [`Reader::history`] returns the last states that a channel holds; [`Reader::field`] and
//!   [`Reader::read_at`] a few bytes of a large state. [`Boxed`] keeps large plain states off the
//!   stack.
//! * A [`block`] is raw memory under a name, for tables and arrays that several processes write.
//! * [`accept`] chooses which channels a reader accepts: those of the same type, of the same
//!   schema, or with the fields that it needs.
//! * [`inspect`], [`usage`] and [`cleanup`] are for operators: what exists, what it costs, what can
//!   go.
//! * [`saved`] keeps channels in a file, across a reboot.
//! * `schema` and `dynamic` describe and read states without their types.
//!
//! `docs/choosing.md` compares them, with their costs and guarantees.
//!
//! # Guarantees
//!
//! * **Never torn**: a snapshot is exactly one publication. Proved in `docs/protocol.md`, checked
//!   by two independent model checkers on this code, tortured with real processes.
//! * **Readers can't harm**: they map channels read-only. They hold no lock, no descriptor, and no
//!   reference that the writer would wait for. (One that [views in place](view) has a descriptor,
//!   and a page of pins, for which the writer does not wait either.) A reader that *waits*
//!   announces it on a page beside the channels, and costs the writer the calls that wake it.
//! * **In order**: publications are numbered 1, 2, 3, …; a reader never sees a number go backwards.
//! * **A kill at any instruction** leaves the last whole publication readable, and the channel free
//!   for the next writer, which continues with the next number.
//! * **States may grow**: the channel's segments are replaced under attached readers, up to a
//!   limit.
//! * **A full `/dev/shm` is an error** of [`publish`](Writer::publish) and never a SIGBUS: memory
//!   is reserved when it is created.
//!
//! # Progress
//!
//! | operation | progress |
//! |---|---|
//! | [`Writer::publish`], `Writer::loan`, [`Loan::publish`] | wait-free, no allocation, unless it grows; no system call unless a process waits |
//! | one attempt of a reader | wait-free, stores nothing |
//! | [`Reader::snapshot`] | bounded by the [`RetryPolicy`](options::RetryPolicy); an attempt fails only if the writer has made progress |
//! | [`Reader::has_changed`] | wait-free, one load |
//! | [`Reader::changed`], [`HubWatch::wait_any`](hub::HubWatch::wait_any) | sleeps, at most until the timeout; the writer never waits |
//! | [`Hub::cut`](hub::Hub::cut) | bounded |
//! | [`Syncer::update`](syncer::Syncer::update) | blocks while a tick encodes the state |
//! | opening and closing | system calls; bounded |
//!
//! # Features
//!
//! On by default: `message-pack`, the default codec (without it, builders need
//! [`codec`](WriterBuilder::codec)); `postcard`; and `schema`, channels that carry the schema of
//! their states. Off by default: `dynamic`, reading without the type; `async`, streams for any
//! executor; `tokio`, a [`Syncer`](syncer::Syncer) as a task; `metrics`, statistics for that
//! facade.
//!
//! `RUSTFLAGS="--cfg tearless_portable_copy"` makes x86-64 and aarch64 copy payloads word by word,
//! as all other processors do. It is no feature, because it takes something away.
//!
//! # Limits
//!
//! * Linux on 64-bit little-endian processors. Tested on x86-64; on aarch64 under emulation, and
//!   the orderings by Arm's model.
//! * Memory is found by name. Another process *of the same user* can overwrite or truncate it;
//!   truncation makes readers and writers of that channel fault (SIGBUS).
//! * A publication is overwritten after [`Writer::slots`] later ones.
//! * By default a type's name is compared, not its fields: see [`accept`].

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

/// Setters of a builder's options: each stores its argument, or what is made of it.
macro_rules! setters {
    (
        impl[$($parameters:tt)*] $builder:ty;
        $($(#[$meta:meta])* $visibility:vis fn $name:ident($argument:ident: $type:ty) {
            $($option:ident).+ = $value:expr
        })*
    ) => {
        impl<$($parameters)*> $builder {$(
            $(#[$meta])*
            $visibility fn $name(mut self, $argument: $type) -> Self {
                self.$($option).+ = $value;
                self
            }
        )*}
    };
}

/// A policy: options with their defaults, and a setter for each.
macro_rules! policy {
    ($(#[$meta:meta])* pub struct $policy:ident {
        $($(#[$doc:meta])* $option:ident: $type:ty = $default:expr,)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct $policy {
            $(
                $(#[$doc])*
                #[doc = concat!("\n\nDefault: `", stringify!($default), "`.")]
                pub $option: $type,
            )*
        }

        impl $policy {$(
            $(#[$doc])*
            #[doc = concat!("\n\nDefault: `", stringify!($default), "`.")]
            #[must_use]
            pub const fn $option(mut self, $option: $type) -> $policy {
                self.$option = $option;
                self
            }
        )*}

        impl Default for $policy {
            fn default() -> Self {
                $policy { $($option: $default,)* }
            }
        }
    };
}

/// The method `diff` and the `Display` of counters. `diff` subtracts the numbers; the field after
/// the semicolon keeps its later value.
macro_rules! counters {
    ($(#[$doc:meta])* $counters:ident: $($number:ident),* $(; $kept:ident)? => $text:literal) => {
        impl $counters {
            $(#[$doc])*
            #[must_use]
            pub fn diff(&self, earlier: &$counters) -> $counters {
                $counters {
                    $($number: self.$number.saturating_sub(earlier.$number),)*
                    $($kept: self.$kept,)?
                }
            }
        }

        /// One line.
        impl std::fmt::Display for $counters {
            #[allow(unused_variables, reason = "the text need not have all")]
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let $counters { $($number,)* $($kept)? } = self;
                write!(formatter, $text)
            }
        }
    };
}

/// `Debug` by some values, for a type whose parameters or fields are not `Debug`.
macro_rules! debug_by {
    (
        $type:ident<$($life:lifetime,)? $($parameter:ident $(: ?$sized:ident)?),*>,
        |$it:ident| $($name:ident: $value:expr),*
    ) => {
        impl<$($life,)? $($parameter $(: ?$sized)?),*> std::fmt::Debug for $type<$($life,)? $($parameter),*> {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let ($it, mut shown) = (self, formatter.debug_struct(stringify!($type)));
                shown$(.field(stringify!($name), &$value))*.finish_non_exhaustive()
            }
        }
    };
}

/// `Debug` of an error, as its `Display`: `main`, `unwrap` and `expect` show people `Debug`.
///
/// `Display` also writes the text of the cause, so `Error::source` must return nothing: a cause is
/// in a field written `r#source`. From a field written `source`, `thiserror` would make a source.
macro_rules! debug_as_display {
    ($error:ty) => {
        impl std::fmt::Debug for $error {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, formatter)
            }
        }
    };
}

pub mod accept;
pub mod block;
mod catalog;
mod channel;
pub mod cleanup;
mod clock;
mod codec;
#[cfg(feature = "dynamic")]
pub mod dynamic;
pub mod error;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod health;
pub mod hub;
pub mod inspect;
mod layout;
mod liveness;
mod memory;
pub mod mirror;
mod namespace;
mod object;
pub mod options {
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
    pub use crate::namespace::Group;
    pub use crate::object::HugePages;
    pub use crate::seqlock::WakeMode;
    pub use crate::waiting::WaitPolicy;
}
#[cfg(feature = "metrics")]
mod metrics;
mod reader;
mod registry;
pub mod saved;
#[cfg(feature = "schema")]
pub mod schema;
pub mod sealed;
mod seqlock;
mod snapshot;
pub mod syncer;
pub mod testing;
pub mod usage;
pub mod view;
mod waiting;
mod writer;

pub use channel::SnapshotInfo;
pub use codec::{Boxed, Bytes, Codec, Decode, Encode, MessagePack, Pod, Postcard};
pub use error::Error;
pub use memory::LoanMut;
pub use namespace::{Namespace, NamespaceBuilder};
#[cfg(feature = "async")]
pub use reader::Changes;
pub use reader::{Field, History, Reader, ReaderBuilder};
pub use snapshot::Snapshot;
pub use writer::{Loan, LoanSink, Writer, WriterBuilder};
