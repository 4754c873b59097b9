//! The directory where objects are, and which directories can have objects.

use std::borrow::Cow;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, Mode as FileMode, OFlags, Stat, accessat, fstat, fstatfs};
use rustix::io::Errno;

use super::super::error::{quoted, unmapped_text};
use super::super::{DEFAULT_DIRECTORY, is_own_user, mapping};
use crate::layout::PAGE_BYTES;

/// The type of a file system of huge pages.
pub(super) const HUGETLBFS: rustix::fs::FsWord = 0x9584_58f6;

/// Why no object can be in a file system of other machines.
const NETWORK: &str = "whose mapped memory is a copy of this machine's, and whose server can stop or kill \
                       (SIGBUS) all processes of the namespace";
/// Why no object can be in a file system of a program.
const PROGRAM: &str = "whose pages come from a program that can stop or kill (SIGBUS) all processes of the \
                       namespace";
/// Why no object can be in a file system that writes each change to another place.
const COPIES: &str = "which writes changes to other places than the reserved ones: a full disk kills (SIGBUS) \
                      a writer";

/// Why no object can be in a file system of the kernel's.
const KERNEL: &str = "which shows data of the kernel and keeps no files";

/// File systems that can't hold objects: types as in `linux/magic.h` or as the file system defines
/// it, the name, and the reason.
const REFUSED: [(u32, &str, &str); 25] = [
    (0x6969, "NFS", NETWORK),
    (0x517b, "SMB", NETWORK),
    (0xff53_4d42, "CIFS", NETWORK),
    (0xfe53_4d42, "SMB", NETWORK),
    (0x7375_7245, "Coda", NETWORK),
    (0x5346_414f, "AFS", NETWORK),
    (0x6b41_4653, "AFS", NETWORK),
    (0x00c3_6400, "Ceph", NETWORK),
    (0x0102_1997, "9p", NETWORK),
    (0x7461_636f, "OCFS2", NETWORK),
    (0x0116_1970, "GFS2", NETWORK),
    (0x0bd0_0bd0, "Lustre", NETWORK),
    (0x4750_4653, "GPFS", NETWORK),
    (0x1983_0326, "BeeGFS", NETWORK),
    (0x2003_0528, "OrangeFS", NETWORK),
    (0x786f_4256, "VirtualBox's shared folders", PROGRAM),
    (0xbacb_acbc, "VMware's shared folders", PROGRAM),
    (0x6573_5546, "FUSE", PROGRAM),
    (0x9fa0, "procfs", KERNEL),
    (0x6265_6572, "sysfs", KERNEL),
    (0x9123_683e, "Btrfs", COPIES),
    (0xca45_1a4e, "bcachefs", COPIES),
    (0x2fc1_2fc1, "ZFS", COPIES),
    (0xf2f5_2010, "F2FS", COPIES),
    (0x3434, "NILFS2", COPIES),
];

/// The directory where the objects of a namespace are.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    /// Absolute.
    path: Cow<'static, str>,
    /// Bytes of a page, if it is on a file system of huge pages: sizes and mappings are multiples.
    huge: Option<usize>,
}

impl Default for Directory {
    /// No system call.
    fn default() -> Directory {
        Directory { path: DEFAULT_DIRECTORY.into(), huge: None }
    }
}

