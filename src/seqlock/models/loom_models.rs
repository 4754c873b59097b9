//! The protocol under loom.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use loom::model::Builder;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;

use super::loom_memory::{Budget, LoomMemory};
use super::world::{Author, Follower, Last, Plan, Step, World};
use super::{Fault, Handle, Operation, Seen, Verdict, Weakened};
use crate::layout::{control, pins};
use crate::seqlock::{Pins, WakeMode};

use Step::{Drop, Grow, Loan, Publish};

type LoomWorld = World<LoomMemory>;

/// Checks a model under every execution, or under those with at most this many preemptions, until
/// one fails.
fn check(preemptions: Option<usize>, model: impl Fn(&Seen) + Send + Sync + 'static) -> Verdict {
    let (executions, seen) = (Arc::new(AtomicUsize::new(0)), Seen::default());
    let mut builder = Builder::new();
    builder.preemption_bound = preemptions;
    let inside = (Arc::clone(&executions), Arc::clone(&seen));
    let checked = catch_unwind(AssertUnwindSafe(|| {
        builder.check(move || {
            inside.0.fetch_add(1, SeqCst);
            model(&inside.1);
        });
    }));
    let fault = checked.err().map(|panic| match panic.downcast::<Fault>() {
        Ok(fault) => *fault,
        Err(other) if is_race(&other) => Fault::Raced,
        Err(other) => resume_unwind(other),
    });
    let seen = seen.lock().expect("no panic while it is held").clone();
    Verdict { executions: executions.load(SeqCst), preemptions, fault, seen }
}

/// Loom has found a plain load and a store of which neither happened before the other.
fn is_race(panic: &Box<dyn Any + Send>) -> bool {
    panic.downcast_ref::<String>().is_some_and(|text| text.contains("Causality violation"))
}

/// Ends the execution, and the search, with the fault. Not by `panic!`: the fault of a mutant is
/// expected.
fn or_unwind<T>(result: Result<T, Fault>) -> T {
    result.unwrap_or_else(|fault| resume_unwind(Box::new(fault)))
}

/// Starts a reader that has the first generation mapped.
fn start_reader(world: &LoomWorld, seen: &Seen, attempts: usize) -> thread::JoinHandle<()> {
    let mut follower = Follower::attached(world, seen);
    thread::spawn(move || or_unwind(follower.follow(attempts)))
}

fn wait_for(readers: impl IntoIterator<Item = thread::JoinHandle<()>>) {
    for reader in readers {
        reader.join().expect("loom ends the model when a thread panics");
    }
}

/// One writer against readers.
#[derive(Clone, Copy)]
struct Race {
    plan: Plan,
    /// Done before the readers begin.
    before: &'static [Step],
    steps: &'static [Step],
    readers: usize,
    attempts: usize,
    /// Readers that pin, and how often each does.
    viewers: usize,
    views: usize,
    preemptions: Option<usize>,
}

impl Race {
    fn run(self, seen: &Seen) {
        let world = self.prepare();
        let mut author = Author::take_over(&world);
        let readers = self.start_readers(&world, seen);
        author.run(self.steps);
        wait_for(readers);
        or_unwind(Follower::attached(&world, &Seen::default()).conclude());
    }

    /// A channel on which the first steps are done.
    fn prepare(self) -> LoomWorld {
        let world = LoomWorld::new(self.plan, LoomMemory::new);
        world.found();
        if self.before.is_empty() {
            return world;
        }
        Author::take_over(&world).run(self.before);
        world.afresh()
    }

    fn start_readers(self, world: &LoomWorld, seen: &Seen) -> Vec<thread::JoinHandle<()>> {
        let readers = (0..self.readers).map(|_| start_reader(world, seen, self.attempts));
        let viewers = (0..self.viewers).map(|pin| {
            let mut follower = Follower::attached(world, seen);
            thread::spawn(move || or_unwind(follower.view(pin, self.views)))
        });
        readers.chain(viewers).collect()
    }

