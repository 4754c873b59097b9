//! What the tests and benchmarks of tearless share: child processes and operations on them, the
//! machine, tables, statistics, and the objects in shared memory.
//!
//! This crate does not depend on tearless, so the library's own tests can use it. It takes
//! namespaces and channels as plain names. Everything here panics if the system refuses a call.
#![deny(unsafe_code)]
#![expect(clippy::missing_panics_doc, reason = "tests and benchmarks end if the system refuses a call")]

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
