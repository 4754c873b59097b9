//! A host and its mirrors in virtual time, a millisecond a step, over links that only delay: what
//! is measured, and what is sent, is as it should be.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use tearless_mirror::message::{Description, Interest, Request, Status};
use tearless_mirror::sink::{Copies, Mirrored, Options, Sink};
use tearless_mirror::source::{Channel, Latest, Limits, Read, Source};
use tearless_mirror::testing::{ALIVE, described};

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Its number, and when it was made.
type Publication = (u64, Duration);

#[derive(Clone)]
struct Worker {
    len: usize,
    now: Rc<Cell<Duration>>,
    latest: Rc<Cell<Publication>>,
}

impl Channel for Worker {
    fn latest(&mut self) -> Option<Latest> {
        Some(Latest { publication: self.latest.get().0, len: self.len as u64 })
    }

    fn read(&mut self, payload: &mut Vec<u8>) -> Option<Read> {
        let (publication, at) = self.latest.get();
        payload.clear();
        payload.resize(self.len, 7);
        Some(Read { publication, age: Some(self.now.get() - at) })
    }
}

struct Any;

/// The number of the latest state.
struct Copy(u64);

impl Copies for Any {
    type Copy = Copy;

    fn open(&mut self, _: &str, _: &Description) -> Result<Copy, String> {
        Ok(Copy(0))
    }

    fn remove_others(&mut self, _: &str, _: &dyn Fn(&str, &str) -> bool) {}
}

impl Mirrored for Copy {
    fn publication(&self) -> u64 {
        self.0
    }

    fn publish(&mut self, _: &[u8], publication: u64, _: Option<Duration>) -> Result<(), String> {
        self.0 = publication;
        Ok(())
    }

    fn set_status(&mut self, _: &Status) {}

    fn set_unreachable(&mut self, _: Option<Duration>) {}

    fn check(&mut self) -> Result<(), String> {
        Ok(())
    }

    fn remove(self) {}
}

/// One host that writes, and those that mirror it.
struct Pair {
    now: Rc<Cell<Duration>>,
    source: Source<Worker, (usize, u64)>,
    workers: Vec<(u32, Rc<Cell<Publication>>)>,
    sinks: Vec<Sink<Any>>,
    /// How long a request takes, and a reply.
    delays: [Duration; 2],
    requests: VecDeque<(Duration, usize, Request)>,
    replies: VecDeque<(Duration, (usize, u64), Vec<u8>)>,
    /// What was sent to each sink in each millisecond.
    sent: Vec<Vec<usize>>,
}

impl Pair {
    fn new(limits: Limits, sinks: usize, delays: [Duration; 2]) -> Pair {
        let interest = vec![Interest { namespace: "*".into(), channel: "*".into() }];
        let sink = |id| Sink::new("b", "a", id, interest.clone(), Options::default(), Any);
        let mut source = Source::new(7, limits);
        source.set_epoch(Duration::from_secs(1000));
        Pair {
            now: Rc::default(),
            source,
            workers: Vec::new(),
            sinks: (1..).take(sinks).map(sink).collect(),
            delays,
            requests: VecDeque::new(),
            replies: VecDeque::new(),
            sent: vec![Vec::new(); sinks],
        }
    }

    /// A channel with states of this length.
    fn add(&mut self, len: usize) {
        let description = described(&format!("w{}", self.workers.len()), len as u64);
        let latest = Rc::new(Cell::new((1, self.now.get())));
        let worker = Worker { len, now: Rc::clone(&self.now), latest: Rc::clone(&latest) };
        let key = self.source.add(self.now.get(), description, ALIVE, worker);
        self.workers.push((key, latest));
    }

    fn publish(&mut self, worker: usize) {
        let (key, latest) = &self.workers[worker];
        latest.set((latest.get().0 + 1, self.now.get()));
        self.source.changed(*key);
    }

    /// Goes on for so long; `each` happens at each millisecond.
    fn run(&mut self, time: Duration, mut each: impl FnMut(&mut Pair, u64)) {
        for milli in 0..u64::try_from(time.as_millis()).unwrap() {
            let now = self.now.get();
            each(self, milli);
            self.sent.iter_mut().for_each(|sent| sent.push(0));
            while self.requests.front().is_some_and(|(at, ..)| *at <= now) {
                let (_, sink, request) = self.requests.pop_front().unwrap();
                let answered = self.source.ask(now, &request, (sink, request.id));
                self.send(answered);
            }
            let replies = self.source.replies(now);
            self.send(replies);
            while let Some(mut reading) = self.source.reading() {
                reading.read(|| now);
                let reply = self.source.finish(now, reading);
                self.send([reply]);
            }
            while self.replies.front().is_some_and(|(at, ..)| *at <= now) {
                let (_, (sink, id), bytes) = self.replies.pop_front().unwrap();
                self.sinks[sink].reply(now, id, Some(&bytes));
            }
            for (number, sink) in self.sinks.iter_mut().enumerate() {
                let at = now + self.delays[0];
                self.requests.extend(sink.poll(now).into_iter().map(|request| (at, number, request)));
            }
            self.now.set(now + millis(1));
        }
    }

