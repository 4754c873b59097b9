//! Zenoh as the carrier: only its stable interface, only the endpoints that are named, no scouting.
//!
//! A request is a Zenoh query on `tearless/1/HOST/ask`, and its reply the reply to the query, sent
//! as late as the answering host likes. A liveliness token on `tearless/1/HOST/SESSION` says that a
//! host can be asked. Zenoh keeps one token for equal keys, so the session makes two mirrors with
//! the same host name visible.

mod endpoint;
mod hosts;
mod senders;

use super::{Answer, Carrier, OnReply, OnRequest};
use crate::message::MAX_REPLY_BYTES;
use endpoint::Endpoint;
use hosts::{Hosts, PREFIX};
use senders::{Kind, Senders, in_callback};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use zenoh::Wait;
use zenoh::bytes::ZBytes;
use zenoh::liveliness::LivelinessToken;
use zenoh::query::{ConsolidationMode, Query, QueryTarget, Reply};
use zenoh::sample::{Locality, SampleKind};
use zenoh::session::Session;

/// The longest request or reply. Longer ones are not sent, and those of others close the link.
pub const MAX_MESSAGE_LEN: usize = MAX_REPLY_BYTES;

/// The longest host name, in bytes.
pub const MAX_HOST_LEN: usize = hosts::MAX_HOST_LEN;

/// A link without a sign of life for so long is closed, and opened again. Shorter than the pauses
/// of TCP and QUIC after a partition, both of which double the time between retransmissions: a new
/// connection comes sooner than the next one of the old connection. QUIC notices only by this time
/// that a host's mirror was killed; with TCP, the other host's kernel says so.
const LEASE: Duration = Duration::from_secs(2);
/// Between two attempts to connect.
const RETRY: Duration = Duration::from_millis(100);
/// Between two looks at all tokens. They heal what announcements lost.
const RESYNC: Duration = Duration::from_secs(5);

/// The role of a host among the others.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Mode {
    /// Connects with other hosts, and carries between those that are connected with it.
    Router,
    /// Connects with other hosts directly.
    #[default]
    Peer,
    /// Connects with one router at a time, the first of its list that can be reached.
    Client,
}

/// The certificates of mutual TLS, as PEM files.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The authority whose certificates are accepted from hosts that connect. The certificate of a
    /// host that this one connects to may also be of a public authority; it must hold the address
    /// or name that the endpoint names.
    pub root_ca: PathBuf,
    /// The certificate of this host, for both directions.
    pub certificate: PathBuf,
    /// The private key of the certificate.
    pub key: PathBuf,
}

/// How this host reaches the others.
#[derive(Clone, Debug)]
pub struct ZenohOptions {
    /// The name of this host: 1 to [`MAX_HOST_LEN`] bytes, without `/`, `*`, `?` and control
    /// characters. Each mirror has its own.
    pub host: String,
    /// The role of this host.
    pub mode: Mode,
    /// The endpoints on which other hosts reach this one: `tcp/ADDRESS:PORT` or
    /// `quic/ADDRESS:PORT`.
    pub listen: Vec<String>,
    /// The endpoints of other hosts, in the same form. They need not be up.
    pub connect: Vec<String>,
    /// Needed for endpoints with `quic/`.
    pub tls: Option<Tls>,
    /// The names that hosts may have, if it is not empty: each only with a certificate that has the
    /// name as its common name, so that no host can pose as another. A host without such a name can
    /// ask, and can't be asked.
    pub hosts: Vec<String>,
    /// With `hosts`: the common names of the routers through which this host reaches others. They
    /// may speak for every host, and have `hosts` themselves.
    pub routers: Vec<String>,
    /// Permits `tcp/` endpoints beyond loopback: everyone who reaches them reads and forges states.
    pub allow_insecure: bool,
    /// Compresses what goes over a link, by LZ4, if the other end says so, too.
    pub compress: bool,
    /// The limit of one attempt to connect. With TCP and with QUIC, it takes three round trips: one
    /// of theirs and two of Zenoh's (with certificates of more than 3,600 bytes, QUIC has two). If
    /// its first packet was lost, neither sends it again within a second: so this is also how long
    /// a host may take to notice that a link is up again.
    pub connect_timeout: Duration,
}

