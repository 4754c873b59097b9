//! The identity of a process.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, PoisonError};

use crate::segment::ForkToken;

/// What tells a process from every other one that this machine ever ran. Parts that `/proc` doesn't tell are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProcessIdentity {
    /// Process id, in the process's own PID namespace.
    pub(crate) pid: u64,
    /// Clock ticks from boot to its start.
    pub(crate) start_time: u64,
    /// Random id of the boot.
    pub(crate) boot_id: [u64; 2],
    /// Inode of its PID namespace.
    pub(crate) pid_namespace: u64,
}

impl ProcessIdentity {
    /// This process. Read from `/proc` once, and again after a fork.
    pub(crate) fn of_self() -> ProcessIdentity {
        static KNOWN: Mutex<Option<(ForkToken, ProcessIdentity)>> = Mutex::new(None);
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        match *known {
            Some((token, identity)) if token.is_ours() => identity,
            _ => {
                let token = ForkToken::take();
                let identity = ProcessIdentity::read(token.pid());
                *known = Some((token, identity));
                identity
            }
        }
    }

    fn read(pid: u64) -> ProcessIdentity {
        ProcessIdentity {
            pid,
            start_time: start_time().unwrap_or(0),
            boot_id: boot_id().unwrap_or([0; 2]),
            pid_namespace: fs::metadata("/proc/self/ns/pid").map_or(0, |file| file.ino()),
        }
    }
}

/// Field 22 of `/proc/self/stat`, counted after the command's name, which may itself hold spaces and parentheses.
fn start_time() -> Option<u64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(22 - 3)?.parse().ok()
}

fn boot_id() -> Option<[u64; 2]> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let half = |range| u64::from_str_radix(digits.get(range)?, 16).ok();
    Some([half(0..16)?, half(16..32)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_known_on_linux_and_stays_the_same() {
        let identity = ProcessIdentity::of_self();
        assert_eq!(identity.pid, u64::from(std::process::id()));
        assert!(identity.start_time > 0 && identity.pid_namespace > 0 && identity.boot_id != [0; 2]);
        assert_eq!(ProcessIdentity::of_self(), identity);
    }
}
