//! The channels of this host that others may read: one thread for each namespace watches them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tearless::hub::Pattern;
use tearless::inspect::{ChannelInfo, WriterState};
use tearless::mirror::{MirrorReader, OriginStatus};
use tearless::{Bytes, Namespace, accept};

use super::{epoch, now};
use crate::carrier::{Answer, OnRequest};
use crate::message::{Description, MessageError, Reply, Request, Status, Writer, nanos};
use crate::source::{Channel, Latest, Limits, Read, Source};
use crate::status::SinkState;

/// How often the writers' states are looked at: the kernel announces no death.
const LOOK: Duration = Duration::from_secs(1);
/// How long a thread waits for changes before it looks whether it shall end.
const SLICE: Duration = Duration::from_millis(200);

/// A channel as the source reads it.
#[derive(Clone)]
pub struct PublishedChannel {
    reader: MirrorReader,
    /// Whether its states were larger than any that is sent whole.
    is_large: bool,
}

impl Channel for PublishedChannel {
    fn latest(&mut self) -> Option<Latest> {
        let publication = self.reader.publication();
        // Of a writer that is faster than the look, the length is not known.
        let unknown = if self.is_large { u64::MAX } else { 0 };
        let len = self.reader.latest().map_or(unknown, |info| info.payload_len() as u64);
        self.is_large = len > u64::from(Limits::default().inline);
        (publication > 0).then_some(Latest { publication, len })
    }

    fn read(&mut self, payload: &mut Vec<u8>) -> Option<Read> {
        let info = self.reader.snapshot_into(payload).ok()?;
        Some(Read { publication: info.publication(), age: info.age() })
    }
}

type Shared = Mutex<Source<PublishedChannel, Answer>>;

/// What is published for other hosts.
pub struct Published {
    source: Arc<Shared>,
    /// Tells the thread that answers of requests that are held.
    held: Arc<Condvar>,
    /// Tells the thread that reads large states of those to read.
    large: Arc<Condvar>,
    ends: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    /// The threads that watch namespaces, by their names.
    watches: BTreeMap<String, Watch>,
    refused: Arc<Mutex<Option<MessageError>>>,
}

/// A thread that watches a namespace until this is gone.
struct Watch {
    /// Takes which channels are published from now on.
    patterns: Sender<Vec<Pattern>>,
    thread: JoinHandle<()>,
}

impl Watch {
    fn end(self) {
        drop(self.patterns);
        let _ = self.thread.join();
    }
}

impl Published {
    /// Publishes the channels of each namespace that one of the patterns matches.
    ///
    /// # Errors
    ///
    /// If the system can't start a thread.
    pub fn start(
        session: u64,
        limits: Limits,
        namespaces: Vec<(Namespace, Vec<Pattern>)>,
    ) -> std::io::Result<Published> {
        let mut source = Source::new(session, limits);
        source.set_epoch(epoch());
        let source = Arc::new(Mutex::new(source));
        let mut published = Published {
            source,
            held: Arc::default(),
            large: Arc::default(),
            ends: Arc::default(),
            threads: Vec::new(),
            watches: BTreeMap::new(),
            refused: Arc::default(),
        };
        published.set_namespaces(namespaces)?;
        let (source, held, large, ends) = (
            Arc::clone(&published.source),
            Arc::clone(&published.held),
            Arc::clone(&published.large),
            Arc::clone(&published.ends),
        );
        let answers = thread::Builder::new().name("answers".into());
        published.threads.push(answers.spawn(move || answer_in_time(&source, &held, &large, &ends))?);
        let (source, large, ends) =
            (Arc::clone(&published.source), Arc::clone(&published.large), Arc::clone(&published.ends));
        let reads = thread::Builder::new().name("large states".into());
        published.threads.push(reads.spawn(move || read_large_states(&source, &large, &ends))?);
        Ok(published)
    }

