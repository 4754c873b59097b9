//! A set of channels that belong together.

use std::sync::Arc;
use std::time::Duration;

use crate::channel::{self, AttachError, ChannelName, NameError, RemoveError, Retention};
use crate::cleanup::{self, CleanupReport};
use crate::codec::Postcard;
use crate::hub::{Hub, HubBuilder};
use crate::inspect::{self, Inspection};
use crate::object::{Backend, Heap, ObjectError, PATIENCE, SharedMemory};
use crate::reader::ReaderBuilder;
use crate::registry::{self, ChannelInfo, ChannelWatch};
use crate::usage::{self, NamespaceMemory, PeakMemory};
use crate::waiting::NamespaceHandle;
use crate::writer::WriterBuilder;
#[cfg(feature = "postcard")]
use crate::{
    channel::CreateError,
    codec::{Decode, Encode},
    reader::Reader,
    writer::Writer,
};

/// A set of channels that belong together: `fleet`. The processes that want to meet open it under the same name.
///
/// Opening one creates nothing, and removes what processes that died have left unusable: see [`NamespaceBuilder`].
#[derive(Clone, Debug)]
pub struct Namespace {
    handle: NamespaceHandle,
    cleaned: Arc<CleanupReport>,
    budget: Option<u64>,
}

/// Chooses how a namespace of this machine's shared memory is opened: which other users are trusted, and what of those
/// who are gone is removed.
#[derive(Clone, Debug)]
#[must_use = "nothing is opened before `open`"]
pub struct NamespaceBuilder {
    name: String,
    backend: SharedMemory,
    keep: Retention,
    clean: bool,
    budget: Option<u64>,
}

impl NamespaceBuilder {
    /// Trusts the objects of another user, too, given by numeric id. Default: only one's own.
    pub fn trust_owner(mut self, user: u32) -> Self {
        self.backend.trust_owner(user);
        self
    }

    /// How long last states of writers that are gone are kept by the cleaning when the namespace is opened. Default:
    /// until they are replaced, so that only what nobody can use any more is removed.
    pub fn keep(mut self, keep: Retention) -> Self {
        self.keep = keep;
        self
    }

    /// Bytes of shared memory that all objects of the namespace may take together, by the writers that are opened
    /// through this value and its clones. Default: as much as there is. What counts is what has memory, as
    /// [`NamespaceMemory::total`](crate::usage::NamespaceMemory::total) tells it as `resident`.
    ///
    /// What would go beyond it is not created: opening a writer of a new channel fails with
    /// [`CreateError::OverBudget`](crate::error::CreateError::OverBudget), growth with
    /// [`PublishError::TooLarge`](crate::error::PublishError::TooLarge). What exists goes on, also where it is above the budget
    /// already; a channel that a former writer left is gone on with. Not kept: the registry takes its few pages as there
    /// are entries; and two processes that grow at the same moment may each find room, so that the namespace is above
    /// its budget by one growth of each.
    ///
    /// The budget is not written down: every process that opens writers gives its own.
    pub fn max_memory(mut self, bytes: u64) -> Self {
        self.budget = Some(bytes);
        self
    }

    /// Opens the namespace as it is, without cleaning it: for the workers of a large fleet, whose main process has done
    /// so, and for those who only look.
    pub fn without_cleaning(mut self) -> Self {
        self.clean = false;
        self
    }

    /// Opens the namespace, and cleans it as [`Namespace::clean`] does, except that it waits for nobody. What it did is
    /// in [`Namespace::cleaned_at_open`]; what it could not do is no reason not to open.
    ///
    /// Cost of the cleaning: a listing of shared memory, and for each channel in the namespace mapping its control page
    /// once, about 13 µs; locks are taken only for what is out of order or may have to go.
    ///
    /// # Errors
    ///
    /// [`NameError`] if the name is empty, longer than 128 bytes, or holds control characters.
    pub fn open(self) -> Result<Namespace, NameError> {
        let namespace =
            Namespace { budget: self.budget, ..Namespace::on(Arc::new(self.backend), &self.name)? };
        if !self.clean {
            return Ok(namespace);
        }
        let cleaned = namespace.clean_within(self.keep, Duration::ZERO);
        let cleaned =
            cleaned.unwrap_or_else(|error| CleanupReport { failed: vec![error], ..CleanupReport::default() });
        Ok(Namespace { cleaned: Arc::new(cleaned), ..namespace })
    }
}

