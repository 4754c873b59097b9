//! Cuts through two channels under loom: a cut that contains a publication also contains what its
//! writer knew of.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use loom::model::Builder;
use loom::thread;

use super::Weakened;
use super::loom_memory::LoomMemory;
use super::world::{Author, Follower, Plan, Step, World};
use crate::layout::Publication;
use crate::seqlock::{Attempt, WakeMode};

/// How a mutant deviates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutation {
    Nothing,
    /// It does not check whether a number has moved (c3).
    CollectsOnce,
    /// No load is ordered after c1: neither by the fence of c1 nor, as nothing is copied, by those
    /// of c2.
    CollectsWithoutFence,
}

/// A cut that shows states that never existed together.
struct Impossible;

fn world(weakened: Weakened) -> World<LoomMemory> {
    let plan =
        Plan { weakened, depths: &[1, 1], generations: 1, words: 1, pins: 0, viewers: WakeMode::Never };
    let world = World::new(plan, LoomMemory::new);
    world.found();
    world
}

/// The numbers of a cut, in the order of the followers; `None` if a writer was faster.
fn cut(followers: [&Follower<LoomMemory>; 2], mutation: Mutation) -> Option<[u64; 2]> {
    let readers = followers.map(Follower::reader);
    let collected = readers.map(|reader| reader.collect());
    for (reader, publication) in readers.iter().zip(collected) {
        let Some(publication) = publication else { continue };
        if mutation == Mutation::CollectsWithoutFence {
            continue;
        }
        match reader.attempt_at(publication, &mut &mut Vec::new()) {
            Attempt::Whole { .. } => {}
            _ => return None,
        }
    }
    let still = || readers.iter().zip(collected).all(|(reader, number)| reader.is_still_at(number));
    if mutation != Mutation::CollectsOnce && !still() {
        return None;
    }
    Some(collected.map(|publication| publication.map_or(0, Publication::get)))
}

/// Number of cuts that succeeded, over all executions; an error if one of them shows states that
/// never existed together. The writer publishes on the first channel and then on the second, round
/// by round.
fn cuts(rounds: usize, second_first: bool, mutation: Mutation) -> Result<usize, Impossible> {
    let weakened = match mutation {
        Mutation::CollectsWithoutFence => Weakened::R1,
        _ => Weakened::Nothing,
    };
    let successes = Arc::new(AtomicUsize::new(0));
    let inside = Arc::clone(&successes);
    let model = move || {
        let worlds = [world(weakened), world(weakened)];
        let mut authors = worlds.each_ref().map(Author::take_over);
        let followers = worlds.each_ref().map(|world| Follower::attached(world, &super::Seen::default()));
        let inside = Arc::clone(&inside);
        let reader = thread::spawn(move || {
            let [first, second] = &followers;
            let numbers = match second_first {
                true => cut([second, first], mutation).map(|[second, first]| [first, second]),
                false => cut([first, second], mutation),
            };
            let Some([first, second]) = numbers else { return };
            inside.fetch_add(1, SeqCst);
            if first != second && first != second + 1 {
                resume_unwind(Box::new(Impossible));
            }
        });
        for _ in 0..rounds {
            authors.iter_mut().for_each(|author| author.run(&[Step::Publish]));
        }
        reader.join().expect("loom ends the model when a thread panics");
    };
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    match catch_unwind(AssertUnwindSafe(|| builder.check(model))) {
        Ok(()) => Ok(successes.load(SeqCst)),
        Err(panic) => match panic.downcast::<Impossible>() {
            Ok(impossible) => Err(*impossible),
            Err(other) => resume_unwind(other),
        },
    }
}

#[test]
fn a_clean_double_collect_shows_the_states_at_one_instant() {
    for second_first in [false, true] {
        let successes = cuts(2, second_first, Mutation::Nothing);
        assert!(successes.is_ok_and(|successes| successes > 10), "or nothing was checked");
    }
}

#[test]
fn without_the_second_collect_or_the_fence_a_cut_shows_states_that_never_were() {
    for mutation in [Mutation::CollectsOnce, Mutation::CollectsWithoutFence] {
        let found = [false, true].map(|second_first| cuts(2, second_first, mutation).is_err());
        assert!(found.contains(&true), "{mutation:?} is not found");
    }
}
