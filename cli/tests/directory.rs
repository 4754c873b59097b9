//! The commands in a directory: `--directory`, or `TEARLESS_DIRECTORY`.

mod support;

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use support::{Ran, eventually, tearless};

/// A directory that no other test uses, removed at the end.
struct Volume(PathBuf);

impl Volume {
    fn new(test: &str) -> Volume {
        Volume::at(PathBuf::from(format!("/dev/shm/tearless-cli-{}-{test}", std::process::id())))
    }

    fn at(path: PathBuf) -> Volume {
        fs::create_dir(&path).unwrap();
        Volume(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    /// The command with the option.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = tearless(arguments);
        command.args(["--directory", self.path()]);
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).output().unwrap())
    }

    /// Publishes a state for as long as the process lives.
    fn put(&self, namespace: &str, channel: &str, more: &[&str]) -> Child {
        let mut command = self.command(&["-n", namespace, "put", channel]);
        let mut child = command.args(more).stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"{\"jobs\": 7}").unwrap();
        eventually("the state is published", || {
            self.run(&["-n", namespace, "get", channel, "--field", "jobs"]).stdout == "7\n"
        });
        child
    }

    fn is_empty(&self) -> bool {
        fs::read_dir(&self.0).unwrap().next().is_none()
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn every_command_that_reads_knows_the_directory() {
    let volume = Volume::new("reads");
    let mut put = volume.put("fleet", "worker-7", &[]);
    for (arguments, part) in [
        (&["ls"][..], "worker-7"),
        (&["get", "worker-7"], "\"jobs\": 7"),
        (&["stat", "worker-7"], "worker-7"),
        (&["history", "worker-7"], "\"jobs\":7"),
        (&["top", "--once"], "worker-7"),
        (&["postmortem", "worker-7"], "worker-7"),
        (&["namespaces"], "fleet"),
        (&["export", "--prometheus", "--once"], "worker-7"),
        (&["watch", "worker-7", "--count", "1"], "\"jobs\":7"),
        (&["doctor"], "nothing is wrong"),
    ] {
        let text = volume.run(arguments).ok();
        assert!(text.contains(part), "{arguments:?}: {text}");
        // The environment says the same.
        let output = tearless(arguments).env("TEARLESS_DIRECTORY", volume.path()).output().unwrap();
        assert!(Ran::of(output).ok().contains(part), "{arguments:?}");
    }
    // In another directory there is nothing; the option wins.
    let other = Volume::new("reads-other");
    let output = other.command(&["-n", "fleet", "ls"]).env("TEARLESS_DIRECTORY", volume.path()).output();
    let message = Ran::of(output.unwrap()).fails(3);
    assert!(message.contains(&format!("no namespace \"fleet\" in {}", other.path())), "{message}");
    let message = other.run(&["ls"]).fails(3);
    assert!(message.contains(&format!("hint: is a worker running whose directory is {}", other.path())));
    assert!(!message.contains("--directory DIR"), "{message}");
    put.kill().unwrap();
    put.wait().unwrap();
}

#[test]
fn without_a_directory_the_hint_names_the_option() {
    let message = Ran::of(tearless(&["-n", "no-such-namespace-here", "ls"]).output().unwrap()).fails(3);
    assert!(message.contains("add --directory DIR, or set TEARLESS_DIRECTORY"), "{message}");
}

#[test]
fn doctor_notes_a_directory_that_others_may_replace() {
    let (volume, closed) = (Volume::new("above"), Volume::new("above-closed"));
    fs::set_permissions(&volume.0, Permissions::from_mode(0o777)).unwrap();
    let advice = format!("chmod +t {0}, or chmod go-w {0}, or use another directory", volume.path());
    for (above, is_noted) in [(&volume, true), (&closed, false)] {
        let inner = Volume::at(above.0.join("inner"));
        let findings = inner.run(&["doctor", "--json"]).no_problem();
        let found = findings.iter().find(|it| it["check"] == "shm-above");
        assert_eq!(found.is_some(), is_noted, "{findings:?}");
        if let Some(found) = found {
            assert!(found["what"].as_str().unwrap().ends_with("put another directory in the place of yours"));
            assert_eq!(found["advice"], advice);
        }
    }
}

#[test]
fn what_a_killed_writer_left_is_found_and_removed_there() {
    let volume = Volume::new("it's left");
    let mut put = volume.put("fleet", "worker-7", &[]);
    put.kill().unwrap();
    put.wait().unwrap();
    let ran = volume.run(&["doctor", "--trust-owner", "7"]);
    let advice = format!(
        "`tearless --directory '{}' --trust-owner 7 -n fleet gc worker-7`",
        volume.path().replace('\'', r"'\''")
    );
    assert!(ran.stdout.contains("died") && ran.stdout.contains(&advice), "{ran:?}");
    volume.run(&["gc", "--keep", "nothing"]).ok();
    assert!(volume.is_empty());
}

#[test]
fn doctor_looks_at_the_directory() {
    let volume = Volume::new("doctor");
    fs::set_permissions(&volume.0, Permissions::from_mode(0o777)).unwrap();
    for arguments in [&["doctor"][..], &["namespaces"], &["-n", "fleet", "ls"], &["-n", "fleet", "gc"]] {
        let ran = volume.run(arguments);
        let text = ran.stdout.clone() + &ran.stderr;
        assert!(text.contains(&format!("chmod +t {}", volume.path())), "{ran:?}");
        assert_eq!(ran.code, Some(1), "{ran:?}");
    }
    fs::set_permissions(&volume.0, Permissions::from_mode(0o700)).unwrap();
    let mut put = volume.put("fleet", "worker-7", &[]);
    let object = fs::read_dir(&volume.0).unwrap().map(|entry| entry.unwrap().path());
    let page = object.filter(|path| path.to_str().unwrap().ends_with('c')).max().unwrap();
    fs::set_permissions(&page, Permissions::from_mode(0o666)).unwrap();
    let ran = volume.run(&["doctor"]);
    assert!(ran.stdout.contains(&format!("chmod 600 {}", page.display())), "{ran:?}");
    fs::remove_file(&page).unwrap();
    let ran = volume.run(&["-n", "fleet", "doctor"]);
    assert!(ran.stdout.contains("were unlinked by hand"), "{ran:?}");
    // Of a directory below, or beside it with a name that begins the same, there is nothing here.
    let (inner, other) = (Volume::at(volume.0.join("inner")), Volume::new("doctor-2"));
    let mut puts = [&inner, &other].map(|it| it.put("fleet", "worker-7", &[]));
    for there in [&inner, &other] {
        let page = fs::read_dir(&there.0).unwrap().map(|entry| entry.unwrap().path());
        page.filter(|path| path.to_str().unwrap().ends_with('c')).for_each(|it| fs::remove_file(it).unwrap());
        assert!(there.run(&["doctor"]).stdout.contains("were unlinked by hand"));
        let ran = volume.run(&["doctor", "--json"]);
        assert!(!ran.stdout.contains(there.path()), "{ran:?}");
    }
    for put in &mut puts {
        put.kill().unwrap();
        put.wait().unwrap();
    }
    put.kill().unwrap();
    put.wait().unwrap();
}

#[test]
fn an_empty_variable_counts_as_unset_and_a_missing_directory_is_named() {
    let output = tearless(&["namespaces"]).env("TEARLESS_DIRECTORY", "").output().unwrap();
    Ran::of(output).ok();
    let output = tearless(&["-n", "x", "ls"]).env("TEARLESS_DIRECTORY", "/no/such").output().unwrap();
    let message = Ran::of(output).fails(1);
    assert!(message.contains("/no/such does not exist: mkdir -p -m 700 /no/such"), "{message}");
}

#[test]
fn verify_and_bench_use_the_directory_and_leave_nothing_there() {
    let volume = Volume::new("verify");
    let verified = volume.run(&["verify", "--seconds", "1"]).ok();
    assert!(verified.contains(volume.path()) && verified.contains("nothing is wrong"), "{verified}");
    let measured = volume.run(&["bench", "--seconds", "1"]).ok();
    assert!(measured.contains(volume.path()), "{measured}");
    assert!(volume.is_empty());
}
