//! How much memory processes have, as the kernel says.

use std::fs;

use crate::Failure;
use crate::common;

/// Bytes of one process that others don't share.
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

    /// What has been added since `before`.
    pub(crate) fn since(self, before: Private) -> Private {
        Private {
            private: self.private.saturating_sub(before.private),
            page_tables: self.page_tables.saturating_sub(before.page_tables),
        }
    }
}

/// Bytes of one process, with its share of what several have.
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

    pub(crate) fn bytes(self) -> u64 {
        self.memory + self.page_tables
    }
}

/// Bytes of shared objects that a process has mapped and that are in memory, by kind.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Objects {
    pub(crate) control: u64,
    pub(crate) segments: u64,
    pub(crate) registry: u64,
}

/// What begins the name of every object, and the position of its kind in the name: see the layout's page.
const OBJECT: &str = "/tl_";
const KIND: usize = 20;

impl Objects {
    /// Of process `pid`, now. An object that is mapped twice is counted once.
    pub(crate) fn of(pid: u32) -> Result<Objects, Failure> {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps"))?;
        let (mut objects, mut names, mut kind) = (Objects::default(), Vec::new(), None);
        for line in text.lines() {
            if let Some(size) = line.strip_prefix("Rss:") {
                let bytes = parse_kilobytes(size);
                match kind.take() {
                    Some(Some(b'c')) => objects.control += bytes,
                    Some(Some(_)) => objects.segments += bytes,
                    Some(None) => objects.registry += bytes,
                    None => {}
                }
            } else if let Some((_, name)) = line.rsplit_once(OBJECT) {
                if !names.contains(&name) {
                    names.push(name);
                    // The registry's name is shorter than that.
                    kind = Some(name.as_bytes().get(KIND - OBJECT.len() + 1).copied());
                }
            }
        }
        Ok(objects)
    }

    pub(crate) fn bytes(self) -> u64 {
        self.control + self.segments + self.registry
    }
}

fn kilobytes(file: &str, key: &str) -> u64 {
    common::field(file, key).map_or(0, |value| parse_kilobytes(&value))
}

/// Bytes for `12 kB`.
fn parse_kilobytes(text: &str) -> u64 {
    text.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap_or(0) * 1024
}
