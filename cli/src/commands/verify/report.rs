//! What a run came to, for people and to attach to a report of a bug.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};

use super::content::Forgeries;
use super::workers::{Outcome, Size};
use crate::machine::Machine;
use crate::output::{self, print_json, printable, style};

/// A whole run.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) machine: Machine,
    pub(super) size: Size,
    pub(super) seed: u64,
    pub(super) duration: Duration,
    pub(super) ending: Status,
    pub(super) forgeries: Forgeries,
    pub(super) outcome: Outcome,
}

/// Why the run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// The time was over.
    Complete,
    /// It was asked to end.
    Interrupted,
}

/// What a run says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Everything that was looked at is in order.
    Fine,
    /// It ended early; up to then all was in order.
    Unfinished,
    /// Something is wrong.
    Wrong,
}

impl Report {
    pub(super) fn verdict(&self) -> Verdict {
        let Outcome { tally, leftovers, faults, .. } = &self.outcome;
        let wrong = [tally.torn, tally.backwards, tally.failures, *leftovers, self.forgeries.accepted];
        if wrong.iter().any(|count| *count > 0) || !faults.is_empty() {
            return Verdict::Wrong;
        }
        match self.ending {
            Status::Interrupted => Verdict::Unfinished,
            // Then nothing was verified.
            Status::Complete if tally.snapshots == 0 || self.forgeries.tried == 0 => Verdict::Wrong,
            Status::Complete => Verdict::Fine,
        }
    }

    /// # Errors
    ///
    /// Of standard output.
    pub(super) fn print(&self, json: bool) -> io::Result<()> {
        if json { print_json(&self.to_json()) } else { self.print_text() }
    }

    fn print_text(&self) -> io::Result<()> {
        let mut out = anstream::stdout().lock();
        for (label, text) in self.machine.rows().into_iter().chain(self.counts()) {
            writeln!(out, "{label:<14}  {}", printable(&text))?;
        }
        for (label, count) in self.faults() {
            let style = if count == 0 { style::GOOD } else { style::BAD };
            writeln!(out, "{label:<14}  {style}{count}{style:#}")?;
        }
        for note in self.outcome.faults.iter().chain(&self.outcome.tally.notes) {
            writeln!(out, "  {}", printable(note))?;
        }
        let (style, text) = match self.verdict() {
            Verdict::Fine => (style::GOOD, "nothing is wrong"),
            Verdict::Unfinished => (style::ODD, "interrupted; up to then nothing was wrong"),
            Verdict::Wrong => (style::BAD, "SOMETHING IS WRONG: please report it, with all of the above"),
        };
        writeln!(out, "{style}{text}{style:#}")
    }

    fn counts(&self) -> Vec<(&'static str, String)> {
        let Report { size, outcome, forgeries, .. } = self;
        let tally = &outcome.tally;
        let (writers, readers, seed) = (size.writers, size.readers, self.seed);
        let duration = self.duration.as_secs_f64();
        vec![
            ("run", format!("{duration:.1} s, {writers} writer and {readers} reader processes, seed {seed}")),
            ("check", format!("refused {} of {} forged payloads", forgeries.refused(), forgeries.tried)),
            ("snapshots", format!("{}, and {} of histories", tally.snapshots, tally.history)),
            ("verified", output::bytes(tally.bytes)),
            ("publications", outcome.publications.to_string()),
            ("retries", format!("{}; {} snapshots given up", tally.retries, tally.give_ups)),
            ("growths", format!("{}; segments mapped {} times", outcome.growths, tally.remaps)),
            ("kills", format!("{}; {} channels taken over", outcome.kills, outcome.takeovers)),
        ]
    }

    /// What must all be 0.
    fn faults(&self) -> [(&'static str, u64); 5] {
        let Outcome { tally, leftovers, faults, .. } = &self.outcome;
        [
            ("torn", tally.torn),
            ("backwards", tally.backwards),
            ("failures", tally.failures),
            ("leftovers", *leftovers),
            ("faults", faults.len() as u64),
        ]
    }

    fn to_json(&self) -> Value {
        let Outcome { tally, publications, growths, takeovers, kills, leftovers, faults } = &self.outcome;
        json!({
            "verdict": match self.verdict() {
                Verdict::Fine => "fine",
                Verdict::Unfinished => "unfinished",
                Verdict::Wrong => "wrong",
            },
            "machine": self.machine.to_json(),
            "seconds": self.duration.as_secs_f64(),
            "writers": self.size.writers,
            "readers": self.size.readers,
            "seed": self.seed,
            "forgeries": {"tried": self.forgeries.tried, "accepted": self.forgeries.accepted},
            "snapshots": tally.snapshots,
            "history": tally.history,
            "bytes": tally.bytes,
            "publications": publications,
            "retries": tally.retries,
            "give_ups": tally.give_ups,
            "growths": growths,
            "remaps": tally.remaps,
            "kills": kills,
            "takeovers": takeovers,
            "torn": tally.torn,
            "backwards": tally.backwards,
            "failures": tally.failures,
            "leftovers": leftovers,
            "faults": faults,
            "notes": tally.notes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut outcome = Outcome::default();
        outcome.tally.snapshots = 1;
        Report {
            machine: Machine::look(),
            size: Size { writers: 1, readers: 1 },
            seed: 0,
            duration: Duration::from_secs(1),
            ending: Status::Complete,
            forgeries: Forgeries { tried: 1, accepted: 0 },
            outcome,
        }
    }

    #[test]
    fn every_fault_makes_the_verdict_wrong() {
        assert_eq!(report().verdict(), Verdict::Fine);
        let faults: [fn(&mut Report); 8] = [
            |report| report.outcome.tally.torn = 1,
            |report| report.outcome.tally.backwards = 1,
            |report| report.outcome.tally.failures = 1,
            |report| report.outcome.tally.snapshots = 0,
            |report| report.outcome.leftovers = 1,
            |report| report.outcome.faults.push("why".into()),
            |report| report.forgeries.accepted = 1,
            |report| report.forgeries.tried = 0,
        ];
        for (index, fault) in faults.into_iter().enumerate() {
            let mut report = report();
            fault(&mut report);
            assert_eq!(report.verdict(), Verdict::Wrong, "fault {index}");
        }
    }

    #[test]
    fn an_interrupted_run_is_unfinished_unless_something_is_wrong() {
        let mut report = Report { ending: Status::Interrupted, ..report() };
        assert_eq!(report.verdict(), Verdict::Unfinished);
        report.outcome.tally.torn = 1;
        assert_eq!(report.verdict(), Verdict::Wrong);
    }
}
