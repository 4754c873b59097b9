//! `tearless export`: its metrics, and its limits for clients.

mod process;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::FileExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use postcard_schema::Schema;
use process::{OwnNamespace, Running, eventually, run};
use rustix::process::Signal;
use serde_json::{Value, json};
use tearless::{Bytes, MessagePack, Writer};

/// A state whose schema the channel carries.
#[derive(serde::Serialize, serde::Deserialize, Schema)]
struct Worker {
    jobs_done: u64,
    load: f32,
    rates: [i16; 2],
    is_busy: bool,
    phase: String,
}

fn dynamic_writer(namespace: &OwnNamespace, channel: &str) -> Writer<Value, MessagePack> {
    namespace.writer_builder::<Value>(channel).codec::<MessagePack>().open().unwrap()
}

/// One exposition by `--once`.
fn once(namespace: &OwnNamespace, options: &[&str]) -> String {
    let arguments = [&["-n", namespace.name(), "export", "--prometheus", "--once"], options].concat();
    let outcome = run(&arguments);
    assert!(outcome.status.success(), "{outcome:?}");
    assert!(outcome.output.ends_with("# EOF\n"), "{}", outcome.output);
    outcome.output
}

/// The value of a sample, if there is one.
fn value<'a>(text: &'a str, sample: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '))
}

#[track_caller]
fn assert_value(text: &str, sample: &str, expected: &str) {
    assert_eq!(value(text, sample), Some(expected), "{sample} in {text}");
}

