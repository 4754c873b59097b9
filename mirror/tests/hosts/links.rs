//! What fails between hosts and comes back: links, mirrors, routers. `ci/mirror` runs these tests
//! with both protocols.

use std::time::Duration;

use crate::host::{self, Host};
use crate::net::{Link, Net};
use crate::{NAMESPACE, Pair, endpoint, is_long, mirror, sink, source, tls};

/// Seconds without a link.
fn partitions() -> &'static [u64] {
    if is_long() { &[1, 5, 10, 60] } else { &[1, 5] }
}

#[test]
fn a_cut_link_is_unreachable_and_heals() {
    let Some(mut pair) = Pair::new() else { return };
    pair.writer.tell("open c");
    pair.passes("c", 1, 256);
    for (round, seconds) in (1..).zip(partitions().iter().copied()) {
        pair.link(Link { cut: true, ..Link::default() });
        pair.writer.tell(&format!("publish c {} 256", 10 * round));
        std::thread::sleep(Duration::from_secs(seconds));
        if seconds > 3 {
            let health = pair.reader.until("health a/c", |health| health.contains("unreachable"));
            assert!(!health.contains("dead"), "{health}");
        }
        pair.link(Link::default());
        let micros = pair.reader.tell(&format!("await a/c {}", 10 * round));
        println!("after {seconds} s: current {micros} µs after the link was up");
        pair.reader.until("health a/c", |health| !health.contains("unreachable"));
        pair.passes("c", 10 * round + 1, 256);
    }
}

/// The goal is 1 s; the figure is printed. It is asserted in the long form only, which `ci/mirror`
/// runs when the machine has nothing else to do.
#[test]
fn a_thousand_channels_are_current_after_a_partition() {
    const CHANNELS: u64 = 1000;
    let Some(mut pair) = Pair::new() else { return };
    pair.writer.tell(&format!("open_all {CHANNELS}"));
    pair.writer.tell(&format!("publish_all {CHANNELS} 1 256"));
    let micros = pair.reader.tell(&format!("await_all a/ {CHANNELS} 1"));
    println!("{CHANNELS} new channels: {micros} µs");
    pair.link(Link { cut: true, ..Link::default() });
    std::thread::sleep(Duration::from_secs(if is_long() { 60 } else { 5 }));
    pair.writer.tell(&format!("publish_all {CHANNELS} 2 256"));
    pair.link(Link::default());
    let micros = pair.reader.tell(&format!("await_all a/ {CHANNELS} 2"));
    println!("{CHANNELS} channels after a partition: {micros} µs");
    assert!(!is_long() || micros.parse::<u64>().unwrap() <= 1_000_000, "{micros} µs, and the goal is 1 s");
}

#[test]
fn slow_lossy_and_narrow_links_carry_the_latest_states() {
    const CHANNELS: u64 = 100;
    let Some(mut pair) = Pair::new() else { return };
    pair.writer.tell(&format!("open_all {CHANNELS}"));
    let far = Link { delay: Duration::from_millis(80), ..Link::default() };
    let lossy = Link { delay: Duration::from_millis(10), loss: 0.02, ..Link::default() };
    // 100 channels at 100 Hz of 1 KiB are 82 Mbit/s: ten times what the link takes.
    let narrow = Link { delay: Duration::from_millis(5), rate: Some(8_000_000), ..Link::default() };
    let millis = if is_long() { 20_000 } else { 2_000 };
    let mut number = 0;
    for link in [far, lossy, narrow] {
        pair.link(link);
        let last = pair.writer.tell(&format!("publish_for {CHANNELS} {number} 100 1024 {millis}"));
        number += 1_000_000;
        pair.writer.tell(&format!("publish_all {CHANNELS} {number} 1024"));
        let micros = pair.reader.tell(&format!("await_all a/ {CHANNELS} {number}"));
        println!("{link:?}: {last} publications a channel, the last one readable {micros} µs after it");
    }
}

#[test]
fn a_killed_mirror_resumes() {
    let Some(mut pair) = Pair::new() else { return };
    pair.writer.tell("open c");
    pair.passes("c", 1, 256);
    for round in 0..if is_long() { 20 } else { 2 } {
        pair.source.kill();
        pair.source = source(&pair.a);
        pair.passes("c", 3 * round + 2, 256);
        pair.sink.kill();
        assert_eq!(pair.reader.tell("read a/c"), (3 * round + 2).to_string(), "the copy stays readable");
        pair.sink = sink(&pair.b, &pair.a);
        pair.passes("c", 3 * round + 3, 256);
        pair.passes("c", 3 * round + 4, 300);
    }
}

#[test]
fn a_killed_router_comes_back() {
    if !host::available() {
        return;
    }
    let net = Net::new();
    let [a, b, r] = ["a", "b", "r"].map(|name| Host::new(&net, name));
    // Neither reaches the other but through the router.
    net.set(a.port, b.port, Link { cut: true, ..Link::default() });
    let start = || mirror(&r, &["--mode", "router", "--listen", &endpoint(&r)]);
    let mut router = start();
    let client = ["--mode", "client", "--connect", &endpoint(&r)];
    let _source = mirror(&a, &[&client[..], &["--publish", "fleet/*"]].concat());
    let _sink = mirror(&b, &[&client[..], &["--mirror", "a/fleet/*"]].concat());
    let (mut writer, mut reader) = (a.agent(NAMESPACE), b.agent(NAMESPACE));
    writer.tell("open c");
    for round in 1..4 {
        writer.tell(&format!("publish c {} 256", 2 * round));
        reader.tell(&format!("await a/c {}", 2 * round));
        router.kill();
        router = start();
        writer.tell(&format!("publish c {} 256", 2 * round + 1));
        reader.tell(&format!("await a/c {}", 2 * round + 1));
    }
}

#[test]
fn the_carrier_reaches_a_host_again_after_a_partition() {
    if !host::available() {
        return;
    }
    let net = Net::new();
    let [a, b] = ["a", "b"].map(|name| Host::new(&net, name));
    let (mut listener, mut other) = (a.agent(NAMESPACE), b.agent(NAMESPACE));
    let certificates = |host| tls(host).map(|files| " ".to_owned() + &files.join(" ")).unwrap_or_default();
    other.tell(&format!("carrier b connect {}{}", endpoint(&a), certificates(&b)));
    listener.tell(&format!("carrier a listen {}{}", endpoint(&a), certificates(&a)));
    println!("after the other host came up: {} µs", other.tell("reach a"));
    for seconds in partitions().iter().copied() {
        net.set(a.port, b.port, Link { cut: true, ..Link::default() });
        other.tell("unreachable a");
        std::thread::sleep(Duration::from_secs(seconds));
        net.set(a.port, b.port, Link::default());
        println!("after {seconds} s: {} µs", other.tell("reach a"));
        listener.tell("reach b");
    }
}
