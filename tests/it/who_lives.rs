//! A living writer is never deposed nor called dead, wherever it and its observers run: in other
//! time namespaces, restored from a checkpoint, in other PID namespaces, in a frozen control group.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::common::{Actor, OwnNamespace, eventually, is_root, orders, role, say};
use rustix::process::{Pid, Signal, kill_process};
use tearless::{
    Namespace, Reader, cleanup::Retention, error::CreateError, hub::Health, inspect::WriterState,
};
use testkit::fork::{Forked, fork, put_children_ahead};
use testkit::objects::{Objects, START_TIME};

/// Run the command that follows in a time namespace whose clocks are a day ahead, or almost a day
/// behind what they are inside of another one.
const DAY_AHEAD: [&str; 6] = ["unshare", "-T", "--monotonic", "86400", "--boottime", "86400"];
const HOUR_AHEAD: [&str; 6] = ["unshare", "-T", "--monotonic", "3600", "--boottime", "3600"];

/// Runs the command that follows as the first process of a new PID namespace.
const OTHER_PIDS: [&str; 4] = ["unshare", "-pf", "--mount-proc", "--kill-child"];

const MINUTE: Duration = Duration::from_secs(60);

/// Writes or reads the channel, as ordered.
fn play(role: &str, namespace: &Namespace) {
    let builder = || namespace.writer_builder::<u64>("worker").heartbeat_interval(MINUTE);
    let mut writer = (role == "writer").then(|| builder().open().unwrap());
    if let Some(writer) = &mut writer {
        writer.publish_if_changed(&1).unwrap();
    }
    let mut reader = namespace.reader::<u64>("worker").unwrap();
    say("ready");
    for command in orders() {
        match command.as_str() {
            "look" => {
                let health = reader.health().unwrap();
                say(&format!("saw {:?}, {}", reader.writer_state().unwrap(), health.name()));
                assert_is_young(&mut reader);
            }
            "publish" => say(&format!("published {}", writer.as_mut().unwrap().publish(&2).unwrap())),
            "contend" => match builder().open() {
                Ok(_) => say("took over"),
                Err(CreateError::AlreadyOwned { pid, .. }) => say(&format!("owned by {pid}")),
                Err(error) => panic!("{error}"),
            },
            other => panic!("{other}?"),
        }
    }
}

/// Times of another time namespace are comparable.
fn assert_is_young(reader: &mut Reader<u64>) {
    let ages = [reader.snapshot().unwrap().age(), reader.heartbeat_age()];
    for age in ages {
        let age = age.unwrap();
        assert!(age < MINUTE && !age.is_zero(), "{age:?}");
    }
}

fn answer(actor: &mut Actor, command: &str, part: &str) -> String {
    actor.order(command);
    actor.await_line_with(part)
}

fn state(reader: &Reader<u64>) -> WriterState {
    reader.writer_state().unwrap()
}

fn assert_is_not_deposed(own: &OwnNamespace) {
    for _ in 0..100 {
        let error = own.writer::<u64>("worker").map(drop).unwrap_err();
        assert!(matches!(error, CreateError::AlreadyOwned { .. }), "{error}");
    }
}

#[test]
fn a_writer_in_another_time_namespace_is_alive_stopped_and_dead() {
    let test = "who_lives::a_writer_in_another_time_namespace_is_alive_stopped_and_dead";
    if let Some((role, namespace)) = role() {
        return play(&role, &namespace);
    }
    if !is_root("to make a time namespace") {
        return;
    }
    let own = OwnNamespace::new(&["worker"]);
    let mut writer = Actor::start_by(&DAY_AHEAD, test, "writer", &own);
    writer.await_line("ready");
    let mut reader = own.reader::<u64>("worker").unwrap();
    assert_eq!(state(&reader), WriterState::Alive);
    assert_eq!(own.channels().unwrap()[0].writer_state(), WriterState::Alive);
    assert!(matches!(reader.health().unwrap(), Health::Fresh { .. }));
    assert_is_young(&mut reader);
    assert_is_not_deposed(&own);
    answer(&mut writer, "publish", "published 2");
    assert_eq!(*reader.snapshot().unwrap(), 2);
    writer.signal(Signal::STOP);
    eventually("it is stopped", || state(&reader) == WriterState::Stopped);
    assert_is_not_deposed(&own);
    writer.kill();
    assert_eq!(state(&reader), WriterState::Dead);
    assert_eq!(own.channels().unwrap()[0].writer_state(), WriterState::Dead);
    assert_eq!(own.writer::<u64>("worker").unwrap().publish(&3).unwrap(), 3);
}

