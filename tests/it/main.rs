//! The promises of the library, one module each.
//!
//! The tests of this program run in threads of one process. Each test has its own namespace and
//! changes nothing that the threads share. What forks, lowers limits, changes the user, counts
//! descriptors or gives up system calls runs in an actor: a process that runs the same test in
//! another role. If the process itself is the subject, the test is a program of its own beside this
//! one.

#[path = "../common/mod.rs"]
mod common;

#[cfg(feature = "postcard")]
mod bad_input;
#[cfg(all(feature = "schema", feature = "message-pack"))]
mod by_name;
#[cfg(feature = "schema")]
mod carried_schema;
#[cfg(feature = "postcard")]
mod claims;
#[cfg(feature = "schema")]
mod cleanup;
#[cfg(all(feature = "postcard", feature = "message-pack"))]
mod codecs;
mod crashes;
#[cfg(feature = "postcard")]
mod cuts;
#[cfg(feature = "postcard")]
mod descriptors;
mod discovery;
#[cfg(feature = "dynamic")]
mod dynamic_reader;
#[cfg(feature = "dynamic")]
mod dynamic_values;
#[cfg(feature = "postcard")]
mod half_made;
#[cfg(feature = "postcard")]
mod health;
mod heartbeat;
#[cfg(feature = "postcard")]
mod history;
#[cfg(all(feature = "postcard", feature = "message-pack"))]
mod hub;
mod inspection;
#[cfg(feature = "postcard")]
mod liveness;
mod memory;
#[cfg(feature = "postcard")]
mod opening_cleans;
#[cfg(feature = "postcard")]
mod processes;
mod readers_that_fail;
#[cfg(feature = "postcard")]
mod registry;
mod removed_names;
mod squatted_names;
#[cfg(feature = "postcard")]
mod strangers;
mod syncer;
#[cfg(feature = "postcard")]
mod truncation;
#[cfg(feature = "postcard")]
mod waiting;
mod waiting_faults;
#[cfg(feature = "postcard")]
mod watching;
