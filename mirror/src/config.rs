//! The configuration: options of the command line, then variables of the environment, then a file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Parser, ValueEnum};
use serde::Deserialize;
use tearless::hub::Pattern;

use crate::carrier::zenoh::{Mode, Tls, ZenohOptions};
use crate::local::CopyOptions;
use crate::message::{Interest, MAX_PATTERNS};
use crate::sink::Options;

/// Options of the command line. Lists replace those of the file.
#[derive(Clone, Debug, Default, Parser, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// This host's name for the others; default: its host name
    #[arg(long, env = "TEARLESS_MIRROR_HOST", value_name = "NAME")]
    pub host: Option<String>,
    /// Where other hosts reach this one: quic/ADDRESS:PORT, or tcp/ADDRESS:PORT
    #[arg(long, env = "TEARLESS_MIRROR_LISTEN", value_name = "ENDPOINT", value_delimiter = ',')]
    pub listen: Vec<String>,
    /// Where other hosts, or routers, are reached
    #[arg(long, env = "TEARLESS_MIRROR_CONNECT", value_name = "ENDPOINT", value_delimiter = ',')]
    pub connect: Vec<String>,
    /// The role among the hosts; default: peer
    #[arg(long, env = "TEARLESS_MIRROR_MODE", value_enum)]
    pub mode: Option<Mode>,
    /// Channels that others may read, as NAMESPACE/PATTERN
    #[arg(long, env = "TEARLESS_MIRROR_PUBLISH", value_name = "CHANNELS", value_delimiter = ',')]
    pub publish: Vec<String>,
    /// Channels to mirror here, as HOST/NAMESPACE/PATTERN; all three may have * and ?
    #[arg(long, env = "TEARLESS_MIRROR_MIRROR", value_name = "CHANNELS", value_delimiter = ',')]
    pub mirror: Vec<String>,
    /// Names of the copies; default: {host}/{channel}
    #[arg(long, env = "TEARLESS_MIRROR_NAME", value_name = "TEMPLATE")]
    pub name: Option<String>,
    /// Certificate of the authority of all hosts, PEM
    #[arg(long, env = "TEARLESS_MIRROR_TLS_CA", value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
    /// Certificate of this host, PEM
    #[arg(long, env = "TEARLESS_MIRROR_TLS_CERTIFICATE", value_name = "FILE")]
    pub tls_certificate: Option<PathBuf>,
    /// Private key of this host, PEM
    #[arg(long, env = "TEARLESS_MIRROR_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// The hosts that there are: then each is believed only with a certificate of that common name
    #[arg(long, env = "TEARLESS_MIRROR_HOSTS", value_name = "NAME", value_delimiter = ',')]
    pub hosts: Vec<String>,
    /// With --hosts: common names of the routers, which may speak for every host
    #[arg(long, env = "TEARLESS_MIRROR_ROUTERS", value_name = "NAME", value_delimiter = ',')]
    pub routers: Vec<String>,
    /// Allows endpoints beyond this host without TLS: all that reach them read and forge states
    #[arg(long, env = "TEARLESS_MIRROR_ALLOW_INSECURE")]
    pub allow_insecure: bool,
    /// Compresses what goes over a link, by LZ4, if the other end does so, too
    #[arg(long, env = "TEARLESS_MIRROR_COMPRESS")]
    pub compress: bool,
    /// Directory of the namespaces; default: /dev/shm
    #[arg(long, env = "TEARLESS_DIRECTORY", value_name = "PATH")]
    pub directory: Option<PathBuf>,
    /// Permission bits of the copies, octal; default: as the library's
    #[arg(long, env = "TEARLESS_PERMISSIONS", value_name = "MODE")]
    pub permissions: Option<String>,
    /// Memory of this host for the copies of each origin, in bytes; default: 4 GiB
    #[arg(long, env = "TEARLESS_MIRROR_MAX_MEMORY", value_name = "BYTES")]
    pub max_memory: Option<u64>,
    /// Maximum bytes of a mirrored state; default: 1 GiB
    #[arg(long, env = "TEARLESS_MIRROR_MAX_STATE_LEN", value_name = "BYTES")]
    pub max_state_len: Option<u64>,
    /// Maximum number of channels of one origin; default: 16384
    #[arg(long, env = "TEARLESS_MIRROR_MAX_CHANNELS", value_name = "NUMBER")]
    pub max_channels: Option<usize>,
    /// Maximum bytes a second from each origin; default: no limit
    #[arg(long, env = "TEARLESS_MIRROR_MAX_RATE", value_name = "BYTES")]
    pub max_rate: Option<u64>,
    /// Maximum bytes a second to each other mirror; default: no limit
    #[arg(long, env = "TEARLESS_MIRROR_MAX_SEND_RATE", value_name = "BYTES")]
    pub max_send_rate: Option<u64>,
    /// Without news for this long, an origin is unreachable; default: 3s
    #[arg(long, env = "TEARLESS_MIRROR_UNREACHABLE_AFTER", value_name = "TIME")]
    pub unreachable_after: Option<String>,
    /// Limit of an attempt to connect; default: 700ms
    #[arg(long, env = "TEARLESS_MIRROR_CONNECT_TIMEOUT", value_name = "TIME")]
    pub connect_timeout: Option<String>,
    /// How events are written to stderr; default: text
    #[arg(long, env = "TEARLESS_MIRROR_LOG", value_enum)]
    pub log: Option<Log>,
}

