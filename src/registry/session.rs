//! A writer's session: its channel, and the channel's entry in the registry for as long as the
//! channel exists.

use std::sync::Arc;
use std::time::Duration;

use super::table::Table;
use super::{ChannelInfo, EntryObjects, Registry};
use crate::channel::{
    self, ChannelName, ChannelWriter, Cleanup, CleanupOutcome, ControlPage, CreateError, Found, PublishError,
    RemoveError, Retention, WriterOptions, WriterState,
};
use crate::clock::Timer;
use crate::layout::{Kind, ObjectNames, Side, segment};
use crate::memory::Words;
use crate::object::{Backend, ObjectError, Sealed, if_exists};

/// A state that was published within this time is not removed.
const MIN_AGE: Duration = Duration::from_secs(60);

/// How long a writer gives heartbeats before it checks that its channel can still be found.
const CHECK_NAMES_AFTER: Duration = Duration::from_secs(1);

/// The writer of a channel that is in the registry and wakes its waiters.
pub(crate) struct Session {
    pub(crate) channel: ChannelWriter,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) name: ChannelName,
    /// The registry's objects that have the channel's entry, if any have it, and its table, as far
    /// as it was mapped to enter the channel. While it is mapped, the other writers of this process
    /// need no mapping of their own to enter a channel or to leave.
    entry: Option<(EntryObjects, Table<Words>)>,
    /// When to check the names of the channel's objects and of those.
    check: Timer,
    /// Whether an object of the channel had lost its name at the last check.
    has_lost_name: bool,
    /// Why the entry could not be made again at the last check, if its objects had lost a name.
    not_listed: Option<Arc<ObjectError>>,
}

impl Session {
    /// Opens the channel for writing, enters it in the registry, and makes it wake waiters.
    ///
    /// If an error is returned, the state that a former writer left is as it was.
    pub(crate) fn open(
        backend: &Arc<dyn Backend>,
        name: &ChannelName,
        options: &WriterOptions,
    ) -> Result<Session, CreateError> {
        Session::of(channel::open(backend, name, options)?, backend, name)
    }

    /// Creates a channel as [`channel::restore`] does, and enters it.
    pub(crate) fn restore<E: From<CreateError>>(
        backend: &Arc<dyn Backend>,
        name: &ChannelName,
        options: &WriterOptions,
        overwrite: bool,
        fill: impl FnOnce(&mut ChannelWriter) -> Result<(), E>,
    ) -> Result<Option<Session>, E> {
        let channel = channel::restore(backend, name, options, overwrite, fill)?;
        Ok(channel.map(|channel| Session::of(channel, backend, name)).transpose()?)
    }

    fn of(
        channel: ChannelWriter,
        backend: &Arc<dyn Backend>,
        name: &ChannelName,
    ) -> Result<Session, CreateError> {
        let mut session = Session::unlisted(channel, Arc::clone(backend), name.clone());
        session.enter().inspect_err(|_| session.keep_published())?;
        // The process has registered for barriers, which takes longer beside another thread.
        session.channel.ask_for_all_huge_pages();
        Ok(session)
    }

    /// Opens a sealed channel, which no registry has.
    pub(crate) fn open_sealed(name: &ChannelName, options: WriterOptions) -> Result<Session, CreateError> {
        let failed = |source| CreateError::Object { channel: name.channel.clone(), source };
        let backend: Arc<dyn Backend> = Arc::new(Sealed::create(&name.channel).map_err(failed)?);
        // Its last state is there as long as a process has the descriptor. Readers can't pin.
        let options = WriterOptions { linger: true, pins: 0, ..options };
        let channel = channel::open(&backend, name, &options)?;
        Ok(Session::unlisted(channel, backend, name.clone()))
    }

    fn unlisted(channel: ChannelWriter, backend: Arc<dyn Backend>, name: ChannelName) -> Session {
        let (entry, check, has_lost_name) = (None, Timer::new(CHECK_NAMES_AFTER), false);
        Session { channel, backend, name, entry, check, has_lost_name, not_listed: None }
    }

