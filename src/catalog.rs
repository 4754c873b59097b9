//! The objects of a namespace, and the channel that each belongs to. The only place that groups
//! objects by their names and decides whether a control page claims them.
//!
//! Reading takes no lock and changes nothing. Objects come and go in between: each is measured at a
//! moment of its own, and one that is removed before that is left out.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::block;
use crate::channel::{
    ChannelName, ControlPage, Found, KnownChannels, Removed, check_namespace, read_text, similar,
};
use crate::layout::{Kind, ObjectNames, PAGE_BYTES, Side, VERSION, WORD_BYTES, registry as table, segment};
use crate::memory::{Memory, ReadOnlyWords};
use crate::object::{Backend, ObjectError, ObjectSize, if_exists};
use crate::registry::{ChannelInfo, LONGEST_WAIT, Registry};
use crate::seqlock::ready::{self, Readiness};

/// Objects by their names, as of one listing.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    /// Channels, by the names of their objects.
    pub(crate) channels: BTreeMap<ObjectNames, Found>,
    /// The objects of blocks.
    pub(crate) blocks: Vec<String>,
    others: Vec<String>,
}

/// A control page that claims the objects of its channel.
#[derive(Debug)]
pub(crate) struct OwnPage {
    pub(crate) page: ControlPage<ReadOnlyWords>,
    pub(crate) name: ChannelName,
}

/// An object of a namespace.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    /// Its name, as its directory lists it.
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) size: ObjectSize,
}

/// The role of an object in its namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A part of this channel.
    Channel(String, Part),
    /// This block.
    Block(String),
    /// Named like a channel's or a block's object, but no control page or header claims it.
    Unnamed,
    Registry,
    /// In this namespace, of unknown kind.
    Other,
}

/// A part of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Its object: control page, schema and first segments.
    Control,
    /// The current segment of a side that has grown.
    Segment(Side),
    /// A segment that is being made or replaced, or a leftover.
    Replaced,
}

impl Catalog {
    /// The objects of a namespace.
    pub(crate) fn read(backend: &dyn Backend, namespace: &str) -> Result<Catalog, ObjectError> {
        let mut catalog = Catalog::default();
        for object in backend.list(&ObjectNames::prefix(namespace))? {
            match ObjectNames::of_object(&object) {
                Some(names) => catalog.channels.entry(names).or_default().objects.push(object),
                None if ObjectNames::is_block(&object) => catalog.blocks.push(object),
                None => catalog.others.push(object),
            }
        }
        Ok(catalog)
    }

    /// The objects of a namespace, beside what its registry lists.
    ///
    /// The registry is listed first. So the writer of every object that is found has already been
    /// in the registry, if it ever was.
    pub(crate) fn read_with_registry(
        backend: &Arc<dyn Backend>,
        namespace: &str,
    ) -> Result<(Catalog, Result<Vec<ChannelInfo>, ObjectError>), ObjectError> {
        let registered = Registry::of(backend, namespace).list();
        let mut catalog = Catalog::read(backend.as_ref(), namespace)?;
        for info in registered.iter().flatten() {
            if let Some(entry) = catalog.channels.get_mut(&ObjectNames::new(namespace, &info.name)) {
                entry.writer = Some(info.identity);
            }
        }
        Ok((catalog, registered))
    }

    /// The registries of other versions of the layout, and their versions.
    pub(crate) fn other_registries(&self, backend: &dyn Backend) -> impl Iterator<Item = (&str, u64)> {
        self.others.iter().filter_map(|object| {
            let named = ObjectNames::version_of_registry(object)?;
            // A table may have no memory behind its last entry.
            let page = backend.part(object, 0, PAGE_BYTES).ok()?;
            let version = match ready::check(&page) {
                Readiness::OtherVersion(version) => version,
                Readiness::NotReady if named != VERSION => named,
                _ => return None,
            };
            Some((object.as_str(), version))
        })
    }

    /// The chunks of the registry of this version of the layout, without its first object.
    pub(crate) fn chunks(&self, version: u64) -> Vec<String> {
        let is_chunk = |object: &&String| {
            ObjectNames::chunk_of_object(object).is_some_and(|(found, chunk)| found == version && chunk > 0)
        };
        self.others.iter().filter(is_chunk).cloned().collect()
    }

    /// The chunks that a registry left which lost its first object, apart from those of a registry
    /// that was not removed.
    pub(crate) fn leftover_chunks(&self, namespace: &str, removed: &[Removed]) -> Vec<String> {
        let first = ObjectNames::registry(namespace);
        let was_removed = removed.iter().any(|removed| removed.objects.contains(&first));
        if self.others.contains(&first) && !was_removed { Vec::new() } else { self.chunks(VERSION) }
    }

