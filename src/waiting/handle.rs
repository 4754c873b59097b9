//! Where the channels of a namespace are, for whoever opens or waits for one.

use std::sync::Arc;

#[cfg(feature = "async")]
use super::Notifier;
use super::{WaitPolicy, Waiter};
use crate::object::Backend;

/// A namespace: the backend with its objects, its name, and what sleeps for its streams.
#[derive(Clone, Debug)]
pub(crate) struct NamespaceHandle {
    backend: Arc<dyn Backend>,
    namespace: Arc<str>,
    #[cfg(feature = "async")]
    notifier: Arc<Notifier>,
}

impl NamespaceHandle {
    pub(crate) fn new(backend: Arc<dyn Backend>, namespace: &str) -> NamespaceHandle {
        NamespaceHandle {
            #[cfg(feature = "async")]
            notifier: Arc::new(Notifier::new(backend.clone(), namespace)),
            backend,
            namespace: namespace.into(),
        }
    }

    pub(crate) fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Somebody who waits for channels here.
    pub(crate) fn waiter(&self, policy: WaitPolicy) -> Waiter {
        Waiter::new(self.backend.clone(), &self.namespace, policy)
    }

    /// What sleeps for streams: one for all clones.
    #[cfg(feature = "async")]
    pub(crate) fn notifier(&self) -> &Arc<Notifier> {
        &self.notifier
    }
}
