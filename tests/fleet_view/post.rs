//! One worker's place in the fleet: what happens to the worker and its channels, written down as it
//! happens.

use std::fs;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use tearless::cleanup::Retention;

use super::TEST;
use super::common::{Actor, eventually};
use super::ledger::{Conditions, Event};
use super::observer::Observer;
use super::stage::Stage;
use super::state::{CHANNELS, Channel, Edition, Random};
use super::worker::DONE;

/// The condition of a channel that its worker has open.
const OPEN: Conditions = Conditions::LIVING;

/// The conditions of a channel that its worker is creating.
const MAKING: Conditions = Conditions::HALF_DONE.or(Conditions::LIVING);

pub(crate) struct Post<'a> {
    stage: &'a Stage,
    worker: usize,
    random: Random,
    /// `None` after the worker was killed or has ended.
    process: Option<Actor>,
    /// How many lives the names of its channels have had together.
    lives: u64,
    /// Asks about every settled change, because there is only one right answer then.
    observer: Observer<'a>,
}

impl<'a> Post<'a> {
    pub(crate) fn new(stage: &'a Stage, worker: usize) -> Post<'a> {
        let random = Random::new(stage.seed, worker as u64);
        let observer = Observer::new(stage, 1_000 + worker as u64);
        Post { stage, worker, random, process: None, lives: 0, observer }
    }

    /// Lets one event after another happen until the time is over, and then ends.
    pub(crate) fn man(mut self) {
        while !self.stage.is_over.load(Ordering::Relaxed) {
            match self.process.is_some() {
                true => self.happen(),
                false => self.fill(),
            }
            self.pause();
        }
        self.leave();
    }

    fn pause(&mut self) {
        let micros = 1 << self.random.below(16);
        thread::sleep(Duration::from_micros(micros));
    }

    fn channels(&self) -> [Channel; CHANNELS] {
        std::array::from_fn(|place| Channel::new(self.worker, place))
    }

    /// The channels in this condition.
    fn are(&self, condition: Conditions) -> Vec<Channel> {
        let ledger = &self.stage.ledger;
        self.channels().into_iter().filter(|channel| ledger.now(*channel) == condition).collect()
    }

    fn any(&mut self, channels: &[Channel]) -> Option<Channel> {
        (!channels.is_empty()).then(|| channels[self.random.below(channels.len())])
    }

    /// Starts the worker. First, something may happen to what its predecessor left.
    fn fill(&mut self) {
        match self.random.below(4) {
            0 => self.remove(),
            1 => self.clean(),
            _ => {
                let role = self.worker.to_string();
                let mut process = Actor::start(TEST, &role, &self.stage.namespace);
                process.await_line("ready");
                self.process = Some(process);
                self.stage.tally.count(Event::Start);
                for _ in 0..CHANNELS {
                    self.create();
                }
            }
        }
    }

    fn happen(&mut self) {
        match self.random.below(16) {
            0 => self.kill(Event::Kill),
            1 => self.kill_in_a_command(),
            2 => self.stop(),
            3 if self.random.below(3) == 0 => self.end(),
            4 => self.remove(),
            5..=7 => self.create(),
            8 | 9 => self.close(Conditions::ABSENT),
            10 | 11 => self.close(Conditions::CLOSED),
            12 | 13 => self.resize("grow", Event::Grow),
            14 => self.resize("shrink", Event::Shrink),
            _ => {}
        }
    }

    /// Writes down that something is under way, after which the channel is in one of these
    /// conditions.
    fn begin(&self, channel: Channel, then: Conditions) {
        self.stage.ledger.write(channel, self.stage.ledger.now(channel).or(then));
    }

    /// Writes down that it is done, and checks the hub's answers.
    fn settle(&mut self, channels: &[Channel], condition: Conditions) {
        for channel in channels {
            self.stage.ledger.write(*channel, condition);
        }
        for channel in channels {
            self.observer.look(*channel);
        }
    }

    fn command(&mut self, command: &str, channel: Channel) {
        self.lives += 1;
        let line = format!("{command} {} {}", channel.place(), self.lives);
        self.process.as_mut().expect("it runs").order(&line);
    }

    /// Lets the worker obey a command, and returns the edition that it reports.
    fn do_it(&mut self, command: &str, channel: Channel) -> Edition {
        self.command(command, channel);
        let line = self.process.as_mut().expect("it runs").await_line_with(DONE);
        let edition = Edition(line.trim_start_matches(DONE).parse().unwrap());
        self.stage.ledger.tell(channel, edition);
        edition
    }

    fn create(&mut self) {
        let channels: Vec<Channel> =
            self.channels().into_iter().filter(|channel| self.stage.ledger.now(*channel) != OPEN).collect();
        let Some(channel) = self.any(&channels) else { return };
        let found = self.stage.ledger.now(channel);
        // Taking over a whole channel leaves nothing half done.
        let way = if found.is_within(Conditions::DEAD.or(Conditions::CLOSED)) { OPEN } else { MAKING };
        self.begin(channel, way);
        let edition = self.do_it("create", channel);
        let is_new = edition.number() == 0;
        self.stage.tally.count(if is_new { Event::Create } else { Event::TakeOver });
        self.settle(&[channel], OPEN);
    }

    fn close(&mut self, then: Conditions) {
        let Some(channel) = self.any(&self.are(OPEN)) else { return };
        self.begin(channel, then);
        let lingers = then == Conditions::CLOSED;
        self.do_it(if lingers { "linger" } else { "close" }, channel);
        self.stage.tally.count(if lingers { Event::Linger } else { Event::Close });
        self.settle(&[channel], then);
    }

    fn resize(&mut self, command: &str, event: Event) {
        let Some(channel) = self.any(&self.are(OPEN)) else { return };
        self.do_it(command, channel);
        self.stage.tally.count(event);
        self.observer.look(channel);
    }

    /// Kills the worker, and checks all of its channels.
    fn kill(&mut self, event: Event) {
        let running = Conditions::LIVING.or(Conditions::STOPPED);
        let theirs = |channel: &Channel| self.stage.ledger.now(*channel).is_within(running);
        let channels: Vec<Channel> = self.channels().into_iter().filter(theirs).collect();
        // A stopped worker runs again for a moment before it dies.
        channels.iter().for_each(|channel| self.begin(*channel, OPEN.or(Conditions::DEAD)));
        self.process.take().expect("it runs").kill();
        self.stage.tally.count(event);
        self.settle(&channels, Conditions::DEAD);
    }

    /// Kills the worker while it creates, takes over or ends a channel, whose condition is then
    /// unknown.
    fn kill_in_a_command(&mut self) {
        let channels = self.channels();
        let channel = self.any(&channels).expect("there are some");
        let any = Conditions::DEAD.or(Conditions::CLOSED).or(Conditions::ABSENT).or(MAKING);
        let is_open = self.stage.ledger.now(channel) == OPEN;
        self.begin(channel, any);
        let end = ["close", "linger"][self.random.below(2)];
        self.command(if is_open { end } else { "create" }, channel);
        thread::sleep(Duration::from_micros(self.random.below(600) as u64));
        self.kill(Event::KillInCommand);
        let left = Conditions::DEAD.or(Conditions::CLOSED).or(Conditions::ABSENT).or(Conditions::HALF_DONE);
        self.settle(&[channel], left);
    }

    /// Stops the worker for a while, and then continues or kills it.
    fn stop(&mut self) {
        let channels = self.are(OPEN);
        channels.iter().for_each(|channel| self.begin(*channel, Conditions::STOPPED));
        self.signal(Signal::STOP);
        eventually("a worker stops", || self.state() == Some('T'));
        self.stage.tally.count(Event::Stop);
        self.settle(&channels, Conditions::STOPPED);
        self.pause();
        if self.random.below(3) == 0 {
            return self.kill(Event::KillOfStopped);
        }
        channels.iter().for_each(|channel| self.begin(*channel, OPEN));
        self.signal(Signal::CONT);
        eventually("a worker goes on", || self.state() != Some('T'));
        self.stage.tally.count(Event::Continue);
        self.settle(&channels, OPEN);
    }

    fn signal(&self, signal: Signal) {
        self.process.as_ref().expect("it runs").signal(signal);
    }

    /// The letter of the worker's state in `/proc`.
    fn state(&self) -> Option<char> {
        let pid = self.process.as_ref().expect("it runs").pid();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit_once(") ")?.1.chars().next()
    }

    /// Lets the worker end by itself, which removes its channels.
    fn end(&mut self) {
        let channels = self.are(OPEN);
        channels.iter().for_each(|channel| self.begin(*channel, Conditions::ABSENT));
        self.process.take().expect("it runs").finish();
        self.stage.tally.count(Event::CleanEnd);
        self.settle(&channels, Conditions::ABSENT);
    }

    /// Removes a channel without a writer.
    fn remove(&mut self) {
        let channels = [self.are(Conditions::DEAD), self.are(Conditions::CLOSED)].concat();
        let Some(channel) = self.any(&channels) else { return };
        self.begin(channel, Conditions::ABSENT);
        assert!(self.stage.namespace.remove_channel(&channel.name()).unwrap(), "{channel:?}");
        self.stage.tally.count(Event::Remove);
        self.settle(&[channel], Conditions::ABSENT);
    }

    /// Cleans the whole namespace of what no process can use.
    fn clean(&mut self) {
        let cleaned = self.stage.namespace.clean(Retention::UntilReplaced).unwrap();
        assert!(cleaned.failed.is_empty(), "{cleaned}");
        self.stage.tally.count(Event::Clean);
    }

    /// The end: some workers end by themselves, the others are killed.
    fn leave(&mut self) {
        match (self.process.is_some(), self.worker % 2) {
            (false, _) => {}
            (true, 0) => self.end(),
            (true, _) => self.kill(Event::Kill),
        }
    }
}
