//! Channels of other hosts, in this host's shared memory: what a program needs that brings them.
//!
//! States travel, and queries don't. A *mirror* is a process on each host. That of the *origin*,
//! the host of the workers, reads their channels with [`MirrorReader`]s and sends what changes.
//! That of another host publishes what arrives with [`MirrorWriter`]s. The *mirrored channels* that
//! this makes are read by the same readers, hubs and tools as any channel, at the same cost. What
//! carries the bytes is not a part of this crate.
//!
//! ```
//! use tearless::mirror::{MirrorReader, MirrorWriter};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let [here, there] = [tearless::Namespace::in_process("fleet")?, tearless::Namespace::in_process("fleet")?];
//! # let mut worker = there.writer_builder::<u64>("worker-7").codec::<tearless::Pod>().open()?;
//! # worker.publish(&7)?;
//! // On the worker's host:
//! let mut origin = MirrorReader::open(&there, "worker-7")?;
//! let mut payload = Vec::new();
//! let info = origin.snapshot_into(&mut payload)?;
//!
//! // On this one:
//! let (instance, format) = (origin.instance(), origin.format());
//! let mut mirror = MirrorWriter::open(&here, "host-a/worker-7", "host-a", instance, &format)?;
//! mirror.set_status(&origin.status()?);
//! mirror.publish(&payload, info.publication(), info.age())?;
//!
//! let mut reader = here.reader_builder::<u64>("host-a/worker-7").codec::<tearless::Pod>().open()?;
//! let state = reader.snapshot()?;
//! assert_eq!(*state, 7);
//! assert_eq!(state.origin().unwrap().to_string(), "publication 1 of host host-a");
//! # Ok(())
//! # }
//! ```
//!
//! # What is guaranteed
//!
//! * A mirrored channel is a channel: never torn, never back, whole after a kill at any
//!   instruction. It skips publications of its origin, and has none that the origin did not have:
//!   [`MirrorWriter::publish`] ignores what is not newer than what is there.
//! * [`Snapshot::origin`](crate::Snapshot::origin) has the host and the number that the publication
//!   has there. [`Snapshot::age`](crate::Snapshot::age) is at least what the origin told, moved to
//!   this host's clock: the time on the way is missing.
//! * The state of the writer, its heartbeats and its promise are what its own host said. So a
//!   worker that its kernel knows to be dead is dead here, too. Without news, or without a mirror
//!   that is at work, the writer is
//!   [`Unreachable`](crate::inspect::WriterState::Unreachable), and not dead.
//! * Only a mirror of the same host writes a mirrored channel, also after a mirror died. It
//!   replaces no channel of this host, and no ordinary writer replaces it. Once a mirrored channel
//!   is closed or [removed](crate::Namespace::remove_channel), its name is free.
//! * [Cuts](crate::hub::Hub::cut) with mirrored states are never consistent: these are published
//!   later than other workers may observe their effects, and the clocks of two hosts differ.
//!
//! Blocks, [sealed](crate::sealed) channels and [saved](crate::saved) files have no mirror. A
//! process with an earlier version of tearless refuses to read mirrored channels.

use std::time::Duration;

use crate::Namespace;
use crate::channel::{
    AttachError, ChannelName, ChannelReader, CreateError, Format, Mirrored, PublishError, ReaderOptions,
    RemoveError, SchemaBytes, SnapshotError, SnapshotInfo, WriterOptions, check_name, writer_state,
};
use crate::clock::TimestampSource;
use crate::health::look_at_one_writer;
use crate::layout::{Publication, control};
use crate::object::ObjectError;
use crate::registry::{Registry, Session};

pub use crate::channel::{Origin, OriginInfo, OriginStatus};

/// What a channel's states are, as its origin has described them: enough to make the same channel
/// elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelFormat {
    /// The codec's name, at most 64 bytes.
    pub codec: String,
    /// The type's name, at most 512 bytes. A mirrored channel keeps 440 of them.
    pub type_name: String,
    /// Fingerprint of codec and type name, which readers compare.
    pub fingerprint: u64,
    /// The schema, if the channel carries one.
    pub schema: Option<Vec<u8>>,
    /// Maximum payload bytes of a state.
    pub max_state_len: u64,
    /// Payload bytes of the latest state or of those that fitted at the beginning, whichever are
    /// more.
    pub capacity: u64,
}

/// Reads any channel of this host as bytes, for a mirror.
///
/// Like any [`Reader`](crate::Reader), it maps the channel read-only, and its writer does not wait
/// for it.
#[derive(Clone, Debug)]
pub struct MirrorReader {
    channel: ChannelReader,
}

impl MirrorReader {
    /// Attaches to a channel of any codec and type.
    ///
    /// # Errors
    ///
    /// As [`ReaderBuilder::open`](crate::ReaderBuilder::open), except that all states are accepted.
    pub fn open(namespace: &Namespace, channel: &str) -> Result<MirrorReader, AttachError> {
        let name = ChannelName::new(namespace.name(), channel)?;
        let registry = Registry::of(namespace.backend(), namespace.name());
        registry.attach(&name, &ReaderOptions::default()).map(|channel| MirrorReader { channel })
    }

