//! Inspections of hostile memory, and of channels that change during the inspection.

mod concurrent;
mod hostile;
mod names;

use super::{Inspection, SlotState, inspect};
use crate::channel::{ChannelName, ChannelWriter, Format, WriterOptions};
use crate::object::Heap;

/// Opens the channel, or resumes it.
fn open(heap: &Heap, name: &ChannelName) -> ChannelWriter {
    let mut writer =
        crate::channel::open(&heap.shared(), name, &WriterOptions::new(Format::new("bytes", "State")))
            .unwrap();
    writer.set_linger(true);
    writer
}

/// A channel with five publications.
fn channel() -> (Heap, ChannelName, ChannelWriter) {
    let heap = Heap::new();
    let name = ChannelName::new("fleet", "worker").unwrap();
    let mut writer = open(&heap, &name);
    for len in 0..5 {
        writer.publish(&vec![1; len]).unwrap();
    }
    (heap, name, writer)
}
