//! The writing side of a channel.

use super::description::{Description, is_abandoned, not_ours, read_identity, write_identity};
use super::options::WriterOptions;
use super::segments::Segments;
use super::{ChannelName, CreateError, PublishError, RemoveError};
use crate::checksum;
use crate::layout::{self, Geometry, Kind, ObjectNames, Publication, Side, WORD_BYTES, control};
use crate::liveness::ProcessIdentity;
use crate::memory::{Memory, MemoryMut};
use crate::segment::{Backend, Claim, ForkToken, ObjectError};
use crate::seqlock::ready::{self, Readiness};
use crate::seqlock::{Ending, Generations, Growth, Published, Writer};

/// How often opening starts again because what was found had to be cleared away.
const MOST_TRIES: usize = 16;

/// The one writer of a channel of bytes.
pub(crate) struct ChannelWriter<B: Backend> {
    pub(super) writer: Writer<ClaimedPage<B>, B::Memory>,
    pub(super) segments: Segments<B>,
    channel: String,
    options: WriterOptions,
    pub(super) owner: ForkToken,
    /// Sides whose segment is to be made as small as its next payload allows.
    shrinking: [bool; 2],
    growths: u64,
}

/// The control page, with the claim that makes this process its only writer.
pub(super) struct ClaimedPage<B: Backend>(B::Claim);

impl<B: Backend> Memory for ClaimedPage<B> {
    fn len(&self) -> usize {
        self.0.memory().len()
    }
    #[inline]
    fn load(&self, word: usize) -> u64 {
        self.0.memory().load(word)
    }
    #[inline]
    fn fence_acquire(&self) {
        self.0.memory().fence_acquire();
    }
}

impl<B: Backend> MemoryMut for ClaimedPage<B> {
    #[inline]
    fn store(&self, word: usize, value: u64) {
        self.0.memory().store(word, value);
    }
    #[inline]
    fn store_release(&self, word: usize, value: u64) {
        self.0.memory().store_release(word, value);
    }
    #[inline]
    fn fence_release(&self) {
        self.0.memory().fence_release();
    }
}

/// What a claimed control page turned out to be.
enum Found {
    /// New, or left half-made: to be created.
    Blank,
    /// A channel that this writer goes on with.
    Successor(Description),
    /// A channel that no reader of this writer's form could read, or that was being removed.
    Obsolete(Description),
}

impl<B: Backend> ChannelWriter<B> {
    /// Creates the channel, or takes over the one of a writer that closed it or died.
    pub(crate) fn open(backend: &B, name: &ChannelName, options: WriterOptions) -> Result<Self, CreateError> {
        let geometry = options.check()?;
        let object = |source| CreateError::Object { channel: name.channel.clone(), source };
        let page_name = name.objects.object(Kind::Control);
        for _ in 0..MOST_TRIES {
            let claim =
                backend.claim(&page_name, control::BYTES, options.mode, is_abandoned).map_err(|source| {
                    match source {
                        ObjectError::Claimed { .. } => CreateError::AlreadyOwned {
                            channel: name.channel.clone(),
                            pid: owner_pid(backend, &page_name),
                        },
                        source => object(source),
                    }
                })?;
            let segments =
                |instance| Segments { backend: backend.clone(), names: name.objects.clone(), instance };
            match examine(&claim, name, &options)? {
                Found::Blank => {
                    let instance =
                        getrandom::u64().map_err(|error| CreateError::NoRandomness(error.to_string()))?;
                    return Self::create(claim, name, segments(instance), options, geometry).map_err(object);
                }
                Found::Successor(description) => {
                    match Self::take_over(claim, name, segments(description.instance), options.clone()) {
                        Ok(writer) => return Ok(writer),
                        Err(claim) => {
                            destroy(&claim, &segments(description.instance)).map_err(object)?;
                        }
                    }
                }
                Found::Obsolete(description) => {
                    destroy(&claim, &segments(description.instance)).map_err(object)?;
                }
            }
        }
        Err(CreateError::AlreadyOwned { channel: name.channel.clone(), pid: owner_pid(backend, &page_name) })
    }