impl Default for ZenohOptions {
    fn default() -> Self {
        Self {
            host: String::new(),
            mode: Mode::Peer,
            listen: Vec::new(),
            connect: Vec::new(),
            tls: None,
            hosts: Vec::new(),
            routers: Vec::new(),
            allow_insecure: false,
            compress: false,
            connect_timeout: Duration::from_millis(700),
        }
    }
}

impl ZenohOptions {
    /// Whether a carrier can have these options. It opens no link.
    ///
    /// # Errors
    ///
    /// [`CarrierError`] says what is wrong.
    pub fn check(&self) -> Result<(), CarrierError> {
        check(self)
    }
}

/// Why a carrier can't be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CarrierError {
    /// The host name is empty or too long, or has characters that it must not have.
    #[error(
        "host name {host:?} must have 1 to {MAX_HOST_LEN} bytes, without '/', '*', '?' and control \
         characters"
    )]
    Host {
        /// The name.
        host: String,
    },
    /// An endpoint is not of the form `tcp/ADDRESS:PORT` or `quic/ADDRESS:PORT`.
    #[error("endpoint {endpoint:?}: {problem}; write tcp/ADDRESS:PORT or quic/ADDRESS:PORT")]
    Endpoint {
        /// The endpoint as it was given.
        endpoint: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// There is nothing to listen on and nothing to connect to.
    #[error("no endpoint: name at least one to listen on or to connect to")]
    NoEndpoint,
    /// A client has no router, or listens.
    #[error("a client connects to at least one router and listens on no endpoint")]
    Client,
    /// An endpoint beyond loopback is not protected by TLS.
    #[error(
        "endpoint {endpoint:?} reaches beyond this host without mutual TLS: use quic/ with a \
         certificate, a key and a root authority, or allow it explicitly with allow_insecure \
         (--allow-insecure) where everyone on that network may read and forge states"
    )]
    Insecure {
        /// The endpoint.
        endpoint: String,
    },
    /// An endpoint has `quic/`, but there are no certificates.
    #[error("endpoint {endpoint:?} needs a root authority, a certificate and a key")]
    NoCertificate {
        /// The endpoint.
        endpoint: String,
    },
    /// There are names of hosts, but no certificates that could prove them.
    #[error("names of hosts are proved by certificates: they need a root authority, a certificate and a key")]
    NoProof,
    /// A file with a certificate or key can't be used.
    #[error("cannot use {}: {problem}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The engine refuses: usually an address that is in use or is not one of this host.
    #[error("cannot open the links of host {host:?} (listening on {listen:?}): {problem}")]
    Open {
        /// The name of this host.
        host: String,
        /// The endpoints on which it listens.
        listen: Vec<String>,
        /// The engine's reason.
        problem: String,
    },
}

/// An open carrier over Zenoh. It connects, and connects again, in the background. Dropping it
/// closes the links.
pub struct Zenoh {
    shared: Arc<Shared>,
    background: Option<JoinHandle<()>>,
}

struct Shared {
    /// A client's session exists only while a router has been reached.
    session: OnceLock<Open>,
    hosts: Arc<Hosts>,
    senders: Arc<Senders>,
    closing: Mutex<bool>,
    wake: Condvar,
}

struct Open {
    session: Session,
    /// Withdrawn when it is dropped.
    _token: LivelinessToken,
}

impl Zenoh {
    /// Opens the links of this host. The other hosts need not be up. `on_request` is called on a
    /// thread of the engine: it must not block.
    ///
    /// # Errors
    ///
    /// [`CarrierError`] says what is wrong with the options, or why an endpoint can't be listened
    /// on.
    pub fn open(options: &ZenohOptions, on_request: OnRequest) -> Result<Self, CarrierError> {
        let config = config(options)?;
        let shared = Arc::new(Shared {
            session: OnceLock::new(),
            hosts: Arc::new(Hosts::new(options.host.clone())),
            senders: Arc::new(Senders::default()),
            closing: Mutex::new(false),
            wake: Condvar::new(),
        });
        if options.mode != Mode::Client {
            shared.open(config.clone(), &on_request).map_err(|problem| CarrierError::Open {
                host: options.host.clone(),
                listen: options.listen.clone(),
                problem: problem.to_string(),
            })?;
        }
        let background = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.work_in_background(&config, &on_request)
        });
        Ok(Self { shared, background: Some(background) })
    }

    /// The host names that more than one mirror uses at this moment, sorted. Only one of them gets
    /// a request, and not always the same one, so all but one need another name.
    pub fn duplicates(&self) -> Vec<String> {
        self.shared.hosts.duplicates(Instant::now(), 2 * LEASE)
    }

    /// How many links to other hosts are open.
    pub fn links(&self) -> usize {
        let Some(open) = self.shared.session.get() else { return 0 };
        let info = open.session.info();
        info.peers_zid().wait().count() + info.routers_zid().wait().count()
    }
}

