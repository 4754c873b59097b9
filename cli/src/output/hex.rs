//! Bytes, for people.

/// Bytes on a line of [`hex_dump`].
const WIDTH: usize = 16;

/// `bytes` as lines of offset, hexadecimal numbers, and characters.
pub(crate) fn hex_dump(bytes: &[u8]) -> String {
    hex_lines(bytes, WIDTH).map(|(offset, line)| format!("{offset:08x}  {line}\n")).collect()
}

/// Hexadecimal numbers and characters of `width` bytes each, with the offset of the first one.
pub(crate) fn hex_lines(bytes: &[u8], width: usize) -> impl Iterator<Item = (usize, String)> {
    let shown = |byte: &u8| if matches!(byte, b' '..=b'~') { char::from(*byte) } else { '.' };
    let line = move |(index, line): (usize, &[u8])| {
        let characters: String = line.iter().map(shown).collect();
        let space = 3 * width - 1;
        (index * width, format!("{:space$}  {characters}", numbers(line)))
    };
    bytes.chunks(width).enumerate().map(line)
}

fn numbers(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

/// The first bytes on one line of at most `max` characters.
pub(crate) fn hex_line(bytes: &[u8], max: usize) -> String {
    let fitting = bytes.len().min(max.saturating_sub(1) / 3);
    let more = if fitting < bytes.len() { " …" } else { "" };
    numbers(&bytes[..fitting]) + more
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
