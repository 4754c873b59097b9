//! `tearless get` prints the latest state of a channel of any codec, and reports an undecodable one
//! with a separate exit code.

mod support;

use serde::{Deserialize, Serialize};
use serde_json::json;
use support::Fleet;
use tearless::{Bytes, MessagePack, Pod, Postcard};

#[derive(Serialize, Deserialize, postcard_schema::Schema)]
struct State {
    jobs_done: u64,
    phase: Phase,
    queue: Vec<String>,
}

#[derive(Serialize, Deserialize, postcard_schema::Schema)]
enum Phase {
    Working { since: u32 },
    Idle,
}

fn state() -> State {
    State { jobs_done: 3, phase: Phase::Working { since: 9 }, queue: vec!["a".into(), "b".into()] }
}

#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
struct Robot {
    moves: u64,
    position: [f64; 2],
}
tearless::describe_pod!(Robot { moves, position });

#[test]
fn a_state_with_a_schema_is_json_and_so_is_its_field() {
    let fleet = Fleet::new();
    let mut writer =
        fleet.writer_builder::<State>("worker-7").codec::<Postcard>().with_schema().open().unwrap();
    writer.publish(&state()).unwrap();
    let expected = json!({"jobs_done": 3, "phase": {"Working": {"since": 9}}, "queue": ["a", "b"]});
    let printed = fleet.run(&["get", "worker-7"]).ok();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&printed).unwrap(), expected);
    assert_eq!(fleet.run(&["get", "worker-7", "--field", "jobs_done"]).ok(), "3\n");
    assert_eq!(fleet.run(&["get", "worker-7", "--field", "queue[1]"]).ok(), "b\n", "without quotes");
    assert_eq!(fleet.run(&["get", "worker-7", "-f", "phase.Working.since"]).ok(), "9\n");
    let [document] = fleet.run(&["get", "worker-7", "--json"]).json().try_into().unwrap();
    let keys: Vec<&str> = document.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "channel",
            "publication",
            "age_seconds",
            "published_at",
            "bytes",
            "codec",
            "type_name",
            "writer",
            "origin",
            "value"
        ]
    );
    assert_eq!(document["value"], expected);
    assert_eq!((&document["publication"], &document["writer"]), (&json!(1), &json!("alive")));
    let schema = fleet.run(&["stat", "worker-7", "--schema"]).ok();
    assert!(schema.contains("jobs_done: u64") && schema.contains("Working"), "{schema}");
    let [document] = fleet.run(&["get", "worker-7", "--json", "-f", "queue"]).json().try_into().unwrap();
    assert_eq!((&document["field"], &document["value"]), (&json!("queue"), &json!(["a", "b"])));
}

#[test]
fn history_reports_states_without_a_field_and_fields_that_no_state_can_have() {
    let fleet = Fleet::new();
    let mut writer =
        fleet.writer_builder::<State>("worker-7").codec::<Postcard>().with_schema().open().unwrap();
    let message = fleet.run(&["history", "worker-7", "--field", "jobs_done"]).fails(3);
    assert!(message.contains("nothing has been published on channel \"worker-7\" yet"), "{message}");
    writer.publish(&state()).unwrap();
    writer.publish(&State { queue: vec!["c".into()], ..state() }).unwrap();
    let printed = fleet.run(&["history", "worker-7", "--field", "queue[1]"]).ok();
    let lines: Vec<&str> = printed.lines().collect();
    assert!(lines[1].ends_with("no such field") && lines[2].ends_with("  \"b\""), "{printed}");
    let printed = fleet.run(&["history", "worker-7", "--field", "queue[5]"]).ok();
    assert_eq!(printed.matches("no such field").count(), 2, "there might be six: {printed}");
    let message = fleet.run(&["history", "worker-7", "--field", "jobs"]).fails(3);
    assert!(message.contains("jobs_done"), "{message}");
}

