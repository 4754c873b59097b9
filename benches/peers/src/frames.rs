//! Frames of 8 MiB, a camera and three displays, a process each, by several ways.
//!
//! The camera fills a whole frame, writes its number in front, and publishes it, 60 times a second.
//! Each display waits for the next frame and looks at a byte of each page. *In place*, the frame is
//! filled in the memory that is published, and a display holds the newest frame until it has the
//! next one. *Copied*, the camera copies the frame out of its own memory, and each display into its
//! own.
//!
//! Reported are processor time for each frame (all that the process does for it, including the
//! filling and the looking), the share of the frames that displays have seen, and memory: shared,
//! as `/dev/shm` counts it, and private, of all four processes (`RssAnon`). The processes are not
//! pinned to processors.
//!
//! Python's rows are `frames.py`: see there for how its block is guarded, and what that does not
//! promise. It fills frames by `memset`, as the other cameras do, and copies them by memoryviews,
//! each of which is one memcpy. For iceoryx2 see `peers/pubsub.rs`; its displays wait for its
//! events.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::Deserialize;
use tearless::error::SnapshotError;
use tearless::view::View;
use tearless::{Bytes, Writer, WriterBuilder};
use testkit::child::{self, Child};

use crate::common::{await_tick, field};
use crate::effort::Arguments;
use crate::peers::{Alarm, Held, Loans, Receiver, Sender, Views, Waker, writer_builder};
use crate::place::{Ground, Place};
use crate::report::{Report, Table, figure, median};
use crate::worker::{
    Job, Role,
    Way::{self, Copied, Counter, InPlace, Lock, PubSub},
    Worker,
};

const BYTES: usize = 8 << 20;
const PAGE: usize = 4096;
const DISPLAYS: usize = 3;
const HERTZ: f64 = 60.0;
/// How long a display waits before it looks at the clock.
const PATIENCE: Duration = Duration::from_millis(100);
const PYTHON: &str = include_str!("../frames.py");

/// What the processes of a way report.
#[derive(Debug, Deserialize)]
struct Outcome {
    /// By the camera, and by each display, apart from the beginning.
    frames: Vec<f64>,
    /// Processor time for them in microseconds.
    micros: Vec<f64>,
    /// Private memory in KiB.
    private: Vec<f64>,
}

/// The end that makes frames.
trait Camera {
    fn publish(&mut self, number: u64);
}

/// The end that looks at them.
trait Display {
    /// Waits for a while for a frame that was not seen, and checks it. Returns whether there was
    /// one.
    fn look(&mut self) -> bool;

    /// Checks the frame that it still holds, if it holds one.
    fn look_again(&self) {}
}

/// All ways, in turns.
pub(crate) fn measure(arguments: &Arguments, ground: &Ground, report: &mut Report) {
    if !arguments.wants("frames") {
        return;
    }
    let mut ways = vec![InPlace, Copied, PubSub];
    if has_python() {
        ways.extend([Lock, Counter]);
    } else {
        println!("No `python3` with `multiprocessing.shared_memory`: its rows are left out.\n");
    }
    let mut figures: Vec<[Vec<f64>; COLUMNS.len()]> = ways.iter().map(|_| Default::default()).collect();
    for round in 0..arguments.effort.contended_rounds {
        for (way, figures) in ways.iter().zip(&mut figures) {
            let place = ground.place(&format!("frames-{way:?}-{round}"));
            let row = one(*way, &place, arguments.effort.frames);
            row.into_iter().zip(figures).for_each(|(value, values)| values.push(value));
        }
    }
    println!("### Frames of 8 MiB, {HERTZ} a second, a camera and {DISPLAYS} displays\n");
    let mut table = Table::new(&[&["frames"], &COLUMNS[..], &["ratio"]].concat());
    let rows: Vec<_> = figures.into_iter().map(|values| values.map(median)).collect();
    for (way, row) in ways.iter().zip(&rows) {
        for (name, value) in COLUMNS.iter().zip(row) {
            report.add(format!("frames/{}/{name}", name_of(*way)), *value);
        }
        let cells = row.iter().copied().chain([row[SUM] / rows[0][SUM]]).map(figure);
        table.row([name_of(*way).into()].into_iter().chain(cells).collect());
    }
    table.print();
}

/// The figures, and which one the ratios are of.
const COLUMNS: [&str; 6] = ["camera µs", "a display µs", "sum µs", "seen %", "shared MiB", "private MiB"];
const SUM: usize = 2;

fn name_of(way: Way) -> &'static str {
    match way {
        InPlace => "tearless, in place",
        Copied => "tearless, copied",
        PubSub => "iceoryx2 publish-subscribe, in place",
        Lock => "Python shared_memory, a lock",
        Counter => "Python shared_memory, a counter",
    }
}

