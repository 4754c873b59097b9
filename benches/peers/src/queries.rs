//! The cost of a query: a snapshot, against a request and an answer over a socket, over a pipe, and
//! from Redis.

use std::hint::black_box;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use testkit::stats::Histogram;

use crate::answering::{Counters, ask, connect};
use crate::common::{histogram, nanos};
use crate::cpus::Pair;
use crate::effort::Arguments;
use crate::peer::{Read, Shared};
use crate::peers::Undated;
use crate::place::{Ground, Place};
use crate::redis::Redis;
use crate::report::{Report, Table, figure, median};
use crate::worker::{Job, Worker};
use crate::worker_state::WorkerState;

/// Snapshots in a batch, without a reading of the clock.
const BATCH: u32 = 64;

/// A way to ask for a state, with the times of the answers.
struct Asked<'a> {
    name: &'static str,
    ask: Box<dyn FnMut() + 'a>,
    times: Histogram<u64>,
    batches: Vec<f64>,
}

/// All states.
pub(crate) fn measure(arguments: &Arguments, ground: &Ground, cpus: Option<Pair>, report: &mut Report) {
    for (label, jobs) in
        [("64 B", None), ("serde 200 B", Some(3)), ("serde 2 KiB", Some(45)), ("serde 50 KiB", Some(1160))]
    {
        if arguments.wants(&format!("query/{label}")) {
            one(label, jobs, arguments, ground, cpus, report);
        }
    }
}

/// The processes that have one state.
struct Answerers {
    place: Place,
    writer: Worker,
    socket: Worker,
    pipe: Worker,
    redis: Option<Redis>,
}

impl Answerers {
    fn start(label: &str, jobs: Option<usize>, ground: &Ground, cpu: Option<usize>) -> Answerers {
        let place = ground.place(&format!("query-{}", label.replace(' ', "-")));
        let publish = match jobs {
            Some(jobs) => Job::PublishState { jobs, place: place.clone() },
            None => {
                let peer = "tearless undated".into();
                Job::Publish { peer, words: 8, hertz: Some(1_000), place: place.clone() }
            }
        };
        Answerers {
            writer: Worker::start(&publish, cpu),
            socket: Worker::start(&Job::Answer { jobs, socket: Some(place.at("socket")) }, cpu),
            pipe: Worker::start(&Job::Answer { jobs, socket: None }, cpu),
            redis: Redis::start(&place.at("redis"), cpu),
            place,
        }
    }

    fn end(self) {
        for worker in [self.pipe, self.socket, self.writer] {
            worker.end();
        }
    }
}

fn one(
    label: &str,
    jobs: Option<usize>,
    arguments: &Arguments,
    ground: &Ground,
    cpus: Option<Pair>,
    report: &mut Report,
) {
    let mut answerers = Answerers::start(label, jobs, ground, cpus.map(|pair| pair.writer));
    let stream = connect(&answerers.place.at("socket"));
    let no_redis = answerers.redis.is_none();
    let mut asked = vec![
        Asked::new("tearless", snapshots(&answerers.place, jobs)),
        Asked::new("Unix socket", over_socket(&stream, jobs)),
        Asked::new("pipe", over_pipe(&mut answerers.pipe, jobs)),
    ];
    if let Some(redis) = &mut answerers.redis {
        asked.push(Asked::new("Redis GET", from_redis(redis, jobs)));
    }
    ask_in_turns(&mut asked, arguments);
    print(label, &asked, no_redis, report);
    drop(asked);
    drop(stream);
    answerers.end();
}

