//! The protocol under the explorer.

use super::explorer::{Explorer, Log, Oracle, Recorder};
use super::world::{Author, Follower, Plan, Step, World};
use super::{Fault, Seen, Verdict, Weakened};
use crate::seqlock::WakeMode;

use Step::{Drop, Grow, GrowDrop, GrowLoan, Loan, Publish};

/// One writer, and optionally a second one after its death, against a reader.
#[derive(Clone, Copy)]
struct Race {
    plan: Plan,
    /// Publications that are pinned before they exist.
    pinned: &'static [u64],
    steps: &'static [Step],
    attempts: usize,
}

/// The writer dies after this many stores.
#[derive(Clone, Copy)]
struct Death {
    after: usize,
    /// Steps of a successor, if there is one.
    successor: Option<&'static [Step]>,
}

struct Recording {
    world: World<Recorder>,
    log: Log,
    /// Stores before the reader began.
    before: usize,
}

impl Recording {
    /// A channel that was made, and publications that were pinned, before its readers.
    fn founded(plan: Plan, pinned: &[u64]) -> Recording {
        let log = Log::default();
        let world = World::new(plan, |words| log.object(words));
        world.found();
        world.pin(pinned);
        Recording { world, before: log.len(), log }
    }

    fn check(&self, reader: impl Fn(&World<Oracle>, &Seen) -> Result<(), Fault>) -> Verdict {
        let explorer = Explorer::new(&self.log);
        let world = self.world.map(|recorder| explorer.oracle(recorder));
        let seen = Seen::default();
        let (executions, fault) = explorer.explore(self.before, || {
            reader(&world, &seen)?;
            explorer.everything_happened();
            Follower::attached(&world, &Seen::default()).conclude()
        });
        let seen = seen.lock().expect("no panic while it is held").clone();
        Verdict { executions, preemptions: None, fault, seen }
    }
}

impl Race {
    fn record(self, death: Option<Death>) -> Recording {
        let recording = Recording::founded(self.plan, self.pinned);
        Author::take_over(&recording.world).run(self.steps);
        if let Some(Death { after, successor }) = death {
            recording.log.die_after(recording.before + after);
            if let Some(steps) = successor {
                Author::take_over(&recording.world).run(steps);
            }
        }
        recording
    }

    fn check(self, death: Option<Death>) -> Verdict {
        let recording = self.record(death);
        recording.check(|world, seen| Follower::attached(world, seen).follow(self.attempts))
    }

    /// Number of stores that the writer makes.
    fn stores(self) -> usize {
        let recording = self.record(None);
        recording.log.len() - recording.before
    }

    fn check_all_deaths(self, name: &str, successor: Option<&'static [Step]>) -> Verdict {
        let deaths = (0..=self.stores()).map(|after| Death { after, successor });
        Verdict::of_all_deaths(name, deaths.map(|death| self.check(Some(death))))
    }

    fn without(self, weakened: Weakened) -> Race {
        Race { plan: Plan { weakened, ..self.plan }, ..self }
    }
}

const PLAIN: Plan = Plan {
    weakened: Weakened::Nothing,
    depths: &[1, 1],
    generations: 1,
    words: 2,
    pins: 0,
    viewers: WakeMode::Never,
};
const BASE: Race = Race { plan: PLAIN, pinned: &[], steps: &[Publish; 3], attempts: 1 };
const RING: Race = Race { plan: Plan { depths: &[2, 2], ..PLAIN }, steps: &[Publish; 5], ..BASE };
/// Side A grows, later B, then A again. The rings have other depths each time.
const GROWTH: Race = Race {
    plan: Plan { depths: &[1, 1, 2, 2, 1, 2], generations: 3, ..PLAIN },
    steps: &[Publish, Grow(2), Grow(3), Grow(4)],
    attempts: 3,
    ..BASE
};

#[test]
fn publications_against_attempts() {
    BASE.check(None).holds("explorer, base 3", 1..=3);
    Race { steps: &[Publish; 6], ..BASE }.check(None).holds("explorer, base 6", 1..=6);
    Race { attempts: 2, ..BASE }.check(None).holds("explorer, base 3, two attempts", 1..=3);
}

#[test]
fn a_ring_that_comes_round() {
    RING.check(None).holds("explorer, ring 5", 1..=5);
    Race { attempts: 2, ..RING }.check(None).holds("explorer, ring 5, two attempts", 1..=5);
}

#[test]
fn growth() {
    GROWTH.check(None).holds("explorer, growth", 1..=4);
}

