use super::*;
use crate::message::MAX_HOST_BYTES;
use authority::Authority;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

#[path = "../../../tests/hosts/authority.rs"]
mod authority;

/// For what must happen at some time.
const PATIENCE: Duration = Duration::from_secs(60);

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn at(port: u16) -> Vec<String> {
    vec![format!("tcp/127.0.0.1:{port}")]
}

fn peer(host: &str, listen: Vec<String>, connect: Vec<String>) -> ZenohOptions {
    ZenohOptions { host: host.to_owned(), listen, connect, ..ZenohOptions::default() }
}

fn client(host: &str, connect: Vec<String>) -> ZenohOptions {
    ZenohOptions { mode: Mode::Client, ..peer(host, Vec::new(), connect) }
}

/// Answers at once with the request and the name of the answering host.
fn open(options: &ZenohOptions) -> Zenoh {
    let host = options.host.clone().into_bytes();
    let on_request: OnRequest =
        Arc::new(move |request, answer| answer([request, b" by ".to_vec(), host.clone()].concat()));
    Zenoh::open(options, on_request).unwrap()
}

fn begin(carrier: &Zenoh, host: &str, request: &[u8], timeout: Duration) -> Receiver<Option<Vec<u8>>> {
    let (tell, told) = channel();
    let reply: OnReply = Arc::new(move |reply| drop(tell.send(reply)));
    carrier.ask(host, request.to_vec(), timeout, reply);
    told
}

fn ask(carrier: &Zenoh, host: &str, request: &[u8]) -> Option<Vec<u8>> {
    begin(carrier, host, request, Duration::from_secs(10)).recv_timeout(PATIENCE).unwrap()
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Asks until there is a reply, as a mirror does.
fn reach(from: &Zenoh, host: &str) {
    let expected = format!("hello by {host}").into_bytes();
    eventually(&format!("{host} is reached"), || ask(from, host, b"hello") == Some(expected.clone()));
    eventually(&format!("{host} is listed"), || from.hosts().iter().any(|other| other == host));
}

#[test]
fn hosts_ask_each_other_in_both_directions() {
    let port = free_port();
    let a = open(&peer("a", at(port), vec![]));
    let b = open(&peer("rack 7 $", vec![], at(port)));
    reach(&a, "rack 7 $");
    reach(&b, "a");
    assert_eq!((a.hosts(), b.hosts()), (vec!["rack 7 $".to_owned()], vec!["a".to_owned()]));
    assert_eq!((a.links(), b.links()), (1, 1));
    let large = vec![7; 1 << 20];
    assert_eq!(
        ask(&a, "rack 7 $", &large).map(|reply| reply.len()),
        Some(large.len() + " by rack 7 $".len())
    );
    assert_eq!(ask(&a, "nowhere", b"hello"), None);
    assert_eq!(ask(&a, "a", b"hello"), None, "a host does not ask itself");
    assert_eq!(ask(&a, "rack 7 $", &vec![7; MAX_REPLY_BYTES + 1]), None);
}

#[test]
fn an_answer_may_come_later_or_never() {
    let port = free_port();
    let (tell, requests) = channel::<(Vec<u8>, Answer)>();
    let on_request: OnRequest = Arc::new(move |request, answer| tell.send((request, answer)).unwrap());
    let _a = Zenoh::open(&peer("a", at(port), vec![]), on_request).unwrap();
    let b = open(&peer("b", vec![], at(port)));
    eventually("a is there", || b.hosts() == ["a"]);
    let request = || loop {
        // A query right after the connection may end at once.
        let reply = begin(&b, "a", b"hello", Duration::from_secs(30));
        if let Ok((request, answer)) = requests.recv_timeout(Duration::from_secs(1)) {
            assert_eq!(request, b"hello");
            return (answer, reply);
        }
    };

    let (answer, reply) = request();
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(300));
        answer(b"later".to_vec());
    });
    assert_eq!(reply.recv_timeout(PATIENCE).unwrap(), Some(b"later".to_vec()));
    assert!(reply.recv_timeout(Duration::from_secs(1)).is_err(), "there is one reply");

    let (answer, reply) = request();
    drop(answer);
    assert_eq!(
        reply.recv_timeout(Duration::from_secs(20)).unwrap(),
        None,
        "the end of the query is reported before the timeout"
    );

    let (_answer, _reply) = request();
    let reply = begin(&b, "a", b"hello", Duration::from_millis(200));
    assert_eq!(reply.recv_timeout(PATIENCE).unwrap(), None, "a timeout is reported");
}

