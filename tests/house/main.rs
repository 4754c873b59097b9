//! The measures of the house: properties of its order that a program can count, and the words that
//! it avoids. `ci/house` prints the measures. A measure above its aim fails.

mod source;
mod tree;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use source::Source;
use tree::{Tree, circles};

/// The rooms as docs/architecture.md draws them: a room may use those to its right and those below.
const RANKS: [&[&str]; 13] = [
    &["fuzzing", "error"],
    &["mirror", "metrics", "testing", "dynamic"],
    &["namespace"],
    &["saved", "hub", "syncer"],
    &["inspect", "usage"],
    &["sealed", "writer", "reader", "accept", "snapshot", "view"],
    &["cleanup", "waiting", "health", "catalog", "registry"],
    &["block", "channel"],
    &["schema", "codec"],
    &["liveness", "clock", "object"],
    &["seqlock"],
    &["memory"],
    &["layout"],
];

/// Room and file that may allow `unsafe`.
const UNSAFE: [&str; 2] = ["memory/mod.rs", "object/mod.rs"];

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn library() -> Tree {
    Tree::read(&repository().join("src/lib.rs"))
}

/// A measure, its aim, and details to examine if the aim is missed.
struct Measure {
    what: &'static str,
    count: usize,
    aim: usize,
    /// The count above which the test fails. It is the aim, unless the code has yet to come down to
    /// it: then it is what the code has come down to, and only ever lowered.
    ceiling: usize,
    details: Vec<String>,
}

impl Measure {
    /// A measure that counts what `details` lists.
    fn of(what: &'static str, aim: usize, details: Vec<String>) -> Measure {
        Measure { what, count: details.len(), aim, ceiling: aim, details }
    }

    fn is_met(&self) -> bool {
        self.count <= self.ceiling
    }
}

#[test]
fn the_house_keeps_its_measures() {
    let library = library();
    let measures = [
        Measure::of("import circles in src", 0, circles_of(&library)),
        Measure::of("import circles in cli/src", 0, circles_below("cli/src/main.rs")),
        Measure::of("import circles in benches/peers", 0, circles_below("benches/peers/src/main.rs")),
        Measure::of("upward arrows", 0, upward_arrows(&library)),
        Measure::of("rooms without a rank", 0, rooms_without_rank(&library)),
        Measure::of("names at the crate's root", 25, library.public_names()),
        files(&library),
        small_files(&library),
        spread(&library),
        Measure::of("public types with a backend parameter", 0, backend_parameters(&library)),
        lines("lines of code, src", 22_500, 23_650, &library),
        lines("lines of code, cli/src", 7_600, 7_830, &Tree::read(&repository().join("cli/src/main.rs"))),
    ];
    for measure in measures.iter().filter(|measure| !measure.is_met()) {
        println!("\n{}:", measure.what);
        measure.details.iter().for_each(|detail| println!("  {detail}"));
    }
    println!("\n{:<45} {:>6} {:>6}", "measure", "now", "aim");
    for Measure { what, count, aim, ceiling, .. } in &measures {
        let verdict = match () {
            () if count <= aim => "",
            () if count <= ceiling => "  not yet",
            () => "  MISSED",
        };
        println!("{what:<45} {count:>6} {aim:>6}{verdict}");
    }
    let missed = measures.iter().filter(|measure| !measure.is_met()).count();
    assert_eq!(missed, 0, "measures are missed: see the lists above");
}

fn circles_below(root: &str) -> Vec<String> {
    circles_of(&Tree::read(&repository().join(root)))
}

/// Each circle with the arrows that form it. Arrows from a module's files to the module's own file
/// are not counted: the module uses itself.
fn circles_of(tree: &Tree) -> Vec<String> {
    let mut arrows = tree.arrows();
    arrows.retain(|(from, to), _| !tree.is_ancestor(*to, *from) || *to == 0);
    let shown = |circle: Vec<usize>| {
        let inside = arrows.iter().filter(|((from, to), _)| circle.contains(from) && circle.contains(to));
        let lines = inside.map(|((from, to), name)| {
            format!("\n    {} -> {} ({name})", tree.files[*from].name, tree.files[*to].name)
        });
        format!("{} files:{}", circle.len(), lines.collect::<String>())
    };
    circles(&arrows).into_iter().map(shown).collect()
}

/// The rank of a room among all, counted from the top.
fn rank(room: &str) -> Option<usize> {
    RANKS.iter().copied().flatten().position(|it| *it == room)
}

/// Arrows between ranked rooms that point upwards or to the left, and uses of items that only the
/// root defines.
fn upward_arrows(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for ((from, to), name) in tree.arrows() {
        let (Some(own), used) = (tree.room(from), tree.room(to)) else { continue };
        let downwards = match used.map(rank) {
            _ if used == Some(own) => true,
            Some(Some(used)) => rank(own).is_none_or(|own| used > own),
            Some(None) => true,
            None => false,
        };
        if !downwards {
            found.push(format!("{} -> {} ({name})", tree.files[from].name, tree.files[to].name));
        }
    }
    found
}

fn rooms_without_rank(tree: &Tree) -> Vec<String> {
    let rooms: BTreeSet<&str> = (0..tree.files.len()).filter_map(|file| tree.room(file)).collect();
    rooms.into_iter().filter(|room| rank(room).is_none()).map(str::to_owned).collect()
}

