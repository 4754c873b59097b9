//! The processes of the benchmark: this program again, with its task in environment variables. Each
//! answers an order by a line of numbers, and ends when its input ends.

use std::env;
use std::hint::black_box;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};
use tearless::{
    Bytes, Namespace, Pod, Reader, Writer,
    hub::{Health, Hub, HubWatch, Selection},
};
use testkit::child::{self, Child};

use super::common::spread;

/// 64 bytes: the channel's index, the publication's number, and words that belong to both.
pub(crate) type State = [u64; 8];

/// Bytes of the state of the channel that has grown.
pub(crate) const GROWN: usize = 100_000;

const TASK: &str = "TEARLESS_BENCH_MANY";

/// Longer than any wait takes.
const LONG: Duration = Duration::from_secs(60);

/// What a process does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Role {
    Writer,
    Hub,
    Readers,
    Mortal,
}

pub(crate) fn state_of(index: usize, number: u64) -> State {
    let mut state = [spread((index as u64) << 32 ^ number); 8];
    (state[0], state[1]) = (index as u64, number);
    state
}

fn name(index: usize) -> String {
    format!("worker-{index:05}")
}

/// One process, as the benchmark sees it.
pub(crate) struct Actor(Child);

impl Actor {
    pub(crate) fn start(namespace: &Namespace, role: Role, first: usize, count: usize) -> Actor {
        let mut command = Child::this_program();
        command.env(TASK, format!("{role:?},{first},{count},{}", namespace.name()));
        Actor(Child::start_ready(command).with_grace(LONG))
    }

    pub(crate) fn order(&mut self, order: &str) {
        self.0.order(order);
    }

    /// The numbers of the answer.
    pub(crate) fn answer(&mut self) -> Vec<f64> {
        self.0.answer().split(' ').filter_map(|number| number.parse().ok()).collect()
    }

    pub(crate) fn ask(&mut self, order: &str) -> Vec<f64> {
        self.order(order);
        self.answer()
    }

    pub(crate) fn kill(self) {
        self.0.kill();
    }

    pub(crate) fn finish(self) {
        self.0.finish();
    }
}

/// Answers an order.
type Obey = Box<dyn FnMut(&str) -> Vec<f64>>;

/// In a process of the benchmark: obeys until its input ends. Returns `false` in the benchmark
/// itself.
pub(crate) fn run_if_requested() -> bool {
    let Ok(task) = env::var(TASK) else { return false };
    let mut parts = task.splitn(4, ',');
    let mut next = || parts.next().expect("a task has four parts");
    let (role, first, count) = (next(), next().parse().unwrap(), next().parse().unwrap());
    let namespace = Namespace::open(next()).unwrap();
    let mut obey: Obey = match role {
        "Writer" => writer(namespace, first, count),
        "Hub" => hub(&namespace, count),
        "Readers" => readers(namespace, count),
        _ => mortal(namespace),
    };
    child::ready();
    for order in child::orders() {
        let answer: Vec<String> = obey(&order).iter().map(f64::to_string).collect();
        child::say(&answer.join(" "));
    }
    true
}

fn open(namespace: &Namespace, channel: &str) -> Writer<State, Pod> {
    namespace.writer_builder::<State>(channel).codec::<Pod>().open().unwrap()
}

/// How many descriptors a process may have that raises its limit.
pub(crate) fn max_descriptors() -> usize {
    let max = getrlimit(Resource::Nofile).maximum;
    max.map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX))
}

/// Each writer holds a descriptor.
fn raise_descriptors() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}

fn writer(namespace: Namespace, first: usize, count: usize) -> Obey {
    raise_descriptors();
    let mut writers: Vec<Writer<State, Pod>> = Vec::with_capacity(count);
    let mut grower: Option<Writer<[u8], Bytes>> = None;
    let mut number = 0;
    Box::new(move |order| match order {
        "create" => {
            let begin = Instant::now();
            let mut times = Vec::with_capacity(count);
            number = 1;
            for index in first..first + count {
                let mut writer = open(&namespace, &name(index));
                writer.publish(&state_of(index, 1)).unwrap();
                writers.push(writer);
                times.push(begin.elapsed().as_secs_f64());
            }
            let many = count.min(1_000);
            let before = if count > many { times[count - many - 1] } else { 0.0 };
            let of_one = |time: f64| time * 1e6 / many as f64;
            let (early, late) = (of_one(times[many - 1]), of_one(times[count - 1] - before));
            vec![times[count - 1] * 1e6, early, late]
        }
        "publish" => {
            number += 1;
            for (index, writer) in writers.iter_mut().enumerate() {
                writer.publish(&state_of(first + index, number)).unwrap();
            }
            vec![]
        }
        // One that no round checks afterwards.
        "one" => {
            let next = writers[0].publication() + 1;
            writers[0].publish(&state_of(first, next)).unwrap();
            vec![]
        }
        "grow" => {
            let builder = namespace.writer_builder::<[u8]>("grower").codec::<Bytes>();
            let writer = grower.insert(builder.open().unwrap());
            for bytes in [64, 64, GROWN] {
                writer.publish(&vec![7; bytes]).unwrap();
            }
            vec![writer.growths() as f64]
        }
        other => panic!("no such order: {other}"),
    })
}