    /// Makes a new instance on a claimed page that was never declared ready.
    fn create(
        claim: B::Claim,
        name: &ChannelName,
        segments: Segments<B>,
        options: WriterOptions,
        geometry: Geometry,
    ) -> Result<Self, ObjectError> {
        let page = ClaimedPage::<B>(claim);
        for word in 0..control::BYTES / WORD_BYTES {
            page.store(word, 0);
        }
        let made = Self::create_sides(&segments, geometry, options.mode);
        let sides = match made {
            Ok(sides) => sides,
            Err(error) => {
                let _ = page.0.remove();
                return Err(error);
            }
        };
        let description = Description {
            instance: segments.instance,
            checksum: options.checksum,
            mode: options.mode,
            namespace: name.namespace.clone(),
            channel: name.channel.clone(),
            format: options.format.clone(),
        };
        description.write(&page);
        for side in Side::BOTH {
            Generations(&page).replace(side, sides[side.index()].generation);
        }
        let writer = Self::start(page, sides, name, segments, options, 0);
        ready::declare(writer.writer.control());
        Ok(writer)
    }

    fn create_sides(
        segments: &Segments<B>,
        geometry: Geometry,
        mode: u32,
    ) -> Result<[Growth<B::Memory>; 2], ObjectError> {
        let first = segments.create(Side::A, 1, geometry, mode)?;
        match segments.create(Side::B, 1, geometry, mode) {
            Ok(second) => Ok([first, second]),
            Err(error) => {
                let _ = segments.retire(Side::A, &first);
                Err(error)
            }
        }
    }

    /// Goes on with the channel of a writer that is gone. Gives the claim back if what it left can't be gone on with.
    fn take_over(
        claim: B::Claim,
        name: &ChannelName,
        segments: Segments<B>,
        options: WriterOptions,
    ) -> Result<Self, B::Claim> {
        let last = Published(claim.memory()).peek();
        if last > Publication::MAX.get() {
            return Err(claim);
        }
        let side = |side| {
            let generation = Generations(claim.memory()).in_force(side);
            if !(1..=ObjectNames::MOST_GENERATION).contains(&generation) {
                return None;
            }
            let found = segments.reopen(side, generation).ok()?;
            segments.remove_around(side, generation).ok()?;
            Some(found)
        };
        let (Some(a), Some(b)) = (side(Side::A), side(Side::B)) else {
            return Err(claim);
        };
        Ending::Open.store(claim.memory());
        Ok(Self::start(ClaimedPage(claim), [a, b], name, segments, options, last))
    }

    fn start(
        page: ClaimedPage<B>,
        sides: [Growth<B::Memory>; 2],
        name: &ChannelName,
        segments: Segments<B>,
        options: WriterOptions,
        last: u64,
    ) -> Self {
        write_identity(&page, ProcessIdentity::of_self());
        page.store(control::LIMIT, options.limit as u64);
        page.0.settle();
        let growths = page.load(control::GROWTHS);
        let writer = Writer::resume(page, sides, last);
        let channel = name.channel.clone();
        ChannelWriter {
            writer,
            segments,
            channel,
            options,
            owner: ForkToken::take(),
            shrinking: [false; 2],
            growths,
        }
    }

    /// Publishes `payload` and returns its number. Wait-free unless it grows.
    #[inline]
    pub(crate) fn publish(&mut self, payload: &[u8]) -> Result<u64, PublishError> {
        if !self.owner.is_ours() {
            return Err(PublishError::Forked { owner: self.owner.pid() });
        }
        if payload.len() > self.options.limit {
            return Err(self.too_large(payload.len()));
        }
        let Some(publication) = self.writer.next() else {
            return Err(PublishError::Exhausted);
        };
        let time = self.options.timestamp.now();
        let checksum = if self.options.checksum { checksum::of(publication, payload) } else { 0 };
        let side = publication.side();
        let fits = payload.len() <= self.writer.ring(side).geometry().capacity();
        if fits && !self.shrinking[side.index()] {
            self.writer.publish(publication, payload, time, checksum);
        } else {
            self.publish_resized(publication, payload, time, checksum)?;
        }
        Ok(publication.get())
    }

