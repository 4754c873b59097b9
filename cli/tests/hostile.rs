//! For any content of shared memory, the command ends by itself, prints what it can, and no byte of
//! that content controls a terminal.

mod support;

use std::os::unix::fs::FileExt;
use std::path::Path;

use support::{Fleet, Ran, Random};
use tearless::{Bytes, MessagePack};

/// Texts that would affect a terminal, or mislead its reader.
const HOSTILE: [&str; 7] = [
    "\u{1b}[2J\u{1b}]0;title\u{7}",
    "\u{9b}31m\u{90}q",
    "\r\n\u{8}\u{7f}\0",
    "\u{202e}gnp.exe\u{2066}",
    "\u{200b}\u{feff}\u{2028}\u{2029}",
    "\u{e0041}\u{fffe}",
    "line\nspoofed: all is well",
];

/// Commands that print content of a channel.
const COMMANDS: [&[&str]; 24] = [
    &["ls"],
    &["ls", "--json"],
    &["get", "CHANNEL"],
    &["get", "CHANNEL", "--json"],
    &["get", "CHANNEL", "--hex"],
    &["get", "CHANNEL", "--field", "a"],
    &["watch", "CHANNEL", "--count", "1"],
    &["watch", "CHANNEL", "--count", "1", "--json"],
    &["stat", "CHANNEL"],
    &["stat", "CHANNEL", "--json"],
    &["stat", "CHANNEL", "--schema"],
    &["history", "CHANNEL"],
    &["history", "CHANNEL", "--json"],
    &["postmortem", "CHANNEL"],
    &["postmortem", "CHANNEL", "--json"],
    &["top", "--once", "--interval", "10ms"],
    &["top", "--once", "--interval", "10ms", "--json"],
    &["export", "--prometheus", "--once"],
    &["namespaces"],
    &["namespaces", "--json"],
    &["doctor"],
    &["doctor", "--json"],
    &["gc", "--dry-run", "--keep", "nothing"],
    // The last command, because it removes channels without a writer.
    &["gc", "--keep", "nothing"],
];

/// Runs all commands on a channel. Each has to end with an exit code and print only plain
/// characters.
#[track_caller]
fn run_all(fleet: &Fleet, channel: &str) {
    for arguments in COMMANDS {
        let arguments: Vec<&str> = arguments
            .iter()
            .map(|argument| if *argument == "CHANNEL" { channel } else { argument })
            .collect();
        let output = fleet.command(&arguments).output().unwrap();
        let ran = Ran::of(output);
        assert!(ran.code.is_some_and(|code| code <= 6), "{arguments:?} {ran:?}");
        for text in [&ran.stdout, &ran.stderr] {
            let odd = text.chars().find(|character| !is_plain(*character));
            assert_eq!(odd, None, "{arguments:?} {ran:?}");
            assert!(!text.contains("panicked"), "{arguments:?} {ran:?}");
        }
    }
}

/// Independent of the command's own table: the characters in Unicode's classes control, format,
/// separator and unassigned that have been used for attacks.
fn is_plain(character: char) -> bool {
    match character {
        '\n' => true,
        '\0'..=' ' => character == ' ',
        '\u{7f}'..='\u{a0}' | '\u{ad}' | '\u{61c}' | '\u{180e}' => false,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => false,
        '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{fffe}'..='\u{ffff}' | '\u{e0000}'..='\u{e0fff}' => false,
        _ => true,
    }
}

#[test]
fn hostile_states_are_shown_and_do_nothing() {
    let fleet = Fleet::new();
    let mut bytes = fleet.writer_builder::<[u8]>("bytes").codec::<Bytes>().open().unwrap();
    let mut packed =
        fleet.writer_builder::<serde_json::Value>("packed").codec::<MessagePack>().open().unwrap();
    for text in HOSTILE {
        bytes.publish(text.as_bytes()).unwrap();
        packed.publish(&serde_json::json!({ text: [text, { "a": text }], "a": text })).unwrap();
        run_all(&fleet, "bytes");
        run_all(&fleet, "packed");
    }
}

#[test]
fn random_payloads_of_every_codec_end_in_a_value_or_an_error() {
    let fleet = Fleet::new();
    let mut bytes = fleet.writer_builder::<[u8]>("random").codec::<Bytes>().open().unwrap();
    let mut random = Random(2);
    for codec in ["bytes", "message-pack", "postcard", "pod", "\u{1b}[31m"] {
        write_text(&fleet.object("random", "c"), 912, codec);
        for _ in 0..4 {
            let len = random.below(60);
            bytes.publish(&random.bytes(len)).unwrap();
            let text = HOSTILE[random.below(7)];
            // A MessagePack string, or a map with it as its key.
            let mut packed = vec![0x81, 0xd9, u8::try_from(text.len()).unwrap()];
            packed.extend_from_slice(text.as_bytes());
            packed.extend_from_slice(&random.bytes(1));
            for arguments in [["get", "random"], ["history", "random"]] {
                let ran = fleet.run(&arguments);
                assert!([Some(0), Some(5)].contains(&ran.code), "{ran:?}");
                assert!(ran.stdout.chars().chain(ran.stderr.chars()).all(is_plain), "{ran:?}");
            }
            bytes.publish(&packed).unwrap();
        }
        run_all(&fleet, "random");
    }
}

