//! The report of a run: for people, for programs, and for a bug report.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};

use super::combination::{COMBINATIONS, Combination, Depth};
use super::content::{Forgeries, Sizes};
use super::workers::{Outcome, Results, Size};
use crate::machine::Machine;
use crate::output::{self, Table, print_json, printable, style};

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
    /// It was interrupted.
    Interrupted,
}

/// The result of a run in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Every check succeeded.
    Fine,
    /// The run ended early; until then every check succeeded.
    Unfinished,
    /// A check failed, or checked nothing.
    Wrong,
}

impl Verdict {
    /// The word for programs.
    fn word(self) -> &'static str {
        match self {
            Verdict::Fine => "fine",
            Verdict::Unfinished => "unfinished",
            Verdict::Wrong => "wrong",
        }
    }
}

impl Report {
    pub(super) fn verdict(&self) -> Verdict {
        let is_wrong = self.checks().iter().any(|(_, count)| *count > 0) || self.forgeries.accepted > 0;
        match self.ending {
            _ if is_wrong => Verdict::Wrong,
            Status::Interrupted => Verdict::Unfinished,
            Status::Complete => Verdict::Fine,
        }
    }

    /// All faults apart from the counts: those of the workers, and channels that were tested too
    /// little or starved a reader.
    fn faults(&self) -> Vec<String> {
        let mut faults = self.outcome.faults.clone();
        if self.ending == Status::Complete && self.forgeries.tried == 0 {
            faults.push("no forged payload was tried".into());
        }
        for (combination, results) in COMBINATIONS.iter().zip(&self.outcome.channels) {
            let fault = |text: &str| format!("channel {:?}: {text}", combination.channel);
            faults.extend(starvation(combination, results).map(fault));
            if self.ending == Status::Complete {
                faults.extend(untested(combination, results).map(fault));
            }
        }
        faults
    }

    /// # Errors
    ///
    /// An error of standard output.
    pub(super) fn print(&self, json: bool) -> io::Result<()> {
        if json { print_json(&self.to_json()) } else { self.print_text() }
    }

