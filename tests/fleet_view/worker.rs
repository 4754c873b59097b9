//! A worker's process: publishes on its channels at several rates, and obeys commands, line by
//! line.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use tearless::{Bytes, Namespace, Writer};

use super::common;
use super::state::{CHANNELS, Channel, Content, Edition, MIN_WORDS, mix};

/// Words of a state that certainly makes a channel grow.
const LARGE: usize = 4_096;

/// The beginning of the answer to a command.
pub(crate) const DONE: &str = "done ";

/// How long a channel pauses between two publications. Every fourth worker has a channel without
/// pauses.
fn interval(channel: Channel) -> Duration {
    match (channel.place(), channel.worker() % 4) {
        (0, _) => Duration::from_secs(1),
        (1, _) => Duration::from_millis(50),
        (2, _) => Duration::from_millis(1),
        (_, 0) => Duration::ZERO,
        _ => Duration::from_micros(200),
    }
}

/// An open channel.
struct Open {
    channel: Channel,
    writer: Writer<Vec<u8>, Bytes>,
    life: u64,
    next: Instant,
}

struct Worker {
    index: usize,
    namespace: Namespace,
    open: [Option<Open>; CHANNELS],
    known: [Edition; CHANNELS],
    state: Vec<u8>,
}

/// Works until the test has ended, or has closed this process's input.
pub(crate) fn work(index: usize, namespace: Namespace) {
    let (send, commands) = channel();
    thread::spawn(move || common::orders().try_for_each(|command| send.send(command)));
    let open = [const { None }; CHANNELS];
    let mut worker =
        Worker { index, namespace, open, known: [Edition::default(); CHANNELS], state: Vec::new() };
    common::say("\nready");
    while let Some(command) = worker.publish_until(&commands) {
        worker.obey(&command);
    }
}

impl Worker {
    /// Publishes what is due until a command arrives; `None` at the end of the input.
    fn publish_until(&mut self, commands: &Receiver<String>) -> Option<String> {
        loop {
            let now = Instant::now();
            for place in 0..CHANNELS {
                if let Some(open) = self.open[place].as_mut().filter(|open| open.next <= now) {
                    open.next = now + interval(open.channel);
                    let random = mix(mix(open.writer.publication()) ^ place as u64);
                    // Mostly small states, of every length.
                    let more = (random >> 8) % (1 << (random % 10));
                    self.publish(place, MIN_WORDS + usize::try_from(more).unwrap());
                }
            }
            let next = self.open.iter().flatten().map(|open| open.next).min();
            let patience =
                next.map_or(Duration::from_millis(100), |next| next.saturating_duration_since(now));
            match commands.recv_timeout(patience) {
                Ok(command) => return Some(command),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    fn publish(&mut self, place: usize, words: usize) {
        let open = self.open[place].as_mut().unwrap();
        let edition = Edition::new(open.life, open.writer.publication() + 1);
        Content { edition, known: self.known }.write(open.channel, words, &mut self.state);
        assert_eq!(open.writer.publish(&self.state).unwrap(), edition.number());
        self.known[place] = edition;
    }

    /// Obeys a command, and prints the latest edition of the channel afterwards.
    fn obey(&mut self, command: &str) {
        let words: Vec<&str> = command.split(' ').collect();
        let place: usize = words[1].parse().unwrap();
        match words[0] {
            "create" => self.create(place, words[2].parse().unwrap()),
            "grow" => self.grow(place),
            "shrink" => self.shrink(place),
            "close" => return self.end(place, |writer| writer.close().unwrap()),
            "linger" => return self.end(place, |writer| writer.close_lingering().unwrap()),
            _ => panic!("no command: {command}"),
        }
        let open = self.open[place].as_ref().unwrap();
        let edition = Edition::new(open.life, open.writer.publication());
        common::say(&format!("{DONE}{}", edition.0));
    }

    /// Opens the channel: as a new one with life `life`, or as a successor of an earlier writer.
    fn create(&mut self, place: usize, life: u64) {
        let channel = Channel::new(self.index, place);
        let name = channel.name();
        let builder = self.namespace.writer_builder::<Vec<u8>>(&name).codec::<Bytes>();
        let writer = builder.open().unwrap();
        let number = writer.publication();
        let life = match number {
            0 => life,
            _ => {
                let reader = self.namespace.reader_builder::<Vec<u8>>(&name).codec::<Bytes>().open();
                let last = Content::read(channel, &reader.unwrap().snapshot().unwrap()).unwrap();
                assert_eq!(
                    last.edition.number(),
                    number,
                    "{name}: a successor resumes after the last publication"
                );
                last.edition.life()
            }
        };
        let next = Instant::now() + interval(channel);
        self.open[place] = Some(Open { channel, writer, life, next });
        self.known[place] = Edition::new(life, number);
    }

    fn grow(&mut self, place: usize) {
        let growths = |worker: &Worker| worker.open[place].as_ref().unwrap().writer.growths();
        let before = growths(self);
        for _ in 0..2 {
            self.publish(place, LARGE);
        }
        let capacity = self.open[place].as_ref().unwrap().writer.capacity();
        assert!(capacity >= LARGE * 8, "{capacity}");
        // The channel may have been as large before.
        assert!(growths(self) <= before + 2);
    }

    fn shrink(&mut self, place: usize) {
        self.open[place].as_mut().unwrap().writer.shrink_to_fit();
        for _ in 0..2 {
            self.publish(place, MIN_WORDS);
        }
        let capacity = self.open[place].as_ref().unwrap().writer.capacity();
        assert!(capacity < LARGE * 8, "{capacity}");
    }

    fn end(&mut self, place: usize, end: impl FnOnce(Writer<Vec<u8>, Bytes>)) {
        let open = self.open[place].take().unwrap();
        let edition = Edition::new(open.life, open.writer.publication());
        end(open.writer);
        common::say(&format!("{DONE}{}", edition.0));
    }
}
