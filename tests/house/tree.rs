//! The files of a crate as a tree of modules, and which file uses which items of other files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use crate::source::Source;

/// The modules of a crate that have their own files, without tests and models.
pub struct Tree {
    /// Sorted: the root comes first. The name is the path below the crate's source folder.
    pub files: Vec<Module>,
}

/// One file.
pub struct Module {
    pub name: String,
    pub source: Source,
    /// `["channel", "reader"]`; empty for the root.
    path: Vec<String>,
    parent: Option<usize>,
    children: BTreeMap<String, usize>,
    contents: Contents,
}

/// The declarations in a file.
#[derive(Default)]
struct Contents {
    /// Modules that have their own files, and the path if an attribute gives one.
    modules: Vec<(String, Option<String>)>,
    /// Modules in braces: their contents count as the file's.
    inline: BTreeSet<String>,
    /// Modules whose files are outside the crate's folder.
    foreign: BTreeSet<String>,
    items: BTreeSet<String>,
    imports: Vec<Import>,
}

/// One name that a `use` imports.
struct Import {
    name: String,
    path: Vec<String>,
    /// `pub`, `pub(crate)`, …: an export to other files, which is not a use by itself.
    reexport: bool,
}

/// Pairs of a using and a used file, with one of the used names.
pub type Arrows = BTreeMap<(usize, usize), String>;

impl Tree {
    /// Reads the crate whose root is `root`.
    pub fn read(root: &Path) -> Tree {
        let mut tree = Tree { files: Vec::new() };
        tree.add(root, root.parent().unwrap(), &[], None);
        tree
    }

    fn add(&mut self, file: &Path, folder: &Path, path: &[String], parent: Option<usize>) -> usize {
        let source = Source::read(file);
        let index = self.files.len();
        let mut contents = contents(&source);
        let declared = std::mem::take(&mut contents.modules);
        let name = file.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
        let test_modules = source.test_modules.clone();
        let children = BTreeMap::new();
        self.files.push(Module { name, source, path: path.to_owned(), parent, children, contents });
        for (module, place) in declared.into_iter().filter(|(it, _)| !test_modules.contains(it)) {
            let place =
                place.map_or_else(|| file_of(file, &module), |it| Some(file.parent().unwrap().join(it)));
            // A file outside the folder belongs to another program, too.
            let inside = |place: &PathBuf| !place.components().any(|part| part == Component::ParentDir);
            if let Some(file) = place.filter(inside) {
                let path = [path, std::slice::from_ref(&module)].concat();
                let child = self.add(&file, folder, &path, Some(index));
                self.files[index].children.insert(module, child);
            } else {
                self.files[index].contents.foreign.insert(module);
            }
        }
        index
    }

    /// The items of other files that each file uses. A re-export is not a use.
    pub fn arrows(&self) -> Arrows {
        let mut arrows = Arrows::new();
        for (index, file) in self.files.iter().enumerate() {
            let imports = file.contents.imports.iter().filter(|it| !it.reexport).map(|it| it.path.clone());
            for path in imports.chain(paths(&file.source.code)) {
                if let Some(used) = self.resolve(index, &path, 0).filter(|used| *used != index) {
                    arrows.entry((index, used)).or_insert_with(|| path.join("::"));
                }
            }
        }
        arrows
    }

    /// The file that defines the item at `path`, as seen from file `from`; `None` if another crate
    /// defines it.
    pub fn resolve(&self, from: usize, path: &[String], depth: usize) -> Option<usize> {
        let (first, mut rest) = path.split_first()?;
        let mut at = match first.as_str() {
            "crate" => 0,
            "self" => from,
            "super" => self.files[from].parent?,
            name => self.name_in(from, name, depth)?,
        };
        while let Some((name, after)) = rest.split_first() {
            let next = match name.as_str() {
                "super" => self.files[at].parent,
                "self" => Some(at),
                name => self.name_in(at, name, depth),
            };
            if self.files[at].contents.foreign.contains(name) {
                return None;
            }
            let Some(next) = next else { break };
            if self.files[at].contents.inline.contains(name) {
                rest = after;
                continue;
            }
            // The rest of the path (a variant, an associated function) is defined where the item
            // is.
            if !self.files[at].children.contains_key(name) && name != "super" && !self.is_module(at, name) {
                return Some(next);
            }
            (at, rest) = (next, after);
        }
        Some(at)
    }

    fn is_module(&self, at: usize, name: &str) -> bool {
        let mut imports = self.files[at].contents.imports.iter();
        imports.any(|it| it.name == name && name.starts_with(char::is_lowercase))
    }

