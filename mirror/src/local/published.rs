//! What this host publishes for others: it answers their requests.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tearless::Namespace;
use tearless::hub::Pattern;
use tearless::mirror::MirrorReader;

use super::watching::Watching;
use super::{epoch, now};
use crate::carrier::{Answer, OnRequest};
use crate::message::{MessageError, Reply, Request};
use crate::source::{Channel, Latest, Limits, Read, Source};
use crate::status::SinkState;

/// How long a thread waits for changes before it looks whether it shall end.
pub(super) const SLICE: Duration = Duration::from_millis(200);

/// A channel as the source reads it.
#[derive(Clone)]
pub struct PublishedChannel {
    pub(super) reader: MirrorReader,
    /// Whether its states were larger than any that is sent whole.
    pub(super) is_large: bool,
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

pub(super) type Shared = Mutex<Source<PublishedChannel, Answer>>;

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

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Not while the source is locked: the carrier may wait for the network.
pub(super) fn send(replies: Vec<(Answer, Vec<u8>)>) {
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
