//! Real processes that publish.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use tearless::{MessagePack, Namespace, cleanup::Retention};

const NAMESPACE: &str = "TEARLESS_TEST_NAMESPACE";
const CHANNELS: &str = "TEARLESS_TEST_CHANNELS";
const PAUSE: &str = "TEARLESS_TEST_PAUSE";
const SWELL: &str = "TEARLESS_TEST_SWELL";

/// Before the name of a block, beside those of channels.
const BLOCK: &str = "block:";

/// The longest life of a worker whose test was killed.
const LIFE: Duration = Duration::from_secs(600);

/// The state of a worker.
#[derive(Serialize)]
struct State {
    jobs_done: u64,
    phase: &'static str,
    queue: Vec<String>,
    load: [f64; 3],
}

impl State {
    fn at(round: u64) -> State {
        let phase = ["fetching", "resizing", "writing"][usize::try_from(round / 40 % 3).unwrap()];
        let queue = (0..round / 20 % 6).map(|index| format!("image-{:04}.png", round / 20 + index)).collect();
        let load = [1.0, 5.0, 15.0]
            .map(|window| (100.0 * (round as f64 / 100.0 / window).sin().abs()).round() / 100.0);
        State { jobs_done: round, phase, queue, load }
    }
}

/// How often a worker publishes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// The shortest pause between two states.
    pub(crate) pause: Duration,
    /// The period of busy times in seconds; 0 for a steady pace.
    pub(crate) swell: u64,
}

impl Pace {
    pub(crate) fn steady(pause: Duration) -> Pace {
        Pace { pause, swell: 0 }
    }

    /// The pause at some time: up to nine times as long for a varying pace.
    fn pause_at(self, passed: Duration) -> Duration {
        if self.swell == 0 {
            return self.pause;
        }
        let wave = (passed.as_secs_f64() / self.swell as f64 * std::f64::consts::TAU).cos();
        self.pause.mul_f64(5.0 - 4.0 * wave)
    }
}

/// A namespace that no other test uses, removed at the end.
pub(crate) struct OwnNamespace(pub(crate) Namespace);

impl OwnNamespace {
    pub(crate) fn called(name: &str) -> OwnNamespace {
        OwnNamespace(open(name))
    }

    pub(crate) fn new() -> OwnNamespace {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        OwnNamespace(open(&format!(
            "test-top-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        )))
    }
}

/// Opens it without a cleanup, so that the states of dead workers stay.
fn open(name: &str) -> Namespace {
    Namespace::open(name).unwrap()
}

impl Drop for OwnNamespace {
    fn drop(&mut self) {
        let _ = self.0.clean(Retention::Nothing);
    }
}

/// A process that publishes on some channels, and owns some blocks. Killed when dropped.
pub(crate) struct Worker {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts a worker, which runs [`play`] in `test`, and waits until its channels exist. A name
    /// after `block:` is that of a block.
    pub(crate) fn start(test: &str, own: &OwnNamespace, channels: &[&str], pace: Pace) -> Worker {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture", "--include-ignored", "--test-threads=1"])
            .env(NAMESPACE, own.0.name())
            .env(CHANNELS, channels.join(","))
            .env(PAUSE, pace.pause.as_micros().to_string())
            .env(SWELL, pace.swell.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("publishing") {
            line.clear();
            assert!(output.read_line(&mut line).unwrap() > 0, "the worker ended");
        }
        Worker { child, output }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Kills it, and waits for its end.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = self.output.buffer();
    }
}

/// Publishes, if this process is a worker; returns whether it is one. A worker ends when it is
/// killed.
pub(crate) fn play() -> bool {
    let variables = [NAMESPACE, CHANNELS, PAUSE, SWELL].map(std::env::var);
    let [Ok(namespace), Ok(channels), Ok(pause), Ok(swell)] = variables else { return false };
    let pause = Duration::from_micros(pause.parse().unwrap());
    let pace = Pace { pause, swell: swell.parse().unwrap() };
    let namespace = open(&namespace);
    let (blocks, channels): (Vec<_>, Vec<_>) = channels.split(',').partition(|it| it.starts_with(BLOCK));
    let _blocks: Vec<_> =
        blocks.iter().map(|block| namespace.block(&block[BLOCK.len()..], 102_400).unwrap()).collect();
    let mut writers: Vec<_> = channels
        .into_iter()
        .map(|channel| {
            let builder = namespace.writer_builder::<State>(channel).codec::<MessagePack>();
            builder.heartbeat_interval(Duration::from_millis(500)).open().unwrap()
        })
        .collect();
    let begin = Instant::now();
    for round in 0_u64.. {
        for writer in &mut writers {
            writer.publish(&State::at(round)).unwrap();
        }
        if round == 0 {
            println!("publishing");
            std::io::stdout().flush().unwrap();
        }
        if begin.elapsed() > LIFE {
            break;
        }
        sleep(pace.pause_at(begin.elapsed()));
    }
    true
}
