//! docs/cli.md is executable: every command on it is run, in order, and its output is compared with
//! the page. `ci/cli` builds the programs and runs this; `ci/cli --record` writes the new output to
//! the page instead.
//!
//! Commands follow `$ ` in blocks of the language `console`; those in `<!-- $ … -->` are run but
//! not shown. Numbers, units, graphs and widths of columns differ between runs and are not
//! compared, except for exit codes and for counts that must be zero. Output after a line `…` is not
//! compared, either. [`masked`] lists what else may differ.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, process};

use rustix::process::{Pid, Signal, kill_process_group};

/// The namespace on the page, in place of this run's own.
const SHOWN_NAMESPACE: &str = "fleet";

/// The mark of lines that are not shown.
const ELISION: &str = "…";

#[test]
#[ignore = "needs the programs that ci/cli builds, and runs it"]
fn every_command_of_the_page_says_what_the_page_shows() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cli.md");
    let shown = fs::read_to_string(&page).unwrap();
    let mut shell = Shell::new();
    let replayed = parts(&shown).map(|part| replay(&part, &mut shell)).collect::<Result<Vec<_>, _>>();
    drop(shell);
    let differences = match replayed {
        Ok(replayed) if env::var_os("TEARLESS_RECORD").is_some() => {
            return fs::write(page, replayed.concat_all()).unwrap();
        }
        Ok(replayed) => replayed.into_iter().filter_map(|it| it.difference).collect::<Vec<_>>(),
        Err(error) => vec![error],
    };
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}

/// A part of the page.
enum Part<'a> {
    /// Text that stays as it is.
    Text(&'a str),
    /// A command that is run but not shown.
    Hidden(&'a str),
    /// The contents of a block.
    Session(&'a str),
}

/// A part as this run writes it.
struct Replayed {
    text: String,
    difference: Option<String>,
}

trait Concat {
    fn concat_all(self) -> String;
}

impl Concat for Vec<Replayed> {
    fn concat_all(self) -> String {
        self.into_iter().map(|replayed| replayed.text).collect()
    }
}

const BLOCK: &str = "```console\n";
const BLOCK_END: &str = "```\n";
const HIDDEN: &str = "<!-- $ ";

/// All parts of the page, in order.
fn parts(page: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = page;
    let mut in_session = false;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        if in_session {
            in_session = false;
            let end = rest.find(BLOCK_END).expect("a block ends");
            let session = &rest[..end];
            rest = &rest[end..];
            return Some(Part::Session(session));
        }
        if let Some(hidden) = rest.strip_prefix(HIDDEN) {
            let end = hidden.find("-->").expect("a comment ends");
            let whole = HIDDEN.len() + end + "-->".len();
            let command = hidden[..end].trim();
            rest = &rest[whole..];
            return Some(Part::Hidden(command));
        }
        let block = rest.find(BLOCK).map(|at| (at + BLOCK.len(), true));
        let hidden = rest[1..].find(HIDDEN).map(|at| (at + 1, false));
        let next = block.into_iter().chain(hidden).min_by_key(|(at, _)| *at);
        let (end, session) = next.unwrap_or((rest.len(), false));
        in_session = session;
        let text = &rest[..end];
        rest = &rest[end..];
        Some(Part::Text(text))
    })
}

fn replay(part: &Part<'_>, shell: &mut Shell) -> Result<Replayed, String> {
    match part {
        Part::Text(text) => Ok(Replayed { text: (*text).into(), difference: None }),
        Part::Hidden(command) => {
            let run = shell.run(command);
            if !run.succeeded {
                return Err(format!("$ {command}\nfailed:\n{}", run.output));
            }
            Ok(Replayed { text: format!("{HIDDEN}{command} -->"), difference: None })
        }
        Part::Session(session) => Ok(replay_session(session, shell)),
    }
}

fn replay_session(session: &str, shell: &mut Shell) -> Replayed {
    let (mut text, mut differences) = (String::new(), Vec::new());
    for (command, shown) in commands(session) {
        let run = shell.run(&command);
        let output = match shown.lines().position(|line| line == ELISION) {
            Some(lines) => elided(&run.output, lines),
            None => run.output,
        };
        if masked(&output) != masked(&shown) {
            differences
                .push(format!("$ {command}\nthe page shows:\n{shown}\nbut the command printed:\n{output}"));
        }
        text.push_str(&format!("$ {command}\n{output}"));
    }
    let difference = (!differences.is_empty()).then(|| differences.join("\n\n"));
    Replayed { text, difference }
}

