//! Opening a channel for writing: a new one, one that a former writer left, or one in place of it.

use super::budget::Unaffordable;
use super::header::{ControlHeader, is_abandoned, not_ours, read_identity};
use super::options::WriterOptions;
use super::removal::{destroy, owner_pid};
use super::schema::{SchemaMark, Unreadable};
use super::segments::Segments;
use super::writer::{ChannelWriter, ClaimedPage};
use super::{ChannelName, CreateError};
use crate::layout::{self, Geometry, Kind, ObjectNames, Publication, Side, WORD_BYTES, control, schema};
use crate::memory::MemoryMut;
use crate::memory::Words;
use crate::object::{Backend, Claim, ClaimOptions, Extent, ObjectError};
use crate::seqlock::ready::{self, Readiness};
use crate::seqlock::{ChannelState, Generations, Growth, Published};
use std::sync::Arc;

/// How often opening starts again because what was found had to be cleared away.
const MAX_TRIES: usize = 16;

/// What a claimed control page turned out to be.
enum Found {
    /// New, or left half-made: to be created.
    Blank,
    /// A channel that this writer goes on with.
    Successor(ControlHeader),
    /// A channel that no reader of this writer's form could read, or that was being removed.
    Obsolete(ControlHeader),
}

/// What came of going on with a channel.
enum TakeOver {
    Done(Box<ChannelWriter>),
    /// What the former writer left is not what any writer of ours leaves.
    Implausible(Box<dyn Claim>),
}

/// The objects of a new channel, beside its page.
struct Objects {
    sides: [Growth<Words>; 2],
    schema: Option<Words>,
}

/// Somebody who opens a channel.
struct Opening<'a> {
    backend: &'a Arc<dyn Backend>,
    name: &'a ChannelName,
    options: &'a WriterOptions,
    geometry: Geometry,
}

impl ChannelWriter {
    /// Creates the channel, or takes over the one of a writer that closed it or died.
    pub(crate) fn open(
        backend: &Arc<dyn Backend>,
        name: &ChannelName,
        options: &WriterOptions,
    ) -> Result<Self, CreateError> {
        let geometry = options.check()?;
        Opening { backend, name, options, geometry }.open()
    }
}