impl Directory {
    /// The directory at `path`, if objects can be there, and if no user but its owner, a trusted
    /// one, can remove the objects of others; otherwise what is wrong, and what to do. The
    /// default one is not examined.
    ///
    /// The path is followed again for each object, so a directory that is replaced is found.
    pub(super) fn of(path: &Path, is_trusted: impl Fn(u32) -> bool) -> Result<Directory, String> {
        let absolute = std::path::absolute(path).map_err(|error| {
            format!("{path:?} can't be made absolute ({error}): give the absolute path of a directory")
        })?;
        let absolute = absolute.components().collect::<std::path::PathBuf>();
        let directory = absolute
            .into_os_string()
            .into_string()
            .ok()
            .filter(|path| !path.chars().any(char::is_control))
            .ok_or_else(|| {
                let text =
                    "is no path of UTF-8 characters, without control characters: choose another directory";
                format!("{path:?} {text}")
            })?;
        if directory == DEFAULT_DIRECTORY {
            return Ok(Directory::default());
        }
        let failed = |errno| text_of_failure(&directory, errno);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(&*directory, flags, FileMode::empty()).map_err(failed)?;
        let (stat, found) = fstat(&opened).and_then(|stat| Ok((stat, fstatfs(&opened)?))).map_err(failed)?;
        let refusal = refusal(found.f_type).map(|reason| format!("{directory} is on {reason}"));
        let is_trusted = is_trusted(stat.st_uid) || is_own(&opened, &stat);
        if let Some(problem) = refusal.or_else(|| text_of_owner(&directory, &stat, is_trusted)) {
            return Err(problem);
        }
        let huge = usize::try_from(found.f_bsize).ok().filter(|_| found.f_type == HUGETLBFS);
        Ok(Directory { path: directory.into(), huge })
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Whether all pages of its file system are huge.
    pub(super) fn has_huge_pages(&self) -> bool {
        self.huge.is_some()
    }

    /// Bytes of the pages by which objects take memory, and are mapped.
    pub(super) fn pages(&self) -> usize {
        self.huge.unwrap_or_else(mapping::page_bytes)
    }

    /// Every object's size is a multiple of this.
    pub(super) fn unit(&self) -> usize {
        self.huge.unwrap_or(PAGE_BYTES)
    }

    /// The size of an object that shall have this many bytes.
    pub(super) fn round(&self, bytes: usize) -> usize {
        bytes.next_multiple_of(self.unit())
    }
}

/// What to do about a directory that is not there.
pub(super) fn missing_text(directory: &str) -> String {
    format!("{directory} does not exist: mkdir -p -m 700 {}", quoted(directory))
}

/// The file system, and why it can't hold objects.
fn refusal(kind: rustix::fs::FsWord) -> Option<String> {
    let is_it = |refused: &u32| i128::from(kind) & 0xffff_ffff == i128::from(*refused);
    let (_, name, reason) = REFUSED.iter().find(|(refused, ..)| is_it(refused))?;
    Some(format!("{name}, {reason}: use a directory of a tmpfs"))
}

fn text_of_failure(directory: &str, errno: Errno) -> String {
    match errno {
        Errno::NOENT => missing_text(directory),
        Errno::NOTDIR => format!("{directory} is not a directory: choose another one"),
        // The directory itself needs no permission.
        Errno::ACCESS => {
            let refuses = |it: &&Path| accessat(CWD, *it, Access::EXEC_OK, AtFlags::EACCESS).is_err();
            let above = Path::new(directory).ancestors().skip(1).filter(refuses).last();
            let above = quoted(above.and_then(Path::to_str).unwrap_or("/"));
            let user = rustix::process::geteuid().as_raw();
            format!("user {user} may not look up {directory}: chmod o+x {above}, or use another directory")
        }
        errno => format!("{directory} can't be opened ({}): use another one", std::io::Error::from(errno)),
    }
}

/// Whether a directory is this user's. If the system shows other users with this id, too, it tells:
/// only an inode's own user may open it with this flag, or a process with privileges over an id
/// that is mapped.
fn is_own(opened: &OwnedFd, stat: &Stat) -> bool {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOATIME | OFlags::CLOEXEC;
    let is_proved = || rustix::fs::openat(opened, ".", flags, FileMode::empty()).is_ok();
    is_own_user(stat.st_uid) || stat.st_uid == rustix::process::geteuid().as_raw() && is_proved()
}

/// Why users other than trusted ones can remove the objects of a directory, if they can.
fn text_of_owner(directory: &str, stat: &Stat, is_trusted: bool) -> Option<String> {
    const OTHERS_MAY_WRITE: u32 = 0o022;
    const STICKY: u32 = 0o1000;
    let (owner, mode) = (stat.st_uid, stat.st_mode & 0o7777);
    if !is_trusted {
        let trust = "trust that user explicitly (NamespaceBuilder::trust_owner), or ";
        return Some(format!(
            "{directory} belongs to user {owner}, which is not trusted: {}use a directory of this user",
            unmapped_text(owner, trust)
        ));
    }
    (mode & OTHERS_MAY_WRITE != 0 && mode & STICKY == 0).then(|| {
        format!(
            "users other than the owner may remove objects from {directory} (permissions {mode:o}): \
             chmod +t {path}, or chmod go-w {path}",
            path = quoted(directory)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_without_shared_or_reserved_memory_are_refused_by_name() {
        let refused = |kind: u32| refusal(kind.into());
        assert!(refused(0x6969).unwrap().starts_with("NFS, whose mapped memory is a copy"));
        for (kind, name, reason) in REFUSED {
            let text = refused(kind).unwrap();
            assert!(text.contains(name) && text.contains(reason) && text.contains("tmpfs"), "{text}");
        }
        for usable in [0x0102_1994, 0xef53, 0x794c_7630, 0x9584_58f6, 0x5846_5342] {
            assert_eq!(refused(usable), None, "tmpfs, ext4, overlayfs, hugetlbfs, XFS");
        }
    }
}
