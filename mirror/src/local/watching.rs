//! A namespace of this host: a thread tells the source which channels it has, what changes, and how
//! their writers are.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::thread;
use std::time::Duration;

use tearless::hub::Pattern;
use tearless::inspect::WriterState;
use tearless::mirror::{MirrorReader, OriginStatus};
use tearless::{Bytes, Namespace, accept};

use super::now;
use super::published::{PublishedChannel, SLICE, Serving};
use crate::message::{Description, Status, Writer, nanos};

/// For so long after a change the thread looks for others by itself, every so often. A writer that
/// finds it waiting wakes it, by a system call.
const BUSY: Duration = Duration::from_millis(5);
const POLL: Duration = Duration::from_micros(100);
/// How often the writers' states are looked at: the kernel announces no death.
const LOOK: Duration = Duration::from_secs(1);

/// A channel that is published, or why it is not.
pub(super) enum Found {
    Published {
        key: u32,
        reader: MirrorReader,
        status: OriginStatus,
        read_at: Duration,
    },
    /// A mirrored one: it is read where it comes from.
    Mirrored(MirrorReader),
}

/// Watches one namespace.
pub(super) struct Watching {
    pub(super) serving: Arc<Serving>,
    pub(super) namespace: Namespace,
    pub(super) patterns: Vec<Pattern>,
    pub(super) known: HashMap<Arc<str>, Found>,
}

impl Watching {
    pub(super) fn run(&mut self, orders: &Receiver<Vec<Pattern>>) {
        let hub = self.namespace.hub_builder().codec::<Bytes>().accept(accept::Any).open();
        let mut watch = hub.watch(&self.watched());
        let (mut looked_at, mut changed_at) = (Duration::ZERO, None);
        loop {
            match orders.try_recv() {
                Ok(patterns) => {
                    self.patterns = patterns;
                    watch = hub.watch(&self.watched());
                    looked_at = Duration::ZERO;
                    let left: Vec<Arc<str>> =
                        self.known.keys().filter(|name| !self.is_wanted(name)).cloned().collect();
                    left.iter().for_each(|name| self.forget(name));
                }
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => break,
            }
            let is_busy = changed_at.is_some_and(|at| now() < at + BUSY);
            let changed = if is_busy {
                thread::sleep(POLL);
                watch.changed()
            } else {
                watch.wait_any(SLICE)
            };
            match changed {
                Ok(changed) => {
                    changed_at = if changed.is_empty() { changed_at } else { Some(now()) };
                    changed.into_iter().for_each(|name| self.update(&name));
                }
                Err(_) => thread::sleep(SLICE),
            }
            if now() >= looked_at + LOOK {
                looked_at = now();
                self.look();
            }
            self.serving.serve(|_| None);
        }
        for (_, known) in self.known.drain() {
            if let Found::Published { key, .. } = known {
                self.serving.source().remove(key);
            }
        }
        self.serving.serve(|_| None);
    }

    /// The pattern of the channels to watch: a single one leaves the others alone.
    fn watched(&self) -> String {
        if let [pattern] = &*self.patterns { pattern.to_string() } else { "*".into() }
    }

    fn is_wanted(&self, name: &str) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(name))
    }

    /// The channel has changed, or ended, or is new.
    fn update(&mut self, name: &Arc<str>) {
        if !self.is_wanted(name) {
            return;
        }
        match self.known.get(name) {
            Some(Found::Published { key, reader, .. }) if !reader.is_closed() => {
                self.serving.source().changed(*key);
            }
            Some(Found::Mirrored(reader)) if !reader.is_closed() => {}
            _ => self.open(name),
        }
    }

    /// Looks at a wanted channel that is new, or has ended.
    fn open(&mut self, name: &Arc<str>) {
        let Ok(reader) = MirrorReader::open(&self.namespace, name) else { return self.forget(name) };
        if let Some(Found::Published { reader: former, .. }) = self.known.get(name) {
            if former.instance() == reader.instance() {
                return self.tell_status(name);
            }
            self.forget(name);
        }
        if reader.is_mirrored() {
            self.known.insert(Arc::clone(name), Found::Mirrored(reader));
            return;
        }
        let Ok(status) = reader.status() else { return };
        let format = reader.format();
        let len = format.capacity;
        let description = Description {
            namespace: self.namespace.name().into(),
            channel: name.to_string(),
            instance: reader.instance(),
            format,
        };
        let channel = PublishedChannel { reader: reader.clone(), len };
        let key = self.serving.source().add(now(), description, message_status(&status), channel);
        self.known.insert(Arc::clone(name), Found::Published { key, reader, status, read_at: now() });
    }

    fn forget(&mut self, name: &str) {
        if let Some(Found::Published { key, .. }) = self.known.remove(name) {
            self.serving.source().remove(key);
        }
    }

    /// Looks at all channels: whether they are there, and how their writers are.
    pub(super) fn look(&mut self) {
        let Ok(listed) = self.namespace.channels() else { return };
        let listed_names: HashSet<&str> = listed.iter().map(|info| &*info.name).collect();
        let gone: Vec<Arc<str>> =
            self.known.keys().filter(|name| !listed_names.contains(&***name)).cloned().collect();
        for name in gone {
            self.forget(&name);
        }
        for info in &listed {
            if !self.is_wanted(&info.name) {
                continue;
            }
            let name: Arc<str> = info.name.as_str().into();
            match self.known.get(&name) {
                // A channel of another instance has its name: it was removed by hand, for example.
                Some(Found::Published { reader, .. }) if reader.instance() == info.instance => {
                    self.tell_status(&name);
                }
                Some(Found::Mirrored(reader)) if reader.instance() == info.instance => {}
                _ => self.open(&name),
            }
        }
    }

    fn tell_status(&mut self, name: &str) {
        let Some(Found::Published { key, reader, status, read_at }) = self.known.get_mut(name) else {
            return;
        };
        let Ok(latest) = reader.status() else { return };
        let (now, before) = (now(), *read_at);
        if is_news(status, &latest, now.saturating_sub(before)) {
            self.serving.source().set_status(now, *key, message_status(&latest));
            (*status, *read_at) = (latest, now);
        }
    }
}

/// Whether a status tells more than an earlier one and the time since then.
fn is_news(earlier: &OriginStatus, later: &OriginStatus, time: Duration) -> bool {
    let facts = |it: &OriginStatus| {
        (it.incarnation, it.pid, it.writer, it.heartbeat_interval, it.ended_ago.is_some())
    };
    let has_beaten = match (earlier.heartbeat_age, later.heartbeat_age) {
        (Some(earlier), Some(later)) => later + Duration::from_millis(10) < earlier + time,
        (None, later) => later.is_some(),
        (Some(_), None) => true,
    };
    facts(earlier) != facts(later) || has_beaten
}

fn message_status(status: &OriginStatus) -> Status {
    Status {
        incarnation: status.incarnation,
        pid: status.pid,
        writer: match status.writer {
            WriterState::Alive => Writer::Alive,
            WriterState::Stopped => Writer::Stopped,
            WriterState::Dead => Writer::Dead,
            WriterState::Exited => Writer::Exited,
            WriterState::Closed => Writer::Closed,
            _ => Writer::Unknown,
        },
        heartbeat_interval: status.heartbeat_interval.map(nanos),
        heartbeat_age: status.heartbeat_age.map(nanos),
        opened_ago: status.opened_ago.map(nanos),
        ended_ago: status.ended_ago.map(nanos),
    }
}
