//! The channels of an origin, and their copies on this host.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tearless::hub::Pattern;

use super::orphans::{Name, Orphans};
use super::refresh::Refresh;
use super::wanted::Wanted;
use super::{Copies, Mirrored, Options, beginning};
use crate::lag::Lag;
use crate::message::{Content, Description, Interest, Item, State};
use crate::status::OriginState;

struct Channel<C> {
    name: Name,
    instance: u64,
    /// Or why there is none.
    copy: Result<C, String>,
    /// The round of its latest status.
    sequence: u64,
    /// Whether it was in the current listing.
    is_listed: bool,
    /// Whether news of the current listing came while there was no copy.
    has_missed: bool,
    /// Memory of this host that it counts for.
    bytes: u64,
}

/// The channels of an origin that the sink knows.
pub(super) struct Channels<S: Copies> {
    origin: String,
    patterns: Vec<(Pattern, Pattern)>,
    options: Options,
    copies: S,
    channels: BTreeMap<u32, Channel<S::Copy>>,
    names: HashMap<Name, u32>,
    orphans: Orphans<S::Copy>,
    /// Removed channels, and the round that said so: an earlier one may still come.
    gone: HashMap<u32, u64>,
    /// Memory of this host that the copies count for.
    bytes: u64,
    wanted: Wanted,
    pub(super) refresh: Refresh,
    /// How long the latest reply was under way.
    pub(super) way: Duration,
    pub(super) lag: Lag,
}

impl<S: Copies> Channels<S> {
    pub(super) fn new(origin: &str, interest: &[Interest], options: Options, copies: S) -> Channels<S> {
        Channels {
            origin: origin.into(),
            patterns: interest.iter().map(Interest::patterns).collect(),
            options,
            copies,
            channels: BTreeMap::new(),
            names: HashMap::new(),
            orphans: Orphans::new(),
            gone: HashMap::new(),
            bytes: 0,
            wanted: Wanted::default(),
            refresh: Refresh::new(),
            way: Duration::ZERO,
            lag: Lag::default(),
        }
    }

    pub(super) fn reload(&mut self, interest: &[Interest], options: Options) {
        self.patterns = interest.iter().map(Interest::patterns).collect();
        self.options = options;
    }

    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    /// Memory of this host that the copies count for.
    pub(super) fn memory(&self) -> u64 {
        self.bytes + self.orphans.bytes()
    }

    /// Number of the copies.
    pub(super) fn count(&self) -> u64 {
        (self.copies().count() + self.orphans.len()) as u64
    }

    /// Why channels have no copies.
    pub(super) fn refused(&self) -> impl Iterator<Item = String> {
        self.channels.values().filter_map(|channel| {
            let why = channel.copy.as_ref().err()?;
            Some(format!("{}/{}: {why}", channel.name.namespace, channel.name.channel))
        })
    }

    /// Number of the names that are known.
    #[cfg(test)]
    pub(super) fn names(&self) -> usize {
        self.names.len()
    }

    /// The copies, by namespace and channel of the origin.
    pub(super) fn copies(&self) -> impl Iterator<Item = (&str, &str, &S::Copy)> {
        self.channels.values().filter_map(|channel| {
            let copy = channel.copy.as_ref().ok()?;
            Some((&*channel.name.namespace, &*channel.name.channel, copy))
        })
    }

    /// Whether a state of so many bytes may be applied: there is a copy, which has an earlier one.
    pub(super) fn may_apply(&self, key: u32, publication: u64, len: u64) -> bool {
        let copy = self.channels.get(&key).and_then(|channel| channel.copy.as_ref().ok());
        self.too_large(key, len).is_none() && copy.is_some_and(|copy| copy.publication() < publication)
    }

