//! The objects of one namespace or channel, as `/dev/shm` lists them. Objects of other namespaces
//! stay untouched.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;

use rustix::fs::OFlags;

/// Where Linux shows POSIX shared memory.
pub const DIRECTORY: &str = "/dev/shm";

/// The bytes of the control page that hold the channel's names: see docs/layout.md.
const NAMESPACE: u64 = 512;
const CHANNEL: u64 = 648;
/// Characters that the names of all objects of a namespace begin with.
pub const NAMESPACE_PREFIX: usize = 10;
/// Byte of the writer's pid in the control page.
pub const PID: u64 = 256;
/// Byte of the writer's start time in the control page.
pub const START_TIME: u64 = 264;
/// Byte of the schema's length in the control page; its fingerprint follows.
pub const SCHEMA_MARK: u64 = 1504;
/// The schema's first byte, behind the control page.
pub const SCHEMA: u64 = 1536;

/// The names of all objects that begin with `prefix`, sorted.
pub fn listed(prefix: &str) -> Vec<String> {
    let all = fs::read_dir(DIRECTORY).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = all.filter_map(|name| name.into_string().ok()).collect();
    names.retain(|name| name.starts_with(prefix));
    names.sort();
    names
}

/// The objects of one channel.
#[derive(Clone, Debug)]
pub struct Objects {
    /// The characters that the names of all its objects begin with.
    stem: String,
}

impl Objects {
    /// Finds the objects of an existing channel by the names in the control pages.
    pub fn of(namespace: &str, channel: &str) -> Objects {
        for name in listed("tl_") {
            let Some(stem) = name.strip_suffix('c') else { continue };
            // Without O_NONBLOCK, opening a FIFO blocks.
            let flags = OFlags::NONBLOCK.bits().cast_signed();
            let options = OpenOptions::new().read(true).custom_flags(flags).clone();
            let Ok(page) = options.open(format!("{DIRECTORY}/{name}")) else { continue };
            if text_is(&page, NAMESPACE, namespace) && text_is(&page, CHANNEL, channel) {
                return Objects { stem: stem.into() };
            }
        }
        panic!("no control page of {channel} in {namespace}");
    }

    /// The name of one object: `c`, `a2`, `b2`, …
    pub fn name(&self, kind: &str) -> String {
        format!("{}{kind}", self.stem)
    }

    /// The path of one object.
    pub fn path(&self, kind: &str) -> PathBuf {
        format!("{DIRECTORY}/{}", self.name(kind)).into()
    }

    /// The kinds of all objects that exist, sorted.
    pub fn listed(&self) -> Vec<String> {
        listed(&self.stem).iter().map(|name| name[self.stem.len()..].to_owned()).collect()
    }

    /// The characters that the names of all objects of the channel's namespace begin with.
    pub fn namespace_prefix(&self) -> &str {
        &self.stem[..NAMESPACE_PREFIX]
    }

    /// The path of the namespace's registry. The namespace must have no other channel.
    pub fn registry(&self) -> PathBuf {
        let names = listed(self.namespace_prefix());
        let registry = names.iter().find(|name| !name.starts_with(&self.stem));
        format!("{DIRECTORY}/{}", registry.expect("a namespace with a channel has a registry")).into()
    }

    /// The kinds of all unlinked segments that a process still maps, sorted.
    pub fn kept_by(&self, pid: u32) -> Vec<String> {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
        let path = format!("{DIRECTORY}/{}", self.stem);
        let removed = maps.lines().filter_map(|line| line.strip_suffix(" (deleted)"));
        let mut kinds: Vec<_> =
            removed.filter_map(|line| line.split_once(&path)).map(|(_, kind)| kind.to_owned()).collect();
        kinds.sort();
        kinds
    }

    /// Overwrites a word of the control page.
    pub fn forge(&self, byte: u64, value: u64) {
        self.overwrite(byte, &value.to_le_bytes());
    }

    /// Overwrites bytes of the channel's object.
    pub fn overwrite(&self, byte: u64, content: &[u8]) {
        let object = OpenOptions::new().write(true).open(self.path("c")).unwrap();
        object.write_all_at(content, byte).unwrap();
    }

    /// Truncates an object to `bytes`.
    pub fn truncate(&self, kind: &str, bytes: u64) {
        OpenOptions::new().write(true).open(self.path(kind)).unwrap().set_len(bytes).unwrap();
    }
}

/// Whether the page has the length of `text` at `byte`, and then `text`.
fn text_is(page: &File, byte: u64, text: &str) -> bool {
    let read = |byte, len| -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        page.read_exact_at(&mut bytes, byte)?;
        Ok(bytes)
    };
    let len = text.len() as u64;
    read(byte, 8).is_ok_and(|found| found == len.to_le_bytes())
        && read(byte + 8, text.len()).is_ok_and(|found| found == text.as_bytes())
}
