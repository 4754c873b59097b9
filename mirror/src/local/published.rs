//! What this host publishes for others: it answers their requests.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
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
    /// Bytes of its latest state, as they were last known: at first, what it has room for.
    pub(super) len: u64,
}

impl Channel for PublishedChannel {
    fn latest(&mut self) -> Option<Latest> {
        let publication = self.reader.publication();
        // Not of a writer that is faster than the look.
        if let Some(info) = self.reader.latest() {
            self.len = info.payload_len() as u64;
        }
        (publication > 0).then_some(Latest { publication, len: self.len })
    }

    fn read(&mut self, payload: &mut Vec<u8>) -> Option<Read> {
        let info = self.reader.snapshot_into(payload).ok()?;
        Some(Read { publication: info.publication(), age: info.age() })
    }
}

/// The source, and what wakes the threads that serve it.
pub(super) struct Serving {
    source: Mutex<Source<PublishedChannel, Answer>>,
    /// Tells the thread that answers of requests that are held.
    held: Condvar,
    /// Tells the thread that reads large states of those to read.
    large: Condvar,
    ends: AtomicBool,
}

impl Serving {
    pub(super) fn source(&self) -> MutexGuard<'_, Source<PublishedChannel, Answer>> {
        lock(&self.source)
    }

    /// Sends the replies that are due, after `work` at the source.
    pub(super) fn serve(
        &self,
        work: impl FnOnce(&mut Source<PublishedChannel, Answer>) -> Option<(Answer, Vec<u8>)>,
    ) {
        let mut source = self.source();
        let before = source.next_reply();
        let mut replies: Vec<_> = work(&mut source).into_iter().collect();
        replies.extend(source.replies(now()));
        // The thread waits for `before` at the latest.
        if source.next_reply().is_some_and(|next| before.is_none_or(|before| next < before)) {
            self.held.notify_one();
        }
        if source.has_reading() {
            self.large.notify_one();
        }
        // The carrier may wait for the network.
        drop(source);
        replies.into_iter().for_each(|(answer, reply)| answer(reply));
    }

    /// Answers the requests that have been held for long enough.
    fn answer_in_time(&self) {
        // Relaxed: nothing but the end follows from it.
        while !self.ends.load(Ordering::Relaxed) {
            self.serve(|source| {
                // The clock may have been set since.
                source.set_epoch(epoch());
                None
            });
            let source = self.source();
            let wait = source.next_reply().map_or(SLICE, |at| at.saturating_sub(now())).min(SLICE);
            if !wait.is_zero() {
                drop(self.held.wait_timeout(source, wait));
            }
        }
    }

    /// Reads large states, one after the other, while the source serves others. Its answers come
    /// from here: no thread of the carrier waits for a reading.
    fn read_large_states(&self) {
        while !self.ends.load(Ordering::Relaxed) {
            let mut source = self.source();
            if let Some(mut reading) = source.reading() {
                drop(source);
                reading.read(now);
                self.serve(|source| Some(source.finish(now(), reading)));
            } else {
                drop(self.large.wait_timeout(source, SLICE));
            }
        }
    }
}

/// What is published for other hosts.
pub struct Published {
    serving: Arc<Serving>,
    threads: Vec<JoinHandle<()>>,
    /// The threads that watch namespaces, by their names.
    watches: BTreeMap<String, Watch>,
    undecodable: Arc<Mutex<Undecodable>>,
}

/// The requests that could not be decoded.
#[derive(Clone, Copy, Debug, Default)]
pub struct Undecodable {
    /// Number of them.
    pub count: u64,
    /// Why the last one could not.
    pub last: Option<MessageError>,
}

impl Undecodable {
    fn add(&mut self, error: MessageError) {
        self.count += 1;
        self.last = Some(error);
    }
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
        let serving = Arc::new(Serving {
            source: Mutex::new(source),
            held: Condvar::new(),
            large: Condvar::new(),
            ends: AtomicBool::new(false),
        });
        let mut published = Published {
            serving: Arc::clone(&serving),
            threads: Vec::new(),
            watches: BTreeMap::new(),
            undecodable: Arc::default(),
        };
        published.set_namespaces(namespaces)?;
        let answers = thread::Builder::new().name("answers".into());
        let answering = Arc::clone(&serving);
        published.threads.push(answers.spawn(move || answering.answer_in_time())?);
        let reads = thread::Builder::new().name("large states".into());
        published.threads.push(reads.spawn(move || serving.read_large_states())?);
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
            let (serving, known) = (Arc::clone(&self.serving), HashMap::new());
            let mut watching = Watching { serving, namespace, patterns, known };
            // A mirror that asks at once is to be told of all channels.
            watching.look();
            let thread = thread::Builder::new().name(format!("watch {name}"));
            let thread = thread.spawn(move || watching.run(&receiver))?;
            self.watches.insert(name, Watch { patterns: sender, thread });
        }
        Ok(())
    }

    /// What answers the requests of other hosts.
    #[must_use]
    pub fn on_request(&self) -> OnRequest {
        let (serving, undecodable) = (Arc::clone(&self.serving), Arc::clone(&self.undecodable));
        Arc::new(move |bytes, answer| match Request::decode(&bytes) {
            Ok(request) => serving.serve(|source| source.ask(now(), &request, answer)),
            Err(error) => {
                lock(&undecodable).add(error);
                answer(Reply::refused(&error.to_string()));
            }
        })
    }

    /// Sets the limit of what is sent to each mirror, in bytes a second.
    pub fn set_rate(&self, rate: Option<u64>) {
        self.serving.serve(|source| {
            source.set_rate(rate);
            None
        });
    }

    /// What was done for each mirror that reads this host.
    #[must_use]
    pub fn reports(&self) -> Vec<SinkState> {
        self.serving.source().reports().collect()
    }

    /// Number of channels that others may read.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.serving.source().channels()
    }

    /// The requests that could not be decoded.
    #[must_use]
    pub fn undecodable(&self) -> Undecodable {
        *lock(&self.undecodable)
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        self.serving.ends.store(true, Ordering::Relaxed);
        self.serving.held.notify_all();
        self.serving.large.notify_all();
        let watches = std::mem::take(&mut self.watches).into_values();
        // All of them end at the same time.
        let threads: Vec<_> = watches.map(|watch| watch.thread).collect();
        for thread in threads.into_iter().chain(self.threads.drain(..)) {
            let _ = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_that_cannot_be_decoded_are_refused_and_counted() {
        let published = Published::start(7, Limits::default(), Vec::new()).unwrap();
        for count in 1..=2 {
            let (tell, told) = channel();
            published.on_request()(b"?".to_vec(), Box::new(move |reply| tell.send(reply).unwrap()));
            let reply = told.recv().unwrap();
            assert!(matches!(Reply::decode(&reply), Ok(Reply::Refused(_))));
            let Undecodable { count: counted, last } = published.undecodable();
            assert_eq!((counted, last), (count, Some(MessageError::Damaged)));
        }
    }
}
