//! A running mirror: a source for other hosts, and a sink for each host that is mirrored here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use tearless::Namespace;
use tearless::hub::Pattern;

use crate::carrier::Carrier;
use crate::carrier::zenoh::Zenoh;
use crate::config::{Config, Log};
use crate::local::{CopyOptions, LocalCopies, Published, Undecodable, now};
use crate::message::Interest;
use crate::origin::Mirroring;
use crate::pace::Pace;
use crate::sink::Sink;
use crate::source::Limits;
use crate::status::{self, MirrorState};

/// Maximum number of hosts that are mirrored.
const MAX_ORIGINS: usize = 1024;
/// How long an origin without copies keeps its place after its host has vanished; also one with
/// copies, if another host needs the place.
const FORGET: Duration = Duration::from_secs(60);
/// How long an origin with copies keeps its place, and they stay, after its host has vanished.
const FORGET_COPIES: Duration = Duration::from_secs(24 * 60 * 60);

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

/// A running mirror. [`Running::stop`] ends it; dropped, its threads go on.
pub struct Running {
    config: Config,
    carrier: Arc<Zenoh>,
    published: Published,
    origins: BTreeMap<String, Mirroring>,
    events: Events,
    duplicates: Vec<String>,
    /// What all origins share.
    pace: Pace,
    /// Hosts that can't be mirrored.
    refused: BTreeSet<String>,
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
        let namespaces = namespaces(&config.publish, &config.copies)?;
        let limits = Limits { rate: config.send_rate, ..Limits::default() };
        let published = Published::start(random()?, limits, namespaces).map_err(|error| error.to_string())?;
        let carrier =
            Zenoh::open(&config.carrier, published.on_request()).map_err(|error| error.to_string())?;
        let carrier = Arc::new(carrier);
        events
            .tell("started", &[("host", &config.carrier.host), ("listen", &config.carrier.listen.join(","))]);
        let (origins, duplicates, refused) = (BTreeMap::new(), Vec::new(), BTreeSet::new());
        let (pace, began) = (Pace::default(), now());
        Ok(Running { config, carrier, published, origins, events, duplicates, pace, refused, began })
    }

    /// Mirrors the hosts that have come, and writes what is new: to be called some times a second.
    pub fn tick(&mut self) {
        let hosts = self.carrier.hosts();
        self.end_vanished(&hosts);
        for host in hosts {
            let interest = interest_in(&self.config.mirror, &host);
            if interest.is_empty() || self.origins.contains_key(&host) {
                continue;
            }
            if self.origins.len() >= MAX_ORIGINS {
                self.refuse(&host, "there are too many origins");
                continue;
            }
            match self.mirror(&host, interest) {
                Ok(origin) => {
                    self.events.tell("mirrors", &[("origin", &host)]);
                    self.origins.insert(host, origin);
                }
                Err(why) => self.refuse(&host, &why),
            }
        }
        let duplicates = self.carrier.duplicates();
        if duplicates != self.duplicates && !duplicates.is_empty() {
            self.events.tell(
                "more than one mirror has the same name: give each its own --host",
                &[("hosts", &duplicates.join(","))],
            );
        }
        self.duplicates = duplicates;
    }

    /// Ends origins whose hosts have vanished, so that names that came once do not fill all places.
    fn end_vanished(&mut self, hosts: &[String]) {
        let (now, mirror) = (now(), &self.config.mirror);
        let is_new = |host: &&String| {
            !self.origins.contains_key(*host) && mirror.iter().any(|(pattern, _)| pattern.matches(host))
        };
        let missing = (self.origins.len() + hosts.iter().filter(is_new).count()).saturating_sub(MAX_ORIGINS);
        let vanished = self.origins.iter_mut().filter_map(|(host, origin)| {
            let report = origin.report();
            let is_here =
                hosts.binary_search(host).is_ok() || (report.silent.is_some() && !report.unreachable);
            origin.vanished_at = origin.vanished_at.or(Some(now)).filter(|_| !is_here);
            Some(Vanished {
                host: host.clone(),
                at: origin.vanished_at?,
                has_copies: report.channels > 0,
                is_named: mirror.iter().any(|(pattern, _)| pattern.to_string() == *host),
            })
        });
        let ended = ended(now, vanished.collect(), missing);
        self.end(&ended, "it has vanished");
    }

    /// Ends origins: their copies are removed.
    fn end(&mut self, hosts: &[String], why: &str) {
        let ended: Vec<_> = hosts.iter().filter_map(|host| self.origins.remove_entry(host)).collect();
        // All of them first: each takes a moment.
        ended.iter().for_each(|(_, origin)| origin.end());
        for (host, origin) in ended {
            self.events.tell("mirrors no longer", &[("origin", &host), ("reason", &why)]);
            origin.stop();
        }
    }

    /// Tells once why a host is not mirrored.
    fn refuse(&mut self, host: &str, why: &str) {
        if self.refused.len() < MAX_ORIGINS && self.refused.insert(host.to_owned()) {
            self.events.tell("not mirrored", &[("origin", &host), ("reason", &why)]);
        }
    }

    fn mirror(&self, host: &str, interest: Vec<Interest>) -> Result<Mirroring, String> {
        let patterns: Vec<Pattern> = interest.iter().map(|it| it.patterns().0).collect();
        let copies = LocalCopies::new(self.config.copies.clone()).with_former(&patterns);
        let sink = Sink::new(&self.config.carrier.host, host, random()?, interest, self.config.sink, copies);
        Mirroring::start(sink.paced(&self.pace), self.carrier.clone(), self.events)
    }

    /// Takes over what a new configuration says of the channels to publish and to mirror, and of
    /// limits. The rest needs a restart, which an event says.
    pub fn reload(&mut self, config: Config) {
        let fixed = |config: &Config| format!("{:?}", (&config.carrier, &config.copies, config.log));
        if fixed(&config) != fixed(&self.config) {
            let what = "only what to publish and mirror, and limits; restart the mirror for the rest";
            self.events.tell("reloads", &[("what", &what)]);
        }
        (self.config.mirror, self.config.sink) = (config.mirror, config.sink);
        self.config.send_rate = config.send_rate;
        self.published.set_rate(config.send_rate);
        let published = namespaces(&config.publish, &self.config.copies)
            .and_then(|it| self.published.set_namespaces(it).map_err(|error| error.to_string()));
        if let Err(error) = published {
            self.events.tell("not all is published", &[("reason", &error)]);
        }
        let mut ended = Vec::new();
        for (host, origin) in &self.origins {
            let interest = interest_in(&self.config.mirror, host);
            if interest.is_empty() {
                ended.push(host.clone());
            } else {
                origin.reload(interest, self.config.sink);
            }
        }
        self.end(&ended, "it is not wanted");
        self.events.tell("reloaded", &[]);
    }

    /// What the mirror does at this moment.
    #[must_use]
    pub fn state(&self) -> MirrorState {
        let reports = self.origins.values().map(Mirroring::report);
        let Undecodable { count: undecodable, last: refused } = self.published.undecodable();
        MirrorState {
            host: self.config.carrier.host.clone(),
            up: (now() - self.began).as_secs_f64(),
            links: self.carrier.links() as u64,
            hosts: self.carrier.hosts(),
            duplicates: self.duplicates.clone(),
            published: self.published.channels() as u64,
            sinks: self.published.reports(),
            origins: reports.collect(),
            undecodable,
            refused: refused.map(|error| error.to_string()),
        }
    }

    /// Ends the mirror: the copies are removed.
    pub fn stop(self) {
        self.origins.values().for_each(Mirroring::end);
        self.origins.into_values().for_each(Mirroring::stop);
        self.events.tell("stopped", &[]);
    }
}