    /// Whether the namespace has a control page of this version of the layout, apart from those in
    /// `removed`. A page that can't be read counts.
    pub(crate) fn has_version(&self, backend: &dyn Backend, version: u64, removed: &[Removed]) -> bool {
        let pages = self.channels.iter().flat_map(|(names, entry)| {
            let page = names.object(Kind::Control);
            entry.objects.contains(&page).then_some(page)
        });
        let is_left = |page: &String| !removed.iter().any(|removed| removed.objects.contains(page));
        pages.filter(is_left).any(|page| match backend.view(&page) {
            Ok(view) => ready::check(&view) == Readiness::OtherVersion(version),
            Err(error) => !matches!(error, ObjectError::NotFound { .. }),
        })
    }
}

/// All objects of a namespace, each with its role and its size.
pub(crate) fn objects(backend: &dyn Backend, namespace: &str) -> Result<Vec<Object>, ObjectError> {
    let catalog = Catalog::read(backend, namespace)?;
    let mut found = Vec::new();
    let mut add = |role: Role, name: String| -> Result<(), ObjectError> {
        let size = if_exists(backend.size(&name))?;
        found.extend(size.map(|size| Object { name, role, size }));
        Ok(())
    };
    let registry = ObjectNames::registry(namespace);
    let is_anothers = namespace_of_registry(backend, &registry).is_some_and(|other| other != namespace);
    for name in catalog.others {
        let is_registry = ObjectNames::chunk_of_object(&name).is_some_and(|(version, _)| version == VERSION);
        if is_registry && is_anothers {
            // The names of the two namespaces have the same hash.
            continue;
        }
        add(if is_registry { Role::Registry } else { Role::Other }, name)?;
    }
    for object in catalog.blocks {
        match block::names_of(backend, &object) {
            Some((other, _)) if other != namespace => {}
            Some((_, block)) => add(Role::Block(block), object)?,
            None => add(Role::Unnamed, object)?,
        }
    }
    for (names, Found { mut objects, .. }) in catalog.channels {
        // The page first, and the sizes after it: a channel that ends removes its segments before
        // its page, so the objects that are left after the page belong to no channel.
        let Some(own) = own_page(backend, &names) else {
            objects.into_iter().try_for_each(|object| add(Role::Unnamed, object))?;
            continue;
        };
        if own.name.namespace != namespace {
            // The names of the two namespaces have the same hash.
            continue;
        }
        // Segments that became current after the listing.
        let segment = |side, generation| names.object(Kind::Segment(side, generation));
        let grown = |side| own.page.generation(side).filter(|generation| *generation != segment::FIRST);
        let current = Side::BOTH.map(|side| Some(segment(side, grown(side)?)));
        for segment in current.iter().flatten() {
            if !objects.contains(segment) {
                objects.push(segment.clone());
            }
        }
        for object in objects {
            let part = own.part(&object, &current);
            add(Role::Channel(own.name.channel.clone(), part), object)?;
        }
    }
    Ok(found)
}

/// The channels that were in a registry and have no entry in the one that the namespace has now, as
/// two looks found them: one may be entered between the look at the registry and that at the
/// objects.
pub(crate) fn unlisted(backend: &Arc<dyn Backend>, namespace: &str) -> Result<Vec<ChannelName>, ObjectError> {
    let look = || -> Result<Vec<(ChannelName, u64)>, ObjectError> {
        let (catalog, registered) = Catalog::read_with_registry(backend, namespace)?;
        registered?;
        let suspects = catalog.channels.iter().filter(|(_, found)| found.writer.is_none());
        let pages = suspects.filter_map(|(names, _)| own_page(backend.as_ref(), names));
        // A writer that wakes waiters names their page once it has entered its channel. One that
        // wakes none has entered it, or given up.
        let is_entered = |page: &ControlPage<_>| {
            page.waiters_instance() != 0 || page.opened_ago().is_some_and(|age| age > LONGEST_WAIT)
        };
        let entered = pages.filter(|own| own.name.namespace == namespace && is_entered(&own.page));
        Ok(entered.map(|own| (own.name, own.page.instance())).collect())
    };
    let mut found = look()?;
    if !found.is_empty() {
        let later = look()?;
        found.retain(|(_, instance)| later.iter().any(|(_, later)| later == instance));
    }
    Ok(found.into_iter().map(|(name, _)| name).collect())
}

/// The control page of the channel with these names; `None` if there is none that can be mapped and
/// read, or if it holds a name that is invalid or that has other objects. A hash can be made for
/// any text, so a page is believed only about its own objects.
///
/// Mapped again for each caller: it shows the channel as it is now, and a listing holds no
/// mappings.
pub(crate) fn own_page(backend: &dyn Backend, names: &ObjectNames) -> Option<OwnPage> {
    let page = ControlPage::validate(backend.view(&names.object(Kind::Control)).ok()?).ok()?;
    let name = page.name().filter(|name| name.objects == *names)?;
    Some(OwnPage { page, name })
}

/// The name of the namespace whose registry this is; `None` as for [`own_page`].
pub(crate) fn namespace_of_registry(backend: &dyn Backend, object: &str) -> Option<String> {
    let memory = backend.view(object).ok()?;
    if memory.len() * WORD_BYTES < table::Chunk(0).bytes() || ready::check(&memory) != Readiness::Ready {
        return None;
    }
    let namespace = read_text(&memory, table::NAMESPACE);
    check_namespace(&namespace).ok()?;
    (ObjectNames::registry(&namespace) == object).then_some(namespace)
}

