//! The command on machines that lack something: one sentence that names it, and `doctor` speaks
//! first.

mod support;

use std::process::{Command, Stdio};

use support::{Ran, tearless};

/// Runs a shell script in which `tearless` is the command, in mounts of its own; `None` without
/// root.
fn script(script: &str) -> Option<Ran> {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: needs root, to mount another /dev/shm");
        return None;
    }
    let mut command = Command::new("unshare");
    let program = tearless(&[]).get_program().to_owned();
    let body = format!("tearless() {{ \"$program\" -n x \"$@\"; }}; {script}");
    command.args(["-m", "sh", "-c", &body]).env("program", program).env_remove("TEARLESS_NAMESPACE");
    Some(Ran::of(command.stdin(Stdio::null()).output().unwrap()))
}

#[test]
fn without_shared_memory_each_command_says_so_and_doctor_speaks_first() {
    for arguments in
        ["put w --linger --bytes", "ls", "get w", "top --once", "gc", "stat w", "export --prometheus --once"]
    {
        let all = format!("mount -t tmpfs none /dev; tearless {arguments}");
        let Some(ran) = script(&all) else { return };
        assert!(ran.stderr.contains("/dev/shm is not mounted"), "{arguments}: {ran:?}");
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{arguments}");
    }
    let ran = script("mount -t tmpfs none /dev; \"$program\" doctor").unwrap();
    let first = ran.stdout.lines().next().unwrap();
    assert!(first.starts_with("problem: ") && first.contains("/dev/shm is not mounted"), "{ran:?}");
    assert_eq!(ran.code, Some(1));
}

#[test]
fn doctor_names_what_the_file_system_lacks_and_goes_on() {
    for (mount, problem) in [
        ("mount -t ramfs none /dev/shm", "can't reserve memory"),
        ("mount -t tmpfs -o ro none /dev/shm", "is read-only"),
    ] {
        let Some(ran) = script(&format!("{mount}; \"$program\" doctor")) else { return };
        let first = ran.stdout.lines().next().unwrap();
        assert!(first.starts_with("problem: ") && first.contains(problem), "{ran:?}");
        assert!(ran.stdout.ends_with("1 problem\n"), "{ran:?}");
    }
    let ran = script("mount -t tmpfs -o huge=always none /dev/shm; \"$program\" doctor --json").unwrap();
    assert_eq!(ran.json()[0]["check"], "shm-huge");
}

#[test]
fn a_limit_on_file_sizes_is_an_error_and_no_signal() {
    let Some(ran) = script(
        "mount -t tmpfs none /dev/shm; ulimit -f 65536; echo 3 | tearless put w --linger || exit 9; tearless get w",
    ) else {
        return;
    };
    assert_eq!(ran.ok(), "3\n");
    let large = "mount -t tmpfs none /dev/shm; ulimit -f 64; head -c 1000000 /dev/zero | tearless put w --linger --bytes";
    let ran = script(large).unwrap();
    assert!(ran.fails(1).contains("ulimit -f"));
    // Less than a page. An emulator writes files of its own, of 2 KiB.
    let ran = script(
        "mount -t tmpfs none /dev/shm; ulimit -f 7; echo 3 | tearless put w --linger; code=$?; ls /dev/shm; exit $code",
    );
    let ran = ran.unwrap();
    assert_eq!(ran.stdout, "", "nothing is left");
    assert!(ran.fails(1).contains("ulimit -f"));
}

#[test]
fn huge_pages_and_a_budget_hold_as_many_channels_as_without() {
    let Some(ran) = script(
        "mount -t tmpfs -o huge=always,size=256m none /dev/shm; \
         for i in $(seq 20); do echo 1 | tearless put w$i --linger || exit 9; done; tearless namespaces --json",
    ) else {
        return;
    };
    let [document] = ran.json().try_into().unwrap();
    assert!(document["bytes"].as_u64().unwrap() < 512 << 10, "{document}");
}

#[test]
fn a_file_system_without_inodes_or_of_another_kind_is_named() {
    // The folder itself takes one inode, and the channel and its registry the two others.
    let Some(ran) = script(
        "mount -t tmpfs -o nr_inodes=3 none /dev/shm; echo 3 | tearless put w --linger || exit 9; \
         echo 4 | tearless put v --linger && exit 8; \
         echo 5 | tearless put w --linger || exit 7; tearless get w; \"$program\" doctor",
    ) else {
        return;
    };
    assert!(ran.stdout.starts_with("5\n") && ran.stderr.contains("nr_inodes"), "{ran:?}");
    assert!(
        ran.stdout.contains("nr_inodes") && ran.stdout.contains("reading, and states that fit, may work")
    );
    assert_eq!(ran.code, Some(1), "{ran:?}");
    for (mount, problem) in [
        ("mount -t hugetlbfs none /dev/shm || exit 77", "is hugetlbfs"),
        ("mount -t tmpfs none /dev; touch /dev/shm", "/dev/shm is not a directory"),
    ] {
        for command in ["echo 3 | tearless put w --linger --bytes", "\"$program\" doctor"] {
            let ran = script(&format!("{mount}; {command}")).unwrap();
            if ran.code == Some(77) {
                println!("skipped: no hugetlbfs here");
                continue;
            }
            assert_eq!(ran.code, Some(1), "{ran:?}");
            let text = ran.stdout.clone() + &ran.stderr;
            assert!(text.contains(problem) && text.contains("mount -t tmpfs -o mode=1777"), "{ran:?}");
        }
    }
}
