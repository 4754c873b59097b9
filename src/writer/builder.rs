//! How a writer is opened.

use std::marker::PhantomData;
use std::time::Duration;

use super::{LastPayload, Writer};
use crate::channel::{ChannelName, CreateError, Format, WriterOptions};
use crate::clock::TimestampSource;
use crate::codec::{Bytes, Encode, MessagePack};
use crate::object::HugePages;
use crate::registry::Session;
use crate::seqlock::WakeMode;
use crate::waiting::NamespaceHandle;
#[cfg(feature = "schema")]
use crate::{
    channel::SchemaBytes,
    schema::{Describe, Schema, samples},
};

/// Options of a [`Writer`]. Made by
/// [`Namespace::writer_builder`](crate::Namespace::writer_builder).
#[must_use = "a builder does nothing until `open` is called"]
pub struct WriterBuilder<T: ?Sized, C = MessagePack> {
    /// `None` for a sealed channel, which no namespace has.
    handle: Option<NamespaceHandle>,
    pub(crate) channel: String,
    capacity: Option<usize>,
    type_name: Option<String>,
    /// The name of the codec of payloads that the program encodes itself.
    codec_name: Option<String>,
    options: WriterOptions,
    /// Whether `with_schema` was called for another codec.
    has_lost_schema: bool,
    types: PhantomData<fn(&T) -> C>,
}

impl<T: ?Sized> WriterBuilder<T> {
    pub(crate) fn new(handle: Option<NamespaceHandle>, channel: &str, options: WriterOptions) -> Self {
        WriterBuilder {
            handle,
            channel: channel.into(),
            capacity: None,
            type_name: None,
            codec_name: None,
            options,
            has_lost_schema: false,
            types: PhantomData,
        }
    }
}

impl<T: ?Sized, C> WriterBuilder<T, C> {
    /// Encodes states by another codec. Call it before [`with_schema`](Self::with_schema): the
    /// schema depends on the codec.
    pub fn codec<D: Encode<T>>(self) -> WriterBuilder<T, D> {
        let WriterBuilder { handle, channel, capacity, type_name, mut options, .. } = self;
        let has_lost_schema = self.has_lost_schema || options.schema.take().is_some();
        let types = PhantomData;
        let codec_name = None;
        WriterBuilder { handle, channel, capacity, type_name, codec_name, options, has_lost_schema, types }
    }

    /// Lets the channel carry the [`Schema`] of its states, for programs that don't know `T`: see
    /// [`Reader::schema_bytes`](crate::Reader::schema_bytes) and [`accept`](crate::accept).
    ///
    /// The schema, of at most 64 KiB, is a part of the channel's object. Publishing costs nothing
    /// more. A successor resumes the channel only with the same schema; with another schema, or
    /// none, it replaces the channel. The schema depends on the codec: choose
    /// [`codec`](Self::codec) first.
    ///
    /// Only with the feature `schema`.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let fleet = tearless::Namespace::in_process("fleet")?;
    /// use tearless::{Bytes, Postcard, accept, schema::Schema};
    ///
    /// let writer = fleet.writer_builder::<(u64, String)>("worker-7").codec::<Postcard>();
    /// let mut writer = writer.with_schema().open()?;
    /// writer.publish(&(3, "a job".to_string()))?;
    ///
    /// let reader = fleet.reader_builder::<Vec<u8>>("worker-7").codec::<Bytes>();
    /// let reader = reader.accept(accept::Any).open()?;
    /// let schema = reader.schema_bytes()?.expect("the writer has a schema");
    /// assert_eq!(Schema::from_bytes(&schema)?.to_string(), "(u64, String)");
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "schema")]
    pub fn with_schema(mut self) -> Self
    where
        C: Describe<T>,
    {
        self.options.schema = SchemaBytes::new(&C::describe().to_bytes());
        self.has_lost_schema = false;
        self
    }

    /// The interval of [`WriterBuilder::heartbeat_interval`].
    pub(crate) fn promised(&self) -> Option<Duration> {
        self.options.heartbeat_interval
    }
}

