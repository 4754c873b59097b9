//! The channels that a pattern matches, kept ready to be read round after round.

use std::any::TypeId;
use std::fmt::{self, Display, Formatter};
use std::marker::PhantomData;
use std::mem;
use std::sync::{Arc, Mutex};

use super::Hub;
use super::attached::{Names, Readers, with_scratch};
use super::query::{HubState, slow_receive};
use super::report::QueryError;
use crate::accept::{Accept, SameType};
use crate::channel::SnapshotInfo;
use crate::codec::{Decode, Direct, MessagePack, Strategy};
use crate::registry::ChannelWatch;
use crate::seqlock::Destination;
use crate::snapshot::Snapshot;

/// The channels of a [`Hub`] that a [`Pattern`] matches, to be read round after round. Made by
/// [`Hub::select`].
///
/// A selection works out once which channels it has, and again when the list of the namespace's
/// channels changes. Like a [`Reader`](crate::Reader) it is read by one thread at a time; its
/// clones read the same channels, share their mappings, and never wait for each other.
///
/// ```
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct WorkerState { jobs_done: u64 }
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let fleet = tearless::Namespace::in_process("fleet")?;
/// # let mut writer = fleet.writer::<WorkerState>("worker-7")?;
/// # writer.publish(&WorkerState { jobs_done: 3 })?;
/// let mut workers = fleet.hub().select("worker-*");
/// // every 10 milliseconds:
/// let mut jobs_done = 0;
/// for worker in workers.iter::<WorkerState>()? {
///     match worker.state {
///         Ok(state) => jobs_done += state.jobs_done,
///         Err(error) => println!("{}: {error}", worker.channel),
///     }
/// }
/// # assert_eq!(jobs_done, 3);
/// # Ok(())
/// # }
/// ```
pub struct Selection<C = MessagePack, A = SameType> {
    hub: Hub<C, A>,
    pattern: Pattern,
    watch: ChannelWatch,
    /// Whether the watch has seen a change since the hub's listing was `listed`.
    is_outdated: bool,
    listed: Names,
    /// [`Shared::listings`](super::attached::Shared::listings) at the last look.
    listings: u64,
    /// The names of the listing that the pattern matches.
    names: Vec<Arc<str>>,
    /// Where the readers are between rounds, so that the hub can evict their channels.
    place: Arc<Mutex<Readers>>,
    number: u64,
}

impl<C, A> Selection<C, A> {
    pub(super) fn new(hub: Hub<C, A>, pattern: Pattern) -> Selection<C, A> {
        let handle = &hub.shared.handle;
        let watch = ChannelWatch::new(handle.backend().clone(), handle.namespace());
        let (number, place) = hub.shared.add_selection();
        let (listed, names) = (Arc::default(), Vec::new());
        Selection { hub, pattern, watch, is_outdated: true, listed, listings: 0, names, place, number }
    }

    /// The names of the channels, in alphabetical order, for example for a [`Hub::cut`].
    ///
    /// Cost: two loads and a read of the coarse clock; if the list of the namespace's channels has
    /// changed, as [`Hub::channels`].
    ///
    /// # Errors
    ///
    /// As [`Hub::channels`].
    pub fn channels(&mut self) -> Result<&[Arc<str>], QueryError> {
        let readers = self.follow()?;
        put(&self.place, readers);
        Ok(&self.names)
    }

    /// Follows the list of the namespace's channels; the readers that are in place. There is none
    /// of a channel that is new, or that the hub has evicted.
    fn follow(&mut self) -> Result<Readers, QueryError> {
        let mut readers = self.place.try_lock().map(|mut place| mem::take(&mut *place)).unwrap_or_default();
        let shared = &self.hub.shared;
        shared.follow_now_and_then();
        let listings = mem::replace(&mut self.listings, shared.listings());
        // The watch returns this once, and the listing may fail.
        self.is_outdated |= self.watch.changed().unwrap_or(true) | (listings != self.listings);
        if self.is_outdated {
            let (listed, is_current) = shared.listed()?;
            self.is_outdated = !is_current;
            if !Arc::ptr_eq(&listed, &self.listed) {
                let matching = listed.iter().map(|(name, _)| name).filter(|name| self.pattern.matches(name));
                let names: Vec<_> = matching.cloned().collect();
                let mut known = self.names.iter().zip(mem::take(&mut readers.all)).peekable();
                readers.all.extend(names.iter().map(|name| {
                    while known.next_if(|(known, _)| *known < name).is_some() {}
                    let (_, mut reader) = known.next_if(|(known, _)| *known == name)?;
                    shared.release(&mut reader);
                    reader
                }));
                (self.listed, self.names) = (listed, names);
            }
        }
        readers.all.resize(self.names.len(), None);
        Ok(readers)
    }
}

