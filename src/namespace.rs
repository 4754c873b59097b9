//! A set of channels that belong together.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::block::{self, Block, BlockBuilder, BlockError, BlockInfo};
use crate::catalog;
use crate::channel::{
    self, AttachError, ChannelName, Cleanup, Format, NameError, RemoveError, Retention, WriterOptions,
};
use crate::cleanup::{self, CleanupReport};
use crate::codec::MessagePack;
use crate::hub::{Hub, HubBuilder, Pattern};
use crate::inspect::{self, Inspection};
use crate::layout::ObjectNames;
use crate::object::{self, Backend, Heap, ObjectError, PATIENCE, SharedMemory};
use crate::reader::ReaderBuilder;
use crate::registry::{ChannelInfo, ChannelWatch, Registry};
use crate::saved::{self, RestorePolicy, RestoreReport, SaveReport, Saved, SavedError};
use crate::usage::{self, NamespaceMemory, PeakMemory};
use crate::waiting::NamespaceHandle;
use crate::writer::WriterBuilder;
#[cfg(feature = "message-pack")]
use crate::{
    channel::CreateError,
    codec::{Decode, Encode},
    reader::Reader,
    syncer::{SpawnError, Syncer},
    writer::Writer,
};

/// A set of channels that belong together: `fleet`. Processes meet by opening it under the same
/// name.
///
/// Opening a namespace has no effect on shared memory and makes no system call, unless a
/// [directory](NamespaceBuilder::directory) is given: the first writer creates its objects, and
/// [`Namespace::clean`] removes what dead processes have left.
///
/// A process maps each object of the list of channels once, for all of its writers and waiters, as
/// long as one of them uses it. If the list is removed by hand, the process keeps it mapped until
/// its writers have entered their channels in a new one ([`Writer::touch`]). No descriptor is kept.
#[derive(Clone)]
pub struct Namespace {
    handle: NamespaceHandle,
    /// What each writer begins with.
    writers: Arc<WriterOptions>,
}

/// The default of [`NamespaceBuilder::max_dead_channels`].
const MAX_DEAD: usize = 1_024;

fn default_writers() -> WriterOptions {
    WriterOptions { max_dead: MAX_DEAD, ..WriterOptions::new(Format::new("", "")) }
}

/// A group of users, by its name or its number. Texts and numbers convert into it: see
/// [`NamespaceBuilder::group`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Group {
    /// The group's name; a number as text means the number, unless a group has that name.
    Name(String),
    /// The group's numeric id.
    Id(u32),
}

impl Group {
    fn id(&self) -> Result<u32, NameError> {
        match self {
            Group::Id(id) => Ok(*id),
            Group::Name(name) => object::group_id(name)
                .or_else(|| name.parse().ok())
                .ok_or_else(|| NameError::UnknownGroup { name: name.clone() }),
        }
    }
}

impl From<&str> for Group {
    fn from(name: &str) -> Group {
        Group::Name(name.into())
    }
}

impl From<u32> for Group {
    fn from(id: u32) -> Group {
        Group::Id(id)
    }
}

/// Options of a namespace in this machine's shared memory: its place, its users, and a limit on
/// memory. Made by [`Namespace::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `open` is called"]
pub struct NamespaceBuilder {
    name: String,
    backend: SharedMemory,
    directory: Option<PathBuf>,
    writers: WriterOptions,
    group: Option<Group>,
}

