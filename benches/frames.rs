//! Frames of 8 MiB, a camera and three displays, a process each: in place, and by copies.
//! `cargo bench --bench frames`, or for longer `-- --seconds 600 --hz 240`.
//!
//! * *in place*: the camera fills the slot that is lent to it; each display holds the newest frame by
//!   a view, until it has the next one.
//! * *copied*: the camera fills memory of its own and publishes it; each display copies the newest
//!   frame into memory of its own.
//!
//! In both the camera writes all words of a frame, and a display checks a word of each page. Reported
//! are processor time for each frame, the share of the frames that displays have seen, how many views
//! were copies, and the segments that were created after the first second: none, because each of the
//! displays' frames has a slot.
//!
//! With `--test`, or without `--bench` as under `cargo test --benches`, for a moment.

mod common;

use std::env;
use std::thread;
use std::time::{Duration, Instant};

use common::{Arguments, await_tick, spread};
use rustix::time::{ClockId, clock_gettime};
use tearless::view::TrustedWriters;
use tearless::{Bytes, Namespace, Reader, Writer};
use testkit::child::{self, Child};

const BYTES: usize = 8 << 20;
const PAGE: usize = 4096;
const DISPLAYS: usize = 3;
const TASK: &str = "TEARLESS_BENCH_FRAMES";

fn main() {
    if let Ok(task) = env::var(TASK) {
        return run(&task);
    }
    let arguments = Arguments::read();
    let seconds = option("--seconds").unwrap_or(if arguments.measure { 10.0 } else { 1.2 });
    let hz = option("--hz").unwrap_or(60.0);
    common::print_machine();
    println!(
        "{seconds} s at {hz} Hz\n\n{:<10} {:>14} {:>14} {:>12} {:>8} {:>8} {:>10}",
        "frames", "camera µs", "a display µs", "sum µs", "seen %", "copies", "segments"
    );
    for way in ["in-place", "copied"] {
        pipeline(way, seconds, hz);
    }
}

/// The value of an option.
fn option(name: &str) -> Option<f64> {
    let mut arguments = env::args().skip_while(|argument| argument != name);
    arguments.nth(1).map(|number| number.parse().unwrap_or_else(|_| panic!("{name} takes a number")))
}

/// Runs the four processes, and prints a row.
fn pipeline(way: &str, seconds: f64, hz: f64) {
    let namespace = common::unique_namespace("frames");
    let start = |role: &str| {
        let mut command = Child::this_program();
        command.env(TASK, format!("{way},{role},{seconds},{hz},{namespace}"));
        Child::start_ready(command).with_grace(Duration::from_secs_f64(seconds + 60.0))
    };
    let mut camera = start("camera");
    let mut displays: Vec<_> = (0..DISPLAYS).map(|_| start("display")).collect();
    let all = displays.iter_mut().chain([&mut camera]);
    all.for_each(|process| process.order("begin"));
    let numbers = |process: &mut Child| -> Vec<f64> {
        process.answer().split(' ').map(|number| number.parse().expect("a number")).collect()
    };
    let shown: Vec<Vec<f64>> = displays.iter_mut().map(numbers).collect();
    camera.order("end");
    let [frames, cpu, segments] = numbers(&mut camera)[..] else { panic!("the camera's figures") };
    let sum = |index: usize| shown.iter().map(|one| one[index]).sum::<f64>();
    let [camera_us, display_us] = [cpu / frames, sum(1) / frames / DISPLAYS as f64];
    println!(
        "{way:<10} {camera_us:>14.1} {display_us:>14.1} {:>12.1} {:>8.1} {:>8} {segments:>10}",
        camera_us + display_us * DISPLAYS as f64,
        sum(0) / frames / DISPLAYS as f64 * 100.0,
        sum(2)
    );
    displays.into_iter().chain([camera]).for_each(Child::finish);
}

