//! The models: the very code of publish and attempt, in every order and with every value that the
//! memory model allows.
//!
//! Two checkers share only the channel of [`world`]. Loom interleaves threads and chooses among the
//! stores that a load may see. The [`explorer`] has no threads, because a reader never stores: one
//! run of the writer is a list of stores, and each load of a reader is a choice among them.
//!
//! A model that holds has twins in which one ordering of the protocol is weakened. A twin must
//! fail, or the model proves nothing about that ordering.

mod explorer;
mod explorer_litmus;
mod explorer_models;
mod loom_cut;
mod loom_memory;
mod loom_models;
mod loom_waiting;
mod world;

pub(crate) use loom_memory::LoomMemory;
pub(crate) use world::Handle;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// A fault that a model can find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// A copy was whole, but differs from what was published under that number.
    Torn { publication: u64 },
    /// A later attempt found an earlier publication, or none.
    Backwards { from: u64, to: u64 },
    /// A plain load of a view races with a store.
    Raced,
    /// A publication is gone although it was pinned before the writer wanted its slot.
    Lost { publication: u64 },
    /// The immutable words were ready, but differ from what their creator wrote.
    HalfWritten,
    /// A read after all stores did not give the last publication.
    NotTheLast { last: u64, found: Option<u64> },
}

/// The ordering of the protocol that a model disables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weakened {
    Nothing,
    /// The release fence after the odd stamp.
    W2,
    /// The release store of the publication's number.
    W5,
    /// The acquire fence after the number was loaded.
    R1,
    /// The acquire fence before the stamp is checked.
    R4,
    /// The full fence before the look at the announcements of readers that pin: only a release
    /// fence.
    X0,
    /// The full fence between the announcement of such a reader and its look at the latest number.
    U2,
    /// The odd stamp before the pins are looked at: there is none.
    X1,
    /// The same: it is that of the next publication, and not that of what the slot holds.
    X1OfNext,
    /// The full fence between the odd stamp and the look at the pins: only a release fence.
    X2,
    /// The acquire fence after the look at the pins.
    X3,
    /// The stamp of a slot that is pinned: it stays odd.
    Restore,
    /// The release store of a pin.
    V1,
    /// The full fence between the pin and the look at the stamp: only a release fence.
    V2,
    /// The release store that unpins.
    V4,
    /// The comparison of the exchange that takes a pin: it takes the pin from whoever has it.
    Compare,
    /// What the kernel orders when it says that a holder is dead: nothing.
    H2,
    /// The release store that gives a pin back.
    H4,
    /// The release store of the ready word.
    Declare,
    /// The acquire fence after the ready word was loaded.
    Check,
    /// A successor leaves what its predecessor finished and did not announce.
    Void,
}

/// An operation of a memory that orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    AcquireFence,
    ReleaseFence,
    ReleaseStore,
    FullFence,
    /// The comparison of a compare-and-exchange.
    Compare,
    /// A store of an odd stamp over the even one of the same publication.
    Mark,
    /// The same, which becomes the odd stamp of the next publication of its side.
    MarkOfFormer,
    /// A store of the even stamp that such an odd one has replaced.
    Restore,
}

impl Operation {
    /// What becomes of a store to a word, without this operation. `former` are the two values that
    /// the word had last.
    fn is_missing_in(self, former: [u64; 2], value: u64) -> Option<u64> {
        let [before, last] = former;
        // Entries of a table are smaller.
        let marks = value > 2 && value % 2 == 1 && value + 1 == last;
        let restores = value > 2 && value == before && value == last + 1;
        match self {
            Operation::Mark if marks => None,
            Operation::MarkOfFormer if marks => Some(value + 4),
            Operation::Restore if restores => None,
            _ => Some(value),
        }
    }
}

impl Weakened {
    /// The four that carry the proof of publish and attempt.
    const PROTOCOL: [Weakened; 4] = [Weakened::W2, Weakened::W5, Weakened::R1, Weakened::R4];
    /// The two that hand over the immutable words.
    const READY: [Weakened; 2] = [Weakened::Declare, Weakened::Check];