setters! {
    impl[] NamespaceBuilder;

    /// The directory of the namespace's objects, instead of `/dev/shm`: a volume that containers
    /// share, or `/run/user/1000`. Namespaces of one name in two directories have nothing in
    /// common. Every process that uses the namespace gives its own path of the same directory.
    /// `/dev/shm` is the default, which is not examined.
    ///
    /// All promises hold on a tmpfs. On a disk, a store into a page may wait for the disk, and so
    /// may a reader; states are not kept over a reboot. See *Where the shared memory is* in
    /// docs/production.md.
    ///
    /// [`open`](Self::open) looks at the directory once and refuses it
    /// ([`NameError::Directory`](crate::error::NameError::Directory)) if
    ///
    /// * it doesn't exist: it is not created;
    /// * it belongs to another user than this one, root, or one that is
    ///   [trusted](Self::trust_owner);
    /// * others may write to it, and it isn't sticky, as `/tmp` is: they could remove objects;
    /// * it is on a file system whose memory is not shared or not reserved: NFS and other network
    ///   file systems, FUSE, Btrfs, bcachefs, ZFS, F2FS, NILFS2. The upper layer of an overlayfs is
    ///   not examined.
    ///
    /// A relative path begins in the working directory of the process at `open`. To remove or
    /// replace the directory while it is in use is to remove the names of its objects. A directory
    /// that replaces it, or is mounted over it, is used and not examined. The directories above it
    /// are not examined either: a user that may rename one of them can replace this one.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let fleet = tearless::Namespace::builder("fleet").directory("/run/fleet").open()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn directory(path: impl Into<PathBuf>) { directory = Some(path.into()) }

    /// Permission bits of all objects that the writers of the namespace create, its registry
    /// included, whatever the umask is. Default: `0o600`, the own user alone. Other users can read
    /// everything with `0o644`, the users of a [`group`](Self::group) with `0o640`; they have to
    /// [trust](Self::trust_owner) the owner, and poll instead of sleeping, because they can't write
    /// to the page on which waiters announce themselves.
    ///
    /// All processes that open writers must set the same value. The registry admits everyone that
    /// one of its writers admits, until the last channel ends. [`WriterBuilder::permissions`] sets
    /// other bits for one channel.
    pub fn permissions(mode: u32) { writers.access.mode = mode }

    /// The group whose users the group's bits of the [permissions](Self::permissions) admit, by
    /// name or number. Default: the process's own. The process must belong to it, or be root.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let fleet = tearless::Namespace::builder("fleet").permissions(0o640).group("metrics").open()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn group(group: impl Into<Group>) { group = Some(group.into()) }

    /// The maximum bytes of shared memory that all objects of the namespace take together. Writers
    /// that are opened through this value and its clones check it. Default: no limit. Only memory
    /// that is resident counts: [`NamespaceMemory::total`](crate::usage::NamespaceMemory::total),
    /// field `resident`.
    ///
    /// A writer of a new channel fails with
    /// [`CreateError::OverBudget`](crate::error::CreateError::OverBudget) rather than exceed the
    /// limit, a growth with [`PublishError::TooLarge`](crate::error::PublishError::TooLarge), a new
    /// block with [`BlockError::OverBudget`]. Channels and blocks that exist continue above the
    /// limit, also after a takeover. The limit is not exact: the registry takes a few pages more as
    /// channels are entered, and two processes that grow at the same moment may both find room.
    ///
    /// Every process that opens writers sets its own limit; it is not stored.
    pub fn max_memory(bytes: u64) { writers.budgets.namespace = Some(bytes) }

    /// The number of channels in the namespace from which on a new one removes old ones of dead
    /// writers. Default: 1,024. So workers that are named by their process ids, or that die by the
    /// thousand, do not fill the machine.
    ///
    /// A writer of a new channel looks at up to four others and removes those whose writers are
    /// dead. It never removes a channel of a living writer, a state that its writer left on purpose
    /// ([`WriterBuilder::linger`]), or one with a timestamp of the last minute. All processes
    /// that open writers must set the same value; `usize::MAX` removes nothing.
    pub fn max_dead_channels(channels: usize) { writers.max_dead = channels }
}

impl NamespaceBuilder {
    /// Also opens the objects of another user, given by numeric id. Call it once for each such
    /// user. Default: only objects of the own user are opened.
    ///
    /// Has no effect for an id that a user namespace, for example a container's, shows in place of
    /// all users that it does not map ([`may_be_unmapped`](crate::inspect::may_be_unmapped)): that
    /// would trust all of them. Map the owner's id into the user namespace.
    pub fn trust_owner(mut self, user: u32) -> Self {
        self.backend.trust_owner(user);
        self
    }