/// A session that answers queries for `host` as it likes.
fn rogue(host: &str, options: &ZenohOptions, answer: fn(&Query)) -> Session {
    let session = zenoh::open(config(options).unwrap()).wait().unwrap();
    let queryable = session.declare_queryable(hosts::keys_of(host)).complete(true);
    queryable.callback(move |query| answer(&query)).background().wait().unwrap();
    session
}

#[test]
fn of_many_replies_one_is_taken_and_none_that_is_too_long() {
    let port = free_port();
    let b = open(&peer("b", at(port), vec![]));
    let _many = rogue("many", &peer("many", vec![], at(port)), |query| {
        for number in 0..100_u8 {
            let _ = query.reply(query.key_expr().clone(), [number]).wait();
        }
    });
    let _long = rogue("long", &peer("long", vec![], at(port)), |query| {
        let _ = query.reply(query.key_expr().clone(), vec![7; MAX_REPLY_BYTES + 1]).wait();
    });
    eventually("it is reached", || ask(&b, "many", b"hello") == Some(vec![0]));
    let replies = begin(&b, "many", b"hello", Duration::from_secs(10));
    assert_eq!(replies.iter().collect::<Vec<_>>(), [Some(vec![0])]);
    // It would be reached by now.
    for _ in 0..5 {
        assert_eq!(ask(&b, "long", b"hello"), None);
        thread::sleep(Duration::from_millis(100));
    }
}

/// Carries connections to another port, and counts their bytes.
fn counted(to: u16) -> (u16, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, count) = (listener.local_addr().unwrap().port(), Arc::new(AtomicU64::new(0)));
    let counted = Arc::clone(&count);
    thread::spawn(move || {
        for from in listener.incoming().flatten() {
            let Ok(to) = TcpStream::connect(("127.0.0.1", to)) else { continue };
            let directions = [(from.try_clone(), to.try_clone()), (Ok(to), Ok(from))];
            for (mut from, mut to) in directions.map(|(from, to)| (from.unwrap(), to.unwrap())) {
                let count = Arc::clone(&counted);
                thread::spawn(move || {
                    let mut buffer = vec![0; 1 << 16];
                    while let Ok(len @ 1..) = from.read(&mut buffer) {
                        count.fetch_add(len as u64, Relaxed);
                        if to.write_all(&buffer[..len]).is_err() {
                            break;
                        }
                    }
                    let _ = to.shutdown(Shutdown::Both);
                });
            }
        }
    });
    (port, count)
}

#[test]
fn a_link_is_compressed_if_both_ends_say_so() {
    let words = "states that are alike, ".repeat(20_000).into_bytes();
    for (at_a, at_b) in [(true, true), (true, false), (false, true)] {
        let port = free_port();
        let (link, count) = counted(port);
        let a = open(&ZenohOptions { compress: at_a, ..peer("a", at(port), vec![]) });
        let b = open(&ZenohOptions { compress: at_b, ..peer("b", vec![], at(link)) });
        reach(&a, "b");
        reach(&b, "a");
        let before = count.load(Relaxed);
        let reply = ask(&b, "a", &words).unwrap();
        assert!(reply.starts_with(&words), "what comes is what was sent");
        let sent = count.load(Relaxed) - before;
        let is_compressed = sent < words.len() as u64 / 4;
        assert_eq!(is_compressed, at_a && at_b, "{at_a} {at_b}: {sent} bytes there and back");
    }
}