    fn check(self) -> Verdict {
        check(self.preemptions, move |seen| self.run(seen))
    }

    /// The writer dies after this many stores, and a successor does `steps`, in a thread of its
    /// own, so that no fence of the dead writer precedes the successor's stores in program order.
    fn run_with_death(self, after: usize, steps: &'static [Step], seen: &Seen) {
        let world = self.prepare();
        let budget = Budget::of(after);
        let mut mortal = Author::take_over(&world.map(|memory| memory.until(&budget)));
        let mut others = self.start_readers(&world, seen);
        mortal.run(self.steps);
        let heir = world.of_successor();
        others.push(thread::spawn(move || Author::take_over(&heir).run(steps)));
        wait_for(others);
        or_unwind(Follower::attached(&world, &Seen::default()).conclude());
    }

    /// Number of stores that the writer makes.
    fn stores(self) -> usize {
        let budget = Budget::of(usize::MAX);
        let inside = budget.clone();
        check(None, move |_| {
            let world = self.prepare();
            Author::take_over(&world.map(|memory| memory.until(&inside))).run(self.steps);
        });
        budget.spent_of(usize::MAX)
    }

    fn check_all_deaths(self, name: &str, steps: &'static [Step]) -> Verdict {
        let stores = self.stores();
        let dead_after = |after| check(self.preemptions, move |seen| self.run_with_death(after, steps, seen));
        Verdict::of_all_deaths(name, (0..=stores).map(dead_after))
    }

    /// The same race with one ordering weakened.
    fn without(self, weakened: Weakened) -> Race {
        Race { plan: Plan { weakened, ..self.plan }, ..self }
    }
}

const PLAIN: Plan = Plan {
    weakened: Weakened::Nothing,
    depths: &[1, 1],
    generations: 1,
    words: 1,
    pins: 0,
    viewers: WakeMode::Never,
};
const BASE: Race = Race {
    plan: PLAIN,
    before: &[],
    steps: &[Publish; 3],
    readers: 1,
    attempts: 1,
    viewers: 0,
    views: 0,
    preemptions: None,
};
const RING: Race = Race { plan: Plan { depths: &[2, 2], ..PLAIN }, steps: &[Publish; 5], ..BASE };
/// Side A grows at its first publication.
const GROWTH: Race = Race {
    plan: Plan { depths: &[1, 1, 2, 1], generations: 3, ..PLAIN },
    steps: &[Publish, Grow(2)],
    attempts: 2,
    ..BASE
};

#[test]
fn three_publications_against_one_reader() {
    BASE.check().holds("base 3x1", 1..=3);
}

#[test]
fn three_publications_of_two_words_against_one_reader() {
    let race = Race { plan: Plan { words: 2, ..PLAIN }, preemptions: Some(3), ..BASE };
    race.check().holds("base 3x1, two words", 1..=3);
}

#[test]
fn two_publications_against_two_readers() {
    let race = Race { steps: &[Publish; 2], readers: 2, ..BASE };
    race.check().holds("base 2x2", 1..=2);
}

#[test]
fn publications_against_two_attempts() {
    let race = Race { attempts: 2, ..BASE };
    Race { steps: &[Publish; 2], ..race }.check().holds("base 2x1, two attempts", 1..=2);
    Race { preemptions: Some(3), ..race }.check().holds("base 3x1, two attempts", 1..=3);
}

#[test]
fn a_ring_that_comes_round() {
    RING.check().holds("ring 5x1", 1..=5);
}

#[test]
fn loans_and_dropped_loans_against_one_reader() {
    let race = Race { steps: &[Publish, Loan, Drop, Loan], preemptions: Some(3), ..BASE };
    race.check().holds("loans 3x1", 1..=3);
    let race = Race { steps: &[Publish, Publish, Drop], ..BASE };
    race.check().holds("a dropped loan", 1..=2);
    for weakened in [Weakened::W2, Weakened::R4] {
        race.without(weakened).check().fails(&format!("a dropped loan without {weakened:?}"), Fault::is_torn);
    }
}

