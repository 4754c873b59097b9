//! All workers of a namespace, looked at again and again.

use std::collections::HashSet;
use std::time::Duration;

use tearless::{Namespace, error::ObjectError, inspect::ChannelWatch, usage::MemoryUsage};

use super::probe::Probe;
use super::row::Row;
use crate::output::printable;
use crate::resolve;

/// How often each worker is looked at by system calls.
const LIVENESS: Duration = Duration::from_secs(1);

/// How often the memory is measured. That takes a listing of shared memory and some system calls for each
/// channel.
const MEMORY: Duration = Duration::from_secs(10);

/// How often it is looked whether a namespace without channels is there at all, which takes a listing of shared memory.
const MISSING: Duration = Duration::from_secs(2);

/// How long a channel that has ended and is gone is shown still.
const LAST_SIGHT: Duration = Duration::from_secs(10);

/// The workers, and how they are looked at.
#[derive(Debug)]
pub(super) struct Fleet {
    namespace: Namespace,
    watch: ChannelWatch,
    rows: Vec<Row>,
    /// Each for the row of the same index.
    probes: Vec<Probe>,
    /// When the workers were sampled last.
    sampled: Option<Duration>,
    /// The worker whose turn it is to be looked at by system calls.
    turn: usize,
    /// What the namespace's objects take, and when that was measured.
    memory: Option<(Duration, MemoryUsage)>,
    /// Why the channels can't be listed.
    trouble: Option<String>,
    /// Other users whose namespaces count, too.
    trust: Vec<u32>,
    /// That there is no such namespace, and which one may be meant; and when that was looked at.
    missing: Option<(Duration, Option<String>)>,
}

/// Whether a sample has changed which rows there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sampled {
    SameRows,
    OtherRows,
}

impl Fleet {
    /// Of a namespace that may come later: `top` may be there before its workers.
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

    /// That there is no such namespace, and which one may be meant.
    pub(super) fn missing(&self) -> Option<&str> {
        self.missing.as_ref().and_then(|(_, missing)| missing.as_deref())
    }

    /// Looks at all workers; `at` is a time since the program began.
    pub(super) fn sample(&mut self, at: Duration) -> Sampled {
        let mut sampled = Sampled::SameRows;
        match self.watch.changed() {
            Ok(true) => sampled = self.list(at),
            Ok(false) => {}
            Err(error) => self.in_trouble(&error),
        }
        if self.drop_gone(at) {
            sampled = Sampled::OtherRows;
        }
        self.look_at_some(at);
        for (probe, row) in self.probes.iter_mut().zip(&mut self.rows) {
            probe.sample(at, row);
        }
        self.look_for_namespace(at);
        self.measure(at);
        self.sampled = Some(at);
        sampled
    }

    /// A name that was mistyped would look like a fleet that has not started yet.
    fn look_for_namespace(&mut self, at: Duration) {
        if !self.rows.is_empty() {
            self.missing = None;
        } else if self.missing.as_ref().is_none_or(|(looked, _)| at.saturating_sub(*looked) >= MISSING) {
            let missing = resolve::no_such_namespace(&self.namespace, &self.trust);
            self.missing = Some((at, missing.map(|failure| failure.to_string())));
        }
    }

    fn in_trouble(&mut self, error: &ObjectError) {
        self.trouble = Some(printable(&error.to_string()).into_owned());
    }

    /// Lists the channels anew: attaches to those that have come, notes those that are gone.
    fn list(&mut self, at: Duration) -> Sampled {
        let channels = match self.namespace.channels() {
            Ok(channels) => channels,
            Err(error) => {
                self.in_trouble(&error);
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

    /// Drops the rows of channels that are gone for some time; whether there was any.
    fn drop_gone(&mut self, at: Duration) -> bool {
        let is_gone =
            |probe: &Probe| probe.unlisted.is_some_and(|since| at.saturating_sub(since) >= LAST_SIGHT);
        let before = self.rows.len();
        for index in (0..before).rev() {
            if is_gone(&self.probes[index]) {
                self.probes.swap_remove(index);
                self.rows.swap_remove(index);
            }
        }
        self.rows.len() != before
    }

    /// Looks at as many workers by system calls as the time since the last sample is worth, in turn.
    fn look_at_some(&mut self, at: Duration) {
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
            Err(error) => self.in_trouble(&error),
        }
    }
}

#[cfg(test)]
mod tests;
