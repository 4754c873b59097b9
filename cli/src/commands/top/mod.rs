//! `tearless top`: all workers at once, live.
//!
//! The screen shows plain `data`, which `probe` and `inspector` fetch and `draw` puts on a buffer.
//! So the tests of frames need no workers, and those of the sampling no terminal.

mod column;
mod data;
mod draw;
mod fleet;
mod input;
mod inspector;
mod list;
mod live;
mod once;
mod palette;
mod probe;
mod rate;
mod screen;
mod session;
mod text;
#[cfg(test)]
#[path = "../../../tests/top/tmux.rs"]
#[allow(dead_code, reason = "the tests of the program use all of it")]
mod tmux;
mod view;

use std::io::{self, IsTerminal};
use std::time::Duration;

use anstream::{AutoStream, ColorChoice};
use clap::Args;

use self::column::Column;
use self::list::Sort;
use self::palette::Palette;
use self::screen::Screen;
use self::session::Session;
use self::view::View;
use crate::context::{Context, time};
use crate::error::{ExitStatus, Failure};
use crate::interrupt::Interrupt;
use crate::resolve;

/// Ten frames a second look continuous.
const INTERVAL: Duration = Duration::from_millis(100);

/// The time over which `--once` measures rates.
const INTERVAL_ONCE: Duration = Duration::from_secs(1);

/// Shows all workers and blocks of a namespace at once, live, and the fields of the selected one
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tearless top
  tearless -n fleet top --sort rate --filter worker
  tearless top --interval 2s                 for slow connections
  tearless top --once --filter dead          a table for scripts, of dead workers
  tearless top --filter block --sort bytes   the blocks, the largest first

Keys: `?` lists them.

Keys of --once --json, one object a worker; null: unknown:
  channel, state (alive, stalled, stopped, dead, exited, closed, unknown, unreachable, unreadable), pid, rate \
(publications a second), age_seconds, bytes, retries, growths, pins (views in place that there can be), views (pins that are taken), \
trouble; of a block as `tearless ls` documents them

Exit codes: 0; 1 standard output is not a terminal, without --once; 2 --interval or --sort is wrong, or --json \
without --once; 3 no such namespace")]
pub(crate) struct TopArguments {
    /// The time between frames, at least 10ms. Default: 100ms; with --once, the time over which
    /// rates are measured, 1s
    #[arg(long, value_name = "TIME", value_parser = interval)]
    interval: Option<Duration>,
    /// The column to sort by; numbers in descending order
    #[arg(long, value_enum, value_name = "COLUMN", default_value = "worker", hide_possible_values = false)]
    sort: Column,
    /// Sorts in the reverse direction
    #[arg(long)]
    reverse: bool,
    /// Shows rows whose names contain each of these words; a state such as dead is also a word, and
    /// so are channel and block
    #[arg(long, value_name = "WORDS", default_value = "", hide_default_value = true)]
    filter: String,
    /// Prints one table as plain text and ends, for scripts
    #[arg(long)]
    once: bool,
}

/// A time between two frames: long enough to leave the machine to others, and short enough to look
/// alive.
fn interval(text: &str) -> Result<Duration, String> {
    let range = Duration::from_millis(10)..=Duration::from_secs(3_600);
    match time(text)? {
        interval if range.contains(&interval) => Ok(interval),
        _ => Err("it must be between 10ms and 1h".into()),
    }
}

pub(super) fn run(arguments: &TopArguments, context: &Context) -> Result<(), Failure> {
    let sort = Sort { column: arguments.sort, is_reversed: arguments.reverse };
    let view = View { sort, filter: arguments.filter.clone(), ..View::default() };
    let usual = if arguments.once { INTERVAL_ONCE } else { INTERVAL };
    let interval = arguments.interval.unwrap_or(usual);
    if context.json && !arguments.once {
        let failure = Failure::new(ExitStatus::Usage, "top prints JSON only with --once");
        return Err(failure.hint("use --once --json"));
    }
    if !arguments.once && !io::stdout().is_terminal() {
        let failure = Failure::new(ExitStatus::Failed, "standard output is not a terminal");
        return Err(failure.hint("use --once for one table as text, or `tearless ls`"));
    }
    let namespace = context.namespace()?;
    if arguments.once {
        resolve::channels(&namespace, &context.directory)?;
    }
    // With colours wherever the other commands have them. `crossterm` must not leave them out by a
    // rule of its own.
    crossterm::style::force_color_output(true);
    let palette = Palette::new(AutoStream::choice(&io::stdout()) != ColorChoice::Never);
    let mut session = Session::new(namespace, &context.directory, view, interval, palette);
    if arguments.once { once::run(&mut session, context.json) } else { live(&mut session) }
}

fn live(session: &mut Session) -> Result<(), Failure> {
    let failed =
        |error: io::Error| Failure::new(ExitStatus::Failed, format!("can't use the terminal: {error}"));
    let interrupt = Interrupt::catch(|caught| {
        // A second signal: the program hangs, perhaps because no process reads its output.
        caught.wait();
        screen::restore();
        std::process::exit(ExitStatus::Failed as i32);
    })?;
    screen::end_with_terminal().map_err(failed)?;
    let mut screen = Screen::enter().map_err(failed)?;
    live::run(session, &mut screen, &interrupt).map_err(failed)
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