#[test]
fn a_successor_begins_a_loan_again_after_any_store() {
    let race = Race { preemptions: Some(2), ..GROWTH };
    let dropped = Race { steps: &[Publish, Drop], ..race };
    dropped.check_all_deaths("death after a drop", &[Loan]).holds("death after a drop, then a loan", 1..=2);
    let lent = Race { steps: &[Publish, Loan], ..race };
    lent.check_all_deaths("death of a lender", &[Loan]).holds("death of a lender, then a loan", 1..=3);
}

#[test]
fn growth_against_a_mapped_reader() {
    GROWTH.check().holds("growth", 1..=2);
    let race = Race { steps: &[Publish, Grow(2), Publish], preemptions: Some(2), ..GROWTH };
    race.check().holds("growth between publications", 1..=3);
}

/// A reader that has seen the first growth may find that segment unlinked.
#[test]
fn growth_of_one_side_twice() {
    let race = Race { steps: &[Publish, Grow(2), Publish, Grow(3)], preemptions: Some(2), ..GROWTH };
    race.check().holds("growth twice", 1..=4);
}

#[test]
fn a_successor_resumes_after_any_store() {
    let race = Race { steps: &[Publish; 2], preemptions: Some(2), ..GROWTH };
    race.check_all_deaths("death", &[Publish]).holds("death, then a publication", 1..=3);
}

#[test]
fn a_successor_resumes_after_any_store_of_a_growth() {
    let race = Race { preemptions: Some(1), ..GROWTH };
    race.check_all_deaths("death in growth", &[Publish]).holds("death in growth, then a publication", 1..=3);
    let verdict = race.check_all_deaths("death in growth", &[Grow(3), Publish]);
    verdict.holds("death in growth, then another growth", 1..=4);
}

#[test]
fn a_successor_must_void_what_was_not_announced() {
    let race = Race { steps: &[Publish; 2], preemptions: Some(1), ..GROWTH }.without(Weakened::Void);
    let after_death =
        |after| check(race.preemptions, move |seen| race.run_with_death(after, &[Grow(2)], seen));
    let fault = (0..=race.stores()).map(after_death).find(|verdict| verdict.fault.is_some());
    fault.expect("a death before w5").fails("death, then a growth without voiding", Fault::is_torn);
}

/// The creator writes the header and publishes, against a reader that attaches at the same time.
fn first_attach(weakened: Weakened) -> Verdict {
    check(None, move |seen| {
        let world = LoomWorld::new(Plan { weakened, ..PLAIN }, LoomMemory::new);
        let mut follower = Follower::attached(&world, seen);
        let reader = thread::spawn(move || or_unwind(follower.attach(2)));
        world.found();
        world.write_header();
        Author::take_over(&world.map(LoomMemory::of_successor)).run(&[Publish; 2]);
        wait_for([reader]);
        or_unwind(Follower::attached(&world, &Seen::default()).conclude());
    })
}

#[test]
fn first_attach_against_first_publications() {
    first_attach(Weakened::Nothing).holds("first attach", 1..=2);
}

#[test]
fn each_ordering_is_necessary() {
    for weakened in Weakened::PROTOCOL {
        BASE.without(weakened).check().fails(&format!("base 3x1 without {weakened:?}"), Fault::is_torn);
        RING.without(weakened).check().fails(&format!("ring 5x1 without {weakened:?}"), Fault::is_torn);
    }
}

#[test]
fn both_orderings_of_the_ready_word_are_necessary() {
    for weakened in Weakened::READY {
        let name = format!("first attach without {weakened:?}");
        first_attach(weakened).fails(&name, |fault| fault == Fault::HalfWritten);
    }
}