    /// Opens the channel again with the same options, and ends this one for its readers. An
    /// error leaves everything as it was, unless an object has lost its name: then the page gives
    /// its name up, and the next call tries again.
    pub(crate) fn reopen(&mut self) -> Result<(), CreateError> {
        if self.backend.is_sealed() {
            let problem = "a sealed channel has no name to open it again by: open a new one (`Writer::sealed`), \
                           and hand out its descriptor";
            return Err(self.failed(ObjectError::Unusable { problem: problem.into() }));
        }
        let is_whole = self.channel.has_all_names().map_err(|source| self.failed(source))?;
        if !is_whole && self.channel.owner.is_ours() {
            self.channel.claim.remove().map_err(|source| self.failed(source))?;
        }
        // A fork shares the lock of its parent, whose channel has the name.
        let copied = if self.channel.owner.is_ours() { self.channel.instance() } else { 0 };
        let options = WriterOptions { again: Some(copied), ..self.channel.options().clone() };
        let session = Session::open(&self.backend, &self.name, &options)?;
        // Dropping the former channel unlinks the names that still mean its objects. Its last state
        // does not stay: the new channel replaces it.
        self.channel.set_linger(false);
        *self = session;
        Ok(())
    }

    /// [`ChannelWriter::touch`]. Now and then it checks that the channel's objects and the registry
    /// still have their names, and enters the channel into the registry's successor.
    pub(crate) fn touch(&mut self) -> Result<(), PublishError> {
        self.channel.touch()?;
        self.check()
    }

    /// The check of [`Session::touch`], without a heartbeat.
    pub(crate) fn check(&mut self) -> Result<(), PublishError> {
        if self.check.is_due() {
            self.check_names();
        }
        let channel = || self.name.channel.clone();
        match &self.not_listed {
            _ if self.has_lost_name => Err(PublishError::NamesRemoved { channel: channel() }),
            Some(source) => {
                Err(PublishError::RegistryNotRestored { channel: channel(), source: Arc::clone(source) })
            }
            None => Ok(()),
        }
    }

    /// What can't be looked up is as it was at the last check.
    #[cold]
    fn check_names(&mut self) {
        self.has_lost_name = self.channel.has_all_names().map_or(self.has_lost_name, |has_all| !has_all);
        let entry = self.entry.as_ref().filter(|_| !self.has_lost_name);
        if let Some(is_lost) = entry.and_then(|(objects, _)| self.registry().has_lost(*objects)) {
            // Without patience: a process may be stopped while it holds the registry. The next
            // check tries again.
            let failed = if is_lost { self.register(Duration::ZERO).err() } else { None };
            self.not_listed = failed.map(Arc::new);
        }
    }

    /// Ends the channel as its options say, and removes its entry unless the channel stays. `drop`
    /// does the same, without a result.
    pub(crate) fn close(&mut self) -> Result<(), RemoveError> {
        self.channel.end()?;
        self.leave().map_err(|source| RemoveError::Entry { channel: self.channel.channel().into(), source })
    }

    /// [`Session::close`], whatever the options say: the last state stays readable.
    pub(crate) fn close_lingering(&mut self) -> Result<(), RemoveError> {
        self.channel.set_linger(true);
        self.close()
    }

    /// Ends a channel on which this writer published nothing: the state that a former writer left
    /// stays, an empty channel is removed.
    pub(crate) fn abandon(&mut self) -> Result<(), RemoveError> {
        self.keep_published();
        self.close()
    }

    fn keep_published(&mut self) {
        let has_state = self.channel.last() > 0;
        self.channel.set_linger(has_state);
    }

