//! Writing a file of channels: beside the former one, flushed, and renamed.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustix::fs::{AtFlags, CWD, FlockOperation, OFlags, flock, linkat};
use rustix::io::Errno;

use super::format::{Before, Kind, VERSION, encode_channel, head};
use super::{SavedChannel, SavedError, SavedOrigin, SavedState, Unsaved};
use crate::channel::{AttachError, ChannelName, ChannelReader, ReaderOptions, SnapshotError, SnapshotInfo};
use crate::hub::Pattern;
use crate::inspect::{self, SchemaInspection};
use crate::layout;
use crate::liveness::ProcessIdentity;
use crate::object::Backend;
use crate::registry::Registry;

/// Attempts at a file that another process removes or locks.
const MAX_TRIES: usize = 16;

/// Attempts at a channel that is created again during the inspection.
const MAX_LOOKS: usize = 8;

pub(super) const NOT_REGULAR: &str = "it is not a regular file";

/// What [`Namespace::save`](crate::Namespace::save) did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SaveReport {
    /// Number of channels in the file.
    pub channels: usize,
    /// Number of their states.
    pub states: usize,
    /// Bytes of the file.
    pub bytes: u64,
    /// Channels that are not in the file, or without their latest state, and why. The file names
    /// them, too.
    pub unsaved: Vec<Unsaved>,
}

/// Saves the channels that one of the patterns matches, or all if there is none.
pub(crate) fn save(
    backend: &Arc<dyn Backend>,
    namespace: &str,
    path: &Path,
    patterns: &[Pattern],
) -> Result<SaveReport, SavedError> {
    let names = matching(backend, namespace, patterns)?;
    let mut output = Output::create(path)?;
    let mut report = SaveReport::default();
    output.write(&head(VERSION))?;
    output.record(Kind::Origin, &[&SavedOrigin::of_self(namespace).encode()])?;
    let mut buffer = Vec::new();
    for name in &names {
        match Snapshots::of(backend, name, &mut buffer) {
            // It ended in the meantime.
            Err(AttachError::NotFound { .. }) => {}
            Err(error) => {
                report.unsaved.push(Unsaved { channel: name.channel.clone(), reason: error.to_string() });
            }
            Ok(Snapshots { channel: SavedChannel { inspection, .. }, .. }) if inspection.origin.is_some() => {
                let host = inspection.origin.map_or("", |origin| origin.host);
                let reason = format!("it mirrors the channel of host {host:?}: save it there");
                report.unsaved.push(Unsaved { channel: name.channel.clone(), reason });
            }
            Ok(snapshots) => {
                let reason = snapshots.channel.problem.clone();
                let unsaved = reason.map(|reason| Unsaved { channel: name.channel.clone(), reason });
                report.unsaved.extend(unsaved);
                report.states += snapshots.write(&mut output, &mut buffer)?;
                report.channels += 1;
            }
        }
    }
    // A file without a channel must not take the place of the former one.
    if report.channels == 0 {
        return Err(SavedError::NothingToSave { namespace: namespace.into(), unsaved: report.unsaved });
    }
    for unsaved in &report.unsaved {
        output.record(Kind::Unsaved, &[&unsaved.encode()])?;
    }
    output.record(Kind::End, &[&(report.channels as u64).to_le_bytes()])?;
    report.bytes = output.finish()?;
    Ok(report)
}

/// The names of the channels that one of the patterns matches, sorted.
fn matching(
    backend: &Arc<dyn Backend>,
    namespace: &str,
    patterns: &[Pattern],
) -> Result<Vec<ChannelName>, SavedError> {
    let listed = Registry::of(backend, namespace).list()?;
    let mut names: Vec<_> = listed.into_iter().map(|info| info.name).collect();
    for pattern in patterns {
        if names.iter().any(|name| pattern.matches(name)) {
            continue;
        }
        // A channel may have lost its entry.
        let text = pattern.to_string();
        let name = ChannelName::new(namespace, &text).map_err(AttachError::Name)?;
        match inspect::inspect(backend, &name) {
            Err(AttachError::NotFound { .. }) => {
                let place = format!("namespace {namespace:?}");
                return Err(SavedError::NoSuchChannel { pattern: text, place });
            }
            _ => names.push(text),
        }
    }
    names.retain(|name| patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(name)));
    names.sort_unstable();
    names.dedup();
    let names = names.into_iter().map(|name| ChannelName::new(namespace, &name).map_err(AttachError::Name));
    Ok(names.collect::<Result<_, _>>()?)
}

