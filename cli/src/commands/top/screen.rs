//! The terminal: entered, restored however the program ends, and watched for its own end.

use std::fs::File;
use std::io::{self, BufWriter, Stdout, Write};
use std::panic;
use std::thread;

use crossterm::cursor::Show;
use crossterm::event::{DisableMouseCapture, EnableMouseCapture};
use crossterm::execute;
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::buffer::Buffer;
use rustix::process::{Signal, kill_current_process_group};

use crate::output::is_hung_up;

/// The terminal while `top` uses it. Dropping restores it.
pub(super) struct Screen {
    // Buffered, so that a frame is one write; the terminal of `ratatui::init` is not.
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
}

impl Screen {
    /// Enters the alternate screen, once in a process. From then on, a panic restores the terminal
    /// before it is reported.
    pub(super) fn enter() -> io::Result<Screen> {
        restore_on_panic();
        let terminal = enter().and_then(|()| {
            Terminal::new(CrosstermBackend::new(BufWriter::with_capacity(1 << 16, io::stdout())))
        });
        terminal.map(|terminal| Screen { terminal }).inspect_err(|_| restore())
    }

    /// Draws a frame of the terminal's current size; only changed cells are sent.
    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Buffer)) -> io::Result<()> {
        self.terminal.draw(|frame| draw(frame.buffer_mut())).map(drop)
    }

    /// Restores the terminal and stops this program's job until the shell continues it.
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        restore();
        kill_current_process_group(Signal::TSTP)?;
        enter()?;
        self.terminal.clear()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

fn enter() -> io::Result<()> {
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen, EnableMouseCapture)
}

/// Restores the terminal. Errors are ignored: there is no way left to report them.
pub(super) fn restore() {
    let mut stdout = io::stdout();
    let _ = execute!(stdout, DisableMouseCapture, LeaveAlternateScreen, Show);
    let _ = stdout.flush();
    let _ = disable_raw_mode();
}

fn restore_on_panic() {
    let previous = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        restore();
        previous(info);
    }));
}

/// From now on the process exits when its terminal disappears: its window is closed, or the
/// connection is lost.
///
/// SIGHUP does not cover this, because it reaches only some of a terminal's processes. Waiting for
/// keys does not, either: `crossterm` keeps reading from a terminal that is gone, and does not
/// return.
pub(super) fn end_with_terminal() -> io::Result<()> {
    let terminal = File::open("/dev/tty")?;
    let watch = move || {
        if is_hung_up(&terminal, None) {
            std::process::exit(0);
        }
    };
    thread::Builder::new().name("tearless-hangup".into()).spawn(watch).map(drop)
}

#[cfg(test)]
mod tests {
    use crate::commands::top::screen::Screen;
    use crate::commands::top::tmux::Tmux;

    const ROLE: &str = "TEARLESS_TEST_PANICS";

    #[test]
    fn a_panic_restores_the_terminal_before_it_is_reported() {
        if std::env::var_os(ROLE).is_some() {
            let mut screen = Screen::enter().unwrap();
            screen.draw(|buffer| buffer.set_string(0, 0, "a frame", ratatui::style::Style::new())).unwrap();
            // This waits for a key while the test reads the screen.
            let _ = crossterm::event::read();
            panic!("on purpose");
        }
        let tmux = Tmux::start(100, 30);
        let test = "commands::top::screen::tests::a_panic_restores_the_terminal_before_it_is_reported";
        let program = std::env::current_exe().unwrap();
        tmux.shell(&format!(
            "clear; RUST_BACKTRACE=0 {ROLE}=1 '{}' {test} --exact --nocapture",
            program.display()
        ));
        let screen = tmux.wait_for("the program has the terminal", |screen| screen.starts_with("a frame"));
        assert!(!screen.contains("prompt>"), "another screen: {screen}");
        tmux.types("x");
        tmux.wait_for("the panic is on the screen", |screen| screen.contains("on purpose"));
        tmux.assert_restored();
    }
}