#[test]
fn numbers_of_self_describing_states_are_gauges() {
    let namespace = OwnNamespace::new();
    let mut packed = dynamic_writer(&namespace, "worker-7");
    packed.publish(&json!({"queue": {"len": 3}, "name": "seven"})).unwrap();
    let mut with_schema = namespace
        .writer_builder::<Worker>("worker-8")
        .codec::<tearless::Postcard>()
        .with_schema()
        .open()
        .unwrap();
    let state = Worker { jobs_done: 5, load: 0.5, rates: [-1, 2], is_busy: true, phase: "idle".into() };
    with_schema.publish(&state).unwrap();
    with_schema.publish(&state).unwrap();
    let mut raw = namespace.writer_builder::<[u8]>("raw").codec::<Bytes>().open().unwrap();
    raw.publish(b"\xff").unwrap();
    let _empty = dynamic_writer(&namespace, "empty");

    let text = once(&namespace, &[]);
    assert_value(&text, r#"tearless_field{channel="worker-7",field="queue.len"}"#, "3");
    for (field, expected) in
        [("jobs_done", "5"), ("load", "0.5"), ("rates[0]", "-1"), ("rates[1]", "2"), ("is_busy", "1")]
    {
        assert_value(&text, &format!("tearless_field{{channel=\"worker-8\",field={field:?}}}"), expected);
    }
    assert_eq!(text.matches("tearless_field{").count(), 6, "{text}");
    for channel in ["worker-7", "worker-8", "raw", "empty"] {
        assert_value(&text, &format!("tearless_up{{channel={channel:?}}}"), "1");
    }
    assert_value(&text, r#"tearless_publications_total{channel="worker-8"}"#, "2");
    assert_value(&text, r#"tearless_publications_total{channel="empty"}"#, "0");
    assert_value(&text, r#"tearless_incarnation{channel="worker-8"}"#, "1");
    assert_value(&text, r#"tearless_state_bytes{channel="raw"}"#, "1");
    assert_value(&text, r#"tearless_no_fields{channel="raw",reason="undecodable"}"#, "1");
    assert_value(&text, "tearless_exporter_channels", "4");
    assert!(value(&text, r#"tearless_age_seconds{channel="raw"}"#).is_some());
    assert!(value(&text, r#"tearless_age_seconds{channel="empty"}"#).is_none());

    let some = once(&namespace, &["worker-*"]);
    assert_value(&some, "tearless_exporter_channels", "2");
}

#[test]
fn a_killed_or_stopped_worker_is_marked_and_its_numbers_are_left_out() {
    let namespace = OwnNamespace::new();
    let mut worker = Running::start(&["-n", namespace.name(), "put", "worker", "--each-line"]);
    worker.send(r#"{"jobs": 3}"#);
    eventually("the channel exists", || !namespace.channels().unwrap().is_empty());
    let field = r#"tearless_field{channel="worker",field="jobs"}"#;
    let (up, last) = (
        r#"tearless_up{channel="worker"}"#,
        r#"tearless_field{channel="worker",field="jobs",last_state="true"}"#,
    );
    eventually("the worker has published", || value(&once(&namespace, &[]), field) == Some("3"));

    worker.signal(Signal::STOP);
    eventually("the worker is stopped", || value(&once(&namespace, &[]), up) == Some("0"));
    let text = once(&namespace, &[]);
    assert_value(&text, r#"tearless_writer{channel="worker",state="stopped"}"#, "1");
    assert_eq!(value(&text, field), None);
    worker.signal(Signal::CONT);
    eventually("it continues", || value(&once(&namespace, &[]), field) == Some("3"));

    worker.kill();
    let text = once(&namespace, &[]);
    assert_value(&text, up, "0");
    assert_value(&text, r#"tearless_writer{channel="worker",state="dead"}"#, "1");
    assert_value(&text, r#"tearless_publications_total{channel="worker"}"#, "1");
    assert!(!text.contains("tearless_field{"), "{text}");
    assert_value(&once(&namespace, &["--last-states"]), last, "3");
}

#[test]
fn a_worker_that_breaks_its_promise_is_stalled_until_it_gives_a_sign_of_life() {
    let namespace = OwnNamespace::new();
    let builder = namespace.writer_builder::<Value>("worker").codec::<MessagePack>();
    let mut writer = builder.heartbeat_interval(Duration::from_secs(2)).open().unwrap();
    writer.publish(&json!({"jobs": 1})).unwrap();
    let up = r#"tearless_up{channel="worker"}"#;
    eventually("the worker is stalled", || value(&once(&namespace, &[]), up) == Some("0"));
    assert!(once(&namespace, &[]).contains(r#"state="stalled""#));
    // Six seconds are enough for one more exposition.
    writer.touch().unwrap();
    let text = once(&namespace, &[]);
    assert_value(&text, up, "1");
    assert_value(&text, r#"tearless_field{channel="worker",field="jobs"}"#, "1");
}

#[test]
fn length_and_age_of_a_state_are_known_without_reading_it() {
    let namespace = OwnNamespace::new();
    let builder = namespace.writer_builder::<[u8]>("worker").codec::<Bytes>().checksum(true);
    let mut writer = builder.open().unwrap();
    let state = [0xa5; 5000];
    writer.publish(&state).unwrap();
    corrupt(&namespace, &state);
    let text = once(&namespace, &[]);
    assert_value(&text, r#"tearless_up{channel="worker"}"#, "1");
    assert_value(&text, r#"tearless_state_bytes{channel="worker"}"#, "5000");
    assert_value(&text, r#"tearless_no_fields{channel="worker",reason="unreadable"}"#, "1");
    assert!(value(&text, r#"tearless_age_seconds{channel="worker"}"#).is_some(), "{text}");
}

/// Changes one byte of the one state in this namespace.
fn corrupt(namespace: &OwnNamespace, state: &[u8]) {
    let entries = std::fs::read_dir("/dev/shm").unwrap().filter_map(Result::ok);
    let read = entries.filter_map(|entry| Some((entry.path(), std::fs::read(entry.path()).ok()?)));
    let objects: Vec<_> = read.filter(|(path, _)| path.is_file()).collect();
    let name = namespace.name().as_bytes();
    let page = objects.iter().find(|(path, content)| {
        path.to_string_lossy().ends_with('c') && content.windows(name.len()).any(|part| part == name)
    });
    let prefix = page.unwrap().0.to_string_lossy().trim_end_matches('c').to_owned();
    let mut of_channel = objects.iter().filter(|(path, _)| path.to_string_lossy().starts_with(&prefix));
    let found = of_channel.find_map(|(path, content)| {
        Some((path, content.windows(state.len()).position(|part| part == state)?))
    });
    let (path, at) = found.unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&[0], at as u64).unwrap();
}

#[test]
fn names_out_of_shared_memory_stay_inside_of_their_labels() {
    let namespace = OwnNamespace::new();
    let hostile = "x\"} 1 # EOF \\ {a=\"";
    let mut writer = dynamic_writer(&namespace, hostile);
    writer.publish(&json!({"a\nb\"} 1\n# EOF\u{1b}[2J": 1, "n".repeat(1000): 2})).unwrap();
    let text = once(&namespace, &[]);
    assert_eq!(text.matches("# EOF\n").count(), 1, "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
    assert_value(&text, r#"tearless_up{channel="x\"} 1 # EOF \\ {a=\""}"#, "1");
    assert_value(&text, r#"tearless_fields_left_out{channel="x\"} 1 # EOF \\ {a=\""}"#, "1");
    // Every line is a comment, or one of our names with labels and one number.
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        assert!(line.starts_with("tearless_"), "{line:?}");
        let (_, number) = line.rsplit_once(' ').unwrap();
        number.parse::<f64>().unwrap_or_else(|error| panic!("{error}: {line:?}"));
    }
}

#[test]
fn a_state_that_is_too_large_is_not_decoded() {
    let namespace = OwnNamespace::new();
    let mut writer = dynamic_writer(&namespace, "large");
    writer.publish(&json!({"number": 1, "text": "x".repeat(2 << 20)})).unwrap();
    let text = once(&namespace, &[]);
    assert_value(&text, r#"tearless_no_fields{channel="large",reason="too large"}"#, "1");
    assert!(!text.contains("tearless_field{"), "{text}");
}

/// An exporter that listens at a free port.
struct Server {
    running: Running,
    address: String,
}

impl Server {
    fn start(namespace: &OwnNamespace) -> Server {
        let arguments = ["-n", namespace.name(), "export", "--prometheus", "--listen", "127.0.0.1:0"];
        let mut running = Running::start(&arguments);
        let line = running.line();
        let address =
            line.strip_prefix("listening on http://").and_then(|rest| rest.strip_suffix("/metrics"));
        let address = address.unwrap_or_else(|| panic!("{line:?}")).to_owned();
        Server { running, address }
    }

    /// The processor time of its current threads; a thread may end during the sum.
    fn processor_time(&self) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.running.pid())).unwrap();
        let times =
            tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok());
        times.map(|line| Duration::from_nanos(line.split(' ').next().unwrap().parse().unwrap())).sum()
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    fn ask(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn get(&self, path: &str) -> String {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
    }
}

#[test]
fn the_server_follows_channels_that_come_go_and_change() {
    let namespace = OwnNamespace::new();
    let server = Server::start(&namespace);
    let text = server.get("/metrics");
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    assert!(
        text.to_lowercase().contains("content-type: application/openmetrics-text; version=1.0.0"),
        "{text}"
    );
    assert_value(&text, "tearless_exporter_channels", "0");

    let mut writer = dynamic_writer(&namespace, "w");
    for jobs in [1, 2] {
        writer.publish(&json!({"jobs": jobs})).unwrap();
        let text = server.get("/metrics");
        assert_value(&text, r#"tearless_field{channel="w",field="jobs"}"#, &jobs.to_string());
    }
    writer.close().unwrap();
    assert!(!server.get("/metrics").contains("channel=\"w\""));

    let mut with_schema =
        namespace.writer_builder::<Worker>("w").codec::<tearless::Postcard>().with_schema().open().unwrap();
    let state = Worker { jobs_done: 9, load: 1.0, rates: [0, 0], is_busy: false, phase: String::new() };
    with_schema.publish(&state).unwrap();
    let text = server.get("/metrics");
    assert_value(&text, r#"tearless_field{channel="w",field="jobs_done"}"#, "9");
    assert_value(&text, "tearless_exporter_scrapes_total", "5");
}

#[test]
fn the_server_finds_the_fleet_that_follows_removed_names() {
    let namespace = OwnNamespace::new();
    let server = Server::start(&namespace);
    let mut first = dynamic_writer(&namespace, "w");
    first.publish(&json!({"jobs": 1})).unwrap();
    assert_value(&server.get("/metrics"), r#"tearless_field{channel="w",field="jobs"}"#, "1");
    let registry = registry_of(&namespace);
    let (folder, prefix) = (registry.parent().unwrap(), registry.file_name().unwrap().to_str().unwrap());
    let prefix = prefix.rsplit_once('r').unwrap().0;
    for object in std::fs::read_dir(folder).unwrap().map(|object| object.unwrap().path()) {
        if object.file_name().unwrap().to_str().is_some_and(|name| name.starts_with(prefix)) {
            std::fs::remove_file(object).unwrap();
        }
    }
    let mut fleet = ["w", "x"].map(|channel| dynamic_writer(&namespace, channel));
    for writer in &mut fleet {
        writer.publish(&json!({"jobs": 2})).unwrap();
    }
    eventually("both are exported", || {
        let text = server.get("/metrics");
        let has = |channel| {
            value(&text, &format!(r#"tearless_field{{channel="{channel}",field="jobs"}}"#)) == Some("2")
        };
        has("w") && has("x")
    });
    drop(first);
}

#[test]
fn only_known_requests_are_answered_and_an_interrupt_ends_the_server() {
    let namespace = OwnNamespace::new();
    let server = Server::start(&namespace);
    assert!(server.get("/").contains("href=\"/metrics\""));
    assert!(server.get("/else").starts_with("HTTP/1.1 404"));
    let post = "POST /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    assert!(server.ask(post).starts_with("HTTP/1.1 405"));
    // A connection that a client keeps open does not delay the end of the server.
    let mut idle = server.connect();
    idle.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut line = String::new();
    BufReader::new(&idle).read_line(&mut line).unwrap();
    assert!(line.starts_with("HTTP/1.1 200"), "{line}");
    server.running.signal(Signal::INT);
    let (status, _) = server.running.finish();
    assert!(status.success(), "{status}");
}

#[test]
fn requests_are_bounded_in_size_number_and_time() {
    let namespace = OwnNamespace::new();
    let server = Server::start(&namespace);
    // Size: the connection ends before the whole request is sent, or after it.
    let mut large = server.connect();
    let header = format!("GET /metrics HTTP/1.1\r\nHost: x\r\nCookie: {}\r\n\r\n", "x".repeat(1 << 20));
    let _ = large.write_all(header.as_bytes());
    let mut answer = Vec::new();
    let _ = large.read_to_end(&mut answer);
    assert!(!String::from_utf8_lossy(&answer).contains("HTTP/1.1 200"), "{answer:?}");

    // Number: as many silent connections as are allowed, and one more with a request.
    let silent: Vec<_> = (0..16).map(|_| server.connect()).collect();
    let mut asking = server.connect();
    asking.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    // Time: the server ends the silent ones, and then answers the request.
    asking.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut answer = String::new();
    asking.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(silent.iter().any(has_ended), "the server did not end them");
}

/// Whether the other end has closed or reset the connection.
fn has_ended(mut stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    !matches!(stream.read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn invalid_arguments_are_refused() {
    let namespace = OwnNamespace::new();
    let name = namespace.name();
    for arguments in [
        &["-n", name, "export"][..],
        &["-n", name, "export", "--prometheus", "--listen", "everywhere"],
        &["-n", name, "export", "--prometheus", "--once", "--listen", "127.0.0.1:1"],
    ] {
        assert_eq!(run(arguments).status.code(), Some(2), "{arguments:?}");
    }
    let server = Server::start(&namespace);
    let outcome = run(&["-n", name, "export", "--prometheus", "--listen", &server.address]);
    assert_eq!(outcome.status.code(), Some(1));
    assert!(outcome.errors.contains("is in use") && outcome.errors.contains("--listen"), "{outcome:?}");
}

/// The writing end of a pipe without a reader.
fn unread() -> std::io::PipeWriter {
    let (_, writer) = std::io::pipe().unwrap();
    writer
}

#[test]
fn streams_without_a_reader_are_no_failure() {
    let namespace = OwnNamespace::new();
    let arguments = ["-n", namespace.name(), "export", "--prometheus", "--listen", "0.0.0.0:0"];
    // The port can't be reported, so the exporter ends.
    let output = process::tearless(&arguments).stdout(unread()).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{message}");
    assert!(message.starts_with("every client that reaches") && message.lines().count() == 1, "{message}");
    // The warning can't be reported; the exporter continues.
    let mut command = process::tearless(&arguments);
    let mut child = command.stdout(Stdio::piped()).stderr(unread()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(line.starts_with("listening on"), "{line:?}");
}

#[test]
fn a_list_that_can_not_be_read_any_more_is_reported() {
    let namespace = OwnNamespace::new();
    let server = Server::start(&namespace);
    assert_value(&server.get("/metrics"), "tearless_exporter_listed", "1");
    let writer = dynamic_writer(&namespace, "w");
    let squatted = registry_of(&namespace);
    drop(writer);
    // Another file takes the registry's name.
    std::fs::write(&squatted, "not a registry").unwrap();
    let text = server.get("/metrics");
    std::fs::remove_file(&squatted).unwrap();
    assert_value(&text, "tearless_exporter_listed", "0");
    assert_value(&server.get("/metrics"), "tearless_exporter_listed", "1");
}

/// The registry of a namespace.
fn registry_of(namespace: &OwnNamespace) -> std::path::PathBuf {
    let objects = tearless::inspect::objects().list().unwrap();
    let is_registry = |object: &&tearless::inspect::ObjectInfo| {
        object.kind == tearless::inspect::ObjectKind::Registry
            && object.namespace.as_deref() == Some(namespace.name())
    };
    std::path::Path::new("/dev/shm")
        .join(&objects.iter().find(is_registry).expect("the namespace has a registry").name)
}

/// Prints the time, and does not judge it: `cargo test --release -p tearless-cli --test export
/// thousand
/// -- --nocapture`.
#[test]
fn a_thousand_channels_are_read_in_one_scrape_again_and_again() {
    const CHANNELS: u64 = 1000;
    let namespace = OwnNamespace::new();
    let mut writers: Vec<_> = (0..CHANNELS)
        .map(|index| {
            namespace
                .writer_builder::<Worker>(&format!("worker-{index}"))
                .codec::<tearless::Postcard>()
                .with_schema()
                .open()
                .unwrap()
        })
        .collect();
    let server = Server::start(&namespace);
    for round in 1..=5 {
        for (index, writer) in (0..).zip(&mut writers) {
            let jobs_done = round * index;
            let rates = [1, 2];
            let state = Worker { jobs_done, load: 0.25, rates, is_busy: false, phase: "at work".into() };
            writer.publish(&state).unwrap();
        }
        let (begin, before) = (Instant::now(), server.processor_time());
        let text = server.get("/metrics");
        let (all, scrape) = (begin.elapsed(), value(&text, "tearless_exporter_scrape_seconds").unwrap());
        let busy = server.processor_time().saturating_sub(before);
        println!("{} bytes in {all:.1?}, reading {scrape} s; processor time {busy:.1?}", text.len());
        assert_value(&text, "tearless_exporter_channels", "1000");
        assert_eq!(text.matches("tearless_field{").count() as u64, 5 * CHANNELS);
        let sample = r#"tearless_field{channel="worker-999",field="jobs_done"}"#;
        assert_value(&text, sample, &(round * 999).to_string());
    }
}
