//! What a hub is to be like.

use std::any::TypeId;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::Hub;
use super::attached::{Schemas, Shared};
use crate::channel::{AttachPolicy, ReaderOptions, RetryPolicy};
use crate::health::Thresholds;
use crate::waiting::{NamespaceHandle, WaitPolicy};

/// How long a channel is waited for that is just being made. Longer than that takes only who was stopped or killed in it.
const NOT_READY: Duration = Duration::from_millis(1);

/// Chooses what a [`Hub`] is like. Made by [`Namespace::hub_builder`](crate::Namespace::hub_builder).
#[must_use = "a builder does nothing until `open` is called"]
pub struct HubBuilder<C> {
    handle: NamespaceHandle,
    retry: RetryPolicy,
    wait: WaitPolicy,
    thresholds: Thresholds,
    type_names: Schemas,
    codec: PhantomData<fn() -> C>,
}

impl<C> HubBuilder<C> {
    pub(crate) fn new(handle: NamespaceHandle) -> Self {
        HubBuilder {
            handle,
            retry: RetryPolicy::default(),
            wait: WaitPolicy::default(),
            thresholds: Thresholds::default(),
            type_names: Schemas::new(),
            codec: PhantomData,
        }
    }

    /// Decodes states by another codec. A hub has handles for others, too: [`Hub::with_codec`].
    pub fn codec<D>(self) -> HubBuilder<D> {
        let HubBuilder { handle, retry, wait, thresholds, type_names, .. } = self;
        HubBuilder { handle, retry, wait, thresholds, type_names, codec: PhantomData }
    }

    /// How often and how long a query tries again when a writer is faster.
    pub fn retry_policy(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// How [`HubWatch::wait_any`](crate::hub::HubWatch::wait_any) waits.
    pub fn wait_policy(mut self, wait: WaitPolicy) -> Self {
        self.wait = wait;
        self
    }

    /// A state is [`Health::Fresh`](crate::hub::Health::Fresh) if it is no older than this. Default: three times the interval
    /// that the channel's writer promises, or a second if it promises none.
    pub fn fresh_within(mut self, max_age: Duration) -> Self {
        self.thresholds.fresh_within = Some(max_age);
        self
    }

    /// A living writer is [`Health::Stalled`](crate::hub::Health::Stalled) when its last sign of life (a
    /// publication, a heartbeat, or the opening of the channel) is older than this. Default: three
    /// times the interval that it promises. A writer that promises none is by default never stalled,
    /// unless it is stopped, and with this limit not before the channel's first publication.
    pub fn stalled_after(mut self, max_age: Duration) -> Self {
        self.thresholds.stalled_after = Some(max_age);
        self
    }

    /// Gives type `T` the name that its writers have given it ([`WriterBuilder::type_name`](crate::WriterBuilder)).
    pub fn type_name<T: 'static>(mut self, type_name: impl Into<String>) -> Self {
        self.type_names.insert(TypeId::of::<T>(), type_name.into());
        self
    }

    /// The hub. Opens nothing: the namespace need not exist yet.
    #[must_use]
    pub fn open(self) -> Hub<C> {
        let attach = AttachPolicy::default().not_ready(NOT_READY);
        let options = ReaderOptions { attach, retry: self.retry, format: None };
        let shared = Shared::new(self.handle, options, self.wait, self.thresholds, self.type_names);
        Hub { shared: Arc::new(shared), codec: PhantomData }
    }
}

impl<C> fmt::Debug for HubBuilder<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("HubBuilder")
            .field("namespace", &self.handle.namespace())
            .finish_non_exhaustive()
    }
}
