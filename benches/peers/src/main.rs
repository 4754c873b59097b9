//! tearless beside its alternatives, measured in one run: `ci/peers`.
//!
//! Every library is behind one adapter ([`peer::Peer`]), gets the same states, and is measured by
//! the same loops, in rounds in which each has a turn. The main process reads on one CPU. Processes
//! that publish or answer run on another CPU.
//!
//! * `frames`: a camera and three displays, a process each: processor time, frames seen, memory.
//! * `in place`: large states, filled and read where they lie, beside copies.
//! * `uncontended`: plain data of 64 B to 64 MiB, both ends in one process. `read` ends with a
//!   private copy in memory. If the second column says so, it reads the state in place instead.
//!   `publish` publishes the same bytes again, `changing` a state of which a word has changed.
//!   *The floor* is the protocol with nothing around it: the least that these operations can cost.
//! * `serde`: publish and snapshot, against a bare encode, memcpy and decode.
//! * `contended`: a writer in another process, at 1 kHz, at 1 MHz, and flat out. `unread` is how
//!   often it publishes while no process reads: the difference is what readers cost it. `torn`
//!   counts states that were read in part. `preempted` is how often the kernel took the CPU away
//!   from the reader, which explains a large maximum on a busy machine.
//! * `query`: a snapshot, against a request and an answer.
//! * `readers`: two reading processes together, against one.
//! * `channels`: a thousand workers, read in turn by one process.
//!
//! `profile-op OPERATION BYTES COUNT` measures nothing: see [`profile`].
//!
//! The comparison may be unfair in these points: `iceoryx2`, `seqlock` and the reads of
//! `ringfire` pass states by value, which is one more copy if the compiler can't avoid it.
//! `mmap-sync` writes into a file and flushes it; its writer sleeps 1 µs if it meets a reader, not
//! a second as by default.
//! iceoryx2's samples and mmap-sync's guards promise less than views: see [`in_place`].
//! `left-right` and `arc-swap` allocate for each publication. The answers over sockets and pipes
//! are of a state that does not change.

mod answering;
mod batch;
mod channels;
#[path = "../../common/mod.rs"]
mod common;
mod contended;
#[path = "../../contended/cpus.rs"]
mod cpus;
mod dispatch;
mod effort;
mod frames;
mod goals;
mod in_place;
mod machine;
mod peer;
mod peers;
mod place;
mod profile;
mod publishing;
mod queries;
mod reading;
mod redis;
mod report;
mod serde_states;
mod uncontended;
mod worker;
#[path = "../../uncontended/worker_state.rs"]
mod worker_state;

use std::fs;
use std::path::Path;
use std::process::exit;
use std::thread;

use effort::Arguments;
use machine::Machine;
use place::Ground;
use report::Report;
use serde_json::json;
use worker::{Assignment, Job};

/// Several peers pass states of a mebibyte by value.
const STACK: usize = 256 << 20;

fn main() {
    let worker = thread::Builder::new().stack_size(STACK).spawn(run).expect("a thread can be started");
    worker.join().expect("the run has printed its error");
}

fn run() {
    if let Some(assignment) = Assignment::of_this_process() {
        return work(assignment);
    }
    if profile::run_if_asked() {
        return;
    }
    let arguments = Arguments::read();
    let cpus = cpus::pair();
    let machine = Machine::current(cpus);
    machine.print();
    if arguments.quick {
        println!("**Measured for a moment only (`--quick`): these figures are no evidence.**\n");
    }
    let ground = Ground::new();
    let mut report = Report::default();
    // Processes inherit the pinning, and these are not pinned.
    frames::measure(&arguments, &ground, &mut report);
    if let Some(pair) = cpus {
        cpus::pin(pair.reader);
    }
    in_place::measure(&arguments, &ground, &mut report);
    uncontended::measure(&arguments, &ground, &mut report);
    serde_states::measure(&arguments, &ground, &mut report);
    contended::measure(&arguments, &ground, cpus, &mut report);
    queries::measure(&arguments, &ground, cpus, &mut report);
    reading::measure(&arguments, &ground, cpus, &mut report);
    channels::measure(&arguments, &ground, cpus, &mut report);
    drop(ground);
    if report.is_empty() {
        effort::refuse("no figure has this in its name; see ci/peers --help");
    }
    let goals = goals::judge(&report);
    let all =
        json!({ "quick": arguments.quick, "machine": machine, "figures": report.figures(), "goals": goals });
    write(&arguments.json, &serde_json::to_string_pretty(&all).expect("it can be written down"));
}

/// Does the job of a worker process.
fn work(assignment: Assignment) {
    if let Some(cpu) = assignment.cpu {
        cpus::pin(cpu);
    }
    match assignment.job {
        Job::Publish { peer, words, hertz, place } => publishing::run(&peer, words, hertz, &place),
        Job::PublishState { jobs, place } => publishing::run_state(jobs, &place),
        Job::Read { peer, words, place } => reading::run(&peer, words, &place),
        Job::Answer { jobs, socket: Some(place) } => answering::at_socket(jobs, &place),
        Job::Answer { jobs, socket: None } => answering::by_pipe(jobs),
        Job::Frames { way, role, seconds, place } => frames::work(way, role, seconds, &place),
        Job::KeepChannels { count, place } => channels::keep(count, &place),
        Job::ReadChannels { count, place } => channels::read_round(count, &place),
    }
}

fn write(path: &Path, text: &str) {
    if let Some(directory) = path.parent() {
        // If this fails, the write below reports it.
        let _ = fs::create_dir_all(directory);
    }
    if let Err(error) = fs::write(path, format!("{text}\n")) {
        eprintln!("peers: can't write {}: {error}", path.display());
        exit(1);
    }
}