    /// The operation that is missing in accesses to the control page's hot words.
    fn of_control(self) -> Option<Operation> {
        match self {
            Weakened::W5 => Some(Operation::ReleaseStore),
            Weakened::R1 => Some(Operation::AcquireFence),
            _ => None,
        }
    }

    /// The operation that is missing in accesses to a segment's slots.
    fn of_segments(self) -> Option<Operation> {
        match self {
            Weakened::W2 => Some(Operation::ReleaseFence),
            Weakened::R4 => Some(Operation::AcquireFence),
            Weakened::X1 => Some(Operation::Mark),
            Weakened::X1OfNext => Some(Operation::MarkOfFormer),
            Weakened::X2 => Some(Operation::FullFence),
            Weakened::Restore => Some(Operation::Restore),
            _ => None,
        }
    }

    /// The operations that are missing in accesses to the pins: of the writer, and of readers that
    /// pin, that unpin, that announce themselves, and that take pins or give them back.
    fn of_pins(self) -> [Option<Operation>; 5] {
        let (user, operation) = match self {
            Weakened::X0 => (0, Operation::FullFence),
            Weakened::X3 => (0, Operation::AcquireFence),
            Weakened::V1 => (1, Operation::ReleaseStore),
            Weakened::V2 => (1, Operation::FullFence),
            Weakened::V4 => (2, Operation::ReleaseStore),
            Weakened::U2 => (3, Operation::FullFence),
            Weakened::Compare => (4, Operation::Compare),
            Weakened::H4 => (4, Operation::ReleaseStore),
            _ => return [None; 5],
        };
        std::array::from_fn(|handle| (handle == user).then_some(operation))
    }

    /// The operation that is missing in accesses to a ready word.
    fn of_header(self) -> Option<Operation> {
        match self {
            Weakened::Declare => Some(Operation::ReleaseStore),
            Weakened::Check => Some(Operation::AcquireFence),
            _ => None,
        }
    }
}

/// The publications of which racing readers got a whole copy, over all executions of a model.
type Seen = Arc<Mutex<BTreeSet<u64>>>;

/// Result of checking one model.
#[derive(Debug)]
struct Verdict {
    executions: usize,
    /// `None` if every execution was checked.
    preemptions: Option<usize>,
    fault: Option<Fault>,
    seen: BTreeSet<u64>,
}

impl Verdict {
    /// The model holds, and copies were made: racing readers got each of `reachable`, and nothing
    /// else.
    fn holds(&self, name: &str, reachable: impl IntoIterator<Item = u64>) {
        let extent =
            self.preemptions.map_or("exhaustive".to_owned(), |max| format!("at most {max} preemptions"));
        println!("{name}: {} executions, {extent}", self.executions);
        assert_eq!(self.fault, None, "{name}, execution {}", self.executions);
        assert!(self.seen.iter().copied().eq(reachable), "{name}: readers got {:?}", self.seen);
    }

    /// The combined verdict of one model in which a writer dies after each number of stores. None
    /// may fail.
    fn of_all_deaths(name: &str, verdicts: impl IntoIterator<Item = Verdict>) -> Verdict {
        let mut all = Verdict { executions: 0, preemptions: None, fault: None, seen: BTreeSet::new() };
        for (stores, verdict) in verdicts.into_iter().enumerate() {
            assert_eq!(
                verdict.fault, None,
                "{name}, dead after {stores} stores, execution {}",
                verdict.executions
            );
            all.executions += verdict.executions;
            all.preemptions = verdict.preemptions;
            all.seen.extend(verdict.seen);
        }
        all
    }

    /// The model fails, and in the expected way.
    fn fails(&self, name: &str, as_expected: impl FnOnce(Fault) -> bool) {
        println!("{name}: found {:?} in execution {}", self.fault, self.executions);
        assert!(self.fault.is_some_and(as_expected), "{name}: {self:?}");
    }
}

impl Fault {
    fn is_torn(self) -> bool {
        matches!(self, Fault::Torn { .. })
    }

    /// A view shows something else, or could.
    fn is_of_view(self) -> bool {
        self.is_torn() || self == Fault::Raced
    }
}
