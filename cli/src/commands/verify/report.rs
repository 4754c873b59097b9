//! The report of a run: for people, for programs, and for a bug report.

use std::io::{self, Write};

use serde::Serialize;

use super::combination::{COMBINATIONS, Combination};
use super::content::{Forgeries, Sizes};
use super::tally::Tally;
use super::workers::{Outcome, Size};
use crate::machine::Machine;
use crate::output::{self, Table, plain, printable, style};

/// The circumstances of a run.
#[derive(Debug, Serialize)]
pub(super) struct Run {
    pub(super) machine: Machine,
    pub(super) seconds: f64,
    #[serde(flatten)]
    pub(super) size: Size,
    pub(super) seed: u64,
    pub(super) forgeries: Forgeries,
    /// Whether it was not interrupted.
    #[serde(skip)]
    pub(super) is_complete: bool,
}

/// A whole run. The help documents its JSON form.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) verdict: Verdict,
    #[serde(flatten)]
    run: Run,
    /// The sum over all channels.
    #[serde(flatten)]
    total: Tally,
    kills: u64,
    leftovers: u64,
    faults: Vec<String>,
    channels: Vec<Channel>,
}

#[derive(Debug, Serialize)]
struct Channel {
    channel: &'static str,
    #[serde(flatten)]
    tally: Tally,
}

/// The result of a run in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// Every check succeeded.
    Fine,
    /// The run ended early; until then every check succeeded.
    Unfinished,
    /// A check failed, or checked nothing.
    Wrong,
}

impl Report {
    /// Judges a run.
    pub(super) fn new(run: Run, outcome: Outcome) -> Report {
        let Outcome { channels: tallies, kills, leftovers, mut faults } = outcome;
        if run.is_complete && run.forgeries.tried == 0 {
            faults.push("no forged payload was tried".into());
        }
        let (mut total, mut channels) = (Tally::default(), Vec::new());
        for (combination, tally) in COMBINATIONS.iter().zip(tallies) {
            let untested = if run.is_complete { untested(combination, &tally) } else { None };
            let found = starvation(combination, &tally).into_iter().chain(untested);
            faults.extend(found.map(|text| format!("channel {:?}: {text}", combination.channel)));
            total += &tally;
            channels.push(Channel { channel: combination.channel, tally });
        }
        let verdict = if run.is_complete { Verdict::Fine } else { Verdict::Unfinished };
        let mut report = Report { verdict, run, total, kills, leftovers, faults, channels };
        if report.checks().iter().any(|(_, count)| *count > 0) || report.run.forgeries.accepted > 0 {
            report.verdict = Verdict::Wrong;
        }
        report
    }

    /// Prints it for people.
    pub(super) fn print(&self) -> io::Result<()> {
        let mut out = anstream::stdout().lock();
        for (label, text) in self.run.machine.rows().into_iter().chain(self.counts()) {
            writeln!(out, "{label:<14}  {}", printable(&text))?;
        }
        writeln!(out)?;
        self.table().print()?;
        writeln!(out)?;
        for (label, count) in self.checks() {
            let style = if count == 0 { style::GOOD } else { style::BAD };
            writeln!(out, "{label:<14}  {style}{count}{style:#}")?;
        }
        for note in self.faults.iter().chain(&self.total.notes) {
            writeln!(out, "  {}", printable(note))?;
        }
        let (style, text) = match self.verdict {
            Verdict::Fine => (style::GOOD, "nothing is wrong"),
            Verdict::Unfinished => (style::ODD, "interrupted; up to then nothing was wrong"),
            Verdict::Wrong => (style::BAD, "SOMETHING IS WRONG: please report it, with all of the above"),
        };
        writeln!(out, "{style}{text}{style:#}")
    }

    fn counts(&self) -> Vec<(&'static str, String)> {
        let Report { run, total, kills, .. } = self;
        let Run { seconds, size: Size { writers, readers }, seed, forgeries, .. } = run;
        let Forgeries { tried, accepted } = forgeries;
        let snapshots = format!(
            "{}, {} of them of a new publication; {} states of histories",
            total.snapshots, total.fresh, total.history
        );
        let views = format!("{}, {} of them in place", total.views, total.views_in_place);
        vec![
            ("run", format!("{seconds:.1} s, {writers} writer and {readers} reader processes, seed {seed}")),
            ("check", format!("refused {} of {tried} forged payloads", tried - accepted)),
            ("snapshots", snapshots),
            ("views", views),
            ("verified", output::bytes(total.bytes)),
            ("publications", total.publications.to_string()),
            ("retries", format!("{}; {} snapshots given up", total.retries, total.give_ups)),
            ("growths", format!("{}; segments mapped {} times", total.growths, total.remaps)),
            ("kills", format!("{kills}; {} channels taken over", total.takeovers)),
        ]
    }

