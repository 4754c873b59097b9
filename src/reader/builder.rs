//! How a reader attaches.

use std::marker::PhantomData;
use std::time::Duration;

use super::Reader;
use crate::accept::{Accept, Candidate, SameType};
use crate::channel::{self, AttachError, AttachPolicy, ChannelName, Format, ReaderOptions, RetryPolicy};
use crate::codec::{Decode, MessagePack};
use crate::waiting::{NamespaceHandle, WaitPolicy};

/// Attempts to attach to a channel that is replaced before its schema has been read. Its writer
/// makes a dozen system calls for each replacement, the reader two.
const MAX_TRIES: usize = 16;

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
    types: Types<T, C, A>,
}

/// Values of these types come out of the reader.
type Types<T, C, A> = PhantomData<fn() -> (T, C, A)>;

impl<T> ReaderBuilder<T> {
    pub(crate) fn new(handle: NamespaceHandle, channel: &str) -> Self {
        ReaderBuilder {
            handle,
            channel: channel.into(),
            type_name: None,
            options: ReaderOptions::default(),
            wait: WaitPolicy::default(),
            types: PhantomData,
        }
    }
}

impl<T, C, A> ReaderBuilder<T, C, A> {
    /// Decodes states by another codec.
    pub fn codec<D: Decode<T>>(self) -> ReaderBuilder<T, D, A> {
        self.of_types()
    }

    /// Which channels the reader accepts: see [`accept`](crate::accept). Default: [`SameType`].
    #[expect(clippy::needless_pass_by_value, reason = "a unit struct that chooses the type")]
    pub fn accept<B>(self, accept: B) -> ReaderBuilder<T, C, B> {
        let _ = accept;
        self.of_types()
    }

    fn of_types<D, B>(self) -> ReaderBuilder<T, D, B> {
        let ReaderBuilder { handle, channel, type_name, options, wait, types: _ } = self;
        ReaderBuilder { handle, channel, type_name, options, wait, types: PhantomData }
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
    pub fn open(self) -> Result<Reader<T, C>, AttachError>
    where
        C: Decode<T>,
        A: Accept<T, C>,
    {
        let name = ChannelName::new(self.handle.namespace(), &self.channel)?;
        let expected = Format::new(C::NAME, &self.type_name.unwrap_or_else(C::type_name));
        let (channel, plan) = retry_attach(|| {
            let channel = channel::attach(self.handle.backend(), &name, &self.options)?;
            let plan = A::check(&Candidate::new(&channel, &expected))?;
            Ok((channel, plan))
        })?;
        Ok(Reader::new(channel, plan, self.handle, self.wait))
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

    /// The name that the writer gave the type of its states.
    pub fn type_name(type_name: impl Into<String>) { type_name = Some(type_name.into()) }
}

/// The result of `attach`, which is called again while the channel is removed in the course of it.
pub(crate) fn retry_attach<R>(mut attach: impl FnMut() -> Result<R, AttachError>) -> Result<R, AttachError> {
    for _ in 1..MAX_TRIES {
        match attach() {
            Err(AttachError::Removed { .. }) => {}
            result => return result,
        }
    }
    attach()
}

impl<T, C, A> Clone for ReaderBuilder<T, C, A> {
    fn clone(&self) -> Self {
        let ReaderBuilder { handle, channel, type_name, .. } = self;
        let (handle, channel, type_name) = (handle.clone(), channel.clone(), type_name.clone());
        ReaderBuilder { handle, channel, type_name, ..*self }
    }
}

debug_by!(ReaderBuilder<T, C, A>, |it| name: (it.handle.namespace(), &it.channel), options: it.options);

#[cfg(test)]
mod tests {
    use super::*;

    fn removed() -> AttachError {
        AttachError::Removed { channel: "worker".into() }
    }

    #[test]
    fn a_channel_that_was_removed_is_attached_to_again_for_a_bounded_number_of_times() {
        for failures in [0, 1, MAX_TRIES - 1, MAX_TRIES, MAX_TRIES + 1] {
            let mut tries = 0;
            let attached = retry_attach(|| {
                tries += 1;
                if tries > failures { Ok(()) } else { Err(removed()) }
            });
            assert_eq!(attached.is_ok(), failures < MAX_TRIES);
            assert_eq!(tries, MAX_TRIES.min(failures + 1));
        }
    }

    #[test]
    fn any_other_failure_is_final() {
        let mut tries = 0;
        let attached = retry_attach(|| -> Result<(), AttachError> {
            tries += 1;
            Err(AttachError::NoSchema { channel: "worker".into() })
        });
        assert!(matches!(attached, Err(AttachError::NoSchema { .. })) && tries == 1);
    }
}