#[test]
fn a_field_of_other_states_is_distinguished_from_one_of_no_state() {
    let fleet = Fleet::new();
    let mut writer =
        fleet.writer_builder::<State>("worker-7").codec::<Postcard>().with_schema().open().unwrap();
    writer.publish(&State { phase: Phase::Idle, ..state() }).unwrap();
    for field in ["phase.Working.since", "queue[5]"] {
        let message = fleet.run(&["get", "worker-7", "--field", field]).fails(3);
        assert!(
            message.contains("the latest state") && message.contains("another state may have it"),
            "{message}"
        );
    }
    for (field, is_near) in [
        ("phase.Working.sinc", true),
        ("phase.Idle.since", false),
        ("queue[0][0]", false),
        ("queue.len", false),
    ] {
        let message = fleet.run(&["get", "worker-7", "--field", field]).fails(3);
        assert!(message.contains("the states of") && message.contains("its fields: "), "{message}");
        assert_eq!(message.contains("did you mean"), is_near, "{message}");
    }
    let mut packed = fleet.writer_builder::<State>("packed").codec::<MessagePack>().open().unwrap();
    packed.publish(&state()).unwrap();
    let message = fleet.run(&["get", "packed", "--field", "queue[5]"]).fails(3);
    assert!(message.contains("the latest state of channel \"packed\" has no field queue[5]"), "{message}");
}

#[test]
fn plain_data_and_message_pack_are_read_as_well() {
    let fleet = Fleet::new();
    let mut robot = fleet.writer_builder::<Robot>("robot").codec::<Pod>().with_schema().open().unwrap();
    robot.publish(&Robot { moves: 5, position: [1.5, f64::NAN] }).unwrap();
    assert_eq!(fleet.run(&["get", "robot", "-f", "position[0]"]).ok(), "1.5\n");
    assert_eq!(fleet.run(&["get", "robot", "-f", "position[1]"]).ok(), "NaN\n");
    let message = fleet.run(&["get", "robot", "-f", "position[3]"]).fails(3);
    assert!(message.contains("no field position[3]: the length of position is 2"), "{message}");
    let mut writer = fleet.writer_builder::<State>("packed").codec::<MessagePack>().open().unwrap();
    writer.publish(&state()).unwrap();
    assert_eq!(fleet.run(&["get", "packed", "-f", "queue[0]"]).ok(), "a\n");
    let message = fleet.run(&["stat", "packed", "--schema"]).fails(5);
    assert!(message.contains("name their own fields"), "{message}");
}

#[test]
fn an_undecodable_state_is_shown_as_bytes_with_its_own_exit_code() {
    let fleet = Fleet::new();
    let builder = fleet.writer_builder::<State>("worker-7").codec::<Postcard>();
    let mut writer = builder.open().unwrap();
    writer.publish(&state()).unwrap();
    let ran = fleet.run(&["get", "worker-7"]);
    assert!(ran.stdout.starts_with("00000000  03 00 09 02 01 61 01 62 "), "{ran:?}");
    let message = ran.fails(5);
    assert!(message.contains("with_schema()") && message.contains("--hex"), "{message}");
    let ran = fleet.run(&["get", "worker-7", "--json"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(5), ""));
    fleet.run(&["get", "worker-7", "-f", "jobs_done"]).fails(5);
    fleet.run(&["stat", "worker-7", "--schema"]).fails(5);
    let raw = fleet.command(&["get", "worker-7", "--raw"]).output().unwrap();
    assert_eq!(raw.stdout, [3, 0, 9, 2, 1, b'a', 1, b'b']);
    assert_eq!(fleet.run(&["get", "worker-7", "--hex"]).ok().lines().count(), 1);
}