impl Namespace {
    /// The namespace `name` in this machine's shared memory, all options at their defaults.
    ///
    /// Cost: see [`NamespaceBuilder::open`]; a namespace is opened once and kept.
    ///
    /// # Errors
    ///
    /// [`NameError`] if the name is empty, longer than 128 bytes, or holds control characters.
    pub fn open(name: &str) -> Result<Namespace, NameError> {
        Namespace::builder(name).open()
    }

    /// Chooses how the namespace `name` is opened.
    pub fn builder(name: &str) -> NamespaceBuilder {
        NamespaceBuilder {
            name: name.into(),
            backend: SharedMemory::default(),
            keep: Retention::UntilReplaced,
            clean: true,
            budget: None,
        }
    }
}

impl Namespace {
    /// A new namespace inside this process, which its clones share: for threads, and for tests. Two calls with the same
    /// name make two namespaces.
    ///
    /// # Errors
    ///
    /// As [`Namespace::open`].
    pub fn in_process(name: &str) -> Result<Namespace, NameError> {
        Namespace::on(Arc::new(Heap::new()), name)
    }

    /// The same, of objects that a test has a hand on.
    #[cfg(test)]
    pub(crate) fn on_heap(heap: &Heap, name: &str) -> Result<Namespace, NameError> {
        Namespace::on(Arc::new(heap.clone()), name)
    }

    fn on(backend: Arc<dyn Backend>, name: &str) -> Result<Namespace, NameError> {
        channel::check_namespace(name)?;
        Ok(Namespace { handle: NamespaceHandle::new(backend, name), cleaned: Arc::default(), budget: None })
    }