    /// Publishes `payload` into a new segment of a fitting size.
    #[cold]
    fn publish_resized(
        &mut self,
        publication: Publication,
        payload: &[u8],
        time: u64,
        checksum: u64,
    ) -> Result<(), PublishError> {
        let side = publication.side();
        let current = self.writer.ring(side).geometry();
        let capacity = match self.shrinking[side.index()] {
            true => payload.len().max(1),
            false => payload.len().max(current.capacity().saturating_mul(2)).min(self.options.limit),
        };
        // `options.check` made sure that even the limit has a geometry.
        let geometry =
            Geometry::fit(capacity, self.options.depth).map_err(|_| self.too_large(payload.len()))?;
        if geometry == current {
            self.shrinking[side.index()] = false;
            self.writer.publish(publication, payload, time, checksum);
            return Ok(());
        }
        let fresh = self.create_next(side, geometry)?;
        let replaced = self.writer.publish_grown(publication, fresh, payload, time, checksum);
        self.shrinking[side.index()] = false;
        self.growths += 1;
        // Relaxed, and a plain counter: this process is its only writer.
        self.writer.control().store(control::GROWTHS, self.growths);
        // Failing to remove the old name harms nobody now; the next writer or the removal of the channel repeats it.
        let _ = self.segments.retire(side, &replaced);
        Ok(())
    }

    fn create_next(&self, side: Side, geometry: Geometry) -> Result<Growth<B::Memory>, PublishError> {
        let generation = self.writer.generation(side) + 1;
        if generation > ObjectNames::MOST_GENERATION {
            return Err(PublishError::Exhausted);
        }
        // Who no longer has the name may be followed by a writer who uses the same names for its segments.
        if !self.writer.control().0.is_named() {
            return Err(PublishError::NamesRemoved);
        }
        self.segments.create(side, generation, geometry, self.options.mode).map_err(|source| {
            PublishError::Growth { channel: self.channel.clone(), bytes: geometry.object_bytes(), source }
        })
    }

    #[cold]
    fn too_large(&self, len: usize) -> PublishError {
        PublishError::TooLarge { channel: self.channel.clone(), len, limit: self.options.limit }
    }

    /// The channel's name.
    pub(crate) fn channel(&self) -> &str {
        &self.channel
    }

    /// Lets the next publication of either side go into a segment no larger than it needs.
    pub(crate) fn shrink_to_fit(&mut self) {
        self.shrinking = [true; 2];
    }

    /// Number of the last publication, 0 before the first.
    pub(crate) fn last(&self) -> u64 {
        self.writer.last()
    }

    /// Payload bytes that fit on both sides without growing.
    pub(crate) fn capacity(&self) -> usize {
        Side::BOTH.map(|side| self.writer.ring(side).geometry().capacity()).into_iter().min().unwrap_or(0)
    }

    /// Slots of the pair.
    pub(crate) fn depth(&self) -> u64 {
        Side::BOTH.map(|side| self.writer.ring(side).geometry().depth()).iter().sum()
    }

    /// Segments that were replaced by larger or smaller ones, by all writers that the channel has had.
    pub(crate) fn growths(&self) -> u64 {
        self.growths
    }

    pub(crate) fn set_linger(&mut self, linger: bool) {
        self.options.linger = linger;
    }

    /// Ends the channel as the options say. Done by `drop`, too; this way says what went wrong.
    pub(crate) fn end(&mut self) -> Result<(), ObjectError> {
        // A fork of the owner shares its memory and its lock, and must not end what the owner still uses.
        if !self.owner.is_ours() {
            return Ok(());
        }
        let page = self.writer.control();
        if self.options.linger {
            Ending::Lingering.store(page);
            return Ok(());
        }
        Ending::Removed.store(page);
        for side in Side::BOTH {
            let name = self.segments.name(side, self.writer.generation(side));
            self.segments.backend.remove(&name, self.writer.ring(side).memory())?;
        }
        page.0.remove()
    }
}

