//! This program once more, as another process.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// A command that runs this very program, also where its file was replaced meanwhile. Its standard input and output are
/// pipes; an interrupt from the keyboard does not reach it, so that whoever started it ends it in order.
pub(crate) fn command() -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("tearless").stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
    command
}