    /// The file that defines the item called `name` in file `at`.
    fn name_in(&self, at: usize, name: &str, depth: usize) -> Option<usize> {
        let file = &self.files[at];
        if let Some(child) = file.children.get(name) {
            return Some(*child);
        }
        let Contents { inline, items, imports, .. } = &file.contents;
        if items.contains(name) || inline.contains(name) {
            return Some(at);
        }
        let import = imports.iter().find(|it| it.name == name && it.path != [name])?;
        (depth < 12).then(|| self.resolve(at, &import.path, depth + 1)).flatten()
    }

    /// The file that defines the type that file `at` calls `name`: several types may have equal
    /// names.
    pub fn definition(&self, at: usize, name: &str) -> usize {
        self.name_in(at, name, 0).unwrap_or(at)
    }

    /// The room of a file: the first module of its path; `None` for the root.
    pub fn room(&self, file: usize) -> Option<&str> {
        self.files[file].path.first().map(String::as_str)
    }

    /// Whether a module of file `from` is inside a module of file `to`.
    pub fn is_ancestor(&self, to: usize, from: usize) -> bool {
        self.files[from].path.len() > self.files[to].path.len()
            && self.files[from].path.starts_with(&self.files[to].path)
    }

    /// The names that the root re-exports for users, without modules and hidden names.
    pub fn public_names(&self) -> Vec<String> {
        let code = format!("\n{}", self.files[0].source.code);
        let mut names = Vec::new();
        for (at, keywords) in code.match_indices("\npub use ") {
            let hidden = code[..at].ends_with("#[doc(hidden)]");
            let list = code[at + keywords.len()..].split(';').next().filter(|_| !hidden);
            names.extend(use_tree(&[], list.unwrap_or("")).into_iter().map(|(name, _)| name));
        }
        names
    }
}

fn file_of(file: &Path, module: &str) -> Option<PathBuf> {
    let stem = file.file_stem()?.to_str()?;
    let mut folder = file.parent()?.to_owned();
    if !["mod", "lib", "main"].contains(&stem) {
        folder.push(stem);
    }
    let candidates = [folder.join(format!("{module}.rs")), folder.join(module).join("mod.rs")];
    candidates.into_iter().find(|path| path.exists())
}

/// The declarations in a file's code.
fn contents(Source { code, prose, .. }: &Source) -> Contents {
    let mut contents = Contents::default();
    let mut depth = Depth::default();
    let mut place = None;
    for (at, line) in lines_with_offsets(code) {
        depth.enter(line);
        let visible = after_visibility(line.trim_start());
        let adjective = |word: &&str| ["unsafe", "const", "async"].contains(word);
        let mut words = visible.split_whitespace().skip_while(adjective);
        let keyword = visible.split_whitespace().next().unwrap_or("");
        match words.next().unwrap_or(keyword) {
            "mod" if visible.trim_end().ends_with(';') => {
                contents.modules.extend(words.next().map(|name| (first_name(name), place.take())));
            }
            "#[path" => place = prose[at..].split('"').nth(1).map(str::to_owned),
            "mod" => contents.inline.extend(words.next().map(first_name)),
            "use" => {
                let statement = code[at..].split(';').next().unwrap_or("");
                let tree = use_tree(&[], statement.split_once("use ").map_or("", |(_, tree)| tree));
                let reexport = line.trim_start().starts_with("pub");
                let import = |(name, path)| Import { name, path: depth.outside(path), reexport };
                contents.imports.extend(tree.into_iter().map(import));
            }
            "struct" | "enum" | "trait" | "fn" | "type" | "union" | "static" | "macro_rules!" => {
                contents.items.extend(words.next().map(first_name));
            }
            // Here `const` is not a qualifier of `fn`.
            name if keyword == "const" => {
                contents.items.insert(first_name(name));
            }
            _ => {}
        }
    }
    contents
}

/// The number of inline modules around a line, by the indentation that rustfmt writes.
#[derive(Default)]
struct Depth(Vec<usize>);

impl Depth {
    fn enter(&mut self, line: &str) {
        let indentation = line.len() - line.trim_start().len();
        if self.0.last() == Some(&indentation) && line.trim_start().starts_with('}') {
            self.0.pop();
        }
        if after_visibility(line.trim_start()).starts_with("mod ") && line.trim_end().ends_with('{') {
            self.0.push(indentation);
        }
    }

    /// `path`, written in an inline module, as the file itself would write it.
    fn outside(&self, mut path: Vec<String>) -> Vec<String> {
        for _ in 0..self.0.len() {
            match path.get(1).map(String::as_str) {
                Some("super") if path[0] == "super" => drop(path.remove(0)),
                _ if path[0] == "super" => path[0] = "self".to_owned(),
                _ => {}
            }
        }
        path
    }
}

fn lines_with_offsets(code: &str) -> impl Iterator<Item = (usize, &str)> {
    code.split_inclusive('\n').scan(0, |at, line| {
        let begin = *at;
        *at += line.len();
        Some((begin, line))
    })
}