    /// The counts of each channel.
    fn table(&self) -> Table {
        let numbers = [">snapshots", ">fresh", ">publications", ">growths", ">retries", ">give-ups", ">torn"];
        let rows = self.channels.iter().map(|Channel { channel, tally }| {
            let counts = [tally.snapshots, tally.fresh, tally.publications, tally.growths, tally.retries];
            let counts = counts.into_iter().chain([tally.give_ups, tally.torn]);
            [(*channel).to_owned()].into_iter().chain(counts.map(|count| count.to_string())).map(plain)
        });
        Table::new(["channel"].into_iter().chain(numbers), rows)
    }

    /// The counts that must all be 0.
    fn checks(&self) -> [(&'static str, u64); 5] {
        [
            ("torn", self.total.torn),
            ("backwards", self.total.backwards),
            ("failures", self.total.failures),
            ("leftovers", self.leftovers),
            ("faults", self.faults.len() as u64),
        ]
    }
}

/// A reader may give up only if the channel's segments have a single slot.
fn starvation(combination: &Combination, tally: &Tally) -> Option<&'static str> {
    let starved = combination.slots.is_none() && tally.give_ups > 0;
    starved.then_some("a reader gave up although the ring has the default depth")
}

/// The part of a channel that a complete run has not tested.
fn untested(combination: &Combination, tally: &Tally) -> Option<&'static str> {
    if tally.snapshots == 0 || tally.publications == 0 {
        return Some("nothing was verified");
    }
    if combination.pins > 0 && tally.views_in_place == 0 {
        return Some("no view was in place");
    }
    (combination.sizes == Sizes::Mixed && tally.growths == 0).then_some("it never grew")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The verdict on a run that would be fine without the fault.
    fn verdict(is_complete: bool, fault: impl FnOnce(&mut Outcome, &mut Forgeries)) -> Verdict {
        let tally =
            Tally { snapshots: 1, views_in_place: 1, publications: 1, growths: 1, ..Tally::default() };
        let mut outcome = Outcome { channels: std::array::from_fn(|_| tally.clone()), ..Outcome::default() };
        let mut forgeries = Forgeries { tried: 1, accepted: 0 };
        fault(&mut outcome, &mut forgeries);
        let directory = crate::directory::Directory::default();
        let (machine, size) = (Machine::look(&directory), Size { writers: 1, readers: 1 });
        Report::new(Run { machine, seconds: 1.0, size, seed: 0, forgeries, is_complete }, outcome).verdict
    }

    #[test]
    fn every_fault_makes_the_verdict_wrong() {
        assert_eq!(verdict(true, |_, _| {}), Verdict::Fine);
        let pinned = COMBINATIONS.iter().position(|it| it.pins > 0).unwrap();
        assert_eq!(verdict(true, |outcome, _| outcome.channels[pinned].views_in_place = 0), Verdict::Wrong);
        let faults: [fn(&mut Outcome, &mut Forgeries); 10] = [
            |outcome, _| outcome.channels[1].torn = 1,
            |outcome, _| outcome.channels[2].backwards = 1,
            |outcome, _| outcome.channels[3].failures = 1,
            |outcome, _| outcome.channels[4].snapshots = 0,
            |outcome, _| outcome.channels[5].publications = 0,
            |outcome, _| outcome.channels[0].growths = 0,
            |outcome, _| outcome.leftovers = 1,
            |outcome, _| outcome.faults.push("why".into()),
            |_, forgeries| forgeries.accepted = 1,
            |_, forgeries| forgeries.tried = 0,
        ];
        for (index, fault) in faults.into_iter().enumerate() {
            assert_eq!(verdict(true, fault), Verdict::Wrong, "fault {index}");
        }
    }

    #[test]
    fn a_reader_may_give_up_on_one_slot_only_and_small_states_need_not_grow() {
        for (index, combination) in COMBINATIONS.iter().enumerate() {
            let starved = verdict(true, |outcome, _| outcome.channels[index].give_ups = 1);
            assert_eq!(starved == Verdict::Fine, combination.slots.is_some(), "{combination:?}");
            let same_size = verdict(true, |outcome, _| outcome.channels[index].growths = 0);
            assert_eq!(same_size == Verdict::Wrong, combination.sizes == Sizes::Mixed);
        }
    }

    #[test]
    fn an_interrupted_run_is_unfinished_unless_something_is_wrong() {
        assert_eq!(verdict(false, |outcome, _| *outcome = Outcome::default()), Verdict::Unfinished);
        let torn = |outcome: &mut Outcome, _: &mut Forgeries| {
            *outcome = Outcome::default();
            outcome.channels[0].torn = 1;
        };
        assert_eq!(verdict(false, torn), Verdict::Wrong);
    }
}
