//! Monitoring under a user of its own: what a namespace's permissions and group admit works for
//! every command, and what they don't is refused by name.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use support::{Fleet, Ran};

/// Users and groups that need no names.
const WORKER: &str = "54001";
const EXPORTER: &str = "54002";
const STRANGER: &str = "54003";
const METRICS: &str = "54100";

/// What `gc` says of the worker's channel to another user.
const LEFT: &str = "not removed: channels of user 54001 (w): run this as that user, or as root\n";

/// The command where every user can run it. Removed at the end.
struct Everywhere {
    folder: PathBuf,
    fleet: Fleet,
}

impl Everywhere {
    /// `None` without root.
    fn new() -> Option<Everywhere> {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: needs root, to become other users");
            return None;
        }
        let fleet = Fleet::new();
        let folder = std::env::temp_dir().join(format!("tearless-{}", fleet.name()));
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        // A process of its own copies it: no process forked by this one keeps it open for writing,
        // so it can be executed.
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_tearless")).arg(&folder).status();
        assert!(copied.unwrap().success());
        Some(Everywhere { folder, fleet })
    }

    /// Runs the command as `user`, a member of `group`.
    fn run(&self, user: &str, group: &str, arguments: &[&str], input: &str) -> Ran {
        self.run_without_name(user, group, &[&["-n", self.fleet.name()], arguments].concat(), input)
    }

    fn run_without_name(&self, user: &str, group: &str, arguments: &[&str], input: &str) -> Ran {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", user, "--regid", user, "--groups", group, "--"]);
        command.arg(self.folder.join("tearless")).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes());
        Ran::of(child.wait_with_output().unwrap())
    }

    fn work(&self, arguments: &[&str], input: &str) -> Ran {
        self.run(WORKER, METRICS, arguments, input)
    }
}