#[test]
fn bytes_that_are_no_text_are_shown_by_their_beginning() {
    let fleet = Fleet::new();
    let mut writer = fleet.writer_builder::<[u8]>("worker-7").codec::<Bytes>().open().unwrap();
    let mut states = [b"a text\n".to_vec(), (0..=255).collect(), vec![1; 50], b"\xffab".to_vec()];
    for state in &states {
        writer.publish(state).unwrap();
    }
    for command in [&["history", "worker-7"][..], &["postmortem", "worker-7", "--last", "4"]] {
        let text = fleet.run(command).ok();
        let shown: Vec<_> = text.lines().rev().take(4).map(str::trim_end).collect();
        assert!(shown[0].ends_with(r#""a text\n""#), "{text}");
        assert!(
            shown[1].ends_with("00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f  ................ …"),
            "{text}"
        );
        assert!(shown[2].ends_with("01 01 01  ................ …"), "control characters are no text: {text}");
        assert!(shown[3].contains("  ff 61 62  ") && shown[3].ends_with("  .ab"), "{text}");
    }
    let values = fleet.run(&["history", "worker-7", "--json"]).json();
    states.reverse();
    assert_eq!(values[0]["value"], serde_json::json!(states[0]), "JSON has the values");
}

#[test]
fn a_missing_field_lists_the_existing_ones() {
    let fleet = Fleet::new();
    let mut writer =
        fleet.writer_builder::<State>("worker-7").codec::<Postcard>().with_schema().open().unwrap();
    writer.publish(&state()).unwrap();
    let message = fleet.run(&["get", "worker-7", "-f", "job_done"]).fails(3);
    assert!(message.contains("did you mean: jobs_done") && message.contains("queue"), "{message}");
    fleet.run_with(&["put", "number", "--linger"], b"7").ok();
    fleet.run_with(&["put", "list", "--linger"], b"[[1]]").ok();
    let lacks = |channel, path| fleet.run(&["get", channel, "-f", path]).fails(3);
    assert!(lacks("number", "x").contains("hint: it has no fields"));
    assert!(lacks("list", "[1][2]").contains("no field [1][2]: the length of the state is 1"));
    assert!(lacks("list", "[0][2]").contains("no field [0][2]: the length of [0] is 1"));
    let message = fleet.run(&["get", "worker-7", "-f", "queue[1"]).fails(2);
    assert!(message.contains("column 8"), "{message}");
}

#[test]
fn the_fields_that_an_error_lists_can_be_asked_for() {
    #[derive(Serialize, Deserialize, postcard_schema::Schema)]
    struct Queues {
        sample: Vec<Job>,
        empty: Vec<Job>,
        retries: u8,
    }
    #[derive(Serialize, Deserialize, postcard_schema::Schema)]
    struct Job {
        name: String,
    }
    let fleet = Fleet::new();
    let queues = || Queues { sample: vec![Job { name: "a".into() }], empty: vec![], retries: 1 };
    let builder = |name: &str| fleet.writer_builder::<Queues>(name);
    let mut described = builder("described").codec::<Postcard>().with_schema().open().unwrap();
    let mut open = builder("open").codec::<MessagePack>().open().unwrap();
    described.publish(&queues()).unwrap();
    open.publish(&queues()).unwrap();
    for (channel, expected) in [
        ("described", "sample, sample[0].name, empty, empty[0].name, retries"),
        ("open", "sample, sample[0], sample[0].name, empty, retries"),
    ] {
        let message = fleet.run(&["get", channel, "-f", "sample[0].nam"]).fails(3);
        assert!(message.contains("did you mean: sample[0].name"), "{message}");
        assert!(message.contains(&format!("its fields: {expected}\n")), "{message}");
        for field in expected.split(", ").filter(|field| !field.starts_with("empty[")) {
            fleet.run(&["get", channel, "-f", field]).ok();
        }
    }
}

#[test]
fn errors_about_missing_names_suggest_similar_ones() {
    let fleet = Fleet::new();
    let message = fleet.run(&["get", "worker-7"]).fails(3);
    assert!(message.contains("no namespace"), "{message}");
    let _writers = ["worker-1", "worker-2", "database"].map(|name| fleet.writer::<u64>(name).unwrap());
    let message = fleet.run(&["get", "wroker-1"]).fails(3);
    assert!(
        message.contains("no channel \"wroker-1\"") && message.contains("did you mean: worker-1"),
        "{message}"
    );
    let message = fleet.run(&["get", "worker-*"]).fails(3);
    assert!(message.contains("`tearless ls` takes a pattern"), "{message}");
    let message = fleet.run(&["get", "zzz"]).fails(3);
    assert!(message.contains("`tearless ls` lists its 3 channels"), "{message}");
    let message = fleet.run(&["get", &format!("{}/worker-1", fleet.name())]).fails(3);
    assert!(message.contains("did you mean: worker-1"), "as the doctor writes it: {message}");
    let message = fleet.run(&["get", "worker-1"]).fails(3);
    assert!(message.contains("nothing has been published"), "{message}");
    let mistyped = &fleet.name()[..fleet.name().len() - 1];
    let message = fleet.run(&["-n", mistyped, "get", "worker-1"]).fails(3);
    assert!(message.contains("no namespace") && message.contains(fleet.name()), "{message}");
}

#[test]
fn a_dead_writer_or_an_old_state_fails_if_the_user_excludes_it() {
    let fleet = Fleet::new();
    let mut writer = fleet.writer_builder::<u64>("worker-7").codec::<Pod>().with_schema().open().unwrap();
    writer.publish(&1).unwrap();
    assert_eq!(fleet.run(&["get", "worker-7", "--live", "--max-age", "1h"]).ok(), "1\n");
    fleet.run(&["get", "worker-7", "--max-age", "0s"]).fails(4);
    writer.touch().unwrap();
    fleet.run(&["get", "worker-7", "--max-age", "1h"]).ok();
    writer.close_lingering().unwrap();
    let message = fleet.run(&["get", "worker-7", "--live"]).fails(4);
    assert!(message.contains("is closed"), "{message}");
    assert_eq!(fleet.run(&["get", "worker-7"]).ok(), "1\n", "the state can still be read");
}

#[test]
fn get_waits_for_a_channel_up_to_the_timeout() {
    let fleet = Fleet::new();
    let mut get = fleet.start(&["get", "worker-7", "--wait", "60s"]);
    let of_process = |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", get.id())).unwrap();
    support::eventually("the command waits for the channel", || of_process("stat").contains(" S "));
    let mut writer = fleet.writer_builder::<u64>("worker-7").codec::<Pod>().with_schema().open().unwrap();
    let page = fleet.object("worker-7", "c");
    let is_attached = || of_process("maps").contains(page.to_str().unwrap());
    support::eventually("the command waits for a publication", is_attached);
    assert!(get.try_wait().unwrap().is_none());
    writer.publish(&1).unwrap();
    assert_eq!(support::Ran::of(get.wait_with_output().unwrap()).ok(), "1\n");
}

#[test]
fn a_state_that_is_not_published_yet_is_waited_for_on_request() {
    let fleet = Fleet::new();
    let _writer = fleet.writer::<u64>("worker-7").unwrap();
    let message = fleet.run(&["get", "worker-7"]).fails(3);
    assert!(message.contains("nothing has been published") && message.contains("--wait"), "{message}");
    let message = fleet.run(&["get", "worker-7", "--wait", "10ms"]).fails(3);
    assert!(message.contains("within 10 ms") && !message.contains("watch"), "{message}");
}

#[test]
fn the_longest_possible_timeout_is_accepted() {
    let fleet = Fleet::new();
    let timeout = "18446744073709551615s";
    let mut writer = fleet.writer_builder::<u64>("worker-7").codec::<Pod>().with_schema().open().unwrap();
    let waiting = fleet.start(&["get", "worker-7", "--wait", timeout]);
    std::thread::sleep(std::time::Duration::from_millis(50));
    writer.publish(&1).unwrap();
    assert_eq!(support::Ran::of(waiting.wait_with_output().unwrap()).ok(), "1\n");
    let watch = ["watch", "worker-7", "--wait", timeout, "--interval", timeout, "--count", "1"];
    assert_eq!(fleet.run(&watch).ok(), "1 1\n");
    fleet.run(&["get", "worker-7", "--max-age", timeout]).ok();
    fleet.run(&["gc", "--keep", timeout, "--dry-run"]).ok();
}