impl SavedOrigin {
    pub(super) fn of_self(namespace: &str) -> SavedOrigin {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        SavedOrigin {
            namespace: namespace.into(),
            saved_at: SystemTime::now(),
            host: host.trim_end().into(),
            boot_id: ProcessIdentity::of_self().boot(),
            user: rustix::process::geteuid().as_raw(),
            pid: std::process::id().into(),
            library_version: env!("CARGO_PKG_VERSION").into(),
            layout_version: layout::VERSION,
        }
    }
}

/// A channel that is being saved.
struct Snapshots {
    reader: ChannelReader,
    channel: SavedChannel,
    /// The latest state, whose payload is in the buffer.
    latest: Option<SnapshotInfo>,
}

impl Snapshots {
    /// The channel and its latest state, which is copied into `buffer`.
    fn of(
        backend: &Arc<dyn Backend>,
        name: &ChannelName,
        mut buffer: &mut Vec<u8>,
    ) -> Result<Snapshots, AttachError> {
        let mut looks = 0;
        let (inspection, mut reader) = loop {
            let inspection = inspect::inspect(backend, name)?;
            let reader = Registry::of(backend, &name.namespace).attach(name, &ReaderOptions::default())?;
            looks += 1;
            // Another channel may have taken the name.
            if inspection.instance == reader.instance() || looks == MAX_LOOKS {
                break (inspection, reader);
            }
        };
        let is_whole = inspection.schema == SchemaInspection::Whole;
        let schema = if is_whole { reader.schema_bytes()? } else { None };
        let (latest, problem) = match reader.snapshot(&mut buffer) {
            Ok(latest) if latest.publication() >= inspection.publication => (Some(latest), None),
            Ok(_) => (None, Some("its numbers contradicted each other".into())),
            Err(SnapshotError::Empty { .. }) => (None, None),
            Err(error) => (None, Some(error.to_string())),
        };
        let channel = SavedChannel { inspection, schema, problem, states: Vec::new() };
        Ok(Snapshots { reader, channel, latest })
    }

    /// Writes the channel and its states, and returns how many there are.
    fn write(mut self, output: &mut Output, mut buffer: &mut Vec<u8>) -> Result<usize, SavedError> {
        output.record(Kind::Channel, &[&encode_channel(&self.channel)])?;
        let Some(latest) = self.latest else { return Ok(0) };
        output.state(latest, buffer)?;
        let (mut states, mut number) = (1, latest.publication() - 1);
        while let Some(publication) = self.reader.within_reach(number, latest.publication()) {
            number -= 1;
            // One that can't be read is left out, as one that is overwritten.
            if let Ok(Some(info)) = self.reader.read_publication(publication, &mut buffer) {
                output.state(info, buffer)?;
                states += 1;
            }
        }
        Ok(states)
    }
}

/// The file that is being written. Removed when dropped before its end.
struct Output {
    path: PathBuf,
    beside: PathBuf,
    file: BufWriter<File>,
    records: u32,
    bytes: u64,
    is_renamed: bool,
}

impl Output {
    fn create(path: &Path) -> Result<Output, SavedError> {
        // A rename would replace `/dev/null`.
        if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            let source = io::Error::new(io::ErrorKind::InvalidInput, NOT_REGULAR);
            return Err(SavedError::File { path: path.into(), operation: "replace", source });
        }
        let mut beside = OsString::from(path);
        beside.push(".tmp");
        let beside = PathBuf::from(beside);
        for _ in 0..MAX_TRIES {
            match create_beside(&beside)? {
                Beside::Locked(file) if is_named(&beside, &file)? => {
                    let (path, file) = (path.to_owned(), BufWriter::new(file));
                    return Ok(Output { path, beside, file, records: 0, bytes: 0, is_renamed: false });
                }
                Beside::Exists if !remove_leftover(&beside)? => break,
                _ => {}
            }
        }
        Err(SavedError::Busy { path: path.into() })
    }

    fn failed(&self, operation: &'static str, source: io::Error) -> SavedError {
        SavedError::File { path: self.path.clone(), operation, source }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), SavedError> {
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes).map_err(|error| self.failed("write", error))
    }

    /// A record whose body has these parts.
    fn record(&mut self, kind: Kind, parts: &[&[u8]]) -> Result<(), SavedError> {
        let len = parts.iter().map(|part| part.len() as u64).sum();
        let before = Before { kind, index: self.records, len }.encode();
        self.write(&before)?;
        let mut sum = crc32c::crc32c(&before);
        for part in parts {
            self.write(part)?;
            sum = crc32c::crc32c_append(sum, part);
        }
        self.write(&sum.to_le_bytes())?;
        self.records = self.records.checked_add(1).ok_or_else(|| {
            self.failed("write", io::Error::new(io::ErrorKind::FileTooLarge, "it has too many states"))
        })?;
        Ok(())
    }

    fn state(&mut self, info: SnapshotInfo, payload: &[u8]) -> Result<(), SavedError> {
        let state = SavedState {
            publication: info.publication(),
            len: payload.len() as u64,
            age: info.age(),
            published_at: info.published_at(),
            time: info.timestamp(),
            offset: 0,
            index: 0,
        };
        self.record(Kind::State, &[&state.encode(), payload])
    }

    /// Makes it the file of its name. Returns its bytes.
    fn finish(mut self) -> Result<u64, SavedError> {
        let flushed = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        flushed.map_err(|error| self.failed("write", error))?;
        fs::rename(&self.beside, &self.path).map_err(|error| self.failed("replace", error))?;
        self.is_renamed = true;
        let flushed = File::open(directory_of(&self.path)).and_then(|directory| directory.sync_all());
        // Some file systems flush no directories.
        match flushed {
            Err(error) if error.kind() != io::ErrorKind::InvalidInput => {
                Err(self.failed("flush the directory of", error))
            }
            _ => Ok(self.bytes),
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if !self.is_renamed {
            let _ = fs::remove_file(&self.beside);
        }
    }
}