    fn send(&mut self, replies: impl IntoIterator<Item = ((usize, u64), Vec<u8>)>) {
        for (to, bytes) in replies {
            *self.sent[to.0].last_mut().unwrap() += bytes.len();
            self.replies.push_back((self.now.get() + self.delays[1], to, bytes));
        }
    }
}

#[test]
fn lag_and_clocks_are_measured_within_half_a_round_trip() {
    for (there, back) in [(30, 30), (10, 50), (50, 10), (0, 0)] {
        let mut pair = Pair::new(Limits::default(), 1, [millis(there), millis(back)]);
        // The first state is old when it comes, and did not wait for that.
        pair.add(100);
        pair.now.set(Duration::from_secs(90));
        pair.run(Duration::from_secs(1), |_, _| {});
        let report = pair.sinks[0].report(pair.now.get());
        assert_eq!((report.applied, report.lag), (1, None));
        pair.run(Duration::from_secs(20), |pair, milli| {
            if milli % 200 == 0 {
                pair.publish(0);
            }
        });
        let report = pair.sinks[0].report(pair.now.get());
        let half = millis(there + back) / 2;
        // What takes no time in a step takes a step until the answer.
        let error = half.abs_diff(millis(back)) + millis(1);
        let [lag, max, trip] =
            [report.lag, report.max_lag, report.round_trip].map(|it| Duration::from_secs_f64(it.unwrap()));
        assert!(trip.abs_diff(2 * half) <= millis(2), "{there} {back}: {trip:?}");
        for lag in [lag, max] {
            assert!(lag.abs_diff(millis(back)) <= error, "{there} {back}: {lag:?}");
        }
        let ahead = Duration::from_micros(pair.sinks[0].clock().unwrap().1.unsigned_abs());
        assert!(ahead.abs_diff(Duration::from_secs(1000)) <= error, "{there} {back}: {ahead:?}");
    }
}

#[test]
fn each_sink_gets_at_most_the_rate_and_nothing_waits_long() {
    const RATE: u64 = 100_000;
    let limits = Limits { rate: Some(RATE), ..Limits::default() };
    let mut pair = Pair::new(limits, 2, [millis(5), millis(5)]);
    // 50 channels at 100 Hz are 50 times the rate. One state is longer than what a second takes.
    (0..50).for_each(|_| pair.add(1000));
    pair.add(300_000);
    pair.run(Duration::from_secs(60), |pair, milli| {
        if milli % 10 == 0 {
            (0..50).for_each(|worker| pair.publish(worker));
        }
        if milli == 100 {
            pair.publish(50);
        }
        for sink in &pair.sinks {
            let report = sink.report(pair.now.get());
            assert!(!report.unreachable && report.failed == 0, "{milli}: {report:?}");
        }
    });
    let max_reply = usize::try_from(RATE).unwrap() / 8 + 2000;
    for (sent, sink) in pair.sent.iter().zip(&pair.sinks) {
        for window in [1, 10, 60] {
            let most = sent.windows(window * 1000).map(|sent| sent.iter().sum::<usize>()).max().unwrap();
            let allowed = (window * 1000 + 100) * usize::try_from(RATE).unwrap() / 1000 + max_reply;
            assert!(most <= allowed, "{most} bytes in {window} s, and {allowed} may be sent");
            assert!(
                window < 10 || most * 10 > allowed * 9,
                "{most} of {allowed} in {window} s: the rate is used"
            );
        }
        let behind = |worker: usize, copy: &Copy| pair.workers[worker].1.get().0 - copy.0;
        for (_, channel, copy) in sink.copies() {
            let worker = channel[1..].parse().unwrap();
            // Half a second for all of them, and as much for the pieces beside them.
            assert!(behind(worker, copy) <= if worker == 50 { 0 } else { 150 }, "{channel}: {}", copy.0);
        }
        let report = sink.report(pair.now.get());
        assert_eq!((sink.copies().count(), report.channels), (51, 51));
        assert!(report.pulled >= 1 && report.max_lag.unwrap() < 2.0, "{report:?}");
    }
    // Without the limit, the rest comes at once.
    pair.source.set_rate(None);
    pair.run(millis(500), |_, _| {});
    for sink in &pair.sinks {
        assert!(
            sink.copies().all(|(_, channel, copy)| channel == "w50" || copy.0 == pair.workers[0].1.get().0)
        );
    }
}
