//! The machine's limits of shared memory.

use std::fs;
use std::path::Path;

use tearless::inspect::{Capability, quoted};

use super::finding::Finding;
use crate::directory::{DEV_SHM, Directory};
use crate::output::bytes;

/// Containers get a smaller `/dev/shm` by default, which is too small for a busy fleet.
const SMALL: u64 = 64 << 20;
/// The percentage of a limit at which it counts as nearly reached.
const NEARLY: u64 = 90;

pub(super) fn examine(directory: &Directory) -> Vec<Finding> {
    let tried = match directory.capabilities() {
        Ok(tried) => tried.iter().filter_map(judge_capability).collect(),
        Err(error) => vec![Finding::problem("create", error.to_string(), BEFORE)],
    };
    let path = directory.path();
    let memory = shared_memory(path).into_iter().chain(huge_pages(path));
    tried.into_iter().chain(memory).chain(control_group()).collect()
}

/// What a capability is needed for.
const BEFORE: &str = "no channel can be created or grow before that; reading, and states that fit, may work";

/// A capability that is missing.
fn judge_capability(capability: &Capability) -> Option<Finding> {
    let what = capability.problem.as_ref()?.to_string();
    Some(match capability.is_required() {
        true => Finding::problem(capability.name, what, BEFORE),
        false => Finding::note(capability.name, what, "waiting costs more; nothing else is affected"),
    })
}

/// Whether each object takes a huge page.
fn huge_pages(directory: &Path) -> Option<Finding> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let (mount, options) = mount_of(&mounts, &fs::canonicalize(directory).ok()?)?;
    let what = format!("{mount} is mounted with huge=always: each object takes up to 2 MiB");
    let advice = format!("mount -o remount,huge=within_size {}", quoted(&mount));
    options.contains("huge=always").then(|| Finding::note("shm-huge", what, advice))
}

/// The mount point of the file system that a directory is on, and its options.
fn mount_of<'a>(mounts: &'a str, directory: &Path) -> Option<(String, &'a str)> {
    let parsed = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let mount = fields.nth(1)?.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n");
        Some((mount.replace("\\134", "\\"), fields.nth(1)?))
    });
    // Of those at one point, the last one is on top.
    parsed.filter(|(mount, _)| directory.starts_with(mount)).max_by_key(|(mount, _)| mount.len())
}

fn shared_memory(directory: &Path) -> Option<Finding> {
    // Without it, no object can be created, which another finding says.
    let found = rustix::fs::statvfs(directory).ok()?;
    let (all, free) = (found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize);
    judge_space(directory, all, free)
}

/// `all` is 0 if there is no limit.
fn judge_space(directory: &Path, all: u64, free: u64) -> Option<Finding> {
    let used = all.saturating_sub(free);
    let larger = match directory.to_str() {
        Some(DEV_SHM) => "mount -o remount,size=… /dev/shm (of a container: --shm-size)",
        _ => "of a tmpfs, mount -o remount,size=…",
    };
    let directory = directory.display();
    if is_nearly_reached(used, all) {
        let what =
            format!("{} of {} in {directory} are used: channels soon can't grow", bytes(used), bytes(all));
        let run = "`tearless namespaces` shows which namespace uses it; run `tearless gc`, or make it larger";
        return Some(Finding::problem("shm-full", what, format!("{run}: {larger}")));
    }
    let what = format!("{directory} has only {}", bytes(all));
    let advice = format!("if that is too little: {larger}");
    (all > 0 && all < SMALL).then(|| Finding::note("shm-size", what, advice))
}

fn is_nearly_reached(used: u64, limit: u64) -> bool {
    limit > 0 && u128::from(used) * 100 >= u128::from(limit) * u128::from(NEARLY)
}

/// The first control group around this process whose memory limit is nearly reached, if the groups
/// can be read.
fn control_group() -> Option<Finding> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let root = Path::new("/sys/fs/cgroup");
    let inner = root.join(own);
    let mut groups = inner.ancestors().take_while(|group| group.starts_with(root));
    groups
        .find_map(|group| judge_group(group, number(group, "memory.current")?, number(group, "memory.max")?))
}

/// `None` if there is no such file, or no limit: the file then contains `max`.
fn number(group: &Path, file: &str) -> Option<u64> {
    fs::read_to_string(group.join(file)).ok()?.trim().parse().ok()
}

fn judge_group(group: &Path, used: u64, limit: u64) -> Option<Finding> {
    let is_reached = is_nearly_reached(used, limit);
    let (used, limit, group) = (bytes(used), bytes(limit), group.display());
    let what =
        format!("{used} of {limit} of the memory of control group {group} are used, including shared memory");
    let advice = "raise its memory.max, or the system may kill one of its processes";
    is_reached.then(|| Finding::problem("cgroup-memory", what, advice))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{judge_group, judge_space, mount_of};

    #[test]
    fn nearly_full_is_a_problem_and_small_is_a_note() {
        let check = |all, free| judge_space(Path::new("/dev/shm"), all, free).map(|finding| finding.check);
        assert_eq!(check(1 << 30, 1 << 29), None);
        assert_eq!(check(1000 << 20, 101 << 20), None);
        assert_eq!(check(1000 << 20, 100 << 20), Some("shm-full"));
        assert_eq!(check(1 << 20, 1 << 20), Some("shm-size"));
        assert_eq!(check(0, 0), None, "no limit");
        assert_eq!(check(u64::MAX, 0), Some("shm-full"));
        let group =
            |used, limit| judge_group(Path::new("/sys/fs/cgroup"), used, limit).map(|finding| finding.check);
        assert_eq!(group(899, 1000), None);
        assert_eq!(group(900, 1000), Some("cgroup-memory"));
    }

    #[test]
    fn a_directory_is_on_the_innermost_mount() {
        let mounts = "none / overlay rw 0 0\nnone /run tmpfs rw 0 0\nnone /run/user tmpfs rw,huge=always 0 0\n\
                      none /run/user tmpfs ro 0 0\nnone /my\\040mount\\134040 tmpfs rw 0 0\n";
        for (directory, mount, options) in [
            ("/run/fleet", "/run", "rw"),
            ("/run/user/7", "/run/user", "ro"),
            ("/running", "/", "rw"),
            ("/my mount\\040/fleet", "/my mount\\040", "rw"),
        ] {
            assert_eq!(mount_of(mounts, Path::new(directory)), Some((mount.into(), options)));
        }
    }
}