/// A process: `way,role,seconds,hz,namespace`.
fn run(task: &str) {
    let parts: Vec<&str> = task.splitn(5, ',').collect();
    let [way, role, seconds, hz, namespace] = parts[..] else { panic!("{task}") };
    let (seconds, hz): (f64, f64) = (seconds.parse().unwrap(), hz.parse().unwrap());
    let namespace = Namespace::open(namespace).unwrap();
    let is_in_place = way == "in-place";
    match role {
        "camera" => film(&namespace, is_in_place, hz),
        _ => display(&namespace, is_in_place, seconds),
    }
}

/// Microseconds of processor time of this process.
fn processor_micros() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

/// All words of a frame.
fn draw(words: &mut [u64], number: u64) {
    words.iter_mut().zip(number..).for_each(|(word, value)| *word = spread(value));
}

/// Publishes until its next order, from a moment after its first one.
fn film(namespace: &Namespace, is_in_place: bool, hz: f64) {
    let builder = namespace.writer_builder::<[u8]>("camera").codec::<Bytes>().slots(2).capacity(BYTES);
    // A display takes the next frame before it drops the last one.
    let mut camera: Writer<[u8], Bytes> =
        builder.pins(if is_in_place { 2 * DISPLAYS } else { 0 }).open().unwrap();
    let mut frame = vec![0_u64; BYTES / 8];
    camera.publish(bytemuck::cast_slice(&frame)).unwrap();
    child::ready();
    child::next_order().expect("the order to begin");
    let input = child::Input::listen();
    let period = Duration::from_secs_f64(1.0 / hz);
    let (begin, mut tick, first, used) =
        (Instant::now(), Instant::now() + period, camera.publication(), processor_micros());
    let mut growths = None;
    while !input.has_spoken() {
        let number = camera.publication() + 1;
        if is_in_place {
            let mut loan = camera.loan(BYTES).unwrap();
            // SAFETY: only the library stores to this benchmark's memory, and nothing forks.
            draw(bytemuck::cast_slice_mut(unsafe { loan.lend().into_mut() }), number);
            loan.publish().unwrap();
        } else {
            draw(&mut frame, number);
            camera.publish(bytemuck::cast_slice(&frame)).unwrap();
        }
        if begin.elapsed() > Duration::from_secs(1) && growths.is_none() {
            growths = Some(camera.growths());
        }
        tick = await_tick(tick, period);
    }
    let segments = camera.growths() - growths.unwrap_or(0);
    child::say(&format!("{} {} {segments}", camera.publication() - first, processor_micros() - used));
}

/// Looks at each frame that it can, and checks a word of each page.
fn display(namespace: &Namespace, is_in_place: bool, seconds: f64) {
    let builder = namespace.reader_builder::<Vec<u8>>("camera").codec::<Bytes>();
    // SAFETY: only the library stores to this benchmark's memory, and nothing forks.
    let builder = builder.views_in_place(unsafe { TrustedWriters::new() });
    let mut reader: Reader<Vec<u8>, Bytes> = builder.attach_within(Duration::from_secs(60)).open().unwrap();
    child::ready();
    child::next_order().expect("the order to begin");
    let (begin, used) = (Instant::now(), processor_micros());
    let (mut seen, mut copy, mut held) = (0_u64, Vec::new(), None);
    while begin.elapsed().as_secs_f64() < seconds {
        if !reader.changed(Duration::from_millis(100)).unwrap() {
            continue;
        }
        if is_in_place {
            let view = reader.view().unwrap();
            check(&view, view.publication());
            held = Some(view);
        } else {
            let info = reader.snapshot_into(&mut copy).unwrap();
            check(&copy, info.publication());
        }
        seen += 1;
    }
    let used = processor_micros() - used;
    if let Some(view) = held {
        // Whatever was published since.
        thread::sleep(Duration::from_millis(20));
        check(&view, view.publication());
    }
    child::say(&format!("{seen} {used} {}", reader.statistics().copied_views));
}

fn check(frame: &[u8], number: u64) {
    assert_eq!(frame.len(), BYTES);
    // The first frame is blank.
    for page in (0..BYTES / PAGE).filter(|_| number > 1) {
        let word = u64::from_ne_bytes(frame[page * PAGE..][..8].try_into().expect("8 bytes"));
        assert!(word == spread(number + (page * PAGE / 8) as u64), "frame {number} is torn");
    }
}