/// Runs the four processes for so many seconds, after a quarter of them that is not counted.
fn one(way: Way, place: &Place, seconds: f64) -> [f64; COLUMNS.len()] {
    let before = shared_bytes();
    let (outcome, shared) = match way {
        Lock | Counter => in_python(way, place, seconds),
        InPlace | Copied | PubSub => in_processes(way, place, seconds),
    };
    let displays = |values: &[f64]| values[1..].iter().sum::<f64>();
    let Outcome { frames, micros, private } = outcome;
    let [camera, display] = [micros[0], displays(&micros) / DISPLAYS as f64].map(|sum| sum / frames[0]);
    let seen = displays(&frames) / DISPLAYS as f64 / frames[0] * 100.0;
    [
        camera,
        display,
        camera + display * DISPLAYS as f64,
        seen,
        shared.saturating_sub(before) as f64 / f64::from(1 << 20),
        private.iter().sum::<f64>() / 1024.0,
    ]
}

/// What the processes report, and the bytes of shared memory before they end.
fn in_processes(way: Way, place: &Place, seconds: f64) -> (Outcome, u64) {
    let start = |role| Worker::start(&Job::Frames { way, role, seconds, place: place.clone() }, None);
    let mut camera = start(Role::Camera);
    let mut displays: Vec<_> = (0..DISPLAYS).map(|_| start(Role::Display)).collect();
    displays.iter_mut().chain([&mut camera]).for_each(|process| process.order("begin"));
    let seen: Vec<_> = displays.iter_mut().map(Worker::answer).collect();
    camera.order("end");
    let mut outcome = Outcome { frames: Vec::new(), micros: Vec::new(), private: Vec::new() };
    for line in [camera.answer()].into_iter().chain(seen) {
        let numbers: Vec<f64> = line.split(' ').map(|number| number.parse().expect("a number")).collect();
        outcome.frames.push(numbers[0]);
        outcome.micros.push(numbers[1]);
        outcome.private.push(numbers[2]);
    }
    let shared = shared_bytes();
    displays.into_iter().chain([camera]).for_each(Worker::end);
    (outcome, shared)
}

/// The same of the Python program.
fn in_python(way: Way, place: &Place, seconds: f64) -> (Outcome, u64) {
    let way = if way == Lock { "lock" } else { "counter" };
    let name = format!("{}_{}", place.prefix(), place.name());
    let mut command = Command::new("python3");
    command.args(["-c", PYTHON, way, &seconds.to_string(), &HERTZ.to_string(), &name]);
    let mut python = Child::start(command);
    let outcome = serde_json::from_str(&python.answer()).expect("the program prints its figures");
    let shared = shared_bytes();
    python.finish();
    assert!(!Path::new("/dev/shm").join(name).exists(), "Python has left its block");
    (outcome, shared)
}

