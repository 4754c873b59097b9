//! Publishing and taking a snapshot while nobody else uses the channel, beside memcpy.

use std::hint::black_box;
use std::time::Duration;

use tearless::{Bytes, Namespace};

use super::timing;
use crate::child::text;
use crate::interrupt::Interrupt;

/// What one size costs, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Uncontended {
    pub(super) bytes: usize,
    /// From one warm buffer into another.
    pub(super) memcpy: f64,
    pub(super) publish: f64,
    pub(super) snapshot: f64,
}

/// # Errors
///
/// What went wrong, in words; also if it was interrupted.
pub(super) fn measure(
    namespace: &Namespace,
    bytes: usize,
    budget: Duration,
    interrupt: &Interrupt,
) -> Result<Uncontended, String> {
    let channel = format!("uncontended {bytes}");
    let builder = namespace.writer_builder::<[u8]>(&channel).codec::<Bytes>();
    let mut writer = builder.capacity(bytes).open().map_err(text)?;
    let payload = vec![7_u8; bytes];
    writer.publish(&payload).map_err(text)?;
    let builder = namespace.reader_builder::<Vec<u8>>(&channel).codec::<Bytes>();
    let mut reader = builder.open().map_err(text)?;
    let (mut state, mut copy) = (Vec::new(), vec![0_u8; bytes]);
    let (mut failed, mut published) = (None, 1);

    let [memcpy, publish, snapshot] = timing::medians(
        budget,
        interrupt,
        [
            &mut |times| {
                for _ in 0..times {
                    black_box(&mut copy[..]).copy_from_slice(black_box(&payload));
                }
            },
            &mut |times| {
                for _ in 0..times {
                    match writer.publish(black_box(&payload)) {
                        Ok(number) => published = number,
                        Err(error) => failed = Some(text(error)),
                    }
                }
            },
            &mut |times| {
                for _ in 0..times {
                    // What goes wrong here does so for good, and the last look below finds it.
                    let _ = black_box(reader.snapshot_into(black_box(&mut state)));
                }
            },
        ],
    )?;
    if let Some(reason) = failed {
        return Err(reason);
    }
    let info = reader.snapshot_into(&mut state).map_err(text)?;
    writer.close().map_err(text)?;
    if state != payload || copy != payload || info.publication() != published {
        return Err(format!("the last snapshot of {bytes} bytes is not what was published"));
    }
    Ok(Uncontended { bytes, memcpy, publish, snapshot })
}
