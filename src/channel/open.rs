//! Opening a channel for writing: a new channel, one that a former writer left, or one that
//! replaces it.

use std::sync::Arc;

use super::cleanup::{collision, destroy, owner_pid};
use super::control_page::{ControlHeader, ControlPage, PageProblem, is_abandoned};
use super::options::{SchemaMark, WriterOptions};
use super::segments::{FirstSegments, Segments};
use super::writer::{ChannelWriter, CurrentSegments};
use super::{ChannelName, CreateError};
use crate::layout::{self, Kind, ObjectNames, PAGE_BYTES, Publication, Side, WORD_BYTES, control, segment};
use crate::memory::{Memory, MemoryMut, Words};
use crate::object::{Access, Backend, Claim, ClaimOptions, ObjectError, Size};
use crate::seqlock::{ChannelState, Segment};

/// Attempts to open, each of which first removes a channel that can't be resumed.
const MAX_TRIES: usize = 16;

/// Contents of a claimed control page.
enum Existing {
    /// New, or half-made: to create.
    Blank,
    /// A channel that this writer resumes, with the access that its objects get.
    Resumable(ControlPage<Words>, Access),
    /// A channel of another format, or one that was being removed.
    Replaceable(ControlPage<Words>),
}

/// One attempt to open a channel for writing.
struct Opening<'a> {
    backend: &'a Arc<dyn Backend>,
    name: &'a ChannelName,
    options: &'a WriterOptions,
    first: FirstSegments,
}

/// Creates the channel with what `fill` publishes on it, all of which becomes visible at once;
/// `None` if there is one whose writer has ended, with a state, which only `overwrite` replaces.
///
/// After an error, nothing of the new channel is left.
pub(crate) fn restore<E: From<CreateError>>(
    backend: &Arc<dyn Backend>,
    name: &ChannelName,
    options: &WriterOptions,
    overwrite: bool,
    fill: impl FnOnce(&mut ChannelWriter) -> Result<(), E>,
) -> Result<Option<ChannelWriter>, E> {
    let first = options.check(&name.channel, false)?;
    let created = Opening { backend, name, options, first }.create_where_free(overwrite)?;
    let Some(mut writer) = created else { return Ok(None) };
    // Dropped, it removes the channel, which no reader has seen.
    fill(&mut writer)?;
    writer.writer.control().declare_ready();
    Ok(Some(writer))
}

/// Creates the channel, or takes over the one of a writer that closed it or died.
pub(crate) fn open(
    backend: &Arc<dyn Backend>,
    name: &ChannelName,
    options: &WriterOptions,
) -> Result<ChannelWriter, CreateError> {
    let first = options.check(&name.channel, backend.is_sealed())?;
    Opening { backend, name, options, first }.open()
}

