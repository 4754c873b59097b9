//! Dependencies point downwards only, as docs/architecture.md draws them.

use std::fs;
use std::path::{Path, PathBuf};

/// From the bottom up: a module may use modules of lower rank, and itself.
const RANKS: [&[&str]; 17] = [
    &["layout"],
    &["memory"],
    &["seqlock"],
    &["object"],
    &["liveness", "clock", "checksum"],
    &["channel"],
    &["registry", "health"],
    &["cleanup", "usage", "inspect"],
    &["waiting"],
    &["codec", "snapshot"],
    &["schema"],
    &["writer", "reader"],
    &["changes"],
    &["hub"],
    &["namespace", "fuzzing"],
    &["syncer", "testing", "dynamic"],
    &["recording"],
];

fn rank(module: &str) -> Option<usize> {
    RANKS.iter().position(|rank| rank.contains(&module))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, found),
            false => found.push(path),
        }
    }
}

/// The first module of every `crate::` path in code; several for `crate::{a::…, b::…}`.
fn uses(text: &str) -> Vec<String> {
    let code: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(|line| format!("{line}\n"))
        .collect();
    // The module that calls a macro uses what the macro refers to.
    let code = code.replace("$crate::", "");
    let mut modules = Vec::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(group) => modules.extend(first_names_of_group(group)),
            // An exported macro belongs to the root, wherever it is defined.
            None if rest[first_name(rest).len()..].starts_with('!') => {}
            None => modules.push(first_name(rest)),
        }
    }
    modules
}

fn first_name(text: &str) -> String {
    text.trim_start()
        .chars()
        .take_while(|character| character.is_alphanumeric() || *character == '_')
        .collect()
}

/// The names that begin the items of a group at its own depth.
fn first_names_of_group(group: &str) -> Vec<String> {
    let mut names = Vec::new();
    let (mut depth, mut at_item) = (0, true);
    for (index, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_item = true,
            _ if at_item && character.is_alphabetic() => {
                names.push(first_name(&group[index..]));
                at_item = false;
            }
            _ => {}
        }
    }
    names
}

#[test]
fn every_use_points_downwards() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut checked = 0;
    for file in files {
        let relative = file.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        let module = relative.split(['/', '.']).next().unwrap().to_owned();
        // Tests of a layer may use the layers above it.
        if module == "lib" || relative.contains("/tests/") || relative.ends_with("/tests.rs") {
            continue;
        }
        let own = rank(&module).unwrap_or_else(|| panic!("{relative}: give module {module} a rank"));
        for used in uses(&fs::read_to_string(&file).unwrap()) {
            // A lower-case name is a module. The root re-exports everything else for users.
            if used == module || !used.starts_with(char::is_lowercase) {
                continue;
            }
            let rank =
                rank(&used).unwrap_or_else(|| panic!("{relative} uses crate::{used}, which has no rank"));
            assert!(rank < own, "{relative} uses crate::{used}, which is not below {module}");
            checked += 1;
        }
    }
    assert!(checked > 50, "only {checked} uses found: does the test still read them?");
}

#[test]
fn the_check_sees_single_uses_and_groups() {
    assert_eq!(
        uses(
            "use crate::memory::{Memory, MemoryMut};\n// crate::ignored\ncrate::a_macro!();\nlet x = crate::layout::X;"
        ),
        ["memory", "layout"]
    );
    assert_eq!(uses("use crate::{\n    channel::{A, B},\n    codec::C,\n};"), ["channel", "codec"]);
}

#[test]
fn unsafe_stands_only_where_it_is_allowed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    for file in files {
        let relative = file.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        let allows = fs::read_to_string(&file).unwrap().contains("allow(unsafe_code");
        let may = ["memory/mod.rs", "object/mod.rs"].contains(&relative.as_str());
        assert_eq!(allows, may, "{relative}");
    }
}
