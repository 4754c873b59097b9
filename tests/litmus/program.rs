//! The programs for herd7: what their threads load, store and order.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::step::{Step, Word};

/// One litmus file.
pub struct Program {
    pub name: String,
    /// Its processors, as herd7 calls them.
    pub processors: String,
    /// The cells of each thread, from top to bottom.
    pub threads: Vec<Vec<String>>,
    /// Everything else of the file, except its name and description.
    pub frame: String,
    /// The word that each thread's registers point to.
    words: BTreeMap<(usize, String), Word>,
}

/// One line of the file `expected`.
#[derive(Debug)]
pub struct Expected {
    pub program: String,
    pub model: String,
    pub never: bool,
}

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/litmus")
}

pub fn expected() -> Vec<Expected> {
    let text = fs::read_to_string(folder().join("expected")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let parse = |line: &str| {
        let [program, model, verdict] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            panic!("not a program, a model and a verdict: {line}");
        };
        assert!(["Never", "Sometimes"].contains(&verdict), "{line}");
        Expected { program: program.into(), model: model.into(), never: verdict == "Never" }
    };
    lines.map(parse).collect()
}

impl Program {
    pub fn read(name: &str) -> Program {
        let text = fs::read_to_string(folder().join(name).with_extension("litmus")).unwrap();
        let mut lines = text.lines();
        let (processors, inside) = lines.next().unwrap().split_once(' ').expect("processors and a name");
        assert_eq!(inside, name, "{name}.litmus has another name inside");
        lines.next().filter(|line| line.starts_with('"')).expect("a description in the second line");
        let (rows, frame): (Vec<_>, Vec<_>) =
            lines.partition(|line| line.starts_with(' ') && line.ends_with(';'));
        let cells = rows.iter().skip(1).map(|row| row.trim_end_matches(';').split('|').map(str::trim));
        let mut threads = vec![Vec::new(); rows[0].split('|').count()];
        for row in cells {
            row.zip(&mut threads).for_each(|(cell, thread)| thread.push(cell.to_owned()));
        }
        let words = frame.iter().flat_map(|line| line.split(';')).filter_map(pointer).collect();
        Program { name: name.into(), processors: processors.into(), threads, frame: frame.join("\n"), words }
    }

    /// What a thread loads, stores and orders.
    pub fn steps(&self, thread: usize) -> Vec<Step> {
        self.threads[thread].iter().filter_map(|cell| self.step(thread, cell)).collect()
    }

    fn step(&self, thread: usize, cell: &str) -> Option<Step> {
        let (operation, operands) = cell.split_once(' ').unwrap_or((cell, ""));
        match operation {
            "" | "NOP" | "MOV" | "CBNZ" | "L0:" => None,
            "DMB" => Some(Step::barrier(operands)),
            _ => {
                let (_, address) = operands.split_once('[').expect("an address");
                let register = address.trim_end_matches(']').to_owned();
                Some(Step::access(operation, self.words[&(thread, register)]))
            }
        }
    }
}

/// `0:X1=stamp`: a register that points to a word.
fn pointer(text: &str) -> Option<((usize, String), Word)> {
    let (thread, rest) = text.trim().split_once(':')?;
    let (register, name) = rest.split_once('=')?;
    let word = match name {
        "stamp" => Word::Stamp,
        "a" | "b" | "ab" => Word::Data,
        "pub" => Word::Published,
        "cnt" => Word::Counter,
        "pin" => Word::Pin,
        _ => return None,
    };
    Some(((thread.parse().ok()?, register.to_owned()), word))
}
