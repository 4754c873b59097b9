//! `tearless top`: all workers at once, live.
//!
//! What is shown is plain data (`row`, `detail`), which `probe` and `inspector` fetch and `draw` puts on a
//! buffer: so frames are tested without workers, and the sampling without a terminal.

mod arguments;
mod column;
mod detail;
mod draw;
mod fields;
mod fleet;
mod hangup;
mod input;
mod inspector;
mod list;
mod live;
mod once;
mod palette;
mod picture;
mod probe;
mod rate;
mod row;
mod screen;
mod session;
mod text;
#[cfg(test)]
#[path = "../../../tests/top/tmux.rs"]
#[allow(dead_code, reason = "the tests of the program use all of it")]
mod tmux;
mod view;

use std::io;
use std::path::Path;
use std::time::Duration;

use anstream::ColorChoice;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

pub(crate) use arguments::TopArguments;

use self::list::{Direction, Sort};
use self::palette::Palette;
use self::screen::Screen;
use self::session::Session;
use self::view::View;
use crate::context::Context;
use crate::error::{ExitStatus, Failure};
use crate::interrupt::Interrupt;
use crate::resolve;

/// Ten frames a second are as smooth as eyes want it.
const INTERVAL: Duration = Duration::from_millis(100);

/// Over what time rates are taken by `--once`.
const INTERVAL_ONCE: Duration = Duration::from_secs(1);

/// The size of the picture where there is no terminal.
const PICTURE: Rect = Rect { x: 0, y: 0, width: 120, height: 36 };

pub(crate) fn run(arguments: &TopArguments, context: &Context) -> Result<(), Failure> {
    let direction = if arguments.reverse { Direction::Reverse } else { Direction::Usual };
    let view = View::new(Sort { column: arguments.sort, direction }, &arguments.filter);
    let usual = if arguments.once { INTERVAL_ONCE } else { INTERVAL };
    let interval = arguments.interval.unwrap_or(usual);
    if context.json && !arguments.once {
        return Err(
            Failure::new(ExitStatus::Usage, "top prints JSON with --once only").hint("say --once --json")
        );
    }
    if !arguments.once && !Screen::is_there() {
        let failure = Failure::new(ExitStatus::Failed, "standard output is not a terminal");
        return Err(failure.hint("say --once for one table as text, or use `tearless ls`"));
    }
    let namespace = context.namespace()?;
    if arguments.once {
        resolve::must_exist(&namespace, &context.trust)?;
    }
    let mut session = Session::new(namespace, &context.trust, view, interval, palette());
    let last = match arguments.once {
        true => once(&mut session, context)?,
        false => live(&mut session)?,
    };
    arguments.svg.as_deref().map_or(Ok(()), |path| write_picture(path, &last))
}

fn once(session: &mut Session, context: &Context) -> Result<Buffer, Failure> {
    once::look(session);
    if context.json {
        once::print_documents(session)?;
    } else {
        once::print_table(session)?;
    }
    let mut buffer = Buffer::empty(PICTURE);
    session.draw(&mut buffer, PICTURE);
    match session.trouble() {
        None => Ok(buffer),
        // What was printed is not all that there is.
        Some(trouble) => Err(Failure::new(ExitStatus::Failed, trouble)),
    }
}

fn live(session: &mut Session) -> Result<Buffer, Failure> {
    let failed =
        |error: io::Error| Failure::new(ExitStatus::Failed, format!("the terminal can't be used: {error}"));
    let interrupt = Interrupt::catch_once(screen::restore)?;
    hangup::end_with_terminal().map_err(failed)?;
    let mut screen = Screen::enter().map_err(failed)?;
    live::run(session, &mut screen, &interrupt).map_err(failed)
}

fn palette() -> Palette {
    let unwanted = || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    match ColorChoice::global() {
        ColorChoice::Never => Palette::Plain,
        ColorChoice::Auto if unwanted() => Palette::Plain,
        ColorChoice::Auto => Palette::Coloured,
        ColorChoice::Always | ColorChoice::AlwaysAnsi => {
            crossterm::style::force_color_output(true);
            Palette::Coloured
        }
    }
}

fn write_picture(path: &Path, buffer: &Buffer) -> Result<(), Failure> {
    std::fs::write(path, picture::svg(buffer)).map_err(|error| {
        Failure::new(ExitStatus::Failed, format!("the picture {} can't be written: {error}", path.display()))
    })
}
