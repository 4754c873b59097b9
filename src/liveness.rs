//! Whether a process is alive, and how it is identified.
//!
//! A writer's lock (`object::lock`) decides whether the writer is alive: the kernel releases it
//! when the process dies, however it dies. The lock is not enough in one case, a fork: a child
//! shares its parent's lock and may outlive it. Then the identity that the writer recorded decides.
//! The pid alone is not enough: pids are reused, differ between PID namespaces and start again at
//! every boot.
//!
//! A start time that differs does not prove that a process is another one: a process that was
//! restored from a checkpoint has its old pid and a new start time, and in a time namespace `/proc`
//! shows shifted ones. Such a process is dead only if the one that has its pid does not hold the
//! lock. What can't be known is not dead.
//!
//! No timer takes part: a stopped or slow process is alive.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use crate::clock;
use crate::memory::ObjectId;
use crate::object::{self, OfThisProcess};

/// Nanoseconds of a clock tick, as `/proc` counts them on all processors that this library
/// supports.
const TICK: i64 = 10_000_000;

/// How many descriptors of a process to examine at most, within some tens of milliseconds.
const MAX_DESCRIPTORS: usize = 4_096;

/// Identity of a process among all that this machine ever ran. Parts that `/proc` doesn't show are
/// 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProcessIdentity {
    /// Process id, in the process's own PID namespace.
    pub(crate) pid: u64,
    /// Clock ticks from boot to the start of the process, as the machine's first time namespace
    /// counts them.
    pub(crate) start_time: u64,
    /// Random id of the boot.
    pub(crate) boot_id: [u64; 2],
    /// Inode of the process's PID namespace.
    pub(crate) pid_namespace: u64,
}

/// State of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProcessState {
    /// It is running or runnable.
    Running,
    /// It is stopped, by a signal or a debugger, or its control group is frozen.
    Stopped,
    /// It is dead for certain.
    Dead,
    /// Not known here: the process is in another PID namespace, or `/proc` doesn't show it.
    Unknown,
}

impl ProcessIdentity {
    /// This process, as `/proc` shows it.
    pub(crate) fn of_self() -> ProcessIdentity {
        static OWN: OfThisProcess<ProcessIdentity> = OfThisProcess::new();
        *OWN.get(ProcessIdentity::read)
    }

    fn read() -> ProcessIdentity {
        ProcessIdentity {
            pid: u64::from(std::process::id()),
            start_time: shown_pid()
                .and_then(|pid| Status::of(&main_thread(pid)))
                .and_then(|status| status.start_time())
                .unwrap_or(0),
            boot_id: boot_id().unwrap_or([0; 2]),
            pid_namespace: fs::metadata("/proc/self/ns/pid").map_or(0, |file| file.ino()),
        }
    }

    /// The ids of the process's boot and of the present one, if both are known and differ.
    pub(crate) fn other_boot(self) -> Option<[String; 2]> {
        let observer = ProcessIdentity::of_self();
        let known = self.boot_id != [0; 2] && observer.boot_id != [0; 2];
        (known && self.boot_id != observer.boot_id).then(|| [self, observer].map(ProcessIdentity::boot))
    }

