//! Channels in a file, across a reboot, and for the report of a fault:
//! [`Namespace::save`](crate::Namespace::save), [`Namespace::restore`](crate::Namespace::restore),
//! and [`Saved`], which reads such a file without shared memory.
//!
//! ```
//! # #[cfg(feature = "message-pack")]
//! # fn main() -> Result<(), tearless::Error> {
//! use tearless::{Namespace, saved::{RestorePolicy, Saved}};
//! # let directory = std::env::temp_dir().join(format!("tearless-saved-{}", std::process::id()));
//! # let file = directory.as_path();
//!
//! let fleet = Namespace::in_process("fleet")?;
//! let mut writer = fleet.writer::<u64>("worker-7")?;
//! writer.publish(&3)?;
//! fleet.save(file, &[])?; // all channels, at the machine's shutdown
//!
//! // after the boot
//! let (fleet, saved) = (Namespace::in_process("fleet")?, Saved::open(file)?);
//! fleet.restore(&saved, &[], RestorePolicy::default())?;
//! assert_eq!(*fleet.reader::<u64>("worker-7")?.snapshot()?, 3);
//! assert_eq!(fleet.writer::<u64>("worker-7")?.publish(&4)?, 2);
//! # std::fs::remove_file(file).unwrap();
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "message-pack"))]
//! # fn main() {}
//! ```
//!
//! # What is saved
//!
//! Of each channel: an [`Inspection`], its schema, its latest state, and the states before it that
//! its rings still hold ([`Reader::history`](crate::Reader::history)). Each state is whole. A
//! channel whose writer lives may publish between the inspection and the states, which are later.
//! The file is no copy of the objects: its [format](#format) is its own.
//!
//! The file is written beside `path` (with `.tmp` at the end of its name), flushed to the disk, and
//! renamed. So after a kill, a loss of power or a full disk there is the former file or the new
//! one, each whole. Its lock (`flock`) keeps two saves apart, and shows the next one what a killed
//! one left beside, which it removes. A file system without locks is refused
//! ([`SavedError::NoLocks`]), and nothing is left there, if it knows files without names
//! (`O_TMPFILE`). Only the own user may read the file (`0o600`). A symbolic link at `path` is
//! replaced. The directory is flushed last: if that fails, the new file is there, and a loss of
//! power may bring back the former one.
//!
//! [Blocks](crate::block) and [mirrored](crate::mirror) channels are not saved: the latter are
//! saved on their own hosts.
//!
//! # What is restored
//!
//! A channel whose last writer closed it and left its states (as
//! [`WriterBuilder::linger`](crate::WriterBuilder::linger) does): readers and hubs read them, and
//! the next writer resumes, with the next number. [`Namespace::clean`](crate::Namespace::clean)
//! keeps it as it keeps a state that was left on purpose. The restoring process counts as one of
//! its writers.
//!
//! | | after the restore |
//! |---|---|
//! | numbers, payloads, type name, codec, schema, checksum option, pins, permissions, `max_state_len` | as saved |
//! | slots | as many as in the channel's segment with fewer |
//! | age of a state | the time since it was published: exact in the same boot, else by the wall clocks of both; not known if these contradict each other, or if it had none |
//! | timestamps | count as [coarse](crate::options::TimestampSource::Coarse) |
//! | group, and permissions of the registry | those of the namespace that restores |
//! | instance, writer, heartbeats, promises | new; those of the file are in its [`Inspection`] |
//!
//! A channel becomes visible with all its states, or not at all.
//!
//! # Format
//!
//! Version 1. All numbers are little-endian. A file is a head, records, and nothing else:
//!
//! | | bytes | what |
//! |---|---:|---|
//! | head | 8 | `tlsaved` and a line feed |
//! | | 4 | version |
//! | | 4 | CRC32C of these 12 bytes |
//! | record | 4 | kind: `file`, then for each channel a `chan` and its `stat`s, newest first; `skip`s; at last `end.` |
//! | | 4 | how many records are before it |
//! | | 8 | length of the body |
//! | | | the body |
//! | | 4 | CRC32C of the 16 bytes and the body |
//!
//! A body is a sequence of numbers of 8 bytes, and of texts, which are a length and as many bytes.
//! What may be missing begins with 0, or with 1 and the value. Times of day are nanoseconds since
//! 1970, durations nanoseconds, choices the index of the variant in its documentation. A segment
//! begins with 0. If it can't be read, it is a reason and a text: 1 and the object that is missing,
//! or 2 and the error. Later versions may know more reasons; each has a text.
//!
//! | record | body |
//! |---|---|
//! | `file` | namespace; time of day; host; boot id; user; process id; version of the library; version of the layout |
//! | `chan` | the fields of [`Inspection`] in their order, except for the namespace; the schema, if it is whole; why the latest state is missing, if it is |
//! | `stat` | number; timestamp (`CLOCK_BOOTTIME`; 0: none); age; time of day; and all the rest is the payload |
//! | `skip` | name of a channel that could not be saved; why |
//! | `end.` | number of `chan`s |

mod format;
mod load;
mod restore;
mod save;
#[cfg(any(test, fuzzing))]
pub(crate) mod tests;

pub use load::Saved;
pub(crate) use restore::restore;
pub use restore::{RestoreOutcome, RestorePolicy, RestoreReport, Restored};
pub use save::SaveReport;
pub(crate) use save::save;

use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use format::VERSION;

