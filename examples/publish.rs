//! One half of a conversation through shared memory. Start it in one terminal, and `query` in another one:
//!
//! ```text
//! cargo run --example publish        cargo run --example query
//! ```
//!
//! What you type here is seen there. Everything that changed is one new state, which is published whole.

use std::{error::Error, io, process::ExitCode, sync::mpsc, thread, time::Duration};

use serde::{Deserialize, Serialize};
use tearless::Namespace;

/// What both halves agree on.
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

    println!("Publishing ten times a second. Say something; an empty line or the end of the input ends it.");
    let mut state = Conversation { pid: std::process::id(), ..Conversation::default() };
    loop {
        state.ticks += 1;
        let publication = writer.publish(&state)?;
        match lines.recv_timeout(Duration::from_millis(100)) {
            Ok(line) if line.is_empty() => break,
            Ok(line) => {
                println!("The next publication, #{}, holds that.", publication + 1);
                state.said.push(line);
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
    }
    // After Ctrl-C the last state stays there to be read, and the next start goes on with the next number.
    Ok(writer.close()?)
}
