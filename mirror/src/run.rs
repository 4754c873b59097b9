//! A running mirror: a source for other hosts, and a sink for each host that is mirrored here.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tearless::hub::Pattern;

use crate::carrier::zenoh::Zenoh;
use crate::carrier::{Carrier, OnReply};
use crate::config::{Config, Log};
use crate::local::{CopyOptions, LocalCopies, Published, now};
use crate::message::Interest;
use crate::sink::{Report, Sink};
use crate::source::Limits;
use crate::status::{self, MirrorState};

/// How often the mirror looks for new hosts, and publishes its own state.
const TICK: Duration = Duration::from_millis(250);
/// How often a sink looks after its copies.
const CHECK: Duration = Duration::from_secs(1);

/// Writes events to stderr.
#[derive(Clone, Copy)]
pub struct Events(pub Log);

impl Events {
    /// Writes one, with what it is about.
    pub fn tell(self, event: &str, about: &[(&str, &dyn Display)]) {
        let time = humantime::format_rfc3339_millis(std::time::SystemTime::now());
        match self.0 {
            Log::Text => {
                let about: Vec<String> =
                    about.iter().map(|(name, value)| format!("{name}={value}")).collect();
                anstream::eprintln!(
                    "{time} {event} {}",
                    about.join(" ").escape_debug().to_string().replace("\\\"", "\"")
                );
            }
            Log::Json => {
                let mut object = serde_json::Map::new();
                object.insert("time".into(), time.to_string().into());
                object.insert("event".into(), event.into());
                object.extend(about.iter().map(|(name, value)| ((*name).into(), value.to_string().into())));
                anstream::eprintln!("{}", serde_json::Value::Object(object));
            }
        }
    }
}

/// The thread of an origin.
struct Mirroring {
    thread: JoinHandle<()>,
    ends: Arc<AtomicBool>,
    report: Arc<Mutex<Report>>,
    interest: Vec<Interest>,
}

/// A running mirror. Dropped without [`Running::stop`], it leaves its copies as a killed one does.
pub struct Running {
    config: Config,
    carrier: Arc<Zenoh>,
    published: Published,
    origins: BTreeMap<String, Mirroring>,
    events: Events,
    duplicates: Vec<String>,
    began: Duration,
}

impl Running {
    /// Starts a mirror.
    ///
    /// # Errors
    ///
    /// What is wrong with the configuration, or what the system refuses, for people.
    pub fn start(config: Config) -> Result<Running, String> {
        let events = Events(config.log);
        let namespaces = config
            .publish
            .iter()
            .map(|(name, patterns)| Ok((config.copies.namespace(name)?, patterns.clone())))
            .collect::<Result<Vec<_>, String>>()?;
        let published =
            Published::start(random()?, Limits::default(), namespaces).map_err(|error| error.to_string())?;
        let carrier =
            Zenoh::open(&config.carrier, published.on_request()).map_err(|error| error.to_string())?;
        let carrier = Arc::new(carrier);
        events
            .tell("started", &[("host", &config.carrier.host), ("listen", &config.carrier.listen.join(","))]);
        let (origins, duplicates) = (BTreeMap::new(), Vec::new());
        Ok(Running { config, carrier, published, origins, events, duplicates, began: now() })
    }

    /// Mirrors the hosts that have come, and tells what is new: to be called every [`TICK`].
    ///
    /// # Errors
    ///
    /// If the system can't start a thread, or has no randomness.
    pub fn tick(&mut self) -> Result<(), String> {
        for host in self.carrier.hosts() {
            let interest = interest_in(&self.config.mirror, &host);
            if interest.is_empty() || self.origins.contains_key(&host) {
                continue;
            }
            self.events.tell("mirrors", &[("origin", &host)]);
            let origin = self.mirror(&host, interest)?;
            self.origins.insert(host, origin);
        }
        let duplicates = self.carrier.duplicates();
        if duplicates != self.duplicates && !duplicates.is_empty() {
            self.events.tell(
                "more than one mirror has the same name: give each its own --host",
                &[("hosts", &duplicates.join(","))],
            );
        }
        self.duplicates = duplicates;
        Ok(())
    }

