//! The mirror between real hosts: each is a set of namespaces with its own network, processes and
//! `/dev/shm`, and the links between them are delayed, narrow, lossy and cut. Needs root; elsewhere
//! the tests say that they are skipped. `TEARLESS_LONG=1` is the long form, and with
//! `TEARLESS_LINK=quic` the hosts are connected by QUIC with mutual TLS, as users connect them.

mod agent;
mod authority;
#[expect(dead_code, reason = "the benchmarks use the rest")]
mod host;
mod links;
mod net;

use std::time::Duration;

use authority::Authority;
use host::{Agent, Host, Process, eventually};
use net::{Link, Net};
use rustix::process::Signal;
use tearless_mirror::carrier::zenoh::Tls;

const NAMESPACE: &str = "fleet";

fn is_long() -> bool {
    std::env::var_os("TEARLESS_LONG").is_some()
}

fn is_quic() -> bool {
    match std::env::var("TEARLESS_LINK").as_deref() {
        Ok("quic") => true,
        Ok("tcp") | Err(_) => false,
        Ok(other) => panic!("TEARLESS_LINK is tcp or quic, not {other}"),
    }
}

/// The files for mutual TLS: the authority, the certificate and the key of `host`.
fn tls(host: &Host) -> Option<[String; 3]> {
    thread_local!(static AUTHORITY: Authority = Authority::new("hosts"));
    is_quic().then(|| {
        let tls = AUTHORITY.with(|authority| authority.sign(&host.name, &host.address()));
        [tls.root_ca, tls.certificate, tls.key].map(|file| file.into_os_string().into_string().unwrap())
    })
}

fn endpoint(host: &Host) -> String {
    format!("{}/{}:7447", if is_quic() { "quic" } else { "tcp" }, host.address())
}

/// Starts the mirror on `host`.
fn mirror(host: &Host, arguments: &[&str]) -> Process {
    let program = env!("CARGO_BIN_EXE_tearless-mirror");
    let mut all = vec![format!("--host={}", host.name)];
    match tls(host) {
        Some([ca, certificate, key]) => all.extend([
            format!("--tls-ca={ca}"),
            format!("--tls-certificate={certificate}"),
            format!("--tls-key={key}"),
        ]),
        None => all.push("--allow-insecure".to_owned()),
    }
    all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    host.spawn(program, &all)
}

fn source(host: &Host) -> Process {
    mirror(host, &["--listen", &endpoint(host), "--publish", &format!("{NAMESPACE}/*")])
}

fn sink(host: &Host, of: &Host) -> Process {
    mirror(host, &["--connect", &endpoint(of), "--mirror", &format!("{}/{NAMESPACE}/*", of.name)])
}

/// Host `a` writes, and host `b` mirrors it. Fields are dropped in this order.
struct Pair {
    source: Process,
    sink: Process,
    writer: Agent,
    reader: Agent,
    a: Host,
    b: Host,
    net: Net,
}

impl Pair {
    fn new() -> Option<Pair> {
        if !host::available() {
            return None;
        }
        let net = Net::new();
        let (a, b) = (Host::new(&net, "a"), Host::new(&net, "b"));
        let (source, sink) = (source(&a), sink(&b, &a));
        let (writer, reader) = (a.agent(NAMESPACE), b.agent(NAMESPACE));
        Some(Pair { source, sink, writer, reader, a, b, net })
    }

    fn link(&self, link: Link) {
        self.net.set(self.a.port, self.b.port, link);
    }

    /// Publishes, and waits until the state is readable on the other host. Returns the
    /// microseconds.
    fn passes(&mut self, channel: &str, number: u64, len: usize) -> String {
        self.writer.tell(&format!("publish {channel} {number} {len}"));
        self.reader.tell(&format!("await a/{channel} {number}"))
    }
}

#[test]
fn states_of_all_sizes_arrive_whole() {
    let Some(mut pair) = Pair::new() else { return };
    pair.writer.tell("open c");
    let sizes = [64, 1 << 10, 64 << 10, 1 << 20, 16 << 20, 64 << 20, 100, 8];
    for (len, number) in sizes.into_iter().zip(1..) {
        let micros = pair.passes("c", number, len);
        println!("{len} bytes: {micros} µs");
    }
}

