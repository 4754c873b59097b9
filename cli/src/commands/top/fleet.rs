//! All workers and blocks of a namespace, sample after sample.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tearless::{Namespace, error::ObjectError, inspect::ChannelWatch, usage::MemoryUsage};

use super::data::Row;
use super::probe::Probe;
use crate::blocks;
use crate::directory::Directory;
use crate::output::{escaped, printable};
use crate::resolve;

/// How often each writer's process is checked, which takes system calls.
const LIVENESS: Duration = Duration::from_secs(1);

/// How often the memory is measured, which lists shared memory and makes some system calls for each
/// channel.
const MEMORY_INTERVAL: Duration = Duration::from_secs(10);

/// How often an empty namespace is looked up, which lists shared memory.
const MISSING: Duration = Duration::from_secs(2);

/// How often the blocks are listed, which lists shared memory and makes some system calls for each
/// block; less often if that takes more than a hundredth of a processor.
const BLOCKS_INTERVAL: Duration = Duration::from_secs(2);
const MAX_SHARE: u32 = 100;

/// What may be unknown, as places in [`Fleet::troubles`].
const CHANNELS: usize = 0;
const BLOCKS: usize = 1;
const MEMORY: usize = 2;

/// How long a removed channel stays on the screen.
const LINGER: Duration = Duration::from_secs(10);

/// The workers and their probes.
pub(super) struct Fleet {
    pub(super) namespace: Namespace,
    watch: ChannelWatch,
    /// First those of the channels, then those of the blocks.
    pub(super) rows: Vec<Row>,
    /// Each probe belongs to the row with the same index.
    probes: Vec<Probe>,
    /// When the blocks are listed next.
    blocks_due: Duration,
    /// When the workers were last sampled.
    sampled: Option<Duration>,
    /// The worker whose process was checked last.
    turn: usize,
    /// The memory of the namespace's objects.
    pub(super) memory: Option<MemoryUsage>,
    /// When it was measured.
    measured: Option<Duration>,
    /// Why the last attempt failed to list the channels, to list the blocks, and to measure.
    troubles: [Option<String>; 3],
    /// Whether the list of channels has changed since it was read.
    is_outdated: bool,
    /// Where the namespace is, if it exists.
    directory: Directory,
    /// The message that the namespace does not exist.
    pub(super) missing: Option<String>,
    /// When the namespace was last looked up.
    looked_up: Option<Duration>,
}

impl Fleet {
    /// The namespace may be created later: `top` may start before its workers.
    pub(super) fn new(namespace: Namespace, directory: &Directory) -> Fleet {
        Fleet {
            watch: namespace.watch_channels(),
            namespace,
            rows: Vec::new(),
            probes: Vec::new(),
            blocks_due: Duration::ZERO,
            sampled: None,
            turn: 0,
            memory: None,
            measured: None,
            troubles: Default::default(),
            is_outdated: false,
            directory: directory.clone(),
            missing: None,
            looked_up: None,
        }
    }

    /// Samples all workers and blocks; `at` is the time since the program began. Returns whether
    /// rows were added or removed.
    pub(super) fn sample(&mut self, at: Duration) -> bool {
        let blocks = self.rows.split_off(self.probes.len());
        let listed = self.watch.changed().and_then(|changed| {
            self.is_outdated |= changed;
            if self.is_outdated { self.list(at) } else { Ok(false) }
        });
        let has_come = self.unless_trouble(CHANNELS, listed).unwrap_or(false);
        let has_gone = self.drop_gone(at);
        self.check_some(at);
        for (probe, row) in self.probes.iter_mut().zip(&mut self.rows) {
            probe.sample(&self.namespace, at, row);
        }
        let has_other_blocks = self.list_blocks(blocks, at);
        self.look_up_namespace(at);
        self.measure(at);
        self.sampled = Some(at);
        has_come || has_gone || has_other_blocks
    }

    /// The result, if there is one, or else why not, until the next attempt of this kind.
    fn unless_trouble<T>(&mut self, what: usize, result: Result<T, ObjectError>) -> Option<T> {
        self.troubles[what] = result.as_ref().err().map(escaped);
        result.ok()
    }