impl<B: Backend> Drop for ChannelWriter<B> {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// What stands on a page that this process has just claimed.
fn examine<C: Claim>(claim: &C, name: &ChannelName, options: &WriterOptions) -> Result<Found, CreateError> {
    let page = claim.memory();
    match ready::check(page) {
        Readiness::NotReady => return Ok(Found::Blank),
        Readiness::Ready => {}
        Readiness::OtherVersion(found) => {
            let channel = name.channel.clone();
            return Err(CreateError::LayoutVersion { channel, found, expected: layout::VERSION });
        }
        Readiness::Foreign(found) => {
            let object = name.objects.object(Kind::Control);
            let source = ObjectError::Foreign { object, reason: not_ours(found) };
            return Err(CreateError::Object { channel: name.channel.clone(), source });
        }
    }
    let description = Description::read(page);
    if let Some(other) = description.collides_with(name) {
        let channel = format!("{}/{}", name.namespace, name.channel);
        return Err(CreateError::NameCollision { channel, other });
    }
    let same_form = description.format.fingerprint == options.format.fingerprint
        && description.checksum == options.checksum
        && description.mode == options.mode
        // Its times are those of another clock, and whoever kept it may have kept half of it.
        && read_identity(page).other_boot().is_none();
    match Ending::load(page) {
        Ending::Open | Ending::Lingering if same_form => Ok(Found::Successor(description)),
        _ => Ok(Found::Obsolete(description)),
    }
}

/// Removes a claimed channel and tells attached readers.
fn destroy<B: Backend>(claim: &B::Claim, segments: &Segments<B>) -> Result<(), ObjectError> {
    let page = claim.memory();
    Ending::Removed.store(page);
    for side in Side::BOTH {
        let generation = Generations(page).in_force(side);
        if (1..=ObjectNames::MOST_GENERATION).contains(&generation) {
            segments.backend.remove_leftover(&segments.name(side, generation))?;
        }
        segments.remove_around(side, generation)?;
    }
    claim.remove()
}

/// Removes a channel that nobody writes; `false` if there is none.
pub(crate) fn remove<B: Backend>(backend: &B, name: &ChannelName) -> Result<bool, RemoveError> {
    let page_name = name.objects.object(Kind::Control);
    let object = |source| RemoveError::Object { channel: name.channel.clone(), source };
    let claim = match backend.claim_existing(&page_name, control::BYTES, is_abandoned) {
        Ok(claim) => claim,
        Err(ObjectError::NotFound { .. }) => return Ok(false),
        Err(ObjectError::Claimed { .. }) => {
            let pid = owner_pid(backend, &page_name);
            return Err(RemoveError::AlreadyOwned { channel: name.channel.clone(), pid });
        }
        Err(source) => return Err(object(source)),
    };
    if matches!(ready::check(claim.memory()), Readiness::Foreign(_) | Readiness::OtherVersion(_)) {
        let reason = "it is not a control page of this version".into();
        return Err(object(ObjectError::Foreign { object: page_name, reason }));
    }
    let description = Description::read(claim.memory());
    let is_ready = ready::check(claim.memory()) == Readiness::Ready;
    if is_ready && description.collides_with(name).is_some() {
        return Ok(false);
    }
    let instance = description.instance;
    let segments = Segments { backend: backend.clone(), names: name.objects.clone(), instance };
    destroy(&claim, &segments).map_err(object)?;
    Ok(true)
}

/// The pid that the claimed page of another writer names; 0 if it names none yet.
fn owner_pid<B: Backend>(backend: &B, page_name: &str) -> u64 {
    match backend.view(page_name) {
        Ok(page) if page.len() > control::PID => page.load(control::PID),
        _ => 0,
    }
}
