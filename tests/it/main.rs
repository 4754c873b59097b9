//! The promises of the library, one module each.
//!
//! The tests of this program run in threads of one process. Each test has its own namespace and
//! changes nothing that the threads share. What forks, lowers limits, changes the user, counts
//! descriptors or gives up system calls runs in an actor: a process that runs the same test in
//! another role. If the process itself is the subject, the test is a program of its own beside this
//! one.

#[path = "../common/mod.rs"]
mod common;

#[cfg(feature = "message-pack")]
mod asleep;
#[cfg(all(feature = "postcard", feature = "message-pack"))]
mod bad_input;
#[cfg(feature = "schema")]
mod blocks;
#[cfg(all(feature = "schema", feature = "message-pack"))]
mod by_name;
#[cfg(all(feature = "schema", feature = "message-pack"))]
mod carried_schema;
#[cfg(all(feature = "postcard", feature = "message-pack"))]
mod claims;
#[cfg(all(feature = "schema", feature = "message-pack"))]
mod cleanup;
#[cfg(all(feature = "postcard", feature = "message-pack"))]
mod codecs;
mod crashes;
#[cfg(all(feature = "postcard", feature = "message-pack"))]
mod cuts;
#[cfg(all(feature = "postcard", feature = "message-pack"))]
mod descriptors;
#[cfg(feature = "schema")]
mod directory;
mod discovery;
#[cfg(feature = "dynamic")]
mod dynamic_reader;
#[cfg(feature = "dynamic")]
mod dynamic_values;
mod ends;
mod errors;
#[cfg(all(feature = "postcard", feature = "message-pack"))]
mod half_made;
#[cfg(all(feature = "postcard", feature = "message-pack"))]
mod health;
mod heartbeat;
#[cfg(all(feature = "postcard", feature = "message-pack"))]
mod history;
#[cfg(all(feature = "postcard", feature = "message-pack"))]
mod hub;
#[cfg(feature = "schema")]
mod huge_pages;
mod inspection;
#[cfg(all(feature = "schema", feature = "message-pack"))]
mod interface;
#[cfg(feature = "schema")]
mod large_pages;
#[cfg(feature = "schema")]
mod large_states;
#[cfg(all(feature = "postcard", feature = "message-pack"))]
mod liveness;
#[cfg(all(feature = "postcard", feature = "message-pack"))]
mod loans;
#[cfg(feature = "message-pack")]
mod mappings;
mod memory;
#[cfg(all(feature = "postcard", feature = "message-pack"))]
mod mirrored;
#[cfg(all(feature = "postcard", feature = "message-pack"))]
mod opening_cleans;
#[cfg(feature = "message-pack")]
mod other_versions;
#[cfg(feature = "dynamic")]
mod own_encoding;
#[cfg(all(feature = "postcard", feature = "message-pack"))]
mod processes;
mod readers_that_fail;
#[cfg(all(feature = "postcard", feature = "message-pack"))]
mod registry;
#[cfg(all(feature = "schema", feature = "message-pack"))]
mod removed_names;
#[cfg(all(feature = "schema", feature = "message-pack"))]
mod saved;
#[cfg(all(feature = "postcard", feature = "message-pack"))]
mod sealed;
#[cfg(feature = "schema")]
mod selecting;
mod squatted_names;
#[cfg(all(feature = "postcard", feature = "message-pack"))]
mod strangers;
mod syncer;
#[cfg(all(feature = "postcard", feature = "message-pack"))]
mod truncation;
#[cfg(all(feature = "schema", feature = "message-pack"))]
mod users;
#[cfg(all(feature = "schema", feature = "postcard", feature = "message-pack"))]
mod views;
#[cfg(feature = "schema")]
mod views_typed;
#[cfg(all(feature = "postcard", feature = "message-pack"))]
mod waiting;
mod waiting_faults;
#[cfg(all(feature = "postcard", feature = "message-pack"))]
mod watching;
#[cfg(feature = "message-pack")]
mod who_lives;