    /// The id of the process's boot as the kernel shows it.
    pub(crate) fn boot(self) -> String {
        let [high, low] = self.boot_id;
        let digits = format!("{high:016x}{low:016x}");
        [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
    }

    /// State of the process. `Dead` only if that is certain.
    pub(crate) fn state(self) -> ProcessState {
        self.state_as_owner(None)
    }

    /// State of the process that owned this object, another process holding the lock or not.
    /// Without an object: of the process that owned any. `Dead` only if that is certain.
    pub(crate) fn state_as_owner(self, of: Option<ObjectId>) -> ProcessState {
        let observer = ProcessIdentity::of_self();
        if self.other_boot().is_some() {
            return ProcessState::Dead;
        }
        if self.pid_namespace == 0 || self.pid_namespace != observer.pid_namespace {
            return ProcessState::Unknown;
        }
        let Some(pid) = i32::try_from(self.pid).ok().filter(|pid| *pid > 0).and_then(Pid::from_raw) else {
            return ProcessState::Unknown;
        };
        // What this process knows of itself stays the same if it is restored from a checkpoint,
        // and where `/proc` does not show it.
        if self == observer && self.start_time != 0 {
            return ProcessState::Running;
        }
        match test_kill_process(pid) {
            Err(Errno::SRCH) => ProcessState::Dead,
            _ => self.state_by_status(of),
        }
    }

    /// Whether the process certainly lives, stopped or not: one read of a file of its own.
    pub(crate) fn is_alive(self) -> bool {
        let has_pid =
            self.pid_namespace != 0 && self.pid_namespace == ProcessIdentity::of_self().pid_namespace;
        if !has_pid || self.start_time == 0 || self.other_boot().is_some() || !proc_is_ours() {
            return false;
        }
        let status = Status::of(&main_thread(self.pid));
        status.is_some_and(|status| {
            !matches!(status.state, 'Z' | 'X') && status.start_time() == Some(self.start_time)
        })
    }

    /// State of the process that has this pid: `Dead` if that is another process.
    fn state_by_status(self, of: Option<ObjectId>) -> ProcessState {
        if !proc_is_ours() {
            return ProcessState::Unknown;
        }
        let folder = self.pid.to_string();
        let Some(status) = Status::of(&main_thread(self.pid)) else {
            return ProcessState::Unknown;
        };
        let is_known = self.start_time != 0;
        if !is_known || status.start_time() != Some(self.start_time) {
            return match object::holds_owners_lock(self.pid, of, MAX_DESCRIPTORS) {
                // The owner itself: a fork has another pid.
                Some(true) if of.is_some() => status.state(&folder),
                Some(false) if is_known => ProcessState::Dead,
                _ => ProcessState::Unknown,
            };
        }
        status.state(&folder)
    }
}

/// Whether `/proc` shows this process's own PID namespace. In a sandbox it may show the host's,
/// with other pids.
fn proc_is_ours() -> bool {
    shown_pid() == Some(std::process::id().into())
}

/// The pid of this process in the PID namespace that `/proc` shows.
fn shown_pid() -> Option<u64> {
    fs::read_link("/proc/self").ok()?.to_str()?.parse().ok()
}

/// The main thread's folder. Its status is the process's. An emulator (qemu-user) makes the status
/// of its own process up, with a start time for each thread, but not that of the thread.
fn main_thread(pid: u64) -> String {
    format!("{pid}/task/{pid}")
}

/// Upper bound on the size of `/proc/PID/stat`: 52 numbers, and a command name of at most 64 bytes.
const MAX_STAT: usize = 2_048;

/// The fields of `/proc/PID/stat` that are used here.
struct Status {
    state: char,
    /// In clock ticks, as this process's time namespace counts them.
    started: i64,
}

impl Status {
    /// Fields 3 and 22, counted after the command's name. The name may hold spaces, parentheses and
    /// bytes that are not text.
    fn of(folder: &str) -> Option<Status> {
        // The kernel returns all of it to one read with a large enough buffer.
        let mut stat = [0; MAX_STAT];
        let len = File::open(format!("/proc/{folder}/stat")).ok()?.read(&mut stat).ok()?;
        let stat = stat.get(..len)?;
        let fields = stat.get(stat.iter().rposition(|byte| *byte == b')')? + 1..)?;
        let mut fields = str::from_utf8(fields).ok()?.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        Some(Status { state, started: fields.nth(22 - 4)?.parse().ok()? })
    }

    /// As [`ProcessIdentity::start_time`]; `None` if this process's time namespace is not known.
    fn start_time(&self) -> Option<u64> {
        let offset = clock::boottime_offset()?.div_euclid(TICK);
        Some(self.started.wrapping_sub(offset).cast_unsigned())
    }