#[test]
fn a_callback_may_ask_again() {
    let port = free_port();
    let _a = open(&peer("a", at(port), vec![]));
    let b = Arc::new(open(&peer("b", vec![], at(port))));
    reach(&b, "a");
    let (tell, told) = channel();
    let again: OnReply = Arc::new(move |reply| drop(tell.send(reply)));
    let first: OnReply = {
        let b = Arc::downgrade(&b);
        Arc::new(move |_| {
            let b = b.upgrade().unwrap();
            b.ask("a", b"again".to_vec(), Duration::from_secs(10), Arc::clone(&again));
        })
    };
    b.ask("a", b"first".to_vec(), Duration::from_secs(10), first);
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), Some(b"again by a".to_vec()));
}

#[test]
fn a_host_that_is_not_up_yet_or_goes_away_is_reached_when_it_is_there() {
    let port = free_port();
    let b = open(&peer("b", vec![], at(port)));
    assert_eq!(ask(&b, "a", b"hello"), None);
    for _ in 0..2 {
        let a = open(&peer("a", at(port), vec![]));
        reach(&b, "a");
        reach(&a, "b");
        drop(a);
        eventually("a is gone", || b.hosts().is_empty());
        assert_eq!(ask(&b, "a", b"hello"), None);
    }
}

#[test]
fn clients_reach_each_other_through_a_router_that_may_restart() {
    let port = free_port();
    let one = open(&client("one", at(port)));
    assert_eq!((ask(&one, "two", b"hello"), one.hosts()), (None, vec![]));
    let two = open(&client("two", [at(free_port()), at(port)].concat()));
    for _ in 0..2 {
        let router = open(&ZenohOptions { mode: Mode::Router, ..peer("router", at(port), vec![]) });
        reach(&one, "two");
        reach(&two, "one");
        reach(&one, "router");
        reach(&router, "two");
        drop(router);
        eventually("the others are gone", || one.hosts().is_empty());
    }
}

#[test]
fn two_mirrors_with_one_name_are_reported() {
    let port = free_port();
    let a = open(&peer("a", at(port), vec![]));
    let b = open(&peer("same", vec![], at(port)));
    reach(&a, "same");
    let c = open(&peer("same", vec![], at(port)));
    eventually("a names them", || a.duplicates() == ["same"]);
    assert_eq!(a.hosts(), ["same"]);
    drop(c);
    eventually("one is left", || a.duplicates().is_empty());
    reach(&a, "same");
    drop(b);
}

fn refusal(options: &ZenohOptions) -> CarrierError {
    match Zenoh::open(options, Arc::new(|_, _| {})) {
        Ok(_) => panic!("{options:?} was accepted"),
        Err(error) => error,
    }
}

#[test]
fn beyond_loopback_tls_is_needed_unless_insecurity_is_allowed() {
    for endpoint in ["tcp/0.0.0.0:7447", "tcp/10.1.2.3:7447", "tcp/[::]:7447", "tcp/example.org:7447"] {
        for options in [peer("a", vec![endpoint.into()], vec![]), peer("a", vec![], vec![endpoint.into()])] {
            let error = refusal(&options);
            assert!(matches!(error, CarrierError::Insecure { .. }), "{error}");
            assert!(error.to_string().contains("--allow-insecure"), "{error}");
            ZenohOptions { allow_insecure: true, ..options }.check().unwrap();
        }
    }
}

