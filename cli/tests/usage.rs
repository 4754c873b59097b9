//! Help with examples and exit codes, completions, manual pages; and colours only on terminals.

mod support;

use support::{Fleet, Ran, tearless};
use tearless::Bytes;

const COMMANDS: [&str; 18] = [
    "ls",
    "get",
    "watch",
    "put",
    "stat",
    "history",
    "postmortem",
    "doctor",
    "gc",
    "save",
    "restore",
    "namespaces",
    "top",
    "export",
    "verify",
    "bench",
    "completions",
    "man",
];

fn run(arguments: &[&str]) -> Ran {
    Ran::of(tearless(arguments).output().unwrap())
}

#[test]
fn every_command_has_help_with_examples() {
    let help = run(&["--help"]).ok();
    for command in COMMANDS {
        assert!(help.contains(&format!("\n  {command} ")), "{command}");
        let help = run(&[command, "--help"]).ok();
        let examples = help.split("Examples:").nth(1).expect("examples");
        assert!(examples.contains(&format!(" {command}")), "{help}");
        if !["completions", "man"].contains(&command) {
            assert!(help.contains("Exit codes:"), "{help}");
        }
        if !["completions", "man", "put"].contains(&command) {
            assert!(help.contains("Keys of --"), "{help}");
        }
        let widest = help.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= 125, "{command} has a line of {widest} characters");
    }
    assert!(help.contains("Exit codes:") && help.contains("TEARLESS_NAMESPACE"));
    assert!(run(&["--version"]).ok().starts_with("tearless "));
}

#[test]
fn wrong_usage_is_reported() {
    for arguments in
        [&["nonsense"][..], &[], &["get"], &["get", "x", "--raw", "--hex"], &["ls", "--color", "red"]]
    {
        assert!(!run(arguments).fails(2).is_empty(), "{arguments:?}");
    }
    for (arguments, advice) in [
        (&["get", "w", "--max-age", "five"][..], "a number and a unit"),
        (&["get", "w", "--wait", "5"], "a number and a unit"),
        (&["watch", "w", "--interval", ""], "a number and a unit"),
        (&["top", "--interval", "soon"], "a number and a unit"),
        (&["ls", "--trust-owner", "root"], "`id -u NAME`"),
    ] {
        let message = run(arguments).fails(2);
        assert!(message.contains(advice), "{arguments:?}: {message}");
    }
    let message = run(&["put", "jobs", "3"]).fails(2);
    assert!(message.contains("<CHANNEL> < STATE"), "a state is no argument: {message}");
    let mut get = tearless(&["get"]);
    let message = Ran::of(get.env("TEARLESS_NAMESPACE", "fleet").output().unwrap()).fails(2);
    assert!(message.contains("Usage: tearless get <CHANNEL>"), "only what is missing: {message}");
    let control = "a\u{1b}b";
    let message = run(&["-n", control, "ls"]).fails(2);
    assert!(!message.contains('\u{1b}'), "{message}");
}

#[test]
fn json_is_printed_or_refused() {
    let fleet = Fleet::new();
    let mut writer = fleet.writer_builder::<u64>("w").codec::<tearless::Pod>().with_schema().open().unwrap();
    writer.publish(&1).unwrap();
    for arguments in [&["export", "--prometheus", "--once"][..], &["man"], &["completions", "bash"]] {
        let ran = fleet.run(&[arguments, &["--json"]].concat());
        assert_eq!(ran.stdout, "", "{arguments:?}");
        assert!(ran.fails(2).contains("no JSON"), "{arguments:?}");
    }
    let [document] = fleet.run(&["stat", "w", "--schema", "--json"]).json().try_into().unwrap();
    let text = fleet.run(&["stat", "w", "--schema"]).ok();
    assert_eq!(document, serde_json::json!({"channel": "w", "schema_text": text.trim_end()}));
}

#[test]
fn an_empty_variable_names_no_namespace() {
    let run = |variable: Option<&str>| {
        let mut command = tearless(&["namespaces"]);
        variable.map(|value| command.env("TEARLESS_NAMESPACE", value));
        Ran::of(command.output().unwrap()).ok();
        let mut command = tearless(&["get", "no-such-channel"]);
        variable.map(|value| command.env("TEARLESS_NAMESPACE", value));
        Ran::of(command.output().unwrap())
    };
    // One namespace, so that their number does not change from none to one during the test.
    let fleets = [Fleet::new(), Fleet::new()];
    let _writers = fleets.each_ref().map(|fleet| fleet.writer::<u64>("w").unwrap());
    for variable in [None, Some("")] {
        let message = run(variable).fails(2);
        assert!(message.contains("which namespace?"), "{message}");
    }
    assert!(Ran::of(tearless(&["-n", "", "ls"]).output().unwrap()).code == Some(2));
}

#[test]
fn completions_and_manual_pages_are_generated() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&["completions", shell]).ok();
        assert!(script.contains("postmortem") && script.contains("trust-owner"), "{shell}");
    }
    assert!(run(&["man"]).ok().contains(".TH"));
    let folder = std::env::temp_dir().join(format!("tearless-man-{}", std::process::id()));
    run(&["man", "--to", folder.to_str().unwrap()]).ok();
    for command in COMMANDS {
        let page = std::fs::read_to_string(folder.join(format!("tearless-{command}.1"))).unwrap();
        assert!(page.contains("Examples"), "{command}");
    }
    assert!(folder.join("tearless.1").exists());
    std::fs::remove_dir_all(&folder).unwrap();
    run(&["man", "--to", "/proc/nowhere"]).fails(1);
}