#[test]
fn two_time_namespaces_see_each_other_as_they_are() {
    let test = "who_lives::two_time_namespaces_see_each_other_as_they_are";
    if let Some((role, namespace)) = role() {
        return play(&role, &namespace);
    }
    if !is_root("to make a time namespace") {
        return;
    }
    let own = OwnNamespace::new(&["worker"]);
    let mut writer = Actor::start_by(&HOUR_AHEAD, test, "writer", &own);
    writer.await_line("ready");
    let mut observer = Actor::start_by(&DAY_AHEAD, test, "observer", &own);
    observer.await_line("ready");
    assert!(answer(&mut observer, "look", "saw").ends_with("Alive, fresh"));
    let owned = answer(&mut observer, "contend", "owned by");
    assert!(owned.ends_with(&format!(" {}", writer.pid())), "{owned}");
    answer(&mut writer, "publish", "published 2");
    writer.kill();
    assert!(answer(&mut observer, "look", "saw").ends_with("Dead, dead"));
    answer(&mut observer, "contend", "took over");
    observer.finish();
}

#[test]
fn a_fork_in_another_time_namespace_sees_the_times_of_its_parent() {
    let test = "who_lives::a_fork_in_another_time_namespace_sees_the_times_of_its_parent";
    if let Some((_, namespace)) = role() {
        let mut reader = namespace.reader::<u64>("worker").unwrap();
        assert_is_young(&mut reader);
        // The harness may have more threads than the one that runs this test.
        let parent = Forked::start(|| {
            assert_is_young(&mut reader);
            put_children_ahead(86_400);
            let ahead = Forked::start(|| {
                assert_is_young(&mut reader);
                let error = namespace.writer::<u64>("worker").map(drop).unwrap_err();
                assert!(matches!(error, CreateError::AlreadyOwned { .. }), "{error}");
                let mut own = namespace.writer::<u64>("fork").unwrap();
                own.publish_if_changed(&2).unwrap();
                std::thread::park();
            });
            let mut found = None;
            eventually("the fork has published", || {
                let fork = namespace.reader::<u64>("fork").ok();
                found = fork.filter(|fork| fork.heartbeat_age().is_some());
                found.is_some()
            });
            let mut fork = found.unwrap();
            assert_eq!(state(&fork), WriterState::Alive);
            assert_is_young(&mut fork);
            drop(ahead);
        });
        assert_eq!(parent.wait().exit_status(), Some(0));
        return say("seen");
    }
    if !is_root("to make a time namespace") {
        return;
    }
    let own = OwnNamespace::new(&["worker", "fork"]);
    let mut writer = own.writer::<u64>("worker").unwrap();
    writer.publish_if_changed(&1).unwrap();
    let mut actor = Actor::start(test, "parent", &own);
    actor.await_line("seen");
    actor.finish();
}