    /// What the channel's states are. A schema that is damaged is left out.
    ///
    /// Cost: a copy of the schema, some loads.
    #[must_use]
    pub fn format(&self) -> ChannelFormat {
        let Format { codec, type_name, fingerprint } = self.channel.format().clone();
        let schema = self.channel.schema_bytes().ok().flatten();
        let initial = self.channel.page().initial_capacity();
        let latest = self.channel.clone().latest_info().map_or(0, |info| info.payload_len() as u64);
        let max_state_len = self.channel.page().max_state_len();
        ChannelFormat { codec, type_name, fingerprint, schema, max_state_len, capacity: latest.max(initial) }
    }

    /// Random id of the channel. If another channel gets its name, that has another id.
    #[must_use]
    pub fn instance(&self) -> u64 {
        self.channel.instance()
    }

    /// Whether the channel is itself a copy of another host's.
    #[must_use]
    pub fn is_mirrored(&self) -> bool {
        self.channel.host().is_some()
    }

    /// What to tell of the channel's writer, as of this moment.
    ///
    /// Cost: that of [`Reader::writer_state`](crate::Reader::writer_state).
    ///
    /// # Errors
    ///
    /// If the system does not let the control page be queried.
    pub fn status(&self) -> Result<OriginStatus, ObjectError> {
        look_at_one_writer(&mut self.channel.clone(), |channel| {
            let writer = writer_state(channel)?;
            let page = channel.page();
            Ok(OriginStatus {
                incarnation: page.incarnation(),
                pid: page.owner().pid,
                writer,
                heartbeat_interval: page.heartbeat_interval(),
                heartbeat_age: page.heartbeat_age(),
                opened_ago: page.opened_ago(),
                ended_ago: page.ended_ago(),
            })
        })
    }

    /// Number of the latest publication, 0 before the first. Costs one load.
    #[must_use]
    pub fn publication(&self) -> u64 {
        self.channel.publication()
    }

    /// The latest publication: its number, age and length. `None` before the first, and if the
    /// writer overwrites its slots during the look.
    ///
    /// Cost: that of a [`Reader::snapshot`](crate::Reader::snapshot) of nothing.
    #[must_use]
    pub fn latest(&mut self) -> Option<SnapshotInfo> {
        self.channel.latest_info()
    }

    /// Replaces `payload` by the bytes of the latest state.
    ///
    /// Progress and cost: as [`Reader::snapshot_into`](crate::Reader::snapshot_into).
    ///
    /// # Errors
    ///
    /// [`SnapshotError`]; [`SnapshotError::Empty`] at once if nothing has been published yet.
    pub fn snapshot_into(&mut self, mut payload: &mut Vec<u8>) -> Result<SnapshotInfo, SnapshotError> {
        self.channel.snapshot(&mut payload)
    }

    /// Whether the writer has closed the channel. A killed writer has not.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.channel.is_closed()
    }
}

/// The writer of a mirrored channel.
///
/// Dropping it removes the channel, as [`MirrorWriter::close`] does, without a result. A mirror
/// that is killed leaves the channel to the next one, and the last state stays readable.
#[must_use = "dropping a writer ends its channel"]
pub struct MirrorWriter {
    session: Session,
    /// The origin's number of the latest state.
    publication: u64,
}

impl MirrorWriter {
    /// Creates the channel, as a copy of the one of `host` that has this instance and format. If a
    /// mirror that died left it, the writer resumes it; if only instance or format differ, it
    /// replaces it.
    ///
    /// The options of the namespace hold (permissions, group, budgets). Until the first
    /// [`set_status`](MirrorWriter::set_status), the writer of a resumed channel is unreachable.
    ///
    /// # Errors
    ///
    /// [`CreateError`]; after an error nothing has changed. [`CreateError::Name`] if a name, also
    /// that of the host, is empty, too long (64 bytes for a host), or holds control characters.
    /// [`CreateError::InvalidOrigin`] if no channel can have this format.
    /// [`CreateError::NotMirrored`] if there is a channel of this host with that name,
    /// [`CreateError::Mirrored`] if there is one of another host.
    pub fn open(
        namespace: &Namespace,
        channel: &str,
        host: &str,
        instance: u64,
        format: &ChannelFormat,
    ) -> Result<MirrorWriter, CreateError> {
        let name = ChannelName::new(namespace.name(), channel)?;
        check_name("host", host, control::HOST.max)?;
        let invalid = |reason| {
            let (channel, host) = (channel.to_owned(), host.to_owned());
            CreateError::InvalidOrigin { channel, host, reason }
        };
        let lens = format.lens().map_err(invalid)?;
        let ChannelFormat { codec, type_name, fingerprint, .. } = format.clone();
        let options = WriterOptions {
            capacity: lens.capacity,
            max_state_len: lens.max_state_len,
            format: Format { codec, type_name, fingerprint },
            schema: format.schema.as_deref().and_then(SchemaBytes::new),
            // The clocks of two hosts differ, and a state is on its way for some time.
            timestamps: TimestampSource::Coarse,
            deferred: true,
            mirrored: Some(Mirrored { host: host.into(), instance }),
            ..namespace.writers().clone()
        };
        let session = Session::open(namespace.backend(), &name, &options)?;
        let publication = session.channel.origin_publication();
        Ok(MirrorWriter { session, publication })
    }

