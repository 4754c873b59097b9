//! The content of a `WorkerState` in memory of fixed size without pointers: what `Pod` publishes.

use std::array;

use bytemuck::{Pod, Zeroable};

use crate::common::spread;

/// A plain state of some size.
pub(crate) trait PlainState: Pod {
    /// A state with content.
    fn new() -> Self;
}

/// Room for three jobs.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Small {
    head: Head,
    queue: [Job; 3],
}

/// Room for 45 jobs.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Medium {
    head: Head,
    queue: [Job; 45],
}

/// Room for 1,160 jobs.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Large {
    head: Head,
    queue: [Job; 1_160],
}

/// The part that exists once. Strings end with a zero byte.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Head {
    host: [u8; 32],
    jobs_done: u64,
    load: [f32; 3],
    phase: u32,
    job: u64,
    progress: f64,
    reason: [u8; 40],
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
/// One job of the queue.
struct Job {
    id: u64,
    submitted: u64,
    weight: f32,
    attempts: u32,
    name: [u8; 16],
    tags: [[u8; 8]; 2],
}

impl PlainState for Small {
    fn new() -> Small {
        Small { head: Head::new(), queue: array::from_fn(Job::new) }
    }
}

impl PlainState for Medium {
    fn new() -> Medium {
        Medium { head: Head::new(), queue: array::from_fn(Job::new) }
    }
}

impl PlainState for Large {
    fn new() -> Large {
        Large { head: Head::new(), queue: array::from_fn(Job::new) }
    }
}

impl Head {
    /// A state with content.
    fn new() -> Head {
        Head {
            host: text("worker-7.rack-3.example.org"),
            jobs_done: 1_000_001,
            load: [0.5, 1.25, 1.0],
            phase: 1,
            job: 1,
            progress: 0.75,
            reason: [0; 40],
        }
    }
}

impl Job {
    /// The job at some place of the queue.
    fn new(index: usize) -> Job {
        let random = spread(index as u64 + 1);
        Job {
            id: random,
            submitted: 1_700_000_000_000_000_000 + (random >> 8),
            weight: 0.5,
            attempts: u32::from(random & 1 == 1),
            name: text(&format!("render-{:08x}", random >> 32)),
            tags: [text("tag-0"), text("tag-1")],
        }
    }
}

/// The beginning of a text, as much as fits.
fn text<const LEN: usize>(text: &str) -> [u8; LEN] {
    let mut bytes = [0; LEN];
    for (to, from) in bytes.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    bytes
}
