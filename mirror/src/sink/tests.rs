use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use super::{Copies, Mirrored, Options, Sink};
use crate::message::{
    Ask, Content, Description, Interest, Item, ItemEncoder, Piece, Reply, Request, Round, State, Status,
};
use crate::testing::described;

/// The copies that there are, by the channels' names: the bytes of their states.
#[derive(Clone, Default)]
struct Memory(Rc<RefCell<BTreeMap<String, usize>>>);

struct Entry {
    of: Memory,
    name: String,
    publication: u64,
}

impl Copies for Memory {
    type Copy = Entry;

    fn open(&mut self, _: &str, description: &Description) -> Result<Entry, String> {
        self.0.borrow_mut().insert(description.channel.clone(), 0);
        Ok(Entry { of: self.clone(), name: description.channel.clone(), publication: 0 })
    }

    fn remove_others(&mut self, _: &str, _: &dyn Fn(&str, &str) -> bool) {}
}

impl Mirrored for Entry {
    fn publication(&self) -> u64 {
        self.publication
    }

    fn publish(&mut self, payload: &[u8], publication: u64, _: Option<Duration>) -> Result<(), String> {
        self.of.0.borrow_mut().insert(self.name.clone(), payload.len());
        self.publication = publication;
        Ok(())
    }

    fn set_status(&mut self, _: &Status) {}

    fn set_unreachable(&mut self, _: Option<Duration>) {}

    fn check(&mut self) -> Result<(), String> {
        let is_there = self.of.0.borrow().contains_key(&self.name);
        is_there.then_some(()).ok_or_else(|| "it was removed".into())
    }

    fn remove(self) {
        self.of.0.borrow_mut().remove(&self.name);
    }
}

/// A sink, and its copies. The tests are its origin.
struct Scene {
    sink: Sink<Memory>,
    memory: Memory,
    now: Duration,
    sequence: u64,
    asked: Vec<Request>,
}

impl Scene {
    fn new(options: Options) -> Scene {
        let interest = vec![Interest { namespace: "*".into(), channel: "*".into() }];
        let memory = Memory::default();
        let sink = Sink::new("b", "a", 1, interest, options, memory.clone());
        Scene { sink, memory, now: Duration::ZERO, sequence: 0, asked: Vec::new() }
    }

    /// Polls a little later.
    fn poll(&mut self) {
        self.now += Duration::from_millis(20);
        self.asked.extend(self.sink.poll(self.now));
    }