    /// The channel's name.
    #[must_use]
    pub fn channel(&self) -> &str {
        self.session.channel.channel()
    }

    /// The origin's number of the latest state, 0 before the first. After a resumption that of the
    /// state that is there.
    #[must_use]
    pub fn publication(&self) -> u64 {
        self.publication
    }

    /// Publishes a state of the origin, which has the number `publication` there and is `age` old.
    /// `false` if it is not newer than what is there: then it is ignored.
    ///
    /// An `age` of more than 292 years counts as that; `None` is a state without a timestamp.
    /// Progress and cost: as [`Loan::publish`](crate::Loan::publish).
    ///
    /// # Errors
    ///
    /// [`PublishError`]; the last state stays readable. [`PublishError::InvalidNumber`] if no
    /// publication has that number.
    pub fn publish(
        &mut self,
        payload: &[u8],
        publication: u64,
        age: Option<Duration>,
    ) -> Result<bool, PublishError> {
        if publication <= self.publication {
            return Ok(false);
        }
        let channel = &mut self.session.channel;
        if Publication::new(publication).is_none() {
            let name = channel.channel().to_owned();
            return Err(channel.failed(PublishError::InvalidNumber { channel: name, publication }));
        }
        channel.publish_mirrored(payload, publication, age)?;
        self.publication = publication;
        Ok(true)
    }

    /// Stores what the origin says of its writer, as news of this moment: the origin is reachable.
    /// Ages are moved to this host's clock, by which a promise is judged, too: if news come less
    /// often than heartbeats, tell an interval that is as much longer.
    ///
    /// Progress: wait-free, no system call. Cost: a read of the clock and some stores. In a fork it
    /// does nothing.
    pub fn set_status(&mut self, status: &OriginStatus) {
        self.session.channel.set_origin_status(status);
    }

    /// Says that there is no news of the origin any more, and how old the last is; `None`: it is
    /// reachable again, and what it said last holds.
    ///
    /// Progress and cost: as [`MirrorWriter::set_status`].
    pub fn set_unreachable(&mut self, since: Option<Duration>) {
        self.session.channel.set_unreachable(since);
    }

    /// Checks, once a second at most, that the channel's objects and the namespace's registry still
    /// have their names, and restores a registry, as [`Writer::touch`](crate::Writer::touch) does.
    ///
    /// # Errors
    ///
    /// As [`Writer::touch`](crate::Writer::touch). After [`PublishError::NamesRemoved`], the caller
    /// drops this writer and opens another one.
    pub fn check_names(&mut self) -> Result<(), PublishError> {
        self.session.check()
    }

    /// Ends the channel and removes its names. Attached readers see the end.
    ///
    /// In a fork of the process that opened the writer it does nothing.
    ///
    /// # Errors
    ///
    /// As [`Writer::close`](crate::Writer::close).
    pub fn close(mut self) -> Result<(), RemoveError> {
        self.session.close()
    }

    /// Ends the channel and leaves the last state readable, as the origin's writer did that closed
    /// its channel with [`linger`](crate::WriterBuilder::linger). The name is free for any writer.
    ///
    /// # Errors
    ///
    /// As [`Writer::close`](crate::Writer::close).
    pub fn close_lingering(mut self) -> Result<(), RemoveError> {
        self.session.close_lingering()
    }
}

debug_by!(MirrorWriter<>, |it| channel: it.channel(), publication: it.publication());

/// Lengths that this host can have.
struct Lens {
    capacity: usize,
    max_state_len: usize,
}

impl ChannelFormat {
    /// Its lengths, or what is wrong with it, and what to do.
    fn lens(&self) -> Result<Lens, String> {
        let texts = [("codec", &self.codec, control::CODEC), ("type", &self.type_name, control::TYPE_NAME)];
        for (what, text, field) in texts {
            if text.len() > field.max {
                let (len, max) = (text.len(), field.max);
                return Err(format!(
                    "the name of its {what} has {len} bytes, the maximum is {max}: no channel has such a \
                     name, so stop mirroring that host"
                ));
            }
        }
        let schema = self.schema.as_ref().map_or(0, Vec::len);
        if schema > control::MAX_SCHEMA_BYTES {
            let max = control::MAX_SCHEMA_BYTES;
            return Err(format!(
                "its schema has {schema} bytes, the maximum is {max}: no channel has such a schema, so stop \
                 mirroring that host"
            ));
        }
        let max_state_len = usize::try_from(self.max_state_len).unwrap_or(usize::MAX);
        let capacity = usize::try_from(self.capacity).unwrap_or(usize::MAX);
        Ok(Lens { capacity: capacity.min(max_state_len).max(1), max_state_len })
    }
}
