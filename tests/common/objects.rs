//! The objects of a channel as they are listed in `/dev/shm`.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;

use tearless::Namespace;

/// Where Linux shows POSIX shared memory.
pub const DIRECTORY: &str = "/dev/shm";

/// Where the control page holds the channel's names, and who writes it: see docs/layout.md.
const NAMESPACE: u64 = 512;
const CHANNEL: u64 = 648;
/// Characters that the names of all objects of a namespace begin with.
const NAMESPACE_PREFIX: usize = 10;
/// Byte of the pid in the control page.
pub const PID: u64 = 256;
/// Byte of the start time in the control page.
pub const START_TIME: u64 = 264;

/// The objects of one channel.
#[derive(Clone, Debug)]
pub struct Objects {
    /// What the names of all its objects begin with.
    stem: String,
}

impl Objects {
    /// Finds the objects of a channel that exists, by what the control pages say.
    pub fn of(namespace: &Namespace, channel: &str) -> Objects {
        let all = fs::read_dir(DIRECTORY).unwrap().map(|entry| entry.unwrap().file_name());
        for name in all.filter_map(|name| name.into_string().ok()) {
            let Some(stem) = name.strip_suffix('c').filter(|stem| stem.starts_with("tl_")) else { continue };
            // Somebody's FIFO must not block.
            let options = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).clone();
            let Ok(page) = options.open(format!("{DIRECTORY}/{name}")) else { continue };
            if text_is(&page, NAMESPACE, namespace.name()) && text_is(&page, CHANNEL, channel) {
                return Objects { stem: stem.into() };
            }
        }
        panic!("no control page of {channel} in {}", namespace.name());
    }

    /// The name of one: `c`, `a1`, `b1`, `a2`, …
    pub fn name(&self, kind: &str) -> String {
        format!("{}{kind}", self.stem)
    }

    /// Where it is.
    pub fn path(&self, kind: &str) -> PathBuf {
        format!("{DIRECTORY}/{}", self.name(kind)).into()
    }

    /// The kinds of all that exist, sorted.
    pub fn listed(&self) -> Vec<String> {
        let all = fs::read_dir(DIRECTORY).unwrap().map(|entry| entry.unwrap().file_name());
        let kind = |name: String| name.strip_prefix(&self.stem).map(str::to_owned);
        let mut kinds: Vec<_> = all.filter_map(|name| name.into_string().ok().and_then(kind)).collect();
        kinds.sort();
        kinds
    }

    /// The registry of the namespace, in which there must be no other channel.
    pub fn registry(&self) -> PathBuf {
        let namespace = &self.stem[..NAMESPACE_PREFIX];
        let all = fs::read_dir(DIRECTORY).unwrap().map(|entry| entry.unwrap().path());
        let ours = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.starts_with(namespace) && !name.starts_with(&self.stem)
        };
        all.into_iter().find(ours).expect("a namespace with a channel has a registry")
    }

    /// The kinds of all segments whose names are gone and that a process still maps, sorted.
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
        let page = OpenOptions::new().write(true).open(self.path("c")).unwrap();
        page.write_all_at(&value.to_le_bytes(), byte).unwrap();
    }

    /// Cuts an object to `bytes`.
    pub fn truncate(&self, kind: &str, bytes: u64) {
        OpenOptions::new().write(true).open(self.path(kind)).unwrap().set_len(bytes).unwrap();
    }
}

/// Whether a length and then `text` stand at `byte`.
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
