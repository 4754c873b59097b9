//! Finding the objects of a namespace, and what each of them is for.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::channel::{SchemaMark, read_text};
use crate::layout::{Kind, ObjectNames, Side, WORD_BYTES, control};
use crate::memory::Memory;
use crate::object::{Backend, ObjectError, ObjectSize};
use crate::seqlock::Generations;
use crate::seqlock::ready::{self, Readiness};

/// An object of the namespace.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// Its name, as `/dev/shm` lists it.
    pub(crate) object: String,
    pub(crate) place: Place,
    pub(crate) size: ObjectSize,
}

/// What an object belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A part of this channel.
    Channel(String, Part),
    /// A channel's by its name, but there is no control page that says which channel's.
    Unnamed,
    Registry,
    /// By its name of this namespace, and of no kind that is known.
    Other,
}

/// Which part of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Control,
    /// The current segment.
    Segment(Side),
    /// The schema.
    Schema,
    /// A segment that is being replaced, or was left over; a schema that the page doesn't tell of.
    Replaced,
}

/// The channel that a control page tells of.
struct Described {
    channel: String,
    generations: [u64; 2],
    schema: SchemaMark,
}

/// What came of looking for a channel's control page.
enum Look {
    Described(Described),
    /// There is none that says whose it is.
    Unnamed,
    /// It says that the channel is one of another namespace: their names have the same hash.
    Elsewhere,
}

/// All objects of a namespace. Takes no lock.
pub(crate) fn survey(backend: &Arc<dyn Backend>, namespace: &str) -> Result<Vec<Found>, ObjectError> {
    let mut survey = Survey { backend, namespace, found: Vec::new() };
    let mut channels: BTreeMap<ObjectNames, Vec<String>> = BTreeMap::new();
    for object in backend.list(&ObjectNames::prefix(namespace))? {
        match ObjectNames::of_object(&object) {
            Some(names) => channels.entry(names).or_default().push(object),
            None => survey.add(place_in_namespace(namespace, &object), object)?,
        }
    }
    for (names, objects) in channels {
        survey.add_channel(&names, objects)?;
    }
    Ok(survey.found)
}

/// What an object is for that is no channel's. The one place that tells the namespace's own objects from one another.
fn place_in_namespace(namespace: &str, object: &str) -> Place {
    match object {
        registry if registry == ObjectNames::registry(namespace) => Place::Registry,
        _ => Place::Other,
    }
}

struct Survey<'a> {
    backend: &'a Arc<dyn Backend>,
    namespace: &'a str,
    found: Vec<Found>,
}

impl Survey<'_> {
    /// The page first, and the sizes after it: a channel that ends removes its segments before its page, so that what is
    /// left when the page is gone has no channel indeed.
    fn add_channel(&mut self, names: &ObjectNames, mut objects: Vec<String>) -> Result<(), ObjectError> {
        let described = match self.look(names) {
            Look::Described(described) => described,
            Look::Elsewhere => return Ok(()),
            Look::Unnamed => {
                return objects.into_iter().try_for_each(|object| self.add(Place::Unnamed, object));
            }
        };
        // What has come into force since the listing.
        for side in Side::BOTH {
            let current = names.object(Kind::Segment(side, described.generations[side.index()]));
            if !objects.contains(&current) {
                objects.push(current);
            }
        }
        for object in objects {
            let part = described.part_of(names.kind_of(&object));
            self.add(Place::Channel(described.channel.clone(), part), object)?;
        }
        Ok(())
    }

    fn look(&self, names: &ObjectNames) -> Look {
        // One that can't be looked at tells no name, whatever the reason is.
        let Ok(page) = self.backend.view(&names.object(Kind::Control)) else { return Look::Unnamed };
        if page.len() * WORD_BYTES != control::BYTES || ready::check(&page) != Readiness::Ready {
            return Look::Unnamed;
        }
        if read_text(&page, control::NAMESPACE) != self.namespace {
            return Look::Elsewhere;
        }
        let generations = Side::BOTH.map(|side| Generations(&page).current(side));
        let (channel, schema) = (read_text(&page, control::CHANNEL), SchemaMark::read(&page));
        Look::Described(Described { channel, generations, schema })
    }

    /// Takes an object down, unless it is gone.
    fn add(&mut self, place: Place, object: String) -> Result<(), ObjectError> {
        match self.backend.size(&object) {
            Ok(size) => self.found.push(Found { object, place, size }),
            Err(ObjectError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

impl Described {
    fn part_of(&self, kind: Option<Kind>) -> Part {
        match kind {
            Some(Kind::Control) => Part::Control,
            Some(Kind::Schema) if self.schema.is_some() => Part::Schema,
            Some(Kind::Segment(side, generation)) if generation == self.generations[side.index()] => {
                Part::Segment(side)
            }
            _ => Part::Replaced,
        }
    }
}