fn has_python() -> bool {
    let mut command = Command::new("python3");
    command.args(["-c", "import multiprocessing.shared_memory"]).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The bytes of `/dev/shm` that are used.
fn shared_bytes() -> u64 {
    let found = rustix::fs::statvfs("/dev/shm").expect("there is shared memory");
    (found.f_blocks - found.f_bfree) * found.f_frsize
}

/// Does the work of a process.
pub(crate) fn work(way: Way, role: Role, seconds: f64, place: &Place) {
    match (role, way) {
        (Role::Camera, InPlace) => {
            // A display takes the next frame before it drops the last one.
            let loans = Loans::open(channel(place).pins(2 * DISPLAYS), BYTES);
            film(Lending(loans), seconds);
        }
        (Role::Camera, Copied) => {
            let writer = channel(place).open().expect("there is room in shared memory");
            film(Copying { writer, frame: vec![0; BYTES] }, seconds);
        }
        (Role::Camera, _) => {
            let sender = Sender::open(place, BYTES, DISPLAYS);
            film(Sending { waker: sender.waker(place), sender }, seconds);
        }
        (Role::Display, InPlace) => show(Viewing { views: Views::open(place), held: None }, seconds),
        (Role::Display, Copied) => {
            show(Snapshots { views: Views::open(place), copy: Vec::new() }, seconds);
        }
        (Role::Display, _) => {
            let receiver = Receiver::open(place);
            show(Receiving { alarm: receiver.alarm(place), receiver, held: None }, seconds);
        }
    }
}

/// The channel of frames: a double buffer, which is enough at this rate.
fn channel(place: &Place) -> WriterBuilder<[u8], Bytes> {
    writer_builder(place, BYTES).slots(2)
}

/// Publishes until the next order.
fn film(mut camera: impl Camera, seconds: f64) {
    let mut number = 1;
    camera.publish(number);
    child::ready();
    child::next_order().expect("the order to begin");
    let input = child::Input::listen();
    let period = Duration::from_secs_f64(1.0 / HERTZ);
    let (begin, mut tick) = (Instant::now(), Instant::now() + period);
    let mut counted: Option<(u64, f64)> = None;
    // On a busy machine the displays may end before the camera has filmed anything.
    while !(input.has_spoken() && counted.is_some_and(|(first, _)| number > first)) {
        if begin.elapsed().as_secs_f64() >= seconds / 4.0 {
            counted.get_or_insert_with(|| (number, processor_micros()));
        }
        number += 1;
        camera.publish(number);
        tick = await_tick(tick, period);
    }
    let (first, before) = counted.expect("a frame was counted");
    say((number - first) as f64, processor_micros() - before);
    child::wait_for_end();
}

/// Looks at frames until the time is over.
fn show(mut display: impl Display, seconds: f64) {
    child::ready();
    child::next_order().expect("the order to begin");
    let begin = Instant::now();
    while begin.elapsed().as_secs_f64() < seconds / 4.0 {
        display.look();
    }
    let (mut seen, before) = (0, processor_micros());
    while begin.elapsed().as_secs_f64() < seconds * 1.25 {
        seen += u32::from(display.look());
    }
    let used = processor_micros() - before;
    // Whatever was published since.
    thread::sleep(Duration::from_secs_f64(2.0 / HERTZ));
    display.look_again();
    say(f64::from(seen), used);
    child::wait_for_end();
}

/// Answers with the figures of this process.
fn say(frames: f64, micros: f64) {
    let private = field("/proc/self/status", "RssAnon").expect("the kernel counts memory");
    let kibibytes = private.strip_suffix(" kB").expect("in KiB");
    child::say(&format!("{frames} {micros} {kibibytes}"));
}

/// Microseconds of processor time of this process.
fn processor_micros() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

/// The byte that a frame is full of. It differs from that of the frames before and after.
fn mark(number: u64) -> u8 {
    (number % 251) as u8
}

/// Checks a byte of each page.
fn check(frame: &[u8]) {
    assert_eq!(frame.len(), BYTES);
    let mark = mark(u64::from_ne_bytes(frame[..8].try_into().expect("8 bytes")));
    let is_whole = frame.chunks_exact(PAGE).all(|page| page[PAGE - 1] == mark);
    assert!(is_whole, "a frame is torn");
}

/// Fills loans.
struct Lending(Loans);

impl Camera for Lending {
    fn publish(&mut self, number: u64) {
        self.0.publish_filled(mark(number), number);
    }
}

/// Publishes copies of a frame in its own memory.
struct Copying {
    writer: Writer<[u8], Bytes>,
    frame: Vec<u8>,
}

impl Camera for Copying {
    fn publish(&mut self, number: u64) {
        self.frame.fill(mark(number));
        self.frame[..8].copy_from_slice(&number.to_ne_bytes());
        self.writer.publish(&self.frame).expect("the frame fits");
    }
}

/// Fills samples.
struct Sending {
    sender: Sender,
    waker: Waker,
}

impl Camera for Sending {
    fn publish(&mut self, number: u64) {
        self.sender.send_filled(mark(number), number);
        self.waker.wake();
    }
}

/// Holds the newest frame by a view.
struct Viewing {
    views: Views,
    held: Option<View>,
}

impl Display for Viewing {
    fn look(&mut self) -> bool {
        let is_new = self.views.reader().changed(PATIENCE).expect("the camera lives");
        if is_new {
            let view = self.views.view();
            check(&view);
            self.held = Some(view);
        }
        is_new
    }

    fn look_again(&self) {
        self.held.iter().for_each(|view| check(view));
    }
}

/// Copies the newest frame.
struct Snapshots {
    views: Views,
    copy: Vec<u8>,
}

impl Display for Snapshots {
    fn look(&mut self) -> bool {
        let reader = self.views.reader();
        if !reader.changed(PATIENCE).expect("the camera lives") {
            return false;
        }
        match reader.snapshot_into(&mut self.copy) {
            Ok(_) => check(&self.copy),
            // On a busy machine the camera may overtake every attempt.
            Err(SnapshotError::Contended { .. }) => return false,
            Err(error) => panic!("{error}"),
        }
        true
    }
}

/// Holds the newest frame as a sample.
struct Receiving {
    receiver: Receiver,
    alarm: Alarm,
    held: Option<Held>,
}

impl Display for Receiving {
    fn look(&mut self) -> bool {
        self.alarm.wait(PATIENCE);
        let Some(sample) = self.receiver.receive() else { return false };
        check(&sample);
        self.held = Some(sample);
        true
    }

    fn look_again(&self) {
        self.held.iter().for_each(|sample| check(sample));
    }
}
