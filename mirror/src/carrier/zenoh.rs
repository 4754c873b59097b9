//! Zenoh as the carrier: only its stable interface, only the endpoints that are named, no scouting.
//!
//! A request is a Zenoh query on `tearless/1/HOST/ask`, and its reply the reply to the query, sent
//! as late as the answering host likes. A liveliness token on `tearless/1/HOST/SESSION` says that a
//! host can be asked. Zenoh keeps one token for equal keys, so the session makes two mirrors with
//! the same host name visible.

mod config;
mod endpoint;
mod hosts;
mod options;
mod senders;

use super::{Answer, Carrier, OnReply, OnRequest};
use crate::message::MAX_REPLY_BYTES;
use config::{LEASE, RETRY, config};
use hosts::{Hosts, PREFIX};
pub use options::{CarrierError, Mode, Tls, ZenohOptions};
use senders::{Kind, Senders, in_callback};
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

/// Between two looks at all tokens. They heal what announcements lost.
const RESYNC: Duration = Duration::from_secs(5);

/// An open carrier over Zenoh. It connects, and connects again, in the background. Dropping it
/// closes the links.
pub struct Zenoh {
    engine: Arc<Engine>,
    background: Option<JoinHandle<()>>,
}

struct Engine {
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
        let engine = Arc::new(Engine {
            session: OnceLock::new(),
            hosts: Arc::new(Hosts::new(options.host.clone())),
            senders: Arc::new(Senders::default()),
            closing: Mutex::new(false),
            wake: Condvar::new(),
        });
        if options.mode != Mode::Client {
            engine.open(config.clone(), &on_request).map_err(|problem| CarrierError::Open {
                host: options.host.clone(),
                listen: options.listen.clone(),
                problem: problem.to_string(),
            })?;
        }
        let background = std::thread::spawn({
            let engine = Arc::clone(&engine);
            move || engine.work_in_background(&config, &on_request)
        });
        Ok(Self { engine, background: Some(background) })
    }

    /// The host names that more than one mirror uses at this moment, sorted. Only one of them gets
    /// a request, and not always the same one, so all but one need another name.
    pub fn duplicates(&self) -> Vec<String> {
        self.engine.hosts.duplicates(Instant::now(), 2 * LEASE)
    }

    /// How many links to other hosts are open.
    pub fn links(&self) -> usize {
        let Some(open) = self.engine.session.get() else { return 0 };
        let info = open.session.info();
        info.peers_zid().wait().count() + info.routers_zid().wait().count()
    }
}

impl Carrier for Zenoh {
    fn ask(&self, host: &str, request: Vec<u8>, timeout: Duration, reply: OnReply) {
        let pending = Pending { reply, replied: AtomicBool::new(false) };
        let session = self.engine.session.get().map(|open| open.session.clone());
        let key = hosts::request_key_of(host);
        self.engine.senders.send(Kind::Request, request.len(), move || {
            // What is dropped without a reply reports that there is none.
            let Some(session) = session.filter(|_| request.len() <= MAX_REPLY_BYTES) else { return };
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
        self.engine.hosts.names()
    }
}

impl Drop for Zenoh {
    fn drop(&mut self) {
        *self.engine.closing.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.engine.wake.notify_all();
        self.engine.senders.close();
        if let Some(background) = self.background.take() {
            let _ = background.join();
        }
        // Also drops the functions that the session calls.
        if let Some(open) = self.engine.session.get() {
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

impl Engine {
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
struct OpenQuery {
    query: Option<Query>,
    senders: Arc<Senders>,
}

impl OpenQuery {
    /// Sends the reply and ends the query, here.
    fn reply(mut self, reply: Vec<u8>) {
        if let Some(query) = self.query.take() {
            let _ = query.reply(query.key_expr().clone(), reply).express(true).wait();
        }
    }
}

impl Drop for OpenQuery {
    fn drop(&mut self) {
        if let Some(query) = self.query.take() {
            self.senders.end(move || drop(query));
        }
    }
}

/// Sends the reply to `query` when it is called. The query ends when it is dropped.
fn answer(query: Query, senders: Arc<Senders>) -> Answer {
    let open = OpenQuery { query: Some(query), senders };
    Box::new(move |reply| {
        if reply.len() <= MAX_REPLY_BYTES {
            let senders = Arc::clone(&open.senders);
            senders.send(Kind::Answer, reply.len(), move || open.reply(reply));
        }
    })
}

/// Compares the list of hosts with the tokens that exist.
fn resync(session: &Session, hosts: &Arc<Hosts>) {
    let began = Instant::now();
    let all = hosts::Resync::begin(Arc::clone(hosts), began);
    let _ = session
        .liveliness()
        .get(format!("{PREFIX}*/*"))
        .timeout(LEASE)
        .callback(move |reply| match reply.result() {
            Ok(sample) => all.confirm(sample.key_expr().as_str()),
            Err(_) => all.fail(),
        })
        .wait();
}

#[cfg(test)]
mod tests;