/// Overwrites a text of the control page: see docs/layout.md.
fn write_text(page: &Path, byte: u64, text: &str) {
    let page = std::fs::OpenOptions::new().write(true).open(page).unwrap();
    page.write_all_at(&(text.len() as u64).to_le_bytes(), byte).unwrap();
    page.write_all_at(text.as_bytes(), byte + 8).unwrap();
}

#[test]
fn hostile_names_are_shown_and_do_nothing() {
    for text in HOSTILE {
        let fleet = Fleet::new();
        let mut writer = fleet.writer_builder::<[u8]>("w").codec::<Bytes>().open().unwrap();
        writer.publish(b"state").unwrap();
        let page = fleet.object("w", "c");
        let (codec, schema) = (912, 984);
        write_text(&page, codec, text);
        write_text(&page, schema, text);
        run_all(&fleet, "w");
        // The channel's own name, in the control page, in the registry, and in the request.
        run_all(&fleet, &text.replace('\0', ""));
        let channel = 648;
        write_text(&page, channel, text);
        for arguments in [["get", "w"], ["stat", "w"], ["postmortem", "w"]] {
            let ran = fleet.run(&arguments);
            assert!(ran.code.is_some_and(|code| (1..=6).contains(&code)), "{ran:?}");
            assert!(ran.stderr.chars().all(is_plain), "{ran:?}");
        }
        run_all(&fleet, "w");
        write_text(&page, channel, "w");
    }
}

#[test]
fn a_hostile_registry_lists_harmlessly() {
    let fleet = Fleet::new();
    // As long as its replacement, and unique in the registry.
    let mut writer = fleet.writer_builder::<[u8]>("a-name-of-23-characters").codec::<Bytes>().open().unwrap();
    writer.publish(b"state").unwrap();
    let page = fleet.object("a-name-of-23-characters", "c");
    let prefix = format!("{}r", &page.file_name().unwrap().to_str().unwrap()[..10]);
    let objects = fleet.objects();
    let is_registry =
        |object: &&std::path::PathBuf| object.file_name().unwrap().to_str().unwrap().starts_with(&prefix);
    let registry = objects.iter().find(is_registry).unwrap();
    let bytes = std::fs::read(registry).unwrap();
    let name = b"a-name-of-23-characters";
    let at = bytes.windows(name.len()).position(|found| found == name).expect("the channel is listed");
    let file = std::fs::OpenOptions::new().write(true).open(registry).unwrap();
    let hostile = "\u{1b}[2J\u{9b}\u{202e}\u{200b}\u{7f}\nhere\r\0\u{7}\u{8}!";
    file.write_all_at(&hostile.as_bytes()[..name.len()], at as u64).unwrap();
    let listed = fleet.run(&["ls"]).ok();
    assert!(listed.contains("\\u{1b}[2J"), "{listed}");
    assert!(fleet.run(&["ls", "--json"]).json()[0]["channel"].as_str().unwrap().starts_with("\u{1b}[2J"));
    run_all(&fleet, "none");
    file.write_all_at(name, at as u64).unwrap();
}

#[test]
fn a_truncated_or_garbled_channel_is_an_error_and_no_crash() {
    let mut random = Random(7);
    for round in 0..20 {
        let fleet = Fleet::new();
        let mut writer = fleet.writer_builder::<[u8]>("w").codec::<Bytes>().open().unwrap();
        // Both sides grow.
        for _ in 0..2 {
            writer.publish(&[b'x'; 5_000]).unwrap();
        }
        writer.close_lingering().unwrap();
        let kind = ["c", "a2", "b2"][random.below(3)];
        let object = fleet.object("w", kind);
        let file = std::fs::OpenOptions::new().write(true).open(&object).unwrap();
        let whole = std::fs::read(&object).unwrap();
        if round % 2 == 0 {
            file.set_len([0, 8, 100][random.below(3)]).unwrap();
        } else {
            for _ in 0..20 {
                // The namespace's name stays: the test needs it to find the channel.
                let word = [random.below(64), random.below(512 - 81) + 81][random.below(2)] as u64;
                file.write_all_at(&random.bytes(8), word * 8).unwrap();
            }
        }
        run_all(&fleet, "w");
        std::fs::write(&object, whole).unwrap();
    }
}
