//! The terminal: taken over as a whole, and given back as it was, however the program ends.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::panic;
use std::sync::Once;

use crossterm::cursor::Show;
use crossterm::event::{DisableMouseCapture, EnableMouseCapture};
use crossterm::execute;
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use rustix::process::{Signal, kill_current_process_group};

/// The terminal while it is ours. Dropped, it is given back.
#[derive(Debug)]
pub(super) struct Screen {
    // Buffered, so that a frame is one write.
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
}

impl Screen {
    /// Whether standard output is a terminal.
    pub(super) fn is_there() -> bool {
        io::stdout().is_terminal()
    }

    /// Takes the terminal over. From then on a panic gives it back before it is reported.
    pub(super) fn enter() -> io::Result<Screen> {
        restore_on_panic();
        let terminal = take_over().and_then(|()| {
            Terminal::new(CrosstermBackend::new(BufWriter::with_capacity(1 << 16, io::stdout())))
        });
        terminal.map(|terminal| Screen { terminal }).inspect_err(|_| restore())
    }

    /// Draws a frame as large as the terminal is now; only what has changed is sent.
    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Buffer, Rect)) -> io::Result<&Buffer> {
        let completed = self.terminal.draw(|frame| {
            let area = frame.area();
            draw(frame.buffer_mut(), area);
        })?;
        Ok(completed.buffer)
    }

    /// Gives the terminal back and stops this program, and what else is in its job, until the shell continues
    /// it.
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        restore();
        kill_current_process_group(Signal::TSTP)?;
        take_over()?;
        self.terminal.clear()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

fn take_over() -> io::Result<()> {
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen, EnableMouseCapture)
}

/// Gives the terminal back, as far as that is possible: there is nobody to report an error to.
pub(super) fn restore() {
    let mut stdout = io::stdout();
    let _ = execute!(stdout, DisableMouseCapture, LeaveAlternateScreen, Show);
    let _ = stdout.flush();
    let _ = disable_raw_mode();
}

fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            restore();
            previous(info);
        }));
    });
}

#[cfg(test)]
mod tests {
    use crate::commands::top::screen::Screen;
    use crate::commands::top::tmux::Tmux;

    const ROLE: &str = "TEARLESS_TEST_PANICS";

    #[test]
    fn a_panic_gives_the_terminal_back_before_it_is_reported() {
        if std::env::var_os(ROLE).is_some() {
            let mut screen = Screen::enter().unwrap();
            screen
                .draw(|buffer, _| buffer.set_string(0, 0, "a frame", ratatui::style::Style::new()))
                .unwrap();
            // Meanwhile the test looks at it.
            let _ = crossterm::event::read();
            panic!("on purpose");
        }
        let tmux = Tmux::start(100, 30);
        let test = "commands::top::screen::tests::a_panic_gives_the_terminal_back_before_it_is_reported";
        let program = std::env::current_exe().unwrap();
        tmux.shell(&format!(
            "clear; RUST_BACKTRACE=0 {ROLE}=1 '{}' {test} --exact --nocapture",
            program.display()
        ));
        let screen = tmux.wait_for("it has the terminal", |screen| screen.starts_with("a frame"));
        assert!(!screen.contains("prompt>"), "another screen: {screen}");
        tmux.types("x");
        tmux.wait_for("the panic is to be read", |screen| screen.contains("on purpose"));
        tmux.assert_restored();
    }
}