    /// Publishes these from now on. Channels that were published and still are stay what they are
    /// to the sinks; others vanish there.
    ///
    /// # Errors
    ///
    /// If the system can't start a thread.
    pub fn set_namespaces(&mut self, namespaces: Vec<(Namespace, Vec<Pattern>)>) -> std::io::Result<()> {
        let is_left = |name: &String| namespaces.iter().all(|(namespace, _)| namespace.name() != name);
        let ended: Vec<String> = self.watches.keys().filter(|name| is_left(name)).cloned().collect();
        ended.iter().filter_map(|name| self.watches.remove(name)).for_each(Watch::end);
        for (namespace, patterns) in namespaces {
            if let Some(watch) = self.watches.get(namespace.name()) {
                // It fails only if the thread has ended.
                let _ = watch.patterns.send(patterns);
                continue;
            }
            let name = namespace.name().to_owned();
            let (sender, receiver) = channel();
            let (source, known) = (Arc::clone(&self.source), HashMap::new());
            let mut watching = Watching { source, namespace, patterns, known };
            let thread = thread::Builder::new().name(format!("watch {name}"));
            let thread = thread.spawn(move || watching.run(&receiver))?;
            self.watches.insert(name, Watch { patterns: sender, thread });
        }
        Ok(())
    }

    /// What answers the requests of other hosts.
    #[must_use]
    pub fn on_request(&self) -> OnRequest {
        let (source, held, large, refused) = (
            Arc::clone(&self.source),
            Arc::clone(&self.held),
            Arc::clone(&self.large),
            Arc::clone(&self.refused),
        );
        Arc::new(move |bytes, answer| {
            let request = match Request::decode(&bytes) {
                Ok(request) => request,
                Err(error) => {
                    *lock(&refused) = Some(error);
                    return answer(Reply::refused(&error.to_string()));
                }
            };
            let mut replies = Vec::new();
            let has_reading = {
                let mut source = lock(&source);
                replies.extend(source.ask(now(), &request, answer));
                replies.extend(source.replies(now()));
                source.has_reading()
            };
            // It may have to be answered earlier than all others.
            held.notify_one();
            if has_reading {
                large.notify_one();
            }
            send(replies);
        })
    }

    /// Sets the limit of what is sent to each mirror, in bytes a second.
    pub fn set_rate(&self, rate: Option<u64>) {
        lock(&self.source).set_rate(rate);
        self.held.notify_all();
    }

    /// What was done for each mirror that reads this host.
    #[must_use]
    pub fn reports(&self) -> Vec<SinkState> {
        lock(&self.source).reports().collect()
    }

    /// Number of channels that others may read.
    #[must_use]
    pub fn channels(&self) -> usize {
        lock(&self.source).channels()
    }

