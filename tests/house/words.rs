//! English that a native reader has to read twice is denied in code, pages and scripts, and so are
//! long lines. This guards against the worst patterns only.

use std::fs;
use std::path::Path;

use crate::repository;
use crate::source::{Source, files};

/// Phrases in lower case.
const DENIED: [&str; 26] = [
    "anew",
    "in force",
    "of whom",
    "for whom",
    "what has become",
    "what became of",
    "gone on with",
    "go on with",
    "goes on with",
    "going on with",
    "went on with",
    "to be had",
    "looked for",
    "somebody",
    "anybody",
    "nobody",
    "is told",
    "are told",
    "as told",
    "told by",
    "tells of",
    "tells what",
    "tells which",
    "so long may",
    "stands",
    "meanwhile",
];
/// After one of these words, "who" has no noun that it refers to.
const BEFORE_WHO: [&str; 14] =
    ["for", "by", "of", "to", "with", "from", "that", "than", "or", "but", "is", "nobody", "unless", "so"];
const FOLDERS: [&str; 10] =
    ["src", "cli", "docs", "crates", "benches", "examples", "tests", "ci", "fuzz", "mirror"];
/// The maximum length of a line of prose.
const MAX_COLUMNS: usize = 100;

/// One word or punctuation mark of a text.
struct Token {
    text: String,
    line: usize,
}

#[test]
fn no_denied_words() {
    let mut hits = Vec::new();
    for path in texts() {
        let name = path.strip_prefix(repository()).unwrap().display().to_string();
        let text = fs::read_to_string(&path).unwrap();
        hits.extend(denied(&name, &text).into_iter().map(|(line, what)| format!("{name}:{line}: {what}")));
    }
    hits.iter().for_each(|hit| println!("{hit}"));
    assert!(hits.is_empty(), "{} denied words: see the list above", hits.len());
}

#[test]
fn no_line_of_prose_is_too_long() {
    let mut hits = Vec::new();
    for path in texts() {
        let name = path.strip_prefix(repository()).unwrap().display().to_string();
        // A program writes these pages.
        if !name.starts_with("docs/experiments/") {
            let text = fs::read_to_string(&path).unwrap();
            hits.extend(long_lines(&name, &text).into_iter().map(|line| format!("{name}:{line}")));
        }
    }
    hits.iter().for_each(|hit| println!("{hit}"));
    assert!(hits.is_empty(), "{} lines exceed {MAX_COLUMNS} columns: see the list above", hits.len());
}

fn texts() -> Vec<std::path::PathBuf> {
    let mut texts: Vec<_> = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", ".ci/run"]
        .map(|name| repository().join(name))
        .into_iter()
        .collect();
    for folder in FOLDERS.map(|folder| repository().join(folder)) {
        for extension in ["rs", "md", "sh", "toml"] {
            texts.extend(files(&folder, extension));
        }
    }
    let scripts = fs::read_dir(repository().join("ci")).unwrap().map(|entry| entry.unwrap().path());
    texts.extend(scripts.filter(|path| path.extension().is_none()));
    // The file with this list.
    texts.retain(|path| !path.ends_with(Path::new("house/words.rs")));
    texts
}

/// Lines and denied patterns of a text.
fn denied(name: &str, text: &str) -> Vec<(usize, String)> {
    let is_code = name.ends_with(".rs");
    let prose = if is_code { Source::of(text).prose } else { text.to_owned() };
    let tokens = tokens(&prose);
    let mut hits: Vec<_> = tokens
        .iter()
        .enumerate()
        .filter_map(|(at, token)| Some((token.line, denied_at(&tokens, at)?)))
        .collect();
    if is_code {
        // Names in code consist of words, too.
        let prose_lines: Vec<&str> = prose.lines().collect();
        for (index, line) in Source::of(text).code.lines().enumerate() {
            let words = tokens_of_line(&line.replace('_', " "), index + 1);
            let denied = (0..words.len()).find_map(|at| phrase_at(&words, at));
            hits.extend(
                denied.filter(|_| prose_lines[index].trim().is_empty()).map(|what| (index + 1, what)),
            );
        }
    }
    hits.sort();
    hits
}

/// The lines that exceed `MAX_COLUMNS`, of comments and Markdown. Tables and blocks of code are not
/// prose.
fn long_lines(name: &str, text: &str) -> Vec<usize> {
    let comment = match name.rsplit_once('.') {
        Some((_, "md")) => "",
        Some((_, "rs")) => "//",
        _ => "#",
    };
    let mut is_code = false;
    let mut long = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let Some(prose) = line.trim_start().strip_prefix(comment) else {
            is_code = false;
            continue;
        };
        let prose = prose.trim_start_matches(['/', '!', '#']).trim_start();
        is_code ^= prose.starts_with("```");
        // docs/cli.md has commands that are not shown.
        let is_exempt = is_code || prose.starts_with('|') || prose.starts_with("<!-- $");
        if !is_exempt && line.chars().count() > MAX_COLUMNS {
            long.push(index + 1);
        }
    }
    long
}