fn after_visibility(line: &str) -> &str {
    let Some(rest) = line.strip_prefix("pub") else { return line };
    match rest.strip_prefix('(') {
        Some(scope) => scope.split_once(") ").map_or(rest, |(_, rest)| rest),
        None => rest.trim_start(),
    }
}

pub fn first_name(text: &str) -> String {
    let characters = text.trim_start().chars();
    characters.take_while(|character| character.is_alphanumeric() || *character == '_').collect()
}

/// The names that a use tree imports, and their paths.
fn use_tree(prefix: &[String], tree: &str) -> Vec<(String, Vec<String>)> {
    let tree = tree.trim();
    if let Some((path, group)) = tree.split_once('{').filter(|(path, _)| !path.contains(',')) {
        let inner = group.trim_end().strip_suffix('}').unwrap_or(group);
        let prefix = [prefix, &segments(path)].concat();
        return at_depth_zero(inner).into_iter().flat_map(|tree| use_tree(&prefix, tree)).collect();
    }
    if tree.is_empty() {
        return Vec::new();
    }
    let (path, renamed) =
        tree.split_once(" as ").map_or((tree, None), |(path, name)| (path, Some(name.trim())));
    let mut path = [prefix, &segments(path)].concat();
    if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
        path.pop();
    }
    let name = renamed.map_or_else(|| path.last().cloned().unwrap_or_default(), str::to_owned);
    vec![(name, path)]
}

fn segments(path: &str) -> Vec<String> {
    path.split("::").map(|it| it.trim().to_owned()).filter(|it| !it.is_empty() && it != "*").collect()
}

fn at_depth_zero(list: &str) -> Vec<&str> {
    let (mut depth, mut begin, mut parts) = (0, 0, Vec::new());
    for (at, character) in list.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&list[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&list[begin..]);
    parts
}

/// Paths of at least two names in code, and macros called by path. The paths of `use` statements
/// are left out.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut in_use = false;
    let mut depth = Depth::default();
    for line in code.lines() {
        depth.enter(line);
        // An item that an exported macro refers to is used at the macro's call.
        let line = line.replace("$crate::", "");
        in_use |= after_visibility(line.trim_start()).starts_with("use ");
        if in_use {
            in_use = !line.contains(';');
            continue;
        }
        let mut rest = line.as_str();
        while let Some(at) = rest.find(|character: char| character.is_alphabetic() || character == '_') {
            let end = rest[at..]
                .find(|character: char| !character.is_alphanumeric() && character != '_' && character != ':')
                .map_or(rest.len(), |end| at + end);
            let path = &rest[at..end];
            let continued = rest[..at].ends_with("::") || rest[..at].ends_with(['.', '\'']);
            let exported_macro = path.starts_with("crate::") && rest[end..].starts_with('!');
            if path.contains("::") && !continued && !exported_macro {
                found.push(depth.outside(segments(path)));
            }
            rest = &rest[end..];
        }
    }
    found
}

/// The circles: groups of files in which each file needs all others.
pub fn circles(arrows: &Arrows) -> Vec<Vec<usize>> {
    let reach = |from: usize| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(at) = open.pop() {
            for (_, to) in arrows.keys().filter(|(user, _)| *user == at) {
                if seen.insert(*to) {
                    open.push(*to);
                }
            }
        }
        seen
    };
    let nodes: BTreeSet<usize> = arrows.keys().flat_map(|(from, to)| [*from, *to]).collect();
    let reached: BTreeMap<usize, BTreeSet<usize>> = nodes.iter().map(|node| (*node, reach(*node))).collect();
    let mut found: Vec<Vec<usize>> = Vec::new();
    for node in &nodes {
        let circle: Vec<usize> =
            reached[node].iter().copied().filter(|other| reached[other].contains(node)).collect();
        if circle.len() > 1 && !found.contains(&circle) {
            found.push(circle);
        }
    }
    found
}

#[test]
fn use_trees_give_names_and_paths() {
    let tree = use_tree(&[], "crate::{a::{self, B}, c::D as E}");
    let shown: Vec<String> = tree.iter().map(|(name, path)| format!("{name}={}", path.join("::"))).collect();
    assert_eq!(shown, ["a=crate::a", "B=crate::a::B", "E=crate::c::D"]);
}

#[test]
fn paths_in_code_are_seen() {
    let found =
        paths("let x = crate::layout::X + $crate::y::Z; crate::a_macro!(); foo.bar(); std::mem::take(a)");
    assert_eq!(found, [vec!["crate", "layout", "X"], vec!["y", "Z"], vec!["std", "mem", "take"]]);
}

#[test]
fn circles_are_found() {
    let arrows = [(0, 1), (1, 2), (2, 1), (2, 3)].map(|arrow| (arrow, String::new()));
    assert_eq!(circles(&arrows.into_iter().collect()), [[1, 2]]);
}
