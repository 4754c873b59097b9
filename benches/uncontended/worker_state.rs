//! A state as a worker of a fleet would publish it: for the serde codecs.

use serde::{Deserialize, Serialize};

use super::common::spread;

/// The activity of a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct WorkerState {
    host: String,
    jobs_done: u64,
    load: [f32; 3],
    phase: Phase,
    queue: Vec<Job>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Phase {
    Idle,
    Working { job: u64, progress: f64 },
    Draining(Option<String>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Job {
    id: u64,
    name: String,
    attempts: u8,
    submitted: u64,
    weight: f32,
    tags: Vec<String>,
}

impl WorkerState {
    /// A state with `jobs` jobs in its queue, of about 50 bytes each in Postcard. Each `seed` gives
    /// other contents; the encoded sizes differ by a few bytes.
    pub(crate) fn new(jobs: usize, seed: u64) -> WorkerState {
        WorkerState {
            host: "worker-7.rack-3.example.org".into(),
            jobs_done: 1_000_000 + seed,
            load: [0.5, 1.25, seed as f32],
            phase: match seed % 3 {
                0 => Phase::Idle,
                1 => Phase::Working { job: seed, progress: 0.75 },
                _ => Phase::Draining(Some("the operator asked for it".into())),
            },
            queue: (0..jobs as u64).map(|job| Job::new(spread(job + seed))).collect(),
        }
    }
}

impl Job {
    fn new(random: u64) -> Job {
        Job {
            id: random,
            name: format!("render-{:08x}", random >> 32),
            attempts: (random & 3) as u8,
            submitted: 1_700_000_000_000_000_000 + (random >> 8),
            weight: (random & 0xff) as f32 / 16.0,
            tags: (0..random % 3).map(|tag| format!("tag-{tag}")).collect(),
        }
    }
}
