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

const CHANNEL: &str = "victim";

const SAMPLES: u64 = 100;

/// The tests take turns: a fork of this process must find no lock that another test's thread holds.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    testkit::trace::stay_on_this_processor();
    turn
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
    let _turn = turn();
    kill_after_every_instruction::<Plain>("64 bytes of plain data", stepping());
}

#[test]
fn in_a_publish_with_one_slot_a_side() {
    let _turn = turn();
    kill_after_every_instruction::<PlainDepthOne>("plain data with depth 1", stepping());
}

#[test]
fn in_a_publish_of_bytes() {
    let _turn = turn();
    kill_after_every_instruction::<OddBytes>("93 bytes with checksum", stepping());
}

#[test]
fn in_a_publish_that_passes_over_a_viewed_slot() {
    let _turn = turn();
    kill_after_every_instruction::<Pinned>("93 bytes beside a view", stepping());
}

#[test]
fn in_a_publish_that_no_reader_views() {
    let _turn = turn();
    kill_after_every_instruction::<Unviewed>("93 bytes on a channel with a pin", stepping());
}

#[test]
fn in_a_view_and_its_drop() {
    let _turn = turn();
    kill_in_a_view(false, u64::MAX);
}

#[test]
fn in_the_first_view_of_a_reader() {
    let _turn = turn();
    kill_in_a_view(true, samples());
}

#[test]
fn in_a_publish_of_many_bytes() {
    let _turn = turn();
    // Each has tens of thousands of steps.
    kill_after_some_instructions::<ManyBytes>("28,795 bytes", (samples() / 5).clamp(2, 200));
}

#[test]
fn in_a_publish_of_a_serde_state() {
    let _turn = turn();
    kill_after_every_instruction::<Serialized>("a serde state", stepping());
}

#[test]
fn in_a_dropped_loan_and_a_published_one() {
    let _turn = turn();
    kill_after_every_instruction::<Lent>("two loans with depth 1", stepping());
}

#[test]
fn in_a_loan_that_is_written_as_a_sink() {
    let _turn = turn();
    kill_after_every_instruction::<Sunk>("a sink of 93 bytes with checksum", stepping());
}

#[test]
fn in_a_loan_that_grows() {
    let _turn = turn();
    kill_anywhere(Operation::GrownLoan, Carries::Nothing, samples());
}

#[test]
fn in_a_dropped_loan_that_grows() {
    let _turn = turn();
    kill_anywhere(Operation::DroppedLoan, Carries::Nothing, samples());
}

#[test]
fn in_create() {
    let _turn = turn();
    kill_anywhere(Operation::Create, Carries::Nothing, samples());
}

#[test]
fn in_create_for_which_the_registry_grows() {
    let _turn = turn();
    kill_anywhere(Operation::CreateBeyondTheRegistry, Carries::Nothing, samples());
}

#[test]
fn in_growth() {
    let _turn = turn();
    kill_anywhere(Operation::Growth, Carries::Nothing, samples());
}

#[test]
fn in_shrinking() {
    let _turn = turn();
    kill_anywhere(Operation::Shrinking, Carries::Nothing, samples());
}

#[test]
fn in_takeover() {
    let _turn = turn();
    kill_anywhere(Operation::Takeover, Carries::Nothing, samples());
}

#[test]
fn in_close() {
    let _turn = turn();
    kill_anywhere(Operation::Close, Carries::Nothing, samples());
}

#[test]
fn in_close_lingering() {
    let _turn = turn();
    kill_anywhere(Operation::CloseLingering, Carries::Nothing, samples());
}

#[test]
fn in_removal() {
    let _turn = turn();
    kill_anywhere(Operation::Removal, Carries::Nothing, samples());
}

#[test]
fn in_creating_a_channel_with_a_schema() {
    let _turn = turn();
    kill_anywhere(Operation::Create, Carries::Schema, samples());
}

#[test]
fn in_takeover_of_a_channel_with_a_schema() {
    let _turn = turn();
    kill_anywhere(Operation::Takeover, Carries::Schema, samples());
}

#[test]
fn in_replacing_a_channel_with_a_schema() {
    let _turn = turn();
    kill_anywhere(Operation::Replacement, Carries::Schema, samples());
}

#[test]
fn in_closing_a_channel_with_a_schema() {
    let _turn = turn();
    kill_anywhere(Operation::Close, Carries::Schema, samples());
}

#[test]
fn in_removal_of_a_channel_with_a_schema() {
    let _turn = turn();
    kill_anywhere(Operation::Removal, Carries::Schema, samples());
}

#[test]
fn in_replacing_a_channel_by_one_with_a_schema() {
    let _turn = turn();
    kill_anywhere(Operation::Replacement, Carries::Nothing, samples());
}

#[test]
fn in_creating_a_block() {
    let _turn = turn();
    kill_with_a_block(Life::Create, samples());
}

#[test]
fn in_replacing_a_dead_owners_block() {
    let _turn = turn();
    kill_with_a_block(Life::Replace, samples());
}

#[test]
fn in_closing_a_block() {
    let _turn = turn();
    kill_with_a_block(Life::Close, samples());
}

#[test]
fn in_a_publish_on_a_sealed_channel() {
    let _turn = turn();
    kill_at_a_sealed_channel(Sealed::Publish, u64::MAX);
}

#[test]
fn in_a_growth_of_a_sealed_channel() {
    let _turn = turn();
    kill_at_a_sealed_channel(Sealed::Grow, samples());
}

#[test]
fn in_opening_the_descriptor_of_a_sealed_channel() {
    let _turn = turn();
    kill_at_a_sealed_channel(Sealed::Open, samples());
}

#[test]
fn in_reading_the_first_larger_state_of_a_sealed_channel() {
    let _turn = turn();
    kill_at_a_sealed_channel(Sealed::ReadLarger, samples());
}