    fn registry(&self) -> Registry<'_> {
        Registry::of(&self.backend, &self.name.namespace)
    }

    fn failed(&self, source: ObjectError) -> CreateError {
        CreateError::Object { channel: self.channel.channel().into(), source }
    }

    /// [`Session::register`]. If the registry has many channels, removes some of dead writers.
    fn enter(&mut self) -> Result<(), CreateError> {
        let others = self.register(self.registry().patience).map_err(|source| self.failed(source))?;
        self.remove_dead(&others);
        Ok(())
    }

    /// Enters the channel into the registry's table, and lets the writer wake its waiters. Returns
    /// a few other channels, if there are many.
    fn register(&mut self, patience: Duration) -> Result<Vec<ChannelInfo>, ObjectError> {
        let (entry, page, others) = {
            let (options, registry) = (self.channel.options(), Registry { patience, ..self.registry() });
            let mut entered = registry.register(&ChannelInfo::of(&self.channel), options.registry_access)?;
            let others = entered.next_few(options.max_dead);
            ((entered.objects, entered.held.table), entered.page, others)
        };
        self.entry = Some(entry);
        // Without the page, waiters poll, as they do for writers on systems that can't wake them.
        if let Some(page) = page {
            self.channel.wake_waiters_of(page);
        }
        Ok(others)
    }

    /// Removes those of these channels whose writers have ended, unless they published lately.
    fn remove_dead(&self, suspects: &[ChannelInfo]) {
        let (backend, namespace) = (&self.backend, self.name.namespace.as_str());
        let (retention, min_age, patience) = (Retention::Nothing, MIN_AGE, Duration::ZERO);
        let cleanup = Cleanup { backend, namespace, retention, min_age, patience };
        // The lock of each decides. Most live, and are not asked.
        let is_alive = |info: &ChannelInfo| info.identity.is_alive();
        let is_removed = |info: &ChannelInfo| -> Result<bool, ObjectError> {
            let names = ObjectNames::new(namespace, &info.name);
            let objects = objects_of(backend.as_ref(), &names)?;
            if objects.is_empty() {
                // Only the entry is left.
                return Ok(info.writer_state() == WriterState::Dead);
            }
            let cleaned = cleanup.clean(&names, &Found { objects, writer: Some(info.identity) })?;
            Ok(matches!(cleaned, CleanupOutcome::Removed(Some(_))))
        };
        let dead = suspects.iter().filter(|info| !is_alive(info) && matches!(is_removed(info), Ok(true)));
        let gone: Vec<_> = dead.map(|info| (info.name.as_str(), info.instance)).collect();
        if !gone.is_empty() {
            // An entry that stays is removed by the next cleanup.
            let _ = self.registry().deregister(&gone);
        }
    }

    /// Removes the entry, unless the channel stays.
    fn leave(&mut self) -> Result<(), ObjectError> {
        // The entry belongs to the owner and not to its forks.
        let stays = self.channel.options().linger || !self.channel.owner.is_ours();
        let Some((objects, _table)) = self.entry.take().filter(|_| !stays) else { return Ok(()) };
        let left = self.registry().deregister(&[(self.channel.channel(), self.channel.instance())]);
        // A registry that took its name does not have the entry.
        left.or_else(
            |error| if self.registry().has_lost(objects) == Some(true) { Ok(()) } else { Err(error) },
        )
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // In this order: the entry is removed after the channel.
        let _ = self.channel.end();
        let _ = self.leave();
    }
}

/// The objects of a channel that exist, among those that a dead writer can have left: the channel's
/// own, the current segments behind it and their neighbours. Without a listing of all objects,
/// whose number grows with the namespace.
fn objects_of(backend: &dyn Backend, names: &ObjectNames) -> Result<Vec<String>, ObjectError> {
    let page = backend.view(&names.object(Kind::Control)).ok();
    let page = page.and_then(|page| ControlPage::validate(page).ok());
    let segments = Side::BOTH.into_iter().flat_map(|side| {
        let current = page.as_ref().and_then(|page| page.generation(side)).unwrap_or(segment::FIRST);
        // The first segments have no objects of their own.
        let first = current.saturating_sub(1).max(segment::FIRST + 1);
        let around = first..=(current + 1).min(ObjectNames::MAX_GENERATION);
        around.map(move |generation| Kind::Segment(side, generation))
    });
    let objects = segments.chain([Kind::Control]).map(|kind| names.object(kind));
    let found = objects.map(|object| Ok(if_exists(backend.size(&object))?.map(|_| object)));
    found.filter_map(Result::transpose).collect()
}
