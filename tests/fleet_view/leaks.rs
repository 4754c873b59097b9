//! What a process has open: descriptors, mappings of shared memory, and threads.

use std::collections::BTreeSet;
use std::fs;

use tearless::{Bytes, Namespace};

use super::common::eventually;
use testkit::objects::{DIRECTORY, Objects};

/// The characters that the names of the namespace's objects begin with. The namespace is empty.
pub(crate) fn prefix_of(namespace: &Namespace) -> String {
    let writer = namespace.writer_builder::<Vec<u8>>("probe").codec::<Bytes>().open().unwrap();
    let prefix = Objects::of(namespace.name(), "probe").namespace_prefix().to_owned();
    writer.close().unwrap();
    prefix
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Resources {
    /// The path and the target of each descriptor.
    descriptors: BTreeSet<String>,
    /// Mappings of shared memory.
    mappings: Vec<String>,
    threads: usize,
}

impl Resources {
    pub(crate) fn now() -> Resources {
        let entries = |path: &str| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        // The listing has a descriptor itself, which is closed before its link is read.
        let links = entries("/proc/self/fd").collect::<Vec<_>>();
        let link = |path: &std::path::PathBuf| {
            fs::read_link(path).ok().map(|target| format!("{} -> {}", path.display(), target.display()))
        };
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let shared = maps.lines().filter(|line| line.contains(DIRECTORY));
        Resources {
            descriptors: links.iter().filter_map(link).collect(),
            mappings: shared.map(str::to_owned).collect(),
            threads: entries("/proc/self/task").count(),
        }
    }
}

impl Resources {
    pub(crate) fn mappings(&self) -> usize {
        self.mappings.len()
    }
}

/// Panics if the process has kept something. The kernel may list a joined thread for a moment
/// longer.
pub(crate) fn assert_back_at(before: &Resources) {
    eventually("all threads have ended", || Resources::now().threads <= before.threads);
    assert_eq!(Resources::now(), *before);
}