fn ask_in_turns(asked: &mut [Asked<'_>], arguments: &Arguments) {
    let duration = arguments.effort.contended / 3;
    for round in 0..=arguments.effort.contended_rounds {
        for one in &mut *asked {
            one.ask_for(duration);
            if round == 0 {
                // The first answers are the warm-up.
                one.forget();
            }
        }
    }
}

impl<'a> Asked<'a> {
    fn new(name: &'static str, ask: Box<dyn FnMut() + 'a>) -> Asked<'a> {
        Asked { name, ask, times: histogram(), batches: Vec::new() }
    }

    fn ask_for(&mut self, duration: Duration) {
        let begin = Instant::now();
        while begin.elapsed() < duration / 2 {
            let before = Instant::now();
            (self.ask)();
            self.times.saturating_record(nanos(before.elapsed()));
        }
        let begin = Instant::now();
        while self.batches.is_empty() || begin.elapsed() < duration / 2 {
            let before = Instant::now();
            (0..BATCH).for_each(|_| (self.ask)());
            self.batches.push(nanos(before.elapsed()) as f64 / f64::from(BATCH));
        }
    }

    fn forget(&mut self) {
        self.times.reset();
        self.batches.clear();
    }
}

fn snapshots<'a>(place: &Place, jobs: Option<usize>) -> Box<dyn FnMut() + 'a> {
    if jobs.is_none() {
        let mut reader = <Undated as Shared<8>>::reader(place);
        return Box::new(move || {
            reader.read(|state| {
                black_box(state);
            });
        });
    }
    let mut reader = place.namespace().reader::<WorkerState>(place.name()).expect("the channel is there");
    Box::new(move || {
        black_box(reader.snapshot().expect("something was published"));
    })
}

fn over_socket<'a>(stream: &'a UnixStream, jobs: Option<usize>) -> Box<dyn FnMut() + 'a> {
    let mut scratch = Vec::new();
    Box::new(move || match jobs {
        Some(_) => drop(black_box(ask::<WorkerState>(stream, stream, &mut scratch))),
        None => drop(black_box(ask::<Counters>(stream, stream, &mut scratch))),
    })
}

fn over_pipe<'a>(worker: &'a mut Worker, jobs: Option<usize>) -> Box<dyn FnMut() + 'a> {
    let mut scratch = Vec::new();
    Box::new(move || {
        let (orders, answers) = worker.pipes();
        match jobs {
            Some(_) => drop(black_box(ask::<WorkerState>(orders, answers, &mut scratch))),
            None => drop(black_box(ask::<Counters>(orders, answers, &mut scratch))),
        }
    })
}

fn from_redis<'a>(redis: &'a mut Redis, jobs: Option<usize>) -> Box<dyn FnMut() + 'a> {
    let encoded = match jobs {
        Some(jobs) => postcard::to_stdvec(&WorkerState::new(jobs, 1)),
        None => postcard::to_stdvec(&Counters { values: [u64::MAX; 8] }),
    };
    redis.set("state", &encoded.expect("it can be encoded"));
    let mut value = Vec::new();
    Box::new(move || {
        redis.get("state", &mut value);
        match jobs {
            Some(_) => drop(black_box(postcard::from_bytes::<WorkerState>(&value).expect("it is whole"))),
            None => drop(black_box(postcard::from_bytes::<Counters>(&value).expect("it is whole"))),
        }
    })
}

fn print(label: &str, asked: &[Asked<'_>], no_redis: bool, report: &mut Report) {
    println!("### A query for {label}, published at 1 kHz by another process\n");
    let mut table = Table::new(&["asked", "mean ns", "ratio", "p50 ns", "p99 ns", "p99.9 ns", "max ns"]);
    let reference = median(asked[0].batches.clone());
    for one in asked {
        let mean = median(one.batches.clone());
        let [p50, p99, p999] =
            [0.5, 0.99, 0.999].map(|quantile| one.times.value_at_quantile(quantile) as f64);
        let max = one.times.max() as f64;
        let id = format!("query/{label}/{}", one.name);
        let figures =
            [("batch ns", mean), ("p50 ns", p50), ("p99 ns", p99), ("p99.9 ns", p999), ("max ns", max)];
        for (name, value) in figures {
            report.add(format!("{id}/{name}"), value);
        }
        let cells = [mean, mean / reference, p50, p99, p999, max].map(figure);
        table.row([one.name.into()].into_iter().chain(cells).collect());
    }
    if no_redis {
        table.row(vec!["Redis GET: redis-server is not installed".into()]);
    }
    table.print();
}
