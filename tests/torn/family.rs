//! The parent's side: starts the children, and sees to it that they end and leave nothing behind.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tearless::Namespace;

use crate::CHILD_TEST;
use crate::child::{READY, Role, TALLY, Task, VARIABLE};
use crate::combination::COMBINATIONS;
use crate::tally::Tally;

/// Where Linux shows shared memory.
const DIRECTORY: &str = "/dev/shm/";

/// Characters that the names of all objects of a namespace begin with: `tl_` and the namespace's hash.
const NAMESPACE_CHARACTERS: usize = 10;

/// How long the children may take in addition to their time.
const PATIENCE: Duration = Duration::from_secs(40);

struct Member {
    role: Role,
    process: Child,
    output: BufReader<ChildStdout>,
}

/// All children. If it is dropped before they have ended, they are killed, and their channels removed.
pub(crate) struct Family {
    members: Vec<Member>,
    task: Task,
}

impl Family {
    /// Starts the writers and, when their channels are there, the readers. All of them are ready when it returns.
    pub(crate) fn start(task: &Task, writers: usize, readers: usize) -> Family {
        let mut family = Family { members: Vec::new(), task: task.clone() };
        let roles = [(0..writers).map(Role::Writer).collect(), (0..readers).map(Role::Reader).collect()];
        for roles in roles {
            let roles: Vec<Role> = roles;
            let started = family.members.len();
            for role in roles {
                family.spawn(role);
            }
            for member in &mut family.members[started..] {
                member.wait_until_ready();
            }
        }
        family
    }

    fn spawn(&mut self, role: Role) {
        let mut command = Command::new(std::env::current_exe().expect("the path of this test"));
        command
            .args([CHILD_TEST, "--exact", "--nocapture", "--test-threads=1"])
            .env(VARIABLE, self.task.to_variable(role))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // An interrupt from the keyboard ends the parent only; the children notice that and end cleanly.
            .process_group(0);
        let mut process = command.spawn().expect("a child process");
        let output = BufReader::new(process.stdout.take().expect("it is piped"));
        self.members.push(Member { role, process, output });
    }

    /// What the names of this namespace's objects begin with, from what the writers have mapped.
    pub(crate) fn object_prefixes(&self) -> BTreeSet<String> {
        let writers = self.members.iter().filter(|member| matches!(member.role, Role::Writer(_)));
        writers
            .flat_map(|writer| {
                let maps = fs::read_to_string(format!("/proc/{}/maps", writer.process.id()));
                let maps = maps.expect("the mappings of a child");
                let names = maps.lines().filter_map(|line| line.split_once(DIRECTORY)).map(|(_, name)| name);
                names.map(|name| name.chars().take(NAMESPACE_CHARACTERS).collect()).collect::<Vec<_>>()
            })
            .collect()
    }

    /// Lets all of them begin.
    pub(crate) fn go(&mut self) {
        for member in &mut self.members {
            let input = member.process.stdin.as_mut().expect("it is piped");
            input.write_all(b"go\n").expect("a child that waits for it");
        }
    }

    /// Waits for all of them, and gives back what they counted by channel.
    pub(crate) fn finish(mut self) -> [Tally; COMBINATIONS.len()] {
        let deadline = Instant::now() + Duration::from_secs(self.task.seconds) + PATIENCE;
        let mut lines = Vec::new();
        for member in &mut self.members {
            let status = loop {
                match member.process.try_wait().expect("a child can be waited for") {
                    Some(status) => break status,
                    None => assert!(Instant::now() < deadline, "{:?} does not end", member.role),
                }
                sleep(Duration::from_millis(20));
            };
            assert!(status.success(), "{:?} ended with {status}", member.role);
            let mut output = String::new();
            member.output.read_to_string(&mut output).expect("text");
            let tallies = output.lines().filter_map(|line| line.strip_prefix(TALLY));
            lines.extend(tallies.map(|line| Tally::from_line(line).expect("a line of counts")));
        }
        std::array::from_fn(|channel| {
            lines.iter().filter(|(index, _)| *index == channel).map(|(_, tally)| *tally).sum()
        })
    }
}

impl Member {
    fn wait_until_ready(&mut self) {
        let mut line = String::new();
        while line.trim_end() != READY {
            line.clear();
            let len = self.output.read_line(&mut line).expect("text");
            assert!(len > 0, "{:?} ended before it was ready", self.role);
        }
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        for member in &mut self.members {
            // Neither fails in a way that matters if the child has ended.
            let _ = member.process.kill();
            let _ = member.process.wait();
        }
        if std::thread::panicking() {
            remove_channels(&self.task.namespace);
        }
    }
}

/// What there still is of the channels of killed writers.
fn remove_channels(namespace: &str) {
    let Ok(namespace) = Namespace::open(namespace) else { return };
    for combination in &COMBINATIONS {
        if let Err(error) = namespace.remove_channel(combination.name) {
            eprintln!("{error}");
        }
    }
}

/// Asserts that there is no object any more whose name begins with one of `prefixes`, nor any channel.
pub(crate) fn assert_nothing_is_left(namespace: &str, prefixes: &BTreeSet<String>) {
    let left = fs::read_dir(DIRECTORY)
        .expect("the directory of shared memory")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)))
        .collect::<Vec<_>>();
    assert!(left.is_empty(), "{left:?} are left in {DIRECTORY}");
    let namespace = Namespace::open(namespace).expect("a namespace");
    for combination in &COMBINATIONS {
        let removed = namespace.remove_channel(combination.name).expect("nobody writes it");
        assert!(!removed, "channel {:?} was still there", combination.name);
    }
}