fn files(tree: &Tree) -> Measure {
    let mut rooms: BTreeMap<&str, usize> = BTreeMap::new();
    for file in 0..tree.files.len() {
        *rooms.entry(tree.room(file).unwrap_or("the root")).or_default() += 1;
    }
    let details = rooms.iter().map(|(room, count)| format!("{count:>3} {room}")).collect();
    Measure {
        what: "files of src without tests and models",
        count: tree.files.len(),
        aim: 138,
        ceiling: 138,
        details,
    }
}

fn small_files(tree: &Tree) -> Measure {
    let sizes = tree.files.iter().map(|file| (file.source.code.trim_end().lines().count(), &file.name));
    let small = sizes.filter(|(lines, _)| *lines < 50).map(|(lines, name)| format!("{lines:>3} {name}"));
    Measure::of("of which under 50 lines", 10, small.collect())
}

/// The largest number of files over which the inherent `impl`s of one type are spread.
fn spread(tree: &Tree) -> Measure {
    const AIM: usize = 2;
    let mut types: BTreeMap<(usize, String), BTreeSet<&str>> = BTreeMap::new();
    for (index, file) in tree.files.iter().enumerate() {
        for name in inherent_impls(&file.source.code) {
            let definition = tree.definition(index, &name);
            types.entry((definition, name)).or_default().insert(&file.name);
        }
    }
    let count = types.values().map(BTreeSet::len).max().unwrap_or(0);
    let spread = types.into_iter().filter(|(_, files)| files.len() > AIM);
    let details = spread.map(|((_, name), files)| format!("{name}: {files:?}")).collect();
    Measure { what: "files over which one type's impls are spread", count, aim: AIM, ceiling: AIM, details }
}

/// The types that `code` has inherent `impl`s for.
fn inherent_impls(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("\nimpl") {
        let header = &code[at + 1 + "impl".len()..];
        let header = after_generics(&header[..header.find('{').unwrap_or(header.len())]);
        let header = &header.replace('\n', " ");
        let subject = header.split(" where").next().unwrap_or("");
        if header.starts_with(' ') && !subject.contains(" for ") {
            let name = subject.trim().split('<').next().unwrap_or("").rsplit("::").next().unwrap_or("");
            found.push(name.trim().to_owned());
        }
    }
    found
}

/// `text` without the `<…>` at its beginning.
fn after_generics(text: &str) -> &str {
    let mut depth = 0;
    let mut previous = ' ';
    for (at, character) in text.char_indices() {
        match character {
            '<' => depth += 1,
            '>' if previous != '-' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return if at == 0 { text } else { &text[at + 1..] };
        }
        previous = character;
    }
    text
}

/// Public types whose parameters name a backend.
fn backend_parameters(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for file in &tree.files {
        for (at, line) in file.source.code.match_indices("\npub ") {
            let item = &file.source.code[at + line.len()..];
            let item = &item[..item.find(['{', ';', '(']).unwrap_or(item.len())];
            let Some((kind, rest)) = item.split_once(' ') else { continue };
            let name = tree::first_name(rest);
            let mut words = rest[name.len()..].split(|it: char| !it.is_alphanumeric());
            if ["struct", "enum", "type", "union"].contains(&kind)
                && words.any(|it| it == "Backend" || it == "B")
            {
                found.push(format!("{name} ({})", file.name));
            }
        }
    }
    found
}

fn lines(what: &'static str, aim: usize, ceiling: usize, tree: &Tree) -> Measure {
    let sizes = tree.files.iter().map(|file| file.source.lines_of_code());
    let mut rooms: BTreeMap<&str, usize> = BTreeMap::new();
    for (file, lines) in sizes.clone().enumerate() {
        *rooms.entry(tree.room(file).unwrap_or("the root")).or_default() += lines;
    }
    let details = rooms.iter().map(|(room, lines)| format!("{lines:>5} {room}")).collect();
    Measure { what, count: sizes.sum(), aim, ceiling, details }
}

#[test]
fn unsafe_is_only_where_it_is_allowed() {
    let root = repository().join("src");
    let allows = |path: &PathBuf| Source::read(path).code.contains("allow(unsafe_code");
    let allowing = source::files(&root, "rs").into_iter().filter(allows);
    let names = allowing.map(|path| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
    assert_eq!(names.collect::<Vec<_>>(), UNSAFE);
}

#[test]
fn the_picture_of_the_rooms_shows_their_ranks() {
    let page = std::fs::read_to_string(repository().join("docs/architecture.md")).unwrap();
    let picture = page.split("```").nth(1).expect("the page begins with a picture");
    // Below the row of users: the first column, whose names are separated by dots.
    let rows = picture.lines().skip(1).filter(|line| !line.trim().is_empty()).skip(1);
    let rows = rows.map(|row| row.trim_start().split("  ").next().unwrap_or(""));
    let drawn: Vec<Vec<&str>> = rows.map(|row| row.split(" · ").map(str::trim).collect()).collect();
    assert_eq!(drawn, RANKS, "docs/architecture.md (left) and RANKS (right) differ");
}

#[test]
fn the_arrows_of_the_library_are_seen() {
    let library = library();
    let arrows = library.arrows();
    assert!(arrows.len() > 200, "only {} arrows found: does the test still read them?", arrows.len());
    let from_to = |(from, to): &(usize, usize)| (library.room(*from), library.room(*to));
    assert!(arrows.keys().any(|arrow| from_to(arrow) == (Some("channel"), Some("seqlock"))));
}

#[test]
fn impls_of_types_are_seen() {
    let code =
        "\nimpl<T: Fn() -> u8> A<T> {\n}\nimpl Display for B {\n}\nimpl super::C\nwhere\n    X: Y,\n{\n}\n";
    assert_eq!(inherent_impls(code), ["A", "C"]);
}