/// The file beside, at one attempt to create it.
enum Beside {
    Locked(File),
    Exists,
    /// Another process has taken it for a leftover.
    Lost,
}

fn failed_beside(beside: &Path) -> impl Fn(io::Error) -> SavedError {
    |source| SavedError::File { path: beside.into(), operation: "create", source }
}

/// Creates the file, with its lock. If the file system knows files without names, it gets its name
/// once it is locked: a kill before that, or a file system without locks, leaves none.
fn create_beside(beside: &Path) -> Result<Beside, SavedError> {
    let options = |flags| OpenOptions::new().write(true).mode(0o600).custom_flags(flags).to_owned();
    if let Ok(file) = options(bits(OFlags::TMPFILE)).open(directory_of(beside)) {
        lock(&file, beside, fs::symlink_metadata(beside).is_ok())?;
        let nameless = format!("/proc/self/fd/{}", file.as_raw_fd());
        match linkat(CWD, nameless, CWD, beside, AtFlags::SYMLINK_FOLLOW) {
            Ok(()) => return Ok(Beside::Locked(file)),
            Err(Errno::EXIST) => return Ok(Beside::Exists),
            // There is no /proc, for example.
            Err(_) => {}
        }
    }
    match options(0).create_new(true).open(beside) {
        Ok(file) => match lock(&file, beside, false) {
            Ok(true) => Ok(Beside::Locked(file)),
            Ok(false) => Ok(Beside::Lost),
            Err(error) => {
                let _ = fs::remove_file(beside);
                Err(error)
            }
        },
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Beside::Exists),
        Err(error) => Err(failed_beside(beside)(error)),
    }
}

fn bits(flags: OFlags) -> i32 {
    flags.bits().cast_signed()
}

/// Locks the file beside; `false` if another process has locked it. `exists`: it was there.
fn lock(file: &File, beside: &Path, exists: bool) -> Result<bool, SavedError> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(SavedError::NoLocks { path: beside.into(), exists, source: error.into() }),
    }
}

/// Whether the name means this file.
fn is_named(beside: &Path, file: &File) -> Result<bool, SavedError> {
    let named = match fs::symlink_metadata(beside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        named => named.and_then(|named| Ok((named, file.metadata()?))),
    };
    let (named, ours) = named.map_err(failed_beside(beside))?;
    Ok((named.dev(), named.ino()) == (ours.dev(), ours.ino()))
}

/// Removes what a killed process left beside; `false` if a living one writes it.
fn remove_leftover(beside: &Path) -> Result<bool, SavedError> {
    let failed = failed_beside(beside);
    // What is not a regular file is not ours. For writing, because NFS locks no other file.
    let flags = bits(OFlags::NOFOLLOW | OFlags::NONBLOCK);
    let file = match OpenOptions::new().read(true).write(true).custom_flags(flags).open(beside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        opened => opened.map_err(&failed)?,
    };
    if !file.metadata().map_err(&failed)?.is_file() {
        return Err(failed(io::Error::new(io::ErrorKind::AlreadyExists, NOT_REGULAR)));
    }
    if !lock(&file, beside, true)? {
        return Ok(false);
    }
    // Under its lock, and only while the name means it.
    if is_named(beside, &file)? {
        fs::remove_file(beside).map_err(failed)?;
    }
    Ok(true)
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."))
}