/// Namespaces with names like that of one that lists no channel; `None` if it lists one, or can't
/// be listed. Costs a listing of shared memory and a mapping for each namespace, up to 1,024.
pub(crate) fn similar_namespaces(backend: &Arc<dyn Backend>, namespace: &str) -> Option<Vec<String>> {
    Registry::of(backend, namespace).is_empty().ok().filter(|is_empty| *is_empty)?;
    let mut objects = backend.list(ObjectNames::PREFIX).unwrap_or_default();
    objects.retain(|object| ObjectNames::chunk_of_object(object) == Some((VERSION, 0)));
    objects.truncate(KnownChannels::MAX_COMPARED);
    let named = |object: &String| namespace_of_registry(backend.as_ref(), object);
    let named: Vec<_> = objects.iter().filter_map(named).collect();
    Some(similar(namespace, named.iter().map(String::as_str)).into_iter().map(str::to_owned).collect())
}

impl OwnPage {
    /// `current`: the names of the current segments that have objects of their own.
    fn part(&self, object: &String, current: &[Option<String>; 2]) -> Part {
        match self.name.objects.kind_of(object) {
            Some(Kind::Control) => Part::Control,
            Some(Kind::Segment(side, _)) if current[side.index()].as_ref() == Some(object) => {
                Part::Segment(side)
            }
            _ => Part::Replaced,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::{Format, WriterOptions, open, write_text};
    use crate::layout::control;
    use crate::memory::MemoryMut;
    use crate::object::{Access, Heap};

    fn channel(heap: &Heap) -> (crate::channel::ChannelWriter, ObjectNames) {
        let name = ChannelName::new("fleet", "worker").unwrap();
        let options = WriterOptions::new(Format::new("bytes", "State"));
        (open(&heap.shared(), &name, &options).unwrap(), name.objects)
    }

    #[test]
    fn a_page_claims_its_own_objects_only() {
        let heap = Heap::new();
        let (_writer, names) = channel(&heap);
        assert_eq!(own_page(&heap, &names).unwrap().name.channel, "worker");
        assert!(own_page(&heap, &ObjectNames::new("fleet", "other")).is_none());
        let words = heap.reopen(&names.object(Kind::Control)).unwrap();
        for (field, text) in
            [(control::CHANNEL, "other"), (control::NAMESPACE, "other"), (control::CHANNEL, "")]
        {
            write_text(&words, field, text);
            assert!(own_page(&heap, &names).is_none(), "{text:?}");
            write_text(&words, control::CHANNEL, "worker");
            write_text(&words, control::NAMESPACE, "fleet");
        }
        words.store(control::READY, 0);
        assert!(own_page(&heap, &names).is_none());
    }

    #[test]
    fn a_channel_is_missing_from_the_list_only_once_its_writer_must_have_entered_it() {
        let heap = Heap::new();
        let (_writer, names) = channel(&heap);
        let missing = || unlisted(&heap.shared(), "fleet").unwrap().len();
        assert_eq!(missing(), 0, "it is being opened");
        let page = heap.reopen(&names.object(Kind::Control)).unwrap();
        for (word, value) in [(control::OPENED, 1), (control::WAITERS, 7)] {
            let before = page.load(word);
            page.store(word, value);
            assert_eq!(missing(), 1, "{word}");
            page.store(word, before);
        }
        assert_eq!(missing(), 0);
    }

    #[test]
    fn every_object_of_a_namespace_has_a_role() {
        let heap = Heap::new();
        let (mut writer, names) = channel(&heap);
        let unnamed = ObjectNames::new("fleet", "other").object(Kind::Segment(Side::A, 1));
        let other = format!("{}x", ObjectNames::prefix("fleet"));
        let replaced = names.object(Kind::Segment(Side::B, 9));
        let registry = ObjectNames::registry("fleet");
        let chunk = ObjectNames::chunk_of_prefix(&ObjectNames::prefix("fleet"), 3);
        for object in [&unnamed, &other, &replaced, &registry, &chunk] {
            heap.create(object, PAGE_BYTES, Access::OWNER).unwrap();
        }
        writer.publish(&[1; 5_000]).unwrap();
        let of_channel = |part| Role::Channel("worker".into(), part);
        let expected = [
            (names.object(Kind::Control), of_channel(Part::Control)),
            (names.object(Kind::Segment(Side::B, 2)), of_channel(Part::Segment(Side::B))),
            (replaced, of_channel(Part::Replaced)),
            (unnamed, Role::Unnamed),
            (registry, Role::Registry),
            (chunk, Role::Registry),
            (other, Role::Other),
        ];
        let found = objects(&heap, "fleet").unwrap();
        let roles: BTreeMap<_, _> = found.into_iter().map(|object| (object.name, object.role)).collect();
        assert_eq!(roles.len(), expected.len());
        for (object, role) in expected {
            assert_eq!(roles[&object], role, "{object}");
        }
    }
}