fn mortal(namespace: Namespace) -> Obey {
    let mut writer = None;
    Box::new(move |_| {
        writer.insert(open(&namespace, "mortal")).publish(&state_of(0, 1)).unwrap();
        vec![0.0; 3]
    })
}

fn readers(namespace: Namespace, count: usize) -> Obey {
    let mut readers: Vec<Reader<State, Pod>> = Vec::new();
    Box::new(move |order| {
        let begin = Instant::now();
        match order {
            "attach" => {
                let open = |index| namespace.reader_builder(&name(index)).codec::<Pod>().open().unwrap();
                readers = (0..count).map(open).collect();
                for reader in &mut readers {
                    black_box(reader.snapshot().unwrap());
                }
            }
            "round" => {
                for reader in &mut readers {
                    black_box(reader.snapshot().unwrap());
                }
            }
            "verify" => {
                for (index, reader) in readers.iter_mut().enumerate() {
                    let snapshot = reader.snapshot().unwrap();
                    assert_eq!(*snapshot, state_of(index, snapshot.publication()));
                }
                return vec![readers.len() as f64];
            }
            other => panic!("no such order: {other}"),
        }
        vec![begin.elapsed().as_secs_f64()]
    })
}

fn hub(namespace: &Namespace, count: usize) -> Obey {
    let hub: Hub<Pod> = namespace.hub_builder().codec::<Pod>().open();
    let mut all: Selection<Pod> = hub.select("worker-*");
    let mut watch: HubWatch = hub.watch("worker-*");
    Box::new(move |order| {
        let begin = Instant::now();
        match order {
            "attach" | "round" => {
                let mut read = 0;
                for worker in all.iter::<State>().unwrap() {
                    black_box(worker.state.unwrap());
                    read += 1;
                }
                let time = begin.elapsed();
                assert_eq!(read, count);
                vec![time.as_secs_f64()]
            }
            "iter" => {
                for worker in hub.iter::<State>("worker-*").unwrap() {
                    black_box(worker.state.unwrap());
                }
                vec![begin.elapsed().as_secs_f64()]
            }
            "verify" => {
                for (index, worker) in all.iter::<State>().unwrap().enumerate() {
                    let snapshot = worker.state.unwrap();
                    assert_eq!(worker.channel, name(index));
                    assert_eq!(*snapshot, state_of(index, snapshot.publication()));
                }
                vec![all.channels().unwrap().len() as f64]
            }
            "count" => vec![all.iter::<State>().unwrap().len() as f64],
            "watch all" | "watch one" => {
                watch = hub.watch(if order == "watch all" { "worker-*" } else { "worker-00000" });
                while !watch.changed().unwrap().is_empty() {}
                vec![]
            }
            "wait" | "look" => {
                let named = watch.wait_any(LONG).unwrap();
                let (end, elapsed) = (boottime(), begin.elapsed());
                assert_eq!(named.iter().map(|name| &**name).collect::<Vec<_>>(), ["worker-00000"]);
                let published = hub.get::<State>(&named[0]).unwrap().info().monotonic_nanos().unwrap();
                let woken = Duration::from_nanos(end - published);
                vec![if order == "wait" { woken } else { elapsed }.as_secs_f64()]
            }
            "grown" => {
                vec![hub.with_codec::<Bytes>().get::<Vec<u8>>("grower").unwrap().len() as f64]
            }
            "mortal" => {
                let (status, state) = hub.get_with_status::<State>("mortal").unwrap();
                assert_eq!(*state.unwrap(), state_of(0, 1));
                vec![f64::from(u8::from(matches!(status.health, Health::Dead { .. })))]
            }
            other => panic!("no such order: {other}"),
        }
    })
}

/// Nanoseconds of the clock of the publications' timestamps.
fn boottime() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    u64::try_from(now.tv_sec * 1_000_000_000 + now.tv_nsec).expect("it began at 0")
}
