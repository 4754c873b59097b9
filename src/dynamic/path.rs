//! How one gets to a value inside of a value: `queue[3].deadline`.

use std::fmt::{self, Display, Formatter, Write};
use std::iter::Peekable;
use std::str::{Chars, FromStr};

use serde_json::Value;

use super::PathError;
use crate::schema::segment;

/// The way from a state to a value in it: `a.b[3].c`. Names with odd characters stand in brackets and quotes, as a Rust
/// literal: `by_name["worker 7"].load`. An empty path is the state itself.
///
/// ```
/// use tearless::dynamic::FieldPath;
///
/// let state = serde_json::json!({ "queue": [{ "deadline": 5 }], "by_name": { "worker 7": 0.5 } });
/// let path: FieldPath = "queue[0].deadline".parse()?;
/// assert_eq!(path.find(&state), Some(&5.into()));
/// let path: FieldPath = r#"by_name["worker 7"]"#.parse()?;
/// assert_eq!(path.find(&state), Some(&0.5.into()));
/// # Ok::<(), tearless::dynamic::PathError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldPath {
    segments: Vec<Segment>,
}

/// One step of a [`FieldPath`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Segment {
    /// The member of an object: a struct's field, an enum's variant, a map's key.
    Name(String),
    /// The element of an array, counted from 0.
    Index(usize),
}

impl FieldPath {
    /// The state itself.
    #[must_use]
    pub fn root() -> FieldPath {
        FieldPath::default()
    }

    /// The steps, from the state on.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The path that goes one step further.
    #[must_use]
    pub fn then(&self, segment: Segment) -> FieldPath {
        let mut segments = self.segments.clone();
        segments.push(segment);
        FieldPath { segments }
    }

    /// The value there; `None` if there is none.
    #[must_use]
    pub fn find<'a>(&self, state: &'a Value) -> Option<&'a Value> {
        self.segments.iter().try_fold(state, |value, segment| match segment {
            Segment::Name(name) => value.as_object()?.get(name),
            Segment::Index(index) => value.as_array()?.get(*index),
        })
    }
}

impl FromIterator<Segment> for FieldPath {
    fn from_iter<I: IntoIterator<Item = Segment>>(segments: I) -> FieldPath {
        FieldPath { segments: segments.into_iter().collect() }
    }
}

impl Display for FieldPath {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        for (index, step) in self.segments.iter().enumerate() {
            match step {
                Segment::Index(index) => write!(formatter, "[{index}]")?,
                Segment::Name(name) => {
                    let name = segment(name);
                    if index > 0 && !name.starts_with('[') {
                        formatter.write_char('.')?;
                    }
                    formatter.write_str(&name)?;
                }
            }
        }
        Ok(())
    }
}

impl FromStr for FieldPath {
    type Err = PathError;

    /// # Errors
    ///
    /// [`PathError`], which says where the text is no path.
    fn from_str(text: &str) -> Result<FieldPath, PathError> {
        let mut parser = Parser { characters: text.chars().peekable(), column: 1 };
        let mut segments = Vec::new();
        while let Some(next) = parser.peek() {
            let step = match next {
                '[' => parser.bracket()?,
                '.' if segments.is_empty() => return parser.wrong("a path begins with a name or a bracket"),
                '.' => {
                    parser.next();
                    parser.name()?
                }
                _ if segments.is_empty() => parser.name()?,
                _ => return parser.wrong("behind a bracket, a dot comes before the next name"),
            };
            segments.push(step);
        }
        Ok(FieldPath { segments })
    }
}

struct Parser<'a> {
    characters: Peekable<Chars<'a>>,
    /// Of the next character.
    column: usize,
}

impl Parser<'_> {
    fn peek(&mut self) -> Option<char> {
        self.characters.peek().copied()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.characters.next();
        self.column += usize::from(next.is_some());
        next
    }

    fn wrong<V>(&self, reason: &'static str) -> Result<V, PathError> {
        Err(PathError { column: self.column, reason })
    }

    fn expect(&mut self, expected: char, reason: &'static str) -> Result<(), PathError> {
        if self.peek() != Some(expected) {
            return self.wrong(reason);
        }
        self.next();
        Ok(())
    }

    fn name(&mut self) -> Result<Segment, PathError> {
        let mut name = String::new();
        while let Some(next) = self.peek().filter(|next| !matches!(next, '.' | '[')) {
            if matches!(next, ']' | '"') || next.is_control() {
                return self.wrong("write a name with this character as [\"…\"]");
            }
            name.push(next);
            self.next();
        }
        if name.is_empty() {
            return self.wrong("a name is missing");
        }
        Ok(Segment::Name(name))
    }

    fn bracket(&mut self) -> Result<Segment, PathError> {
        self.next();
        let step = match self.peek() {
            Some('"') => Segment::Name(self.quoted()?),
            Some('0'..='9') => Segment::Index(self.index()?),
            _ => return self.wrong("in a bracket stands the number of one element, from 0, or \"a name\""),
        };
        self.expect(']', "a ] is missing")?;
        Ok(step)
    }

    fn index(&mut self) -> Result<usize, PathError> {
        let mut index = 0_usize;
        while let Some(digit) = self.peek().and_then(|next| next.to_digit(10)) {
            let larger = index.checked_mul(10).and_then(|index| index.checked_add(digit as usize));
            let Some(larger) = larger else { return self.wrong("the number is too large") };
            index = larger;
            self.next();
        }
        Ok(index)
    }

    fn quoted(&mut self) -> Result<String, PathError> {
        self.next();
        let mut name = String::new();
        loop {
            match self.peek() {
                None => return self.wrong("the name's second \" is missing"),
                Some('"') => break,
                Some('\\') => {
                    self.next();
                    name.push(self.escaped()?);
                }
                Some(other) => {
                    name.push(other);
                    self.next();
                }
            }
        }
        self.next();
        Ok(name)
    }

    fn escaped(&mut self) -> Result<char, PathError> {
        let character = match self.peek() {
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('0') => '\0',
            Some(same @ ('"' | '\'' | '\\')) => same,
            Some('u') => return self.unicode(),
            _ => return self.wrong("behind a \\ stands one of n r t 0 \" ' \\ or u{…}"),
        };
        self.next();
        Ok(character)
    }

    fn unicode(&mut self) -> Result<char, PathError> {
        self.next();
        self.expect('{', "a { is missing")?;
        let mut code = 0_u32;
        while let Some(digit) = self.peek().and_then(|next| next.to_digit(16)) {
            if code > u32::from(char::MAX) {
                break;
            }
            code = code * 16 + digit;
            self.next();
        }
        let Some(character) = char::from_u32(code) else { return self.wrong("there is no such character") };
        self.expect('}', "a } is missing")?;
        Ok(character)
    }
}
