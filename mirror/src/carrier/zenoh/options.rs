//! How a host reaches the others, and whether it can.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use serde::Deserialize;

use super::endpoint::Endpoint;
use crate::message::{MAX_HOST_BYTES, is_host_name};

/// The role of a host among the others.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Talks with all hosts directly
    #[default]
    Peer,
    /// Carries between the hosts that connect to it, too
    Router,
    /// Talks through one router: the first of its list that can be reached
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
    /// The name of this host: 1 to [`MAX_HOST_BYTES`] bytes, without `/`, `*`, `?` and control
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
        let mut names = std::iter::once(&self.host).chain(&self.hosts);
        if let Some(host) = names.find(|name| !is_host_name(name)) {
            return Err(CarrierError::Host { host: host.clone() });
        }
        if !self.hosts.is_empty() && self.tls.is_none() {
            return Err(CarrierError::NoProof);
        }
        if self.mode == Mode::Client && (self.connect.is_empty() || !self.listen.is_empty()) {
            return Err(CarrierError::Client);
        }
        if self.listen.is_empty() && self.connect.is_empty() {
            return Err(CarrierError::NoEndpoint);
        }
        for text in self.listen.iter().chain(&self.connect) {
            let endpoint = Endpoint::parse(text)
                .map_err(|problem| CarrierError::Endpoint { endpoint: text.clone(), problem })?;
            if endpoint.tls && self.tls.is_none() {
                return Err(CarrierError::NoCertificate { endpoint: text.clone() });
            }
            if !endpoint.tls && !endpoint.is_loopback() && !self.allow_insecure {
                return Err(CarrierError::Insecure { endpoint: text.clone() });
            }
        }
        self.tls.as_ref().map_or(Ok(()), check_files)
    }
}

/// Why a carrier can't be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CarrierError {
    /// The host name is empty or too long, or has characters that it must not have.
    #[error(
        "the name of a host, {host:?}, must have 1 to {MAX_HOST_BYTES} bytes, and none of / * ? or \
         control characters: see --host and --hosts"
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
