//! Figures of the mirror beside the engine alone: from a publication on one host to the state that
//! a reader of the other has, beside Zenoh's put and the subscriber's callback, between the same
//! two hosts in the same run; what a publication costs the worker, without and with a mirror, and a
//! snapshot of a copy beside one of a local channel; and what a thousand channels cost. Needs root.
//! `--others` adds Redis (SET, PUBLISH, then GET) and NATS (PUB and SUB), if their servers are
//! installed.
//!
//! The hosts are namespaces of this machine, so their clocks are one clock.

#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../tests/hosts/host.rs"]
mod host;
#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../tests/hosts/net.rs"]
mod net;
/// For `host`, which starts the tests' agents by it.
mod agent {
    pub const NAMESPACE: &str = "TEARLESS_MIRROR_AGENT";
}

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use host::{Host, Process};
use tearless::{Bytes, Namespace};
use zenoh::Wait;

const LEN: usize = 256;
const NAMESPACE: &str = "peers";
/// Not measured.
const WARM_UP: usize = 200;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["zenoh-put", endpoint] => zenoh_put(endpoint),
        ["zenoh-sub", endpoint] => zenoh_sub(endpoint),
        ["write", channels, hertz] => write(channels.parse().unwrap(), hertz.parse().unwrap()),
        ["read", channel] => read(channel),
        ["cost-of-publish"] => cost_of_publish(),
        ["cost-of-read"] => cost_of_read(),
        ["redis-publish", address] => redis_publish(address),
        ["redis-subscribe", address] => redis_subscribe(address),
        ["nats-publish", address] => nats_publish(address),
        ["nats-subscribe", address] => nats_subscribe(address),
        _ if host::available() => measure(words.contains(&"--others"), words.contains(&"--test")),
        _ => {}
    }
}

// --- The parent

