//! Channels that tests make up.

use tearless::mirror::ChannelFormat;

use crate::message::{Description, Status, Writer};

/// The status of a worker that is at work.
pub const ALIVE: Status = Status {
    incarnation: 1,
    pid: 2,
    writer: Writer::Alive,
    heartbeat_interval: None,
    heartbeat_age: None,
    opened_ago: None,
    ended_ago: None,
};

/// A channel of bytes in the namespace `fleet`, which has room for states of so many.
#[must_use]
pub fn described(channel: &str, capacity: u64) -> Description {
    let format = ChannelFormat {
        codec: "bytes".into(),
        type_name: "bytes".into(),
        fingerprint: 1,
        schema: None,
        max_state_len: 1 << 30,
        capacity,
    };
    Description { namespace: "fleet".into(), channel: channel.into(), instance: 1, format }
}
