//! How a reader attaches.

use std::marker::PhantomData;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use super::Reader;
use crate::accept::{Accept, Candidate, SameType};
use crate::catalog;
use crate::channel::{self, AttachError, AttachPolicy, ChannelName, Format, ReaderOptions, RetryPolicy};
use crate::codec::{Bytes, Decode, MessagePack};
use crate::memory::TrustedWriters;
use crate::object::Sealed;
use crate::registry::Registry;
#[cfg(feature = "schema")]
use crate::schema::Schema;
use crate::waiting::{NamespaceHandle, WaitPolicy};

/// Options of a [`Reader`]. Made by
/// [`Namespace::reader_builder`](crate::Namespace::reader_builder).
///
/// `A` is the choice of [`accept`](ReaderBuilder::accept). The order of the options does not
/// matter.
#[must_use = "a builder does nothing until `open` is called"]
pub struct ReaderBuilder<T, C = MessagePack, A = SameType> {
    handle: NamespaceHandle,
    channel: String,
    type_name: Option<String>,
    options: ReaderOptions,
    wait: WaitPolicy,
    /// The codec of payloads that the program decodes itself.
    codec_name: Option<String>,
    #[cfg(feature = "schema")]
    schema: Option<Schema>,
    types: Types<T, C, A>,
}

/// Values of these types come out of the reader.
type Types<T, C, A> = PhantomData<fn() -> (T, C, A)>;

impl<T> ReaderBuilder<T> {
    /// Options for a reader of the [sealed](crate::sealed) channel that a descriptor leads to. Its
    /// name is the channel's. The clones of the builder, its readers and theirs share the
    /// descriptor.
    ///
    /// # Errors
    ///
    /// [`AttachError::Object`] with
    /// [`ObjectError::NotSealed`](crate::error::ObjectError::NotSealed) if it leads to anything
    /// else, which is closed; [`AttachError::LayoutVersion`].
    pub fn from_descriptor(descriptor: OwnedFd) -> Result<Self, AttachError> {
        let channel = format!("descriptor {}", descriptor.as_raw_fd());
        let sealed = Sealed::open(descriptor).map_err(|source| AttachError::Object { channel, source })?;
        let name = channel::name_of_sealed(&sealed)?;
        Ok(ReaderBuilder::new(NamespaceHandle::new(Arc::new(sealed), &name.namespace), &name.channel))
    }

    pub(crate) fn new(handle: NamespaceHandle, channel: &str) -> Self {
        ReaderBuilder {
            handle,
            channel: channel.into(),
            type_name: None,
            options: ReaderOptions::default(),
            wait: WaitPolicy::default(),
            codec_name: None,
            #[cfg(feature = "schema")]
            schema: None,
            types: PhantomData,
        }
    }
}

impl<T, C, A> ReaderBuilder<T, C, A> {
    /// Decodes states by another codec.
    pub fn codec<D: Decode<T>>(mut self) -> ReaderBuilder<T, D, A> {
        self.codec_name = None;
        self.of_types()
    }

    /// Which channels the reader accepts: see [`accept`](crate::accept). Default: [`SameType`].
    #[expect(clippy::needless_pass_by_value, reason = "a unit struct that chooses the type")]
    pub fn accept<B>(self, accept: B) -> ReaderBuilder<T, C, B> {
        let _ = accept;
        self.of_types()
    }

    fn of_types<D, B>(self) -> ReaderBuilder<T, D, B> {
        ReaderBuilder {
            handle: self.handle,
            channel: self.channel,
            type_name: self.type_name,
            options: self.options,
            wait: self.wait,
            codec_name: self.codec_name,
            #[cfg(feature = "schema")]
            schema: self.schema,
            types: PhantomData,
        }
    }

    /// Waits up to `timeout` for the channel to exist and to be ready. Default: see
    /// [`AttachPolicy`].
    ///
    /// [`open`](Self::open) blocks its thread for that time. Async code waits for a channel with
    /// `Hub::changes_of`, whose first item is its first state.
    pub fn attach_within(self, timeout: Duration) -> Self {
        self.attach_policy(AttachPolicy::default().missing(timeout).not_ready(timeout))
    }

