//! Opening a channel for writing: a new channel, one that a former writer left, or one that
//! replaces it.

use std::sync::Arc;

use super::cleanup::{collision, destroy, owner_pid};
use super::control_page::{ControlHeader, ControlPage, PageProblem, is_abandoned};
use super::options::{SchemaMark, WriterOptions};
use super::schema::Unreadable;
use super::segments::Segments;
use super::writer::{ChannelObjects, ChannelWriter};
use super::{ChannelName, CreateError};
use crate::layout::{self, Geometry, Kind, ObjectNames, Publication, Side, control, schema};
use crate::memory::Words;
use crate::object::{Access, Backend, Claim, ClaimOptions, ObjectError, Size};
use crate::seqlock::ChannelState;

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
    geometry: Geometry,
}

/// Creates the channel, or takes over the one of a writer that closed it or died.
pub(crate) fn open(
    backend: &Arc<dyn Backend>,
    name: &ChannelName,
    options: &WriterOptions,
) -> Result<ChannelWriter, CreateError> {
    let geometry = options.check()?;
    Opening { backend, name, options, geometry }.open()
}

impl Opening<'_> {
    fn open(&self) -> Result<ChannelWriter, CreateError> {
        for _ in 0..MAX_TRIES {
            let claim = self.claim()?;
            let page = match self.examine(claim.as_ref())? {
                Existing::Blank => return self.create(claim),
                Existing::Replaceable(page) => page,
                Existing::Resumable(page, access) => match self.objects_left(&page, access)? {
                    Some(objects) => return Ok(self.take_over(claim, &page, objects, access)),
                    None => page,
                },
            };
            self.replace(claim.as_ref(), &page)?;
        }
        Err(self.already_owned())
    }

    fn claim(&self) -> Result<Box<dyn Claim>, CreateError> {
        let options = ClaimOptions::create(Size::exactly(control::BYTES));
        let claim = self.backend.claim(&self.page_name(), options, &|page| is_abandoned(page));
        claim.map_err(|source| match source {
            ObjectError::Claimed { .. } => match collision(self.backend, self.name) {
                Some(other) => self.collides_with(other),
                None => self.already_owned(),
            },
            // Another version's page may have another size.
            source @ ObjectError::Foreign { .. } => {
                let found = self.backend.view(&self.page_name()).ok().map(ControlPage::validate);
                match found {
                    Some(Err(PageProblem::OtherVersion(found))) => self.other_version(found),
                    _ => self.failed(source),
                }
            }
            source => self.failed(source),
        })
    }

    fn other_version(&self, found: u64) -> CreateError {
        CreateError::LayoutVersion { channel: self.name.channel.clone(), found, expected: layout::VERSION }
    }

    /// The access that all objects of the channel get: the writer's permissions, and the group that
    /// the page has. An error if the page is another user's: no reader could read a channel whose
    /// objects belong to two users.
    fn access_of(&self, claim: &dyn Claim) -> Result<Access, CreateError> {
        let status = claim.status().map_err(|source| self.failed(source))?;
        status.must_be_ours(&self.page_name()).map_err(|source| self.failed(source))?;
        Ok(Access { mode: self.options.access.mode, group: Some(status.group) })
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
            Err(problem @ (PageProblem::Foreign(_) | PageProblem::WrongSize(_))) => {
                let (object, reason) = (self.page_name(), problem.reason());
                return Err(self.failed(ObjectError::Foreign { object, reason }));
            }
        };
        let header = page.header();
        if let Some(other) = header.collides_with(name) {
            return Err(self.collides_with(other));
        }
        let is_ended = page.state() == ChannelState::Removed;
        if !is_ended && !self.options.resumes {
            return Err(self.already_owned());
        }
        let access = self.access_of(claim)?;
        let wanted = self.options.access.admitted_group();
        let has_group = wanted.is_none() || wanted == access.group;
        match !is_ended && has_group && self.has_same_format(&page, &header) {
            true => Ok(Existing::Resumable(page, access)),
            false => Ok(Existing::Replaceable(page)),
        }
    }

    fn has_same_format(&self, page: &ControlPage<Words>, header: &ControlHeader) -> bool {
        let options = self.options;
        header.format.fingerprint == options.format.fingerprint
            && header.checksum == options.checksum
            && header.mode == options.access.mode
            && header.schema == self.mark()
            && !header.needs_unknown_features()
            // The timestamps of another boot belong to another clock, and a copy of its objects may
            // be incomplete.
            && page.owner().other_boot().is_none()
    }

    /// Makes a new instance on a claimed page that was never declared ready.
    fn create(&self, claim: Box<dyn Claim>) -> Result<ChannelWriter, CreateError> {
        // Before anything is changed: another user may have left a half-made page, which stays.
        let made = self.access_of(claim.as_ref()).and_then(|_| {
            let instance = getrandom::u64().map_err(|error| CreateError::NoRandomness(error.to_string()))?;
            let segments = self.segments(instance);
            claim.set_access(self.options.access).map_err(|source| self.failed(source))?;
            let access = self.access_of(claim.as_ref())?;
            self.afford()?;
            let objects = self.create_objects(&segments, access).map_err(|source| self.failed(source))?;
            Ok((segments, objects, access))
        });
        let (segments, objects, access) = match made {
            Ok(made) => made,
            Err(error) => {
                let is_anothers =
                    matches!(&error, CreateError::Object { source: ObjectError::NotOwner { .. }, .. });
                if !is_anothers {
                    let _ = claim.remove();
                }
                return Err(error);
            }
        };
        let generations = objects.sides.each_ref().map(|segment| segment.generation);
        let page = ControlPage::create(claim.memory().clone(), &self.header(segments.instance), generations);
        let options = WriterOptions { access, ..self.options.clone() };
        let writer = ChannelWriter::begin(claim, page.clone(), objects, self.name, segments, options);
        page.declare_ready();
        Ok(writer)
    }

    fn header(&self, instance: u64) -> ControlHeader {
        ControlHeader {
            instance,
            features_required: 0,
            checksum: self.options.checksum,
            mode: self.options.access.mode,
            namespace: self.name.namespace.clone(),
            channel: self.name.channel.clone(),
            format: self.options.format.clone(),
            schema: self.mark(),
        }
    }

    /// Whether the budgets have room for a new channel's objects beside all existing ones.
    fn afford(&self) -> Result<(), CreateError> {
        let [segment, schema] = [self.geometry.object_bytes(), self.schema_object_bytes()]
            .map(|bytes| self.backend.memory_of(bytes) as u64);
        let needed = 2 * segment + schema;
        let exceeded = self.options.budgets.exceeded(self.backend, &self.name.objects, needed);
        match exceeded.map_err(|source| self.failed(source))? {
            Some(over) => Err(CreateError::OverBudget { channel: self.name.channel.clone(), over }),
            None => Ok(()),
        }
    }

    /// Creates a new channel's segments and schema object, in place of a dead creator's leftovers.
    /// Creates all or none.
    fn create_objects(&self, segments: &Segments, access: Access) -> Result<ChannelObjects, ObjectError> {
        let create = |side: Side| segments.create_over_leftover(side, 1, self.geometry, access);
        let first = create(Side::A)?;
        let second = create(Side::B).inspect_err(|_| drop(segments.unlink(Side::A, &first)))?;
        match self.create_schema(segments, access) {
            Ok(schema) => Ok(ChannelObjects { sides: [first, second], schema, last: 0 }),
            Err(error) => {
                let _ = segments.unlink(Side::A, &first);
                let _ = segments.unlink(Side::B, &second);
                Err(error)
            }
        }
    }

    /// Creates the schema object, if the channel is to carry a schema; otherwise removes a dead
    /// creator's.
    fn create_schema(&self, segments: &Segments, access: Access) -> Result<Option<Words>, ObjectError> {
        let Some(schema) = &self.options.schema else {
            // An object that can't be removed is not ours, and no object of this channel needs its
            // name.
            let _ = self.backend.remove_leftover(&segments.schema_name());
            return Ok(None);
        };
        segments.create_schema(schema, access).map(Some)
    }

    /// The mark of the schema that the channel is to carry.
    fn mark(&self) -> SchemaMark {
        SchemaMark::of(self.options.schema.as_ref())
    }

    fn schema_object_bytes(&self) -> usize {
        self.options.schema.as_ref().map_or(0, |schema| schema::object_bytes(schema.bytes().len()))
    }

    /// The objects of the channel that a former writer left, if all are there and agree: no writer
    /// of ours leaves others. Changes nothing.
    fn objects_left(
        &self,
        page: &ControlPage<Words>,
        access: Access,
    ) -> Result<Option<ChannelObjects>, CreateError> {
        use ObjectError::{Foreign, NotFound, Unfinished};
        let segments = self.segments(page.instance());
        let left = |side| match page.generation(side).map(|generation| segments.reopen(side, generation)) {
            Some(Ok(segment)) => Ok(Some(segment)),
            None | Some(Err(NotFound { .. } | Foreign { .. } | Unfinished { .. })) => Ok(None),
            Some(Err(source)) => Err(self.failed(source)),
        };
        let Some(first) = left(Side::A)? else { return Ok(None) };
        let Some(second) = left(Side::B)? else { return Ok(None) };
        let sides = [first, second];
        let holds =
            |publication: Publication| sides[publication.side().index()].ring.holds(publication).is_some();
        let last = page.publication();
        if last != 0 && !Publication::new(last).is_some_and(holds) {
            return Ok(None);
        }
        let schema = self.schema_left(&segments, access)?;
        Ok(Some(ChannelObjects { sides, schema, last }))
    }

    /// Resumes the channel of a writer that has ended.
    fn take_over(
        &self,
        claim: Box<dyn Claim>,
        page: &ControlPage<Words>,
        objects: ChannelObjects,
        access: Access,
    ) -> ChannelWriter {
        let segments = self.segments(page.instance());
        for side in Side::BOTH {
            // A name that can't be unlinked is not ours, or the next growth finds it again.
            let _ = segments.remove_around(side, objects.sides[side.index()].generation);
        }
        let options = WriterOptions { access, ..self.options.clone() };
        let mut writer = ChannelWriter::begin(claim, page.clone(), objects, self.name, segments, options);
        writer.conform();
        page.reopen();
        writer
    }

    /// The schema object of a channel that is resumed. The page says that its schema is ours, so an
    /// object that was removed or corrupted since is created again.
    fn schema_left(&self, segments: &Segments, access: Access) -> Result<Option<Words>, CreateError> {
        let Some(schema) = &self.options.schema else { return Ok(None) };
        let kept = match segments.reopen_schema(self.mark()) {
            Ok(found) => Ok(found),
            Err(
                Unreadable::Vanished(_)
                | Unreadable::Corrupt(_)
                | Unreadable::Failed(ObjectError::Foreign { .. }),
            ) => segments.create_schema(schema, access),
            Err(Unreadable::Failed(source)) => Err(source),
        };
        kept.map(Some).map_err(|source| self.failed(source))
    }

    /// Removes a channel that this writer can't resume, after a trial: if there is no room for the
    /// new channel, the old one stays.
    fn replace(&self, claim: &dyn Claim, page: &ControlPage<Words>) -> Result<(), CreateError> {
        let segments = self.segments(page.instance());
        // An object of the generation after the current one can only be a leftover.
        let free = |side| match page.generation(side) {
            Some(generation) if generation < ObjectNames::MAX_GENERATION => generation + 1,
            _ => 1,
        };
        self.afford()?;
        self.try_room(&segments, Side::BOTH.map(free))
            .and_then(|()| self.free_schema_name(&segments, page.schema()))
            .and_then(|()| destroy(claim, &segments))
            .map_err(|source| self.failed(source))
    }

    /// Checks that the new segments fit by creating them under free names. The schema object's name
    /// may still be in use, so its size is added to the first segment.
    fn try_room(&self, segments: &Segments, generations: [u64; 2]) -> Result<(), ObjectError> {
        let extra = [self.schema_object_bytes(), 0];
        let mut trial = Vec::with_capacity(2);
        let tried = Side::BOTH.into_iter().try_for_each(|side| {
            let object = segments.name(side, generations[side.index()]);
            let bytes = self.geometry.object_bytes() + extra[side.index()];
            let memory = segments.object_over_leftover(&object, bytes, self.options.access)?;
            trial.push((object, memory));
            Ok(())
        });
        for (object, memory) in &trial {
            let _ = self.backend.remove(object, memory);
        }
        tried
    }

    /// Checks that the new schema's name will be free, before any object of the old channel is
    /// removed: the object of that name is the old channel's schema, or can be removed.
    fn free_schema_name(&self, segments: &Segments, old: SchemaMark) -> Result<(), ObjectError> {
        let is_needed = self.options.schema.is_some();
        if !is_needed || (old.is_some() && segments.read_schema(old).is_ok()) {
            return Ok(());
        }
        self.backend.remove_leftover(&segments.schema_name()).map(drop)
    }

    fn segments(&self, instance: u64) -> Segments {
        Segments::new(self.backend, &self.name.objects, instance)
    }

    fn page_name(&self) -> String {
        self.name.objects.object(Kind::Control)
    }

    fn failed(&self, source: ObjectError) -> CreateError {
        CreateError::Object { channel: self.name.channel.clone(), source }
    }

    fn already_owned(&self) -> CreateError {
        let pid = owner_pid(self.backend, &self.page_name());
        CreateError::AlreadyOwned { channel: self.name.channel.clone(), pid }
    }
}