impl Opening<'_> {
    fn open(&self) -> Result<ChannelWriter, CreateError> {
        for _ in 0..MAX_TRIES {
            let claim = self.claim()?;
            let (claim, obsolete) = match self.examine(&claim)? {
                Found::Blank => return self.create(claim),
                Found::Obsolete(header) => (claim, header),
                Found::Successor(header) => match self.take_over(claim, &header)? {
                    TakeOver::Done(writer) => return Ok(*writer),
                    TakeOver::Implausible(claim) => (claim, header),
                },
            };
            self.make_room(&claim, &obsolete)?;
        }
        Err(self.already_owned())
    }

    fn claim(&self) -> Result<Box<dyn Claim>, CreateError> {
        let options = ClaimOptions::create(Extent::full(control::BYTES));
        let claim = self.backend.claim(&self.page_name(), options, &|page| is_abandoned(page));
        claim.map_err(|source| match source {
            ObjectError::Claimed { .. } => self.already_owned(),
            source => self.failed(source),
        })
    }

    /// What stands on a page that this process has just claimed.
    fn examine(&self, claim: &Box<dyn Claim>) -> Result<Found, CreateError> {
        let (page, name) = (claim.memory(), self.name);
        match ready::check(page) {
            Readiness::NotReady => return Ok(Found::Blank),
            Readiness::Ready => {}
            Readiness::OtherVersion(found) => {
                let channel = name.channel.clone();
                return Err(CreateError::LayoutVersion { channel, found, expected: layout::VERSION });
            }
            Readiness::Foreign(found) => {
                let (object, reason) = (self.page_name(), not_ours(found));
                return Err(self.failed(ObjectError::Foreign { object, reason }));
            }
        }
        let header = ControlHeader::read(page);
        if let Some(other) = header.collides_with(name) {
            let channel = format!("{}/{}", name.namespace, name.channel);
            return Err(CreateError::NameCollision { channel, other });
        }
        let options = self.options;
        let same_format = header.format.fingerprint == options.format.fingerprint
            && header.checksum == options.checksum
            && header.mode == options.mode
            && header.schema == self.mark()
            && !header.needs_more_than_we_know()
            // Its times are those of another clock, and whoever kept it may have kept half of it.
            && read_identity(page).other_boot().is_none();
        match ChannelState::load(page) {
            ChannelState::Open | ChannelState::Lingering if same_format => Ok(Found::Successor(header)),
            _ => Ok(Found::Obsolete(header)),
        }
    }

    /// Makes a new instance on a claimed page that was never declared ready.
    fn create(&self, claim: Box<dyn Claim>) -> Result<ChannelWriter, CreateError> {
        let page = ClaimedPage(claim);
        (0..control::BYTES / WORD_BYTES).for_each(|word| page.store(word, 0));
        let made = self.new_instance().and_then(|instance| {
            let segments = self.segments(instance);
            page.0.set_mode(self.options.mode).map_err(|source| self.failed(source))?;
            self.afford()?;
            let objects = self.create_objects(&segments).map_err(|source| self.failed(source))?;
            Ok((segments, objects))
        });
        let (segments, objects) = match made {
            Ok(made) => made,
            Err(error) => {
                let _ = page.0.remove();
                return Err(error);
            }
        };
        self.describe(&page, segments.instance);
        for side in Side::BOTH {
            Generations(&page).replace(side, objects.sides[side.index()].generation);
        }
        let Objects { sides, schema } = objects;
        let mut writer = ChannelWriter::start(page, sides, self.name, segments, self.options.clone(), 0);
        writer.schema = schema;
        ready::declare(writer.writer.control());
        Ok(writer)
    }

    fn describe(&self, page: &impl MemoryMut, instance: u64) {
        let header = ControlHeader {
            instance,
            features_required: 0,
            checksum: self.options.checksum,
            mode: self.options.mode,
            namespace: self.name.namespace.clone(),
            channel: self.name.channel.clone(),
            format: self.options.format.clone(),
            schema: self.mark(),
        };
        header.write(page);
    }

    /// Whether the budgets have room for a new channel's objects, beside all that is there.
    fn afford(&self) -> Result<(), CreateError> {
        let needed = (2 * self.geometry.object_bytes() + self.schema_object_bytes()) as u64;
        let affordable = self.options.budgets.afford(self.backend, &self.name.objects, needed);
        affordable.map_err(|why| match why {
            Unaffordable::Over(over) => CreateError::OverBudget { channel: self.name.channel.clone(), over },
            Unaffordable::Unknown(source) => self.failed(source),
        })
    }

    /// Creates a new channel's segments and the object of its schema, over what a dead creator left under their
    /// names; or none.
    fn create_objects(&self, segments: &Segments) -> Result<Objects, ObjectError> {
        let create = |side: Side| segments.create_over_leftover(side, 1, self.geometry, self.options.mode);
        let first = create(Side::A)?;
        let second = create(Side::B).inspect_err(|_| drop(segments.retire(Side::A, &first)))?;
        match self.create_schema(segments) {
            Ok(schema) => Ok(Objects { sides: [first, second], schema }),
            Err(error) => {
                let _ = segments.retire(Side::A, &first);
                let _ = segments.retire(Side::B, &second);
                Err(error)
            }
        }
    }

    /// Creates the object of the schema, if there is to be one; if not, removes that of a dead creator.
    fn create_schema(&self, segments: &Segments) -> Result<Option<Words>, ObjectError> {
        let Some(schema) = &self.options.schema else {
            // What can't be removed is somebody else's, and in nobody's way.
            let _ = self.backend.remove_leftover(&segments.schema_name());
            return Ok(None);
        };
        segments.create_schema(schema, self.options.mode).map(Some)
    }

    /// Which schema the channel is to have.
    fn mark(&self) -> SchemaMark {
        SchemaMark::of(self.options.schema.as_ref())
    }

    fn schema_object_bytes(&self) -> usize {
        self.options.schema.as_ref().map_or(0, |schema| schema::object_bytes(schema.bytes().len()))
    }

    /// Goes on with the channel of a writer that is gone. An error has changed nothing.
    fn take_over(&self, claim: Box<dyn Claim>, header: &ControlHeader) -> Result<TakeOver, CreateError> {
        let last = Published::of_channel(claim.memory()).peek();
        let segments = self.segments(header.instance);
        let mut sides = Vec::with_capacity(2);
        for side in Side::BOTH {
            let generation = Generations(claim.memory()).current(side);
            if !(1..=ObjectNames::MAX_GENERATION).contains(&generation) {
                return Ok(TakeOver::Implausible(claim));
            }
            match segments.reopen(side, generation) {
                Ok(found) => sides.push(found),
                Err(
                    ObjectError::NotFound { .. }
                    | ObjectError::Foreign { .. }
                    | ObjectError::Unfinished { .. },
                ) => return Ok(TakeOver::Implausible(claim)),
                Err(source) => return Err(self.failed(source)),
            }
        }
        let Ok::<[_; 2], _>(sides) = sides.try_into() else {
            return Ok(TakeOver::Implausible(claim));
        };
        let holds = |publication: Publication| sides[publication.side().index()].ring.holds(publication);
        if last != 0 && !Publication::new(last).is_some_and(holds) {
            return Ok(TakeOver::Implausible(claim));
        }
        let schema = self.take_over_schema(&segments)?;
        for side in Side::BOTH {
            // What can't be removed is somebody else's, or met again by growth.
            let _ = segments.remove_around(side, sides[side.index()].generation);
        }
        let page = ClaimedPage(claim);
        let mut writer = ChannelWriter::start(page, sides, self.name, segments, self.options.clone(), last);
        writer.schema = schema;
        writer.conform();
        let page = writer.writer.control();
        // Release: who finds the channel open again must find who owns it now, or would take the former owner, who has
        // closed it and ended, for one that died. Pairs with the acquire fence in `ChannelReader::writer_state`.
        page.fence_release();
        ChannelState::Open.store(page);
        Ok(TakeOver::Done(Box::new(writer)))
    }

    /// The schema of a channel that is gone on with. The page says that it is ours; what somebody has removed or
    /// spoiled since is made anew.
    fn take_over_schema(&self, segments: &Segments) -> Result<Option<Words>, CreateError> {
        let Some(schema) = &self.options.schema else { return Ok(None) };
        let kept = match segments.reopen_schema(self.mark()) {
            Ok(found) => Ok(found),
            Err(
                Unreadable::Vanished(_)
                | Unreadable::Corrupt(_)
                | Unreadable::Failed(ObjectError::Foreign { .. }),
            ) => segments.create_schema(schema, self.options.mode),
            Err(Unreadable::Failed(source)) => Err(source),
        };
        kept.map(Some).map_err(|source| self.failed(source))
    }

    /// Removes a channel that this writer can't go on with, after a trial: if there is no room for the new one, the
    /// old one stays.
    fn make_room(&self, claim: &Box<dyn Claim>, obsolete: &ControlHeader) -> Result<(), CreateError> {
        let segments = self.segments(obsolete.instance);
        let free = |side| match Generations(claim.memory()).current(side) {
            generation if generation < ObjectNames::MAX_GENERATION => generation + 1,
            _ => 1,
        };
        self.afford()?;
        // Behind what is in force stands at most a leftover.
        self.try_room(&segments, Side::BOTH.map(free))
            .and_then(|()| self.free_schema_name(&segments, obsolete.schema))
            .and_then(|()| destroy(claim, &segments))
            .map_err(|source| self.failed(source))
    }

    /// Whether there is room for the new segments, of which the first is as much larger as the schema needs: its own
    /// name may still be in use.
    fn try_room(&self, segments: &Segments, generations: [u64; 2]) -> Result<(), ObjectError> {
        let extra = [self.schema_object_bytes(), 0];
        let mut trial = Vec::with_capacity(2);
        let tried = Side::BOTH.into_iter().try_for_each(|side| {
            let object = segments.name(side, generations[side.index()]);
            let bytes = self.geometry.object_bytes() + extra[side.index()];
            let memory = segments.object_over_leftover(&object, bytes, self.options.mode)?;
            trial.push((object, memory));
            Ok(())
        });
        for (object, memory) in &trial {
            let _ = self.backend.remove(object, memory);
        }
        tried
    }

    /// Makes sure that the new schema's name will be free, before anything of the old channel is removed: what
    /// stands there is its own schema, or can be removed.
    fn free_schema_name(&self, segments: &Segments, old: SchemaMark) -> Result<(), ObjectError> {
        let is_needed = self.options.schema.is_some();
        if !is_needed || (old.is_some() && segments.read_schema(old).is_ok()) {
            return Ok(());
        }
        self.backend.remove_leftover(&segments.schema_name()).map(drop)
    }

    fn new_instance(&self) -> Result<u64, CreateError> {
        getrandom::u64().map_err(|error| CreateError::NoRandomness(error.to_string()))
    }

    fn segments(&self, instance: u64) -> Segments {
        Segments { backend: self.backend.clone(), names: self.name.objects.clone(), instance }
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
