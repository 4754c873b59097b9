//! The promise: **a writer may be killed at any instruction.** Readers keep the last whole
//! publication, the next writer resumes with the next number and without help, and nothing is
//! leaked.
//!
//! The test steps a child through an operation with ptrace, kills it with SIGKILL after k
//! instructions, checks everything, and repeats that with the next k. A publish is killed after
//! each of its instructions, or, if it has many bytes, after an even sample of its steps (each byte
//! of a string move is a step). A longer operation is killed around each of its system calls and at
//! an even sample of its instructions: about 100 places, or `TEARLESS_KILL_SAMPLES`. `ci/kill` runs
//! it with thousands.
//!
//! A system call is one step. `killed_fleet` shows what a kill in the middle of one leaves, and
//! kills at random moments.
#![cfg(feature = "schema")]
#![cfg(all(target_os = "linux", target_arch = "x86_64", feature = "schema"))]

mod block;
#[path = "../common/mod.rs"]
mod common;
mod directory;
mod operation;
mod publish;
mod sealed;
mod trace;
mod tracee;

use std::sync::{Mutex, MutexGuard, PoisonError};

use block::{Life, kill_with_a_block};
use operation::{Carries, Operation, kill_anywhere};
use publish::{
    Lent, ManyBytes, OddBytes, Pinned, Plain, PlainDepthOne, Serialized, Sunk, Unviewed,
    kill_after_every_instruction, kill_after_some_instructions, kill_in_a_view,
};
use sealed::{Sealed, kill_at_a_sealed_channel};
use testkit::child::Child;

const CHANNEL: &str = "victim";

const SAMPLES: u64 = 100;

/// Set in a process that runs one test.
const ALONE: &str = "TEARLESS_KILL_ALONE";

/// Runs a test in a process of its own, on a processor that no other test uses. Its forks find no
/// lock that the thread of another test holds.
fn alone(test: &str, kill: impl FnOnce()) {
    if std::env::var_os(ALONE).is_some() {
        return kill();
    }
    let processor = Processor::take();
    // The process inherits it. If the tracer and its child are on two, stepping is slower.
    testkit::trace::stay_on_processor(processor.number);
    let output = Child::this_program()
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(ALONE, "")
        .output()
        .expect("a program starts itself");
    drop(processor);
    print!("{}", String::from_utf8_lossy(&output.stdout));
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}", output.status);
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "it ran no test");
}

/// A processor that one test uses at a time.
struct Processor {
    number: usize,
    _taken: MutexGuard<'static, ()>,
}

impl Processor {
    fn take() -> Processor {
        static PROCESSORS: [Mutex<()>; 64] = [const { Mutex::new(()) }; 64];
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        let free = PROCESSORS.iter().take(count).enumerate();
        free.filter_map(|(number, lock)| Some(Processor { number, _taken: lock.try_lock().ok()? }))
            .next()
            .unwrap_or_else(|| {
                let lock = PROCESSORS[0].lock();
                Processor { number: 0, _taken: lock.unwrap_or_else(PoisonError::into_inner) }
            })
    }
}

fn samples() -> u64 {
    let Ok(value) = std::env::var("TEARLESS_KILL_SAMPLES") else { return SAMPLES };
    value.parse().unwrap_or_else(|_| panic!("TEARLESS_KILL_SAMPLES={value} is not a number"))
}

/// Whether a publish is stepped only, without breakpoints, which takes a minute or more.
fn stepping() -> bool {
    samples() >= 1_000
}

#[test]
fn in_a_publish_of_plain_data() {
    alone("in_a_publish_of_plain_data", || {
        kill_after_every_instruction::<Plain>("64 bytes of plain data", stepping())
    });
}

#[test]
fn in_a_publish_with_one_slot_a_side() {
    alone("in_a_publish_with_one_slot_a_side", || {
        kill_after_every_instruction::<PlainDepthOne>("plain data with depth 1", stepping())
    });
}

#[test]
fn in_a_publish_of_bytes() {
    alone("in_a_publish_of_bytes", || {
        kill_after_every_instruction::<OddBytes>("93 bytes with checksum", stepping())
    });
}

#[test]
fn in_a_publish_that_passes_over_a_viewed_slot() {
    alone("in_a_publish_that_passes_over_a_viewed_slot", || {
        kill_after_every_instruction::<Pinned>("93 bytes beside a view", stepping())
    });
}

#[test]
fn in_a_publish_that_no_reader_views() {
    alone("in_a_publish_that_no_reader_views", || {
        kill_after_every_instruction::<Unviewed>("93 bytes on a channel with a pin", stepping())
    });
}

#[test]
fn in_a_view_and_its_drop() {
    alone("in_a_view_and_its_drop", || kill_in_a_view(false, u64::MAX));
}

#[test]
fn in_the_first_view_of_a_reader() {
    alone("in_the_first_view_of_a_reader", || kill_in_a_view(true, samples()));
}

#[test]
fn in_a_publish_of_many_bytes() {
    // Each has tens of thousands of steps.
    alone("in_a_publish_of_many_bytes", || {
        kill_after_some_instructions::<ManyBytes>("28,795 bytes", (samples() / 5).clamp(2, 200))
    });
}