/// How events are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Log {
    /// A line for people
    #[default]
    Text,
    /// An object of JSON a line
    Json,
}

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// How hosts are reached.
    pub carrier: ZenohOptions,
    /// The namespaces that others may read, with the patterns of their channels.
    pub publish: Vec<(String, Vec<Pattern>)>,
    /// The channels to mirror: patterns of the host, and what of it.
    pub mirror: Vec<(Pattern, Interest)>,
    /// Where the copies are.
    pub copies: CopyOptions,
    /// Limits of each origin.
    pub sink: Options,
    /// Maximum bytes a second to each other mirror.
    pub send_rate: Option<u64>,
    /// How events are written.
    pub log: Log,
}

/// Lower rates than this leave no room for the news that a host is there.
const MIN_RATE: u64 = 10_000;

/// What is wrong with a configuration.
pub type ConfigError = String;

impl Settings {
    /// The settings of a file.
    ///
    /// # Errors
    ///
    /// If it can't be read, or says something unknown.
    pub fn read(path: &Path) -> Result<Settings, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// These, and where they say nothing, the others.
    #[must_use]
    pub fn or(self, other: Settings) -> Settings {
        let list = |ours: Vec<String>, others| if ours.is_empty() { others } else { ours };
        Settings {
            host: self.host.or(other.host),
            listen: list(self.listen, other.listen),
            connect: list(self.connect, other.connect),
            mode: self.mode.or(other.mode),
            publish: list(self.publish, other.publish),
            mirror: list(self.mirror, other.mirror),
            name: self.name.or(other.name),
            tls_ca: self.tls_ca.or(other.tls_ca),
            tls_certificate: self.tls_certificate.or(other.tls_certificate),
            tls_key: self.tls_key.or(other.tls_key),
            hosts: list(self.hosts, other.hosts),
            routers: list(self.routers, other.routers),
            allow_insecure: self.allow_insecure || other.allow_insecure,
            compress: self.compress || other.compress,
            directory: self.directory.or(other.directory),
            permissions: self.permissions.or(other.permissions),
            max_memory: self.max_memory.or(other.max_memory),
            max_state_len: self.max_state_len.or(other.max_state_len),
            max_channels: self.max_channels.or(other.max_channels),
            max_rate: self.max_rate.or(other.max_rate),
            max_send_rate: self.max_send_rate.or(other.max_send_rate),
            unreachable_after: self.unreachable_after.or(other.unreachable_after),
            connect_timeout: self.connect_timeout.or(other.connect_timeout),
            log: self.log.or(other.log),
        }
    }

