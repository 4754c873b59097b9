//! All workers of a namespace, sample after sample.

use std::collections::HashSet;
use std::time::Duration;

use tearless::{Namespace, error::ObjectError, inspect::ChannelWatch, usage::MemoryUsage};

use super::probe::Probe;
use super::row::Row;
use crate::output::printable;
use crate::resolve;

/// How often each writer's process is checked, which takes system calls.
const LIVENESS: Duration = Duration::from_secs(1);

/// How often the memory is measured, which lists shared memory and makes some system calls for each
/// channel.
const MEMORY: Duration = Duration::from_secs(10);

/// How often an empty namespace is looked up, which lists shared memory.
const MISSING: Duration = Duration::from_secs(2);

/// How long a removed channel stays on the screen.
const LINGER: Duration = Duration::from_secs(10);

/// The workers and their probes.
#[derive(Debug)]
pub(super) struct Fleet {
    namespace: Namespace,
    watch: ChannelWatch,
    rows: Vec<Row>,
    /// Each probe belongs to the row with the same index.
    probes: Vec<Probe>,
    /// When the workers were last sampled.
    sampled: Option<Duration>,
    /// The worker whose process was checked last.
    turn: usize,
    /// The memory of the namespace's objects, and when it was measured.
    memory: Option<(Duration, MemoryUsage)>,
    /// Why the channels can't be listed.
    trouble: Option<String>,
    /// Other users whose namespaces are opened, too.
    trust: Vec<u32>,
    /// When the namespace was last looked up, and the message if it does not exist.
    missing: Option<(Duration, Option<String>)>,
}

/// Whether a sample has added or removed rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sampled {
    SameRows,
    OtherRows,
}

impl Fleet {
    /// The namespace may be created later: `top` may start before its workers.
    pub(super) fn new(namespace: Namespace, trust: &[u32]) -> Fleet {
        Fleet {
            watch: namespace.watch_channels(),
            namespace,
            rows: Vec::new(),
            probes: Vec::new(),
            sampled: None,
            turn: 0,
            memory: None,
            trouble: None,
            trust: trust.to_vec(),
            missing: None,
        }
    }

    pub(super) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    pub(super) fn memory(&self) -> Option<MemoryUsage> {
        self.memory.map(|(_, usage)| usage)
    }

    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// The message that the namespace does not exist.
    pub(super) fn missing(&self) -> Option<&str> {
        self.missing.as_ref().and_then(|(_, missing)| missing.as_deref())
    }

    /// Samples all workers; `at` is the time since the program began.
    pub(super) fn sample(&mut self, at: Duration) -> Sampled {
        let mut sampled = Sampled::SameRows;
        match self.watch.changed() {
            Ok(true) => sampled = self.list(at),
            Ok(false) => {}
            Err(error) => self.set_trouble(&error),
        }
        if self.drop_gone(at) {
            sampled = Sampled::OtherRows;
        }
        self.check_some(at);
        for (probe, row) in self.probes.iter_mut().zip(&mut self.rows) {
            probe.sample(at, row);
        }
        self.look_up_namespace(at);
        self.measure(at);
        self.sampled = Some(at);
        sampled
    }

    /// Without this, a mistyped name would look like a fleet that has not started yet.
    fn look_up_namespace(&mut self, at: Duration) {
        if !self.rows.is_empty() {
            self.missing = None;
        } else if self.missing.as_ref().is_none_or(|(looked, _)| at.saturating_sub(*looked) >= MISSING) {
            let missing = resolve::no_such_namespace(&self.namespace, &self.trust);
            self.missing = Some((at, missing.map(|failure| failure.to_string())));
        }
    }

    fn set_trouble(&mut self, error: &ObjectError) {
        self.trouble = Some(printable(&error.to_string()).into_owned());
    }

    /// Lists the channels: attaches to new ones, and marks removed ones.
    fn list(&mut self, at: Duration) -> Sampled {
        let channels = match self.namespace.channels() {
            Ok(channels) => channels,
            Err(error) => {
                self.set_trouble(&error);
                return Sampled::SameRows;
            }
        };
        self.trouble = None;
        let mut listed: HashSet<String> = channels.into_iter().map(|info| info.name).collect();
        for (probe, row) in self.probes.iter_mut().zip(&mut self.rows) {
            if !listed.remove(&row.name) {
                probe.unlisted.get_or_insert(at);
            } else if probe.has_ended() {
                probe.retry_attach(&self.namespace, row);
            }
        }
        let come = listed.len();
        for name in listed {
            let label = printable(&name).into_owned();
            let mut row = Row { name, label, ..Row::default() };
            self.probes.push(Probe::attach(&self.namespace, &mut row));
            self.rows.push(row);
        }
        if come > 0 { Sampled::OtherRows } else { Sampled::SameRows }
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
                probe.retry_attach(&self.namespace, row);
            } else {
                probe.look(row);
            }
        }
    }

    fn measure(&mut self, at: Duration) {
        if self.memory.is_some_and(|(measured, _)| at.saturating_sub(measured) < MEMORY) {
            return;
        }
        match self.namespace.memory() {
            Ok(memory) => self.memory = Some((at, memory.total())),
            Err(error) => self.set_trouble(&error),
        }
    }
}

#[cfg(test)]
mod tests;
