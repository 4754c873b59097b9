use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use super::{Channel, Latest, Limits, Read, Source};
use crate::message::{Ask, AskPiece, AskRound, Interest, MAX_RECEIVED, Reply, Request, nanos};
use crate::testing::{ALIVE, described};

/// The age of states once they are read.
const AGE: Duration = Duration::from_secs(3);

/// States of so many bytes, which take a second to be read.
#[derive(Clone)]
struct Worker {
    len: usize,
    now: Rc<Cell<Duration>>,
}

impl Channel for Worker {
    fn latest(&mut self) -> Option<Latest> {
        Some(Latest { publication: 1, len: self.len as u64 })
    }

    fn read(&mut self, payload: &mut Vec<u8>) -> Option<Read> {
        payload.clear();
        payload.resize(self.len, 7);
        self.now.set(self.now.get() + Duration::from_secs(1));
        Some(Read { publication: 1, age: Some(AGE) })
    }
}

/// The numbers of requests answer them.
fn source(limits: Limits) -> (Source<Worker, u64>, u32) {
    let mut source = Source::new(7, limits);
    let channel = described("w", 1 << 20);
    let key = source.add(Duration::ZERO, channel, ALIVE, Worker { len: 1 << 20, now: Rc::default() });
    (source, key)
}

fn round(sink: u64, id: u64, session: u64) -> Request {
    let interest = vec![Interest { namespace: "*".into(), channel: "*".into() }];
    let ask = AskRound { first: id, received: Vec::new(), max_bytes: 1 << 16, hold_ms: 500, interest };
    Request { sink, host: "b".into(), id, session, ask: Ask::Round(ask) }
}

fn piece(sink: u64, id: u64, key: u32) -> Request {
    let ask = AskPiece { key, publication: 0, offset: 0, max_bytes: 1 << 16 };
    Request { sink, host: "b".into(), id, session: 7, ask: Ask::Piece(ask) }
}

#[test]
fn while_a_large_state_is_read_others_are_answered() {
    let (mut source, key) = source(Limits::default());
    let now = Duration::from_secs(1);
    for sink in [1, 2] {
        assert!(source.ask(now, &round(sink, 1, 0), 1).is_none());
        assert_eq!(source.replies(now).len(), 1, "the channel is announced");
    }
    assert!(source.ask(now, &piece(1, 2, key), 2).is_none(), "it is not read here");
    assert!(source.ask(now, &piece(1, 2, key), 2).is_none(), "the same request again");
    let mut reading = source.reading().expect("it is to be read");
    assert!(source.reading().is_none(), "once");
    source.changed(key);
    source.ask(now, &round(2, 2, 7), 20);
    assert_eq!(source.replies(now + Duration::from_secs(1))[0].0, 20);
    let (_, refusal) = source.ask(now, &piece(1, 3, key), 3).expect("a refusal");
    assert!(matches!(Reply::decode(&refusal), Ok(Reply::Refused(_))), "one large state at a time");
    let clock = Rc::clone(&source.channel(key).expect("it is there").now);
    clock.set(now);
    reading.read(|| clock.get());
    let (answer, bytes) = source.finish(clock.get(), reading);
    assert_eq!(answer, 2);
    let Ok(Reply::Piece(piece)) = Reply::decode(&bytes) else { panic!("a piece") };
    assert_eq!((piece.bytes.len(), piece.age), (1 << 16, Some(nanos(AGE))), "the reading counts once");
}

fn is_refused(reply: Option<(u64, Vec<u8>)>) -> bool {
    reply.is_some_and(|(_, bytes)| matches!(Reply::decode(&bytes), Ok(Reply::Refused(_))))
}

#[test]
fn idle_sinks_give_their_places_to_others_and_active_ones_do_not() {
    let (mut source, _) = source(Limits { sinks: 3, ..Limits::default() });
    let mut is_refused_at = |millis, sink, id| {
        let now = Duration::from_millis(millis);
        let is_refused = is_refused(source.ask(now, &round(sink, id, 0), id));
        source.replies(now);
        is_refused
    };
    for sink in 1..=3 {
        assert!(!is_refused_at(sink, sink, 1));
    }
    assert!(is_refused_at(1000, 4, 1), "the others have just asked");
    assert!(!is_refused_at(4900, 1, 2), "it holds a request from now on");
    assert!(!is_refused_at(5100, 4, 2), "in place of 2");
    assert!(!is_refused_at(5200, 5, 1), "in place of 3");
    assert!(is_refused_at(5300, 2, 2), "1, 4 and 5 are active");
    assert_eq!(source.reports().count(), 3);
}

#[test]
fn large_states_that_are_kept_are_bounded_and_idle_ones_make_room() {
    let (mut source, key) = source(Limits { large: 3 << 19, ..Limits::default() });
    let begin = Duration::from_secs(1);
    for sink in [1, 2] {
        source.ask(begin, &round(sink, 1, 0), 1);
    }
    source.replies(begin);
    let mut is_refused_at = |now, sink, id| {
        let is_refused = is_refused(source.ask(now, &piece(sink, id, key), id));
        if let Some(mut reading) = source.reading() {
            reading.read(|| now);
            source.finish(now, reading);
        }
        is_refused
    };
    assert!(!is_refused_at(begin, 1, 2));
    assert!(is_refused_at(begin, 2, 2), "two of them are more than a megabyte and a half");
    assert!(!is_refused_at(begin + Duration::from_secs(4), 1, 3), "its own makes room");
    assert!(is_refused_at(begin + Duration::from_secs(8), 2, 3), "the other is active");
    assert!(!is_refused_at(begin + Duration::from_secs(9), 2, 4));
}