impl<C: 'static, A: 'static> Selection<C, A> {
    /// The latest states of all channels, in the order of their names. Each is read when the
    /// iterator gets there. If a state can't be read, the item has the error.
    ///
    /// Progress and cost: for each channel as [`Reader::snapshot`](crate::Reader::snapshot), once
    /// it has been read; for the round as [`Selection::channels`].
    ///
    /// # Errors
    ///
    /// As [`Hub::channels`].
    pub fn iter<T: 'static>(&mut self) -> Result<impl ExactSizeIterator<Item = HubState<T, &str>>, QueryError>
    where
        C: Decode<T>,
        A: Accept<T, C>,
    {
        let mut readers = self.follow()?;
        let types = Some(TypeId::of::<(T, C, A)>());
        if mem::replace(&mut readers.types, types) != types {
            readers.all.fill(None);
        }
        readers.read_at = self.hub.shared.counts.attachments();
        let mut round = Round { hub: &self.hub, readers, place: &self.place, states: PhantomData };
        Ok(self
            .names
            .iter()
            .enumerate()
            .map(move |(index, name)| HubState { channel: &**name, state: round.read(index, name) }))
    }
}

/// What one channel of a round gave.
type Received = Result<SnapshotInfo, QueryError>;

/// One round over a selection, for states of type `T`.
struct Round<'a, T, C, A> {
    hub: &'a Hub<C, A>,
    readers: Readers,
    place: &'a Mutex<Readers>,
    states: PhantomData<fn() -> T>,
}

impl<T: 'static, C: Decode<T> + 'static, A: Accept<T, C> + 'static> Round<'_, T, C, A> {
    #[inline]
    fn read(&mut self, index: usize, channel: &str) -> Result<Snapshot<T>, QueryError> {
        if let Strategy::Direct(direct) = C::strategy() {
            let mut state = direct.blank();
            let info = self.receive(index, channel, &mut direct.destination(&mut state))?;
            return Ok(Snapshot::new(state, info));
        }
        with_scratch(|scratch| {
            let info = self.receive(index, channel, &mut &mut *scratch)?;
            Ok(Snapshot::decoded(C::decode(scratch), C::NAME, channel, info)?)
        })
    }

    #[inline]
    fn receive<D: Destination>(&mut self, index: usize, channel: &str, destination: &mut D) -> Received {
        if let Some(reader) = &self.readers.all[index]
            && let Ok(info) = reader.try_fast(destination)
        {
            return Ok(info);
        }
        self.slow(index, channel, destination)
    }

    /// The same if the channel is not attached, or if the first attempt failed.
    #[cold]
    #[inline(never)]
    fn slow<D: Destination>(&mut self, index: usize, channel: &str, destination: &mut D) -> Received {
        // A replaced segment is unmapped when no reader has it.
        self.readers.all[index] = None;
        let (shared, round) = (&*self.hub.shared, Some(&mut self.readers));
        let (reader, accepted, info) = slow_receive::<T, C, A>(shared, channel, destination, round)?;
        self.readers.all[index] = accepted.plan().is_none().then_some(reader);
        Ok(info)
    }
}

impl<T, C, A> Drop for Round<'_, T, C, A> {
    fn drop(&mut self) {
        put(self.place, mem::take(&mut self.readers));
    }
}

/// Leaves the readers in their place, for the next round.
fn put(place: &Mutex<Readers>, readers: Readers) {
    // The hub has the place only while it evicts channels.
    if let Ok(mut place) = place.try_lock() {
        *place = readers;
    }
}

impl<C, A> Clone for Selection<C, A> {
    fn clone(&self) -> Self {
        Selection::new(self.hub.clone(), self.pattern.clone())
    }
}

impl<C, A> Drop for Selection<C, A> {
    fn drop(&mut self) {
        self.hub.shared.remove_selection(self.number);
    }
}