    /// Why the last request could not be decoded.
    #[must_use]
    pub fn refused(&self) -> Option<MessageError> {
        *lock(&self.refused)
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        self.held.notify_all();
        self.large.notify_all();
        std::mem::take(&mut self.watches).into_values().for_each(Watch::end);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Not while the source is locked: the carrier may wait for the network.
fn send(replies: Vec<(Answer, Vec<u8>)>) {
    replies.into_iter().for_each(|(answer, reply)| answer(reply));
}

/// Answers the requests that have been held for long enough.
fn answer_in_time(source: &Shared, held: &Condvar, large: &Condvar, ends: &AtomicBool) {
    // Relaxed: nothing but the end follows from it.
    while !ends.load(Ordering::Relaxed) {
        let mut locked = lock(source);
        // The clock may have been set since.
        locked.set_epoch(epoch());
        let replies = locked.replies(now());
        if locked.has_reading() {
            large.notify_one();
        }
        if replies.is_empty() {
            let wait = locked.next_reply().map_or(SLICE, |at| at.saturating_sub(now())).min(SLICE);
            drop(held.wait_timeout(locked, wait));
        } else {
            drop(locked);
            send(replies);
        }
    }
}

/// Reads large states, one after the other, while the source serves others. Its answers come from
/// here: no thread of the carrier waits for a reading.
fn read_large_states(source: &Shared, large: &Condvar, ends: &AtomicBool) {
    while !ends.load(Ordering::Relaxed) {
        let mut locked = lock(source);
        if let Some(mut reading) = locked.reading() {
            drop(locked);
            reading.read(now());
            let reply = lock(source).finish(now(), reading);
            send(vec![reply]);
        } else {
            drop(large.wait_timeout(locked, SLICE));
        }
    }
}

/// A channel that is published, or why it is not.
enum Known {
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
struct Watching {
    source: Arc<Shared>,
    namespace: Namespace,
    patterns: Vec<Pattern>,
    known: HashMap<Arc<str>, Known>,
}

impl Watching {
    fn run(&mut self, orders: &Receiver<Vec<Pattern>>) {
        let hub = self.namespace.hub_builder().codec::<Bytes>().accept(accept::Any).open();
        let mut watch = hub.watch(&self.watched());
        let mut looked_at = Duration::ZERO;
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
            match watch.wait_any(SLICE) {
                Ok(changed) => changed.into_iter().for_each(|name| self.update(&name)),
                Err(_) => thread::sleep(SLICE),
            }
            if now() >= looked_at + LOOK {
                looked_at = now();
                if let Ok(listed) = self.namespace.channels() {
                    self.look(&listed);
                }
            }
            let replies = lock(&self.source).replies(now());
            send(replies);
        }
        for (_, known) in self.known.drain() {
            if let Known::Published { key, .. } = known {
                lock(&self.source).remove(key);
            }
        }
        let replies = lock(&self.source).replies(now());
        send(replies);
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
            Some(Known::Published { key, reader, .. }) if !reader.is_closed() => {
                lock(&self.source).changed(*key);
            }
            Some(Known::Mirrored(reader)) if !reader.is_closed() => {}
            _ => self.open(name),
        }
    }

    /// Looks at a wanted channel that is new, or has ended.
    fn open(&mut self, name: &Arc<str>) {
        let Ok(reader) = MirrorReader::open(&self.namespace, name) else { return self.forget(name) };
        if let Some(Known::Published { reader: former, .. }) = self.known.get(name) {
            if former.instance() == reader.instance() {
                return self.tell_status(name);
            }
            self.forget(name);
        }
        if reader.is_mirrored() {
            self.known.insert(Arc::clone(name), Known::Mirrored(reader));
            return;
        }
        let Ok(status) = reader.status() else { return };
        let format = reader.format();
        let is_large = format.capacity > u64::from(Limits::default().inline);
        let description = Description {
            namespace: self.namespace.name().into(),
            channel: name.to_string(),
            instance: reader.instance(),
            format,
        };
        let channel = PublishedChannel { reader: reader.clone(), is_large };
        let key = lock(&self.source).add(now(), description, message_status(&status), channel);
        self.known.insert(Arc::clone(name), Known::Published { key, reader, status, read_at: now() });
    }

    fn forget(&mut self, name: &str) {
        if let Some(Known::Published { key, .. }) = self.known.remove(name) {
            lock(&self.source).remove(key);
        }
    }

    /// Looks at all channels: whether they are there, and how their writers are.
    fn look(&mut self, listed: &[ChannelInfo]) {
        let listed_names: HashSet<&str> = listed.iter().map(|info| &*info.name).collect();
        let gone: Vec<Arc<str>> =
            self.known.keys().filter(|name| !listed_names.contains(&***name)).cloned().collect();
        for name in gone {
            self.forget(&name);
        }
        for info in listed {
            if !self.is_wanted(&info.name) {
                continue;
            }
            let name: Arc<str> = info.name.as_str().into();
            match self.known.get(&name) {
                // A channel of another instance has its name: it was removed by hand, for example.
                Some(Known::Published { reader, .. }) if reader.instance() == info.instance => {
                    self.tell_status(&name);
                }
                Some(Known::Mirrored(reader)) if reader.instance() == info.instance => {}
                _ => self.open(&name),
            }
        }
    }

    fn tell_status(&mut self, name: &str) {
        let Some(Known::Published { key, reader, status, read_at }) = self.known.get_mut(name) else {
            return;
        };
        let Ok(latest) = reader.status() else { return };
        let (now, before) = (now(), *read_at);
        if is_news(status, &latest, now.saturating_sub(before)) {
            lock(&self.source).set_status(now, *key, message_status(&latest));
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