    /// Opens the namespace. No effect on shared memory, no system call, except to look up a group
    /// by its name, and to look at a directory.
    ///
    /// # Errors
    ///
    /// [`NameError`] if the name is empty, longer than 128 bytes, or holds control characters, if
    /// there is no such group, or if the [directory](Self::directory) is refused.
    pub fn open(mut self) -> Result<Namespace, NameError> {
        channel::check_namespace(&self.name)?;
        if let Some(directory) = &self.directory {
            let failed = |problem| NameError::Directory { namespace: self.name.clone(), problem };
            self.backend.move_to(directory).map_err(failed)?;
        }
        let mut writers = self.writers;
        writers.access.group = self.group.as_ref().map(Group::id).transpose()?;
        writers.registry_access = writers.access;
        Namespace::on(Arc::new(self.backend), &self.name, writers)
    }
}

impl Namespace {
    /// The namespace `name` in this machine's shared memory, with default options.
    ///
    /// # Errors
    ///
    /// [`NameError`] if the name is empty, longer than 128 bytes, or holds control characters.
    pub fn open(name: &str) -> Result<Namespace, NameError> {
        Namespace::builder(name).open()
    }

    /// Options for opening the namespace `name`.
    pub fn builder(name: &str) -> NamespaceBuilder {
        let (backend, writers) = (SharedMemory::default(), default_writers());
        NamespaceBuilder { name: name.into(), backend, directory: None, writers, group: None }
    }

    /// A new namespace inside this process, shared by its clones: for threads, and for tests. Two
    /// calls with the same name make two namespaces.
    ///
    /// # Errors
    ///
    /// As [`Namespace::open`].
    pub fn in_process(name: &str) -> Result<Namespace, NameError> {
        Namespace::on(Arc::new(Heap::default()), name, default_writers())
    }

    /// The same, with objects that a test can reach.
    #[cfg(test)]
    pub(crate) fn on_heap(heap: &Heap, name: &str) -> Result<Namespace, NameError> {
        Namespace::on(Arc::new(heap.clone()), name, default_writers())
    }

    fn on(backend: Arc<dyn Backend>, name: &str, writers: WriterOptions) -> Result<Namespace, NameError> {
        channel::check_namespace(name)?;
        Ok(Namespace { handle: NamespaceHandle::new(backend, name), writers: Arc::new(writers) })
    }

