//! A namespace in a directory, as containers that share a volume have it, or the processes of one
//! user: by default `tearless` in the user's runtime directory ($XDG_RUNTIME_DIR). A worker
//! publishes the load of this host; the main process sleeps until it changes.
//!
//! ```text
//! cargo run --example directory -- publish        in one terminal, or container
//! cargo run --example directory -- read           in another
//! docker run --volume fleet:/fleet … publish /fleet       the path may differ
//! ```
//!
//! `tearless --directory DIR ls` shows the channel.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::{env, error::Error, io::ErrorKind, path::PathBuf, process::ExitCode, thread, time::Duration};

use serde::{Deserialize, Serialize};
use tearless::Namespace;

/// The type that both halves share.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Load {
    /// Processes that run or wait for a processor, on average over 1, 5 and 15 minutes.
    averages: [f64; 3],
    /// Processes that run now, and all.
    processes: String,
    available_kilobytes: u64,
}

impl Load {
    fn of_this_host() -> Result<Load, Box<dyn Error>> {
        let text = fs::read_to_string("/proc/loadavg")?;
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let [one, five, fifteen, processes, _] = fields[..] else { return Err("not a load".into()) };
        let memory = fs::read_to_string("/proc/meminfo")?;
        let available = memory.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
        let available = available.and_then(|value| value.split_ascii_whitespace().next());
        Ok(Load {
            averages: [one.parse()?, five.parse()?, fifteen.parse()?],
            processes: processes.into(),
            available_kilobytes: available.ok_or("no MemAvailable")?.parse()?,
        })
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("directory: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let role = arguments.next();
    let directory = match arguments.next() {
        Some(directory) => directory.into(),
        None => runtime_directory()?,
    };
    let examples = Namespace::builder("examples").directory(directory).open()?;
    match role.as_deref() {
        Some("publish") => publish(&examples),
        Some("read") => read(&examples),
        _ => Err("say `publish` or `read`, and a directory if you like".into()),
    }
}

/// The library creates no directory: its users and its lifetime are the program's business.
fn runtime_directory() -> Result<PathBuf, Box<dyn Error>> {
    let parent = env::var_os("XDG_RUNTIME_DIR").ok_or("no XDG_RUNTIME_DIR: give a directory")?;
    let directory = PathBuf::from(parent).join("tearless");
    match DirBuilder::new().mode(0o700).create(&directory) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error.into()),
        _ => Ok(directory),
    }
}

fn publish(examples: &Namespace) -> Result<(), Box<dyn Error>> {
    let mut writer = examples.writer::<Load>("load")?;
    println!("Publishing in {:?}; Ctrl-C ends it.", examples.directory().unwrap_or("/".as_ref()));
    loop {
        writer.publish_if_changed(&Load::of_this_host()?)?;
        thread::sleep(Duration::from_millis(500));
    }
}

fn read(examples: &Namespace) -> Result<(), Box<dyn Error>> {
    let patience = Duration::from_secs(10);
    let mut reader = examples.reader_builder::<Load>("load").attach_within(patience).open()?;
    while reader.changed(patience)? {
        let load = reader.snapshot()?;
        println!("#{}: {:?}", load.publication(), *load);
    }
    println!("Nothing new for {patience:?}: the publisher is {:?}.", reader.writer_state()?);
    Ok(())
}