#[test]
fn wrong_options_are_refused_in_words() {
    for host in ["", "a/b", "a*", "?", "a\u{7}", &"x".repeat(MAX_HOST_BYTES + 1)] {
        assert!(matches!(refusal(&peer(host, at(1), vec![])), CarrierError::Host { .. }), "{host:?}");
    }
    assert!(matches!(refusal(&peer("a", vec![], vec![])), CarrierError::NoEndpoint));
    assert!(matches!(refusal(&client("a", vec![])), CarrierError::Client));
    let error = refusal(&peer("a", vec!["udp/127.0.0.1:7447".into()], vec![]));
    assert!(error.to_string().contains("neither tcp nor quic"), "{error}");
    let error = refusal(&peer("a", vec!["quic/127.0.0.1:7447".into()], vec![]));
    assert!(matches!(error, CarrierError::NoCertificate { .. }));

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let error = refusal(&peer("a", at(taken.local_addr().unwrap().port()), vec![]));
    assert!(matches!(error, CarrierError::Open { .. }), "{error}");
}

fn with_tls(options: ZenohOptions, tls: &Tls) -> ZenohOptions {
    let encrypted =
        |endpoints: &[String]| endpoints.iter().map(|text| text.replace("tcp/", "quic/")).collect();
    ZenohOptions {
        listen: encrypted(&options.listen),
        connect: encrypted(&options.connect),
        tls: Some(tls.clone()),
        ..options
    }
}

#[test]
fn tls_admits_hosts_with_the_right_certificates_only() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let (right, foreign) = (ours.sign("host", "127.0.0.1"), theirs.sign("host", "127.0.0.1"));
    let port = free_port();
    let server = open(&with_tls(peer("server", at(port), vec![]), &right));
    let friend = open(&with_tls(peer("friend", vec![], at(port)), &right));
    reach(&friend, "server");
    reach(&server, "friend");

    // It trusts the server, but its own certificate is of another authority; and the reverse.
    let forger = Tls { root_ca: right.root_ca.clone(), ..foreign.clone() };
    let suspicious = Tls { root_ca: foreign.root_ca.clone(), ..right.clone() };
    let plain = open(&peer("plain", vec![], at(port)));
    let forger = open(&with_tls(peer("forger", vec![], at(port)), &forger));
    let suspicious = open(&with_tls(peer("suspicious", vec![], at(port)), &suspicious));
    // A server whose certificate is for another address.
    let elsewhere = free_port();
    let _misnamed = open(&with_tls(peer("misnamed", at(elsewhere), vec![]), &ours.sign("host", "10.9.9.9")));
    let careful = open(&with_tls(peer("careful", vec![], at(elsewhere)), &right));
    // As long as a connection takes, several times: all of these would have been reached by then.
    for _ in 0..5 {
        thread::sleep(Duration::from_millis(300));
        reach(&friend, "server");
    }
    for refused in [&plain, &forger, &suspicious, &careful] {
        assert_eq!((refused.hosts(), refused.links()), (vec![], 0));
    }
    assert_eq!(server.hosts(), ["friend"]);
}

