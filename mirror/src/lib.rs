//! Channels of other hosts in this host's shared memory, read there at the speed of memory.
//!
//! `docs/mirror.md` says what a mirror guarantees, and how it is run. [`source`] and [`sink`] are
//! the protocol, without time, threads or sockets, at a [`pace`]; [`carrier`] brings their
//! [`message`]s; [`local`] has the channels of this host; [`run`] puts them together.

pub mod carrier;
#[cfg(feature = "zenoh")]
pub mod config;
mod lag;
pub mod local;
pub mod message;
#[cfg(feature = "zenoh")]
mod origin;
pub mod pace;
#[cfg(feature = "zenoh")]
pub mod run;
pub mod sink;
pub mod source;
pub mod status;