setters! {
    impl[T: ?Sized, C] WriterBuilder<T, C>;

    /// Payload bytes that fit without growing. Default: the size of `T` for [`Pod`](crate::Pod),
    /// else 928, with which a channel takes three pages. The capacity becomes larger where pages
    /// would be left unused.
    pub fn capacity(bytes: usize) { capacity = Some(bytes) }

    /// Slots of the channel. Each of the two segments has half of them, rounded up to a power of
    /// two. Default: at least 8, or 4 for states of more than 1 KiB, and as many as the last page
    /// holds. With 2 the channel is a classic double buffer, in which a fast writer overwrites what
    /// readers copy.
    pub fn slots(slots: usize) { options.depth = Some(slots.div_ceil(2)) }

    /// Payload bytes that a state may have at most. Default: 64 MiB. A
    /// [sealed](Writer::sealed) channel of [`Pod`](crate::Pod) has the size of `T`.
    pub fn max_state_len(bytes: usize) { options.max_state_len = bytes }

    /// Whether objects of a channel that are large enough get huge pages. Default: never.
    pub fn huge_pages(huge_pages: HugePages) { options.huge_pages = huge_pages }

    /// Number of views in place that readers can hold at the same time: see
    /// [`view`](crate::view). A display that takes the next view before it drops the last one needs
    /// two. At most 64. Default: 0.
    ///
    /// Each of the two segments gets as many spare slots, so that the channel takes memory for
    /// [`slots`](Self::slots) plus twice this number of states. Publishing does not wait, whatever
    /// readers hold. It takes a fence more once a reader has begun to view, and copies take a few
    /// nanoseconds more.
    pub fn pins(pins: usize) { options.pins = pins }

    /// Bytes of shared memory that the channel may take: its object, and each segment that replaced
    /// one in it; while such a segment is replaced again, both the old and the new one. Where the
    /// kernel has larger pages than 4 KiB, each takes whole ones. Default: no limit.
    ///
    /// [`open`](Self::open) fails with [`CreateError::OverBudget`] rather than exceed it, and a
    /// growth with [`PublishError::TooLarge`](crate::error::PublishError::TooLarge); the last state
    /// stays readable, and smaller states can be published as before. A channel that the writer
    /// resumes is never too large, but does not grow; it gets the capacity that was asked for as
    /// far as the limit allows. Shrinking is not refused. A channel of another format is replaced
    /// after a trial and counts until it is removed: if there is no room for both, remove it first.
    ///
    /// Of a [sealed](crate::sealed) channel it counts the whole length, which is never exceeded.
    ///
    /// Cost: opening and growing list the directory once.
    pub fn max_memory(bytes: u64) { options.budgets.channel = Some(bytes) }

    /// Whether publications carry a CRC32C that readers verify. Default: no; the protocol excludes
    /// torn reads without it. It finds what the protocol cannot: memory that another process
    /// overwrote.
    pub fn checksum(checksum: bool) { options.checksum = checksum }

    /// Which clock gives publications their timestamps. Default: [`TimestampSource::Precise`].
    pub fn timestamps(source: TimestampSource) { options.timestamps = source }

    /// Permission bits of this channel's objects, if they differ from those of the
    /// [namespace](crate::NamespaceBuilder::permissions). A user that the channel admits and the
    /// namespace doesn't can read the channel by its name, but can't list the namespace.
    pub fn permissions(mode: u32) { options.access.mode = mode }

    /// Promises readers a heartbeat at least that often, by [`Writer::touch`] or
    /// [`Writer::publish_if_changed`]; see
    /// [`Reader::heartbeat_interval`](crate::Reader::heartbeat_interval). Default: no promise, as
    /// with zero.
    ///
    /// The writer itself sends none. A [`Syncer`](crate::syncer::Syncer) does, at this interval.
    pub fn heartbeat_interval(interval: Duration) { options.heartbeat_interval = Some(interval) }

    /// Whether states are published later than other workers may observe their effects.
    pub(crate) fn deferred(deferred: bool) { options.deferred = deferred }

    /// Whether the last state stays readable after a clean close. Default: no.
    pub fn linger(linger: bool) { options.linger = linger }

    /// How the writer wakes the processes that wait for publications. Default:
    /// [`WakeMode::Barriers`].
    pub fn wake_mode(mode: WakeMode) { options.wake_mode = mode }

    /// Gives the type of the states another name than `T`'s. Readers give it the same name.
    ///
    /// The default is the text of `std::any::type_name` without modules and `Box`: it contains no
    /// fields, and another version of the compiler may write it differently. Programs that are not
    /// built together choose a name.
    pub fn type_name(type_name: impl Into<String>) { type_name = Some(type_name.into()) }
}