    fn mirror(&self, host: &str, interest: Vec<Interest>) -> Result<Mirroring, String> {
        let (ends, report) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Report::default())));
        let copies = LocalCopies::new(self.config.copies.clone());
        let sink =
            Sink::new(&self.config.carrier.host, host, random()?, interest.clone(), self.config.sink, copies);
        let carrier: Arc<dyn Carrier> = self.carrier.clone();
        let (events, its_ends, its_report) = (self.events, Arc::clone(&ends), Arc::clone(&report));
        let thread = thread::Builder::new().name(format!("mirror {host}"));
        let thread = thread
            .spawn(move || mirror_origin(sink, &*carrier, events, &its_ends, &its_report))
            .map_err(|error| format!("cannot start a thread: {error}"))?;
        Ok(Mirroring { thread, ends, report, interest })
    }

    /// Takes over what a new configuration says of the channels. What it says of hosts and links
    /// needs a restart.
    ///
    /// # Errors
    ///
    /// As [`Running::start`]; then the former configuration holds.
    pub fn reload(&mut self, config: Config) -> Result<(), String> {
        if config.carrier.host != self.config.carrier.host
            || config.carrier.listen != self.config.carrier.listen
            || config.carrier.connect != self.config.carrier.connect
        {
            self.events.tell("host and links are as before: restart the mirror to change them", &[]);
        }
        let is_same =
            |one: &Config, other: &Config| format!("{:?}", one.publish) == format!("{:?}", other.publish);
        if !is_same(&config, &self.config) {
            self.events.tell("what is published is as before: restart the mirror to change it", &[]);
        }
        let carrier = self.config.carrier.clone();
        self.config = Config { carrier, publish: self.config.publish.clone(), ..config };
        let changed: Vec<String> = self
            .origins
            .iter()
            .filter(|(host, origin)| interest_in(&self.config.mirror, host) != origin.interest)
            .map(|(host, _)| host.clone())
            .collect();
        for host in changed {
            if let Some(origin) = self.origins.remove(&host) {
                origin.stop();
            }
        }
        self.events.tell("reloaded", &[]);
        self.tick()
    }

    /// What the mirror does at this moment.
    #[must_use]
    pub fn state(&self) -> MirrorState {
        let reports = self.origins.values().map(|origin| lock(&origin.report).clone());
        MirrorState {
            host: self.config.carrier.host.clone(),
            up: (now() - self.began).as_secs_f64(),
            links: self.carrier.links() as u64,
            hosts: self.carrier.hosts(),
            duplicates: self.duplicates.clone(),
            published: self.published.channels() as u64,
            sinks: self.published.reports().iter().map(Into::into).collect(),
            origins: reports.map(|report| (&report).into()).collect(),
            refused: self.published.refused().map(|error| error.to_string()),
        }
    }

    /// Ends the mirror: the copies are removed.
    pub fn stop(self) {
        for origin in self.origins.values() {
            origin.ends.store(true, Ordering::Relaxed);
        }
        self.origins.into_values().for_each(Mirroring::stop);
        self.events.tell("stopped", &[]);
    }
}

impl Mirroring {
    fn stop(self) {
        // Relaxed: nothing but the end follows from it.
        self.ends.store(true, Ordering::Relaxed);
        let _ = self.thread.join();
    }
}

fn interest_in(mirror: &[(Pattern, Interest)], host: &str) -> Vec<Interest> {
    mirror.iter().filter(|(pattern, _)| pattern.matches(host)).map(|(_, interest)| interest.clone()).collect()
}

/// Mirrors one origin until the end.
fn mirror_origin(
    mut sink: Sink<LocalCopies>,
    carrier: &dyn Carrier,
    events: Events,
    ends: &AtomicBool,
    report: &Mutex<Report>,
) {
    let (tell, replies) = mpsc::channel();
    let origin = sink.origin().to_owned();
    let (mut checked_at, mut was_unreachable, mut refused) = (now(), false, 0);
    while !ends.load(Ordering::Relaxed) {
        for request in sink.poll(now()) {
            let (id, tell) = (request.id, tell.clone());
            let on_reply: OnReply = Arc::new(move |reply| drop(tell.send((id, reply))));
            carrier.ask(&origin, request.encode(), sink.patience(&request), on_reply);
        }
        let wait = sink.next_poll().saturating_sub(now()).min(TICK);
        match replies.recv_timeout(wait) {
            Ok((id, reply)) => {
                sink.reply(now(), id, reply.as_deref());
                while let Ok((id, reply)) = replies.try_recv() {
                    sink.reply(now(), id, reply.as_deref());
                }
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        if now() >= checked_at + TICK {
            let latest = sink.report(now());
            if latest.is_unreachable != was_unreachable {
                was_unreachable = latest.is_unreachable;
                let event = if was_unreachable { "unreachable" } else { "reachable again" };
                events.tell(event, &[("origin", &origin)]);
            }
            if latest.refused.len() > refused {
                let why = latest.refused.last().cloned().unwrap_or_default();
                events.tell("not mirrored", &[("origin", &origin), ("channel", &why)]);
            }
            refused = latest.refused.len();
            *lock(report) = latest;
            if now() >= checked_at + CHECK {
                sink.check(now());
                checked_at = now();
            }
        }
    }
    sink.close();
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn random() -> Result<u64, String> {
    getrandom::u64().map(|it| it | 1).map_err(|error| format!("the system has no randomness: {error}"))
}

/// Publishes the mirror's own state, beside its work.
pub struct StatusChannel(Option<tearless::Writer<MirrorState>>);

impl StatusChannel {
    /// On the channel that has the host's name.
    #[must_use]
    pub fn open(copies: &CopyOptions, host: &str, events: Events) -> StatusChannel {
        let opened = copies.namespace(status::NAMESPACE).and_then(|namespace| {
            let writer = namespace.writer_builder::<MirrorState>(host).max_state_len(1 << 24);
            writer.open().map_err(|error| error.to_string())
        });
        if let Err(error) = &opened {
            events.tell("the mirror has no status", &[("reason", error)]);
        }
        StatusChannel(opened.ok())
    }

    /// Publishes the state.
    pub fn publish(&mut self, state: &MirrorState) {
        if let Some(writer) = &mut self.0 {
            // The next one may have room.
            let _ = writer.publish(state);
        }
    }
}
