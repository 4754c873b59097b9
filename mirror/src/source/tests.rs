use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tearless::mirror::ChannelFormat;

use super::{Channel, Latest, Limits, Read, Source};
use crate::message::{Ask, AskPiece, AskRound, Description, Interest, Reply, Request, Status, Writer, nanos};

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
    let status = Status {
        incarnation: 1,
        pid: 1,
        writer: Writer::Alive,
        heartbeat_interval: None,
        heartbeat_age: None,
        opened_ago: None,
        ended_ago: None,
    };
    let format = ChannelFormat {
        codec: "bytes".into(),
        type_name: "bytes".into(),
        fingerprint: 1,
        schema: None,
        max_state_len: 1 << 20,
        capacity: 1 << 20,
    };
    let description = Description { namespace: "fleet".into(), channel: "w".into(), instance: 1, format };
    let key = source.add(Duration::ZERO, description, status, Worker { len: 1 << 20, now: Rc::default() });
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
