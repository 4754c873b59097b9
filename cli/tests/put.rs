//! `tearless put` holds a channel for a shell, ends cleanly, and never takes another writer's
//! channel.

mod support;

use std::io::Write;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::json;
use support::{Fleet, Ran, eventually, signal, signals::ignores};

fn has_state(fleet: &Fleet, channel: &str, state: &str) -> bool {
    let ran = fleet.run(&["get", channel, "--json"]);
    ran.code == Some(0) && ran.json()[0]["value"] == serde_json::from_str::<serde_json::Value>(state).unwrap()
}

#[test]
fn a_state_is_held_until_a_signal_and_then_gone() {
    for end in [Signal::INT, Signal::TERM, Signal::HUP] {
        let fleet = Fleet::new();
        let mut put = fleet.start(&["put", "demo"]);
        put.stdin.take().unwrap().write_all(r#"{"jobs": [1, 2.5, "ü"], "none": null}"#.as_bytes()).unwrap();
        eventually("the state is published", || {
            has_state(&fleet, "demo", r#"{"jobs": [1, 2.5, "ü"], "none": null}"#)
        });
        signal(put.id(), end);
        let ran = Ran::of(put.wait_with_output().unwrap());
        assert!(ran.stderr.contains("until Ctrl-C"), "{ran:?}");
        ran.ok();
        fleet.run(&["get", "demo"]).fails(3);
    }
}

#[test]
fn a_lingering_state_is_left_at_once() {
    let fleet = Fleet::new();
    fleet.run_with(&["put", "demo", "--linger"], b"[1]").ok();
    assert!(has_state(&fleet, "demo", "[1]"));
    fleet.run_with(&["put", "demo", "--linger"], b"[2]").ok();
    let [document] = fleet.run(&["get", "demo", "--json"]).json().try_into().unwrap();
    assert_eq!((&document["publication"], &document["writer"]), (&json!(2), &json!("closed")));
    fleet.run_with(&["put", "raw", "--linger", "--bytes"], b"\x1b\xff\n").ok();
    let raw = fleet.command(&["get", "raw", "--raw"]).output().unwrap();
    assert_eq!(raw.stdout, b"\x1b\xff\n");
}

#[test]
fn programs_read_json_by_its_fields_as_the_help_says() {
    #[derive(serde::Deserialize)]
    struct Job {
        step: u8,
    }
    let fleet = Fleet::new();
    fleet.run_with(&["put", "job", "--linger"], br#"{"done": false, "step": 7}"#).ok();
    let builder = fleet.reader_builder::<Job>("job").accept(tearless::accept::MatchingFields);
    assert_eq!(builder.open().unwrap().snapshot().unwrap().step, 7);
    let help = fleet.run(&["put", "--help"]).ok();
    assert!(help.contains("accept(accept::MatchingFields)"), "{help}");
}

#[test]
fn each_line_is_published_as_it_comes() {
    let fleet = Fleet::new();
    let mut put = fleet.start(&["put", "demo", "--each-line"]);
    let mut input = put.stdin.take().unwrap();
    for line in ["1", "{\"a\": 2}", "[3]"] {
        writeln!(input, "{line}\n").unwrap();
        eventually("the line is published", || has_state(&fleet, "demo", line));
    }
    drop(input);
    Ran::of(put.wait_with_output().unwrap()).ok();
    fleet.run(&["get", "demo"]).fails(3);
    fleet.run_with(&["put", "demo", "--each-line", "--linger", "--bytes"], b"one\ntwo").ok();
    assert_eq!(fleet.run(&["get", "demo"]).ok(), "two\n");
    assert_eq!(fleet.run(&["history", "demo", "--json"]).json().len(), 2);
}

#[test]
fn an_integer_of_more_than_64_bits_is_refused_and_never_rounded() {
    let fleet = Fleet::new();
    for (state, integer) in [
        ("18446744073709551616", "18446744073709551616"),
        (r#"{"a": [1, {"b\\": -9223372036854775809}]}"#, "-9223372036854775809"),
        (r#"["\"", 100000000000000000000]"#, "100000000000000000000"),
    ] {
        let ran = fleet.run_with(&["put", "demo", "--linger"], state.as_bytes());
        assert!(ran.stderr.contains(&format!("the integer {integer} has more than 64 bits")), "{ran:?}");
        assert!(ran.stderr.contains("quotes"), "{ran:?}");
        ran.fails(2);
        fleet.run(&["get", "demo"]).fails(3);
    }
    // What is carried exactly, what looks like an integer, and floats.
    let state = r#"{"a": [18446744073709551615, -9223372036854775808, 0, -1, 5], "18446744073709551616": 1,
        "b": "\\\"18446744073709551616", "c": [1e30, 18446744073709551616.0, 1E2]}"#;
    fleet.run_with(&["put", "demo", "--linger"], state.as_bytes()).ok();
    assert!(has_state(&fleet, "demo", state));
}

/// The column of docs/schemas.md about `get` and `export`.
#[test]
fn odd_values_look_as_the_table_says() {
    let fleet = Fleet::new();
    let wide = (300_i128, u128::MAX, f64::NAN, std::net::IpAddr::from([127, 0, 0, 1]), ((), 7_u8));
    let mut writer = fleet.writer::<(i128, u128, f64, std::net::IpAddr, ((), u8))>("odd").unwrap();
    writer.publish(&wide).unwrap();
    let shown = json!([300, u128::MAX.to_string(), "NaN", "127.0.0.1", [null, 7]]);
    assert!(has_state(&fleet, "odd", &shown.to_string()));
    let exported = fleet.run(&["export", "--prometheus", "--once"]).ok();
    let fields: Vec<_> = exported.lines().filter(|line| line.starts_with("tearless_field{")).collect();
    assert_eq!(
        fields,
        [
            r#"tearless_field{channel="odd",field="[0]"} 300"#,
            r#"tearless_field{channel="odd",field="[4][1]"} 7"#
        ]
    );
}

#[test]
fn a_signal_ends_put_even_while_it_waits_for_a_line() {
    let fleet = Fleet::new();
    let mut put = fleet.start(&["put", "demo", "--each-line", "--linger"]);
    let mut input = put.stdin.take().unwrap();
    writeln!(input, "1").unwrap();
    eventually("the line is published", || has_state(&fleet, "demo", "1"));
    signal(put.id(), Signal::TERM);
    Ran::of(put.wait_with_output().unwrap()).ok();
    drop(input);
    assert_eq!(fleet.run(&["ls", "--json"]).json()[0]["writer"], "closed");
}

#[test]
fn an_owned_channel_names_its_owner() {
    let fleet = Fleet::new();
    let _writer = fleet.writer::<u64>("demo").unwrap();
    for arguments in [["put", "demo", "--linger"], ["put", "demo", "--each-line"]] {
        let message = fleet.run_with(&arguments, b"1").fails(6);
        assert!(message.contains(&format!("process {}", std::process::id())), "{message}");
    }
}

#[test]
fn a_writer_in_another_time_namespace_is_alive_and_keeps_its_channel() {
    if !rustix::process::geteuid().is_root() {
        return println!("skipped: needs root, to make a time namespace");
    }
    let fleet = Fleet::new();
    let mut put = Command::new("unshare")
        .args(["-T", "--boottime", "100000", "--monotonic", "100000"])
        .arg(env!("CARGO_BIN_EXE_tearless"))
        .args(["-n", fleet.name(), "put", "demo", "--each-line"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = put.stdin.take().unwrap();
    writeln!(input, "1").unwrap();
    eventually("the line is published", || has_state(&fleet, "demo", "1"));
    let [document] = fleet.run(&["ls", "--json"]).json().try_into().unwrap();
    assert_eq!((&document["writer"], &document["pid"]), (&json!("alive"), &json!(put.id())));
    assert!(document["age_seconds"].as_f64().is_some_and(|age| age > 0.0 && age < 60.0), "{document}");
    fleet.run_with(&["put", "demo", "--linger"], b"2").fails(6);
    assert!(has_state(&fleet, "demo", "1"));
    drop(input);
    assert!(put.wait().unwrap().success());
}

#[test]
fn invalid_json_is_refused_with_its_position_and_changes_nothing() {
    let fleet = Fleet::new();
    let message = fleet.run_with(&["put", "demo"], b"{\"a\":\n  [1,,]}").fails(2);
    assert!(message.contains("line 2, column 6") && message.contains("--bytes"), "{message}");
    assert!(fleet.channels().unwrap().is_empty());
    let message = fleet.run_with(&["put", "demo", "--each-line"], b"1\n\n[2\n").fails(2);
    assert!(message.contains("line 3, column 2"), "{message}");
    assert!(fleet.channels().unwrap().is_empty());
    assert!(!message.contains("--each-line"), "it is given already: {message}");
    assert!(fleet.run_with(&["put", "demo"], b"").fails(2).contains("is empty"));
}

#[test]
fn a_loop_without_each_line_is_reported_while_it_runs() {
    let fleet = Fleet::new();
    let mut put = fleet.start(&["put", "demo"]);
    let mut input = put.stdin.take().unwrap();
    writeln!(input, "{{\"step\": 1}}\n{{\"step\": 2}}").unwrap();
    let message = Ran::of(put.wait_with_output().unwrap()).fails(2);
    assert!(message.contains("more than one") && message.contains("--each-line"), "{message}");
    // Until here, the input has not ended.
    drop(input);
    assert!(fleet.channels().unwrap().is_empty());
}

#[test]
fn a_script_that_breaks_its_promise_is_stalled() {
    let fleet = Fleet::new();
    fleet.run_with(&["put", "demo", "--interval", "1s"], b"1").fails(2);
    let mut put = fleet.start(&["put", "demo", "--each-line", "--interval", "1ms"]);
    let mut input = put.stdin.take().unwrap();
    writeln!(input, "1").unwrap();
    eventually("it is stalled", || fleet.run(&["ls"]).stdout.contains("stalled"));
    drop(input);
    put.wait().unwrap();
}

#[test]
fn a_signal_that_the_caller_ignores_stays_ignored() {
    let fleet = Fleet::new();
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP INT; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_tearless")]);
    command.args(["-n", fleet.name(), "put", "demo", "--each-line", "--linger"]);
    let mut put = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut input = put.stdin.take().unwrap();
    writeln!(input, "1").unwrap();
    eventually("the line is published", || has_state(&fleet, "demo", "1"));
    for ignored in [Signal::HUP, Signal::INT] {
        assert!(ignores(put.id(), ignored.as_raw()), "{ignored:?}");
        signal(put.id(), ignored);
    }
    writeln!(input, "2").unwrap();
    eventually("it goes on", || has_state(&fleet, "demo", "2"));
    signal(put.id(), Signal::TERM);
    assert!(put.wait().unwrap().success(), "this one was not ignored");
    drop(input);
}

#[test]
fn two_members_of_one_name_are_refused() {
    let fleet = Fleet::new();
    for json in [r#"{"a":1,"a":2}"#, r#"[{"b":{"a\"":1,"a\"":":"}}]"#] {
        let message = fleet.run_with(&["put", "demo", "--linger"], json.as_bytes()).fails(2);
        assert!(message.contains("two members of one name"), "{message}");
    }
    let fine = r#"{"a":":","b":{"a":[{"a":1},{"a":2}],"c:":null}}"#;
    fleet.run_with(&["put", "demo", "--linger"], fine.as_bytes()).ok();
    assert!(has_state(&fleet, "demo", fine));
}

#[test]
fn a_name_of_spaces_is_quoted_in_tables() {
    let fleet = Fleet::new();
    fleet.run_with(&["put", " ", "--linger"], b"1").ok();
    assert!(fleet.run(&["ls"]).ok().contains("\" \" "));
}

#[test]
fn a_channel_that_cannot_be_read_is_called_so() {
    use std::os::unix::fs::FileExt;
    let fleet = Fleet::new();
    fleet.run_with(&["put", "demo", "--linger"], b"1").ok();
    let page = std::fs::File::options().write(true).open(fleet.object("demo", "c")).unwrap();
    page.write_all_at(&[9], 6).unwrap();
    assert_eq!(fleet.run(&["ls", "--json"]).json()[0]["writer"], "unreadable");
    let exported = fleet.run(&["export", "--prometheus", "--once"]).ok();
    assert!(exported.contains("tearless_writer{channel=\"demo\",state=\"unreadable\"} 1"), "{exported}");
}

#[test]
fn doctor_distinguishes_a_copy_in_place_of_a_living_channel_from_a_removed_name() {
    let fleet = Fleet::new();
    let mut writer = fleet.writer::<u64>("demo").unwrap();
    writer.publish(&1).unwrap();
    let page = fleet.object("demo", "c");
    let content = std::fs::read(&page).unwrap();
    std::fs::remove_file(&page).unwrap();
    std::fs::write(&page, content).unwrap();
    let doctor = fleet.run(&["doctor"]).stdout;
    let what =
        format!("process {} publishes on {}, whose name was replaced", std::process::id(), page.display());
    assert!(doctor.contains(&what) && doctor.contains("`Writer::reopen` and publish again"), "{doctor}");
    assert!(doctor.ends_with("1 problem\n") && !doctor.contains("died"), "{doctor}");
    writer.reopen().unwrap();
    writer.publish(&2).unwrap();
    assert!(has_state(&fleet, "demo", "2"));
}

/// As a close that could remove neither the object nor the entry leaves it.
#[test]
fn a_half_removed_channel_is_reported_once() {
    use std::os::unix::fs::FileExt;
    let fleet = Fleet::new();
    fleet.run_with(&["put", "demo", "--linger"], b"1").ok();
    let page = std::fs::File::options().write(true).open(fleet.object("demo", "c")).unwrap();
    page.write_all_at(&2_u64.to_le_bytes(), 152).unwrap();
    let removed = fleet.run(&["gc"]).ok();
    assert!(removed.contains("removed channel demo") && !removed.contains("the entry of"), "{removed}");
    fleet.run(&["gc"]).fails(3);
}

#[test]
fn a_list_of_another_version_is_not_to_be_unlinked() {
    use std::os::unix::fs::FileExt;
    let fleet = Fleet::new();
    fleet.run_with(&["put", "demo", "--linger"], b"1").ok();
    let objects = fleet.objects();
    let registry = objects.iter().find(|path| path.to_string_lossy().ends_with("r3")).unwrap();
    std::fs::File::options().write(true).open(registry).unwrap().write_all_at(&[9], 6).unwrap();
    for ran in [fleet.run(&["ls"]), fleet.run(&["doctor"]), fleet.run_with(&["put", "b", "--linger"], b"1")] {
        assert!((ran.stdout.clone() + &ran.stderr).contains("layout version 9"), "{ran:?}");
        assert!(!(ran.stdout.clone() + &ran.stderr).contains("find out which"), "{ran:?}");
    }
    fleet.run(&["gc"]).ok();
    fleet.run_with(&["put", "demo", "--linger"], b"2").ok();
}