#[test]
fn each_ordering_is_necessary() {
    for weakened in Weakened::PROTOCOL {
        for (name, race) in [("base", BASE), ("ring", RING)] {
            let verdict = race.without(weakened).check(None);
            verdict.fails(&format!("explorer, {name} without {weakened:?}"), Fault::is_torn);
        }
    }
}

/// Loans that are dropped overwrite what their slots held, and other loans and publications
/// overwrite that.
const LOANS: Race = Race { steps: &[Loan, Publish, Drop, Drop, Loan, Publish, Drop], ..BASE };
const LOANS_IN_RINGS: Race =
    Race { steps: &[Loan, Publish, Publish, Loan, Drop, Loan, Drop, Publish], ..RING };
/// A loan for which side A grows is dropped, then a smaller one is published, then a larger one.
const GROWN_LOANS: Race =
    Race { steps: &[Publish, GrowDrop(2), Loan, GrowDrop(3), GrowLoan(5), GrowLoan(4)], ..GROWTH };

#[test]
fn loans_and_dropped_loans_against_attempts() {
    LOANS.check(None).holds("explorer, loans", 1..=4);
    let race = Race { steps: &[Publish, Loan, Drop, Loan], attempts: 2, ..BASE };
    race.check(None).holds("explorer, loans, two attempts", 1..=3);
    LOANS_IN_RINGS.check(None).holds("explorer, loans in rings", 1..=6);
    GROWN_LOANS.check(None).holds("explorer, grown loans", 1..=4);
    let recording = LOANS_IN_RINGS.record(None);
    let verdict = recording.check(|world, seen| Follower::attached(world, seen).follow_back(1));
    verdict.holds("explorer, history across loans", 1..=6);
}

/// Nothing but a loan that is dropped is stored where a publication was: only its own fence keeps
/// readers of that one from taking what it was filled with.
#[test]
fn a_dropped_loan_needs_its_fence() {
    let race = Race { steps: &[Publish, Publish, Drop], ..BASE };
    race.check(None).holds("explorer, a dropped loan", 1..=2);
    for weakened in [Weakened::W2, Weakened::R4] {
        let verdict = race.without(weakened).check(None);
        verdict.fails(&format!("explorer, a dropped loan without {weakened:?}"), Fault::is_torn);
    }
    for weakened in Weakened::PROTOCOL {
        let verdict = LOANS.without(weakened).check(None);
        verdict.fails(&format!("explorer, loans without {weakened:?}"), Fault::is_torn);
    }
}

/// Each writer dies after any of its stores; the second begins its number again, by another loan,
/// another publication, or in another segment.
#[test]
fn a_successor_begins_a_loan_again_after_any_store() {
    let mortal: [&[Step]; 4] = [
        &[Publish, Publish, Drop, Loan],
        &[Loan, Loan, Drop],
        &[Publish, GrowDrop(2), Drop, GrowLoan(3)],
        &[Publish, GrowLoan(2), Drop],
    ];
    let successors: [&[Step]; 4] = [&[Loan], &[Drop, Publish], &[GrowDrop(4), Loan], &[GrowLoan(4), Publish]];
    for (index, steps) in mortal.into_iter().enumerate() {
        let race = Race { steps, attempts: 2, ..GROWTH };
        let published = |steps: &[Step]| steps.iter().filter(|it| !matches!(it, Drop | GrowDrop(_))).count();
        for successor in successors {
            let name = format!("explorer, death {index} of a lender, then {successor:?}");
            let last = published(steps) + published(successor);
            race.check_all_deaths(&name, Some(successor)).holds(&name, 1..=last as u64);
        }
    }
}

/// Two publications and a growth, of either side, and a growth between publications.
const MORTAL: [Race; 3] = [
    Race { steps: &[Publish, Publish, Grow(2)], ..GROWTH },
    Race { steps: &[Publish, Grow(2), Publish], ..GROWTH },
    Race { steps: &[Publish, Grow(2), Grow(3)], ..GROWTH },
];

#[test]
fn a_writer_that_dies_after_any_store_leaves_what_it_published() {
    for (index, race) in MORTAL.into_iter().enumerate() {
        let name = format!("explorer, death {index}");
        race.check_all_deaths(&name, None).holds(&name, 1..=3);
    }
}

#[test]
fn a_successor_resumes_after_any_store() {
    let successors: [&[Step]; 4] =
        [&[Publish], &[Publish, Publish], &[Grow(4), Publish], &[Publish, Grow(4), Grow(5)]];
    for (index, race) in MORTAL.into_iter().enumerate() {
        for steps in successors {
            let name = format!("explorer, death {index}, then {steps:?}");
            race.check_all_deaths(&name, Some(steps)).holds(&name, 1..=3 + steps.len() as u64);
        }
    }
}

