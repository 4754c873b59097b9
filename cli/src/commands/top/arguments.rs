//! What `tearless top` can be told.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::column::Column;

/// Shows all workers of a namespace at once, live, and the fields of the selected one
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tearless top
  tearless -n fleet top --sort rate --filter worker
  tearless top --interval 2s                 for slow connections
  tearless top --once --filter dead          a table for scripts, of dead workers

Keys: `?` shows them all.

Keys of --once --json, one object a worker; what is not known is null:
  channel, state (alive, stalled, stopped, dead, closed, unknown, unreadable), pid,
  rate (publications a second), age_seconds, bytes, retries, growths, trouble

Exit codes: 0; 1 standard output is not a terminal, and --once was not said; 2 no such --interval or
column, or --json without --once; 3 no such namespace")]
pub(crate) struct TopArguments {
    /// From one frame to the next, 10ms at least. Default: 100ms; with --once, over which rates are taken
    /// then, 1s
    #[arg(long, value_name = "TIME", value_parser = interval)]
    pub(super) interval: Option<Duration>,
    /// The column to sort by, of numbers the greatest first
    #[arg(long, value_enum, value_name = "COLUMN", default_value = "worker", hide_possible_values = false)]
    pub(super) sort: Column,
    /// Sorts in the reverse direction
    #[arg(long)]
    pub(super) reverse: bool,
    /// Words that a worker's name must contain, or a state: dead
    #[arg(long, value_name = "WORDS", default_value = "", hide_default_value = true)]
    pub(super) filter: String,
    /// Prints one table as plain text and ends: for scripts
    #[arg(long)]
    pub(super) once: bool,
    /// Writes the last frame as an SVG picture to this file at the end; with --once, one of 120 by 36 cells
    #[arg(long, value_name = "PATH")]
    pub(super) svg: Option<PathBuf>,
}

/// A time between two frames: not so short that it is all that this machine does, nor so long that it seems
/// to hang.
fn interval(text: &str) -> Result<Duration, String> {
    let range = Duration::from_millis(10)..=Duration::from_secs(3_600);
    match humantime::parse_duration(text) {
        Ok(interval) if range.contains(&interval) => Ok(interval),
        Ok(_) => Err("it must be between 10ms and 1h".into()),
        Err(error) => Err(format!("{error}: say 100ms or 2s")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_have_bounds() {
        assert_eq!(interval("250ms"), Ok(Duration::from_millis(250)));
        for wrong in ["", "0s", "1ms", "2h", "100", "-1s", "soon"] {
            assert!(interval(wrong).is_err(), "{wrong:?}");
        }
    }
}
