//! The trace of an operation: the places where a victim can be killed, and a fast way to each.
//!
//! Stepping from the beginning to step k takes k stops of the child, and a stop may take 20 µs on a
//! virtual machine. A few stops reach the same place: past the system calls before it, then by a
//! breakpoint to an instruction at or before it that the child has passed seldom since, then by
//! single steps. The test checks that the child is at the place.

use std::collections::HashMap;

/// The bytes of the instruction `syscall`. At the beginning of a system call the child is stopped
/// behind this instruction.
const SYSCALL_LEN: u64 = 2;

/// The cost of one more pass of a breakpoint, counted in steps.
const PASS_COST: u64 = 4;

/// The child's position after it has run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// In the middle of the operation.
    Within,
    /// In the middle of the operation, but not on the recorded trace.
    Astray,
    /// At the mark behind the operation.
    End,
}

impl Position {
    /// Continues with `go_on` if the child is within the operation.
    pub(crate) fn and(self, go_on: impl FnOnce() -> Position) -> Position {
        if self == Position::Within { go_on() } else { self }
    }
}

/// A place in an operation, by the way that leads to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Point {
    /// Beginnings and ends of system calls to pass.
    pub(crate) stops: usize,
    /// The instruction to run to after that.
    pub(crate) landmark: Option<Landmark>,
    /// The single steps to make after that.
    pub(crate) steps: u64,
    /// The address at which the child must be after that, if it is known.
    pub(crate) address: Option<u64>,
}

/// An instruction, and how often the child passes it before it is at the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Landmark {
    pub(crate) address: u64,
    pub(crate) passes: u64,
}

impl Point {
    /// The place after `steps` single steps from the beginning.
    pub(crate) fn after(steps: u64) -> Point {
        Point { steps, ..Point::default() }
    }
}

/// The instructions of one run from mark to mark. A system call is one instruction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace {
    addresses: Vec<u64>,
    /// For each instruction, how often it was executed before, since the last system call.
    passes: Vec<u64>,
    since_call: HashMap<u64, u64>,
    /// The number of instructions executed at the return of each system call.
    system_calls: Vec<u64>,
}

impl Trace {
    /// Adds an executed instruction.
    pub(crate) fn push(&mut self, address: u64, is_system_call: bool) {
        let passes = self.since_call.entry(address).or_default();
        self.passes.push(*passes);
        *passes += 1;
        self.addresses.push(address);
        if is_system_call {
            self.system_calls.push(self.steps());
            self.since_call.clear();
        }
    }

    /// The number of instructions.
    pub(crate) fn steps(&self) -> u64 {
        self.addresses.len() as u64
    }

    /// The number of system calls.
    pub(crate) fn system_calls(&self) -> usize {
        self.system_calls.len()
    }

    /// The steps to kill after: right before and right after each system call, and about `samples`
    /// places, evenly from the beginning to the end. Every instruction if there are no more than
    /// that.
    pub(crate) fn sample(&self, samples: u64) -> Vec<u64> {
        let samples = samples.clamp(1, self.steps().max(1));
        let even = (0..samples).map(|sample| sample * self.steps() / samples);
        let calls = self.system_calls.iter().flat_map(|after| [after - 1, *after]);
        let mut steps = even.chain(calls).collect::<Vec<_>>();
        steps.sort_unstable();
        steps.dedup();
        steps
    }

    /// The place after `step` instructions.
    pub(crate) fn point(&self, step: u64) -> Point {
        let calls = self.system_calls.partition_point(|after| *after <= step);
        if self.system_calls.get(calls) == Some(&(step + 1)) {
            // At the beginning of a system call. A kill there prevents the call.
            let address = self.addresses[index(step)] + SYSCALL_LEN;
            return Point { stops: 2 * calls + 1, address: Some(address), ..Point::default() };
        }
        let begin = calls.checked_sub(1).map_or(0, |last| self.system_calls[last]);
        let address = self.addresses.get(index(step)).copied();
        let way = Point { stops: 2 * calls, landmark: None, steps: step - begin, address };
        let cost = |at: u64| PASS_COST * (self.passes[index(at)] + 1) + step - at;
        let best = (begin + 1..=step.min(self.steps().saturating_sub(1))).min_by_key(|at| cost(*at));
        match best.filter(|at| cost(*at) < way.steps) {
            None => way,
            Some(at) => {
                let landmark =
                    Landmark { address: self.addresses[index(at)], passes: self.passes[index(at)] };
                Point { landmark: Some(landmark), steps: step - at, ..way }
            }
        }
    }
}

fn index(step: u64) -> usize {
    usize::try_from(step).expect("it was counted in memory")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thousand instructions, with system calls at the 10th and the 500th and a loop of ten in
    /// between.
    fn trace() -> Trace {
        let mut trace = Trace::default();
        for step in 0..1_000 {
            let address = if (100..400).contains(&step) { 100 + step % 10 } else { step };
            trace.push(address, step == 9 || step == 499);
        }
        trace
    }

    #[test]
    fn points_are_even_and_around_every_system_call() {
        let trace = trace();
        assert_eq!(trace.sample(4), [0, 9, 10, 250, 499, 500, 750]);
        let stops = trace.sample(4).into_iter().map(|step| trace.point(step).stops).collect::<Vec<_>>();
        assert_eq!(stops, [0, 1, 2, 2, 3, 4, 4]);
        assert_eq!(trace.sample(u64::MAX).len(), 1_000, "every one");
    }

    #[test]
    fn the_path_to_a_point_is_short_and_leads_to_it() {
        let trace = trace();
        for step in 10..499 {
            let point = trace.point(step);
            let Some(landmark) = point.landmark else {
                assert_eq!(step, 10 + point.steps);
                continue;
            };
            let mut passed = (10..499).filter(|at| trace.addresses[index(*at)] == landmark.address);
            let at = passed.nth(index(landmark.passes)).unwrap();
            assert_eq!(at + point.steps, step);
            assert!(point.steps <= 200 && landmark.passes <= 30, "{point:?}");
        }
        assert_eq!(trace.point(800).landmark, Some(Landmark { address: 800, passes: 0 }));
    }
}