/// An origin whose host has vanished.
struct Vanished {
    host: String,
    at: Duration,
    has_copies: bool,
    /// Whether the configuration has its name, and not only a pattern.
    is_named: bool,
}

/// The origins that end, of those that have vanished: others miss so many places.
fn ended(now: Duration, mut vanished: Vec<Vanished>, mut missing: usize) -> Vec<String> {
    vanished.sort_by_key(|it| (it.has_copies, it.at));
    vanished.retain(|it| {
        let time = now.saturating_sub(it.at);
        let is_over = !it.has_copies || (!it.is_named && (missing > 0 || time >= FORGET_COPIES));
        let ends = is_over && time >= FORGET;
        missing = missing.saturating_sub(usize::from(ends));
        ends
    });
    vanished.into_iter().map(|it| it.host).collect()
}

/// The namespaces to publish, opened.
fn namespaces(
    publish: &[(String, Vec<Pattern>)],
    copies: &CopyOptions,
) -> Result<Vec<(Namespace, Vec<Pattern>)>, String> {
    publish.iter().map(|(name, patterns)| Ok((copies.namespace(name)?, patterns.clone()))).collect()
}

fn interest_in(mirror: &[(Pattern, Interest)], host: &str) -> Vec<Interest> {
    mirror.iter().filter(|(pattern, _)| pattern.matches(host)).map(|(_, interest)| interest.clone()).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_came_once_do_not_keep_all_places() {
        let all = || {
            let mut vanished: Vec<_> = (0..MAX_ORIGINS as u64)
                .map(|it| (format!("pod-{it}"), Duration::from_secs(1000 - it / 10), true, false))
                .collect();
            vanished.push(("named".into(), Duration::ZERO, true, true));
            vanished.push(("empty".into(), Duration::from_secs(990), false, true));
            let vanished = vanished.into_iter();
            vanished
                .map(|(host, at, has_copies, is_named)| Vanished { host, at, has_copies, is_named })
                .collect()
        };
        let at = |seconds, missing| ended(Duration::from_secs(seconds), all(), missing);
        assert!(at(900, 5).is_empty(), "none for a minute");
        assert_eq!(at(1060, 0), ["empty"], "nothing is lost with it");
        let longest = ["empty", "pod-1020", "pod-1021"];
        assert_eq!(at(1060, 3), longest, "those that have vanished first make room");
        assert_eq!(at(1060, 2000).len(), MAX_ORIGINS + 1);
        let after_a_day = at(24 * 60 * 60 + 1000, 0);
        assert_eq!(
            after_a_day.len(),
            MAX_ORIGINS + 1,
            "so do copies of hosts without a name in the configuration"
        );
        assert!(!after_a_day.contains(&"named".to_owned()), "a name in the configuration keeps its place");
    }
}
