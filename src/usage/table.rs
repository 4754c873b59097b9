//! The table of a namespace's memory.

use std::fmt;

use super::memory::{ChannelMemory, MemoryUsage, NamespaceMemory};

const COLUMNS: usize = 8;
const HEAD: [&str; COLUMNS] =
    ["resident bytes of", "control", "segment A", "segment B", "schema", "replaced", "total", "objects"];

type Row = [String; COLUMNS];

/// Bytes that have memory, with a comma between thousands: a line for each channel, for what else there is, and for
/// the total.
impl fmt::Display for NamespaceMemory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = rows(self);
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; COLUMNS] = std::array::from_fn(width);
        for (index, row) in rows.iter().enumerate() {
            if index > 0 {
                writeln!(formatter)?;
            }
            write!(formatter, "{:<width$}", row[0], width = widths[0])?;
            for (text, width) in row.iter().zip(widths).skip(1) {
                write!(formatter, "  {text:>width$}")?;
            }
        }
        Ok(())
    }
}

fn rows(memory: &NamespaceMemory) -> Vec<Row> {
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(memory.channels.iter().map(row_of_channel));
    let others = [("(unnamed)", memory.unnamed), ("(registry)", memory.registry), ("(other)", memory.other)];
    let present = others.into_iter().filter(|(_, usage)| usage.objects > 0);
    rows.extend(present.map(|(name, usage)| row_of_total(name, usage)));
    rows.push(row_of_total("total", memory.total()));
    rows
}

fn row_of_channel(memory: &ChannelMemory) -> Row {
    let [.., total, objects] = row_of_total("", memory.total());
    let ChannelMemory { control, segment_a, segment_b, schema, replaced, .. } = *memory;
    let [control, a, b, schema, replaced] =
        [control, segment_a, segment_b, schema, replaced].map(|usage| with_commas(usage.resident));
    [memory.channel.clone(), control, a, b, schema, replaced, total, objects]
}

fn row_of_total(name: &str, usage: MemoryUsage) -> Row {
    let none = String::new;
    [
        name.into(),
        none(),
        none(),
        none(),
        none(),
        none(),
        with_commas(usage.resident),
        with_commas(usage.objects),
    ]
}

fn with_commas(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::with_commas;

    #[test]
    fn thousands_are_set_apart() {
        let texts = [0, 7, 999, 1_000, 12_345, 999_999, 1_000_000].map(with_commas);
        assert_eq!(texts, ["0", "7", "999", "1,000", "12,345", "999,999", "1,000,000"]);
    }
}
