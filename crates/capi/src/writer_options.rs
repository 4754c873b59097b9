//! Options of writers.

use std::ffi::c_char;

use tearless::options::TimestampSource;
use tearless::{Bytes, WriterBuilder};

use crate::boundary;
use crate::codec::{TL_BYTES, TL_MESSAGE_PACK, TL_PLAIN, codec_and_structure, codec_name};
use crate::status::{Failure, Result};
use crate::structure::tl_structure;
use crate::writer::Publisher;

/// Options of a writer. Make them with tl_writer_defaults(); what is 0 or NULL has its default.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types, reason = "a name of C")]
pub struct tl_writer_options {
    /// sizeof(tl_writer_options).
    pub struct_size: u32,
    /// What the states are: TL_BYTES, the default; TL_PLAIN, which needs a structure; or
    /// TL_MESSAGE_PACK.
    pub codec: i32,
    /// The name of the states' type, which readers compare. Default: "bytes" for bytes; for a
    /// plain struct its name, size and alignment, as readers in Rust expect it; MessagePack needs
    /// one.
    pub type_name: *const c_char,
    /// The plain struct that the states are: TL_STRUCTURE(type). The codec may then be 0.
    pub structure: *const tl_structure,
    /// Bytes of a state that fit without growing. Default: those of the structure, else 928.
    pub capacity: usize,
    /// How many publications the channel holds, at least. Default: 8, or 4 for states of more than
    /// 1 KiB.
    pub slots: usize,
    /// Bytes that a state may have at most. Default: 64 MiB.
    pub max_state_length: usize,
    /// How many views in place readers can hold at the same time, at most 64. Default: none, so
    /// that views are copies.
    pub pins: usize,
    /// Bytes of shared memory that the channel may take. Default: no limit.
    pub max_memory: u64,
    /// The longest time between two signs of life that the writer promises, in nanoseconds: a
    /// publication (not with no_timestamps), tl_writer_touch() or tl_writer_publish_if_changed().
    /// After three such times without one it is TL_HEALTH_STALLED. Default: no promise.
    pub heartbeat_interval_ns: i64,
    /// The permission bits of the channel's objects, as 0640. Default: those of the namespace.
    pub permissions: u32,
    /// 1 for publications with a CRC-32C, which readers verify. Default: none.
    pub checksum: i32,
    /// 1 to leave the last state readable after tl_writer_close(). Default: the channel is removed.
    pub linger: i32,
    /// 1 for publications without a timestamp, and so without an age; each then costs some 20 ns
    /// less.
    pub no_timestamps: i32,
}

// SAFETY: integers and raw pointers.
unsafe impl boundary::OfC for tl_writer_options {}

// SAFETY: it begins with its size.
unsafe impl boundary::Options for tl_writer_options {
    const NAME: &str = "tl_writer_options";
    const MADE_BY: &str = "begin with tl_writer_options options = tl_writer_defaults()";
}

impl tl_writer_options {
    /// # Safety
    ///
    /// Texts and structure are as their documentation says.
    pub(crate) unsafe fn open(&self, builder: WriterBuilder<[u8], Bytes>) -> Result<Publisher> {
        // SAFETY: the caller's promise.
        let type_name = unsafe { boundary::optional_text(self.type_name, "type_name")? };
        // SAFETY: the caller's promise.
        let (codec, structure) = unsafe { codec_and_structure(self.codec, self.structure)? };
        if codec == TL_PLAIN && structure.is_none() {
            return Err(Failure::invalid("TL_PLAIN needs a structure: describe the struct with TL_DESCRIBE"));
        }
        let mut builder = self.apply(builder)?.encoded_by(codec_name(codec)?);
        match (type_name, &structure) {
            (Some(name), _) => builder = builder.type_name(name),
            (None, Some(structure)) => builder = builder.type_name(&structure.type_name),
            (None, None) if codec == TL_BYTES => {}
            (None, None) => {
                return Err(Failure::invalid(
                    "a channel of MessagePack needs a type_name, by which readers know it",
                ));
            }
        }
        if let Some(structure) = &structure {
            if self.capacity == 0 {
                builder = builder.capacity(structure.size);
            }
            if let Some(schema) = &structure.schema {
                builder = builder.schema(schema);
            }
        }
        let state_len = structure.map(|structure| structure.size);
        Ok(Publisher::new(builder.open()?, state_len, codec == TL_MESSAGE_PACK))
    }

    /// The options that are numbers.
    fn apply(&self, mut builder: WriterBuilder<[u8], Bytes>) -> Result<WriterBuilder<[u8], Bytes>> {
        if self.capacity != 0 {
            builder = builder.capacity(self.capacity);
        }
        if self.slots != 0 {
            builder = builder.slots(self.slots);
        }
        if self.max_state_length != 0 {
            builder = builder.max_state_len(self.max_state_length);
        }
        if self.max_memory != 0 {
            builder = builder.max_memory(self.max_memory);
        }
        if self.permissions != 0 {
            builder = builder.permissions(self.permissions);
        }
        if self.heartbeat_interval_ns != 0 {
            let interval = boundary::duration(self.heartbeat_interval_ns, "heartbeat_interval_ns")?;
            builder = builder.heartbeat_interval(interval);
        }
        if boundary::flag(self.no_timestamps, "tl_writer_options.no_timestamps")? {
            builder = builder.timestamps(TimestampSource::None);
        }
        let checksum = boundary::flag(self.checksum, "tl_writer_options.checksum")?;
        let linger = boundary::flag(self.linger, "tl_writer_options.linger")?;
        Ok(builder.pins(self.pins).checksum(checksum).linger(linger))
    }
}
