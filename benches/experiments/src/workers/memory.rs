//! The memory of processes, as the kernel reports it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::Failure;
use crate::common;

/// Bytes of one process that it does not share.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Private {
    /// Anonymous memory: heap and stacks.
    pub(crate) private: u64,
    pub(crate) page_tables: u64,
}

impl Private {
    /// Of process `pid`, now.
    pub(crate) fn of(pid: u32) -> Private {
        let file = format!("/proc/{pid}/status");
        Private { private: kilobytes(&file, "RssAnon"), page_tables: kilobytes(&file, "VmPTE") }
    }

    /// The growth since `before`.
    pub(crate) fn since(self, before: Private) -> Private {
        Private {
            private: self.private.saturating_sub(before.private),
            page_tables: self.page_tables.saturating_sub(before.page_tables),
        }
    }
}

/// Bytes of one process, with its share of the memory that several processes share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Proportional {
    pub(crate) memory: u64,
    pub(crate) page_tables: u64,
}

impl Proportional {
    /// Of process `pid`, now.
    pub(crate) fn of(pid: u32) -> Proportional {
        Proportional {
            memory: kilobytes(&format!("/proc/{pid}/smaps_rollup"), "Pss"),
            page_tables: kilobytes(&format!("/proc/{pid}/status"), "VmPTE"),
        }
    }

    /// The sum.
    pub(crate) fn bytes(self) -> u64 {
        self.memory + self.page_tables
    }
}

/// Bytes of the shared objects that a process has mapped, by kind, and of the registry that lists
/// them. The first segments belong to `control`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Objects {
    pub(crate) control: u64,
    pub(crate) segments: u64,
    pub(crate) registry: u64,
}

/// The directory of the objects.
const DIRECTORY: &str = "/dev/shm/";

/// The beginning of their names. The layout's page explains the parts of names.
const PREFIX: &str = "tl_";

/// Where the namespace ends in a name.
const NAMESPACE_END: usize = 10;

/// The place of the kind in a name.
const KIND: usize = 20;

/// The kinds of a registry's objects: its first one, and its chunks.
const REGISTRY: [char; 2] = ['r', 't'];

impl Objects {
    /// Of process `pid`, now.
    pub(crate) fn of(pid: u32) -> Result<Objects, Failure> {
        let text = fs::read_to_string(format!("/proc/{pid}/maps"))?;
        let names = text.lines().filter_map(|line| Some(line.split_once(DIRECTORY)?.1));
        let names: BTreeSet<&str> = names.filter(|name| name.starts_with(PREFIX)).collect();
        let mut objects = Objects::default();
        for name in &names {
            match name.as_bytes().get(KIND) {
                Some(b'c') => objects.control += allocated(name)?,
                Some(_) => objects.segments += allocated(name)?,
                // A registry is mapped for moments only; its size is read below.
                None => {}
            }
        }
        if let Some(namespace) = names.first().and_then(|name| name.get(..NAMESPACE_END)) {
            for entry in fs::read_dir(DIRECTORY)? {
                let name = entry?.file_name().into_string().unwrap_or_default();
                let rest = name.strip_prefix(namespace).filter(|_| name.len() < KIND);
                if rest.is_some_and(|kind| kind.starts_with(REGISTRY)) {
                    objects.registry += allocated(&name)?;
                }
            }
        }
        Ok(objects)
    }

    /// The sum.
    pub(crate) fn bytes(self) -> u64 {
        self.control + self.segments + self.registry
    }
}

/// The memory of an object, in bytes.
fn allocated(name: &str) -> Result<u64, Failure> {
    const BLOCK: u64 = 512;
    Ok(fs::metadata(format!("{DIRECTORY}{name}"))?.blocks() * BLOCK)
}

/// Bytes of a value that a file of the kernel has in kilobytes.
fn kilobytes(file: &str, key: &str) -> u64 {
    common::field(file, key).map_or(0, |value| parse_kilobytes(&value))
}

/// Bytes for `12 kB`.
fn parse_kilobytes(text: &str) -> u64 {
    text.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap_or(0) * 1024
}