/// Each writer but the last dies after any of its stores. The first finishes a slot that the second
/// takes back, or does not reach any more; the third uses the number for a third segment.
#[test]
fn a_second_successor_resumes_after_any_store_of_the_first() {
    let plan = Plan { depths: &[1, 1, 2, 2, 1, 2], generations: 4, ..PLAIN };
    let mut executions = 0;
    for steps in [[Publish, Publish], [Publish, Grow(2)]] {
        for first in 0.. {
            let mut is_last = false;
            for second in 0.. {
                let Recording { world, log, before } = Recording::founded(plan, &[]);
                Author::take_over(&world).run(&steps);
                is_last = before + first > log.len();
                log.die_after(before + first);
                let begin = log.len();
                Author::take_over(&world).run(&[Grow(3), Publish]);
                let is_over = begin + second > log.len();
                log.die_after(begin + second);
                Author::take_over(&world).run(&[Grow(4)]);
                let recording = Recording { world, log, before };
                let verdict = recording.check(|world, seen| Follower::attached(world, seen).follow_back(1));
                assert_eq!(verdict.fault, None, "dead after {first} and {second} stores");
                executions += verdict.executions;
                if is_over {
                    break;
                }
            }
            if is_last {
                break;
            }
        }
    }
    println!("explorer, two deaths, then a growth: {executions} executions, exhaustive");
}

#[test]
fn a_history_across_growths_is_what_was_published() {
    let recording = GROWTH.record(None);
    let verdict = recording.check(|world, seen| Follower::attached(world, seen).follow_back(3));
    verdict.holds("explorer, history across growths", 1..=4);
}

#[test]
fn a_successor_must_void_what_was_not_announced() {
    let race = Race { steps: &[Publish; 3], ..GROWTH }.without(Weakened::Void);
    let successor: Option<&[Step]> = Some(&[Grow(4)]);
    let dead_before_w5 = (0..=race.stores()).map(|after| race.check(Some(Death { after, successor })));
    let verdicts: Vec<_> = dead_before_w5.filter(|verdict| verdict.fault.is_some()).collect();
    assert!(!verdicts.is_empty());
    for verdict in verdicts {
        verdict.fails("explorer, death, then a growth without voiding", Fault::is_torn);
    }
}

/// The creator writes the header and publishes, against a reader that attaches at the same time.
fn first_attach(weakened: Weakened) -> Verdict {
    let log = Log::default();
    let world = World::new(Plan { weakened, ..PLAIN }, |words| log.object(words));
    world.found();
    world.write_header();
    Author::take_over(&world).run(&[Publish; 3]);
    Recording { world, log, before: 0 }.check(|world, seen| Follower::attached(world, seen).attach(3))
}

#[test]
fn first_attach_against_first_publications() {
    first_attach(Weakened::Nothing).holds("explorer, first attach", 1..=3);
}

#[test]
fn both_orderings_of_the_ready_word_are_necessary() {
    for weakened in Weakened::READY {
        let verdict = first_attach(weakened);
        verdict.fails(&format!("explorer, first attach without {weakened:?}"), |fault| {
            fault == Fault::HalfWritten
        });
    }
}

/// Publications 1 to 6 in rings of one slot with a spare one. A reader keeps the second.
const PINNED: Race = Race {
    plan: Plan { pins: 1, words: 1, ..PLAIN },
    pinned: &[2],
    steps: &[Publish, Publish, Publish, Drop, Publish, Publish, Publish],
    attempts: 1,
};
/// Two pins in rings of two slots, one of them on either side.
const PINNED_IN_RINGS: Race = Race {
    plan: Plan { pins: 2, depths: &[2, 2], ..PINNED.plan },
    pinned: &[2, 3],
    steps: &[Publish, Publish, Publish, Publish, Publish, Drop, Publish, Publish],
    attempts: 1,
};
/// Side A grows while its first publication is pinned.
const PINNED_AND_GROWN: Race = Race {
    plan: Plan { depths: &[1, 1, 2, 1], generations: 3, ..PINNED.plan },
    steps: &[Publish, Publish, Publish, Grow(2), Publish, GrowLoan(3)],
    attempts: 2,
    ..PINNED
};

impl Race {
    /// The reader views what is pinned.
    fn view(self, death: Option<Death>) -> Verdict {
        let recording = self.record(death);
        recording.check(|world, seen| {
            let mut follower = Follower::attached(world, seen);
            self.pinned.iter().try_for_each(|publication| follower.view_pinned(*publication))
        })
    }
}

