//! Standard input, as states.

use std::io::{BufRead, Read};

use serde_json::Value;

use super::unusable;
use crate::error::Failure;

/// Bytes that are read for one state at most: as large as a state may be. Endless input ends there.
const MAX_BYTES: u64 = 64 << 20;

/// What is published.
#[derive(Debug)]
pub(super) enum State {
    Json(Value),
    Bytes(Vec<u8>),
}

impl State {
    /// `line` is the number of the line that it stands in, where each is a state of its own.
    pub(super) fn parse(input: Vec<u8>, is_raw: bool, line: Option<u64>) -> Result<State, Failure> {
        if is_raw {
            return Ok(State::Bytes(input));
        }
        serde_json::from_slice(&input).map(State::Json).map_err(|error| {
            let failure = unusable(no_json(&error, line));
            failure.hint("to publish something else than JSON as it is, say --bytes")
        })
    }
}

fn no_json(error: &serde_json::Error, line: Option<u64>) -> String {
    let (row, column) = (line.unwrap_or(error.line() as u64), error.column());
    // The reason without the place, which would be that in the line only.
    let text = error.to_string();
    let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason);
    format!("standard input is no JSON: {reason}, at line {row}, column {column}")
}

/// All there is.
pub(super) fn read_all(input: impl Read) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    input.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
    check_len(&bytes)?;
    Ok(bytes)
}

/// The next line, without its break; `None` at the end.
pub(super) fn read_line(input: &mut impl BufRead) -> Result<Option<Vec<u8>>, Failure> {
    let mut line = Vec::new();
    let read = input.take(MAX_BYTES + 1).read_until(b'\n', &mut line).map_err(|error| unreadable(&error))?;
    if read == 0 {
        return Ok(None);
    }
    if line.pop_if(|last| *last == b'\n').is_some() {
        line.pop_if(|last| *last == b'\r');
    }
    check_len(&line)?;
    Ok(Some(line))
}

fn check_len(bytes: &[u8]) -> Result<(), Failure> {
    match bytes.len() as u64 > MAX_BYTES {
        true => Err(unusable(format!("a state on standard input has more than {MAX_BYTES} bytes"))),
        false => Ok(()),
    }
}

fn unreadable(error: &std::io::Error) -> Failure {
    unusable(format!("standard input can't be read: {error}"))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::{read_all, read_line};

    #[test]
    fn lines_come_without_their_breaks() {
        let mut input = io::Cursor::new(b"one\r\n\ntwo\rthree".to_vec());
        let mut lines = Vec::new();
        while let Some(line) = read_line(&mut input).unwrap() {
            lines.push(String::from_utf8(line).unwrap());
        }
        assert_eq!(lines, ["one", "", "two\rthree"]);
    }

    #[test]
    fn endless_input_is_refused() {
        assert!(read_all(io::repeat(b'x')).is_err());
        assert!(read_line(&mut io::BufReader::new(io::repeat(b'x'))).is_err());
    }
}
