//! The two sides of a game.

use std::time::Duration;

use tearless::{
    Namespace, Pod, Reader, Writer,
    options::{TimestampSource, WaitPolicy, WakeMode},
};

use crate::futex::Words;

const FOREVER: Duration = Duration::from_secs(3600);
const SLICE: Duration = Duration::from_millis(100);
/// The state that ends the partner.
const END: u64 = u64::MAX;

/// How the players wake each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Game {
    /// Bare futex calls on two words.
    Futex,
    /// Channels, with barriers that the waiter pays for.
    Barriers,
    /// Channels whose writers have a fence.
    Fences,
    /// Channels, with the default time of spinning before the sleep.
    Spinning,
    /// Channels without a wake-up, which the reader polls.
    Polling,
}

impl Game {
    pub(crate) fn all() -> [Game; 5] {
        [Game::Futex, Game::Barriers, Game::Fences, Game::Spinning, Game::Polling]
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Game::Futex => "futex",
            Game::Barriers => "channels",
            Game::Fences => "channels, fences",
            Game::Spinning => "channels, spinning 5 µs",
            Game::Polling => "channels, no wake-up",
        }
    }

    pub(crate) fn of(name: &str) -> Game {
        Game::all().into_iter().find(|game| game.name() == name).expect("the benchmark knows its games")
    }

    fn wake_mode(self) -> WakeMode {
        match self {
            Game::Fences => WakeMode::Fences,
            Game::Polling => WakeMode::Never,
            _ => WakeMode::Barriers,
        }
    }

    fn policy(self) -> WaitPolicy {
        match self {
            Game::Spinning => WaitPolicy::default(),
            _ => WaitPolicy::default().spin(Duration::ZERO).slice(SLICE),
        }
    }
}

/// One of the two.
pub(crate) enum Player {
    Futex(Words),
    Channels(Box<Channels>),
}

/// The writer of one channel and the reader of the other.
pub(crate) struct Channels {
    writer: Writer<u64, Pod>,
    reader: Reader<u64, Pod>,
    seen: u64,
}

/// The first player before its partner has started.
pub(crate) enum Alone {
    Futex(Words),
    Channels(Game, Namespace, Box<Writer<u64, Pod>>),
}

impl Player {
    pub(crate) fn first(game: Game, namespace: &str) -> Alone {
        if game == Game::Futex {
            return Alone::Futex(Words::create(namespace));
        }
        let namespace = crate::open(namespace);
        let writer = writer(game, &namespace, "ping");
        Alone::Channels(game, namespace, Box::new(writer))
    }

    pub(crate) fn second(game: Game, namespace: &str) -> Player {
        if game == Game::Futex {
            return Player::Futex(Words::open(namespace));
        }
        let namespace = crate::open(namespace);
        let writer = writer(game, &namespace, "pong");
        Player::channels(game, &namespace, writer, "ping")
    }

    fn channels(game: Game, namespace: &Namespace, writer: Writer<u64, Pod>, other: &str) -> Player {
        let builder = namespace.reader_builder::<u64>(other).codec::<Pod>().wait_policy(game.policy());
        let reader = builder.attach_within(Duration::from_secs(60)).open().expect("the other side comes");
        Player::Channels(Box::new(Channels { writer, reader, seen: 0 }))
    }

    /// Asks, and waits for the answer.
    pub(crate) fn ask(&mut self) {
        match self {
            Player::Futex(words) => words.ask(),
            Player::Channels(channels) => {
                let asked = channels.writer.publish(&0).expect("a small state fits");
                assert_eq!(channels.receive(), 0);
                assert_eq!(channels.seen, asked, "one answer to each question");
            }
        }
    }

    /// Waits for a question and answers it; `false` at the end.
    pub(crate) fn answer(&mut self) -> bool {
        match self {
            Player::Futex(words) => words.answer(),
            Player::Channels(channels) => {
                let asked = channels.receive();
                if asked == END {
                    return false;
                }
                channels.writer.publish(&asked).expect("a small state fits");
                true
            }
        }
    }

    pub(crate) fn end(&mut self) {
        match self {
            Player::Futex(words) => words.end(),
            Player::Channels(channels) => drop(channels.writer.publish(&END)),
        }
    }
}

impl Channels {
    fn receive(&mut self) -> u64 {
        let snapshot = self.reader.wait_after(self.seen, FOREVER).expect("the other side lives");
        let snapshot = snapshot.expect("an hour has not passed");
        self.seen = snapshot.publication();
        *snapshot
    }
}

impl Alone {
    /// Waits for the partner's side.
    pub(crate) fn meet(self) -> Player {
        match self {
            Alone::Futex(words) => Player::Futex(words),
            Alone::Channels(game, namespace, writer) => Player::channels(game, &namespace, *writer, "pong"),
        }
    }
}

fn writer(game: Game, namespace: &Namespace, channel: &str) -> Writer<u64, Pod> {
    let builder = namespace.writer_builder::<u64>(channel).codec::<Pod>().wake_mode(game.wake_mode());
    builder.timestamps(TimestampSource::None).open().expect("no other game uses the namespace")
}