#[test]
fn a_host_has_no_name_but_that_of_its_certificate_if_names_are_given() {
    let authority = Authority::new("names");
    let certified = |name: &str, options| with_tls(options, &authority.sign(name, "127.0.0.1"));
    for hosts in [vec![], ["a", "b", "c"].map(str::to_owned).to_vec()] {
        let given = !hosts.is_empty();
        let port = free_port();
        let named = |options| ZenohOptions { hosts: hosts.clone(), ..options };
        let a = open(&named(certified("a", peer("a", at(port), vec![]))));
        // Both have the certificate of c.
        let posing = open(&certified("c", peer("b", vec![], at(port))));
        let everyone = zenoh::open(config(&certified("c", peer("d", vec![], at(port)))).unwrap());
        let everyone = everyone.wait().unwrap();
        let queryable = everyone.declare_queryable(format!("{PREFIX}**")).complete(true);
        let queryable = queryable.callback(|query| {
            let _ = query.reply(query.key_expr().clone(), b"forged").wait();
        });
        queryable.background().wait().unwrap();
        if !given {
            eventually("a name can be taken", || ask(&a, "b", b"hello").is_some());
            eventually("it is listed", || a.hosts() == ["b"]);
            continue;
        }
        // It asks, and is not asked.
        eventually("a is reached", || ask(&posing, "a", b"hello") == Some(b"hello by a".to_vec()));
        let c = open(&named(certified("c", peer("c", vec![], at(port)))));
        reach(&a, "c");
        reach(&c, "a");
        for _ in 0..5 {
            assert_eq!((a.hosts(), ask(&a, "b", b"hello")), (vec!["c".to_owned()], None));
            thread::sleep(Duration::from_millis(200));
        }
        let b = open(&named(certified("b", peer("b", vec![], at(port)))));
        reach(&a, "b");
        reach(&b, "a");
        drop(b);
        eventually("b is gone", || ask(&a, "b", b"hello").is_none());
    }
    let plain = ZenohOptions { hosts: vec!["b".into()], ..peer("a", at(1), vec![]) };
    assert!(matches!(refusal(&plain), CarrierError::NoProof));
}

#[test]
fn a_router_that_is_named_speaks_for_hosts_with_the_names_of_their_certificates() {
    let authority = Authority::new("router");
    let certified = |name: &str, options: ZenohOptions| ZenohOptions {
        hosts: ["one", "two", "router"].map(str::to_owned).to_vec(),
        routers: if options.mode == Mode::Router { vec![] } else { vec!["router".into()] },
        ..with_tls(options, &authority.sign(name, "127.0.0.1"))
    };
    let port = free_port();
    let router = ZenohOptions { mode: Mode::Router, ..peer("router", at(port), vec![]) };
    let _router = open(&certified("router", router));
    let posing = open(&certified("one", client("two", at(port))));
    eventually("it asks", || ask(&posing, "router", b"hello").is_some());
    let one = open(&certified("one", client("one", at(port))));
    reach(&one, "router");
    assert_eq!((one.hosts(), ask(&one, "two", b"hello")), (vec!["router".to_owned()], None));
    let two = open(&certified("two", client("two", at(port))));
    reach(&one, "two");
    reach(&two, "one");
}

/// Two tasks of the engine use a link at a time, while others open and close it.
#[test]
fn a_host_may_come_and_go_while_it_is_asked() {
    let authority = Authority::new("coming");
    let certified = |name: &str, options| ZenohOptions {
        hosts: ["a", "b"].map(str::to_owned).to_vec(),
        ..with_tls(options, &authority.sign(name, "127.0.0.1"))
    };
    let port = free_port();
    let a = open(&certified("a", peer("a", at(port), vec![])));
    let (over, replies) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.load(Relaxed) {
                    let reply = begin(&a, "b", b"hello", Duration::from_millis(300));
                    replies.fetch_add(usize::from(reply.recv_timeout(PATIENCE).unwrap().is_some()), Relaxed);
                }
            });
        }
        for _ in 0..std::env::var("TEARLESS_ROUNDS").map_or(20, |rounds| rounds.parse().unwrap()) {
            let before = replies.load(Relaxed);
            let _b = open(&certified("b", peer("b", vec![], at(port))));
            eventually("b replies", || replies.load(Relaxed) > before + 20);
        }
        over.store(true, Relaxed);
    });
}

#[test]
fn files_without_certificates_are_refused() {
    let authority = Authority::new("files");
    let tls = authority.sign("host", "127.0.0.1");
    let mixed_up = Tls { key: tls.certificate.clone(), ..tls.clone() };
    let missing = Tls { root_ca: "/nowhere/ca.pem".into(), ..tls };
    for (tls, text) in [(mixed_up, "no PEM block with a private key"), (missing, "No such file")] {
        let error = refusal(&with_tls(peer("a", at(1), vec![]), &tls));
        assert!(error.to_string().contains(text), "{error}");
    }
}
