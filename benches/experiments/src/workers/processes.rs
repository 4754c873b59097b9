//! Workers that are processes of their own.

use std::thread;
use std::time::Duration;

use super::memory::Proportional;
use super::{QUERIES, UPDATES};
use crate::Failure;
use crate::context::Context;
use crate::worker::{Role, Worker};

/// The memory of one process.
pub(crate) struct Process {
    pub(crate) count: usize,
    pub(crate) with: Proportional,
    pub(crate) without: Proportional,
}

/// Processes with a channel, then processes without one.
pub(crate) fn measure(context: &Context, count: usize) -> Result<Process, Failure> {
    Ok(Process { count, with: one_of(context, count, 1)?, without: one_of(context, count, 0)? })
}

/// The median of `count` processes that run at the same time, each with `channels` channels.
fn one_of(context: &Context, count: usize, channels: usize) -> Result<Proportional, Failure> {
    let start = |first| context.start(Role::Hold { first, channels, rate: UPDATES });
    let workers = (0..count).map(start).collect::<Result<Vec<_>, _>>()?;
    thread::sleep(Duration::from_secs(1) / QUERIES);
    let mut sizes: Vec<Proportional> = workers.iter().map(|worker| Proportional::of(worker.pid())).collect();
    sizes.sort();
    workers.into_iter().try_for_each(Worker::end)?;
    Ok(sizes[count / 2])
}
