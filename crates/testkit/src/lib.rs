//! What the tests and benchmarks of tearless share: child processes and what can be done to them,
//! the machine, tables, statistics, and the objects in shared memory.
//!
//! This crate does not depend on tearless, so that a test of the library may use it. A namespace or
//! a channel is a plain name here. Where the system refuses a call, everything here panics.
#![deny(unsafe_code)]
#![expect(clippy::missing_panics_doc, reason = "tests and benchmarks end where the system refuses a call")]

pub mod child;
#[expect(unsafe_code, reason = "an allocator is unsafe to implement")]
pub mod counting;
#[expect(unsafe_code, reason = "calls the system as the standard library does not")]
pub mod fork;
pub mod machine;
pub mod objects;
#[expect(unsafe_code, reason = "calls the system as the standard library does not")]
pub mod seccomp;
pub mod stats;
pub mod table;
#[expect(unsafe_code, reason = "calls the system as the standard library does not")]
pub mod trace;
