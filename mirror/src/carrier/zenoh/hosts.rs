//! Which hosts can be asked, by their tokens.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::message::is_host_name;

/// The number is the version of the keys; messages have one of their own.
pub(super) const PREFIX: &str = "tearless/1/";
/// More tokens are ignored.
const MAX_TOKENS: usize = 16_384;
/// A token that so many looks at all miss is gone, although its end was not announced.
const MAX_MISSED: u8 = 3;

/// The keys of `host`: that under which it is asked, and those of its tokens.
pub(super) fn keys_of(host: &str) -> String {
    format!("{PREFIX}{}/*", escape(host))
}

/// The key under which `host` is asked. No host declares this one, but all of its keys: with access
/// control, Zenoh looks up what it knows of a declared key while other links may change that.
pub(super) fn request_key_of(host: &str) -> String {
    format!("{PREFIX}{}/ask", escape(host))
}

/// Makes a name one chunk of a key, which excludes some characters and gives others a meaning.
fn escape(name: &str) -> String {
    let mut escaped = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => escaped.push(char::from(byte)),
            _ => {
                // Writing into a string does not fail.
                let _ = write!(escaped, "%{byte:02x}");
            }
        }
    }
    escaped
}

fn unescape(escaped: &str) -> Option<String> {
    let mut name = Vec::new();
    let mut rest = escaped.as_bytes();
    while let [byte, tail @ ..] = rest {
        if *byte == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            name.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            name.push(*byte);
            rest = tail;
        }
    }
    let name = String::from_utf8(name).ok()?;
    // One name has one spelling.
    (is_host_name(&name) && escape(&name) == escaped).then_some(name)
}

/// A token: a host, and the session that speaks for it.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Token {
    host: String,
    session: String,
}

impl Token {
    fn parse(key: &str) -> Option<Self> {
        let (host, session) = key.strip_prefix(PREFIX)?.split_once('/')?;
        let valid = (1..=64).contains(&session.len()) && session.bytes().all(|b| b.is_ascii_alphanumeric());
        valid.then_some(())?;
        Some(Self { host: unescape(host)?, session: session.to_owned() })
    }
}

struct Sight {
    since: Instant,
    confirmed: Instant,
    missed: u8,
}

/// The tokens of the other hosts.
pub(super) struct Hosts {
    own: String,
    session: OnceLock<String>,
    tokens: Mutex<BTreeMap<Token, Sight>>,
}

impl Hosts {
    pub fn new(own: String) -> Self {
        Self { own, session: OnceLock::new(), tokens: Mutex::default() }
    }

    pub fn own(&self) -> &str {
        &self.own
    }

    /// Before this, the host has no token. A client's attempt that fails leaves its session behind.
    pub fn set_session(&self, session: String) {
        let _ = self.session.set(session);
    }

    pub fn own_token(&self) -> String {
        let session = self.session.get().map_or("0", String::as_str);
        format!("{PREFIX}{}/{session}", escape(&self.own))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Token, Sight>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A token appeared, or disappeared.
    pub fn announce(&self, key: &str, there: bool, now: Instant) {
        let Some(token) = Token::parse(key) else { return };
        if token.host == self.own && self.session.get() == Some(&token.session) {
            return;
        }
        let mut tokens = self.lock();
        if !there {
            tokens.remove(&token);
        } else if let Some(sight) = tokens.get_mut(&token) {
            sight.confirmed = now;
            sight.missed = 0;
        } else if tokens.len() < MAX_TOKENS {
            tokens.insert(token, Sight { since: now, confirmed: now, missed: 0 });
        }
    }

    /// A look at all that began at `began` has seen all tokens.
    fn conclude(&self, began: Instant) {
        self.lock().retain(|_, sight| {
            sight.missed = if sight.confirmed < began { sight.missed + 1 } else { 0 };
            sight.missed < MAX_MISSED
        });
    }

    /// The other hosts, sorted.
    pub fn names(&self) -> Vec<String> {
        let tokens = self.lock();
        let names: BTreeSet<&String> = tokens.keys().map(|token| &token.host).collect();
        names.into_iter().filter(|host| **host != self.own).cloned().collect()
    }

    /// The names that two sessions have had for `patience`. A mirror that was restarted has two
    /// for a moment.
    pub fn duplicates(&self, now: Instant, patience: Duration) -> Vec<String> {
        let mut sessions: BTreeMap<String, usize> = BTreeMap::from([(self.own.clone(), 1)]);
        for (token, sight) in &*self.lock() {
            if now.saturating_duration_since(sight.since) >= patience {
                *sessions.entry(token.host.clone()).or_default() += 1;
            }
        }
        sessions.into_iter().filter(|(_, sessions)| *sessions > 1).map(|(host, _)| host).collect()
    }
}

/// A look at all tokens. It concludes when it is dropped, unless it failed.
pub(super) struct Resync {
    hosts: Arc<Hosts>,
    began: Instant,
    failed: std::sync::atomic::AtomicBool,
}

impl Resync {
    pub fn begin(hosts: Arc<Hosts>, began: Instant) -> Self {
        Self { hosts, began, failed: false.into() }
    }

