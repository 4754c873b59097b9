//! This program on a host: it writes and reads channels by orders, line by line.
//!
//! A state holds its number, and bytes that follow from the number: so a reader recognizes every
//! state that is not whole, and every number that goes back.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use tearless::hub::Hub;
use tearless::{Bytes, Namespace, Writer};
use tearless_mirror::carrier::Carrier;
use tearless_mirror::carrier::zenoh::{Tls, Zenoh, ZenohOptions};

use crate::host::PATIENCE;

/// The variable with the agent's namespace.
pub const NAMESPACE: &str = "TEARLESS_MIRROR_AGENT";

#[test]
fn agent() {
    let Some(namespace) = std::env::var_os(NAMESPACE) else { return };
    let namespace = Namespace::open(namespace.to_str().unwrap()).unwrap();
    let hub = namespace.hub_builder().codec::<Bytes>().open();
    let mut agent = Agent { namespace, hub, writers: HashMap::new(), seen: HashMap::new(), carrier: None };
    testkit::child::ready();
    for order in testkit::child::orders() {
        let words: Vec<&str> = order.split(' ').collect();
        let answer = agent.obey(&words).unwrap_or_else(|problem| format!("failed {problem}"));
        testkit::child::say(&answer.replace('\n', " "));
    }
    // The parent does not read what the harness says at the end.
    std::process::exit(0);
}

struct Agent {
    namespace: Namespace,
    hub: Hub<Bytes>,
    writers: HashMap<String, Writer<[u8], Bytes>>,
    /// The highest number that was read of each channel.
    seen: HashMap<String, u64>,
    carrier: Option<Zenoh>,
}

type Answer = Result<String, String>;

fn text(problem: impl Display) -> String {
    problem.to_string()
}

fn number(word: &str) -> u64 {
    word.parse().unwrap()
}

fn len(word: &str) -> usize {
    word.parse().unwrap()
}

impl Agent {
    fn obey(&mut self, order: &[&str]) -> Answer {
        match order {
            ["open", channel] => self.open(channel),
            ["open_all", count] => self.open_all(number(count)),
            ["publish", channel, state, bytes] => self.publish(channel, number(state), len(bytes)),
            ["publish_all", count, state, bytes] => {
                self.publish_all(number(count), number(state), len(bytes))
            }
            ["publish_for", count, after, hertz, bytes, millis] => {
                let time = Duration::from_millis(number(millis));
                self.publish_for(number(count), number(after), number(hertz), len(bytes), time)
            }
            ["close", channel] => {
                let writer = self.writers.remove(*channel).ok_or("no such writer")?;
                writer.close().map_err(text).map(|()| "ok".into())
            }
            ["read", channel] => self.read(channel).map(|state| format!("ok {state}")),
            ["await", channel, state] => self.wait(|agent| Ok(agent.read(channel)? >= number(state))),
            ["await_all", prefix, count, state] => {
                let channels: Vec<String> = (0..number(count)).map(|i| format!("{prefix}c{i}")).collect();
                let mut behind = channels.into_iter().peekable();
                self.wait(move |agent| {
                    while let Some(channel) = behind.peek() {
                        if agent.read(channel)? < number(state) {
                            return Ok(false);
                        }
                        behind.next();
                    }
                    Ok(true)
                })
            }
            ["carrier", host, "listen", endpoint, tls @ ..] => self.carrier(host, Some(endpoint), None, tls),
            ["carrier", host, "connect", endpoint, tls @ ..] => self.carrier(host, None, Some(endpoint), tls),
            ["reach", host] => self.wait(|agent| agent.reach(host)),
            ["unreachable", host] => self.wait(|agent| agent.reach(host).map(|reached| !reached)),
            ["count", pattern] => Ok(self.hub.channels(pattern).map_err(text)?.len().to_string()),
            // What the channel has had here: a copy that was made again has fewer.
            ["publications", channel] => {
                Ok(self.namespace.inspect(channel).map_err(text)?.publication.to_string())
            }
            ["health", channel] => {
                Ok(self.hub.status(channel).map_or_else(text, |status| status.to_string()))
            }
            _ => Err(format!("unknown order {order:?}")),
        }
    }