#[test]
fn a_restored_writer_with_another_start_time_is_the_owner_for_as_long_as_it_holds_the_lock() {
    let test =
        "who_lives::a_restored_writer_with_another_start_time_is_the_owner_for_as_long_as_it_holds_the_lock";
    if let Some((role, namespace)) = role() {
        let mut writer = namespace.writer::<u64>("worker").unwrap();
        writer.publish(&1).unwrap();
        if role == "forking" {
            say(&format!("orphan is {}", fork(std::thread::park)));
        }
        say("ready");
        return std::thread::park();
    }
    for role in ["alone", "forking"] {
        let own = OwnNamespace::new(&["worker"]);
        let mut writer = Actor::start(test, role, &own);
        let orphan = (role == "forking").then(|| {
            let line = writer.await_line_with("orphan is ");
            Pid::from_raw(line.rsplit(' ').next().unwrap().parse().unwrap()).unwrap()
        });
        writer.await_line("ready");
        // What a checkpoint holds is the start time before it.
        let objects = Objects::of(own.name(), "worker");
        for start_time in [1, u64::MAX, 0] {
            objects.forge(START_TIME, start_time);
            let reader = own.reader::<u64>("worker").unwrap();
            assert_eq!(state(&reader), WriterState::Alive);
            assert_is_not_deposed(&own);
        }
        objects.forge(START_TIME, 1);
        let mut reader = own.reader::<u64>("worker").unwrap();
        writer.signal(Signal::STOP);
        eventually("it is stopped", || state(&reader) == WriterState::Stopped);
        assert_is_not_deposed(&own);
        writer.kill();
        assert_eq!(state(&reader), WriterState::Dead);
        let mut successor = own.writer::<u64>("worker").unwrap();
        assert_eq!(successor.publish(&2).unwrap(), 2);
        assert_eq!(*reader.snapshot().unwrap(), 2);
        if let Some(orphan) = orphan {
            kill_process(orphan, Signal::KILL).unwrap();
        }
    }
}

/// A control group of the test's own, in which processes can be frozen.
struct Group {
    folder: PathBuf,
    file: &'static str,
    frozen: &'static str,
    thawed: &'static str,
}