/// For payloads that the program encodes itself, as a codec of this library would: a program that
/// has no type to give, because it binds another language or forwards states.
impl<T: AsRef<[u8]> + ?Sized> WriterBuilder<T, Bytes> {
    /// Names the codec of the payloads: [`MessagePack::NAME`], [`Pod::NAME`](crate::Pod::NAME),
    /// [`Postcard::NAME`](crate::Postcard::NAME) or one of another library. Readers that ask for
    /// that codec and this [`type_name`](Self::type_name) decode the payloads by it.
    ///
    /// The payloads are published as they are: a wrong one is an error of the reader that decodes
    /// it.
    pub fn encoded_by(mut self, codec: impl Into<String>) -> Self {
        self.codec_name = Some(codec.into());
        self
    }

    /// Lets the channel carry the schema of the payloads, as [`with_schema`](Self::with_schema)
    /// does for a type.
    ///
    /// Only with the feature `schema`.
    #[cfg(feature = "schema")]
    pub fn schema(mut self, schema: &Schema) -> Self {
        self.options.schema = SchemaBytes::new(&schema.to_bytes());
        self.has_lost_schema = false;
        self
    }
}

impl<T: ?Sized, C: Encode<T>> WriterBuilder<T, C> {
    /// Creates the channel, or resumes it if a former writer died or closed it with `linger`.
    ///
    /// Readers that are attached to a resumed channel see nothing but a new incarnation number. If
    /// the former writer's channel has another codec, type name, schema, checksum setting, number
    /// of pins or permissions, the writer replaces it, after a trial of whether there is room. A
    /// resumed channel gets the capacity and slots that were asked for at its next publications.
    ///
    /// # Errors
    ///
    /// [`CreateError`]; after an error nothing has changed.
    pub fn open(self) -> Result<Writer<T, C>, CreateError> {
        if self.has_lost_schema {
            return Err(CreateError::SchemaOfAnotherCodec { channel: self.channel });
        }
        let mut options = self.options;
        let codec = self.codec_name.as_deref().unwrap_or(C::NAME);
        options.format = Format::new(codec, &self.type_name.unwrap_or_else(C::type_name));
        let (is_sealed, len) = (self.handle.is_none(), C::fixed_len().map(|len| len.max(1)));
        if let Some(len) = len.filter(|_| is_sealed) {
            // The limit takes addresses.
            options.max_state_len = len.min(options.max_state_len);
        }
        if let Some(capacity) = self.capacity.or(len) {
            options.capacity = capacity;
        } else {
            options.capacity = options.capacity.min(options.max_state_len);
        }
        #[cfg(feature = "schema")]
        check_schema::<T, C>(&self.channel, &options)?;
        let name = ChannelName::new(namespace_of(&self.handle), &self.channel)?;
        let session = match &self.handle {
            Some(handle) => Session::open(handle.backend(), &name, &options)?,
            None => Session::open_sealed(&name, options)?,
        };
        let (scratch, last_payload) = (Vec::new(), LastPayload::default());
        Ok(Writer { session, scratch, last_payload, types: PhantomData })
    }
}

/// The namespace that the control page names.
fn namespace_of(handle: &Option<NamespaceHandle>) -> &str {
    handle.as_ref().map_or("sealed", NamespaceHandle::namespace)
}

/// Whether readers will accept the schema, and whether it describes the states: a type can be
/// beyond the limits that readers set, and may serialize other fields than its schema has.
#[cfg(feature = "schema")]
fn check_schema<T: ?Sized, C: Encode<T>>(channel: &str, options: &WriterOptions) -> Result<(), CreateError> {
    let Some(schema) = &options.schema else { return Ok(()) };
    let refused = |reason| CreateError::SchemaRefused { channel: channel.into(), reason };
    let schema = Schema::from_bytes(schema.bytes()).map_err(|error| refused(error.to_string()))?;
    match samples(schema.root()).iter().all(|sample| C::may_be_payload(sample)) {
        true => Ok(()),
        false => Err(refused(
            "it has other fields or variants than the type serializes (`skip`, `with`, or a `Serialize` \
             written by hand)"
                .into(),
        )),
    }
}

impl<T: ?Sized, C> Clone for WriterBuilder<T, C> {
    fn clone(&self) -> Self {
        let WriterBuilder { handle, channel, type_name, codec_name, options, .. } = self;
        let (handle, channel, options) = (handle.clone(), channel.clone(), options.clone());
        let (type_name, codec_name) = (type_name.clone(), codec_name.clone());
        WriterBuilder { handle, channel, type_name, codec_name, options, ..*self }
    }
}

debug_by!(WriterBuilder<T: ?Sized, C>, |it| name: (namespace_of(&it.handle), &it.channel), options: it.options);