/// One reader pins the latest publication, and the writer wants its slot for the second one after
/// it.
const VIEWS: Race = Race {
    plan: Plan { pins: 1, ..PLAIN },
    before: &[Publish; 2],
    steps: &[Publish; 2],
    readers: 0,
    attempts: 1,
    viewers: 1,
    views: 1,
    preemptions: Some(3),
};
/// It views two publications, and the writer looks at the second pin.
const TWO_VIEWS: Race = Race { views: 2, preemptions: Some(2), ..VIEWS };

#[test]
fn a_view_stays_while_the_writer_wants_its_slot() {
    VIEWS.check().holds("views", 2..=4);
    let two_pins = Plan { pins: 2, ..VIEWS.plan };
    Race { plan: two_pins, ..VIEWS }.check().holds("views, two spares", 2..=4);
    let race = Race { steps: &[Publish; 4], preemptions: Some(2), ..VIEWS };
    race.check().holds("views 4x1", 2..=6);
    TWO_VIEWS.check().holds("views, two of one reader", 2..=4);
    let race = Race { plan: two_pins, viewers: 2, preemptions: Some(2), ..VIEWS };
    race.check().holds("views of two readers", 2..=4);
    let race = Race { readers: 1, preemptions: Some(2), ..VIEWS };
    race.check().holds("views beside copies", 2..=4);
}

#[test]
fn each_ordering_of_the_pins_is_necessary() {
    for weakened in [Weakened::X1, Weakened::X2, Weakened::X3, Weakened::V2, Weakened::V4] {
        VIEWS.without(weakened).check().fails(&format!("views without {weakened:?}"), Fault::is_of_view);
    }
    // Loom never runs another thread between v1 and v2. So the writer must pass x2 before both,
    // after the first view, and look after both.
    let race = Race { preemptions: Some(4), ..TWO_VIEWS }.without(Weakened::V1);
    race.check().fails("two views without V1", Fault::is_of_view);
}

/// The writer looks at the pins only after it has noticed the reader, which announces itself while
/// the writer publishes.
const FIRST_VIEWS: Race = Race {
    plan: Plan { viewers: WakeMode::Fences, ..VIEWS.plan },
    before: &[Publish; 2],
    steps: &[Publish; 3],
    ..VIEWS
};

#[test]
fn a_writer_notices_the_first_reader_that_pins() {
    FIRST_VIEWS.check().holds("first views", 2..=5);
    let race = Race { steps: &[Publish, Drop, Publish], preemptions: Some(2), ..FIRST_VIEWS };
    race.check().holds("first views, a dropped loan", 2..=4);
    let plan = Plan { pins: 2, ..FIRST_VIEWS.plan };
    let race = Race { plan, viewers: 2, steps: &[Publish; 2], preemptions: Some(2), ..FIRST_VIEWS };
    race.check().holds("first views of two readers", 2..=4);
    for weakened in [Weakened::X0, Weakened::U2] {
        let name = format!("first views without {weakened:?}");
        FIRST_VIEWS.without(weakened).check().fails(&name, Fault::is_of_view);
    }
}

/// Two readers want the only pin, beside a writer. The first one dies after its `last` step.
fn one_pin_for_two(race: Race, last: Last) -> Verdict {
    let [unlock, ask] = match race.plan.weakened {
        Weakened::H2 => [Ordering::Relaxed; 2],
        _ => [Ordering::Release, Ordering::Acquire],
    };
    check(race.preemptions, move |seen| {
        let world = race.prepare();
        // The kernel's lock of the first reader: 0 once it is dead.
        let lives = Arc::new(AtomicU64::new(1));
        let others = [1, 2].map(|holder| {
            let (mut follower, lives) = (Follower::attached(&world, seen), Arc::clone(&lives));
            thread::spawn(move || {
                let exists = |other| other != 1 || lives.load(ask) != 0;
                let last = if holder == 1 { last } else { Last::GiveBack };
                or_unwind(follower.view_as(holder, exists, last));
                if holder == 1 {
                    lives.store(0, unlock);
                }
            })
        });
        Author::take_over(&world).run(race.steps);
        wait_for(others);
        // Whenever it died, its pin is found; the other one has given its own back.
        let mut third = Follower::attached(&world, &Seen::default());
        let found = or_unwind(third.view_as(3, |holder| holder != 1, Last::GiveBack));
        assert!(found, "the pin is lost");
    })
}

