//! Channels of other hosts in this host's shared memory.

pub mod carrier;
pub mod message;
pub mod pattern;
pub mod sink;
pub mod source;
