//! How a channel's writer is.

use std::ffi::c_char;

use tearless::hub::Health;
use tearless::inspect::WriterState;
use tearless::{Bytes, Reader};

use crate::boundary::nanos;
use crate::status::Result;

/// The writer's process is alive.
pub const TL_WRITER_ALIVE: i32 = 1;
/// The process is alive, but a signal or a debugger has stopped it, or its control group is frozen.
pub const TL_WRITER_STOPPED: i32 = 2;
/// The process died without closing the channel. The last state stays readable.
pub const TL_WRITER_DEAD: i32 = 3;
/// The process exited without closing the channel. The last state stays readable.
pub const TL_WRITER_EXITED: i32 = 4;
/// The writer closed the channel.
pub const TL_WRITER_CLOSED: i32 = 5;
/// The process can't be seen from here.
pub const TL_WRITER_UNKNOWN: i32 = 6;
/// Of a mirrored channel: there is no news of its host.
pub const TL_WRITER_UNREACHABLE: i32 = 7;

/// The writer lives and has published recently.
pub const TL_HEALTH_FRESH: i32 = 1;
/// The writer lives, and its state has not changed for some time.
pub const TL_HEALTH_UNCHANGED: i32 = 2;
/// The writer is stopped, or has been silent for longer than it promises.
pub const TL_HEALTH_STALLED: i32 = 3;
/// The writer died.
pub const TL_HEALTH_DEAD: i32 = 4;
/// The writer exited without closing the channel.
pub const TL_HEALTH_EXITED: i32 = 5;
/// The writer closed the channel.
pub const TL_HEALTH_CLOSED: i32 = 6;
/// The writer lives and has published nothing yet.
pub const TL_HEALTH_EMPTY: i32 = 7;
/// Nothing is known of the writer.
pub const TL_HEALTH_UNKNOWN: i32 = 8;
/// Of a mirrored channel: there is no news of its host.
pub const TL_HEALTH_UNREACHABLE: i32 = 9;

/// The state of a channel's writer. It belongs to the reader that gave it; later versions may have
/// more members after these, and more states and healths. Durations are in nanoseconds as of the
/// call; -1 for what is not known.
#[repr(C)]
#[allow(non_camel_case_types, reason = "a name of C")]
pub struct tl_writer_state {
    /// The state of its process: TL_WRITER_ALIVE to TL_WRITER_UNREACHABLE, or one of a later
    /// version.
    pub state: i32,
    /// The judgement of that, of its last signs of life and of what it promises: TL_HEALTH_FRESH to
    /// TL_HEALTH_UNREACHABLE, or one of a later version.
    pub health: i32,
    /// The name of the writer's state in lower case, as "alive". Valid as long as the process.
    pub state_name: *const c_char,
    /// The name of the health in lower case, as "fresh". Valid as long as the process.
    pub health_name: *const c_char,
    /// Its process id, in its own PID namespace; of a mirrored channel, that of the mirror here.
    pub pid: u64,
    /// How many writers the channel has had so far, it included.
    pub incarnation: u64,
    /// Time since its last heartbeat; a publication is none.
    pub heartbeat_age_ns: i64,
    /// The longest time between two signs of life that it promises: heartbeats or publications.
    pub heartbeat_interval_ns: i64,
}

// SAFETY: the addresses in it are those of texts that every thread may read.
unsafe impl Send for tl_writer_state {}

impl tl_writer_state {
    pub(crate) fn of(reader: &mut Reader<Vec<u8>, Bytes>) -> Result<tl_writer_state> {
        let state = reader.writer_state()?;
        let (number, state_name) = match state {
            WriterState::Alive => (TL_WRITER_ALIVE, c"alive"),
            WriterState::Stopped => (TL_WRITER_STOPPED, c"stopped"),
            WriterState::Dead => (TL_WRITER_DEAD, c"dead"),
            WriterState::Exited => (TL_WRITER_EXITED, c"exited"),
            WriterState::Closed => (TL_WRITER_CLOSED, c"closed"),
            WriterState::Unreachable => (TL_WRITER_UNREACHABLE, c"unreachable"),
            _ => (TL_WRITER_UNKNOWN, c"unknown"),
        };
        let (health, health_name) = match reader.health_with(state) {
            Health::Fresh { .. } => (TL_HEALTH_FRESH, c"fresh"),
            Health::Unchanged { .. } => (TL_HEALTH_UNCHANGED, c"unchanged"),
            Health::Stalled { .. } => (TL_HEALTH_STALLED, c"stalled"),
            Health::Dead { .. } => (TL_HEALTH_DEAD, c"dead"),
            Health::Exited { .. } => (TL_HEALTH_EXITED, c"exited"),
            Health::Closed => (TL_HEALTH_CLOSED, c"closed"),
            Health::Empty => (TL_HEALTH_EMPTY, c"empty"),
            Health::Unreachable { .. } => (TL_HEALTH_UNREACHABLE, c"unreachable"),
            _ => (TL_HEALTH_UNKNOWN, c"unknown"),
        };
        Ok(tl_writer_state {
            state: number,
            health,
            state_name: state_name.as_ptr(),
            health_name: health_name.as_ptr(),
            pid: reader.writer_pid(),
            incarnation: reader.incarnation(),
            heartbeat_age_ns: nanos(reader.heartbeat_age()),
            heartbeat_interval_ns: nanos(reader.heartbeat_interval()),
        })
    }
}