#[test]
fn a_killed_worker_is_dead_on_the_other_host_and_its_successor_resumes() {
    let Some(mut pair) = Pair::new() else { return };
    for round in 1..4 {
        pair.writer.tell("open c");
        pair.passes("c", round, 256);
        pair.reader.until("health a/c", |health| !health.contains("dead"));
        let killed = std::mem::replace(&mut pair.writer, pair.a.agent(NAMESPACE));
        killed.kill();
        pair.reader.until("health a/c", |health| health.contains("dead"));
        assert_eq!(pair.reader.tell("read a/c"), round.to_string(), "the last state stays readable");
    }
}

#[test]
fn a_stopped_worker_is_stopped_on_the_other_host() {
    let Some(mut pair) = Pair::new() else { return };
    pair.writer.tell("open c");
    pair.passes("c", 1, 256);
    pair.writer.signal(Signal::STOP);
    pair.reader.until("health a/c", |health| health.contains("stopped"));
    pair.writer.signal(Signal::CONT);
    pair.reader.until("health a/c", |health| !health.contains("stopped"));
    pair.passes("c", 2, 256);
}

#[test]
fn a_worker_that_exits_is_exited_on_the_other_host() {
    let Some(mut pair) = Pair::new() else { return };
    pair.writer.tell("open c");
    pair.passes("c", 1, 256);
    std::mem::replace(&mut pair.writer, pair.a.agent(NAMESPACE)).exit();
    let health =
        pair.reader.until("health a/c", |health| ["exited", "dead"].iter().any(|it| health.contains(it)));
    assert!(health.contains("exited"), "{health}");
    assert_eq!(pair.reader.tell("read a/c"), "1", "the last state stays readable");
}

#[test]
fn a_channel_that_is_closed_disappears() {
    let Some(mut pair) = Pair::new() else { return };
    for round in 1..4 {
        pair.writer.tell("open c");
        pair.writer.tell("open stays");
        pair.passes("c", 100 * round, 256);
        pair.passes("stays", 100 * round, 64);
        pair.writer.tell("close c");
        pair.reader.until("count a/c", |count| count == "0");
        pair.passes("stays", 100 * round + 10, 64);
        pair.writer.tell("close stays");
        pair.reader.until("count *", |count| count == "0");
    }
}

#[test]
fn a_channel_that_is_removed_while_a_mirror_is_down_disappears() {
    let Some(mut pair) = Pair::new() else { return };
    pair.writer.tell("open stays");
    for round in 1..3 {
        pair.writer.tell("open c");
        pair.passes("c", 10 * round, 256);
        pair.passes("stays", 10 * round, 256);
        if round == 1 {
            pair.source.kill();
        } else {
            pair.sink.kill();
        }
        pair.writer.tell("close c");
        assert_eq!(pair.reader.ask("count a/c"), "1");
        if round == 1 {
            pair.source = source(&pair.a);
        } else {
            pair.sink = sink(&pair.b, &pair.a);
        }
        pair.reader.until("count a/c", |count| count == "0");
        pair.passes("stays", 10 * round + 1, 256);
    }
    assert_eq!(pair.reader.ask("publications a/stays"), "4", "the copy that stays was not made again");
}

#[test]
fn sigterm_ends_a_mirror_and_its_copies_with_it() {
    let Some(mut pair) = Pair::new() else { return };
    pair.writer.tell("open c");
    for number in 1..3 {
        pair.passes("c", number, 256);
        assert!(pair.sink.terminate().success());
        assert_eq!(pair.reader.ask("count *"), "0");
        pair.sink = sink(&pair.b, &pair.a);
    }
    assert!(pair.source.terminate().success());
    assert_eq!(pair.writer.ask("count *"), "1", "the channels of this host stay");
}

/// A copy that was mirrored again would be here within a few rounds.
#[test]
fn two_hosts_that_mirror_each_other_make_no_loops() {
    if !host::available() {
        return;
    }
    let net = Net::new();
    let [a, b] = ["a", "b"].map(|name| Host::new(&net, name));
    let both = ["--publish", "fleet/*", "--mirror", "*/fleet/*"];
    let _mirrors = [("--listen", &a), ("--connect", &b)]
        .map(|(how, host)| mirror(host, &[&[how, &endpoint(&a)][..], &both].concat()));
    let (mut at_a, mut at_b) = (a.agent(NAMESPACE), b.agent(NAMESPACE));
    at_a.tell("open c");
    at_b.tell("open d");
    for number in 1..30 {
        at_a.tell(&format!("publish c {number} 256"));
        at_b.tell(&format!("await a/c {number}"));
        at_b.tell(&format!("publish d {number} 256"));
        at_a.tell(&format!("await b/d {number}"));
    }
    for agent in [&mut at_a, &mut at_b] {
        assert_eq!(agent.ask("count *"), "2");
    }
}