debug_by!(Selection<C, A>, |it| namespace: it.hub.shared.handle.namespace(), pattern: it.pattern);

/// A pattern of names, as in a shell: `*` matches any number of characters, `?` matches any one
/// character, and every other character matches itself.
///
/// ```
/// let workers = tearless::hub::Pattern::new("worker-*");
/// assert!(workers.matches("worker-7") && !workers.matches("database"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    text: String,
    /// Bytes before the first star or question mark.
    literal: usize,
}

impl Pattern {
    /// The pattern of this text. Every text is a pattern.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Pattern {
        let text = text.into();
        Pattern { literal: text.find(['*', '?']).unwrap_or(text.len()), text }
    }

    /// The pattern that matches this name alone, whatever characters it has.
    #[cfg(feature = "async")]
    pub(super) fn exactly(name: &str) -> Pattern {
        Pattern { text: name.into(), literal: name.len() }
    }

    /// Whether the pattern matches all of `name`.
    ///
    /// Cost: at worst the product of both lengths, for any pattern. Nothing is allocated.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        // Most patterns are the beginning of a name and a star.
        let (literal, pattern) = self.text.split_at(self.literal);
        let Some(rest) = name.strip_prefix(literal) else { return false };
        if pattern == "*" {
            return true;
        }
        let (mut pattern, mut rest) = (pattern.chars(), rest.chars());
        // The pattern after the last star, and the part of the name after the characters that the
        // star takes.
        let mut retry = None;
        loop {
            let (mut next_pattern, mut next_rest) = (pattern.clone(), rest.clone());
            match (next_pattern.next(), next_rest.next()) {
                (None, None) => return true,
                (Some('*'), _) => {
                    retry = Some((next_pattern.clone(), rest.clone()));
                    pattern = next_pattern;
                }
                (Some(expected), Some(found)) if expected == '?' || expected == found => {
                    (pattern, rest) = (next_pattern, next_rest);
                }
                // The last star takes one more character.
                _ => {
                    let Some((after_star, mut after_taken)) = retry else { return false };
                    if after_taken.next().is_none() {
                        return false;
                    }
                    (pattern, rest) = (after_star.clone(), after_taken.clone());
                    retry = Some((after_star, after_taken));
                }
            }
        }
    }
}

/// The pattern's text.
impl Display for Pattern {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_match_as_in_a_shell() {
        for (pattern, name, matches) in [
            ("*", "", true),
            ("*", "worker-7", true),
            ("", "", true),
            ("", "a", false),
            ("worker-7", "worker-7", true),
            ("worker-7", "worker-77", false),
            ("worker", "workers", false),
            ("worker-*", "worker-77", true),
            ("worker-*", "worker-", true),
            ("worker-*", "worker", false),
            ("wörker*-?", "wörker-1-2", true),
            ("wörker*-?", "wörker-1-22", false),
            ("worker-?", "worker-77", false),
            ("worker-??", "worker-77", true),
            ("w*", "worker", true),
            ("w*x", "worker", false),
            ("*-7", "worker-7", true),
            ("*-7", "worker-7-8", false),
            ("*-?", "worker-7", true),
            ("w*r*7", "worker-7", true),
            ("w*x*7", "worker-7", false),
            ("**", "ü", true),
            ("**", "x", true),
            ("?", "ü", true),
            ("?", "", false),
            ("a?", "a", false),
            ("a*b", "ab", true),
            ("a*ab", "aaab", true),
            ("w*", "worker", true),
            ("*-?", "worker-7", true),
            ("w*x", "worker", false),
            ("a?", "a", false),
        ] {
            assert_eq!(Pattern::new(pattern).matches(name), matches, "{pattern:?} {name:?}");
        }
    }

    #[test]
    #[cfg(feature = "async")]
    fn in_an_exact_pattern_stars_and_question_marks_match_themselves() {
        let pattern = Pattern::exactly("w*?");
        assert!(pattern.matches("w*?") && !pattern.matches("w12") && !pattern.matches("w*??"));
        assert_eq!(pattern.to_string(), "w*?");
    }

    #[test]
    fn every_pattern_ends_soon() {
        for count in [100, 200] {
            let pattern = Pattern::new("*a".repeat(count));
            assert!(!pattern.matches(&"a".repeat(count - 1)));
            assert!(pattern.matches(&"a".repeat(count)));
        }
    }
}
