//! Frames of 8 MiB, a camera and three displays, a process each: in place, and by copies. `cargo
//! bench --bench frames`, or for longer and one way only `-- --seconds 600 --hz 240 in-place`.
//!
//! * *in place*: the camera fills the slot that is lent to it; each display holds the newest frame
//!   by a view, until it has the next one.
//! * *copied*: the camera fills memory of its own and publishes it; each display copies the newest
//!   frame into memory of its own.
//!
//! In both the camera writes all words of a frame, and a display checks a word of each page.
//! Reported are processor time for each frame, the share of the frames that displays have seen, how
//! many views were copies, and the segments that were created after the first second: none, because
//! each of the displays' frames has a slot.
//!
//! Then a writer of 64 KiB that never pauses, alone and beside eight processes of which each always
//! holds a view, for up to 10 ms: how long its publications take, what the channel occupies, and
//! how many segments were created.
//!
//! With `--test`, or without `--bench` as under `cargo test --benches`, for a moment.

mod common;

use std::env;
use std::thread;
use std::time::{Duration, Instant};

use common::{Arguments, await_tick, histogram, nanos, spread};
use rustix::time::{ClockId, clock_gettime};
use tearless::view::TrustedWriters;
use tearless::{Bytes, Namespace, Reader, Writer};
use testkit::child::{self, Child};

const BYTES: usize = 8 << 20;
const PAGE: usize = 4096;
const DISPLAYS: usize = 3;
const SMALL: usize = 64 << 10;
const HOLDERS: usize = 8;
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
    let is_named = |way: &str| env::args().any(|argument| argument == way);
    let is_wanted = |way: &&str| is_named(way) || !["in-place", "copied"].into_iter().any(is_named);
    for way in ["in-place", "copied"].into_iter().filter(is_wanted) {
        pipeline(way, seconds, hz);
    }
    println!(
        "\n{:<10} {:>10} {:>10} {:>10} {:>12} {:>10} {:>10} {:>10} {:>8}",
        "holders", "p50 ns", "p99 ns", "p99.9 ns", "passed over", "KiB", "segments", "views", "copies"
    );
    for holders in [0, HOLDERS] {
        flat_out(holders, seconds);
    }
}

/// The value of an option.
fn option(name: &str) -> Option<f64> {
    let mut arguments = env::args().skip_while(|argument| argument != name);
    arguments.nth(1).map(|number| number.parse().unwrap_or_else(|_| panic!("{name} takes a number")))
}

/// A process of this benchmark.
fn start(way: &str, role: &str, seconds: f64, hz: f64, namespace: &str) -> Child {
    let mut command = Child::this_program();
    command.env(TASK, format!("{way},{role},{seconds},{hz},{namespace}"));
    Child::start_ready(command).with_grace(Duration::from_secs_f64(seconds + 60.0))
}

/// The numbers that a process answers.
fn numbers(process: &mut Child) -> Vec<f64> {
    process.answer().split(' ').map(|number| number.parse().expect("a number")).collect()
}

/// A writer that never pauses, beside so many processes that hold views, and a row.
fn flat_out(holders: usize, seconds: f64) {
    let namespace = common::unique_namespace("holders");
    let mut writer = start("in-place", "writer", seconds, 0.0, &namespace);
    let mut others: Vec<_> =
        (0..holders).map(|_| start("in-place", "holder", seconds, 0.0, &namespace)).collect();
    others.iter_mut().for_each(|holder| holder.order("begin"));
    let figures: Vec<f64> = writer.ask("begin").split(' ').map(|it| it.parse().expect("a number")).collect();
    let [p50, p99, p999, passed, kib, segments] = figures[..] else { panic!("the writer's figures") };
    let held: Vec<_> = others.iter_mut().map(numbers).collect();
    let [views, copies] = [0, 1].map(|index| held.iter().fold(0.0, |sum, one| sum + one[index]));
    println!(
        "{holders:<10} {p50:>10} {p99:>10} {p999:>10} {passed:>12} {kib:>10} {segments:>10} {views:>10} {copies:>8}"
    );
    others.into_iter().chain([writer]).for_each(Child::finish);
}

/// Runs the four processes, and prints a row.
fn pipeline(way: &str, seconds: f64, hz: f64) {
    let namespace = common::unique_namespace("frames");
    let start = |role: &str| start(way, role, seconds, hz, &namespace);
    let mut camera = start("camera");
    let mut displays: Vec<_> = (0..DISPLAYS).map(|_| start("display")).collect();
    let all = displays.iter_mut().chain([&mut camera]);
    all.for_each(|process| process.order("begin"));
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
        "writer" => publish_flat_out(&namespace, seconds),
        "holder" => hold(&namespace, seconds),
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

/// Publishes without a pause, and measures each publication.
fn publish_flat_out(namespace: &Namespace, seconds: f64) {
    let builder = namespace.writer_builder::<[u8]>("camera").codec::<Bytes>().slots(2).capacity(SMALL);
    let mut writer = builder.pins(HOLDERS).open().unwrap();
    let mut state = vec![0; SMALL];
    writer.publish(&state).unwrap();
    child::ready();
    child::next_order().expect("the order to begin");
    let (begin, mut times) = (Instant::now(), histogram());
    while begin.elapsed().as_secs_f64() < seconds {
        for _ in 0..1_000 {
            state.fill(mark_of(writer.publication() + 1));
            let before = Instant::now();
            writer.publish(&state).unwrap();
            times.saturating_record(nanos(before.elapsed()));
        }
    }
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|quantile| times.value_at_quantile(quantile));
    let (passed, segments) = (writer.statistics().pinned, writer.growths());
    let kib = namespace.memory().unwrap().channels[0].total().resident >> 10;
    child::say(&format!("{p50} {p99} {p999} {passed} {kib} {segments}"));
    // The holders may look once more.
    child::wait_for_end();
}

/// Always holds a view, a new one after up to 10 ms.
fn hold(namespace: &Namespace, seconds: f64) {
    let builder = namespace.reader_builder::<Vec<u8>>("camera").codec::<Bytes>();
    // SAFETY: only the library stores to this benchmark's memory, and nothing forks.
    let builder = builder.views_in_place(unsafe { TrustedWriters::new() });
    let mut reader: Reader<Vec<u8>, Bytes> = builder.attach_within(Duration::from_secs(60)).open().unwrap();
    child::ready();
    child::next_order().expect("the order to begin");
    let begin = Instant::now();
    while begin.elapsed().as_secs_f64() < seconds {
        let view = reader.view().unwrap();
        thread::sleep(Duration::from_micros(spread(view.publication()) % 10_000));
        // The first publication is blank.
        let mark = if view.publication() > 1 { mark_of(view.publication()) } else { 0 };
        assert!(view.iter().all(|byte| *byte == mark), "publication {} is torn", view.publication());
    }
    let statistics = reader.statistics();
    child::say(&format!("{} {}", statistics.views, statistics.copied_views));
}

/// The byte that a state is full of.
fn mark_of(publication: u64) -> u8 {
    spread(publication).to_le_bytes()[0]
}

fn check(frame: &[u8], number: u64) {
    assert_eq!(frame.len(), BYTES);
    // The first frame is blank.
    for page in (0..BYTES / PAGE).filter(|_| number > 1) {
        let word = u64::from_ne_bytes(frame[page * PAGE..][..8].try_into().expect("8 bytes"));
        assert!(word == spread(number + (page * PAGE / 8) as u64), "frame {number} is torn");
    }
}