    /// State of the process.
    fn state(&self, process: &str) -> ProcessState {
        match self.state {
            'Z' | 'X' => state_of_other_threads(process),
            'T' | 't' => ProcessState::Stopped,
            // A frozen process is shown as asleep.
            'S' | 'D' if is_frozen(process) => ProcessState::Stopped,
            _ => ProcessState::Running,
        }
    }
}

/// State of a process whose main thread has ended: a zombie, although other threads may live.
fn state_of_other_threads(process: &str) -> ProcessState {
    let folder = format!("{process}/task");
    let Ok(threads) = fs::read_dir(format!("/proc/{folder}")) else { return ProcessState::Unknown };
    let threads: Vec<_> = threads.flatten().map(|thread| thread.file_name()).collect();
    if threads.len() == 1 {
        return ProcessState::Dead;
    }
    let statuses = threads.iter().filter_map(|thread| Status::of(&format!("{folder}/{}", thread.display())));
    match statuses.map(|status| status.state).find(|state| !matches!(state, 'Z' | 'X')) {
        Some('T' | 't') => ProcessState::Stopped,
        Some(_) => ProcessState::Running,
        // They end, and others may have begun since.
        None => ProcessState::Unknown,
    }
}

/// Where control groups are mounted: their second version alone, and beside the first.
const GROUPS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// Whether a process's control group, or one around it, is frozen, as far as that is visible here.
fn is_frozen(process: &str) -> bool {
    let is_frozen = |file: String, line: &str| {
        fs::read_to_string(file).is_ok_and(|text| text.lines().any(|found| found == line))
    };
    let groups = fs::read_to_string(format!("/proc/{process}/cgroup")).unwrap_or_default();
    groups.lines().any(|group| {
        // The number of a hierarchy, its controllers, and the group's path.
        let mut fields = group.splitn(3, ':').skip(1);
        match (fields.next(), fields.next()) {
            (Some(""), Some(path)) => {
                GROUPS.iter().any(|root| is_frozen(format!("{root}{path}/cgroup.events"), "frozen 1"))
            }
            (Some(controllers), Some(path)) if controllers.split(',').any(|it| it == "freezer") => {
                is_frozen(format!("/sys/fs/cgroup/freezer{path}/freezer.state"), "FROZEN")
            }
            _ => false,
        }
    })
}

fn boot_id() -> Option<[u64; 2]> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let half = |range| u64::from_str_radix(digits.get(range)?, 16).ok();
    Some([half(0..16)?, half(16..32)?])
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use rustix::process::{Signal, kill_process};

    use super::*;
    use crate::object::{Backend, ClaimOptions, SharedMemory, Size};

    /// A child that waits for its standard input to end.
    fn waiting_child() -> Child {
        Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
    }

    fn identity_of(child: &Child) -> ProcessIdentity {
        let status = Status::of(&child.id().to_string()).unwrap();
        let (pid, start_time) = (u64::from(child.id()), status.start_time().unwrap());
        ProcessIdentity { pid, start_time, ..ProcessIdentity::of_self() }
    }

