//! Channels of other hosts in this host's shared memory, read there at the speed of memory.
//!
//! `docs/mirror.md` says what a mirror guarantees, and how it is run. [`source`] and [`sink`] are
//! the protocol, without time, threads or sockets; all sinks of a host ask at one [`pace`], and
//! `lag` is how late states come. [`carrier`] brings their [`message`]s, and [`local`] has the
//! channels of this host. `origin` is the work for one origin, and [`run`] puts all together.

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
#[doc(hidden)]
pub mod testing;