    /// Opens a carrier, which echoes.
    fn carrier(&mut self, host: &str, listen: Option<&str>, connect: Option<&str>, tls: &[&str]) -> Answer {
        let endpoints = |endpoint: Option<&str>| endpoint.map(str::to_owned).into_iter().collect();
        let options = ZenohOptions {
            host: host.to_owned(),
            listen: endpoints(listen),
            connect: endpoints(connect),
            tls: match tls {
                [ca, certificate, key] => {
                    Some(Tls { root_ca: ca.into(), certificate: certificate.into(), key: key.into() })
                }
                _ => None,
            },
            allow_insecure: tls.is_empty(),
            ..ZenohOptions::default()
        };
        self.carrier =
            Some(Zenoh::open(&options, Arc::new(|request, answer| answer(request))).map_err(text)?);
        Ok("ok".into())
    }

    /// Whether a host replies at this moment.
    fn reach(&self, host: &str) -> Result<bool, String> {
        let (tell, replies) = channel();
        let carrier = self.carrier.as_ref().ok_or("no carrier")?;
        let reply = Arc::new(move |reply| drop(tell.send(reply)));
        carrier.ask(host, vec![7; 100_000], Duration::from_millis(500), reply);
        let reply = replies.recv_timeout(PATIENCE).map_err(text)?;
        Ok(reply.is_some_and(|reply: Vec<u8>| reply == [7; 100_000]))
    }

    fn open(&mut self, channel: &str) -> Answer {
        let writer = self.namespace.writer_builder::<[u8]>(channel).codec::<Bytes>();
        let writer = writer.max_state_len(128 << 20).open().map_err(text)?;
        self.writers.insert(channel.to_owned(), writer);
        Ok("ok".into())
    }

    fn open_all(&mut self, count: u64) -> Answer {
        (0..count).try_for_each(|i| self.open(&format!("c{i}")).map(drop))?;
        Ok("ok".into())
    }

    fn publish(&mut self, channel: &str, state: u64, len: usize) -> Answer {
        let writer = self.writers.get_mut(channel).ok_or("no such writer")?;
        writer.publish(&state_of(state, len)).map_err(text)?;
        Ok("ok".into())
    }

    fn publish_all(&mut self, count: u64, state: u64, len: usize) -> Answer {
        (0..count).try_for_each(|i| self.publish(&format!("c{i}"), state, len).map(drop))?;
        Ok("ok".into())
    }

    /// Publishes to all channels at a rate, from the number that follows `after`. Answers with the
    /// number of rounds.
    fn publish_for(&mut self, count: u64, after: u64, hertz: u64, len: usize, time: Duration) -> Answer {
        let begin = Instant::now();
        let mut rounds = 0;
        while begin.elapsed() < time {
            rounds += 1;
            self.publish_all(count, after + rounds, len)?;
            let due = Duration::from_secs_f64(rounds as f64 / hertz as f64);
            thread::sleep(due.saturating_sub(begin.elapsed()));
        }
        Ok(format!("ok {rounds}"))
    }

    /// The number of the channel's state, which must be whole.
    fn read(&mut self, channel: &str) -> Result<u64, String> {
        let state = self.hub.get::<Vec<u8>>(channel).map_err(text)?;
        let number = number_of(&state).ok_or_else(|| format!("TORN: a state of {channel}"))?;
        let seen = self.seen.entry(channel.to_owned()).or_default();
        if number < *seen {
            return Err(format!("BACKWARD: {channel} from {seen} to {number}"));
        }
        *seen = number;
        Ok(number)
    }

    /// Answers with the microseconds until `holds`. A channel that is not there yet does not hold.
    fn wait(&mut self, mut holds: impl FnMut(&mut Agent) -> Result<bool, String>) -> Answer {
        let begin = Instant::now();
        loop {
            match holds(self) {
                Ok(true) => return Ok(format!("ok {}", begin.elapsed().as_micros())),
                Err(problem) if problem.starts_with("TORN") || problem.starts_with("BACKWARD") => {
                    return Err(problem);
                }
                result if begin.elapsed() > PATIENCE => return Err(format!("timeout: {result:?}")),
                _ => thread::sleep(Duration::from_millis(1)),
            }
        }
    }
}

fn word(number: u64, index: u64) -> [u8; 8] {
    (number ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_le_bytes()
}

/// A state of `len` bytes, at least 8, that follows from its number.
fn state_of(number: u64, len: usize) -> Vec<u8> {
    let mut state: Vec<u8> = (0..len.div_ceil(8) as u64).flat_map(|index| word(number, index)).collect();
    state.truncate(len);
    state
}

/// The number of a whole state.
fn number_of(state: &[u8]) -> Option<u64> {
    let number = u64::from_le_bytes(state.get(..8)?.try_into().ok()?);
    let whole = state.chunks(8).zip(0..).all(|(chunk, index)| word(number, index)[..chunk.len()] == *chunk);
    whole.then_some(number)
}