use crate::channel::{AttachError, CreateError, PublishError, RemoveError};
use crate::inspect::Inspection;
use crate::object::ObjectError;

/// Where a file of saved channels comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SavedOrigin {
    /// The namespace.
    pub namespace: String,
    /// When it was saved, by the wall clock of that machine.
    pub saved_at: SystemTime,
    /// Name of the machine; empty if it is not known.
    pub host: String,
    /// Id of the machine's boot, as `/proc/sys/kernel/random/boot_id` shows it; all zero if it is
    /// not known.
    pub boot_id: String,
    /// Numeric id of the user that saved it.
    pub user: u32,
    /// Process id of the process that saved it.
    pub pid: u64,
    /// Version of the library that saved it.
    pub library_version: String,
    /// Version of the layout of the channels in shared memory.
    pub layout_version: u64,
}

/// A channel in a file.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SavedChannel {
    /// The channel as it was when it was saved. Ages in it, and its
    /// [health](Inspection::health), are of that moment.
    pub inspection: Inspection,
    /// Its schema, if it carries one: [`schema`](crate::schema) reads it.
    pub schema: Option<Vec<u8>>,
    /// Why the latest state is missing; `None` if it is there, or if nothing was published.
    pub problem: Option<String>,
    /// Its states, newest first. Empty if nothing was published, or if the latest is missing.
    pub states: Vec<SavedState>,
}

impl SavedChannel {
    /// The channel's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inspection.channel
    }
}

/// A state in a file. [`Saved::payload`] reads its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SavedState {
    /// Number of the publication.
    pub publication: u64,
    /// Length of the payload, in bytes.
    pub len: u64,
    /// Time from its publication to the save; `None` if it has no timestamp.
    pub age: Option<Duration>,
    /// The time of day of its publication, by the wall clock of that machine; `None` if it has no
    /// timestamp.
    pub published_at: Option<SystemTime>,
    /// Its timestamp; 0 for none.
    time: u64,
    /// Where its record begins.
    offset: u64,
    /// Index of that record.
    index: u32,
}

/// A channel that could not be saved.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unsaved {
    /// Its name.
    pub channel: String,
    /// Why.
    pub reason: String,
}

/// A file of channels can't be saved, read or restored.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum SavedError {
    /// The system refused: the disk is full, the file is missing, its directory is not writable.
    #[error("can't {operation} {}: {source}{}", path.display(), advice(source))]
    File {
        /// The file.
        path: PathBuf,
        /// What failed.
        operation: &'static str,
        /// The system's reason.
        r#source: io::Error,
    },
    /// The file beside it can't be locked. Without a lock, two saves could spoil each other's file.
    #[error(
        "can't lock {} ({source}){}; save to a file system with locks (flock), and copy the file from there",
        path.display(),
        if *exists {
            ": another process is saving to it, or it was left by one that was killed: remove it if no process saves"
        } else {
            ", so another save could spoil it"
        }
    )]
    NoLocks {
        /// The file beside.
        path: PathBuf,
        /// Whether it is there, from another save.
        exists: bool,
        /// The system's reason.
        r#source: io::Error,
    },
    /// Another process is saving to the same file.
    #[error("another process is saving to {}: wait for its end, or choose another file", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// It is not a file of saved channels.
    #[error("{} is not a file of saved channels: `Namespace::save` makes one", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A later version of the library wrote it.
    #[error(
        "{} has version {found} of the format of saved channels, and this library knows version {VERSION}: \
         read it with the version of tearless that saved it",
        path.display()
    )]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// It ends too early: it was copied in part. A save leaves no such file.
    #[error(
        "{} ends too early, in the record at byte {offset}: copy it again from where it was saved",
        path.display()
    )]
    Cut {
        /// The file.
        path: PathBuf,
        /// Where the record begins that is not whole.
        offset: u64,
    },
    /// Its bytes were changed.
    #[error(
        "{} is damaged at byte {offset}: {reason}; copy it again from where it was saved",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// A channel that was asked for is not there.
    #[error("there is no channel {pattern:?} in {place}: leave the name out for all channels")]
    NoSuchChannel {
        /// Its name, or the pattern that no name matches.
        pattern: String,
        /// The namespace, or the file.
        place: String,
    },
    /// No channel of the namespace could be saved. The former file, if there is one, is as it was.
    #[error(
        "no channel of namespace {namespace:?} could be saved, and the former file, if there is one, is as it \
         was{}",
        reasons(unsaved)
    )]
    NothingToSave {
        /// The namespace.
        namespace: String,
        /// The channels that can't be read; empty if there is none at all.
        unsaved: Vec<Unsaved>,
    },
    /// The file has no latest state of the channel, so that its numbers can't continue.
    #[error(
        "the file has no latest state of channel {channel:?}: when it was saved, {reason}; its next writer \
         begins with number 1, or restore it from another file"
    )]
    NoState {
        /// The channel.
        channel: String,
        /// Why it could not be saved.
        reason: String,
    },
    /// An object can't be used: the list of the namespace's channels, for example.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// A channel of that name can't be examined.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// A channel can't be created.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// A state can't be published.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// A restored channel can't be closed.
    #[error(transparent)]
    Close(#[from] RemoveError),
}

debug_as_display!(SavedError);

fn reasons(unsaved: &[Unsaved]) -> String {
    unsaved.iter().map(|it| format!("; channel {:?}: {}", it.channel, it.reason)).collect()
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; the former file, if there is one, is as it was: make room, or save elsewhere"
        }
        _ => "",
    }
}
