//! stub
#![deny(unsafe_code)]
#![warn(unreachable_pub)]
#[cfg(not(target_endian = "little"))]
compile_error!("tearless lays words out in little-endian order and supports little-endian targets only");
#[cfg(not(target_pointer_width = "64"))]
compile_error!("tearless needs 64-bit atomic words and supports 64-bit targets only");
#[cfg(not(target_os = "linux"))]
compile_error!(
    "tearless supports Linux only for now: its locks, reservations and read-only mappings are tested there"
);

mod channel;
mod checksum;
mod clock;
mod codec;
mod layout;
mod liveness;
mod memory;
mod namespace;
mod reader;
mod segment;
mod seqlock;
mod snapshot;
mod writer;

pub use channel::{
    AttachError, AttachPolicy, CreateError, NameError, PublishError, RemoveError, RetryPolicy, SnapshotError,
};
pub use clock::Timestamp;
#[cfg(feature = "message-pack")]
pub use codec::MessagePack;
#[cfg(feature = "postcard")]
pub use codec::Postcard;
pub use codec::{Bytes, Codec, CodecError, Decode, Encode, Pod};
pub use namespace::Namespace;
pub use reader::{Reader, ReaderBuilder};
pub use segment::{Heap, ObjectError, SharedMemory};
pub use snapshot::{Snapshot, SnapshotInfo};
pub use writer::{Writer, WriterBuilder};