/// The first `lines` of an output, and the mark of more.
fn elided(output: &str, lines: usize) -> String {
    let kept: String = output.split_inclusive('\n').take(lines).collect();
    format!("{kept}{ELISION}\n")
}

/// The commands of a session, each with its output. A backslash continues a command on the next
/// line.
fn commands(session: &str) -> Vec<(String, String)> {
    let mut commands: Vec<(String, String)> = Vec::new();
    let mut continues = false;
    for line in session.lines() {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (_, Some((command, _))) if continues => {
                command.push('\n');
                command.push_str(line);
                continues = line.ends_with('\\');
            }
            (Some(command), _) => {
                commands.push((command.into(), String::new()));
                continues = command.ends_with('\\');
            }
            (None, Some((_, output))) => {
                output.push_str(line);
                output.push('\n');
            }
            (None, None) => panic!("a session begins with a command, not with {line:?}"),
        }
    }
    commands
}

/// The beginnings of lines whose numbers must equal those of the page.
const EXACT: [&str; 6] = ["exit code ", "torn ", "backwards ", "failures ", "leftovers ", "faults "];

/// The beginning of the line about an interrupted publication. A kill may or may not interrupt one.
const UNFINISHED_LINE: &str = "unfinished ";

/// A part of a line about the same, followed by a number.
const UNFINISHED_PART: &str = ", in the middle of publication ";