#[test]
fn a_host_that_has_many_sinks_takes_no_places_from_others() {
    let (mut source, _) = source(Limits { sinks: 5, sinks_of_host: 3, ..Limits::default() });
    for id in 1..=40 {
        let now = Duration::from_millis(10 * id);
        for sink in [1, 2] {
            assert!(!is_refused(source.ask(now, &round(sink, id, 7), id)));
        }
        let hostile = Request { host: "many".into(), ..round(100 + id, 1, 0) };
        assert_eq!(is_refused(source.ask(now, &hostile, id)), id > 3, "its first ones are active");
        source.changed(0);
        source.replies(now);
    }
    let sinks: Vec<_> = source.reports().map(|sink| (sink.host, sink.rounds)).collect();
    let of_many = sinks.iter().filter(|(host, _)| host == "many");
    assert_eq!((sinks.len(), of_many.count()), (5, 3));
    assert_eq!(sinks.iter().filter(|(host, rounds)| host == "b" && *rounds == 40).count(), 2);
    // With a name of others it takes no place of theirs, but a free one.
    for id in 1..=40 {
        let now = Duration::from_millis(400 + 10 * id);
        for sink in [1, 2] {
            assert!(!is_refused(source.ask(now, &round(sink, 40 + id, 47), id)));
        }
        let hostile = round(200 + id, 1, 0);
        assert!(is_refused(source.ask(now, &hostile, id)), "all places are taken");
        source.changed(0);
        source.replies(now);
    }
    // Those that are idle make room.
    let late = Duration::from_secs(15);
    for sink in [1, 2] {
        source.ask(late, &round(sink, 100, 100), 1);
    }
    source.replies(late);
    let other = Request { host: "many".into(), ..round(300, 1, 0) };
    assert!(!is_refused(source.ask(late, &other, 1)));
    assert_eq!(source.reports().filter(|sink| sink.host == "b").count(), 2);
}

#[test]
fn a_sink_that_wants_others_each_time_does_not_keep_the_source_busy() {
    const CHANNELS: usize = 10_000;
    const PATTERNS: usize = 64;
    let (mut source, first) = source(Limits::default());
    source.remove(first);
    for number in 0..CHANNELS {
        let worker = Worker { len: 10, now: Rc::default() };
        source.add(Duration::ZERO, described(&format!("w{number}"), 10), ALIVE, worker);
    }
    // All of these are compared, before the last one matches.
    // Those of the patient one are the longest.
    let patterns = |id: u64| {
        let other = Interest { namespace: "fleet".into(), channel: format!("{id}{}", "?".repeat(120)) };
        let all = Interest { namespace: "fleet".into(), channel: "*".into() };
        [vec![other; PATTERNS - 1], vec![all]].concat()
    };
    let patient = patterns(123_456_789);
    let bytes: usize = patterns(1000).iter().map(|it| it.namespace.len() + it.channel.len()).sum();
    let mut received: [VecDeque<u64>; 3] = Default::default();
    let mut described = [0; 3];
    for id in 1..=4000 {
        let now = Duration::from_millis(1000 + id);
        let one = vec![Interest { namespace: "*".into(), channel: "*".into() }];
        // The hostile one; one that has as many patterns, and stays with them; one with a single
        // pattern, which comes later.
        for (sink, interest) in [patterns(id), patient.clone(), one].into_iter().enumerate() {
            let mut request = round(sink as u64, id, 7);
            let Ask::Round(ask) = &mut request.ask else { unreachable!() };
            (ask.interest, ask.received) = (interest, received[sink].iter().copied().collect());
            if sink < 2 || id > 500 {
                source.ask(now, &request, sink as u64);
            }
        }
        for (sink, reply) in source.replies(now) {
            let sink = usize::try_from(sink).unwrap();
            let Ok(Reply::Round(round, items)) = Reply::decode(&reply) else { panic!("a round") };
            received[sink].push_back(round.sequence);
            if received[sink].len() > MAX_RECEIVED {
                received[sink].pop_front();
            }
            described[sink] += items.filter(|item| item.as_ref().unwrap().description.is_some()).count();
        }
        let is_late = id >= 600;
        assert!(!is_late || described[2] == CHANNELS, "{id}: a single pattern takes little time");
        let is_long = id >= 2500;
        assert!(!is_long || described[1] == CHANNELS, "{id}: others take turns with the hostile one");
    }
    assert_eq!((described[1], source.sinks[&1].has_told_all()), (CHANNELS, true));
    let compared = described[0] * bytes;
    assert!(compared > 0 && compared < 400_000_000, "{compared} bytes of patterns in 4 s");
}
