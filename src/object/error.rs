//! The error of an object, and its texts: what happened, to which object, and what to do.

use std::borrow::Cow;
use std::{fmt, io};

use super::{DEFAULT_DIRECTORY, directory_of, is_own_user, may_be_unmapped};
use crate::layout;

/// The [kind](ObjectError::Recorded) of a reason that has its whole text.
pub(crate) const RECORDED: u64 = 2;

/// An error of one shared-memory object. Its `object` is the object's path; of a namespace
/// [inside this process](crate::Namespace::in_process), which has no files, its name.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// There is no object of that name.
    #[error("shared-memory object {object} does not exist")]
    NotFound {
        /// Its path.
        object: String,
    },
    /// An object of that name exists already.
    #[error("shared-memory object {object} exists already")]
    Exists {
        /// Its path.
        object: String,
    },
    /// Its creator has made the name but not yet the memory.
    #[error(
        "shared-memory object {object} is still empty, its creator has not finished it: retry, or open a \
         writer for its channel if the creator is dead"
    )]
    Unfinished {
        /// Its path.
        object: String,
    },
    /// Another process owns it.
    #[error("shared-memory object {object} is claimed by another process: retry once that process has ended")]
    Claimed {
        /// Its path.
        object: String,
    },
    /// Its memory can't be reserved.
    #[error("no room for {bytes} bytes of shared memory ({object}): {}", room_text(object))]
    NoSpace {
        /// Its path.
        object: String,
        /// Requested bytes.
        bytes: usize,
    },
    /// The system doesn't allow it.
    #[error("no permission for shared-memory object {object}{}", refusal_text(*owner))]
    PermissionDenied {
        /// Its path.
        object: String,
        /// Numeric id of its owner, if it exists.
        owner: Option<u32>,
    },
    /// This process runs as another user than the owner, and would create objects that the others'
    /// readers refuse: it has changed its user after opening, or resumes another user's channel.
    #[error(
        "shared-memory object {object} belongs to user {owner}, and this process runs as user {user} \
         now: a channel belongs to one user; change the user before opening, or run as user {owner}"
    )]
    NotOwner {
        /// Its path.
        object: String,
        /// Numeric id of its owner.
        owner: u32,
        /// Numeric id of this process's effective user.
        user: u32,
    },
    /// This process may not give the object to the group.
    #[error(
        "shared-memory object {object} can't be given to group {group}: add this process's user to the \
         group (in a systemd unit: SupplementaryGroups=)"
    )]
    NotMember {
        /// Its path.
        object: String,
        /// Numeric id of the group.
        group: u32,
    },
    /// The namespace's registry admits another group already.
    #[error(
        "registry {object} admits group {found}, and this writer asks for group {wanted}: give all \
         writers of a namespace the same group (NamespaceBuilder::group)"
    )]
    OtherGroup {
        /// Its path.
        object: String,
        /// Numeric id of the registry's group.
        found: u32,
        /// Numeric id of the group that this writer asks for.
        wanted: u32,
    },
    /// Another program put something else under this name.
    #[error(
        "{object} is not an object of this library ({reason}): find out which program made it, \
         and remove it"
    )]
    Foreign {
        /// Its path.
        object: String,
        /// Why it is not one of our objects.
        reason: String,
    },
    /// Another version of the library made it.
    #[error(
        "{object} has layout version {found}, this library uses version {}: use the same version of \
         tearless in all processes; if no process uses it, {} removes it",
        layout::VERSION,
        cleanup_text(directory_of(object))
    )]
    OtherVersion {
        /// Its path.
        object: String,
        /// The object's version.
        found: u64,
    },
    /// It is the registry of another namespace, whose name has the same hash.
    #[error(
        "{object} is the registry of namespace {other:?}, whose name has the same hash as \
         {namespace:?}: choose another name for one of the two"
    )]
    OtherNamespace {
        /// Its path.
        object: String,
        /// The namespace that was asked for.
        namespace: Box<str>,
        /// The namespace that it belongs to.
        other: Box<str>,
    },
    /// A descriptor is not one of a sealed channel: another process could truncate what it leads
    /// to, and a read would then kill this process.
    #[error("{object} does not lead to a sealed channel: {reason}")]
    NotSealed {
        /// What it was asked of.
        object: String,
        /// What it is.
        reason: String,
    },
    /// It belongs to another user.
    #[error("shared-memory object {object} belongs to user {owner}, which is not trusted: {}use another namespace",
        unmapped_text(*owner, "trust that user explicitly (NamespaceBuilder::trust_owner), or "))]
    OtherOwner {
        /// Its path.
        object: String,
        /// Numeric id of its owner.
        owner: u32,
    },
    /// The place of shared memory is missing, or lacks what every object needs.
    #[error("shared memory can't be used: {problem}")]
    Unusable {
        /// What is missing, and what to do.
        problem: String,
    },
    /// It can't have the huge pages that its writer requires.
    #[error(
        "no huge pages for shared-memory object {object} ({reason}): ask for HugePages::IfPossible, or \
         keep the namespace in a directory of a tmpfs or on hugetlbfs"
    )]
    NoHugePages {
        /// Its path.
        object: String,
        /// Why there are none.
        reason: String,
    },
    /// A limit of this process, or of the system, does not allow it.
    #[error("{operation} failed for shared-memory object {object}: {limit}")]
    Limit {
        /// Its path.
        object: String,
        /// The operation that failed.
        operation: &'static str,
        /// Which limit.
        limit: ResourceLimit,
    },
    /// The registry has no entry left.
    #[error(
        "registry {object} has {channels} channels, and no room for another one: remove those of dead \
         writers (`Namespace::clean` with `Retention::Nothing`), or use several namespaces"
    )]
    Full {
        /// Its path.
        object: String,
        /// Maximum number of channels in a namespace.
        channels: usize,
    },
    /// What a file of [saved](crate::saved) channels says of an object that could not be read.
    #[error("{}{text}", recorded_text(*kind, text))]
    Recorded {
        /// How the file counts reasons: 2 for all of which it has the whole text. Larger numbers
        /// are of a later version.
        kind: u64,
        /// The text that was saved with it.
        text: String,
    },
    /// The system refused for another reason.
    #[error("{operation} failed for shared-memory object {object}: {source}")]
    Os {
        /// Its path.
        object: String,
        /// The operation that failed.
        operation: &'static str,
        /// The system's reason.
        r#source: io::Error,
    },
}