    /// Checks all of it, without any effect: what is refused here would be refused at each start.
    ///
    /// # Errors
    ///
    /// What is wrong, and what to write instead.
    pub fn check(self) -> Result<Config, ConfigError> {
        let host = match self.host {
            Some(host) => host,
            None => rustix::system::uname().nodename().to_string_lossy().into_owned(),
        };
        let mut publish: Vec<(String, Vec<Pattern>)> = Vec::new();
        for text in &self.publish {
            let (namespace, pattern) = split_channels(text)?;
            match publish.iter_mut().find(|(known, _)| known == namespace) {
                Some((_, patterns)) => patterns.push(Pattern::new(pattern)),
                None => publish.push((namespace.into(), vec![Pattern::new(pattern)])),
            }
        }
        let mirror = self.mirror.iter().map(|text| split_origin(text)).collect::<Result<Vec<_>, _>>()?;
        if mirror.len() > MAX_PATTERNS {
            return Err(format!(
                "more than {MAX_PATTERNS} patterns of channels to mirror: use fewer, wider ones"
            ));
        }
        if publish.is_empty() && mirror.is_empty() && self.mode != Some(Mode::Router) {
            return Err(
                "nothing to do: give --publish NAMESPACE/PATTERN, or --mirror HOST/NAMESPACE/PATTERN, or \
                        --mode router"
                    .into(),
            );
        }
        let name = self.name.unwrap_or_else(|| CopyOptions::default().name);
        if name.matches("{channel}").count() != 1 || !name.contains("{host}") {
            return Err(format!(
                "the names of copies, {name:?}, need {{host}} and {{channel}}, or two would be the same"
            ));
        }
        let tls = match (self.tls_ca, self.tls_certificate, self.tls_key) {
            (None, None, None) => None,
            (Some(root_ca), Some(certificate), Some(key)) => Some(Tls { root_ca, certificate, key }),
            _ => return Err("TLS needs all of --tls-ca, --tls-certificate and --tls-key".into()),
        };
        let mut carrier = ZenohOptions {
            host,
            listen: self.listen,
            connect: self.connect,
            tls,
            hosts: self.hosts,
            routers: self.routers,
            allow_insecure: self.allow_insecure,
            compress: self.compress,
            mode: self.mode.unwrap_or_default(),
            ..ZenohOptions::default()
        };
        if let Some(text) = self.connect_timeout {
            carrier.connect_timeout = duration("connect-timeout", &text)?;
        }
        let permissions = self.permissions.map(|text| {
            let mode = u32::from_str_radix(&text, 8).ok().filter(|mode| *mode <= 0o777);
            mode.ok_or_else(|| format!("the permissions {text:?} are no octal number as 600 or 640"))
        });
        let copies = CopyOptions { directory: self.directory, permissions: permissions.transpose()?, name };
        if self.max_rate.into_iter().chain(self.max_send_rate).any(|rate| rate < MIN_RATE) {
            return Err(format!("a rate must be at least {MIN_RATE} bytes a second"));
        }
        let mut sink = Options { rate: self.max_rate, ..Options::default() };
        sink.max_memory = self.max_memory.unwrap_or(sink.max_memory);
        sink.max_channels = self.max_channels.unwrap_or(sink.max_channels);
        sink.max_state_len = self.max_state_len.unwrap_or(sink.max_state_len);
        if let Some(text) = self.unreachable_after {
            sink.unreachable_after = duration("unreachable-after", &text)?.max(2 * sink.hold);
        }
        carrier.check().map_err(|error| error.to_string())?;
        for namespace in publish.iter().map(|(name, _)| &**name).chain([crate::status::NAMESPACE]) {
            copies.namespace(namespace)?;
        }
        let (send_rate, log) = (self.max_send_rate, self.log.unwrap_or_default());
        Ok(Config { carrier, publish, mirror, copies, sink, send_rate, log })
    }
}