impl Group {
    /// One of each kind that this machine has; a message about the others.
    fn all() -> Vec<Group> {
        let kinds = [
            ("/sys/fs/cgroup", "cgroup.freeze", "1", "0"),
            ("/sys/fs/cgroup/unified", "cgroup.freeze", "1", "0"),
            ("/sys/fs/cgroup/freezer", "freezer.state", "FROZEN", "THAWED"),
        ];
        let made = kinds.into_iter().filter_map(|(root, file, frozen, thawed)| {
            if !Path::new(root).join("cgroup.procs").exists() {
                println!("skipped: {root} is no hierarchy of control groups");
                return None;
            }
            let folder = PathBuf::from(root).join(format!("tearless-test-{}", std::process::id()));
            if let Err(error) = fs::create_dir(&folder) {
                println!("skipped: {}: {error}", folder.display());
                return None;
            }
            Some(Group { folder, file, frozen, thawed })
        });
        made.collect()
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.folder.join(file), text).unwrap();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::write(self.folder.join(self.file), self.thawed);
        for _ in 0..1_000 {
            // Its processes may still be ending.
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// What a killed parent left is no copy of the fork's channel.
#[test]
fn a_fork_that_outlives_the_writer_does_not_replace_its_channel() {
    let test = "who_lives::a_fork_that_outlives_the_writer_does_not_replace_its_channel";
    if let Some((file, namespace)) = role() {
        let mut writer = namespace.writer::<u64>("worker").unwrap();
        writer.publish(&7).unwrap();
        let parent = std::process::id();
        fork(|| {
            while std::os::unix::process::parent_id() == parent {
                std::thread::sleep(Duration::from_millis(1));
            }
            let found = writer.reopen().map_or_else(|error| error.to_string(), |()| "reopened".into());
            fs::write(&file, found).unwrap();
        });
        say("ready");
        return std::thread::park();
    }
    let own = OwnNamespace::new(&["worker"]);
    let found = std::env::temp_dir().join(format!("tearless-fork-{}", own.name()));
    let mut writer = Actor::start(test, found.to_str().unwrap(), &own);
    writer.await_line("ready");
    let mut reader = own.reader::<u64>("worker").unwrap();
    writer.kill();
    eventually("the fork has tried", || fs::read_to_string(&found).is_ok_and(|text| !text.is_empty()));
    let text = fs::read_to_string(&found).unwrap();
    fs::remove_file(&found).unwrap();
    assert!(text.contains("already written"), "{text}");
    assert_eq!((*reader.snapshot().unwrap(), state(&reader)), (7, WriterState::Dead));
}

/// What a process knew of itself is from before the checkpoint, what `/proc` shows from after it.
#[test]
fn a_restored_process_knows_that_it_lives() {
    let test = "who_lives::a_restored_process_knows_that_it_lives";
    if let Some((_, shared)) = role() {
        let in_process = Namespace::in_process("restored").unwrap();
        let pid = std::process::id();
        let status = format!("/proc/{pid}/task/{pid}/stat");
        let start_time =
            || fs::read_to_string(&status).unwrap().split(' ').nth_back(52 - 22).unwrap().to_owned();
        let before = start_time();
        let mut writers = [&in_process, &shared].map(|namespace| namespace.writer::<u64>("worker").unwrap());
        let restored = std::env::temp_dir().join(format!("tearless-restored-{pid}"));
        let shown = fs::read_to_string(&status).unwrap();
        fs::write(&restored, shown.replacen(&format!(" {before} "), " 1 ", 1)).unwrap();
        let mount =
            Command::new("mount").arg("--bind").args([restored.as_os_str(), status.as_ref()]).status();
        fs::remove_file(&restored).unwrap();
        assert!(mount.unwrap().success());
        assert_eq!(start_time(), "1");
        for (namespace, writer) in [&in_process, &shared].into_iter().zip(&mut writers) {
            assert_eq!(namespace.channels().unwrap()[0].writer_state(), WriterState::Alive, "{namespace:?}");
            assert!(namespace.clean(Retention::Nothing).unwrap().removed.is_empty());
            let contended = namespace.writer::<u64>("worker").map(drop).unwrap_err();
            assert!(matches!(contended, CreateError::AlreadyOwned { .. }), "{contended}");
            assert_eq!(writer.publish(&1).unwrap(), 1);
            assert_eq!(state(&namespace.reader::<u64>("worker").unwrap()), WriterState::Alive);
        }
        return say("all is well");
    }
    if !is_root("to mount over a file of /proc") {
        return;
    }
    let own = OwnNamespace::new(&["worker"]);
    let mut restored = Actor::start_by(&["unshare", "-m"], test, "restored", &own);
    restored.await_line("all is well");
    restored.finish();
}
#[test]
fn a_writer_in_a_frozen_control_group_is_stopped() {
    if let Some((role, namespace)) = role() {
        return play(&role, &namespace);
    }
    if !is_root("to freeze a control group") {
        return;
    }
    for group in Group::all() {
        let own = OwnNamespace::new(&["worker"]);
        let test = "who_lives::a_writer_in_a_frozen_control_group_is_stopped";
        let mut writer = Actor::start(test, "writer", &own);
        writer.await_line("ready");
        let mut reader = own.reader::<u64>("worker").unwrap();
        group.write("cgroup.procs", &writer.pid().to_string());
        assert_eq!(state(&reader), WriterState::Alive);
        group.write(group.file, group.frozen);
        eventually("it is frozen", || state(&reader) == WriterState::Stopped);
        assert!(matches!(reader.health().unwrap(), Health::Stalled { is_stopped: true, .. }));
        assert_is_not_deposed(&own);
        group.write(group.file, group.thawed);
        eventually("it is thawed", || state(&reader) == WriterState::Alive);
        answer(&mut writer, "publish", "published 2");
        assert_eq!(*reader.snapshot().unwrap(), 2);
        group.write(group.file, group.frozen);
        eventually("it is frozen again", || state(&reader) == WriterState::Stopped);
        // A frozen process of the first version dies when it is thawed.
        writer.signal(Signal::KILL);
        group.write(group.file, group.thawed);
        writer.kill();
        assert_eq!(state(&reader), WriterState::Dead);
    }
}

#[test]
fn a_stopped_writer_in_another_pid_namespace_is_stalled_if_it_promises_an_interval() {
    let test = "who_lives::a_stopped_writer_in_another_pid_namespace_is_stalled_if_it_promises_an_interval";
    if let Some((_, namespace)) = role() {
        let builder = namespace.writer_builder::<u64>("worker");
        let count = builder.syncer(1).interval(Duration::from_millis(5)).spawn().unwrap();
        say("ready");
        return orders().for_each(|_| drop(count.flush()));
    }
    if !is_root("to make a PID namespace") {
        return;
    }
    let own = OwnNamespace::new(&["worker"]);
    let mut writer = Actor::start_by(&OTHER_PIDS, test, "writer", &own);
    writer.await_line("ready");
    let mut reader = own.reader::<u64>("worker").unwrap();
    eventually("it is alive", || !matches!(reader.health().unwrap(), Health::Stalled { .. }));
    // The writer's pid outside of its namespace.
    let children = format!("/proc/{0}/task/{0}/children", writer.pid());
    let pid = Pid::from_raw(fs::read_to_string(children).unwrap().trim().parse().unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    eventually("it is stalled", || matches!(reader.health().unwrap(), Health::Stalled { .. }));
    assert_eq!(state(&reader), WriterState::Alive, "why it is silent can't be seen from here");
    assert_is_not_deposed(&own);
    kill_process(pid, Signal::CONT).unwrap();
    eventually("it continues", || !matches!(reader.health().unwrap(), Health::Stalled { .. }));
    kill_process(pid, Signal::KILL).unwrap();
    writer.kill();
    eventually("it is dead", || state(&reader) == WriterState::Dead);
}

#[test]
fn a_process_that_executes_another_program_has_left_its_channel() {
    let test = "who_lives::a_process_that_executes_another_program_has_left_its_channel";
    if let Some((role, namespace)) = role() {
        let mut writer = namespace.writer::<u64>("worker").unwrap();
        say(&format!("published {}", writer.publish(&7).unwrap()));
        if role == "successor" {
            return crate::common::wait_for_end();
        }
        // Does not return: the process goes on as `cat`, or as the next writer.
        let next = orders().next().unwrap();
        let mut command = match next.as_str() {
            "again" => {
                let mut command = Command::new(std::env::current_exe().unwrap());
                command.args(std::env::args_os().skip(1)).env("TEARLESS_TEST_ROLE", "successor");
                command
            }
            _ => Command::new("cat"),
        };
        panic!("{}", command.exec());
    }
    let own = OwnNamespace::new(&["worker"]);
    let mut writer = Actor::start(test, "writer", &own);
    writer.await_line("published 1");
    let mut reader = own.reader::<u64>("worker").unwrap();
    writer.order("cat");
    eventually("its lock is free", || state(&reader) == WriterState::Dead);
    assert_eq!(writer.ask("the process lives"), "the process lives");
    let mut successor = own.writer::<u64>("worker").unwrap();
    assert_eq!(successor.publish(&8).unwrap(), 2);
    assert_eq!((*reader.snapshot().unwrap(), state(&reader)), (8, WriterState::Alive));
    successor.close_lingering().unwrap();

    let mut writer = Actor::start(test, "writer", &own);
    writer.await_line("published 3");
    writer.order("again");
    writer.await_line("published 4");
    assert_eq!(state(&reader), WriterState::Alive);
    assert_eq!(reader.writer_pid(), u64::from(writer.pid()), "the same process is the next writer");
    writer.finish();
}