debug_as_display!(ObjectError);

/// A limit that an operation has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResourceLimit {
    /// The length of the files that this process may write: at most this many bytes.
    FileSize(u64),
    /// The memory that this process may lock: it locks all that it maps.
    LockedMemory,
    /// The number of mappings, or their size. The library makes up to 15/16 of the mappings that
    /// the system allows, so that the rest of the process can still allocate memory. It counts its
    /// own mappings only: with more than a sixteenth by other code, the process reaches the limit.
    /// Of the size, it counts all that the process has.
    Mappings,
    /// The number of open descriptors.
    Descriptors,
    /// The number of files in the file system, such as `/dev/shm`.
    Inodes,
}

impl fmt::Display for ResourceLimit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            ResourceLimit::FileSize(max) => {
                return write!(
                    formatter,
                    "this process may not make files of more than {max} bytes: raise that limit \
                     (ulimit -f, in a systemd unit LimitFSIZE=)"
                );
            }
            ResourceLimit::LockedMemory => {
                "this process locks all memory that it maps, and may not lock that much: raise that \
                 limit (ulimit -l, in a systemd unit LimitMEMLOCK=)"
            }
            ResourceLimit::Mappings => {
                "this process has too many mappings, or too much memory is mapped: raise \
                 vm.max_map_count or the limit of its address space (ulimit -v), or drop readers; \
                 /proc/self/maps shows what other code of the process maps"
            }
            ResourceLimit::Descriptors => {
                "too many descriptors are open: raise that limit (ulimit -n, in a systemd unit \
                 LimitNOFILE=)"
            }
            ResourceLimit::Inodes => {
                "no inode is left: remove files, or let a tmpfs have more (mount -o remount,nr_inodes=…)"
            }
        })
    }
}