#[test]
fn in_a_publish_of_a_serde_state() {
    alone("in_a_publish_of_a_serde_state", || {
        kill_after_every_instruction::<Serialized>("a serde state", stepping())
    });
}

#[test]
fn in_a_dropped_loan_and_a_published_one() {
    alone("in_a_dropped_loan_and_a_published_one", || {
        kill_after_every_instruction::<Lent>("two loans with depth 1", stepping())
    });
}

#[test]
fn in_a_loan_that_is_written_as_a_sink() {
    alone("in_a_loan_that_is_written_as_a_sink", || {
        kill_after_every_instruction::<Sunk>("a sink of 93 bytes with checksum", stepping())
    });
}

#[test]
fn in_a_loan_that_grows() {
    alone("in_a_loan_that_grows", || kill_anywhere(Operation::GrownLoan, Carries::Nothing, samples()));
}

#[test]
fn in_a_dropped_loan_that_grows() {
    alone("in_a_dropped_loan_that_grows", || {
        kill_anywhere(Operation::DroppedLoan, Carries::Nothing, samples())
    });
}

#[test]
fn in_create() {
    alone("in_create", || kill_anywhere(Operation::Create, Carries::Nothing, samples()));
}

#[test]
fn in_create_for_which_the_registry_grows() {
    alone("in_create_for_which_the_registry_grows", || {
        kill_anywhere(Operation::CreateBeyondTheRegistry, Carries::Nothing, samples())
    });
}

#[test]
fn in_growth() {
    alone("in_growth", || kill_anywhere(Operation::Growth, Carries::Nothing, samples()));
}

#[test]
fn in_shrinking() {
    alone("in_shrinking", || kill_anywhere(Operation::Shrinking, Carries::Nothing, samples()));
}

#[test]
fn in_takeover() {
    alone("in_takeover", || kill_anywhere(Operation::Takeover, Carries::Nothing, samples()));
}

#[test]
fn in_close() {
    alone("in_close", || kill_anywhere(Operation::Close, Carries::Nothing, samples()));
}

#[test]
fn in_close_lingering() {
    alone("in_close_lingering", || kill_anywhere(Operation::CloseLingering, Carries::Nothing, samples()));
}

#[test]
fn in_removal() {
    alone("in_removal", || kill_anywhere(Operation::Removal, Carries::Nothing, samples()));
}

#[test]
fn in_creating_a_channel_with_a_schema() {
    alone("in_creating_a_channel_with_a_schema", || {
        kill_anywhere(Operation::Create, Carries::Schema, samples())
    });
}

#[test]
fn in_takeover_of_a_channel_with_a_schema() {
    alone("in_takeover_of_a_channel_with_a_schema", || {
        kill_anywhere(Operation::Takeover, Carries::Schema, samples())
    });
}

#[test]
fn in_replacing_a_channel_with_a_schema() {
    alone("in_replacing_a_channel_with_a_schema", || {
        kill_anywhere(Operation::Replacement, Carries::Schema, samples())
    });
}

#[test]
fn in_closing_a_channel_with_a_schema() {
    alone("in_closing_a_channel_with_a_schema", || {
        kill_anywhere(Operation::Close, Carries::Schema, samples())
    });
}

#[test]
fn in_removal_of_a_channel_with_a_schema() {
    alone("in_removal_of_a_channel_with_a_schema", || {
        kill_anywhere(Operation::Removal, Carries::Schema, samples())
    });
}

#[test]
fn in_replacing_a_channel_by_one_with_a_schema() {
    alone("in_replacing_a_channel_by_one_with_a_schema", || {
        kill_anywhere(Operation::Replacement, Carries::Nothing, samples())
    });
}

#[test]
fn in_creating_a_block() {
    alone("in_creating_a_block", || kill_with_a_block(Life::Create, samples()));
}

#[test]
fn in_replacing_a_dead_owners_block() {
    alone("in_replacing_a_dead_owners_block", || kill_with_a_block(Life::Replace, samples()));
}

#[test]
fn in_closing_a_block() {
    alone("in_closing_a_block", || kill_with_a_block(Life::Close, samples()));
}

#[test]
fn in_a_publish_on_a_sealed_channel() {
    alone("in_a_publish_on_a_sealed_channel", || kill_at_a_sealed_channel(Sealed::Publish, u64::MAX));
}

#[test]
fn in_a_growth_of_a_sealed_channel() {
    alone("in_a_growth_of_a_sealed_channel", || kill_at_a_sealed_channel(Sealed::Grow, samples()));
}

#[test]
fn in_opening_the_descriptor_of_a_sealed_channel() {
    alone("in_opening_the_descriptor_of_a_sealed_channel", || {
        kill_at_a_sealed_channel(Sealed::Open, samples())
    });
}

#[test]
fn in_reading_the_first_larger_state_of_a_sealed_channel() {
    alone("in_reading_the_first_larger_state_of_a_sealed_channel", || {
        kill_at_a_sealed_channel(Sealed::ReadLarger, samples())
    });
}