    /// Attaches to the channel.
    ///
    /// # Errors
    ///
    /// [`AttachError`]; by default [`AttachError::NotFound`] at once if there is no such channel.
    /// It proposes similar names if the namespace has at most 1,024 channels, which it lists; if it
    /// has none, similar namespaces of this machine. A program that expects the channel waits by
    /// [`attach_within`](Self::attach_within), which lists once.
    pub fn open(self) -> Result<Reader<T, C>, AttachError>
    where
        C: Decode<T>,
        A: Accept<T, C>,
    {
        let name = ChannelName::new(self.handle.namespace(), &self.channel)?;
        let codec = self.codec_name.as_deref().unwrap_or(C::NAME);
        let expected = Format::new(codec, &self.type_name.unwrap_or_else(C::type_name));
        let backend = self.handle.backend();
        let mut attached = Registry::of(backend, &name.namespace).attach(&name, &self.options);
        if let Err(AttachError::NotFound { known, .. }) = &mut attached
            && known.0.is_empty()
        {
            known.1 = catalog::similar_namespaces(backend, &name.namespace);
        }
        let channel = attached?;
        let candidate = Candidate::new(&channel, &expected);
        #[cfg(feature = "schema")]
        let candidate = candidate.with_schema(self.schema.as_ref());
        let plan = A::check(&candidate)?;
        Ok(Reader::new(channel, plan, self.handle, self.wait))
    }
}

/// For payloads that the program decodes itself, as a codec of this library would: the counterpart
/// of [`WriterBuilder::encoded_by`](crate::WriterBuilder::encoded_by).
impl<A> ReaderBuilder<Vec<u8>, Bytes, A> {
    /// Names the codec of the payloads: that of the channels which the reader
    /// [accepts](crate::accept).
    pub fn encoded_by(mut self, codec: impl Into<String>) -> Self {
        self.codec_name = Some(codec.into());
        self
    }

    /// The schema that the program knows, for [`SameSchema`](crate::accept::SameSchema) and
    /// [`MatchingFields`](crate::accept::MatchingFields). With the latter, and plain data
    /// ([`Pod::NAME`](crate::Pod::NAME)), the reader returns states in the layout of this schema,
    /// wherever the channel has its fields; they have [`Schema::fixed_len`] bytes.
    ///
    /// Only with the feature `schema`.
    #[cfg(feature = "schema")]
    pub fn schema(mut self, schema: Schema) -> Self {
        self.schema = Some(schema);
        self
    }
}

setters! {
    impl[T, C, A] ReaderBuilder<T, C, A>;

    /// How long to wait for a channel that does not exist, and for one that is not ready.
    pub fn attach_policy(attach: AttachPolicy) { options.attach = attach }

    /// How often and how long a snapshot retries. Default: see [`RetryPolicy`].
    pub fn retry_policy(retry: RetryPolicy) { options.retry = retry }

    /// How [`Reader::changed`] and [`Reader::wait_after`] wait. Default: see [`WaitPolicy`].
    pub fn wait_policy(wait: WaitPolicy) { wait = wait }

    /// Lets [views](crate::view) show the memory of the channel's writers. Without this promise,
    /// views are copies, unless the namespace is [in this process](crate::Namespace::in_process).
    pub fn views_in_place(promise: TrustedWriters) { options.in_place = Some(promise) }

    /// The name that the writer gave the type of its states.
    pub fn type_name(type_name: impl Into<String>) { type_name = Some(type_name.into()) }
}

impl<T, C, A> Clone for ReaderBuilder<T, C, A> {
    fn clone(&self) -> Self {
        ReaderBuilder {
            handle: self.handle.clone(),
            channel: self.channel.clone(),
            type_name: self.type_name.clone(),
            codec_name: self.codec_name.clone(),
            #[cfg(feature = "schema")]
            schema: self.schema.clone(),
            ..*self
        }
    }
}

debug_by!(ReaderBuilder<T, C, A>, |it| name: (it.handle.namespace(), &it.channel), options: it.options);
