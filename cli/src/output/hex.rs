//! Bytes, for people.

use std::fmt::Write;

/// Bytes on a line.
const WIDTH: usize = 16;

/// `bytes` as lines of offset, hexadecimal numbers, and characters.
pub(crate) fn hex_dump(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (index, line) in bytes.chunks(WIDTH).enumerate() {
        let numbers: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        let shown = |byte: &u8| if matches!(byte, b' '..=b'~') { char::from(*byte) } else { '.' };
        let characters: String = line.iter().map(shown).collect();
        // Writing to a string can't fail.
        let _ = writeln!(text, "{:08x}  {:47}  {characters}", index * WIDTH, numbers.join(" "));
    }
    text
}

/// The first bytes on one line of at most `most` characters.
pub(crate) fn hex_line(bytes: &[u8], most: usize) -> String {
    let fitting = bytes.len().min(most.saturating_sub(1) / 3);
    let numbers: Vec<String> = bytes[..fitting].iter().map(|byte| format!("{byte:02x}")).collect();
    let more = if fitting < bytes.len() { " …" } else { "" };
    numbers.join(" ") + more
}

#[cfg(test)]
mod tests {
    use super::{hex_dump, hex_line};

    #[test]
    fn each_line_has_sixteen_bytes() {
        assert_eq!(hex_dump(b""), "");
        let bytes: Vec<u8> = (0x5a..0x6b).chain([0x1b, 0x9b]).collect();
        assert_eq!(
            hex_dump(&bytes),
            "00000000  5a 5b 5c 5d 5e 5f 60 61 62 63 64 65 66 67 68 69  Z[\\]^_`abcdefghi\n\
             00000010  6a 1b 9b                                         j..\n"
        );
    }

    #[test]
    fn a_line_ends_where_there_is_no_room() {
        assert_eq!(hex_line(&[1, 2, 255], 20), "01 02 ff");
        assert_eq!(hex_line(&[1, 2, 255], 8), "01 02 …");
        assert_eq!(hex_line(&[], 0), "");
    }
}