impl ObjectError {
    /// The directory of the object; empty if it is not known.
    pub(crate) fn directory(&self) -> &str {
        match self {
            ObjectError::Unusable { .. } | ObjectError::Recorded { .. } => "",
            ObjectError::NotFound { object }
            | ObjectError::Exists { object }
            | ObjectError::Unfinished { object }
            | ObjectError::Claimed { object }
            | ObjectError::NoSpace { object, .. }
            | ObjectError::PermissionDenied { object, .. }
            | ObjectError::NotOwner { object, .. }
            | ObjectError::NotMember { object, .. }
            | ObjectError::OtherGroup { object, .. }
            | ObjectError::Foreign { object, .. }
            | ObjectError::OtherVersion { object, .. }
            | ObjectError::OtherNamespace { object, .. }
            | ObjectError::NotSealed { object, .. }
            | ObjectError::OtherOwner { object, .. }
            | ObjectError::NoHugePages { object, .. }
            | ObjectError::Limit { object, .. }
            | ObjectError::Full { object, .. }
            | ObjectError::Os { object, .. } => directory_of(object),
        }
    }

    /// Whether the reason may be a passing lack of descriptors, mappings or memory.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, ObjectError::Os { .. } | ObjectError::Limit { .. } | ObjectError::NoSpace { .. })
    }
}

/// What is before the text of a saved reason.
fn recorded_text(kind: u64, text: &str) -> String {
    match kind {
        ..=RECORDED => String::new(),
        _ if text.is_empty() => {
            format!("a problem of kind {kind}, which only a later version of tearless knows")
        }
        _ => format!("a problem of kind {kind}, which only a later version of tearless knows: "),
    }
}

/// What to do first about an owner that may be any of several users; `otherwise` about another one.
pub(super) fn unmapped_text(owner: u32, otherwise: &str) -> String {
    let text = format!(
        "the user namespace of this process shows all users without an id there as {owner}, which can't be \
         trusted: map the owner's id into it (`unshare --map-users`, or the container's map of users), or "
    );
    if may_be_unmapped(owner) { text } else { otherwise.into() }
}

/// How to make room for an object.
fn room_text(object: &str) -> String {
    match directory_of(object) {
        DEFAULT_DIRECTORY => {
            "free memory in /dev/shm, or enlarge it (mount -o remount,size=… /dev/shm)".into()
        }
        "" => "free memory, or raise the limit of this process's control group, or of the machine \
             (vm.overcommit_memory)"
            .into(),
        directory => format!(
            "remove files from {directory}, or enlarge it (a tmpfs: mount -o remount,size=…; hugetlbfs: sysctl \
             vm.nr_hugepages=…; a disk: its file system, or this user's quota)"
        ),
    }
}

/// What removes the leftovers in a directory; an empty one is not known.
pub(crate) fn cleanup_text(directory: &str) -> String {
    let place = match directory {
        "" | DEFAULT_DIRECTORY => String::new(),
        directory => format!(" --directory {}", quoted(directory)),
    };
    format!("`tearless{place} gc` or `Namespace::clean`")
}

/// A name or a path as a shell takes it: in quotes, if it needs them.
#[must_use]
pub fn quoted(word: &str) -> Cow<'_, str> {
    let is_plain = |it: char| it.is_ascii_alphanumeric() || "/._-+,:@%=".contains(it);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.into(),
        false => format!("'{}'", word.replace('\'', r"'\''")).into(),
    }
}

/// `, which belongs to user 7`, if the owner is known, and what to do.
fn refusal_text(owner: Option<u32>) -> String {
    let whose = owner.map_or_else(String::new, |owner| format!(", which belongs to user {owner}"));
    let unmapped = owner.map_or_else(String::new, |owner| unmapped_text(owner, ""));
    let advice = if owner.is_some_and(is_own_user) {
        "its permissions forbid it (`chmod 600`), or a filter of system calls or a security module does"
    } else {
        "run as its owner; all writers can admit other readers to their namespace \
         (NamespaceBuilder::permissions, NamespaceBuilder::group)"
    };
    format!("{whose}: {unmapped}{advice}")
}