    /// Replies to the latest request for a round with these.
    fn round(&mut self, session: u64, is_listed: bool, items: &[Item<'_>]) {
        self.poll();
        let at = self.asked.iter().rposition(|request| matches!(request.ask, Ask::Round(_)));
        let request = self.asked.remove(at.expect("it asks"));
        self.reply(&request, session, is_listed, items);
    }

    fn reply(&mut self, request: &Request, session: u64, is_listed: bool, items: &[Item<'_>]) {
        let Ask::Round(ask) = &request.ask else { panic!("not for a round") };
        let reply = self.encoded(ask.first, session, is_listed, items);
        self.sink.reply(self.now, request.id, Some(&reply));
    }

    fn encoded(&mut self, first: u64, session: u64, is_listed: bool, items: &[Item<'_>]) -> Vec<u8> {
        self.sequence += 1;
        let mut encoder = ItemEncoder::default();
        items.iter().for_each(|item| assert!(encoder.push(item, 1 << 20)));
        let round =
            Round { session, sequence: self.sequence, listing: 1, is_listed, first, held_us: 0, clock_us: 0 };
        Reply::round(round, encoder)
    }

    fn names(&self) -> Vec<String> {
        self.memory.0.borrow().keys().cloned().collect()
    }
}

fn item(key: u32, name: &str, payload: &'static [u8]) -> Item<'static> {
    let state = State { publication: 1, age: None, content: Content::Whole(payload) };
    let description = Some(Cow::Owned(described(name, 10)));
    Item { key, is_removed: false, description, status: None, state: Some(state) }
}

fn removed(key: u32) -> Item<'static> {
    Item { key, is_removed: true, description: None, status: None, state: None }
}

#[test]
fn an_origin_that_only_restarts_gets_no_more_than_its_limits() {
    let by_number = Options { max_channels: 8, ..Options::default() };
    let by_memory = Options { max_memory: 8 * 4 * 100, ..Options::default() };
    for options in [by_number, by_memory] {
        let mut scene = Scene::new(options);
        for session in 1..20 {
            let names: Vec<String> = (0..5).map(|at| format!("w{session}-{at}")).collect();
            let items: Vec<_> = (0..).zip(&names).map(|(key, name)| item(key, name, &[7; 100])).collect();
            scene.round(session, false, &items);
            let there = scene.names();
            assert!(there.len() <= 8, "{there:?}");
            assert!(names.iter().all(|name| there.contains(name)), "the former ones make room");
            let report = scene.sink.report(scene.now);
            assert_eq!((report.channels, report.memory), (there.len() as u64, 400 * there.len() as u64));
        }
        // What the last session has counts alone, once it has told all.
        for _ in 0..10 {
            scene.now += Duration::from_millis(500);
            scene.round(19, true, &[]);
        }
        assert_eq!((scene.names().len(), scene.sink.report(scene.now).memory), (5, 2000));
    }
}

#[test]
fn a_reply_is_quick_only_if_it_has_news_of_copies_that_are_there() {
    let mut scene = Scene::new(Options::default());
    let news = || Item { description: None, ..item(0, "w", b"2") };
    let quick = |scene: &mut Scene, session, items: &[Item<'_>]| {
        let reply = scene.encoded(1, session, true, items);
        scene.sink.is_quick(&reply)
    };
    assert!(!quick(&mut scene, 7, &[news()]), "nothing is known");
    scene.round(7, true, &[item(0, "w", b"1")]);
    for _ in 0..10 {
        scene.now += Duration::from_millis(500);
        scene.round(7, true, &[]);
    }
    assert!(quick(&mut scene, 7, &[news()]) && quick(&mut scene, 7, &[]));
    assert!(!quick(&mut scene, 8, &[news()]), "the source has restarted");
    assert!(!quick(&mut scene, 7, &[news(), item(1, "x", b"1")]), "a copy is to be made");
    assert!(!quick(&mut scene, 7, &[news(), removed(0)]), "a copy is to be removed");
    assert!(!scene.sink.is_quick(&Reply::refused("no")) && !scene.sink.is_quick(b"?"));
}

#[test]
fn a_key_that_gets_other_names_is_of_the_first_channel() {
    let interest = vec![Interest { namespace: "fleet".into(), channel: "w".into() }];
    let memory = Memory::default();
    let sink = Sink::new("b", "a", 1, interest, Options::default(), memory.clone());
    let mut scene = Scene { sink, memory, ..Scene::new(Options::default()) };
    for number in 0..100 {
        scene.round(7, false, &[item(0, &format!("x{number}"), b"1")]);
    }
    let report = scene.sink.report(scene.now);
    assert_eq!(report.refused, ["fleet/x0: it was not asked for"]);
    assert_eq!(scene.sink.channels.names(), 1, "no name of them is kept");
}

#[test]
fn a_large_state_without_room_is_not_transferred() {
    for options in [
        Options { max_memory: 1 << 20, ..Options::default() },
        Options { max_state_len: 1 << 19, ..Options::default() },
    ] {
        let mut scene = Scene::new(options);
        let large = |len| State { publication: 1, age: None, content: Content::Large(len) };
        scene.round(7, false, &[Item { state: Some(large(600_000)), ..item(0, "w", &[]) }]);
        (0..20).for_each(|_| scene.poll());
        let is_piece = |request: &Request| matches!(request.ask, Ask::Piece(_));
        assert!(!scene.asked.iter().any(is_piece));
        let trouble = scene.sink.report(scene.now).trouble.unwrap();
        assert!(trouble.contains("fleet/w has a state of 600000 bytes: raise max-"), "{trouble}");
        // One that has room is.
        scene.round(7, false, &[Item { state: Some(large(200_000)), ..item(1, "x", &[]) }]);
        (0..20).for_each(|_| scene.poll());
        assert!(scene.asked.iter().any(is_piece));
    }
}

#[test]
fn a_copy_that_is_resumed_counts_for_the_memory_that_it_has() {
    let mut scene = Scene::new(Options::default());
    for session in 1..4 {
        scene.round(session, false, &[item(0, "w", &[7; 100])]);
        assert_eq!(scene.sink.report(scene.now).memory, 400);
    }
}

#[test]
fn removed_channels_that_are_remembered_are_bounded_and_none_comes_back() {
    let mut scene = Scene::new(Options { max_channels: 4, ..Options::default() });
    scene.round(7, false, &[item(0, "w", b"1")]);
    scene.poll();
    let first = scene.asked.remove(0);
    assert!(scene.asked.len() > 1, "several requests are outstanding");
    for round in 0..2 {
        let request = scene.asked.remove(0);
        let keys = if round == 0 { 0..3 } else { 3..6 };
        scene.reply(&request, 7, false, &keys.map(removed).collect::<Vec<_>>());
    }
    assert!(scene.names().is_empty() && !scene.sink.channels.has_many_gone());
    // An earlier round, which was overtaken.
    scene.reply(&first, 7, false, &[item(0, "w", b"1"), item(5, "x", b"1")]);
    assert!(scene.names().is_empty(), "{:?} came back", scene.names());
    scene.round(7, false, &[item(6, "y", b"1")]);
    assert_eq!(scene.names(), ["y"], "later ones are applied");
}

#[test]
fn a_long_transfer_goes_on_after_each_piece_that_fails() {
    let state: Vec<u8> = (0..600_000_u32).map(|at| (at % 251) as u8).collect();
    for failure in 0..4 {
        let mut scene = Scene::new(Options::default());
        let content = Content::Large(state.len() as u64);
        let large = State { publication: 1, age: None, content };
        scene.round(7, false, &[Item { state: Some(large), ..item(0, "w", &[]) }]);
        let (mut pieces, mut begun) = (0_usize, 0);
        for _ in 0..2000 {
            scene.poll();
            let at = scene.asked.iter().position(|request| matches!(request.ask, Ask::Piece(_)));
            let Some(request) = at.map(|at| scene.asked.remove(at)) else { continue };
            let Ask::Piece(ask) = request.ask else { unreachable!() };
            begun += u64::from(ask.publication == 0);
            pieces += 1;
            let offset = usize::try_from(ask.offset).unwrap();
            let until = state.len().min(offset + ask.max_bytes as usize);
            let reply = Reply::piece(Piece {
                session: 7,
                key: 0,
                publication: 1,
                age: None,
                len: state.len() as u64,
                checksum: crc32c::crc32c(&state),
                offset: ask.offset,
                bytes: &state[offset..until],
            });
            if !pieces.is_multiple_of(3) {
                scene.sink.reply(scene.now, request.id, Some(&reply));
                continue;
            }
            match failure {
                0 => scene.sink.reply(scene.now, request.id, None),
                1 => scene.sink.reply(scene.now, request.id, Some(&Reply::refused("too fast"))),
                2 => scene.sink.reply(scene.now, request.id, Some(&reply[1..])),
                // It is late.
                _ => scene.now += Duration::from_secs(10),
            }
        }
        assert!(pieces > 3 * 8, "{pieces} pieces");
        assert_eq!((scene.memory.0.borrow()["w"], begun), (state.len(), 1), "{failure}");
    }
}

#[test]
fn a_copy_that_was_removed_by_hand_makes_room_for_its_successor() {
    let mut scene = Scene::new(Options { max_memory: 500, ..Options::default() });
    scene.round(7, true, &[item(0, "w", &[7; 100])]);
    scene.memory.0.borrow_mut().clear();
    scene.sink.check(scene.now);
    assert_eq!(scene.sink.report(scene.now).memory, 0);
    scene.now += Duration::from_secs(6);
    scene.round(7, true, &[item(0, "w", &[7; 100])]);
    assert_eq!((scene.names().len(), scene.sink.report(scene.now).memory), (1, 400));
}
