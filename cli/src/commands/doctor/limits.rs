//! The machine's limits of shared memory, and the place of its directory.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;
use tearless::inspect::{Capability, may_be_unmapped, quoted};

use super::finding::Finding;
use crate::directory::{DEV_SHM, Directory};
use crate::output::bytes;

/// Containers get a smaller `/dev/shm` by default, which is too small for a busy fleet.
const SMALL: u64 = 64 << 20;
/// The percentage of a limit at which it counts as nearly reached.
const NEARLY: u64 = 90;

pub(super) fn examine(directory: &Directory) -> Vec<Finding> {
    let mut findings = match directory.capabilities() {
        Ok(tried) => tried.iter().filter_map(|it| judge_capability(it, directory)).collect(),
        Err(error) => vec![Finding::problem("create", error.to_string(), BEFORE)],
    };
    // Without a file system no object can be created, which another finding says.
    findings.extend(directory.space().and_then(|(all, free)| judge_space(directory.path(), all, free)));
    let (real, mounts) = (directory.real_path(), fs::read_to_string("/proc/self/mounts").unwrap_or_default());
    let access = |path: &Path| fs::metadata(path).ok().map(|found| (found.uid(), found.mode()));
    if let Some((owner, _)) = access(&real) {
        let mount = mount_of(&mounts, &real).map(|mount| judge_mount(&mount, &real));
        findings.extend(mount.into_iter().flatten().flatten());
        let fleet = [0, rustix::process::geteuid().as_raw(), owner];
        findings.extend(real.ancestors().skip(1).filter_map(|it| judge_above(it, access(it)?, &fleet)));
    }
    findings.extend(control_group());
    findings
}

/// What a capability is needed for.
const BEFORE: &str = "no channel can be created or grow before that; reading, and states that fit, may work";

/// A capability that is missing.
fn judge_capability(capability: &Capability, directory: &Directory) -> Option<Finding> {
    let what = capability.problem.as_ref()?.to_string();
    Some(match (capability.is_required(), reader_of(directory).filter(|_| capability.name == "create")) {
        (true, None) => Finding::problem(capability.name, what, BEFORE),
        (true, Some((user, owner))) => {
            let what = format!("user {user} may not create files in {}", directory.path().display());
            let advice = format!("readers need not; writers run as the directory's owner, user {owner}");
            Finding::note(capability.name, what, advice)
        }
        (false, _) => Finding::note(capability.name, what, "waiting costs more; nothing else is affected"),
    })
}

/// This user and the owner of the directory that the command line names, if this user may only
/// read there.
fn reader_of(directory: &Directory) -> Option<(u32, u32)> {
    let named = directory.named()?;
    let (user, owner) = (rustix::process::geteuid().as_raw(), fs::metadata(named).ok()?.uid());
    let may_write = accessat(CWD, named, Access::WRITE_OK, AtFlags::EACCESS);
    (owner != user && may_write == Err(Errno::ACCESS)).then_some((user, owner))
}

/// The mount of a file system.
#[derive(Debug, PartialEq, Eq)]
struct Mount<'a> {
    point: String,
    kind: &'a str,
    options: &'a str,
}

/// The mount that a directory is on.
fn mount_of<'a>(mounts: &'a str, directory: &Path) -> Option<Mount<'a>> {
    let parsed = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let point = fields.next()?.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n");
        Some(Mount { point: point.replace("\\134", "\\"), kind: fields.next()?, options: fields.next()? })
    });
    // Of those at one point, the last one is on top.
    parsed.filter(|mount| directory.starts_with(&mount.point)).max_by_key(|mount| mount.point.len())
}

/// Whether each object takes a huge page, and whether the directory is on a disk.
fn judge_mount(mount: &Mount<'_>, directory: &Path) -> [Option<Finding>; 2] {
    let Mount { point, kind, options } = mount;
    let what = format!("{point} is mounted with huge=always: each object takes up to 2 MiB");
    let advice = format!("mount -o remount,huge=within_size {}", quoted(point));
    let huge = options.contains("huge=always").then(|| Finding::note("shm-huge", what, advice));
    let directory = directory.display();
    let what = format!(
        "{directory} is on a disk, or on what may be one ({kind}): the kernel writes states back, and a writer may wait \
         for that; after a reboot the files are there, and no state is"
    );
    let advice = "use a directory of a tmpfs; or let the machine empty this one when it boots";
    [huge, (!IN_MEMORY.contains(kind)).then(|| Finding::note("shm-disk", what, advice))]
}