    /// Waits until `child` has the state; panics if it never does.
    fn await_state(identity: ProcessIdentity, state: ProcessState) {
        for _ in 0..10_000 {
            if identity.state() == state {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        panic!("{identity:?} is {:?} and not {state:?}", identity.state());
    }

    #[test]
    fn every_part_is_known_on_linux_and_stays_the_same() {
        let identity = ProcessIdentity::of_self();
        assert_eq!(identity.pid, u64::from(std::process::id()));
        assert!(identity.start_time > 0 && identity.pid_namespace > 0 && identity.boot_id != [0; 2]);
        assert_eq!(ProcessIdentity::of_self(), identity);
        assert_eq!(identity.state(), ProcessState::Running);
    }

    #[test]
    fn running_stopped_zombie_and_gone_are_distinguished() {
        let mut child = waiting_child();
        let identity = identity_of(&child);
        await_state(identity, ProcessState::Running);
        let pid = Pid::from_child(&child);
        kill_process(pid, Signal::STOP).unwrap();
        await_state(identity, ProcessState::Stopped);
        kill_process(pid, Signal::KILL).unwrap();
        await_state(identity, ProcessState::Dead);
        assert_eq!(Status::of(&child.id().to_string()).unwrap().state, 'Z', "not yet waited for");
        child.wait().unwrap();
        assert_eq!(identity.state(), ProcessState::Dead);
    }

    #[test]
    fn a_program_may_have_any_name() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;
        use std::os::unix::process::CommandExt;

        let folder = std::env::temp_dir().join(format!("tearless-name-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let program = folder.join(OsStr::from_bytes(b"\xff) Z 1 ("));
        std::os::unix::fs::symlink("/bin/cat", &program).unwrap();
        let mut child =
            Command::new(&program).arg0("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        await_state(identity_of(&child), ProcessState::Running);
        child.kill().unwrap();
        child.wait().unwrap();
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_reused_pid_and_another_boot_are_dead() {
        let own = ProcessIdentity::of_self();
        let reused = ProcessIdentity { start_time: own.start_time - 1, ..own };
        // Other tests of this process own objects, too.
        let never_owned = ObjectId { device: 0, inode: 0 };
        let before_boot = ProcessIdentity { boot_id: [1, 2], ..own };
        let states = (reused.state_as_owner(Some(never_owned)), before_boot.state());
        assert_eq!(states, (ProcessState::Dead, ProcessState::Dead));
        let [found, expected] = before_boot.other_boot().unwrap();
        assert_eq!(found, "00000000-0000-0001-0000-000000000002");
        assert_eq!(expected, fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim());
        assert_eq!(own.other_boot(), None);
    }

    #[test]
    fn what_cannot_be_known_from_here_is_not_called_dead() {
        let own = ProcessIdentity::of_self();
        let elsewhere = ProcessIdentity { pid_namespace: own.pid_namespace + 1, pid: 4_000_000, ..own };
        let nowhere = ProcessIdentity { pid_namespace: 0, ..own };
        let no_pid = [0, u64::MAX, 1 << 31].map(|pid| ProcessIdentity { pid, ..own });
        let no_start = ProcessIdentity { start_time: 0, ..own };
        for identity in [elsewhere, nowhere, no_start].into_iter().chain(no_pid) {
            assert_eq!(identity.state(), ProcessState::Unknown, "{identity:?}");
        }
    }

    #[test]
    fn this_proc_is_ours() {
        assert!(proc_is_ours(), "or every state is unknown");
    }

    #[test]
    fn the_other_threads_of_a_process_are_its_life() {
        std::thread::scope(|scope| {
            let (end, wait) = std::sync::mpsc::channel::<()>();
            scope.spawn(move || wait.recv());
            assert_eq!(state_of_other_threads("self"), ProcessState::Running);
            drop(end);
        });
        let mut child = waiting_child();
        // Before the child's program begins, an emulator can have threads of its own in there.
        let has_none = |_| {
            std::thread::sleep(std::time::Duration::from_millis(1));
            state_of_other_threads(&child.id().to_string()) == ProcessState::Dead
        };
        assert!((0..10_000).any(has_none), "it has no other threads");
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(state_of_other_threads(&child.id().to_string()), ProcessState::Unknown);
    }

    #[test]
    fn a_process_with_another_start_time_that_holds_the_lock_is_the_owner() {
        use std::os::unix::fs::MetadataExt;

        let own = ProcessIdentity::of_self();
        let restored = ProcessIdentity { start_time: own.start_time - 1, ..own };
        let name = format!("tl_liveness_{}", own.pid);
        let (path, backend) = (format!("/dev/shm/{name}"), SharedMemory::default());
        let claim = backend.claim(&name, ClaimOptions::create(Size::Exactly(4096)), &|_| false).unwrap();
        claim.settle();
        let page = claim.memory().object();
        assert_eq!(page.inode, fs::metadata(&path).unwrap().ino());
        assert_eq!(restored.state_as_owner(Some(page)), ProcessState::Running);
        assert_eq!(restored.state(), ProcessState::Unknown, "it owns an object, perhaps this one");
        let unknown = ProcessIdentity { start_time: 0, ..own };
        assert_eq!(unknown.state_as_owner(Some(page)), ProcessState::Running);
        claim.remove().unwrap();
        drop(claim);
        assert_eq!(restored.state_as_owner(Some(page)), ProcessState::Dead);
        assert_eq!(unknown.state_as_owner(Some(page)), ProcessState::Unknown);
    }
}