/// The pin passes from the first reader to the second while the writer wants the slot that the
/// first one viewed.
const ONE_PIN: Race = Race { preemptions: Some(2), ..VIEWS };

#[test]
fn a_pin_has_one_holder_at_a_time_whenever_the_former_one_dies() {
    for last in Last::ALL {
        one_pin_for_two(ONE_PIN, last)
            .holds(&format!("one pin for two, of which one dies after {last:?}"), 2..=4);
    }
}

#[test]
fn each_ordering_of_the_holders_is_necessary() {
    for (weakened, last) in
        [(Weakened::Compare, Last::GiveBack), (Weakened::H4, Last::GiveBack), (Weakened::H2, Last::View)]
    {
        let name = format!("one pin for two without {weakened:?}");
        one_pin_for_two(ONE_PIN.without(weakened), last).fails(&name, Fault::is_of_view);
    }
}

/// A writer that stores its wake mode, and a reader that loads it after its announcement.
fn mode_against_viewers(weakened: [Option<Operation>; 2]) -> Verdict {
    check(None, move |_| {
        let (page, control) = (LoomMemory::new(&[pins::VIEWERS]), LoomMemory::new(&[control::WAKE_MODE]));
        let [writer, reader] = weakened.map(|weakened| Pins::new(page.weakened(weakened), 1));
        let mode = control.clone();
        let reading = thread::spawn(move || {
            reader.announce();
            WakeMode::load(&mode) == WakeMode::Never
        });
        WakeMode::Barriers.store(&control);
        let has_none = !writer.has_viewers();
        let needs_none = reading.join().expect("loom ends the model when a thread panics");
        or_unwind(if has_none && needs_none { Err(Fault::Raced) } else { Ok(()) });
    })
}

#[test]
fn a_reader_learns_that_barriers_are_needed_or_the_writer_that_there_is_a_reader() {
    assert_eq!(mode_against_viewers([None, None]).fault, None);
    for weakened in [[Some(Operation::FullFence), None], [None, Some(Operation::FullFence)]] {
        assert_eq!(mode_against_viewers(weakened).fault, Some(Fault::Raced), "{weakened:?}");
    }
}

#[test]
fn a_first_view_stays_when_the_writer_dies_after_any_store() {
    let race = Race { steps: &[Publish; 2], preemptions: Some(2), ..FIRST_VIEWS };
    let name = "first views, death, then publications";
    race.check_all_deaths(name, &[Publish; 2]).holds(name, 2..=6);
}

/// The reader is in its view when the writer dies, and when the successor wants the slot.
const MORTAL: Race = Race { preemptions: Some(2), ..VIEWS };

#[test]
fn a_view_stays_when_the_writer_dies_after_any_store() {
    let successors: [(&[Step], u64); 2] = [(&[Publish; 2], 6), (&[Drop], 4)];
    for (successor, last) in successors {
        let name = format!("views, death, then {successor:?}");
        MORTAL.check_all_deaths(&name, successor).holds(&name, 2..=last);
    }
}

#[test]
fn a_writer_must_mark_a_slot_as_that_of_what_it_holds() {
    let race = MORTAL.without(Weakened::X1OfNext);
    let x1 = Race { steps: &[Publish], ..race }.stores() + 1;
    let verdict = check(race.preemptions, move |seen| race.run_with_death(x1, &[Publish; 2], seen));
    verdict.fails("views, death after another mark", Fault::is_of_view);
}