    /// Why a state of so many bytes has no room here.
    fn too_large(&self, key: u32, len: u64) -> Option<&'static str> {
        let bytes = self.channels.get(&key).map_or(0, |channel| channel.bytes);
        let all = (self.bytes - bytes).saturating_add(bytes.max(len.saturating_mul(4)));
        match () {
            () if len > self.options.max_state_len => Some("raise max-state-len"),
            () if all > self.options.max_memory => Some("raise max-memory"),
            () => None,
        }
    }

    pub(super) fn set_unreachable(&mut self, since: Option<Duration>) {
        let copies = self.channels.values_mut().filter_map(|channel| channel.copy.as_mut().ok());
        copies.chain(self.orphans.copies_mut()).for_each(|copy| copy.set_unreachable(since));
    }

    /// Looks whether the copies are still there.
    pub(super) fn check(&mut self, now: Duration) {
        let mut is_missing = false;
        for channel in self.channels.values_mut() {
            if let Ok(copy) = &mut channel.copy
                && let Err(why) = copy.check()
            {
                channel.copy = Err(beginning(&why));
                self.bytes -= std::mem::take(&mut channel.bytes);
                is_missing = true;
            }
        }
        if is_missing {
            self.refresh.later(now);
        }
    }

    /// The source has restarted. Its copies stay until it has told which channels it has.
    pub(super) fn begin_session(&mut self) {
        for channel in std::mem::take(&mut self.channels).into_values() {
            if let Ok(copy) = channel.copy {
                self.orphans.insert(channel.name, channel.instance, copy, channel.bytes);
            }
        }
        self.names.clear();
        self.bytes = 0;
        self.gone.clear();
        self.wanted.clear();
    }

    /// The source begins to tell which channels there are.
    pub(super) fn begin_listing(&mut self) {
        for channel in self.channels.values_mut() {
            (channel.is_listed, channel.has_missed) = (false, false);
        }
    }

    /// All channels were told: the others are gone.
    pub(super) fn finish_listing(&mut self) {
        self.refresh.settle();
        self.orphans.remove_all();
        let gone: Vec<u32> =
            self.channels.iter().filter(|(_, channel)| !channel.is_listed).map(|(key, _)| *key).collect();
        gone.into_iter().for_each(|key| self.remove(key));
        let names = &self.names;
        self.copies.remove_others(&self.origin, &|namespace, channel| {
            names.contains_key(&Name { namespace: namespace.into(), channel: channel.into() })
        });
    }

    /// The round `id` says that the channel was removed.
    pub(super) fn end(&mut self, id: u64, key: u32) {
        self.remove(key);
        self.gone.insert(key, id);
    }

    /// Whether more removed channels are remembered than there may be channels.
    pub(super) fn has_many_gone(&self) -> bool {
        self.gone.len() > self.options.max_channels
    }

    /// No round before `first` will come.
    pub(super) fn forget_gone(&mut self, first: u64) {
        self.gone.retain(|_, id| *id > first);
    }

    fn remove(&mut self, key: u32) {
        let Some(channel) = self.channels.remove(&key) else { return };
        self.bytes -= channel.bytes;
        self.wanted.forget(key);
        if self.names.get(&channel.name) == Some(&key) {
            self.names.remove(&channel.name);
        }
        if let Ok(copy) = channel.copy {
            copy.remove();
        }
    }

    /// Applies what a round with these numbers has. Returns whether the channel is known.
    pub(super) fn apply(
        &mut self,
        now: Duration,
        (id, sequence, is_listing): (u64, u64, bool),
        item: &Item<'_>,
        report: &mut OriginState,
    ) -> bool {
        if self.gone.get(&item.key).is_some_and(|later| *later > id) {
            return true;
        }
        // What an earlier listing had may be gone in this one.
        if let Some(description) = item.description.as_ref().filter(|_| is_listing) {
            self.describe(now, item.key, description, report);
        }
        // Of a channel beyond the limit nothing is kept.
        let is_full = self.channels.len() >= self.options.max_channels;
        let too_large = item.state.as_ref().and_then(|state| match state.content {
            Content::Large(len) => self.too_large(item.key, len),
            Content::Whole(_) => None,
        });
        let Some(channel) = self.channels.get_mut(&item.key) else { return is_full };
        channel.is_listed |= is_listing;
        let Ok(copy) = &mut channel.copy else {
            channel.has_missed |= is_listing;
            return true;
        };
        if let Some(status) = &item.status
            && sequence > channel.sequence
        {
            channel.sequence = sequence;
            copy.set_status(status);
        }
        match item.state {
            Some(state) if state.publication <= copy.publication() => report.ignored += 1,
            Some(State { publication, content: Content::Large(len), .. }) => match too_large {
                None => self.want(item.key, publication),
                Some(what) => {
                    let Name { namespace, channel } = &channel.name;
                    report.trouble =
                        Some(format!("{namespace}/{channel} has a state of {len} bytes: {what}"));
                }
            },
            Some(State { publication, age, content: Content::Whole(payload) }) => {
                self.publish(now, item.key, payload, (publication, age.map(Duration::from_nanos)), report);
            }
            None => {}
        }
        true
    }

    /// Publishes a state with its publication, which is a later one, and its age.
    pub(super) fn publish(
        &mut self,
        now: Duration,
        key: u32,
        payload: &[u8],
        (publication, age): (u64, Option<Duration>),
        report: &mut OriginState,
    ) {
        let Some(channel) = self.channels.get(&key) else { return };
        // A segment of each side has at least two slots.
        let bytes = channel.bytes.max(4 * payload.len() as u64);
        let all = self.bytes + bytes - channel.bytes;
        if all <= self.options.max_memory {
            self.make_room(0, all - self.bytes);
        }
        let Some(channel) = self.channels.get_mut(&key) else { return };
        let Ok(copy) = &mut channel.copy else { return };
        let replaces = copy.publication() > 0;
        let published = if all > self.options.max_memory {
            Err(format!(
                "its copies would take more than {} bytes: raise max-memory",
                self.options.max_memory
            ))
        } else {
            (self.bytes, channel.bytes) = (all, bytes);
            copy.publish(payload, publication, age)
        };
        match published {
            Ok(()) => {
                report.applied += 1;
                // The first state of a copy may be as old as it likes: nothing waited for it.
                if let Some(age) = age.filter(|_| replaces) {
                    self.lag.add(now, age.saturating_add(self.way));
                }
            }
            Err(why) => {
                report.trouble = Some(beginning(&why));
                self.refresh.later(now);
            }
        }
    }

    /// The large state of this channel is to be transferred, from this publication on.
    pub(super) fn want(&mut self, key: u32, publication: u64) {
        self.wanted.want(key, publication);
    }

    pub(super) fn wants_any(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// The next large state to transfer.
    pub(super) fn take_wanted(&mut self) -> Option<(u32, u64)> {
        let channels = &self.channels;
        self.wanted.take_next(|key, publication| {
            let copy = channels.get(&key).and_then(|channel| channel.copy.as_ref().ok());
            copy.is_some_and(|copy| copy.publication() < publication)
        })
    }

    fn describe(&mut self, now: Duration, key: u32, description: &Description, report: &mut OriginState) {
        let name = Name { namespace: description.namespace.clone(), channel: description.channel.clone() };
        if let Some(known) = self.channels.get(&key)
            && (known.copy.is_ok() || known.name != name)
        {
            // A key is of one channel as long as the origin's mirror runs.
            return;
        }
        if self.channels.len() >= self.options.max_channels && !self.channels.contains_key(&key) {
            let max = self.options.max_channels;
            report.trouble = Some(format!("it has more than {max} channels: raise max-channels"));
            return;
        }
        let mut may_be_mended = false;
        let copy = match self.names.get(&name).copied() {
            Some(other) if other > key => Err("it was replaced".into()),
            other => {
                if let Some(other) = other.filter(|other| *other != key) {
                    self.remove(other);
                }
                self.refuse(&name, description).map_or_else(
                    || {
                        may_be_mended = true;
                        self.open(key, &name, description)
                    },
                    Err,
                )
            }
        };
        if copy.is_err() && may_be_mended {
            self.refresh.later(now);
        }
        if self.names.get(&name).is_none_or(|other| *other <= key) {
            self.names.insert(name.clone(), key);
        }
        let instance = description.instance;
        let (copy, bytes) = match copy {
            Ok((copy, bytes)) => (Ok(copy), bytes),
            Err(why) => (Err(beginning(&why)), 0),
        };
        self.bytes += bytes;
        let channel =
            Channel { name, instance, copy, sequence: 0, is_listed: true, has_missed: false, bytes };
        let has_copy = channel.copy.is_ok();
        if let Some(former) = self.channels.insert(key, channel) {
            self.bytes -= former.bytes;
            if has_copy && former.has_missed {
                // The rounds have overtaken each other.
                self.refresh.at = Some(now);
            }
        }
    }

    /// Opens the copy of a channel, and says for how much memory of this host it counts.
    fn open(&mut self, key: u32, name: &Name, description: &Description) -> Result<(S::Copy, u64), String> {
        let mut bytes = description.format.capacity.saturating_mul(4);
        let resumed = self.orphans.take(name, description.instance);
        bytes = bytes.max(resumed.as_ref().map_or(0, |(_, bytes)| *bytes));
        self.make_room(usize::from(!self.channels.contains_key(&key)), bytes);
        let copy = match resumed {
            Some((copy, _)) => copy,
            None => self.copies.open(&self.origin, description)?,
        };
        Ok((copy, bytes))
    }

    /// Removes orphans until there is room for so many channels and bytes more.
    fn make_room(&mut self, channels: usize, bytes: u64) {
        let Options { max_channels, max_memory, .. } = self.options;
        while self.channels.len() + self.orphans.len() + channels > max_channels
            || self.memory().saturating_add(bytes) > max_memory
        {
            if !self.orphans.remove_one() {
                return;
            }
        }
    }

    /// Why there shall be no copy of this channel.
    fn refuse(&self, name: &Name, description: &Description) -> Option<String> {
        let Options { max_state_len, max_memory, .. } = self.options;
        let is_of = |it: &(Pattern, Pattern)| it.0.matches(&name.namespace) && it.1.matches(&name.channel);
        if !self.patterns.iter().any(is_of) {
            Some("it was not asked for".into())
        } else if description.format.capacity > max_state_len {
            Some(format!("its states are larger than {max_state_len} bytes: raise max-state-len"))
        } else if self.bytes.saturating_add(description.format.capacity.saturating_mul(4)) > max_memory {
            Some(format!("the copies would take more than {max_memory} bytes: raise max-memory"))
        } else {
            None
        }
    }

    /// Removes all copies.
    pub(super) fn close(mut self) {
        self.orphans.remove_all();
        self.channels.into_values().filter_map(|channel| channel.copy.ok()).for_each(Mirrored::remove);
    }
}
