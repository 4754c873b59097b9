//! A Rust source file as the measures see it: its code without comments, texts and tests; and its
//! prose.

use std::fs;
use std::path::{Path, PathBuf};

/// Attributes of items that only tests, models and fuzzing compile.
const TEST_ATTRIBUTES: [&str; 4] =
    ["#[cfg(test)]", "#[cfg(all(test,", "#[cfg(any(test, fuzzing))]", "#[cfg(fuzzing)]"];

/// One file, read and split.
pub struct Source {
    /// The code: comments and tests are blank, and the contents of string literals are underscores.
    /// Line numbers stay the same.
    pub code: String,
    /// Comments and string literals. Everything else is blank.
    pub prose: String,
    /// The modules that the file declares for tests only (`#[cfg(test)] mod x;`).
    pub test_modules: Vec<String>,
}

impl Source {
    pub fn read(path: &Path) -> Source {
        Source::of(&fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    pub fn of(text: &str) -> Source {
        let (code, prose) = split(text);
        let (code, test_modules) = without_tests(code);
        Source { code, prose, test_modules }
    }

    /// Lines with code on them.
    pub fn lines_of_code(&self) -> usize {
        self.code.lines().filter(|line| !line.trim().is_empty()).count()
    }
}

/// Code and prose of `text`, with the same line numbers.
fn split(text: &str) -> (String, String) {
    let (mut code, mut prose) = (String::new(), String::new());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let (len, kind) = token(rest, character);
        for character in rest[..len].chars() {
            let blank = if character == '\n' { '\n' } else { ' ' };
            let (in_code, in_prose) = match kind {
                Kind::Code => (character, blank),
                Kind::Comment => (blank, character),
                Kind::Text if character == '\n' => ('\n', '\n'),
                Kind::Text => ('_', character),
            };
            code.push(in_code);
            prose.push(in_prose);
        }
        rest = &rest[len..];
    }
    (code, prose)
}

#[derive(Clone, Copy)]
enum Kind {
    Code,
    Comment,
    Text,
}

/// Length and kind of the token at the beginning of `text`, whose first character is `first`.
fn token(text: &str, first: char) -> (usize, Kind) {
    if text.starts_with("//") {
        return (text.find('\n').unwrap_or(text.len()), Kind::Comment);
    }
    if text.starts_with("/*") {
        return (text.find("*/").map_or(text.len(), |end| end + 2), Kind::Comment);
    }
    if first == '"' {
        return (quoted(text), Kind::Text);
    }
    if let Some(raw) = raw_string(text) {
        return (raw, Kind::Text);
    }
    if first == '\'' {
        // A character. A lifetime has no closing quote nearby.
        let mut characters = text.char_indices().skip(1);
        let escaped = text[1..].starts_with('\\');
        let end = if escaped {
            text[3..].find('\'').map(|end| end + 4)
        } else {
            characters.nth(1).filter(|(_, character)| *character == '\'').map(|(at, _)| at + 1)
        };
        return (end.unwrap_or(1), if end.is_some() { Kind::Text } else { Kind::Code });
    }
    if first.is_alphanumeric() || first == '_' {
        let end = text.find(|character: char| !character.is_alphanumeric() && character != '_');
        return (end.unwrap_or(text.len()), Kind::Code);
    }
    (first.len_utf8(), Kind::Code)
}

fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn raw_string(text: &str) -> Option<usize> {
    let begin = text.strip_prefix('b').unwrap_or(text).strip_prefix('r')?;
    let hashes = begin.chars().take_while(|character| *character == '#').count();
    let content = begin[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let at = content.find(&end).unwrap_or(content.len() - end.len());
    Some(text.len() - content.len() + at + end.len())
}

/// `code` in which the items that only tests compile are blank, and the names of the modules among
/// these.
fn without_tests(mut code: String) -> (String, Vec<String>) {
    let mut modules = Vec::new();
    let mut from = 0;
    while let Some(begin) = TEST_ATTRIBUTES.iter().filter_map(|it| code[from..].find(it)).min() {
        let begin = from + begin;
        let end = end_of_item(&code, begin);
        let item = &code[begin..end];
        if let Some(name) = item.rsplit_once("mod ").and_then(|(_, name)| name.strip_suffix(';')) {
            modules.push(name.trim().to_owned());
        }
        let blank: String = item.chars().map(|it| if it == '\n' { '\n' } else { ' ' }).collect();
        code.replace_range(begin..end, &blank);
        from = begin + blank.len();
    }
    (code, modules)
}

/// The end of the item that begins with an attribute at `begin`.
fn end_of_item(code: &str, begin: usize) -> usize {
    let mut depth = 0_i32;
    for (at, character) in code[begin..].char_indices() {
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' => depth -= 1,
            '}' => {
                depth -= 1;
                // `use a::{b, c};` continues to its semicolon; a block ends here.
                let rest = code[begin + at + 1..].trim_start();
                if depth == 0 && !rest.starts_with(';') {
                    return begin + at + 1;
                }
                if depth < 0 {
                    return begin + at;
                }
            }
            ';' | ',' if depth == 0 => return begin + at + 1,
            _ => {}
        }
    }
    code.len()
}

/// All files below `folder` with that extension, sorted.
pub fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            let skipped = path.file_name().is_some_and(|name| name == "target" || name == "corpus");
            match path.is_dir() {
                true if !skipped => folders.push(path),
                false if path.extension().is_some_and(|it| it == extension) => found.push(path),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

#[test]
fn code_prose_and_tests_are_separated() {
    let source = Source::of(
        "//! who?\nfn f<'a>() -> char { '\"' } // end\nconst S: &str = r#\"a \"b\" c\"#;\n\
         #[cfg(test)]\nmod tests;\n#[cfg(test)]\nmod more { fn g() {} }\n#[cfg(test)]\nuse a::{b, c};\nfn h() {}\n",
    );
    assert_eq!(source.lines_of_code(), 3);
    assert!(source.code.ends_with("fn h() {}\n") && source.code.contains("fn f<'a>() -> char { ___ }"));
    assert!(source.prose.starts_with("//! who?\n") && source.prose.contains("a \"b\" c"));
    assert_eq!(source.test_modules, ["tests"]);
}
