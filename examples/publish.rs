//! One half of a conversation through shared memory. Start it in one terminal, and `query` in
//! another:
//!
//! ```text
//! cargo run --example publish        cargo run --example query
//! ```
//!
//! `query` shows what you type here. Each change is one new state, published whole.

use std::{error::Error, io, process::ExitCode, sync::mpsc, thread, time::Duration};

use serde::{Deserialize, Serialize};
use tearless::Namespace;

/// The type that both halves share.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Conversation {
    pid: u32,
    ticks: u64,
    said: Vec<String>,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("publish: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut writer = Namespace::open("examples")?.writer::<Conversation>("conversation")?;
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || io::stdin().lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));

    println!("Publishing ten times a second. Type something; an empty line or the end of the input stops.");
    let mut state = Conversation { pid: std::process::id(), ..Conversation::default() };
    loop {
        state.ticks += 1;
        let publication = writer.publish(&state)?;
        match lines.recv_timeout(Duration::from_millis(100)) {
            Ok(line) if line.is_empty() => break,
            Ok(line) => {
                println!("Publication #{} will hold this text.", publication + 1);
                state.said.push(line);
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
    }
    // After Ctrl-C the last state stays readable, and the next start resumes with the next number.
    Ok(writer.close()?)
}