fn duration(what: &str, text: &str) -> Result<Duration, ConfigError> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{what} {text:?} is not a time such as 3s or 500ms: {error}"))
}

fn split_channels(text: &str) -> Result<(&str, &str), ConfigError> {
    let parts =
        text.split_once('/').filter(|(namespace, pattern)| !namespace.is_empty() && !pattern.is_empty());
    let (namespace, pattern) = parts
        .ok_or_else(|| format!("channels to publish, {text:?}, are NAMESPACE/PATTERN, as fleet/worker-*"))?;
    if namespace.contains(['*', '?']) {
        return Err(format!("the namespace of {text:?} must not be a pattern: publish each by its name"));
    }
    Ok((namespace, pattern))
}

fn split_origin(text: &str) -> Result<(Pattern, Interest), ConfigError> {
    let mut parts = text.splitn(3, '/').filter(|part| !part.is_empty());
    match (parts.next(), parts.next(), parts.next()) {
        (Some(host), Some(namespace), Some(channel)) => {
            let interest = Interest { namespace: namespace.into(), channel: channel.into() };
            if !interest.is_short() {
                return Err(format!("a pattern in {text:?} is longer than any name: shorten it"));
            }
            Ok((Pattern::new(host), interest))
        }
        _ => {
            Err(format!("channels to mirror, {text:?}, are HOST/NAMESPACE/PATTERN, as host-a/fleet/worker-*"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(arguments: &[&str]) -> String {
        let settings = Settings::parse_from(std::iter::once(&"mirror").chain(arguments));
        settings.check().map(|_| ()).expect_err("it is wrong")
    }

    #[test]
    fn what_is_wrong_is_told() {
        let long = format!("a/b/{}", "x".repeat(257));
        for (arguments, text) in [
            (&[][..], "nothing to do"),
            (&["--publish", "fleet"], "NAMESPACE/PATTERN"),
            (&["--publish", "fl*/x"], "by its name"),
            (&["--mirror", "a/fleet"], "HOST/NAMESPACE/PATTERN"),
            (&["--mirror", "a//x"], "HOST/NAMESPACE/PATTERN"),
            (&["--mirror", &long], "longer than any name"),
            (&["--mirror", "a/b/c", "--host", "x/y"], "--host"),
            (&["--mirror", "a/b/c", "--name", "{channel}"], "{host}"),
            (&["--mirror", "a/b/c", "--tls-ca", "x"], "--tls-key"),
            (&["--mirror", "a/b/c", "--permissions", "999"], "octal"),
            (&["--mirror", "a/b/c", "--max-rate", "9999"], "at least 10000"),
            (&["--publish", "a/b", "--max-send-rate", "9999"], "at least 10000"),
            (&["--mirror", "a/b/c", "--unreachable-after", "3 apples"], "not a time"),
        ] {
            let error = error(arguments);
            assert!(error.contains(text), "{arguments:?}: {error}");
        }
    }

    #[test]
    fn the_command_line_is_stronger_than_the_file() {
        let file: Settings = toml::from_str(
            "host = \"f\"\nlisten = [\"tcp/[::1]:1\"]\npublish = [\"fleet/*\"]\nmax-rate = 70000\n\
             max-send-rate = 80000\n",
        )
        .expect("valid");
        let settings = Settings::parse_from(["mirror", "--host", "c"]).or(file);
        let config = settings.check().expect("valid");
        assert_eq!((&*config.carrier.host, config.sink.rate), ("c", Some(70_000)));
        assert_eq!(config.send_rate, Some(80_000));
        assert_eq!(config.publish.len(), 1);
        assert!(toml::from_str::<Settings>("hots = \"f\"").is_err());
    }
}