/// An output without what differs between runs: numbers, their units, graphs, widths, missed and
/// interrupted publications.
fn masked(output: &str) -> String {
    let lines = output.lines().filter(|line| !line.starts_with(UNFINISHED_LINE)).map(|line| {
        let (line, rest) = line.split_once(UNFINISHED_PART).unwrap_or((line, ""));
        let line = line.to_owned() + rest.trim_start_matches(|it: char| it.is_ascii_digit());
        if EXACT.iter().any(|begin| line.starts_with(begin)) {
            return line.split_whitespace().collect::<Vec<_>>().join(" ");
        }
        let words = line.split(|character: char| character.is_whitespace() || is_drawn(character));
        words.filter(|word| !word.is_empty()).filter_map(masked_word).collect::<Vec<_>>().join(" ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The characters of lines in tables and graphs.
fn is_drawn(character: char) -> bool {
    matches!(character, '\u{2500}'..='\u{259f}' | '⠀'..='⣿')
}

const UNITS: [&str; 15] =
    ["ns", "µs", "ms", "s", "m", "h", "B", "KiB", "MiB", "GiB", "/s", "%", "k", "M", "ago"];

/// The mark of an unknown number.
const UNKNOWN: &str = "-";

/// The mark at the end of a text that was cut.
const CUT: char = '…';

/// A word with every number replaced, or only [`CUT`] if it was cut. `None` for a unit, which
/// depends on its number, and for a count of missed publications. "stalled" counts as "alive": a
/// busy machine may delay a worker's heartbeat.
fn masked_word(word: &str) -> Option<String> {
    let missed = word.strip_prefix("(+").and_then(|rest| rest.strip_suffix(')'));
    if missed.is_some_and(|missed| missed.parse::<u64>().is_ok()) {
        return None;
    }
    if let Some(rest) = word.strip_prefix("stalled").filter(|rest| ["", ","].contains(rest)) {
        return Some(format!("alive{rest}"));
    }
    if word == UNKNOWN {
        return Some("0".into());
    }
    if UNITS.contains(&word) || word.chars().all(|character| character == '-') {
        return None;
    }
    if word.ends_with(CUT) {
        return Some(CUT.into());
    }
    let mut masked = String::new();
    let mut rest = word;
    while let Some(begin) = rest.find(|character: char| character.is_ascii_digit()) {
        masked.push_str(rest[..begin].trim_end_matches('-'));
        masked.push('0');
        rest = rest[begin..].trim_start_matches(|it: char| it.is_ascii_digit() || matches!(it, '.' | ','));
        while let Some(unit) = unit_at(rest) {
            rest = &rest[unit.len()..];
        }
    }
    masked.push_str(rest);
    Some(masked)
}

/// The unit at the beginning of a text, unless it is the beginning of a longer word.
fn unit_at(text: &str) -> Option<&'static str> {
    let ends = |unit: &&&str| !text[unit.len()..].starts_with(|it: char| it.is_alphanumeric());
    let begins = |unit: &&&str| text.starts_with(**unit);
    UNITS.iter().filter(begins).max_by_key(|unit| unit.len()).filter(ends).copied()
}

/// The result of a command.
struct Run {
    output: String,
    succeeded: bool,
}

/// Runs commands in a separate directory and namespace. No process that they start outlives it.
struct Shell {
    directory: PathBuf,
    namespace: String,
    groups: Vec<Pid>,
}

impl Shell {
    fn new() -> Shell {
        let namespace = format!("documentation-{}", process::id());
        let directory = env::temp_dir().join(&namespace);
        fs::create_dir_all(&directory).unwrap();
        Shell { directory, namespace, groups: Vec::new() }
    }

    fn run(&mut self, command: &str) -> Run {
        let output = self.directory.join(".output");
        let file = File::create(&output).unwrap();
        // Not a pipe: a background process would keep it open.
        let mut child = Command::new("bash")
            .args(["-c", command])
            .current_dir(&self.directory)
            .env("PATH", search_path())
            .env("TEARLESS_NAMESPACE", &self.namespace)
            .env("COLUMNS", "110")
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .process_group(0)
            .spawn()
            .unwrap();
        self.groups.extend(Pid::from_raw(i32::try_from(child.id()).unwrap()));
        let succeeded = child.wait().unwrap().success();
        let output = String::from_utf8_lossy(&fs::read(output).unwrap()).into_owned();
        // In a column, the name keeps its width.
        let cell = format!("{SHOWN_NAMESPACE:<width$}  ", width = self.namespace.len());
        let output = output.replace(&format!("{}  ", self.namespace), &cell);
        let output = output.replace(&self.namespace, SHOWN_NAMESPACE);
        let lines = output.lines().map(|line| line.trim_end().to_owned() + "\n");
        Run { output: lines.collect(), succeeded }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        for group in &self.groups {
            let _ = kill_process_group(*group, Signal::KILL);
        }
        let namespace = tearless::Namespace::open(&self.namespace).unwrap();
        // A killed process ends after its last system call.
        for channel in namespace.channels().unwrap_or_default() {
            while namespace.remove_channel(&channel.name).is_err() && !std::thread::panicking() {
                std::thread::yield_now();
            }
        }
        let _ = namespace.clean(tearless::cleanup::Retention::Nothing);
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// The search path of the programs: the command, and the examples of the library.
fn search_path() -> String {
    let command = Path::new(env!("CARGO_BIN_EXE_tearless")).parent().unwrap();
    let rest = env::var("PATH").unwrap_or_default();
    format!("{}:{}:{rest}", command.display(), command.join("examples").display())
}

#[test]
fn what_differs_from_run_to_run_is_masked_and_nothing_else() {
    let first = "worker-3   alive   1,204/s   12.5 µs   343 B   ▁▂▇";
    assert_eq!(masked(first), masked("worker-3 alive  8.7k/s  1.2ms  3 KiB  ▇▇"));
    assert_eq!(masked(first), masked("worker-3 alive  -  1.2ms  3 KiB  ▇▇"));
    assert_ne!(masked(first), masked("worker-3 dead 87/s 1.2 ms 3 KiB"));
    assert_ne!(masked("a\nb"), masked("a"));
    assert_ne!(masked("exit code 3"), masked("exit code 4"));
    assert_ne!(masked("torn            0"), masked("torn            1"));
    assert_eq!(masked("{\"a\":12,\"b…"), masked("{\"a\":1,\"bc…"));
    assert_eq!(masked("worker-3  stalled  12 ms ago  1"), masked("worker-3  alive  -  1"));
    assert_eq!(masked("writer  stalled, process 3"), masked("writer  alive, process 4"));
    assert_ne!(masked("worker-3  stalled"), masked("worker-3  dead"));
    assert_eq!(masked("316 (+12) 1.09"), masked("316 1.09"));
    assert_ne!(masked("316 (+x) 1.09"), masked("316 1.09"));
    assert_eq!(masked("died at 3\nunfinished  in it\nlast 4"), masked("died at 5\nlast 6"));
    assert_eq!(masked("died, in the middle of publication 7; 1 s ago"), masked("died; 2 s ago"));
}

#[test]
fn a_page_is_taken_apart_without_a_loss() {
    let page = "text\n<!-- $ hidden & -->\nmore\n```console\n$ one \\\n  more\nout\n$ two\n```\nend\n";
    let mut together = String::new();
    let mut sessions = Vec::new();
    for part in parts(page) {
        match part {
            Part::Text(text) => together.push_str(text),
            Part::Hidden(command) => together.push_str(&format!("{HIDDEN}{command} -->")),
            Part::Session(session) => {
                together.push_str(session);
                sessions.extend(commands(session));
            }
        }
    }
    assert_eq!(together, page);
    let expected = [("one \\\n  more", "out\n"), ("two", "")];
    assert_eq!(sessions, expected.map(|(command, output)| (command.to_owned(), output.to_owned())));
}