#[test]
fn pinned_publications_stay_and_copies_are_whole_beside_them() {
    let races =
        [("pinned", PINNED, 6), ("pinned in rings", PINNED_IN_RINGS, 7), ("grown", PINNED_AND_GROWN, 6)];
    for (name, race, last) in races {
        race.check(None).holds(&format!("explorer, copies beside pins, {name}"), 1..=last);
        race.view(None).holds(&format!("explorer, views, {name}"), race.pinned.iter().copied());
        for weakened in Weakened::PROTOCOL {
            let verdict = race.without(weakened).check(None);
            verdict.fails(&format!("explorer, {name} without {weakened:?}"), Fault::is_torn);
        }
    }
    let race = Race { attempts: 2, steps: &[Publish; 4], ..PINNED };
    race.check(None).holds("explorer, copies beside pins, two attempts", 1..=4);
}

/// Copying readers and views, with a death after each store, and each kind of successor.
#[test]
fn pinned_publications_stay_after_a_death_at_any_store() {
    let successors: [&[Step]; 4] =
        [&[Publish; 3], &[Drop, Loan, Publish], &[Grow(2), Publish], &[Publish, GrowLoan(3)]];
    let plan = Plan { depths: &[1, 1, 2, 1], generations: 3, ..PINNED.plan };
    let mortal: [(&str, &[Step]); 2] =
        [("publications", &[Publish; 4]), ("a drop", &[Publish, Publish, Publish, Drop])];
    for (name, steps) in mortal {
        let race = Race { plan, steps, ..PINNED };
        for successor in successors {
            let name = format!("explorer, pinned, death in {name}, then {successor:?}");
            let deaths = (0..=race.stores()).map(|after| Death { after, successor: Some(successor) });
            for death in deaths {
                for verdict in [race.check(Some(death)), race.view(Some(death))] {
                    assert_eq!(verdict.fault, None, "{name}, after {}", death.after);
                }
            }
        }
    }
}

/// Nothing is pinned, and the writers publish as without pins.
#[test]
fn publications_that_no_reader_pins_are_copied_after_a_death_at_any_store() {
    let plan = Plan { viewers: WakeMode::Fences, ..PINNED_AND_GROWN.plan };
    let race = Race { plan, pinned: &[], ..PINNED_AND_GROWN };
    race.check(None).holds("explorer, unviewed", 1..=6);
    for weakened in Weakened::PROTOCOL {
        let verdict = race.without(weakened).check(None);
        verdict.fails(&format!("explorer, unviewed without {weakened:?}"), Fault::is_torn);
    }
    let race = Race { steps: &[Publish, Publish, Drop, Publish], ..race };
    let successors: [(&[Step], u64); 2] = [(&[Publish; 3], 6), (&[Drop, Loan, Publish], 5)];
    for (steps, last) in successors {
        let name = format!("explorer, unviewed, death, then {steps:?}");
        race.check_all_deaths(&name, Some(steps)).holds(&name, 1..=last);
    }
}

/// Its successor takes the slot for one that holds nothing, and overwrites what is pinned.
#[test]
fn a_writer_must_mark_a_slot_as_that_of_what_it_holds() {
    let race = Race { steps: &[Publish; 4], ..PINNED }.without(Weakened::X1OfNext);
    race.view(None).holds("explorer, views, another mark, without a death", [2]);
    let successor: Option<&[Step]> = Some(&[Publish; 3]);
    let deaths = (0..=race.stores()).map(|after| race.view(Some(Death { after, successor })));
    let verdicts: Vec<_> = deaths.filter(|verdict| verdict.fault.is_some()).collect();
    assert!(!verdicts.is_empty());
    for verdict in verdicts {
        verdict.fails("explorer, views, death after another mark", Fault::is_torn);
    }
}

/// The writer passes a pinned slot over, and then drops its loan: the table leads to that slot
/// still.
#[test]
fn what_is_pinned_can_be_copied_after_a_dropped_loan() {
    let race = Race { steps: &[Publish, Publish, Publish, Drop], ..PINNED };
    for (weakened, fault) in
        [(Weakened::Nothing, None), (Weakened::Restore, Some(Fault::Lost { publication: 2 }))]
    {
        let Recording { world, log, .. } = race.without(weakened).record(None);
        let all = Recording { before: log.len(), world, log };
        let verdict = all.check(|world, seen| Follower::attached(world, seen).copy_pinned(2));
        assert_eq!(verdict.fault, fault, "{weakened:?}");
    }
}