fn measure(others: bool, quick: bool) {
    let (count, seconds) = if quick { (100, 2) } else { (3000, 20) };
    let [a, b] = Host::connected(["a", "b"]);
    println!("from one host to the other, {LEN} B, {count} publications at 100 Hz, in µs:");
    let endpoint = format!("tcp/{}:7450", a.address());
    let zenoh = latencies([&a, &b], &["zenoh-put", &endpoint], &["zenoh-sub", &endpoint], count);
    report("zenoh put to callback", &zenoh, None);
    let alone = output(&a, "cost-of-publish");
    let mirrors = mirrors(&a, &b);
    let mirror = latencies([&a, &b], &["write", "1", "100"], &["read", "a/c0"], count);
    report("mirror, publish to readable", &mirror, Some(&zenoh));
    println!("publishing at 1 kHz without a mirror: {alone}");
    println!("with one: {}", output(&a, "cost-of-publish"));
    let writer = a.spawn(&this_program(), &owned(&["write", "1", "100"]));
    println!("reading on the other host: {}", output(&b, "cost-of-read"));
    drop(writer);
    share(&a, &mirrors, seconds);
    drop(mirrors);
    if !others {
        return;
    }
    let address = format!("{}:7451", a.address());
    if let Some(_server) = server(
        &a,
        "redis-server",
        &["--bind", &a.address(), "--port", "7451", "--save", "", "--protected-mode", "no"],
    ) {
        let redis = latencies([&a, &b], &["redis-publish", &address], &["redis-subscribe", &address], count);
        report("redis SET, PUBLISH, then GET", &redis, Some(&zenoh));
    }
    let address = format!("{}:7452", a.address());
    if let Some(_server) = server(&a, "nats-server", &["--addr", &a.address(), "--port", "7452"]) {
        let nats = latencies([&a, &b], &["nats-publish", &address], &["nats-subscribe", &address], count);
        report("nats PUB to SUB", &nats, Some(&zenoh));
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn this_program() -> String {
    std::env::current_exe().unwrap().to_str().unwrap().to_owned()
}

/// The mirrors of both hosts.
fn mirrors(a: &Host, b: &Host) -> [Process; 2] {
    let program = env!("CARGO_BIN_EXE_tearless-mirror");
    let endpoint = format!("tcp/{}:7447", a.address());
    let source = ["--host", "a", "--allow-insecure", "--listen", &endpoint, "--publish", "peers/*"];
    let sink = ["--host", "b", "--allow-insecure", "--connect", &endpoint, "--mirror", "a/peers/*"];
    [a.spawn(program, &owned(&source)), b.spawn(program, &owned(&sink))]
}

/// Starts this program on both hosts, and collects what the receiver prints: nanoseconds, sorted.
fn latencies([from, to]: [&Host; 2], send: &[&str], receive: &[&str], count: usize) -> Vec<u64> {
    let _sender = from.spawn(&this_program(), &owned(send));
    let mut receiver = to.command(&this_program()).args(receive).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(receiver.stdout.take().unwrap()).lines();
    // Dropped with the lines, the output is closed, and with it the receiver ends.
    let nanos = lines.map(|line| line.unwrap().parse().unwrap());
    let mut nanos: Vec<u64> = nanos.skip(WARM_UP.min(count)).take(count).collect();
    let _ = receiver.wait();
    assert_eq!(nanos.len(), count, "{receive:?} ended early");
    nanos.sort_unstable();
    nanos
}

/// What this program prints on a host.
fn output(host: &Host, word: &str) -> String {
    let output = host.command(&this_program()).arg(word).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn micros_at(nanos: &[u64], percent: usize) -> f64 {
    nanos[(nanos.len() - 1) * percent / 100] as f64 / 1000.0
}

fn report(what: &str, nanos: &[u64], base: Option<&[u64]>) {
    let [p50, p99] = [50, 99].map(|percent| micros_at(nanos, percent));
    let mut line = format!("{what:32} p50 {p50:8.1}  p99 {p99:8.1}");
    if let Some(base) = base {
        let [p50, p99] = [p50 / micros_at(base, 50), p99 / micros_at(base, 99)];
        line += &format!("   {p50:.2} and {p99:.2} times zenoh's");
    }
    println!("{line}");
}

/// The processor time of both mirrors for 1,000 channels at 100 Hz.
fn share(a: &Host, [source, sink]: &[Process; 2], seconds: u64) {
    let _writer = a.spawn(&this_program(), &owned(&["write", "1000", "100"]));
    thread::sleep(Duration::from_secs(2));
    let used = || [source, sink].map(Process::processor_seconds);
    let (before, begin) = (used(), Instant::now());
    thread::sleep(Duration::from_secs(seconds));
    let (after, elapsed) = (used(), begin.elapsed().as_secs_f64());
    let [source, sink] = [0, 1].map(|half| 100.0 * (after[half] - before[half]) / elapsed);
    println!("1,000 channels at 100 Hz of {LEN} B: source {source:.0} % of a processor, sink {sink:.0} %");
}

fn server(host: &Host, program: &str, arguments: &[&str]) -> Option<Process> {
    if !host.command("which").arg(program).stdout(Stdio::null()).status().unwrap().success() {
        println!("{program} is not installed");
        return None;
    }
    // Without its log.
    let quietly = format!("exec {program} \"$@\" > /dev/null 2>&1");
    let server = host.spawn("sh", &[owned(&["-c", &quietly, program]), owned(arguments)].concat());
    thread::sleep(Duration::from_secs(1));
    Some(server)
}

// --- What the hosts run

fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap()
}

/// A state with the time at which it is published.
fn stamped() -> [u8; LEN] {
    let mut state = [0; LEN];
    state[..8].copy_from_slice(&now().to_le_bytes());
    state
}

fn tell(received: u64, state: &[u8]) {
    let sent = u64::from_le_bytes(state[..8].try_into().unwrap());
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{}", received.saturating_sub(sent)).and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

fn paced(hertz: u64, send: impl FnMut()) {
    paced_until(hertz, u64::MAX, send);
}

fn paced_until(hertz: u64, count: u64, mut send: impl FnMut()) {
    let begin = Instant::now();
    for number in 1..=count {
        send();
        let due = Duration::from_nanos(number * 1_000_000_000 / hertz);
        thread::sleep(due.saturating_sub(begin.elapsed()));
    }
}

fn session(listen: &[&str], connect: &[&str]) -> zenoh::Session {
    let config = serde_json::json!({
        "mode": "peer",
        "listen": { "endpoints": listen },
        "connect": { "endpoints": connect },
        "scouting": { "multicast": { "enabled": false }, "gossip": { "enabled": false } },
    });
    zenoh::open(zenoh::Config::from_json5(&config.to_string()).unwrap()).wait().unwrap()
}

fn zenoh_put(endpoint: &str) {
    let session = session(&[endpoint], &[]);
    let publisher = session.declare_publisher("peers/c0").express(true).wait().unwrap();
    paced(100, || publisher.put(stamped()).wait().unwrap());
}

fn zenoh_sub(endpoint: &str) {
    let session = session(&[], &[endpoint]);
    let (told, states) = channel();
    let _subscriber = session
        .declare_subscriber("peers/c0")
        .callback(move |sample| {
            let received = now();
            let _ = told.send((received, sample.payload().to_bytes().into_owned()));
        })
        .wait()
        .unwrap();
    for (received, state) in states {
        tell(received, &state);
    }
}

fn write(channels: usize, hertz: u64) {
    let namespace = Namespace::open(NAMESPACE).unwrap();
    let open = |i| namespace.writer_builder::<[u8]>(&format!("c{i}")).codec::<Bytes>().open().unwrap();
    let mut writers: Vec<_> = (0..channels).map(open).collect();
    paced(hertz, || {
        for writer in &mut writers {
            writer.publish(&stamped()[..]).unwrap();
        }
    });
}

/// Each publication by itself, as a worker with other work has them.
fn cost_of_publish() {
    let namespace = Namespace::open(NAMESPACE).unwrap();
    let mut writer = namespace.writer_builder::<[u8]>("cost").codec::<Bytes>().open().unwrap();
    let mut nanos = Vec::new();
    paced_until(1000, 3000, || {
        let begin = Instant::now();
        writer.publish(&[7; LEN][..]).unwrap();
        nanos.push(u64::try_from(begin.elapsed().as_nanos()).unwrap());
    });
    nanos.sort_unstable();
    println!("p50 {:.2}  p99 {:.2} µs", micros_at(&nanos, 50), micros_at(&nanos, 99));
}

/// Snapshots of a copy, and of a channel of this host, in turn.
fn cost_of_read() {
    let namespace = Namespace::open(NAMESPACE).unwrap();
    let mut writer = namespace.writer_builder::<[u8]>("local").codec::<Bytes>().open().unwrap();
    writer.publish(&stamped()[..]).unwrap();
    let mut readers = ["a/c0", "local"].map(|channel| {
        let reader = namespace.reader_builder::<Vec<u8>>(channel).codec::<Bytes>();
        reader.attach_within(Duration::from_secs(60)).open().unwrap()
    });
    let mut payload = Vec::new();
    let mut nanos = [Vec::new(), Vec::new()];
    for _ in 0..1000 {
        for (reader, nanos) in readers.iter_mut().zip(&mut nanos) {
            let begin = Instant::now();
            for _ in 0..1000 {
                reader.snapshot_into(&mut payload).unwrap();
            }
            nanos.push(u64::try_from(begin.elapsed().as_nanos()).unwrap());
        }
    }
    nanos.iter_mut().for_each(|nanos| nanos.sort_unstable());
    // Of a thousand snapshots each: so many nanoseconds of one.
    let [copy, local] = [0, 1].map(|which: usize| micros_at(&nanos[which], 50));
    println!("a copy {copy:.1} ns, a local channel {local:.1} ns");
}

fn read(channel: &str) {
    let namespace = Namespace::open(NAMESPACE).unwrap();
    let reader = namespace.reader_builder::<Vec<u8>>(channel).codec::<Bytes>();
    let mut reader = reader.attach_within(Duration::from_secs(60)).open().unwrap();
    while reader.changed(Duration::from_secs(60)).unwrap() {
        let state = reader.snapshot().unwrap();
        tell(now(), &state);
    }
}

fn connect(address: &str) -> (TcpStream, BufReader<TcpStream>) {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    (stream.try_clone().unwrap(), BufReader::new(stream))
}

/// Sends a command in Redis' protocol.
fn command(stream: &mut impl Write, words: &[&[u8]]) {
    let mut text = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        text.extend([format!("${}\r\n", word.len()).as_bytes(), word, b"\r\n"].concat());
    }
    stream.write_all(&text).unwrap();
}

fn line(input: &mut impl BufRead) -> String {
    let mut line = String::new();
    input.read_line(&mut line).unwrap();
    line.trim().to_owned()
}

/// Reads a bulk string of Redis: `$LEN`, and so many bytes.
fn bulk(input: &mut impl BufRead) -> Vec<u8> {
    let len: usize = line(input).trim_start_matches('$').parse().unwrap();
    let mut bytes = vec![0; len + 2];
    input.read_exact(&mut bytes).unwrap();
    bytes.truncate(len);
    bytes
}

fn redis_publish(address: &str) {
    let (mut stream, mut replies) = connect(address);
    paced(100, || {
        command(&mut stream, &[b"SET", b"c0", &stamped()]);
        command(&mut stream, &[b"PUBLISH", b"changed", b"c0"]);
        let _replies = [line(&mut replies), line(&mut replies)];
    });
}

fn redis_subscribe(address: &str) {
    let (mut subscription, mut messages) = connect(address);
    let (mut stream, mut replies) = connect(address);
    command(&mut subscription, &[b"SUBSCRIBE", b"changed"]);
    // The reply: an array of "subscribe", the name, and the number of subscriptions.
    line(&mut messages);
    let _reply = [bulk(&mut messages), bulk(&mut messages)];
    line(&mut messages);
    loop {
        line(&mut messages);
        let _message = [bulk(&mut messages), bulk(&mut messages), bulk(&mut messages)];
        command(&mut stream, &[b"GET", b"c0"]);
        let state = bulk(&mut replies);
        tell(now(), &state);
    }
}

fn nats_publish(address: &str) {
    let (mut stream, _messages) = connect(address);
    stream.write_all(b"CONNECT {\"verbose\":false}\r\n").unwrap();
    paced(100, || {
        let message = [format!("PUB c0 {LEN}\r\n").as_bytes(), &stamped(), b"\r\n"].concat();
        stream.write_all(&message).unwrap();
    });
}

fn nats_subscribe(address: &str) {
    let (mut stream, mut messages) = connect(address);
    stream.write_all(b"CONNECT {\"verbose\":false}\r\nSUB c0 1\r\n").unwrap();
    loop {
        let text = line(&mut messages);
        if text.starts_with("PING") {
            stream.write_all(b"PONG\r\n").unwrap();
        } else if text.starts_with("MSG") {
            let mut state = [0; LEN + 2];
            messages.read_exact(&mut state).unwrap();
            tell(now(), &state);
        }
    }
}