    /// The namespace's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.handle.namespace()
    }

    pub(crate) fn backend(&self) -> &Arc<dyn Backend> {
        self.handle.backend()
    }

    /// What was removed when the namespace was opened.
    #[must_use]
    pub fn cleaned_at_open(&self) -> &CleanupReport {
        &self.cleaned
    }

    /// A writer with all options at their defaults and the default codec, Postcard.
    ///
    /// # Errors
    ///
    /// [`CreateError`], for example [`CreateError::AlreadyOwned`] if the channel has a writer.
    #[cfg(feature = "postcard")]
    pub fn writer<T: ?Sized>(&self, channel: &str) -> Result<Writer<T, Postcard>, CreateError>
    where
        Postcard: Encode<T>,
    {
        self.writer_builder(channel).open()
    }

    /// Chooses what a writer is like before it is opened.
    pub fn writer_builder<T: ?Sized>(&self, channel: &str) -> WriterBuilder<T, Postcard> {
        WriterBuilder::new(self.handle.backend().clone(), self.handle.namespace(), channel)
            .namespace_budget(self.budget)
    }

    /// A reader with all options at their defaults and the default codec, Postcard. `T` owns its data: a state that
    /// borrows can be published, and read as an owned one of the same type name.
    ///
    /// # Errors
    ///
    /// [`AttachError`], for example [`AttachError::NotFound`] if there is no such channel.
    #[cfg(feature = "postcard")]
    pub fn reader<T>(&self, channel: &str) -> Result<Reader<T, Postcard>, AttachError>
    where
        Postcard: Decode<T>,
    {
        self.reader_builder(channel).open()
    }

    /// Chooses what a reader is like before it is opened.
    pub fn reader_builder<T>(&self, channel: &str) -> ReaderBuilder<T, Postcard> {
        ReaderBuilder::new(self.handle.clone(), channel)
    }

    /// All channels of this namespace at a glance, with all options at their defaults and the default codec, Postcard.
    #[must_use]
    pub fn hub(&self) -> Hub<Postcard> {
        self.hub_builder().open()
    }

    /// Chooses what a hub is like before it is opened.
    pub fn hub_builder(&self) -> HubBuilder<Postcard> {
        HubBuilder::new(self.handle.clone())
    }

    /// Removes a channel that nobody writes any more: what a writer left that lingers, or was killed. Attached readers
    /// learn of it. `false` if there is no such channel.
    ///
    /// # Errors
    ///
    /// [`RemoveError::AlreadyOwned`] if it has a writer.
    pub fn remove_channel(&self, channel: &str) -> Result<bool, RemoveError> {
        let name = ChannelName::new(self.handle.namespace(), channel)?;
        let Some(instance) = channel::remove(self.handle.backend(), &name)? else {
            return Ok(false);
        };
        registry::deregister(
            self.handle.backend(),
            self.handle.namespace(),
            &[(channel, instance)],
            PATIENCE,
        )
        .map_err(|source| RemoveError::Object { channel: channel.into(), source })?;
        Ok(true)
    }

    /// The channels of this namespace, in no particular order, as their writers entered them. Takes no lock.
    ///
    /// A channel of a dead writer stays in the list until it is removed. One that was just removed may still be in it.
    ///
    /// # Errors
    ///
    /// If the namespace's registry can't be opened. A namespace without channels is no error.
    pub fn channels(&self) -> Result<Vec<ChannelInfo>, ObjectError> {
        registry::list(self.handle.backend(), self.handle.namespace())
    }

    /// Notices, for the price of a load, that [`Namespace::channels`] would say something else than before.
    #[must_use]
    pub fn watch_channels(&self) -> ChannelWatch {
        ChannelWatch::new(self.handle.backend().clone(), self.handle.namespace())
    }

    /// What the namespace costs, by channel and by kind. Takes no lock; every object is told as it was when it was looked
    /// at, and who comes or goes meanwhile may or may not be in it.
    ///
    /// Cost: a listing of shared memory, and for each channel mapping its control page once and a system call for each
    /// of its objects.
    ///
    /// # Errors
    ///
    /// If shared memory can't be listed, or the system does not tell an object's size.
    pub fn memory(&self) -> Result<NamespaceMemory, ObjectError> {
        usage::measure(self.handle.backend(), self.handle.namespace())
    }

    /// Remembers the most that [`Namespace::memory`] has told at any of the moments at which it was asked to look.
    #[must_use]
    pub fn peak_memory(&self) -> PeakMemory {
        PeakMemory::new(self.handle.backend().clone(), self.handle.namespace())
    }

    /// All that stands in a channel's control page and segments at this moment, without any payload: whatever codec and
    /// type its states have, and also after its writer died. For tools, and for looking at what is wrong.
    ///
    /// It is a look at memory that may be changing: see [`Inspection`]. Nothing is stored, no lock is taken, and the
    /// writer does not notice. As for any reader, who truncates an object meanwhile makes the look fault.
    ///
    /// Cost: maps and unmaps the channel's three objects, and its schema's, which is copied and checked; and loads four words of each slot, which brings a page for each
    /// slot of a channel of large states. Bounded; waits only for a creator that is at work, up to 100 ms.
    ///
    /// # Errors
    ///
    /// As [`Namespace::reader`], except that codec and type name don't matter. What is wrong with a segment or with the
    /// schema alone is in [`Inspection::segments`] and [`Inspection::schema`].
    pub fn inspect(&self, channel: &str) -> Result<Inspection, AttachError> {
        let name = ChannelName::new(self.handle.namespace(), channel)?;
        inspect::inspect(self.handle.backend(), &name)
    }

    /// Removes what writers that are gone have left in this namespace: channels that were never whole or are not wholly
    /// there any more, objects that no channel refers to, and last states as far as `keep` says so. Never anything that
    /// lives: a channel is changed only under its own lock, and one whose control page was removed by hand only if its
    /// writer is known to be dead. Objects of other users are left alone.
    ///
    /// For the moment in which a channel is looked at, a writer that wants to take it over waits.
    ///
    /// Cost: a listing of shared memory, and some system calls for each channel of the namespace.
    ///
    /// # Errors
    ///
    /// If shared memory can't be listed. What goes wrong with one object is in [`CleanupReport::failed`].
    pub fn clean(&self, keep: Retention) -> Result<CleanupReport, ObjectError> {
        self.clean_within(keep, PATIENCE)
    }

    /// What [`Namespace::clean`] would remove, without removing or changing anything: of `removed` in what it returns, read
    /// "would be removed".
    ///
    /// Takes no lock. So a channel that is just being made, taken over or removed may be told as it is between two steps,
    /// where `clean` would wait for the end of it. Not foreseen are the registry's entries that would be struck, and the
    /// registry's object, which goes with its last entry.
    ///
    /// [`Namespace::open`] has already cleaned, and keeps last states. So a dry run needs a namespace that was opened
    /// without that: `Namespace::builder(name).open()`.
    ///
    /// Cost: a listing of shared memory, and some system calls for each channel of the namespace.
    ///
    /// # Errors
    ///
    /// As [`Namespace::clean`].
    pub fn would_clean(&self, keep: Retention) -> Result<CleanupReport, ObjectError> {
        cleanup::would_clean(self.handle.backend(), self.handle.namespace(), keep)
    }

    fn clean_within(&self, keep: Retention, patience: Duration) -> Result<CleanupReport, ObjectError> {
        cleanup::clean(self.handle.backend(), self.handle.namespace(), keep, patience)
    }
}
