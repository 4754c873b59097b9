//! A real terminal: tmux, with a shell in it.

use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The prompt of the shell.
const PROMPT: &str = "prompt>";

/// A separate tmux server with one window. Dropping ends it and its processes.
#[derive(Debug)]
pub(crate) struct Tmux {
    socket: String,
}

impl Tmux {
    /// A terminal of this size.
    ///
    /// # Panics
    ///
    /// If tmux is not installed: a test that can't run must not pass.
    pub(crate) fn start(width: u16, height: u16) -> Tmux {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let socket = format!("tearless-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let tmux = Tmux { socket };
        let size = [width, height].map(|number| number.to_string());
        let shell = format!("exec env PS1='{PROMPT} ' sh");
        tmux.run(&["-f", "/dev/null", "new-session", "-d", "-x", &size[0], "-y", &size[1], &shell]);
        tmux.wait_for("the shell is ready", |screen| screen.contains(PROMPT));
        tmux
    }

    fn command(&self, arguments: &[&str]) -> Output {
        let output =
            Command::new("tmux").args(["-L", &self.socket]).args(arguments).env_remove("TMUX").output();
        output.unwrap_or_else(|error| {
            panic!(
                "THIS TEST NEEDS tmux, and it can't be started ({error}). Install it: apt-get install tmux"
            )
        })
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments);
        assert!(output.status.success(), "tmux {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Types `text`, byte by byte.
    pub(crate) fn types(&self, text: &str) {
        self.run(&["send-keys", "-l", "--", text]);
    }

    /// Presses a key, by tmux's name for it: `Enter`, `Down`, `C-c`.
    pub(crate) fn key(&self, name: &str) {
        self.run(&["send-keys", name]);
    }

    /// Runs a command in the shell.
    pub(crate) fn shell(&self, command: &str) {
        self.types(command);
        self.key("Enter");
    }

    /// Clicks with the left button; column and line count from 1.
    pub(crate) fn click(&self, column: usize, line: usize) {
        self.types(&format!("\x1b[<0;{column};{line}M"));
    }

    /// The text on the screen.
    pub(crate) fn screen(&self) -> String {
        self.run(&["capture-pane", "-p"])
    }

    /// The screen with escape sequences for its styles, and with the spaces at the ends of its
    /// lines.
    pub(crate) fn styled_screen(&self) -> String {
        self.run(&["capture-pane", "-e", "-N", "-p"])
    }

    /// Changes the size of the terminal.
    pub(crate) fn resize(&self, width: u16, height: u16) {
        let size = [width, height].map(|number| number.to_string());
        self.run(&["resize-window", "-x", &size[0], "-y", &size[1]]);
    }

    /// The process id of the shell.
    pub(crate) fn shell_pid(&self) -> u32 {
        self.run(&["display-message", "-p", "#{pane_pid}"]).trim().parse().unwrap()
    }

    /// Waits until the screen satisfies `is_so`, and returns it. Panics if it never does.
    pub(crate) fn wait_for(&self, what: &str, mut is_so: impl FnMut(&str) -> bool) -> String {
        let begin = Instant::now();
        loop {
            let screen = self.screen();
            if is_so(&screen) {
                return screen;
            }
            assert!(begin.elapsed() < Duration::from_secs(60), "timed out, waiting until {what}:\n{screen}");
            sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the shell has the terminal back, and checks that it is restored: the main
    /// screen, a visible cursor, no mouse reports, and lines that the system edits and echoes.
    pub(crate) fn assert_restored(&self) {
        let screen =
            || self.run(&["display-message", "-p", "#{alternate_on}#{mouse_any_flag}#{cursor_flag}"]);
        self.wait_for("the prompt is back", |screen| {
            screen.trim_end().lines().last().is_some_and(|line| line.starts_with(PROMPT))
        });
        let begin = Instant::now();
        while screen().trim() != "001" {
            assert!(begin.elapsed() < Duration::from_secs(60), "alternate, mouse, cursor: {}", screen());
            sleep(Duration::from_millis(20));
        }
        self.shell(
            "clear; stty -a | tr ' ' '\\n' | grep -cx -e icanon -e echo -e isig -e 'opost'; echo done",
        );
        let modes = self.wait_for("stty has answered", |screen| screen.contains("\ndone"));
        assert!(modes.lines().any(|line| line.trim() == "4"), "the terminal is in raw mode:\n{modes}");
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = self.command(&["kill-server"]);
    }
}
