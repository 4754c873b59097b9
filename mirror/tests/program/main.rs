//! The program, as a user or systemd starts it.

use std::process::{Command, Output};

/// Runs the program, at most for a minute.
fn run(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_tearless-mirror");
    let mut command = Command::new("timeout");
    command.args(["60", program, "--host", "a"]).args(arguments);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TEARLESS")) {
        command.env_remove(name);
    }
    command.output().unwrap()
}

/// systemd starts a program again that ends by another status.
#[test]
fn a_wrong_configuration_ends_with_status_2_and_words() {
    const TLS: [&str; 6] =
        ["--tls-ca", "/nowhere/ca.pem", "--tls-certificate", "/nowhere/a.pem", "--tls-key", "/nowhere/a.key"];
    const LISTEN: [&str; 2] = ["--listen", "tcp/127.0.0.1:7447"];
    let long = format!("{}/*", "n".repeat(129));
    let wrong: [(&[&str], &str); 8] = [
        (&["--publish", "n/*"], "no endpoint"),
        (&["--publish", "n/*", "--listen", "udp/127.0.0.1:1"], "neither tcp nor quic"),
        (&["--publish", "n/*", "--listen", "tcp/0.0.0.0:7447"], "--allow-insecure"),
        (&["--publish", "n/*", "--connect", "quic/127.0.0.1:7447"], "needs a root authority"),
        (&[&["--mirror", "b/n/*", "--connect", "quic/127.0.0.1:7447"][..], &TLS].concat(), "/nowhere/ca.pem"),
        (&[&["--publish", &long][..], &LISTEN].concat(), "namespace"),
        (&[&["--mirror", "b/n/*", "--directory", "/nowhere"][..], &LISTEN].concat(), "/nowhere"),
        (&["--unknown"], "--unknown"),
    ];
    for (arguments, words) in wrong {
        for check in [&["--check"][..], &[]] {
            let output = run(&[arguments, check].concat());
            let error = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{arguments:?} {check:?}: {error}");
            assert!(error.contains(words), "{arguments:?} {check:?}: {error}");
        }
    }
    let right = run(&[&["--check", "--publish", "n/*"][..], &LISTEN].concat());
    assert_eq!(right.status.code(), Some(0));
    assert_eq!(String::from_utf8(right.stdout).unwrap(), "the configuration is valid: host a\n");
}