#[test]
fn a_reload_changes_what_is_published_and_leaves_the_rest() {
    let Some(mut pair) = Pair::new() else { return };
    let file = std::env::temp_dir().join(format!("tearless-mirror-{}.toml", std::process::id()));
    let publish = |channels: &str| std::fs::write(&file, format!("publish = [{channels}]")).unwrap();
    publish(r#""fleet/stays", "fleet/goes""#);
    pair.source.kill();
    pair.source = mirror(&pair.a, &["--listen", &endpoint(&pair.a), "--config", file.to_str().unwrap()]);
    let mut other = pair.a.agent("other");
    let mirrors = ["--connect", &endpoint(&pair.a), "--mirror", "a/fleet/*,a/other/*"];
    pair.sink.kill();
    pair.sink = mirror(&pair.b, &mirrors);
    for channel in ["stays", "goes", "comes"] {
        pair.writer.tell(&format!("open {channel}"));
    }
    other.tell("open c");
    other.tell("publish c 1 256");
    pair.passes("stays", 1, 256);
    pair.passes("goes", 1, 256);
    assert_eq!(pair.reader.ask("count a/comes"), "0");

    publish(r#""fleet/stays", "fleet/com*", "other/*""#);
    pair.source.signal(Signal::HUP);
    pair.reader.until("count a/goes", |count| count == "0");
    pair.passes("comes", 2, 256);
    pair.passes("stays", 2, 256);
    let mut reader = pair.b.agent("other");
    reader.tell("await a/c 1");

    publish(r#""fleet/stays""#);
    pair.source.signal(Signal::HUP);
    reader.until("count *", |count| count == "0");
    pair.reader.until("count a/comes", |count| count == "0");
    pair.passes("stays", 3, 256);
    assert_eq!(pair.reader.ask("publications a/stays"), "3", "the copy that stays was not made again");
    std::fs::remove_file(file).unwrap();
}

#[test]
fn two_mirrors_of_one_host_agree() {
    let Some(mut pair) = Pair::new() else { return };
    let c = Host::new(&pair.net, "c");
    let _sink = sink(&c, &pair.a);
    let mut other = c.agent(NAMESPACE);
    pair.writer.tell("open c");
    for number in 1..20 {
        pair.passes("c", number, 256);
        other.tell(&format!("await a/c {number}"));
    }
    assert_eq!(pair.reader.tell("read a/c"), other.tell("read a/c"));
}

// --- The hosts themselves

#[test]
fn hosts_have_their_own_network_memory_and_processes() {
    if !host::available() {
        return;
    }
    let net = Net::new();
    let [a, b] = ["a", "b"].map(|name| Host::new(&net, name));
    assert_eq!(a.shell("hostname"), "a\n");
    a.shell("echo one > /dev/shm/file");
    assert_eq!(b.shell("ls /dev/shm"), "");
    assert_eq!(b.shell("ps -e | wc -l").trim().parse::<u32>().map(|count| count < 10), Ok(true));

    // No process listens on the port: the other host refuses at once, and a cut link is silent.
    let ping = |seconds: u32| {
        let connect = format!("bash -c '< /dev/tcp/{}/9' 2> /dev/null", b.address());
        format!("timeout {seconds} {connect}; [ $? = 124 ] && echo no || echo yes")
    };
    let begin = std::time::Instant::now();
    assert_eq!(a.shell(&ping(20)), "yes\n");
    net.change(a.port, b.port, |link| link.delay = Duration::from_millis(150));
    assert_eq!(a.shell(&ping(20)), "yes\n");
    assert!(begin.elapsed() >= Duration::from_millis(300), "there and back take the delay twice");
    net.change(a.port, b.port, |link| link.cut = true);
    assert_eq!(a.shell(&ping(1)), "no\n");
    net.set(a.port, b.port, Link { loss: 1.0, ..Link::default() });
    assert_eq!(a.shell(&ping(1)), "no\n");
    net.set(a.port, b.port, Link::default());
    assert_eq!(a.shell(&ping(20)), "yes\n");
}

#[test]
fn nothing_is_left_of_a_host() {
    if !host::available() {
        return;
    }
    let net = Net::new();
    let host = Host::new(&net, "gone");
    let mut program = host.spawn("sleep", &["1000".to_owned()]);
    let mut agent = host.agent(NAMESPACE);
    agent.tell("open c");
    agent.tell("publish c 5 100");
    assert_eq!(agent.tell("read c"), "5");
    drop(host);
    eventually("its programs have ended", || !program.is_running());
}