fn denied_at(tokens: &[Token], at: usize) -> Option<String> {
    let word = tokens[at].text.to_lowercase();
    if word == "who" { clause_with_who(tokens, at) } else { phrase_at(tokens, at) }
}

fn phrase_at(tokens: &[Token], at: usize) -> Option<String> {
    let matches = |phrase: &&str| {
        phrase.split(' ').enumerate().all(|(offset, word)| {
            tokens.get(at + offset).is_some_and(|token| token.text.eq_ignore_ascii_case(word))
        })
    };
    let phrase = DENIED.iter().find(|phrase| matches(phrase))?;
    (!is_a_name(phrase, tokens, at)).then(|| format!("\"{phrase}\""))
}

/// Whether "nobody" is the system's user, or quoted.
fn is_a_name(phrase: &str, tokens: &[Token], at: usize) -> bool {
    let text = |at: Option<usize>| at.and_then(|at| tokens.get(at)).map_or("", |token| token.text.as_str());
    phrase == "nobody"
        && (["`", "as"].contains(&text(at.checked_sub(1))) || ["`", "\""].contains(&text(Some(at + 1))))
}

/// "who" without a noun before it: at the beginning of a sentence that is not a question, or after
/// a preposition.
fn clause_with_who(tokens: &[Token], at: usize) -> Option<String> {
    let before = at.checked_sub(1).map_or("", |before| tokens[before].text.as_str());
    let next = tokens.get(at + 1).map_or("", |token| token.text.as_str());
    let begins = ["", ".", "!", "?", ":", ";"].contains(&before);
    let question = || {
        let end = tokens[at..].iter().find(|token| ["", ".", "?", ";", "|"].contains(&token.text.as_str()));
        end.is_some_and(|end| end.text == "?")
    };
    let denied = (begins && next.starts_with(char::is_alphabetic) && !question())
        || BEFORE_WHO.iter().any(|word| before.eq_ignore_ascii_case(word));
    denied.then(|| format!("\"{before} {} {next}\"", tokens[at].text).replace("\" ", "\""))
}

/// Words and punctuation marks. A token without text ends a paragraph.
fn tokens(prose: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (index, line) in prose.lines().enumerate() {
        let line = line.trim();
        let content = line.trim_start_matches(['/', '!', '#', '>']).trim_start();
        let item = content.starts_with(['*', '-', '|']);
        if item || content.is_empty() {
            tokens.push(Token { text: String::new(), line: index + 1 });
        }
        tokens.extend(tokens_of_line(content.trim_start_matches(['*', '-', '|']), index + 1));
    }
    tokens
}

fn tokens_of_line(line: &str, number: usize) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let word = |it: char| it.is_alphanumeric() || it == '\'' || it == '_';
        let end =
            if word(first) { rest.find(|it| !word(it)).unwrap_or(rest.len()) } else { first.len_utf8() };
        tokens.push(Token { text: rest[..end].to_owned(), line: number });
        rest = rest[end..].trim_start();
    }
    tokens
}

#[test]
fn denied_patterns_are_found_and_good_english_is_not() {
    let bad = "/// The segment in\n/// force. Who waits is woken; the page\n/// of whom it is. For who reads: made anew.";
    let lines: Vec<usize> = denied("a.rs", bad).into_iter().map(|(line, _)| line).collect();
    assert_eq!(lines, [1, 2, 3, 3, 3]);
    let good = "// The reader who waits is woken. Who writes? It decides who owns the page.\nfn current() {} // by `nobody`, WakeMode::Never";
    assert_eq!(denied("a.rs", good), []);
    assert_eq!(denied("a.rs", "fn made_anew() {}").len(), 1);
}

#[test]
fn long_lines_of_prose_are_found_and_long_code_is_not() {
    let long = "word ".repeat(20) + "word.";
    let rust = "/// L\n//! ```\n//! L\n//! ```\n// | L\nlet a = L;\n    // L".replace('L', &long);
    assert_eq!(long_lines("a.rs", &rust), [1, 7]);
    assert_eq!(long_lines("a.md", &"L\n```\nL\n```\n| L\nL".replace('L', &long)), [1, 6]);
    assert_eq!(long_lines("a.toml", &"# L\na = 'L'".replace('L', &long)), [1]);
}