    /// Why not all is known.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.troubles.iter().flatten().map(String::as_str).next()
    }

    /// Without this, a mistyped name would look like a fleet that has not started yet.
    fn look_up_namespace(&mut self, at: Duration) {
        if !self.rows.is_empty() {
            (self.missing, self.looked_up) = (None, None);
        } else if is_due(self.looked_up, at, MISSING) {
            let missing = resolve::no_such_namespace(&self.namespace, &self.directory);
            (self.missing, self.looked_up) = (missing.map(|failure| failure.to_string()), Some(at));
        }
    }

    /// Lists the channels: attaches to new ones, and marks removed ones. Returns whether there are
    /// new ones.
    fn list(&mut self, at: Duration) -> Result<bool, ObjectError> {
        let channels = self.namespace.channels()?;
        self.is_outdated = false;
        let mut listed: HashMap<String, u64> =
            channels.into_iter().map(|info| (info.name, info.instance)).collect();
        for (probe, row) in self.probes.iter_mut().zip(&mut self.rows) {
            match listed.remove(&row.name) {
                None => drop(probe.unlisted.get_or_insert(at)),
                Some(instance) if !probe.follows(instance) => {
                    probe.attach(&self.namespace, row);
                }
                Some(_) => {}
            }
        }
        let has_come = !listed.is_empty();
        for name in listed.into_keys() {
            let label = printable(&name).into_owned();
            let mut row = Row { name, label, ..Row::default() };
            let mut probe = Probe::default();
            probe.attach(&self.namespace, &mut row);
            self.probes.push(probe);
            self.rows.push(row);
        }
        Ok(has_come)
    }

    /// Adds the rows of the blocks, which were `blocks`. Returns whether there are others.
    fn list_blocks(&mut self, mut blocks: Vec<Row>, at: Duration) -> bool {
        let (begin, mut has_others) = (Instant::now(), false);
        if at >= self.blocks_due {
            let listed = blocks::matching(&self.namespace, None);
            if let Some(listed) = self.unless_trouble(BLOCKS, listed) {
                let names = blocks.iter().map(|row| &row.name);
                has_others = !names.eq(listed.iter().map(|block| &block.name));
                blocks = listed.into_iter().map(Row::of_block).collect();
            }
            self.blocks_due = at + begin.elapsed().saturating_mul(MAX_SHARE).max(BLOCKS_INTERVAL);
        }
        self.rows.extend(blocks);
        has_others
    }

    /// Drops the rows of channels that were removed some time ago; returns whether there were any.
    fn drop_gone(&mut self, at: Duration) -> bool {
        let is_gone = |probe: &Probe| probe.unlisted.is_some_and(|since| at.saturating_sub(since) >= LINGER);
        let before = self.rows.len();
        for index in (0..before).rev() {
            if is_gone(&self.probes[index]) {
                self.probes.swap_remove(index);
                self.rows.swap_remove(index);
            }
        }
        self.rows.len() != before
    }

    /// Checks the processes of some workers, in turn: as many as are due since the last sample.
    fn check_some(&mut self, at: Duration) {
        let passed = self.sampled.map_or(Duration::ZERO, |sampled| at.saturating_sub(sampled));
        let count = self.probes.len();
        let share = (passed.as_secs_f64() / LIVENESS.as_secs_f64()).min(1.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most `count`")]
        let due = (share * count as f64).ceil() as usize;
        for _ in 0..due {
            self.turn = (self.turn + 1) % count;
            let (probe, row) = (&mut self.probes[self.turn], &mut self.rows[self.turn]);
            if row.trouble.is_some() && probe.unlisted.is_none() {
                probe.attach(&self.namespace, row);
            } else {
                probe.look(&self.namespace, row);
            }
        }
    }

    fn measure(&mut self, at: Duration) {
        if is_due(self.measured, at, MEMORY_INTERVAL) {
            let measured = self.namespace.memory();
            if let Some(memory) = self.unless_trouble(MEMORY, measured) {
                (self.memory, self.measured) = (Some(memory.total()), Some(at));
            }
        }
    }
}

fn is_due(last: Option<Duration>, at: Duration, interval: Duration) -> bool {
    last.is_none_or(|last| at.saturating_sub(last) >= interval)
}

#[cfg(test)]
mod tests;
