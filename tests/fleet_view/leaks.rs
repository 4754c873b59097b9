//! What a process has open: descriptors, mappings of shared memory, threads; and what stands in shared memory.

use std::collections::BTreeSet;
use std::fs;

use tearless::{Bytes, Namespace};

use super::common::eventually;
use super::common::objects::{DIRECTORY, Objects};

/// Characters that the names of all objects of a namespace begin with.
const PREFIX: usize = 10;

/// What the objects of the namespace begin with. There is none yet.
pub(crate) fn prefix_of(namespace: &Namespace) -> String {
    let writer = namespace.writer_builder::<Vec<u8>>("probe").codec::<Bytes>().open().unwrap();
    let name = Objects::of(namespace, "probe").name("c");
    writer.close().unwrap();
    name[..PREFIX].to_owned()
}

/// The objects whose names begin like this.
pub(crate) fn objects(prefix: &str) -> Vec<String> {
    let names = fs::read_dir(DIRECTORY).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter_map(|name| name.into_string().ok()).filter(|name| name.starts_with(prefix)).collect()
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Resources {
    /// What each descriptor is of.
    descriptors: BTreeSet<String>,
    /// Mappings of shared memory.
    mappings: Vec<String>,
    threads: usize,
}

impl Resources {
    pub(crate) fn now() -> Resources {
        let entries = |path: &str| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        // The listing itself has a descriptor, which is closed when its link is read.
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

/// Nothing has been kept. A thread that was joined may be listed for a moment longer.
pub(crate) fn assert_back_at(before: &Resources) {
    eventually("all threads are gone", || Resources::now().threads <= before.threads);
    assert_eq!(Resources::now(), *before);
}
