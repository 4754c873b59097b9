//! What a peer can send that means no good: any bytes with a valid checksum, to a source and to a
//! sink.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use tearless_mirror::message::{Ask, Description, Interest, Request, Status, VERSION};
use tearless_mirror::sink::{Copies, Mirrored, Options, Sink};
use tearless_mirror::source::{Channel, Latest, Limits, Read, Source};
use tearless_mirror::testing::{ALIVE, described};

/// The bytes as a message, which gets past version and checksum.
fn sealed(body: &[u8]) -> Vec<u8> {
    let mut message = vec![VERSION];
    message.extend(body);
    message.extend(crc32c::crc32c(&message).to_le_bytes());
    message
}

#[derive(Clone)]
struct Worker;

impl Channel for Worker {
    fn latest(&mut self) -> Option<Latest> {
        Some(Latest { publication: 3, len: 5 })
    }

    fn read(&mut self, payload: &mut Vec<u8>) -> Option<Read> {
        *payload = b"state".to_vec();
        Some(Read { publication: 3, age: Some(Duration::from_secs(1)) })
    }
}

/// Copies in a map, which accept every channel.
#[derive(Default)]
struct Map {
    opened: BTreeMap<String, u64>,
    /// Counts those that there are.
    alive: Rc<()>,
}

struct Entry {
    publication: u64,
    _alive: Rc<()>,
}

impl Copies for Map {
    type Copy = Entry;

    fn open(&mut self, origin: &str, description: &Description) -> Result<Entry, String> {
        assert_eq!(origin, "a", "a peer speaks for its host only");
        assert!(description.namespace == "fleet" && description.channel.starts_with('w'), "not asked for");
        *self.opened.entry(description.channel.clone()).or_default() += 1;
        Ok(Entry { publication: 0, _alive: Rc::clone(&self.alive) })
    }

    fn remove_others(&mut self, _: &str, is_there: &dyn Fn(&str, &str) -> bool) {
        self.opened.retain(|channel, _| is_there("fleet", channel));
    }
}

impl Mirrored for Entry {
    fn publication(&self) -> u64 {
        self.publication
    }

    fn publish(&mut self, _: &[u8], publication: u64, _: Option<Duration>) -> Result<(), String> {
        assert!(publication > self.publication, "back");
        self.publication = publication;
        Ok(())
    }

    fn set_status(&mut self, status: &Status) {
        let _ = status.after(Duration::MAX);
    }

    fn set_unreachable(&mut self, _: Option<Duration>) {}

    fn check(&mut self) -> Result<(), String> {
        Ok(())
    }

    fn remove(self) {}
}

fn interest() -> Vec<Interest> {
    vec![Interest { namespace: "fleet".into(), channel: "w*".into() }]
}

/// A sink gets these replies, one after the other, to what it asks.
pub fn to_a_sink(replies: &[Vec<u8>]) {
    let options = Options { max_channels: 4, max_state_len: 1 << 16, max_memory: 300, ..Options::default() };
    let map = Map::default();
    let alive = Rc::clone(&map.alive);
    let mut sink = Sink::new("b", "a", 1, interest(), options, map);
    let mut now = Duration::ZERO;
    let mut asked = Vec::new();
    for reply in replies {
        now += Duration::from_millis(700);
        asked.extend(sink.poll(now).into_iter().map(|request| request.id));
        if let Some(id) = asked.pop() {
            sink.reply(now, id, Some(&sealed(reply)));
        }
        assert!(sink.report(now).channels <= 4 && Rc::strong_count(&alive) <= 4 + 2);
        assert!(sink.report(now).memory <= 300);
        assert!(sink.next_poll(now) >= now || !sink.poll(now).is_empty(), "it would turn in circles");
    }
    sink.close();
}

/// A source gets these requests, beside those of an honest sink, which it serves as ever.
pub fn to_a_source(requests: &[Vec<u8>]) {
    let mut source: Source<Worker, bool> = Source::new(7, Limits { sinks: 4, ..Limits::default() });
    let mut now = Duration::ZERO;
    let key = source.add(now, described("w", 10), ALIVE, Worker);
    let mut sink = Sink::new("b", "a", 0xabcd_ef01_2345_6789, interest(), Options::default(), Map::default());
    let mut replied = 0;
    let mut asked = Vec::new();
    let mut replies = Vec::new();
    for bytes in std::iter::once(None).chain(requests.iter().map(Some)) {
        now += Duration::from_millis(100);
        for request in sink.poll(now) {
            asked.push(request.id);
            replies.extend(source.ask(now, &request, true));
        }
        replies.extend(source.replies(now));
        if let Some(bytes) = bytes
            && let Ok(request) = Request::decode(&sealed(bytes))
        {
            if let Ask::Round(round) = &request.ask {
                assert!(round.interest.len() <= 64);
            }
            replies.extend(source.ask(now, &request, false));
        }
        while let Some(mut reading) = source.reading() {
            reading.read(|| now);
            replies.push(source.finish(now, reading));
        }
        source.changed(key);
        replies.extend(source.replies(now));
        for (is_honest, reply) in replies.drain(..) {
            if is_honest && !asked.is_empty() {
                sink.reply(now, asked.remove(0), Some(&reply));
                replied += 1;
            }
        }
    }
    assert!(replied > 0, "the honest sink gets nothing");
}
