//! A supervisor of workers whose states have no name: a process may read them if the supervisor
//! gives it their descriptors.
//!
//! Each worker publishes what it has counted, and sends the descriptor of its channel to the
//! supervisor. The supervisor hands the descriptors on to a dashboard, which can read and do
//! nothing else, whoever it runs as. It kills a worker, and the dashboard still shows its last
//! state. When the processes are gone, so is the memory: nothing has to be cleaned up.
//!
//! ```text
//! cargo run --example sealed
//! ```

use std::fs;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitCode};
use std::{env, error::Error, thread, time::Duration};

use serde::{Deserialize, Serialize};
use tearless::sealed::{receive_descriptor, send_descriptor};
use tearless::{Reader, Writer, error::DescriptorError, inspect::WriterState};

/// What a worker has counted in the files of its folder.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Count {
    files: u64,
    lines: u64,
    longest: (String, u64),
}

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let (role, folder) = (arguments.next(), arguments.next().unwrap_or_default());
    let done = match role.as_deref() {
        None => supervise(),
        Some("worker") => work(&folder),
        Some("dashboard") => show(),
        Some(_) => Err("this takes no arguments".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sealed: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Starts this program in another role, with one end of a socket as its standard input.
fn start(arguments: &[&str]) -> Result<(Child, UnixStream), Box<dyn Error>> {
    let (own, childs) = UnixStream::pair()?;
    let child = Command::new(env::current_exe()?).args(arguments).stdin(OwnedFd::from(childs)).spawn()?;
    Ok((child, own))
}

/// The socket that a child has got.
fn socket() -> Result<UnixStream, Box<dyn Error>> {
    Ok(std::io::stdin().as_fd().try_clone_to_owned()?.into())
}

fn supervise() -> Result<(), Box<dyn Error>> {
    let root = env!("CARGO_MANIFEST_DIR");
    let (mut dashboard, to_dashboard) = start(&["dashboard"])?;
    let mut workers = Vec::new();
    for folder in ["src", "docs", "tests"] {
        let (worker, from_worker) = start(&["worker", &format!("{root}/{folder}")])?;
        send_descriptor(&to_dashboard, receive_descriptor(&from_worker)?)?;
        workers.push((folder, worker));
    }
    // No more workers: the dashboard begins.
    to_dashboard.shutdown(Shutdown::Write)?;
    thread::sleep(Duration::from_millis(400));
    println!("The supervisor kills the worker of {:?}.", workers[0].0);
    for (folder, worker) in &mut workers {
        if *folder == "src" {
            worker.kill()?;
        }
        worker.wait()?;
    }
    dashboard.wait()?;
    Ok(())
}

/// Counts lines, and publishes after each file.
fn work(folder: &str) -> Result<(), Box<dyn Error>> {
    let label = folder.rsplit('/').next().unwrap_or(folder);
    let mut writer = Writer::<Count>::sealed(label).max_state_len(4 << 10).open()?;
    send_descriptor(socket()?, writer.descriptor()?)?;
    let (mut count, mut folders) = (Count::default(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path.to_string_lossy().into());
            } else if let Ok(text) = fs::read_to_string(&path) {
                let lines = text.lines().count() as u64;
                count.files += 1;
                count.lines += lines;
                if lines > count.longest.1 {
                    count.longest = (path.file_name().unwrap_or_default().to_string_lossy().into(), lines);
                }
                writer.publish(&count)?;
                thread::sleep(Duration::from_millis(10));
            }
        }
    }
    Ok(())
}

/// Shows all workers until each has ended.
fn show() -> Result<(), Box<dyn Error>> {
    let (supervisor, mut readers) = (socket()?, Vec::new());
    loop {
        match receive_descriptor(&supervisor) {
            Ok(descriptor) => readers.push(Reader::<Count>::from_descriptor(descriptor)?),
            Err(DescriptorError::Closed) => break,
            Err(error) => return Err(error.into()),
        }
    }
    let mut is_last = false;
    while !is_last {
        thread::sleep(Duration::from_millis(300));
        let mut all = Vec::new();
        is_last = true;
        for reader in &mut readers {
            let state = reader.writer_state()?;
            is_last &= !matches!(state, WriterState::Alive | WriterState::Stopped | WriterState::Unknown);
            if reader.publication() > 0 {
                let count = reader.snapshot()?;
                let Count { files, lines, longest } = &*count;
                all.push(format!(
                    "{:>6} {:<7} {files:>4} files {lines:>7} lines, most in {} ({})",
                    reader.channel(),
                    state.name(),
                    longest.0,
                    longest.1
                ));
            }
        }
        println!("{}\n", all.join("\n"));
    }
    Ok(())
}