impl Drop for Everywhere {
    fn drop(&mut self) {
        self.work(&["gc", "--keep", "nothing"], "");
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn an_exporter_of_the_group_lists_reads_and_exports() {
    let Some(everywhere) = Everywhere::new() else { return };
    let put = ["put", "w", "--linger", "--permissions", "640", "--group", METRICS];
    everywhere.work(&put, r#"{"jobs": 3}"#).ok();
    let export = |arguments: &[&str]| {
        let trusting = [&["--trust-owner", WORKER], arguments].concat();
        everywhere.run(EXPORTER, METRICS, &trusting, "")
    };
    assert!(export(&["ls"]).ok().contains("closed"));
    assert_eq!(export(&["get", "w", "--field", "jobs"]).ok(), "3\n");
    assert!(export(&["top", "--once"]).ok().contains('w'));
    let exported = export(&["export", "--prometheus", "--once", "--last-states"]).ok();
    assert!(exported.contains(r#"field="jobs""#) && exported.contains("tearless_exporter_listed 1"));
    assert!(export(&["namespaces"]).ok().contains(everywhere.fleet.name()));
    assert!(export(&["stat", "w"]).ok().contains("640"));
    export(&["history", "w"]).ok();
    assert!(!export(&["doctor"]).stdout.contains("no permission"));
    for keep in ["nothing", "0s"] {
        let [ran, dry] = [&["gc", "--keep", keep][..], &["gc", "--keep", keep, "--dry-run"]].map(export);
        assert_eq!((ran.code, &ran.stdout, &ran.stderr), (dry.code, &dry.stdout, &dry.stderr));
        assert_eq!(ran.fails(1), LEFT);
    }
    let kept = export(&["gc"]);
    assert!(kept.stderr.contains("kept 1") && kept.stderr.contains("if their owner runs it"), "{kept:?}");
    assert!(export(&["gc", "w"]).fails(1).contains("belongs to user 54001"));
    assert_eq!(everywhere.work(&["get", "w", "--field", "jobs"], "").ok(), "3\n");
    // Root may remove what it trusts, and its dry run says so.
    let root = |arguments: &[&str]| {
        everywhere
            .fleet
            .run(&[&["--trust-owner", WORKER, "gc", "--keep", "nothing"], arguments].concat())
            .ok()
    };
    let would = root(&["--dry-run"]);
    assert!(would.starts_with("would remove channel w"), "{would}");
    assert!(root(&[]).starts_with("removed channel w"));
}

#[test]
fn a_user_outside_of_the_group_is_refused_by_name_and_never_shown_an_empty_list() {
    let Some(everywhere) = Everywhere::new() else { return };
    let put = ["put", "w", "--linger", "--permissions", "640", "--group", METRICS];
    everywhere.work(&put, "3").ok();
    for arguments in [
        &["ls"][..],
        &["get", "w"],
        &["top", "--once"],
        &["export", "--prometheus", "--once"],
        &["export", "--prometheus", "--listen", "127.0.0.1:0"],
        &["stat", "w"],
    ] {
        let trusting = [&["--trust-owner", WORKER], arguments].concat();
        let message = everywhere.run(STRANGER, STRANGER, &trusting, "3").fails(1);
        assert!(
            message.contains("no permission") && message.contains("user 54001"),
            "{arguments:?}: {message}"
        );
        assert!(message.contains("--permissions, --group"), "{arguments:?}: {message}");
    }
    // A writer can't be admitted.
    for channel in ["w", "x"] {
        let put = ["--trust-owner", WORKER, "put", channel, "--linger"];
        let message = everywhere.run(STRANGER, STRANGER, &put, "3").fails(1);
        assert!(message.contains("run this writer as user 54001"), "{message}");
        assert!(!message.contains("--permissions") && !message.contains("--trust-owner"), "{message}");
    }
    let message = everywhere.run(STRANGER, STRANGER, &["ls"], "").fails(1);
    assert!(message.contains("no permission"), "{message}");
}

#[test]
fn permissions_come_from_the_environment_and_wrong_ones_are_wrong_usage() {
    let fleet = Fleet::new();
    let put = |mode: &str| {
        let mut command = fleet.command(&["put", "w", "--linger"]);
        command.env("TEARLESS_PERMISSIONS", mode).env("TEARLESS_GROUP", "");
        command.stdin(Stdio::null());
        Ran::of(command.args(["--bytes"]).output().unwrap())
    };
    for (mode, found) in [("644", 0o644), ("", 0o600), ("0604", 0o604)] {
        put(mode).ok();
        assert_eq!(fs::metadata(fleet.object("w", "c")).unwrap().permissions().mode() & 0o777, found);
    }
    assert!(put("rw").fails(2).contains("octal"));
    assert!(put("400").fails(1).contains("0o400"));
    let message = fleet.run(&["put", "w", "--linger", "--group", "no-such-group"]).fails(2);
    assert!(message.contains("no-such-group"), "{message}");
}

#[test]
fn a_page_that_may_not_be_opened_is_reported_once_and_with_its_channel() {
    let Some(everywhere) = Everywhere::new() else { return };
    let put = ["put", "w", "--linger", "--permissions", "644", "--group", METRICS];
    everywhere.work(&put, "3").ok();
    let page = everywhere.fleet.object("w", "c");
    fs::set_permissions(&page, fs::Permissions::from_mode(0o600)).unwrap();
    for gc in [&["gc"][..], &["gc", "--dry-run"]] {
        let arguments = [&["--trust-owner", WORKER], gc].concat();
        let message = everywhere.run(STRANGER, STRANGER, &arguments, "").fails(1);
        assert_eq!(message, LEFT);
    }
}

#[test]
fn verify_and_bench_trust_the_owner_of_their_directory() {
    let Some(everywhere) = Everywhere::new() else { return };
    let directory = everywhere.folder.join("volume");
    fs::create_dir(&directory).unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o1777)).unwrap();
    std::os::unix::fs::chown(&directory, Some(WORKER.parse().unwrap()), None).unwrap();
    let place = ["--directory", directory.to_str().unwrap(), "--trust-owner", WORKER];
    for command in ["verify", "bench"] {
        let arguments = [&place[..], &[command, "--seconds", "1"]].concat();
        everywhere.run_without_name(STRANGER, STRANGER, &arguments, "").ok();
    }
    let refused = everywhere.run_without_name(STRANGER, STRANGER, &[&place[..2], &["bench"]].concat(), "");
    assert!(refused.fails(1).contains("--trust-owner"));
    // If a directory above refuses, that one is named.
    let inner = directory.join("closed/inner");
    fs::create_dir_all(&inner).unwrap();
    fs::set_permissions(directory.join("closed"), fs::Permissions::from_mode(0o700)).unwrap();
    let arguments = ["--directory", inner.to_str().unwrap(), "namespaces"];
    let message = everywhere.run_without_name(STRANGER, STRANGER, &arguments, "").fails(1);
    assert!(message.contains(&format!("chmod o+x {}/closed,", directory.display())), "{message}");
}

/// Runs the command in a user namespace that maps no user, started as `user`.
fn unmapped(everywhere: &Everywhere, user: &str, arguments: &[&str], input: &str) -> Ran {
    in_user_namespace("-U", everywhere, user, arguments, input)
}

/// The same, in a user namespace with the map that this option of `unshare` makes.
fn in_user_namespace(map: &str, everywhere: &Everywhere, user: &str, arguments: &[&str], input: &str) -> Ran {
    let program = everywhere.folder.join("tearless");
    let all =
        [&["unshare", map, program.to_str().unwrap(), "-n", everywhere.fleet.name()], arguments].concat();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", user, "--regid", user, "--clear-groups", "--"]).args(all);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes());
    Ran::of(child.wait_with_output().unwrap())
}

#[test]
fn a_user_namespace_without_a_map_trusts_only_the_objects_of_its_own_user() {
    let Some(everywhere) = Everywhere::new() else { return };
    if !unmapped(&everywhere, STRANGER, &["namespaces"], "").stderr.is_empty() {
        return println!("skipped: no user namespaces here");
    }
    for permissions in ["666", "600"] {
        let put = ["put", "w", "--linger", "--permissions", permissions];
        everywhere.work(&put, r#""of the worker""#).ok();
        for arguments in [&["ls"][..], &["get", "w"], &["put", "w", "--linger"], &["put", "x", "--linger"]] {
            let message = unmapped(&everywhere, STRANGER, arguments, "5").fails(1);
            assert!(message.contains("user namespace") && message.contains("--map-users"), "{message}");
        }
        unmapped(&everywhere, STRANGER, &["gc", "--keep", "nothing"], "");
        assert_eq!(everywhere.work(&["get", "w"], "").ok(), "of the worker\n");
        let doctor = unmapped(&everywhere, STRANGER, &["doctor"], "").stdout;
        assert!(doctor.contains("--map-users") && !doctor.contains("rm /dev/shm"), "{doctor}");
        // The system knows that these are the user's own, whatever id it shows.
        assert_eq!(unmapped(&everywhere, WORKER, &["get", "w"], "").ok(), "of the worker\n");
        unmapped(&everywhere, WORKER, &["put", "w", "--linger"], "7").ok();
        assert_eq!(everywhere.work(&["get", "w"], "").ok(), "7\n");
        let would = unmapped(&everywhere, WORKER, &["gc", "--dry-run", "--keep", "nothing"], "").ok();
        assert!(would.contains("would remove channel w"), "{would}");
        unmapped(&everywhere, WORKER, &["gc", "--keep", "nothing"], "").ok();
        everywhere.work(&["get", "w"], "").fails(3);
    }
}

/// An id that is shown for all users without one can't be trusted: that would accept the objects of
/// all of them.
#[test]
fn all_users_without_an_id_can_not_be_trusted_at_once() {
    let Some(everywhere) = Everywhere::new() else { return };
    // Without an id of its own, and as the root of a container.
    for map in ["-U", "-Ur"] {
        let run = |arguments: &[&str]| in_user_namespace(map, &everywhere, STRANGER, arguments, "5");
        if !run(&["namespaces"]).stderr.is_empty() {
            return println!("skipped: no user namespaces here");
        }
        everywhere.work(&["put", "w", "--linger", "--permissions", "644"], "3").ok();
        let doctor = run(&["doctor"]).stdout;
        assert!(doctor.contains("--map-users") && !doctor.contains("--trust-owner"), "{map}: {doctor}");
        for command in [&["get", "w"][..], &["ls"], &["put", "x", "--linger"]] {
            let message = run(&[&["--trust-owner", "65534"], command].concat()).fails(1);
            let why = "can't be trusted: map the owner's id";
            assert!(message.contains(why) && !message.contains("--trust-owner"), "{map}: {message}");
        }
        let namespaces = run(&["--trust-owner", "65534", "namespaces"]);
        assert!(!namespaces.stdout.contains(everywhere.fleet.name()), "{namespaces:?}");
        // A directory of another of them is refused; the system knows this user's own.
        let directory = everywhere.folder.join("volume");
        fs::create_dir_all(&directory).unwrap();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
        let list = ["--trust-owner", "65534", "--directory", directory.to_str().unwrap(), "namespaces"];
        for (owner, is_refused) in [(EXPORTER, true), (STRANGER, false)] {
            std::os::unix::fs::chown(&directory, Some(owner.parse().unwrap()), None).unwrap();
            let listed = run(&list);
            assert_eq!(listed.code, Some(i32::from(is_refused)), "{map}: {listed:?}");
            if is_refused {
                assert!(listed.stderr.contains("--map-users"), "{map}: {listed:?}");
                assert!(!listed.stderr.contains("--trust-owner"), "{map}: {listed:?}");
            }
        }
    }
}

#[test]
fn an_own_object_without_permissions_is_a_problem_and_no_other_users() {
    let Some(everywhere) = Everywhere::new() else { return };
    everywhere.work(&["put", "w", "--linger"], "3").ok();
    let page = everywhere.fleet.object("w", "c");
    fs::set_permissions(&page, fs::Permissions::from_mode(0o000)).unwrap();
    let path = page.to_str().unwrap();
    let of_namespace = everywhere.work(&["doctor"], "").stdout;
    let of_all = everywhere.run_without_name(WORKER, METRICS, &["doctor", "--json"], "").stdout;
    // What other tests leave to be found is not of this user.
    let of_all: Vec<&str> = of_all.lines().filter(|line| line.contains(path)).collect();
    assert_eq!(of_all.len(), 1, "{of_all:?}");
    for doctor in [of_namespace.as_str(), of_all[0]] {
        assert!(doctor.contains(&format!("chmod 600 {path}")), "{doctor}");
        assert!(!doctor.contains("--trust-owner") && !doctor.contains("--map-users"), "{doctor}");
    }
    assert!(everywhere.work(&["get", "w"], "").fails(1).contains("chmod 600"));
    fs::set_permissions(&page, fs::Permissions::from_mode(0o600)).unwrap();
    everywhere.work(&["doctor", "--json"], "").no_problem();
}

#[test]
fn a_registry_whose_name_another_user_has_is_a_problem() {
    let Some(everywhere) = Everywhere::new() else { return };
    everywhere.fleet.run_with(&["put", "w", "--linger"], b"3").ok();
    let objects = everywhere.fleet.objects();
    let registry = objects.iter().find(|path| path.to_string_lossy().ends_with("r3")).unwrap();
    fs::remove_file(registry).unwrap();
    fs::File::create(registry).unwrap();
    std::os::unix::fs::chown(registry, Some(STRANGER.parse().unwrap()), None).unwrap();
    everywhere.fleet.run_with(&["put", "w", "--linger"], b"4").fails(1);
    everywhere.fleet.run(&["ls"]).fails(1);
    let doctor = everywhere.fleet.run(&["doctor"]);
    assert_eq!(doctor.code, Some(1), "{doctor:?}");
    let registry_name = registry.file_name().unwrap().to_str().unwrap();
    for part in ["problem: ", "user 54003 has the name", registry_name, "that user or root must remove it"] {
        assert!(doctor.stdout.contains(part), "{doctor:?}");
    }
    fs::remove_file(registry).unwrap();
    everywhere.fleet.run_with(&["put", "w", "--linger"], b"5").ok();
}

/// A reader needs no right to create files.
#[test]
fn that_a_reader_may_not_create_files_in_a_directory_is_a_note() {
    let Some(everywhere) = Everywhere::new() else { return };
    let directory = everywhere.folder.join("fleet");
    fs::create_dir(&directory).unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::chown(&directory, Some(WORKER.parse().unwrap()), None).unwrap();
    let doctor = ["--directory", directory.to_str().unwrap(), "--trust-owner", WORKER, "doctor", "--json"];
    let what_may_not_be_created = |user| {
        let findings = everywhere.run_without_name(user, METRICS, &doctor, "").no_problem();
        findings.into_iter().find(|it| it["check"] == "create")
    };
    let found = what_may_not_be_created(EXPORTER).unwrap();
    let part = |key: &str| found[key].as_str().unwrap();
    assert!(part("what").starts_with("user 54002 may not create files in"), "{found}");
    assert!(part("advice").ends_with("user 54001"), "{found}");
    assert_eq!(what_may_not_be_created(WORKER), None);
}

/// A reader needs to find names in a directory, and to list them, but not to make any.
#[test]
fn the_error_says_what_a_reader_may_not_do_in_a_directory() {
    let Some(everywhere) = Everywhere::new() else { return };
    let directory = everywhere.folder.join("fleet");
    fs::create_dir(&directory).unwrap();
    let path = directory.to_str().unwrap();
    let arguments = ["--directory", path, "namespaces"];
    for (mode, refused) in [(0o700, Some("look up")), (0o711, Some("list")), (0o755, None)] {
        fs::set_permissions(&directory, fs::Permissions::from_mode(mode)).unwrap();
        let ran = everywhere.run_without_name(WORKER, METRICS, &arguments, "");
        let text =
            refused.map(|verb| format!("user {WORKER} may not {verb} names in {path}: run as its owner"));
        assert!(text.is_none_or(|text| ran.stderr.contains(&text)), "{mode:o}: {ran:?}");
        assert_eq!(ran.code == Some(0), refused.is_none(), "{mode:o}: {ran:?}");
    }
}