impl Carrier for Zenoh {
    fn ask(&self, host: &str, request: Vec<u8>, timeout: Duration, reply: OnReply) {
        let pending = Pending { reply, replied: AtomicBool::new(false) };
        let session = self.shared.session.get().map(|open| open.session.clone());
        let key = hosts::request_key_of(host);
        self.shared.senders.send(Kind::Request, request.len(), move || {
            // What is dropped without a reply reports that there is none.
            let Some(session) = session.filter(|_| request.len() <= MAX_MESSAGE_LEN) else { return };
            let _ = session
                .get(key)
                .payload(request)
                .target(QueryTarget::BestMatching)
                .consolidation(ConsolidationMode::None)
                .allowed_destination(Locality::Remote)
                .timeout(timeout)
                .express(true)
                .callback(move |reply| pending.receive(&reply))
                .wait();
        });
    }

    fn hosts(&self) -> Vec<String> {
        self.shared.hosts.names()
    }
}

impl Drop for Zenoh {
    fn drop(&mut self) {
        *self.shared.closing.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.wake.notify_all();
        self.shared.senders.close();
        if let Some(background) = self.background.take() {
            let _ = background.join();
        }
        // Also drops the functions that the session calls.
        if let Some(open) = self.shared.session.get() {
            let _ = open.session.close().wait();
        }
    }
}

/// A request that was sent. Dropped without a reply, it reports that there is none: the query
/// ended, timed out or was never sent. Zenoh may end a query at once, e.g. shortly after a
/// reconnection.
struct Pending {
    reply: OnReply,
    replied: AtomicBool,
}

impl Pending {
    fn receive(&self, reply: &Reply) {
        let Ok(sample) = reply.result() else { return };
        if sample.kind() != SampleKind::Put || sample.payload().len() > MAX_REPLY_BYTES {
            return;
        }
        // A host that sends more replies than one does not fill the queue of those that wait for
        // this thread. Relaxed: Zenoh drops the callback after its last call.
        if self.replied.swap(true, Relaxed) {
            return;
        }
        in_callback(|| (self.reply)(Some(sample.payload().to_bytes().into_owned())));
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !*self.replied.get_mut() {
            in_callback(|| (self.reply)(None));
        }
    }
}

impl Shared {
    fn open(&self, config: zenoh::Config, on_request: &OnRequest) -> zenoh::Result<()> {
        let session = zenoh::open(config).wait()?;
        self.hosts.set_session(session.zid().to_string());
        let declared = self.declare(&session, on_request);
        match declared {
            Ok(token) => {
                let _ = self.session.set(Open { session, _token: token });
                Ok(())
            }
            Err(problem) => {
                let _ = session.close().wait();
                Err(problem)
            }
        }
    }

    /// The queryable comes first: a host that sees the token may ask at once.
    fn declare(&self, session: &Session, on_request: &OnRequest) -> zenoh::Result<LivelinessToken> {
        let (on_request, senders) = (Arc::clone(on_request), Arc::clone(&self.senders));
        session
            .declare_queryable(hosts::keys_of(self.hosts.own()))
            .complete(true)
            .allowed_origin(Locality::Remote)
            .callback(move |query| {
                // A host asks faster than it takes answers: the query ends here, and what comes
                // over this link waits for that.
                if senders.are_overloaded() {
                    return;
                }
                let request = query.payload().map(ZBytes::to_bytes).unwrap_or_default().into_owned();
                let answer = answer(query, Arc::clone(&senders));
                in_callback(|| on_request(request, answer));
            })
            .background()
            .wait()?;
        let hosts = Arc::clone(&self.hosts);
        session
            .liveliness()
            .declare_subscriber(format!("{PREFIX}*/*"))
            .history(true)
            .callback(move |sample| {
                let there = sample.kind() == SampleKind::Put;
                hosts.announce(sample.key_expr().as_str(), there, Instant::now());
            })
            .background()
            .wait()?;
        session.liveliness().declare_token(self.hosts.own_token()).wait()
    }