    pub fn confirm(&self, key: &str) {
        self.hosts.announce(key, true, Instant::now());
    }

    pub fn fail(&self) {
        // Relaxed: the last reference is dropped after it.
        self.failed.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

impl Drop for Resync {
    fn drop(&mut self) {
        if !*self.failed.get_mut() {
            self.hosts.conclude(self.began);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_one_chunk_of_a_key_and_comes_back() {
        for name in ["a", "rack-7.example_1", "$ #", "@own", "100 %", "größe", "%41", &"x".repeat(64)] {
            let key = request_key_of(name);
            assert_eq!(key.matches('/').count(), 3, "{key}");
            zenoh::key_expr::KeyExpr::try_from(key).unwrap();
            assert_eq!(Token::parse(&format!("{PREFIX}{}/12ab", escape(name))).unwrap().host, name);
        }
    }

    #[test]
    fn keys_of_another_form_are_no_tokens() {
        for key in [
            "tearless/1/a",
            "tearless/1//1",
            "tearless/1/a/",
            "tearless/1/a/b/c",
            "tearless/2/a/1",
            "tearless/1/%41/1",
            "tearless/1/%4/1",
            "tearless/1/%ff/1",
            "tearless/1/%zz/1",
            "other/1/a/1",
        ] {
            assert_eq!(Token::parse(key), None, "{key}");
        }
        for name in ["", "a/b", "*", "a*", "?", "a\nb", "\u{1b}[2J", "\u{85}", &"x".repeat(65)] {
            assert_eq!(Token::parse(&format!("{PREFIX}{}/1", escape(name))), None, "{name:?}");
        }
    }

    #[test]
    fn hosts_come_and_go_and_a_round_heals_what_was_not_announced() {
        let hosts = Hosts::new("own".into());
        hosts.set_session("1".into());
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        for key in ["tearless/1/own/1", "tearless/1/b/2", "tearless/1/a/3", "tearless/1/b/4"] {
            hosts.announce(key, true, start);
        }
        assert_eq!(hosts.names(), ["a", "b"]);
        hosts.announce("tearless/1/b/2", false, at(1));
        assert_eq!(hosts.names(), ["a", "b"]);
        for round in 2..5 {
            assert_eq!(hosts.names(), ["a", "b"]);
            hosts.announce("tearless/1/a/3", true, at(round));
            hosts.conclude(at(round));
        }
        assert_eq!(hosts.names(), ["a"]);
    }

    #[test]
    fn two_sessions_with_one_name_are_duplicates_after_a_while() {
        let hosts = Hosts::new("own".into());
        hosts.set_session("1".into());
        let (start, patience) = (Instant::now(), Duration::from_secs(4));
        for key in ["tearless/1/own/1", "tearless/1/a/2", "tearless/1/b/3", "tearless/1/b/4"] {
            hosts.announce(key, true, start);
        }
        assert!(hosts.duplicates(start, patience).is_empty());
        assert_eq!(hosts.duplicates(start + patience, patience), ["b"]);
        hosts.announce("tearless/1/own/5", true, start);
        assert_eq!(hosts.duplicates(start + patience, patience), ["b", "own"]);
    }

    #[test]
    fn the_number_of_tokens_is_bounded() {
        let hosts = Hosts::new("own".into());
        for number in 0..MAX_TOKENS + 10 {
            hosts.announce(&format!("tearless/1/h{number}/1"), true, Instant::now());
        }
        assert_eq!(hosts.names().len(), MAX_TOKENS);
    }
}