    /// The namespace's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.handle.namespace()
    }

    /// The directory of its objects, absolute: `/dev/shm`, or that of
    /// [`NamespaceBuilder::directory`]. `None` for a namespace [inside a
    /// process](Namespace::in_process).
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        self.backend().directory().map(Path::new)
    }

    /// What each writer of this namespace begins with.
    pub(crate) fn writers(&self) -> &WriterOptions {
        &self.writers
    }

    pub(crate) fn backend(&self) -> &Arc<dyn Backend> {
        self.handle.backend()
    }

    /// A writer with default options and the default codec, [`MessagePack`].
    ///
    /// Without the feature `message-pack` use [`Namespace::writer_builder`] and choose a codec.
    ///
    /// # Errors
    ///
    /// [`CreateError`], for example [`CreateError::AlreadyOwned`] if the channel has a writer.
    #[cfg(feature = "message-pack")]
    pub fn writer<T: ?Sized>(&self, channel: &str) -> Result<Writer<T>, CreateError>
    where
        MessagePack: Encode<T>,
    {
        self.writer_builder(channel).open()
    }

    /// Options for a writer.
    pub fn writer_builder<T: ?Sized>(&self, channel: &str) -> WriterBuilder<T, MessagePack> {
        WriterBuilder::new(Some(self.handle.clone()), channel, (*self.writers).clone())
    }

    /// A reader with default options and the default codec, [`MessagePack`]. `T` owns its data: a
    /// state that borrows can be published, and read as an owned type of the same name.
    ///
    /// Without the feature `message-pack` use [`Namespace::reader_builder`] and choose a codec.
    ///
    /// # Errors
    ///
    /// [`AttachError`], for example [`AttachError::NotFound`] if there is no such channel.
    #[cfg(feature = "message-pack")]
    pub fn reader<T>(&self, channel: &str) -> Result<Reader<T>, AttachError>
    where
        MessagePack: Decode<T>,
    {
        self.reader_builder(channel).open()
    }

    /// Options for a reader.
    pub fn reader_builder<T>(&self, channel: &str) -> ReaderBuilder<T, MessagePack> {
        ReaderBuilder::new(self.handle.clone(), channel)
    }

    /// A [`Syncer`](crate::syncer::Syncer) with the default options and the default codec,
    /// MessagePack. It owns the state, which begins as `initial`, and a thread that publishes it.
    /// For other options see [`WriterBuilder::syncer`](crate::WriterBuilder::syncer).
    ///
    /// # Errors
    ///
    /// As [`SyncerBuilder::spawn`](crate::syncer::SyncerBuilder::spawn).
    #[cfg(feature = "message-pack")]
    pub fn syncer<T>(&self, channel: &str, initial: T) -> Result<Syncer<T, MessagePack>, SpawnError>
    where
        T: Send + 'static,
        MessagePack: Encode<T>,
        Writer<T, MessagePack>: Send + 'static,
    {
        self.writer_builder(channel).syncer(initial).spawn()
    }

    /// A [block](crate::block): `bytes` zeroes of raw memory under a name, which this process owns
    /// and other processes may map. For a label, other permissions, and to open a block of another
    /// process, see [`Namespace::block_builder`].
    ///
    /// # Errors
    ///
    /// As [`BlockBuilder::create`].
    pub fn block(&self, name: &str, bytes: usize) -> Result<Block, BlockError> {
        self.block_builder(name).create(bytes)
    }

    /// Options for creating a [block](crate::block), and for opening one.
    pub fn block_builder(&self, name: &str) -> BlockBuilder {
        let WriterOptions { access, budgets, .. } = *self.writers;
        BlockBuilder::new(self.backend(), self.name(), name, access, budgets)
    }

    /// The [blocks](crate::block) of this namespace that this user may read, sorted by name, also
    /// those whose owners are dead.
    ///
    /// Cost: a listing of the namespace's directory, and mapping each block once.
    ///
    /// # Errors
    ///
    /// If shared memory can't be listed.
    pub fn blocks(&self) -> Result<Vec<BlockInfo>, ObjectError> {
        block::list(self.backend(), self.name())
    }

    /// All channels of this namespace, with default options and the default codec, [`MessagePack`].
    #[must_use]
    pub fn hub(&self) -> Hub {
        self.hub_builder().open()
    }

    /// Options for a hub.
    pub fn hub_builder(&self) -> HubBuilder {
        HubBuilder::new(self.handle.clone())
    }

    /// Removes a channel that has no writer: one whose writer lingers or was killed. Attached
    /// readers see that it was removed. `false` if there is no such channel.
    ///
    /// # Errors
    ///
    /// [`RemoveError::AlreadyOwned`] if it has a writer.
    pub fn remove_channel(&self, channel: &str) -> Result<bool, RemoveError> {
        let name = ChannelName::new(self.handle.namespace(), channel)?;
        let Some(instance) = channel::remove(self.handle.backend(), &name)? else {
            return Ok(false);
        };
        let removed = self.registry().deregister(&[(channel, instance)]);
        removed.map_err(|source| RemoveError::Entry { channel: channel.into(), source }).map(|()| true)
    }

    /// The channels of this namespace, in no particular order, as their writers entered them. Takes
    /// no lock.
    ///
    /// A channel of a dead writer stays in the list until it is removed. A channel that was just
    /// removed may still be in it.
    ///
    /// # Errors
    ///
    /// If the namespace's registry can't be opened. A namespace without channels is no error.
    pub fn channels(&self) -> Result<Vec<ChannelInfo>, ObjectError> {
        self.registry().list()
    }

    /// The channels that [`Namespace::channels`], hubs and watches don't find because the registry
    /// was removed by hand. They can be read by their names.
    /// [`Writer::touch`](crate::Writer::touch) and `publish_if_changed` list their channel again
    /// within a second, as the ticks of a [`Syncer`](crate::syncer::Syncer) do; a program that only
    /// publishes has to be restarted.
    ///
    /// Cost: lists shared memory and the registry, and maps each channel without an entry. If there
    /// is one, does all of that again, because a writer that is being opened has no entry yet; then
    /// inspects each channel that is found. A channel whose writer never wakes
    /// ([`WakeMode::Never`](crate::options::WakeMode::Never)) is found only a minute after that was
    /// opened.
    ///
    /// # Errors
    ///
    /// If shared memory or the registry can't be listed.
    pub fn unlisted_channels(&self) -> Result<Vec<Inspection>, ObjectError> {
        let names = catalog::unlisted(self.backend(), self.name())?;
        Ok(names.iter().filter_map(|name| inspect::inspect(self.backend(), name).ok()).collect())
    }

    /// Reports, at the cost of one load, whether [`Namespace::channels`] may have changed.
    #[must_use]
    pub fn watch_channels(&self) -> ChannelWatch {
        ChannelWatch::new(self.handle.backend().clone(), self.handle.namespace())
    }

    /// The memory of the namespace, by channel and by kind. Takes no lock: each object is measured
    /// at a moment of its own, and objects that are created or removed in between may or may not be
    /// included.
    ///
    /// Cost: a listing of shared memory; for each channel, mapping its object once and a system
    /// call for each object that it has.
    ///
    /// # Errors
    ///
    /// If shared memory can't be listed, or the size of an object can't be queried.
    pub fn memory(&self) -> Result<NamespaceMemory, ObjectError> {
        usage::measure(self.handle.backend(), self.handle.namespace())
    }

    /// Records the peak of [`Namespace::memory`] over all moments at which it is asked to look.
    #[must_use]
    pub fn peak_memory(&self) -> PeakMemory {
        PeakMemory::new(self.handle.backend().clone(), self.handle.namespace())
    }

    /// The contents of a channel's control page and segments at this moment, without payloads,
    /// whatever codec and type its states have. Works also after its writer died. For tools and for
    /// diagnosis.
    ///
    /// The memory may change during the inspection: see [`Inspection`]. It stores nothing and takes
    /// no lock, and the writer does not notice. As with any reader, a process that truncates an
    /// object makes this one fault.
    ///
    /// Cost: maps and unmaps the channel's objects, copies and checks the schema, and loads four
    /// words of each slot, which brings in a page for each slot of a channel of large states.
    /// Without such a channel, lists the namespace to propose names, up to 1,024. Bounded; waits
    /// only for a creator, up to 100 ms.
    ///
    /// # Errors
    ///
    /// As [`Namespace::reader`], except that codec and type name don't matter. Errors of one
    /// segment or of the schema are in [`Inspection::segments`] and [`Inspection::schema`].
    pub fn inspect(&self, channel: &str) -> Result<Inspection, AttachError> {
        let name = ChannelName::new(self.handle.namespace(), channel)?;
        inspect::inspect(self.handle.backend(), &name)
    }

    /// Removes what dead and closed writers have left in this namespace: channels that were never
    /// finished or whose objects were removed in part, objects that no channel refers to,
    /// [blocks](crate::block) whose owners are dead, and last states as far as `retention` allows.
    /// The main process of a fleet calls it when it starts.
    ///
    /// Channels with a living writer stay: a channel is changed only under its own lock, and a
    /// channel whose object was removed by hand only if its writer is known to be dead. Objects of
    /// other users stay, too, unless root trusts them. A writer that opens a channel waits while
    /// the cleanup looks at it.
    ///
    /// Cost: a listing of shared memory, and for each channel mapping its object once, about 13 µs;
    /// locks are taken only for channels that may have to be removed.
    ///
    /// # Errors
    ///
    /// If shared memory can't be listed. Errors of single objects are in [`CleanupReport::failed`].
    pub fn clean(&self, retention: Retention) -> Result<CleanupReport, ObjectError> {
        cleanup::clean(&self.cleanup(retention))
    }

    /// What [`Namespace::clean`] would remove: a dry run that changes nothing.
    ///
    /// Takes no lock. A channel that is being created, resumed or removed may be reported in an
    /// intermediate state, where `clean` would wait. The report does not contain the registry's
    /// entries that would be removed, and the registry's object, which is removed with its last
    /// entry.
    ///
    /// Cost: a listing of shared memory, and some system calls for each channel of the namespace.
    ///
    /// # Errors
    ///
    /// As [`Namespace::clean`].
    pub fn would_clean(&self, retention: Retention) -> Result<CleanupReport, ObjectError> {
        cleanup::would_clean(&self.cleanup(retention))
    }

    /// Saves channels to a file, which [`Namespace::restore`] restores after a reboot and
    /// [`Saved`] reads: those that one of the patterns matches, or all if there is none. See
    /// [`saved`](crate::saved) for what is saved, and how.
    ///
    /// Writers and readers do not notice it. At a shutdown, save when the writers have ended, or
    /// while they live: a channel that its writer removes at its end is not there to be saved.
    ///
    /// Cost: an inspection of each channel and a copy of each of its states, written to the file;
    /// memory for one state. Waits for the disk.
    ///
    /// # Errors
    ///
    /// [`SavedError::NoSuchChannel`] if a pattern matches no channel,
    /// [`SavedError::NothingToSave`] if no channel could be saved, [`SavedError::File`] if the file
    /// can't be written, [`SavedError::Busy`] if another process is writing it,
    /// [`SavedError::NoLocks`] if its file system has no locks. The former file is as it was,
    /// except if its directory can't be flushed: then the new one is there. A channel that can't be
    /// read beside others is no error: [`SaveReport::unsaved`].
    pub fn save(&self, path: impl AsRef<Path>, channels: &[Pattern]) -> Result<SaveReport, SavedError> {
        saved::save(self.backend(), self.name(), path.as_ref(), channels)
    }

    /// Restores channels from a file: those that one of the patterns matches, or all if there is
    /// none. Each is as if its writer had closed it and left its states; see
    /// [`saved`](crate::saved). The name of the namespace may be another than the file's.
    ///
    /// A channel with a living writer stays as it is, and so does the state that a writer has left,
    /// unless [`RestorePolicy::overwrite`] says otherwise. [`RestoreReport`] has the outcome of
    /// each channel; an error of one does not keep the others from being restored. If a worker
    /// opens the channel first, it keeps it. Otherwise it gets [`CreateError::AlreadyOwned`], with
    /// the id of this process, until the channel is restored. Then it can resume it.
    ///
    /// Open the namespace with the [permissions](NamespaceBuilder::permissions) and the
    /// [group](NamespaceBuilder::group) that its writers use: they are those of the registry.
    ///
    /// Cost: reads the file once more; opens and closes a writer for each channel. States are
    /// copied from the file to shared memory, without memory of their own.
    ///
    /// # Errors
    ///
    /// [`SavedError::NoSuchChannel`] if a pattern matches no channel of the file. Then nothing is
    /// restored.
    pub fn restore(
        &self,
        saved: &Saved,
        channels: &[Pattern],
        policy: RestorePolicy,
    ) -> Result<RestoreReport, SavedError> {
        saved::restore(self.backend(), self.name(), &self.writers, saved, channels, policy)
    }

    /// The prefix of the names of all objects of `channel` in shared memory; without a channel, of
    /// all objects of this namespace. It recognises objects of which only the name is known, such
    /// as removed ones in `/proc`.
    #[must_use]
    pub fn object_prefix(&self, channel: Option<&str>) -> String {
        let namespace = self.handle.namespace();
        let stem = |channel| ObjectNames::new(namespace, channel).stem().to_owned();
        channel.map_or_else(|| ObjectNames::prefix(namespace), stem)
    }

    fn registry(&self) -> Registry<'_> {
        Registry::of(self.handle.backend(), self.handle.namespace())
    }

    fn cleanup(&self, retention: Retention) -> Cleanup<'_> {
        let (backend, namespace) = (self.handle.backend(), self.handle.namespace());
        Cleanup { backend, namespace, retention, min_age: Duration::ZERO, patience: PATIENCE }
    }
}

debug_by!(Namespace<>, |it| name: it.name());