    fn work_in_background(&self, config: &zenoh::Config, on_request: &OnRequest) {
        while self.session.get().is_none() {
            if self.open(config.clone(), on_request).is_err() && self.closes_within(RETRY) {
                return;
            }
        }
        while !self.closes_within(RESYNC) {
            if let Some(open) = self.session.get() {
                resync(&open.session, &self.hosts);
            }
        }
    }

    /// Waits. Returns `true` as soon as the carrier is closing.
    fn closes_within(&self, timeout: Duration) -> bool {
        let closing = self.closing.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.wake.wait_timeout_while(closing, timeout, |closing| !*closing);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// A query that has not ended. Zenoh ends it when it is dropped, with a message that may have to
/// wait for room on the link: so a thread that may block drops it.
struct Held {
    query: Option<Query>,
    senders: Arc<Senders>,
}

impl Held {
    /// Sends the reply and ends the query, here.
    fn reply(mut self, reply: Vec<u8>) {
        if let Some(query) = self.query.take() {
            let _ = query.reply(query.key_expr().clone(), reply).express(true).wait();
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(query) = self.query.take() {
            self.senders.end(move || drop(query));
        }
    }
}

/// Sends the reply to `query` when it is called. The query ends when it is dropped.
fn answer(query: Query, senders: Arc<Senders>) -> Answer {
    let held = Held { query: Some(query), senders };
    Box::new(move |reply| {
        if reply.len() <= MAX_MESSAGE_LEN {
            let senders = Arc::clone(&held.senders);
            senders.send(Kind::Answer, reply.len(), move || held.reply(reply));
        }
    })
}

/// Compares the list of hosts with the tokens that exist.
fn resync(session: &Session, hosts: &Arc<Hosts>) {
    let began = Instant::now();
    let round = hosts::Round::begin(Arc::clone(hosts), began);
    let _ = session
        .liveliness()
        .get(format!("{PREFIX}*/*"))
        .timeout(LEASE)
        .callback(move |reply| match reply.result() {
            Ok(sample) => round.confirm(sample.key_expr().as_str()),
            Err(_) => round.fail(),
        })
        .wait();
}

fn config(options: &ZenohOptions) -> Result<zenoh::Config, CarrierError> {
    check(options)?;
    let tls = options.tls.as_ref().map(|tls| {
        serde_json::json!({
            "root_ca_certificate": tls.root_ca,
            "listen_certificate": tls.certificate,
            "listen_private_key": tls.key,
            "connect_certificate": tls.certificate,
            "connect_private_key": tls.key,
            "enable_mtls": true,
            "verify_name_on_connect": true,
            "close_link_on_expiration": true,
        })
    });
    let client = options.mode == Mode::Client;
    let text = serde_json::json!({
        "mode": match options.mode { Mode::Router => "router", Mode::Peer => "peer", Mode::Client => "client" },
        "listen": { "endpoints": options.listen, "timeout_ms": 0, "exit_on_failure": true },
        "connect": {
            "endpoints": options.connect,
            // A client tries each of its routers once, and this carrier repeats. The others try
            // for ever in the background.
            "timeout_ms": if client { 0 } else { -1 },
            "exit_on_failure": client,
            "retry": {
                "period_init_ms": millis(RETRY), "period_max_ms": millis(RETRY), "period_increase_factor": 1,
            },
        },
        "open": { "return_conditions": { "connect_scouted": false, "declares": false } },
        "scouting": { "delay": 0, "multicast": { "enabled": false }, "gossip": { "enabled": false } },
        "access_control": access_control(options),
        "adminspace": { "enabled": false },
        "transport": {
            "unicast": {
                "open_timeout": millis(options.connect_timeout),
                "lowlatency": false,
                "compression": { "enabled": options.compress },
            },
            "link": {
                "tx": { "lease": millis(LEASE), "keep_alive": 4 },
                "rx": { "max_message_size": MAX_MESSAGE_LEN + 4096 },
                "tls": tls.unwrap_or_else(|| serde_json::json!({})),
            },
            "shared_memory": { "enabled": false },
        },
    });
    zenoh::Config::from_json5(&text.to_string()).map_err(|problem| CarrierError::Open {
        host: options.host.clone(),
        listen: options.listen.clone(),
        problem: problem.to_string(),
    })
}

/// The keys that each host may declare, by the common names of certificates.
fn access_control(options: &ZenohOptions) -> serde_json::Value {
    let every = format!("{PREFIX}**");
    let declare = ["declare_queryable", "liveliness_token", "reply"];
    let rule = |id: &str, flow: &str, messages: &[&str], keys: &[String]| {
        serde_json::json!({
            "id": id, "flows": [flow], "messages": messages, "key_exprs": keys, "permission": "allow",
        })
    };
    let ask = ["query", "liveliness_query", "declare_liveliness_subscriber"];
    let mut rules = vec![
        rule("ask", "ingress", &ask, std::slice::from_ref(&every)),
        rule("send", "egress", &[&ask[..], &declare].concat(), std::slice::from_ref(&every)),
    ];
    let mut subjects = vec![serde_json::json!({ "id": "all" })];
    let mut policies = vec![serde_json::json!({ "rules": ["ask", "send"], "subjects": ["all"] })];
    let hosts = options.hosts.iter().map(|host| (host, vec![hosts::keys_of(host)]));
    let routers = options.routers.iter().map(|router| (router, vec![every.clone()]));
    for (number, (name, keys)) in hosts.chain(routers).enumerate() {
        let id = number.to_string();
        rules.push(rule(&id, "ingress", &declare, &keys));
        subjects.push(serde_json::json!({ "id": id, "cert_common_names": [name] }));
        policies.push(serde_json::json!({ "rules": [id], "subjects": [id] }));
    }
    serde_json::json!({
        "enabled": !options.hosts.is_empty(),
        "default_permission": "deny",
        "rules": rules,
        "subjects": subjects,
        "policies": policies,
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn check(options: &ZenohOptions) -> Result<(), CarrierError> {
    let mut names = std::iter::once(&options.host).chain(&options.hosts);
    if let Some(host) = names.find(|name| !hosts::is_host_name(name)) {
        return Err(CarrierError::Host { host: host.clone() });
    }
    if !options.hosts.is_empty() && options.tls.is_none() {
        return Err(CarrierError::NoProof);
    }
    if options.mode == Mode::Client && (options.connect.is_empty() || !options.listen.is_empty()) {
        return Err(CarrierError::Client);
    }
    if options.listen.is_empty() && options.connect.is_empty() {
        return Err(CarrierError::NoEndpoint);
    }
    for text in options.listen.iter().chain(&options.connect) {
        let endpoint = Endpoint::parse(text)
            .map_err(|problem| CarrierError::Endpoint { endpoint: text.clone(), problem })?;
        if endpoint.tls && options.tls.is_none() {
            return Err(CarrierError::NoCertificate { endpoint: text.clone() });
        }
        if !endpoint.tls && !endpoint.is_loopback() && !options.allow_insecure {
            return Err(CarrierError::Insecure { endpoint: text.clone() });
        }
    }
    options.tls.as_ref().map_or(Ok(()), check_files)
}

/// The engine reports a bad file of a connection only in its log, so they are looked at here.
fn check_files(tls: &Tls) -> Result<(), CarrierError> {
    holds(&tls.root_ca, "CERTIFICATE-----", "a certificate")?;
    holds(&tls.certificate, "CERTIFICATE-----", "a certificate")?;
    holds(&tls.key, "PRIVATE KEY-----", "a private key")
}

fn holds(path: &Path, mark: &str, what: &str) -> Result<(), CarrierError> {
    let problem = match std::fs::read_to_string(path) {
        Ok(text) if text.contains(mark) => return Ok(()),
        Ok(_) => format!("it holds no PEM block with {what}"),
        Err(error) => error.to_string(),
    };
    Err(CarrierError::Pem { path: path.to_owned(), problem })
}

#[cfg(test)]
mod tests;