#[test]
fn colours_are_for_terminals_or_on_request() {
    let fleet = Fleet::new();
    let _writer = fleet.writer_builder::<[u8]>("w").codec::<Bytes>().open().unwrap();
    assert!(!fleet.run(&["ls"]).ok().contains('\u{1b}'));
    assert!(fleet.run(&["ls", "--color", "always"]).ok().contains('\u{1b}'));
    assert!(!fleet.run(&["ls", "--color", "never"]).ok().contains('\u{1b}'));
    let forced = |no_color: &str| {
        let mut command = fleet.command(&["ls"]);
        command.env("CLICOLOR_FORCE", "1").env("NO_COLOR", no_color);
        Ran::of(command.output().unwrap()).ok().contains('\u{1b}')
    };
    assert!(forced("") && !forced("1"));
}

#[test]
fn namespaces_and_channels_are_listed_as_documented() {
    let fleet = Fleet::new();
    fleet.run(&["ls"]).fails(3);
    let mut writer = fleet.writer_builder::<[u8]>("w-1").codec::<Bytes>().open().unwrap();
    let _other = fleet.writer_builder::<[u8]>("x").codec::<Bytes>().open().unwrap();
    writer.publish(b"state").unwrap();
    let [document] = fleet.run(&["ls", "w-?", "--json"]).json().try_into().unwrap();
    let keys: Vec<&str> = document.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "channel",
            "writer",
            "pid",
            "incarnation",
            "publication",
            "age_seconds",
            "published_at",
            "rate",
            "bytes",
            "heartbeat_age_seconds",
            "codec",
            "type_name",
            "max_state_len",
            "pins",
            "views",
            "origin",
        ]
    );
    assert_eq!(
        (&document["channel"], &document["publication"], &document["bytes"]),
        (&"w-1".into(), &1.into(), &5.into())
    );
    let ran = fleet.run(&["ls", "nothing*"]);
    assert!(ran.stderr.contains("no channel or block matches"), "{ran:?}");
    assert_eq!(ran.ok().lines().count(), 1);
    let namespaces = run(&["namespaces", "--json"]).json();
    let own = namespaces.iter().find(|document| document["namespace"] == fleet.name()).unwrap();
    assert_eq!((&own["channels"], &own["readable"]), (&2.into(), &true.into()));
    // With two namespaces, the user has to choose one.
    let another = Fleet::new();
    let _writer = another.writer_builder::<[u8]>("x").codec::<Bytes>().open().unwrap();
    let message = run(&["ls"]).fails(2);
    assert!(message.contains("which namespace?") && message.contains("-n NAME"), "{message}");
}

#[test]
fn commands_for_channels_say_what_a_block_is() {
    let fleet = Fleet::new();
    let _block = fleet.block("prices", 8).unwrap();
    let commands: [&[&str]; 5] = [
        &["get", "prices"],
        &["watch", "prices"],
        &["history", "prices"],
        &["postmortem", "prices"],
        &["stat", "prices", "--schema"],
    ];
    for command in commands {
        let message = fleet.run(command).fails(3);
        assert!(message.contains("there is no channel \"prices\""), "{message}");
        assert!(
            message.contains("a block of that name: raw memory")
                && message.contains("`tearless stat prices`")
        );
    }
    let message = fleet.run(&["get", "camera"]).fails(3);
    assert!(
        message.contains("only blocks (1): `tearless ls`")
            && message.contains("a sealed channel has no name")
    );
    let message = fleet.run(&["save", "/tmp/no-file-is-made", "prices"]).fails(3);
    assert!(message.contains("blocks are not saved"), "{message}");
    let ran = fleet.run(&["export", "--prometheus", "--once", "prices"]);
    assert!(ran.stderr.contains("blocks do, which have no states"), "{ran:?}");
    ran.ok();
    for command in [&["stat", "prizes"][..], &["gc", "prizes"]] {
        let message = fleet.run(command).fails(3);
        assert!(message.contains("no channel or block \"prizes\""), "{message}");
        assert!(message.contains("did you mean the block: prices?"), "{message}");
    }
    let _writer = fleet.writer::<u64>("worker").unwrap();
    let message = fleet.run(&["stat", "worker", "--block"]).fails(3);
    assert!(message.contains("a channel of that name: leave out --block"), "{message}");
}

#[test]
fn the_help_of_a_command_names_the_keys_that_it_prints() {
    let fleet = Fleet::new();
    let mut writer = fleet.writer_builder::<[u8]>("w").codec::<Bytes>().open().unwrap();
    writer.publish(b"state").unwrap();
    let file = std::env::temp_dir().join(format!("{}.saved", fleet.name()));
    let file = file.to_str().unwrap();
    for arguments in [
        &["save", file][..],
        &["restore", file],
        &["postmortem", "w", "--from", file],
        &["ls"],
        &["get", "w"],
        &["watch", "w", "--count", "1"],
        &["stat", "w"],
        &["history", "w"],
        &["postmortem", "w"],
        &["namespaces"],
        &["gc", "--dry-run"],
        &["doctor"],
        &["top", "--once", "--interval", "50ms"],
        &["verify", "--seconds", "1"],
        &["bench", "--seconds", "1"],
        &["stat", "w", "--schema"],
    ] {
        let ran = fleet.run(&[arguments, &["--json"]].concat());
        let help = run(&[arguments[0], "--help"]).ok();
        for line in ran.stdout.lines() {
            let document: serde_json::Value = serde_json::from_str(line).unwrap();
            for key in document.as_object().unwrap().keys() {
                assert!(help.contains(key), "{} does not document {key}", arguments[0]);
            }
        }
    }
    std::fs::remove_file(file).unwrap();
}