/// The file systems without a disk.
const IN_MEMORY: [&str; 4] = ["tmpfs", "ramfs", "devtmpfs", "hugetlbfs"];

/// Whether users other than these may put another directory in the place of one below `above`.
fn judge_above(above: &Path, (owner, mode): (u32, u32), fleet: &[u32]) -> Option<Finding> {
    const OTHERS_MAY_WRITE: u32 = 0o022;
    const STICKY: u32 = 0o1000;
    let above = above.display().to_string();
    let path = quoted(&above);
    let (who, advice) = match !fleet.contains(&owner) && !may_be_unmapped(owner) {
        true => (format!("user {owner}"), format!("chown root {path}")),
        false if mode & OTHERS_MAY_WRITE != 0 && mode & STICKY == 0 => {
            ("other users".into(), format!("chmod +t {path}, or chmod go-w {path}"))
        }
        false => return None,
    };
    let what = format!("{who} may change {above}, and put another directory in the place of yours");
    Some(Finding::note("shm-above", what, advice + ", or use another directory"))
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
    let file = |group: &Path, name| fs::read_to_string(group.join(name)).ok();
    // A group without a limit has a text there.
    let number = |group: &Path, name| file(group, name)?.trim().parse::<u64>().ok();
    inner.ancestors().take_while(|group| group.starts_with(root)).find_map(|group| {
        let (used, files) = (number(group, "memory.current")?, reclaimable(&file(group, "memory.stat")?));
        judge_group(group, used.saturating_sub(files), number(group, "memory.max")?)
    })
}

/// The bytes of copies of files that the kernel drops before it kills a process: shared memory is
/// not among them.
fn reclaimable(statistics: &str) -> u64 {
    let bytes = |name| statistics.lines().find_map(|line| line.strip_prefix(name)?.parse::<u64>().ok());
    [bytes("active_file "), bytes("inactive_file ")].into_iter().flatten().sum::<u64>()
}

fn judge_group(group: &Path, used: u64, limit: u64) -> Option<Finding> {
    let is_reached = is_nearly_reached(used, limit);
    let (used, limit, group) = (bytes(used), bytes(limit), group.display());
    let what =
        format!("{used} of {limit} of the memory of control group {group} are used, without cached files");
    let advice = "raise its memory.max, or the system may kill one of its processes";
    is_reached.then(|| Finding::problem("cgroup-memory", what, advice))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Mount, judge_above, judge_group, judge_mount, judge_space, mount_of, reclaimable};

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
        let statistics = "anon 5\nfile 70\nshmem 8\ninactive_anon 9\ninactive_file 20\nactive_file 40\n";
        assert_eq!((reclaimable(statistics), reclaimable("")), (60, 0));
    }

    #[test]
    fn a_directory_is_on_the_innermost_mount() {
        let mounts = "none / overlay rw 0 0\nnone /run tmpfs rw 0 0\nnone /run/user tmpfs rw,huge=always 0 0\n\
                      none /run/user tmpfs ro 0 0\nnone /my\\040mount\\134040 tmpfs rw,huge=always 0 0\n";
        for (directory, point, kind, options, checks) in [
            ("/run/fleet", "/run", "tmpfs", "rw", &[][..]),
            ("/run/user/7", "/run/user", "tmpfs", "ro", &[]),
            ("/running", "/", "overlay", "rw", &["shm-disk"]),
            ("/my mount\\040/fleet", "/my mount\\040", "tmpfs", "rw,huge=always", &["shm-huge"]),
        ] {
            let (directory, point) = (Path::new(directory), point.to_owned());
            let mount = mount_of(mounts, directory).unwrap();
            assert_eq!(mount, Mount { point, kind, options });
            let found: Vec<_> =
                judge_mount(&mount, directory).into_iter().flatten().map(|it| it.check).collect();
            assert_eq!(found, checks, "{directory:?}");
        }
    }

    #[test]
    fn only_root_and_the_fleet_may_change_what_is_above() {
        let advice = |owner, mode| {
            let found = judge_above(Path::new("/srv"), (owner, mode), &[0, 5, 6]);
            found.map(|finding| finding.advice)
        };
        for fine in [(0, 0o755), (5, 0o700), (6, 0o755), (0, 0o1777), (5, 0o1775)] {
            assert_eq!(advice(fine.0, fine.1), None, "{fine:?}");
        }
        for odd in [0o777, 0o775, 0o722] {
            assert!(advice(0, odd).unwrap().starts_with("chmod +t /srv"), "{odd:o}");
        }
        assert!(advice(7, 0o755).unwrap().starts_with("chown root /srv"));
    }
}
