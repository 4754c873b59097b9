//! The other half of `publish`: reads the state once a second; the publisher notices nothing.

use std::{error::Error, process::ExitCode, thread, time::Duration};

use serde::{Deserialize, Serialize};
use tearless::Namespace;

/// The type that both halves share.
#[derive(Debug, Serialize, Deserialize)]
struct Conversation {
    pid: u32,
    ticks: u64,
    said: Vec<String>,
}

fn main() -> ExitCode {
    println!("Waiting up to 10 seconds for `cargo run --example publish` in another terminal.");
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("query: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let patience = Duration::from_secs(10);
    let examples = Namespace::open("examples")?;
    let mut reader =
        examples.reader_builder::<Conversation>("conversation").attach_within(patience).open()?;
    let mut snapshot = reader.wait_after(0, patience)?.ok_or("nothing was published")?;
    loop {
        let age = snapshot.age().unwrap_or_default();
        println!("#{}, {age:.1?} old: {:?}", snapshot.publication(), *snapshot);
        thread::sleep(Duration::from_secs(1));
        if reader.is_closed() {
            println!("The publisher has closed the channel.");
            return Ok(());
        }
        if !reader.has_changed() {
            println!(
                "Nothing new: the publisher is {:?}. After a restart it resumes here.",
                reader.writer_state()?
            );
        }
        snapshot = reader.snapshot()?;
    }
}
