//! The native part of the Python package `tearless`: thin classes over the library, which
//! `tearless/*.py` completes.

#![warn(unreachable_pub)]

mod array;
mod block;
mod buffer;
mod errors;
mod fork;
mod hub;
mod namespace;
mod reader;
mod stream;
mod syncer;
mod values;
mod writer;

use pyo3::prelude::*;

#[pymodule]
mod _tearless {
    #[pymodule_export]
    use crate::array::{ArrayReaderBase, Layout};
    #[pymodule_export]
    use crate::block::Block;
    #[pymodule_export]
    use crate::fork::{after_fork, before_fork};
    #[pymodule_export]
    use crate::hub::{Hub, Status, Watch};
    #[pymodule_export]
    use crate::namespace::Namespace;
    #[pymodule_export]
    use crate::reader::{Origin, Reader, Snapshot, View};
    #[pymodule_export]
    use crate::stream::Stream;
    #[pymodule_export]
    use crate::syncer::Syncer;
    #[pymodule_export]
    use crate::writer::{Slot, Writer};
}