impl Opening<'_> {
    fn open(&self) -> Result<ChannelWriter, CreateError> {
        for _ in 0..MAX_TRIES {
            let claim = self.claim()?;
            let page = match self.examine(claim.as_ref())? {
                Existing::Blank => match self.create(claim)? {
                    Some(writer) => {
                        writer.writer.control().declare_ready();
                        return Ok(writer);
                    }
                    None => continue,
                },
                Existing::Replaceable(page) => page,
                Existing::Resumable(page, access) => {
                    let segments = self.segments(page.instance());
                    match self.current_segments(&page, &segments)? {
                        Some(current) => {
                            self.require_huge_pages(claim.memory(), Kind::Control)?;
                            for (side, Segment { generation, ring }) in Side::BOTH.iter().zip(&current.sides)
                            {
                                if *generation != segment::FIRST {
                                    self.require_huge_pages(
                                        ring.memory(),
                                        Kind::Segment(*side, *generation),
                                    )?;
                                }
                            }
                            return Ok(self.take_over(claim, &page, current, segments, access));
                        }
                        None => page,
                    }
                }
            };
            self.replace(claim.as_ref(), &page)?;
        }
        Err(self.already_owned())
    }

    /// A new channel that is not ready yet; `None` if there is one that has to stay.
    fn create_where_free(&self, overwrite: bool) -> Result<Option<ChannelWriter>, CreateError> {
        for _ in 0..MAX_TRIES {
            let claim = self.claim()?;
            let page = match self.examine(claim.as_ref())? {
                Existing::Blank => match self.create(claim)? {
                    Some(writer) => return Ok(Some(writer)),
                    None => continue,
                },
                Existing::Resumable(page, _) | Existing::Replaceable(page) => page,
            };
            // No reader of this boot gets the state of another one.
            let has_state = page.state() != ChannelState::Removed
                && page.publication() != 0
                && page.owner().other_boot().is_none();
            if has_state && !overwrite {
                return Ok(None);
            }
            self.replace(claim.as_ref(), &page)?;
        }
        Err(self.already_owned())
    }

    fn claim(&self) -> Result<Box<dyn Claim>, CreateError> {
        // An existing channel's object has the size that its creator gave it.
        let options = ClaimOptions::create(Size::AtLeast(PAGE_BYTES));
        let claim = self.backend.claim(&self.page_name(), options, &|page| is_abandoned(page));
        claim.map_err(|source| match self.backend.view(&self.page_name()).map(ControlPage::validate) {
            // Another version's page may have another size, too.
            Ok(Err(PageProblem::OtherVersion(found))) | Err(ObjectError::OtherVersion { found, .. }) => {
                self.other_version(found)
            }
            _ if !matches!(source, ObjectError::Claimed { .. }) => self.failed(source),
            _ => match collision(self.backend, self.name) {
                Some(other) => self.collides_with(other),
                None => self.already_owned(),
            },
        })
    }

    fn other_version(&self, found: u64) -> CreateError {
        CreateError::LayoutVersion { channel: self.name.channel.clone(), found, expected: layout::VERSION }
    }

    /// The access that the page has, and the one that all objects of the channel get: the writer's
    /// permissions, and the group that the page has. An error if the page is another user's: no
    /// reader could read a channel whose objects belong to two users.
    fn access_of(&self, claim: &dyn Claim) -> Result<(Access, Access), CreateError> {
        let status = claim.status().map_err(|source| self.failed(source))?;
        status.must_be_ours(&self.backend.path(&self.page_name())).map_err(|source| self.failed(source))?;
        Ok((status.access(), Access { mode: self.options.access.mode, group: Some(status.group) }))
    }

    fn collides_with(&self, other: String) -> CreateError {
        let channel = format!("{}/{}", self.name.namespace, self.name.channel);
        CreateError::NameCollision { channel, other }
    }

    /// Examines the page that this process has just claimed.
    fn examine(&self, claim: &dyn Claim) -> Result<Existing, CreateError> {
        let name = self.name;
        let page = match ControlPage::validate(claim.memory().clone()) {
            Ok(page) => page,
            Err(PageProblem::NotReady) => return Ok(Existing::Blank),
            Err(PageProblem::OtherVersion(found)) => return Err(self.other_version(found)),
            Err(problem) => return Err(self.failed(problem.foreign(self.backend.path(&self.page_name())))),
        };
        let header = page.header();
        if let Some(other) = header.collides_with(name) {
            return Err(self.collides_with(other));
        }
        if let Some(refusal) = self.refusal(page.state(), &header) {
            return Err(refusal);
        }
        let is_ended = page.state() == ChannelState::Removed;
        // A copy of the channel that is opened again has its name, and no process holds the copy.
        let is_copy = self.options.again == Some(page.instance());
        if !is_ended && !is_copy && self.options.again.is_some() {
            return Err(self.already_owned());
        }
        let (_, access) = self.access_of(claim)?;
        let wanted = self.options.access.admitted_group();
        let has_group = wanted.is_none() || wanted == access.group;
        match !is_ended && !is_copy && has_group && self.has_same_format(&page, &header) {
            true => Ok(Existing::Resumable(page, access)),
            false => Ok(Existing::Replaceable(page)),
        }
    }

    /// Why the channel has to stay although no process writes it: it mirrors one of another host,
    /// or this writer would be a mirror. A mirrored channel that was closed is free.
    fn refusal(&self, state: ChannelState, header: &ControlHeader) -> Option<CreateError> {
        let channel = || self.name.channel.clone();
        match (&header.mirrored, &self.options.mirrored) {
            _ if state == ChannelState::Removed => None,
            (Some(_), _) if state != ChannelState::Open => None,
            (Some(there), Some(wanted)) if there.host == wanted.host => None,
            (Some(there), _) => Some(CreateError::Mirrored { channel: channel(), host: there.host.clone() }),
            (None, Some(_)) => Some(CreateError::NotMirrored { channel: channel() }),
            (None, None) => None,
        }
    }

    fn has_same_format(&self, page: &ControlPage<Words>, header: &ControlHeader) -> bool {
        let options = self.options;
        header.format.fingerprint == options.format.fingerprint
            && header.checksum == options.checksum
            && page.pins() == options.pins
            && header.mode == options.access.mode
            && header.schema == self.mark()
            && header.features_required == self.features()
            && header.mirrored == options.mirrored
            // The timestamps of another boot belong to another clock, and a copy of its objects may
            // be incomplete.
            && page.owner().other_boot().is_none()
    }

    /// Makes a new instance in a claimed object that was never declared ready, and leaves that to
    /// the caller; `None` if it is larger than this channel needs: a creator died there, and it is
    /// removed.
    fn create(&self, mut claim: Box<dyn Claim>) -> Result<Option<ChannelWriter>, CreateError> {
        // Before anything is changed: another user may have left a half-made object, which stays.
        let made = self.access_of(claim.as_ref()).and_then(|(found, access)| {
            let instance = getrandom::u64()
                .map_err(|error| CreateError::NoRandomness(self.name.channel.clone(), error.to_string()))?;
            let group = self.options.access.admitted_group().or(access.group);
            let access = Access { group, ..access };
            if access != found {
                claim.set_access(self.options.access).map_err(|source| self.failed(source))?;
            }
            let bytes = claim.memory().len() * WORD_BYTES;
            if bytes > self.backend.memory_of(self.first.object_bytes()) {
                claim.remove().map_err(|source| self.failed(source))?;
                return Ok(None);
            }
            // A creator that died may have left anything.
            (0..claim.memory().len()).for_each(|word| claim.memory().store(word, 0));
            self.afford(bytes)?;
            claim.grow(self.first.object_bytes()).map_err(|source| self.failed(source))?;
            self.require_huge_pages(claim.memory(), Kind::Control)?;
            let capacities = self.reserve(claim.as_ref()).map_err(|source| self.failed(source))?;
            Ok(Some((instance, access, capacities)))
        });
        let (instance, access, capacities) = match made {
            Ok(Some(made)) => made,
            Ok(None) => return Ok(None),
            Err(error @ CreateError::Object { source: ObjectError::NotOwner { .. }, .. }) => {
                return Err(error);
            }
            Err(error) => {
                let _ = claim.remove();
                return Err(error);
            }
        };
        let page = ControlPage::create(claim.memory().clone(), &self.header(instance), self.first);
        if let Some(schema) = &self.options.schema {
            page.write_schema(schema.bytes());
        }
        let segments = self.segments(instance);
        let Some(mut current) = self.current_segments(&page, &segments)? else { return Ok(None) };
        if let Some(capacities) = capacities {
            for (segment, capacity) in current.sides.iter_mut().zip(capacities) {
                segment.ring = segment.ring.with_capacity(capacity);
            }
        }
        let options = WriterOptions { access, ..self.options.clone() };
        Ok(Some(ChannelWriter::begin(claim, page, current, self.name, segments, options)))
    }

    /// Reserves what a new sealed channel needs: the page, and the slots for payloads that fit
    /// without growing. The capacity of each side's slots then.
    fn reserve(&self, claim: &dyn Claim) -> Result<Option<[usize; 2]>, ObjectError> {
        if !self.backend.is_sealed() {
            return Ok(None);
        }
        claim.reserve(0, self.first.start * WORD_BYTES)?;
        let mut capacities = [0; 2];
        for side in Side::BOTH {
            capacities[side.index()] = self.first.reserve(claim, side, self.options.capacity)?;
        }
        Ok(Some(capacities))
    }

    fn header(&self, instance: u64) -> ControlHeader {
        ControlHeader {
            instance,
            features_required: self.features(),
            checksum: self.options.checksum,
            mode: self.options.access.mode,
            namespace: self.name.namespace.clone(),
            channel: self.name.channel.clone(),
            format: self.options.format.clone(),
            schema: self.mark(),
            mirrored: self.options.mirrored.clone(),
        }
    }

    /// Whether the budgets have room for a new channel's object beside all existing ones, of which
    /// it has `bytes` already.
    fn afford(&self, bytes: usize) -> Result<(), CreateError> {
        let [all, known] =
            [self.first.object_bytes(), bytes].map(|bytes| self.backend.memory_of(bytes) as u64);
        let exceeded = self.options.budgets.exceeded(self.backend, &self.name.objects, all - known);
        match exceeded.map_err(|source| self.failed(source))? {
            Some(over) => Err(CreateError::OverBudget { channel: self.name.channel.clone(), over }),
            None => Ok(()),
        }
    }

    /// The features that its readers must know.
    fn features(&self) -> u64 {
        let pins = if self.options.pins > 0 { control::FEATURE_PINS } else { 0 };
        let mirrored = if self.options.mirrored.is_some() { control::FEATURE_MIRRORED } else { 0 };
        pins | mirrored
    }

    /// The mark of the schema that the channel is to carry.
    fn mark(&self) -> SchemaMark {
        SchemaMark::of(self.options.schema.as_ref())
    }

    /// The current segments of a channel, if all are there and agree: no writer of ours leaves
    /// others. Changes nothing.
    fn current_segments(
        &self,
        page: &ControlPage<Words>,
        segments: &Segments,
    ) -> Result<Option<CurrentSegments>, CreateError> {
        use ObjectError::{Foreign, NotFound, Unfinished};
        // The first segments' room stays the channel's, and the schema before it.
        if page.first().is_none_or(|first| first.start != self.first.start) {
            return Ok(None);
        }
        let find = |side| match page.generation(side) {
            Some(segment::FIRST) => Ok(page.first_segment(side)),
            None => Ok(None),
            Some(generation) => match segments.reopen(side, generation) {
                Ok(segment) => Ok(Some(segment)),
                Err(NotFound { .. } | Foreign { .. } | Unfinished { .. }) => Ok(None),
                Err(source) => Err(self.failed(source)),
            },
        };
        let Some(first) = find(Side::A)? else { return Ok(None) };
        let Some(second) = find(Side::B)? else { return Ok(None) };
        let sides = [first, second];
        let holds =
            |publication: Publication| sides[publication.side().index()].ring.holds(publication).is_some();
        let last = page.publication();
        let has_tables = || page.pins() == 0 || sides.iter().all(|it| it.ring.table().is_some());
        if last != 0 && !Publication::new(last).is_some_and(holds) || !has_tables() {
            return Ok(None);
        }
        Ok(Some(CurrentSegments { sides, last }))
    }

    /// Resumes the channel of a writer that has ended.
    fn take_over(
        &self,
        claim: Box<dyn Claim>,
        page: &ControlPage<Words>,
        current: CurrentSegments,
        segments: Segments,
        access: Access,
    ) -> ChannelWriter {
        if let Some(schema) = &self.options.schema {
            // The page says that it is the same: only a damaged one is changed.
            page.write_schema(schema.bytes());
        }
        for side in Side::BOTH {
            // A name that can't be unlinked is not ours, or the next growth finds it again.
            let _ = segments.remove_around(side, current.sides[side.index()].generation);
        }
        let options = WriterOptions { access, ..self.options.clone() };
        let mut writer = ChannelWriter::begin(claim, page.clone(), current, self.name, segments, options);
        writer.conform();
        page.reopen();
        writer
    }

    /// Removes a channel that this writer can't resume, after a trial: if there is no room for the
    /// new channel, the old one stays.
    fn replace(&self, claim: &dyn Claim, page: &ControlPage<Words>) -> Result<(), CreateError> {
        let segments = self.segments(page.instance());
        self.afford(0)?;
        // An object of the generation after the current one can only be a leftover.
        let free = match page.generation(Side::A) {
            Some(generation) if generation < ObjectNames::MAX_GENERATION => generation + 1,
            _ => segment::FIRST + 1,
        };
        let object = segments.name(Side::A, free);
        self.backend
            .create_over_leftover(&object, self.first.object_bytes(), self.options.access)
            .and_then(|trial| {
                let required = self.options.huge_pages.require(self.backend, &object, &trial);
                self.backend.remove(&object, &trial).and(required)
            })
            .and_then(|()| destroy(claim, &segments))
            .map_err(|source| self.failed(source))
    }

    fn require_huge_pages(&self, words: &Words, kind: Kind) -> Result<(), CreateError> {
        let object = self.name.objects.object(kind);
        let given = self.options.huge_pages.require(self.backend, &object, words);
        given.map_err(|source| self.failed(source))
    }

    fn segments(&self, instance: u64) -> Segments {
        Segments::new(self.backend, &self.name.objects, instance, self.options.pins)
    }

    fn page_name(&self) -> String {
        self.name.objects.object(Kind::Control)
    }

    fn failed(&self, source: ObjectError) -> CreateError {
        CreateError::Object { channel: self.name.channel.clone(), source }
    }

    fn already_owned(&self) -> CreateError {
        let page =
            self.backend.view(&self.page_name()).ok().and_then(|page| ControlPage::validate(page).ok());
        if let Some(refusal) = page.and_then(|page| self.refusal(page.state(), &page.header())) {
            return refusal;
        }
        let pid = owner_pid(self.backend, &self.page_name());
        CreateError::AlreadyOwned { channel: self.name.channel.clone(), pid }
    }
}