    fn print_text(&self) -> io::Result<()> {
        let mut out = anstream::stdout().lock();
        for (label, text) in self.machine.rows().into_iter().chain(self.counts()) {
            writeln!(out, "{label:<14}  {}", printable(&text))?;
        }
        writeln!(out)?;
        self.table().print()?;
        writeln!(out)?;
        for (label, count) in self.checks() {
            let style = if count == 0 { style::GOOD } else { style::BAD };
            writeln!(out, "{label:<14}  {style}{count}{style:#}")?;
        }
        for note in self.faults().iter().chain(self.notes()) {
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
        let Results { tally, publications, growths, takeovers } = outcome.total();
        let (writers, readers, seed) = (size.writers, size.readers, self.seed);
        let duration = self.duration.as_secs_f64();
        let snapshots = format!(
            "{}, {} of them of a new publication; {} states of histories",
            tally.snapshots, tally.fresh, tally.history
        );
        vec![
            ("run", format!("{duration:.1} s, {writers} writer and {readers} reader processes, seed {seed}")),
            ("check", format!("refused {} of {} forged payloads", forgeries.refused(), forgeries.tried)),
            ("snapshots", snapshots),
            ("verified", output::bytes(tally.bytes)),
            ("publications", publications.to_string()),
            ("retries", format!("{}; {} snapshots given up", tally.retries, tally.give_ups)),
            ("growths", format!("{growths}; segments mapped {} times", tally.remaps)),
            ("kills", format!("{}; {takeovers} channels taken over", outcome.kills)),
        ]
    }

    /// The counts of each channel.
    fn table(&self) -> Table {
        let numbers = [">snapshots", ">fresh", ">publications", ">growths", ">retries", ">give-ups", ">torn"];
        let mut table = Table::new(["channel"].into_iter().chain(numbers));
        for (combination, Results { tally, publications, growths, .. }) in
            COMBINATIONS.iter().zip(&self.outcome.channels)
        {
            let counts = [tally.snapshots, tally.fresh, *publications, *growths, tally.retries];
            let counts = counts.into_iter().chain([tally.give_ups, tally.torn]);
            let cells = counts.map(|count| count.to_string());
            let cells = [combination.channel.to_owned()].into_iter().chain(cells);
            table.row(cells.map(|cell| (cell, style::PLAIN)));
        }
        table
    }

    /// The counts that must all be 0.
    fn checks(&self) -> [(&'static str, u64); 5] {
        let tally = self.outcome.total().tally;
        [
            ("torn", tally.torn),
            ("backwards", tally.backwards),
            ("failures", tally.failures),
            ("leftovers", self.outcome.leftovers),
            ("faults", self.faults().len() as u64),
        ]
    }

    fn notes(&self) -> impl Iterator<Item = &String> {
        self.outcome.channels.iter().flat_map(|results| &results.tally.notes)
    }

    fn to_json(&self) -> Value {
        let Results { tally, publications, growths, takeovers } = self.outcome.total();
        json!({
            "verdict": self.verdict().word(),
            "machine": self.machine.to_json(),
            "seconds": self.duration.as_secs_f64(),
            "writers": self.size.writers,
            "readers": self.size.readers,
            "seed": self.seed,
            "forgeries": {"tried": self.forgeries.tried, "accepted": self.forgeries.accepted},
            "snapshots": tally.snapshots,
            "fresh": tally.fresh,
            "history": tally.history,
            "bytes": tally.bytes,
            "publications": publications,
            "retries": tally.retries,
            "give_ups": tally.give_ups,
            "growths": growths,
            "remaps": tally.remaps,
            "kills": self.outcome.kills,
            "takeovers": takeovers,
            "torn": tally.torn,
            "backwards": tally.backwards,
            "failures": tally.failures,
            "leftovers": self.outcome.leftovers,
            "faults": self.faults(),
            "notes": self.notes().collect::<Vec<_>>(),
            "channels": self.channels_to_json(),
        })
    }

    fn channels_to_json(&self) -> Value {
        let channels = COMBINATIONS.iter().zip(&self.outcome.channels);
        channels
            .map(|(combination, Results { tally, publications, growths, takeovers })| {
                json!({
                    "channel": combination.channel,
                    "snapshots": tally.snapshots,
                    "fresh": tally.fresh,
                    "history": tally.history,
                    "publications": publications,
                    "growths": growths,
                    "takeovers": takeovers,
                    "retries": tally.retries,
                    "give_ups": tally.give_ups,
                    "torn": tally.torn,
                })
            })
            .collect()
    }
}

/// A reader may give up only if the channel's segments have a single slot.
fn starvation(combination: &Combination, results: &Results) -> Option<&'static str> {
    let starved = combination.depth == Depth::Default && results.tally.give_ups > 0;
    starved.then_some("a reader gave up although the ring has the default depth")
}

/// The part of a channel that a complete run has not tested.
fn untested(combination: &Combination, results: &Results) -> Option<&'static str> {
    let Results { tally, publications, growths, .. } = results;
    if tally.snapshots == 0 || *publications == 0 {
        return Some("nothing was verified");
    }
    (combination.sizes == Sizes::Mixed && *growths == 0).then_some("it never grew")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut outcome = Outcome::new();
        for channel in &mut outcome.channels {
            channel.tally.snapshots = 1;
            channel.publications = 1;
            channel.growths = 1;
        }
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
        let faults: [fn(&mut Report); 10] = [
            |report| report.outcome.channels[1].tally.torn = 1,
            |report| report.outcome.channels[2].tally.backwards = 1,
            |report| report.outcome.channels[3].tally.failures = 1,
            |report| report.outcome.channels[4].tally.snapshots = 0,
            |report| report.outcome.channels[5].publications = 0,
            |report| report.outcome.channels[0].growths = 0,
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
    fn a_reader_may_give_up_on_one_slot_only_and_small_states_need_not_grow() {
        for (index, combination) in COMBINATIONS.iter().enumerate() {
            let mut starved = report();
            starved.outcome.channels[index].tally.give_ups = 1;
            assert_eq!(
                starved.verdict() == Verdict::Fine,
                combination.depth == Depth::One,
                "{combination:?}"
            );
            let mut same_size = report();
            same_size.outcome.channels[index].growths = 0;
            assert_eq!(same_size.verdict() == Verdict::Wrong, combination.sizes == Sizes::Mixed);
        }
    }

    #[test]
    fn an_interrupted_run_is_unfinished_unless_something_is_wrong() {
        let mut report = Report { ending: Status::Interrupted, outcome: Outcome::new(), ..report() };
        assert_eq!(report.verdict(), Verdict::Unfinished);
        report.outcome.channels[0].tally.torn = 1;
        assert_eq!(report.verdict(), Verdict::Wrong);
    }
}
